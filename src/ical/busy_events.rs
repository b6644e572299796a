//! Writes busy times as VEVENTs that say "Busy" and nothing else, for programs that subscribe to calendars and know no VFREEBUSY.
//! Equal input gives equal bytes.

use jiff::Timestamp;

use super::freebusy::utc;
use super::period::{Kind, Period};
use super::text::{escape, push_line};

/// What is written.
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a> {
    /// Whose time it is, for people.
    pub name: &'a str,
    /// What tells these busy times from others: with the start it makes each UID.
    pub of: &'a str,
    /// When they were made. For an Etag that follows the content, give the same one until something else changes.
    pub stamp: Timestamp,
    /// Merged, and cut to the window.
    pub periods: &'a [Period],
}

/// The whole calendar, with CRLF and folded lines. All times are in UTC.
pub fn events(blocks: &Blocks<'_>) -> String {
    let mut text = Vec::with_capacity(256 + blocks.periods.len() * 200);
    let name = escape(&format!("{}: busy", blocks.name));
    let head = [
        "BEGIN:VCALENDAR".to_owned(),
        "VERSION:2.0".to_owned(),
        format!("PRODID:{}", super::PRODID),
        "CALSCALE:GREGORIAN".to_owned(),
        format!("NAME:{name}"),
        format!("X-WR-CALNAME:{name}"),
    ];
    head.iter().for_each(|line| push_line(&mut text, line));
    let stamp = utc(blocks.stamp);
    blocks.periods.iter().for_each(|period| push_event(&mut text, blocks.of, &stamp, period));
    push_line(&mut text, "END:VCALENDAR");
    String::from_utf8_lossy(&text).into_owned()
}

fn push_event(text: &mut Vec<u8>, of: &str, stamp: &str, period: &Period) {
    let Period { start, end, kind } = period;
    let start = utc(*start);
    let uid = &blake3::hash(format!("{of}\n{start}").as_bytes()).to_hex()[..32];
    let (status, microsoft) = match kind {
        Kind::Tentative => ("TENTATIVE", "TENTATIVE"),
        Kind::Busy => ("CONFIRMED", "BUSY"),
        Kind::Unavailable => ("CONFIRMED", "OOF"),
    };
    let lines = [
        "BEGIN:VEVENT".to_owned(),
        format!("UID:{uid}"),
        format!("DTSTAMP:{stamp}"),
        format!("DTSTART:{start}"),
        format!("DTEND:{}", utc(*end)),
        "SUMMARY:Busy".to_owned(),
        format!("STATUS:{status}"),
        format!("X-MICROSOFT-CDO-BUSYSTATUS:{microsoft}"),
        "END:VEVENT".to_owned(),
    ];
    lines.iter().for_each(|line| push_line(text, line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::busy::{Owner, found};
    use crate::ical::cut::cut;
    use crate::ical::item::Item;
    use crate::ical::period::TimeRange;

    #[test]
    fn a_copy_of_the_events_makes_as_busy_as_they_say() {
        let at = |text: &str| text.parse::<Timestamp>().expect("an instant");
        let period = |day: u8, kind| Period {
            start: at(&format!("2026-01-0{day}T09:00:00Z")),
            end: at(&format!("2026-01-0{day}T10:30:00Z")),
            kind,
        };
        let periods = [period(2, Kind::Busy), period(3, Kind::Tentative), period(4, Kind::Unavailable)];
        let blocks =
            Blocks { name: "alice, x", of: "alice", stamp: at("2026-01-01T00:00:00Z"), periods: &periods };
        let text = events(&blocks);
        assert_eq!(text.matches("BEGIN:VEVENT").count(), 3);
        let window = TimeRange { start: at("2026-01-01T00:00:00Z"), end: at("2026-02-01T00:00:00Z") };
        let owner = Owner { addresses: Vec::new(), zone: jiff::tz::TimeZone::UTC };
        let items = cut(text.as_bytes()).expect("a calendar").items;
        let of = |item: &Item| found(&item.raw, &window, &owner).expect("understood").periods;
        assert_eq!(items.iter().flat_map(of).collect::<Vec<_>>(), periods);
        assert_eq!(events(&Blocks { of: "bob", ..blocks }).len(), text.len());
        assert_ne!(events(&Blocks { of: "bob", ..blocks }), text, "others' events have other UIDs");
    }
}
