//! Each kind of damage, alone in a tree that is in order otherwise: it is named, with its line, and nothing else is.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{Tree, component, event, file};
use crate::mounted::Mounted;
use crate::need::need;

/// Whether files may be given away.
fn is_root() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    println!("skipped: only root can give files away");
    false
}

fn found_in(prepare: impl FnOnce(&Tree)) -> Vec<String> {
    let tree = Tree::new();
    prepare(&tree);
    let before = tree.files();
    let found = tree.found();
    assert!(tree.files() == before, "a check writes nothing");
    assert!(!tree.path(".tmp").exists() && !tree.path("users/alice/.lock").is_file());
    found
}

#[test]
fn a_tree_in_order_is_clean() {
    let found = found_in(|tree| {
        tree.write("users/alice/Calendar/a.ics", event("1", "SUMMARY:a\r\n"));
        tree.write("users/alice/Calendar/displayname", "Mine\n");
        tree.write("users/alice/Calendar/color", "#ff0000\n");
        tree.write("users/alice/Tasks/t.ics", file(&[&component("VTODO", "2", "")]));
        tree.write("public/Holidays/h.ics", event("1", ""));
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_example_is_clean_but_for_what_it_shows_on_purpose() {
    let tree = Tree::example();
    assert_eq!(
        tree.found(),
        [
            "acl-unreadable users/bob/Odd/Typo/.acl.json:2",
            "half-file users/bob/Odd/Broken/half-written.ics:27",
            "loose-file users/alice/Work/Travel.ics",
            "loose-file users/bob/Odd/Loose.ics",
            "no-time-zone users/bob/Odd/Zones/unknown.ics:7",
            "no-uid users/bob/Odd/Nameless/from-a-web-page.ics:4",
            "no-uid users/bob/Odd/Nameless/from-a-web-page.ics:9",
            "several-items users/bob/Odd/Dropped/export.ics:33",
            "several-items users/bob/Odd/Nameless/from-a-web-page.ics:9",
            "shadowed-file users/bob/Odd/Both.ics",
            "stray-directory users/bob/Odd/Stray/Lost",
            "uid-twice users/bob/Odd/Twice/older.ics:25",
        ]
    );
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_line() {
    let whole = event("1", "");
    let half = &whole[..whole.len() - 30];
    let not_utf8 = b"BEGIN:VCALENDAR\r\nX-A:\xff\r\nEND:VCALENDAR\r\n";
    let long = event("1", &format!("SUMMARY:{}\r\n", "x".repeat(80)));
    let table: [(Vec<u8>, &str); 16] = [
        (half.into(), "half-file users/alice/Calendar/a.ics:8"),
        (Vec::new(), "half-file users/alice/Calendar/a.ics:1"),
        (b"no calendar".to_vec(), "unparsable users/alice/Calendar/a.ics:1"),
        (not_utf8.to_vec(), "unparsable users/alice/Calendar/a.ics:2"),
        (event("1", "no property\r\n").into(), "unparsable users/alice/Calendar/a.ics:8"),
        (long.into(), "long-line users/alice/Calendar/a.ics:8"),
        (whole.replace("\r\n", "\n").into(), "line-ends users/alice/Calendar/a.ics:1"),
        (whole.replace("\r\n", "\r\r\n").into(), "line-ends users/alice/Calendar/a.ics:1"),
        (
            file(&[&component("VEVENT", "1", ""), &component("VEVENT", "2", "")]).into(),
            "several-items users/alice/Calendar/a.ics:9",
        ),
        (
            file(&[&component("VEVENT", "1", ""), &component("VEVENT", "1", "")]).into(),
            "uid-twice users/alice/Calendar/a.ics:9",
        ),
        (whole.replace("UID:1\r\n", "").into(), "no-uid users/alice/Calendar/a.ics:4"),
        (whole.replace("DTSTART:20261201T100000Z\r\n", "").into(), "no-start users/alice/Calendar/a.ics:4"),
        (event("1", "DTEND:tomorrow\r\n").into(), "bad-value users/alice/Calendar/a.ics:8"),
        (
            event("1", "DTEND;TZID=Mars/Base:20261201T110000\r\n").into(),
            "no-time-zone users/alice/Calendar/a.ics:8",
        ),
        (event("1", "RRULE:FREQ=NEVER\r\n").into(), "freebusy-unreadable users/alice/Calendar/a.ics:8"),
        (file(&[]).into(), "stray-file users/alice/Calendar/a.ics"),
    ];
    for (content, expected) in table {
        let found = found_in(|tree| tree.write("users/alice/Calendar/a.ics", &content));
        assert_eq!(found, [expected], "{}", String::from_utf8_lossy(&content));
    }
}

#[test]
fn what_is_over_a_cap_is_named_with_its_line() {
    let deep = "BEGIN:X\r\n".repeat(7) + &"END:X\r\n".repeat(7);
    let half = format!("X-A:{}\r\n", "x".repeat(66)).repeat(80_000);
    let other_half = format!("RECURRENCE-ID:20261202T100000Z\r\n{half}");
    let halves = [&half, &other_half].map(|lines| component("VEVENT", "1", lines));
    for (content, line) in [
        (event("1", &deep), 14),
        (event("1", &"X-A:1\r\n".repeat(100_000)), 100_005),
        (event("1", &format!("X-A:{}\r\n", "x".repeat(1 << 20))), 8),
        (file(&[&component("VEVENT", "1", &format!("X-A:{}\r\n", "x".repeat(1 << 19)).repeat(20))]), 4),
        (file(&halves.each_ref().map(String::as_str)), 4),
        ("BEGIN:VCALENDAR\r\n".to_owned() + &"X-A:1\r\n".repeat(100_001), 100_002),
    ] {
        let found = found_in(|tree| tree.write("users/alice/Calendar/a.ics", &content));
        assert_eq!(found, [format!("unparsable users/alice/Calendar/a.ics:{line}")]);
    }
}

#[test]
fn a_fold_inside_a_character_and_a_file_that_is_too_large_are_named() {
    let split = event("1", "SUMMARY:X\r\n").into_bytes();
    let at = split.windows(2).position(|two| two == b"X\r").expect("the X");
    let split = [&split[..at], b"\xc3\r\n \xbc", &split[at + 1..]].concat();
    let found = found_in(|tree| tree.write("users/alice/Calendar/a.ics", &split));
    assert_eq!(found, ["split-character users/alice/Calendar/a.ics:8"]);
    let tree = Tree::new();
    tree.write("users/alice/Calendar/a.ics", "");
    // A hole: it takes no room.
    let huge = fs::File::options().write(true).open(tree.path("users/alice/Calendar/a.ics")).expect("a file");
    huge.set_len(1 << 40).expect("a hole");
    assert_eq!(tree.found(), ["too-large users/alice/Calendar/a.ics"]);
}

#[test]
fn uids_that_clash_are_named_with_who_is_served() {
    let task = file(&[&component("VTODO", "1", "")]);
    for (name, content, expected) in [
        ("Calendar/b.ics", event("1", "SEQUENCE:1\r\n"), "uid-twice users/alice/Calendar/a.ics:5"),
        ("Calendar/b.ics", task.clone(), "uid-of-two-kinds users/alice/Calendar/b.ics:5"),
        ("Tasks/b.ics", task, "uid-of-two-kinds users/alice/Tasks/b.ics:5"),
        ("Tasks/b.ics", event("1", ""), "uid-twice users/alice/Tasks/b.ics:5"),
    ] {
        let found = found_in(|tree| {
            tree.write("users/alice/Calendar/a.ics", event("1", ""));
            tree.write(&format!("users/alice/{name}"), &content);
        });
        assert_eq!(found, [expected], "{content}");
    }
    let found = found_in(|tree| {
        tree.write("users/alice/Calendar/a.ics", event("abc", ""));
        tree.write("users/alice/Calendar/b.ics", event("ABC", ""));
    });
    assert_eq!(found, ["uid-clash users/alice/Calendar/b.ics:5"]);
    // The words are those of the rule that decides.
    let tree = Tree::new();
    tree.write("users/alice/Calendar/a.ics", event("1", "SEQUENCE:2\r\n"));
    tree.write("users/alice/Calendar/b.ics", event("1", ""));
    let text = String::from_utf8(tree.run(&[]).stdout).expect("UTF-8");
    assert!(
        text.contains("b.ics:5: warning: UID 1 is in a.ics too, which is served, for its SEQUENCE"),
        "{text}"
    );
}

#[test]
fn names_that_clash_or_that_no_address_reaches_are_named() {
    let at = |name: &str| format!("users/alice/{name}/x.ics");
    let found = found_in(|tree| {
        tree.write(&at("Work"), event("1", ""));
        tree.write(&at("work"), event("2", ""));
        tree.write("users/alice/Calendar/A.ics", event("3", ""));
        tree.write("users/alice/Calendar/a.ics", event("4", ""));
    });
    assert_eq!(found, ["name-clash users/alice/Calendar/a.ics", "name-clash users/alice/work"]);
    for name in ["end.", "end ", "~x", "a\u{202e}b", "a\nb", "Mu\u{308}ller"] {
        let found = found_in(|tree| tree.write(&at(name), event("1", "")));
        assert_eq!(found, [format!("unreachable-name users/alice/{name}")]);
    }
    let odd = OsStr::from_bytes(b"odd\xff");
    let found = found_in(|tree| {
        fs::create_dir(tree.path("users/alice").join(odd)).expect("mkdir");
        fs::write(tree.path("users/alice/Calendar").join("x\u{fc}.ics"), event("1", "")).expect("write");
        tree.put_in_order();
    });
    assert_eq!(found, ["unreachable-name users/alice/odd\\xff"]);
}

#[test]
fn what_is_no_file_or_lies_where_it_should_not_is_named() {
    let found = found_in(|tree| {
        tree.make("users/alice/Calendar/Deep/Deeper");
        tree.write("users/alice/Calendar/notes.txt", "x");
        tree.write("users/alice/Calendar/.hidden", "x");
        tree.write("users/alice/readme.txt", "x");
        tree.write("users/stray", "x");
        tree.write("stray", "x");
        tree.write("users/alice/Loose.ics", event("1", ""));
        symlink("/etc/passwd", tree.path("users/alice/Calendar/link.ics")).expect("symlink");
        symlink("/", tree.path("users/alice/Root")).expect("symlink");
        let fifo = Command::new("mkfifo").arg(tree.path("users/alice/Calendar/fifo.ics")).status();
        assert!(fifo.expect("mkfifo").success());
        fs::write(tree.path("users/alice/Calendar/one.ics"), event("2", "")).expect("write");
        tree.put_in_order();
        let two = tree.path("users/alice/.history/versions/Calendar");
        fs::create_dir_all(&two).expect("mkdir");
        let kept = two.join("one.ics~20261101T000000.000000Z-1");
        fs::hard_link(tree.path("users/alice/Calendar/one.ics"), kept).expect("link");
        tree.write("users/alice/.history/notes.txt", "x");
        tree.write("users/alice/.history/versions/Calendar/one.ics", "x");
        // What a save tries with, and the next one takes away.
        tree.write("users/alice/.history/versions/Calendar/.kalends-try", "");
    });
    assert_eq!(
        found,
        [
            "hard-link users/alice/Calendar/one.ics",
            "history-entry users/alice/.history/notes.txt",
            "history-entry users/alice/.history/versions/Calendar/one.ics",
            "loose-file users/alice/Loose.ics",
            "special-file users/alice/Calendar/fifo.ics",
            "special-file users/alice/Calendar/link.ics",
            "special-file users/alice/Root",
            "stray-directory users/alice/Calendar/Deep",
            "stray-file stray",
            "stray-file users/alice/Calendar/notes.txt",
            "stray-file users/alice/readme.txt",
            "stray-file users/stray",
        ]
    );
    let shadowed = found_in(|tree| {
        tree.write("users/alice/X.ics", event("1", ""));
        tree.make("users/alice/X");
    });
    assert_eq!(shadowed, ["shadowed-file users/alice/X.ics"]);
}

#[test]
fn what_has_a_name_of_ours_and_is_something_else_is_damage() {
    let config = "[auth]\nmethod = \"file\"\nfile = \"passwd\"\n";
    for (name, is_directory) in [
        ("users/alice/.lock", true),
        ("users/alice/.freebusy.ics", true),
        ("users/alice/Calendar/.props.json", true),
        ("links/.lock", true),
        ("users/alice/.history", false),
        ("users/alice/.history/versions", false),
        ("users/alice/.history/log", false),
        ("users/alice/.history/log/20261101.log", true),
        ("users/alice/Tasks", false),
        ("users/bob", false),
        ("public", false),
        (".journal", false),
    ] {
        let found = found_in(|tree| {
            tree.write("kalends.toml", config);
            tree.write("passwd", include_str!("../../../data-example/passwd"));
            let at = tree.path(name);
            let _ = fs::remove_dir_all(&at).or_else(|_| fs::remove_file(&at));
            if is_directory { tree.make(name) } else { tree.write(name, "x") }
        });
        assert_eq!(found, [format!("special-file {name}")]);
    }
    let link = format!("links/{}.json", "ab".repeat(32));
    for name in ["users/alice/.lock", &link, "users/alice/.history/log/20261101.log"] {
        let found = found_in(|tree| {
            tree.make("links");
            tree.make("users/alice/.history/log");
            symlink("/", tree.path(name)).expect("symlink");
        });
        assert_eq!(found, [format!("special-file {name}")]);
    }
}

#[test]
fn sidecars_that_cannot_be_understood_are_named_with_line_and_column() {
    for (name, content, expected) in [
        (
            "users/alice/Calendar/.acl.json",
            "{\n\"user:bob\": 3}",
            "acl-unreadable users/alice/Calendar/.acl.json:2",
        ),
        ("users/.acl.json", "{", "acl-unreadable users/.acl.json:1"),
        ("users/alice/Calendar/.props.json", "{\n\n", "props-unreadable users/alice/Calendar/.props.json:3"),
        (
            "users/alice/Calendar/.props.json",
            "{\n\"time_zone\": \"Mars\"}",
            "props-unreadable users/alice/Calendar/.props.json:2",
        ),
        ("users/alice/Calendar/color", "red", "metadata users/alice/Calendar/color"),
        ("users/alice/.freebusy.ics", "x", "publication-unreadable users/alice/.freebusy.ics:1"),
    ] {
        assert_eq!(found_in(|tree| tree.write(name, content)), [expected], "{content}");
    }
    let tree = Tree::new();
    tree.write("users/.acl.json", "{\n\"user:bob\": \"editr\"}");
    let text = String::from_utf8(tree.run(&[]).stdout).expect("UTF-8");
    assert!(text.starts_with("users/.acl.json:2:20: damage: unknown role \"editr\""), "{text}");
}

#[test]
fn links_that_open_nothing_are_named() {
    let link = |place: &str, more: &str| {
        format!(
            "{{\"owner\": \"alice\", \"role\": \"viewer\", \"place\": \"{place}\", \"made\": \"2026-11-23T20:00:00Z\"{more}}}"
        )
    };
    let gone = link("~alice/Gone", "").replace("\"alice\"", "\"nobody-of-this-name\"");
    let id = "ab".repeat(32);
    for (content, expected) in [
        (link("~alice/Calendar", ""), None),
        (link("~*", ""), None),
        (link("~alice/Gone", ""), Some("link-dangling")),
        (gone, Some("link-dangling")),
        (link("~alice", ", \"expires\": \"2026-11-23T21:00:00Z\""), Some("link-expired")),
        ("{\"owner\": 3}".to_owned(), Some("link-unreadable")),
    ] {
        let found = found_in(|tree| {
            // Whose users are those of the file.
            tree.write("kalends.toml", "[auth]\nmethod = \"file\"\nfile = \"passwd\"\n");
            tree.write("passwd", include_str!("../../../data-example/passwd"));
            tree.write(&format!("links/{id}.json"), &content);
        });
        let line = if expected == Some("link-unreadable") { ":1" } else { "" };
        let expected: Vec<String> =
            expected.map(|kind| format!("{kind} links/{id}.json{line}")).into_iter().collect();
        assert_eq!(found, expected, "{content}");
    }
    let found = found_in(|tree| tree.write("links/short.json", "{}"));
    assert_eq!(found, ["stray-file links/short.json"]);
}

#[test]
fn modes_and_owners_are_named() {
    for (name, mode, expected) in [
        ("users/alice/Calendar/a.ics", 0o644, "mode users/alice/Calendar/a.ics"),
        ("users/alice/Calendar/a.ics", 0o000, "no-access users/alice/Calendar/a.ics"),
        ("users/alice/Calendar/a.ics", 0o440, "no-access users/alice/Calendar/a.ics"),
        ("users/alice/Calendar", 0o755, "mode users/alice/Calendar"),
        ("users/alice", 0o750, "mode users/alice"),
        ("users/.acl.json", 0o666, "mode users/.acl.json"),
        ("", 0o755, "mode ."),
    ] {
        if mode & 0o400 == 0 && !rustix::process::geteuid().is_root() {
            println!("skipped: only root can read what nobody may");
            continue;
        }
        let tree = Tree::new();
        tree.write("users/alice/Calendar/a.ics", event("1", ""));
        tree.set_mode(name, mode);
        assert_eq!(tree.found(), [expected], "{mode:o}");
    }
    if !is_root() {
        return;
    }
    for (uid, gid, expected) in [(4321, 0, "owner"), (4321, 4321, "no-access")] {
        let tree = Tree::new();
        tree.write("users/alice/Calendar/a.ics", event("1", ""));
        std::os::unix::fs::chown(tree.path("users/alice/Calendar/a.ics"), Some(uid), Some(gid))
            .expect("chown");
        assert_eq!(tree.found(), [format!("{expected} users/alice/Calendar/a.ics")]);
    }
}

#[test]
fn a_local_users_files_are_in_order_where_an_acl_lets_the_service_in() {
    if !is_root() || !need("acl", "setfacl") {
        return;
    }
    let tree = Tree::new();
    let home = tree.path("users/alice");
    let set = |arguments: &[&str]| {
        let status = Command::new("setfacl").args(arguments).arg(&home).status().expect("setfacl");
        assert!(status.success());
    };
    // As the README says, for a service that is not root.
    for path in walkdir::WalkDir::new(tree.path("")) {
        std::os::unix::fs::chown(path.expect("an entry").path(), Some(4000), Some(4000)).expect("chown");
    }
    tree.put_in_order();
    set(&["-R", "-m", "u:5000:rwX"]);
    set(&["-R", "-d", "-m", "u:5000:rwX", "-m", "u:4000:rwX"]);
    assert_eq!(tree.found(), Vec::<String>::new());
    let file = home.join("Calendar/a.ics");
    fs::write(&file, event("1", "")).expect("write");
    std::os::unix::fs::chown(&file, Some(5000), Some(5000)).expect("chown");
    assert_eq!(tree.found(), Vec::<String>::new());
    // As khal makes them.
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    assert_eq!(tree.found(), ["no-access users/alice/Calendar/a.ics"]);
}

#[test]
fn half_a_journal_is_named_and_what_is_none_too() {
    let found = found_in(|tree| {
        tree.write(".journal/0-20261101T000000.000000Z-1-0", "kalends journal 1\n{}");
        tree.make(".journal/directory");
    });
    assert_eq!(
        found,
        ["journal-torn .journal/0-20261101T000000.000000Z-1-0", "stray-file .journal/directory"]
    );
}

#[test]
fn a_file_that_the_disk_does_not_give_is_named() {
    if !need("strace", "strace") {
        return;
    }
    let tree = Tree::new();
    tree.write("users/alice/Calendar/a.ics", event("1", ""));
    assert_eq!(
        found_beside(&tree, "read", &tree.path("users/alice/Calendar/a.ics")),
        ["unreadable users/alice/Calendar/a.ics"]
    );
}

#[test]
fn a_home_that_the_disk_does_not_give_is_named() {
    if !need("strace", "strace") {
        return;
    }
    let tree = Tree::new();
    tree.make("public");
    for home in ["users/alice", "public"] {
        assert_eq!(found_beside(&tree, "openat2", home.as_ref()), [format!("unreadable {home}")]);
    }
}

/// What is found where `call` fails with EIO on `path`, which is spelled as the call has it.
fn found_beside(tree: &Tree, call: &str, path: &Path) -> Vec<String> {
    let output = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:error=EIO"), "-P"])
        .arg(path)
        .args([env!("CARGO_BIN_EXE_kalends"), "check", "--json"])
        .arg(tree.path(""))
        .output()
        .expect("strace");
    super::spelled(&super::parsed(&output), |_| true)
}

#[test]
fn what_dead_processes_left_is_named_and_what_living_ones_use_is_not() {
    let tree = Tree::new();
    tree.write(".tmp/1-dead/lock", "");
    tree.write(".tmp/1-dead/0", "half");
    // Too young to say.
    assert_eq!(tree.found(), Vec::<String>::new());
    let old = || fs::File::open(tree.path(".tmp/1-dead")).expect("a directory");
    let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    old().set_modified(an_hour_ago).expect("a time");
    assert_eq!(tree.found(), ["stale-staging .tmp/1-dead"]);
    let lock = fs::File::open(tree.path(".tmp/1-dead/lock")).expect("a lock");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("flock");
    assert_eq!(tree.found(), Vec::<String>::new());
}

#[test]
fn a_process_that_was_killed_while_it_wrote_nothing_leaves_nothing_to_name() {
    let tree = Tree::new();
    tree.write(".tmp/1-dead/lock", "");
    let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let directory = fs::File::open(tree.path(".tmp/1-dead")).expect("a directory");
    directory.set_modified(an_hour_ago).expect("a time");
    let output = tree.run(&[]);
    assert_eq!((output.status.code(), tree.found()), (Some(0), Vec::new()));
}

#[test]
fn what_is_mounted_in_a_tree_is_named() {
    let tree = Tree::new();
    tree.write("users/alice/Work/Plans/a.ics", event("1", ""));
    let calendar = tree.path("users/alice/Work/Plans");
    let Some(_mounted) = Mounted::by(&calendar, &["--bind", calendar.to_str().expect("UTF-8")]) else {
        return;
    };
    assert_eq!(tree.found(), ["other-mount users/alice/Work/Plans"]);
}
