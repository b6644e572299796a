//! `.history/log/<day>.log` of a home: who changed what, one line of JSON for each change, in their order. Written before the
//! change is made, under the home's lock; for a journaled commit it is in the journal's head too.
//!
//! A line may be torn or missing after a power cut: what it would say of replaced and removed files, the change's own
//! directory tells as well. A change that failed after its line was written gets another line that takes it back.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};

use jiff::Timestamp;
use jiff::fmt::strtime;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::calendar::State;
use super::commit::Operation;
use super::disk::Directory;
use super::history::TIME;
use super::origin::Origin;
use crate::error::{Error, Result};

/// A directory of their own: a history has as many names as there were changes, and each commit looks for the newest log.
pub const LOGS: &str = ".history/log";
const ENDING: &str = ".log";
/// How many characters of a change's name are its day.
const DAY: usize = 8;
const MODE: Mode = Mode::from_raw_mode(0o660);

/// What kind of change it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Did {
    Save,
    /// Of a whole calendar.
    Remove,
    Restore,
    /// Of free/busy.
    Publish,
    Rights,
    /// By a check.
    Repair,
    /// Of nothing: the home itself went back in time, see `went_back`.
    Back,
    /// Something that a later version writes.
    #[default]
    #[serde(other)]
    Other,
}

/// Why a change is made, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cause {
    pub did: Did,
    pub who: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// What the merge did beside taking what was sent, as the answer's header says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub merge: String,
    /// Of a home that went back: the change that was its newest, and is not on record any more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub missing: String,
}

/// One line: a change, and the files of the home that it touched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// The name of its directory in `.history/`, which starts with its time and is there only if something was kept.
    pub change: String,
    #[serde(flatten)]
    pub cause: Cause,
    /// The calendar, below the home, that was removed or came back as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub calendar: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Not made after all: takes back the line before of the same change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl Cause {
    pub fn new(did: Did, origin: &Origin) -> Cause {
        Cause {
            did,
            who: origin.who.to_string(),
            program: origin.program.clone(),
            peer: origin.peer,
            address: origin.address.clone(),
            ..Cause::default()
        }
    }

    /// With what the merge did.
    pub fn merged(self, merge: String) -> Cause {
        Cause { merge, ..self }
    }
}

impl Record {
    /// The record of a commit with these operations.
    pub fn new(change: String, cause: &Cause, operations: &[Operation]) -> Record {
        let mut record = Record { change, cause: cause.clone(), ..Record::default() };
        for operation in operations {
            let file = operation.file.to_string_lossy().into_owned();
            record.touches(file, operation.before != State::Absent, operation.after.is_some());
        }
        record
    }

    /// Says of a file what becomes of it.
    pub fn touches(&mut self, file: String, was_there: bool, is_there: bool) {
        let files = match (was_there, is_there) {
            (false, true) => &mut self.added,
            (true, true) => &mut self.replaced,
            (_, false) => &mut self.removed,
        };
        files.push(file);
    }

    /// The record of a calendar that goes or comes as a whole.
    pub fn of_calendar(change: String, cause: &Cause, calendar: &FsPath) -> Record {
        let calendar = calendar.to_string_lossy().into_owned();
        Record { change, cause: cause.clone(), calendar, ..Record::default() }
    }

