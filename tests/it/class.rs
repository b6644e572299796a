//! CLASS: what is hidden from all but the owner and masters, and that a save of such a view leaves it alone.

use std::path::PathBuf;

use crate::calendar::{by_uid, components, event, plain, uids};
use crate::server::{NOBODY, Server, eventually};

const SHARED: &str = "/ical/~alice/folder/Work/Projects.ics";
const PRIVATE: &str = "appraisal-0001@example.org";
const CONFIDENTIAL: &str = "budget-0001@example.org";

#[test]
fn class_hides_private_items_and_masks_confidential_ones() {
    for role in ["viewer", "contributor", "editor"] {
        let s = Server::start();
        s.write("users/alice/Work/Projects/.acl.json", format!("{{\"user:bob\": \"{role}\"}}"));
        let text = s.get(SHARED, "bob").text();
        assert!(!uids(&text).contains(&PRIVATE.to_owned()) && !text.contains("Appraisal"), "{text}");
        let masked = by_uid(&text, CONFIDENTIAL);
        assert!(masked.contains("SUMMARY:Busy\r\n") && masked.contains("DTSTART"), "{masked}");
        for part in ["Budget", "Figures", "ATTACH", "files.example.org"] {
            assert!(!text.contains(part), "{part} shows to a {role}");
        }
    }
}

#[test]
fn of_the_zone_of_a_masked_item_only_the_rules_are_shown() {
    let s = Server::start();
    let zone = "BEGIN:VTIMEZONE\r\nTZID:Our office\r\nX-NOTE:Secret\r\nCOMMENT:Secret\r\nBEGIN:STANDARD\r\n\
                DTSTART:19700101T000000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";
    let start = "DTSTART;TZID=Our office:20261203T100000\r\n";
    let item = format!(
        "BEGIN:VEVENT\r\nUID:z\r\nDTSTAMP:20261001T080000Z\r\n{start}CLASS:CONFIDENTIAL\r\nEND:VEVENT\r\n"
    );
    s.write("users/alice/Work/Projects/zone.ics", plain(&[zone, &item]));
    let seen = |user: &str| s.get(SHARED, user).text();
    eventually("it is there", || seen("alice").contains("X-NOTE:Secret").then_some(()));
    let masked = seen("bob");
    assert!(masked.contains("TZOFFSETTO:+0100") && masked.contains(start), "{masked}");
    assert!(!masked.contains("Secret"), "{masked}");
}

#[test]
fn what_changes_unseen_moves_no_time_that_is_shown() {
    let s = Server::start();
    let told = |user: &str| {
        let listed = s.propfind(SHARED, user, "0", "").status(207).text();
        (
            !s.get(SHARED, user).status(200).header("Last-Modified").is_empty(),
            listed.contains("getlastmodified>"),
        )
    };
    eventually("alice is told", || told("alice").0.then_some(()));
    assert_eq!(told("alice"), (true, true));
    assert!(!told("bob").0, "what is hidden from him tells no time");
    let all =
        s.get(SHARED, "bob").header("If-Modified-Since", s.dated(SHARED, "alice").header("Last-Modified"));
    all.status(200);
}

#[test]
fn class_hides_nothing_from_the_owner_and_from_masters() {
    let s = Server::start();
    s.write("users/alice/Work/Projects/.acl.json", "{\"user:bob\": \"master\"}");
    for (address, user) in [("/ical/folder/Work/Projects.ics", "alice"), (SHARED, "alice"), (SHARED, "bob")] {
        let text = s.get(address, user).text();
        assert!(text.contains("Appraisal of Bob") && text.contains("Figures are attached"), "{user}: {text}");
    }
}

#[test]
fn each_view_of_a_calendar_with_class_has_its_own_etag() {
    let s = Server::start();
    let (whole, masked) = (s.get(SHARED, "alice").etag(), s.get(SHARED, "bob").etag());
    assert_ne!(whole, masked);
    s.get(SHARED, "bob").header("If-None-Match", &whole).status(200);
    s.get(SHARED, "bob").header("If-None-Match", &masked).status(304);
    // A calendar without CLASS has one.
    assert_eq!(s.get("/ical/pf/Holidays.ics", NOBODY).etag(), s.get("/ical/pf/Holidays.ics", "alice").etag());
    // What changes only in the hidden part changes nothing for whoever does not see it.
    let body = s.get(SHARED, "alice").text().replace("Appraisal of Bob", "Appraisal, moved");
    s.put(SHARED, "alice", body).header("If-Match", &whole).status(204);
    assert_eq!(s.get(SHARED, "bob").etag(), masked);
    assert_ne!(s.get(SHARED, "alice").etag(), whole);
}

