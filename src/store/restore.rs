//! `kalends restore`: what was comes back, as a change like any other. Copies, never links; what is replaced goes to the
//! history; what comes back in place of a newer version is made the newest, so that programs take it instead of undoing it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FsPath;

use jiff::Timestamp;

use super::Store;
use super::commit::{Commit, Made};
use super::content::{State, content_hash};
use super::disk::{Directory, EntryKind};
use super::listing::{is_item, own_files};
use super::newer::Newer;
use super::operation::Operation;
use super::origin::Origin;
use super::place::Path;
use super::props::PROPS;
use super::record::{Cause, Did};
use super::timeline::{Files, Then, Timeline, Version};
use super::tree::Found;
use crate::count::counted;
use crate::error::{Error, Result};
use crate::ical::item::{Item, Key};

/// How often it is tried anew because somebody changes the files meanwhile.
const ATTEMPTS: usize = 10;

/// The moment whose state is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    /// Before the last save or removal.
    BeforeLast,
}

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// The calendar was gone and is back.
    pub whole: bool,
    /// Files that came back or went back to an earlier version.
    pub put: usize,
    pub removed: usize,
    /// Files that other tools removed before, which nothing brings back.
    pub missing: usize,
}

/// A calendar as it is and as it was, with its home's lock held.
pub(super) struct Looked<'h> {
    pub timeline: Timeline<'h>,
    pub here: Files,
    pub then: Then,
    /// The names under which the only item that is meant lies or lay; nothing if all are meant.
    pub only: Option<BTreeSet<String>>,
    /// How many files other tools had removed, if all are meant.
    pub missing: usize,
}

impl Store {
    /// Brings back what was at `place`, or only its item `uid`. On a tree that a server uses too.
    ///
    /// # Errors
    /// `BadRequest` with the reason if the history has no such state; `Conflict` if something else is in the way; `NoSpace`,
    /// `Io`.
    pub fn restore(
        &self,
        origin: &Origin,
        place: &Path,
        uid: Option<&str>,
        moment: Moment,
    ) -> Result<Restored> {
        let locked = self.lock_home_of(place)?;
        let home = &locked.directory;
        let cause = Cause::new(Did::Restore, origin);
        for _ in 0..ATTEMPTS {
            let looked = self.look_back(home, place, uid, moment)?;
            if !matches!(self.tree.find(place)?, Found::Calendar(_)) {
                return self.restore_whole(home, place, uid, &looked, &cause);
            }
            let operations = match uid {
                None => looked.operations()?,
                Some(uid) => looked.operations_of(uid)?,
            };
            let put = operations.iter().filter(|operation| operation.after.is_some()).count();
            let removed = operations.len() - put;
            let restored = Restored { whole: false, put, removed, missing: looked.missing };
            let operations = operations
                .into_iter()
                .map(|operation| Operation { file: place.below_home().join(&operation.file), ..operation });
            let on_disk = self.tree.home_on_disk(&place.home);
            let commit = Commit {
                home: on_disk.clone(),
                operations: operations.collect(),
                lost: Vec::new(),
                cause: cause.clone(),
            };
            match self.journals.commit(home, commit)? {
                Made::Applied => return Ok(restored),
                Made::Outdated => {}
                Made::Journaled(journal) => {
                    return self.journals.apply(&on_disk, &journal).map(|()| restored);
                }
            }
        }
        Err(Error::Busy)
    }

    pub(super) fn lock_home_of(&self, place: &Path) -> Result<super::writer::Locked> {
        self.lock(&place.home).map_err(|error| match error {
            Error::NotFound => Error::BadRequest(format!("{place}: there is no such home")),
            other => other,
        })
    }

