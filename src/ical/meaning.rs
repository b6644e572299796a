//! What an item says, apart from how a program wrote it: the comparison that every merge rests on.
//!
//! Two items mean the same if they differ only in folding, letter case of names, order (of properties, parameters,
//! lists and RRULE parts), spelling of durations and of `mailto:`, DTSTAMP, empty properties and defaults.

use super::faults::{bad_value, lacks_start};
use super::line::{Property, lines, unquote, unquoted};
use super::scan::Kind;
use super::value;

/// A hash of something's meaning: the first half of a BLAKE3.
pub type Hash = [u8; 16];

/// How an item looks to a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub meaning: Hash,
    /// RECURRENCE-ID, DTSTAMP, LAST-MODIFIED, SEQUENCE and X-MOZ-GENERATION of each component. Mozilla's programs
    /// move them at every edit and leave them alone otherwise. [`NOT_LOADED`] for what they leave out without a word.
    pub stamps: Hash,
    pub age: Age,
}

/// The stamps of an item of which Mozilla's programs load no component.
pub const NOT_LOADED: Hash = [0; 16];

/// Which of two versions is the newer one where nothing else tells: compared field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Age {
    pub sequence: u64,
    /// The digits of the date-time, as one number.
    pub last_modified: u64,
    pub dtstamp: u64,
}

/// Looks at components as raw bytes; `zones` are the meanings of the custom time zones that they use.
pub fn look(raw: &[u8], zones: &[Hash]) -> Look {
    let mut reader = Reader::default();
    for line in lines(raw) {
        if let Some(property) = Property::parse(&line.text) {
            reader.take(&property);
        }
    }
    // What stands outside of any component is none: only the components count.
    let mut outer = reader.finished;
    outer.extend_from_slice(zones);
    let stamps = if reader.is_loaded { of_all(b"", &mut reader.stamps) } else { NOT_LOADED };
    Look { meaning: of_all(b"", &mut outer), stamps, age: reader.age }
}

/// The meaning of a VTIMEZONE: its rules, without what only describes it.
pub fn of_zone(raw: &[u8]) -> Hash {
    look(raw, &[]).meaning
}

fn hash(bytes: &[u8]) -> Hash {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    half
}

/// One hash for several, whatever their order.
fn of_all(name: &[u8], parts: &mut [Hash]) -> Hash {
    parts.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(name);
    hasher.update(&[0]);
    hasher.update(parts.as_flattened());
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    half
}

/// A component that is being read: its name and the meanings of what it holds so far.
struct Open {
    name: String,
    parts: Vec<Hash>,
    stamps: Vec<Hash>,
    has_start: bool,
    has_bad_value: bool,
}

impl Open {
    fn new(name: String) -> Open {
        let parts = Vec::with_capacity(32);
        Open { name, parts, stamps: Vec::new(), has_start: false, has_bad_value: false }
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
    stamps: Vec<Hash>,
    /// Whether Mozilla's programs load a component of those that are finished.
    is_loaded: bool,
    age: Age,
    /// Reused for each property.
    buffer: Vec<u8>,
}

impl Reader {
    fn take(&mut self, property: &Property<'_>) {
        if property.is("BEGIN") {
            let name = property.value.trim().to_ascii_uppercase();
            self.open.push(Open::new(name));
        } else if property.is("END") {
            self.close();
        } else if let Some(open) = self.open.last_mut() {
            open.has_start |= property.is("DTSTART");
            open.has_bad_value |= bad_value(property).is_some();
            let stamp = Stamp::of(property);
            if let Some(stamp) = stamp {
                self.age.note(stamp, property.value);
                open.stamps.push(hash(format!("{stamp:?}:{}", property.value).as_bytes()));
            }
            if stamp != Some(Stamp::Dtstamp) && !(open.name == "VTIMEZONE" && describes_a_zone(property)) {
                push_meanings(&mut self.buffer, property, &mut open.parts);
            }
        }
    }

    fn close(&mut self) {
        let Some(mut closed) = self.open.pop() else { return };
        let meaning = of_all(closed.name.as_bytes(), &mut closed.parts);
        match self.open.last_mut() {
            Some(outer) => outer.parts.push(meaning),
            None => {
                self.is_loaded |= closed.is_loaded();
                self.finished.push(meaning);
                self.stamps.push(of_all(closed.name.as_bytes(), &mut closed.stamps));
            }
        }
    }
}

/// A property that tells versions apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    RecurrenceId,
    Dtstamp,
    LastModified,
    Sequence,
    Generation,
}

