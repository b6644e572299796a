//! What a restore meets: folders with something else in them, clocks that were wrong, files of other names, what other tools did.

use crate::calendar::{by_uid, event, plain, summaries, uids, value};
use crate::check::check;
use crate::history::{ADDRESS, DIRECTORY, PLACE, kalends, now, restore, save, served};
use crate::server::{Server, eventually};

#[test]
fn a_folder_that_stays_for_what_else_is_in_it_is_in_nobodys_way() {
    let s = Server::start();
    let address = "/ical/folder/Deep/er/Plans.ics";
    s.put(address, "alice", plain(&[&event("a", "A", &[])])).status(201);
    kalends(&s, &["acl", "set", "alice/Deep", "user:bob", "viewer"]).expect("it is set");
    s.write("users/alice/Deep/er/notes.txt", "mine");
    let tree = s.tree("users/alice/Deep");
    s.delete(address, "alice").status(204);
    // It is served as an empty calendar, which is no reason.
    s.get("/ical/folder/Deep/er.ics", "alice").status(200);
    restore(&s, &["alice/Deep/er/Plans"]);
    assert!(s.tree("users/alice/Deep") == tree);
    assert_eq!(summaries(&s.get(address, "alice").status(200).text()), ["A"]);
    s.delete(address, "alice").status(204);
    s.put("/ical/~alice/folder/Deep/er/Plans.ics", "bob", plain(&[&event("b", "B", &[])])).status(403);
    s.put(address, "alice", plain(&[&event("b", "B", &[])])).status(201);
    s.get("/ical/~alice/folder/Deep/er/Plans.ics", "bob").status(200);
    eventually("it is a folder", || {
        (s.get("/ical/folder/Deep/er.ics", "alice").send().code == 404).then_some(())
    });
    s.put("/ical/folder/Deep/er/Plans/Below.ics", "alice", plain(&[])).status(409);
}

#[test]
fn a_removal_leaves_what_has_a_name_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let s = Server::start();
    let address = "/ical/folder/Deep/Plans.ics";
    s.put(address, "alice", plain(&[&event("a", "A", &[])])).status(201);
    let other = s.path("users/alice/Deep").join(std::ffi::OsStr::from_bytes(b"B\xfcro"));
    std::fs::create_dir(&other).expect("mkdir");
    s.delete(address, "alice").status(204);
    assert!(other.is_dir());
    restore(&s, &["alice/Deep/Plans"]);
    assert_eq!(summaries(&s.get(address, "alice").status(200).text()), ["A"]);
}

#[test]
fn a_moment_is_told_from_others_after_a_clock_was_ahead_too() {
    let s = Server::start();
    // All that follows is named after this.
    let ahead = r#"{"change":"20380101T000000.000000Z-1","did":"save","who":"alice"}"#;
    s.write("users/alice/.history/log/20380101.log", format!("{ahead}\n"));
    save(&s, &[event("a", "one", &[])]);
    let first = now();
    save(&s, &[event("a", "two", &[])]);
    let second = now();
    save(&s, &[event("a", "two", &[]), event("b", "B", &[])]);
    let third = now();
    s.delete(ADDRESS, "alice").status(204);
    for (at, summaries) in [(&third, &["B", "two"][..]), (&first, &["one"]), (&second, &["two"])] {
        restore(&s, &[PLACE, "--at", at]);
        served(&s, summaries);
    }
    let told = kalends(&s, &["history", PLACE]).expect("a history");
    assert!(told.contains("removal") && !told.contains("2038"), "{told}");
}

