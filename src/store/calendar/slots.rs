//! All loaded calendars, bounded by the bytes in them: what nobody asked for the longest gives way, first its texts, then all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::RwLock;

use super::marks::Marks;
use super::slot::Slot;
use crate::store::commit::writer::Writer;
use crate::store::place::Path;

/// How many bytes may be texts that nobody has read since they were loaded. Enough for one large home whose busy times are
/// asked for all day: so that a change in it costs what changed.
const UNREAD: usize = 64 << 20;

/// All slots.
#[derive(Debug)]
pub struct Slots {
    /// Guards the map only.
    by_path: RwLock<HashMap<Path, Arc<Slot>>>,
    born: Instant,
    budget: usize,
    /// How many bytes were put into it since it was last looked through, which takes a look at each.
    grown: AtomicUsize,
    pub marks: Marks,
}

impl Slots {
    pub fn new(budget: usize) -> Slots {
        let (by_path, grown) = (RwLock::default(), AtomicUsize::new(0));
        Slots { by_path, born: Instant::now(), budget, grown, marks: Marks::default() }
    }

    /// The slot of `path`, if somebody asked for it before.
    pub fn get(&self, path: &Path) -> Option<Arc<Slot>> {
        let slot = self.by_path.read().get(path).cloned()?;
        self.touch(&slot);
        Some(slot)
    }

    /// As [`Slots::get`], by whoever does not ask for the calendar's sake.
    pub fn peek(&self, path: &Path) -> Option<Arc<Slot>> {
        self.by_path.read().get(path).cloned()
    }

    /// The paths of all that hold something.
    pub fn paths(&self) -> Vec<Path> {
        let by_path = self.by_path.read();
        by_path.values().filter(|slot| !slot.is_empty()).map(|slot| slot.path.clone()).collect()
    }

    /// Says that what has this name in a calendar's directory has changed, if the calendar is loaded.
    pub fn mark(&self, path: &Path, name: &str) {
        if let Some(slot) = self.peek(path) {
            slot.sight.mark(name);
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
        if by_path.get(path).is_some_and(|slot| slot.is_empty()) {
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

    /// So many bytes more are in memory than before: makes room once they are worth it.
    pub fn grew(&self, bytes: usize) {
        if self.grown.fetch_add(bytes, Ordering::Relaxed) + bytes > self.budget / 64 {
            self.evict();
        }
    }

    /// Makes room: the texts that nobody reads are held to a small part of it; beyond all of it goes what was not asked for
    /// the longest, and what has no texts last.
    pub fn evict(&self) {
        self.grown.store(0, Ordering::Relaxed);
        let mut slots: Vec<(Arc<Slot>, usize)> =
            self.by_path.read().values().map(|slot| (slot.clone(), slot.bytes())).collect();
        let mut bytes: usize = slots.iter().map(|(_, bytes)| bytes).sum();
        let of_unread = |(slot, bytes): &(Arc<Slot>, usize)| if slot.is_unread() { *bytes } else { 0 };
        let mut unread: usize = slots.iter().map(of_unread).sum();
        if bytes <= self.budget && unread <= UNREAD {
            return;
        }
        slots.sort_by_key(|(slot, _)| slot.used.load(Ordering::Relaxed));
        // The newest stays: somebody is being answered from it.
        slots.pop();
        for (slot, size) in &mut slots {
            if unread > UNREAD && slot.is_unread() && slot.condense() {
                unread -= (*size).min(unread);
                bytes -= std::mem::replace(size, slot.bytes()).min(bytes);
                bytes += *size;
            }
        }
        for (slot, size) in slots.iter_mut().filter(|(slot, _)| slot.has_texts()) {
            if bytes > self.budget {
                let left = if slot.condense() { slot.bytes() } else { self.drop_slot(slot, *size) };
                bytes -= std::mem::replace(size, left).min(bytes);
                bytes += left;
            }
        }
        for (slot, size) in &slots {
            if bytes > self.budget {
                bytes -= (size - self.drop_slot(slot, *size)).min(bytes);
            }
        }
    }

    /// Drops a slot, unless somebody writes in its home: who comes meanwhile would read half of a commit from the disk. Gives
    /// what of its `size` is left.
    fn drop_slot(&self, slot: &Slot, size: usize) -> usize {
        // Asked under the lock that `put` takes: a commit that begins now puts its slot back.
        let mut by_path = self.by_path.write();
        match slot.is_busy() {
            true => size,
            false => {
                by_path.remove(&slot.path);
                0
            }
        }
    }
}