    /// What is and what was at `place`. The caller holds the home's lock.
    pub(super) fn look_back<'h>(
        &self,
        home: &'h Directory,
        place: &Path,
        uid: Option<&str>,
        moment: Moment,
    ) -> Result<Looked<'h>> {
        let refuse = |why: String| Error::BadRequest(format!("{place}: {why}"));
        let (calendar, here) = (place.below_home(), self.files_here(place)?);
        let timeline = Timeline::read(home)?;
        let only = uid.map(|uid| timeline.names_of(uid, &calendar, &here)).transpose()?;
        if let (Some(uid), Some(names), Moment::BeforeLast) = (uid, &only, moment)
            && let Some(then) = timeline.last_lost(uid, &calendar, names, &here)?
        {
            let only = Some(then.files.keys().cloned().collect());
            return Ok(Looked { timeline, here, then, only, missing: 0 });
        }
        let what = uid.map_or_else(String::new, |uid| format!(" of {uid}"));
        if only.as_ref().is_some_and(BTreeSet::is_empty) {
            let why = "it was never here, or another tool removed it, which is in no history";
            return Err(refuse(format!("the history has nothing{what}: {why}")));
        }
        let last_before = |until| timeline.last_change(&calendar, only.as_ref(), until);
        let first_undone = match moment {
            Moment::BeforeLast => {
                last_before(timeline.changes.len()).ok_or(format!("the history has nothing{what}"))
            }
            Moment::At(at) => timeline.first_after(at),
        };
        let mut from = first_undone.map_err(refuse)?;
        let mut then = timeline.before(&calendar, &here, from)?;
        let removal = last_before(from).filter(|at| timeline.changes[*at].cause.did == Did::Remove);
        // Made anew, by a program's next save perhaps: then the removal before is meant.
        if let Some(removal) = removal.filter(|_| moment == Moment::BeforeLast && then.is_nothing()) {
            (from, then) = (removal, timeline.before(&calendar, &here, removal)?);
        }
        let counts = |name: &&String| only.as_ref().is_none_or(|only| only.contains(*name));
        if let Some(name) = then.expired.iter().find(counts) {
            return Err(refuse(format!("the version that {name} had then has expired")));
        }
        let missing = timeline.missing(&calendar, &then, from);
        match missing {
            0 if then.is_nothing() => Err(refuse("there was no such calendar then".to_owned())),
            _ if then.is_nothing() => {
                let files = counted(missing, "file");
                Err(refuse(format!("other tools removed its {files}: no history has them")))
            }
            _ => Ok(Looked { missing: if uid.is_some() { 0 } else { missing }, timeline, here, then, only }),
        }
    }

    /// The files of a calendar as it is.
    fn files_here(&self, place: &Path) -> Result<Files> {
        let refuse = |why: &str| Err(Error::BadRequest(format!("{place}: {why}")));
        match self.tree.find(place)? {
            Found::Calendar(directory) => {
                let version = |name: &String| Version(place.below_home().join(name));
                Ok(own_files(&directory)?.into_iter().map(|name| (name.clone(), version(&name))).collect())
            }
            Found::Folder(_) => refuse("this is a folder; name a calendar in it"),
            Found::File(..) => refuse("this calendar is one file, which Kalends never changes"),
            Found::Missing | Found::Blocked => Ok(Files::new()),
        }
    }

    /// Brings back a calendar that is not there: put together aside, and in place by one rename.
    fn restore_whole(
        &self,
        home: &Directory,
        place: &Path,
        uid: Option<&str>,
        looked: &Looked<'_>,
        cause: &Cause,
    ) -> Result<Restored> {
        let blocked = || Error::Conflict(format!("{place}: something else is in the way"));
        if uid.is_some() {
            let why = "the calendar is gone: restore it without --uid, which brings back all of it";
            return Err(Error::BadRequest(format!("{place}: {why}")));
        }
        if !matches!(self.tree.find(place)?, Found::Missing) {
            return Err(blocked());
        }
        let calendar = place.below_home();
        // The lowest folder that is there; what is missing below it comes with the calendar.
        let folder =
            calendar.ancestors().skip(1).find(|folder| home.directory(folder).is_ok_and(|it| it.is_some()));
        let folder = folder.unwrap_or(FsPath::new(""));
        let target = home.existing(folder)?;
        let missing = calendar.strip_prefix(folder).unwrap_or(&calendar);
        let Some(top) = missing.iter().next().and_then(|name| name.to_str()) else { return Err(blocked()) };
        let staged = self.journals.staging().make_directory(&target)?;
        let inner: std::path::PathBuf = missing.iter().skip(1).collect();
        let into = staged.directory.make_unsynced(&inner)?;
        if let Some(directory) = &looked.then.directory {
            self.copy_rest(&home.existing(directory)?, &into)?;
        }
        let newer = Newer::of(&looked.timeline, &looked.then)?;
        for (name, version) in &looked.then.files {
            self.copy_in(&looked.content(name, version, &newer)?, &into, name)?;
        }
        staged.sync()?;
        self.journals.place_calendar(home, &calendar, cause, || staged.place(&target, top))?;
        let put = looked.then.files.len();
        Ok(Restored { whole: true, put, removed: 0, missing: looked.missing })
    }

    fn copy_in(&self, content: &[u8], into: &Directory, name: &str) -> Result<()> {
        self.journals.staging().write_unsynced(content, into)?.place(into, name)
    }

    /// Copies what is no item and says nothing of the calendar either, but was in its directory: rights, strays.
    fn copy_rest(&self, from: &Directory, into: &Directory) -> Result<()> {
        let own: BTreeSet<String> = own_files(from)?.into_iter().collect();
        for (name, kind) in from.entries()? {
            match kind {
                EntryKind::File if own.contains(&name) => {}
                EntryKind::File => {
                    if let Some((content, _)) = from.read(&name)? {
                        self.copy_in(&content, into, &name)?;
                    }
                }
                EntryKind::Directory => {
                    let (from, into) = (from.existing(&name)?, into.make_unsynced(&name)?);
                    for name in own_files(&from)? {
                        if let Some((content, _)) = from.read(&name)? {
                            self.copy_in(&content, &into, &name)?;
                        }
                    }
                    self.copy_rest(&from, &into)?;
                }
                EntryKind::Other => tracing::warn!("{}/{name}: not a file, left out", from.path().display()),
            }
        }
        Ok(())
    }
}

