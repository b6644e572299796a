//! What was comes back: the record of changes, `kalends history`, `diff` and `restore` beside a running server.

use std::process::{Command, Stdio};

use crate::calendar::{by_uid, event, plain, summaries, value};
use crate::server::{Server, eventually};

pub const ADDRESS: &str = "/ical/folder/Work/Plans.ics";
pub const PLACE: &str = "alice/Work/Plans";
pub const DIRECTORY: &str = "users/alice/Work/Plans";

/// Runs a command on the server's tree; its output, or what it says is wrong.
pub fn kalends(s: &Server, words: &[&str]) -> Result<String, String> {
    let (command, rest) = words.split_first().expect("a command");
    let output = Command::new(env!("CARGO_BIN_EXE_kalends"))
        .arg(command)
        .arg("--data")
        .arg(s.path(""))
        .args(rest)
        .env("XDG_CACHE_HOME", s.path("../cache"))
        .stdin(Stdio::null())
        .output()
        .expect("the command");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

pub fn restore(s: &Server, words: &[&str]) -> String {
    s.settle();
    kalends(s, &[&["restore"], words].concat()).expect("it is restored")
}

/// Replaces the calendar by these items; gives the Etag.
pub fn save(s: &Server, items: &[String]) -> String {
    let body = plain(&items.iter().map(String::as_str).collect::<Vec<_>>());
    s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").etag()
}

/// Waits until the calendar is served with these summaries.
pub fn served(s: &Server, wanted: &[&str]) -> String {
    eventually("what was restored is served", || {
        let text = s.get(ADDRESS, "alice").send().text();
        (summaries(&text) == wanted).then_some(text)
    })
}

/// A time between what was done before and what is done after, as `--at` takes it.
pub fn now() -> String {
    std::thread::sleep(std::time::Duration::from_millis(2));
    let now = jiff::Timestamp::now().to_string();
    std::thread::sleep(std::time::Duration::from_millis(2));
    now
}

#[test]
fn a_removed_calendar_comes_back_whole_on_a_running_server() {
    let s = Server::start();
    let address = "/ical/folder/Work/Projects.ics";
    s.write("users/alice/Work/Projects/color", "#102030\n");
    s.write("users/alice/Work/Projects/.notes", "mine");
    let (before, tree) = (s.get(address, "alice").text(), s.tree("users/alice/Work"));
    s.delete(address, "alice").status(204);
    s.get(address, "alice").status(404);
    s.get("/ical/~alice/folder/Work/Projects.ics", "bob").status(404);
    let said = restore(&s, &["alice/Work/Projects"]);
    assert!(said.contains("is back"), "{said}");
    eventually("it is served", || (s.get(address, "alice").send().code == 200).then_some(()));
    assert_eq!(s.get(address, "alice").text(), before);
    assert!(s.tree("users/alice/Work") == tree);
    // Its rights are back too.
    s.get("/ical/~alice/folder/Work/Projects.ics", "bob").status(200);
    // A copy: what is in the history is not what is in the tree.
    s.delete(address, "alice").status(204);
    restore(&s, &["alice/Work/Projects"]);
    eventually("it is served again", || (s.get(address, "alice").send().code == 200).then_some(()));
}

#[test]
fn a_folder_that_went_with_its_only_calendar_comes_back_with_it() {
    let s = Server::start();
    let address = "/ical/folder/Deep/er/Plans.ics";
    s.put(address, "alice", plain(&[&event("a", "A", &[])])).status(201);
    s.delete(address, "alice").status(204);
    assert!(!s.has("users/alice/Deep"));
    restore(&s, &["alice/Deep/er/Plans"]);
    assert_eq!(summaries(&s.get(address, "alice").status(200).text()), ["A"]);
}

#[test]
fn without_a_time_the_state_before_the_last_save_comes_back_as_a_newer_version() {
    let s = Server::start();
    let stamp = "LAST-MODIFIED:20261001T080000Z";
    let old =
        save(&s, &[event("a", "old", &[stamp, "SEQUENCE:1"]), event("b", "gone", &[]), event("c", "C", &[])]);
    let new =
        save(&s, &[event("a", "new", &[stamp, "SEQUENCE:4"]), event("c", "C", &[]), event("d", "D", &[])]);
    let untouched = s.file_with(DIRECTORY, "UID:c");
    let untouched = s.read(&format!("{DIRECTORY}/{untouched}"));
    let said = restore(&s, &[PLACE]);
    assert!(said.contains("2 files restored, 1 removed"), "{said}");
    let text = served(&s, &["C", "gone", "old"]);
    let etag = s.get(ADDRESS, "alice").etag();
    assert!(etag != old && etag != new, "programs take it");
    let item = by_uid(&text, "a");
    // ICSx5 takes what has a later LAST-MODIFIED; a higher SEQUENCE than the organizer's would hide later invitations.
    assert!(value(&item, "LAST-MODIFIED").expect("a stamp").as_str() > "20261124", "{item}");
    assert_eq!(value(&item, "SEQUENCE").as_deref(), Some("4"));
    // What was removed comes back as it was, and what nobody touched is as it is.
    assert_eq!(by_uid(&text, "b"), event("b", "gone", &[]));
    assert!(s.texts(DIRECTORY).contains(&untouched));
    assert_eq!(restore(&s, &[PLACE]), format!("{PLACE}: nothing to restore, it is as it was\n"));
}

#[test]
fn a_restore_can_itself_be_restored_from() {
    let s = Server::start();
    save(&s, &[event("a", "one", &[])]);
    save(&s, &[event("a", "two", &[]), event("b", "B", &[])]);
    let before = now();
    restore(&s, &[PLACE]);
    served(&s, &["one"]);
    restore(&s, &[PLACE, "--at", &before]);
    served(&s, &["B", "two"]);
}

#[test]
fn a_calendar_goes_back_to_a_moment_over_additions_removals_and_its_own_end() {
    let s = Server::start();
    save(&s, &[event("a", "one", &[])]);
    let first = now();
    save(&s, &[event("a", "two", &[]), event("b", "B", &[])]);
    let second = now();
    save(&s, &[event("b", "B", &[])]);
    s.delete(ADDRESS, "alice").status(204);
    save(&s, &[event("z", "new", &[])]);
    let last = now();
    for (at, summaries) in
        [(&second, &["B", "two"][..]), (&first, &["one"]), (&last, &["new"]), (&second, &["B", "two"])]
    {
        restore(&s, &[PLACE, "--at", at]);
        served(&s, summaries);
    }
    // Also where the calendar is gone.
    s.delete(ADDRESS, "alice").status(204);
    restore(&s, &[PLACE, "--at", &first]);
    served(&s, &["one"]);
}

#[test]
fn one_item_comes_back_and_the_others_stay() {
    let s = Server::start();
    save(&s, &[event("a", "A1", &[]), event("b", "B1", &[])]);
    save(&s, &[event("a", "A2", &[]), event("b", "B2", &[])]);
    save(&s, &[event("b", "B3", &[])]);
    restore(&s, &[PLACE, "--uid", "a"]);
    served(&s, &["A2", "B3"]);
    let at = now();
    save(&s, &[event("a", "A2", &[]), event("b", "B4", &[]), event("c", "C", &[])]);
    restore(&s, &[PLACE, "--uid", "b", "--at", &at]);
    served(&s, &["A2", "B3", "C"]);
    // It was not there then, so it goes.
    restore(&s, &[PLACE, "--uid", "c", "--at", &at]);
    served(&s, &["A2", "B3"]);
}

#[test]
fn a_program_that_has_not_reloaded_does_not_undo_a_restore() {
    let s = Server::start();
    let a = |summary: &str| event("a", summary, &[]);
    save(&s, &[a("old"), event("b", "B", &[])]);
    save(&s, &[a("new")]);
    // It loads the later state, as every program that does not save yet.
    let text = s.get(ADDRESS, "alice").text();
    let etag = s.get(ADDRESS, "alice").etag();
    restore(&s, &[PLACE]);
    served(&s, &["B", "old"]);
    let with_c = text.replace("END:VCALENDAR", &format!("{}END:VCALENDAR", event("c", "C", &[])));
    // Guarded as Thunderbird does it: an If with the state that it has.
    s.put(ADDRESS, "alice", with_c.clone()).header("If", &format!("([{etag}])")).etag();
    served(&s, &["B", "C", "old"]);
    s.put(ADDRESS, "alice", with_c).header("If-Match", &etag).status(412);
    // And without any guard.
    s.put(ADDRESS, "alice", text).etag();
    served(&s, &["B", "C", "old"]);
}

#[test]
fn what_cannot_be_restored_is_refused_with_the_reason() {
    let s = Server::start();
    save(&s, &[event("a", "A", &[])]);
    let tree = s.tree("users/alice/Work");
    for (words, reason) in [
        (&["alice/../bob"][..], "not a place"),
        (&["nobody/Calendar"], "there is no such home"),
        (&["alice/Nothing"], "the history has nothing"),
        (&["alice/Work"], "this is a folder"),
        (&["bob/Calendar"], "the history has nothing"),
        (&[PLACE, "--uid", "z"], "the history has nothing of z"),
        (&[PLACE, "--at", "2020-01-01"], "the history starts at"),
        (&[PLACE, "--at", "noon"], "not a time"),
        (&[PLACE], "there was no such calendar then"),
        (&["bob/Calendar", "--at", "2026-01-01"], "there is no history yet"),
    ] {
        for command in ["restore", "diff"] {
            let error = kalends(&s, &[&[command], words].concat()).expect_err(reason);
            assert!(error.contains(reason) && !error.contains("panicked"), "{words:?}: {error}");
        }
    }
    assert!(s.tree("users/alice/Work") == tree);
    s.delete(ADDRESS, "alice").status(204);
    let error = kalends(&s, &["restore", PLACE, "--uid", "a"]).expect_err("a whole calendar");
    assert!(error.contains("without --uid"), "{error}");
    s.write(DIRECTORY, "a file of that name");
    let error = kalends(&s, &["restore", PLACE]).expect_err("something is there");
    assert!(error.contains("in the way"), "{error}");
}

#[test]
fn each_change_is_told_with_who_made_it_by_what_program_and_what_became_of_which_item() {
    let s = Server::start();
    save(&s, &[event("a", "First", &[])]);
    let body = plain(&[&event("a", "Second", &[]), &event("b", "Other\\, too", &[])]);
    s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").header("User-Agent", "Planner/7").etag();
    s.delete(ADDRESS, "alice").header("User-Agent", "Planner/7").status(204);
    restore(&s, &[PLACE]);
    let text = kalends(&s, &["history", PLACE]).expect("a history");
    let lines: Vec<&str> = text.lines().collect();
    let heads: Vec<&str> = lines.iter().filter(|line| !line.starts_with(' ')).copied().collect();
    assert_eq!(heads.len(), 4, "{text}");
    for word in ["alice", "save", "Planner/7", ADDRESS, "127.0.0.1"] {
        assert!(heads[1].contains(word), "{word} in\n{text}");
    }
    assert!(heads[2].contains("removal") && heads[3].contains("restore"), "{text}");
    for line in
        ["added     a  \"First\"", "replaced  a  \"Second\"", "added     b  \"Other, too\"", "removed   b"]
    {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let of_b = kalends(&s, &["history", PLACE, "b"]).expect("a history");
    assert!(!of_b.contains("First") && of_b.contains("Other, too"), "{of_b}");
    let json = kalends(&s, &["history", "alice", "--json"]).expect("a history");
    let last = json.lines().last().expect("a line");
    let last: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!((&last["did"], &last["items"][0]["what"]), (&"restore".into(), &"added".into()));
    assert!(kalends(&s, &["history", "alice/Nothing"]).expect_err("nothing").contains("nothing"));
}

#[test]
fn what_is_no_item_is_told_as_such() {
    let s = Server::start();
    save(&s, &[event("a", "A", &[])]);
    kalends(&s, &["acl", "set", PLACE, "user:carol", "viewer"]).expect("it is set");
    let text = kalends(&s, &["history", PLACE]).expect("a history");
    for file in [".props.json", ".acl.json"] {
        assert!(text.contains(&format!("added     Work/Plans/{file}  (no item)\n")), "{file} in\n{text}");
    }
    assert!(text.contains("added     a  \"A\"\n"), "{text}");
}

#[test]
fn what_the_merge_did_is_on_record_and_a_version_that_lost_is_told() {
    let s = Server::start();
    save(&s, &[event("a", "here", &["SEQUENCE:5"]), event("b", "B", &[])]);
    s.put(ADDRESS, "alice", plain(&[&event("a", "older", &["SEQUENCE:1"])])).etag();
    s.settle();
    let text = kalends(&s, &["history", PLACE]).expect("a history");
    assert!(text.contains("(kept=1, removed=0, conflicts=1)"), "{text}");
    assert!(text.contains("lost      a  \"older\""), "{text}");
}

#[test]
fn what_only_a_stale_program_has_any_more_is_kept_once_and_comes_back() {
    for guarded in [true, false] {
        let s = Server::start();
        let both = [event("a", "A", &[]), event("b", "B", &[])];
        save(&s, &both);
        let etag = s.get(ADDRESS, "alice").etag();
        s.settle();
        // Another tool removes it, of which there is no record.
        s.remove(&format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, "UID:b")));
        served(&s, &["A"]);
        let sends = |b: &str, c: &str| {
            let put = s.put(ADDRESS, "alice", plain(&[&both[0], &event("b", b, &[]), &event("c", c, &[])]));
            let tag = guarded.then(|| format!("([{etag}])"));
            let put = if let Some(tag) = &tag { put.header("If", tag) } else { put };
            put.status(204).header("Kalends-Merge").to_owned()
        };
        for c in ["one", "two", "three"] {
            let said = sends("B", c);
            assert!(said.contains("stale=1"), "{said}");
        }
        s.settle();
        let told = kalends(&s, &["history", PLACE, "b"]).expect("a history");
        assert_eq!(told.matches("lost      b  \"B\"").count(), 1, "{told}");
        restore(&s, &[PLACE, "--uid", "b"]);
        served(&s, &["A", "B", "three"]);
        // What its user edited is no stale copy.
        s.remove(&format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, "UID:b")));
        served(&s, &["A", "three"]);
        assert!(!sends("edited", "three").contains("stale"));
        served(&s, &["A", "edited", "three"]);
    }
}

