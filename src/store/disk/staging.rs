//! `.tmp/<process>/`: where files are written before they get their names. On the tree's own file system, so that a
//! rename puts them in place; locked by its process, so that a start can tell what a dead one left.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, FlockOperation, Gid, OFlags, XattrFlags};
use rustix::io::Errno;

use super::{Directory, EntryKind, FILE_MODE};
use crate::error::{Error, Result};

pub const TMP: &str = ".tmp";
pub const LOCK: &str = "lock";
/// What is put into a directory to see whether that can be done, and goes at once; what a kill leaves goes with the next.
pub const TRIED: &str = ".kalends-try";

/// Where this process stages.
#[derive(Debug)]
pub struct Staging {
    root: Directory,
    /// Another one after somebody has removed it, none on a read-only file system. Guards which one it is.
    own: Option<Mutex<Arc<Own>>>,
    next: AtomicU64,
}

/// A staging directory of this process, which goes with the last that is staged in it.
#[derive(Debug)]
struct Own {
    tmp: Directory,
    name: String,
    directory: Directory,
    /// What is made in it has this group, by the directory's setgid.
    group: Option<u32>,
    /// Held for as long as the directory is to stay.
    _lock: OwnedFd,
}

/// A file that is written and durable but has no name yet that anyone looks at.
#[derive(Debug)]
pub struct Staged {
    own: Arc<Own>,
    name: String,
    placed: bool,
}

/// A directory that is being filled and has no name yet that anyone looks at.
#[derive(Debug)]
pub struct StagedDirectory {
    own: Arc<Own>,
    name: String,
    pub directory: Directory,
    placed: bool,
}

impl Own {
    fn make(root: &Directory) -> Result<Own> {
        const ATTEMPTS: usize = 100;
        let tmp = root.make(TMP)?;
        for _ in 0..ATTEMPTS {
            let mut random = [0; 8];
            getrandom::fill(&mut random)
                .map_err(|error| Error::io(tmp.path(), std::io::Error::other(error.to_string())))?;
            let name = format!("{}-{:016x}", std::process::id(), u64::from_ne_bytes(random));
            // Another process that starts now takes it for a dead one's until it is locked.
            let directory = match tmp.make_unsynced(&name) {
                Err(error) if error.is_missing() => continue,
                made => made?,
            };
            let Some(lock) = lock(&directory, FlockOperation::NonBlockingLockExclusive)? else { continue };
            if directory.kind(LOCK)?.is_some() {
                let group = directory.passed_group()?;
                return Ok(Own { tmp, name, directory, group, _lock: lock });
            }
        }
        Err(Error::io(tmp.path(), std::io::Error::other("each new staging directory was removed at once")))
    }

    /// Whether somebody has removed it: nothing can be made in it any more.
    fn is_gone(&self) -> bool {
        // On a network file system another machine may have done so.
        rustix::fs::fstat(self.directory.fd()).map_or(true, |stat| stat.st_nlink == 0)
    }
}

impl Staging {
    /// Makes a staging directory for this process and removes those of dead ones; on a read-only file system neither.
    pub fn open(root: &Directory) -> Result<Staging> {
        let own = match root.ask_to_change() {
            Err(error) if error.is_read_only() => None,
            _ => {
                clear(&root.make(TMP)?)?;
                Some(Mutex::new(Arc::new(Own::make(root)?)))
            }
        };
        Ok(Staging { root: root.existing("")?, own, next: AtomicU64::new(0) })
    }

    /// Asks whether anything can be staged.
    ///
    /// # Errors
    /// `Io` if not: the tree is on a read-only file system.
    pub fn ask_to_stage(&self) -> Result<()> {
        self.own().map(drop)
    }

    /// Tries whether what is staged can be put into `target`: of what is against it (another mount, a project or a key of its
    /// own) not all can be asked for. The caller holds the home's lock.
    ///
    /// # Errors
    /// `OtherMount`, `Io` if not.
    pub fn try_to_reach(&self, target: &Directory) -> Result<()> {
        let (staged, _) = self.create(target)?;
        // Over what a kill has left of an earlier try.
        staged.place(target, TRIED)?;
        // Somebody who clears up may have been faster.
        target.remove(TRIED)
    }

