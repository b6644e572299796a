//! What the history of a home has: its changes in their order, and what a calendar was before any of them.
//!
//! What other programs did to the files between two changes of ours is not on record: of that, the version that our next
//! change found is known, and what nobody says was added is taken for having been there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path as FsPath, PathBuf};

use jiff::Timestamp;

use super::log::records_from;
use super::made;
use super::record::{Cause, Did, Record};
use super::{Entry, Kept, entries, removals, removed, spelled};
use crate::error::{Error, Result};
use crate::ical::cut::cut;
use crate::ical::item::{Item, Key};
use crate::store::calendar::file::named;
use crate::store::calendar::listing::{is_item, is_own, own_files};
use crate::store::calendar::props::PROPS;
use crate::store::disk::{Directory, EntryKind, MAX_FILE, split};

/// Where the bytes of a version are, below the home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub PathBuf);

/// The files of a calendar at some time.
pub type Files = BTreeMap<String, Version>;

/// Versions by their change and file.
type Versions = BTreeMap<(String, PathBuf), Version>;

/// All changes of a home that are known, oldest first.
pub struct Timeline<'h> {
    pub home: &'h Directory,
    pub changes: Vec<Record>,
    /// What is kept of files, by change and file.
    versions: Versions,
    lost: Versions,
    /// The name of the oldest change of which anything is kept: what is missing of later ones never was. Of itself some may have
    /// expired, where a sweep was cut short.
    oldest_kept: Option<String>,
}

/// A calendar as it was before a change.
#[derive(Debug, Default)]
pub struct Then {
    pub files: Files,
    /// Of each file that a later change touched: the newest version that is known.
    pub newest: Files,
    /// The whole directory, if it was removed since and its files are not in the tree.
    pub directory: Option<PathBuf>,
    /// Files whose version of that time has expired.
    pub expired: BTreeSet<String>,
    /// Of each file that a later save replaced or removed: the oldest of them.
    saved: BTreeMap<String, String>,
}

