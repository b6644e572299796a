//! From the text of one item to the times at which its owner is busy (RFC 4791 §7.10). VTODO and VJOURNAL take no time.
//! What an event says of itself is `verdict`'s business, VAVAILABILITY is `availability`'s.

use jiff::Timestamp;

use super::event::{Component, Event, components};
use super::recur::Steps;
use super::series::{Instance, instances};
use super::tz::{Zone, Zones};
use super::value::{SpanEnd, parse_period};
use super::verdict::{Verdict, verdict};

pub use super::availability::{Availability, overlay};
pub use super::verdict::Owner;

pub use super::event::NotUnderstood;
pub use super::period::{Kind, Period, TimeRange, clip, merge};

/// What one item says of its owner's time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// In no order, cut to the window.
    pub periods: Vec<Period>,
    /// These count together with those of all other items of the owner, see [`overlay`].
    pub availabilities: Vec<Availability>,
}

/// Why a stretch of time is busy, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub start: Timestamp,
    pub end: Timestamp,
    /// Nothing if the owner is free all the same.
    pub kind: Option<Kind>,
    /// The property that decided.
    pub rule: &'static str,
}

/// What `item` (a VCALENDAR with one UID) says of the window.
///
/// # Errors
/// Something in the item is not understood; then nothing is said of any of it.
pub fn found(item: &[u8], window: &TimeRange, owner: &Owner) -> Result<Found, NotUnderstood> {
    let components = components(item);
    let busy =
        |reason: &Reason| reason.kind.map(|kind| Period { start: reason.start, end: reason.end, kind });
    let mut periods: Vec<Period> = published(&components)?.iter().filter_map(busy).collect();
    let events = of_events(item, &components, window, owner, Wanted::Busy)?;
    periods.extend(events.iter().filter_map(busy));
    let availabilities = availabilities(item, &components, window, owner)?;
    Ok(Found { periods: clip(&periods, window), availabilities })
}

/// Why `item` makes the owner busy in the window, and where it does not.
///
/// # Errors
/// As [`found`].
pub fn reasons(item: &[u8], window: &TimeRange, owner: &Owner) -> Result<Vec<Reason>, NotUnderstood> {
    let components = components(item);
    let mut reasons = published(&components)?;
    reasons.extend(of_events(item, &components, window, owner, Wanted::All)?);
    let blocks = overlay(availabilities(item, &components, window, owner)?);
    reasons.extend(blocks.into_iter().map(|Period { start, end, kind }| Reason {
        start,
        end,
        kind: Some(kind),
        rule: "VAVAILABILITY",
    }));
    reasons.retain(|reason| reason.start < window.end && reason.end > window.start);
    reasons.sort_by_key(|reason| reason.start);
    Ok(reasons)
}

/// Which instances are worth working out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Busy,
    All,
}

fn of_events(
    item: &[u8],
    components: &[Component<'_>],
    window: &TimeRange,
    owner: &Owner,
    wanted: Wanted,
) -> Result<Vec<Reason>, NotUnderstood> {
    // One that says no time takes none; of an override it is not clear what becomes of its instance.
    let has_a_time = |component: &&Component<'_>| {
        component.first("DTSTART").is_some() || component.first("RECURRENCE-ID").is_some()
    };
    let components: Vec<&Component<'_>> =
        components.iter().filter(|component| component.name == "VEVENT").filter(has_a_time).collect();
    let verdicts: Vec<Verdict> = components.iter().map(|component| verdict(component, owner)).collect();
    let lies_outside = matches!(components.as_slice(), [only] if is_surely_outside(only, window));
    let all_free = verdicts.iter().all(|verdict| verdict.kind.is_none());
    if lies_outside || components.is_empty() || all_free && wanted == Wanted::Busy {
        return Ok(Vec::new());
    }
    let mut zones = Zones::new(item, &owner.zone);
    let events: Vec<Event> =
        components.iter().map(|component| Event::read(component, &mut zones)).collect::<Result<_, _>>()?;
    let reason = |Instance { event, start, end }| {
        let Verdict { kind, rule } = verdicts[event];
        Reason { start, end, kind, rule }
    };
    Ok(instances(&events, window)?.into_iter().map(reason).collect())
}

