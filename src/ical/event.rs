//! One VEVENT as far as time goes: when it starts, how long it lasts, how it recurs, which instance it stands for. Text in, an
//! [`Event`] out; the instances are `series`' business.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};

use super::line::{Property, lines};
use super::recur::Rule;
use super::tz::{Zone, Zones};
use super::value::{Duration, Span, SpanEnd, When, parse_date_time, parse_duration, parse_period};

/// What an item says that cannot be understood, in words for the admin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {reason}")]
pub struct NotUnderstood {
    pub property: String,
    pub reason: String,
}

impl NotUnderstood {
    pub(super) fn new(property: &str, reason: impl ToString) -> NotUnderstood {
        NotUnderstood { property: property.to_ascii_uppercase(), reason: reason.to_string() }
    }
}

/// A component and the content lines of it, without those of components inside it, that matter to time and to busy time.
#[derive(Debug)]
pub struct Component<'a> {
    pub name: String,
    lines: Vec<(&'static str, Cow<'a, str>)>,
    /// The AVAILABLE components of a VAVAILABILITY (RFC 7953); nothing in others.
    pub inner: Vec<Component<'a>>,
}

/// The properties that are kept, in order of how often they come.
const KEPT: [&str; 18] = [
    "DTSTART",
    "DTEND",
    "DTSTAMP",
    "SEQUENCE",
    "STATUS",
    "TRANSP",
    "RRULE",
    "EXDATE",
    "ATTENDEE",
    "ORGANIZER",
    "RECURRENCE-ID",
    "RDATE",
    "DURATION",
    "X-MICROSOFT-CDO-BUSYSTATUS",
    "FREEBUSY",
    "UID",
    "PRIORITY",
    "BUSYTYPE",
];

/// What RFC 2445 had and RFC 5545 has not, and nothing here evaluates.
const GIVEN_UP: &str = "EXRULE";

/// The components of `item`, but for its VTIMEZONEs.
pub fn components(item: &[u8]) -> Vec<Component<'_>> {
    let mut found: Vec<Component<'_>> = Vec::new();
    // How deep we are below VCALENDAR, where 1 is a component.
    let mut depth = 0usize;
    let mut in_zone = false;
    let mut in_available = false;
    for line in lines(item) {
        let Some(property) = Property::parse(&line.text) else { continue };
        let (begins, ends) = (property.is("BEGIN"), property.is("END"));
        if begins || ends {
            let name = property.value.trim_ascii();
            if name.eq_ignore_ascii_case("VCALENDAR") {
                continue;
            }
            match depth {
                0 if begins => {
                    in_zone = name.eq_ignore_ascii_case("VTIMEZONE");
                    if !in_zone {
                        found.push(Component::new(name));
                    }
                }
                1 if begins => in_available = found.last_mut().is_some_and(|outer| outer.begin_inner(name)),
                2 if !begins => in_available = false,
                _ => {}
            }
            depth = if begins { depth + 1 } else { depth.saturating_sub(1) };
        } else if (depth == 1 || depth == 2 && in_available)
            && !in_zone
            && let Some(component) = found.last_mut()
            && let Some(name) = KEPT.iter().chain([&GIVEN_UP]).find(|name| property.is(name))
        {
            let component = match component.inner.last_mut() {
                Some(inner) if in_available => inner,
                _ => component,
            };
            component.lines.push((name, line.text));
        }
    }
    found
}

impl Component<'_> {
    fn new(name: &str) -> Self {
        Component { name: name.to_ascii_uppercase(), lines: Vec::with_capacity(10), inner: Vec::new() }
    }

    /// Starts a component in this one, if it is of those that are kept.
    fn begin_inner(&mut self, name: &str) -> bool {
        let kept = self.name == "VAVAILABILITY" && name.eq_ignore_ascii_case("AVAILABLE");
        if kept {
            self.inner.push(Component::new(name));
        }
        kept
    }

    /// The properties of this name, which is one of [`KEPT`].
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = Property<'_>> {
        self.lines.iter().filter(move |(kept, _)| *kept == name).filter_map(|(_, text)| Property::parse(text))
    }

    pub fn first(&self, name: &'static str) -> Option<Property<'_>> {
        self.all(name).next()
    }

    /// The value of the first property of this name.
    pub fn value(&self, name: &'static str) -> Option<&str> {
        self.first(name).map(|property| property.value.trim_ascii())
    }

    /// Whether it recurs or stands for an instance of something that does.
    pub fn is_of_series(&self) -> bool {
        self.lines.iter().any(|(name, _)| matches!(*name, "RRULE" | "RDATE" | "RECURRENCE-ID" | "EXRULE"))
    }

    /// The times of day on which it starts and ends, whatever the zone, if it can be told so easily.
    pub fn rough_times(&self) -> Option<(DateTime, DateTime)> {
        let start = parse_date_time(self.value("DTSTART")?)?.civil();
        let end = match (self.value("DTEND"), self.value("DURATION")) {
            (Some(end), _) => parse_date_time(end)?.civil(),
            (None, Some(length)) => start
                .checked_add(jiff::SignedDuration::from_secs(parse_duration(length)?.nominal_seconds()))
                .ok()?,
            (None, None) => start,
        };
        Some((start, end))
    }
}

