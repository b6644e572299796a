//! The one door: a calendar is opened only by naming who asks and the role that the request needs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Store;
use super::calendar::held::{Held, Loaded};
use super::calendar::slot::Slot;
use super::calendar::snapshot::{Snapshot, Source};
use super::nearest::{nearest, rights_in};
use super::place::{Name, Path, Place};
use super::rights::owns;
use super::tree::Found;
use super::views::draft::Draft;
use super::views::view_names::{self, Client};
use crate::acl::{Principal, Role};
use crate::error::{Error, Result};
use crate::ical::whole::Heading;

/// A place that was opened: what its asker sees.
#[derive(Debug, Clone)]
pub struct Room {
    /// The most that the asker may do here: in a loose file nobody more than read.
    pub role: Role,
    pub snapshot: Arc<Snapshot>,
}

/// One calendar of a place that was opened.
#[derive(Debug, Clone)]
pub struct Part {
    pub slot: Arc<Slot>,
    pub loaded: Arc<Loaded>,
    pub role: Role,
}

/// A place that was opened, calendar by calendar.
#[derive(Debug)]
pub(super) struct Admitted {
    pub role: Role,
    pub parts: Vec<Part>,
}

/// Whether `role` is enough; if not, what the asker may know about it.
pub(super) fn admit(who: &Principal, role: Role, need: Role) -> Result<()> {
    match who {
        _ if role >= need => Ok(()),
        Principal::Nobody => Err(Error::LoginNeeded),
        Principal::User { .. } if role >= Role::Viewer => {
            Err(Error::Forbidden(format!("your role here is {role}, this needs {need}")))
        }
        Principal::Link(_) if role >= Role::Viewer => {
            Err(Error::Forbidden(format!("this link is {role} here, this needs {need}")))
        }
        Principal::User { .. } | Principal::Link(_) => Err(Error::NotFound),
    }
}

/// The refusal to write to a loose file, whoever asks.
pub(super) fn one_file() -> Error {
    Error::Forbidden("this calendar is one file, which is read-only".to_owned())
}

impl Store {
    /// Opens a place. May read the disk: not on an async thread.
    ///
    /// # Errors
    /// `LoginNeeded` for nobody without the role; `NotFound` for what is missing or whose asker may not know of it;
    /// `Forbidden` if the asker may read but not do this; `GroupsUnknown`.
    pub fn open(&self, who: &Principal, place: &Place, need: Role) -> Result<Room> {
        let admitted = self.enter(who, place, need, |path| self.load_for(who, need, path))?;
        let snapshot = self.snapshot(place, &admitted.parts);
        Ok(Room { role: admitted.role, snapshot })
    }

    /// As [`Store::open`], but from memory alone: nothing if that is not enough for an answer.
    pub fn glance(&self, who: &Principal, place: &Place, need: Role) -> Option<Room> {
        let fresh = |path: &Path| {
            let slot = self.slots.get(path).ok_or(Error::NotFound)?;
            let loaded = slot.fresh().ok_or(Error::NotFound)?;
            slot.note_reader();
            Ok(Some((slot, loaded)))
        };
        let admitted = self.enter(who, place, need, fresh).ok()?;
        let snapshot = self.known_snapshot(place, &admitted.parts)?;
        Some(Room { role: admitted.role, snapshot })
    }

    /// Says that `client` was shown a place: whole, or by the word that what it has is current. Whoever may change nothing
    /// there needs no base.
    pub fn shown_to(&self, client: impl FnOnce() -> Client, place: &Place, room: &Room, whole: bool) {
        if room.role >= Role::Contributor {
            let name = view_names::name(place, &room.snapshot.etag);
            let draft = || Draft::Shown(room.snapshot.shown.clone(), room.snapshot.length);
            self.views.fetched(&client(), name, whole, draft);
        }
    }

    /// Says that `client` was told that there is nothing at a place, where `who` may make a calendar: some programs take that
    /// for an empty one and save to it. Not on an async thread.
    pub fn told_of_nothing(&self, client: &Client, who: &Principal, place: &Place) {
        if let Ok(Some(targets)) =
            self.targets(who, place, &|path| self.load_for(who, Role::Contributor, path))
            && targets.parts.is_empty()
        {
            self.views.told_of_nothing(client);
        }
    }