#[test]
fn a_save_of_a_masked_view_leaves_what_it_hides_as_it_is() {
    let s = Server::start();
    let hidden =
        ["budget.ics", "appraisal.ics"].map(|name| s.read(&format!("users/alice/Work/Projects/{name}")));
    for (guard, body) in [
        // All that he saw, with one change.
        ("If", s.get(SHARED, "bob").text().replace("SUMMARY:Kick-off", "SUMMARY:Kick-off by Bob")),
        // A changed mask is ignored.
        ("If", s.get(SHARED, "bob").text().replace("SUMMARY:Busy", "SUMMARY:Known to Bob")),
        // Nothing at all, with a guard that says he has seen everything.
        ("If-Match", plain(&[])),
    ] {
        let etag = s.get(SHARED, "bob").etag();
        let value = if guard == "If" { format!("([{etag}])") } else { etag };
        s.put(SHARED, "bob", body).header(guard, &value).status(204);
        let now =
            ["budget.ics", "appraisal.ics"].map(|name| s.read(&format!("users/alice/Work/Projects/{name}")));
        assert_eq!(now, hidden);
    }
    assert_eq!(components(&s.get(SHARED, "alice").text()).len(), 2);
}

#[test]
fn an_edit_of_an_item_that_became_private_meanwhile_is_in_the_history() {
    for class in ["PRIVATE", "CONFIDENTIAL"] {
        let s = Server::start();
        let (text, etag) = (s.get(SHARED, "bob").text(), s.get(SHARED, "bob").etag());
        let owned = s.get(SHARED, "alice").status(200);
        let hidden = owned.text().replace("SUMMARY:Kick-off", &format!("CLASS:{class}\r\nSUMMARY:Kick-off"));
        s.put(SHARED, "alice", hidden).header("If-Match", &owned.etag()).status(204);
        let edited = text.replace("SUMMARY:Kick-off", "SUMMARY:Kick-off by Bob");
        let put =
            |tag: &str| s.put(SHARED, "bob", edited.clone()).header("If", &format!("([{tag}])")).status(204);
        let answer = put(&etag);
        assert!(answer.header("Kalends-Merge").contains("conflicts=1"), "{class}");
        let kept = || {
            let kept = s.tree("users/alice/.history");
            kept.iter()
                .filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains("Kick-off by Bob"))
                .count()
        };
        eventually("what he wrote is in the history", || (kept() == 1).then_some(()));
        let owner = s.get(SHARED, "alice").text();
        assert!(owner.contains("SUMMARY:Kick-off\r\n") && !owner.contains("by Bob"), "{owner}");
        assert!(!s.get(SHARED, "bob").text().contains("Kick-off"), "{class}");
        // Once: what he has under the new tag is no edit.
        let again = put(&answer.etag());
        assert!(!again.header("Kalends-Merge").contains("conflicts=1"), "{class}");
        s.settle();
        assert_eq!(kept(), 1);
    }
}

#[test]
fn the_answer_to_a_save_of_a_masked_view_is_the_tag_of_that_view() {
    let s = Server::start();
    let (text, etag) = (s.get(SHARED, "bob").text(), s.get(SHARED, "bob").etag());
    let body = text.replace("SUMMARY:Kick-off", "SUMMARY:Kick-off by Bob");
    let answer = s.put(SHARED, "bob", body).header("If", &format!("([{etag}])")).status(204).etag();
    assert_eq!(answer, s.get(SHARED, "bob").etag());
    assert_ne!(answer, s.get(SHARED, "alice").etag());
}

#[test]
fn a_new_item_under_the_key_of_a_hidden_one_is_a_403() {
    let s = Server::start();
    let etag = s.get(SHARED, "bob").etag();
    let before = s.tree("users/alice/Work");
    let body = plain(&[&event(PRIVATE, "Mine now", &[]), &event("new", "New", &[])]);
    s.put(SHARED, "bob", body).header("If", &format!("([{etag}])")).status(403);
    assert!(s.tree("users/alice/Work") == before);
}

