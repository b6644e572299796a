//! What changes a directory of the tree: names are made in it, given and taken away, and made durable.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path as FsPath, PathBuf};

use rustix::fs::{Access, AtFlags, Gid, Mode, OFlags, Stat, StatxAttributes, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::{Directory, EntryKind, NO_DIRECTORY, split};
use crate::error::{Error, Result};

/// What the tree's files may be done with, whatever the umask.
pub const FILE_MODE: Mode = Mode::from_raw_mode(0o660);

impl Directory {
    /// Asks whether names may be made in this directory and taken from it.
    ///
    /// # Errors
    /// `Io` if not.
    pub fn ask_to_change(&self) -> Result<()> {
        let asked = Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(&self.fd, ".", asked, AtFlags::EACCESS)
            .map_err(|error| Error::io(&self.path, error))
    }

    /// Asks whether `name` may be replaced or removed where its directory may be changed: not so what is immutable, or may only be
    /// added to, or is a mount, as containers have them of single files.
    pub fn ask_to_replace(&self, name: &str) -> Result<()> {
        let failed = |error| Err(Error::io(self.path.join(name), error));
        let how = AtFlags::SYMLINK_NOFOLLOW;
        let (is, can_be) = match rustix::fs::statx(&self.fd, name, how, StatxFlags::empty()) {
            Ok(found) => (found.stx_attributes, found.stx_attributes_mask),
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return failed(error),
        };
        if is.contains(StatxAttributes::MOUNT_ROOT) {
            return failed(Errno::XDEV);
        }
        if is.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
            return failed(Errno::PERM);
        }
        // Not every file system tells. Whose content may not be written may be replaced all the same.
        let tells = can_be.contains(StatxAttributes::IMMUTABLE);
        match tells
            || rustix::fs::accessat(&self.fd, name, Access::WRITE_OK, how | AtFlags::EACCESS)
                != Err(Errno::PERM)
        {
            true => Ok(()),
            false => failed(Errno::PERM),
        }
    }

    /// Whether what others own in it is theirs alone to replace and remove: in a sticky directory, as /tmp is one.
    pub fn keeps_what_is_others(&self) -> Result<bool> {
        let failed = |error: Errno| Error::io(&self.path, error);
        let own = rustix::fs::fstat(&self.fd).map_err(failed)?;
        if !Mode::from_raw_mode(own.st_mode).contains(Mode::SVTX) || is_ours(&own) {
            return Ok(false);
        }
        let ours = rustix::thread::capabilities(None).map_err(failed)?;
        Ok(!ours.effective.contains(CapabilitySet::FOWNER))
    }

    /// Asks whether `name` belongs to this process's user.
    pub fn ask_to_own(&self, name: &str) -> Result<()> {
        match self.stat(name)?.is_none_or(|found| is_ours(&found)) {
            true => Ok(()),
            false => Err(Error::io(self.path.join(name), Errno::PERM)),
        }
    }

    /// Opens the file `name`, which is made if it is not there; nothing if something else is.
    pub fn open_or_make(&self, name: impl AsRef<OsStr>, flags: OFlags) -> Result<Option<OwnedFd>> {
        let path = FsPath::new(&name);
        // Nearly always it is there, and has its owner.
        if !flags.contains(OFlags::EXCL)
            && let Some(there) = self.open_beneath(path, flags, Mode::empty())?
        {
            return Ok(Some(there));
        }
        let made = self.open_beneath(path, flags | OFlags::CREATE, FILE_MODE)?;
        made.map(|fd| self.own(&fd).map(|()| fd)).transpose()
    }

    /// Gives what root has made in this directory to the directory's owner: the service could not write to root's.
    fn own(&self, made: &OwnedFd) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let failed = |error: Errno| Error::io(&self.path, error);
        let (its, own) =
            (rustix::fs::fstat(made).map_err(failed)?, rustix::fs::fstat(&self.fd).map_err(failed)?);
        if its.st_uid != 0 || own.st_uid == 0 {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(own.st_uid), Gid::from_raw(own.st_gid));
        rustix::fs::fchown(made, Some(uid), Some(gid)).map_err(failed)
    }

    pub fn set_attribute(&self, name: &str, value: &[u8]) -> Result<()> {
        self.opened(|fd| rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()))
    }

    pub fn unlink(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let name = name.as_ref();
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(|error| Error::io(self.path.join(name), error))
    }

    /// As [`Directory::unlink`]; what is gone already is fine.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<()> {
        match self.unlink(name) {
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        }
    }

    /// Removes the directory `name`, unless something is in it.
    pub fn remove_directory(&self, name: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::io(self.path.join(name), error)),
        }
    }

    /// Removes what is at `path` below this directory, with all that is in it; what is gone already is fine.
    pub fn remove_all(&self, path: impl Into<PathBuf>) -> Result<()> {
        // By paths from here: somebody may have made more levels than there are descriptors, or than the stack has room for.
        let (mut left, mut directories) = (vec![path.into()], Vec::new());
        while let Some(next) = left.pop() {
            let (parent, name) = split(&next);
            let Some(parent) = self.directory(parent)? else { continue };
            match parent.kind(name)? {
                Some(EntryKind::Directory) => {
                    let Some(directory) = parent.directory(name)? else { continue };
                    left.extend(directory.names()?.iter().map(|name| next.join(name)));
                    directories.push(next);
                }
                Some(_) => parent.remove(name)?,
                None => {}
            }
        }
        for directory in directories.iter().rev() {
            let (parent, name) = split(directory);
            let Some(parent) = self.directory(parent)? else { continue };
            match rustix::fs::unlinkat(&parent.fd, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(Error::io(parent.path.join(name), error)),
            }
        }
        Ok(())
    }

    /// Renames `name` to `to` in `target`, over what is there.
    pub fn rename(&self, name: impl AsRef<OsStr>, target: &Directory, to: &str) -> Result<()> {
        rustix::fs::renameat(&self.fd, name.as_ref(), &target.fd, to)
            .map_err(|error| Error::io(target.path.join(to), error))
    }

    /// Renames `name` to `to` in this directory, but only where nothing is: whether nothing was.
    pub fn rename_to_free(&self, name: &OsStr, to: &str) -> Result<bool> {
        // By a second name, of which the first goes, as nothing else sees by itself that one is there.
        match rustix::fs::linkat(&self.fd, name, &self.fd, to, AtFlags::empty()) {
            Ok(()) => rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
                .map(|()| true)
                .map_err(|error| Error::io(self.path.join(name), error)),
            Err(Errno::EXIST) => Ok(false),
            // A directory, which takes the place of nothing but an empty one; or there are no links on this file system.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => match self.kind(to)? {
                Some(_) => Ok(false),
                None => self.rename(name, self, to).map(|()| true),
            },
            Err(error) => Err(Error::io(self.path.join(to), error)),
        }
    }

    /// Makes the directories of `path` below this one as far as they are missing, durably, and opens the last.
    pub fn make(&self, path: impl AsRef<FsPath>) -> Result<Directory> {
        self.make_each(path.as_ref(), |parent, made| {
            made.sync()?;
            parent.sync()
        })
    }

    /// As [`Directory::make`], for what the next sync of the same file system makes durable along with it.
    pub fn make_unsynced(&self, path: impl AsRef<FsPath>) -> Result<Directory> {
        self.make_each(path.as_ref(), |_, _| Ok(()))
    }

    /// The error that there is no directory `name`, which says if something else is there.
    pub(super) fn no_directory(&self, name: &OsStr) -> Error {
        let error = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => std::io::Error::new(std::io::ErrorKind::NotADirectory, NO_DIRECTORY),
            Err(error) => error.into(),
        };
        Error::io(self.path.join(name), error)
    }

    fn make_each(
        &self,
        path: &FsPath,
        made: impl Fn(&Directory, &Directory) -> Result<()>,
    ) -> Result<Directory> {
        // Nearly always they are there.
        if let Some(directory) = self.directory(path)? {
            return Ok(directory);
        }
        // Whatever the umask, the tree has one mode.
        let mode = Mode::from_raw_mode(0o2770);
        let mut directory = self.existing("")?;
        for name in path.components() {
            let name = name.as_os_str();
            let is_new = match rustix::fs::mkdirat(&directory.fd, name, mode) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(Error::io(directory.path.join(name), error)),
            };
            let next = directory.open(name)?.ok_or_else(|| directory.no_directory(name))?;
            if is_new {
                directory.own(&next.fd)?;
                rustix::fs::fchmod(&next.fd, mode).map_err(|error| Error::io(&next.path, error))?;
                made(&directory, &next)?;
            }
            directory = next;
        }
        Ok(directory)
    }

    /// Makes the names in this directory durable.
    pub fn sync(&self) -> Result<()> {
        if cfg!(broken = "no-directory-sync") {
            return Ok(());
        }
        self.opened(|fd| rustix::fs::fsync(fd))
    }

    /// Makes all of its file system durable.
    pub fn sync_file_system(&self) -> Result<()> {
        self.opened(|fd| rustix::fs::syncfs(fd))
    }
}

