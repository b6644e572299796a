//! Writes the VTIMEZONE of an IANA zone from the zone data (RFC 5545 §3.6.5). The same data gives the same bytes.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::{Offset, TimeZone, TimeZoneTransition};

use super::line::push_folded;
use super::recur::Civil;
use super::tz;

/// A VTIMEZONE for the zone `iana` under the name `tzid`, which is taken as it is to be spelled in the TZID property; nothing if there
/// is no such zone.
pub fn definition(tzid: &str, iana: &str) -> Option<String> {
    let zone = tz::zone(iana)?;
    let mut text = String::with_capacity(1024);
    push_folded(&mut text, "BEGIN:VTIMEZONE");
    push_folded(&mut text, &format!("TZID:{tzid}"));
    push_folded(&mut text, &format!("X-LIC-LOCATION:{iana}"));
    for observance in observances(&zone) {
        observance.write(&mut text);
    }
    push_folded(&mut text, "END:VTIMEZONE");
    Some(text)
}

/// Definitions begin with 1970, as everybody's do. A rule that is still followed at the horizon is taken to go on for ever; dates that
/// follow no rule (Morocco's, by the moon) are listed up to it.
const BEGIN: Timestamp = Timestamp::UNIX_EPOCH;
const HORIZON: i16 = 2037;

/// Fewer changes than these are listed, more that follow one rule are written as the rule.
const SHORTEST_RUN: usize = 3;

/// One STANDARD or DAYLIGHT: the first onset on the clock before it, then further ones by rule or one by one.
#[derive(Debug)]
struct Observance {
    kind: Kind,
    first: DateTime,
    rule: Option<String>,
    others: Vec<DateTime>,
}

/// What the onsets of one observance have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    daylight: bool,
    from: Offset,
    to: Offset,
    name: String,
}

/// One change of a zone's offset.
#[derive(Debug, Clone)]
struct Onset {
    kind: Kind,
    /// The time on the clock that is about to be changed.
    local: DateTime,
}

impl Observance {
    fn write(&self, text: &mut String) {
        let component = if self.kind.daylight { "DAYLIGHT" } else { "STANDARD" };
        push_folded(text, &format!("BEGIN:{component}"));
        push_folded(text, &format!("TZNAME:{}", self.kind.name));
        push_folded(text, &format!("TZOFFSETFROM:{}", offset(self.kind.from)));
        push_folded(text, &format!("TZOFFSETTO:{}", offset(self.kind.to)));
        push_folded(text, &format!("DTSTART:{}", local(self.first)));
        if let Some(rule) = &self.rule {
            push_folded(text, &format!("RRULE:{rule}"));
        }
        if !self.others.is_empty() {
            // Thunderbird's ical.js reads one date of each RDATE, and DTSTART not at all where there is one.
            for onset in std::iter::once(&self.first).chain(&self.others) {
                push_folded(text, &format!("RDATE:{}", local(*onset)));
            }
        }
        push_folded(text, &format!("END:{component}"));
    }
}

fn observances(zone: &TimeZone) -> Vec<Observance> {
    let onsets = onsets(zone);
    let mut kinds: Vec<&Kind> = Vec::new();
    for onset in &onsets {
        if !kinds.contains(&&onset.kind) {
            kinds.push(&onset.kind);
        }
    }
    let mut all: Vec<Observance> = (kinds.into_iter())
        .flat_map(|kind| {
            let own: Vec<DateTime> =
                onsets.iter().filter(|onset| onset.kind == *kind).map(|onset| onset.local).collect();
            of_kind(kind, &own)
        })
        .collect();
    all.sort_by_key(|observance| observance.first);
    all
}

/// The zone's changes from its state at the beginning to the horizon.
fn onsets(zone: &TimeZone) -> Vec<Onset> {
    let info = zone.to_offset_info(BEGIN);
    let name = info.abbreviation().to_owned();
    let at_begin = Kind { daylight: info.dst().is_dst(), from: info.offset(), to: info.offset(), name };
    let mut before = info.offset();
    let mut all = vec![Onset { kind: at_begin, local: Offset::UTC.to_datetime(BEGIN) }];
    for transition in zone.following(BEGIN) {
        let onset = Onset::new(&transition, before);
        if onset.local.year() > HORIZON {
            break;
        }
        before = transition.offset();
        all.push(onset);
    }
    all
}

impl Onset {
    fn new(transition: &TimeZoneTransition<'_>, from: Offset) -> Onset {
        let kind = Kind {
            daylight: transition.dst().is_dst(),
            from,
            to: transition.offset(),
            name: transition.abbreviation().to_owned(),
        };
        Onset { kind, local: from.to_datetime(transition.timestamp()) }
    }
}