    /// Has `make` make something of a new name in the staging directory: in another one if that was removed, as when a backup
    /// is put back that lacks `.tmp/`.
    fn stage<T>(&self, make: impl Fn(&Directory, &str) -> Result<T>) -> Result<(Arc<Own>, String, T)> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let mut own = self.own()?.lock().clone();
        let mut made = make(&own.directory, &name);
        if made.is_err() && own.is_gone() {
            own = self.another(&own)?;
            made = make(&own.directory, &name);
        }
        Ok((own, name, made?))
    }

    fn own(&self) -> Result<&Mutex<Arc<Own>>> {
        self.own.as_ref().ok_or_else(|| Error::io(self.root.path(), Errno::ROFS))
    }

    /// The staging directory that has taken the place of one that is gone.
    fn another(&self, gone: &Arc<Own>) -> Result<Arc<Own>> {
        let mut own = self.own()?.lock();
        if Arc::ptr_eq(&own, gone) {
            *own = Arc::new(Own::make(&self.root)?);
        }
        Ok(own.clone())
    }

    /// Writes `content` to a new file that is to go into `target`, and makes it durable.
    ///
    /// # Errors
    /// `NoSpace`, `Io`; then nothing of it is left.
    pub fn write(&self, content: &[u8], target: &Directory) -> Result<Staged> {
        self.write_parts([content].into_iter(), target)
    }

    /// As [`Staging::write`], for content that comes in parts.
    pub fn write_parts<'p>(
        &self,
        mut parts: impl Iterator<Item = &'p [u8]>,
        target: &Directory,
    ) -> Result<Staged> {
        self.write_with(target, |file| {
            let mut file = std::io::BufWriter::with_capacity(1 << 16, file);
            parts.try_for_each(|part| file.write_all(part))?;
            file.flush()
        })
    }

    /// As [`Staging::write`], for content that `write` puts there.
    pub fn write_with(
        &self,
        target: &Directory,
        write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
    ) -> Result<Staged> {
        let (staged, fd) = self.create(target)?;
        let failed = |error: std::io::Error| Error::io(target.path(), error);
        let mut file = std::fs::File::from(fd);
        write(&mut file).map_err(failed)?;
        // Without this the name could outlive a power cut and the content not.
        if !cfg!(broken = "no-file-sync") {
            file.sync_all().map_err(failed)?;
        }
        Ok(staged)
    }

    /// As [`Staging::write`], but the caller makes the whole file system durable later.
    pub fn write_unsynced(&self, content: &[u8], target: &Directory) -> Result<Staged> {
        let (staged, fd) = self.create(target)?;
        std::fs::File::from(fd).write_all(content).map_err(|error| Error::io(target.path(), error))?;
        Ok(staged)
    }

    /// An empty directory that is to go into `target`.
    pub fn make_directory(&self, target: &Directory) -> Result<StagedDirectory> {
        let (own, name, directory) = self.stage(|own, name| own.make_unsynced(name))?;
        inherit_group(target, directory.fd(), own.group);
        inherit_directory_acl(target, &directory);
        Ok(StagedDirectory { own, name, directory, placed: false })
    }

    fn create(&self, target: &Directory) -> Result<(Staged, OwnedFd)> {
        let flags = OFlags::WRONLY | OFlags::EXCL;
        let (own, name, fd) = self.stage(|own, name| {
            let opened = own.open_or_make(name, flags)?;
            opened.ok_or_else(|| Error::io(own.path().join(name), Errno::NOENT))
        })?;
        let path = own.directory.path().join(&name);
        inherit_group(target, &fd, own.group);
        let staged = Staged { own, name, placed: false };
        inherit_acl(target, &fd);
        rustix::fs::fchmod(&fd, FILE_MODE).map_err(|error| Error::io(path, error))?;
        Ok((staged, fd))
    }
}

