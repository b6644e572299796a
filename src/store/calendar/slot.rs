//! One loaded calendar: swept when its last sweep is older than a second, unless `watch` knows that nothing has changed since;
//! without its texts when nobody reads those.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::Calendar;
use super::held::{At, Condensed, Held, Loaded};
use super::listing::Shape;
use super::marks::{Sight, WATCHED};
use super::snapshot::Snapshot;
use crate::error::Result;
use crate::store::commit::writer::Writer;
use crate::store::disk::Directory;
use crate::store::place::{Path, Place};
use crate::store::rights::Rights;
use crate::store::tree::{Found, Tree};

/// The place of one calendar in memory.
#[derive(Debug)]
pub struct Slot {
    pub path: Path,
    pub(in crate::store) writer: Arc<Writer>,
    pub(in crate::store) sight: Sight,
    /// Guards the pointer; what it points to never changes.
    held: RwLock<Option<Held>>,
    /// Held by the one that sweeps, so that others wait for its outcome instead of doing the same.
    sweeping: Mutex<()>,
    /// The pictures that were made with this calendar first in them; guards the list.
    snapshots: Mutex<Vec<(Place, Arc<Snapshot>)>>,
    /// When it was last asked for, in milliseconds since `Slots` was made.
    pub(in crate::store) used: AtomicU64,
    /// Whether anybody has read its texts since they were loaded.
    read: AtomicBool,
}

/// How much of a calendar a sweep looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What was marked, as far as that is known.
    Marked,
    All,
}

/// Whether somebody wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Texts {
    Needed,
    Spared,
}

impl Slot {
    pub fn new(path: Path, writer: Arc<Writer>, sight: Sight) -> Slot {
        Slot {
            path,
            writer,
            sight,
            held: RwLock::default(),
            sweeping: Mutex::default(),
            snapshots: Mutex::default(),
            used: AtomicU64::new(0),
            read: AtomicBool::new(false),
        }
    }

    /// What is in memory, if that is not too old.
    pub fn fresh_held(&self) -> Option<Held> {
        let held = self.held.read();
        held.as_ref().filter(|held| held.at().is_fresh(self.sight.now())).cloned()
    }

    /// As [`Slot::fresh_held`], with the texts.
    pub fn fresh(&self) -> Option<Arc<Loaded>> {
        self.fresh_held()?.whole()
    }

    pub fn is_empty(&self) -> bool {
        self.held.read().is_none()
    }

    pub fn has_texts(&self) -> bool {
        matches!(*self.held.read(), Some(Held::Whole(_)))
    }

    /// Says that somebody reads the texts.
    pub fn note_reader(&self) {
        self.read.store(true, Ordering::Relaxed);
    }

    /// Whether its texts are in memory and nobody has asked for them.
    pub fn is_unread(&self) -> bool {
        self.has_texts() && !self.read.load(Ordering::Relaxed)
    }

    /// Whether somebody writes in its home, or a commit is not on disk in full yet.
    pub fn is_busy(&self) -> bool {
        self.writer.is_busy()
    }

    /// Whether a commit is in memory that the disk does not have in full.
    pub fn is_applying(&self) -> bool {
        self.writer.is_applying()
    }

    /// Whether nothing was marked since the last sweep.
    pub fn is_unchanged(&self) -> bool {
        self.held.read().as_ref().is_some_and(|held| held.at().seen == self.sight.now())
    }

    /// What is in memory, however old.
    pub fn held(&self) -> Option<Held> {
        self.held.read().clone()
    }

    /// As [`Slot::held`], with the texts.
    pub fn current(&self) -> Option<Arc<Loaded>> {
        self.held()?.whole()
    }

    /// What is there now, swept if need be; nothing if there is no such calendar.
    pub fn load(&self, tree: &Tree) -> Result<Option<Arc<Loaded>>> {
        if let Some(fresh) = self.fresh() {
            return Ok(Some(fresh));
        }
        let _turn = self.sweeping.lock();
        match self.fresh() {
            Some(fresh) => Ok(Some(fresh)),
            None => Ok(self.look_beside_writers(tree, Texts::Needed)?.and_then(Held::whole)),
        }
    }