    /// Adds the line to the home's log. The caller holds the home's lock.
    pub fn append(&self, home: &Directory) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(home.path().join(LOGS).join(&self.change), error);
        let mut line = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        let (logs, name) = (home.make_unsynced(LOGS)?, log_of(&self.change));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND;
        let opened = logs.open_beneath(FsPath::new(&name), flags, MODE)?;
        let log = opened.ok_or_else(|| failed(rustix::io::Errno::LOOP.into()))?;
        let errno = |error: rustix::io::Errno| failed(error.into());
        let end = rustix::fs::fstat(&log).map_err(errno)?.st_size.unsigned_abs();
        let mut last = [0];
        if end == 0 {
            rustix::fs::fchmod(&log, MODE).map_err(errno)?;
        } else if rustix::io::pread(&log, &mut last, end - 1).map_err(errno)? == 1 && last != *b"\n" {
            // A torn line must not take this one with it.
            line.insert(0, b'\n');
        }
        let mut log = std::fs::File::from(log);
        log.write_all(&line).map_err(|error| {
            // A start of the line on a full disk; the next writer closes it if it stays.
            let _ = log.set_len(end);
            failed(error)
        })
    }

    /// Says that the change was not made after all.
    pub fn take_back(&self, home: &Directory) {
        let undone = Record { change: self.change.clone(), undone: true, ..Record::default() };
        if let Err(error) = undone.append(home) {
            tracing::warn!("the history has a change that was not made, {}: {error}", self.change);
        }
    }

    /// As [`Record::append`], unless a replay did that before.
    pub fn append_once(&self, home: &Directory) -> Result<()> {
        match is_told_of(home, &self.change)? {
            true => Ok(()),
            false => self.append(home),
        }
    }

    /// Its log, below the home.
    pub fn log(&self) -> PathBuf {
        log_at(&self.change)
    }
}

/// Whether the log of a change's day tells of it: that it was made, or was not after all, or is missing.
pub fn is_told_of(home: &Directory, change: &str) -> Result<bool> {
    let log = read_log(home, &log_of(change))?;
    Ok(memchr::memmem::find(&log, change.as_bytes()).is_some())
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

/// When a change was made, by its name.
pub fn time_of(change: &str) -> Option<Timestamp> {
    let time = change.split('-').next()?;
    strtime::parse(TIME, time)
        .ok()?
        .to_datetime()
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|time| time.timestamp())
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

/// When the newest change on record was made, by its name, which may be later than now: a clock may have been ahead.
pub fn newest(home: &Directory) -> Result<Option<Timestamp>> {
    Ok(newest_spot(home)?.and_then(|spot| time_of(&spot.change)))
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
        let Some((log, _)) = history.file(&log_of(&self.change))? else { return Ok(false) };
        let start = format!("{{\"change\":\"{}\"", self.change);
        let mut found = vec![0; start.len()];
        Ok(log.read_exact_at(&mut found, self.at).is_ok() && found == start.as_bytes())
    }
}

/// The newest change on record, also if it was taken back.
pub fn newest_spot(home: &Directory) -> Result<Option<Spot>> {
    let Some(history) = home.directory(LOGS)? else { return Ok(None) };
    for log in logs(&history)?.iter().rev() {
        if let Some(newest) = newest_in(&history, log)? {
            return Ok(Some(newest));
        }
    }
    Ok(None)
}