/// The onsets of one kind as runs that follow a rule and one list of those that follow none.
fn of_kind(kind: &Kind, onsets: &[DateTime]) -> Vec<Observance> {
    let mut all = Vec::new();
    let mut single = Vec::new();
    let mut rest = onsets;
    while let Some((first, _)) = rest.split_first() {
        let (pattern, length) = longest_run(rest);
        let (run, after) = rest.split_at(length);
        rest = after;
        if run.len() < SHORTEST_RUN {
            single.extend_from_slice(run);
            continue;
        }
        let last = run[run.len() - 1];
        let end =
            if last.year() == HORIZON { String::new() } else { format!(";UNTIL={}", utc(last, kind.from)) };
        let rule = pattern.map(|pattern| format!("{}{end}", pattern.rule(*first)));
        all.push(Observance { kind: kind.clone(), first: *first, rule, others: Vec::new() });
    }
    if let Some((first, others)) = single.split_first() {
        all.push(Observance { kind: kind.clone(), first: *first, rule: None, others: others.to_vec() });
    }
    all
}

/// Where in its month a day may be by rule: each yearly onset narrows it down.
#[derive(Debug, Clone, Copy)]
struct Pattern {
    month: i8,
    time: Time,
    /// Its day of the month.
    date: Option<i8>,
    /// Its weekday, on or after one of these days of the month (bit 1 is the first).
    on_or_after: Option<(jiff::civil::Weekday, u32)>,
    /// Its weekday, the last of the month.
    last: bool,
}

impl Pattern {
    fn of(onset: DateTime) -> Pattern {
        let day = onset.day();
        let firsts = (day - 6).max(1)..=day;
        let mask = firsts.fold(0, |mask, first| mask | 1 << first);
        Pattern {
            month: onset.month(),
            time: onset.time(),
            date: Some(day),
            on_or_after: Some((onset.weekday(), mask)),
            last: day + 7 > onset.date().days_in_month(),
        }
    }

    /// What both have in common, if that is a rule.
    fn and(self, other: Pattern) -> Option<Pattern> {
        let on_or_after = match (self.on_or_after, other.on_or_after) {
            (Some((day, mask)), Some((other_day, other_mask))) if day == other_day => {
                Some((day, mask & other_mask))
            }
            _ => None,
        };
        let both = Pattern {
            date: self.date.filter(|date| other.date == Some(*date)),
            on_or_after: on_or_after.filter(|(_, mask)| *mask != 0),
            last: self.last && other.last && on_or_after.is_some(),
            ..self
        };
        let same_moment = self.month == other.month && self.time == other.time;
        (same_moment && (both.date.is_some() || both.on_or_after.is_some() || both.last)).then_some(both)
    }

    /// The RRULE, in the words that most readers know if the pattern allows: `2SU` and `-1SU`.
    fn rule(&self, first: DateTime) -> String {
        let month = self.month;
        let start = format!("FREQ=YEARLY;BYMONTH={month}");
        let day = &weekday(first.weekday());
        if self.last {
            return format!("{start};BYDAY=-1{day}");
        }
        let Some((_, mask)) = self.on_or_after else {
            return format!("{start};BYMONTHDAY={}", first.day());
        };
        let nth = (1..=4).find(|nth| mask >> (nth * 7 - 6) & 1 == 1);
        match nth {
            Some(nth) => format!("{start};BYDAY={nth}{day}"),
            None => {
                let first = mask.trailing_zeros();
                let days: Vec<String> = (first..=31.min(first + 6)).map(|day| day.to_string()).collect();
                format!("{start};BYMONTHDAY={};BYDAY={day}", days.join(","))
            }
        }
    }
}

/// How many of the first onsets, one in each year, follow one pattern.
fn longest_run(onsets: &[DateTime]) -> (Option<Pattern>, usize) {
    let Some((first, rest)) = onsets.split_first() else { return (None, 0) };
    let mut pattern = Pattern::of(*first);
    let mut length = 1;
    for onset in rest {
        let next_year = first.year() + length as i16;
        let Some(both) = pattern.and(Pattern::of(*onset)).filter(|_| onset.year() == next_year) else {
            break;
        };
        pattern = both;
        length += 1;
    }
    (Some(pattern), length)
}

fn weekday(day: jiff::civil::Weekday) -> &'static str {
    ["MO", "TU", "WE", "TH", "FR", "SA", "SU"][day.to_monday_zero_offset() as usize]
}

fn local(time: DateTime) -> String {
    time.strftime("%Y%m%dT%H%M%S").to_string()
}

/// The instant of a time on a clock, as UNTIL of an observance has to state it.
fn utc(time: DateTime, ahead: Offset) -> String {
    let utc = DateTime::from(Civil(Civil::from(time).0 - i64::from(ahead.seconds())));
    format!("{}Z", local(utc))
}