impl<'h> Timeline<'h> {
    pub fn read(home: &'h Directory) -> Result<Timeline<'h>> {
        let mut by_name: BTreeMap<String, Record> = BTreeMap::new();
        for record in records_from(home, "")? {
            by_name.insert(record.change.clone(), record);
        }
        let read = |kept| {
            let entries = entries(home, kept)?;
            let by_change = |entry: Entry| ((entry.change, entry.file), Version(entry.place));
            Ok::<Versions, Error>(entries.into_iter().map(by_change).collect())
        };
        let (versions, lost) = (read(Kept::Version)?, read(Kept::Lost)?);
        let removals = removals(home)?;
        let oldest_kept = oldest_kept(home)?;
        for record in unrecorded(home, &versions, &lost, removals)? {
            by_name.entry(record.change.clone()).or_insert(record);
        }
        let mut timeline =
            Timeline { home, changes: by_name.into_values().collect(), versions, lost, oldest_kept };
        timeline.correct_times();
        Ok(timeline)
    }

    /// Says of each change when it was made as far as that is known: no name of one tells that is later than now.
    fn correct_times(&mut self) {
        let names: Vec<&str> = self.changes.iter().map(|record| record.change.as_str()).collect();
        let told = |at: usize| self.told(&self.changes[at]);
        let mut made = made::of_those_ahead(&names, &spelled(Timestamp::now()), told);
        for record in self.changes.iter_mut().rev() {
            record.made = made.pop().unwrap_or_default();
        }
    }

    /// When a change was made at the latest, by its own word or by what it kept.
    fn told(&self, record: &Record) -> Option<String> {
        if !record.made.is_empty() {
            return Some(record.made.clone());
        }
        let kept = of(&self.versions, record).chain(of(&self.lost, record));
        let places = kept.map(|(_, Version(place))| place.clone()).chain([removed(&record.change)]);
        places.filter_map(|place| made::kept_at(self.home, &place)).min()
    }

    /// The first change that is later than `at`.
    ///
    /// # Errors
    /// Why that cannot be told: the history does not reach back so far.
    pub fn first_after(&self, at: Timestamp) -> Result<usize, String> {
        match self.changes.first().and_then(Record::time) {
            Some(start) if start <= at => {
                Ok(self.changes.partition_point(|record| record.time().is_none_or(|time| time <= at)))
            }
            Some(start) => Err(format!("the history starts at {start}")),
            None => Err("there is no history yet".to_owned()),
        }
    }

    /// The last save or removal before the change at `until` that touched `calendar`, or one of these files of it.
    pub fn last_change(
        &self,
        calendar: &FsPath,
        only: Option<&BTreeSet<String>>,
        until: usize,
    ) -> Option<usize> {
        self.last(&[Did::Save, Did::Remove, Did::Other], calendar, only, until)
    }

    /// As [`Timeline::last_change`], the last repair.
    pub fn last_repair(&self, calendar: &FsPath, only: Option<&BTreeSet<String>>) -> Option<usize> {
        self.last(&[Did::Repair], calendar, only, self.changes.len())
    }

    fn last(
        &self,
        kinds: &[Did],
        calendar: &FsPath,
        only: Option<&BTreeSet<String>>,
        until: usize,
    ) -> Option<usize> {
        let counts = |record: &Record| {
            kinds.contains(&record.cause.did) && touched(record, calendar, only) && self.was_made(record)
        };
        self.changes[..until].iter().rposition(counts)
    }

    /// Whether what a change is said to have kept is there, or may have expired: a process may have ended between the
    /// record and the change.
    pub fn was_made(&self, record: &Record) -> bool {
        let mut kept = record.replaced.iter().chain(&record.removed).peekable();
        let made = match record.cause.did {
            Did::Remove => self.removed(record, FsPath::new(&record.calendar)).is_some(),
            _ => kept.peek().is_none() || kept.any(|file| self.version(record, file).is_some()),
        };
        made || self.may_have_expired(record)
    }

    /// What `file` was before a change that replaced or removed it, if that is still kept.
    pub fn version(&self, record: &Record, file: impl AsRef<FsPath>) -> Option<&Version> {
        self.versions.get(&(record.change.clone(), file.as_ref().to_path_buf()))
    }

    /// The versions that lost in a change, with their files.
    pub fn lost(&self, record: &Record) -> impl Iterator<Item = (&FsPath, &Version)> {
        of(&self.lost, record)
    }

    /// The item `uid` of `calendar` as only a program had it any more: if it is not `here`, and nothing later is known of the files
    /// of these `names`, which are all that it was in.
    pub fn last_lost(
        &self,
        uid: &str,
        calendar: &FsPath,
        names: &BTreeSet<String>,
        here: &Files,
    ) -> Result<Option<Then>> {
        if names.iter().any(|name| here.contains_key(name)) {
            return Ok(None);
        }
        let last = self.last_change(calendar, Some(names), self.changes.len());
        let last = last.map(|at| &self.changes[at].change);
        for ((change, file), version) in self.lost.iter().rev() {
            if last.is_some_and(|last| change <= last) {
                break;
            }
            if let Some(name) = name_in(file, calendar)
                && self.has(uid, name, version)?
            {
                let files = Files::from([(name.to_owned(), version.clone())]);
                return Ok(Some(Then { files, ..Then::default() }));
            }
        }
        Ok(None)
    }

    /// Where a calendar is that went as a whole, or with one that did, if it is still kept: below the home.
    pub fn removed(&self, record: &Record, calendar: &FsPath) -> Option<(PathBuf, Directory)> {
        let at = removed(&record.change).join(calendar);
        let directory = self.home.directory(&at).ok().flatten()?;
        Some((at, directory))
    }

    fn may_have_expired(&self, record: &Record) -> bool {
        self.oldest_kept.as_ref().is_none_or(|oldest| record.change <= *oldest)
    }

    /// What `calendar`, whose files are `here` now, was before the change at `from`.
    pub fn before(&self, calendar: &FsPath, here: &Files, from: usize) -> Result<Then> {
        let mut then = Then { files: here.clone(), newest: here.clone(), ..Then::default() };
        for record in self.changes[from..].iter().rev() {
            self.undo(record, calendar, &mut then)?;
        }
        self.drop_renamed(&mut then)?;
        Ok(then)
    }

    /// Drops the files whose items were in others then, and came into these when another tool renamed those. A save is made to
    /// all files that have the item, so what the oldest save of it did not find was not there.
    fn drop_renamed(&self, then: &mut Then) -> Result<()> {
        if then.saved.is_empty() {
            return Ok(());
        }
        let mut files: Vec<(String, Vec<Key>)> = Vec::new();
        for (name, version) in then.files.iter().filter(|(name, _)| is_item(name)) {
            let items = self.items(name, version)?.into_iter();
            files.push((name.clone(), items.map(|item| item.key).collect()));
        }
        let mut oldest: BTreeMap<&Key, &String> = BTreeMap::new();
        for (name, keys) in &files {
            // Of a file of several it is not on record which of them was saved.
            if let ([key], Some(change)) = (keys.as_slice(), then.saved.get(name)) {
                oldest.entry(key).and_modify(|oldest| *oldest = change.min(*oldest)).or_insert(change);
            }
        }
        let was_elsewhere =
            |name: &str, key: &Key| oldest.get(key).is_some_and(|it| then.saved.get(name) != Some(*it));
        let renamed = files
            .iter()
            .filter(|(name, keys)| !keys.is_empty() && keys.iter().all(|key| was_elsewhere(name, key)));
        let renamed: BTreeSet<&String> = renamed.map(|(name, _)| name).collect();
        then.files.retain(|name, _| !renamed.contains(name));
        Ok(())
    }

    fn undo(&self, record: &Record, calendar: &FsPath, then: &mut Then) -> Result<()> {
        if !record.calendar.is_empty() && FsPath::new(&record.calendar) == calendar {
            return self.undo_whole(record, calendar, then);
        }
        for name in record.added.iter().filter_map(|file| name_in(file, calendar)) {
            then.files.remove(name);
            then.expired.remove(name);
            // Of each calendar that we make this is made with it: before, there was none.
            then.directory.take_if(|_| name == PROPS);
        }
        for name in record.replaced.iter().chain(&record.removed).filter_map(|file| name_in(file, calendar)) {
            if let Some(version) = self.version(record, calendar.join(name)) {
                then.expired.remove(name);
                then.meet(name, version.clone());
                if record.cause.did == Did::Save {
                    then.saved.insert(name.to_owned(), record.change.clone());
                }
            } else if self.may_have_expired(record) {
                then.expired.insert(name.to_owned());
            }
        }
        Ok(())
    }

    fn undo_whole(&self, record: &Record, calendar: &FsPath, then: &mut Then) -> Result<()> {
        if record.cause.did != Did::Remove {
            (then.files, then.expired, then.directory) = Default::default();
            return Ok(());
        }
        let Some((at, kept)) = self.removed(record, calendar) else {
            if self.may_have_expired(record) {
                then.expired.insert(PROPS.to_owned());
            }
            return Ok(());
        };
        (then.files, then.expired) = Default::default();
        for name in own_files(&kept)? {
            then.meet(&name, Version(at.join(&name)));
        }
        then.directory = Some(at);
        Ok(())
    }

    /// How many items' files of `calendar` the changes before `from` left there and `then` lacks: other tools removed them,
    /// so no history has them.
    pub fn missing(&self, calendar: &FsPath, then: &Then, from: usize) -> usize {
        let (mut told, mut missing) = (BTreeSet::new(), 0);
        for record in self.changes[..from].iter().rev().filter(|record| self.was_made(record)) {
            if !record.calendar.is_empty() && FsPath::new(&record.calendar) == calendar {
                // It went or came as a whole: what was missing before is not missing from what came after.
                break;
            }
            told.extend(record.removed.iter().filter_map(|file| name_in(file, calendar)));
            for name in record.added.iter().chain(&record.replaced).filter_map(|file| name_in(file, calendar))
            {
                let is_known = then.files.contains_key(name) || then.expired.contains(name);
                missing += usize::from(told.insert(name) && !is_known && is_item(name));
            }
        }
        missing
    }

    /// The bytes of a version.
    pub fn bytes(&self, version: &Version) -> Result<Vec<u8>> {
        let (parent, name) = self.place(version)?;
        let missing = || Error::io(parent.path().join(name), rustix::io::Errno::NOENT);
        parent.read_up_to(name, MAX_FILE)?.map(|(content, _)| content).ok_or_else(missing)
    }

    /// The directory that a version is in, and its name there.
    pub fn place<'v>(&self, version: &'v Version) -> Result<(Directory, &'v OsStr)> {
        let (parent, name) = split(&version.0);
        Ok((self.home.existing(parent)?, name))
    }

