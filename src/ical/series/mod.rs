//! The instances of one item: its master expanded, its exceptions taken out, its overrides put in. Only what lies in a window is made.

#[cfg(test)]
mod rfc5545;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::event::{Event, Length, Mark, NotUnderstood, day, midnight};
use super::period::TimeRange;
use super::recur::{Civil, Rule, Steps, TooMuch, expand};
use super::tz::Zone;
use super::value::When;

/// One occurrence: which of the events it comes from, and when it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instance {
    pub event: usize,
    pub start: Timestamp,
    pub end: Timestamp,
}

/// The instances of `events` (a master and its overrides, all of one UID) that overlap the window, in no order.
///
/// # Errors
/// The master's rules make more instances than anybody could mean.
pub fn instances(events: &[Event], window: &TimeRange) -> Result<Vec<Instance>, NotUnderstood> {
    instances_within(events, window, &mut Steps::new())
}

/// As [`instances`], for one of several series that may cost no more than `steps` together.
///
/// # Errors
/// As [`instances`].
pub fn instances_within(
    events: &[Event],
    window: &TimeRange,
    steps: &mut Steps,
) -> Result<Vec<Instance>, NotUnderstood> {
    let master = newest(events, (0..events.len()).filter(|at| events[*at].instance.is_none()));
    let overrides = newest_overrides(events, master);
    let mut found = Vec::new();
    if let Some(master) = master {
        let ranged = Ranged::of(&events[master], events, &overrides);
        let starts = starts(&events[master], &ranged.reach(events, master, window), steps)?;
        // Each is moved on its clock, which costs as much as it did to find it.
        let moves = if ranged.0.is_empty() { 0 } else { 2 * starts.len() };
        steps.take(moves).map_err(too_much)?;
        for start in starts {
            if !overrides.contains_key(&Mark::At(start.at))
                && !overrides.contains_key(&start.day(&events[master]))
            {
                found.push(ranged.instance(events, master, &start));
            }
        }
    }
    for event in overrides.into_values() {
        let Event { start, zone, length, .. } = &events[event];
        found.push(Instance::new(event, zone.instant(*start), *length, zone));
    }
    found.retain(|instance| instance.overlaps(window));
    Ok(found)
}

impl Instance {
    fn new(event: usize, start: Timestamp, length: Length, zone: &Zone) -> Instance {
        Instance { event, start, end: length.after(start, zone) }
    }

    /// An instance without length is in the window if its start is.
    fn overlaps(&self, window: &TimeRange) -> bool {
        self.start < window.end && (self.end > window.start || self.start == window.start)
    }
}

impl Length {
    pub(super) fn after(self, start: Timestamp, zone: &Zone) -> Timestamp {
        let (from, seconds) = match self {
            Length::Exact(seconds) => (start, seconds),
            Length::Nominal(length) if length.days == 0 => (start, length.seconds),
            Length::Nominal(length) => {
                (zone.instant(later(zone.civil(start), length.days * 86_400)), length.seconds)
            }
            Length::WholeDays(days) => {
                (zone.instant(later(midnight(zone.civil(start).date()), days * 86_400)), 0)
            }
        };
        from.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
    }

    /// At least as many seconds as any instance lasts.
    fn at_most(self) -> i64 {
        match self {
            Length::Exact(seconds) => seconds,
            Length::Nominal(length) => length.nominal_seconds() + 86_400,
            Length::WholeDays(days) => (days + 1) * 86_400,
        }
    }
}

/// `civil` and `seconds` more on the same clock.
fn later(civil: DateTime, seconds: i64) -> DateTime {
    DateTime::from(Civil(Civil::from(civil).0 + seconds))
}

fn newest(events: &[Event], candidates: impl Iterator<Item = usize>) -> Option<usize> {
    candidates.max_by_key(|at| events[*at].version)
}

/// By the instance they stand for, the newest override each.
fn newest_overrides(events: &[Event], master: Option<usize>) -> HashMap<Mark, usize> {
    let mut newest: HashMap<Mark, usize> = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        let Some((when, zone)) = &event.instance else { continue };
        // What a day means is the master's to say.
        let mark = events[master.unwrap_or(at)].mark(*when, zone);
        let known = newest.entry(mark).or_insert(at);
        if event.version >= events[*known].version {
            *known = at;
        }
    }
    newest
}

/// The overrides that also stand for all later instances (RANGE=THISANDFUTURE), in order of time.
struct Ranged(Vec<Range>);

struct Range {
    from: Timestamp,
    event: usize,
    /// By how many seconds on the clock it moves an instance.
    shift: i64,
}

impl Ranged {
    fn of(master: &Event, events: &[Event], overrides: &HashMap<Mark, usize>) -> Ranged {
        let range = |(mark, event): (&Mark, &usize)| {
            let from = match mark {
                Mark::At(at) => *at,
                Mark::Day(day) => master.zone.instant(day.to_datetime(master.start.time())),
            };
            let Event { start, zone, .. } = &events[*event];
            // Both as the clock shows them: where it skips one, it most often skips the other.
            let to = events[*event].civil(zone.instant(*start));
            let shift = Civil::from(to).0 - Civil::from(master.civil(from)).0;
            Range { from, event: *event, shift }
        };
        let mut all: Vec<Range> =
            overrides.iter().filter(|(_, event)| events[**event].and_future).map(range).collect();
        all.sort_by_key(|range| range.from);
        Ranged(all)
    }

