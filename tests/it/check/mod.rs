//! `kalends check` over trees with one thing wrong, over hostile ones, and beside a running server.
//!
//! Here is what the tests are written with: a small tree in good order, and the command run over it.

mod access;
mod beside;
mod fix;
mod kinds;
mod output;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::write;

/// A data directory in good order, with a home that has a Calendar and Tasks.
pub struct Tree {
    directory: TempDir,
}

impl Tree {
    pub fn new() -> Tree {
        let tree = Tree { directory: tempfile::tempdir().expect("a directory") };
        for file in ["users/.acl.json", "users/alice/Calendar/.props.json", "users/alice/Tasks/.props.json"] {
            tree.write(file, "{}\n");
        }
        tree.put_in_order();
        tree
    }

    /// A copy of `data-example/` with the modes that an installation has.
    pub fn example() -> Tree {
        let tree = Tree { directory: tempfile::tempdir().expect("a directory") };
        crate::server::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data-example"), &tree.path(""));
        tree.put_in_order();
        tree
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("data").join(name)
    }

    /// Writes a file and the directories above it, with the right modes.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        write(&self.path(""), name, content);
        self.put_in_order();
    }

    pub fn make(&self, name: &str) {
        fs::create_dir_all(self.path(name)).expect("directories");
        self.put_in_order();
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// Gives everything the mode it should have.
    fn put_in_order(&self) {
        for entry in walkdir::WalkDir::new(self.path("")) {
            let entry = entry.expect("an entry");
            let mode = if entry.file_type().is_dir() { 0o2770 } else { 0o660 };
            if entry.file_type().is_dir() || entry.file_type().is_file() {
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).expect("a mode");
            }
        }
    }

    /// Runs the command with these options.
    pub fn run(&self, options: &[&str]) -> Output {
        check(&self.path(""), self.directory.path(), options)
    }

    /// What it finds: `kind path:line`, in order.
    pub fn found(&self) -> Vec<String> {
        spelled(&parsed(&self.run(&["--json"])), |_| true)
    }

    /// Repairs; gives what was not repaired, as [`Tree::found`] does.
    pub fn fix(&self) -> Vec<String> {
        spelled(&parsed(&self.run(&["--json", "--fix"])), |finding| finding["repaired"] == false)
    }

    /// What `kalends history` tells of a place.
    pub fn history(&self, place: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kalends"));
        let output = command.args(["history", place, "--data"]).arg(self.path("")).output();
        String::from_utf8(output.expect("the command").stdout).expect("UTF-8")
    }

    /// The content of every file, the history's too, by path; staging and locks apart.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in walkdir::WalkDir::new(self.path("")).into_iter().flatten() {
            let name =
                entry.path().strip_prefix(self.path("")).expect("below").to_string_lossy().into_owned();
            if entry.file_type().is_file() && !name.starts_with(".tmp") && !name.ends_with(".lock") {
                files.insert(name, fs::read(entry.path()).expect("a file"));
            }
        }
        files
    }
}

/// Runs the command over `data`, with its cache in `scratch`.
pub fn check(data: &Path, scratch: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kalends"))
        .arg("check")
        .args(options)
        .arg(data)
        .env("XDG_CACHE_HOME", scratch.join("cache"))
        .env_remove("CACHE_DIRECTORY")
        .stdin(Stdio::null())
        .output()
        .expect("the command")
}

/// The JSON that was printed.
pub fn parsed(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {output:?}"))
}

/// Each finding that `wanted` takes as `kind path:line`.
pub fn spelled(json: &Value, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let spell = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().expect("text").to_owned();
        let line = finding["line"].as_u64().map_or(String::new(), |line| format!(":{line}"));
        format!("{} {}{line}", text("kind"), text("path"))
    };
    let findings = json["findings"].as_array().expect("an array");
    let mut all: Vec<String> = findings.iter().filter(|finding| wanted(finding)).map(spell).collect();
    all.sort();
    all
}

/// A calendar file of these lines, each ended by CRLF.
pub fn file(lines: &[&str]) -> String {
    let all = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example//Test//EN"].iter().chain(lines);
    all.chain(&["END:VCALENDAR"]).map(|line| format!("{line}\r\n")).collect()
}

/// A component with a UID and more lines.
pub fn component(kind: &str, uid: &str, lines: &str) -> String {
    let start = if kind == "VEVENT" { "DTSTART:20261201T100000Z\r\n" } else { "" };
    format!("BEGIN:{kind}\r\nUID:{uid}\r\nDTSTAMP:20261101T100000Z\r\n{start}{lines}END:{kind}")
}

/// A file with one event.
pub fn event(uid: &str, lines: &str) -> String {
    file(&[&component("VEVENT", uid, lines)])
}
