//! The data directory as file descriptors: opening, listing, reading, and in `changes` what changes it. Nothing here follows a
//! symlink or leaves the tree.

pub mod content;
pub mod file_system;
pub mod staging;
pub mod stamp;

mod changes;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FsPath, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

pub use changes::FILE_MODE;

use crate::error::{Error, Result};
use file_system::{FileSystem, Mount};
use stamp::Stamp;

/// How often an open is tried again that was told to; after a tenth of them a millisecond later each time.
const MOST_AGAIN: u32 = 1_000;

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// The largest file that is read, in bytes: a whole calendar in one.
pub const MAX_FILE: u64 = 64 << 20;

/// What is said of something else where a directory should be: of a symlink it is not obvious.
pub const NO_DIRECTORY: &str = "no directory (symlinks in the data directory are not followed)";

/// A directory of the tree, whatever its name is now.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// Whether `fd` is good to read and sync by, and not only a place to start from (`O_PATH`): that one is cheaper, and who
    /// watches the directory, we too, is not told of it.
    is_open: bool,
    /// What the data directory is on.
    file_system: FileSystem,
    /// For messages only.
    path: PathBuf,
}

/// What tells a directory from another one, whatever their names.
pub type Identity = (u64, u64);

/// What a name in a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Directory,
    /// Symlinks, FIFOs, devices, sockets: never opened.
    Other,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    Nothing,
    File(Stamp),
    /// Something else, perhaps behind a symlink.
    Other,
}

