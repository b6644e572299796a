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
