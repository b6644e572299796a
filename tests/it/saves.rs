//! Saves: what is taken, where it goes on disk, what stays byte for byte, and the entity tag in the answer.
//! Preconditions are in `guards`; how two sides' changes come together is in `merge`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use crate::calendar::{by_uid, calendar, components, event, plain, summaries, task, uids, value};
use crate::raw::head;
use crate::server::{Server, eventually};

const NEW: &str = "/ical/folder/New.ics";

/// A new calendar of alice's with these parts, and its entity tag as a GET gives it.
fn new(s: &Server, parts: &[&str]) -> String {
    s.put(NEW, "alice", plain(parts)).status(201);
    s.get(NEW, "alice").etag()
}

/// Which inode each item's file has: a file that was written again has another.
fn inodes(s: &Server, directory: &str) -> BTreeMap<String, (u64, i64)> {
    let of = |name: &String| {
        let metadata = s.path(directory).join(name).metadata().expect("a file");
        (name.clone(), (metadata.ino(), metadata.mtime_nsec()))
    };
    s.files(directory).iter().map(of).collect()
}

#[test]
fn a_new_calendar_is_201_and_an_old_one_204_each_with_the_current_etag() {
    let s = Server::start();
    let body = plain(&[&event("a", "A", &[])]);
    let made = s.put(NEW, "alice", body).status(201);
    assert_eq!(s.get(NEW, "alice").etag(), made.etag());
    let body = plain(&[&event("a", "A", &[]), &event("b", "B", &[])]);
    let changed = s.put(NEW, "alice", body).status(204);
    assert_eq!(s.get(NEW, "alice").etag(), changed.etag());
    assert_ne!(made.etag(), changed.etag());
    assert!(changed.body.is_empty());
}

#[test]
fn each_item_is_a_file_of_its_own_with_its_time_zones() {
    let s = Server::start();
    let zone = "BEGIN:VTIMEZONE\r\nTZID:Berlin\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n\
                TZOFFSETFROM:+0100\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";
    let zoned = "BEGIN:VEVENT\r\nUID:zoned\r\nDTSTAMP:20261001T080000Z\r\nDTSTART;TZID=Berlin:20261201T100000\r\n\
                 SUMMARY:Zoned\r\nEND:VEVENT\r\n";
    new(&s, &[zone, zoned, &event("plain", "Plain", &[])]);
    let directory = "users/alice/New";
    assert_eq!(s.files(directory).len(), 2);
    let zoned = s.read(&format!("{directory}/{}", s.file_with(directory, "UID:zoned")));
    assert!(zoned.contains(zone), "{zoned}");
    let plain = s.read(&format!("{directory}/{}", s.file_with(directory, "UID:plain")));
    assert!(!plain.contains("VTIMEZONE"), "{plain}");
    let served = s.get(NEW, "alice").text();
    assert_eq!(served.matches("BEGIN:VTIMEZONE").count(), 1, "{served}");
}

#[test]
fn an_event_with_its_overrides_is_one_item() {
    let s = Server::start();
    let series = event("series", "Series", &["RRULE:FREQ=DAILY;COUNT=5"]);
    let moved = event("series", "Moved", &["RECURRENCE-ID:20261202T100000Z"]);
    let other = event("other", "Other", &[]);
    // The override stands before its master and apart from it.
    new(&s, &[&moved, &other, &series]);
    assert_eq!(s.files("users/alice/New").len(), 2);
    let text = s.get(NEW, "alice").text();
    assert_eq!(uids(&text), ["other", "series", "series"]);
    assert!(text.contains(&series) && text.contains(&moved), "{text}");
}

#[test]
fn main_sends_events_to_the_calendar_and_tasks_to_the_tasks() {
    let s = Server::start();
    let body = plain(&[&event("e", "An event", &[]), &task("t", "A task", &[])]);
    s.put("/ical/main.ics", "dave", body).status(204);
    assert_eq!(summaries(&s.texts("users/dave/Calendar").concat()), ["An event"]);
    assert_eq!(summaries(&s.texts("users/dave/Tasks").concat()), ["A task"]);
    assert_eq!(summaries(&s.get("/ical/main.ics", "dave").text()), ["A task", "An event"]);
}