impl Directory {
    /// Opens the data directory itself, which may be named through symlinks.
    pub fn root(path: &FsPath) -> Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| Error::io(path, error))?;
        let file_system = FileSystem::of(&fd).map_err(|error| Error::io(path, error))?;
        Ok(Directory { fd, is_open: true, file_system, path: path.to_path_buf() })
    }

    /// The directory `path` below this one, or nothing if there is none or a symlink is on the way.
    pub fn directory(&self, path: impl AsRef<FsPath>) -> Result<Option<Directory>> {
        let path = path.as_ref();
        if path.as_os_str().is_empty() {
            let fd = self.fd.try_clone().map_err(|error| Error::io(&self.path, error))?;
            return Ok(Some(Directory { fd, path: self.path.clone(), ..*self }));
        }
        let fd = self.open_beneath(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok(fd.map(|fd| Directory { fd, is_open: false, path: self.path.join(path), ..*self }))
    }

    /// As [`Directory::directory`], for whoever will read or sync it at once. On a network file system that is also what brings the
    /// news of others.
    pub fn open(&self, path: impl AsRef<FsPath>) -> Result<Option<Directory>> {
        let path = path.as_ref();
        let here = FsPath::new(".");
        let name = if path.as_os_str().is_empty() { here } else { path };
        let fd = self.open_beneath(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        Ok(fd.map(|fd| Directory { fd, is_open: true, path: self.path.join(path), ..*self }))
    }

    /// Calls `act` with a descriptor that is good for more than a place.
    fn opened<T>(&self, act: impl FnOnce(&OwnedFd) -> rustix::io::Result<T>) -> Result<T> {
        let failed = |error: Errno| Error::io(&self.path, error);
        match self.is_open {
            true => act(&self.fd).map_err(failed),
            false => act(&self.open("")?.ok_or_else(|| failed(Errno::NOENT))?.fd).map_err(failed),
        }
    }

    /// As [`Directory::directory`], but what is missing is an error.
    pub fn existing(&self, path: impl AsRef<FsPath>) -> Result<Directory> {
        let path = path.as_ref();
        self.directory(path)?.ok_or_else(|| self.no_directory(path.as_os_str()))
    }

    /// The names in it, each with its kind, by `rustix`.
    pub fn listed(&self) -> Result<rustix::fs::Dir> {
        // Another descriptor each time: where a listing has come to is the descriptor's, and somebody else may list too.
        let failed = |error: Errno| Error::io(&self.path, error);
        let again = self.open("")?.ok_or_else(|| failed(Errno::NOENT))?;
        rustix::fs::Dir::new(again.fd).map_err(failed)
    }

    pub(super) fn open_beneath(&self, path: &FsPath, flags: OFlags, mode: Mode) -> Result<Option<OwnedFd>> {
        // Non-blocking, so that opening a planted FIFO cannot hang.
        let waits = if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NONBLOCK };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | waits;
        let mut again = 0;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, mode, RESOLVE) {
                Ok(fd) => return Ok(Some(fd)),
                Err(Errno::INTR) => {}
                // A rename elsewhere made the kernel unsure of its walk; or somebody holds a lease on the file, as Samba does, and
                // is being asked to end it.
                Err(Errno::AGAIN) if again < MOST_AGAIN => {
                    again += 1;
                    if again > MOST_AGAIN / 10 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                Err(
                    Errno::NOENT
                    | Errno::NOTDIR
                    | Errno::LOOP
                    | Errno::XDEV
                    | Errno::NXIO
                    | Errno::NAMETOOLONG,
                ) => {
                    return Ok(None);
                }
                Err(error) => return Err(Error::io(self.path.join(path), error)),
            }
        }
    }

    /// The names in this directory that are UTF-8, with what they are; those with a leading dot too.
    pub fn entries(&self) -> Result<Vec<(String, EntryKind)>> {
        let all = self.all_entries()?.into_iter();
        Ok(all.filter_map(|(name, kind)| Some((name.into_string().ok()?, kind))).collect())
    }

    /// As [`Directory::entries`], with those whose names are not UTF-8.
    pub fn all_entries(&self) -> Result<Vec<(OsString, EntryKind)>> {
        let failed = |error: Errno| Error::io(&self.path, error);
        let mut entries = Vec::new();
        for entry in self.listed()? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self.kind(name)?.unwrap_or(EntryKind::Other),
                known => kind_of(known),
            };
            entries.push((name.to_owned(), kind));
        }
        Ok(entries)
    }

    /// All names in this directory, those too that are not UTF-8.
    pub(super) fn names(&self) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in self.listed()? {
            let entry = entry.map_err(|error| Error::io(&self.path, error))?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => names.push(OsStr::from_bytes(name).to_os_string()),
            }
        }
        Ok(names)
    }

    /// How many names are in this directory, those too that are not UTF-8.
    pub fn count(&self) -> Result<usize> {
        Ok(self.names()?.len())
    }

    /// What `name` is, or nothing if it is not there.
    pub fn kind(&self, name: impl AsRef<OsStr>) -> Result<Option<EntryKind>> {
        Ok(self.stat(name)?.map(|stat| kind_of(FileType::from_raw_mode(stat.st_mode))))
    }

    /// What is at `path` below this directory. Where nothing is, it takes a single call.
    pub fn look(&self, path: &FsPath) -> Result<There> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let failed = |error: Errno| Error::io(self.path.join(path), error);
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), RESOLVE) {
                Ok(fd) => {
                    let stat = rustix::fs::fstat(&fd).map_err(failed)?;
                    let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
                    return Ok(if is_file { There::File(Stamp::of(&stat)) } else { There::Other });
                }
                Err(Errno::LOOP | Errno::XDEV) => return Ok(There::Other),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return Ok(There::Nothing),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// As the system says what is at `path` below this directory, of a symlink too.
    pub(super) fn stat_at(&self, path: &FsPath) -> Result<Option<Stat>> {
        let (parent, name) = split(path);
        self.directory(parent)?.map_or(Ok(None), |parent| parent.stat(name))
    }

    pub(super) fn stat(&self, name: impl AsRef<OsStr>) -> Result<Option<Stat>> {
        let name = name.as_ref();
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
            Err(error) => Err(Error::io(self.path.join(name), error)),
        }
    }

    /// The stamp of the regular file `name`, or nothing if there is none.
    pub fn stamp(&self, name: &str) -> Result<Option<Stamp>> {
        let stat = self.stat(name)?;
        Ok(stat.filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file()).map(|stat| Stamp::of(&stat)))
    }

    /// Whether the regular file `name` has other names too, through which it may change.
    pub fn is_shared(&self, name: &str) -> Result<bool> {
        let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode).is_file();
        Ok(self.stat(name)?.is_some_and(|stat| is_file(&stat) && stat.st_nlink > 1))
    }

    /// The stamp of this directory.
    pub fn own_stamp(&self) -> Result<Stamp> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|error| Error::io(&self.path, error))?;
        Ok(Stamp::of(&stat))
    }

    /// The group that what is made in this directory gets, if it passes on its own (setgid).
    fn passed_group(&self) -> Result<Option<u32>> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|error| Error::io(&self.path, error))?;
        Ok(Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID).then_some(stat.st_gid))
    }

    /// What this directory is, whatever its name: a name may lead to another one later.
    pub fn identity(&self) -> Result<Identity> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|error| Error::io(&self.path, error))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// The content of the regular file `name` and the stamp it had before it was read; nothing if there is none.
    ///
    /// # Errors
    /// `Io` for a file of more than [`MAX_FILE`] bytes too.
    pub fn read(&self, name: &str) -> Result<Option<(Vec<u8>, Stamp)>> {
        self.read_up_to(name, MAX_FILE)
    }

    /// As [`Directory::read`], with another bound than [`MAX_FILE`].
    pub fn read_up_to(&self, name: impl AsRef<FsPath>, most: u64) -> Result<Option<(Vec<u8>, Stamp)>> {
        let name = name.as_ref();
        let Some((file, stamp)) = self.file(name)? else { return Ok(None) };
        let failed = |error: std::io::Error| Error::io(self.path.join(name), error);
        if stamp.size() > most {
            return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
        }
        let mut content = Vec::with_capacity(usize::try_from(stamp.size()).unwrap_or(0) + 1);
        // A file that grows while it is read is cut off: its stamp is out of date anyway. And nobody asks for its end.
        file.take(stamp.size()).read_to_end(&mut content).map_err(failed)?;
        Ok(Some((content, stamp)))
    }

    /// The regular file `name`, open for reading, with its stamp; nothing if there is none.
    pub fn file(&self, name: impl AsRef<FsPath>) -> Result<Option<(File, Stamp)>> {
        let name = name.as_ref();
        let Some(fd) = self.open_beneath(name, OFlags::RDONLY, Mode::empty())? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&fd).map_err(|error| Error::io(self.path.join(name), error))?;
        let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
        Ok(is_file.then(|| (File::from(fd), Stamp::of(&stat))))
    }

    /// A place to start from, no more.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Where this directory is, for messages.
    pub fn path(&self) -> &FsPath {
        &self.path
    }

    /// Whether what is done in one directory is durable as soon as what is done after it in another.
    pub fn is_ordered(&self) -> bool {
        self.file_system.is_ordered
    }

    /// Whether others than this machine may write to its file system: a look without opening may be old news then.
    pub fn is_remote(&self) -> bool {
        self.file_system.remote.is_some()
    }

    /// Whether a file that was read at this time and had this stamp before may change and keep it.
    pub fn is_racy(&self, stamp: Stamp, read_at: SystemTime) -> bool {
        stamp.is_racy(read_at, self.file_system.grain())
    }

    /// The kind of the file system that this very directory is on, if others than this machine write to that.
    pub fn remote(&self) -> Result<Option<&'static str>> {
        let found = FileSystem::of(&self.fd).map_err(|error| Error::io(&self.path, error))?;
        Ok(found.remote)
    }

    /// The mount that this very directory is on.
    pub fn mount(&self) -> Result<Mount> {
        Mount::of(&self.fd).map_err(|error| Error::io(&self.path, error))
    }

    /// Reads an extended attribute into `value`; how long it is, or nothing if there is none.
    pub fn attribute(&self, name: &str, value: &mut [u8]) -> Option<usize> {
        self.opened(|fd| rustix::fs::fgetxattr(fd, name, value)).ok()
    }
}

