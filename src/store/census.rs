//! Which calendars a home has, and who may know of them: without a walk over its directories on each request. Taken again when
//! it is older than a second and the home is not watched, or when something has changed the home.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::Store;
use super::busy::answers::Answers;
use super::busy::published::Published;
use super::calendar::marks::WATCHED;
use super::commit::writer::Writer;
use super::disk::Directory;
use super::nearest::nearest;
use super::place::{Home, Path};
use super::rights::Rights;
use crate::acl::{Principal, Role};
use crate::error::{Error, Result};

/// Nothing older than this is served where nobody watches.
const FRESH: Duration = Duration::from_secs(1);
/// From this many homes on, those that nobody asked for lately are forgotten.
const HOMES: usize = 4096;
const LATELY: Duration = Duration::from_secs(600);

/// The homes that were asked for.
#[derive(Debug, Default)]
pub struct Census {
    /// Guards the map only.
    homes: RwLock<HashMap<Home, Arc<Counted>>>,
}

/// A home as it was counted.
#[derive(Debug)]
pub struct Counted {
    pub rights: Rights,
    pub calendars: Vec<(Path, Rights)>,
    pub published: Option<Arc<Published>>,
    pub answers: Arc<Answers>,
    writer: Arc<Writer>,
    at: Instant,
    changes: u64,
    /// What the home's marks were; nothing if it was not watched.
    structure: Option<u64>,
}

impl Census {
    fn get(&self, home: &Home) -> Option<Arc<Counted>> {
        self.homes.read().get(home).cloned()
    }

    fn put(&self, home: &Home, counted: Arc<Counted>) {
        let mut homes = self.homes.write();
        if homes.len() >= HOMES {
            homes.retain(|_, counted| counted.at.elapsed() < LATELY);
        }
        homes.insert(home.clone(), counted);
    }
}

impl Store {
    /// What was counted of `home`, if that is not too old.
    pub(super) fn fresh_census(&self, home: &Home) -> Option<Arc<Counted>> {
        let counted = self.census.get(home)?;
        let structure = self.slots.marks.structure(home);
        let unchanged = structure.is_some() && structure == counted.structure;
        let is_fresh = counted.at.elapsed() < if unchanged { WATCHED } else { FRESH }
            && counted.changes == counted.writer.changes();
        is_fresh.then_some(counted)
    }

    /// What there is in `home` now; nothing if there is no such home.
    pub(super) fn census(&self, home: &Home) -> Result<Option<Arc<Counted>>> {
        if let Some(fresh) = self.fresh_census(home) {
            return Ok(Some(fresh));
        }
        let Some(directory) = self.tree.home(home)? else { return Ok(None) };
        let before = self.census.get(home);
        // Asked before looking: what changes meanwhile is looked at again.
        let writer = self.writers.of(home);
        let (at, changes) = (Instant::now(), writer.changes());
        let structure = self.slots.marks.structure(home);
        let with_rights = |path: Path| Ok((path.clone(), nearest(&self.tree, &path)?));
        let rights = nearest(&self.tree, &Path::root(home.clone()))?;
        let calendars =
            self.tree.calendars(home)?.into_iter().map(with_rights).collect::<Result<Vec<_>>>()?;
        let are_read = rights.are_read() && calendars.iter().all(|(_, rights)| rights.are_read());
        let counted = Arc::new(Counted {
            structure: structure.filter(|_| are_read),
            rights,
            calendars,
            published: self
                .published(&directory, before.as_ref().and_then(|before| before.published.as_ref()))?,
            answers: before.map(|before| before.answers.clone()).unwrap_or_default(),
            writer,
            at,
            changes,
        });
        self.census.put(home, counted.clone());
        Ok(Some(counted))
    }

    /// What is published in `home`; what it was `before` where that cannot be read.
    fn published(&self, home: &Directory, before: Option<&Arc<Published>>) -> Result<Option<Arc<Published>>> {
        match Published::sweep(home, before) {
            Err(error @ Error::Io { .. }) if !error.is_passing() => {
                self.tree.say_once(&error);
                Ok(before.cloned())
            }
            swept => swept,
        }
    }

    /// The most that `who` may do anywhere in `home`.
    pub(super) fn freebusy_role(&self, who: &Principal, home: &Home) -> Result<Role> {
        match self.census(home)? {
            Some(counted) => counted.role(who, home),
            None => Ok(Role::None),
        }
    }
}

impl Counted {
    fn role(&self, who: &Principal, home: &Home) -> Result<Role> {
        let own = self.rights.role(who, &Path::root(home.clone()))?;
        self.calendars.iter().try_fold(own, |most, (path, rights)| Ok(most.max(rights.role(who, path)?)))
    }
}
