//! One writer per home: a mutex in the process, `flock` on the home's `.lock` between processes.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::standing::Standing;
use crate::error::{Error, Result};
use crate::store::disk::Directory;
use crate::store::place::{Home, Path};

pub const LOCK: &str = ".lock";
/// How long a writer waits for the others.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks whether another process is done.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How many may wait for one home.
const MOST_WAITING: usize = 100;

/// The writers of all homes that were asked for.
#[derive(Debug, Default)]
pub struct Writers {
    /// Guards the map only.
    homes: Mutex<HashMap<Home, Arc<Writer>>>,
}

/// What a home's writers share.
#[derive(Debug, Default)]
pub struct Writer {
    /// Held by the one that writes.
    turn: Arc<Mutex<()>>,
    /// A commit of several files is being made, or not on disk in full yet: what is in memory is right, what is on disk is not.
    applying: AtomicBool,
    /// The calendars that such a commit makes. Guards the list only.
    making: Mutex<Vec<Path>>,
    /// How many such commits have begun.
    begun: AtomicU64,
    /// How often something may have changed: what was read before the last time is not what is there now.
    changes: AtomicU64,
    /// How many wait for their turn.
    waiting: AtomicUsize,
    /// How the home stood when it was looked at last. Guards that only.
    standing: Mutex<Option<Standing>>,
    /// Whether its record may have moved since somebody asked.
    moved: AtomicBool,
}

