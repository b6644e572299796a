//! `kalends check`: looks through a tree and names everything that is wrong with it. The tree may be served meanwhile, read-only,
//! or a copy: nothing is written, no lock is held, and nothing but regular files is opened. One directory is looked at after
//! another; no more than its names and the keys of its items are in memory.
//!
//! Only where repairs are asked for is the store opened: they are commits like any other (`mend`), and what they did is looked at
//! again before it is called repaired.

mod access;
mod finding;
mod history;
mod items;
mod keys;
mod leftovers;
mod links;
mod look;
mod mend;
mod names;
mod places;
mod sidecars;
mod top;
mod zones;

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path as FsPath, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use finding::{Finding, Kind, Severity, Spot};
pub use links::IsUser;

use super::Store;
use super::calendar::last_good::LastGood;
use super::commit::journal::JOURNALS;
use super::disk::staging::TMP;
use super::disk::{Directory, NO_DIRECTORY};
use super::history::HISTORY;
use super::history::record::{Cause, Did};
use super::origin::Origin;
use super::owners::Owners;
use super::place::{Home, MAIN};
use super::tree::{Tree, USERS};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ical::busy::{Owner, TimeRange};
use crate::ical::tz;
use access::Service;
use mend::{At, Repairs};

/// How far a check is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub files: u64,
    pub homes: usize,
    pub of_homes: usize,
}

/// Counts what was looked at, and shows it.
struct Meter<'a> {
    now: Cell<Progress>,
    again: Cell<bool>,
    show: &'a dyn Fn(Progress),
}

impl Meter<'_> {
    /// One more file, but what is looked at again counts once.
    fn file(&self) {
        self.change(|now| now.files += u64::from(!self.again.get()));
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        let mut now = self.now.get();
        change(&mut now);
        self.now.set(now);
        (self.show)(now);
    }
}

/// What is to be looked at, and how.
pub struct Check<'a> {
    pub config: &'a Config,
    /// Who asks for repairs, if somebody does.
    pub fix: Option<&'a Origin>,
    pub is_user: IsUser<'a>,
    pub progress: &'a dyn Fn(Progress),
}

/// What a check goes by.
struct Asked<'a> {
    config: &'a Config,
    tree: Tree,
    service: Service,
    /// Others than the service may look into the data directory: then its own mode says it all, and those below say nothing more.
    is_open: Cell<bool>,
    window: TimeRange,
    owner: Owner,
    now: SystemTime,
    is_user: IsUser<'a>,
    progress: Meter<'a>,
}

/// What was seen in one directory.
#[derive(Default)]
struct Visit {
    found: Vec<Finding>,
    repairs: Repairs,
    /// The directories to look at next.
    below: Vec<OsString>,
    keys: Option<keys::Keys>,
}

impl Visit {
    /// The same, with nothing to repair.
    fn left_alone(self) -> Visit {
        let found = self.found.into_iter().map(|finding| Finding { repairable: false, ..finding });
        Visit { found: found.collect(), repairs: Repairs::default(), ..self }
    }
}

impl Check<'_> {
    /// Looks at the whole tree; gives each finding to `found`, and how much was looked at.
    ///
    /// # Errors
    /// There is no data directory, or it cannot be opened; with `fix`, it cannot be written to.
    pub fn run(&self, found: &mut dyn FnMut(Finding)) -> Result<Progress> {
        let mut walk = Walk { asked: Asked::new(self)?, fix: self.fix, store: None, found };
        walk.all()?;
        Ok(walk.asked.progress.now.get())
    }
}

