//! `.history/log/<day>.log` of a home: who changed what, one line of JSON for each change, in their order. Written before the
//! change is made, under the home's lock; for a journaled commit it is in the journal's head too.
//!
//! A line may be torn or missing after a power cut: what it would say of replaced and removed files, the names of
//! what the history keeps tell as well. A change that failed after its line was written gets another line that takes it back.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::Deserialize;

use super::record::Record;
use super::{LOGS, time_of};
use crate::error::{Error, Result};
use crate::store::disk::stamp::Stamp;
use crate::store::disk::{Directory, FILE_MODE};

const ENDING: &str = ".log";
/// How many characters of a change's name are its day.
const DAY: usize = 8;

/// A home's logs, open for the next lines. Whoever has it holds the home's lock.
pub struct Log {
    directory: Directory,
    /// Of that, if it tells of every log that is made later.
    stamp: Option<Stamp>,
    /// The one that was written or looked at last.
    open: Option<Open>,
    /// When the newest change on record was made, by its name, which may be later than now: a clock may have been ahead.
    pub newest: Option<Timestamp>,
}

/// How a home's logs were left: who finds them so need not list them nor read the newest.
#[derive(Debug, Clone)]
pub struct Left {
    directory: Stamp,
    name: String,
    inode: u64,
    size: u64,
    newest: Timestamp,
}

/// The log of a day.
struct Open {
    name: String,
    file: File,
    inode: u64,
    size: u64,
    /// Whether its last line has no end.
    is_torn: bool,
}

impl Log {
    pub fn open(home: &Directory) -> Result<Log> {
        Log::open_after(home, None)
    }

    /// As [`Log::open`], without a listing if nobody has written there since `left` was kept.
    pub fn open_after(home: &Directory, left: Option<&Left>) -> Result<Log> {
        let directory = home.make_unsynced(LOGS)?;
        let (looked_at, stamp) = (SystemTime::now(), directory.own_stamp()?);
        // Elsewhere stamps may be old news.
        let stamp = Some(stamp).filter(|stamp| home.is_ordered() && !directory.is_racy(*stamp, looked_at));
        let mut log = Log { directory, stamp, open: None, newest: None };
        if let Some(left) = left.filter(|left| stamp == Some(left.directory)) {
            let open = log.opened(&left.name)?;
            if (open.inode, open.size) == (left.inode, left.size) {
                (log.open, log.newest) = (Some(open), Some(left.newest));
                return Ok(log);
            }
        }
        // The newest that tells a change, and of those beyond it none.
        for name in logs(&log.directory)?.iter().rev() {
            let open = log.of_day(name)?;
            let newest = newest_in(&open.file, open.size);
            let newest = newest.map_err(|error| Error::io(log.directory.path().join(name), error))?;
            log.newest = newest.and_then(|newest| time_of(&newest.change));
            log.open.get_or_insert(open);
            if log.newest.is_some() {
                break;
            }
        }
        Ok(log)
    }

    /// Opens the log called `name`, which is made if it is missing.
    fn opened(&self, name: &str) -> Result<Open> {
        let failed = |error: std::io::Error| Error::io(self.directory.path().join(name), error);
        let errno = |error: rustix::io::Errno| failed(error.into());
        let opened = self.directory.open_or_make(name, OFlags::RDWR | OFlags::APPEND)?;
        let file = opened.ok_or_else(|| errno(rustix::io::Errno::LOOP))?;
        let stat = rustix::fs::fstat(&file).map_err(errno)?;
        let (inode, size) = (stat.st_ino, stat.st_size.unsigned_abs());
        if size == 0 {
            rustix::fs::fchmod(&file, FILE_MODE).map_err(errno)?;
        }
        Ok(Open { name: name.to_owned(), file: File::from(file), inode, size, is_torn: false })
    }

    /// As [`Log::opened`], of which nothing is known.
    fn of_day(&self, name: &str) -> Result<Open> {
        let mut open = self.opened(name)?;
        if let Some(last) = open.size.checked_sub(1) {
            let end = tail(&open.file, last, 1);
            open.is_torn = end.map_err(|error| Error::io(self.directory.path().join(name), error))? != *b"\n";
        }
        Ok(open)
    }

    /// How it is left to the next writer, if that need not look for itself.
    pub fn left(&self) -> Option<Left> {
        let (open, newest) = (self.open.as_ref().filter(|open| !open.is_torn)?, self.newest?);
        let Open { name, inode, size, .. } = open;
        Some(Left { directory: self.stamp?, name: name.clone(), inode: *inode, size: *size, newest })
    }

