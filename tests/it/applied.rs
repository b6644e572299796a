//! What comes after the answer to a save of several files: its journal stays until all of them are on the disk, also where
//! that takes more than one try. `strace` has syncs fail, and tells in which order things are done.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::mounted::started_on;
use crate::need::need;
use crate::server::{Server, eventually};
use crate::strace::Strace;
use crate::versions::{replaced, version_of};

const ADDRESS: &str = "/ical/folder/Applied.ics";
const DIRECTORY: &str = "users/alice/Applied";
/// Few enough that each file is synced by itself, and so many that the file system is.
const SIZES: [usize; 2] = [3, 80];

/// The version that the files are of at this moment.
fn on_disk(s: &Server, events: usize) -> Result<usize, String> {
    let read = |name: &String| std::fs::read_to_string(s.path(DIRECTORY).join(name)).unwrap_or_default();
    version_of(&s.files_now(DIRECTORY).iter().map(read).collect::<String>(), events)
}

fn inodes(s: &Server) -> Vec<u64> {
    let inode = |name: &String| s.path(DIRECTORY).join(name).metadata().expect("a file").ino();
    s.files_now(DIRECTORY).iter().map(inode).collect()
}

#[test]
fn a_journal_stays_while_the_disk_refuses_its_files_and_what_it_refused_is_written_again() {
    if !need("strace", "strace") {
        return;
    }
    for events in SIZES {
        let mut s = Server::start();
        replaced(&s, ADDRESS, 0, events).status(201);
        s.settle();
        // The journal's own file and directory are made durable: they are what the answer stands on.
        let refused = if events == SIZES[0] { "error=EIO:when=3+" } else { "error=EIO" };
        let calls = if events == SIZES[0] { "fsync" } else { "syncfs" };
        let Some(strace) = Strace::inject(&s, calls, refused) else { return };
        replaced(&s, ADDRESS, 1, events).status(204);
        let failures = || s.log().matches("a commit is made but cannot be applied yet").count();
        eventually("it is refused", || (failures() > 0).then_some(()));
        assert!(s.has_journal());
        assert_eq!(on_disk(&s, events), Ok(1), "placed, and as good as any other to whoever reads it");
        let first = inodes(&s);
        // Held, so that no other file gets their numbers.
        let held =
            s.files_now(DIRECTORY).into_iter().map(|name| std::fs::File::open(s.path(DIRECTORY).join(name)));
        let held: Vec<_> = held.map(|file| file.expect("a file")).collect();
        let before = failures();
        eventually("it is refused again", || (failures() > before).then_some(()));
        assert!(s.has_journal());
        assert!(inodes(&s).iter().all(|inode| !first.contains(inode)));
        drop(held);
        if events == SIZES[0] {
            drop(strace);
        } else {
            // Another process finishes it.
            s.stop(Signal::KILL);
            drop(strace);
            assert!(s.has_journal());
            s.start_again();
        }
        assert_eq!(version_of(&s.get(ADDRESS, "alice").text(), events), Ok(1));
        s.settle();
        assert_eq!(on_disk(&s, events), Ok(1));
        replaced(&s, ADDRESS, 2, events).status(204);
        s.settle();
        assert_eq!(on_disk(&s, events), Ok(2));
    }
}

/// The calls of a save of so many files, in their order.
fn calls(s: &Server, events: usize, calls: &str) -> Option<Vec<String>> {
    replaced(s, ADDRESS, 0, events).status(201);
    s.settle();
    let list = s.path("../calls");
    let strace = Strace::list(s, calls, &list)?;
    replaced(s, ADDRESS, 1, events).status(204);
    s.settle();
    // What follows the end of the journal.
    std::thread::sleep(Duration::from_millis(300));
    drop(strace);
    let said = std::fs::read_to_string(list).expect("a list");
    Some(said.lines().map(|line| line.trim_end().to_owned()).collect())
}

#[test]
fn the_descriptor_that_a_large_save_is_synced_by_is_older_than_the_files_it_places() {
    if !need("strace", "strace") {
        return;
    }
    let s = Server::start();
    let Some(calls) = calls(&s, SIZES[1], "openat2,openat,rename,renameat,renameat2,syncfs") else { return };
    let synced = calls.iter().position(|call| call.contains("syncfs(")).expect("the file system is synced");
    let (_, rest) = calls[synced].split_once("syncfs(").expect("its descriptor");
    let descriptor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let opened = format!(" = {descriptor}");
    let opens = |call: &String| call.contains("openat") && call.ends_with(&opened);
    let opened = calls[..synced].iter().rposition(opens).expect("it was opened");
    let placed = calls.iter().position(|call| call.contains("rename") && call.contains(".ics\""));
    assert!(opened < placed.expect("files are placed"), "{calls:#?}");
}

#[test]
fn the_end_of_a_journal_is_made_durable_where_the_file_system_keeps_no_order() {
    if !need("strace", "strace") {
        return;
    }
    for (kind, options, wanted) in [("tmpfs", "size=20m", false), ("ramfs", "mode=755", true)] {
        let Some((s, _mounted)) = started_on(kind, options) else { return };
        let Some(calls) = calls(&s, SIZES[0], "unlink,unlinkat,fsync") else { return };
        // Journals are named after the home and the change.
        let home = &blake3::hash(b"users/alice").to_hex()[..12];
        let ended = calls.iter().rposition(|call| call.contains(home)).expect("the journal goes");
        let synced = calls[ended..].iter().any(|call| call.contains("fsync(") && call.ends_with(" = 0"));
        assert_eq!(synced, wanted, "{kind}: {calls:#?}");
    }
}
