//! A server that listens at a Unix socket, behind a proxy that says for whom it asks.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::raw::head;
use crate::server::{NOBODY, configure, copy};

/// A server over a copy of `data-example/`, at `socket` in its directory.
struct AtSocket {
    child: Child,
    directory: tempfile::TempDir,
}

impl AtSocket {
    /// With these lines in its configuration.
    fn configured(lines: &str) -> AtSocket {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data-example"), &data);
        configure(&data, lines);
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_kalends"))
            .arg("serve")
            .arg(&data)
            .arg("--listen")
            .arg(format!("unix:{}", directory.path().join("socket").display()))
            .env("XDG_CACHE_HOME", directory.path().join("cache"))
            .env_remove("CACHE_DIRECTORY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("UTF-8");
        assert!(line.contains("listens at unix:"), "{line}");
        AtSocket { child, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The first line of the answer to a request for alice's calendar.
    fn answer(&self, user: &str, headers: &[&str]) -> String {
        let mut stream = UnixStream::connect(self.path("socket")).expect("connected");
        let request = head("GET", "/ical/~alice/main.ics", user, &[&["Connection: close"], headers].concat());
        stream.write_all(request.as_bytes()).expect("sent");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("UTF-8");
        line
    }

    /// The addresses that the log has for refused logins.
    fn refused(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.path("log")).expect("a log");
        let addresses =
            log.lines().filter_map(|line| line.split_once("login refused address=")?.1.split(' ').next());
        addresses.map(str::to_owned).collect()
    }
}

impl Drop for AtSocket {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A login of alice with another password.
const WRONG: &str = "Authorization: Basic YWxpY2U6d3Jvbmc=";

#[test]
fn a_proxy_at_the_socket_that_is_vouched_for_says_where_a_login_comes_from() {
    let s = AtSocket::configured("proxies = [\"unix\"]");
    for from in
        ["X-Other: 1", "X-Forwarded-For: 198.51.100.7, 203.0.113.66", "Forwarded: for=\"[2001:db8::66]\""]
    {
        assert!(s.answer(NOBODY, &[WRONG, from]).contains(" 401 "));
        assert!(s.answer("alice", &[from]).contains(" 200 "));
    }
    assert_eq!(s.refused(), ["unix", "203.0.113.66", "2001:db8::66"]);
}

#[test]
fn nobody_at_the_socket_chooses_an_address_where_no_proxy_is_vouched_for() {
    let s = AtSocket::configured("");
    let guess = |n: usize| s.answer(NOBODY, &[WRONG, &format!("X-Forwarded-For: 198.51.100.{n}")]);
    assert!((1..=14).map(guess).any(|line| line.contains(" 429 ")));
    assert!(s.refused().iter().all(|address| address == "unix"), "{:?}", s.refused());
}
