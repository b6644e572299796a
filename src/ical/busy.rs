//! From the text of one item to the times at which its owner is busy (RFC 4791 §7.10, DESIGN §7). VTODO and VJOURNAL take no time;
//! VAVAILABILITY is not evaluated yet and says so.

use jiff::tz::TimeZone;

use super::event::{Component, Event, components};
use super::line::Property;
use super::series::{Instance, instances};
use super::tz::{Zone, Zones};
use super::value::{SpanEnd, parse_period};

pub use super::event::NotUnderstood;
pub use super::period::{Kind, Period, TimeRange, clip, merge};

/// Whose time it is.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The mail addresses under which the owner is invited, without `mailto:`.
    pub addresses: Vec<String>,
    /// The zone of whole days and floating times where the item names none.
    pub zone: TimeZone,
}

/// The busy periods of `item` (a VCALENDAR with one UID) that overlap the window, cut to it, in no order.
///
/// # Errors
/// Something in the item is not understood; then nothing is said of any of it.
pub fn periods(item: &[u8], window: &TimeRange, owner: &Owner) -> Result<Vec<Period>, NotUnderstood> {
    let components = components(item);
    if let Some(availability) = components.iter().find(|component| component.name == "VAVAILABILITY") {
        return Err(NotUnderstood::new(&availability.name, "is not supported yet"));
    }
    let mut found = published(&components)?;
    let events: Vec<&Component<'_>> =
        components.iter().filter(|component| component.name == "VEVENT").collect();
    found.extend(of_events(item, &events, window, owner)?);
    Ok(clip(&found, window))
}

