//! What one VEVENT says of its owner's time: busy, tentative, away, or free, and which property says so (RFC 4791 §7.10).

use jiff::tz::TimeZone;

use super::event::Component;
use super::line::Property;
use super::period::Kind;

/// Whose time it is.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The mail addresses under which the owner is invited, without `mailto:`.
    pub addresses: Vec<String>,
    /// The zone of whole days and floating times where the item names none.
    pub zone: TimeZone,
}

/// How busy the owner is through an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Nothing if not at all.
    pub kind: Option<Kind>,
    /// The property that decided.
    pub rule: &'static str,
}

const fn says(kind: Option<Kind>, rule: &'static str) -> Verdict {
    Verdict { kind, rule }
}

const MICROSOFT: &str = "X-MICROSOFT-CDO-BUSYSTATUS";

/// Property and value that make an event free; before everything else.
const FREE: [(&str, &str, Verdict); 4] = [
    ("TRANSP", "TRANSPARENT", says(None, "TRANSP:TRANSPARENT")),
    ("STATUS", "CANCELLED", says(None, "STATUS:CANCELLED")),
    (MICROSOFT, "FREE", says(None, "X-MICROSOFT-CDO-BUSYSTATUS:FREE")),
    (MICROSOFT, "WORKINGELSEWHERE", says(None, "X-MICROSOFT-CDO-BUSYSTATUS:WORKINGELSEWHERE")),
];

/// Property and value that make a busy event another kind of busy; the first that fits decides.
const OTHERWISE: [(&str, &str, Verdict); 3] = [
    (MICROSOFT, "OOF", says(Some(Kind::Unavailable), "X-MICROSOFT-CDO-BUSYSTATUS:OOF")),
    ("STATUS", "TENTATIVE", says(Some(Kind::Tentative), "STATUS:TENTATIVE")),
    (MICROSOFT, "TENTATIVE", says(Some(Kind::Tentative), "X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE")),
];

/// PARTSTAT of the owner.
const DECLINED: Verdict = says(None, "the owner's PARTSTAT:DECLINED");
const DELEGATED: Verdict = says(None, "the owner's PARTSTAT:DELEGATED");
const UNDECIDED: Verdict = says(Some(Kind::Tentative), "the owner's PARTSTAT:TENTATIVE");
const UNANSWERED: Verdict = says(Some(Kind::Tentative), "the owner's PARTSTAT:NEEDS-ACTION");

const BUSY: Verdict = says(Some(Kind::Busy), "nothing says otherwise");

