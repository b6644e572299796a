//! `kalends restore`: what was comes back, as a change like any other. Copies, never links; what is replaced goes to the history.

pub mod copies;
pub mod look_back;
pub mod newer;
pub mod put_back;

use std::path::{Path as FsPath, PathBuf};

use super::Store;
use crate::error::{Error, Result};
use crate::store::calendar::listing::is_own;
use crate::store::commit::operation::Operation;
use crate::store::commit::{Commit, Made};
use crate::store::disk::content::State;
use crate::store::disk::{Directory, EntryKind, There};
use crate::store::history::record::{Cause, Did};
use crate::store::origin::Origin;
use crate::store::place::Path;
use crate::store::tree::Found;
use look_back::{Looked, Moment};

/// How often it is tried anew because somebody changes the files meanwhile.
const ATTEMPTS: usize = 10;

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
            let Found::Calendar(calendar) = self.tree.find(place)? else {
                return self.restore_whole(home, place, uid, &looked, &cause);
            };
            let operations = looked.operations(uid)?;
            ask_for_place(&calendar, &operations)?;
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
        let inner: PathBuf = missing.iter().skip(1).collect();
        let into = staged.directory.make_unsynced(&inner)?;
        if let Some(directory) = &looked.then.directory {
            copies::all(&home.existing(directory)?, &into, &|name, kind| {
                !(kind == EntryKind::File && name.to_str().is_some_and(is_own))
            })?;
        }
        let added = looked.copy_files(&into)?;
        let put = added.len();
        let added = added.iter().map(|name| calendar.join(name).to_string_lossy().into_owned()).collect();
        staged.sync()?;
        self.journals.place_calendar(home, &calendar, added, cause, || staged.place(&target, top))?;
        Ok(Restored { whole: true, put, removed: 0, missing: looked.missing })
    }
}

/// Asks whether what is to be made finds its place free.
///
/// # Errors
/// `Conflict` if something that is no file is there, which nobody replaces.
fn ask_for_place(calendar: &Directory, operations: &[Operation]) -> Result<()> {
    for Operation { file, .. } in operations.iter().filter(|operation| operation.before == State::Absent) {
        if calendar.look(file)? == There::Other {
            let path = calendar.path().join(file);
            return Err(Error::Conflict(format!("{}: in the way, and not a file: move it", path.display())));
        }
    }
    Ok(())
}
