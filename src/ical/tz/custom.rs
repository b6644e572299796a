//! A VTIMEZONE evaluated (RFC 5545 §3.6.5): any set of observances, by their DTSTART, RRULEs and RDATEs.

use jiff::Timestamp;
use jiff::civil::{DateTime, date};
use jiff::tz::{Offset, TimeZone};

use crate::ical::line::{Property, lines};
use crate::ical::recur::{Civil, Rule, Steps, expand};
use crate::ical::value::{When, parse_date_time, parse_period, parse_utc_offset};

/// The offsets of a zone: a list of changes, and behind it, where two yearly rules go on for ever, those.
#[derive(Debug)]
pub struct Custom {
    /// The offset before the first change.
    first: Offset,
    /// In order of time.
    changes: Vec<Change>,
    tail: Option<Tail>,
}

/// From `at` on the offset is `to`; in the same zone it was `from` until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    at: Timestamp,
    from: Offset,
    to: Offset,
}

#[derive(Debug)]
struct Tail {
    start: Timestamp,
    zone: TimeZone,
}

/// Why a VTIMEZONE is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadZone(pub String);

impl Custom {
    /// Reads the text of one VTIMEZONE component.
    ///
    /// # Errors
    /// Names the property that is missing or malformed, or says that `steps` are used up.
    pub fn parse(text: &[u8], steps: &mut Steps) -> Result<Custom, BadZone> {
        let observances = observances(text)?;
        let Some(earliest) = observances.iter().min_by_key(|observance| observance.start) else {
            return Err(BadZone("a VTIMEZONE without STANDARD and DAYLIGHT".to_owned()));
        };
        let tail = tail(&observances);
        let until = tail.as_ref().map_or(END_OF_RULES, |tail| Offset::UTC.to_datetime(tail.start));
        let mut changes = Vec::new();
        for observance in &observances {
            observance.add_changes(until, &mut changes, steps)?;
        }
        changes.sort_by_key(|change| change.at);
        changes.dedup_by_key(|change| change.at);
        // An observance says from which offset it comes, but what counts is the one before it.
        let mut before = earliest.from;
        for change in &mut changes {
            change.from = before;
            before = change.to;
        }
        Ok(Custom { first: earliest.from, changes, tail })
    }

    /// The offset from UTC at `instant`.
    pub fn offset(&self, instant: Timestamp) -> Offset {
        if let Some(tail) = &self.tail
            && instant >= tail.start
        {
            return tail.zone.to_offset(instant);
        }
        let passed = self.changes.partition_point(|change| change.at <= instant);
        passed.checked_sub(1).map_or(self.first, |last| self.changes[last].to)
    }

    /// As [`super::Zone::instant`]; nothing at the ends of time.
    pub fn instant(&self, civil: DateTime) -> Option<Timestamp> {
        // In a gap and in an overlap alike the offset before the change counts: until the later one of both clocks has passed it.
        let passed = self.changes.partition_point(|change| {
            let clock = change.from.max(change.to).to_datetime(change.at);
            clock <= civil
        });
        let offset = passed.checked_sub(1).map_or(self.first, |last| self.changes[last].to);
        let instant = offset.to_timestamp(civil).ok()?;
        match &self.tail {
            Some(tail) if instant >= tail.start => tail.zone.to_timestamp(civil).ok(),
            _ => Some(instant),
        }
    }
}

/// Rules that go on for ever and are none of POSIX's are followed until here.
const END_OF_RULES: DateTime = date(2100, 1, 1).at(0, 0, 0, 0);

/// One STANDARD or DAYLIGHT.
#[derive(Debug)]
struct Observance {
    start: DateTime,
    from: Offset,
    to: Offset,
    rules: Vec<Rule>,
    dates: Vec<When>,
}

impl Observance {
    /// Adds the changes up to `until`, and those that need no endless rule beyond it.
    fn add_changes(
        &self,
        until: DateTime,
        changes: &mut Vec<Change>,
        steps: &mut Steps,
    ) -> Result<(), BadZone> {
        let mut onsets = vec![self.start];
        for rule in &self.rules {
            let end = match rule.until {
                Some(When::Utc(end)) => shift(end, self.from),
                Some(When::Local(end)) => end,
                Some(When::Date(end)) => end.at(23, 59, 59, 0),
                None => DateTime::MAX,
            };
            let found = expand(rule, self.start.into(), self.start.into(), end.min(until).into(), steps);
            let found = found.map_err(|why| BadZone(format!("RRULE of a VTIMEZONE: {why}")))?;
            onsets.extend(found.into_iter().map(DateTime::from));
        }
        onsets.extend(self.dates.iter().map(|date| match date {
            When::Utc(date) => shift(*date, self.from),
            _ => date.civil(),
        }));
        let onsets = onsets.into_iter().filter_map(|onset| self.from.to_timestamp(onset).ok());
        changes.extend(onsets.map(|at| Change { at, from: self.from, to: self.to }));
        Ok(())
    }

    fn is_endless(&self) -> bool {
        self.rules.iter().any(|rule| rule.until.is_none() && rule.count.is_none())
    }