impl Stamp {
    fn of(property: &Property<'_>) -> Option<Stamp> {
        match property.name.as_bytes()[0].to_ascii_uppercase() {
            b'R' if property.is("RECURRENCE-ID") => Some(Stamp::RecurrenceId),
            b'D' if property.is("DTSTAMP") => Some(Stamp::Dtstamp),
            b'L' if property.is("LAST-MODIFIED") => Some(Stamp::LastModified),
            b'S' if property.is("SEQUENCE") => Some(Stamp::Sequence),
            b'X' if property.is("X-MOZ-GENERATION") => Some(Stamp::Generation),
            _ => None,
        }
    }
}

impl Age {
    /// Of several components the newest counts.
    fn note(&mut self, stamp: Stamp, value: &str) {
        let digits = || {
            value.bytes().filter(u8::is_ascii_digit).fold(0_u64, |number, digit| {
                number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
            })
        };
        match stamp {
            Stamp::Sequence => self.sequence = self.sequence.max(digits()),
            Stamp::LastModified => self.last_modified = self.last_modified.max(digits()),
            Stamp::Dtstamp => self.dtstamp = self.dtstamp.max(digits()),
            Stamp::RecurrenceId | Stamp::Generation => {}
        }
    }
}

/// What a VTIMEZONE carries beside its rules.
fn describes_a_zone(property: &Property<'_>) -> bool {
    let name = property.name;
    ["LAST-MODIFIED", "TZURL", "COMMENT"].iter().any(|known| property.is(known))
        || name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-"))
}

/// Pushes the meaning of a property: one hash, or one for each value of a list, or none if it is empty.
fn push_meanings(buffer: &mut Vec<u8>, property: &Property<'_>, out: &mut Vec<Hash>) {
    if property.value.trim_ascii().is_empty() || is_default(property) {
        return;
    }
    buffer.clear();
    buffer.extend(property.name.bytes().map(|byte| byte.to_ascii_uppercase()));
    push_params(buffer, property);
    buffer.push(b':');
    let head = buffer.len();
    if is_list(property) {
        for value in split_list(property.value) {
            buffer.truncate(head);
            push_text(buffer, value.trim_ascii());
            out.push(hash(buffer));
        }
        return;
    }
    push_value(buffer, property);
    out.push(hash(buffer));
}

/// Whether a property says what holds without it too: some programs spell that out, others drop it (RFC 5545 §3.8).
fn is_default(property: &Property<'_>) -> bool {
    const DEFAULTS: [(&str, &str); 5] = [
        ("TRANSP", "OPAQUE"),
        ("CLASS", "PUBLIC"),
        ("PRIORITY", "0"),
        ("SEQUENCE", "0"),
        ("X-KDE-KCALCORE-ENABLED", "TRUE"),
    ];
    let says = |(name, value): (&str, &str)| property.is(name) && property.value.trim_ascii() == value;
    matches!(property.value.len(), 1..=8) && property.params.is_empty() && DEFAULTS.into_iter().any(says)
}

/// The same of parameters (RFC 5545 §3.2).
fn is_default_param(name: &str, value: &str) -> bool {
    const DEFAULTS: [(&str, &str); 5] = [
        ("RELATED", "START"),
        ("CUTYPE", "INDIVIDUAL"),
        ("ROLE", "REQ-PARTICIPANT"),
        ("PARTSTAT", "NEEDS-ACTION"),
        ("RSVP", "FALSE"),
    ];
    let is = |(known, default): (&str, &str)| {
        name.eq_ignore_ascii_case(known) && value.eq_ignore_ascii_case(default)
    };
    DEFAULTS.into_iter().any(is)
}

/// Lists whose order says nothing, and which programs split into several properties or join.
fn is_list(property: &Property<'_>) -> bool {
    matches!(property.name.len(), 5..=10)
        && ["CATEGORIES", "RESOURCES", "EXDATE", "RDATE", "FREEBUSY"].iter().any(|name| property.is(name))
}

/// The values between commas that are not escaped.
fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    value.split(move |c| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
}

