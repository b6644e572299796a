//! How long a home's history reaches back: so many days, and no more bytes than so many. The oldest goes first.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FsPath, PathBuf};

use jiff::{Timestamp, ToSpan};

use super::log::day_of;
use super::made;
use super::{Kept, LOGS, REMOVED, spelled, time_of};
use crate::config::Config;
use crate::error::Result;
use crate::store::Store;
use crate::store::disk::{Directory, EntryKind, split};
use crate::store::place::Home;

/// What is younger than so many minutes stays, however much it is: it may still be being made.
const YOUNG: i64 = 10;

/// What sorts before all changes: what was put aside, and whose removal was cut short.
const ASIDE: &str = "";

/// What a home's history may come to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub days: u32,
    /// As the disk counts them, see [`held`].
    pub bytes: u64,
}

impl Bounds {
    pub fn new(config: &Config) -> Bounds {
        Bounds { days: config.history_days, bytes: config.history_mb << 20 }
    }
}

impl Store {
    /// Removes from all histories what is beyond their bounds.
    pub fn expire_histories(&self) {
        self.written.lock().clear();
        let users = self.tree.users().unwrap_or_default();
        users.into_iter().map(Home::User).chain([Home::Public]).for_each(|home| self.expire_history(&home));
    }

    /// As [`Store::expire_histories`], for the homes that were written to since it was done last.
    pub fn expire_written_histories(&self) {
        let written = std::mem::take(&mut *self.written.lock());
        written.iter().for_each(|home| self.expire_history(home));
    }

    fn expire_history(&self, home: &Home) {
        if let Err(error) = self.try_expire(home) {
            tracing::warn!("history: {error}");
        }
    }

    fn try_expire(&self, home: &Home) -> Result<()> {
        let Some(directory) = self.tree.home(home)? else { return Ok(()) };
        if expire(&directory, Timestamp::now(), self.history)?
            // Whoever writes may be about to put something there.
            && let Some(locked) = self.writers.of(home).try_lock(directory)?
        {
            let home = &locked.directory;
            Kept::ALL.iter().try_for_each(|kept| remove_empty(home, FsPath::new(kept.directory())))?;
        }
        Ok(())
    }
}

/// A version, a calendar that was removed, or a day's log, with what it sorts by.
struct Entry {
    /// What belongs to one change goes together; a log goes after the changes of its day.
    name: String,
    /// When it was made, as names say it.
    age: String,
    /// Below the home.
    place: PathBuf,
    is_log: bool,
    bytes: u64,
}

/// Removes from a home's history what is beyond its bounds, of a change all or nothing; whether there was any. Needs no lock:
/// nobody writes to what a change has kept.
fn expire(home: &Directory, now: Timestamp, bounds: Bounds) -> Result<bool> {
    let mut entries = entries(home)?;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    correct_ages(&mut entries, home, now);
    let ago = |hours: i64, minutes: i64| {
        now.checked_sub(hours.hours().minutes(minutes)).map(spelled).unwrap_or_default()
    };
    let (oldest, young) = (ago(i64::from(bounds.days) * 24, 0), ago(0, YOUNG));
    let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut expired = false;
    for change in entries.chunk_by(|one, other| one.name == other.name) {
        let Some(Entry { age, is_log, .. }) = change.first() else { continue };
        // A log is as old as its day.
        let day = |time: &str| time.get(..8).unwrap_or("").to_owned();
        let is_before = |than: &str| if *is_log { day(age) < day(than) } else { age.as_str() < than };
        if !is_before(&young) || !is_before(&oldest) && bytes <= bounds.bytes {
            continue;
        }
        for Entry { name, place, bytes: its, .. } in change {
            match remove(home, place) {
                Ok(()) => (bytes, expired) = (bytes - its, true),
                // Out of sight before: it holds up nobody.
                Err(error) if name == ASIDE => tracing::warn!("history: {error}"),
                // What is later must not go before it: by what is kept a restore tells what has expired.
                Err(error) => return Err(error),
            }
        }
    }
    Ok(expired)
}

/// What is named after a clock that was ahead is as old as it is all the same: it would stay until that time else.
fn correct_ages(entries: &mut [Entry], home: &Directory, now: Timestamp) {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let mut made = made::of_those_ahead(&names, &spelled(now), |at| made::kept_at(home, &entries[at].place));
    for entry in entries.iter_mut().rev() {
        entry.age = made.pop().unwrap_or_else(|| entry.name.clone());
    }
}

