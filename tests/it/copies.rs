//! Copies of the tree: one taken at any moment, under load, opens clean; one that is put back is a change like any other, which
//! no program undoes with what it remembers of later.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::calendar::{components, event, plain, summaries, value};
use crate::need::need;
use crate::server::{Server, eventually};
use crate::versions::replaced;

const ADDRESS: &str = "/ical/folder/Plans.ics";
const DIRECTORY: &str = "users/alice/Plans";
const EVENTS: usize = 12;

/// Runs a program that may find that a file has gone meanwhile; gives what it says about that.
fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> String {
    let output = Command::new(program).args(arguments).args(paths).output().expect(program);
    let said = String::from_utf8_lossy(&output.stderr);
    let is_of_load = |line: &str| {
        [
            "No such file",
            "vanished",
            "changed as we read it",
            "removed before",
            "some files",
            "previous errors",
            REPLACED,
        ]
        .iter()
        .any(|part| line.contains(part))
    };
    // A panic here would leave the one that saves without an end.
    if !said.lines().all(|line| line.trim().is_empty() || is_of_load(line)) {
        println!("{program}: {said}");
    }
    said.into_owned()
}

/// What `cp` says of a file that it leaves out because it was another one a moment before.
const REPLACED: &str = "was replaced while being copied";

fn cp(from: &Path, to: &Path) {
    while run("cp", &["-aT"], &[from, to]).contains(REPLACED) {}
}

fn tar(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    let archive = to.with_extension("tar");
    run("tar", &["-cf"], &[&archive, Path::new("-C"), from, Path::new(".")]);
    run("tar", &["-xf"], &[&archive, Path::new("-C"), to]);
}

fn rsync(from: &Path, to: &Path) {
    run("rsync", &["-a"], &[&from.join(""), to]);
}

/// What a command prints about the server's tree.
#[track_caller]
fn kalends(s: &Server, command: &str, arguments: &[&str]) -> String {
    let mut kalends = Command::new(env!("CARGO_BIN_EXE_kalends"));
    kalends.arg(command).args(arguments);
    match command {
        "check" => kalends.arg(s.path("")),
        _ => kalends.arg("--data").arg(s.path("")),
    };
    let output = kalends.output().expect("the command");
    // The example's tree has its flaws.
    assert!(output.status.success() || command == "check", "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A program's name, and how it copies one directory to another.
type Copier = (&'static str, fn(&Path, &Path));

fn save(s: &Server, n: usize) {
    replaced(s, ADDRESS, n, EVENTS).etag();
}

/// The version of each item that is served.
fn versions(s: &Server) -> HashMap<String, usize> {
    let text = s.get(ADDRESS, "alice").text();
    let parts = components(&text);
    let version = |part: &String| value(part, "SUMMARY").and_then(|said| said.parse().ok());
    parts.iter().filter_map(|part| Some((value(part, "UID")?, version(part)?))).collect()
}

#[test]
fn a_copy_taken_at_any_moment_under_load_opens_clean() {
    if !need("rsync", "rsync") {
        return;
    }
    let s = Server::start();
    save(&s, 0);
    let (done, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut copies = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1.. {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                save(&s, n);
                acknowledged.store(n, Ordering::SeqCst);
            }
        });
        let copiers: [Copier; 3] = [("cp", cp), ("tar", tar), ("rsync", rsync)];
        for (program, copy) in copiers.into_iter().cycle().take(9) {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let before = acknowledged.load(Ordering::SeqCst);
            copy(&s.path(""), &directory.path().join("data"));
            copies.push((program, directory, before..=acknowledged.load(Ordering::SeqCst) + 1));
        }
        done.store(true, Ordering::SeqCst);
    });
    for (program, directory, range) in copies {
        let copied = Server::over(directory);
        // Each item is as it was at some moment of the copying: not older, not gone, not half.
        let found = versions(&copied);
        assert_eq!(found.len(), EVENTS, "{program}: {found:?}\n{}", copied.log());
        assert!(
            found.values().all(|n| range.contains(n)),
            "{program}: {range:?}: {found:?}\n{}",
            copied.log()
        );
        copied.settle();
        // It is a tree to work on.
        save(&copied, 0);
        assert!(versions(&copied).values().all(|n| *n == 0));
    }
}

/// A tree that has gone on from a copy that was made of it.
struct Backed {
    s: Server,
    /// What a program has that loaded the calendar last.
    etag: String,
    text: String,
}

/// In the copy: `old`, `B`. Since then `old` became `new`, B was removed and D was added.
fn backed() -> Backed {
    let s = Server::start();
    let put = |items: &[String]| {
        let body = plain(&items.iter().map(String::as_str).collect::<Vec<_>>());
        s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").etag()
    };
    let stamped = |day: u8| format!("LAST-MODIFIED:202610{day:02}T080000Z");
    put(&[event("a", "old", &[&stamped(1)]), event("b", "B", &[])]);
    s.settle();
    cp(&s.path("users/alice"), &s.path("../backup"));
    put(&[event("a", "new", &[&stamped(2)]), event("d", "D", &[])]);
    s.settle();
    let answer = s.get(ADDRESS, "alice").status(200);
    Backed { etag: answer.etag(), text: answer.text(), s }
}

impl Backed {
    fn put_back(&self) {
        self.put_back_to("users/alice");
    }