impl Looked<'_> {
    /// What makes the calendar what it was: by file, each under its name in the calendar.
    fn operations(&self) -> Result<Vec<Operation>> {
        let newer = Newer::of(&self.timeline, &self.then)?;
        let mut operations = Vec::new();
        for (name, version) in &self.then.files {
            if self.here.get(name) != Some(version) {
                operations.extend(self.put(name, self.content(name, version, &newer)?)?);
            }
        }
        for name in self.here.keys().filter(|name| !self.then.files.contains_key(*name) && *name != PROPS) {
            operations.push(self.remove(name)?);
        }
        Ok(operations)
    }

    /// What makes the item `uid` what it was, or makes it go if it was not there; others in the same file stay.
    fn operations_of(&self, uid: &str) -> Result<Vec<Operation>> {
        let newer = Newer::of(&self.timeline, &self.then)?;
        let names = self.only.iter().flatten();
        let mut after: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        let mut apart: Vec<(Key, Vec<u8>)> = Vec::new();
        for name in names {
            let then = self.then.files.get(name);
            let here = self.here.get(name);
            let is_same = then == here;
            let of = |version: Option<&Version>| {
                version.map_or(Ok(Vec::new()), |version| self.timeline.items(version))
            };
            let (was, is) = (of(then)?, of(here)?);
            let alone = |items: &[Item]| items.iter().all(|item| &*item.key.uid == uid);
            match (then, is_same) {
                (_, true) => {}
                (Some(version), _) if alone(&was) && alone(&is) && !was.is_empty() => {
                    after.insert(name.clone(), Some(self.content(name, version, &newer)?));
                }
                _ => {
                    // The item leaves what others are in, as when a save changes one of them.
                    let (mine, others): (Vec<Item>, Vec<Item>) =
                        is.into_iter().partition(|item| &*item.key.uid == uid);
                    if !mine.is_empty() {
                        after.insert(name.clone(), None);
                        apart.extend(others.into_iter().map(|item| (item.key.clone(), item.to_file())));
                    }
                    let mine = was.into_iter().filter(|item| &*item.key.uid == uid);
                    apart.extend(mine.map(|item| (item.key.clone(), newer.outdone(item.to_file(), name))));
                }
            }
        }
        for (key, content) in apart {
            let name = self.emptied(&key, &after)?.unwrap_or_else(|| self.free_name(&key, &after));
            after.insert(name, Some(content));
        }
        let mut operations = Vec::new();
        for (name, content) in after {
            match content {
                Some(content) => operations.extend(self.put(&name, content)?),
                None if self.here.contains_key(&name) => operations.push(self.remove(&name)?),
                None => {}
            }
        }
        Ok(operations)
    }

    /// The file that an item leaves in which it is alone: back there, the same again changes nothing.
    fn emptied(&self, key: &Key, after: &BTreeMap<String, Option<Vec<u8>>>) -> Result<Option<String>> {
        for (name, _) in after.iter().filter(|(_, content)| content.is_none()) {
            let items = self.here.get(name).map_or(Ok(Vec::new()), |version| self.timeline.items(version))?;
            if items.iter().all(|item| item.key == *key) && !items.is_empty() {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn free_name(&self, key: &Key, taken: &BTreeMap<String, Option<Vec<u8>>>) -> String {
        let stem = key.file_stem();
        let names = std::iter::once(format!("{stem}.ics")).chain((2..).map(|n| format!("{stem}-{n}.ics")));
        let mut free = names.filter(|name| !self.here.contains_key(name) && !taken.contains_key(name));
        free.next().unwrap_or(stem)
    }

    /// The bytes of a version as they come back.
    fn content(&self, name: &str, version: &Version, newer: &Newer) -> Result<Vec<u8>> {
        let content = self.timeline.bytes(version)?;
        Ok(if is_item(name) { newer.outdone(content, name) } else { content })
    }

    /// Nothing if that is there already.
    fn put(&self, name: &str, content: Vec<u8>) -> Result<Option<Operation>> {
        let before = self.state(name)?;
        let is_there = before == State::Bytes(content_hash(&content));
        Ok((!is_there).then(|| Operation {
            file: name.into(),
            before,
            stamp: None,
            after: Some(content.into()),
        }))
    }

    fn remove(&self, name: &str) -> Result<Operation> {
        Ok(Operation { file: name.into(), before: self.state(name)?, stamp: None, after: None })
    }

    fn state(&self, name: &str) -> Result<State> {
        match self.here.get(name) {
            Some(version) => Ok(State::Bytes(content_hash(&self.timeline.bytes(version)?))),
            None => Ok(State::Absent),
        }
    }
}