impl StagedDirectory {
    /// Gives the directory its name in `target`, durably, where nothing is or an empty directory.
    pub fn place(mut self, target: &Directory, name: &str) -> Result<()> {
        self.own.directory.rename(&self.name, target, name)?;
        self.placed = true;
        target.sync().inspect_err(|_| {
            // Whoever asked is told that nothing was changed, so nothing may be.
            match target.rename(name, &self.own.directory, &self.name) {
                Ok(()) => self.placed = false,
                Err(error) => tracing::error!("a change that failed cannot be undone: {error}"),
            }
        })
    }

    /// Makes everything in it durable.
    pub fn sync(&self) -> Result<()> {
        self.directory.sync_file_system()
    }
}

impl Drop for StagedDirectory {
    fn drop(&mut self) {
        if !self.placed {
            remove(&self.own.directory, &self.name);
        }
    }
}

impl Staged {
    /// Gives the file its name in `target`, over what is there. The caller syncs `target`.
    pub fn place(mut self, target: &Directory, name: &str) -> Result<()> {
        if cfg!(broken = "in-place") {
            let (from, to) = (self.own.directory.path().join(&self.name), target.path().join(name));
            return std::fs::copy(from, &to).map(drop).map_err(|error| Error::io(to, error));
        }
        self.own.directory.rename(&self.name, target, name)?;
        self.placed = true;
        Ok(())
    }

