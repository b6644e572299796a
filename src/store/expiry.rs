//! How long a home's history reaches back: so many days, and no more bytes than so many. The oldest goes first.

use std::os::unix::fs::MetadataExt;
use std::path::{Path as FsPath, PathBuf};

use jiff::{Timestamp, ToSpan};

use super::Store;
use super::disk::{Directory, EntryKind};
use super::history::{HISTORY, spelled};
use super::place::Home;
use super::record::{LOGS, day_of, time_of};
use crate::config::Config;
use crate::error::{Error, Result};

/// What is younger than so many minutes stays, however much it is: it may still be being made.
const YOUNG: i64 = 10;

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
        let expired = self.tree.home(home).and_then(|directory| {
            directory.map_or(Ok(()), |directory| expire(&directory, Timestamp::now(), self.history))
        });
        if let Err(error) = expired {
            tracing::warn!("history: {error}");
        }
    }
}

/// A change's directory, or a day's log, with what it sorts by.
struct Entry {
    /// A log goes after the changes of its day.
    age: (String, bool),
    path: PathBuf,
    is_log: bool,
    bytes: u64,
}

/// Removes from a home's history what is beyond its bounds. Needs no lock: nobody writes to a change that is made.
fn expire(home: &Directory, now: Timestamp, bounds: Bounds) -> Result<()> {
    let Some(history) = home.directory(HISTORY)? else { return Ok(()) };
    let mut entries = entries(&history)?;
    if let Some(logs) = home.directory(LOGS)? {
        entries.extend(self::entries(&logs)?);
    }
    entries.sort_by(|one, other| one.age.cmp(&other.age));
    let ago = |hours: i64, minutes: i64| {
        now.checked_sub(hours.hours().minutes(minutes)).map(spelled).unwrap_or_default()
    };
    let (oldest, young) = (ago(i64::from(bounds.days) * 24, 0), ago(0, YOUNG));
    let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    for Entry { age: (time, _), path, is_log, bytes: its } in entries {
        // A log is as old as its day.
        let is_before = |than: &str| time.as_str() < if is_log { than.get(..8).unwrap_or("") } else { than };
        if !is_before(&young) || !is_before(&oldest) && bytes <= bounds.bytes {
            continue;
        }
        let removed = if is_log { std::fs::remove_file(&path) } else { std::fs::remove_dir_all(&path) };
        removed.map_err(|error| Error::io(path, error))?;
        bytes -= its;
    }
    Ok(())
}

fn entries(directory: &Directory) -> Result<Vec<Entry>> {
    let names = directory.entries()?.into_iter();
    Ok(names.filter_map(|(name, kind)| entry(directory, &name, kind)).collect())
}

/// What is ours in a history; names that are no times are somebody's own.
fn entry(history: &Directory, name: &str, kind: EntryKind) -> Option<Entry> {
    let path = history.path().join(name);
    let (age, is_log) = match (kind, day_of(name)) {
        (EntryKind::File, Some(day)) => ((day.to_owned(), true), true),
        (EntryKind::Directory, None) if time_of(name).is_some() => {
            ((name.split('-').next()?.to_owned(), false), false)
        }
        _ => return None,
    };
    let bytes = held(&path);
    Some(Entry { age, path, is_log, bytes })
}

/// How many bytes of the disk would be free without what is at `path`: blocks, directories too, and nothing for files that
/// have another name elsewhere.
fn held(path: &FsPath) -> u64 {
    const BLOCK: u64 = 512;
    let found = walkdir::WalkDir::new(path).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    found.filter(|it| it.is_dir() || it.nlink() == 1).map(|it| it.blocks() * BLOCK).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-10T00:00:00Z";

    /// What is left in a history after it was looked through.
    fn left(bounds: Bounds, fill: impl Fn(&FsPath)) -> Vec<String> {
        let tree = tempfile::tempdir().expect("a directory");
        let history = tree.path().join(HISTORY);
        std::fs::create_dir_all(history.join("log")).expect("mkdir");
        fill(&history);
        let home = Directory::root(tree.path()).expect("open");
        expire(&home, NOW.parse().expect("a time"), bounds).expect("expire");
        let names = |path: &str| {
            let names = home.existing(path).expect("open").entries().expect("list").into_iter();
            names.map(|(name, _)| name).filter(|name| name != "log")
        };
        let mut left: Vec<String> = names(HISTORY).chain(names(LOGS)).collect();
        left.sort();
        left
    }

    fn change(history: &FsPath, name: &str, bytes: usize) {
        std::fs::create_dir_all(history.join(name).join("Calendar")).expect("mkdir");
        std::fs::write(history.join(name).join("Calendar/a.ics"), vec![b'x'; bytes]).expect("write");
    }

    #[test]
    fn what_is_old_expires_and_nothing_else() {
        let bounds = Bounds { days: 30, bytes: u64::MAX };
        let left = left(bounds, |history| {
            for name in
                ["20260101T000000.000000Z-1-0", "20260301T000000.000000Z-1-0", "my own notes about it all"]
            {
                change(history, name, 10);
            }
            for day in ["20260101", "20260208", "20260301"] {
                std::fs::write(history.join(format!("log/{day}.log")), "{}\n").expect("write");
            }
        });
        assert_eq!(
            left,
            ["20260208.log", "20260301.log", "20260301T000000.000000Z-1-0", "my own notes about it all"]
        );
    }

    #[test]
    fn what_is_too_much_expires_oldest_first_by_the_bytes_that_are_held() {
        let bounds = Bounds { days: 30, bytes: 300_000 };
        let left = left(bounds, |history| {
            for day in 1..=5 {
                change(history, &format!("2026030{day}T000000.000000Z-1-0"), 100_000);
            }
            std::fs::write(history.join("log/20260303.log"), "{}\n").expect("write");
            // Held by its other name.
            change(history, "20260305T000000.000000Z-1-1", 1_000_000);
            let kept = history.join("20260305T000000.000000Z-1-1/Calendar/a.ics");
            std::fs::hard_link(kept, history.parent().expect("a home").join("a.ics")).expect("link");
        });
        assert_eq!(
            left,
            ["20260304T000000.000000Z-1-0", "20260305T000000.000000Z-1-0", "20260305T000000.000000Z-1-1"]
        );
    }
}
