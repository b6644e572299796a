//! Histories that expire: what goes is there as a whole or not at all, wherever the server is killed over it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::need::need;
use crate::server::{Server, eventually, runs};
use crate::versions::{replaced, version_of};

const ADDRESS: &str = "/ical/folder/Plans.ics";
const EVENTS: usize = 3;
/// A change that is too old to be kept.
const OLD: &str = "20250101T000000.000000Z-1";

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// A calendar that was removed, and a server that is stopped.
struct Removed {
    s: Server,
    /// Where the history keeps what was removed.
    place: PathBuf,
    /// What it has of the calendar.
    kept: PathBuf,
}

impl Removed {
    fn new() -> Removed {
        let mut s = Server::start();
        replaced(&s, ADDRESS, 1, EVENTS).status(201);
        s.delete(ADDRESS, "alice").status(204);
        s.settle();
        s.stop(Signal::TERM);
        let (place, kept) = (s.path("users/alice/.history/removed"), s.path("../kept"));
        let change = names(&place).pop().expect("a change");
        std::fs::rename(place.join(change), &kept).expect("renamed");
        Removed { s, place, kept }
    }

    /// Puts the calendar into the history as one that was removed long ago.
    fn put_in(&self) {
        let copied = Command::new("cp").arg("-a").arg(&self.kept).arg(self.place.join(OLD)).status();
        assert!(copied.expect("cp").success());
    }

    /// A server that strace kills at the `nth` of these calls. It is the very child: strace is a child of its own.
    fn killed_at(&self, calls: &str, nth: usize) -> Child {
        Command::new("strace")
            .args(["-D", "-f", "-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:signal=KILL:when={nth}")])
            .arg(env!("CARGO_BIN_EXE_kalends"))
            .arg("serve")
            .arg(self.s.path(""))
            .args(["--listen", "127.0.0.1:0"])
            .env("XDG_CACHE_HOME", self.s.path("../cache"))
            .env_remove("CACHE_DIRECTORY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace")
    }

    fn is_empty(&self) -> bool {
        names(&self.place).is_empty()
    }

    fn checked(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_kalends")).arg("check").arg(self.s.path("")).output();
        String::from_utf8(output.expect("the command").stdout).expect("UTF-8")
    }
}

/// The findings about a user's home.
fn of_alice(checked: &str) -> Vec<String> {
    checked.lines().filter(|line| line.contains("users/alice")).map(str::to_owned).collect()
}

#[test]
fn a_kill_at_any_call_of_an_expiry_leaves_a_removed_calendar_whole_or_out_of_sight_and_the_next_round_ends_it()
 {
    if !need("strace", "strace") {
        return;
    }
    let mut removed = Removed::new();
    let before = of_alice(&removed.checked());
    // How often it was killed while the calendar was whole, and while it was not.
    let mut kills = [0, 0];
    for calls in ["rename,renameat,renameat2", "unlink,unlinkat,rmdir"] {
        for nth in 1..60 {
            removed.put_in();
            let mut server = removed.killed_at(calls, nth);
            let killed = eventually("the end of the calendar or of the server", || match runs(server.id()) {
                true => removed.is_empty().then_some(false),
                false => Some(true),
            });
            // What lives is done with it, and stops as ever.
            let _ = kill_process(Pid::from_child(&server), Signal::TERM);
            server.wait().expect("an ended process");
            let (place, left) = (removed.place.join(OLD), names(&removed.place));
            match &left[..] {
                [] => {}
                [it] if it == OLD => {
                    let files = walkdir::WalkDir::new(place).into_iter().flatten();
                    let items = files.filter(|file| file.path().extension().is_some_and(|it| it == "ics"));
                    let text: String =
                        items.filter_map(|it| std::fs::read_to_string(it.path()).ok()).collect();
                    assert_eq!(version_of(&text, EVENTS), Ok(1), "{calls} {nth}");
                }
                [it] => assert_eq!(*it, format!(".{OLD}"), "{calls} {nth}"),
                more => panic!("{calls} {nth}: {more:?}"),
            }
            assert_eq!(of_alice(&removed.checked()), before, "{calls} {nth}");
            removed.s.start_again();
            eventually("the next round has ended it", || removed.is_empty().then_some(()));
            removed.s.stop(Signal::TERM);
            if !killed {
                break;
            }
            kills[usize::from(left != [OLD])] += 1;
        }
    }
    println!("{kills:?} kills");
    assert!(kills[1] >= EVENTS, "no call of an expiry was found: {kills:?}");
}
