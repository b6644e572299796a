//! Copies into a directory that nobody sees yet: of files and directories, with their times and POSIX ACLs as far as the system
//! lets us. What cannot be copied is left out, which the log says: what lies beside it must not stay away for that.

use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::io::{self, Write};
use std::path::{Path as FsPath, PathBuf};

use rustix::fs::{OFlags, XattrFlags};
use rustix::io::Errno;

use super::look_back::Looked;
use super::newer::Newer;
use crate::error::{Error, Result};
use crate::store::disk::staging::{ACCESS, DEFAULT};
use crate::store::disk::{Directory, EntryKind, FILE_MODE};
use crate::store::history::timeline::Version;

impl Looked<'_> {
    /// Copies the calendar's own files as they were; gives the names of those that could be.
    pub fn copy_files(&self, into: &Directory) -> Result<Vec<&str>> {
        let newer = Newer::of(&self.timeline, &self.then)?;
        let mut copied = Vec::new();
        for (name, version) in &self.then.files {
            if unless_refused(self.copy_file(name, version, &newer, into))? {
                copied.push(name.as_str());
            }
        }
        Ok(copied)
    }

    fn copy_file(&self, name: &str, version: &Version, newer: &Newer, into: &Directory) -> Result<()> {
        let revised = match self.revised(name, version, newer) {
            // Too large, perhaps: of what is never read nothing is newer either.
            Err(error) if !error.is_passing() => None,
            revised => revised?,
        };
        let (from, kept) = self.timeline.place(version)?;
        let copy = Copy { from: &from, name: kept, into, to: name.as_ref() };
        copy.file(revised.as_deref())
    }
}

/// Copies all in a directory that is `wanted`, and all in the directories there.
pub fn all(from: &Directory, into: &Directory, wanted: &dyn Fn(&OsStr, EntryKind) -> bool) -> Result<()> {
    for (name, kind) in from.all_entries()?.into_iter().filter(|(name, kind)| wanted(name, *kind)) {
        let copy = Copy { from, name: &name, into, to: &name };
        unless_refused(match kind {
            EntryKind::File => copy.file(None),
            EntryKind::Directory => copy.directory(),
            EntryKind::Other => Err(copy.failed(io::Error::other("neither a file nor a directory"))),
        })?;
    }
    // Last: they may keep us from filling it.
    for name in [ACCESS, DEFAULT] {
        let mut acl = [0; 4096];
        if let Some(len) = from.attribute(name, &mut acl) {
            unless_refused(into.set_attribute(name, &acl[..len]))?;
        }
    }
    Ok(())
}

/// Whether that was done. What nobody can do now or later is logged.
fn unless_refused(done: Result<()>) -> Result<bool> {
    match done {
        Err(error) if !error.is_passing() => {
            tracing::warn!("left out: {error}");
            Ok(false)
        }
        done => done.map(|()| true),
    }
}

/// What is copied, and where to.
struct Copy<'c> {
    from: &'c Directory,
    name: &'c OsStr,
    into: &'c Directory,
    to: &'c OsStr,
}

impl Copy<'_> {
    fn failed(&self, error: impl Into<io::Error>) -> Error {
        Error::io(self.path(), error)
    }

    fn directory(&self) -> Result<()> {
        let from = self.from.existing(self.name)?;
        all(&from, &self.into.make_unsynced(FsPath::new(self.to))?, &|_, _| true)
    }

    /// Copies a file with its times; or with `content` in place of its own, which is of now.
    fn file(&self, content: Option<&[u8]>) -> Result<()> {
        let (from, _) = self.from.file(self.name)?.ok_or_else(|| self.failed(Errno::NOENT))?;
        let into = self.into.open_or_make(self.to, OFlags::WRONLY | OFlags::EXCL)?;
        let into = into.ok_or_else(|| self.failed(Errno::EXIST))?;
        rustix::fs::fchmod(&into, FILE_MODE).map_err(|error| self.failed(error))?;
        let into = File::from(into);
        self.acl(&from, &into);
        let filled = fill(&from, &into, content).map_err(|error| self.failed(error));
        filled.inspect_err(|_| drop(self.into.remove(self.to)))
    }

    fn acl(&self, from: &File, into: &File) {
        let mut acl = [0; 4096];
        let Ok(len) = rustix::fs::fgetxattr(from, ACCESS, &mut acl) else { return };
        if let Err(error) = rustix::fs::fsetxattr(into, ACCESS, &acl[..len], XattrFlags::empty()) {
            tracing::warn!("{}: its ACL cannot be given to what comes back: {error}", self.path().display());
        }
    }

    fn path(&self) -> PathBuf {
        self.from.path().join(self.name)
    }
}

fn fill(mut from: &File, mut into: &File, content: Option<&[u8]>) -> io::Result<()> {
    match content {
        Some(content) => into.write_all(content)?,
        None => {
            io::copy(&mut from, &mut into)?;
            // Of two versions of an item the later file may be the one that is served.
            into.set_times(FileTimes::new().set_modified(from.metadata()?.modified()?))?;
        }
    }
    Ok(())
}
