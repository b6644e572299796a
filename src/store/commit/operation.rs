//! One operation of a commit, and whether its file is still what it was when the commit was thought out.

use std::collections::BTreeSet;
use std::path::{Path as FsPath, PathBuf};

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::store::disk::content::{Content, State, content_hash};
use crate::store::disk::file_system::has_room;
use crate::store::disk::staging::Staging;
use crate::store::disk::stamp::Stamp;
use crate::store::disk::{Directory, There};
use crate::store::history::Kept;
use crate::store::threads::side_by_side;

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

/// Whether all files are as `before` says, by their stamps as far as those tell. The caller holds the home's lock.
///
/// # Errors
/// `Io`, `OtherMount` also where the system would not let us change them: to find that out after the commit would be too late.
pub fn are_as_looked_at(home: &Directory, operations: &[Operation], staging: &Staging) -> Result<bool> {
    let directories: BTreeSet<&FsPath> = operations.iter().map(|operation| above(&operation.file)).collect();
    for path in directories {
        try_to_change(home, path, staging)?;
        try_to_change(home, &FsPath::new(Kept::Version.directory()).join(path), staging)?;
    }
    let looked = side_by_side(operations, |operations| Ok(vec![are_as_before(home, operations)?]))?;
    Ok(looked.into_iter().all(|as_before| as_before))
}

/// Asks whether there is room for all files, whose journal may have taken much less: what no longer finds any after the commit
/// would keep the home from being read.
///
/// # Errors
/// `NoSpace` if there is not.
pub fn ask_for_room(home: &Directory, operations: &[Operation]) -> Result<()> {
    let lengths = operations.iter().map(|operation| operation.after.as_ref().map(Content::length));
    match has_room(home.fd(), lengths) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::io(home.path(), Errno::NOSPC)),
        Err(error) => Err(Error::io(home.path(), error)),
    }
}

fn are_as_before(home: &Directory, operations: &[Operation]) -> Result<bool> {
    let mut opened: Option<(&FsPath, Option<(Directory, bool)>)> = None;
    for operation in operations {
        let path = above(&operation.file);
        // Most are in one directory.
        let directory = match opened.take().filter(|(known, _)| *known == path) {
            Some((_, directory)) => directory,
            None => {
                let there = home.directory(path)?;
                there.map(|it| it.keeps_what_is_others().map(|keeps| (it, keeps))).transpose()?
            }
        };
        let as_before = match &directory {
            Some((directory, _)) => operation.is_as_before(directory)?,
            None => operation.before == State::Absent,
        };
        if !as_before {
            return Ok(false);
        }
        if let Some((directory, keeps)) = directory.as_ref().filter(|_| operation.before != State::Absent) {
            let name = file_name(&operation.file)?;
            directory.ask_to_replace(&name)?;
            if *keeps {
                directory.ask_to_own(&name)?;
            }
        }
        opened = Some((path, directory));
    }
    Ok(true)
}

/// Tries whether files can be put into a directory of the home and taken from it, or it be made.
fn try_to_change(home: &Directory, path: &FsPath, staging: &Staging) -> Result<()> {
    for above in path.ancestors() {
        match home.directory(above)? {
            Some(directory) => {
                directory.ask_to_change()?;
                return staging.try_to_reach(&directory);
            }
            // A file, perhaps, that has the name of what is to be made.
            None if home.look(above)? != There::Nothing => {
                return Err(Error::io(home.path().join(above), Errno::NOTDIR));
            }
            None => {}
        }
    }
    Ok(())
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
    name.ok_or_else(|| Error::io(file, Errno::INVAL))
}

/// The directory of a file, below the home as that is.
pub fn above(file: &FsPath) -> &FsPath {
    file.parent().unwrap_or(FsPath::new(""))
}

/// The directory of a file below the home, if it is there.
pub fn parent(home: &Directory, file: &FsPath) -> Result<Option<Directory>> {
    home.directory(above(file))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn refused(operations: &[(&str, State)], home: &Directory) -> bool {
        let operation = |(file, before): &(&str, State)| Operation {
            file: file.into(),
            before: *before,
            stamp: None,
            after: None,
        };
        let operations: Vec<Operation> = operations.iter().map(operation).collect();
        let staging = Staging::open(home).expect("staging");
        are_as_looked_at(home, &operations, &staging).is_err()
    }

    #[test]
    fn what_the_system_would_not_let_us_change_is_told_before_it_is_tried() {
        let tree = tempfile::tempdir().expect("a directory");
        let at = |name: &str| tree.path().join(name);
        std::fs::create_dir(at("Calendar")).expect("mkdir");
        std::fs::write(at("Calendar/a.ics"), "a").expect("write");
        std::fs::write(at("File"), "").expect("write");
        let home = Directory::root(tree.path()).expect("open");
        let there = ("Calendar/a.ics", State::Bytes(content_hash(b"a")));
        let new = |file| (file, State::Absent);
        assert!(!refused(&[there, new("Calendar/b.ics"), new("Work/New/c.ics")], &home));
        assert!(refused(&[there, new("File/New/c.ics")], &home), "a file has the name of a directory");
        let chattr = |how: &str, name: &str| {
            Command::new("chattr").arg(how).arg(at(name)).output().is_ok_and(|output| output.status.success())
        };
        for (set, unset, name, operations) in [
            ("+i", "-i", "Calendar", [there, new("x.ics")]),
            ("+i", "-i", "Calendar", [new("Calendar/b.ics"), new("x.ics")]),
            ("+i", "-i", "Calendar/a.ics", [there, new("x.ics")]),
            ("+a", "-a", "Calendar/a.ics", [there, new("x.ics")]),
        ] {
            if !chattr(set, name) {
                println!("skipped: nothing can be made immutable here");
                return;
            }
            let refused = refused(&operations, &home);
            assert!(chattr(unset, name));
            assert!(refused, "{set} {operations:?}");
        }
    }

    #[test]
    fn a_file_that_is_a_mount_is_told_before_it_is_tried_to_replace_it() {
        let tree = tempfile::tempdir().expect("a directory");
        let file = tree.path().join("Calendar/a.ics");
        std::fs::create_dir(tree.path().join("Calendar")).expect("mkdir");
        std::fs::write(&file, "a").expect("write");
        let mount = |words: &[&str]| {
            Command::new(words[0])
                .args(&words[1..])
                .arg(&file)
                .output()
                .is_ok_and(|output| output.status.success())
        };
        if !mount(&["mount", "--bind", file.to_str().expect("UTF-8")]) {
            println!("skipped: nothing may be mounted here");
            return;
        }
        let home = Directory::root(tree.path()).expect("open");
        let operations = [("Calendar/a.ics", State::Bytes(content_hash(b"a"))), ("x.ics", State::Absent)];
        let refused = refused(&operations, &home);
        assert!(mount(&["umount"]));
        assert!(refused);
    }
}