#[test]
fn what_comes_back_is_newer_than_what_has_been_saved_to_another_file_since() {
    let s = Server::start();
    let old = |uid: &str| event(uid, &format!("{uid} old"), &["LAST-MODIFIED:20260101T000000Z"]);
    let new = |uid: &str, n: u8| {
        event(uid, &format!("{uid} new"), &["LAST-MODIFIED:20260601T000000Z", &format!("SEQUENCE:{n}")])
    };
    let z = || event("z", "Z", &[]);
    save(&s, &[z()]);
    // One item in a file that another tool has named, and two in one, of which one is saved.
    s.write(&format!("{DIRECTORY}/khal.ics"), plain(&[&old("k")]));
    s.write(&format!("{DIRECTORY}/several.ics"), plain(&[&old("a"), &old("b")]));
    served(&s, &["Z", "a old", "b old", "k old"]);
    let then = now();
    save(&s, &[z(), old("a"), old("b")]);
    save(&s, &[z(), new("a", 4), old("b"), new("k", 3)]);
    s.settle();
    let later = now();
    for words in [
        &[PLACE, "--uid", "k", "--at", &then][..],
        &[PLACE, "--uid", "a", "--at", &then],
        &[PLACE, "--at", &then],
    ] {
        restore(&s, words);
        let text = eventually("it is served", || {
            let text = s.get(ADDRESS, "alice").send().text();
            let wanted = |uid: &str| words.get(2).is_none_or(|it| *it == uid || *it == then);
            ["k", "a"].iter().all(|uid| !wanted(uid) || text.contains(&format!("{uid} old"))).then_some(text)
        });
        for (uid, sequence) in [("k", "3"), ("a", "4")] {
            let item = by_uid(&text, uid);
            if item.contains("old") {
                assert!(
                    value(&item, "LAST-MODIFIED").expect("a stamp").as_str() > "20260601T000000Z",
                    "{item}"
                );
                assert_eq!(value(&item, "SEQUENCE").as_deref(), Some(sequence), "{item}");
            }
        }
        assert_eq!(by_uid(&text, "b"), old("b"), "nobody has changed it");
        restore(&s, &[PLACE, "--at", &later]);
        served(&s, &["Z", "a new", "b old", "k new"]);
    }
}

#[test]
fn an_item_of_a_file_of_several_comes_back_and_leaves_the_others_as_they_are() {
    let s = Server::start();
    s.write(&format!("{DIRECTORY}/several.ics"), plain(&[&event("a", "A", &[]), &event("b", "B", &[])]));
    served(&s, &["A", "B"]);
    save(&s, &[event("a", "A2", &[]), event("b", "B2", &[])]);
    restore(&s, &[PLACE, "--uid", "a"]);
    let text = served(&s, &["A", "B2"]);
    assert_eq!(uids(&text), ["a", "b"]);
    let again = restore(&s, &[PLACE, "--uid", "a"]);
    assert_eq!(again, format!("{PLACE}: nothing to restore, it is as it was\n"));
}

#[test]
fn an_item_that_two_files_of_several_had_comes_back_from_both() {
    let s = Server::start();
    let (y, z) = (event("y", "Y", &[]), event("z", "Z", &[]));
    s.write(&format!("{DIRECTORY}/one.ics"), plain(&[&event("x", "X", &[]), &y]));
    s.write(&format!("{DIRECTORY}/two.ics"), plain(&[&event("x", "X later", &["SEQUENCE:1"]), &z]));
    served(&s, &["X later", "Y", "Z"]);
    save(&s, &[y, z]);
    restore(&s, &[PLACE, "--uid", "x"]);
    served(&s, &["X later", "Y", "Z"]);
    assert_eq!(s.texts(DIRECTORY).iter().filter(|text| text.contains("UID:x")).count(), 2);
}