    /// As [`Staged::place`], but only where nothing is: whether nothing was.
    pub fn add(self, target: &Directory, name: &str) -> Result<bool> {
        let staged = self.own.directory.fd();
        // By a second name, of which the first goes: no other way to make a file sees by itself that one is there.
        match rustix::fs::linkat(staged, &self.name, target.fd(), name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            // There are no links on this file system.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => match target.kind(name)? {
                Some(_) => Ok(false),
                None => self.place(target, name).map(|()| true),
            },
            Err(error) => Err(Error::io(target.path().join(name), error)),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.placed {
            // A start would remove it too.
            let _ = self.own.directory.unlink(&self.name);
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        remove(&self.tmp, &self.name);
    }
}

/// What a directory gives to the files that are made in it.
pub const DEFAULT: &str = "system.posix_acl_default";

/// What a directory or file itself is open to.
pub const ACCESS: &str = "system.posix_acl_access";

/// What is staged elsewhere would miss the group of the directory it goes into, if that passes it on. As far as this process may
/// give it: it has to be a member.
fn inherit_group(target: &Directory, staged: &OwnedFd, its: Option<u32>) {
    if let Ok(Some(group)) = target.passed_group()
        && Some(group) != its
    {
        let _ = rustix::fs::chownat(staged, "", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH);
    }
}

/// A file staged elsewhere would miss the default ACL of the directory it goes into, which lets local users edit it.
fn inherit_acl(target: &Directory, file: &OwnedFd) {
    inherit(target, |acl| {
        let set = rustix::fs::fsetxattr(file, ACCESS, acl, XattrFlags::empty());
        set.map_err(|error| Error::io(target.path(), error))
    });
}

/// As [`inherit_acl`], for a directory, which passes it on.
fn inherit_directory_acl(target: &Directory, directory: &Directory) {
    inherit(target, |acl| [ACCESS, DEFAULT].iter().try_for_each(|name| directory.set_attribute(name, acl)));
}

fn inherit(target: &Directory, set: impl FnOnce(&[u8]) -> Result<()>) {
    let mut acl = [0; 4096];
    let Some(len) = target.attribute(DEFAULT, &mut acl) else { return };
    if let Err(error) = set(&acl[..len]) {
        let path = target.path().display();
        tracing::warn!("{path}: its default ACL cannot be given to what is new in it: {error}");
    }
}

fn lock(directory: &Directory, how: FlockOperation) -> Result<Option<OwnedFd>> {
    let path = directory.path().join(LOCK);
    let Some(fd) = directory.open_or_make(LOCK, OFlags::RDWR)? else { return Ok(None) };
    match rustix::fs::flock(&fd, how) {
        Ok(()) => Ok(Some(fd)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Removes the staging directories whose lock is free.
fn clear(tmp: &Directory) -> Result<()> {
    for (name, kind) in tmp.entries()? {
        let Some(left) = tmp.directory(&name).ok().flatten().filter(|_| kind == EntryKind::Directory) else {
            continue;
        };
        match lock(&left, FlockOperation::NonBlockingLockExclusive) {
            // Held until it is gone: whoever has just made it would lock it and go on in what is removed.
            Ok(Some(_lock)) => remove(tmp, &name),
            Ok(None) => {}
            // Root's, perhaps. It is in nobody's way, and `kalends check` names it.
            Err(error) => tracing::warn!("what is staged there stays: {error}"),
        }
    }
    Ok(())
}

fn remove(tmp: &Directory, name: &str) {
    if let Err(error) = tmp.remove_all(name) {
        tracing::warn!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_removed_and_a_living_one_is_left_alone() {
        let tree = tempfile::tempdir().expect("a directory");
        let root = Directory::root(tree.path()).expect("open");
        let alive = Staging::open(&root).expect("staging");
        std::fs::create_dir_all(tree.path().join(".tmp/1-dead")).expect("mkdir");
        std::fs::write(tree.path().join(".tmp/1-dead/0"), "half").expect("write");
        let other = Staging::open(&root).expect("staging");
        let names: Vec<String> = root
            .existing(".tmp")
            .expect("open")
            .entries()
            .expect("list")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(
            [&alive, &other].iter().all(|staging| names.contains(&staging.own().expect("made").lock().name))
        );
    }

    #[test]
    fn what_cannot_be_cleared_keeps_nobody_from_starting() {
        let tree = tempfile::tempdir().expect("a directory");
        let root = Directory::root(tree.path()).expect("open");
        std::fs::create_dir_all(tree.path().join(".tmp/1-dead/lock")).expect("mkdir");
        Staging::open(&root).expect("staging");
        assert!(tree.path().join(".tmp/1-dead").exists());
    }

    #[test]
    fn those_who_start_at_once_do_not_remove_each_others() {
        let tree = tempfile::tempdir().expect("a directory");
        let start = || {
            let root = Directory::root(tree.path()).expect("open");
            for _ in 0..50 {
                let staging = Staging::open(&root).expect("staging");
                drop(staging.write(b"a", &root).expect("write"));
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(start))));
    }

    #[test]
    fn a_file_that_is_not_placed_leaves_nothing() {
        let tree = tempfile::tempdir().expect("a directory");
        let root = Directory::root(tree.path()).expect("open");
        let staging = Staging::open(&root).expect("staging");
        drop(staging.write(b"a", &root).expect("write"));
        staging.write(b"b", &root).expect("write").place(&root, "b.ics").expect("rename");
        let own = staging.own().expect("made").lock();
        assert_eq!(own.directory.entries().expect("list").len(), 1, "the lock only");
        assert_eq!(std::fs::read(tree.path().join("b.ics")).expect("read"), b"b");
    }

    #[test]
    fn a_staging_directory_that_somebody_removes_is_made_again_for_all_and_goes_in_the_end() {
        let tree = tempfile::tempdir().expect("a directory");
        let root = Directory::root(tree.path()).expect("open");
        let staging = Staging::open(&root).expect("staging");
        let before = staging.write(b"a", &root).expect("write");
        std::fs::remove_dir_all(tree.path().join(TMP)).expect("remove");
        std::thread::scope(|scope| {
            for name in ["b", "c", "d"] {
                let (staging, root) = (&staging, &root);
                let write = move || staging.write(b"b", root)?.place(root, name);
                scope.spawn(move || write().expect("placed"));
            }
        });
        assert!(before.place(&root, "a").is_err());
        let names = || root.existing(TMP).expect("open").count().expect("count");
        assert_eq!(names(), 1);
        std::fs::remove_dir_all(tree.path().join(TMP)).expect("remove");
        staging.make_directory(&root).expect("made").place(&root, "e").expect("placed");
        assert!(tree.path().join("e").is_dir());
        drop(staging);
        assert_eq!(names(), 0);
    }
}