    /// The items of a version of the file `name`, each with the UID under which it is or was served; none where it does not parse.
    pub fn items(&self, name: &str, version: &Version) -> Result<Vec<Item>> {
        let items = cut(&self.bytes(version)?).map(|cut| cut.items).unwrap_or_default();
        Ok(named(items, name).collect())
    }

    fn has(&self, uid: &str, name: &str, version: &Version) -> Result<bool> {
        Ok(self.items(name, version)?.iter().any(|item| &*item.key.uid == uid))
    }

    /// The names under which `calendar` has or had an item called `uid`.
    pub fn names_of(&self, uid: &str, calendar: &FsPath, here: &Files) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        let mut note = |name: &str, version: &Version| {
            if !names.contains(name) && self.has(uid, name, version)? {
                names.insert(name.to_owned());
            }
            Ok::<(), Error>(())
        };
        here.iter().try_for_each(|(name, version)| note(name, version))?;
        for ((_, file), version) in &self.versions {
            if let Some(name) = name_in(file, calendar) {
                note(name, version)?;
            }
        }
        for record in &self.changes {
            let Some((at, kept)) = self.removed(record, calendar) else { continue };
            for name in own_files(&kept)? {
                note(&name, &Version(at.join(&name)))?;
            }
        }
        Ok(names)
    }
}

impl Then {
    /// Whether there was no calendar.
    pub fn is_nothing(&self) -> bool {
        self.files.is_empty() && self.directory.is_none()
    }