#[test]
fn a_restore_that_cannot_be_whole_says_what_other_tools_removed() {
    let s = Server::start();
    save(&s, &["a", "b", "c"].map(|uid| event(uid, uid, &[])));
    save(&s, &[event("a", "edited", &[]), event("b", "b", &[]), event("c", "c", &[])]);
    s.settle();
    let before = now();
    s.remove(&format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, "UID:c")));
    s.settle();
    let missing =
        |files: &str| format!("{PLACE}: not with {files} that other tools removed: no history has them\n");
    let said = restore(&s, &[PLACE, "--at", &before]);
    assert_eq!(said, format!("{PLACE}: nothing to restore, it is as it was\n{}", missing("1 file")));
    for words in [&[PLACE, "--uid", "c"][..], &[PLACE, "--uid", "c", "--at", &before]] {
        let error = kalends(&s, &[&["restore"], words].concat()).expect_err("it is nowhere");
        assert!(error.contains("the history has nothing of c") && error.contains("another tool"), "{error}");
    }
    std::fs::remove_dir_all(s.path(DIRECTORY)).expect("removed");
    let said = restore(&s, &[PLACE]);
    assert!(said.starts_with(&format!("{PLACE} is back, with ")), "{said}");
    assert!(said.ends_with(&missing("2 files")), "{said}");
    // What comes back is what the last save replaced.
    served(&s, &["a"]);
    // What Kalends itself removed is not meant.
    save(&s, &[event("d", "d", &[])]);
    assert!(!restore(&s, &[PLACE]).contains("other tools"));
}

#[test]
fn an_item_whose_file_another_tool_has_renamed_comes_back_once() {
    for (words, is_saved_since) in
        [(&[][..], true), (&[], false), (&["--uid", "a"], true), (&["--uid", "a"], false)]
    {
        let s = Server::start();
        let state = |summary: &str| save(&s, &[event("a", summary, &[]), event("z", "Z", &[])]);
        state("one");
        let then = now();
        state("two");
        s.settle();
        let name = s.file_with(DIRECTORY, "UID:a");
        let at = |name: &str| s.path(DIRECTORY).join(name);
        std::fs::rename(at(&name), at("zz.ics")).expect("renamed");
        if is_saved_since {
            state("three");
        }
        restore(&s, &[&[PLACE, "--at", &then], words].concat());
        served(&s, &["Z", "one"]);
        let files = s.texts(DIRECTORY).into_iter().filter(|text| text.contains("UID:a"));
        assert_eq!(files.count(), 1, "{words:?}, {is_saved_since}");
    }
}

#[test]
fn a_moment_before_a_calendar_was_made_is_no_state_of_it() {
    let s = Server::start();
    s.put("/ical/folder/Other.ics", "alice", plain(&[&event("o", "O", &[])])).status(201);
    let before = now();
    save(&s, &[event("a", "A", &[])]);
    s.delete(ADDRESS, "alice").status(204);
    for is_there in [false, true] {
        if is_there {
            save(&s, &[event("b", "B", &[]), event("c", "C", &[])]);
        }
        let error = kalends(&s, &["restore", PLACE, "--at", &before]).expect_err("it was not there");
        assert!(error.contains("there was no such calendar then"), "{error}");
        assert_eq!(s.has(DIRECTORY), is_there);
    }
    served(&s, &["B", "C"]);
}

#[test]
fn without_a_time_a_calendar_that_was_made_anew_goes_back_to_before_its_removal() {
    for words in [&[PLACE][..], &[PLACE, "--uid", "a"]] {
        let s = Server::start();
        save(&s, &[event("a", "A", &[]), event("b", "B", &[])]);
        s.delete(ADDRESS, "alice").status(204);
        save(&s, &[event("a", "new", &[]), event("c", "C", &[])]);
        restore(&s, words);
        served(&s, if words.len() == 1 { &["A", "B"] } else { &["A", "C"] });
        assert!(restore(&s, words).contains("nothing to restore"));
        save(&s, &[event("a", "newer", &[])]);
        restore(&s, words);
        served(&s, if words.len() == 1 { &["A", "B"] } else { &["A"] });
    }
}

#[test]
fn of_a_calendar_that_other_tools_removed_it_is_said_that_they_did() {
    let s = Server::start();
    save(&s, &["a", "b"].map(|uid| event(uid, uid, &[])));
    let then = now();
    std::fs::remove_dir_all(s.path(DIRECTORY)).expect("removed");
    eventually("it is gone", || (s.get(ADDRESS, "alice").send().code == 404).then_some(()));
    save(&s, &[event("c", "C", &[])]);
    let error = kalends(&s, &["restore", PLACE, "--at", &then]).expect_err("it is nowhere");
    assert!(error.contains("other tools removed its 2 files"), "{error}");
}