fn availabilities(
    item: &[u8],
    components: &[Component<'_>],
    window: &TimeRange,
    owner: &Owner,
) -> Result<Vec<Availability>, NotUnderstood> {
    let mut components = components.iter().filter(|component| component.name == "VAVAILABILITY").peekable();
    if components.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut zones = Zones::new(item, &owner.zone);
    let mut steps = Steps::new();
    components.map(|component| Availability::read(component, window, &mut zones, &mut steps)).collect()
}

/// Whether an event that does not recur is too far from the window for any zone to bring it there. Most events are, and this is all
/// that they cost.
fn is_surely_outside(component: &Component<'_>, window: &TimeRange) -> bool {
    let Some((start, end)) = component.rough_times().filter(|_| !component.is_of_series()) else {
        return false;
    };
    // A whole day without DTEND, and the width of the world's clocks on both sides.
    let slack = jiff::SignedDuration::from_hours(48);
    let (first, last) = (Zone::UTC.civil(window.start), Zone::UTC.civil(window.end));
    end.saturating_add(slack) < first || start.saturating_sub(slack) > last
}

/// What a published free/busy text says, for all times that it speaks of.
///
/// # Errors
/// One of its periods is malformed, or there is no VFREEBUSY in it.
pub fn publication(text: &[u8]) -> Result<Vec<Period>, NotUnderstood> {
    let components = components(text);
    if !components.iter().any(|component| component.name == "VFREEBUSY") {
        return Err(NotUnderstood::new("VFREEBUSY", "there is none"));
    }
    let busy = |Reason { start, end, kind, .. }| kind.map(|kind| Period { start, end, kind });
    Ok(merge(published(&components)?.into_iter().filter_map(busy).collect()))
}

/// The periods of stored VFREEBUSY components.
fn published(components: &[Component<'_>]) -> Result<Vec<Reason>, NotUnderstood> {
    let mut found = Vec::new();
    for component in components.iter().filter(|component| component.name == "VFREEBUSY") {
        for property in component.all("FREEBUSY") {
            let Some(kind) = published_kind(property.param("FBTYPE")) else { continue };
            for value in property.value.split(',') {
                let period = published_period(value, kind);
                let bad = || NotUnderstood::new("FREEBUSY", format!("\"{value}\" is malformed"));
                let Period { start, end, kind } = period.ok_or_else(bad)?;
                found.push(Reason { start, end, kind: Some(kind), rule: "FREEBUSY" });
            }
        }
    }
    Ok(found)
}

/// FBTYPE; what is unknown counts as busy (RFC 5545 §3.2.9).
fn published_kind(fbtype: Option<&str>) -> Option<Kind> {
    const KINDS: [(&str, Option<Kind>); 3] = [
        ("FREE", None),
        ("BUSY-TENTATIVE", Some(Kind::Tentative)),
        ("BUSY-UNAVAILABLE", Some(Kind::Unavailable)),
    ];
    let known = KINDS.iter().find(|(name, _)| fbtype.is_some_and(|fbtype| fbtype.eq_ignore_ascii_case(name)));
    known.map_or(Some(Kind::Busy), |(_, kind)| *kind)
}

/// FREEBUSY periods are in UTC (RFC 5545 §3.8.2.6).
fn published_period(value: &str, kind: Kind) -> Option<Period> {
    let span = parse_period(value)?;
    let start = Zone::UTC.instant(span.start.civil());
    let end = match span.end {
        SpanEnd::At(end) => Zone::UTC.instant(end.civil()),
        SpanEnd::After(length) => {
            start.checked_add(jiff::SignedDuration::from_secs(length.nominal_seconds())).ok()?
        }
    };
    Some(Period { start, end, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    /// The periods of one item that has no other beside it.
    fn periods(item: &[u8], window: &TimeRange, owner: &Owner) -> Result<Vec<Period>, NotUnderstood> {
        let Found { mut periods, availabilities } = super::found(item, window, owner)?;
        periods.extend(clip(&overlay(availabilities), window));
        Ok(periods)
    }

    fn owner() -> Owner {
        let zone = crate::ical::tz::zone("Europe/Berlin").expect("a zone");
        Owner { addresses: vec!["alice@example.org".to_owned(), "al@example.org".to_owned()], zone }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn january() -> TimeRange {
        TimeRange { start: at("2026-01-01T00:00:00Z"), end: at("2026-02-01T00:00:00Z") }
    }

    fn item(components: &str) -> String {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{components}END:VCALENDAR\r\n")
    }

    fn event(lines: &str) -> String {
        format!("BEGIN:VEVENT\r\nUID:x\r\n{lines}\r\nEND:VEVENT\r\n")
    }

    /// `day hour-hour kind` of each period in January 2026, in UTC.
    fn found(components: &str) -> String {
        let mut found = periods(item(components).as_bytes(), &january(), &owner()).expect("understood");
        found.sort_by_key(|period| period.start);
        let text = |period: &Period| {
            format!(
                "{}-{} {:?}",
                period.start.strftime("%d %H:%M"),
                period.end.strftime("%H:%M"),
                period.kind
            )
        };
        found.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn an_instance_is_as_busy_as_its_override_says() {
        let master = "DTSTART:20260110T090000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY;COUNT=4";
        let instance = |day, lines| {
            event(&format!(
                "RECURRENCE-ID:202601{day}T090000Z\r\nDTSTART:202601{day}T090000Z\r\nDURATION:PT1H\r\n{lines}"
            ))
        };
        let components = event(master)
            + &instance(11, "STATUS:CANCELLED")
            + &instance(12, "ATTENDEE;PARTSTAT=DECLINED:mailto:alice@example.org")
            + &instance(13, "STATUS:TENTATIVE");
        assert_eq!(found(&components), "10 09:00-10:00 Busy, 13 09:00-10:00 Tentative");
        let free = event(&format!("{master}\r\nTRANSP:TRANSPARENT")) + &instance(12, "TRANSP:OPAQUE");
        assert_eq!(found(&free), "12 09:00-10:00 Busy");
    }

    #[test]
    fn whole_days_and_floating_times_are_in_the_owners_zone() {
        let floating = event("DTSTART:20260110T090000\r\nDURATION:PT1H");
        assert_eq!(found(&floating), "10 08:00-09:00 Busy");
        let whole_day = event("DTSTART;VALUE=DATE:20260110");
        assert_eq!(found(&whole_day), "09 23:00-23:00 Busy");
        let of_a_program = "X-WR-TIMEZONE:America/New_York\r\n";
        assert_eq!(found(&format!("{of_a_program}{floating}")), "10 08:00-09:00 Busy");
        let unknown = event("DTSTART;TZID=Nowhere:20260110T090000\r\nDURATION:PT1H");
        assert_eq!(found(&unknown), "10 08:00-09:00 Busy");
    }

    #[test]
    fn a_zone_is_found_by_windows_name_and_in_the_file() {
        let zone = "BEGIN:VTIMEZONE\r\nTZID:Custom\r\nBEGIN:STANDARD\r\nDTSTART:16010101T000000\r\n\
            TZOFFSETFROM:+0545\r\nTZOFFSETTO:+0545\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";
        let table = [
            ("W. Europe Standard Time", "10 08:00-09:00 Busy"),
            ("\"(UTC-05:00) Eastern Time (US & Canada)\"", "10 14:00-15:00 Busy"),
            ("Custom", "10 03:15-04:15 Busy"),
        ];
        for (tzid, expected) in table {
            let event = event(&format!("DTSTART;TZID={tzid}:20260110T090000\r\nDURATION:PT1H"));
            assert_eq!(found(&format!("{zone}{event}")), expected, "{tzid}");
        }
    }

    #[test]
    fn periods_are_cut_to_the_window_and_have_a_length() {
        assert_eq!(
            found(&event("DTSTART:20251230T090000Z\r\nDTEND:20260101T100000Z")),
            "01 00:00-10:00 Busy"
        );
        assert_eq!(found(&event("DTSTART:20260131T230000Z\r\nDURATION:P9D")), "31 23:00-00:00 Busy");
        for lines in [
            "DTSTART:20260110T090000Z",
            "DTSTART:20260110T090000Z\r\nDURATION:PT0S",
            "DTSTART:20251230T090000Z\r\nDTEND:20260101T000000Z",
            "DTSTART:20260201T000000Z\r\nDURATION:PT1H",
            "DTSTART;TZID=Pacific/Kiritimati:20260101T120000\r\nDURATION:PT2H",
            "DTSTART:19970101T000000Z\r\nDURATION:PT1H",
        ] {
            assert_eq!(found(&event(lines)), "", "{lines}");
        }
        // The clocks that are furthest from UTC show other days.
        for (lines, expected) in [
            ("DTSTART;TZID=Pacific/Kiritimati:20260101T120000\r\nDURATION:PT3H", "01 00:00-01:00 Busy"),
            ("DTSTART;TZID=Pacific/Kiritimati:20260201T130000\r\nDURATION:PT1H", "31 23:00-00:00 Busy"),
            ("DTSTART;TZID=Etc/GMT+12:20251231T130000\r\nDURATION:PT1H", "01 01:00-02:00 Busy"),
        ] {
            assert_eq!(found(&event(lines)), expected, "{lines}");
        }
    }

    #[test]
    fn tasks_and_journals_take_no_time() {
        for name in ["VTODO", "VJOURNAL", "X-OTHER"] {
            let lines =
                format!("BEGIN:{name}\r\nDTSTART:20260110T090000Z\r\nDURATION:PT1H\r\nEND:{name}\r\n");
            assert_eq!(found(&lines), "");
        }
    }

    #[test]
    fn a_stored_vfreebusy_counts_as_it_says() {
        let lines = "BEGIN:VFREEBUSY\r\nFREEBUSY:20260110T090000Z/PT1H,20260111T090000Z/20260111T100000Z\r\n\
            FREEBUSY;FBTYPE=FREE:20260112T090000Z/PT1H\r\nFREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20260113T090000Z/PT1H\r\n\
            FREEBUSY;FBTYPE=BUSY-TENTATIVE:20260114T090000Z/PT1H\r\nFREEBUSY;FBTYPE=X-A:20260115T090000Z/PT1H\r\n\
            END:VFREEBUSY\r\n";
        assert_eq!(
            found(lines),
            "10 09:00-10:00 Busy, 11 09:00-10:00 Busy, 13 09:00-10:00 Unavailable, \
             14 09:00-10:00 Tentative, 15 09:00-10:00 Busy"
        );
    }

    #[test]
    fn a_rule_of_another_calendar_is_its_first_instance() {
        let start = "DTSTART:20260110T090000Z\r\nDURATION:PT1H\r\nRRULE:RSCALE";
        assert_eq!(
            found(&event(&format!("{start}=GREGORIAN;FREQ=DAILY;COUNT=2"))),
            "10 09:00-10:00 Busy, 11 09:00-10:00 Busy"
        );
        for rule in ["CHINESE;FREQ=YEARLY", "HEBREW;FREQ=DAILY;BYMONTH=5L;SKIP=FORWARD", "x;FREQ=DAILY"] {
            assert_eq!(
                found(&event(&format!("{start}={rule}\r\nRDATE:20260112T090000Z"))),
                "10 09:00-10:00 Busy, 12 09:00-10:00 Busy"
            );
        }
    }

    #[test]
    fn each_stretch_has_the_property_that_made_it() {
        let why = |components: &str| {
            let reasons = reasons(item(components).as_bytes(), &january(), &owner()).expect("understood");
            let text = |reason: &Reason| {
                format!("{} {:?} {}", reason.start.strftime("%d"), reason.kind, reason.rule)
            };
            reasons.iter().map(text).collect::<Vec<_>>().join(", ")
        };
        let lines = "DTSTART:20260110T090000Z\r\nDURATION:PT1H";
        for (more, expected) in [
            ("X-NONE:", "10 Some(Busy) nothing says otherwise"),
            ("TRANSP:TRANSPARENT", "10 None TRANSP:TRANSPARENT"),
            ("STATUS:TENTATIVE", "10 Some(Tentative) STATUS:TENTATIVE"),
            ("ATTENDEE;PARTSTAT=DECLINED:mailto:al@example.org", "10 None the owner's PARTSTAT:DECLINED"),
            ("DTSTART:20270110T090000Z", "10 Some(Busy) nothing says otherwise"),
        ] {
            assert_eq!(why(&event(&format!("{lines}\r\n{more}"))), expected);
        }
        let published = "BEGIN:VFREEBUSY\r\nFREEBUSY:20260111T090000Z/PT1H\r\nEND:VFREEBUSY\r\n";
        assert_eq!(why(published), "11 Some(Busy) FREEBUSY");
        let away = "BEGIN:VAVAILABILITY\r\nDTSTART:20260130T000000Z\r\nEND:VAVAILABILITY\r\n";
        assert_eq!(why(away), "30 Some(Unavailable) VAVAILABILITY");
        assert_eq!(why(&event("DTSTART:20250110T090000Z")), "");
    }

    #[test]
    fn what_is_not_understood_says_so_and_what_is_free_need_not_be() {
        let why = |components: &str| {
            periods(item(components).as_bytes(), &january(), &owner()).map_err(|error| error.to_string())
        };
        let bad = "DTSTART:20260110T090000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=SOMETIMES";
        assert_eq!(why(&event(bad)), Err("RRULE: FREQ=SOMETIMES is malformed".to_owned()));
        assert_eq!(why(&event(&format!("{bad}\r\nTRANSP:TRANSPARENT"))), Ok(Vec::new()));
        assert_eq!(why(&event("SUMMARY:No time")), Ok(Vec::new()));
    }

    /// Lines that a calendar may be made of, in any order and any nonsense.
    fn any_line() -> impl Strategy<Value = String> {
        let names =
            vec!["DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "BEGIN", "END"];
        let values = vec![
            "20260110T090000Z",
            "20260110",
            "99991231T235959",
            "00010101",
            "PT1H",
            "P1000000000D",
            "-P9W",
            "VEVENT",
            "FREQ=DAILY",
            "FREQ=YEARLY;BYWEEKNO=53,-53;BYSETPOS=-1",
            "FREQ=SECONDLY;INTERVAL=4294967295",
            "FREQ=MONTHLY;BYMONTHDAY=-31;COUNT=4294967295",
            "20260110T090000Z/PT1H",
            "VTIMEZONE",
            "STANDARD",
            "",
            "00010101T000000Z/P999999999D",
            "FREQ=WEEKLY;UNTIL=99991231T235959Z",
        ];
        let params =
            vec!["", ";VALUE=DATE", ";TZID=Europe/Berlin", ";TZID=X", ";RANGE=THISANDFUTURE", ";=\""];
        let select = proptest::sample::select;
        (select(names), select(params), select(values))
            .prop_map(|(name, params, value)| format!("{name}{params}:{value}\r\n"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_item_breaks_it(
            events in proptest::collection::vec(proptest::collection::vec(any_line(), 0..8), 1..4),
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let events: String = events.iter().map(|lines| event(&lines.concat())).collect();
            let mut text = item(&events).into_bytes();
            for found in [periods(&text, &january(), &owner()), { text.extend(&bytes); periods(&text, &january(), &owner()) }] {
                for period in found.unwrap_or_default() {
                    prop_assert!(january().start <= period.start && period.start < period.end && period.end <= january().end);
                }
            }
        }
    }
}
