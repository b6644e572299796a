//! Loaded calendars: each in a slot of its own, swept when its last sweep is older than a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::calendar::{Calendar, Shape};
use super::place::{Path, Place};
use super::rights::{Rights, nearest};
use super::snapshot::Snapshot;
use super::tree::{Found, Tree};
use super::writer::Writer;
use crate::acl::{Principal, Role};
use crate::error::Result;

/// Nothing older than this is served.
const FRESH: Duration = Duration::from_secs(1);

/// A calendar as it was at the last sweep.
#[derive(Debug)]
pub struct Loaded {
    pub calendar: Calendar,
    pub rights: Rights,
    swept: Instant,
}

/// The place of one calendar in memory.
#[derive(Debug)]
pub struct Slot {
    pub path: Path,
    writer: Arc<Writer>,
    /// Guards the pointer; what it points to never changes.
    loaded: RwLock<Option<Arc<Loaded>>>,
    /// Held by the one that sweeps, so that others wait for its outcome instead of doing the same.
    sweeping: Mutex<()>,
    /// The pictures that were made with this calendar first in them; guards the list.
    snapshots: Mutex<Vec<(Place, Arc<Snapshot>)>>,
    /// When it was last asked for, in milliseconds since `Slots` was made.
    used: AtomicU64,
}

/// All slots, bounded by the bytes in them.
#[derive(Debug)]
pub struct Slots {
    /// Guards the map only.
    by_path: RwLock<HashMap<Path, Arc<Slot>>>,
    born: Instant,
    budget: usize,
}

impl Loaded {
    /// What `who` may do here. A home's owner is master, whatever any file says.
    pub fn role(&self, who: &Principal, path: &Path) -> Result<Role> {
        self.rights.role(who, path)
    }

    fn is_fresh(&self) -> bool {
        self.swept.elapsed() < FRESH
    }
}

impl Slot {
    fn new(path: Path, writer: Arc<Writer>) -> Slot {
        Slot {
            path,
            writer,
            loaded: RwLock::default(),
            sweeping: Mutex::default(),
            snapshots: Mutex::default(),
            used: AtomicU64::new(0),
        }
    }

    /// What is in memory, if that is not too old.
    pub fn fresh(&self) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.read();
        loaded.as_ref().filter(|loaded| loaded.is_fresh()).cloned()
    }

    /// What is in memory, however old.
    pub fn current(&self) -> Option<Arc<Loaded>> {
        self.loaded.read().clone()
    }

    /// What is there now, swept if need be; nothing if there is no such calendar.
    pub fn load(&self, tree: &Tree) -> Result<Option<Arc<Loaded>>> {
        if let Some(fresh) = self.fresh() {
            return Ok(Some(fresh));
        }
        let _turn = self.sweeping.lock();
        match self.fresh() {
            Some(fresh) => Ok(Some(fresh)),
            None => self.sweep(tree),
        }
    }

    /// Compares with the disk, however long ago that was done last.
    pub fn sweep(&self, tree: &Tree) -> Result<Option<Arc<Loaded>>> {
        let before = self.loaded.read().clone();
        let swept = Instant::now();
        // Asked after `before` was taken: what a commit has published must not meet the disk before it is applied there.
        if let Some(loaded) = before.as_ref().filter(|_| self.writer.is_applying()) {
            let (calendar, rights) = (loaded.calendar.clone(), nearest(tree, &self.path)?);
            return Ok(self.swap(before.as_ref(), Some(Arc::new(Loaded { calendar, rights, swept }))));
        }
        let known = before.as_ref().map(|before| &before.calendar);
        let name = self.path.last().map_or("", |name| name.as_str());
        let calendar = match tree.find(&self.path)? {
            Found::Calendar(directory) => {
                Calendar::sweep(&directory, Shape::Directory, name, known, &tree.last_good)?
            }
            Found::File(folder, file) => {
                Calendar::sweep(&folder, Shape::File(&file), name, known, &tree.last_good)?
            }
            Found::Folder(_) | Found::Missing | Found::Blocked => return Ok(self.swap(before.as_ref(), None)),
        };
        let rights = nearest(tree, &self.path)?;
        if let Rights::Closed { reason } = &rights
            && before.as_ref().is_none_or(|before| before.rights != rights)
        {
            tracing::warn!("closed to all but the owner: {reason}");
        }
        Ok(self.swap(before.as_ref(), Some(Arc::new(Loaded { calendar, rights, swept }))))
    }

    /// Puts `after` in the place of `before`, unless a commit was faster; gives what is there then.
    fn swap(&self, before: Option<&Arc<Loaded>>, after: Option<Arc<Loaded>>) -> Option<Arc<Loaded>> {
        let mut loaded = self.loaded.write();
        if loaded.as_ref().map(Arc::as_ptr) == before.map(Arc::as_ptr) {
            *loaded = after;
        }
        loaded.clone()
    }

    /// Shows what a commit has made of the calendar.
    pub fn publish(&self, calendar: Calendar, rights: Rights) -> Arc<Loaded> {
        let loaded = Arc::new(Loaded { calendar, rights, swept: Instant::now() });
        *self.loaded.write() = Some(loaded.clone());
        self.writer.changed();
        loaded
    }

    /// A picture of `place` that was made before and that `fits`.
    pub fn snapshot(&self, place: &Place, fits: impl Fn(&Snapshot) -> bool) -> Option<Arc<Snapshot>> {
        let snapshots = self.snapshots.lock();
        let mut of_place = snapshots.iter().filter(|(of, _)| of == place).map(|(_, snapshot)| snapshot);
        of_place.find(|snapshot| fits(snapshot)).cloned()
    }

    /// Keeps a picture; a few kinds of askers look at one place, so a few are kept.
    pub fn keep(&self, place: &Place, snapshot: Arc<Snapshot>) {
        const KINDS: usize = 4;
        let mut snapshots = self.snapshots.lock();
        let outdated = |kept: &Snapshot| kept.shares_a_view_with(&snapshot);
        snapshots.retain(|(of, kept)| of != place || !outdated(kept));
        if snapshots.len() == KINDS {
            snapshots.remove(0);
        }
        snapshots.push((place.clone(), snapshot));
    }

    fn bytes(&self) -> usize {
        let contents = self.loaded.read().as_ref().map_or(0, |loaded| loaded.calendar.contents.bytes);
        contents + self.snapshots.lock().iter().map(|(_, snapshot)| snapshot.bytes()).sum::<usize>()
    }
}

