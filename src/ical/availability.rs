//! VAVAILABILITY (RFC 7953): stretches in which somebody is away, but for what their AVAILABLE components leave open.

use jiff::Timestamp;

use super::event::{Component, Event, NotUnderstood, instant_of};
use super::period::{Kind, Period, TimeRange, merge};
use super::recur::Steps;
use super::series::instances_within;
use super::tz::Zones;

/// One VAVAILABILITY, as far as a window goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// From the least: 0 is PRIORITY:0 or none, then 9 down to 1 (RFC 7953 §4).
    rank: u8,
    /// What of the window it speaks of.
    span: TimeRange,
    /// BUSYTYPE: what the span is where nothing is left open.
    kind: Kind,
    /// What is left open, in order, without overlaps.
    open: Vec<TimeRange>,
}

impl Availability {
    /// Reads a VAVAILABILITY. All of one item share `steps`.
    ///
    /// # Errors
    /// As [`Event::read`], for itself and each AVAILABLE in it.
    pub fn read(
        component: &Component<'_>,
        window: &TimeRange,
        zones: &mut Zones<'_>,
        steps: &mut Steps,
    ) -> Result<Availability, NotUnderstood> {
        let span = span(component, window, zones)?;
        let mut open = Vec::new();
        for series in by_uid(&component.inner) {
            let events: Vec<Event> =
                series.into_iter().map(|part| Event::read(part, zones)).collect::<Result<_, _>>()?;
            let instances = instances_within(&events, &span, steps)?;
            open.extend(instances.into_iter().map(|found| TimeRange { start: found.start, end: found.end }));
        }
        Ok(Availability { rank: rank(component), span, kind: kind(component), open: united(open) })
    }

    /// The span without what is left open.
    fn busy(&self) -> impl Iterator<Item = Period> {
        without(self.span, &self.open).map(|range| Period {
            start: range.start,
            end: range.end,
            kind: self.kind,
        })
    }
}

/// What all VAVAILABILITYs of one owner come to: where one speaks, those of less PRIORITY do not count (RFC 7953 §4). Of two with
/// the same the busier counts.
pub fn overlay(mut all: Vec<Availability>) -> Vec<Period> {
    all.sort_by_key(|availability| availability.rank);
    let mut busy: Vec<Period> = Vec::new();
    for equals in all.chunk_by(|one, other| one.rank == other.rank) {
        let spans = united(equals.iter().map(|availability| availability.span).collect());
        let rest = busy.iter().flat_map(|period| {
            let Period { start, end, kind } = *period;
            without(TimeRange { start, end }, &spans).map(move |TimeRange { start, end }| Period {
                start,
                end,
                kind,
            })
        });
        let rest: Vec<Period> = rest.collect();
        busy = merge(rest.into_iter().chain(equals.iter().flat_map(Availability::busy)).collect());
    }
    busy
}

/// From DTSTART, or ever, to DTEND, after DURATION, or for good (RFC 7953 §3.1).
fn span(
    component: &Component<'_>,
    window: &TimeRange,
    zones: &mut Zones<'_>,
) -> Result<TimeRange, NotUnderstood> {
    let (has_start, end) = (component.first("DTSTART").is_some(), component.first("DTEND"));
    let (start, end) = match end {
        Some(end) if !has_start => (window.start, instant_of(&end, zones)?),
        None if !has_start => (window.start, window.end),
        end => {
            let event = Event::read(component, zones)?;
            let start = event.zone.instant(event.start);
            let ends = end.is_some() || component.first("DURATION").is_some();
            (start, if ends { event.length.after(start, &event.zone) } else { window.end })
        }
    };
    let start = start.max(window.start);
    Ok(TimeRange { start, end: end.min(window.end).max(start) })
}

fn rank(component: &Component<'_>) -> u8 {
    match component.value("PRIORITY").and_then(|value| value.parse().ok()) {
        Some(priority @ 1..=9) => 10 - priority,
        _ => 0,
    }
}

/// What is unknown is away, as is what says nothing (RFC 7953 §3.2).
fn kind(component: &Component<'_>) -> Kind {
    match component.value("BUSYTYPE") {
        Some(kind) if kind.eq_ignore_ascii_case("BUSY") => Kind::Busy,
        Some(kind) if kind.eq_ignore_ascii_case("BUSY-TENTATIVE") => Kind::Tentative,
        _ => Kind::Unavailable,
    }
}

/// AVAILABLE components recur and are overridden by their own UIDs.
fn by_uid<'c, 'a>(components: &'c [Component<'a>]) -> Vec<Vec<&'c Component<'a>>> {
    let mut all: Vec<&Component<'_>> = components.iter().collect();
    all.sort_by_key(|component| component.value("UID"));
    all.chunk_by(|one, other| one.value("UID").is_some() && one.value("UID") == other.value("UID"))
        .map(<[_]>::to_vec)
        .collect()
}

/// One list in order, without overlaps.
fn united(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.sort_by_key(|range| range.start);
    let mut united: Vec<TimeRange> = Vec::new();
    for range in ranges {
        match united.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => united.push(range),
        }
    }
    united
}

