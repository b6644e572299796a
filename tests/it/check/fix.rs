//! `--fix` repairs what can be, loses no byte, changes no meaning, and says what is left.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::{Tree, component, event, file};

/// Every content that was there is there afterwards, somewhere in the tree or its history.
fn assert_nothing_lost(before: &Tree, run: impl FnOnce(&Tree)) {
    let old = before.files();
    run(before);
    let new: Vec<Vec<u8>> = before.files().into_values().collect();
    for (name, content) in old {
        assert!(new.contains(&content), "{name} is lost");
    }
}

/// Repairs, with nothing lost; a second run finds what is left and repairs nothing.
fn fixed(tree: &Tree) -> Vec<String> {
    let mut left = Vec::new();
    assert_nothing_lost(tree, |tree| left = tree.fix());
    assert_eq!(tree.found(), left);
    let before = tree.files();
    assert_eq!(tree.fix(), left);
    assert!(tree.files() == before, "a second repair does nothing");
    left
}

const CLEAN: [&str; 0] = [];

#[test]
fn the_example_is_repaired_but_for_what_nobody_can() {
    let tree = Tree::example();
    assert_eq!(
        fixed(&tree),
        [
            "acl-unreadable users/bob/Odd/Typo/.acl.json:2",
            "half-file users/bob/Odd/Broken/half-written.ics:27",
            "loose-file users/alice/Work/Travel.ics",
            "loose-file users/bob/Odd/Loose.ics",
            "no-time-zone users/bob/Odd/Zones/unknown.ics:7",
            "shadowed-file users/bob/Odd/Both.ics",
            "stray-directory users/bob/Odd/Stray/Lost",
            "uid-twice users/bob/Odd/Twice/older.ics:25",
        ]
    );
}

#[test]
fn a_file_of_several_items_is_split_and_each_is_as_it_was() {
    let tree = Tree::new();
    let (one, two) = (component("VEVENT", "1", "X-ODD:kept\r\n"), component("VTODO", "2", ""));
    tree.write("users/alice/Calendar/export.ics", file(&["X-WR-CALNAME:Gone", "X-OTHER:stays", &one, &two]));
    assert_eq!(fixed(&tree), CLEAN);
    let mut texts: Vec<String> =
        items(&tree, "users/alice/Calendar").into_iter().map(|(_, text)| text).collect();
    texts.sort();
    let expected = |component: &str| file(&["X-OTHER:stays", component]);
    assert_eq!(texts, [expected(&one), expected(&two)]);
}

/// The items' files of a calendar.
fn items(tree: &Tree, calendar: &str) -> Vec<(String, String)> {
    let calendar = format!("{calendar}/");
    let files = tree.files().into_iter();
    files
        .filter(|(name, _)| name.strip_prefix(&calendar).is_some_and(|name| !name.starts_with('.')))
        .map(|(name, content)| (name, String::from_utf8(content).expect("UTF-8")))
        .collect()
}

#[test]
fn lines_are_put_right_and_say_the_same() {
    let long = format!("SUMMARY:{}", "\u{fc}".repeat(60));
    let tree = Tree::new();
    tree.write("users/alice/Calendar/long.ics", event("1", &format!("{long}\r\n")));
    tree.write("users/alice/Calendar/bare.ics", event("2", "SUMMARY:a\r\n b\r\n").replace("\r\n", "\n"));
    let split = event("3", "SUMMARY:X\r\n").into_bytes();
    let at = split.windows(2).position(|two| two == b"X\r").expect("the X");
    tree.write("users/alice/Calendar/split.ics", [&split[..at], b"\xc3\r\n \xbc", &split[at + 1..]].concat());
    assert_eq!(fixed(&tree), CLEAN);
    let read = |name: &str| fs::read_to_string(tree.path("users/alice/Calendar").join(name)).expect("UTF-8");
    assert_eq!(read("bare.ics"), event("2", "SUMMARY:a\r\n b\r\n"));
    assert_eq!(read("split.ics"), event("3", "SUMMARY:\u{fc}\r\n"));
    assert_eq!(read("long.ics").replace("\r\n ", ""), event("1", &format!("{long}\r\n")));
    assert!(read("long.ics").lines().all(|line| line.len() <= 75));
}

#[test]
fn an_item_without_a_uid_gets_one() {
    let tree = Tree::new();
    tree.write("users/alice/Calendar/a.ics", event("1", "").replace("UID:1\r\n", ""));
    assert_eq!(fixed(&tree), CLEAN);
    let text = fs::read_to_string(tree.path("users/alice/Calendar/a.ics")).expect("UTF-8");
    assert!(text.contains("BEGIN:VEVENT\r\nUID:kalends-"), "{text}");
}

