//! The text of a RECUR value (RFC 5545 §3.3.10) as a [`Rule`]. Parts that stand where the RFC forbids them are refused here, so that
//! the expander meets sensible rules only.

use super::day::Weekday;
use crate::ical::value::{When, parse_date_time};

/// How often, from the shortest period to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freq {
    Secondly,
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// What becomes of a day that a month has not (SKIP, RFC 7529 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    Omit,
    /// The last day of the month.
    Backward,
    /// The first day of the next.
    Forward,
}

/// A recurrence rule whose parts fit together. Sets of small numbers are bit masks; an empty one is an absent part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub freq: Freq,
    pub interval: i64,
    pub count: Option<u32>,
    pub until: Option<When>,
    pub(super) week_start: Weekday,
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u32,
    /// BYDAY without ordinals; bit 0 is Monday.
    pub(super) weekdays: u8,
    /// BYDAY with ordinals: which one, counted from the end if negative, and of what.
    pub(super) nth_weekdays: Vec<(i32, Weekday)>,
    pub(super) month_days: u32,
    /// BYMONTHDAY from the end: bit 1 is the last day.
    pub(super) last_month_days: u32,
    pub(super) year_days: Vec<i32>,
    pub(super) weeks: Vec<i32>,
    /// Bit 1 is January.
    pub(super) months: u16,
    pub(super) positions: Vec<i32>,
    pub(super) skip: Skip,
}

/// Why a RECUR value is not understood; the text names the part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(pub String);

