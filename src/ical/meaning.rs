//! What an item says, apart from how a program wrote it: the comparison that every merge rests on.
//!
//! Two items mean the same if they differ only in folding, letter case of names, order (of properties, parameters,
//! lists and RRULE parts), spelling of durations, of `mailto:` and of an IANA zone's name, DTSTAMP, CREATED, LANGUAGE,
//! X- parameters of attendees, empty properties and defaults. Views keep hashes of it: who changes what counts raises their
//! version.

use jiff::civil::Date;

use super::left_out::{has_bad_value, lacks_start};
use super::line::{Property, lines};
use super::revision::{Revision, of_revisions};
use super::scan::Kind;
use super::sense::{half, hash, push_meanings};
use super::stamp::{Stamp, digits};
use super::value::{When, parse_date_time};

pub use super::sense::Hash;

/// How an item looks to a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub meaning: Hash,
    /// RECURRENCE-ID, DTSTAMP, LAST-MODIFIED, SEQUENCE and X-MOZ-GENERATION of each component. Mozilla's programs
    /// move them at every edit and leave them alone otherwise. [`NOT_LOADED`] for what they leave out without a word.
    pub stamps: Hash,
    /// LAST-MODIFIED and SEQUENCE of each occurrence that is a component of its own: KDE's programs move one at every edit of it.
    /// [`UNSTAMPED`] where one has no LAST-MODIFIED, for they make up one then.
    pub kde_stamps: Hash,
    /// The meaning without LAST-MODIFIED, which KDE's programs also move by writing what has an alarm.
    pub undated: Hash,
    pub age: Age,
}

/// The stamps of an item of which Mozilla's programs load no component.
pub const NOT_LOADED: Hash = [0; 16];

/// The stamps of an item by which KDE's programs do not tell what was edited.
pub const UNSTAMPED: Hash = [0; 16];

/// Which of two versions is the newer one where nothing else tells: compared field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Age {
    pub sequence: u64,
    /// The digits of the date-time, as one number.
    pub last_modified: u64,
    pub dtstamp: u64,
}

/// The stamps of each of several components, in an order of their own.
pub fn stamps(raw: &[u8]) -> Vec<Hash> {
    let mut stamps = Reader::read(raw).stamps;
    stamps.sort_unstable();
    stamps
}

/// Looks at components as raw bytes; `zones` are the meanings of the custom time zones that they use.
pub fn look(raw: &[u8], zones: &[Hash]) -> Look {
    let mut reader = Reader::read(raw);
    // What stands outside of any component is none: only the components count.
    let [meaning, undated] = [reader.finished, reader.undated].map(|mut outer| {
        outer.extend_from_slice(zones);
        of_all(b"", &mut outer)
    });
    let stamps = if reader.is_loaded { of_all(b"", &mut reader.stamps) } else { NOT_LOADED };
    let kde_stamps = of_revisions(reader.revisions).unwrap_or(UNSTAMPED);
    Look { meaning, stamps, kde_stamps, undated, age: reader.age }
}

/// One hash for several, whatever their order.
fn of_all(name: &[u8], parts: &mut [Hash]) -> Hash {
    parts.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(name);
    hasher.update(&[0]);
    hasher.update(parts.as_flattened());
    half(&hasher.finalize())
}

/// A component that is being read: its name and the meanings of what it holds so far.
struct Open {
    name: String,
    parts: Vec<Hash>,
    last_modified: Vec<Hash>,
    /// One of each kind.
    stamps: [Option<Hash>; 5],
    revision: Revision,
    has_start: bool,
    has_bad_value: bool,
    /// Its DTSTART, if that is a whole day.
    day: Option<Date>,
    /// Its DTEND, if that is a whole day, and which of the parts it is.
    end: Option<(Date, usize)>,
}

impl Open {
    fn new(name: String) -> Open {
        Open {
            name,
            parts: Vec::with_capacity(32),
            last_modified: Vec::new(),
            stamps: [None; 5],
            revision: Revision::default(),
            has_start: false,
            has_bad_value: false,
            day: None,
            end: None,
        }
    }

    /// Mozilla's programs write a stamp trimmed, the first of several, and none that is empty.
    fn note_stamp(&mut self, stamp: Stamp, value: &str) {
        self.revision.note(stamp, value);
        if !value.is_empty() {
            let of = || hash(format!("{stamp:?}:{value}").as_bytes());
            self.stamps[stamp as usize].get_or_insert_with(of);
        }
    }

    /// Notes, before it is among the parts, what tells how many days it takes.
    fn note_days(&mut self, property: &Property<'_>) {
        let day = || match parse_date_time(property.value.trim_ascii()) {
            Some(When::Date(day)) => Some(day),
            _ => None,
        };
        if property.is("DTSTART") {
            self.has_start = true;
            self.day = day();
        } else if property.is("DTEND") {
            self.end = day().map(|end| (end, self.parts.len()));
        }
    }