fn push_params(buffer: &mut Vec<u8>, property: &Property<'_>) {
    if property.params.is_empty() {
        return;
    }
    let mut params: Vec<Vec<u8>> = property
        .params()
        // The value's own form tells its type, but for spelled-out defaults that some programs add.
        .filter(|(name, value)| !(name.eq_ignore_ascii_case("VALUE") || is_default_param(name, value)))
        .map(|(name, value)| {
            let mut param = name.to_ascii_uppercase().into_bytes();
            param.push(b'=');
            push_param_value(&mut param, value);
            param
        })
        .collect();
    params.sort_unstable();
    for param in params {
        buffer.push(b';');
        buffer.extend_from_slice(&param);
    }
}

fn push_param_value(buffer: &mut Vec<u8>, value: &str) {
    let mut values = Vec::new();
    let mut rest = value;
    while let Some(comma) = unquoted(rest.as_bytes(), b',') {
        values.push(unquote(&rest[..comma]));
        rest = &rest[comma + 1..];
    }
    values.push(unquote(rest));
    values.sort_unstable();
    for value in values {
        push_address(buffer, value);
        buffer.push(b',');
    }
}

fn push_value(buffer: &mut Vec<u8>, property: &Property<'_>) {
    let value = property.value.trim_ascii();
    if property.is("RRULE") || property.is("EXRULE") {
        push_rule(buffer, value);
    } else if (property.is("DURATION") || property.is("TRIGGER"))
        && let Some(seconds) = value::parse_duration(value).map(value::Duration::nominal_seconds)
    {
        buffer.extend_from_slice(seconds.to_string().as_bytes());
    } else {
        push_text(buffer, value);
    }
}

/// A recurrence rule with its parts and their lists in one order, without INTERVAL=1 and WKST=MO.
fn push_rule(buffer: &mut Vec<u8>, value: &str) {
    let upper = value.to_ascii_uppercase();
    let mut parts: Vec<(&str, Vec<&str>)> = upper
        .split(';')
        .filter(|part| !matches!(part.trim(), "" | "INTERVAL=1" | "WKST=MO"))
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, list)| (name.trim(), list.split(',').map(str::trim).collect()))
        .collect();
    parts.sort_unstable();
    for (name, mut list) in parts {
        list.sort_unstable();
        buffer.extend_from_slice(format!("{name}={};", list.join(",")).as_bytes());
    }
}

/// A text with its escapes undone, so that needless ones do not count.
fn push_text(buffer: &mut Vec<u8>, value: &str) {
    if memchr::memchr(b'\\', value.as_bytes()).is_none() {
        return push_address(buffer, value);
    }
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'n' | b'N') => buffer.push(b'\n'),
                Some(other) => buffer.push(other),
                None => buffer.push(b'\\'),
            },
            other => buffer.push(other),
        }
    }
}

fn push_address(buffer: &mut Vec<u8>, value: &str) {
    const MAILTO: &str = "mailto:";
    match value.get(..MAILTO.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(MAILTO) => {
            buffer.extend_from_slice(MAILTO.as_bytes());
            buffer.extend_from_slice(&value.as_bytes()[MAILTO.len()..]);
        }
        _ => buffer.extend_from_slice(value.as_bytes()),
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
            (&["SUMMARY:a"], &["SUMMARY;LANGUAGE=de:a"]),
            (&["CATEGORIES:a\\,b"], &["CATEGORIES:a,b"]),
            (&["EXDATE:20260101"], &["EXDATE:20260101,20260102"]),
            (&["RRULE:FREQ=WEEKLY"], &["RRULE:FREQ=WEEKLY;INTERVAL=2"]),
            (&["DURATION:PT1H"], &["DURATION:PT2H"]),
            (&["TRIGGER;RELATED=END:-PT5M"], &["TRIGGER:-PT5M"]),
            (&["DTSTART:20260101T100000"], &["DTSTART:20260101T100000Z"]),
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

    #[test]
    fn a_zone_is_compared_by_its_rules() {
        let one = b"BEGIN:VTIMEZONE\r\nTZID:X\r\nX-LIC-LOCATION:X\r\nBEGIN:STANDARD\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";
        let two = b"BEGIN:VTIMEZONE\r\nTZID:X\r\nBEGIN:STANDARD\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";
        let other = b"BEGIN:VTIMEZONE\r\nTZID:X\r\nBEGIN:STANDARD\r\nTZOFFSETTO:+0200\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";
        assert_eq!(of_zone(one), of_zone(two));
        assert_ne!(of_zone(one), of_zone(other));
    }
}