#[test]
fn a_stale_copy_of_what_the_history_has_is_not_kept_again() {
    let s = Server::start();
    let events = ["a", "b", "c"].map(|uid| event(uid, uid, &[]));
    save(&s, &events);
    let etag = s.get(ADDRESS, "alice").etag();
    save(&s, &events[..1]);
    s.settle();
    let told = kalends(&s, &["history", PLACE]).expect("a history");
    for _ in 0..2 {
        let body = plain(&events.each_ref().map(String::as_str));
        let answer = s.put(ADDRESS, "alice", body).header("If", &format!("([{etag}])")).status(204);
        assert_eq!(answer.header("Kalends-Merge"), "kept=0, removed=0, conflicts=0, stale=2");
    }
    s.settle();
    assert_eq!(kalends(&s, &["history", PLACE]).expect("a history"), told);
}

#[test]
fn a_difference_is_shown_item_by_item_in_readable_lines() {
    let s = Server::start();
    save(&s, &[event("a", "old", &[]), event("b", "B", &[]), event("c", "C", &[])]);
    let at = now();
    save(&s, &[event("a", "new", &[]), event("c", "C", &[]), event("d", "D", &[])]);
    for words in [&["diff", PLACE][..], &["diff", PLACE, "--at", &at]] {
        let text = kalends(&s, words).expect("a difference");
        for part in [
            "--- then: a  \"old\"\n+++ now: a  \"new\"\n BEGIN:VEVENT\n UID:a\n",
            "-SUMMARY:old\n+SUMMARY:new\n",
            "--- then: b  \"B\"\n+++ now: not there\n-BEGIN:VEVENT\n",
            "--- then: not there\n+++ now: d  \"D\"\n+BEGIN:VEVENT\n",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(!text.contains("UID:c"), "{text}");
    }
    let text = kalends(&s, &["diff", PLACE, "--uid", "a"]).expect("a difference");
    assert!(text.contains("UID:a") && !text.contains("UID:b"), "{text}");
}

#[test]
fn a_difference_of_a_zone_alone_is_shown() {
    let s = Server::start();
    let zone = |offset: &str| {
        format!(
            "BEGIN:VTIMEZONE\r\nTZID:Office\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n\
             TZOFFSETFROM:{offset}\r\nTZOFFSETTO:{offset}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
        )
    };
    let zoned = "BEGIN:VEVENT\r\nUID:zoned\r\nDTSTAMP:20261001T080000Z\r\nDTSTART;TZID=Office:20261201T100000\r\n\
                 SUMMARY:Zoned\r\nEND:VEVENT\r\n";
    save(&s, &[zone("+0530"), zoned.to_owned(), event("b", "B", &[])]);
    save(&s, &[zone("+0545"), zoned.to_owned(), event("b", "B", &[])]);
    s.settle();
    let text = kalends(&s, &["diff", PLACE]).expect("a difference");
    for part in
        ["--- then: zoned  \"Zoned\"\n", "-TZOFFSETTO:+0530\n", "+TZOFFSETTO:+0545\n", " SUMMARY:Zoned\n"]
    {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains("UID:b"), "{text}");
}

#[test]
fn rights_and_publications_are_on_record_and_a_restore_leaves_rights_alone() {
    let s = Server::start();
    save(&s, &[event("a", "A", &[])]);
    save(&s, &[event("a", "A2", &[])]);
    kalends(&s, &["acl", "set", PLACE, "user:carol", "viewer"]).expect("it is set");
    kalends(&s, &["acl", "set", PLACE, "user:carol", "none"]).expect("it is set");
    restore(&s, &[PLACE]);
    served(&s, &["A"]);
    assert!(s.read(&format!("{DIRECTORY}/.acl.json")).contains("\"user:carol\": \"none\""));
    let text = kalends(&s, &["history", PLACE]).expect("a history");
    assert_eq!(text.matches("rights").count(), 2, "{text}");
    assert!(text.contains("acl set"), "{text}");
}

#[test]
fn a_restore_to_a_time_brings_no_revoked_rights_back() {
    let shared = "/ical/~alice/folder/Work/Plans.ics";
    for gone in [false, true] {
        let s = Server::start();
        save(&s, &[event("a", "A", &[])]);
        kalends(&s, &["acl", "set", PLACE, "user:bob", "viewer"]).expect("it is set");
        let then = now();
        kalends(&s, &["acl", "set", PLACE, "user:bob", "none"]).expect("it is set");
        save(&s, &[event("a", "A2", &[])]);
        if gone {
            s.delete(ADDRESS, "alice").status(204);
        }
        restore(&s, &[PLACE, "--at", &then]);
        served(&s, &["A"]);
        assert!(s.read(&format!("{DIRECTORY}/.acl.json")).contains("\"user:bob\": \"none\""));
        s.get(shared, "bob").status(404);
    }
}

#[test]
fn a_change_that_was_recorded_and_never_made_is_none() {
    let s = Server::start();
    save(&s, &[event("a", "one", &[])]);
    save(&s, &[event("a", "two", &[])]);
    // As a process leaves it that ends between the record and what it was to do.
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
    let log = format!("users/alice/.history/log/{}.log", &time.to_string()[..8]);
    for line in [
        format!(r#"{{"change":"{time}-1","did":"remove","who":"alice","calendar":"Work/Plans"}}"#),
        format!(r#"{{"change":"{time}-2","did":"save","who":"alice","replaced":["Work/Plans/x.ics"]}}"#),
    ] {
        s.write(&log, format!("{}{line}\n", s.read(&log)));
    }
    let told = kalends(&s, &["history", PLACE]).expect("a history");
    assert!(
        !told.contains("removal") && told.lines().filter(|line| !line.starts_with(' ')).count() == 2,
        "{told}"
    );
    restore(&s, &[PLACE]);
    served(&s, &["one"]);
}
