//! What the README says works as it stands there.

use std::process::Command;

use crate::need::need;
use crate::server::Server;

#[test]
fn the_readmes_curl_lines_work_as_pasted() {
    if !need("curl", "curl") {
        return;
    }
    let s = Server::start();
    let readme = include_str!("../../README.md");
    let lines: Vec<_> = readme.lines().filter(|line| line.starts_with("curl ")).take(4).collect();
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
fn the_server_prints_its_address_and_who_can_log_in() {
    let s = Server::start();
    // The harness has read the line with the address; what follows names the example's users.
    let rest = s.printed_next();
    for user in ["alice", "bob", "carol"] {
        assert!(rest.contains(user), "{user} is not in {rest}");
    }
}