    fn meet(&mut self, name: &str, version: Version) {
        self.newest.entry(name.to_owned()).or_insert_with(|| version.clone());
        self.files.insert(name.to_owned(), version);
    }
}

/// The name of the oldest change of which anything is kept. Asked after what is kept was listed: what has expired meanwhile, oldest
/// first and under no lock, may be in no list, and is older than this.
fn oldest_kept(home: &Directory) -> Result<Option<String>> {
    let mut oldest = removals(home)?.into_iter().next();
    for kept in Kept::ALL {
        oldest = entries(home, kept)?.into_iter().map(|entry| entry.change).chain(oldest).min();
    }
    Ok(oldest)
}

/// What `versions` has of a change, with the files.
fn of<'v>(versions: &'v Versions, record: &Record) -> impl Iterator<Item = (&'v FsPath, &'v Version)> {
    let change = record.change.clone();
    let of = versions.range((change.clone(), PathBuf::new())..);
    of.take_while(move |((of, _), _)| *of == change).map(|((_, file), version)| (file.as_path(), version))
}

/// Whether a change touched a calendar, or one of these files of it.
fn touched(record: &Record, calendar: &FsPath, only: Option<&BTreeSet<String>>) -> bool {
    let mut files = record.added.iter().chain(&record.replaced).chain(&record.removed);
    !record.calendar.is_empty() && FsPath::new(&record.calendar) == calendar
        || files.any(|file| {
            name_in(file, calendar).is_some_and(|name| only.is_none_or(|only| only.contains(name)))
        })
}

/// The name of a file, given below the home, if it is one of `calendar`'s own. Its rights are none: what was revoked since
/// must not come back with what was there then.
fn name_in<'f>(file: &'f (impl AsRef<FsPath> + ?Sized), calendar: &FsPath) -> Option<&'f str> {
    let path = file.as_ref();
    let name = path.file_name().and_then(|name| name.to_str());
    name.filter(|name| is_own(name) && path.parent() == Some(calendar))
}

/// What the changes did of which something is kept, for those whose record is lost: nobody knows by whom.
fn unrecorded(
    home: &Directory,
    versions: &Versions,
    lost: &Versions,
    removals: Vec<String>,
) -> Result<Vec<Record>> {
    let mut records: BTreeMap<&str, Record> = BTreeMap::new();
    for (change, file) in versions.keys() {
        let record = records.entry(change).or_default();
        record.replaced.push(file.to_string_lossy().into_owned());
    }
    for (change, _) in lost.keys() {
        records.entry(change).or_default();
    }
    let replacing =
        records.into_iter().map(|(change, record)| Record { change: change.to_owned(), ..record });
    let mut records: Vec<Record> = replacing.collect();
    for change in removals {
        for calendar in calendars(home, &removed(&change))? {
            let cause = Cause { did: Did::Remove, ..Cause::default() };
            records.push(Record::of_calendar(change.clone(), &cause, &calendar));
        }
    }
    Ok(records)
}

/// The highest directories below `top` that hold files, by their paths from there.
fn calendars(home: &Directory, top: &FsPath) -> Result<Vec<PathBuf>> {
    let (mut calendars, mut left) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(below) = left.pop() {
        let Some(directory) = home.directory(top.join(&below))? else { continue };
        let entries = directory.entries()?;
        match entries.iter().any(|(name, kind)| *kind == EntryKind::File && is_own(name)) {
            true => calendars.push(below),
            false => left.extend(entries.into_iter().map(|(name, _)| below.join(name))),
        }
    }
    Ok(calendars)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::history::log::Log;

    #[test]
    fn what_expires_while_it_is_listed_has_been() {
        const CHANGES: usize = 2_000;
        let tree = tempfile::tempdir().expect("a directory");
        let home = Directory::root(tree.path()).expect("open");
        let change = |n: usize| format!("20260101T000000.{n:06}Z-1");
        // Which is listed first is the file system's affair.
        let file = |n: usize| format!("{}/a.ics", n % 40);
        let place = |n: usize| tree.path().join(Kept::Version.place(&change(n), Path::new(&file(n))));
        let mut log = Log::open(&home).expect("a log");
        for n in 0..CHANGES {
            let replaced = vec![file(n)];
            log.append(&Record { change: change(n), replaced, ..Record::default() }).expect("append");
            std::fs::create_dir_all(place(n).parent().expect("a parent")).expect("mkdir");
            std::fs::write(place(n), "").expect("write");
        }
        std::thread::scope(|scope| {
            let expiry =
                scope.spawn(|| (0..CHANGES).for_each(|n| std::fs::remove_file(place(n)).expect("removed")));
            while !expiry.is_finished() {
                let timeline = Timeline::read(&home).expect("read");
                assert!(timeline.changes.iter().all(|record| timeline.was_made(record)));
            }
        });
    }
}