fn is_ours(found: &Stat) -> bool {
    found.st_uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_to_a_free_name_takes_nobodys_place() {
        let tree = tempfile::tempdir().expect("a directory");
        let root = Directory::root(tree.path()).expect("open");
        for round in 0..200 {
            let (from, to) = (tree.path().join(format!("from-{round}")), format!("to-{round}"));
            std::fs::write(&from, "ours").expect("write");
            let others = || std::fs::File::create_new(tree.path().join(&to)).is_ok();
            let (renamed, made) = std::thread::scope(|scope| {
                let others = scope.spawn(others);
                let renamed = root.rename_to_free(from.file_name().expect("a name"), &to).expect("no error");
                (renamed, others.join().expect("no panic"))
            });
            assert_ne!(renamed, made);
            assert_eq!(from.exists(), made);
            assert_eq!(
                std::fs::read(tree.path().join(&to)).expect("read"),
                if made { &b""[..] } else { b"ours" }
            );
        }
        // A directory takes the place of nothing that has something in it.
        for (name, file) in [("one", "one/a.ics"), ("two", "two/b.ics")] {
            std::fs::create_dir(tree.path().join(name)).expect("mkdir");
            std::fs::write(tree.path().join(file), "x").expect("write");
        }
        assert!(!root.rename_to_free(OsStr::new("one"), "two").expect("no error"));
        assert!(root.rename_to_free(OsStr::new("one"), "three").expect("no error"));
        assert!(tree.path().join("three/a.ics").exists() && tree.path().join("two/b.ics").exists());
    }
}