fn of_events(
    item: &[u8],
    components: &[&Component<'_>],
    window: &TimeRange,
    owner: &Owner,
) -> Result<Vec<Period>, NotUnderstood> {
    let kinds: Vec<Option<Kind>> = components.iter().map(|component| kind(component, owner)).collect();
    let lies_outside = matches!(components, [only] if is_surely_outside(only, window));
    if lies_outside || kinds.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    let mut zones = Zones::new(item, &owner.zone);
    let events: Vec<Event> =
        components.iter().map(|component| Event::read(component, &mut zones)).collect::<Result<_, _>>()?;
    let busy = |Instance { event, start, end }| kinds[event].map(|kind| Period { start, end, kind });
    Ok(instances(&events, window)?.into_iter().filter_map(busy).collect())
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

/// How busy the owner is through this event, or nothing if not at all.
fn kind(event: &Component<'_>, owner: &Owner) -> Option<Kind> {
    let says = |name, value: &str| event.value(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
    let microsoft = "X-MICROSOFT-CDO-BUSYSTATUS";
    let answer = answer(event, owner);
    let is_free = says("TRANSP", "TRANSPARENT")
        || says("STATUS", "CANCELLED")
        || says(microsoft, "FREE")
        || says(microsoft, "WORKINGELSEWHERE")
        || answer == Answer::No;
    if is_free {
        None
    } else if says(microsoft, "OOF") {
        Some(Kind::Unavailable)
    } else if says("STATUS", "TENTATIVE") || says(microsoft, "TENTATIVE") || answer == Answer::Open {
        Some(Kind::Tentative)
    } else {
        Some(Kind::Busy)
    }
}

/// Whether the owner takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    Open,
    No,
}

/// The owner's own PARTSTAT (RFC 5545 §3.2.12). Who is not invited made the event; who organises it and gave no answer comes too.
fn answer(event: &Component<'_>, owner: &Owner) -> Answer {
    let Some(attendee) = event.all("ATTENDEE").find(|attendee| owner.is(attendee)) else {
        return Answer::Yes;
    };
    let organises = || event.first("ORGANIZER").is_some_and(|organizer| owner.is(&organizer));
    let Some(status) = attendee.param("PARTSTAT") else {
        return if organises() { Answer::Yes } else { Answer::Open };
    };
    const ANSWERS: [(&str, Answer); 4] = [
        ("DECLINED", Answer::No),
        ("DELEGATED", Answer::No),
        ("TENTATIVE", Answer::Open),
        ("NEEDS-ACTION", Answer::Open),
    ];
    let known = ANSWERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(status));
    known.map_or(Answer::Yes, |(_, answer)| *answer)
}

impl Owner {
    /// Whether a property's calendar address, or the address that EMAIL (RFC 7986 §6.2) gives beside it, is the owner's.
    fn is(&self, property: &Property<'_>) -> bool {
        let found = [Some(property.value), property.param("EMAIL")];
        let own = |address: &str| self.addresses.iter().any(|known| known.eq_ignore_ascii_case(address));
        found.into_iter().flatten().any(|address| own(without_scheme(address.trim_ascii())))
    }
}

fn without_scheme(address: &str) -> &str {
    match address.split_at_checked("mailto:".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("mailto:") => rest,
        _ => address,
    }
}

/// The periods of stored VFREEBUSY components.
fn published(components: &[Component<'_>]) -> Result<Vec<Period>, NotUnderstood> {
    let mut found = Vec::new();
    for component in components.iter().filter(|component| component.name == "VFREEBUSY") {
        for property in component.all("FREEBUSY") {
            let Some(kind) = published_kind(property.param("FBTYPE")) else { continue };
            for value in property.value.split(',') {
                let period = published_period(value, kind);
                let bad = || NotUnderstood::new("FREEBUSY", format!("\"{value}\" is malformed"));
                found.push(period.ok_or_else(bad)?);
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
    use super::Kind::{Busy, Tentative, Unavailable};
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

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
    fn what_an_event_says_of_itself_makes_it_busy_or_not() {
        let table: [(&str, Option<Kind>); 25] = [
            ("X-NONE:", Some(Busy)),
            ("TRANSP:OPAQUE", Some(Busy)),
            ("TRANSP:TRANSPARENT", None),
            ("transp:transparent", None),
            ("STATUS:CONFIRMED", Some(Busy)),
            ("STATUS:TENTATIVE", Some(Tentative)),
            ("STATUS:CANCELLED", None),
            ("CLASS:PRIVATE", Some(Busy)),
            ("X-MICROSOFT-CDO-BUSYSTATUS:BUSY", Some(Busy)),
            ("X-MICROSOFT-CDO-BUSYSTATUS:FREE", None),
            ("X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE", Some(Tentative)),
            ("X-MICROSOFT-CDO-BUSYSTATUS:OOF", Some(Unavailable)),
            ("X-MICROSOFT-CDO-BUSYSTATUS:WORKINGELSEWHERE", None),
            ("X-MICROSOFT-CDO-BUSYSTATUS:OOF\r\nTRANSP:TRANSPARENT", None),
            ("ATTENDEE;PARTSTAT=ACCEPTED:mailto:alice@example.org", Some(Busy)),
            ("ATTENDEE;PARTSTAT=DECLINED:MAILTO:Alice@Example.org", None),
            ("ATTENDEE;PARTSTAT=declined:mailto:al@example.org", None),
            ("ATTENDEE;PARTSTAT=DELEGATED:mailto:alice@example.org", None),
            ("ATTENDEE;PARTSTAT=TENTATIVE:mailto:alice@example.org", Some(Tentative)),
            ("ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:alice@example.org", Some(Tentative)),
            ("ATTENDEE:mailto:alice@example.org", Some(Tentative)),
            ("ATTENDEE:mailto:alice@example.org\r\nORGANIZER:mailto:alice@example.org", Some(Busy)),
            ("ATTENDEE;PARTSTAT=DECLINED:mailto:bob@example.org", Some(Busy)),
            ("ATTENDEE;EMAIL=\"alice@example.org\";PARTSTAT=DECLINED:urn:uuid:1", None),
            ("BEGIN:VALARM\r\nATTENDEE;PARTSTAT=DECLINED:mailto:alice@example.org\r\nEND:VALARM", Some(Busy)),
        ];
        for (lines, kind) in table {
            let lines = format!("DTSTART:20260110T090000Z\r\nDTEND:20260110T100000Z\r\n{lines}");
            let expected = kind.map_or(String::new(), |kind| format!("10 09:00-10:00 {kind:?}"));
            assert_eq!(found(&event(&lines)), expected, "{lines}");
        }
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
    fn whole_days_and_floating_times_are_in_the_owners_zone_or_the_calendars() {
        let floating = event("DTSTART:20260110T090000\r\nDURATION:PT1H");
        assert_eq!(found(&floating), "10 08:00-09:00 Busy");
        let whole_day = event("DTSTART;VALUE=DATE:20260110");
        assert_eq!(found(&whole_day), "09 23:00-23:00 Busy");
        let calendar = "X-WR-TIMEZONE:America/New_York\r\n";
        assert_eq!(found(&format!("{calendar}{floating}")), "10 14:00-15:00 Busy");
        assert_eq!(found(&format!("{calendar}{whole_day}")), "10 05:00-05:00 Busy");
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
    fn what_is_not_understood_says_so_and_what_is_free_need_not_be() {
        let why = |components: &str| {
            periods(item(components).as_bytes(), &january(), &owner()).map_err(|error| error.to_string())
        };
        let bad = "DTSTART:20260110T090000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY;RSCALE=HEBREW";
        assert_eq!(why(&event(bad)), Err("RRULE: RSCALE=HEBREW is not supported".to_owned()));
        assert_eq!(why(&event(&format!("{bad}\r\nTRANSP:TRANSPARENT"))), Ok(Vec::new()));
        let availability = "BEGIN:VAVAILABILITY\r\nUID:x\r\nEND:VAVAILABILITY\r\n";
        assert_eq!(why(availability), Err("VAVAILABILITY: is not supported yet".to_owned()));
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
