//! Crashes and failing disks: whatever happens during a save, the calendar is its old or its new state, never half of one,
//! and nothing acknowledged is missing. `strace` stops or fails the server at each call that changes files.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::calendar::{event, plain};
use crate::mounted::started_on;
use crate::need::need;
use crate::server::{Server, eventually, runs};
use crate::strace::Strace;
use crate::versions::{replaced, version, version_of};

const ADDRESS: &str = "/ical/folder/Versions.ics";
const DIRECTORY: &str = "users/alice/Versions";

/// Replaces the calendar by version `n`. `None`: the server did not answer.
fn save(s: &Server, n: usize, events: usize) -> Option<u16> {
    replaced(s, ADDRESS, n, events).try_send().ok().map(|answer| answer.code)
}

/// The version that is served, and that the files are of as soon as all is applied.
fn served(s: &Server, events: usize) -> usize {
    let served = version_of(&s.get(ADDRESS, "alice").text(), events).expect("one state");
    eventually("the files are what is served", || (on_disk(s, events) == Ok(served)).then_some(()));
    served
}

/// The version that the files are of at this moment.
fn on_disk(s: &Server, events: usize) -> Result<usize, String> {
    let read = |name: &String| std::fs::read_to_string(s.path(DIRECTORY).join(name)).unwrap_or_default();
    version_of(&s.files_now(DIRECTORY).iter().map(read).collect::<String>(), events)
}

#[test]
fn the_check_knows_half_a_state() {
    let s = Server::start();
    save(&s, 1, 5);
    assert_eq!(version_of(&s.get(ADDRESS, "alice").text(), 5), Ok(1));
    // As a server would leave it that writes one file after the other.
    let name = format!("{DIRECTORY}/{}", s.files(DIRECTORY)[2]);
    s.write(&name, s.read(&name).replace("SUMMARY:1", "SUMMARY:2"));
    eventually("half a state", || version_of(&s.get(ADDRESS, "alice").text(), 5).err());
    s.remove(&name);
    eventually("an event too few", || version_of(&s.get(ADDRESS, "alice").text(), 5).err());
}

#[test]
fn a_kill_during_saves_leaves_one_state_not_older_than_the_last_acknowledged() {
    let mut s = Server::start();
    let events = 15;
    assert_eq!(save(&s, 0, events), Some(201));
    let mut last = 0;
    for round in 0..12 {
        let (sent, acknowledged) = (AtomicUsize::new(last), AtomicUsize::new(last));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in last + 1.. {
                    sent.store(n, Ordering::SeqCst);
                    match save(&s, n, events) {
                        Some(204) => acknowledged.store(n, Ordering::SeqCst),
                        Some(code) => panic!("version {n}: {code}"),
                        None => return,
                    }
                }
            });
            while acknowledged.load(Ordering::SeqCst) < last + 2 {
                std::thread::yield_now();
            }
            // Another moment of the next save each time.
            std::thread::sleep(Duration::from_micros(700 * round));
            let pid = rustix::process::Pid::from_raw(s.pid() as i32).expect("a process");
            rustix::process::kill_process(pid, Signal::KILL).expect("the server runs");
        });
        s.start_again();
        last = served(&s, events);
        let (sent, acknowledged) = (sent.into_inner(), acknowledged.into_inner());
        assert!((acknowledged..=sent).contains(&last), "{last} is not in {acknowledged}..={sent}");
    }
}

#[test]
fn a_stop_lets_the_request_in_flight_finish() {
    let mut s = Server::start();
    let body = version(1, 3);
    let (start, end) = body.split_at(100);
    let mut raw = s.connect();
    let length = format!("Content-Length: {}", body.len());
    raw.say(crate::raw::head("PUT", ADDRESS, "alice", &[&length, "Expect: 100-continue"]));
    // The request is being worked on once the server asks for its body.
    assert!(raw.head().starts_with("HTTP/1.1 100"));
    raw.say(start);
    let pid = rustix::process::Pid::from_raw(s.pid() as i32).expect("a process");
    rustix::process::kill_process(pid, Signal::TERM).expect("the server runs");
    raw.say(end);
    assert_eq!(raw.status(), 201);
    assert_eq!(s.terminate(), Some(0));
    assert_eq!(version_of(&s.texts(DIRECTORY).concat(), 3), Ok(1));
}

#[test]
fn staging_that_nobody_holds_is_removed_at_start() {
    let mut s = Server::start();
    s.stop(Signal::KILL);
    s.write(".tmp/4711-0/left-over", "half");
    s.start_again();
    s.get("/ical/main.ics", "alice").status(200);
    eventually("the left-over is gone", || (!s.path(".tmp/4711-0/left-over").exists()).then_some(()));
}

#[test]
fn the_cache_directory_may_be_deleted_at_any_time() {
    let mut s = Server::start();
    save(&s, 1, 3);
    let etag = s.get(ADDRESS, "alice").etag();
    let cache = s.path("../cache");
    let _ = std::fs::remove_dir_all(&cache);
    assert_eq!(save(&s, 2, 3), Some(204));
    s.stop(Signal::TERM);
    let _ = std::fs::remove_dir_all(&cache);
    s.start_again();
    assert_eq!(served(&s, 3), 2);
    assert_ne!(s.get(ADDRESS, "alice").etag(), etag);
}

