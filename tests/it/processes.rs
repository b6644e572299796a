//! Several processes on one tree: a command beside the server, two servers. Nobody sees half of what another does, and what one
//! leaves undone another finishes.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::calendar::{event, plain, summaries};
use crate::mounted::Mounted;
use crate::need::need;
use crate::server::{Server, eventually};
use crate::strace::Strace;
use crate::versions::{replaced, version_of};

const ADDRESS: &str = "/ical/folder/Plans.ics";
const DIRECTORY: &str = "users/alice/Plans";

fn save(s: &Server, n: usize, events: usize) {
    replaced(s, ADDRESS, n, events).etag();
}

/// The version that a server shows, which is one.
#[track_caller]
fn shown(s: &Server, events: usize) -> usize {
    version_of(&s.get(ADDRESS, "alice").text(), events).expect("one state")
}

fn restore(s: &Server) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kalends"));
    with_arguments(s, &mut command);
    command
}

fn with_arguments(s: &Server, command: &mut Command) {
    command.args(["restore", "--data"]).arg(s.path("")).arg("alice/Plans");
    command.env("XDG_CACHE_HOME", s.path("../cache"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
}

#[test]
fn no_reader_sees_half_of_what_a_command_or_another_server_does() {
    const EVENTS: usize = 40;
    let s = Server::start();
    let other = s.beside();
    save(&s, 0, EVENTS);
    save(&s, 1, EVENTS);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for server in [&s, &other] {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    shown(server, EVENTS);
                }
            });
        }
        for n in 2..8 {
            assert!(restore(&s).status().expect("the command").success());
            save(if n % 2 == 0 { &s } else { &other }, n, EVENTS);
        }
        done.store(true, Ordering::SeqCst);
    });
    for server in [&s, &other] {
        eventually("both show the last save", || (shown(server, EVENTS) == 7).then_some(()));
    }
}

#[test]
fn two_servers_lose_nothing_of_what_is_saved_to_either() {
    let s = Server::start();
    let other = s.beside();
    s.put(ADDRESS, "alice", plain(&[&event("first", "first", &[])])).status(201);
    std::thread::scope(|scope| {
        for (name, server) in [("a", &s), ("b", &other)] {
            scope.spawn(move || {
                for n in 0..25 {
                    // One item a time, each into what the other has made of the calendar.
                    let item = event(&format!("{name}{n}"), &format!("{name}{n}"), &[]);
                    server.put(ADDRESS, "alice", plain(&[&item])).etag();
                }
            });
        }
    });
    for server in [&s, &other] {
        eventually("both show all of it", || {
            (summaries(&server.get(ADDRESS, "alice").text()).len() == 51).then_some(())
        });
    }
    assert_eq!(s.files(DIRECTORY).len(), 51);
}

#[test]
fn what_a_process_that_died_has_left_is_finished_by_who_reads_next() {
    const EVENTS: usize = 300;
    let s = Server::start();
    let mut other = s.beside();
    if !need("strace", "strace") {
        return;
    }
    save(&s, 0, EVENTS);
    s.settle();
    shown(&other, EVENTS);
    // The other one dies between its answer, for which the journal is enough, and the files.
    let Some(strace) = Strace::inject(&other, "renameat,renameat2,rename", "signal=KILL:when=30") else {
        return;
    };
    let answer = replaced(&other, ADDRESS, 1, EVENTS).try_send();
    eventually("the other is dead", || (!crate::server::runs(other.pid())).then_some(()));
    drop(strace);
    other.stop(Signal::KILL);
    assert!(s.has_journal() && answer.is_ok(), "it died before it had answered, or late");
    let version = shown(&s, EVENTS);
    assert!(version < 2);
    eventually("the first one shows all of it", || (shown(&s, EVENTS) == 1).then_some(()));
    s.settle();
}