#[test]
fn main_changes_an_item_where_it_lies() {
    let s = Server::start();
    // A task among the events, as another program may have put it.
    s.write("users/dave/Calendar/task.ics", plain(&[&task("t", "A task", &[])]));
    s.write("users/dave/Tasks/other.ics", plain(&[&task("u", "Another", &[])]));
    let etag = s.get("/ical/main.ics", "dave").etag();
    let body = plain(&[&task("t", "Changed", &["SEQUENCE:1"]), &task("u", "Another", &[])]);
    s.put("/ical/main.ics", "dave", body).header("If-Match", &etag).status(204);
    assert_eq!(summaries(&s.texts("users/dave/Calendar").concat()), ["Changed"]);
    assert_eq!(s.files("users/dave/Calendar"), ["task.ics"]);
    assert_eq!(s.files("users/dave/Tasks"), ["other.ics"]);
}

#[test]
fn what_a_client_wrote_survives_byte_for_byte() {
    let s = Server::start();
    let odd = "BEGIN:VEVENT\r\nX-FIRST;X-P=\"a;b:c\";x-lower=1:before the UID\r\nuid:odd-1\r\nDTSTAMP:20261001T080000Z\r\n\
               DTSTART:20261201T100000Z\r\nATTENDEE;CN=\"Doe; John\":mailto:J@Example.org\r\n\
               ATTENDEE;CN=\"Doe; John\":mailto:J@Example.org\r\nSUMMARY;LANGUAGE=de:\u{dc}bung\r\n\
               X-FOLDED:abc\r\n  def\r\n\tghi\r\nDESCRIPTION:\r\nRRULE:WKST=MO;FREQ=DAILY;BYHOUR=25;X-ODD=1;COUNT=3\r\n\
               BEGIN:X-INNER\r\nX-A:1\r\nBEGIN:X-DEEPER\r\nX-B:2\r\nEND:X-DEEPER\r\nEND:X-INNER\r\n\
               BEGIN:VALARM\r\nACTION:X-WHISTLE\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT\r\n";
    let unknown = "BEGIN:X-THING\r\nUID:thing\r\nX-C:3\r\nEND:X-THING\r\n";
    let long = event("long", &"a long line without folds ".repeat(20), &[]);
    new(&s, &[odd, unknown, &long]);
    let served = s.get(NEW, "alice").text();
    assert!(served.contains(odd), "{served}");
    assert!(s.texts("users/alice/New").concat().contains(odd));
    assert!(served.contains("long line without folds a long line"), "{served}");
}

#[test]
fn an_unknown_time_zone_and_an_odd_rule_are_kept() {
    let s = Server::start();
    let odd = "BEGIN:VEVENT\r\nUID:odd\r\nDTSTAMP:20261001T080000Z\r\nDTSTART;TZID=Mars/Base:20261201T100000\r\n\
               RRULE:FREQ=SOMETIMES;BYMOOD=good\r\nSUMMARY:Odd\r\nEND:VEVENT\r\n";
    new(&s, &[odd]);
    assert!(s.get(NEW, "alice").text().contains(odd));
}

#[test]
fn what_the_server_adds_on_the_way_out_is_dropped_on_the_way_in() {
    let s = Server::start();
    let added = "METHOD:PUBLISH\r\nCALSCALE:GREGORIAN\r\nNAME:Renamed\r\nX-WR-CALNAME:Renamed\r\nCOLOR:teal\r\n\
                 X-APPLE-CALENDAR-COLOR:#123456\r\nX-WR-TIMEZONE:Asia/Tokyo\r\n\
                 REFRESH-INTERVAL;VALUE=DURATION:PT1H\r\nX-PUBLISHED-TTL:PT1H\r\n";
    let address = "/ical/folder/Team.ics";
    s.put(address, "alice", plain(&[added, &event("x", "X", &[])])).status(204);
    let text = s.get(address, "alice").text();
    assert_eq!(value(&text, "X-WR-CALNAME").as_deref(), Some("Team"));
    assert_ne!(value(&text, "X-WR-TIMEZONE").as_deref(), Some("Asia/Tokyo"));
    assert!(!text.contains("METHOD"), "{text}");
    assert_eq!(s.read("users/alice/Team/displayname"), "Team");
    let file = s.read(&format!("users/alice/Team/{}", s.file_with("users/alice/Team", "UID:x\r\n")));
    for name in ["METHOD", "X-WR-", "COLOR", "REFRESH", "TTL", "\r\nNAME"] {
        assert!(!file.contains(name), "{name} is in\n{file}");
    }
}

