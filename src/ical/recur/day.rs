//! Days as numbers, and the arithmetic of the Gregorian calendar and of week numbers on them.

/// A day, counted from 1970-01-01 in the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(pub i32);

/// The day of the week, Monday is 0.
pub(super) type Weekday = u8;

impl Day {
    pub fn new(year: i32, month: u32, day: u32) -> Day {
        // Years that begin in March have their leap day at the end, so that the days before a month are a linear formula.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * month as i32 + 2) / 5 + day as i32 - 1;
        Day(era * DAYS_OF_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH)
    }

    pub fn containing(civil_seconds: i64) -> Day {
        Day(civil_seconds.div_euclid(86_400) as i32)
    }

    /// Year, month and day of the month.
    pub fn ymd(self) -> (i32, u32, u32) {
        let shifted = self.0 + EPOCH;
        let (era, day) = (shifted.div_euclid(DAYS_OF_ERA), shifted.rem_euclid(DAYS_OF_ERA));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (year, month) = (era * 400 + year, month as u32);
        if month < 10 { (year, month + 3, date as u32) } else { (year + 1, month - 9, date as u32) }
    }

    pub fn weekday(self) -> Weekday {
        // 1970-01-01 was a Thursday.
        (self.0 + 3).rem_euclid(7) as Weekday
    }

    /// The first second of the day on its clock.
    pub fn seconds(self) -> i64 {
        i64::from(self.0) * 86_400
    }

    /// The day on which this day's week starts, where weeks start on `first`.
    pub fn week_start(self, first: Weekday) -> Day {
        Day(self.0 - (i32::from(self.weekday()) - i32::from(first)).rem_euclid(7))
    }
}

/// Days in 400 years, and from 0000-03-01 to 1970-01-01.
const DAYS_OF_ERA: i32 = 146_097;
const EPOCH: i32 = 719_468;

pub(super) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) fn days_in_year(year: i32) -> i32 {
    if is_leap(year) { 366 } else { 365 }
}

pub(super) fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The first day of week 1, which is the first week with at least four of its days in the year (RFC 5545 §3.3.10, WEEKNO).
pub(super) fn first_week(year: i32, first: Weekday) -> Day {
    Day::new(year, 1, 4).week_start(first)
}

pub(super) fn weeks_in_year(year: i32, first: Weekday) -> i32 {
    (first_week(year + 1, first).0 - first_week(year, first).0) / 7
}

/// The year whose weeks `day` belongs to, which at the turn of a year may be its neighbour.
pub(super) fn week_year(day: Day, first: Weekday) -> i32 {
    let (year, ..) = day.ymd();
    if day < first_week(year, first) {
        year - 1
    } else if day >= first_week(year + 1, first) {
        year + 1
    } else {
        year
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{Date, date};
    use proptest::prelude::*;

    fn of(date: Date) -> Day {
        Day::new(date.year().into(), date.month() as u32, date.day() as u32)
    }

    proptest! {
        #[test]
        fn days_agree_with_jiff(year in -9999i16..=9999, month in 1i8..=12, day in 1i8..=28) {
            let known = date(year, month, day);
            let found = of(known);
            prop_assert_eq!(found.ymd(), (i32::from(year), month as u32, day as u32));
            prop_assert_eq!(found.weekday() as i8, known.weekday().to_monday_zero_offset());
            prop_assert_eq!(days_in_month(year.into(), month as u32) as i8, known.days_in_month());
            prop_assert_eq!(days_in_year(year.into()) as i16, known.days_in_year());
        }

        #[test]
        fn weeks_from_monday_are_iso_weeks(year in -9998i16..=9998, month in 1i8..=12, day in 1i8..=28) {
            let known = date(year, month, day);
            let iso = known.iso_week_date();
            let found = week_year(of(known), 0);
            prop_assert_eq!(found, i32::from(iso.year()));
            prop_assert_eq!((of(known).0 - first_week(found, 0).0) / 7 + 1, i32::from(iso.week()));
            prop_assert_eq!(weeks_in_year(found, 0), i32::from(iso.weeks_in_year()));
        }
    }
}
