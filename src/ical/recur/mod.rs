//! Recurrence rules (RFC 5545 §3.3.10) over civil time: clock readings in, clock readings out. Zones, exceptions and overrides are
//! `series`' business.
//!
//! A rule is a walk over periods of its FREQ. Each period has a set of candidates, made by arithmetic; the walk starts at the window,
//! not at DTSTART, unless a COUNT forces it to count. What a rule may cost is bounded by [`Steps`].

mod day;
mod expand;
mod rule;

#[cfg(test)]
mod oracle;

pub use expand::expand;
pub use rule::{BadRule, Freq, Rule, Skip};

use jiff::civil::DateTime;

use day::Day;

/// A clock reading as seconds since 1970-01-01T00:00:00 on that clock. There are no leap seconds and no zones in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Civil(pub i64);

impl Civil {
    pub const MIN: Civil = Civil(-377_000_000_000);
    pub const MAX: Civil = Civil(253_402_300_799);
}

impl From<DateTime> for Civil {
    fn from(time: DateTime) -> Civil {
        let day = Day::new(
            i32::from(time.year()),
            time.month().unsigned_abs().into(),
            time.day().unsigned_abs().into(),
        );
        let (hour, minute, second) =
            (i64::from(time.hour()), i64::from(time.minute()), i64::from(time.second()));
        Civil(day.seconds() + hour * 3600 + minute * 60 + second)
    }
}

impl From<Civil> for DateTime {
    /// Clamped to the years that jiff knows.
    fn from(civil: Civil) -> DateTime {
        let civil = civil.clamp(Civil::MIN, Civil::MAX);
        let (day, second) = (Day::containing(civil.0), civil.0.rem_euclid(86_400));
        let (year, month, date) = day.ymd();
        DateTime::new(
            year as i16,
            month as i8,
            date as i8,
            (second / 3600) as i8,
            (second / 60 % 60) as i8,
            (second % 60) as i8,
            0,
        )
        .unwrap_or(DateTime::MAX)
    }
}

/// What is left of the work that one item may cause: periods looked at, days tested, candidates made, instants worked out. A hostile rule runs out of it in
/// a few milliseconds; no honest one comes near.
#[derive(Debug)]
pub struct Steps {
    left: u32,
}

/// More instances or more work than [`Steps`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has too many instances, or too few among too many candidates")]
pub struct TooMuch;

impl Steps {
    /// Enough for an event every minute over two months, or for three centuries of days counted one by one.
    pub fn new() -> Steps {
        Steps { left: 300_000 }
    }

    pub(super) fn take(&mut self, steps: usize) -> Result<(), TooMuch> {
        self.left =
            u32::try_from(steps).ok().and_then(|steps| self.left.checked_sub(steps)).ok_or(TooMuch)?;
        Ok(())
    }
}

impl Default for Steps {
    fn default() -> Steps {
        Steps::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_clock_reading_survives_the_way_there_and_back(seconds in Civil::MIN.0..=Civil::MAX.0) {
            prop_assert_eq!(Civil::from(DateTime::from(Civil(seconds))), Civil(seconds));
        }
    }

    #[test]
    fn the_epoch_is_nought() {
        assert_eq!(Civil::from(jiff::civil::datetime(1970, 1, 1, 0, 0, 0, 0)), Civil(0));
        assert_eq!(Civil::from(jiff::civil::datetime(1969, 12, 31, 23, 59, 59, 0)), Civil(-1));
        assert_eq!(Civil::from(DateTime::MAX), Civil::MAX);
    }
}