/// One that waits for its turn.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn join(count: &'w AtomicUsize) -> Result<Waiting<'w>> {
        let waiting = Waiting(count);
        match count.fetch_add(1, Ordering::Relaxed) < MOST_WAITING {
            true => Ok(waiting),
            false => Err(Error::Busy),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to write to a home, until dropped.
pub struct Locked {
    pub writer: Arc<Writer>,
    /// The home, as it was opened for this.
    pub directory: Directory,
    /// Whether others had it first.
    pub has_waited: bool,
    /// Unlocks the file when closed.
    _file: Option<OwnedFd>,
    _turn: ArcMutexGuard<RawMutex, ()>,
}

impl Writers {
    pub fn of(&self, home: &Home) -> Arc<Writer> {
        self.homes.lock().entry(home.clone()).or_default().clone()
    }

    /// The homes whose records may have moved since this was asked last.
    pub fn moved(&self) -> Vec<Home> {
        let homes = self.homes.lock();
        let moved = homes.iter().filter(|(_, writer)| writer.moved.swap(false, Ordering::AcqRel));
        moved.map(|(home, _)| home.clone()).collect()
    }

    /// The homes with commits that are not on disk in full.
    pub fn applying(&self) -> Vec<Home> {
        let homes = self.homes.lock();
        homes.iter().filter(|(_, writer)| writer.is_applying()).map(|(home, _)| home.clone()).collect()
    }
}

impl Writer {
    /// Waits for its turn, then for other processes', both not for ever. Not on an async thread.
    ///
    /// # Errors
    /// `Busy` when others hold the home for too long, or too many wait for it: each keeps a thread.
    pub fn lock(self: &Arc<Writer>, directory: Directory) -> Result<Locked> {
        let _waiting = Waiting::join(&self.waiting)?;
        let until = Instant::now() + PATIENCE;
        let at_once = self.turn.try_lock_arc();
        let mut has_waited = at_once.is_none();
        let turn = at_once.or_else(|| self.turn.try_lock_arc_until(until)).ok_or(Error::Busy)?;
        loop {
            let file = open(&directory)?;
            while !flock(&directory, file.as_ref())? {
                if Instant::now() >= until {
                    return Err(Error::Busy);
                }
                std::thread::sleep(LOOK_AGAIN);
                has_waited = true;
            }
            if is_still_named(&directory, file.as_ref(), has_waited)? {
                return Ok(Locked { writer: self.clone(), directory, has_waited, _file: file, _turn: turn });
            }
            if Instant::now() >= until {
                return Err(Error::Busy);
            }
        }
    }

    /// As [`Writer::lock`], but only if nobody has to be waited for.
    pub fn try_lock(self: &Arc<Writer>, directory: Directory) -> Result<Option<Locked>> {
        let Some(turn) = self.turn.try_lock_arc() else { return Ok(None) };
        let file = open(&directory)?;
        let is_ours = flock(&directory, file.as_ref())? && is_still_named(&directory, file.as_ref(), false)?;
        Ok(is_ours.then(|| Locked {
            writer: self.clone(),
            directory,
            has_waited: false,
            _file: file,
            _turn: turn,
        }))
    }

    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Says how the home stands now.
    pub fn stands(&self, standing: Standing) {
        if self.standing.lock().replace(standing) != Some(standing) {
            self.moved.store(true, Ordering::Release);
        }
    }

    pub fn is_applying(&self) -> bool {
        self.applying.load(Ordering::Acquire)
    }

    /// Whether somebody writes, or a commit is not on disk in full yet.
    pub fn is_busy(&self) -> bool {
        self.turn.is_locked() || self.is_applying()
    }

    pub fn set_applying(&self, applying: bool) {
        self.begun.fetch_add(u64::from(applying), Ordering::AcqRel);
        self.applying.store(applying, Ordering::Release);
        if !applying {
            self.making.lock().clear();
        }
    }

    /// As [`Writer::set_applying`], for a commit that makes these calendars.
    pub fn begin(&self, makes: Vec<Path>) {
        *self.making.lock() = makes;
        self.set_applying(true);
    }

    /// Whether what is at `path` on disk may be the half of a calendar that a commit makes, or a folder on its way which has
    /// nothing in it yet and looks like a calendar. Whoever has none in memory finds none until the commit shows it.
    pub fn is_making(&self, path: &Path) -> bool {
        self.making.lock().iter().any(|new| new.names.starts_with(&path.names))
    }

    /// How many commits of several files have begun: who looked at files while that changed may have seen half of one.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }
}

/// The file that a home's writers lock. Opened for writing: some file systems lock no others. On a read-only one it is what is
/// there, which others may lock by another mount; none where nobody has written.
fn open(home: &Directory) -> Result<Option<OwnedFd>> {
    match home.open_or_make(LOCK, OFlags::RDWR) {
        Ok(None) => Err(Error::io(home.path().join(LOCK), Errno::NOENT)),
        Err(error) if error.is_read_only() => Ok(home.file(LOCK)?.map(|(file, _)| file.into())),
        opened => opened,
    }
}

/// Whether the lock was free, and is taken now.
fn flock(home: &Directory, file: Option<&OwnedFd>) -> Result<bool> {
    let Some(file) = file else { return Ok(true) };
    let mut how = FlockOperation::NonBlockingLockExclusive;
    loop {
        match rustix::fs::flock(file, how) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            // NFS gives it to nobody who may only read; this keeps writers out as well.
            Err(Errno::BADF) if how == FlockOperation::NonBlockingLockExclusive => {
                how = FlockOperation::NonBlockingLockShared;
            }
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(Error::io(home.path().join(LOCK), error)),
        }
    }
}

/// Whether what was locked is what the next one will lock: somebody may have put another file in its place since it was opened.
fn is_still_named(home: &Directory, file: Option<&OwnedFd>, has_waited: bool) -> Result<bool> {
    let Some(file) = file else { return Ok(true) };
    let own = rustix::fs::fstat(file).map_err(|error| Error::io(home.path().join(LOCK), error))?;
    // For a moment only; and some file systems count no links.
    if own.st_nlink > 0 && !has_waited {
        return Ok(true);
    }
    let named = home.stat(LOCK)?;
    Ok(named.is_some_and(|named| (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)))
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.writer.changed();
        self.writer.moved.store(true, Ordering::Release);
    }
}