#[test]
fn of_two_equal_versions_one_goes_and_of_unequal_ones_none() {
    let tree = Tree::new();
    tree.write("users/alice/Calendar/a.ics", event("1", ""));
    tree.write("users/alice/Calendar/b.ics", event("1", ""));
    tree.write("users/alice/Calendar/c.ics", event("2", "SEQUENCE:1\r\n"));
    tree.write("users/alice/Calendar/d.ics", event("2", "SEQUENCE:2\r\n"));
    assert_eq!(fixed(&tree), ["uid-twice users/alice/Calendar/c.ics:5"]);
    assert_eq!(items(&tree, "users/alice/Calendar").len(), 3);
}

#[test]
fn an_export_beside_its_own_items_is_split_without_doubling_any() {
    let tree = Tree::new();
    let items_of = [component("VEVENT", "1", ""), component("VEVENT", "2", "")];
    tree.write("users/alice/Calendar/one.ics", file(&[&items_of[0]]));
    tree.write("users/alice/Calendar/export.ics", file(&[&items_of[0], &items_of[1]]));
    assert_eq!(fixed(&tree), CLEAN);
    assert_eq!(items(&tree, "users/alice/Calendar").len(), 2);
    // A version that is not the same keeps the whole file as it is: who is served must not change.
    let tree = Tree::new();
    tree.write("users/alice/Calendar/one.ics", event("1", "SUMMARY:other\r\n"));
    tree.write("users/alice/Calendar/export.ics", file(&[&items_of[0], &items_of[1]]));
    let before = tree.files();
    assert_eq!(tree.fix().len(), 2);
    assert!(tree.files() == before);
}

/// A time zone that no name explains.
fn custom_zone(offset: &str) -> String {
    let offsets = format!("TZOFFSETFROM:{offset}\r\nTZOFFSETTO:{offset}\r\n");
    format!(
        "BEGIN:VTIMEZONE\r\nTZID:Custom\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n{offsets}END:STANDARD\r\nEND:VTIMEZONE"
    )
}

/// An event in it.
fn in_custom_zone(uid: &str) -> String {
    component("VEVENT", uid, "").replace("DTSTART:20261201T100000Z", "DTSTART;TZID=Custom:20261201T100000")
}

#[test]
fn no_item_gets_another_time_zone_by_another_files_name() {
    let tree = Tree::new();
    let [one, two, nine, bare] = ["r1", "r2", "nine", "bare"].map(in_custom_zone);
    tree.write("users/alice/Calendar/a-export.ics", file(&[&custom_zone("+0100"), &one, &two]));
    tree.write("users/alice/Calendar/b.ics", file(&[&custom_zone("+0900"), &nine]));
    tree.write("users/alice/Calendar/c-bare.ics", file(&[&bare]));
    let before = tree.files();
    let left = [
        "no-time-zone users/alice/Calendar/c-bare.ics:7",
        "several-items users/alice/Calendar/a-export.ics:17",
    ];
    assert_eq!(fixed(&tree), left);
    assert!(tree.files() == before, "as the first by name the file says what the zone is");
    let text = String::from_utf8(tree.run(&[]).stdout).expect("UTF-8");
    assert!(
        text.contains("it stays whole, for the calendar has two zones called \"Custom\" [several-items]\n"),
        "{text}"
    );
    // With one definition nothing can go wrong.
    tree.write("users/alice/Calendar/b.ics", file(&[&custom_zone("+0100"), &nine]));
    assert_eq!(fixed(&tree), left[..1]);
    // A file that is not served yet would bring its definition along.
    let tree = Tree::new();
    tree.write("users/alice/Calendar/c-bare.ics", file(&[&bare]));
    tree.write("users/alice/Calendar/new", file(&[&custom_zone("+0900"), &nine]));
    let calendar = tree.path("users/alice/Calendar");
    fs::rename(calendar.join("new"), calendar.join(OsStr::from_bytes(b"x\xfc.ics"))).expect("renamed");
    assert_eq!(fixed(&tree), [left[0], "unreachable-name users/alice/Calendar/x\\xfc.ics"]);
    tree.write("users/alice/Calendar/b.ics", file(&[&custom_zone("+0900"), &one]));
    assert_eq!(fixed(&tree), left[..1]);
}

#[test]
fn names_are_composed_where_that_takes_no_others() {
    let tree = Tree::new();
    tree.write("users/alice/Mu\u{308}ller/a.ics", event("1", ""));
    tree.write("users/alice/Ku\u{308}hn/a.ics", event("1", ""));
    tree.write("users/alice/K\u{fc}hn/a.ics", event("2", ""));
    let left = fixed(&tree);
    assert_eq!(
        left,
        ["name-clash users/alice/K\u{fc}hn", "unreachable-name users/alice/Ku\u{308}hn"],
        "{left:?}"
    );
    assert!(tree.path("users/alice/M\u{fc}ller/a.ics").exists());
    // It is on record, and a restore does not take it for new.
    let told = tree.history("alice");
    assert!(told.contains("repair") && told.contains("renamed   M\u{fc}ller"), "{told}");
}