/// A VEVENT, read.
#[derive(Debug)]
pub struct Event {
    /// Where it starts on its zone's clock; a whole day starts at midnight.
    pub start: DateTime,
    pub zone: Zone,
    pub all_day: bool,
    pub length: Length,
    pub rules: Vec<Rule>,
    /// RDATE, with the length where it is a period.
    pub dates: Vec<(Timestamp, Option<Length>)>,
    pub exceptions: Vec<Mark>,
    /// RECURRENCE-ID, and the zone of it if it names none itself.
    pub instance: Option<(When, Zone)>,
    /// RANGE=THISANDFUTURE.
    pub and_future: bool,
    /// SEQUENCE and DTSTAMP: of two versions the greater is the newer.
    pub version: (i64, Option<DateTime>),
}

/// How long an instance lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// In seconds (DTEND, RFC 5545 §3.8.5.3).
    Exact(i64),
    /// In days of the zone and seconds (DURATION).
    Nominal(Duration),
    /// In days from midnight to midnight, also where the clock skips that.
    WholeDays(i64),
}

/// Which instance is meant: by its start, or by its day on the event's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    At(Timestamp),
    Day(Date),
}

impl Event {
    /// Reads a VEVENT.
    ///
    /// # Errors
    /// Names the first property that is missing or makes no sense.
    pub fn read(component: &Component<'_>, zones: &mut Zones<'_>) -> Result<Event, NotUnderstood> {
        let Some(start) = component.first("DTSTART") else {
            return Err(NotUnderstood::new("DTSTART", "is missing"));
        };
        if component.all(GIVEN_UP).next().is_some() {
            return Err(NotUnderstood::new(GIVEN_UP, "is not supported"));
        }
        let start = Reading::of(&start, zones)?;
        let mut event = Event {
            start: start.when.civil(),
            all_day: start.when.is_date(),
            length: length(component, &start, zones)?,
            rules: component
                .all("RRULE")
                .filter(|property| !Rule::is_of_another_calendar(property.value))
                .map(rule)
                .collect::<Result<_, _>>()?,
            dates: Vec::new(),
            exceptions: Vec::new(),
            instance: None,
            and_future: false,
            version: version(component),
            zone: start.zone,
        };
        event.read_dates(component, zones)?;
        event.read_instance(component, zones)?;
        Ok(event)
    }

    fn read_dates(&mut self, component: &Component<'_>, zones: &mut Zones<'_>) -> Result<(), NotUnderstood> {
        for property in component.all("RDATE") {
            let zone = self.zone_of(&property, zones)?;
            for value in property.value.split(',') {
                self.dates.push(self.date(value, &zone).ok_or_else(|| malformed(property.name, value))?);
            }
        }
        for property in component.all("EXDATE") {
            let zone = self.zone_of(&property, zones)?;
            for value in property.value.split(',').filter(|value| !value.is_empty()) {
                let when = parse_date_time(value).ok_or_else(|| malformed(property.name, value))?;
                self.exceptions.push(self.mark(when, &zone));
            }
        }
        Ok(())
    }

    fn read_instance(
        &mut self,
        component: &Component<'_>,
        zones: &mut Zones<'_>,
    ) -> Result<(), NotUnderstood> {
        let Some(property) = component.first("RECURRENCE-ID") else { return Ok(()) };
        if !self.rules.is_empty() || !self.dates.is_empty() {
            return Err(NotUnderstood::new("RECURRENCE-ID", "beside RRULE or RDATE is not supported"));
        }
        let zone = self.zone_of(&property, zones)?;
        let when = parse_date_time(property.value).ok_or_else(|| malformed(property.name, property.value))?;
        self.instance = Some((when, zone));
        self.and_future =
            property.param("RANGE").is_some_and(|range| range.eq_ignore_ascii_case("THISANDFUTURE"));
        Ok(())
    }

    /// The zone of a property's times: its TZID's, else the event's own.
    fn zone_of(&self, property: &Property<'_>, zones: &mut Zones<'_>) -> Result<Zone, NotUnderstood> {
        match property.param("TZID") {
            Some(tzid) => zones.named(tzid).map_err(|why| NotUnderstood::new("TZID", why)),
            None => Ok(self.zone.clone()),
        }
    }

    fn date(&self, value: &str, zone: &Zone) -> Option<(Timestamp, Option<Length>)> {
        if let Some(Span { start, end }) = parse_period(value) {
            let start = instant(start, zone);
            let length = match end {
                SpanEnd::At(end) => Length::Exact(instant(end, zone).duration_since(start).as_secs()),
                SpanEnd::After(length) => Length::Nominal(length),
            };
            return Some((start, Some(length)));
        }
        let start = match parse_date_time(value)? {
            // A day for an event that has a time of day means that time.
            When::Date(day) => self.zone.instant(day.to_datetime(self.start.time())),
            when if self.all_day => self.zone.instant(midnight(day(when, &self.zone))),
            when => instant(when, zone),
        };
        Some((start, None))
    }

