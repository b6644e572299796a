//! The walk of a rule over its periods. Everything is a number: a period is counted from the epoch in units of its FREQ, so the first
//! period at a window is a division away.

use super::day::{Day, days_in_month, days_in_year, first_week, week_year, weeks_in_year};
use super::{Civil, Freq, Rule, Skip, Steps, TooMuch};

/// The instances of `rule` that start from `from` to `to`, both included, in order. `start` (DTSTART) is the first instance even where
/// the rule would not make it, and COUNT counts it (RFC 5545 §3.8.5.3). UNTIL is the caller's: it may need a zone.
///
/// # Errors
/// [`TooMuch`] when `steps` are used up.
pub fn expand(
    rule: &Rule,
    start: Civil,
    from: Civil,
    to: Civil,
    steps: &mut Steps,
) -> Result<Vec<Civil>, TooMuch> {
    let mut found = Vec::new();
    if (from..=to).contains(&start) {
        found.push(start);
    }
    let plan = Plan::new(rule, start);
    let to = plan.last_by_count().map_or(to, |last| last.min(to));
    // Whoever counts cannot jump.
    let counted = rule.count.filter(|_| plan.last_by_count().is_none());
    let mut left = counted.map_or(u64::MAX, |count| u64::from(count) - 1);
    let mut unit = if counted.is_some() { plan.first } else { plan.unit_at_or_before(from) };
    let last = plan.last_unit(to);
    let mut candidates = Vec::new();
    if unit <= last {
        steps.take(plan.clock.len())?;
    }
    while unit <= last && left > 0 {
        candidates.clear();
        plan.candidates(unit, &mut candidates, steps)?;
        for civil in candidates.iter().copied().map(Civil).skip_while(|civil| *civil <= start) {
            if civil > to || left == 0 {
                return Ok(found);
            }
            left -= 1;
            if civil >= from {
                found.push(civil);
            }
        }
        unit = plan.next_unit(unit, candidates.is_empty());
    }
    Ok(found)
}

/// A rule with what DTSTART adds to it.
struct Plan<'r> {
    rule: &'r Rule,
    /// The parts that select days, with DTSTART's day where the rule names none.
    days: Days<'r>,
    /// Seconds from the start of a day, hour or minute at which instances start, in order.
    clock: Vec<i32>,
    /// The unit that DTSTART is in.
    first: i64,
    start: Civil,
}

/// Which days a rule selects; an empty set selects all.
struct Days<'r> {
    rule: &'r Rule,
    months: u16,
    month_days: u32,
    weekdays: u8,
    /// Whether ordinals of weekdays count in the month, not in the year.
    nth_in_month: bool,
}