    /// A name for a change that sorts after all of the home's and is no other's of them.
    ///
    /// # Errors
    /// `Io` where no change can be put on record any more.
    pub fn next_change(&self) -> Result<String> {
        let now = Timestamp::now().as_microsecond();
        // Whatever the clocks of those who wrote before said: what is made later is later on record too, or a commit that
        // waits to be applied would be taken for an earlier one that was.
        let time = self.newest.map_or(now, |newest| now.max(newest.as_microsecond() + 1));
        // Nothing sorts after what has the last time that there is: no version may take the place of another.
        let time = Timestamp::from_microsecond(time).map_err(|_| self.beyond_all_times())?;
        Ok(format!("{}-{}", super::spelled(time), std::process::id()))
    }

    fn beyond_all_times(&self) -> Error {
        let why = "its last line has a time after which there is none: remove that line";
        Error::io(self.directory.path(), std::io::Error::other(why))
    }

    /// Adds the line of a change.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let name = log_of(&record.change);
        let mut log = match self.open.take().filter(|open| open.name == name) {
            Some(open) => open,
            None => self.of_day(&name)?,
        };
        if log.size == 0 {
            // It may be new.
            self.stamp = None;
        }
        let failed = |error: std::io::Error| Error::io(self.directory.path().join(&name), error);
        let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        if log.is_torn {
            // It must not take this one with it.
            line.insert(0, b'\n');
        }
        log.file.write_all(&line).map_err(|error| {
            // A start of the line on a full disk; the next writer closes it if it stays.
            let _ = log.file.set_len(log.size);
            failed(error)
        })?;
        (log.size, log.is_torn) = (log.size + line.len() as u64, false);
        (self.open, self.newest) = (Some(log), time_of(&record.change));
        Ok(())
    }

    /// Says that a change was not made after all.
    pub fn take_back(&mut self, record: &Record) {
        let undone = Record { change: record.change.clone(), undone: true, ..Record::default() };
        if let Err(error) = self.append(&undone) {
            tracing::warn!("the history has a change that was not made, {}: {error}", record.change);
        }
    }

    /// As [`Log::append`], unless a replay did that before.
    pub fn append_once(&mut self, record: &Record) -> Result<()> {
        let log = read_log(&self.directory, &log_of(&record.change))?;
        // It is near the end. What a kill has left of a line names the change too, and tells nothing of it.
        let mut lines =
            log.rsplit(|byte| *byte == b'\n').filter(|line| line.starts_with(&start_of(&record.change)));
        match lines.any(|line| serde_json::from_slice::<Record>(line).is_ok()) {
            true => Ok(()),
            false => self.append(record),
        }
    }
}

/// Whether the log of a change's day tells of it: that it was made, or was not after all, or is missing.
pub fn is_told_of(home: &Directory, change: &str) -> Result<bool> {
    home.directory(LOGS)?.map_or(Ok(false), |logs| tells_of(&logs, change))
}

fn tells_of(logs: &Directory, change: &str) -> Result<bool> {
    Ok(memchr::memmem::find(&read_log(logs, &log_of(change))?, change.as_bytes()).is_some())
}

/// The log that a change is in, below the home.
pub fn log_at(change: &str) -> PathBuf {
    FsPath::new(LOGS).join(log_of(change))
}

/// The days of which a home has a log, oldest first.
pub fn days(home: &Directory) -> Result<Vec<String>> {
    let Some(history) = home.directory(LOGS)? else { return Ok(Vec::new()) };
    Ok(logs(&history)?.iter().filter_map(|log| day_of(log)).map(str::to_owned).collect())
}

/// The day of a change, by its name.
pub fn day_of_change(change: &str) -> &str {
    change.get(..DAY).unwrap_or(change)
}

/// The log that a change is in.
fn log_of(change: &str) -> String {
    format!("{}{ENDING}", day_of_change(change))
}

/// The log that the home's last change is in, and its next one unless that begins a day's: nothing is newer, whatever the
/// clock says now.
pub fn newest_log(history: &Directory) -> Result<Option<String>> {
    Ok(logs(history)?.pop())
}

/// A change, and where the line is in its log that tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    pub change: String,
    at: u64,
}

impl Spot {
    /// Whether the line is there still: asked without reading all of the log.
    pub fn is_there(&self, home: &Directory) -> Result<bool> {
        let Some(history) = home.directory(LOGS)? else { return Ok(false) };
        let Some((log, _)) = history.file(log_of(&self.change))? else { return Ok(false) };
        let start = start_of(&self.change);
        let mut found = vec![0; start.len()];
        Ok(log.read_exact_at(&mut found, self.at).is_ok() && found == start)
    }
}

/// What the line of a change starts with.
fn start_of(change: &str) -> Vec<u8> {
    format!("{{\"change\":\"{change}\"").into_bytes()
}