    /// What its clock shows at `instant`; of a whole day midnight, also where the clock skips that.
    pub(super) fn civil(&self, instant: Timestamp) -> DateTime {
        let civil = self.zone.civil(instant);
        if self.all_day { midnight(civil.date()) } else { civil }
    }

    /// Which instance of this event `when` means.
    pub(super) fn mark(&self, when: When, zone: &Zone) -> Mark {
        match when {
            When::Date(day) => Mark::Day(day),
            _ if self.all_day => Mark::Day(day(when, &self.zone)),
            _ => Mark::At(instant(when, zone)),
        }
    }
}

/// The day that a time means where a day is wanted. Programs write whole days as midnight in UTC or as midnight on the clock, and the
/// last one as its last second in UTC.
pub(super) fn day(when: When, zone: &Zone) -> Date {
    const LAST_SECOND: Time = Time::constant(23, 59, 59, 0);
    match when {
        When::Utc(time) if ![Time::midnight(), LAST_SECOND].contains(&time.time()) => {
            zone.civil(Zone::UTC.instant(time)).date()
        }
        _ => when.date(),
    }
}

pub(super) fn midnight(day: Date) -> DateTime {
    day.to_datetime(Time::midnight())
}

/// A property's time and the zone it is in.
struct Reading {
    when: When,
    zone: Zone,
}

impl Reading {
    fn of(property: &Property<'_>, zones: &mut Zones<'_>) -> Result<Reading, NotUnderstood> {
        let Some(when) = parse_date_time(property.value) else {
            return Err(malformed(property.name, property.value));
        };
        let zone = match (when, property.param("TZID")) {
            (When::Utc(_), _) => Zone::UTC,
            (When::Local(_), Some(tzid)) => {
                zones.named(tzid).map_err(|why| NotUnderstood::new("TZID", why))?
            }
            (When::Local(_), None) | (When::Date(_), _) => zones.floating().clone(),
        };
        Ok(Reading { when, zone })
    }

    fn instant(&self) -> Timestamp {
        instant(self.when, &self.zone)
    }
}

/// The instant that a property with one date or time means; of a date its midnight.
pub(super) fn instant_of(property: &Property<'_>, zones: &mut Zones<'_>) -> Result<Timestamp, NotUnderstood> {
    Ok(Reading::of(property, zones)?.instant())
}

/// The instant of `when`, which is on the clock of `zone` if it names no zone itself.
fn instant(when: When, zone: &Zone) -> Timestamp {
    match when {
        When::Utc(time) => Zone::UTC.instant(time),
        When::Local(_) | When::Date(_) => zone.instant(when.civil()),
    }
}

fn malformed(name: &str, value: &str) -> NotUnderstood {
    NotUnderstood::new(name, format!("\"{value}\" is malformed"))
}

fn rule(property: Property<'_>) -> Result<Rule, NotUnderstood> {
    Rule::parse(property.value).map_err(|why| NotUnderstood::new(property.name, why))
}

/// From DTEND, or DURATION, or what their absence means (RFC 5545 §3.6.1).
fn length(
    component: &Component<'_>,
    start: &Reading,
    zones: &mut Zones<'_>,
) -> Result<Length, NotUnderstood> {
    if let Some(property) = component.first("DTEND") {
        return length_to(&Reading::of(&property, zones)?, start);
    }
    let is_date = start.when.is_date();
    match component.value("DURATION") {
        Some(value) => match parse_duration(value) {
            Some(Duration { days: days @ 0.., seconds: 0 }) if is_date => Ok(Length::WholeDays(days)),
            Some(length) if length.nominal_seconds() >= 0 => Ok(Length::Nominal(length)),
            _ => Err(malformed("DURATION", value)),
        },
        None if is_date => Ok(Length::WholeDays(1)),
        None => Ok(Length::Exact(0)),
    }
}

fn length_to(end: &Reading, start: &Reading) -> Result<Length, NotUnderstood> {
    let before = || NotUnderstood::new("DTEND", "is before DTSTART");
    match (start.when, end.when) {
        (When::Date(first), When::Date(last)) => {
            let days = first.until(last).map_or(0, |span| i64::from(span.get_days()));
            // Some programs write the same day twice for one day.
            if days < 0 { Err(before()) } else { Ok(Length::WholeDays(days.max(1))) }
        }
        (When::Date(_), _) | (_, When::Date(_)) => {
            Err(NotUnderstood::new("DTEND", "one of DTSTART and DTEND is a date, the other a time"))
        }
        _ => match end.instant().duration_since(start.instant()).as_secs() {
            ..0 => Err(before()),
            seconds => Ok(Length::Exact(seconds)),
        },
    }
}

fn version(component: &Component<'_>) -> (i64, Option<DateTime>) {
    let sequence = component.value("SEQUENCE").and_then(|value| value.parse().ok()).unwrap_or(0);
    (sequence, component.value("DTSTAMP").and_then(parse_date_time).map(When::civil))
}