#[test]
fn what_a_process_that_died_has_left_is_finished_before_the_next_save_of_one_that_saw_no_journal_for_long() {
    const EVENTS: usize = 300;
    if !need("strace", "strace") {
        return;
    }
    let s = Server::start();
    let mut other = s.beside();
    save(&s, 0, EVENTS);
    s.settle();
    // Of one item each: they look for journals, find none, and make none.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(100));
        s.put("/ical/folder/Single.ics", "alice", plain(&[&event("one", "one", &[])])).etag();
    }
    let Some(strace) = Strace::inject(&other, "renameat,renameat2,rename", "signal=KILL:when=30") else {
        return;
    };
    replaced(&other, ADDRESS, 1, EVENTS).try_send().expect("an answer");
    eventually("the other is dead", || (!crate::server::runs(other.pid())).then_some(()));
    drop(strace);
    other.stop(Signal::KILL);
    assert!(s.has_journal());
    s.put(ADDRESS, "alice", plain(&[&event("new", "1", &[])])).status(204);
    assert_eq!(version_of(&s.get(ADDRESS, "alice").text(), EVENTS + 1), Ok(1));
    assert_eq!(version_of(&s.texts(DIRECTORY).concat(), EVENTS + 1), Ok(1));
}

/// Makes a share's book of bases larger than all may be: with a hole behind its head, before all that is in use.
fn blow_up(book: &std::path::Path) {
    const HEAD: usize = 24;
    const HOLE: u64 = 300 << 20;
    let bytes = std::fs::read(book).expect("a book");
    let mut file = std::fs::File::create(book).expect("a book");
    file.write_all(&bytes[..HEAD]).expect("written");
    file.seek(SeekFrom::Start(HEAD as u64 + HOLE)).expect("a hole");
    file.write_all(&bytes[HEAD..]).expect("written");
}

#[test]
fn two_servers_that_prune_one_cache_at_once_leave_what_is_in_use_a_base() {
    let mut s = Server::start();
    s.put(
        ADDRESS,
        "alice",
        plain(&["a", "b"].map(|uid| event(uid, uid, &[])).each_ref().map(String::as_str)),
    )
    .status(201);
    let etag = s.get(ADDRESS, "alice").etag();
    s.stop(Signal::TERM);
    let cache = walkdir::WalkDir::new(s.path("../cache")).into_iter().flatten();
    let books: Vec<_> = cache
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.is_file())
        .filter(|path| path.extension().is_some_and(|it| it == "views"))
        .collect();
    assert!(!books.is_empty());
    books.iter().for_each(|book| blow_up(book));
    // Both begin with that.
    let other = s.beside();
    s.start_again();
    let saves = |server: &Server, items: &[&str]| {
        let items: Vec<_> = items.iter().map(|uid| event(uid, uid, &[])).collect();
        let body = plain(&items.iter().map(String::as_str).collect::<Vec<_>>());
        server.put(ADDRESS, "alice", body).header("If", &format!("([{etag}])")).etag()
    };
    saves(&s, &["a", "b", "c"]);
    eventually("they are pruned", || {
        let len = |book: &std::path::PathBuf| book.metadata().map_or(0, |it| it.len());
        (books.iter().map(len).sum::<u64>() < 1 << 20).then_some(())
    });
    // Of what that one has in memory nothing is of the View but what it has read: b was there and is left out, c was not.
    saves(&other, &["a"]);
    for server in [&s, &other] {
        eventually("both show it", || {
            (summaries(&server.get(ADDRESS, "alice").text()) == ["a", "c"]).then_some(())
        });
    }
    saves(&s, &["a", "d"]);
    assert_eq!(summaries(&s.get(ADDRESS, "alice").text()), ["a", "c", "d"]);
    let cache = walkdir::WalkDir::new(s.path("../cache")).into_iter().flatten();
    let left: Vec<_> = cache.filter(|it| it.path().extension().is_some_and(|it| it == "staged")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_an_editor_writes_while_a_save_is_on_its_way_to_the_disk_is_merged_and_not_replaced() {
    if !need("strace", "strace") {
        return;
    }
    // One file, and a journal of two.
    for (b, after) in [("B", ["B", "mine"]), ("B too", ["B too", "mine"])] {
        let s = Server::start();
        s.put(ADDRESS, "alice", plain(&[&event("a", "old", &[]), &event("b", "B", &[])])).status(201);
        s.settle();
        let etag = s.get(ADDRESS, "alice").etag();
        let file = format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, "UID:a"));
        // Between the look at the files and the rename there is the staged file's fsync: that takes long now.
        let Some(strace) = Strace::inject(&s, "fsync", "delay_enter=1000000") else { return };
        let answer = std::thread::scope(|scope| {
            let mine = plain(&[&event("a", "mine", &[]), &event("b", b, &[])]);
            let save =
                scope.spawn(|| s.put(ADDRESS, "alice", mine).header("If", &format!("([{etag}])")).send());
            eventually("what is saved is staged", || s.is_staging().then_some(()));
            s.write(&file, plain(&[&event("a", "theirs", &[])]));
            save.join().expect("an answer")
        });
        drop(strace);
        assert_eq!(answer.code, 204, "{answer}");
        assert!(answer.header("Kalends-Merge").contains("conflicts=1"), "{answer}");
        eventually("the save is served", || {
            (summaries(&s.get(ADDRESS, "alice").text()) == after).then_some(())
        });
        s.settle();
        let kept = s.tree("users/alice/.history");
        let theirs = |(path, bytes): &&(std::path::PathBuf, Vec<u8>)| {
            !path.iter().any(|name| name == "lost")
                && String::from_utf8_lossy(bytes).contains("SUMMARY:theirs")
        };
        assert!(kept.iter().any(|kept| theirs(&kept)));
        assert!(summaries(&s.texts(DIRECTORY).concat()).contains(&"mine".to_owned()));
    }
}