impl<'r> Plan<'r> {
    fn new(rule: &'r Rule, start: Civil) -> Plan<'r> {
        let plan = Plan { rule, days: Days::new(rule, start), clock: clock(rule, start), first: 0, start };
        Plan { first: plan.unit(start), ..plan }
    }

    /// The number of the period that holds `civil`.
    fn unit(&self, civil: Civil) -> i64 {
        let day = Day::containing(civil.0);
        let (year, month, _) = day.ymd();
        match self.rule.freq {
            // Weeks at the turn of a year belong to the year that numbers them.
            Freq::Yearly if !self.rule.weeks.is_empty() => week_year(day, self.rule.week_start).into(),
            Freq::Yearly => year.into(),
            Freq::Monthly => i64::from(year) * 12 + i64::from(month) - 1,
            Freq::Weekly => i64::from(day.week_start(self.rule.week_start).0).div_euclid(7),
            Freq::Daily => day.0.into(),
            Freq::Hourly => civil.0.div_euclid(3600),
            Freq::Minutely => civil.0.div_euclid(60),
            Freq::Secondly => civil.0,
        }
    }

    /// The last period of the rule that starts at or before `from`, or the first of all.
    fn unit_at_or_before(&self, from: Civil) -> i64 {
        let ahead = (self.unit(from) - self.first).max(0);
        self.first + ahead - ahead % self.rule.interval
    }

    fn last_unit(&self, to: Civil) -> i64 {
        if to < self.start { i64::MIN } else { self.unit(to) }
    }

    /// The next period; after an empty one of less than a day, the next that BYHOUR and the like can allow.
    fn next_unit(&self, unit: i64, was_empty: bool) -> i64 {
        let interval = self.rule.interval;
        let next = unit + interval;
        if !was_empty || self.rule.freq >= Freq::Daily {
            return next;
        }
        let length = self.unit_seconds();
        let possible = self.next_possible(unit * length).div_euclid(length);
        let skipped = (possible - next).max(0);
        next + (skipped + interval - 1) / interval * interval
    }

    /// The first second after the day, hour or minute around `second` that the rule rules out.
    fn next_possible(&self, second: i64) -> i64 {
        let after = |length: i64| (second.div_euclid(length) + 1) * length;
        if !self.days.select(Day::containing(second)) {
            after(86_400)
        } else if !allows(self.rule.hours.into(), second.div_euclid(3600).rem_euclid(24)) {
            after(3600)
        } else {
            after(60)
        }
    }

    fn unit_seconds(&self) -> i64 {
        match self.rule.freq {
            Freq::Secondly => 1,
            Freq::Minutely => 60,
            Freq::Hourly => 3600,
            Freq::Daily => 86_400,
            Freq::Weekly | Freq::Monthly | Freq::Yearly => 7 * 86_400,
        }
    }

    /// Where COUNT ends the rule, if each period has exactly one instance.
    fn last_by_count(&self) -> Option<Civil> {
        let Rule { freq, interval, count, .. } = self.rule;
        if *freq > Freq::Weekly || *self.rule != self.rule.without_parts() {
            return None;
        }
        let periods = i64::from((*count)? - 1).checked_mul(*interval)?;
        Some(Civil(periods.checked_mul(self.unit_seconds())?.checked_add(self.start.0)?))
    }

    /// The instances of one period, in order.
    fn candidates(&self, unit: i64, found: &mut Vec<i64>, steps: &mut Steps) -> Result<(), TooMuch> {
        steps.take(1)?;
        if self.rule.freq < Freq::Daily {
            let second = unit * self.unit_seconds();
            if self.allows_second(second) {
                steps.take(self.clock.len())?;
                found.extend(self.clock.iter().map(|clock| second + i64::from(*clock)));
            }
        } else {
            let mut days = Vec::new();
            self.days_of(unit as i32, &mut days, steps)?;
            steps.take(days.len().saturating_mul(self.clock.len()))?;
            for day in days {
                found.extend(self.clock.iter().map(|clock| day.seconds() + i64::from(*clock)));
            }
        }
        steps.take(found.len().saturating_mul(self.rule.positions.len()))?;
        self.keep_positions(found);
        Ok(())
    }

    /// The parts that limit a period shorter than a day.
    fn allows_second(&self, second: i64) -> bool {
        let Rule { freq, hours, minutes, seconds, .. } = *self.rule;
        allows(hours.into(), second.div_euclid(3600).rem_euclid(24))
            && (freq == Freq::Hourly || allows(minutes, second.div_euclid(60).rem_euclid(60)))
            && (freq != Freq::Secondly || allows(seconds, second.rem_euclid(60)))
            && self.days.select(Day::containing(second))
    }

    fn days_of(&self, unit: i32, found: &mut Vec<Day>, steps: &mut Steps) -> Result<(), TooMuch> {
        let days = &self.days;
        match self.rule.freq {
            Freq::Yearly if !self.rule.weeks.is_empty() => {
                steps.take(days.in_weeks(unit, found))?;
            }
            Freq::Yearly => {
                for month in (1..=12).filter(|month| allows(days.months.into(), i64::from(*month))) {
                    steps.take(days.in_month(unit, month, found))?;
                }
            }
            Freq::Monthly => {
                let (year, month) = (unit.div_euclid(12), unit.rem_euclid(12) as u32 + 1);
                if allows(days.months.into(), month.into()) {
                    steps.take(days.in_month(year, month, found))?;
                }
            }
            Freq::Weekly => {
                // Weeks are counted from Thursday 1970-01-01 back to the day on which they start.
                let start = Day(unit * 7 + 6).week_start(self.rule.week_start);
                found.extend((0..7).map(|ahead| Day(start.0 + ahead)).filter(|day| days.select(*day)));
            }
            _ => found.extend(Some(Day(unit)).filter(|day| days.select(*day))),
        }
        Ok(())
    }

    /// BYSETPOS, which counts in the whole period, also before DTSTART.
    fn keep_positions(&self, found: &mut Vec<i64>) {
        if self.rule.positions.is_empty() {
            return;
        }
        let len = found.len() as i32;
        let mut at = 0;
        found.retain(|_| {
            at += 1;
            self.rule.positions.iter().any(|position| *position == at || *position == at - len - 1)
        });
    }
}

impl<'r> Days<'r> {
    fn new(rule: &'r Rule, start: Civil) -> Days<'r> {
        let day = Day::containing(start.0);
        let (_, month, date) = day.ymd();
        let no_days = !rule.has_weekdays() && !rule.has_month_days() && rule.year_days.is_empty();
        let by_date = no_days && rule.weeks.is_empty() && rule.freq >= Freq::Monthly;
        let by_weekday = no_days && (rule.freq == Freq::Weekly || !rule.weeks.is_empty());
        let yearly = rule.freq == Freq::Yearly;
        Days {
            rule,
            months: if by_date && yearly && rule.months == 0 { 1 << month } else { rule.months },
            month_days: if by_date { 1 << date } else { rule.month_days },
            weekdays: if by_weekday { 1 << day.weekday() } else { rule.weekdays },
            nth_in_month: !yearly || rule.months != 0,
        }
    }

    fn select(&self, day: Day) -> bool {
        let (year, month, date) = day.ymd();
        allows(self.months.into(), month.into()) && self.selects(day, year, month, date)
    }

    /// All parts but BYMONTH.
    fn selects(&self, day: Day, year: i32, month: u32, date: u32) -> bool {
        self.has_month_day(year, month, date)
            && self.has_weekday(day, year, month, date)
            && self.has_year_day(day, year)
    }

    fn has_month_day(&self, year: i32, month: u32, date: u32) -> bool {
        let last = self.rule.last_month_days;
        if last == 0 {
            return allows(self.month_days.into(), date.into());
        }
        self.month_days >> date & 1 == 1 || last >> (days_in_month(year, month) + 1 - date) & 1 == 1
    }

    fn has_weekday(&self, day: Day, year: i32, month: u32, date: u32) -> bool {
        let nth = &self.rule.nth_weekdays;
        if self.weekdays == 0 && nth.is_empty() {
            return true;
        }
        let weekday = day.weekday();
        if self.weekdays >> weekday & 1 == 1 {
            return true;
        }
        nth.iter().any(|(nth, wanted)| {
            *wanted == weekday && {
                let (before, after) = if self.nth_in_month {
                    (date as i32 - 1, (days_in_month(year, month) - date) as i32)
                } else {
                    let before = day.0 - Day::new(year, 1, 1).0;
                    (before, days_in_year(year) - 1 - before)
                };
                *nth == before / 7 + 1 || *nth == -(after / 7) - 1
            }
        })
    }

    fn has_year_day(&self, day: Day, year: i32) -> bool {
        let wanted = &self.rule.year_days;
        if wanted.is_empty() {
            return true;
        }
        let number = day.0 - Day::new(year, 1, 1).0 + 1;
        wanted.iter().any(|day| *day == number || *day == number - days_in_year(year) - 1)
    }

    /// Adds the selected days of a month whose BYMONTH is checked, and says how many steps that took.
    fn in_month(&self, year: i32, month: u32, found: &mut Vec<Day>) -> usize {
        // Each day is held against these lists, so a long list makes a test a longer step.
        let cost = 1 + (self.rule.year_days.len() + self.rule.nth_weekdays.len()) / 8;
        let first = Day::new(year, month, 1);
        let length = days_in_month(year, month);
        let only = if self.rule.last_month_days == 0 && self.month_days != 0 { self.month_days } else { !0 };
        let mut tested = 0;
        for date in (1..=length).filter(|date| only >> date & 1 == 1) {
            tested += 1;
            let day = Day(first.0 + date as i32 - 1);
            if self.selects(day, year, month, date) {
                found.push(day);
            }
        }
        let stands_already = found.last().copied();
        found.extend(self.skipped(first, length).filter(|day| stands_already != Some(*day)));
        tested * cost
    }

    /// The day that stands for those which a month of this `length` has not, if there are any and the rule wants one.
    fn skipped(&self, first: Day, length: u32) -> Option<Day> {
        let day = match self.rule.skip {
            Skip::Omit => return None,
            Skip::Backward => Day(first.0 + length as i32 - 1),
            Skip::Forward => Day(first.0 + length as i32),
        };
        let (year, month, date) = day.ymd();
        let is_missing = u64::from(self.month_days) >> (length + 1) != 0;
        (is_missing && self.has_weekday(day, year, month, date)).then_some(day)
    }

    /// Adds the selected days of the weeks that BYWEEKNO names, and says how many were tested.
    fn in_weeks(&self, year: i32, found: &mut Vec<Day>) -> usize {
        let week_start = self.rule.week_start;
        let (first, weeks) = (first_week(year, week_start), weeks_in_year(year, week_start));
        let mut wanted: Vec<i32> = (self.rule.weeks.iter())
            .map(|week| if *week < 0 { weeks + 1 + week } else { *week })
            .filter(|week| (1..=weeks).contains(week))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let days = wanted.iter().flat_map(|week| (0..7).map(move |day| Day(first.0 + (week - 1) * 7 + day)));
        found.extend(days.filter(|day| self.select(*day)));
        wanted.len() * 7
    }
}

impl Rule {
    /// The same rule without BY parts.
    fn without_parts(&self) -> Rule {
        let Rule { freq, interval, count, until, week_start, .. } = *self;
        Rule { freq, interval, count, until, week_start, ..Rule::blank() }
    }
}

/// Whether a set of small numbers holds `number` or is absent.
fn allows(mask: u64, number: i64) -> bool {
    mask == 0 || mask >> number & 1 == 1
}

/// Seconds from the start of a day (or of the rule's shorter period) at which instances start, in order.
fn clock(rule: &Rule, start: Civil) -> Vec<i32> {
    let second_of_day = start.0.rem_euclid(86_400);
    let part = |mask: u64, from_start: i64, limits_only: bool| {
        // A part that only limits has been tested with the period itself.
        if limits_only {
            1
        } else if mask == 0 {
            1 << from_start
        } else {
            mask
        }
    };
    let hours = part(rule.hours.into(), second_of_day / 3600, rule.freq <= Freq::Hourly);
    let minutes = part(rule.minutes, second_of_day / 60 % 60, rule.freq <= Freq::Minutely);
    let seconds = part(rule.seconds, second_of_day % 60, rule.freq == Freq::Secondly);
    let members = |mask: u64| (0..60).filter(move |number| mask >> number & 1 == 1);
    members(hours)
        .flat_map(|hour| members(minutes).map(move |minute| hour * 3600 + minute * 60))
        .flat_map(|minute| members(seconds).map(move |second| minute + second))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn civil(text: &str) -> Civil {
        text.parse::<jiff::civil::DateTime>().expect("a time").into()
    }

    /// How many instances an eight-week window of 2026 has, and how many steps they took.
    fn in_window(rule: &str, start: &str) -> (Result<usize, TooMuch>, u32) {
        let (rule, mut steps) = (Rule::parse(rule).expect(rule), Steps::new());
        let from = civil("2026-01-01T00:00");
        let found = expand(&rule, civil(start), from, Civil(from.0 + 56 * DAY), &mut steps);
        (found.map(|found| found.len()), Steps::new().left - steps.left)
    }

    #[test]
    fn a_rule_is_entered_at_the_window() {
        for (rule, instances) in [
            ("FREQ=DAILY", 56),
            ("FREQ=DAILY;COUNT=20000", 56),
            ("FREQ=DAILY;INTERVAL=2;BYHOUR=9,15", 56),
            ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", 40),
            ("FREQ=MONTHLY;BYMONTHDAY=1", 2),
            ("FREQ=YEARLY;BYMONTH=1;BYDAY=-1SU", 1),
            ("FREQ=HOURLY;INTERVAL=24", 56),
            ("FREQ=MINUTELY;INTERVAL=1440;COUNT=100000", 56),
        ] {
            let (found, steps) = in_window(rule, "1990-01-01T09:00");
            assert_eq!(found, Ok(instances), "{rule}");
            assert!(steps < 300, "{rule}: {steps} steps");
        }
    }

    #[test]
    fn a_hostile_rule_runs_out_of_steps() {
        for rule in [
            "FREQ=SECONDLY",
            "FREQ=SECONDLY;COUNT=4000000000;BYSECOND=0,1,2",
            "FREQ=MINUTELY;BYSECOND=0,10,20,30,40,50",
            "FREQ=MINUTELY;COUNT=4000000000;BYDAY=MO",
            "FREQ=DAILY;COUNT=1000;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=YEARLY;COUNT=3;BYMONTH=2;BYMONTHDAY=30;BYHOUR=0,1,2,3,4,5,6,7",
            "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;\
             BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35",
        ] {
            let rule = rule.replace(' ', "");
            let (found, _) = in_window(&rule, "0001-01-01T00:00");
            // What never comes may also end quietly, if that is cheap to find out.
            assert!(matches!(found, Err(TooMuch) | Ok(0)), "{rule}: {found:?}");
        }
    }

    #[test]
    fn what_never_comes_ends_with_the_window() {
        for rule in [
            "FREQ=SECONDLY;BYMONTH=7",
            "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=HOURLY;INTERVAL=24;BYHOUR=5",
            "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6;BYDAY=MO",
            "FREQ=SECONDLY;INTERVAL=4294967295",
            "FREQ=YEARLY;INTERVAL=4294967295",
        ] {
            let (found, steps) = in_window(rule, "1990-01-01T00:00");
            assert_eq!(found, Ok(0), "{rule}");
            assert!(steps < 1500, "{rule}: {steps} steps");
        }
    }

    #[test]
    fn a_rule_that_starts_after_the_window_costs_nothing() {
        assert_eq!(in_window("FREQ=SECONDLY", "2027-01-01T00:00"), (Ok(0), 0));
    }
}
