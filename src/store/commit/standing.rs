//! Whether a home's files are one state, for whoever reads them without holding its lock.

use std::path::Path as FsPath;

use super::journal::{JOURNALS, tag};
use crate::error::Result;
use crate::store::disk::Directory;
use crate::store::disk::stamp::Stamp;
use crate::store::history::LOGS;
use crate::store::history::log::newest_log;

/// To be asked before and after the files are read: what was read between two that are the same, and not half, is one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// A commit is made and not on disk in full.
    pub is_half: bool,
    /// Of the newest log, which each commit makes longer.
    log: Option<Stamp>,
}

impl Standing {
    /// How the home at `home` below the data directory stands.
    pub fn of(root: &Directory, home: &FsPath) -> Result<Standing> {
        let tag = tag(home);
        let journals = root.directory(JOURNALS)?.map(|journals| journals.entries()).transpose()?;
        let is_half =
            journals.is_some_and(|journals| journals.iter().any(|(name, _)| name.starts_with(&tag)));
        let logs = root.directory(home.join(LOGS))?;
        let log = match &logs {
            Some(logs) => newest_log(logs)?.map(|log| logs.stamp(&log)).transpose()?.flatten(),
            None => None,
        };
        Ok(Standing { is_half, log })
    }
}