    /// As [`Slot::load`], for whoever can do without the texts.
    pub fn load_held(&self, tree: &Tree) -> Result<Option<Held>> {
        if let Some(fresh) = self.fresh_held() {
            return Ok(Some(fresh));
        }
        let _turn = self.sweeping.lock();
        match self.fresh_held() {
            Some(fresh) => Ok(Some(fresh)),
            None => self.look_beside_writers(tree, Texts::Spared),
        }
    }

    /// Compares with the disk what was marked or may have changed unseen, with requests waiting for the outcome.
    pub fn compare(&self, tree: &Tree) -> Result<Option<Held>> {
        let _turn = self.sweeping.lock();
        self.look_beside_writers(tree, Texts::Spared)
    }

    /// Compares all of it with the disk, however long ago that was done last. The caller holds the home's lock.
    pub fn sweep(&self, tree: &Tree) -> Result<Option<Arc<Loaded>>> {
        let before = self.held();
        let after = self.read_now(tree, before.as_ref(), Extent::All)?.map(|now| Held::Whole(Arc::new(now)));
        Ok(self.placed(before.as_ref(), after, Texts::Needed).and_then(Held::whole))
    }

    /// What is there after `after` was put in the place of `before`.
    pub(in crate::store) fn placed(
        &self,
        before: Option<&Held>,
        after: Option<Held>,
        texts: Texts,
    ) -> Option<Held> {
        match self.swap(before, after.clone()) {
            // The texts were dropped meanwhile: those that were read are as good.
            Some(Held::Condensed(_)) if texts == Texts::Needed => after,
            now => now,
        }
    }

    /// What is on disk now, without its texts if nothing has changed and they are not needed.
    pub(in crate::store) fn read_held(
        &self,
        tree: &Tree,
        before: Option<&Held>,
        texts: Texts,
    ) -> Result<Option<Held>> {
        let at = At { swept: Instant::now(), seen: self.sight.now() };
        if let (Some(Held::Condensed(condensed)), Texts::Spared) = (before, texts) {
            let Some((directory, loose)) = self.find(tree)? else { return Ok(None) };
            let Condensed { gist, digest, .. } = &**condensed;
            if gist.still_holds(digest, &directory, shape(loose.as_deref()), self.name())? {
                let directory = Some(directory.identity()?);
                let rights = self.rights_for(tree, directory)?;
                let at = at.with(&rights);
                let now = Condensed { gist: gist.clone(), digest: *digest, directory, rights, at };
                return Ok(Some(Held::Condensed(Arc::new(now))));
            }
        }
        Ok(self.read_now(tree, before, Extent::Marked)?.map(|now| Held::Whole(Arc::new(now))))
    }

    /// What is on disk now.
    fn read_now(&self, tree: &Tree, before: Option<&Held>, extent: Extent) -> Result<Option<Loaded>> {
        let at = At { swept: Instant::now(), seen: self.sight.now() };
        // Asked after `before` was taken: what a commit has published must not meet the disk before it is applied there.
        if let Some(Held::Whole(loaded)) = before.filter(|_| self.writer.is_applying()) {
            let calendar = loaded.calendar.clone();
            let rights = self.rights_for(tree, calendar.directory)?;
            return Ok(Some(Loaded { calendar, rights, at: At { seen: None, ..at } }));
        }
        if let (Extent::Marked, Some(Held::Whole(loaded))) = (extent, before)
            && let Some(now) = self.read_marked(tree, loaded, at)?
        {
            return Ok(Some(now));
        }
        let Some((directory, loose)) = self.find(tree)? else { return Ok(None) };
        // Of another directory, which has this name now, nothing is known.
        let identity = directory.identity()?;
        let before = before.filter(|before| before.directory().is_none_or(|then| then == identity));
        let known = before.and_then(|before| match before {
            Held::Whole(loaded) => Some(&loaded.calendar),
            Held::Condensed(_) => None,
        });
        let (shape, props) = (shape(loose.as_deref()), before.map(|before| &before.gist().props));
        let calendar = Calendar::sweep(&directory, shape, self.name(), known, props, &tree.last_good)?;
        let calendar = match before {
            Some(Held::Condensed(condensed)) => calendar.going_on(&condensed.gist, &condensed.digest),
            _ => calendar,
        };
        let rights = self.rights_for(tree, Some(identity))?;
        if let Rights::Closed { reason } = &rights
            && before.is_none_or(|before| *before.rights() != rights)
        {
            tracing::warn!("closed to all but the owner: {reason}");
        }
        let at = at.with(&rights);
        Ok(Some(Loaded { calendar, rights, at }))
    }