#[test]
fn a_kill_at_any_call_of_a_restore_leaves_the_old_or_the_restored_state_and_the_next_restore_works() {
    if !need("strace", "strace") {
        return;
    }
    let calls = [
        "fsync,fdatasync,syncfs",
        "rename,renameat,renameat2",
        "link,linkat",
        "unlink,unlinkat",
        "mkdir,mkdirat",
    ];
    // One file, several, and a calendar that was removed.
    for (events, removed) in [(1, false), (3, false), (3, true)] {
        let s = Server::start();
        save(&s, 0, events);
        let (mut kills, mut n) = (0, 0);
        for calls in calls {
            for nth in 1..60 {
                let old = n;
                n += 1;
                if removed {
                    s.delete(ADDRESS, "alice").status(204);
                    n = old;
                } else {
                    save(&s, n, events);
                }
                s.settle();
                let mut command = Command::new("strace");
                command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
                command.args(["-e", &format!("inject={calls}:signal=KILL:when={nth}")]);
                command.arg(env!("CARGO_BIN_EXE_kalends"));
                with_arguments(&s, &mut command);
                let survived = command.status().expect("strace").success();
                // What is served is one state, whatever is left of the command.
                let state = || match s.get(ADDRESS, "alice").send() {
                    answer if answer.code == 404 => None,
                    answer => Some(version_of(&answer.text(), events).expect("one state")),
                };
                let allowed = if removed { [None, Some(old)] } else { [Some(n), Some(old)] };
                let now = state();
                assert!(allowed.contains(&now), "{calls} {nth}: {now:?}");
                assert!(restore(&s).status().expect("the command").success(), "after {calls} {nth}");
                eventually("it is restored", || (state() == Some(old)).then_some(()));
                assert!(s.files(DIRECTORY).len() == events, "{calls} {nth}");
                n = old;
                if survived {
                    break;
                }
                kills += 1;
            }
        }
        println!("{kills} kills with {events} events, removed: {removed}");
        assert!(kills > 0, "no call of a restore was found, or strace may not trace");
    }
}