#[test]
fn no_name_is_composed_that_would_hide_what_is_served() {
    let tree = Tree::new();
    tree.write("users/alice/M\u{fc}ller.ics", event("1", ""));
    tree.write("users/alice/Mu\u{308}ller/a.ics", event("2", ""));
    tree.write("users/alice/K\u{fc}hn/a.ics", event("1", ""));
    tree.write("users/alice/Ku\u{308}hn.ics", event("2", ""));
    assert_eq!(
        fixed(&tree),
        [
            "loose-file users/alice/M\u{fc}ller.ics",
            "unreachable-name users/alice/Ku\u{308}hn.ics",
            "unreachable-name users/alice/Mu\u{308}ller"
        ]
    );
}

#[test]
fn a_file_gets_another_name_only_where_that_changes_nothing_that_is_served() {
    let write = |tree: &Tree, name: &[u8], content: &str| {
        tree.write("users/alice/Calendar/new", content);
        let calendar = tree.path("users/alice/Calendar");
        fs::rename(calendar.join("new"), calendar.join(OsStr::from_bytes(name))).expect("renamed");
    };
    let tree = Tree::new();
    tree.write("users/alice/Calendar/current.ics", event("1", ""));
    write(&tree, b"stale\xfc.ics", &event("1", "SEQUENCE:9\r\n"));
    write(&tree, b"both\xfc.ics", &file(&[&component("VEVENT", "1", ""), &component("VEVENT", "2", "")]));
    write(&tree, b"another\xfc.ics", &event("3", ""));
    assert_eq!(
        fixed(&tree),
        [
            "unreachable-name users/alice/Calendar/both\\xfc.ics",
            "unreachable-name users/alice/Calendar/stale\\xfc.ics"
        ]
    );
    assert!(!tree.path("users/alice/Calendar").join(OsStr::from_bytes(b"another\xfc.ics")).exists());
    let text = String::from_utf8(tree.run(&[]).stdout).expect("UTF-8");
    assert!(text.contains("UID 1 is in current.ics too, which is served"), "{text}");
    // What is served of a broken file is not known here.
    let tree = Tree::new();
    tree.write("users/alice/Calendar/broken.ics", "half");
    write(&tree, b"stale\xfc.ics", &event("1", ""));
    assert_eq!(
        fixed(&tree),
        [
            "unparsable users/alice/Calendar/broken.ics:1",
            "unreachable-name users/alice/Calendar/stale\\xfc.ics"
        ]
    );
}

#[test]
fn modes_are_set_and_what_has_another_name_elsewhere_is_left_alone() {
    let tree = Tree::new();
    tree.write("users/alice/Calendar/a.ics", event("1", ""));
    let elsewhere = tree.path("../elsewhere");
    fs::write(&elsewhere, event("2", "")).expect("write");
    fs::hard_link(&elsewhere, tree.path("users/alice/Calendar/b.ics")).expect("link");
    for (name, mode) in [
        ("users/alice/Calendar/a.ics", 0o600),
        ("users/alice/Calendar", 0o700),
        ("users", 0o755),
        ("", 0o755),
    ] {
        tree.set_mode(name, mode);
    }
    tree.set_mode("../elsewhere", 0o644);
    assert_eq!(fixed(&tree), ["hard-link users/alice/Calendar/b.ics", "mode users/alice/Calendar/b.ics"]);
}

#[test]
fn files_of_root_are_given_to_the_service() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let tree = Tree::new();
    for entry in walkdir::WalkDir::new(tree.path("")) {
        chown(entry.expect("an entry").path(), Some(4000), Some(4000)).expect("chown");
    }
    tree.write(
        "users/alice/Calendar/a.ics",
        file(&[&component("VEVENT", "1", ""), &component("VEVENT", "2", "")]),
    );
    assert_eq!(fixed(&tree), CLEAN);
    for name in tree.files().keys() {
        assert_eq!(fs::metadata(tree.path(name)).expect("a file").uid(), 4000, "{name}");
    }
}

#[test]
fn staging_of_the_dead_is_cleared() {
    let tree = Tree::new();
    tree.write(".tmp/1-dead/0", "half");
    let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::open(tree.path(".tmp/1-dead")).expect("a directory").set_modified(an_hour_ago).expect("a time");
    assert_eq!(fixed(&tree), CLEAN);
    assert!(!tree.path(".tmp/1-dead").exists());
}

#[test]
fn a_file_that_cannot_be_changed_keeps_no_other_unrepaired() {
    let tree = Tree::new();
    let bare = |n: usize| event(&n.to_string(), "").replace("\r\n", "\n");
    (0..70).for_each(|n| tree.write(&format!("users/alice/Calendar/{n:02}.ics"), bare(n)));
    let chattr = |how: &str| {
        let file = tree.path("users/alice/Calendar/07.ics");
        let done = std::process::Command::new("chattr").arg(how).arg(file).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !chattr("+i") {
        println!("skipped: nothing can be made immutable here");
        return;
    }
    let left = tree.fix();
    assert!(chattr("-i"));
    assert_eq!(left, ["line-ends users/alice/Calendar/07.ics:1"]);
    assert_eq!(tree.fix(), CLEAN);
}
