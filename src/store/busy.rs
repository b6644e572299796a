//! The busy times of a home: from the calendars whose busy times the asker may know. Kept with each calendar's contents
//! for as long as those do not change.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::calendar::{Contents, Stored};
use super::place::{Home, Path};
use super::rights::nearest;
use super::{Store, door};
use crate::acl::{Principal, Role};
use crate::config::Config;
use crate::error::Result;
use crate::ical::busy::{Owner, Period, TimeRange, merge, periods};
use crate::ical::item::Item;

/// When somebody is busy.
#[derive(Debug)]
pub struct Busy {
    /// In their order, without overlaps, cut to the window.
    pub periods: Vec<Period>,
    /// When the newest of the calendars behind them changed.
    pub modified: SystemTime,
}

/// What is worked out of one calendar's contents.
#[derive(Debug)]
pub struct Worked {
    window: TimeRange,
    periods: Vec<Period>,
}

/// Whose busy times a tree holds, as far as the configuration says.
#[derive(Debug)]
pub struct Owners {
    domain: Option<String>,
    zone: TimeZone,
}

impl Owners {
    pub fn new(config: &Config) -> Owners {
        let named = config.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        Owners { domain: config.domain.clone(), zone: named.unwrap_or_else(TimeZone::system) }
    }

    /// The zone that calendars without one are in, as IANA calls it.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.iana_name()
    }

    /// The owner of a home; whole days and floating times are in the calendar's zone if it has one.
    fn of(&self, home: &Home, contents: &Contents) -> Owner {
        let address = |user: &str| Some(format!("{user}@{}", self.domain.as_ref()?));
        let own = contents.props.heading.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        Owner {
            addresses: home.owner().and_then(address).into_iter().collect(),
            zone: own.unwrap_or_else(|| self.zone.clone()),
        }
    }
}

impl Store {
    /// When the owner of `home` is busy within the window, as far as `who` may know. Not on an async thread.
    ///
    /// # Errors
    /// As [`Store::open`], for the role freebusy in any calendar of the home or in the home itself.
    pub fn busy(&self, who: &Principal, home: &Home, window: TimeRange) -> Result<Busy> {
        let mut role = Role::None;
        let mut busy = Busy { periods: Vec::new(), modified: SystemTime::UNIX_EPOCH };
        if self.tree.home(home)?.is_some() {
            let root = Path::root(home.clone());
            role = nearest(&self.tree, &root)?.role(who, &root)?;
            for path in self.tree.calendars(home)? {
                let Some((_, loaded)) = self.load(&path)? else { continue };
                let here = loaded.role(who, &path)?;
                role = role.max(here);
                let contents = &loaded.calendar.contents;
                if here >= Role::Freebusy && contents.props.freebusy {
                    busy.periods.extend_from_slice(&self.worked(home, &path, contents, window).periods);
                    busy.modified = busy.modified.max(contents.modified);
                }
            }
        }
        door::admit(who, role, Role::Freebusy)?;
        busy.periods = merge(busy.periods);
        Ok(busy)
    }

    fn worked(&self, home: &Home, path: &Path, contents: &Contents, window: TimeRange) -> Arc<Worked> {
        let known = contents.busy.lock().clone();
        if let Some(known) = known.filter(|known| known.window == window) {
            return known;
        }
        let owner = self.owners.of(home, contents);
        let mut found = Vec::new();
        let mut left_out = 0;
        for stored in contents.items.iter() {
            match of_item(stored, &window, &owner) {
                Ok(periods) => found.extend(periods),
                Err(reason) => {
                    left_out += 1;
                    tracing::warn!("{path}: {}: left out of free/busy: {reason}", stored.file);
                }
            }
        }
        if left_out > 0 {
            tracing::warn!("{path}: {left_out} events left out of free/busy");
        }
        let worked = Arc::new(Worked { window, periods: merge(found) });
        *contents.busy.lock() = Some(worked.clone());
        worked
    }
}

fn of_item(stored: &Stored, window: &TimeRange, owner: &Owner) -> Result<Vec<Period>, String> {
    let item: &Item = &stored.item;
    // Zones that are known by their names need no definition, and most items are their components alone.
    let found = match item.zones.iter().any(|zone| zone.iana.is_none()) {
        true => periods(&item.to_file(), window, owner),
        false => periods(&item.raw, window, owner),
    };
    found.map_err(|reason| format!("{} {}", reason.property, reason.reason))
}
