//! One writer per home: a mutex in the process, `flock` on the home's `.lock` between processes.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path as FsPath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::disk::Directory;
use super::place::Home;
use crate::error::{Error, Result};

const LOCK: &str = ".lock";

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
    /// A commit is made and not on disk in full yet: what is in memory is right, what is on disk is not.
    applying: AtomicBool,
    /// How often something may have changed: what was read before the last time is not what is there now.
    changes: AtomicU64,
}

/// The right to write to a home, until dropped.
pub struct Locked {
    pub writer: Arc<Writer>,
    /// Unlocks the file when closed.
    _file: OwnedFd,
    _turn: ArcMutexGuard<RawMutex, ()>,
}

impl Writers {
    pub fn of(&self, home: &Home) -> Arc<Writer> {
        self.homes.lock().entry(home.clone()).or_default().clone()
    }
}

impl Writer {
    /// Waits for its turn, then for other processes'. Not on an async thread.
    pub fn lock(self: &Arc<Writer>, home: &Directory) -> Result<Locked> {
        let turn = self.turn.lock_arc();
        let path = home.path().join(LOCK);
        // Opened for writing: some file systems lock no others.
        let flags = OFlags::RDWR | OFlags::CREATE;
        let file = home
            .open_beneath(FsPath::new(LOCK), flags, Mode::from_raw_mode(0o660))?
            .ok_or_else(|| Error::io(&path, rustix::io::Errno::NOENT))?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Locked { writer: self.clone(), _file: file, _turn: turn }),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::io(path, error)),
            }
        }
    }

    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub fn is_applying(&self) -> bool {
        self.applying.load(Ordering::Acquire)
    }

    pub fn set_applying(&self, applying: bool) {
        self.applying.store(applying, Ordering::Release);
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.writer.changed();
    }
}