fn offset(offset: Offset) -> String {
    let seconds = offset.seconds();
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    let mut text = format!("{sign}{:02}{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 != 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:02}", seconds % 60);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::line::lines;
    use crate::ical::recur::Steps;
    use crate::ical::tz::Custom;

    fn parsed(iana: &str) -> Custom {
        let text = definition("X", iana).expect("a definition");
        Custom::parse(text.as_bytes(), &mut Steps::new()).expect("a zone")
    }

    #[test]
    fn a_definition_means_what_the_zone_means() {
        for name in [
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Africa/Casablanca",
            "Asia/Kolkata",
            "Europe/Dublin",
            "America/Sao_Paulo",
            "Asia/Jerusalem",
            "Africa/Cairo",
            "America/Caracas",
            "Africa/Monrovia",
            "UTC",
            "Etc/GMT-1",
        ] {
            let (zone, written) = (tz::zone(name).expect("a zone"), parsed(name));
            // And every seven hours, so that no change of ours goes unseen either.
            for second in around_changes(&zone).chain((0..END).step_by(7 * 3600)) {
                let instant = Timestamp::from_second(second).expect("an instant");
                assert_eq!(written.offset(instant), zone.to_offset(instant), "{name} {instant}");
            }
        }
    }

    /// 2038, in seconds.
    const END: i64 = 2_145_916_800;

    /// The last second before each change and the first after it.
    fn around_changes(zone: &TimeZone) -> impl Iterator<Item = i64> {
        let changes = zone.following(BEGIN).map(|change| change.timestamp().as_second());
        changes.take_while(|change| *change < END).flat_map(|change| [change - 1, change])
    }

    /// The definition as ical.js understands it: the first date of each RDATE, and where one stands, no onset at DTSTART.
    fn as_ical_js_reads(definition: &str) -> String {
        let mut read: Vec<String> = Vec::new();
        for line in lines(definition.as_bytes()) {
            let Some(dates) = line.text.strip_prefix("RDATE:") else {
                read.push(line.text.into_owned());
                continue;
            };
            let first = dates.split(',').next().unwrap_or_default();
            if let Some(start) = read.last_mut().filter(|start| start.starts_with("DTSTART:")) {
                *start = format!("DTSTART:{first}");
            }
            read.push(format!("RDATE:{first}"));
        }
        read.join("\r\n")
    }

    #[test]
    fn thunderbird_reads_each_zone_as_it_is() {
        for name in jiff::tz::db().available() {
            let zone = tz::zone(name.as_str()).expect("a zone");
            let read = as_ical_js_reads(&definition("X", name.as_str()).expect("a definition"));
            let read = Custom::parse(read.as_bytes(), &mut Steps::new()).expect("a zone");
            for second in around_changes(&zone) {
                let instant = Timestamp::from_second(second).expect("an instant");
                assert_eq!(read.offset(instant), zone.to_offset(instant), "{name} {instant}");
            }
        }
    }

    #[test]
    fn a_definition_turns_clock_times_into_the_instants_of_the_zone() {
        for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"] {
            let (zone, written) = (tz::zone(name).expect("a zone"), parsed(name));
            for step in 0..100_000 {
                let civil = DateTime::from(Civil(86_400 + step * 19_800 + 5400));
                assert_eq!(written.instant(civil), zone.to_timestamp(civil).ok(), "{name} {civil}");
            }
        }
    }

    #[test]
    fn a_rule_that_goes_on_has_no_end() {
        for (name, years) in [("Europe/Berlin", [2050, 2100]), ("Australia/Lord_Howe", [2050, 2100])] {
            let (zone, written) = (tz::zone(name).expect("a zone"), parsed(name));
            for (year, month) in years.into_iter().flat_map(|year| [(year, 1), (year, 7)]) {
                let instant = Offset::UTC.to_timestamp(jiff::civil::date(year, month, 1).at(0, 0, 0, 0));
                let instant = instant.expect("an instant");
                assert_eq!(written.offset(instant), zone.to_offset(instant), "{name} {instant}");
            }
        }
    }

    #[test]
    fn a_zone_without_changes_is_one_standard() {
        let expected = "BEGIN:VTIMEZONE\r\nTZID:India Standard Time\r\nX-LIC-LOCATION:Asia/Kolkata\r\n\
            BEGIN:STANDARD\r\nTZNAME:IST\r\nTZOFFSETFROM:+0530\r\nTZOFFSETTO:+0530\r\n\
            DTSTART:19700101T000000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";
        assert_eq!(definition("India Standard Time", "Asia/Kolkata").as_deref(), Some(expected));
        assert_eq!(definition("X", "Mars/Base"), None);
    }

    #[test]
    fn lines_are_folded_at_75_octets_and_end_in_crlf() {
        let tzid = "\u{dc}".repeat(60);
        for iana in ["Africa/Casablanca", "Europe/Berlin"] {
            let text = definition(&tzid, iana).expect("a definition");
            assert!(
                text.split("\r\n").all(|line| line.len() <= 75 && !line.contains(['\r', '\n'])),
                "{text}"
            );
            let unfolded = text.replace("\r\n ", "");
            assert!(unfolded.contains(&format!("TZID:{tzid}\r\n")), "{unfolded}");
        }
    }
}