impl<'a> Asked<'a> {
    fn new(check: &Check<'a>) -> Result<Asked<'a>> {
        let config = check.config;
        let root = Directory::root(&config.data)?;
        let stat = rustix::fs::fstat(root.fd()).map_err(|error| Error::io(&config.data, error))?;
        if root.directory(USERS)?.is_none() {
            let path = config.data.display();
            let why = match root.kind(USERS)? {
                None => format!("there is no directory {USERS} in it"),
                Some(_) => format!("its {USERS} is {NO_DIRECTORY}"),
            };
            return Err(Error::Config(format!("{path}: not a data directory: {why}")));
        }
        let owners = Owners::new(config);
        let zone = owners.zone_name().and_then(tz::zone);
        Ok(Asked {
            config,
            tree: Tree::new(root, &config.public_root, LastGood::default()),
            service: Service { uid: stat.st_uid, gid: stat.st_gid },
            is_open: Cell::new(false),
            window: owners.horizon(Timestamp::now())?,
            owner: Owner { addresses: Vec::new(), zone: zone.unwrap_or(TimeZone::UTC) },
            now: SystemTime::now(),
            is_user: check.is_user,
            progress: Meter { now: Cell::default(), again: Cell::default(), show: check.progress },
        })
    }

    /// Whether a directory is on another mount than the data directory, so that it may be anybody's.
    fn is_elsewhere(&self, path: &FsPath) -> bool {
        let (root, mount) = (&self.tree.root, |directory: &Directory| directory.mount().ok());
        let directory = root.directory(path).ok().flatten();
        directory.is_some_and(|directory| mount(&directory) != mount(root))
    }

    fn leftovers(&self) -> Vec<Finding> {
        let root = &self.tree.root;
        let (staging, journals) = (leftovers::staging(root, self.now), leftovers::journals(root, &self.tree));
        // What cannot be listed is named where its owner and mode are.
        staging.into_iter().chain(journals).flatten().collect()
    }
}

/// A walk over the tree.
struct Walk<'a, 'f> {
    asked: Asked<'a>,
    fix: Option<&'a Origin>,
    /// There once the data directory itself is in order, if repairs are asked for.
    store: Option<Store>,
    found: &'f mut dyn FnMut(Finding),
}

impl Walk<'_, '_> {
    /// Gives on what was found before repairs and is not there any more, and what is there.
    fn report(&mut self, before: Vec<Finding>, after: Vec<Finding>) {
        let gone = before.into_iter().filter(|finding| !after.iter().any(|again| again.is_again(finding)));
        let gone = gone.map(|finding| Finding { repaired: true, ..finding });
        let mut all: Vec<Finding> = gone.chain(after.iter().cloned()).collect();
        all.sort_by(|one, other| (&one.path, one.spot).cmp(&(&other.path, other.spot)));
        all.into_iter().for_each(&mut self.found);
    }

    /// Looks at one directory, and repairs what can be until nothing is left to repair or nothing changes any more.
    fn visit(
        &mut self,
        home: Option<&Home>,
        path: &FsPath,
        look: impl Fn(&Asked<'_>, &FsPath) -> Result<Visit>,
    ) -> Visit {
        /// A split file's items may have twins, which are seen only then.
        const ROUNDS: usize = 4;
        let look = |asked: &Asked<'_>| {
            let visit = look(asked, path).unwrap_or_else(|error| Visit {
                found: vec![items::unread(path, &error)],
                ..Visit::default()
            });
            if asked.is_elsewhere(path) { visit.left_alone() } else { visit }
        };
        let mut visit = look(&self.asked);
        let mut before: Vec<Finding> = Vec::new();
        for _ in 0..ROUNDS {
            if self.fix.is_none() || visit.repairs.is_empty() {
                break;
            }
            self.repair(home, path, &visit.repairs);
            self.asked.progress.again.set(true);
            let again = look(&self.asked);
            let same = again.found == visit.found;
            before.extend(std::mem::replace(&mut visit, again).found);
            if same {
                break;
            }
        }
        self.asked.progress.again.set(false);
        let mut seen = HashSet::new();
        before.retain(|finding| seen.insert((finding.kind, finding.path.clone(), finding.spot)));
        self.report(before, std::mem::take(&mut visit.found));
        visit
    }