    /// The instance that the master makes at `start`, or that the range it falls in makes of it.
    fn instance(&self, events: &[Event], master: usize, start: &Start) -> Instance {
        let before = self.0.partition_point(|range| range.from <= start.at);
        let Some(range) = before.checked_sub(1).map(|last| &self.0[last]) else {
            let Event { length, zone, .. } = &events[master];
            return Instance::new(master, start.at, start.length.unwrap_or(*length), zone);
        };
        let Event { zone, length, .. } = &events[range.event];
        let moved = later(events[master].civil(start.at), range.shift);
        Instance::new(range.event, zone.instant(moved), *length, zone)
    }

    /// The starts of the master that may lead to an instance in the window.
    fn reach(&self, events: &[Event], master: usize, window: &TimeRange) -> TimeRange {
        let own = events[master].length.at_most();
        let lengths = self.0.iter().map(|range| events[range.event].length.at_most());
        let periods = events[master].dates.iter().filter_map(|(_, length)| length.map(Length::at_most));
        let length = lengths.chain(periods).fold(own, i64::max);
        let shift = self.0.iter().map(|range| range.shift.abs()).max().unwrap_or(0);
        let zones_apart = if self.0.is_empty() { 0 } else { 2 * 86_400 };
        let wider = |at: Timestamp, seconds: i64| at.checked_add(SignedDuration::from_secs(seconds));
        TimeRange {
            start: wider(window.start, -length - shift - zones_apart).unwrap_or(Timestamp::MIN),
            end: wider(window.end, shift + zones_apart).unwrap_or(Timestamp::MAX),
        }
    }
}

/// Where an instance of the master starts, and how long it lasts if an RDATE says so.
#[derive(Debug, Clone, Copy)]
struct Start {
    at: Timestamp,
    length: Option<Length>,
}

impl Start {
    fn day(&self, event: &Event) -> Mark {
        Mark::Day(event.zone.civil(self.at).date())
    }
}

/// The recurrence set (RFC 5545 §3.8.5.3) within `reach`: DTSTART, RRULEs and RDATEs without EXDATEs, each instant once.
fn starts(event: &Event, reach: &TimeRange, steps: &mut Steps) -> Result<Vec<Start>, NotUnderstood> {
    let mut found: Vec<Start> =
        event.dates.iter().map(|(at, length)| Start { at: *at, length: *length }).collect();
    for rule in &event.rules {
        let instants = by_rule(rule, event, reach, steps)?;
        found.extend(instants.into_iter().map(|at| Start { at, length: None }));
    }
    if event.rules.is_empty() {
        found.push(Start { at: event.zone.instant(event.start), length: None });
    }
    found.retain(|start| reach.start <= start.at && start.at < reach.end);
    // Stable, so that an RDATE with a length goes before a rule's instance at the same time.
    found.sort_by_key(|start| start.at);
    found.dedup_by_key(|start| start.at);
    if !event.exceptions.is_empty() {
        let exceptions: HashSet<Mark> = event.exceptions.iter().copied().collect();
        found.retain(|start| {
            !exceptions.contains(&Mark::At(start.at)) && !exceptions.contains(&start.day(event))
        });
    }
    Ok(found)
}

fn by_rule(
    rule: &Rule,
    event: &Event,
    reach: &TimeRange,
    steps: &mut Steps,
) -> Result<Vec<Timestamp>, NotUnderstood> {
    let zone = &event.zone;
    // On the clock a day more on both sides: gaps and overlaps put instants out of the clock's order.
    let from = Civil(Civil::from(zone.civil(reach.start)).0 - 86_400);
    let to = Civil(Civil::from(zone.civil(reach.end)).0 + 86_400);
    let until = rule.until.map(|until| Until::new(until, event));
    let to = to.min(until.as_ref().map_or(Civil::MAX, |until| until.civil.into()));
    let found = expand(rule, event.start.into(), from, to, steps).map_err(too_much)?;
    steps.take(found.len()).map_err(too_much)?;
    let latest = until.and_then(|until| until.instant).unwrap_or(Timestamp::MAX);
    Ok(found.into_iter().map(|civil| zone.instant(civil.into())).filter(|at| *at <= latest).collect())
}

fn too_much(why: TooMuch) -> NotUnderstood {
    NotUnderstood::new("RRULE", why)
}

/// Where UNTIL ends a rule: on the clock, and where it was written as an instant, then.
struct Until {
    civil: DateTime,
    instant: Option<Timestamp>,
}

impl Until {
    fn new(until: When, event: &Event) -> Until {
        match until {
            When::Date(last) => Until { civil: last.at(23, 59, 59, 0), instant: None },
            When::Local(last) => Until { civil: last, instant: None },
            When::Utc(_) if event.all_day => {
                Until { civil: day(until, &event.zone).at(23, 59, 59, 0), instant: None }
            }
            When::Utc(last) => {
                let instant = Zone::UTC.instant(last);
                Until { civil: later(event.zone.civil(instant), 86_400), instant: Some(instant) }
            }
        }
    }
}
