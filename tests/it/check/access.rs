//! Files that are root's where the service has to write.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::time::{Duration, SystemTime};

use super::{Tree, event};

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