    /// Puts the copy, as tar brings it, in the place of a home.
    fn put_back_to(&self, home: &str) {
        std::fs::remove_dir_all(self.s.path(home)).expect("removed");
        tar(&self.s.path("../backup"), &self.s.path(home));
    }

    /// Waits until the server has seen what the newest changes are: for more than two of its looks.
    fn settle(&self) {
        self.s.settle();
        std::thread::sleep(Duration::from_secs(3));
    }

    /// Waits until it is said that the homes of these users went back in time, of each once; and it is said no more than that.
    #[track_caller]
    fn says_of(&self, users: &[&str]) {
        let said = || -> Vec<String> {
            let log = self.s.log();
            let lines = log.lines().filter_map(|line| line.split_once(": the home went back in time"));
            lines.filter_map(|(before, _)| before.rsplit(' ').next().map(str::to_owned)).collect()
        };
        eventually("it is said", || (said().len() >= users.len()).then_some(()));
        // Three more looks.
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(said(), users, "{}", self.s.log());
        for user in users {
            let told = kalends(&self.s, "history", &[user]);
            assert_eq!(told.matches("the home went back in time: 20").count(), 1, "{told}");
        }
        let checked = kalends(&self.s, "check", &["--quiet"]);
        assert!(!checked.contains("users/alice"), "{checked}");
    }

    /// The program, which has not loaded anew, adds C to what it has.
    fn program_saves(&self) {
        let with_c = self.text.replace("END:VCALENDAR", &format!("{}END:VCALENDAR", event("c", "C", &[])));
        self.s.put(ADDRESS, "alice", with_c).header("If", &format!("([{}])", self.etag)).etag();
    }

    #[track_caller]
    fn serves(&self, wanted: &[&str]) {
        eventually("what was put back is served", || {
            (summaries(&self.s.get(ADDRESS, "alice").send().text()) == wanted).then_some(())
        });
    }
}

#[test]
fn a_home_put_back_under_a_running_server_is_served_and_no_stale_program_undoes_it() {
    let backed = backed();
    backed.settle();
    backed.put_back();
    backed.serves(&["B", "old"]);
    let answer = backed.s.get(ADDRESS, "alice").header("If-None-Match", &backed.etag).status(200);
    assert_ne!(answer.etag(), backed.etag);
    backed.program_saves();
    backed.serves(&["B", "C", "old"]);
    assert!(backed.s.files(DIRECTORY).len() == 3);
    backed.says_of(&["alice"]);
}

#[test]
fn a_home_put_back_while_no_server_runs_is_served_and_no_stale_program_undoes_it() {
    let mut backed = backed();
    backed.s.stop(Signal::TERM);
    backed.put_back();
    backed.s.start_again();
    backed.serves(&["B", "old"]);
    backed.s.get(ADDRESS, "alice").header("If-None-Match", &backed.etag).status(200);
    backed.program_saves();
    backed.serves(&["B", "C", "old"]);
    backed.says_of(&["alice"]);
    // It went back once, however often it is looked at.
    backed.s.restart(Signal::TERM);
    backed.serves(&["B", "C", "old"]);
    backed.says_of(&["alice"]);
}

#[test]
fn a_home_that_went_back_is_noticed_at_the_start_also_if_nobody_asks_for_it() {
    let mut backed = backed();
    backed.s.stop(Signal::TERM);
    backed.put_back();
    backed.s.start_again();
    backed.says_of(&["alice"]);
}

#[test]
fn a_home_that_is_copied_over_another_users_is_noticed_and_a_copy_of_what_is_there_is_not() {
    let mut backed = backed();
    backed.s.put("/ical/folder/Own.ics", "bob", plain(&[&event("own", "Own", &[])])).status(201);
    backed.settle();
    backed.put_back_to("users/bob");
    eventually("it is served", || (backed.s.get(ADDRESS, "bob").send().code == 200).then_some(()));
    // Alice's is put back as it is now, with other inodes and under a server that was not there when it was copied.
    backed.s.stop(Signal::TERM);
    tar(&backed.s.path("users/alice"), &backed.s.path("../now"));
    std::fs::remove_dir_all(backed.s.path("users/alice")).expect("removed");
    tar(&backed.s.path("../now"), &backed.s.path("users/alice"));
    backed.s.start_again();
    backed.serves(&["D", "new"]);
    backed.says_of(&["bob"]);
}

#[test]
fn without_the_cache_nothing_is_said_of_what_happened_before() {
    let mut backed = backed();
    backed.s.stop(Signal::TERM);
    backed.put_back();
    std::fs::remove_dir_all(backed.s.path("../cache")).expect("removed");
    backed.s.start_again();
    backed.serves(&["B", "old"]);
    backed.says_of(&[]);
    // And from then on all is as ever.
    backed.s.stop(Signal::TERM);
    let body = plain(&[&event("a", "later", &[])]);
    backed.s.start_again();
    backed.s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").etag();
    backed.s.restart(Signal::TERM);
    backed.put_back();
    backed.serves(&["B", "old"]);
    backed.says_of(&["alice"]);
}

#[test]
fn a_restore_after_a_home_was_put_back_goes_by_the_history_that_came_with_it() {
    let backed = backed();
    backed.put_back();
    backed.serves(&["B", "old"]);
    let body = plain(&[&event("a", "later", &[]), &event("b", "B", &[])]);
    backed.s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").etag();
    kalends(&backed.s, "restore", &["alice/Plans"]);
    backed.serves(&["B", "old"]);
}
