//! A directory as a check sees it: every name, also such as no address reaches, with what is under it. Nothing is opened here but
//! the directory.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::store::disk::Directory;

/// One name in a directory.
#[derive(Debug, Clone)]
pub struct Seen {
    pub name: OsString,
    pub stat: Stat,
}

impl Seen {
    /// The name, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        self.name.to_str()
    }

    fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    pub fn is_directory(&self) -> bool {
        self.file_type().is_dir()
    }

    pub fn is_hidden(&self) -> bool {
        self.name.as_bytes().starts_with(b".")
    }

    /// Whether it is called as items' files are.
    pub fn is_item_name(&self) -> bool {
        self.name.as_bytes().ends_with(b".ics") && !self.is_hidden()
    }

    /// What it is, in a word.
    pub fn what(&self) -> &'static str {
        match self.file_type() {
            FileType::RegularFile => "a file",
            FileType::Directory => "a directory",
            FileType::Symlink => "a symlink",
            FileType::Fifo => "a FIFO",
            FileType::Socket => "a socket",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            FileType::Unknown => "something unknown",
        }
    }
}

/// All that is in `directory`, in the order of the names.
pub fn list(directory: &Directory) -> Result<Vec<Seen>> {
    let failed = |error: Errno| Error::io(directory.path(), error);
    let mut all = Vec::new();
    for entry in directory.listed()? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = match rustix::fs::statat(directory.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Gone since it was listed.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(failed(error)),
        };
        all.push(Seen { name: OsStr::from_bytes(name.to_bytes()).to_owned(), stat });
    }
    all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}