/// How busy the owner is through this event.
pub fn verdict(event: &Component<'_>, owner: &Owner) -> Verdict {
    let fitting = |table: &[(&'static str, &str, Verdict)]| {
        let fits = |name, value: &str| event.value(name).is_some_and(|own| own.eq_ignore_ascii_case(value));
        table.iter().find(|(name, value, _)| fits(name, value)).map(|(.., verdict)| *verdict)
    };
    let answer = answer(event, owner);
    let declined = answer.filter(|answer| answer.kind.is_none());
    fitting(&FREE).or(declined).or_else(|| fitting(&OTHERWISE)).or(answer).unwrap_or(BUSY)
}

/// The owner's own PARTSTAT (RFC 5545 §3.2.12), where it says something else than busy. Who is not invited made the event; who
/// organises it and gave no answer comes too.
fn answer(event: &Component<'_>, owner: &Owner) -> Option<Verdict> {
    let attendee = event.all("ATTENDEE").find(|attendee| owner.is(attendee))?;
    let organises = || event.first("ORGANIZER").is_some_and(|organizer| owner.is(&organizer));
    let Some(status) = attendee.param("PARTSTAT") else {
        return (!organises()).then_some(UNANSWERED);
    };
    const ANSWERS: [(&str, Verdict); 4] = [
        ("DECLINED", DECLINED),
        ("DELEGATED", DELEGATED),
        ("TENTATIVE", UNDECIDED),
        ("NEEDS-ACTION", UNANSWERED),
    ];
    ANSWERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(status)).map(|(_, verdict)| *verdict)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::event::components;
    use crate::ical::period::Kind::{Busy, Tentative, Unavailable};

    /// Each of the table's lines makes an event of alice's as busy as it says beside them.
    fn assert_kinds(table: &[(&str, Option<Kind>)]) {
        let zone = crate::ical::tz::zone("Europe/Berlin").expect("a zone");
        let addresses = vec!["alice@example.org".to_owned(), "al@example.org".to_owned()];
        let owner = Owner { addresses, zone };
        for (lines, kind) in table {
            let event = format!("BEGIN:VEVENT\r\nDTSTART:20260110T090000Z\r\n{lines}\r\nEND:VEVENT\r\n");
            let components = components(event.as_bytes());
            assert_eq!(verdict(&components[0], &owner).kind, *kind, "{lines}");
        }
    }

    #[test]
    fn an_event_is_busy_until_it_says_otherwise_a_whole_day_too() {
        assert_kinds(&[("X-NONE:", Some(Busy)), ("DTSTART;VALUE=DATE:20260110", Some(Busy))]);
    }

    #[test]
    fn transp_makes_an_event_free_also_a_whole_day() {
        assert_kinds(&[
            ("TRANSP:OPAQUE", Some(Busy)),
            ("TRANSP:TRANSPARENT", None),
            ("transp:transparent", None),
            ("DTSTART;VALUE=DATE:20260110\r\nTRANSP:TRANSPARENT", None),
        ]);
    }

    #[test]
    fn status_cancelled_is_free_and_tentative_is_tentative() {
        assert_kinds(&[
            ("STATUS:CONFIRMED", Some(Busy)),
            ("STATUS:TENTATIVE", Some(Tentative)),
            ("STATUS:CANCELLED", None),
            ("STATUS:CANCELLED\r\nTRANSP:OPAQUE", None),
        ]);
    }

    #[test]
    fn the_owners_partstat_counts_under_each_of_the_owners_addresses_and_nobody_elses() {
        assert_kinds(&[
            ("ATTENDEE;PARTSTAT=ACCEPTED:mailto:alice@example.org", Some(Busy)),
            ("ATTENDEE;PARTSTAT=DECLINED:MAILTO:Alice@Example.org", None),
            ("ATTENDEE;PARTSTAT=declined:mailto:al@example.org", None),
            ("ATTENDEE;PARTSTAT=DELEGATED:mailto:alice@example.org", None),
            ("ATTENDEE;PARTSTAT=TENTATIVE:mailto:alice@example.org", Some(Tentative)),
            ("ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:alice@example.org", Some(Tentative)),
            ("ATTENDEE;EMAIL=\"alice@example.org\";PARTSTAT=DECLINED:urn:uuid:1", None),
            ("ATTENDEE;PARTSTAT=DECLINED:mailto:bob@example.org", Some(Busy)),
            ("BEGIN:VALARM\r\nATTENDEE;PARTSTAT=DECLINED:mailto:alice@example.org\r\nEND:VALARM", Some(Busy)),
        ]);
    }

    #[test]
    fn who_is_invited_and_has_not_answered_is_tentative_but_who_organises_comes() {
        assert_kinds(&[
            ("ATTENDEE:mailto:alice@example.org", Some(Tentative)),
            ("ATTENDEE:mailto:alice@example.org\r\nORGANIZER:mailto:alice@example.org", Some(Busy)),
        ]);
    }

    #[test]
    fn microsofts_busy_status_counts() {
        assert_kinds(&[
            ("X-MICROSOFT-CDO-BUSYSTATUS:BUSY", Some(Busy)),
            ("X-MICROSOFT-CDO-BUSYSTATUS:FREE", None),
            ("X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE", Some(Tentative)),
            ("X-MICROSOFT-CDO-BUSYSTATUS:OOF", Some(Unavailable)),
            ("X-MICROSOFT-CDO-BUSYSTATUS:WORKINGELSEWHERE", None),
            ("X-MICROSOFT-CDO-BUSYSTATUS:OOF\r\nTRANSP:TRANSPARENT", None),
        ]);
    }

    #[test]
    fn class_hides_nothing_of_busy_time() {
        assert_kinds(&[("CLASS:PRIVATE", Some(Busy)), ("CLASS:CONFIDENTIAL", Some(Busy))]);
    }
}