/// Removes what is at `place` below the home; another process may have been faster. A calendar that was removed as a whole goes
/// out of sight first: what is left of one whose removal is cut short is no calendar that could be restored.
fn remove(home: &Directory, place: &FsPath) -> Result<()> {
    let (parent, name) = split(place);
    // Beneath, and then by one name: whoever may write to the home could put a symlink on the way.
    let Some(parent) = home.directory(parent)? else { return Ok(()) };
    match parent.kind(name)? {
        Some(EntryKind::Directory) => {}
        Some(_) => return parent.remove(name),
        None => return Ok(()),
    }
    let name = name.to_string_lossy();
    if name.starts_with('.') {
        return parent.remove_all(&*name);
    }
    let aside = format!(".{name}");
    match parent.rename(&*name, &parent, &aside) {
        Err(error) if error.is_missing() => Ok(()),
        renamed => renamed.and_then(|()| parent.remove_all(aside)),
    }
}

/// What is ours in a history; names that tell no time are somebody's own.
fn entries(home: &Directory) -> Result<Vec<Entry>> {
    let entry = |name: &str, place: &FsPath, is_log: bool| {
        let (bytes, place) = (held(home, place), place.to_path_buf());
        Entry { name: name.to_owned(), age: String::new(), place, is_log, bytes }
    };
    let mut entries = Vec::new();
    for kept in Kept::ALL {
        let ours = super::entries(home, kept)?;
        entries.extend(ours.iter().map(|it| entry(&it.change, &it.place, false)));
    }
    for change in super::removals(home)? {
        entries.push(entry(&change, &super::removed(&change), false));
    }
    if let Some(removed) = home.directory(REMOVED)? {
        let names = removed.entries()?.into_iter().map(|(name, _)| name);
        let aside =
            names.filter(|name| name.strip_prefix('.').is_some_and(|change| time_of(change).is_some()));
        entries.extend(aside.map(|name| entry(ASIDE, &FsPath::new(REMOVED).join(name), false)));
    }
    if let Some(logs) = home.directory(LOGS)? {
        for (log, _) in logs.entries()? {
            let name = day_of(&log).map(|day| format!("{day}~"));
            entries.extend(name.map(|name| entry(&name, &FsPath::new(LOGS).join(&log), true)));
        }
    }
    Ok(entries)
}

/// Removes the directories below the home that hold nothing any more. The caller holds the home's lock.
fn remove_empty(home: &Directory, place: &FsPath) -> Result<()> {
    let Some(directory) = home.directory(place)? else { return Ok(()) };
    for (name, kind) in directory.entries()? {
        if kind == EntryKind::Directory {
            remove_empty(home, &place.join(&name))?;
            directory.remove_directory(&name)?;
        }
    }
    Ok(())
}