#[test]
fn what_may_have_been_seen_before_it_was_hidden_is_no_403() {
    for role in ["contributor", "editor"] {
        let s = Server::start();
        s.write("users/alice/Work/Projects/.acl.json", format!("{{\"user:bob\": \"{role}\"}}"));
        let hidden = s.read("users/alice/Work/Projects/appraisal.ics");
        // Nothing is known of what Bob had.
        let body = plain(&[&event(PRIVATE, "As Bob had it", &[]), &event("new", "New", &[])]);
        let answer = s.put(SHARED, "bob", body).status(204);
        assert!(answer.header("Kalends-Merge").contains("conflicts=1"), "{answer}");
        assert_eq!(s.read("users/alice/Work/Projects/appraisal.ics"), hidden);
        assert!(uids(&s.get(SHARED, "bob").text()).contains(&"new".to_owned()));
        eventually("what he wrote is in the history", || {
            let kept = s.tree("users/alice/.history");
            let is_it =
                |(_, bytes): &(PathBuf, Vec<u8>)| String::from_utf8_lossy(bytes).contains("As Bob had it");
            kept.iter().any(is_it).then_some(())
        });
    }
}

#[test]
fn an_editor_may_add_a_private_item_and_then_no_longer_sees_it() {
    let s = Server::start();
    let etag = s.get(SHARED, "bob").etag();
    let text = s.get(SHARED, "bob").text();
    let mine = event("bobs", "Bob's own", &["CLASS:PRIVATE"]);
    let body = text.replace("END:VCALENDAR", &format!("{mine}END:VCALENDAR"));
    s.put(SHARED, "bob", body).header("If", &format!("([{etag}])")).status(204);
    assert!(s.get(SHARED, "alice").text().contains("Bob's own"));
    assert!(!s.get(SHARED, "bob").text().contains("Bob's own"));
}

#[test]
fn the_first_private_item_of_an_editor_has_a_tag_from_which_it_may_go_on() {
    let s = Server::start();
    let address = "/ical/~carol/folder/Rights/Editor.ics";
    let before = s.get(address, "bob").status(200);
    let mine = event("bobs", "Bob's own", &["CLASS:PRIVATE"]);
    let body = before.text().replace("END:VCALENDAR", &format!("{mine}END:VCALENDAR"));
    let put = |tag: &str| {
        s.put(address, "bob", body.clone()).header("If", &format!("([{tag}])")).status(204).etag()
    };
    let tag = put(&before.etag());
    assert_ne!(tag, s.get(address, "bob").etag(), "it does not show");
    put(&tag);
}

#[test]
fn a_loaded_cache_never_lends_one_askers_view_to_another() {
    let s = Server::start();
    for _ in 0..3 {
        assert!(s.get(SHARED, "alice").text().contains("Appraisal"));
        assert!(!s.get(SHARED, "bob").text().contains("Appraisal"));
        s.get(SHARED, "carol").status(404);
        s.get(SHARED, NOBODY).status(401);
        let packed = |user| s.get(SHARED, user).header("Accept-Encoding", "gzip").status(200).body;
        assert_ne!(packed("alice"), packed("bob"));
    }
}

#[test]
fn a_busy_block_never_takes_the_place_of_the_event() {
    let opened = |text: &str| text.replace("CLASS:CONFIDENTIAL\r\n", "").replace("Budget", "Open budget");
    let moved = |text: &str| {
        let block = by_uid(text, CONFIDENTIAL);
        let stamped = "LAST-MODIFIED:20300101T000000Z\r\nSUMMARY:Busy\r\nLOCATION:Here";
        text.replace(&block, &block.replace("SUMMARY:Busy", stamped))
    };
    for guard in [Some("If"), None] {
        let s = Server::start();
        let shown = s.get(SHARED, "bob").status(200);
        let owned = s.get(SHARED, "alice").status(200);
        s.put(SHARED, "alice", opened(&owned.text())).header("If-Match", &owned.etag()).status(204);
        let event = by_uid(&s.get(SHARED, "bob").text(), CONFIDENTIAL);
        assert!(event.contains("Open budget"), "{event}");
        let save = |tag: &str| {
            let put = s.put(SHARED, "bob", moved(&shown.text()));
            let put = if guard.is_some() { put.header("If", &format!("([{tag}])")) } else { put };
            put.status(204)
        };
        let saved = save(&shown.etag());
        assert!(saved.header("Kalends-Merge").contains("conflicts=1"), "{saved}");
        assert_eq!(by_uid(&s.get(SHARED, "alice").text(), CONFIDENTIAL), event);
        // What he has under the new tag is a block still.
        save(&saved.etag());
        assert_eq!(by_uid(&s.get(SHARED, "alice").text(), CONFIDENTIAL), event);
        let kept = s.tree("users/alice/.history");
        assert!(kept.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("LOCATION:Here")));
    }
}