    /// Looks at the directory at `top` and at all below it; gives each visit to `visited`.
    fn all_below(
        &mut self,
        home: Option<&Home>,
        top: &FsPath,
        look: impl Fn(&Asked<'_>, &FsPath) -> Result<Visit>,
        mut visited: impl FnMut(&FsPath, Visit),
    ) {
        let mut waiting = vec![top.to_path_buf()];
        while let Some(path) = waiting.pop() {
            let mut visit = self.visit(home, &path, &look);
            // The next by name is looked at first.
            waiting.extend(visit.below.drain(..).rev().map(|name| path.join(name)));
            visited(&path, visit);
        }
    }

    fn repair(&self, home: Option<&Home>, path: &FsPath, repairs: &Repairs) {
        match self.asked.tree.root.directory(path) {
            Ok(Some(directory)) => repairs.set_modes(&directory, self.asked.service),
            Ok(None) => return,
            Err(error) => return tracing::warn!("not repaired: {error}"),
        }
        if let (Some(store), Some(home), Some(origin)) = (&self.store, home, self.fix) {
            let place = At { home, path, cause: Cause::new(Did::Repair, origin) };
            repairs.mend_files(store, &place, self.asked.service);
        }
    }

    /// Looks for what processes that died have left. Opening the store finishes their commits and clears their staging.
    fn leftovers(&mut self) -> Result<()> {
        for path in [TMP, JOURNALS] {
            self.all_below(None, FsPath::new(path), leftovers::own, |_, _| ());
        }
        let before = self.asked.leftovers();
        if self.fix.is_none() {
            self.report(Vec::new(), before);
            return Ok(());
        }
        let (config, service) = (self.asked.config, self.asked.service);
        let store = access::as_service(service, || Store::open_uncached(config))?;
        let waiting = store.journals.homes()?;
        if !waiting.is_empty() {
            waiting.into_iter().for_each(|home| self.mend_first(home));
            access::as_service(service, || store.recover())?;
        }
        self.store = Some(store);
        let after = self.asked.leftovers();
        self.report(before, after);
        Ok(())
    }

    /// Sets owners and modes in a home whose commits wait for that. What is still wrong is named when the home is looked at.
    fn mend_first(&mut self, home: PathBuf) {
        if self.asked.tree.home_at(&home).is_none() {
            return;
        }
        let mut waiting = vec![home];
        while let Some(path) = waiting.pop() {
            if self.asked.is_elsewhere(&path) {
                continue;
            }
            let Ok(mut visit) = leftovers::own(&self.asked, &path) else { continue };
            self.repair(None, &path, &visit.repairs);
            let Ok(again) = leftovers::own(&self.asked, &path) else { continue };
            visit.found.retain(|finding| !again.found.iter().any(|left| left.is_again(finding)));
            self.report(visit.found, Vec::new());
            waiting.extend(visit.below.into_iter().map(|name| path.join(name)));
        }
    }

    fn all(&mut self) -> Result<()> {
        let homes = self.top()?;
        self.asked.progress.change(|now| now.of_homes = homes.len());
        for home in homes {
            self.home(&home);
            self.asked.progress.change(|now| now.homes += 1);
        }
        Ok(())
    }

    /// Looks at all directories of a home.
    fn home(&mut self, home: &Home) {
        let top = self.asked.tree.home_on_disk(home);
        let mut main: Vec<(PathBuf, keys::Keys)> = Vec::new();
        let look = |asked: &Asked<'_>, path: &FsPath| match path.strip_prefix(&top) {
            Ok(place) if place.starts_with(HISTORY) => history::directory(asked, &top, place),
            _ => places::directory(asked, path, path == top),
        };
        self.all_below(Some(home), &top, look, |path, visit| {
            let is_main = *home != Home::Public && MAIN.iter().any(|name| path == top.join(name));
            main.extend(visit.keys.filter(|_| is_main).map(|keys| (path.to_path_buf(), keys)));
        });
        if let [(calendar, first), (tasks, second)] = main.as_slice()
            && let Ok(found) = places::together(&self.asked, (calendar, first), (tasks, second))
        {
            self.report(Vec::new(), found);
        }
    }
}