    /// What is on disk now if nothing can be different but the marked names; nothing if that is in doubt.
    fn read_marked(&self, tree: &Tree, loaded: &Loaded, now: At) -> Result<Option<Loaded>> {
        let seen = loaded.at.seen.filter(|_| loaded.at.swept.elapsed() < WATCHED);
        let Some(names) = seen.and_then(|seen| self.sight.marked_since(seen)) else { return Ok(None) };
        if loaded.calendar.contents.read_only {
            return Ok(None);
        }
        let Some(directory) = tree.root.directory(tree.on_disk(&self.path))? else { return Ok(None) };
        if loaded.calendar.directory != Some(directory.identity()?) {
            return Ok(None);
        }
        let calendar = loaded.calendar.sweep_names(&directory, &names, &tree.last_good)?;
        // What makes no events is looked for no later than after a look at everything.
        let at = At { swept: loaded.at.swept, ..now };
        Ok(calendar.map(|calendar| Loaded { calendar, rights: loaded.rights.clone(), at }))
    }

    /// The calendar's directory, or the folder in which it is one file.
    pub(in crate::store) fn find(&self, tree: &Tree) -> Result<Option<(Directory, Option<String>)>> {
        Ok(match tree.find(&self.path)? {
            Found::Calendar(directory) => Some((directory, None)),
            Found::File(folder, file) => Some((folder, Some(file))),
            Found::Folder(_) | Found::Missing | Found::Blocked => None,
        })
    }

    fn name(&self) -> &str {
        self.path.last().map_or("", |name| name.as_str())
    }

    /// Puts `after` in the place of `before`, unless somebody was faster; gives what is there then.
    fn swap(&self, before: Option<&Held>, after: Option<Held>) -> Option<Held> {
        let mut held = self.held.write();
        let same = match (held.as_ref(), before) {
            (Some(held), Some(before)) => held.is(before),
            (held, before) => held.is_none() && before.is_none(),
        };
        if same {
            *held = after;
        }
        held.clone()
    }

    /// Shows what a commit has made of the calendar.
    pub fn publish(&self, calendar: Calendar, rights: Rights) -> Arc<Loaded> {
        let at = At { swept: Instant::now(), seen: None };
        let loaded = Arc::new(Loaded { calendar, rights, at });
        *self.held.write() = Some(Held::Whole(loaded.clone()));
        // They are of what was: a large one must not stay while the next is made.
        self.snapshots.lock().clear();
        self.writer.changed();
        loaded
    }

    /// Keeps what free/busy needs and lets the texts go; says whether. Not for what a commit is under way in, nor for what
    /// nobody asks free/busy of.
    pub fn condense(&self) -> bool {
        let mut held = self.held.write();
        // Asked under the lock: a save that begins now will find the texts gone and load them again.
        if self.writer.is_busy() {
            return false;
        }
        let Some(Held::Whole(loaded)) = &*held else { return false };
        let gist = &loaded.calendar.contents.gist;
        let Some(digest) = loaded.calendar.digest().filter(|_| gist.busy.lock().is_some()) else {
            return false;
        };
        let (directory, rights) = (loaded.calendar.directory, loaded.rights.clone());
        let condensed = Condensed { gist: gist.clone(), digest, directory, rights, at: loaded.at };
        let texts = held.replace(Held::Condensed(Arc::new(condensed)));
        self.read.store(false, Ordering::Relaxed);
        drop(held);
        self.snapshots.lock().clear();
        drop(texts);
        true
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

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let held = self.held();
        let texts = held.as_ref().and_then(Held::contents).map_or(0, |contents| contents.bytes);
        let gist = held.map_or(0, |held| held.gist().bytes());
        let snapshots: usize = self.snapshots.lock().iter().map(|(_, snapshot)| snapshot.bytes()).sum();
        size_of::<Slot>() + texts + gist + snapshots
    }
}

fn shape(loose: Option<&str>) -> Shape<'_> {
    loose.map_or(Shape::Directory, Shape::File)
}