/// As another process has it that is about to apply a save: alice's lock, and a whole journal.
fn held_by_another(s: &Server) -> (std::fs::File, String) {
    let holder = std::fs::File::open(s.path("users/alice/.lock")).expect("a lock");
    rustix::fs::flock(&holder, rustix::fs::FlockOperation::LockExclusive).expect("flock");
    let day = jiff::Timestamp::now().strftime("%Y%m%d").to_string();
    let record = s.read(&format!("users/alice/.history/log/{day}.log"));
    let record = record.lines().last().expect("a record");
    let mut text =
        format!("kalends journal 1\n{{\"home\":\"users/alice\",\"record\":{record},\"operations\":[]}}\n")
            .into_bytes();
    text.extend(blake3::hash(&text).as_bytes());
    // Journals are named after their homes.
    let home = blake3::hash(b"users/alice").to_hex();
    let journal = format!(".journal/{}-20261101T000000.000000Z-1-0", &home[..12]);
    s.write(&journal, text);
    (holder, journal)
}

#[test]
fn who_reads_takes_over_from_a_writer_that_dies_meanwhile() {
    let s = Server::start();
    save(&s, 0, 2);
    s.settle();
    let (holder, journal) = held_by_another(&s);
    std::thread::scope(|scope| {
        // Nobody has asked for this one before: there is nothing older to serve.
        let read = scope.spawn(|| s.get("/ical/folder/Work/Projects.ics", "alice").send());
        std::thread::sleep(Duration::from_secs(1));
        assert!(!read.is_finished() && s.path(&journal).exists());
        drop(holder);
        assert_eq!(read.join().expect("an answer").code, 200);
    });
    assert!(!s.path(&journal).exists());
}

#[test]
fn a_commit_that_its_own_process_applies_is_no_unfinished_one_to_a_command() {
    let s = Server::start();
    save(&s, 0, 2);
    s.settle();
    waits_for_another(&s, &s.path(""));
    let read_only = s.path("../read-only");
    std::fs::create_dir(&read_only).expect("a directory");
    if let Some(_mounted) = Mounted::by(&read_only, &["-o", "bind,ro", s.path("").to_str().expect("UTF-8")]) {
        waits_for_another(&s, &read_only);
    }
}

/// Whether a command that finds the server's tree at `data` waits for whoever applies a commit there.
fn waits_for_another(s: &Server, data: &Path) {
    let (holder, journal) = held_by_another(s);
    let command = Command::new(env!("CARGO_BIN_EXE_kalends"))
        .args(["history", "--data"])
        .arg(data)
        .arg("alice/Plans")
        .env("XDG_CACHE_HOME", s.path("../cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command");
    let open = format!("/proc/{}/fd", command.id());
    eventually("the command has seen the journal and waits", || {
        let mut open = std::fs::read_dir(&open).ok()?.flatten();
        open.any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path.ends_with("alice/.lock")))
            .then_some(())
    });
    std::fs::remove_file(s.path(&journal)).expect("applied");
    drop(holder);
    let output = command.wait_with_output().expect("its end");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn who_waits_for_a_lock_that_is_replaced_meanwhile_waits_for_the_one_in_its_place() {
    let s = Server::start();
    save(&s, 0, 2);
    s.settle();
    let lock = s.path("users/alice/.lock");
    let locked = || {
        let file = std::fs::File::options().create(true).append(true).open(&lock).expect("a lock");
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("flock");
        file
    };
    let first = locked();
    std::thread::scope(|scope| {
        let save = scope.spawn(|| s.put(ADDRESS, "alice", plain(&[&event("new", "0", &[])])).send());
        eventually("it waits for the first", || {
            let mut open = std::fs::read_dir(format!("/proc/{}/fd", s.pid())).ok()?.flatten();
            open.any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == lock)).then_some(())
        });
        std::fs::remove_file(&lock).expect("removed");
        let second = locked();
        drop(first);
        std::thread::sleep(Duration::from_secs(1));
        assert!(!save.is_finished(), "two write at once");
        drop(second);
        assert_eq!(save.join().expect("an answer").code, 204);
    });
}

#[test]
fn who_is_told_to_stop_puts_what_it_has_acknowledged_in_place_first() {
    const EVENTS: usize = 500;
    let mut s = Server::start();
    save(&s, 0, EVENTS);
    assert_eq!(s.terminate(), Some(0));
    assert!(!s.has_journal());
    assert_eq!(s.files_now(DIRECTORY).len(), EVENTS);
}