    /// What it means, and without its LAST-MODIFIED. A whole day ends with the day, whether or not that is said (RFC 5545 §3.6.1).
    fn meanings(&mut self) -> [Hash; 2] {
        if let (Some(day), Some((end, at))) = (self.day, self.end)
            && self.name == "VEVENT"
            && day.tomorrow().ok() == Some(end)
        {
            self.parts.swap_remove(at);
        }
        let undated = of_all(self.name.as_bytes(), &mut self.parts);
        if self.last_modified.is_empty() {
            return [undated; 2];
        }
        self.parts.append(&mut self.last_modified);
        [of_all(self.name.as_bytes(), &mut self.parts), undated]
    }

    /// Whether Mozilla's programs load it.
    fn is_loaded(&self) -> bool {
        let is_known = [Kind::Event, Kind::Todo].iter().any(|kind| kind.name() == self.name);
        is_known && !lacks_start(&self.name, self.has_start) && !self.has_bad_value
    }
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    finished: Vec<Hash>,
    undated: Vec<Hash>,
    stamps: Vec<Hash>,
    revisions: Vec<Revision>,
    /// Whether Mozilla's programs load a component of those that are finished.
    is_loaded: bool,
    age: Age,
    /// Reused for each property.
    buffer: Vec<u8>,
}

impl Reader {
    fn read(raw: &[u8]) -> Reader {
        let mut reader = Reader::default();
        for line in lines(raw) {
            if let Some(property) = Property::parse(&line.text) {
                reader.take(&property);
            }
        }
        reader
    }

    fn take(&mut self, property: &Property<'_>) {
        if property.is("BEGIN") {
            let name = property.value.trim().to_ascii_uppercase();
            self.open.push(Open::new(name));
        } else if property.is("END") {
            self.close();
        } else if let Some(open) = self.open.last_mut() {
            open.note_days(property);
            open.has_bad_value |= has_bad_value(property);
            let stamp = Stamp::of(property);
            if let Some(stamp) = stamp {
                self.age.note(stamp, property.value);
                open.note_stamp(stamp, property.value.trim_ascii());
            }
            if stamp != Some(Stamp::Dtstamp) {
                let parts = match stamp {
                    Some(Stamp::LastModified) => &mut open.last_modified,
                    _ => &mut open.parts,
                };
                push_meanings(&mut self.buffer, property, parts);
            }
        }
    }

    fn close(&mut self) {
        let Some(mut closed) = self.open.pop() else { return };
        let [meaning, undated] = closed.meanings();
        match self.open.last_mut() {
            Some(outer) => outer.parts.push(meaning),
            None => {
                self.is_loaded |= closed.is_loaded();
                self.finished.push(meaning);
                self.undated.push(undated);
                let mut stamps: Vec<Hash> = closed.stamps.into_iter().flatten().collect();
                self.stamps.push(of_all(closed.name.as_bytes(), &mut stamps));
                self.revisions.push(closed.revision);
            }
        }
    }
}

