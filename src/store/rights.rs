//! The rights at a place: what an `.acl.json` says, or that it closes the place. Which file decides is `nearest`'s business, what
//! its text means `acl`'s.

use std::path::{Path as FsPath, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::disk::Directory;
use super::disk::stamp::Stamp;
use super::place::{Home, Name, Path};
use super::recent::Recent;
use crate::acl::{Acl, Principal, Role};
use crate::error::{Error, Result};

pub const FILE: &str = ".acl.json";

/// The nearest `.acl.json` of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// There is none up to the top.
    None,
    Granted {
        acl: Acl,
        file: PathBuf,
    },
    /// There is one that cannot be understood, or nobody can tell whether: it grants nothing. The text says where and why.
    Closed {
        reason: String,
    },
    /// There is one that could not be read just now. The owner needs none; others are told that it failed.
    Unread {
        file: PathBuf,
        reason: String,
    },
}

impl Rights {
    /// What `who` may do at `path`, whose rights these are. A home's owner is master, whatever any file says; who holds
    /// a link may do what is left of its maker's rights.
    ///
    /// # Errors
    /// `GroupsUnknown`; `Io` where they could not be read.
    pub fn role(&self, who: &Principal, path: &Path) -> Result<Role> {
        if let Principal::Link(link) = who {
            let makers = self.role(link.maker(), path)?;
            return Ok(link.role(makers, path.home.owner(), path.names.iter().map(Name::as_str)));
        }
        if owns(who, &path.home) {
            return Ok(Role::Master);
        }
        match self {
            Rights::None | Rights::Closed { .. } => Ok(Role::None),
            Rights::Granted { acl, .. } => {
                acl.role(who).map(|(role, _)| role).map_err(|_| Error::GroupsUnknown)
            }
            Rights::Unread { file, reason } => Err(unread(file, reason)),
        }
    }

    /// Whether they are what is there: what could not be read is to be asked for again soon.
    pub fn are_read(&self) -> bool {
        !matches!(self, Rights::Unread { .. })
    }
}

/// The error of whoever needs the rights that could not be read.
pub fn unread(file: &FsPath, reason: &str) -> Error {
    Error::Io { path: file.to_path_buf(), source: std::io::Error::other(reason.to_owned()) }
}

/// Whether it is `who`'s own home: not through a link.
pub fn owns(who: &Principal, home: &Home) -> bool {
    who.user().is_some() && who.user() == home.owner()
}

/// What the `.acl.json` files said when they were read last: each save asks for the same ones again.
#[derive(Debug)]
pub struct KnownRights {
    /// Where they are, with the stamps that they had before. Guards that only.
    by_file: Mutex<Recent<PathBuf, (Stamp, Rights)>>,
}

impl Default for KnownRights {
    fn default() -> KnownRights {
        const MOST: usize = 1_000;
        KnownRights { by_file: Mutex::new(Recent::new(MOST)) }
    }
}

impl KnownRights {
    /// What the file says, if it was read when it had this stamp.
    pub fn known(&self, file: &PathBuf, stamp: Stamp) -> Option<Rights> {
        let by_file = self.by_file.lock();
        by_file.get(file).filter(|(then, _)| *then == stamp).map(|(_, rights)| rights.clone())
    }

    /// Its stamp tells of every later change.
    pub fn learn(&self, file: PathBuf, stamp: Stamp, rights: Rights) {
        let forgotten = self.by_file.lock().put(file, (stamp, rights), 1);
        drop(forgotten);
    }
}

/// Reads the `.acl.json` that is in `directory`; whatever is wrong with it closes the place. With it comes the stamp that tells
/// of every later change, if one does: not of what could not be read, nor where others write, whose news a look may miss.
pub fn read(directory: &Directory) -> (Rights, Option<Stamp>) {
    let file = directory.path().join(FILE);
    let closed = |reason: String| Rights::Closed { reason: format!("{}: {reason}", file.display()) };
    let read_at = SystemTime::now();
    let (text, stamp) = match directory.read(FILE) {
        Ok(Some(read)) => read,
        Ok(None) => return (closed("not a regular file".to_owned()), None),
        Err(error) if error.is_passing() => {
            let reason = match error {
                Error::Io { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            return (Rights::Unread { file, reason }, None);
        }
        Err(error) => return (closed(error.to_string()), None),
    };
    let rights = match std::str::from_utf8(&text).map_err(|error| error.to_string()).map(Acl::parse) {
        Ok(Ok(acl)) => Rights::Granted { acl, file },
        Ok(Err(error)) => closed(error.to_string()),
        Err(error) => closed(error),
    };
    let settled = !directory.is_remote() && !directory.is_racy(stamp, read_at);
    (rights, Some(stamp).filter(|_| settled))
}
