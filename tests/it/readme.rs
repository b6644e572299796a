//! What the README says works as it stands there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::need::need;
use crate::server::{Server, example};

const README: &str = include_str!("../../README.md");
/// What the commands for the history are about.
const REMOVAL: &str = "curl -u alice:alice -X DELETE http://127.0.0.1:5545/ical/folder/Copy.ics";

#[test]
fn the_readmes_curl_lines_work_as_pasted() {
    if !need("curl", "curl") {
        return;
    }
    let s = Server::start();
    let lines: Vec<_> = README.lines().filter(|line| line.starts_with("curl ")).take(4).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (line, part) in lines.into_iter().zip(["Planning", "", "Kick-off", "BEGIN:VFREEBUSY"]) {
        assert!(line.contains("http://127.0.0.1:5545/"), "{line}");
        let line = line.replace("http://127.0.0.1:5545", &s.url(""));
        let output = Command::new("sh")
            .args(["-c", &format!("{line} --noproxy '*' -sS -w '%{{http_code}}'")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("a shell");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(text.ends_with("200") || text.ends_with("201"), "{line}: {text}");
        assert!(text.contains(part), "{line}: {part} is not in {text}");
    }
    assert_eq!(s.files("users/alice/Copy").len(), 1);
}

#[test]
fn the_readmes_commands_work_as_pasted_and_leave_the_tests_example_as_it_is() {
    let s = Server::start();
    // Made by the second of the curl lines.
    s.put("/ical/folder/Copy.ics", "alice", s.read("public/Holidays/new-year.ics")).status(201);
    let lines = README.lines().filter(|line| line.starts_with("kalends ") || *line == REMOVAL);
    let within = README.split('`').filter(|code| code.starts_with("kalends ") && code.contains("--data "));
    let commands: Vec<_> = lines.chain(within.filter(|code| !code.contains('\n'))).collect();
    assert!(commands.len() >= 11 && commands.contains(&REMOVAL), "{commands:?}");
    let data = s.path("");
    let run = |line: &str| {
        let line = line.replacen("kalends", env!("CARGO_BIN_EXE_kalends"), 1);
        let line = line.replace("data-example", data.to_str().expect("UTF-8"));
        let output =
            Command::new("sh").args(["-c", &line]).env("XDG_CACHE_HOME", s.path("../cache")).output();
        let output = output.expect("a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let mut id = String::new();
    for line in commands {
        if line == REMOVAL {
            s.delete("/ical/folder/Copy.ics", "alice").status(204);
            continue;
        }
        let printed = run(&line.replace(" ID", &format!(" {id}")));
        if line.ends_with(" list") {
            id = printed.split_whitespace().next().expect("a link").to_owned();
        }
    }
    // Removed, and restored.
    assert_eq!(s.files("users/alice/Copy").len(), 1);
    assert_eq!(files(&data), files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data-example")));
}

/// The files of an example with their bytes.
fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = example(root).filter(|entry| entry.file_type().is_file());
    let named = |entry: walkdir::DirEntry| {
        let name = entry.path().strip_prefix(root).expect("below").to_path_buf();
        (name, std::fs::read(entry.path()).expect("a file"))
    };
    files.map(named).collect()
}

#[test]
fn the_server_prints_its_address_and_who_can_log_in() {
    let s = Server::start();
    // The harness has read the line with the address; what follows names the example's users.
    let rest = s.printed_next();
    for user in ["alice", "bob", "carol"] {
        assert!(rest.contains(user), "{user} is not in {rest}");
    }
}