/// Where `path` is, and its name there.
pub fn split(path: &FsPath) -> (&FsPath, &OsStr) {
    (path.parent().unwrap_or(FsPath::new("")), path.file_name().unwrap_or_default())
}

fn kind_of(file_type: FileType) -> EntryKind {
    match file_type {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        _ => EntryKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_regular_files_beneath_is_read() {
        let tree = tempfile::tempdir().expect("a directory");
        let at = |name: &str| tree.path().join(name);
        std::fs::create_dir(at("inside")).expect("mkdir");
        std::fs::write(at("secret"), "x").expect("write");
        std::fs::write(at("inside/a.ics"), "a").expect("write");
        std::os::unix::fs::symlink("../secret", at("inside/link.ics")).expect("symlink");
        std::os::unix::fs::symlink(at("inside"), at("door")).expect("symlink");
        let fifo = std::process::Command::new("mkfifo").arg(at("inside/fifo.ics")).status().expect("mkfifo");
        assert!(fifo.success());
        let root = Directory::root(tree.path()).expect("open");
        let inside = root.existing("inside").expect("open");
        assert_eq!(inside.read("a.ics").expect("read").map(|(content, _)| content), Some(b"a".to_vec()));
        for name in ["link.ics", "fifo.ics", "../secret", "missing", "a.ics/x", "/etc/passwd"] {
            assert!(inside.read(name).expect("no error").is_none(), "{name}");
        }
        assert!(root.directory("door").expect("no error").is_none());
        assert!(root.directory("inside/..").is_ok());
        assert!(inside.directory("..").expect("no error").is_none());
    }
}