    /// Whether it has no onset after `time`.
    fn is_over(&self, time: DateTime) -> bool {
        let past = |when: When| when.civil() <= time;
        self.start <= time
            && self.dates.iter().all(|date| past(*date))
            && self.rules.iter().all(|rule| rule.until.is_some_and(past))
    }

    /// `M3.5.0/02:00:00`: the day and time of a POSIX rule, if this observance is one that goes on for ever and nothing else.
    fn posix_rule(&self) -> Option<String> {
        let [rule] = self.rules.as_slice() else { return None };
        if !self.dates.is_empty() {
            return None;
        }
        let (month, nth, weekday) = rule.yearly_weekday()?;
        let (week, day) = (if nth < 0 { 5 } else { nth }, (weekday + 1) % 7);
        Some(format!("M{month}.{week}.{day}/{}", self.start.time().strftime("%H:%M:%S")))
    }
}

/// The time on a clock that is `offset` ahead of `utc`.
fn shift(utc: DateTime, offset: Offset) -> DateTime {
    DateTime::from(Civil(Civil::from(utc).0 + i64::from(offset.seconds())))
}

/// Two endless yearly rules that answer each other, as a zone of jiff's, which knows all years and is fast.
fn tail(observances: &[Observance]) -> Option<Tail> {
    let mut endless = observances.iter().filter(|observance| observance.is_endless());
    let (one, other, None) = (endless.next()?, endless.next()?, endless.next()) else { return None };
    if one.from != other.to || other.from != one.to {
        return None;
    }
    // A DTSTART out of step with its rule is an onset too; a year later only the rules are left.
    let start = one.start.max(other.start).checked_add(jiff::Span::new().days(366)).ok()?;
    if observances.iter().any(|observance| !observance.is_endless() && !observance.is_over(start)) {
        return None;
    }
    let (rule, end) = (other.posix_rule()?, one.posix_rule()?);
    let (standard, daylight) = (posix_offset(one.to), posix_offset(other.to));
    let zone = TimeZone::posix(&format!("<AAA>{standard}<BBB>{daylight},{rule},{end}")).ok()?;
    Some(Tail { start: Offset::UTC.to_timestamp(start).ok()?, zone })
}