/// The calls by which a save changes files, each in the spellings that libraries use.
const CALLS: [&str; 6] = [
    "fsync,fdatasync",
    "rename,renameat,renameat2",
    "link,linkat",
    "unlink,unlinkat",
    "mkdir,mkdirat",
    "openat2",
];

#[test]
fn a_kill_at_any_call_of_a_save_leaves_the_old_or_the_new_state() {
    if !need("strace", "strace") {
        return;
    }
    // One file changed, and several.
    for events in [1, 3] {
        let mut s = Server::start();
        assert_eq!(save(&s, 0, events), Some(201));
        let mut n = 0;
        let mut kills = 0;
        for calls in CALLS {
            for nth in 1..40 {
                let old = served(&s, events);
                n += 1;
                let Some(strace) = Strace::inject(&s, calls, &format!("signal=KILL:when={nth}")) else {
                    return;
                };
                let answered = save(&s, n, events);
                // What is acknowledged may still be on its way from the journal to its files, and be killed there.
                let survived = eventually("the files, or the end", || {
                    let applied = on_disk(&s, events) == Ok(n) && !s.has_journal();
                    if runs(s.pid()) { applied.then_some(true) } else { Some(false) }
                });
                drop(strace);
                if survived && runs(s.pid()) {
                    break;
                }
                kills += 1;
                s.start_again();
                let now = served(&s, events);
                assert!(now == n || (now == old && answered.is_none()), "{calls} {nth}: {now}, {answered:?}");
            }
        }
        assert!(kills > 0, "no call of a save was found: what does it write with?");
    }
}

#[test]
fn a_failing_disk_at_any_call_of_a_save_is_an_error_and_the_old_state_or_a_success_and_the_new() {
    if !need("strace", "strace") {
        return;
    }
    for (error, refused) in [("ENOSPC", &[507][..]), ("EDQUOT", &[507]), ("EIO", &[500])] {
        for events in [1, 3] {
            let mut s = Server::start();
            assert_eq!(save(&s, 0, events), Some(201));
            let mut n = 0;
            let mut failures = 0;
            for calls in &CALLS[..2] {
                for nth in 1..40 {
                    let old = served(&s, events);
                    n += 1;
                    let what = format!("error={error}:when={nth}");
                    let Some(strace) = Strace::inject(&s, calls, &what) else {
                        return;
                    };
                    let code = save(&s, n, events).expect("an answer");
                    drop(strace);
                    let (now, all_well) = (served(&s, events), code == 204);
                    println!("{error} at {calls} {nth} with {events} events: {code}");
                    assert!(all_well || refused.contains(&code), "{error} at {calls} {nth}: {code}");
                    assert_eq!(now, if all_well { n } else { old }, "{error} at {calls} {nth}: {code}");
                    // The next save works, and what it says is on the disk.
                    n += 1;
                    assert_eq!(save(&s, n, events), Some(204), "after {error} at {calls} {nth}");
                    s.restart(Signal::KILL);
                    assert_eq!(served(&s, events), n, "after a kill after {error} at {calls} {nth}");
                    if all_well {
                        break;
                    }
                    failures += 1;
                }
            }
            assert!(failures > 0, "no call of a save was found: what does it write with?");
        }
    }
}

#[test]
fn a_full_disk_is_a_507_and_changes_nothing() {
    let Some((s, mounted)) = started_on("tmpfs", "size=3m") else { return };
    assert_eq!(save(&s, 1, 5), Some(201));
    let before = s.tree("users/alice");
    std::fs::write(s.path("filler"), vec![0; 3_000_000]).expect_err("the disk is full");
    for body in [version(2, 5), plain(&[&event("big", &"x".repeat(400_000), &[])])] {
        let answer = s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").status(507);
        assert!(!answer.text().contains(s.path("").to_str().expect("UTF-8")), "{answer}");
        assert!(s.tree("users/alice") == before);
        assert_eq!(version_of(&s.get(ADDRESS, "alice").text(), 5), Ok(1));
    }
    s.put("/ical/folder/Another.ics", "alice", version(1, 2)).status(507);
    s.get("/ical/folder/Another.ics", "alice").status(404);
    std::fs::remove_file(s.path("filler")).expect("room again");
    assert_eq!(save(&s, 3, 5), Some(204));
    assert_eq!(served(&s, 5), 3);
    drop(s);
    drop(mounted);
}

#[test]
fn a_disk_with_room_for_a_journal_and_not_for_its_files_is_full() {
    const EVENTS: usize = 200;
    let Some((mut s, _mounted)) = started_on("tmpfs", "size=8m") else { return };
    assert_eq!(save(&s, 1, EVENTS), Some(201));
    s.settle();
    let before = s.tree("users/alice");
    let filler = std::fs::File::create(s.path("filler")).expect("a file");
    while (&filler).write_all(&[0; 4096]).is_ok() {}
    // Less than a block for each file.
    filler.set_len(filler.metadata().expect("a file").len() - 400_000).expect("some room");
    assert_eq!(save(&s, 2, EVENTS), Some(507));
    assert!(!s.has_journal() && s.tree("users/alice") == before);
    s.restart(Signal::KILL);
    assert_eq!(served(&s, EVENTS), 1);
    drop(filler);
    std::fs::remove_file(s.path("filler")).expect("room again");
    assert_eq!(save(&s, 3, EVENTS), Some(204));
    assert_eq!(served(&s, EVENTS), 3);
}
