//! One operation of a commit, and whether its file is still what it was when the commit was thought out.

use std::path::{Path as FsPath, PathBuf};

use super::calendar::{State, content_hash};
use super::content::Content;
use super::disk::Directory;
use super::stamp::Stamp;
use super::threads::side_by_side;
use crate::error::{Error, Result};

/// One change of the tree.
#[derive(Debug)]
pub struct Operation {
    /// The file, below the home. Its directory is made if it is missing.
    pub file: PathBuf,
    /// What is there.
    pub before: State,
    /// The stamp that goes with it, if every later change makes another; then the file need not be read again.
    pub stamp: Option<Stamp>,
    /// What is to be there, or nothing if the file goes.
    pub after: Option<Content>,
}

/// Whether all files are as `before` says, by their stamps as far as those tell.
pub fn are_as_looked_at(home: &Directory, operations: &[Operation]) -> Result<bool> {
    let looked = side_by_side(operations, |operations| Ok(vec![are_as_before(home, operations)?]))?;
    Ok(looked.into_iter().all(|as_before| as_before))
}

fn are_as_before(home: &Directory, operations: &[Operation]) -> Result<bool> {
    let mut opened: Option<(&FsPath, Option<Directory>)> = None;
    for operation in operations {
        let path = above(&operation.file);
        // Most are in one directory.
        let directory = match opened.take().filter(|(known, _)| *known == path) {
            Some((_, directory)) => directory,
            None => home.directory(path)?,
        };
        let as_before = match &directory {
            Some(directory) => operation.is_as_before(directory)?,
            None => operation.before == State::Absent,
        };
        if !as_before {
            return Ok(false);
        }
        opened = Some((path, directory));
    }
    Ok(true)
}

impl Operation {
    /// Whether its file, which is in `directory`, is as `before` says, by its stamp as far as that tells.
    pub fn is_as_before(&self, directory: &Directory) -> Result<bool> {
        let name = file_name(&self.file)?;
        if self.before == State::Absent {
            return Ok(directory.kind(&name)?.is_none());
        }
        if self.stamp.is_some() && !directory.is_remote() && directory.stamp(&name)? == self.stamp {
            return Ok(true);
        }
        Ok(state(directory, &name)? == self.before)
    }
}

/// What is under a name now.
pub fn state(directory: &Directory, name: &str) -> Result<State> {
    match directory.read(name) {
        Ok(Some((content, _))) => Ok(State::Bytes(content_hash(&content))),
        Ok(None) => Ok(directory.kind(name)?.map_or(State::Absent, |_| State::Unreadable)),
        Err(error) if error.is_passing() => Err(error),
        Err(_) => Ok(State::Unreadable),
    }
}

pub fn file_name(file: &FsPath) -> Result<String> {
    let name = file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| Error::io(file, rustix::io::Errno::INVAL))
}

/// The directory of a file, below the home as that is.
pub fn above(file: &FsPath) -> &FsPath {
    file.parent().unwrap_or(FsPath::new(""))
}

/// The directory of a file below the home, if it is there.
pub fn parent(home: &Directory, file: &FsPath) -> Result<Option<Directory>> {
    home.directory(above(file))
}