/// The newest change on record, also if it was taken back.
pub fn newest(home: &Directory) -> Result<Option<Spot>> {
    let Some(history) = home.directory(LOGS)? else { return Ok(None) };
    for name in logs(&history)?.iter().rev() {
        let Some((log, stamp)) = history.file(name)? else { continue };
        let newest = newest_in(&log, stamp.size());
        if let Some(newest) = newest.map_err(|error| Error::io(history.path().join(name), error))? {
            return Ok(Some(newest));
        }
    }
    Ok(None)
}

/// The change of the last line of `log`, which is its newest; read from its end, for a day may make a long one.
fn newest_in(log: &File, size: u64) -> std::io::Result<Option<Spot>> {
    const FIRST: u64 = 4 << 10;
    let mut length = FIRST.min(size);
    loop {
        let tail = tail(log, size - length, length)?;
        let mut end = size;
        // What the tail begins with is the rest of a line, which is none.
        let mut spots = tail.rsplit(|byte| *byte == b'\n').filter_map(|line| {
            let at = end - line.len() as u64;
            end = at.saturating_sub(1);
            let Named { change } = serde_json::from_slice(line).ok()?;
            time_of(&change)?;
            Some(Spot { change, at })
        });
        match spots.next() {
            None if length < size => length = (length * 8).min(size),
            newest => return Ok(newest),
        }
    }
}

fn tail(file: &File, start: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut tail = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
    file.read_exact_at(&mut tail, start)?;
    Ok(tail)
}

/// Of a record, what it is called.
#[derive(Deserialize)]
struct Named {
    change: String,
}

/// The logs of a history, oldest first.
fn logs(history: &Directory) -> Result<Vec<String>> {
    let mut logs: Vec<String> = history.entries()?.into_iter().map(|(name, _)| name).collect();
    logs.retain(|name| day_of(name).is_some());
    logs.sort();
    Ok(logs)
}