/// POSIX counts west as plus.
fn posix_offset(offset: Offset) -> String {
    let seconds = -offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    format!("{sign}{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn observances(text: &[u8]) -> Result<Vec<Observance>, BadZone> {
    let mut all = Vec::new();
    let mut current: Option<Draft> = None;
    for line in lines(text) {
        let Some(property) = Property::parse(&line.text) else { continue };
        let value = property.value.trim_ascii();
        let is_observance = ["STANDARD", "DAYLIGHT"].iter().any(|name| name.eq_ignore_ascii_case(value));
        if property.is("BEGIN") && is_observance {
            current = Some(Draft::default());
        } else if property.is("END") && is_observance {
            all.extend(current.take().map(Draft::finish).transpose()?);
        } else if let Some(draft) = &mut current {
            draft.read(&property)?;
        }
    }
    Ok(all)
}

/// An observance while it is being read.
#[derive(Debug, Default)]
struct Draft {
    start: Option<DateTime>,
    from: Option<Offset>,
    to: Option<Offset>,
    rules: Vec<Rule>,
    dates: Vec<When>,
}

impl Draft {
    fn read(&mut self, property: &Property<'_>) -> Result<(), BadZone> {
        let Property { name, value, .. } = *property;
        let bad = || BadZone(format!("{name}:{value} is malformed"));
        if property.is("DTSTART") {
            self.start = Some(parse_date_time(value).ok_or_else(bad)?.civil());
        } else if property.is("TZOFFSETFROM") {
            self.from = Some(parse_utc_offset(value).ok_or_else(bad)?);
        } else if property.is("TZOFFSETTO") {
            self.to = Some(parse_utc_offset(value).ok_or_else(bad)?);
        } else if property.is("RRULE") {
            let rule = Rule::parse(value).map_err(|why| BadZone(format!("RRULE of a VTIMEZONE: {why}")))?;
            self.rules.push(rule);
        } else if property.is("RDATE") {
            for date in value.split(',') {
                let found = parse_date_time(date).or_else(|| parse_period(date).map(|period| period.start));
                self.dates.push(found.ok_or_else(bad)?);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Observance, BadZone> {
        let missing = |name| move || BadZone(format!("a VTIMEZONE without {name}"));
        Ok(Observance {
            start: self.start.ok_or_else(missing("DTSTART"))?,
            from: self.from.ok_or_else(missing("TZOFFSETFROM"))?,
            to: self.to.ok_or_else(missing("TZOFFSETTO"))?,
            rules: self.rules,
            dates: self.dates,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Outlook writes Berlin's rules under a name of its own.
    const OUTLOOK: &str = "BEGIN:VTIMEZONE\r\nTZID:Customized Time Zone\r\nBEGIN:STANDARD\r\n\
        DTSTART:16011028T030000\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r\nTZOFFSETFROM:+0200\r\n\
        TZOFFSETTO:+0100\r\nEND:STANDARD\r\nBEGIN:DAYLIGHT\r\nDTSTART:16010325T020000\r\n\
        RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nEND:DAYLIGHT\r\n\
        END:VTIMEZONE\r\n";

    fn parse(text: &[u8]) -> Result<Custom, BadZone> {
        Custom::parse(text, &mut Steps::new())
    }

    fn seconds(custom: &Custom, instant: &str) -> i32 {
        custom.offset(instant.parse().expect("an instant")).seconds()
    }

    #[test]
    fn two_endless_yearly_rules_are_a_zone_of_jiffs() {
        let custom = parse(OUTLOOK.as_bytes()).expect("a zone");
        assert!(custom.tail.is_some() && custom.changes.len() < 6);
        let berlin = crate::ical::tz::zone("Europe/Berlin").expect("a zone");
        for hour in 0..5 * 8766 {
            let instant = Timestamp::from_second(1_600_000_000 + hour * 3600).expect("an instant");
            assert_eq!(custom.offset(instant), berlin.to_offset(instant), "{instant}");
            let civil = Offset::UTC.to_datetime(instant);
            assert_eq!(custom.instant(civil), berlin.to_timestamp(civil).ok(), "{civil}");
        }
    }

    #[test]
    fn rules_that_posix_cannot_say_are_followed_themselves() {
        let text =
            OUTLOOK.replace("BYDAY=-1SU;BYMONTH=10", "BYMONTHDAY=25,26,27,28,29,30,31;BYDAY=SU;BYMONTH=10");
        let (custom, same) = (parse(text.as_bytes()), parse(OUTLOOK.as_bytes()));
        let (custom, same) = (custom.expect("a zone"), same.expect("a zone"));
        assert!(custom.tail.is_none());
        for hour in 0..5 * 8766 {
            let civil = DateTime::from(Civil(1_600_000_000 + hour * 3600));
            assert_eq!(custom.instant(civil), same.instant(civil), "{civil}");
        }
    }

    #[test]
    fn a_later_observance_is_not_lost_behind_endless_rules() {
        let later = "BEGIN:STANDARD\r\nDTSTART:20300110T000000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0500\r\nEND:STANDARD\r\n";
        let text = format!("{OUTLOOK}{later}");
        let custom = parse(text.as_bytes()).expect("a zone");
        for (instant, hours) in [
            ("2029-07-01T00:00:00Z", 2),
            ("2030-01-09T22:59:59Z", 1),
            ("2030-01-09T23:00:00Z", 5),
            ("2030-04-01T00:00:00Z", 2),
        ] {
            assert_eq!(seconds(&custom, instant), hours * 3600, "{instant}");
        }
    }

    #[test]
    fn before_the_first_onset_the_offset_is_the_one_it_comes_from() {
        let text = "BEGIN:STANDARD\nDTSTART:20200101T000000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0500\n\
            RDATE:20220101T000000,20230101T000000\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:20210101T000000\n\
            TZOFFSETFROM:+0500\nTZOFFSETTO:+0600\nEND:DAYLIGHT\n";
        let custom = parse(text.as_bytes()).expect("a zone");
        let table = [
            ("2019-12-31T21:59:59Z", 2),
            ("2019-12-31T22:00:00Z", 5),
            ("2020-12-31T18:59:59Z", 5),
            ("2020-12-31T19:00:00Z", 6),
            ("2021-12-31T22:00:00Z", 5),
            ("2026-01-01T00:00:00Z", 5),
        ];
        for (instant, hours) in table {
            assert_eq!(seconds(&custom, instant), hours * 3600, "{instant}");
        }
    }

    #[test]
    fn an_until_is_an_instant() {
        let text = OUTLOOK.replace("BYMONTH=3", "BYMONTH=3;UNTIL=20100328T010000Z");
        let custom = parse(text.as_bytes()).expect("a zone");
        assert_eq!(seconds(&custom, "2010-07-01T00:00:00Z"), 7200);
        assert_eq!(seconds(&custom, "2011-07-01T00:00:00Z"), 3600);
    }

    #[test]
    fn what_is_missing_is_named() {
        let table = [
            (OUTLOOK.replace("TZOFFSETFROM:+0200\r\n", ""), "a VTIMEZONE without TZOFFSETFROM"),
            (OUTLOOK.replace("16010325T020000", "soon"), "DTSTART:soon is malformed"),
            (
                OUTLOOK.replace("STANDARD", "X").replace("DAYLIGHT", "X"),
                "a VTIMEZONE without STANDARD and DAYLIGHT",
            ),
            (OUTLOOK.replace("BYMONTH=3", "BYMONTH=13"), "RRULE of a VTIMEZONE: BYMONTH=13 is malformed"),
            (
                OUTLOOK.replace("YEARLY;BYDAY=-1SU;BYMONTH=3", "SECONDLY"),
                "RRULE of a VTIMEZONE: it has too many instances, or too few among too many candidates",
            ),
        ];
        for (text, why) in table {
            let found = parse(text.as_bytes()).map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(found, Err(why.to_owned()));
        }
    }
}