#[test]
fn who_may_see_all_by_now_brings_no_busy_block_along() {
    let s = Server::start();
    let rights = |role: &str| {
        s.write("users/alice/Work/Projects/.acl.json", format!("{{\"user:bob\": \"{role}\"}}"));
    };
    rights("viewer");
    let before = by_uid(&s.get(SHARED, "alice").text(), CONFIDENTIAL);
    // As KDE writes what has no LAST-MODIFIED.
    let shown = s.get(SHARED, "bob").text().replace("SUMMARY:", "LAST-MODIFIED:20300101T000000Z\r\nSUMMARY:");
    s.put(SHARED, "bob", shown.clone()).status(403);
    rights("master");
    eventually("he sees all", || {
        let seen = s.get(SHARED, "bob").header("User-Agent", "another").status(200).text();
        seen.contains("Appraisal").then_some(())
    });
    s.put(SHARED, "bob", shown).status(204);
    assert_eq!(by_uid(&s.get(SHARED, "alice").text(), CONFIDENTIAL), before);
}

#[test]
fn what_one_machine_made_of_a_busy_block_counts_no_more_where_another_has_the_event() {
    type Change = fn(&str) -> String;
    let edits: [(Change, &str); 3] = [
        (|block| block.replace("SUMMARY:Busy", "SUMMARY:Ask Alice?\r\nLOCATION:Here"), "conflicts=1"),
        (|block| block.replace("CLASS:CONFIDENTIAL\r\n", "LOCATION:Here\r\n"), "conflicts=1"),
        // The other is one that he did not see at all.
        (|_| String::new(), "kept=2, removed=0"),
    ];
    for (edit, told) in edits {
        let s = Server::start();
        let rights = |role: &str| {
            s.write("users/alice/Work/Projects/.acl.json", format!("{{\"user:bob\": \"{role}\"}}"));
        };
        rights("editor");
        let before = by_uid(&s.get(SHARED, "alice").text(), CONFIDENTIAL);
        let shown = s.get(SHARED, "bob").text();
        let block = by_uid(&shown, CONFIDENTIAL);
        assert!(block.contains("SUMMARY:Busy"), "{block}");
        rights("master");
        eventually("he sees all", || s.get(SHARED, "bob").text().contains("Appraisal").then_some(()));
        let saved = s.put(SHARED, "bob", shown.replace(&block, &edit(&block))).status(204);
        assert!(saved.header("Kalends-Merge").contains(told), "{saved}");
        assert_eq!(by_uid(&s.get(SHARED, "alice").text(), CONFIDENTIAL), before);
    }
}

#[test]
fn of_one_key_in_both_halves_what_an_asker_sees_is_what_he_saves() {
    let s = Server::start();
    let half = |half: &str, more: &[&str]| {
        s.write(&format!("users/alice/{half}/x.ics"), plain(&[&event("x", &format!("In {half}"), more)]));
        s.write(&format!("users/alice/{half}/.acl.json"), "{\"user:bob\": \"editor\"}");
    };
    half("Calendar", &["CLASS:PRIVATE"]);
    half("Tasks", &[]);
    let main = "/ical/~alice/main.ics";
    let shown = eventually("both are there", || {
        let shown = s.get(main, "bob").status(200);
        shown.text().contains("SUMMARY:In Tasks").then_some(shown)
    });
    let saved = s.put(main, "bob", shown.text()).header("If-Match", &shown.etag()).status(204);
    let edited = shown.text().replace("SUMMARY:In Tasks", "SUMMARY:By Bob");
    let saved = s.put(main, "bob", edited.clone()).header("If-Match", &saved.etag()).status(204);
    assert!(s.read("users/alice/Tasks/x.ics").contains("By Bob"));
    let without = edited.replace(&by_uid(&edited, "x"), "");
    s.put(main, "bob", without).header("If-Match", &saved.etag()).status(204);
    assert_eq!((s.has("users/alice/Tasks/x.ics"), s.has("users/alice/Calendar/x.ics")), (false, true));
}

#[test]
fn a_stale_busy_block_is_no_version_of_what_is_gone() {
    let s = Server::start();
    s.write("users/alice/Work/Projects/.acl.json", "{\"user:bob\": \"editor\"}");
    let shown = s.get(SHARED, "bob").status(200);
    let file = s.file_with("users/alice/Work/Projects", CONFIDENTIAL);
    s.remove(&format!("users/alice/Work/Projects/{file}"));
    eventually("it is gone", || {
        (!uids(&s.get(SHARED, "alice").text()).contains(&CONFIDENTIAL.to_owned())).then_some(())
    });
    let saved = s.put(SHARED, "bob", shown.text()).header("If", &format!("([{}])", shown.etag())).status(204);
    assert!(saved.header("Kalends-Merge").contains("stale=1"), "{saved}");
    s.settle();
    assert!(!s.path("users/alice/.history/lost").exists());
}
