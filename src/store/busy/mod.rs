//! The busy times of calendars, worked out once: each item keeps what it makes of the horizon, each calendar's gist what
//! its items make together. A change costs the items that changed, and putting the rest together again.

pub mod answers;
pub mod freebusy;
pub mod published;
pub mod reasons;

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use super::Store;
use crate::count::counted;
use crate::error::Result;
use crate::ical::busy::{Found, Owner, Period, TimeRange, clip, found, merge, overlay};
use crate::ical::item::Item;
use crate::store::calendar::Contents;
use crate::store::calendar::file::Stored;
use crate::store::calendar::gist::Gist;
use crate::store::calendar::held::Held;
use crate::store::calendar::worked::{Basis, Worked};
use crate::store::owners::holds;
use crate::store::place::{Home, Path};
use published::Published;

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

/// A calendar whose busy times count.
#[derive(Debug, Clone)]
pub struct Counted {
    path: Path,
    pub gist: Arc<Gist>,
    /// Its texts, if they are there.
    contents: Option<Arc<Contents>>,
}

impl Counted {
    pub fn new(path: Path, held: &Held) -> Counted {
        Counted { path, gist: held.gist().clone(), contents: held.contents().cloned() }
    }

    /// What it comes to; nothing if that is not known and its texts are not there.
    fn worked(&self, basis: Basis, is_kept: bool) -> Option<Arc<Worked>> {
        let Counted { path, gist, contents } = self;
        let known = gist.busy.lock().clone().filter(|known| known.basis.hash == basis.hash);
        if known.is_some() {
            return known;
        }
        let contents = contents.as_ref()?;
        Some(match is_kept {
            true => worked(path, contents, basis),
            false => Arc::new(Worked::unkept(path, contents, basis)),
        })
    }
}

impl Store {
    /// What the calendars and the publication of one home come to within the window; nothing if it takes texts that are not there.
    pub(super) fn put_together(
        &self,
        home: &Home,
        calendars: &[Counted],
        published: Option<&Published>,
        window: TimeRange,
    ) -> Result<Option<Busy>> {
        let (stretch, is_kept) = self.stretch_for(window)?;
        let mut periods = Vec::new();
        let mut availabilities = Vec::new();
        let mut modified = published.map_or(SystemTime::UNIX_EPOCH, |published| published.modified);
        for counted in calendars {
            modified = modified.max(counted.gist.modified);
            let owner = self.owners.of(home, &counted.gist);
            let basis = Basis::new(stretch, owner);
            let Some(worked) = counted.worked(basis, is_kept) else { return Ok(None) };
            periods.extend(clip(&worked.found.periods, &window));
            availabilities.extend_from_slice(&worked.found.availabilities);
        }
        periods.extend(clip(&overlay(availabilities), &window));
        if let Some(published) = published {
            periods.extend(clip(&published.periods, &window));
        }
        Ok(Some(Busy { periods: merge(periods), modified }))
    }

    /// For which stretch of time busy times are worked out to answer for `window`, and whether they are remembered.
    fn stretch_for(&self, window: TimeRange) -> Result<(TimeRange, bool)> {
        let horizon = self.owners.horizon(Timestamp::now())?;
        let is_kept = holds(&horizon, &window);
        Ok((if is_kept { horizon } else { window }, is_kept))
    }

    /// Works out again what was asked for before a calendar changed.
    pub(super) fn keep_warm(&self, path: &Path, before: &Held, now: &Held) {
        let was_asked = before.gist().busy.lock().is_some();
        if was_asked && let Ok(horizon) = self.owners.horizon(Timestamp::now()) {
            let basis = Basis::new(horizon, self.owners.of(&path.home, now.gist()));
            Counted::new(path.clone(), now).worked(basis, true);
        }
    }
}

/// What a calendar comes to, which is remembered.
fn worked(path: &Path, contents: &Contents, basis: Basis) -> Arc<Worked> {
    let mut all = All::default();
    let mut newly_left_out = 0;
    for stored in contents.items.iter() {
        newly_left_out += usize::from(all.add_item(path, contents, stored, &basis));
    }
    if newly_left_out > 0 {
        tracing::warn!("{path}: {} left out of free/busy", counted(newly_left_out, "item"));
    }
    let worked = Arc::new(all.worked(path, contents, basis));
    *contents.gist.busy.lock() = Some(worked.clone());
    worked
}

/// What the items of a calendar come to so far.
#[derive(Default)]
struct All {
    found: Found,
    /// Whether there were more busy times than there is room for.
    is_cut: bool,
}

impl All {
    /// Adds what an item comes to, as long as there is room: a small calendar must not become a large answer.
    fn add(&mut self, more: &Found) {
        let periods = &mut self.found.periods;
        if periods.len() > MOST_OF_CALENDAR {
            *periods = merge(std::mem::take(periods));
            if periods.len() > MOST_OF_CALENDAR / 2 {
                self.is_cut = true;
                return;
            }
        }
        periods.extend_from_slice(&more.periods);
        self.found.availabilities.extend_from_slice(&more.availabilities);
    }

    /// As [`All::add`], of an item; whether it is left out and the log has not named it before.
    fn add_item(&mut self, path: &Path, contents: &Contents, stored: &Stored, basis: &Basis) -> bool {
        let mut known = stored.busy.known.lock();
        if known.0 == basis.hash {
            known.1.iter().for_each(|found| self.add(found));
            return false;
        }
        let found = of_item(stored, &basis.window, &basis.owner);
        let of_none = |found: &Found| *found == Found::default();
        known.0 = basis.hash;
        known.1 = found.as_ref().ok().filter(|found| !of_none(found)).cloned().map(Box::new);
        known.1.iter().for_each(|found| self.add(found));
        found.is_err_and(|reason| log_left_out(path, contents, stored, &reason))
    }

    fn worked(self, path: &Path, contents: &Contents, basis: Basis) -> Worked {
        if self.is_cut && contents.gist.is_news("more than fit") {
            let room = MOST_OF_CALENDAR;
            tracing::warn!("{path}: more than {room} busy times: what is over is left out of free/busy");
        }
        let mut periods = merge(self.found.periods);
        periods.shrink_to_fit();
        Worked { found: Found { periods, ..self.found }, basis }
    }
}

impl Worked {
    /// For a window that is asked for seldom: nothing is remembered.
    fn unkept(path: &Path, contents: &Contents, basis: Basis) -> Worked {
        let mut all = All::default();
        for stored in contents.items.iter() {
            match of_item(stored, &basis.window, &basis.owner) {
                Ok(found) => all.add(&found),
                Err(reason) => _ = log_left_out(path, contents, stored, &reason),
            }
        }
        all.worked(path, contents, basis)
    }
}

/// Names an item in the log that is left out; whether that is news.
fn log_left_out(path: &Path, contents: &Contents, stored: &Stored, reason: &String) -> bool {
    let is_news = contents.gist.is_news((&stored.file, reason));
    if is_news {
        tracing::warn!("{path}: {}: left out of free/busy: {reason}", stored.file);
    }
    is_news
}

/// What an item comes to, or why it is left out.
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
