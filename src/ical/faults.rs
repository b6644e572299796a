//! What is wrong with a calendar text, with lines: what cannot be read here, and what other programs would refuse, leave out
//! or take for something else. And the text put right, as far as that changes nothing that it says.

use std::collections::HashSet;

use super::left_out::{has_bad_value, lacks_start};
use super::line::{Line, Property, lines, logical_len, trim_line_end, unfold};
use super::scan::{Component, Kind, Object, scan};
use super::text::push_line;
use super::{tz, value};
use crate::error::Error;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub what: What,
    /// The line of the text, from 1.
    pub line: Option<usize>,
    /// In words for the admin.
    pub words: String,
}

/// The families of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The text ends in the middle.
    Half,
    /// It is no calendar, or over a cap.
    Unparsable,
    /// An event does not say when it is: Mozilla's programs leave it out.
    NoStart,
    /// Several items in one text.
    Several,
    /// A component that stands in the text already: of the same UID and for the same instance.
    Twice,
    /// No item at all.
    Empty,
    /// A component has no UID.
    NoUid,
    /// A date or time that is none: other programs leave out the item.
    BadValue,
    /// A TZID that neither zone data nor a VTIMEZONE of the text explains.
    NoZone,
    /// A line of more than 75 octets that is not folded (RFC 5545 §3.1).
    LongLine,
    /// Lines that do not end in CRLF.
    LineEnds,
    /// A fold in the middle of a character.
    SplitCharacter,
}

/// The longest a line should be, in octets without its end.
const WIDTH: usize = 75;

/// Everything that is wrong with `text`, in the order of its lines as far as they are known.
pub fn faults(text: &[u8]) -> Vec<Fault> {
    let objects = match scan(text) {
        Ok(objects) => objects,
        Err(error) => return vec![broken(text, &error)],
    };
    let mut found = Vec::new();
    for object in &objects {
        let mut zones = Zones::of(object);
        own(std::slice::from_ref(object))
            .for_each(|component| of_component(component, &mut zones, &mut found));
    }
    of_number(&objects, &mut found);
    of_instances(&objects, &mut found);
    of_lines(text, &mut found);
    found.sort_by_key(|fault| fault.line);
    found
}

/// What `error`, for which `text` cannot be cut into items, comes to.
pub fn broken(text: &[u8], error: &Error) -> Fault {
    let fault = |what, line, words: String| Fault { what, line, words };
    match error {
        Error::Malformed { .. } if text.trim_ascii().is_empty() => {
            fault(What::Half, Some(1), "the file is empty".to_owned())
        }
        Error::Malformed { line, .. } if is_cut_off(text, *line) => {
            fault(What::Half, Some(*line), "the file ends before END:VCALENDAR".to_owned())
        }
        Error::Malformed { line, expected } => {
            fault(What::Unparsable, Some(*line), format!("expected {expected}"))
        }
        Error::OverCap { line, cap } => fault(What::Unparsable, Some(*line), cap.clone()),
        other => fault(What::Unparsable, None, other.to_string()),
    }
}

/// Whether `text` begins as a calendar and what is wrong, in `line`, is that it ends there.
fn is_cut_off(text: &[u8], line: usize) -> bool {
    let begins = lines(text).next().is_some_and(|first| {
        first.text.trim_start_matches('\u{feff}').trim_end().eq_ignore_ascii_case("BEGIN:VCALENDAR")
    });
    let last = physical_lines(text);
    begins && (line > last || line == last && !text.ends_with(b"\n"))
}

fn physical_lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count() + usize::from(!text.ends_with(b"\n"))
}

/// The TZIDs of one VCALENDAR that are explained, or were named already.
struct Zones<'o> {
    known: HashSet<&'o str>,
    named: HashSet<String>,
}

impl<'o> Zones<'o> {
    fn of(object: &'o Object<'_>) -> Zones<'o> {
        let known = object.components.iter().filter_map(|component| component.tzid.as_deref()).collect();
        Zones { known, named: HashSet::new() }
    }

    /// Whether `tzid` is unexplained, and that is news.
    fn is_news(&mut self, tzid: &str) -> bool {
        let name = value::tzid(tzid);
        !self.known.contains(&*name) && tz::iana(tzid).is_none() && self.named.insert(name.into_owned())
    }
}

/// The components that items are made of.
fn own<'o, 'a>(objects: &'o [Object<'a>]) -> impl Iterator<Item = &'o Component<'a>> {
    let all = objects.iter().flat_map(|object| &object.components);
    all.filter(|component| component.kind != Kind::Timezone && !component.faked)
}

