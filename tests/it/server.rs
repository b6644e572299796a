//! The real server as a child process over a copy of `data-example/`, and the files it works on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::request::Answer;

/// The user name of a request without a login.
pub const NOBODY: &str = "";

/// How long a condition may take to come true before its test fails. Nothing is asserted to be faster than this.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running server. Dropping it stops the process and removes its files.
pub struct Server {
    process: Process,
    pub client: Client,
    directory: Arc<TempDir>,
    /// A program and its arguments that starts the server's, if it is not started as it is.
    wrapper: Vec<String>,
}

impl Server {
    /// A server over an untouched copy of `data-example/`.
    pub fn start() -> Server {
        Server::prepared(|_| {})
    }

    /// As [`Server::start`], with lines put before all others of its `kalends.toml`.
    pub fn configured(lines: &str) -> Server {
        Server::prepared(|data| configure(data, lines))
    }

    /// As [`Server::start`], after `prepare` has changed the copy.
    pub fn prepared(prepare: impl FnOnce(&Path)) -> Server {
        Server::wrapped(&[], prepare)
    }

    /// As [`Server::prepared`], started by another program, which becomes the server by `exec`.
    pub fn wrapped(wrapper: &[&str], prepare: impl FnOnce(&Path)) -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("data");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data-example"), &data);
        prepare(&data);
        let wrapper: Vec<String> = wrapper.iter().map(|argument| (*argument).to_owned()).collect();
        let process = Process::start(directory.path(), &wrapper);
        Server { process, client: client(), directory: Arc::new(directory), wrapper }
    }

    /// Another server over the same files.
    pub fn beside(&self) -> Server {
        let process = Process::start(self.directory.path(), &self.wrapper);
        let (directory, wrapper) = (self.directory.clone(), self.wrapper.clone());
        Server { process, client: client(), directory, wrapper }
    }

    /// A server over `data` in a directory, with a cache of its own.
    pub fn over(directory: TempDir) -> Server {
        let process = Process::start(directory.path(), &[]);
        Server { process, client: client(), directory: Arc::new(directory), wrapper: Vec::new() }
    }

    /// Stops the process with `signal` and starts another one over the same files.
    pub fn restart(&mut self, signal: Signal) {
        self.process.stop(signal);
        self.start_again();
    }

    /// Starts another process over the same files, after the one before has ended.
    pub fn start_again(&mut self) {
        self.process.stop(Signal::KILL);
        self.process = Process::start(self.directory.path(), &self.wrapper);
        // Connections to the process before are of no use.
        self.client = client();
    }

    /// Ends the process with `signal` and waits until it is gone.
    pub fn stop(&mut self, signal: Signal) {
        self.process.stop(signal);
    }

    /// The exit code, once the process has ended by itself or by a signal it handles.
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.signal(Signal::TERM);
        self.process.child.wait().expect("an ended process").code()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.address)
    }

    /// The number of the running process.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.process.address
    }

    /// The next line that the server prints after its address.
    pub fn printed_next(&self) -> String {
        let mut line = String::new();
        self.process.stdout.lock().expect("no panic").read_line(&mut line).expect("UTF-8");
        line
    }

    /// What the server has logged up to now.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Whether `name` is in the data directory.
    pub fn has(&self, name: &str) -> bool {
        self.settle();
        self.path(name).exists()
    }

    /// The place of `name` in the data directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("data").join(name)
    }

    /// Writes a file into the data directory behind the server's back, with the directories above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        write(&self.directory.path().join("data"), name, bytes);
    }

    /// Waits until what was acknowledged is applied: a journal of several files is so only after the answer.
    pub fn settle(&self) {
        eventually("the journal is applied", || (!self.has_journal()).then_some(()));
    }

    /// What is at `address`, once its last change lies so far back that the answer tells when it was.
    pub fn dated(&self, address: &str, user: &str) -> Answer {
        let is_dated = |answer: &Answer| !answer.header("Last-Modified").is_empty();
        eventually("Last-Modified is told", || Some(self.get(address, user).status(200)).filter(is_dated))
    }

    /// Whether a file lies in a staging directory.
    pub fn is_staging(&self) -> bool {
        let mut staged = walkdir::WalkDir::new(self.path(".tmp")).min_depth(2).into_iter().flatten();
        staged.any(|entry| entry.file_type().is_file() && entry.file_name() != "lock")
    }

    /// Whether something acknowledged is not applied yet.
    pub fn has_journal(&self) -> bool {
        fs::read_dir(self.path(".journal")).is_ok_and(|mut entries| entries.next().is_some())
    }

    pub fn read(&self, name: &str) -> String {
        self.settle();
        let bytes = fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        String::from_utf8(bytes).expect("UTF-8")
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// The names of the items' files in a directory, sorted; nothing if it is not there.
    pub fn files(&self, directory: &str) -> Vec<String> {
        self.settle();
        self.files_now(directory)
    }

    /// As [`Server::files`], with a journal half applied too.
    pub fn files_now(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(directory)) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        let mut names: Vec<_> =
            names.filter(|name| name.ends_with(".ics") && !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The text of each item's file in a directory, in order of name.
    pub fn texts(&self, directory: &str) -> Vec<String> {
        self.files(directory).iter().map(|name| self.read(&format!("{directory}/{name}"))).collect()
    }

    /// The name of the only file in a directory whose text has `part`.
    pub fn file_with(&self, directory: &str, part: &str) -> String {
        let mut found = self.files(directory);
        found.retain(|name| self.read(&format!("{directory}/{name}")).contains(part));
        assert_eq!(found.len(), 1, "files in {directory} with {part}: {found:?}");
        found.remove(0)
    }

    /// Every file below `directory` with its bytes: two equal trees are equal states.
    pub fn tree(&self, directory: &str) -> Vec<(PathBuf, Vec<u8>)> {
        self.settle();
        let mut found = Vec::new();
        for entry in walkdir::WalkDir::new(self.path(directory)).sort_by_file_name() {
            let entry = entry.expect("an entry");
            if entry.file_type().is_file() && entry.file_name() != ".lock" {
                found.push((entry.path().to_path_buf(), fs::read(entry.path()).expect("a file")));
            }
        }
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.stop(Signal::TERM);
        if std::thread::panicking() {
            println!("--- the server's log\n{}---", self.log());
        }
    }
}

/// Writes a file below `data` with the directories above it.
pub fn write(data: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = data.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(&path, bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Puts lines before all others of the `kalends.toml` in `data`.
pub fn configure(data: &Path, lines: &str) {
    let file = data.join("kalends.toml");
    let before = fs::read_to_string(&file).expect("the example's configuration");
    let kept = before.lines().filter(|line| !redefines(lines, line));
    let text = kept.fold(format!("{lines}\n"), |text, line| text + line + "\n");
    fs::write(file, text).expect("a configuration");
}

/// Waits until `condition` gives a value.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not in {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process has not ended. One that a debugger still holds has ended too.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// One process of the server.
struct Process {
    child: Child,
    address: String,
    /// Held, for the server may print more.
    stdout: Mutex<BufReader<ChildStdout>>,
}

impl Process {
    fn start(directory: &Path, wrapper: &[String]) -> Process {
        let log = fs::File::options().create(true).append(true).open(directory.join("log")).expect("a log");
        let kalends = env!("CARGO_BIN_EXE_kalends").to_owned();
        let line: Vec<String> = wrapper.iter().cloned().chain([kalends]).collect();
        let mut child = Command::new(&line[0])
            .args(&line[1..])
            .arg("serve")
            .arg(directory.join("data"))
            .args(["--listen", "127.0.0.1:0"])
            .env("XDG_CACHE_HOME", directory.join("cache"))
            .env_remove("CACHE_DIRECTORY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let Some(address) = announced(&mut stdout) else {
            let status = child.wait().expect("an ended process");
            let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
            panic!("the server printed no address ({status}):\n{log}");
        };
        Process { child, address, stdout: Mutex::new(stdout) }
    }

    fn signal(&self, signal: Signal) {
        // The process may have ended by itself; what counts is the wait that follows.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    fn stop(&mut self, signal: Signal) {
        if self.child.try_wait().expect("our child").is_none() {
            self.signal(signal);
            self.child.wait().expect("an ended process");
        }
    }
}

/// The address in the first line that has one.
pub fn announced(stdout: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    while stdout.read_line(&mut line).expect("UTF-8") > 0 {
        if let Some((_, rest)) = line.split_once("http://") {
            let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')));
            return Some(rest[..end.unwrap_or(rest.len())].to_owned());
        }
        line.clear();
    }
    None
}

/// Whether `lines` set the key that `line` sets.
fn redefines(lines: &str, line: &str) -> bool {
    let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned());
    key(line).is_some_and(|wanted| lines.lines().any(|line| key(line).as_ref() == Some(&wanted)))
}

/// What no setting of the environment changes: no proxy, no redirects followed.
fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60))
        .build()
        .expect("a client")
}

/// What is in `data-example/`, or in a copy of it, from the start: what the README's lines make there when somebody pastes
/// them is no part of it.
pub fn example(root: &Path) -> impl Iterator<Item = walkdir::DirEntry> {
    let made = ["Copy", ".history", ".lock", ".tmp", ".journal", "links"];
    let is_ours = move |entry: &walkdir::DirEntry| !made.iter().any(|name| entry.file_name() == *name);
    let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(is_ours);
    entries.map(|entry| entry.expect("an entry of data-example"))
}

pub fn copy(from: &Path, to: &Path) {
    for entry in example(from) {
        let target = to.join(entry.path().strip_prefix(from).expect("below"));
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).expect("a directory");
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}
