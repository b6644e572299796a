//! Checks and repairs beside a running server, and over trees that somebody made to hurt.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use super::{Tree, check, component, file, parsed, spelled};
use crate::calendar::plain;
use crate::server::{Server, eventually};

fn found(s: &Server, options: &[&str]) -> Vec<String> {
    let json = parsed(&check(&s.path(""), &s.path(".."), &[&["--json"], options].concat()));
    spelled(&json, |finding| finding["repaired"] == false && finding["severity"] != "note")
}

/// A calendar of so many events that say `word`.
fn calendar(word: &str, events: usize) -> String {
    let events: Vec<String> =
        (0..events).map(|at| crate::calendar::event(&format!("e{at}"), word, &[])).collect();
    plain(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn what_a_server_is_writing_is_no_damage() {
    let s = Server::start();
    let before = found(&s, &[]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for version in 0..12 {
                let request = s.put("/ical/folder/Busy.ics", "alice", calendar(&version.to_string(), 300));
                assert!(request.header("Kalends-Merge", "replace").send().code < 300);
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            assert_eq!(found(&s, &[]), before);
        }
    });
}

#[test]
fn a_repair_beside_a_server_is_served_and_changes_nothing_that_is_said() {
    let s = Server::start();
    let address = "/ical/folder/Odd/Dropped.ics";
    let before = s.get(address, "bob").text();
    let left = found(&s, &["--fix"]);
    assert!(!left.iter().any(|finding| finding.contains("Odd/Dropped")), "{left:?}");
    assert_eq!(s.files("users/bob/Odd/Dropped").len(), 3);
    let words = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    eventually("the same is served", || {
        (words(&s.get(address, "bob").text()) == words(&before)).then_some(())
    });
    // And the next save works.
    s.put(address, "bob", before).status(204);
}

/// Kills the server between a commit of several files and the last of them; gives the word that these say.
fn leave_a_journal(s: &mut Server) -> String {
    for attempt in 0..10 {
        let word = format!("v{attempt}");
        s.put("/ical/folder/Many.ics", "alice", calendar(&word, 2_000))
            .header("Kalends-Merge", "replace")
            .send();
        s.stop(Signal::KILL);
        if s.has_journal() {
            return word;
        }
        s.start_again();
    }
    panic!("no kill came before the commit was applied");
}

#[test]
fn a_commit_that_a_crash_left_is_named_and_finished() {
    let mut s = Server::start();
    let word = leave_a_journal(&mut s);
    let names_it = |options: &[&str]| {
        let json = parsed(&check(&s.path(""), &s.path(".."), &[&["--json"], options].concat()));
        let left = spelled(&json, |finding| finding["repaired"] == false);
        left.into_iter().any(|finding| finding.starts_with("journal-waiting"))
    };
    assert!(names_it(&[]));
    assert!(s.has_journal(), "a check finishes nothing");
    // A copy of a tree in use may have one too, and whoever opens that finishes it: no reason for cron to write.
    assert!(!names_it(&["--quiet"]));
    assert!(!names_it(&["--fix"]));
    assert!(!s.has_journal());
    assert!(s.texts("users/alice/Many").iter().all(|text| text.contains(&format!("SUMMARY:{word}"))));
}

#[test]
fn a_commit_that_waits_for_a_home_of_roots_is_finished_when_that_is_mended() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let mut s = Server::start();
    let word = leave_a_journal(&mut s);
    std::os::unix::fs::chown(s.path(""), Some(4000), Some(4000)).expect("chown");
    let left = found(&s, &["--fix"]);
    assert!(
        !left.iter().any(|finding| finding.contains(".journal") || finding.contains("alice")),
        "{left:?}"
    );
    assert!(!s.has_journal());
    assert!(s.texts("users/alice/Many").iter().all(|text| text.contains(&format!("SUMMARY:{word}"))));
}

#[test]
fn a_hostile_tree_is_checked_to_its_end() {
    let tree = Tree::new();
    let home = tree.path("users/alice");
    symlink(&home, home.join("Loop")).expect("symlink");
    symlink("/dev/zero", home.join("Calendar/zero.ics")).expect("symlink");
    symlink("/", home.join("Calendar/.acl.json")).expect("symlink");
    let hostile = [
        ("deep", "BEGIN:X\r\n".repeat(5_000)),
        ("line", format!("X-A:{}\r\n", "x".repeat(3 << 20))),
        ("bomb", component("VEVENT", "1", "RRULE:FREQ=SECONDLY\r\n")),
        ("never", component("VEVENT", "2", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\r\n")),
        ("folds", format!("X-A:1\r\n{}", " \r\n".repeat(100_000))),
    ];
    for (name, lines) in &hostile {
        tree.write(&format!("users/alice/Calendar/{name}.ics"), file(&[lines]));
    }
    tree.write("users/alice/Calendar/bytes.ics", (0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    tree.write("users/alice/Calendar/uids.ics", {
        let events: Vec<String> = (0..500).map(|at| component("VEVENT", &format!("u{at}"), "")).collect();
        file(&events.iter().map(String::as_str).collect::<Vec<_>>())
    });
    // Deeper than any path that the system takes.
    let mut deep = tree.path("users/alice/Down");
    fs::create_dir(&deep).expect("mkdir");
    let mut at = rustix::fs::open(&deep, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).expect("open");
    let name = "d".repeat(200);
    for _ in 0..40 {
        rustix::fs::mkdirat(&at, name.as_str(), rustix::fs::Mode::from_raw_mode(0o770)).expect("mkdir");
        at = rustix::fs::openat(&at, name.as_str(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())
            .expect("open");
        deep.push(&name);
    }
    let output = tree.run(&["--json"]);
    let found = spelled(&parsed(&output), |finding| finding["kind"] != "mode");
    for expected in [
        "unparsable users/alice/Calendar/deep.ics:11",
        "unparsable users/alice/Calendar/line.ics:4",
        "unparsable users/alice/Calendar/bytes.ics:1",
        "freebusy-unreadable users/alice/Calendar/bomb.ics:8",
        "special-file users/alice/Loop",
        "special-file users/alice/Calendar/zero.ics",
        "acl-unreadable users/alice/Calendar/.acl.json",
        "several-items users/alice/Calendar/uids.ics:9",
    ] {
        assert!(found.iter().any(|found| found == expected), "{expected}: {found:#?}");
    }
    assert!(found.iter().any(|found| found.starts_with("unreachable-name users/alice/Down/")), "{found:#?}");
    assert_eq!(tree.run(&["--fix"]).status.code(), Some(1));
    assert!(!tree.found().iter().any(|found| found.starts_with("several-items")));
}
