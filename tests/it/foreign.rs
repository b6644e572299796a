//! Items and directories that are somebody else's, as `sudo cp` leaves them, where the service has no right that its user has
//! not.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::mounted::{Mounted, filled};
use crate::need::need;
use crate::server::{Server, eventually, runs};
use crate::strace::Strace;
use crate::versions::{replaced, version, version_of};

const ADDRESS: &str = "/ical/folder/Foreign.ics";
const DIRECTORY: &str = "users/alice/Foreign";
const SERVICE: u32 = 0;
pub const SOMEBODY: u32 = 4000;

/// A server whose user is bound by owners and modes as any other is. Nothing where this process may not give files away.
pub fn started() -> Option<Server> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return None;
    }
    let bounds = "-dac_override,-dac_read_search,-fowner";
    need("util-linux", "setpriv").then(|| Server::wrapped(&["setpriv", "--bounding-set", bounds], |_| {}))
}

pub fn give(s: &Server, name: &str, to: u32, mode: u32) {
    std::fs::set_permissions(s.path(name), PermissionsExt::from_mode(mode)).expect("chmod");
    chown(s.path(name), Some(to), None).expect("chown");
}

fn give_items(s: &Server) {
    s.files_now(DIRECTORY).iter().for_each(|item| give(s, &format!("{DIRECTORY}/{item}"), SOMEBODY, 0o644));
}

#[track_caller]
fn shown(s: &Server, events: usize) -> usize {
    version_of(&s.get(ADDRESS, "alice").text(), events).expect("one state")
}

#[test]
fn a_save_of_one_or_several_files_into_a_directory_that_cannot_be_written_to_is_refused_and_changes_nothing()
{
    for events in [1, 3, 80] {
        let Some(s) = started() else { return };
        replaced(&s, ADDRESS, 0, events).status(201);
        s.settle();
        replaced(&s, ADDRESS, 1, events).status(204);
        s.settle();
        for closed in [DIRECTORY, "users/alice/.history/versions/Foreign"] {
            give(&s, closed, SOMEBODY, 0o755);
            let before = s.tree(DIRECTORY);
            replaced(&s, ADDRESS, 2, events).status(500);
            assert!(!s.has_journal() && s.tree(DIRECTORY) == before, "{events}, {closed}");
            assert!(!s.path("users/alice/.history/lost").exists());
            assert_eq!(shown(&s, events), 1);
            give(&s, closed, SERVICE, 0o2770);
        }
        replaced(&s, ADDRESS, 2, events).status(204);
        s.settle();
        assert_eq!(shown(&s, events), 2);
    }
}

#[test]
fn a_save_over_files_of_somebodys_in_a_sticky_directory_is_refused_and_changes_nothing() {
    for events in [1, 3, 80] {
        let Some(mut s) = started() else { return };
        replaced(&s, ADDRESS, 0, events).status(201);
        s.settle();
        for item in s.files_now(DIRECTORY) {
            give(&s, &format!("{DIRECTORY}/{item}"), SOMEBODY, 0o666);
        }
        give(&s, DIRECTORY, SOMEBODY, 0o3777);
        let before = s.tree(DIRECTORY);
        replaced(&s, ADDRESS, 1, events).status(500);
        assert!(!s.has_journal() && s.tree(DIRECTORY) == before, "{events}");
        s.restart(Signal::KILL);
        assert_eq!(shown(&s, events), 0);
    }
}

#[test]
fn what_is_saved_has_the_group_of_its_directory() {
    const GROUP: u32 = 4001;
    let Some(s) = started() else { return };
    replaced(&s, ADDRESS, 0, 1).status(201);
    s.settle();
    for directory in ["users/alice", DIRECTORY] {
        give(&s, directory, SERVICE, 0o2770);
        chown(s.path(directory), None, Some(GROUP)).expect("chown");
    }
    let group = |name: &str| s.path(name).metadata().expect("it is there").gid();
    for events in [1, 3] {
        replaced(&s, ADDRESS, 1, events).status(204);
        s.settle();
        for item in s.files_now(DIRECTORY) {
            assert_eq!(group(&format!("{DIRECTORY}/{item}")), GROUP, "{events}");
        }
    }
    s.put("/ical/folder/Other.ics", "alice", version(0, 1)).status(201);
    s.settle();
    assert_eq!(group("users/alice/Other"), GROUP);
}

/// Puts a part of a tree on another mount than the rest, or on what is as good as one.
type SetApart = fn(&Path) -> Option<Mounted>;

fn home_in_memory(data: &Path) -> Option<Mounted> {
    filled(&data.join("users/alice"), |home| Mounted::on(home, "tmpfs", "size=8m"))
}

/// One file system, and no rename all the same.
fn calendar_once_more(data: &Path) -> Option<Mounted> {
    let calendar = data.join("users/alice/Work/Projects");
    Mounted::by(&calendar, &["--bind", calendar.to_str()?])
}