    /// Passes the door with each calendar of the place that the asker may at least read.
    pub(super) fn enter(
        &self,
        who: &Principal,
        place: &Place,
        need: Role,
        load: impl Fn(&Path) -> Result<Option<(Arc<Slot>, Arc<Loaded>)>>,
    ) -> Result<Admitted> {
        let mut found = Vec::new();
        for path in place.paths() {
            found.extend(load(&path)?);
        }
        if found.len() > 1 {
            let _together = self.together.read();
            for (slot, loaded) in &mut found {
                *loaded = slot.current().unwrap_or_else(|| loaded.clone());
            }
        }
        let mut admitted = Admitted { role: Role::None, parts: Vec::new() };
        for (slot, loaded) in found {
            let role = loaded.role(who, &slot.path)?;
            let is_file = loaded.calendar.contents.read_only;
            admitted.role = admitted.role.max(if is_file { role.min(Role::Viewer) } else { role });
            if role >= need.min(Role::Viewer) {
                admitted.parts.push(Part { slot, loaded, role });
            }
        }
        if admitted.role < need && admitted.parts.iter().any(|part| part.role >= need) {
            return Err(one_file());
        }
        admit(who, admitted.role, need)?;
        Ok(admitted)
    }

    /// As [`Store::load`], for `who` needs this role. What an asker may not know of is not loaded: how long that takes, and how
    /// it fails, would tell that it is there.
    pub(super) fn load_for(
        &self,
        who: &Principal,
        need: Role,
        path: &Path,
    ) -> Result<Option<(Arc<Slot>, Arc<Loaded>)>> {
        let is_fresh = self.slots.peek(path).is_some_and(|slot| slot.fresh().is_some());
        match is_fresh || self.role_at(who, path)? >= need.min(Role::Viewer) {
            true => self.load(path),
            false => Ok(None),
        }
    }

    /// What is at `path` now, from memory if that is fresh.
    fn load(&self, path: &Path) -> Result<Option<(Arc<Slot>, Arc<Loaded>)>> {
        let loaded = self.load_unread(path)?;
        loaded.iter().for_each(|(slot, _)| slot.note_reader());
        Ok(loaded)
    }

    /// As [`Store::load`], by whoever does not read the texts.
    pub(super) fn load_unread(&self, path: &Path) -> Result<Option<(Arc<Slot>, Arc<Loaded>)>> {
        self.load_as(path, Slot::fresh, |slot| slot.load(&self.tree))
    }

    /// What is at `path` now, perhaps without its texts.
    pub(super) fn load_held(&self, path: &Path) -> Result<Option<Held>> {
        let held = self.load_as(path, Slot::fresh_held, |slot| slot.load_held(&self.tree))?;
        Ok(held.map(|(_, held)| held))
    }