#[test]
fn an_item_without_a_uid_is_known_by_the_one_that_it_is_served_with() {
    let s = Server::start();
    save(&s, &[event("z", "Z", &[])]);
    let web = plain(&[&event("", "old", &[]).replace("UID:\r\n", "")]);
    s.write(&format!("{DIRECTORY}/web.ics"), &web);
    let text = served(&s, &["Z", "old"]);
    let uid = uids(&text).remove(0);
    assert!(uid.starts_with("kalends-"), "{uid}");
    let then = now();
    save(&s, &[event("z", "Z", &[]), event(&uid, "new", &[])]);
    s.settle();
    let differing = kalends(&s, &["diff", PLACE]).expect("a difference");
    let head = format!("--- then: {uid}  \"old\"\n+++ now: {uid}  \"new\"\n");
    assert!(differing.starts_with(&head) && differing.matches("+++").count() == 1, "{differing}");
    restore(&s, &[PLACE, "--uid", &uid, "--at", &then]);
    served(&s, &["Z", "old"]);
    save(&s, &[event("z", "Z", &[])]);
    let told = kalends(&s, &["history", PLACE, &uid]).expect("a history");
    assert_eq!(told.lines().last(), Some(format!("    removed   {uid}  \"old\"").as_str()), "{told}");
    restore(&s, &[PLACE, "--uid", &uid]);
    assert_eq!(uids(&served(&s, &["Z", "old"])), [uid.as_str(), "z"]);
}

#[test]
fn what_is_in_an_items_place_and_no_file_is_named() {
    let s = Server::start();
    save(&s, &[event("a", "A", &[]), event("b", "B", &[])]);
    let file = format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, "UID:a"));
    save(&s, &[event("b", "B", &[])]);
    s.settle();
    for words in [&["-p"][..], &[]] {
        let program = if words.is_empty() { "mkfifo" } else { "mkdir" };
        let made = std::process::Command::new(program).args(words).arg(s.path(&file)).status();
        assert!(made.is_ok_and(|made| made.success()), "{program}");
        for uid in [&[][..], &["--uid", "a"]] {
            let error = kalends(&s, &[&["restore", PLACE], uid].concat()).expect_err("no place");
            assert!(error.contains(&file) && error.contains("in the way"), "{error}");
        }
        let remove = if words.is_empty() { std::fs::remove_file } else { std::fs::remove_dir };
        remove(s.path(&file)).expect("removed");
    }
    restore(&s, &[PLACE]);
    served(&s, &["A", "B"]);
}

#[test]
fn a_repair_that_nothing_came_before_is_undone() {
    let s = Server::start();
    let (one, two) = (event("1", "one", &[]), event("2", "two", &[]));
    s.write(&format!("{DIRECTORY}/export.ics"), plain(&[&one, &two]));
    s.write(&format!("{DIRECTORY}/lines.ics"), plain(&[&event("3", "three", &[])]).replace("\r\n", "\n"));
    let export = s.read(&format!("{DIRECTORY}/export.ics"));
    check(&s.path(""), &s.path(".."), &["--fix"]);
    assert_eq!(s.files(DIRECTORY).len(), 3);
    let told = kalends(&s, &["history", PLACE]).expect("a history");
    assert!(told.contains("repair"), "{told}");
    restore(&s, &[PLACE]);
    assert_eq!(s.files(DIRECTORY), ["export.ics", "lines.ics"]);
    assert_eq!(s.read(&format!("{DIRECTORY}/export.ics")), export);
    served(&s, &["one", "three", "two"]);
    assert!(restore(&s, &[PLACE]).contains("nothing to restore"));
}