impl Slots {
    pub fn new(budget: usize) -> Slots {
        Slots { by_path: RwLock::default(), born: Instant::now(), budget }
    }

    /// The slot of `path`, if somebody asked for it before.
    pub fn get(&self, path: &Path) -> Option<Arc<Slot>> {
        let slot = self.by_path.read().get(path).cloned()?;
        self.touch(&slot);
        Some(slot)
    }

    pub fn get_or_make(&self, path: &Path, writer: impl FnOnce() -> Arc<Writer>) -> Arc<Slot> {
        if let Some(slot) = self.get(path) {
            return slot;
        }
        let mut by_path = self.by_path.write();
        let slot = by_path.entry(path.clone()).or_insert_with(|| Arc::new(Slot::new(path.clone(), writer())));
        self.touch(slot);
        slot.clone()
    }

    /// Puts a slot back that may have been forgotten while it held nothing.
    pub fn put(&self, slot: &Arc<Slot>) {
        self.by_path.write().insert(slot.path.clone(), slot.clone());
    }

    /// Forgets a slot that holds nothing: names that lead nowhere must not fill the memory.
    pub fn forget_if_empty(&self, path: &Path) {
        let mut by_path = self.by_path.write();
        if by_path.get(path).is_some_and(|slot| slot.loaded.read().is_none()) {
            by_path.remove(path);
        }
    }

    pub fn forget(&self, path: &Path) {
        self.by_path.write().remove(path);
    }

    fn touch(&self, slot: &Slot) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        slot.used.store(now, Ordering::Relaxed);
    }

    /// Drops what was not asked for the longest, until the rest fits the budget.
    pub fn evict(&self) {
        let mut slots: Vec<Arc<Slot>> = self.by_path.read().values().cloned().collect();
        let mut bytes: usize = slots.iter().map(|slot| slot.bytes()).sum();
        if bytes <= self.budget {
            return;
        }
        slots.sort_by_key(|slot| slot.used.load(Ordering::Relaxed));
        // The newest stays: somebody is being answered from it.
        slots.pop();
        for slot in slots {
            if bytes <= self.budget {
                break;
            }
            // Asked under the lock that `put` takes: a commit that begins now puts its slot back.
            let mut by_path = self.by_path.write();
            // The disk does not have all of it yet.
            if !slot.writer.is_applying() {
                bytes -= slot.bytes().min(bytes);
                by_path.remove(&slot.path);
            }
        }
    }
}