/// How many bytes of the disk would be free without what is at `place` below the home: blocks, directories too, and nothing for
/// files that have another name elsewhere.
fn held(home: &Directory, place: &FsPath) -> u64 {
    const BLOCK: u64 = 512;
    let (parent, name) = split(place);
    let Ok(Some(parent)) = home.directory(parent) else { return 0 };
    let path = FsPath::new("/proc/self/fd").join(parent.fd().as_raw_fd().to_string()).join(name);
    // A symlink that somebody puts into a calendar at this very moment could lead it astray: it counts, no more.
    let walk = walkdir::WalkDir::new(path).follow_root_links(false).into_iter().flatten();
    let found = walk.filter_map(|entry| entry.metadata().ok());
    found.filter(|it| it.is_dir() || it.nlink() == 1).map(|it| it.blocks() * BLOCK).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history::HISTORY;

    const NOW: &str = "2026-03-10T00:00:00Z";

    /// What is left in a history after it was looked through.
    fn left(bounds: Bounds, fill: impl Fn(&FsPath)) -> Vec<String> {
        left_at(NOW.parse().expect("a time"), bounds, fill)
    }

    fn left_at(now: Timestamp, bounds: Bounds, fill: impl Fn(&FsPath)) -> Vec<String> {
        let tree = tempfile::tempdir().expect("a directory");
        fill(&tree.path().join(HISTORY));
        let home = Directory::root(tree.path()).expect("open");
        expire(&home, now, bounds).expect("expire");
        for kept in Kept::ALL {
            remove_empty(&home, FsPath::new(kept.directory())).expect("remove");
        }
        let walk = walkdir::WalkDir::new(tree.path().join(HISTORY)).min_depth(2).sort_by_file_name();
        let left = walk.into_iter().flatten().filter(|entry| {
            let holds = |path| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
            !entry.file_type().is_dir() || !holds(entry.path())
        });
        left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn write(path: PathBuf, bytes: usize) {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        std::fs::write(path, vec![b'x'; bytes]).expect("write");
    }

    fn version(history: &FsPath, change: &str, bytes: usize) {
        write(history.join(format!("versions/Calendar/{}.ics~{change}", change.len())), bytes);
    }

    #[test]
    fn what_is_old_expires_and_nothing_else() {
        let bounds = Bounds { days: 30, bytes: u64::MAX };
        let left = left(bounds, |history| {
            for change in ["20260101T000000.000000Z-1", "20260301T000000.000000Z-1", "my own notes"] {
                version(history, change, 10);
                write(history.join(format!("removed/{change}/Work/a.ics")), 10);
                write(history.join(format!("lost/{}/a.ics~{change}", &change[..8])), 10);
            }
            for day in ["20260101", "20260208", "20260301"] {
                write(history.join(format!("log/{day}.log")), 3);
            }
        });
        assert_eq!(
            left,
            [
                "20260208.log",
                "20260301.log",
                "a.ics~20260301T000000.000000Z-1",
                "a.ics~my own notes",
                "a.ics",
                "a.ics",
                "12.ics~my own notes",
                "25.ics~20260301T000000.000000Z-1",
            ]
        );
    }

    #[test]
    fn a_change_expires_whole_and_a_calendar_that_is_called_like_a_version_is_none() {
        let (one, other) = ("20260304T000000.000000Z-1", "20260305T000000.000000Z-1");
        let left = left(Bounds { days: 30, bytes: 250_000 }, |history| {
            for name in ["a", "b"] {
                write(history.join(format!("versions/Calendar/{name}.ics~{one}")), 100_000);
            }
            write(history.join(format!("versions/X~20260101T000000.000000Z-1/c.ics~{other}")), 100_000);
            write(history.join(format!("removed/.{other}/Work/a.ics")), 10);
        });
        assert_eq!(left, [format!("c.ics~{other}")]);
    }

    #[test]
    fn what_was_put_aside_and_cannot_go_keeps_nothing_else() {
        let chattr = |how: &str, path: &FsPath| {
            std::process::Command::new("chattr")
                .arg(how)
                .arg(path)
                .output()
                .is_ok_and(|it| it.status.success())
        };
        let (tree, change) = (tempfile::tempdir().expect("a directory"), "20260101T000000.000000Z-1");
        let history = tree.path().join(HISTORY);
        let aside = history.join(format!("removed/.{change}/Work/a.ics"));
        write(aside.clone(), 10);
        version(&history, change, 10);
        if !chattr("+i", &aside) {
            println!("skipped: nothing can be made immutable here");
            return;
        }
        let home = Directory::root(tree.path()).expect("open");
        let expired = expire(&home, NOW.parse().expect("a time"), Bounds { days: 30, bytes: u64::MAX });
        assert!(chattr("-i", &aside));
        assert!(matches!(expired, Ok(true)) && aside.exists());
        assert_eq!(crate::store::history::entries(&home, Kept::Version).expect("a list").len(), 0);
    }

    #[test]
    fn what_is_too_much_expires_oldest_first_by_the_bytes_that_are_held() {
        let bounds = Bounds { days: 30, bytes: 250_000 };
        let left = left(bounds, |history| {
            for day in 1..=5 {
                version(history, &format!("2026030{day}T000000.000000Z-1"), 100_000);
            }
            write(history.join("log/20260303.log"), 3);
            // Held by its other name.
            version(history, "20260305T000000.000000Z-12", 1_000_000);
            let kept = history.join("versions/Calendar/26.ics~20260305T000000.000000Z-12");
            std::fs::hard_link(kept, history.parent().expect("a home").join("a.ics")).expect("link");
        });
        let version = |day: u32| format!("25.ics~2026030{day}T000000.000000Z-1");
        let log = "20260303.log".to_owned();
        assert_eq!(left, [log, version(4), version(5), "26.ics~20260305T000000.000000Z-12".to_owned()]);
    }

    #[test]
    fn what_has_taken_the_place_of_the_home_is_left_alone() {
        let tree = tempfile::tempdir().expect("a directory");
        let [here, aside] = ["alice", "aside"].map(|name| tree.path().join(name));
        let change = "20260101T000000.000000Z-1";
        version(&here.join(HISTORY), change, 10);
        let home = Directory::root(&here).expect("open");
        std::fs::rename(&here, &aside).expect("moved aside");
        version(&here.join(HISTORY), change, 10);
        let bounds = Bounds { days: 30, bytes: u64::MAX };
        assert!(expire(&home, NOW.parse().expect("a time"), bounds).expect("expire"));
        let has_it =
            |home: &FsPath| home.join(HISTORY).join(format!("versions/Calendar/25.ics~{change}")).exists();
        assert!(has_it(&here) && !has_it(&aside));
    }

    #[test]
    fn no_symlink_leads_to_what_is_elsewhere() {
        let tree = tempfile::tempdir().expect("a directory");
        let [alice, bob] = ["alice", "bob"].map(|name| tree.path().join(name));
        let (change, by_name) = ("20260101T000000.000000Z-1", "~20260101T000000.000000Z-1");
        for bobs in [format!("color/{by_name}/a.ics"), format!("color/{change}/Work/a.ics")] {
            write(bob.join(bobs), 100_000);
        }
        for ours in ["versions/Calendar", "removed"] {
            std::fs::create_dir_all(alice.join(HISTORY).join(ours)).expect("mkdir");
        }
        let link = |to: &str, at: &str| {
            std::os::unix::fs::symlink(to, alice.join(HISTORY).join(at)).expect("a symlink");
        };
        link("../../../../bob/color", &format!("versions/Calendar/{by_name}"));
        link("../../../bob", "versions/z");
        link("../../../bob/color", &format!("removed/{change}"));
        link("../../bob/color", "lost");
        let home = Directory::root(&alice).expect("open");
        let at = |place: &str| FsPath::new(HISTORY).join(place);
        // Each as it was found before the symlink was there.
        for place in [
            format!("versions/Calendar/{by_name}/{change}"),
            format!("versions/z/color/{by_name}/a.ics"),
            format!("lost/{change}"),
            format!("lost/{by_name}/a.ics"),
        ] {
            assert_eq!(held(&home, &at(&place)), 0, "{place}");
            assert_eq!(made::kept_at(&home, &at(&place)), None, "{place}");
            remove(&home, &at(&place)).expect("nothing to do");
        }
        assert!(held(&home, &at(&format!("removed/{change}"))) < 100_000);
        remove(&home, &at(&format!("removed/{change}"))).expect("the symlink alone");
        let left = |below: &FsPath| walkdir::WalkDir::new(below).into_iter().flatten().count();
        assert_eq!((left(&bob), left(&alice.join(HISTORY).join("removed"))), (7, 1));
    }

    #[test]
    fn what_is_named_after_a_clock_that_was_ahead_expires_by_when_it_was_kept() {
        let left = |later: jiff::Span, bytes: u64| {
            let now = Timestamp::now().checked_add(later).expect("a time");
            left_at(now, Bounds { days: 30, bytes }, |history| {
                version(history, "20260301T000000.000000Z-1", 100_000);
                for n in 1..=4 {
                    version(history, &format!("20380101T000000.00000{n}Z-{}", "1".repeat(n)), 100_000);
                }
                write(history.join("log/20380101.log"), 3);
            })
        };
        let all = |from: usize| -> Vec<String> {
            let versions =
                (from..=4).map(|n| format!("{}.ics~20380101T000000.00000{n}Z-{}", 24 + n, "1".repeat(n)));
            [vec!["20380101.log".to_owned()], versions.collect()].concat()
        };
        assert_eq!(left(0.hours(), 250_000), all(1), "it may still be being made");
        assert_eq!(left(1.hours(), 250_000), all(3));
        assert_eq!(left(1.hours(), u64::MAX), all(1));
        assert!(left((24 * 31).hours(), u64::MAX).is_empty());
    }
}