impl Age {
    /// Of several components the newest counts.
    fn note(&mut self, stamp: Stamp, value: &str) {
        match stamp {
            Stamp::Sequence => self.sequence = self.sequence.max(digits(value)),
            Stamp::LastModified => self.last_modified = self.last_modified.max(digits(value)),
            Stamp::Dtstamp => self.dtstamp = self.dtstamp.max(digits(value)),
            Stamp::RecurrenceId | Stamp::Generation => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(lines: &[&str]) -> Look {
        look(format!("BEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\n", lines.join("\r\n")).as_bytes(), &[])
    }

    #[test]
    fn mozillas_programs_load_what_has_a_component_that_they_understand() {
        const START: &str = "DTSTART:20260101T100000Z";
        let component = |kind: &str, lines: &[&str]| {
            let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            format!("BEGIN:{kind}\r\nUID:1\r\n{lines}END:{kind}\r\n")
        };
        let bare = component("VEVENT", &[]);
        for (text, is_loaded) in [
            (component("VEVENT", &[START]), true),
            (component("vevent", &[START, "DTSTAMP:", "BEGIN:VALARM", "DUE:x", "END:VALARM"]), true),
            (component("VEVENT", &["BEGIN:VALARM", START, "END:VALARM"]), false),
            (component("VEVENT", &["DTSTART:tomorrow"]), false),
            (component("VEVENT", &[START, "EXDATE:20260101,x"]), false),
            (component("VTODO", &[]), true),
            (component("VJOURNAL", &[START]), false),
            (format!("{bare}{}", component("VEVENT", &[START])), true),
            (bare, false),
        ] {
            assert_eq!(look(text.as_bytes(), &[]).stamps != NOT_LOADED, is_loaded, "{text}");
        }
    }

    #[test]
    fn what_writing_again_changes_does_not_count() {
        let table: &[(&[&str], &[&str])] = &[
            (&["SUMMARY:a b"], &["SUMMARY:a", "  b"]),
            (&["SUMMARY:a"], &["summary:a"]),
            (&["A:1", "B:2"], &["B:2", "A:1"]),
            (&["DTSTART;TZID=X;VALUE=DATE-TIME:20260101T100000"], &["DTSTART;TZID=\"X\":20260101T100000"]),
            (&["ATTENDEE;RSVP=TRUE;CN=A:MAILTO:a@x"], &["ATTENDEE;CN=\"A\";RSVP=TRUE:mailto:a@x"]),
            (&["CATEGORIES:b,a"], &["CATEGORIES:a", "CATEGORIES:b"]),
            (&["EXDATE:20260101,20260102"], &["EXDATE:20260102", "EXDATE:20260101"]),
            (&["RRULE:FREQ=WEEKLY;BYDAY=MO,TU;INTERVAL=1;WKST=MO"], &["RRULE:BYDAY=TU,MO;FREQ=WEEKLY"]),
            (&["DURATION:PT60M"], &["DURATION:PT1H"]),
            (&["DURATION:P1W"], &["DURATION:P7D"]),
            (&["TRIGGER;RELATED=START:-PT1440M"], &["TRIGGER:-P1D"]),
            (&["SUMMARY:a", "DTSTAMP:20260101T000000Z"], &["SUMMARY:a", "DTSTAMP:20270101T000000Z"]),
            (&["SUMMARY:a", "LOCATION:"], &["SUMMARY:a"]),
            (&["SUMMARY:a", "CREATED:20260101T000000Z"], &["SUMMARY:a"]),
            (&["SUMMARY:a", "PERCENT-COMPLETE:0"], &["SUMMARY:a"]),
            (&["SUMMARY;LANGUAGE=de:a"], &["SUMMARY:a"]),
            (&["ATTENDEE;X-NUM-GUESTS=0;CN=A:mailto:a@x"], &["ATTENDEE;CN=A:mailto:a@x"]),
            (&["DTSTART;VALUE=DATE:20261231", "DTEND;VALUE=DATE:20270101"], &["DTSTART;VALUE=DATE:20261231"]),
            (
                &["DTSTART;TZID=W. Europe Standard Time:20260101T100000"],
                &["DTSTART;TZID=\"Europe/Berlin\":20260101T100000"],
            ),
            (&["DTSTART;TZID=UTC:20260101T100000"], &["DTSTART:20260101T100000Z"]),
            (
                &["EXDATE;TZID=\"tzone://Microsoft/Utc\":20260101T100000,20260102T100000"],
                &["EXDATE:20260102T100000Z", "EXDATE:20260101T100000Z"],
            ),
            (&["URL;VALUE=URI:a:b", "ATTACH;VALUE=\"uri\":c:d"], &["URL:a:b", "ATTACH:c:d"]),
            (&["X-A;VALUE=URI:a:b"], &["X-A:a:b"]),
            (&["SUMMARY:a", "TRANSP:OPAQUE", "CLASS:PUBLIC", "SEQUENCE:0", "PRIORITY:0"], &["SUMMARY:a"]),
            (
                &[
                    "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=FALSE:mailto:a@x",
                ],
                &["ATTENDEE:mailto:a@x"],
            ),
            (&["SUMMARY:a\\Nb\\, c"], &["SUMMARY:a\\nb, c"]),
            (
                &["BEGIN:VALARM", "A:1", "B:2", "END:VALARM", "S:1"],
                &["S:1", "BEGIN:VALARM", "B:2", "A:1", "END:VALARM"],
            ),
        ];
        for (one, other) in table {
            assert_eq!(event(one).meaning, event(other).meaning, "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_somebody_edits_counts() {
        let table: &[(&[&str], &[&str])] = &[
            (&["SUMMARY:a"], &["SUMMARY:A"]),
            (&["SUMMARY:a"], &["DESCRIPTION:a"]),
            (&["TRANSP:OPAQUE"], &["TRANSP:TRANSPARENT"]),
            (&["SEQUENCE:0"], &["SEQUENCE:1"]),
            (&["ATTENDEE:mailto:a@x"], &["ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@x"]),
            (&["SUMMARY:a"], &["SUMMARY:a", "LOCATION:b"]),
            (&["CATEGORIES:a\\,b"], &["CATEGORIES:a,b"]),
            (&["EXDATE:20260101"], &["EXDATE:20260101,20260102"]),
            (&["RRULE:FREQ=WEEKLY"], &["RRULE:FREQ=WEEKLY;INTERVAL=2"]),
            (&["DURATION:PT1H"], &["DURATION:PT2H"]),
            (&["TRIGGER;RELATED=END:-PT5M"], &["TRIGGER:-PT5M"]),
            (&["DTSTART:20260101T100000"], &["DTSTART:20260101T100000Z"]),
            (&["DTSTART;TZID=UTC:20260101T100000"], &["DTSTART:20260101T100000"]),
            (&["DTSTART:20260101"], &["DTSTART;VALUE=DATE:20260101"]),
            (&["RDATE:20260101T100000Z/PT1H"], &["RDATE;VALUE=PERIOD:20260101T100000Z/PT1H"]),
            (&["ATTACH;ENCODING=BASE64:YQ=="], &["ATTACH;ENCODING=BASE64;VALUE=BINARY:YQ=="]),
            (&["DTSTART;VALUE=DATE:20261231", "DTEND;VALUE=DATE:20270102"], &["DTSTART;VALUE=DATE:20261231"]),
            (&["DTSTART;TZID=Europe/Paris:20260101T100000"], &["DTSTART;TZID=Europe/Berlin:20260101T100000"]),
            (&["X-A;X-B=1:a"], &["X-A:a"]),
            (&["DESCRIPTION:C:\\temp"], &["DESCRIPTION:C:temp"]),
            (&["DESCRIPTION:C:\\temp"], &["DESCRIPTION:C:\\\\temp"]),
            (&["BEGIN:VALARM", "A:1", "END:VALARM"], &["A:1"]),
            (&["BEGIN:VALARM", "A:1", "END:VALARM"], &["BEGIN:VALARM", "END:VALARM", "A:1"]),
        ];
        for (one, other) in table {
            assert_ne!(event(one).meaning, event(other).meaning, "{one:?} {other:?}");
        }
    }

    #[test]
    fn stamps_move_apart_from_the_meaning() {
        let start = "DTSTART:20260101T100000Z";
        let before = event(&[start, "SUMMARY:a", "DTSTAMP:20260101T000000Z", "X-MOZ-GENERATION:1"]);
        let edited = event(&[start, "SUMMARY:a", "DTSTAMP:20260101T000000Z", "X-MOZ-GENERATION:2"]);
        let rewritten = event(&["SUMMARY:b", "X-MOZ-GENERATION:1", "DTSTAMP:20260101T000000Z", start]);
        assert_ne!(before.stamps, edited.stamps);
        assert_eq!(before.stamps, rewritten.stamps);
    }

    #[test]
    fn an_item_is_dated_by_its_last_modified() {
        let [one, two, none] = [
            &["SUMMARY:a", "LAST-MODIFIED:20260101T000000Z"] as &[&str],
            &["LAST-MODIFIED:20260102T000000Z", "SUMMARY:a"],
            &["SUMMARY:a"],
        ]
        .map(event);
        assert_ne!(one.meaning, two.meaning);
        assert_eq!((one.undated, two.undated), (none.undated, none.meaning));
        assert_ne!(one.undated, event(&["SUMMARY:b", "LAST-MODIFIED:20260101T000000Z"]).undated);
    }

    #[test]
    fn mozillas_stamps_are_compared_however_they_are_spelled() {
        let start = "DTSTART:20260101T100000Z";
        let last_modified = "LAST-MODIFIED:20260101T000000Z";
        let clean = event(&[start, last_modified, "SEQUENCE:1"]).stamps;
        for lines in [
            [start, last_modified, "SEQUENCE:1 "],
            [&format!("{last_modified} \r\nSEQUENCE:1"), "X-MOZ-GENERATION:", start],
            [&format!("{last_modified}\r\nSEQUENCE:1"), "LAST-MODIFIED:20260102T000000Z", start],
        ] {
            assert_eq!(event(&lines).stamps, clean, "{lines:?}");
        }
        assert_eq!(event(&[start, "SEQUENCE:"]).stamps, event(&[start]).stamps);
        assert_ne!(event(&[start, last_modified, "SEQUENCE:2"]).stamps, clean);
    }

    #[test]
    fn the_newer_version_has_the_higher_sequence_then_the_later_times() {
        let age = |lines: &[&str]| event(lines).age;
        assert!(age(&["SEQUENCE:2"]) > age(&["SEQUENCE:1", "LAST-MODIFIED:20270101T000000Z"]));
        assert!(
            age(&["LAST-MODIFIED:20260101T000001Z"])
                > age(&["LAST-MODIFIED:20260101T000000Z", "DTSTAMP:20270101T000000Z"])
        );
        assert!(age(&["DTSTAMP:20260101T000001Z"]) > age(&["DTSTAMP:20260101T000000Z"]));
        assert_eq!(age(&["SEQUENCE:x"]), Age::default());
    }
}
