//! What scripts, cron and people get: exit codes, JSON, lines that play no tricks.

use std::process::Command;

use super::{Tree, check, event, parsed};

#[test]
fn the_exit_code_tells_clean_from_damaged_from_not_checked() {
    let tree = Tree::new();
    assert_eq!(tree.run(&[]).status.code(), Some(0));
    tree.write("users/alice/Loose.ics", event("1", ""));
    assert_eq!(tree.run(&[]).status.code(), Some(0), "a note changes nothing");
    tree.write("users/alice/Calendar/a.ics", "half");
    assert_eq!(tree.run(&[]).status.code(), Some(1));
    assert_eq!(tree.run(&["--fix"]).status.code(), Some(1), "it is still there");
    std::fs::remove_file(tree.path("users/alice/Calendar/a.ics")).expect("removed");
    tree.write("users/alice/Calendar/b.ics", event("1", "").replace("UID:1\r\n", ""));
    assert_eq!(tree.run(&["--fix"]).status.code(), Some(0), "it was repaired");
    for directory in ["nowhere", "users"] {
        let output = check(&tree.path(directory), &tree.path(".."), &[]);
        assert_eq!(output.status.code(), Some(2), "{directory}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(directory), "{output:?}");
    }
    assert_eq!(tree.run(&["--mend"]).status.code(), Some(2));
    tree.write("kalends.toml", "colour = 1\n");
    assert_eq!(tree.run(&[]).status.code(), Some(2));
}

#[test]
fn cron_hears_nothing_of_a_clean_tree_and_no_notes_if_it_is_quiet() {
    let tree = Tree::new();
    assert_eq!((tree.run(&[]).stdout, tree.run(&[]).stderr), (Vec::new(), Vec::new()));
    tree.write("users/alice/Loose.ics", event("1", ""));
    assert!(!tree.run(&[]).stdout.is_empty());
    let quiet = tree.run(&["--quiet"]);
    assert_eq!((quiet.stdout, quiet.stderr), (Vec::new(), Vec::new()));
}

#[test]
fn json_is_one_object_with_stable_keys_whatever_was_found() {
    let tree = Tree::new();
    let keys = |value: &serde_json::Value| {
        let mut keys: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys
    };
    let outer = ["damage", "error", "files", "findings", "homes", "notes", "repaired", "warnings"];
    let clean = parsed(&tree.run(&["--json"]));
    assert_eq!(keys(&clean), outer);
    tree.write("users/alice/Calendar/a.ics", "half");
    tree.write("users/alice/Calendar/tricky\u{1b}[2J\n.ics", "half");
    let found = parsed(&tree.run(&["--json"]));
    assert_eq!(keys(&found), outer);
    assert_eq!((&found["damage"], &found["files"], &found["error"]), (&2.into(), &2.into(), &().into()));
    let first = &found["findings"][0];
    assert_eq!(
        keys(first),
        ["column", "kind", "line", "message", "path", "repairable", "repaired", "severity"]
    );
    assert_eq!(first["severity"], "damage");
    let nothing = parsed(&check(&tree.path("nowhere"), &tree.path(".."), &["--json"]));
    assert!(nothing["error"].as_str().is_some_and(|error| error.contains("nowhere")), "{nothing}");
    let text = String::from_utf8(tree.run(&[]).stdout).expect("UTF-8");
    assert!(text.contains("tricky\\u{1b}[2J\\u{a}.ics:1: damage"), "{text}");
}

#[test]
fn a_check_calls_nothing_that_changes_a_file() {
    if !crate::need::need("strace", "strace") {
        return;
    }
    let tree = Tree::example();
    let calls = "trace=mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,symlinkat,chmod,\
                 fchmod,fchmodat,chown,fchown,fchownat,truncate,ftruncate,setxattr,lsetxattr,fsetxattr,utimensat,rmdir,?creat,?open,openat,openat2";
    let trace = tree.path("../trace");
    let status = Command::new("strace")
        .args(["-f", "-o"])
        .arg(&trace)
        .args(["-e", calls, env!("CARGO_BIN_EXE_kalends"), "check"])
        .arg(tree.path(""))
        .env("XDG_CACHE_HOME", tree.path("../cache"))
        .stdout(std::process::Stdio::null())
        .status()
        .expect("strace");
    assert_eq!(status.code(), Some(1));
    let trace = std::fs::read_to_string(trace).expect("a trace");
    assert!(trace.contains("openat2("), "it was traced");
    let writes = |line: &&str| {
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        match call.starts_with("open") {
            true => ["O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC"].iter().any(|flag| line.contains(flag)),
            false => call.contains('('),
        }
    };
    assert_eq!(trace.lines().filter(writes).collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(!tree.path("../cache").exists());
}