/// The day of a log, by its name.
pub fn day_of(log: &str) -> Option<&str> {
    log.strip_suffix(ENDING).filter(|day| day.len() == DAY && day.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read_log(logs: &Directory, name: &str) -> Result<Vec<u8>> {
    Ok(logs.read_up_to(name, u64::MAX)?.map(|(log, _)| log).unwrap_or_default())
}

/// The records of a home in the order in which the changes were made, from those of `day` on.
pub fn records_from(home: &Directory, day: &str) -> Result<Vec<Record>> {
    let Some(history) = home.directory(LOGS)? else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    for log in logs(&history)?.into_iter().filter(|log| day_of(log).is_some_and(|of| of >= day)) {
        let bytes = read_log(&history, &log)?;
        // What is torn is nobody's.
        let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        for record in lines {
            let Record { undone, change, .. } = &record;
            match undone {
                true => records.retain(|before: &Record| before.change != *change),
                false => records.push(record),
            }
        }
    }
    Ok(records)
}

/// Whether a later change is on record: then this one was made in full, for each begins with what is left of the others.
pub fn is_followed(home: &Directory, change: &str) -> Result<bool> {
    let Some(day) = change.get(..DAY) else { return Ok(false) };
    let records = records_from(home, day)?;
    let at = records.iter().position(|record| record.change == change);
    Ok(at.is_some_and(|at| records[at + 1..].iter().any(|record| record.change != change)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history::record::{Cause, Did};

    const CHANGE: &str = "20261124T215500.123456Z-7";

    fn record(change: &str) -> Record {
        let cause = Cause { did: Did::Save, who: "alice".to_owned(), ..Cause::default() };
        Record {
            change: change.to_owned(),
            cause,
            added: vec!["Calendar/a.ics".to_owned()],
            ..Record::default()
        }
    }

    fn home() -> (tempfile::TempDir, Directory) {
        let tree = tempfile::tempdir().expect("a directory");
        let home = Directory::root(tree.path()).expect("open");
        (tree, home)
    }

    #[test]
    fn a_record_is_one_line_without_what_it_has_not() {
        let (tree, home) = home();
        Log::open(&home).and_then(|mut log| log.append(&record(CHANGE))).expect("append");
        let log = std::fs::read_to_string(tree.path().join(".history/log/20261124.log")).expect("a log");
        let line = "{\"change\":\"20261124T215500.123456Z-7\",\"did\":\"save\",\"who\":\"alice\",\"added\":[\"Calendar/a.ics\"]}\n";
        assert_eq!(log, line);
        assert_eq!(records_from(&home, "").expect("records"), [record(CHANGE)]);
        assert_eq!(time_of(CHANGE).expect("a time").to_string(), "2026-11-24T21:55:00.123456Z");
    }

    #[test]
    fn a_torn_line_is_nobodys_and_takes_no_other_with_it() {
        let (tree, home) = home();
        Log::open(&home).and_then(|mut log| log.append(&record(CHANGE))).expect("append");
        let log = tree.path().join(".history/log/20261124.log");
        let whole = std::fs::read(&log).expect("a log");
        for cut in 1..whole.len() {
            std::fs::write(&log, [&whole, &whole[..cut]].concat()).expect("write");
            let next = record("20261124T215501.000000Z-7");
            Log::open(&home).and_then(|mut log| log.append(&next)).expect("append");
            let records = records_from(&home, "20261124").expect("records");
            assert!(records.contains(&record(CHANGE)) && records.contains(&next), "{cut}");
        }
    }

    #[test]
    fn what_was_not_made_after_all_is_taken_back_and_what_was_recorded_is_not_twice() {
        let (_tree, home) = home();
        let (one, other) = (record(CHANGE), record("20261124T215501.000000Z-7"));
        let mut log = Log::open(&home).expect("a log");
        log.append(&one).expect("append");
        log.append_once(&one).expect("append");
        log.append_once(&other).expect("append");
        assert_eq!(records_from(&home, "").expect("records"), [one.clone(), other.clone()]);
        assert!(is_followed(&home, &one.change).expect("an answer"));
        assert!(!is_followed(&home, &other.change).expect("an answer"));
        log.take_back(&one);
        assert_eq!(records_from(&home, "").expect("records"), [other]);
    }

    #[test]
    fn a_torn_line_tells_of_nothing_and_what_it_was_to_tell_is_recorded() {
        let (tree, home) = home();
        let record = record(CHANGE);
        let log = tree.path().join(".history/log/20261124.log");
        Log::open(&home).and_then(|mut log| log.append(&record)).expect("append");
        let whole = std::fs::read(&log).expect("a log");
        for length in 0..=whole.len() {
            std::fs::write(&log, &whole[..length]).expect("write");
            Log::open(&home).and_then(|mut log| log.append_once(&record)).expect("append");
            assert_eq!(records_from(&home, "").expect("records"), std::slice::from_ref(&record), "{length}");
        }
    }

    #[test]
    fn a_log_that_is_as_it_was_left_is_not_read_and_what_others_write_is_seen() {
        let (tree, home) = home();
        Log::open(&home).and_then(|mut log| log.append(&record(CHANGE))).expect("append");
        // Until then its directory could change unseen.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let mut log = Log::open(&home).expect("a log");
        log.append(&record("20261124T215501.000000Z-7")).expect("append");
        let left = log.left().expect("nobody else need look");
        let log = tree.path().join(".history/log/20261124.log");
        let whole = std::fs::read(&log).expect("a log");
        let newest = |left| Log::open_after(&home, Some(left)).expect("a log").newest;
        std::fs::write(&log, vec![b'x'; whole.len()]).expect("write");
        assert_eq!(newest(&left), time_of("20261124T215501.000000Z-7"), "it was read");
        std::fs::write(&log, &whole).expect("write");
        let others = record("20261124T215502.000000Z-8");
        Log::open(&home).and_then(|mut log| log.append(&others)).expect("append");
        assert_eq!(newest(&left), time_of(&others.change));
        let tomorrows = record("20261125T000000.000000Z-8");
        Log::open(&home).and_then(|mut log| log.append(&tomorrows)).expect("append");
        assert_eq!(newest(&left), time_of(&tomorrows.change));
    }

    #[test]
    fn the_newest_change_is_found_in_the_newest_log_that_tells_one() {
        let (tree, home) = home();
        assert_eq!(Log::open(&home).expect("a log").newest, None);
        for change in ["20261124T215500.000001Z-7", "20261125T000000.000000Z-8", "20261125T000001.000000Z-7"]
        {
            // Longer than what is read first.
            let long = Record { added: vec!["Calendar/a.ics".to_owned(); 1_000], ..record(change) };
            Log::open(&home).and_then(|mut log| log.append(&long)).expect("append");
            assert_eq!(Log::open(&home).expect("a log").newest, time_of(change));
        }
        let log = tree.path().join(".history/log/20261125.log");
        std::fs::write(&log, [std::fs::read(&log).expect("a log"), b"{\"change\":\"20".to_vec()].concat())
            .expect("a torn line");
        for empty in ["20270101.log", "99999999.log"] {
            std::fs::write(tree.path().join(LOGS).join(empty), "").expect("write");
        }
        assert_eq!(Log::open(&home).expect("a log").newest, time_of("20261125T000001.000000Z-7"));
    }
}
