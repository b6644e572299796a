//! `strace` on a running server: faults at some of its calls, or a list of them, until it is dropped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Server, runs};

pub struct Strace {
    child: Child,
    traced: u32,
    /// Held: a line of its own, as for each new thread of the server, would end it where nobody can read that.
    _said: BufReader<ChildStderr>,
}

impl Strace {
    /// Does `what` to these calls in each thread of the server. Nothing where this process may not trace another.
    pub fn inject(s: &Server, calls: &str, what: &str) -> Option<Strace> {
        Strace::attach(s, calls, &["-o", "/dev/null", "-e", &format!("inject={calls}:{what}")])
    }

    /// As [`Strace::inject`], of the calls alone that touch the file at `path`, which need not be there yet.
    pub fn inject_at(s: &Server, calls: &str, what: &str, path: &Path) -> Option<Strace> {
        let (inject, path) = (format!("inject={calls}:{what}"), path.to_str().expect("UTF-8"));
        Strace::attach(s, calls, &["-o", "/dev/null", "-e", &inject, "-P", path])
    }

    /// Writes these calls to a file. Nothing where this process may not trace another.
    pub fn list(s: &Server, calls: &str, file: &Path) -> Option<Strace> {
        Strace::attach(s, calls, &["-o", file.to_str().expect("UTF-8")])
    }

    /// As [`Strace::list`], with the path of each descriptor.
    pub fn list_with_paths(s: &Server, calls: &str, file: &Path) -> Option<Strace> {
        Strace::attach(s, calls, &["-y", "-o", file.to_str().expect("UTF-8")])
    }

    fn attach(s: &Server, calls: &str, more: &[&str]) -> Option<Strace> {
        let mut child = Command::new("strace")
            .args(["-f", "-e", &format!("trace={calls}"), "-p", &s.pid().to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace");
        let (mut said, mut line) = (BufReader::new(child.stderr.take().expect("a pipe")), String::new());
        said.read_line(&mut line).expect("UTF-8");
        if line.contains("attached") {
            return Some(Strace { child, traced: s.pid(), _said: said });
        }
        println!("skipped: strace may not attach: {line}");
        child.wait().expect("an ended process");
        None
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let Strace { child, traced, .. } = self;
        // It detaches and ends. Where the server is dead it may wait for ever for threads that are gone.
        let _ = kill_process(Pid::from_child(child), Signal::TERM);
        let start = Instant::now();
        while runs(*traced) && start.elapsed() < Duration::from_secs(5) {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}