/// `whole` without `holes`, which are in order and do not overlap.
fn without(whole: TimeRange, holes: &[TimeRange]) -> impl Iterator<Item = TimeRange> {
    let first = holes.partition_point(|hole| hole.end <= whole.start);
    let within: Vec<TimeRange> =
        holes[first..].iter().take_while(|hole| hole.start < whole.end).copied().collect();
    let starts: Vec<Timestamp> =
        std::iter::once(whole.start).chain(within.iter().map(|hole| hole.end)).collect();
    let ends = within.into_iter().map(|hole| hole.start).chain([whole.end]);
    starts
        .into_iter()
        .zip(ends)
        .map(|(start, end)| TimeRange { start, end })
        .filter(|range| range.start < range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::busy::{Owner, found};
    use jiff::tz::TimeZone;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    /// Monday to Sunday.
    fn week() -> TimeRange {
        TimeRange { start: at("2026-01-05T00:00:00Z"), end: at("2026-01-12T00:00:00Z") }
    }

    fn availability(lines: &str, available: &[&str]) -> String {
        let inner: String = available
            .iter()
            .map(|lines| format!("BEGIN:AVAILABLE\r\n{lines}\r\nEND:AVAILABLE\r\n"))
            .collect();
        format!("BEGIN:VAVAILABILITY\r\nUID:x\r\n{lines}{inner}END:VAVAILABILITY\r\n")
    }

    /// `day hour-day hour kind` of each busy stretch of the week.
    fn busy(items: &[String]) -> Vec<String> {
        let owner = Owner { addresses: Vec::new(), zone: TimeZone::UTC };
        let of = |item: &String| found(item.as_bytes(), &week(), &owner).expect("understood").availabilities;
        let all = overlay(items.iter().flat_map(of).collect());
        let text = |period: &Period| {
            let (start, end) = (period.start.strftime("%d %H"), period.end.strftime("%d %H"));
            format!("{start}-{end} {:?}", period.kind)
        };
        all.iter().map(text).collect()
    }

    const OFFICE: &str =
        "UID:a\r\nDTSTART:20260105T090000\r\nDTEND:20260105T170000\r\nRRULE:FREQ=DAILY;COUNT=2";

    #[test]
    fn what_is_not_left_open_is_away() {
        let found = busy(&[availability("", &[OFFICE])]);
        assert_eq!(found, ["05 00-05 09 Unavailable", "05 17-06 09 Unavailable", "06 17-12 00 Unavailable"]);
        assert_eq!(busy(&[availability("", &[])]), ["05 00-12 00 Unavailable"]);
    }

    #[test]
    fn the_busy_type_and_the_span_are_as_it_says() {
        for (lines, expected) in [
            ("BUSYTYPE:BUSY\r\nDTSTART:20260110T000000Z\r\n", "10 00-12 00 Busy"),
            (
                "BUSYTYPE:BUSY-TENTATIVE\r\nDTSTART:20260101T000000Z\r\nDTEND:20260106T000000Z\r\n",
                "05 00-06 00 Tentative",
            ),
            ("BUSYTYPE:X-A\r\nDTSTART:20260106T000000Z\r\nDURATION:PT3H\r\n", "06 00-06 03 Unavailable"),
            ("DTEND:20260106T000000Z\r\n", "05 00-06 00 Unavailable"),
            ("DTEND:20270101T000000Z\r\n", "05 00-12 00 Unavailable"),
        ] {
            assert_eq!(busy(&[availability(lines, &[])]), [expected], "{lines}");
        }
        for past in ["DTSTART:20250101T000000Z\r\nDTEND:20250106T000000Z\r\n", "DTEND:20250106T000000Z\r\n"] {
            assert!(busy(&[availability(past, &[])]).is_empty(), "{past}");
        }
    }

    #[test]
    fn an_instance_of_what_is_left_open_can_be_moved() {
        let moved = "UID:a\r\nRECURRENCE-ID:20260106T090000\r\nDTSTART:20260106T120000\r\nDURATION:PT1H";
        let found = busy(&[availability("", &[OFFICE, moved])]);
        assert_eq!(found, ["05 00-05 09 Unavailable", "05 17-06 12 Unavailable", "06 13-12 00 Unavailable"]);
    }

    #[test]
    fn the_higher_priority_decides_where_it_speaks() {
        let always = |lines: &str| availability(lines, &[OFFICE]);
        let holiday = |priority: u8| {
            let lines =
                format!("PRIORITY:{priority}\r\nDTSTART:20260105T000000Z\r\nDTEND:20260106T000000Z\r\n");
            availability(&lines, &[])
        };
        let at_home = ["05 00-06 09 Unavailable", "06 17-12 00 Unavailable"];
        assert_eq!(busy(&[always(""), holiday(9)]), at_home);
        assert_eq!(busy(&[holiday(1), always("PRIORITY:2\r\n")]), at_home);
        let at_work = ["05 00-05 09 Unavailable", "05 17-06 09 Unavailable", "06 17-12 00 Unavailable"];
        assert_eq!(busy(&[always("PRIORITY:1\r\n"), holiday(2)]), at_work);
        // Of equals the busier counts.
        assert_eq!(busy(&[always("PRIORITY:2\r\n"), holiday(2)]), at_home);
    }

    #[test]
    fn a_hostile_availability_runs_out_of_steps() {
        let rules: Vec<String> = (0..200)
            .map(|n| format!("UID:{n}\r\nDTSTART:20260101T000000Z\r\nDURATION:PT1S\r\nRRULE:FREQ=SECONDLY"))
            .collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let owner = Owner { addresses: Vec::new(), zone: TimeZone::UTC };
        assert!(found(availability("", &rules).as_bytes(), &week(), &owner).is_err());
    }
}