    fn load_as<T>(
        &self,
        path: &Path,
        fresh: impl Fn(&Slot) -> Option<T>,
        load: impl Fn(&Slot) -> Result<Option<T>>,
    ) -> Result<Option<(Arc<Slot>, T)>> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let until = Instant::now() + PATIENCE;
        self.with_slot(path, |slot| {
            loop {
                if let Some(fresh) = fresh(slot) {
                    return Ok(Some(fresh));
                }
                match self.take_over(&path.home) {
                    Err(error) if slot.is_empty() => return Err(error),
                    Err(error) => {
                        tracing::error!("{path}: a commit of another process cannot be applied yet: {error}");
                    }
                    Ok(()) => {}
                }
                match load(slot) {
                    // Whoever was at it may have died meanwhile.
                    Err(Error::Busy) if Instant::now() < until => {}
                    loaded => return loaded,
                }
            }
        })
    }

    /// What is at `path` now, compared with the disk.
    pub(super) fn sweep(&self, path: &Path) -> Result<Option<(Arc<Slot>, Arc<Loaded>)>> {
        self.with_slot(path, |slot| slot.sweep(&self.tree))
    }

    fn with_slot<T>(
        &self,
        path: &Path,
        look: impl Fn(&Slot) -> Result<Option<T>>,
    ) -> Result<Option<(Arc<Slot>, T)>> {
        // Names that lead nowhere must not fill the memory.
        if self.slots.peek(path).is_none() && self.tree.home(&path.home)?.is_none() {
            return Ok(None);
        }
        let slot = self.slots.get_or_make(path, || self.writers.of(&path.home));
        let had_texts = slot.has_texts();
        let loaded = look(&slot)?;
        match loaded {
            Some(_) if !had_texts && slot.has_texts() => self.slots.filled(),
            Some(_) => {}
            None => self.slots.forget_if_empty(path),
        }
        Ok(loaded.map(|loaded| (slot, loaded)))
    }

    /// The picture of `parts`, made if need be.
    pub(super) fn snapshot(&self, place: &Place, parts: &[Part]) -> Arc<Snapshot> {
        if let Some(known) = self.known_snapshot(place, parts) {
            return known;
        }
        let snapshot = Arc::new(Snapshot::new(sources(parts), self.heading(place, parts)));
        if let Some(first) = parts.first() {
            first.slot.keep(place, snapshot.clone());
            // With the text, which is made when somebody reads it.
            self.slots.grew(snapshot.bytes() + snapshot.length);
        }
        snapshot
    }

    /// A calendar is called what it says; main.ics, which is two, is called after its owner.
    fn heading(&self, place: &Place, parts: &[Part]) -> Heading {
        let first = parts
            .first()
            .map(|part| part.loaded.calendar.contents.gist.props.heading.clone())
            .unwrap_or_default();
        let time_zone = first.time_zone.or_else(|| self.owners.zone_name().map(str::to_owned));
        match place {
            Place::Calendar(_) => Heading { time_zone, ..first },
            Place::Main(user) => Heading { name: user.to_string(), time_zone, ..first },
        }
    }

    fn known_snapshot(&self, place: &Place, parts: &[Part]) -> Option<Arc<Snapshot>> {
        let matches = |snapshot: &Snapshot| {
            snapshot.is_of(parts.iter().map(|part| (&part.loaded.calendar.contents, part.role)))
        };
        parts.first()?.slot.snapshot(place, matches)
    }

    /// What `who` may do at `path`, whether anything is there or not.
    pub fn role_at(&self, who: &Principal, path: &Path) -> Result<Role> {
        match owns(who, &path.home) {
            true => Ok(Role::Master),
            false => nearest(&self.tree, path)?.role(who, path),
        }
    }

    /// The calendars and folders right below a folder that `who` may read, each with whether it is a folder, and the most that
    /// `who` may do there.
    ///
    /// # Errors
    /// As [`Store::open`]; a folder without any such member is not there for whoever may not read it itself. A member that the
    /// service may not look into is left out.
    pub fn list(&self, who: &Principal, folder: &Path) -> Result<Vec<(Name, bool, Role)>> {
        let rights = nearest(&self.tree, folder)?;
        let own = rights.role(who, folder)?;
        let names = match self.tree.find(folder) {
            Ok(Found::Folder(directory)) => self.tree.members(&directory),
            Ok(_) => Err(Error::NotFound),
            Err(error) => Err(error),
        };
        if names.is_err() {
            admit(who, own, Role::Viewer)?;
        }
        let mut members = Vec::new();
        for name in names? {
            let mut path = folder.clone();
            path.names.push(name.clone());
            // Rights first, and one look for them: that is all the work there is for whoever may see nothing.
            let own_rights = rights_in(&self.tree, &self.tree.on_disk(&path))?;
            let role = own_rights.as_ref().unwrap_or(&rights).role(who, &path)?;
            if role < Role::Viewer {
                continue;
            }
            match self.tree.if_allowed(self.tree.find(&path))? {
                Some(Found::Calendar(_)) if self.writers.of(&path.home).is_making(&path) => {}
                Some(Found::Calendar(_)) => members.push((name, false, role)),
                Some(Found::File(..)) => members.push((name, false, Role::Viewer)),
                Some(Found::Folder(_)) => members.push((name, true, role)),
                Some(Found::Missing | Found::Blocked) | None => {}
            }
        }
        if members.is_empty() {
            admit(who, own, Role::Viewer)?;
        }
        Ok(members)
    }
}

fn sources(parts: &[Part]) -> Vec<Source> {
    parts.iter().map(|part| Source::new(part.loaded.calendar.contents.clone(), part.role)).collect()
}