/// Whether there is one item in it, as there should be.
fn of_number(objects: &[Object<'_>], found: &mut Vec<Fault>) {
    let mut keys = HashSet::new();
    // Each component without a UID is an item of its own.
    let is_new = |component: &&Component<'_>| {
        let uid = component.uid.clone().ok_or(component.line);
        keys.insert((uid, component.kind.clone()))
    };
    let firsts: Vec<usize> = own(objects).filter(is_new).map(|component| component.line).collect();
    match *firsts.as_slice() {
        [] => found.push(Fault {
            what: What::Empty,
            line: None,
            words: "a calendar without any item".to_owned(),
        }),
        [_] => {}
        [_, second, ..] => {
            let words = format!("{} items in one file; the second begins here", firsts.len());
            found.push(Fault { what: What::Several, line: Some(second), words });
        }
    }
}

/// Whether each instance of an item is in it once.
fn of_instances(objects: &[Object<'_>], found: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    for component in own(objects) {
        let Some(uid) = &component.uid else { continue };
        let instance = instance(component);
        let name = component.kind.name();
        let words = match &instance {
            None => format!("a second {name} of UID {uid} without RECURRENCE-ID"),
            Some((_, value)) => format!("a second {name} of UID {uid} with RECURRENCE-ID {value}"),
        };
        if !seen.insert((uid, name, instance)) {
            let words = format!("{words}: other programs take but one of them");
            found.push(Fault { what: What::Twice, line: Some(component.line), words });
        }
    }
}

/// TZID and value of a component's RECURRENCE-ID, if it has one.
fn instance(component: &Component<'_>) -> Option<(Option<String>, String)> {
    let mut depth = 0;
    lines(component.raw).find_map(|Line { text, .. }| {
        let property = Property::parse(&text)?;
        depth += i32::from(property.is("BEGIN")) - i32::from(property.is("END"));
        let tzid = property.param("TZID").map(|tzid| tzid.to_string());
        (depth == 1 && property.is("RECURRENCE-ID")).then(|| (tzid, property.value.trim_ascii().to_owned()))
    })
}

fn of_component(component: &Component<'_>, zones: &mut Zones<'_>, found: &mut Vec<Fault>) {
    let name = component.kind.name();
    let mut depth = 0;
    let mut has_start = false;
    for Line { text, number, .. } in lines(component.raw) {
        let Some(property) = Property::parse(&text) else { continue };
        let line = Some(component.line + number - 1);
        if property.is("BEGIN") {
            depth += 1;
        } else if property.is("END") {
            depth -= 1;
        }
        if let Some(tzid) = property.param("TZID").filter(|tzid| zones.is_news(tzid)) {
            let words = format!(
                "no time zone is called \"{tzid}\" and no VTIMEZONE here defines it: it is served with another item's definition of that name; without one Outlook refuses it, and others take it for local time"
            );
            found.push(Fault { what: What::NoZone, line, words });
        }
        if depth == 1 {
            has_start |= property.is("DTSTART");
            if has_bad_value(&property) {
                let (name, value) = (property.name.to_ascii_uppercase(), property.value.trim_ascii());
                let words =
                    format!("{name}: \"{value}\" is no date or time: other programs leave out the item");
                found.push(Fault { what: What::BadValue, line, words });
            }
        }
    }
    let line = Some(component.line);
    if lacks_start(name, has_start) {
        let words = "a VEVENT without DTSTART: Thunderbird leaves it out without a word".to_owned();
        found.push(Fault { what: What::NoStart, line, words });
    }
    if component.uid.is_none() {
        let words = format!("a {name} without UID: it is served with one made from the file's name");
        found.push(Fault { what: What::NoUid, line, words });
    }
}

/// Several of one kind in one text are one fault.
#[derive(Default)]
struct Count {
    first: Option<usize>,
    all: usize,
}

impl Count {
    fn add(&mut self, line: usize) {
        self.first.get_or_insert(line);
        self.all += 1;
    }

    fn fault(self, what: What, words: impl Fn(usize) -> String) -> Option<Fault> {
        self.first.map(|line| Fault { what, line: Some(line), words: words(self.all) })
    }
}