impl Rule {
    /// Reads the value of an RRULE.
    ///
    /// # Errors
    /// Names the part that is missing, unknown, malformed, given twice or in the wrong company.
    pub fn parse(value: &str) -> Result<Rule, BadRule> {
        let mut rule = Rule::blank();
        let mut seen: Vec<&str> = Vec::with_capacity(8);
        for part in value.trim_ascii().split(';').filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| BadRule(format!("\"{part}\" is no part")))?;
            if seen.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(BadRule(format!("{name} stands twice")));
            }
            seen.push(name);
            rule.set(name, value)?;
        }
        if !seen.iter().any(|name| name.eq_ignore_ascii_case("FREQ")) {
            return Err(BadRule("FREQ is missing".to_owned()));
        }
        rule.check()?;
        Ok(rule)
    }

    /// Whether the rule counts in another calendar than ours (RSCALE, RFC 7529 §4.1): its parts mean something else there, and who
    /// cannot count in it takes the first instance alone.
    pub fn is_of_another_calendar(value: &str) -> bool {
        let scale = value.trim_ascii().split(';').filter_map(|part| part.split_once('='));
        let mut scale = scale.filter(|(name, _)| name.eq_ignore_ascii_case("RSCALE"));
        scale.next().is_some_and(|(_, scale)| !scale.eq_ignore_ascii_case("GREGORIAN"))
    }

    pub(super) fn blank() -> Rule {
        Rule {
            freq: Freq::Daily,
            interval: 1,
            count: None,
            until: None,
            week_start: 0,
            seconds: 0,
            minutes: 0,
            hours: 0,
            weekdays: 0,
            nth_weekdays: Vec::new(),
            month_days: 0,
            last_month_days: 0,
            year_days: Vec::new(),
            weeks: Vec::new(),
            months: 0,
            positions: Vec::new(),
            skip: Skip::Omit,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BadRule> {
        let bad = || BadRule(format!("{name}={value} is malformed"));
        let numbers = |lowest, highest, signed| numbers(value, lowest, highest, signed).ok_or_else(bad);
        match name.to_ascii_uppercase().as_str() {
            "FREQ" => self.freq = freq(value).ok_or_else(bad)?,
            "INTERVAL" => self.interval = positive(value).ok_or_else(bad)?.into(),
            "COUNT" => self.count = Some(positive(value).ok_or_else(bad)?),
            "UNTIL" => self.until = Some(parse_date_time(value).ok_or_else(bad)?),
            "WKST" => self.week_start = weekday(value).ok_or_else(bad)?,
            "BYSECOND" => {
                // A leap second has no place in civil time (RFC 5545 §3.3.5): the last second before it.
                self.seconds = mask(&numbers(0, 60, false)?);
                self.seconds = self.seconds & !(1 << 60) | (self.seconds >> 1 & 1 << 59);
            }
            "BYMINUTE" => self.minutes = mask(&numbers(0, 59, false)?),
            "BYHOUR" => self.hours = mask(&numbers(0, 23, false)?) as u32,
            "BYDAY" => self.set_weekdays(value).ok_or_else(bad)?,
            "BYMONTHDAY" => {
                let (first, last): (Vec<i32>, Vec<i32>) =
                    numbers(1, 31, true)?.into_iter().partition(|day| *day > 0);
                let last: Vec<i32> = last.into_iter().map(i32::abs).collect();
                (self.month_days, self.last_month_days) = (mask(&first) as u32, mask(&last) as u32);
            }
            "BYYEARDAY" => self.year_days = numbers(1, 366, true)?,
            "BYWEEKNO" => self.weeks = numbers(1, 53, true)?,
            "BYMONTH" => self.months = mask(&numbers(1, 12, false)?) as u16,
            "BYSETPOS" => self.positions = numbers(1, 366, true)?,
            // RFC 7529: its default is what everything else here means.
            "RSCALE" if value.eq_ignore_ascii_case("GREGORIAN") => {}
            "SKIP" => self.skip = skip(value).ok_or_else(bad)?,
            "RSCALE" => return Err(BadRule(format!("{name}={value} is not supported"))),
            _ => return Err(BadRule(format!("{name} is unknown"))),
        }
        Ok(())
    }

    /// `MO`, `2TU`, `-1FR`.
    fn set_weekdays(&mut self, value: &str) -> Option<()> {
        for part in value.split(',') {
            let part = part.trim_ascii();
            let (ordinal, name) = part.split_at_checked(part.len().checked_sub(2)?)?;
            let day = weekday(name)?;
            match ordinal {
                "" => self.weekdays |= 1 << day,
                _ => {
                    self.nth_weekdays.extend(numbers(ordinal, 1, 53, true)?.into_iter().map(|nth| (nth, day)))
                }
            }
        }
        self.nth_weekdays.sort_unstable();
        self.nth_weekdays.dedup();
        Some(())
    }

    /// The table of RFC 5545 §3.3.10: which parts go with which frequency.
    fn check(&self) -> Result<(), BadRule> {
        use Freq::{Daily, Monthly, Weekly, Yearly};
        let freq = self.freq;
        let any_part = self.seconds != 0
            || self.minutes != 0
            || self.hours != 0
            || self.has_weekdays()
            || self.has_month_days()
            || !self.year_days.is_empty()
            || !self.weeks.is_empty()
            || self.months != 0;
        let wrong = [
            (!self.weeks.is_empty() && freq != Yearly, "BYWEEKNO without FREQ=YEARLY"),
            (
                !self.year_days.is_empty() && matches!(freq, Daily | Weekly | Monthly),
                "BYYEARDAY with FREQ=DAILY, WEEKLY or MONTHLY",
            ),
            (self.has_month_days() && freq == Weekly, "BYMONTHDAY with FREQ=WEEKLY"),
            (
                !self.nth_weekdays.is_empty() && !matches!(freq, Monthly | Yearly),
                "BYDAY with numbers without FREQ=MONTHLY or YEARLY",
            ),
            (!self.nth_weekdays.is_empty() && !self.weeks.is_empty(), "BYDAY with numbers beside BYWEEKNO"),
            (!self.positions.is_empty() && !any_part, "BYSETPOS without another BY part"),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, why)) => Err(BadRule((*why).to_owned())),
            None => Ok(()),
        }
    }

    /// Month, which one (-1 is the last), and weekday (0 is Monday) of a rule that means one such day every year and no more: what a
    /// POSIX time zone can say.
    pub fn yearly_weekday(&self) -> Option<(u32, i32, u8)> {
        let [(nth, weekday)] = *self.nth_weekdays.as_slice() else { return None };
        let plain = Rule { nth_weekdays: self.nth_weekdays.clone(), months: self.months, ..Rule::blank() };
        let plain = Rule { freq: Freq::Yearly, week_start: self.week_start, ..plain };
        let one_month = self.months.is_power_of_two() && matches!(nth, -1 | 1..=4);
        (*self == plain && one_month).then(|| (self.months.trailing_zeros(), nth, weekday))
    }

    pub(super) fn has_weekdays(&self) -> bool {
        self.weekdays != 0 || !self.nth_weekdays.is_empty()
    }

    pub(super) fn has_month_days(&self) -> bool {
        self.month_days != 0 || self.last_month_days != 0
    }
}

