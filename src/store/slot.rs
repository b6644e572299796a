//! Loaded calendars: each in a slot of its own, swept when its last sweep is older than a second, unless `watch` knows that
//! nothing has changed since.

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
use super::watch::marks::{Marks, Seen, Sight, WATCHED};
use super::writer::Writer;
use crate::acl::{Principal, Role};
use crate::error::{Error, Result};

/// Nothing older than this is served where nobody watches.
const FRESH: Duration = Duration::from_secs(1);

/// A calendar as it was at the last sweep.
#[derive(Debug)]
pub struct Loaded {
    pub calendar: Calendar,
    pub rights: Rights,
    swept: Instant,
    /// The marks before it was swept; nothing if it was not watched, or not swept.
    seen: Option<Seen>,
}

/// The place of one calendar in memory.
#[derive(Debug)]
pub struct Slot {
    pub path: Path,
    writer: Arc<Writer>,
    sight: Sight,
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
    pub marks: Marks,
}

impl Loaded {
    /// What `who` may do here. A home's owner is master, whatever any file says.
    pub fn role(&self, who: &Principal, path: &Path) -> Result<Role> {
        self.rights.role(who, path)
    }

    fn is_fresh(&self, now: Option<Seen>) -> bool {
        let unchanged = self.seen.is_some() && self.seen == now;
        self.swept.elapsed() < if unchanged { WATCHED } else { FRESH }
    }
}

impl Slot {
    fn new(path: Path, writer: Arc<Writer>, sight: Sight) -> Slot {
        Slot {
            path,
            writer,
            sight,
            loaded: RwLock::default(),
            sweeping: Mutex::default(),
            snapshots: Mutex::default(),
            used: AtomicU64::new(0),
        }
    }

