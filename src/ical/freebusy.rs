//! Writes a free/busy publication: one VCALENDAR with exactly one VFREEBUSY (RFC 5545 §3.6.4), as Outlook, Evolution and KDE read it.
//! The lines are made by the `icalendar` crate, which knows how values are escaped. Equal input gives equal bytes.

use icalendar::Property;
use jiff::Timestamp;

use super::line::push_folded;
use super::period::{Kind, Period, TimeRange};

/// What is published.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The owner's mail address, without `mailto:`.
    pub address: &'a str,
    /// Where this publication is read; nothing if only the path is known, which is no URI (RFC 5545 §3.8.4.6).
    pub url: Option<&'a str>,
    pub window: TimeRange,
    /// When it was made. For an Etag that follows the content, give the same one until something else changes.
    pub stamp: Timestamp,
    /// Merged, and cut to the window.
    pub periods: &'a [Period],
}

/// The whole text, with CRLF and folded lines. All times are in UTC, and free time is not listed.
pub fn document(publication: &Publication<'_>) -> String {
    let Publication { address, url, window, stamp, periods } = publication;
    let mut text = String::with_capacity(512 + periods.len() * 64);
    let url = url.map(|url| ("URL", url.to_owned()));
    let head = [
        ("BEGIN", "VCALENDAR".to_owned()),
        ("VERSION", "2.0".to_owned()),
        ("PRODID", super::PRODID.to_owned()),
        ("CALSCALE", "GREGORIAN".to_owned()),
        ("METHOD", "PUBLISH".to_owned()),
        ("BEGIN", "VFREEBUSY".to_owned()),
        ("UID", format!("freebusy-{address}")),
        ("DTSTAMP", utc(*stamp)),
        ("ORGANIZER", format!("mailto:{address}")),
        ("DTSTART", utc(window.start)),
        ("DTEND", utc(window.end)),
    ];
    for (name, value) in head.into_iter().chain(url) {
        push_folded(&mut text, &line(Property::new(name, one_line(&value))));
    }
    for Period { start, end, kind } in *periods {
        // Never longer than a line may be.
        text.push_str(&format!("FREEBUSY;FBTYPE={}:{}/{}\r\n", fbtype(*kind), utc(*start), utc(*end)));
    }
    text + "END:VFREEBUSY\r\nEND:VCALENDAR\r\n"
}

/// A property's line without folds: the crate counts the blank of a fold as no octet, so its lines are one too long.
fn line(property: Property) -> String {
    // Writing to a String cannot fail.
    let line: String = property.try_into().unwrap_or_default();
    line.trim_end().replace("\r\n ", "")
}

/// An address comes from a request or a setting: no line of ours may end in the middle of it.
fn one_line(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).collect()
}

fn fbtype(kind: Kind) -> &'static str {
    match kind {
        Kind::Tentative => "BUSY-TENTATIVE",
        Kind::Busy => "BUSY",
        Kind::Unavailable => "BUSY-UNAVAILABLE",
    }
}

/// An instant as RFC 5545 writes it (form 2 of §3.3.5).
pub(super) fn utc(instant: Timestamp) -> String {
    let civil = super::tz::Zone::UTC.civil(instant);
    let (year, month, day) = (civil.year(), civil.month(), civil.day());
    let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    fn publication<'a>(address: &'a str, url: &'a str, periods: &'a [Period]) -> Publication<'a> {
        let url = Some(url);
        let window = TimeRange { start: at("2026-01-01T00:00:00Z"), end: at("2026-02-26T00:00:00Z") };
        Publication { address, url, window, stamp: at("2026-01-01T08:30:15.9Z"), periods }
    }

    #[test]
    fn a_publication_is_one_vfreebusy() {
        let period = |day, kind| Period {
            start: at(&format!("2026-01-0{day}T09:00:00Z")),
            end: at(&format!("2026-01-0{day}T10:30:00Z")),
            kind,
        };
        let periods = [period(2, Kind::Busy), period(3, Kind::Tentative), period(4, Kind::Unavailable)];
        let text = document(&publication("alice@example.org", "http://h/ical/~alice/freebusy.ifb", &periods));
        let expected = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:{PRODID}\r\nCALSCALE:GREGORIAN\r\n\
            METHOD:PUBLISH\r\nBEGIN:VFREEBUSY\r\nUID:freebusy-alice@example.org\r\nDTSTAMP:20260101T083015Z\r\n\
            ORGANIZER:mailto:alice@example.org\r\nDTSTART:20260101T000000Z\r\nDTEND:20260226T000000Z\r\n\
            URL:http://h/ical/~alice/freebusy.ifb\r\nFREEBUSY;FBTYPE=BUSY:20260102T090000Z/20260102T103000Z\r\n\
            FREEBUSY;FBTYPE=BUSY-TENTATIVE:20260103T090000Z/20260103T103000Z\r\n\
            FREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20260104T090000Z/20260104T103000Z\r\n\
            END:VFREEBUSY\r\nEND:VCALENDAR\r\n",
            PRODID = super::super::PRODID
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn no_value_can_break_a_line_and_long_ones_are_folded() {
        let address = format!("{}\r\nATTENDEE:x", "\u{e4}".repeat(80));
        let url = format!("https://example.org/{}", "x".repeat(200));
        let text = document(&publication(&address, &url, &[]));
        assert!(text.split("\r\n").all(|line| line.len() <= 75 && !line.contains(['\r', '\n'])), "{text}");
        assert!(!text.contains("\r\nATTENDEE"), "{text}");
        assert!(text.replace("\r\n ", "").contains(&format!("\r\nURL:{url}\r\n")), "{text}");
    }

    #[test]
    fn a_stored_copy_of_a_publication_says_the_same() {
        let period = Period {
            start: at("2026-01-02T09:00:00Z"),
            end: at("2026-01-02T10:30:00Z"),
            kind: Kind::Tentative,
        };
        let busy = [period];
        let publication = publication("a@example.org", "http://h/", &busy);
        let found = crate::ical::busy::publication(document(&publication).as_bytes());
        assert_eq!(found, Ok(vec![period]));
    }
}