/// One mount, and no rename all the same.
fn home_as_subvolume(data: &Path) -> Option<Mounted> {
    let does = |program: &str, words: &[&str]| {
        need("btrfs-progs", program)
            && Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
    };
    let image = data.with_extension("image");
    File::create(&image).and_then(|file| file.set_len(128 << 20)).expect("an image");
    let image = image.to_str()?;
    let formatted = does("mkfs.btrfs", &[image]);
    let mounted = filled(data, |data| {
        std::fs::create_dir_all(data).expect("a directory");
        formatted.then(|| Mounted::by(data, &["-t", "btrfs", "-o", "loop", image])).flatten()
    })?;
    let made = filled(&data.join("users/alice"), |home| {
        does("btrfs", &["subvolume", "create", home.to_str().unwrap_or("")])
    });
    made.then_some(mounted)
}

/// One mount, and no rename all the same: as quotas by project have it.
fn home_of_a_project(data: &Path) -> Option<Mounted> {
    let does = |package: &str, program: &str, words: &[&str]| {
        need(package, program)
            && Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
    };
    let image = data.with_extension("image");
    File::create(&image).and_then(|file| file.set_len(512 << 20)).expect("an image");
    let image = image.to_str()?;
    let formatted = does("xfsprogs", "mkfs.xfs", &[image]);
    let mounted = filled(data, |data| {
        std::fs::create_dir_all(data).expect("a directory");
        formatted.then(|| Mounted::by(data, &["-t", "xfs", "-o", "loop", image])).flatten()
    })?;
    let home = data.join("users/alice");
    let made = does("e2fsprogs", "chattr", &["-R", "-p", "42", home.to_str()?])
        && Command::new("chattr").args(["-R", "-f", "+P"]).arg(home).output().is_ok();
    made.then_some(mounted)
}

#[test]
fn a_save_of_one_or_several_files_to_another_mount_or_subvolume_is_refused_and_changes_nothing() {
    const PROJECTS: &str = "/ical/folder/Work/Projects.ics";
    let ways = [home_in_memory as SetApart, calendar_once_more, home_as_subvolume, home_of_a_project];
    for set_apart in ways {
        let mut mounted = None;
        let mut s = Server::prepared(|data| mounted = set_apart(data));
        let Some(_mounted) = mounted else { continue };
        let (text, tree) = (s.get(PROJECTS, "alice").text(), s.tree("users/alice/Work"));
        for events in [1, 3, 80] {
            let answer = s.put(PROJECTS, "alice", version(0, events)).status(500).text();
            assert!(answer.contains("another mount"), "{answer}");
            assert!(!s.has_journal() && s.tree("users/alice/Work") == tree, "{events}");
        }
        s.restart(Signal::KILL);
        assert_eq!(s.get(PROJECTS, "alice").status(200).text(), text);
    }
}

#[test]
fn what_is_acknowledged_waits_for_a_directory_that_cannot_be_written_to_any_more() {
    const EVENTS: usize = 80;
    let Some(mut s) = started() else { return };
    if !need("strace", "strace") {
        return;
    }
    replaced(&s, ADDRESS, 0, EVENTS).status(201);
    s.settle();
    let Some(strace) = Strace::inject(&s, "renameat,renameat2,rename", "signal=KILL:when=30") else { return };
    let answer = replaced(&s, ADDRESS, 1, EVENTS).try_send();
    eventually("it is dead", || (!runs(s.pid())).then_some(()));
    drop(strace);
    assert!(s.has_journal() && answer.is_ok(), "it died before it had answered, or late");
    give(&s, DIRECTORY, SOMEBODY, 0o755);
    s.start_again();
    eventually("it says so", || s.log().contains("cannot be applied").then_some(()));
    assert!(s.has_journal() && !s.path("users/alice/.history/lost").exists());
    give(&s, DIRECTORY, SERVICE, 0o2770);
    eventually("all of it is shown", || {
        let answer = s.get(ADDRESS, "alice").send();
        (answer.code == 200 && version_of(&answer.text(), EVENTS) == Ok(1)).then_some(())
    });
    s.settle();
}

#[test]
fn a_kill_loses_no_item_that_the_service_may_not_write_to() {
    if !need("strace", "strace") {
        return;
    }
    for events in [1, 3] {
        let Some(mut s) = started() else { return };
        replaced(&s, ADDRESS, 0, events).status(201);
        let mut kills = 0;
        for (n, calls) in [(100, "rename,renameat,renameat2"), (200, "link,linkat"), (300, "unlink,unlinkat")]
        {
            for nth in 1..40 {
                s.settle();
                let old = shown(&s, events);
                give_items(&s);
                let Some(strace) = Strace::inject(&s, calls, &format!("signal=KILL:when={nth}")) else {
                    return;
                };
                let answered = replaced(&s, ADDRESS, n + nth, events).try_send().is_ok();
                let survived = eventually("the files, or the end", || {
                    if runs(s.pid()) { (answered && !s.has_journal()).then_some(true) } else { Some(false) }
                });
                drop(strace);
                assert_eq!(s.files_now(DIRECTORY).len(), events, "{calls} {nth}");
                if survived {
                    break;
                }
                kills += 1;
                s.start_again();
                let now = shown(&s, events);
                assert!(now == n + nth || now == old && !answered, "{calls} {nth}: {now} after {old}");
            }
        }
        assert!(kills > 2, "no call of a save was found: what does it write with?");
    }
}