    /// What is in memory, if that is not too old.
    pub fn fresh(&self) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.read();
        let is_fresh = |loaded: &Loaded| loaded.is_fresh(self.sight.now());
        loaded.as_ref().filter(|loaded| is_fresh(loaded)).cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.loaded.read().is_none()
    }

    /// Whether a commit is in memory that the disk does not have in full.
    pub fn is_applying(&self) -> bool {
        self.writer.is_applying()
    }

    /// Whether nothing was marked since the last sweep.
    pub fn is_unchanged(&self) -> bool {
        self.loaded.read().as_ref().is_some_and(|loaded| loaded.seen == self.sight.now())
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
            None => self.sweep_beside_writers(tree),
        }
    }

    /// As [`Slot::sweep`], with requests waiting for the outcome, and without the home's lock.
    pub fn compare(&self, tree: &Tree) -> Result<Option<Arc<Loaded>>> {
        let _turn = self.sweeping.lock();
        self.sweep_beside_writers(tree)
    }

    /// As [`Slot::sweep`], without the home's lock: half of a commit that another process is putting in place is no state.
    /// Until it is whole what was there before is.
    fn sweep_beside_writers(&self, tree: &Tree) -> Result<Option<Arc<Loaded>>> {
        const LOOK_AGAIN: Duration = Duration::from_millis(5);
        const PATIENCE: Duration = Duration::from_secs(30);
        const ATTEMPTS: usize = 3;
        let (start, mut attempts) = (Instant::now(), 0);
        loop {
            let begun = self.writer.begun();
            let standing = tree.standing(&self.path.home)?;
            let before = self.loaded.read().clone();
            if standing.is_half && !self.writer.is_applying() {
                if let Some(loaded) = &before {
                    return self.keep_loaded(tree, loaded);
                }
                if start.elapsed() > PATIENCE {
                    return Err(Error::Busy);
                }
                std::thread::sleep(LOOK_AGAIN);
                continue;
            }
            let after = self.look(tree, before.as_ref())?;
            // A commit of ours that began meanwhile may have put half of its files there.
            if let Some(loaded) = before.as_ref().filter(|_| self.writer.begun() != begun) {
                return self.keep_loaded(tree, loaded);
            }
            attempts += 1;
            let now = tree.standing(&self.path.home)?;
            if now == standing || self.writer.is_applying() || !now.is_half && attempts == ATTEMPTS {
                return Ok(self.swap(before.as_ref(), after));
            }
        }
    }

    /// What is in memory stands, for a while.
    fn keep_loaded(&self, tree: &Tree, before: &Arc<Loaded>) -> Result<Option<Arc<Loaded>>> {
        let (calendar, rights) = (before.calendar.clone(), nearest(tree, &self.path)?);
        let kept = Arc::new(Loaded { calendar, rights, swept: Instant::now(), seen: None });
        Ok(self.swap(Some(before), Some(kept)))
    }

    /// Compares with the disk, however long ago that was done last. The caller holds the home's lock.
    pub fn sweep(&self, tree: &Tree) -> Result<Option<Arc<Loaded>>> {
        let before = self.loaded.read().clone();
        let after = self.look(tree, before.as_ref())?;
        Ok(self.swap(before.as_ref(), after))
    }

    /// What is on disk, read as far as it is not as `before`.
    fn look(&self, tree: &Tree, before: Option<&Arc<Loaded>>) -> Result<Option<Arc<Loaded>>> {
        let swept = Instant::now();
        let seen = self.sight.now();
        // Asked after `before` was taken: what a commit has published must not meet the disk before it is applied there.
        if let Some(loaded) = before.filter(|_| self.writer.is_applying()) {
            let (calendar, rights) = (loaded.calendar.clone(), nearest(tree, &self.path)?);
            return Ok(Some(Arc::new(Loaded { calendar, rights, swept, seen: None })));
        }
        let known = before.map(|before| &before.calendar);
        let name = self.path.last().map_or("", |name| name.as_str());
        let calendar = match tree.find(&self.path)? {
            Found::Calendar(directory) => {
                Calendar::sweep(&directory, Shape::Directory, name, known, &tree.last_good)?
            }
            Found::File(folder, file) => {
                Calendar::sweep(&folder, Shape::File(&file), name, known, &tree.last_good)?
            }
            Found::Folder(_) | Found::Missing | Found::Blocked => return Ok(None),
        };
        let rights = nearest(tree, &self.path)?;
        if let Rights::Closed { reason } = &rights
            && before.is_none_or(|before| before.rights != rights)
        {
            tracing::warn!("closed to all but the owner: {reason}");
        }
        Ok(Some(Arc::new(Loaded { calendar, rights, swept, seen })))
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
        let loaded = Arc::new(Loaded { calendar, rights, swept: Instant::now(), seen: None });
        *self.loaded.write() = Some(loaded.clone());
        // They are of what was: a large one must not stay while the next is made.
        self.snapshots.lock().clear();
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
        Slots { by_path: RwLock::default(), born: Instant::now(), budget, marks: Marks::default() }
    }

    /// The slot of `path`, if somebody asked for it before.
    pub fn get(&self, path: &Path) -> Option<Arc<Slot>> {
        let slot = self.by_path.read().get(path).cloned()?;
        self.touch(&slot);
        Some(slot)
    }

    /// As [`Slots::get`], by who does not ask for the calendar's sake.
    pub fn peek(&self, path: &Path) -> Option<Arc<Slot>> {
        self.by_path.read().get(path).cloned()
    }

    /// The paths of all that hold something.
    pub fn paths(&self) -> Vec<Path> {
        let by_path = self.by_path.read();
        by_path.values().filter(|slot| !slot.is_empty()).map(|slot| slot.path.clone()).collect()
    }

    /// Says that something changed in a calendar, if it is loaded.
    pub fn mark(&self, path: &Path) {
        if let Some(slot) = self.peek(path) {
            slot.sight.mark();
            self.marks.look_at(path);
        }
    }

    pub fn get_or_make(&self, path: &Path, writer: impl FnOnce() -> Arc<Writer>) -> Arc<Slot> {
        if let Some(slot) = self.get(path) {
            return slot;
        }
        let mut by_path = self.by_path.write();
        let slot = by_path
            .entry(path.clone())
            .or_insert_with(|| Arc::new(Slot::new(path.clone(), writer(), self.marks.sight(&path.home))));
        self.touch(slot);
        slot.clone()
    }

    /// Puts a slot back that a commit has filled: it may have been forgotten while it held nothing.
    pub fn put(&self, slot: &Arc<Slot>) {
        self.by_path.write().insert(slot.path.clone(), slot.clone());
        self.marks.look_at(&slot.path);
        self.marks.moved();
    }

    /// A slot that held nothing holds something now.
    pub fn filled(&self) {
        self.marks.moved();
        self.evict();
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
        self.marks.moved();
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