/// What is wrong with the physical lines.
fn of_lines(text: &[u8], found: &mut Vec<Fault>) {
    let (mut ends, mut long, mut split) = (Count::default(), Count::default(), Count::default());
    for (ordinal, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = ordinal + 1;
        let bare_len = trim_line_end(line).len();
        if line[bare_len..] != *b"\r\n" {
            ends.add(number);
        }
        if bare_len > WIDTH {
            long.add(number);
        }
        if std::str::from_utf8(line).is_err() {
            split.add(number);
        }
    }
    let lines = |count| if count == 1 { "1 line".to_owned() } else { format!("{count} lines") };
    let faults = [
        long.fault(What::LongLine, |count| {
            format!("{} of more than {WIDTH} octets without a fold: Outlook refuses that", lines(count))
        }),
        ends.fault(What::LineEnds, |count| {
            format!("{} without CRLF as the end; what is served has it", lines(count))
        }),
        split.fault(What::SplitCharacter, |count| {
            format!("{} folded inside a character; what is served is not", lines(count))
        }),
    ];
    found.extend(faults.into_iter().flatten());
}

/// `text`, which [`scan`] takes, with CRLF at the end of each line and no line too long. Folds that are good stay.
pub fn tidied(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 16);
    let mut rest = text;
    while let Some((len, physical)) = logical_len(rest) {
        let (line, more) = rest.split_at(len);
        rest = more;
        let is_good = std::str::from_utf8(line).is_ok()
            && line.split(|byte| *byte == b'\n').all(|part| trim_line_end(part).len() <= WIDTH);
        match std::str::from_utf8(&unfold(line, physical)) {
            Ok(unfolded) if !is_good => push_line(&mut out, unfolded),
            _ => {
                for part in line.split_inclusive(|byte| *byte == b'\n') {
                    out.extend_from_slice(trim_line_end(part));
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }
    out
}

/// The line on which the item of `uid`, which is empty for one without, first names `property`; else the one on which it begins.
pub fn line_of(text: &[u8], uid: &str, property: &str) -> Option<usize> {
    let objects = scan(text).ok()?;
    let components = || own(&objects).filter(|component| component.uid.as_deref().unwrap_or("") == uid);
    let named = |component: &Component<'_>| {
        let is = |line: &Line<'_>| Property::parse(&line.text).is_some_and(|found| found.is(property));
        lines(component.raw).find(is).map(|line| component.line + line.number - 1)
    };
    components().find_map(named).or_else(|| components().next().map(|component| component.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(lines: &[&str]) -> String {
        let all = ["BEGIN:VCALENDAR"].iter().chain(lines).chain(&["END:VCALENDAR"]);
        all.map(|line| format!("{line}\r\n")).collect()
    }

    fn found(text: impl AsRef<[u8]>) -> Vec<(What, Option<usize>)> {
        faults(text.as_ref()).into_iter().map(|fault| (fault.what, fault.line)).collect()
    }

    #[test]
    fn a_good_text_has_no_faults() {
        let zone = "BEGIN:VTIMEZONE\r\nTZID:Nowhere\r\nEND:VTIMEZONE";
        let event = "BEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=Nowhere:20260101T100000\r\nBEGIN:VALARM\r\n\
            TRIGGER:-PT5M\r\nEND:VALARM\r\nDTEND;TZID=Europe/Berlin:20260101T110000\r\nDESCRIPTION:\r\nEND:VEVENT";
        for (param, property) in [("Nowhere", "Nowhere"), ("A\\, B", "A\\, B"), ("\"A, B\"", "A\\, B")] {
            let zone = zone.replace("TZID:Nowhere", &format!("TZID:{property}"));
            let event = event.replace("=Nowhere", &format!("={param}"));
            assert_eq!(found(calendar(&[&zone, &event])), []);
        }
    }

    #[test]
    fn half_a_file_is_told_from_one_that_is_wrong() {
        let whole = calendar(&["BEGIN:VEVENT", "UID:1", "DTSTART:20260101T100000Z", "END:VEVENT"]);
        for (text, what, line) in [
            ("", What::Half, Some(1)),
            ("\r\n \r\n", What::Half, Some(1)),
            (&whole[..whole.len() - 15], What::Half, Some(6)),
            (&whole[..40], What::Half, Some(4)),
            ("hello\r\n", What::Unparsable, Some(1)),
            ("BEGIN:VCALENDAR\r\nno property\r\nEND:VCALENDAR\r\n", What::Unparsable, Some(2)),
            ("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\n", What::Unparsable, Some(3)),
        ] {
            assert_eq!(found(text), [(what, line)], "{text:?}");
        }
        assert_eq!(found(b"BEGIN:VCALENDAR\r\nA:\xff\r\nEND:VCALENDAR\r\n"), [(What::Unparsable, Some(2))]);
    }

    #[test]
    fn what_other_programs_stumble_over_is_named_with_its_line() {
        let long = format!("SUMMARY:{}", "x".repeat(75));
        for (lines, what, line) in [
            (vec!["BEGIN:VEVENT", "UID:1", "END:VEVENT"], What::NoStart, 2),
            (vec!["BEGIN:VTODO", "SUMMARY:x", "END:VTODO"], What::NoUid, 2),
            (vec!["BEGIN:VTODO", "UID:1", "DUE:tomorrow", "END:VTODO"], What::BadValue, 4),
            (vec!["BEGIN:VTODO", "UID:1", "EXDATE:20260101,x", "END:VTODO"], What::BadValue, 4),
            (vec!["BEGIN:VTODO", "UID:1", "DUE;TZID=Mars:20260101T100000", "END:VTODO"], What::NoZone, 4),
            (vec!["BEGIN:VTODO", "UID:1", &long, "END:VTODO"], What::LongLine, 4),
            (vec!["BEGIN:VTODO", "UID:1\nSUMMARY:x", "END:VTODO"], What::LineEnds, 3),
        ] {
            assert_eq!(found(calendar(&lines)), [(what, Some(line))], "{lines:?}");
        }
        let split = b"BEGIN:VCALENDAR\r\nX-A:\xc3\r\n \xbc\r\nEND:VCALENDAR\r\n";
        assert_eq!(found(split), [(What::Empty, None), (What::SplitCharacter, Some(2))]);
        let one = |uid: &str| format!("BEGIN:VTODO\r\nUID:{uid}\r\nEND:VTODO");
        assert_eq!(found(calendar(&[&one("1"), &one("2"), &one("3")])), [(What::Several, Some(5))]);
    }

    #[test]
    fn an_instance_that_stands_twice_is_named_with_its_line() {
        let event =
            |more: &str| format!("BEGIN:VEVENT\r\nUID:1\r\nDTSTART:20260101T100000Z\r\n{more}END:VEVENT");
        let zoned = |zone: &str| event(&format!("RECURRENCE-ID;TZID={zone}:20260102T100000\r\n"));
        let (first, alarm) = (event(""), event("BEGIN:VALARM\r\nRECURRENCE-ID:x\r\nEND:VALARM\r\n"));
        let task = "BEGIN:VTODO\r\nUID:1\r\nEND:VTODO".to_owned();
        let (berlin, paris) = (zoned("Europe/Berlin"), zoned("Europe/Paris"));
        let twice = |line| vec![(What::Twice, Some(line))];
        for (components, expected) in [
            ([&first, &berlin, &paris], vec![]),
            ([&first, &first, &berlin], twice(6)),
            ([&first, &berlin, &alarm], twice(11)),
            ([&first, &berlin, &berlin], twice(11)),
            ([&first, &task, &task], vec![(What::Several, Some(6)), (What::Twice, Some(9))]),
        ] {
            assert_eq!(found(calendar(&components.map(String::as_str))), expected, "{components:?}");
        }
        let one = calendar(&[&first]);
        assert_eq!(found([&*one, &*one].concat()), twice(8));
    }

    #[test]
    fn a_tidied_text_says_the_same_and_has_no_faults_of_its_lines() {
        let long = format!("SUMMARY:{}\r\n", "\u{fc}".repeat(300));
        let folded = "DESCRIPTION:folded\r\n  early\r\n";
        let texts: [&[u8]; 5] = [
            b"BEGIN:VCALENDAR\nX-A:1\n 2\nEND:VCALENDAR",
            b"BEGIN:VCALENDAR\r\nX-A:\xc3\r\n \xbc\r\nEND:VCALENDAR\r\n",
            &calendar(&[&long]).into_bytes(),
            &calendar(&[folded]).into_bytes(),
            b"\xef\xbb\xbfBEGIN:VCALENDAR\nEND:VCALENDAR\n",
        ];
        for text in texts {
            let tidy = tidied(text);
            let unfolded = |text: &[u8]| lines(text).map(|line| line.text.into_owned()).collect::<Vec<_>>();
            assert_eq!(unfolded(&tidy), unfolded(text));
            assert_eq!(found(&tidy), [(What::Empty, None)], "{}", String::from_utf8_lossy(&tidy));
            assert_eq!(tidied(&tidy), tidy);
        }
        let good = calendar(&[folded.trim_end()]);
        assert_eq!(tidied(good.as_bytes()), good.as_bytes());
    }

    #[test]
    fn a_property_is_found_in_its_line() {
        let text = calendar(&["BEGIN:VEVENT", "UID:1", "RRULE:x", "END:VEVENT"]);
        assert_eq!(line_of(text.as_bytes(), "1", "RRULE"), Some(4));
        assert_eq!(line_of(text.as_bytes(), "1", "DTSTART"), Some(2));
    }
}
