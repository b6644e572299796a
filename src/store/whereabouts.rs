//! Whether the data directory is still what its name leads to. The server works in the directory that it opened, wherever that
//! is moved: after another one was put in its place, what it saved would lie where nobody looks.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::disk::{Directory, Identity};
use crate::error::{Error, Result};

#[derive(Debug)]
pub struct Whereabouts {
    /// What the configuration says.
    path: PathBuf,
    opened: Identity,
    /// What was found at the last look.
    is_displaced: AtomicBool,
}

impl Whereabouts {
    pub fn of(root: &Directory) -> Result<Whereabouts> {
        let (path, opened) = (root.path().to_path_buf(), root.identity()?);
        Ok(Whereabouts { path, opened, is_displaced: AtomicBool::default() })
    }

    /// Looks, by a single call.
    ///
    /// # Errors
    /// `Displaced` if another directory is there, or none.
    pub fn look(&self) -> Result<()> {
        let is_displaced = match rustix::fs::stat(&self.path) {
            Ok(stat) => (stat.st_dev, stat.st_ino) != self.opened,
            Err(error) => matches!(error, Errno::NOENT | Errno::NOTDIR),
        };
        let path = self.path.display();
        match (self.is_displaced.swap(is_displaced, Ordering::AcqRel), is_displaced) {
            (false, true) => tracing::error!(
                "{path}: the data directory is not where it was: nothing is shown or saved until it is, or the server is started again"
            ),
            (true, false) => tracing::info!("{path}: the data directory is in its place again"),
            _ => {}
        }
        self.last()
    }

    /// As at the last look.
    ///
    /// # Errors
    /// As [`Whereabouts::look`].
    pub fn last(&self) -> Result<()> {
        match self.is_displaced.load(Ordering::Acquire) {
            true => Err(Error::Displaced),
            false => Ok(()),
        }
    }
}
