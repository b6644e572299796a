//! Files that whoever checks may not read, and such as are root's where the service has to write.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{Tree, event, parsed, spelled};
use crate::mounted::Mounted;
use crate::need::need;

/// What is left after the command has run with these options, by whoever owns the tree and has no right to read what its modes
/// forbid.
fn left_for_its_owner(tree: &Tree, options: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kalends"));
    if rustix::process::geteuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_kalends")]);
    }
    command.args(["check", "--json"]).args(options).arg(tree.path(""));
    let output = command.env("XDG_CACHE_HOME", tree.path("../cache")).output().expect("the command");
    let mut left = spelled(&parsed(&output), |finding| finding["repaired"] == false);
    left.dedup();
    left
}

#[test]
fn what_cannot_be_read_is_named_and_mended_beside_all_else_of_its_place() {
    if !need("util-linux", "setpriv") {
        return;
    }
    for name in [
        "users/alice/Calendar/.props.json",
        "users/alice/Calendar/displayname",
        "users/alice/.history/versions",
        "users/alice/.history/log",
        ".tmp/1-dead",
        ".journal/torn",
    ] {
        let tree = Tree::new();
        tree.write("users/alice/Calendar/displayname", "Mine\n");
        tree.write("users/alice/Calendar/broken.ics", "half");
        tree.write("users/alice/.history/versions/Calendar/stray", "");
        tree.write("users/alice/.history/log/20261101.log", "");
        tree.write(".journal/torn", "kalends journal 1\n{}");
        leave_staging(&tree);
        tree.set_mode(name, 0);
        let found = left_for_its_owner(&tree, &[]);
        for expected in [&format!("no-access {name}"), "unparsable users/alice/Calendar/broken.ics:1"] {
            assert!(found.iter().any(|found| found == expected), "{name}, {expected}: {found:?}");
        }
        assert_eq!(
            left_for_its_owner(&tree, &["--fix"]),
            [
                "history-entry users/alice/.history/versions/Calendar/stray",
                "unparsable users/alice/Calendar/broken.ics:1"
            ],
            "{name}"
        );
    }
}

#[test]
fn a_link_whose_place_cannot_be_read_hides_no_other() {
    if !need("util-linux", "setpriv") {
        return;
    }
    let tree = Tree::new();
    tree.write("users/alice/Work/Projects/a.ics", event("1", ""));
    let ids = ["ab", "cd", "ef"].map(|id| id.repeat(32));
    for (id, place) in ids.iter().zip(["~alice/Gone", "~alice/Work/Projects", "~alice/Away"]) {
        let link = format!(
            "{{\"owner\": \"alice\", \"role\": \"viewer\", \"place\": \"{place}\", \"made\": \"2026-11-23T20:00:00Z\"}}"
        );
        tree.write("kalends.toml", "[auth]\nmethod = \"file\"\nfile = \"passwd\"\n");
        tree.write("passwd", include_str!("../../../data-example/passwd"));
        tree.write(&format!("links/{id}.json"), link);
    }
    tree.set_mode("users/alice/Work", 0);
    assert_eq!(
        left_for_its_owner(&tree, &[]),
        [
            format!("link-dangling links/{}.json", ids[0]),
            format!("link-dangling links/{}.json", ids[2]),
            "no-access users/alice/Work".to_owned(),
            "no-access users/alice/Work/Projects".to_owned(),
        ]
    );
}

/// Leaves what a process that died an hour ago had staged.
fn leave_staging(tree: &Tree) {
    tree.write(".tmp/1-dead/lock", "");
    tree.write(".tmp/1-dead/0/1", "half");
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(tree.path(".tmp/1-dead")).expect("a directory").set_modified(an_hour_ago).expect("a time");
}

#[test]
fn what_root_has_put_back_is_the_services_after_a_repair() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let service = |tree: &Tree, path: &str| chown(tree.path(path), Some(4000), Some(4000)).expect("chown");
    let tree = Tree::new();
    tree.write("users/alice/Calendar/a.ics", event("1", ""));
    tree.write("users/alice/.history/log/20261101.log", "");
    tree.write("users/alice/.history/versions/Calendar/a.ics~20261101T000000.000000Z-1", "x");
    tree.write("users/alice/.history/removed/20261101T000000.000000Z-2/Old/b.ics", "x");
    tree.write(".journal/torn", "kalends journal 1\n{}");
    leave_staging(&tree);
    for directory in [".tmp/1-dead", ".tmp/1-dead/0", "users/alice/.history/removed"] {
        tree.set_mode(directory, 0o700);
    }
    for file in [".journal/torn", ".tmp/1-dead/lock", "users/alice/.history/log/20261101.log"] {
        tree.set_mode(file, 0o600);
    }
    service(&tree, "");
    let found = tree.found();
    for expected in [
        "no-access .journal/torn",
        "no-access .tmp/1-dead",
        "no-access users/alice/.history/log/20261101.log",
        "no-access users/alice/.history/removed/20261101T000000.000000Z-2/Old",
    ] {
        assert!(found.iter().any(|found| found == expected), "{expected}: {found:#?}");
    }
    assert_eq!(tree.fix(), Vec::<String>::new());
    assert_eq!(tree.found(), Vec::<String>::new());
    assert!(!tree.path(".journal/torn").exists() && !tree.path(".tmp/1-dead").exists());
    for entry in walkdir::WalkDir::new(tree.path("")) {
        let entry = entry.expect("an entry");
        assert_eq!(entry.metadata().expect("its owner").uid(), 4000, "{}", entry.path().display());
    }
}

#[test]
fn what_is_mounted_in_the_tree_is_not_given_to_the_service() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let tree = Tree::new();
    for entry in walkdir::WalkDir::new(tree.path("")) {
        chown(entry.expect("an entry").path(), Some(4000), Some(4000)).expect("chown");
    }
    let theirs = tree.path("../theirs");
    fs::create_dir_all(theirs.join("deep")).expect("mkdir");
    fs::write(theirs.join("deep/a.ics"), event("1", "").replace("\r\n", "\n")).expect("write");
    fs::create_dir(tree.path("users/alice/Bound")).expect("mkdir");
    let words = ["--bind", theirs.to_str().expect("UTF-8")];
    let Some(mounted) = Mounted::by(&tree.path("users/alice/Bound"), &words) else { return };
    let facts = || {
        let walk = walkdir::WalkDir::new(&theirs).sort_by_file_name().into_iter();
        let facts = |entry: walkdir::DirEntry| {
            let stat = entry.metadata().expect("its owner");
            (entry.path().to_path_buf(), stat.uid(), stat.mode(), stat.len())
        };
        walk.map(|entry| facts(entry.expect("an entry"))).collect::<Vec<_>>()
    };
    let before = facts();
    let found = tree.found();
    assert!(found.contains(&"other-mount users/alice/Bound".to_owned()), "{found:?}");
    let text = String::from_utf8(tree.run(&[]).stdout).expect("UTF-8");
    assert!(!text.contains("--fix repairs"), "{text}");
    assert_eq!(tree.fix(), found);
    assert_eq!(facts(), before);
    drop(mounted);
}
