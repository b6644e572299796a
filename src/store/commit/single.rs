//! A commit of one file: staged, looked at once more, put in place of what is there, synced; or as if nothing had been done.

use super::operation::Operation;
use crate::error::Result;
use crate::store::disk::Directory;
use crate::store::disk::content::State;
use crate::store::disk::staging::{Staged, Staging};
use crate::store::history::log::Log;
use crate::store::history::record::Record;
use crate::store::history::{HISTORY, Leaving};
use crate::store::took::took;

/// Where the file is. The caller holds the home's lock.
pub struct Single<'h> {
    pub home: &'h Directory,
    pub directory: Directory,
    pub name: String,
    pub staging: &'h Staging,
}

impl Single<'_> {
    /// Makes the commit; or not, if somebody has changed the file after it was looked at.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: then the tree is as it was.
    pub fn commit(&self, operation: &Operation, record: &Record, log: &mut Log) -> Result<bool> {
        let directory = &self.directory;
        let staged = operation.after.as_ref().map(|content| {
            let parts = content.parts().into_iter();
            self.staging.write_parts(parts, directory)
        });
        let staged = staged.transpose()?;
        // Looked at as late as can be: writing has taken its time.
        if !operation.is_as_before(directory)? {
            return Ok(false);
        }
        took(HISTORY, || log.append(record))?;
        let put = self.put(operation, staged, &record.change).and_then(|put| {
            // Without this the rename itself may be lost at a power cut.
            let synced = if put { directory.sync() } else { Ok(()) };
            synced.map(|()| put).inspect_err(|_| self.take_back(operation, &record.change))
        });
        if !matches!(put, Ok(true)) {
            log.take_back(record);
        }
        put
    }

    /// Puts the file in place of what is there, which goes to the history; or not, where somebody was faster.
    fn put(&self, operation: &Operation, staged: Option<Staged>, change: &str) -> Result<bool> {
        let Single { directory, name, .. } = self;
        let leaving = self.leaving(operation, change);
        match (staged, operation.before) {
            (Some(staged), State::Absent) => return staged.add(directory, name),
            (Some(staged), _) => {
                took(HISTORY, || leaving.keep(self.staging))?;
                if let Err(error) = leaving.settle().and_then(|()| staged.place(directory, name)) {
                    leaving.unkeep()?;
                    return Err(error);
                }
            }
            (None, State::Absent) => {}
            (None, _) => {
                leaving.take()?;
                leaving.settle().inspect_err(|_| self.take_back(operation, change))?;
            }
        }
        Ok(true)
    }

    /// What is there, on its way into the history.
    fn leaving<'c>(&'c self, operation: &'c Operation, change: &'c str) -> Leaving<'c> {
        Leaving { home: self.home, change, file: &operation.file, from: &self.directory, name: &self.name }
    }

    /// Undoes what [`Single::put`] did: the client is told that nothing was changed, so nothing may be.
    fn take_back(&self, operation: &Operation, change: &str) {
        let undone = match operation.before {
            State::Absent => self.directory.unlink(&self.name),
            State::Bytes(_) | State::Unreadable => self.leaving(operation, change).put_back(),
        };
        if let Err(error) = undone {
            tracing::error!("a change that failed cannot be undone: {error}");
        }
    }
}