fn freq(value: &str) -> Option<Freq> {
    const NAMES: [(&str, Freq); 7] = [
        ("SECONDLY", Freq::Secondly),
        ("MINUTELY", Freq::Minutely),
        ("HOURLY", Freq::Hourly),
        ("DAILY", Freq::Daily),
        ("WEEKLY", Freq::Weekly),
        ("MONTHLY", Freq::Monthly),
        ("YEARLY", Freq::Yearly),
    ];
    NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, freq)| *freq)
}

fn skip(value: &str) -> Option<Skip> {
    const NAMES: [(&str, Skip); 3] =
        [("OMIT", Skip::Omit), ("BACKWARD", Skip::Backward), ("FORWARD", Skip::Forward)];
    NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, skip)| *skip)
}

fn weekday(value: &str) -> Option<Weekday> {
    const NAMES: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    NAMES.iter().position(|name| name.eq_ignore_ascii_case(value)).map(|at| at as Weekday)
}

fn positive(value: &str) -> Option<u32> {
    value.parse().ok().filter(|number| *number > 0)
}

/// The set of numbers in a list; their absolute values lie between `lowest` and `highest`.
fn numbers(value: &str, lowest: i32, highest: i32, signed: bool) -> Option<Vec<i32>> {
    let number = |text: &str| {
        let number: i32 = text.trim_ascii().parse().ok()?;
        ((lowest..=highest).contains(&number) || signed && (lowest..=highest).contains(&-number))
            .then_some(number)
    };
    let mut numbers: Vec<i32> = value.split(',').map(number).collect::<Option<_>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

fn mask(numbers: &[i32]) -> u64 {
    numbers.iter().fold(0, |mask, number| mask | 1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_any_order_and_case() {
        let rule = Rule::parse("byday=-1fr,MO;INTERVAL=2;freq=Monthly;COUNT=3;wkst=su;").expect("a rule");
        assert_eq!((rule.freq, rule.interval, rule.count), (Freq::Monthly, 2, Some(3)));
        assert_eq!((rule.weekdays, rule.nth_weekdays, rule.week_start), (1, vec![(-1, 4)], 6));
    }

    #[test]
    fn a_leap_second_is_the_second_before_it() {
        assert_eq!(Rule::parse("FREQ=DAILY;BYSECOND=0,60").map(|rule| rule.seconds), Ok(1 | 1 << 59));
        assert_eq!(Rule::parse("FREQ=DAILY;BYSECOND=59").map(|rule| rule.seconds), Ok(1 << 59));
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_named() {
        let table = [
            ("", "FREQ is missing"),
            ("COUNT=1", "FREQ is missing"),
            ("FREQ=FORTNIGHTLY", "FREQ=FORTNIGHTLY is malformed"),
            ("FREQ=DAILY;COUNT=0", "COUNT=0 is malformed"),
            ("FREQ=DAILY;INTERVAL=-1", "INTERVAL=-1 is malformed"),
            ("FREQ=DAILY;UNTIL=soon", "UNTIL=soon is malformed"),
            ("FREQ=DAILY;FREQ=DAILY", "FREQ stands twice"),
            ("FREQ=DAILY;X-A=1", "X-A is unknown"),
            ("FREQ=DAILY;COUNT", "\"COUNT\" is no part"),
            ("FREQ=DAILY;BYHOUR=24", "BYHOUR=24 is malformed"),
            ("FREQ=YEARLY;BYMONTH=0", "BYMONTH=0 is malformed"),
            ("FREQ=YEARLY;BYMONTH=-1", "BYMONTH=-1 is malformed"),
            ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY=32 is malformed"),
            ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY=0MO is malformed"),
            ("FREQ=MONTHLY;BYDAY=M\u{e9}", "BYDAY=M\u{e9} is malformed"),
            ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY with numbers without FREQ=MONTHLY or YEARLY"),
            ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY with FREQ=WEEKLY"),
            ("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO without FREQ=YEARLY"),
            ("FREQ=MONTHLY;BYYEARDAY=1", "BYYEARDAY with FREQ=DAILY, WEEKLY or MONTHLY"),
            ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "BYDAY with numbers beside BYWEEKNO"),
            ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS without another BY part"),
            ("RSCALE=HEBREW;FREQ=YEARLY", "RSCALE=HEBREW is not supported"),
            ("RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=SIDEWAYS", "SKIP=SIDEWAYS is malformed"),
        ];
        for (text, why) in table {
            assert_eq!(Rule::parse(text), Err(BadRule(why.to_owned())), "{text}");
        }
    }
}