#[test]
fn items_without_a_uid_get_one_and_keep_it() {
    let s = Server::start();
    let nameless = "BEGIN:VEVENT\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:20261201T100000Z\r\nSUMMARY:Twin\r\nEND:VEVENT\r\n";
    let body = plain(&[nameless, nameless, &nameless.replace("Twin", "Single")]);
    s.put(NEW, "alice", body.clone()).status(201);
    let first = uids(&s.get(NEW, "alice").text());
    assert_eq!(first.len(), 3);
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "{first:?}");
    assert_eq!(uids(&s.texts("users/alice/New").concat()), first);
    // The same body again is the same items, not three more.
    s.put(NEW, "alice", body).status(204);
    assert_eq!(uids(&s.get(NEW, "alice").text()), first);
}

#[test]
fn a_bom_bare_line_feeds_and_several_calendars_are_taken() {
    let s = Server::start();
    let two = plain(&[&event("a", "A", &[])]) + &plain(&[&event("b", "B", &[])]);
    for (number, body) in [
        format!("\u{feff}{two}"),
        two.replace("\r\n", "\n"),
        format!("\r\n{}", two.replace("END:VCALENDAR\r\n", "END:VCALENDAR\r\n\r\n")),
        two.trim_end().to_owned(),
        two.replace("BEGIN:", "begin:").replace("END:", "End:"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("/ical/folder/Shapes/{number}.ics");
        s.put(&address, "alice", body).status(201);
        let text = s.get(&address, "alice").text();
        assert_eq!(text.matches("BEGIN:VCALENDAR").count(), 1, "{text}");
        for uid in ["UID:a", "UID:b"] {
            assert_eq!(text.matches(uid).count(), 1, "{number}: {text}");
        }
        assert!(!text.replace("\r\n", "").contains('\n'), "a bare line feed: {number}: {text}");
    }
}

#[test]
fn every_content_type_that_clients_send_is_taken() {
    let s = Server::start();
    let body = plain(&[&event("a", "A", &[])]);
    s.bare_put(NEW, "alice", body.clone()).status(201);
    for kind in [
        "text/calendar",
        "text/calendar; charset=UTF-8; component=VEVENT",
        "application/ics",
        "application/octet-stream",
        "text/plain",
    ] {
        s.bare_put(NEW, "alice", body.clone()).header("Content-Type", kind).status(204);
    }
}

#[test]
fn a_chunked_body_after_expect_is_taken() {
    let s = Server::start();
    let body = plain(&[&event("a", "A", &[]), &event("b", "B", &[])]);
    let mut raw = s.connect();
    raw.say(head("PUT", NEW, "alice", &["Transfer-Encoding: chunked", "Expect: 100-continue"]));
    let go = raw.head();
    assert!(go.starts_with("HTTP/1.1 100"), "{go}");
    for chunk in body.as_bytes().chunks(7) {
        raw.chunk(chunk);
    }
    raw.chunk(b"");
    assert_eq!(raw.status(), 201);
    assert_eq!(uids(&s.get(NEW, "alice").text()), ["a", "b"]);
}

#[test]
fn a_refusal_does_not_wait_for_the_body() {
    let s = Server::start();
    for (user, target, code) in [("", NEW, 401), ("bob", "/ical/~alice/folder/Calendar.ics", 404)] {
        let mut raw = s.connect();
        raw.say(head("PUT", target, user, &["Content-Length: 5000000", "Expect: 100-continue"]));
        // Whether or not it asks for the body, it does not wait for it.
        let status = raw.status();
        assert_eq!(if status == 100 { raw.status() } else { status }, code);
    }
}

#[test]
fn missing_parents_are_made_as_folders() {
    let s = Server::start();
    let address = "/ical/folder/A/B%20B/C.ics";
    s.put(address, "alice", plain(&[&event("a", "A", &[])])).status(201);
    assert!(s.has("users/alice/A/B B/C/.props.json"));
    assert!(!s.has("users/alice/A/.props.json"));
    s.get(address, "alice").status(200);
    s.put("/ical/folder/A/D.ics", "alice", plain(&[])).status(201);
    s.get(address, "alice").status(200);
}

#[test]
fn a_folder_whose_last_calendar_was_deleted_takes_others() {
    let s = Server::start();
    let body = plain(&[&event("a", "A", &[])]);
    s.put("/ical/folder/A/B.ics", "alice", body.clone()).status(201);
    s.delete("/ical/folder/A/B.ics", "alice").status(204);
    s.put("/ical/folder/A/C.ics", "alice", body).status(201);
    s.get("/ical/folder/A/C.ics", "alice").status(200);
}

#[test]
fn no_calendar_is_made_below_a_calendar_or_onto_a_folder() {
    let s = Server::start();
    let before = s.tree("users/alice");
    for address in [
        "/ical/folder/Calendar/Below.ics",
        "/ical/folder/Work/Projects/Far/Below.ics",
        "/ical/folder/Work.ics",
        "/ical/folder/Work/Travel/Below.ics",
    ] {
        s.put(address, "alice", plain(&[&event("a", "A", &[])])).status(409);
    }
    assert!(s.tree("users/alice") == before);
}

#[test]
fn what_every_home_has_is_not_deleted() {
    let s = Server::start();
    for address in
        ["/ical/main.ics", "/ical/folder/Calendar.ics", "/ical/folder/Tasks.ics", "/ical/~alice/main.ics"]
    {
        s.delete(address, "alice").status(403);
    }
    assert!(!s.files("users/alice/Calendar").is_empty() && !s.files("users/alice/Tasks").is_empty());
}

#[test]
fn a_deleted_calendar_is_gone_and_its_items_are_in_the_history() {
    let s = Server::start();
    let address = "/ical/folder/Work/Projects.ics";
    let item = s.read("users/alice/Work/Projects/kickoff.ics");
    s.delete(address, "alice").header("If-Match", "\"other\"").status(412);
    let etag = s.get(address, "alice").etag();
    s.delete(address, "alice").header("If-Match", &etag).status(204);
    s.get(address, "alice").status(404);
    s.delete(address, "alice").status(404);
    let kept = eventually("the items in the history", || {
        let found = s.tree("users/alice/.history");
        (!found.is_empty()).then_some(found)
    });
    assert!(kept.iter().any(|(_, bytes)| bytes == item.as_bytes()), "{kept:?}");
    // The same name may be used again.
    s.put(address, "alice", plain(&[&event("a", "A", &[])])).status(201);
    assert_eq!(uids(&s.get(address, "alice").text()), ["a"]);
}

#[test]
fn nothing_changed_writes_nothing_and_keeps_the_etag() {
    let s = Server::start();
    let parts = [event("a", "A", &["RRULE:FREQ=DAILY;COUNT=3"]), event("b", "B", &[])];
    let etag = new(&s, &[&parts[0], &parts[1]]);
    let before = inodes(&s, "users/alice/New");
    let modified = s.get(NEW, "alice").status(200).header("Last-Modified").to_owned();
    for body in [
        plain(&[&parts[0], &parts[1]]),
        plain(&[&parts[1], &parts[0]]),
        // The same meaning in other words.
        plain(&[&parts[0], &parts[1]])
            .replace("RRULE:FREQ=DAILY;COUNT=3", "rrule:COUNT=3;INTERVAL=1;FREQ=DAILY")
            .replace("DTSTAMP:20261001T080000Z", "DTSTAMP:20261101T080000Z\r\nDESCRIPTION:"),
        s.get(NEW, "alice").text(),
    ] {
        assert_eq!(s.put(NEW, "alice", body).header("If-Match", &etag).status(204).etag(), etag);
    }
    assert_eq!(inodes(&s, "users/alice/New"), before);
    assert_eq!(s.get(NEW, "alice").status(200).header("Last-Modified"), modified);
}

#[test]
fn one_change_among_many_reserialised_items_writes_one_file() {
    let s = Server::start();
    let written = |n: usize| {
        event(&format!("e{n}"), &format!("Event {n}"), &["LOCATION:Here", "RRULE:FREQ=WEEKLY;BYDAY=MO"])
    };
    let parts: Vec<_> = (0..500).map(written).collect();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    let etag = new(&s, &parts);
    let before = inodes(&s, "users/alice/New");
    assert_eq!(before.len(), 500);
    let rewritten = |n: usize| {
        let summary = if n == 250 { "Changed".to_owned() } else { format!("Event {n}") };
        format!(
            "BEGIN:VEVENT\r\nLOCATION:Here\r\nSUMMARY:{summary}\r\nUID:e{n}\r\nRRULE:BYDAY=MO;FREQ=WEEKLY\r\n\
             DTSTART;VALUE=DATE-TIME:20261201T100000Z\r\nDTEND:20261201T110000Z\r\nDTSTAMP:20261120T000000Z\r\n\
             DESCRIPTION:\r\nEND:VEVENT\r\n"
        )
    };
    let body: String = (0..500).rev().map(rewritten).collect();
    s.put(NEW, "alice", plain(&[&body])).header("If-Match", &etag).status(204);
    let after = eventually("the changed file", || {
        let now = inodes(&s, "users/alice/New");
        (now != before).then_some(now)
    });
    let changed: Vec<_> = after.iter().filter(|(name, inode)| before.get(*name) != Some(inode)).collect();
    assert_eq!((changed.len(), after.len()), (1, 500));
    assert!(s.read(&format!("users/alice/New/{}", changed[0].0)).contains("SUMMARY:Changed"));
}

#[test]
fn what_a_save_replaces_or_removes_is_in_the_history() {
    let s = Server::start();
    let etag = new(&s, &[&event("a", "Before", &[]), &event("b", "Removed", &[])]);
    let files = s.texts("users/alice/New");
    s.put(NEW, "alice", plain(&[&event("a", "After", &[])])).header("If-Match", &etag).status(204);
    eventually("both earlier versions", || {
        let kept = s.tree("users/alice/.history");
        files.iter().all(|text| kept.iter().any(|(_, bytes)| bytes == text.as_bytes())).then_some(())
    });
}

#[test]
fn a_change_goes_into_the_file_the_item_has() {
    let s = Server::start();
    let address = "/ical/folder/Work/Projects.ics";
    let (before, etag) = (s.get(address, "alice").text(), s.get(address, "alice").etag());
    let files = s.files("users/alice/Work/Projects");
    let body = before.replace("SUMMARY:Kick-off", "SUMMARY:Kick-off (moved)");
    s.put(address, "alice", body).header("If-Match", &etag).status(204);
    assert_eq!(s.files("users/alice/Work/Projects"), files);
    let file = s.read("users/alice/Work/Projects/kickoff.ics");
    assert!(file.contains("SUMMARY:Kick-off (moved)"), "{file}");
}

#[test]
fn a_dropped_in_file_is_split_when_one_of_its_items_is_first_changed() {
    let s = Server::start();
    let address = "/ical/folder/Odd/Dropped.ics";
    let (before, etag) = (s.get(address, "bob").text(), s.get(address, "bob").etag());
    s.put(address, "bob", before.clone()).header("If-Match", &etag).status(204);
    assert_eq!(s.files("users/bob/Odd/Dropped"), ["export.ics"]);
    let body = before.replace("Dropped in 04", "Changed");
    s.put(address, "bob", body).header("If-Match", &etag).status(204);
    let texts = eventually("one file each", || {
        let texts = s.texts("users/bob/Odd/Dropped");
        (texts.len() == 3).then_some(texts)
    });
    assert!(texts.iter().all(|text| components(text).len() == 1), "{texts:?}");
    assert_eq!(summaries(&s.get(address, "bob").text()), ["Changed", "Dropped in 03", "Dropped in 05"]);
}

#[test]
fn a_split_leaves_the_bytes_of_what_nobody_changed() {
    let s = Server::start();
    let unix = |component: String| component.replace("\r\n", "\n").into_bytes();
    let (one, two) = (unix(event("one", "One", &[])), unix(event("two", "Tw@", &[])));
    let at = two.iter().position(|byte| *byte == b'@').expect("a mark");
    // A fold in the middle of a character, as old programs make them.
    let two = [&two[..at], b"\xc3\n \xb6", &two[at + 1..]].concat();
    let whole = [b"BEGIN:VCALENDAR\nPRODID:-//X//X//EN\n", &*one, &two, b"END:VCALENDAR\n"].concat();
    s.write("users/alice/Team/dropped.ics", whole);
    let address = "/ical/folder/Team.ics";
    let served = eventually("both are served", || {
        let served = s.get(address, "alice").status(200);
        served.text().contains("SUMMARY:Tw\u{f6}\r\n").then_some(served)
    });
    let body = served.text().replace("SUMMARY:One", "SUMMARY:Edited");
    s.put(address, "alice", body).header("If-Match", &served.etag()).status(204);
    s.settle();
    let files = s.tree("users/alice/Team");
    let has = |bytes: &[u8]| files.iter().any(|(_, file)| memchr::memmem::find(file, bytes).is_some());
    assert!(has(&two) && has(b"SUMMARY:Edited\r\n") && !has(b"SUMMARY:One"), "{files:?}");
}

#[test]
fn a_second_definition_of_a_tzid_keeps_its_name_in_its_file() {
    let s = Server::start();
    let address = "/ical/folder/Odd/Zones.ics";
    let (before, etag) = (s.get(address, "bob").text(), s.get(address, "bob").etag());
    let body = before
        .replace("In office one", "In office one, changed")
        .replace("In office two", "In office two, changed");
    s.put(address, "bob", body).header("If-Match", &etag).status(204);
    for (file, offset) in [("one.ics", "+0530"), ("two.ics", "+0545")] {
        // Where a name was put back the quotes that it needed may stay.
        let text = s.read(&format!("users/bob/Odd/Zones/{file}")).replace('"', "");
        assert!(text.contains("changed") && text.contains("DTSTART;TZID=Our Office:"), "{text}");
        assert!(text.contains("TZID:Our Office\r\n") && text.contains(offset), "{text}");
    }
}

#[test]
fn an_event_and_a_task_of_one_uid_are_two_items() {
    let s = Server::start();
    new(&s, &[&event("same", "An event", &[]), &task("same", "A task", &[])]);
    assert_eq!(s.files("users/alice/New").len(), 2);
    assert_eq!(summaries(&s.get(NEW, "alice").text()), ["A task", "An event"]);
}

#[test]
fn the_same_uid_in_two_calendars_is_two_items() {
    let s = Server::start();
    new(&s, &[&event("kickoff-0001@example.org", "A copy", &[])]);
    let kept = by_uid(&s.get("/ical/folder/Work/Projects.ics", "alice").text(), "kickoff-0001@example.org");
    assert!(kept.contains("SUMMARY:Kick-off"), "{kept}");
}

#[test]
fn a_save_over_a_broken_file_keeps_the_broken_bytes() {
    let s = Server::start();
    let etag = new(&s, &[&event("a", "A", &[])]);
    let file = format!("users/alice/New/{}", s.file_with("users/alice/New", "UID:a"));
    let broken = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nSUMMARY:Half";
    s.write(&file, broken);
    let body = calendar("-//Example//EN", &[&event("a", "Whole again", &["SEQUENCE:1"])]);
    s.put(NEW, "alice", body).header("If-Match", &etag).status(204);
    assert_eq!(summaries(&s.get(NEW, "alice").text()), ["Whole again"]);
    eventually("the broken bytes in the history", || {
        let kept = s.tree("users/alice/.history");
        kept.iter().any(|(_, bytes)| bytes == broken.as_bytes()).then_some(())
    });
}
