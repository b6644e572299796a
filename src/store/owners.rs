//! Whose time a home's events take: the owner's addresses and zone, and the stretch of time that is kept worked out.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use super::calendar::gist::Gist;
use super::place::Home;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ical::busy::{Owner, TimeRange};
use crate::ical::tz;

/// Whose busy times a tree holds, as far as the configuration says.
#[derive(Debug)]
pub struct Owners {
    domain: Option<String>,
    aliases: BTreeMap<String, Vec<String>>,
    zone: TimeZone,
    weeks: i64,
}

impl Owners {
    pub fn new(config: &Config) -> Owners {
        let named = config.time_zone.as_deref().and_then(tz::zone);
        Owners {
            domain: config.domain.clone(),
            aliases: config.aliases.clone(),
            zone: named.unwrap_or_else(TimeZone::system),
            weeks: config.freebusy_weeks.into(),
        }
    }

    /// The zone that calendars without one are in, as IANA calls it.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.iana_name()
    }

    /// The owner of a home; whole days and floating times are in the calendar's zone if it has one.
    pub fn of(&self, home: &Home, calendar: &Gist) -> Owner {
        let user = home.owner();
        let address = |user: &str| Some(format!("{user}@{}", self.domain.as_ref()?));
        let aliases = user.and_then(|user| self.aliases.get(user)).into_iter().flatten().cloned();
        let own = calendar.props.heading.time_zone.as_deref().and_then(tz::zone);
        Owner {
            addresses: user.and_then(address).into_iter().chain(aliases).collect(),
            zone: own.unwrap_or_else(|| self.zone.clone()),
        }
    }

    /// What free/busy shows where nothing else is asked for: from the start of today, in the server's zone.
    pub fn window(&self, now: Timestamp) -> Result<TimeRange> {
        let today = now.to_zoned(self.zone.clone()).start_of_day();
        self.weeks_from(today, self.weeks)
    }

    /// What is kept worked out: the windows of this day and of some to come, so that midnight costs nothing.
    pub fn horizon(&self, now: Timestamp) -> Result<TimeRange> {
        const DAYS: i64 = 14;
        let today = now.as_second().div_euclid(86_400);
        let first = Timestamp::from_second((today - today.rem_euclid(DAYS) - 2) * 86_400);
        // The fortnight, the window of its last day, and the width of the world's clocks.
        self.weeks_from(first.map(|first| first.to_zoned(TimeZone::UTC)), self.weeks + 3)
    }

    fn weeks_from(&self, start: Result<Zoned, jiff::Error>, weeks: i64) -> Result<TimeRange> {
        let range = start.and_then(|start| {
            let end = start.checked_add(weeks.weeks())?;
            Ok(TimeRange { start: start.timestamp(), end: end.timestamp() })
        });
        range.map_err(|_| Error::BadRequest("the clock is out of range".to_owned()))
    }
}

/// Whether all of `window` lies in `whole`.
pub fn holds(whole: &TimeRange, window: &TimeRange) -> bool {
    whole.start <= window.start && window.end <= whole.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn the_horizon_holds_each_days_window_and_stays_for_a_fortnight() {
        for zone in ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin"] {
            let config = Config { time_zone: Some(zone.to_owned()), ..Config::default() };
            let owners = Owners::new(&config);
            let mut horizons = Vec::new();
            for hour in (0..28 * 24).step_by(5) {
                let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(20_000 * 24 + hour);
                let (window, horizon) =
                    (owners.window(now).expect("a window"), owners.horizon(now).expect("one"));
                assert!(holds(&horizon, &window), "{zone} {now}");
                horizons.push(horizon);
            }
            horizons.dedup();
            assert!(horizons.len() <= 3, "{zone}: {}", horizons.len());
        }
    }
}