/// The change of a log's last line, which is its newest; read from its end, for a day may make a long one.
fn newest_in(history: &Directory, log: &str) -> Result<Option<Spot>> {
    const FIRST: u64 = 4 << 10;
    let Some((file, stamp)) = history.file(log)? else { return Ok(None) };
    let mut length = FIRST.min(stamp.size());
    loop {
        let mut at = stamp.size() - length;
        let tail = tail(&file, at, length);
        let tail = tail.map_err(|error| Error::io(history.path().join(log), error))?;
        // What the tail begins with is the rest of a line, which is none.
        let spots = tail.split(|byte| *byte == b'\n').filter_map(|line| {
            let here = at;
            at += line.len() as u64 + 1;
            let Named { change } = serde_json::from_slice(line).ok()?;
            Some((time_of(&change)?, Spot { change, at: here }))
        });
        match spots.max_by_key(|(time, _)| *time).map(|(_, spot)| spot) {
            None if length < stamp.size() => length = (length * 8).min(stamp.size()),
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

fn read_log(home: &Directory, name: &str) -> Result<Vec<u8>> {
    let Some(history) = home.directory(LOGS)? else { return Ok(Vec::new()) };
    Ok(history.read_up_to(name, u64::MAX)?.map(|(log, _)| log).unwrap_or_default())
}

/// The records of a home in the order in which the changes were made, from those of `day` on.
pub fn records_from(home: &Directory, day: &str) -> Result<Vec<Record>> {
    let Some(history) = home.directory(LOGS)? else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    for log in logs(&history)?.into_iter().filter(|log| day_of(log).is_some_and(|of| of >= day)) {
        let bytes = read_log(home, &log)?;
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
        record(CHANGE).append(&home).expect("append");
        let log = std::fs::read_to_string(tree.path().join(".history/log/20261124.log")).expect("a log");
        let line = "{\"change\":\"20261124T215500.123456Z-7\",\"did\":\"save\",\"who\":\"alice\",\"added\":[\"Calendar/a.ics\"]}\n";
        assert_eq!(log, line);
        assert_eq!(records_from(&home, "").expect("records"), [record(CHANGE)]);
        assert_eq!(time_of(CHANGE).expect("a time").to_string(), "2026-11-24T21:55:00.123456Z");
    }

    #[test]
    fn a_torn_line_is_nobodys_and_takes_no_other_with_it() {
        let (tree, home) = home();
        record(CHANGE).append(&home).expect("append");
        let log = tree.path().join(".history/log/20261124.log");
        let whole = std::fs::read(&log).expect("a log");
        for cut in 1..whole.len() {
            std::fs::write(&log, [&whole, &whole[..cut]].concat()).expect("write");
            let next = record("20261124T215501.000000Z-7");
            next.append(&home).expect("append");
            let records = records_from(&home, "20261124").expect("records");
            assert!(records.contains(&record(CHANGE)) && records.contains(&next), "{cut}");
        }
    }

    #[test]
    fn what_was_not_made_after_all_is_taken_back_and_what_was_recorded_is_not_twice() {
        let (_tree, home) = home();
        let (one, other) = (record(CHANGE), record("20261124T215501.000000Z-7"));
        one.append(&home).expect("append");
        one.append_once(&home).expect("append");
        other.append_once(&home).expect("append");
        assert_eq!(records_from(&home, "").expect("records"), [one.clone(), other.clone()]);
        assert!(is_followed(&home, &one.change).expect("an answer"));
        assert!(!is_followed(&home, &other.change).expect("an answer"));
        one.take_back(&home);
        assert_eq!(records_from(&home, "").expect("records"), [other]);
    }

    #[test]
    fn the_newest_change_is_found_in_the_newest_log_that_tells_one() {
        let (tree, home) = home();
        assert_eq!(newest(&home).expect("no history"), None);
        for change in ["20261124T215500.000001Z-7", "20261125T000000.000000Z-8", "20261125T000001.000000Z-7"]
        {
            // Longer than what is read first.
            Record { added: vec!["Calendar/a.ics".to_owned(); 1_000], ..record(change) }
                .append(&home)
                .expect("append");
            assert_eq!(newest(&home).expect("newest"), time_of(change));
        }
        let log = tree.path().join(".history/log/20261125.log");
        std::fs::write(&log, [std::fs::read(&log).expect("a log"), b"{\"change\":\"20".to_vec()].concat())
            .expect("a torn line");
        for empty in ["20270101.log", "99999999.log"] {
            std::fs::write(tree.path().join(".history").join(empty), "").expect("write");
        }
        assert_eq!(newest(&home).expect("newest"), time_of("20261125T000001.000000Z-7"));
    }

    #[test]
    fn what_a_later_version_writes_is_read() {
        let line = r#"{"change":"20261124T215500.000000Z-7","did":"dream","who":"alice","mood":1}"#;
        let record: Record = serde_json::from_str(line).expect("a record");
        assert_eq!((record.cause.did, record.cause.who.as_str()), (Did::Other, "alice"));
    }
}
