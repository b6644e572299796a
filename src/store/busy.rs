//! The busy times of calendars, worked out once: each item keeps what it makes of the horizon, each calendar's contents what
//! their items make together. A change costs the items that changed, and putting the rest together again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::Store;
use super::calendar::{Contents, Stored};
use super::owners::holds;
use super::place::{Home, Path};
use super::published::Published;
use crate::error::Result;
use crate::ical::busy::{Found, Owner, Period, TimeRange, clip, found, merge, overlay};
use crate::ical::item::Item;

/// An item with more busy times than this in a window is left out.
pub const MOST_OF_ITEM: usize = 20_000;
/// What a calendar comes to beyond this many busy times, merged, is left out.
const MOST_OF_CALENDAR: usize = 100_000;

/// When somebody is busy.
#[derive(Debug)]
pub struct Busy {
    /// In their order, without overlaps, cut to the window.
    pub periods: Vec<Period>,
    /// When the newest of the calendars behind them changed.
    pub modified: SystemTime,
}

/// What one calendar's items come to.
#[derive(Debug)]
pub struct Worked {
    basis: Basis,
    found: Found,
}

/// What one item comes to; empty until it is asked for.
#[derive(Debug, Default)]
pub struct OfItem {
    /// Guards what is remembered; boxed, because most items lie outside.
    known: Mutex<(u64, Option<Box<Outcome>>)>,
}

/// What is known of one item.
#[derive(Debug, Clone)]
enum Outcome {
    Found(Found),
    /// It is not understood, and was named in the log.
    LeftOut,
}

/// What busy times depend on beside the items.
#[derive(Debug, Clone)]
struct Basis {
    window: TimeRange,
    owner: Owner,
    /// Never 0.
    hash: u64,
}

impl Basis {
    fn new(window: TimeRange, owner: Owner) -> Basis {
        let mut hasher = DefaultHasher::new();
        (window.start, window.end, owner.zone.iana_name()).hash(&mut hasher);
        Basis { window, owner, hash: hasher.finish().max(1) }
    }
}

/// A calendar whose busy times count.
#[derive(Debug, Clone)]
pub struct Counted {
    pub path: Path,
    pub contents: Arc<Contents>,
}

impl Store {
    /// What the calendars and the publication of one home come to within the window.
    pub(super) fn put_together(
        &self,
        home: &Home,
        calendars: &[Counted],
        published: Option<&Published>,
        window: TimeRange,
    ) -> Result<Busy> {
        let horizon = self.owners.horizon(Timestamp::now())?;
        let mut periods = Vec::new();
        let mut availabilities = Vec::new();
        let mut modified = published.map_or(SystemTime::UNIX_EPOCH, |published| published.modified);
        for Counted { path, contents } in calendars {
            modified = modified.max(contents.modified);
            let owner = self.owners.of(home, contents);
            let worked = match holds(&horizon, &window) {
                true => worked(path, contents, Basis::new(horizon, owner)),
                false => Arc::new(Worked::unkept(contents, Basis::new(window, owner))),
            };
            periods.extend(clip(&worked.found.periods, &window));
            availabilities.extend_from_slice(&worked.found.availabilities);
        }
        periods.extend(clip(&overlay(availabilities), &window));
        if let Some(published) = published {
            periods.extend(clip(&published.periods, &window));
        }
        Ok(Busy { periods: merge(periods), modified })
    }
}

impl Store {
    /// Works out again what was asked for before a calendar changed.
    pub(super) fn keep_warm(&self, path: &Path, before: &Contents, now: &Contents) {
        let was_asked = before.busy.lock().is_some();
        if was_asked && let Ok(horizon) = self.owners.horizon(Timestamp::now()) {
            worked(path, now, Basis::new(horizon, self.owners.of(&path.home, now)));
        }
    }
}

/// What a calendar comes to, from memory if nothing has changed.
fn worked(path: &Path, contents: &Contents, basis: Basis) -> Arc<Worked> {
    let known = contents.busy.lock().clone();
    if let Some(known) = known.filter(|known| known.basis.hash == basis.hash) {
        return known;
    }
    let mut all = Found::default();
    let mut newly_left_out = 0;
    for stored in contents.items.iter() {
        newly_left_out += usize::from(stored.busy.add_to(&mut all, path, stored, &basis));
    }
    if newly_left_out > 0 {
        tracing::warn!("{path}: {newly_left_out} items left out of free/busy");
    }
    let worked = Arc::new(Worked::new(all, basis));
    *contents.busy.lock() = Some(worked.clone());
    worked
}

impl Worked {
    fn new(found: Found, basis: Basis) -> Worked {
        Worked { found: Found { periods: merge(found.periods), ..found }, basis }
    }

    /// For a window that is asked for seldom: nothing is remembered, and nothing logged.
    fn unkept(contents: &Contents, basis: Basis) -> Worked {
        let mut all = Found::default();
        for stored in contents.items.iter() {
            if let Ok(found) = of_item(stored, &basis.window, &basis.owner) {
                add(&mut all, &found);
            }
        }
        Worked::new(all, basis)
    }
}

impl OfItem {
    /// Adds what `stored` makes of the window; whether it is left out and was not before.
    fn add_to(&self, all: &mut Found, path: &Path, stored: &Stored, basis: &Basis) -> bool {
        let mut known = self.known.lock();
        let is_new = known.0 != basis.hash;
        if is_new {
            *known = (basis.hash, outcome(path, stored, basis));
        }
        match known.1.as_deref() {
            Some(Outcome::Found(found)) => add(all, found),
            Some(Outcome::LeftOut) => return is_new,
            None => {}
        }
        false
    }
}

/// Adds what an item comes to, as long as there is room: a small calendar must not become a large answer.
fn add(all: &mut Found, found: &Found) {
    if all.periods.len() > MOST_OF_CALENDAR {
        all.periods = merge(std::mem::take(&mut all.periods));
        if all.periods.len() > MOST_OF_CALENDAR / 2 {
            return;
        }
    }
    all.periods.extend_from_slice(&found.periods);
    all.availabilities.extend_from_slice(&found.availabilities);
}

/// Nothing for an item that makes nobody busy.
fn outcome(path: &Path, stored: &Stored, basis: &Basis) -> Option<Box<Outcome>> {
    match of_item(stored, &basis.window, &basis.owner) {
        Ok(found) if found == Found::default() => None,
        Ok(found) => Some(Box::new(Outcome::Found(found))),
        Err(reason) => {
            tracing::warn!("{path}: {}: left out of free/busy: {reason}", stored.file);
            Some(Box::new(Outcome::LeftOut))
        }
    }
}

fn of_item(stored: &Stored, window: &TimeRange, owner: &Owner) -> Result<Found, String> {
    let found =
        with_text(&stored.item, |text| found(text, window, owner)).map_err(|reason| reason.to_string())?;
    match found.periods.len() > MOST_OF_ITEM {
        true => Err(format!("RRULE: more than {MOST_OF_ITEM} busy times")),
        false => Ok(found),
    }
}

/// Zones that are known by their names need no definition, and most items are their components alone.
pub fn with_text<T>(item: &Item, read: impl FnOnce(&[u8]) -> T) -> T {
    match item.zones.iter().any(|zone| zone.iana.is_none()) {
        true => read(&item.to_file()),
        false => read(&item.raw),
    }
}
