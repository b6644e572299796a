//! Cuts a calendar text into its components as raw bytes, and checks its shape (RFC 5545 §3.4, §3.6).
//!
//! Nothing is rewritten and nothing recurses. What a component means is for others; here it is a stretch of
//! bytes with the few values that say where it belongs.

use std::borrow::Cow;
use std::sync::Arc;

use super::line::{Property, logical_len, unfold};
use super::value::{tzid, uid};
use crate::error::{Error, Result};

/// Longest content line after unfolding, in bytes. An attachment that is in the line may be as long as an item.
pub const MAX_LINE: usize = 1 << 20;
/// Deepest nesting of components, VCALENDAR included.
pub const MAX_DEPTH: usize = 8;
/// Most properties directly in one top-level component or in what it contains.
pub const MAX_PROPERTIES: usize = 100_000;
/// Most components in one text, those inside others not counted.
pub const MAX_COMPONENTS: usize = 100_000;
/// Most time zones that one component names.
pub const MAX_ZONES: usize = 100;
/// Largest item, in bytes.
pub const MAX_ITEM: usize = 10 << 20;

/// The kind of a component directly below VCALENDAR.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Event,
    Todo,
    Journal,
    Freebusy,
    Timezone,
    /// Any other, in upper case.
    Other(Box<str>),
}

impl Kind {
    fn of(name: &str) -> Kind {
        const KNOWN: [Kind; 5] = [Kind::Event, Kind::Todo, Kind::Journal, Kind::Freebusy, Kind::Timezone];
        let known = KNOWN.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        known.unwrap_or_else(|| Kind::Other(name.to_ascii_uppercase().into()))
    }

    /// Whether calendar programs have a place for it. What they have none for they leave out without a word.
    pub fn is_known_to_most(&self) -> bool {
        matches!(self, Kind::Event | Kind::Todo | Kind::Journal)
    }

    /// The component's name, in upper case.
    pub fn name(&self) -> &str {
        match self {
            Kind::Event => "VEVENT",
            Kind::Todo => "VTODO",
            Kind::Journal => "VJOURNAL",
            Kind::Freebusy => "VFREEBUSY",
            Kind::Timezone => "VTIMEZONE",
            Kind::Other(name) => name,
        }
    }
}

/// Who may see an item whole (RFC 5545 §3.8.1.3); ordered from the most open to the most closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Class {
    #[default]
    Public,
    Confidential,
    Private,
}

impl Class {
    /// A value that nobody knows is taken for PRIVATE, as the RFC demands.
    fn of(value: &str) -> Class {
        match value.trim().to_ascii_uppercase().as_str() {
            "PUBLIC" | "" => Class::Public,
            "CONFIDENTIAL" => Class::Confidential,
            _ => Class::Private,
        }
    }
}

/// A component directly below VCALENDAR.
#[derive(Debug)]
pub struct Component<'a> {
    pub kind: Kind,
    /// From its BEGIN to its END line, line ends included.
    pub raw: &'a [u8],
    /// The line (from 1) of its BEGIN.
    pub line: usize,
    /// The value of its UID, if that is not empty.
    pub uid: Option<Arc<str>>,
    pub class: Class,
    /// Of a VTIMEZONE, the zone it defines, unescaped.
    pub tzid: Option<Box<str>>,
    /// The zones that its TZID parameters name, each once.
    pub zones: Vec<Box<str>>,
    /// Whether it carries X-MOZ-FAKED-MASTER: made up by Mozilla's programs for overrides without a master.
    pub faked: bool,
}

/// One VCALENDAR.
#[derive(Debug, Default)]
pub struct Object<'a> {
    /// Its own properties as raw lines.
    pub properties: Vec<&'a [u8]>,
    pub components: Vec<Component<'a>>,
}

/// Cuts `text`, which holds one VCALENDAR or several one after another.
///
/// # Errors
/// `Malformed` with the line and what was expected there; `OverCap` where a cap of this module is passed.
pub fn scan(text: &[u8]) -> Result<Vec<Object<'_>>> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut scanner = Scanner {
        rest: text,
        text,
        line: 1,
        // Folds may cut a character in two; then each line is checked by itself, unfolded.
        clean: std::str::from_utf8(text).is_ok() && memchr::memchr(0, text).is_none(),
    };
    let mut objects = Vec::new();
    let mut components = 0;
    while let Some(object) = scanner.object(MAX_COMPONENTS - components)? {
        components += object.components.len();
        objects.push(object);
        scanner.skip_filler();
    }
    if objects.is_empty() {
        return Err(malformed(scanner.line, "BEGIN:VCALENDAR"));
    }
    Ok(objects)
}

fn malformed(line: usize, expected: impl Into<String>) -> Error {
    Error::Malformed { line, expected: expected.into() }
}

pub fn over_cap(line: usize, cap: String) -> Error {
    Error::OverCap { line, cap }
}

struct Scanner<'a> {
    text: &'a [u8],
    rest: &'a [u8],
    /// The number of the next line.
    line: usize,
    /// Whether all of the text is UTF-8 without NUL bytes.
    clean: bool,
}

/// One content line as the scanner sees it.
struct Found<'a> {
    raw: &'a [u8],
    text: Cow<'a, [u8]>,
    line: usize,
}

impl<'a> Scanner<'a> {
    /// The next line that is not blank.
    fn next(&mut self) -> Result<Option<Found<'a>>> {
        while let Some((len, physical)) = logical_len(self.rest) {
            let (raw, rest) = self.rest.split_at(len);
            let line = self.line;
            self.rest = rest;
            self.line += physical;
            let text = unfold(raw, physical);
            let may_be_blank = text.first().is_none_or(u8::is_ascii_whitespace);
            if may_be_blank && text.trim_ascii().is_empty() {
                continue;
            }
            self.check(&text, line)?;
            return Ok(Some(Found { raw, text, line }));
        }
        Ok(None)
    }

    fn check(&self, text: &[u8], line: usize) -> Result<()> {
        let cap = if text.len() > MAX_LINE && is_inline(text) { MAX_ITEM } else { MAX_LINE };
        if text.len() > cap {
            return Err(over_cap(line, format!("a line of more than {cap} bytes")));
        }
        if self.clean {
            return Ok(());
        }
        if std::str::from_utf8(text).is_err() {
            return Err(malformed(line, "UTF-8"));
        }
        if memchr::memchr(0, text).is_some() {
            return Err(malformed(line, "text without NUL bytes"));
        }
        Ok(())
    }

    /// Where in the text the unread rest starts.
    fn offset(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Passes over what is nothing between two calendars and behind the last: blanks, byte order marks of files that were
    /// put together, and the NUL and Ctrl-Z that some programs and systems fill up a file with.
    fn skip_filler(&mut self) {
        let is_filler = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x1a);
        loop {
            let end = self.rest.iter().position(|byte| !is_filler(byte)).unwrap_or(self.rest.len());
            let (filler, rest) = self.rest.split_at(end);
            self.line += memchr::memchr_iter(b'\n', filler).count();
            self.rest = rest.strip_prefix("\u{feff}".as_bytes()).unwrap_or(rest);
            if self.rest.len() == rest.len() {
                return;
            }
        }
    }

    /// Passes over an END:VCALENDAR, whatever comes behind it: where files are put together, the last line of one may have no end.
    fn skip_end(&mut self) -> bool {
        const END: &[u8] = b"END:VCALENDAR";
        let behind = self.rest.split_at_checked(END.len());
        let behind = behind.filter(|(line, _)| line.eq_ignore_ascii_case(END)).map(|(_, behind)| behind);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// The next VCALENDAR, of at most `room` components.
    fn object(&mut self, room: usize) -> Result<Option<Object<'a>>> {
        let Some(first) = self.next()? else { return Ok(None) };
        if !begin(&first).is_some_and(|name| name.eq_ignore_ascii_case("VCALENDAR")) {
            return Err(malformed(first.line, "BEGIN:VCALENDAR"));
        }
        let mut object = Object::default();
        loop {
            if self.skip_end() {
                return Ok(Some(object));
            }
            let start = self.offset();
            let Some(found) = self.next()? else { return Err(malformed(self.line, "END:VCALENDAR")) };
            if let Some(name) = begin(&found) {
                if object.components.len() == room {
                    return Err(over_cap(found.line, format!("more than {MAX_COMPONENTS} components")));
                }
                let kind = Kind::of(name);
                let blank = self.offset() - start - found.raw.len();
                object.components.push(self.component(kind, name, start + blank, found.line)?);
            } else if let Some(name) = end(&found) {
                if name.eq_ignore_ascii_case("VCALENDAR") {
                    return Ok(Some(object));
                }
                return Err(malformed(found.line, "END:VCALENDAR"));
            } else {
                property(&found)?;
                if object.properties.len() == MAX_PROPERTIES {
                    return Err(over_cap(
                        found.line,
                        format!("more than {MAX_PROPERTIES} properties of one calendar"),
                    ));
                }
                object.properties.push(found.raw);
            }
        }
    }

    /// The component whose BEGIN line, at `start` in the text, was just read.
    fn component(&mut self, kind: Kind, name: &str, start: usize, line: usize) -> Result<Component<'a>> {
        let mut component = Component {
            kind,
            raw: &[],
            line,
            uid: None,
            class: Class::Public,
            tzid: None,
            zones: Vec::new(),
            faked: false,
        };
        let mut open = vec![name.to_owned()];
        let mut properties = 0;
        while let Some(innermost) = open.last() {
            let Some(found) = self.next()? else {
                return Err(malformed(self.line, format!("END:{innermost}")));
            };
            if nest(&found, &mut open)? {
                continue;
            }
            properties += 1;
            if properties > MAX_PROPERTIES {
                let cap = format!("more than {MAX_PROPERTIES} properties of one component");
                return Err(over_cap(found.line, cap));
            }
            let own = open.len() == 1;
            if !is_plain(&found.text) || own && is_told_apart(&found.text) {
                component.take(&property(&found)?, own);
            }
            if component.zones.len() > MAX_ZONES {
                return Err(over_cap(found.line, format!("more than {MAX_ZONES} time zones")));
            }
        }
        component.raw = &self.text[start..self.offset()];
        if component.raw.len() > MAX_ITEM {
            return Err(over_cap(line, format!("a component of more than {MAX_ITEM} bytes")));
        }
        Ok(component)
    }
}

impl Component<'_> {
    /// Notes what a property says of where the component belongs; `own` if no sub-component holds it.
    fn take(&mut self, property: &Property<'_>, own: bool) {
        if !property.params.is_empty()
            && let Some(tzid) = property.param("TZID").map(tzid)
            && !self.zones.iter().any(|zone| **zone == *tzid)
        {
            // Most components name one, and a calendar has many components.
            self.zones.reserve_exact(1);
            self.zones.push(tzid.into());
        }
        if !own {
            return;
        }
        match property.name.as_bytes()[0].to_ascii_uppercase() {
            b'U' if property.is("UID") && self.uid.is_none() => {
                self.uid = Some(uid(property.value)).filter(|uid| !uid.is_empty()).map(Arc::from);
            }
            b'C' if property.is("CLASS") => self.class = self.class.max(Class::of(property.value)),
            b'T' if property.is("TZID") => {
                self.tzid = Some(tzid(property.value).into());
            }
            b'X' if property.is("X-MOZ-FAKED-MASTER") => self.faked = true,
            _ => {}
        }
    }
}

fn property<'f>(found: &'f Found<'_>) -> Result<Property<'f>> {
    std::str::from_utf8(&found.text)
        .ok()
        .and_then(Property::parse)
        // With parameters these delimit nothing, and whoever reads the component later must not think so.
        .filter(|property| !property.is("BEGIN") && !property.is("END"))
        .ok_or_else(|| malformed(found.line, "a property, NAME:VALUE"))
}

/// Whether this is an attachment that is in the line itself (RFC 5545 §3.8.1.1).
fn is_inline(text: &[u8]) -> bool {
    let property = std::str::from_utf8(text).ok().and_then(Property::parse);
    property.is_some_and(|property| {
        let encoding = property.param("ENCODING");
        property.is("ATTACH") && encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("BASE64"))
    })
}

/// Whether this is a property without parameters, as most are: nothing of it is read here but perhaps its name.
fn is_plain(text: &[u8]) -> bool {
    let name = text.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'-'));
    name.is_some_and(|end| end > 0 && text[end] == b':')
}

/// Whether its first letter is that of a property which [`Component::take`] reads.
fn is_told_apart(text: &[u8]) -> bool {
    text.first().is_some_and(|byte| b"uctxUCTX".contains(byte))
}

/// Whether a line begins or ends a component. `open` has the names of those that it is in, the outermost first.
fn nest(found: &Found<'_>, open: &mut Vec<String>) -> Result<bool> {
    if let Some(name) = begin(found) {
        // The VCALENDAR around everything is one level too.
        if open.len() + 1 == MAX_DEPTH {
            return Err(over_cap(found.line, format!("components nested deeper than {MAX_DEPTH}")));
        }
        open.push(name.to_owned());
        return Ok(true);
    }
    let Some(name) = end(found) else { return Ok(false) };
    match open.pop() {
        Some(innermost) if !name.eq_ignore_ascii_case(&innermost) => {
            Err(malformed(found.line, format!("END:{innermost}")))
        }
        _ => Ok(true),
    }
}

/// The name of the component that a BEGIN line opens.
fn begin<'f>(found: &'f Found<'_>) -> Option<&'f str> {
    delimiter(&found.text, b"BEGIN:")
}

fn end<'f>(found: &'f Found<'_>) -> Option<&'f str> {
    delimiter(&found.text, b"END:")
}

fn delimiter<'f>(text: &'f [u8], word: &[u8]) -> Option<&'f str> {
    let (start, name) = text.split_at_checked(word.len())?;
    // Asked first: few lines are delimiters, and all are asked twice.
    if !start.eq_ignore_ascii_case(word) {
        return None;
    }
    std::str::from_utf8(name.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[&str]) -> Vec<u8> {
        lines.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect()
    }

    #[test]
    fn a_calendar_falls_into_raw_components_and_loses_no_byte() {
        let input = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n\r\nbegin:vevent\r\nUID:a\r\n b\r\nCLASS:PRIVATE\r\n\
                     DTSTART;TZID=\"Europe/Berlin\":20260101T100000\r\nBEGIN:VALARM\r\nUID:not mine\r\nEND:VALARM\r\n\
                     END:VEVENT\r\nBEGIN:X-A\nEND:X-A\nEND:VCALENDAR";
        let objects = scan(input.as_bytes()).expect("a good calendar");
        let [object] = objects.as_slice() else { panic!("one object") };
        assert_eq!(object.properties, [b"VERSION:2.0\r\n"]);
        let [event, other] = object.components.as_slice() else { panic!("two components") };
        assert_eq!((event.kind.clone(), event.line), (Kind::Event, 4));
        assert_eq!(event.uid.as_deref(), Some("ab"));
        assert_eq!(event.class, Class::Private);
        assert_eq!(event.zones, ["Europe/Berlin".into()]);
        assert!(event.raw.starts_with(b"begin:vevent\r\n") && event.raw.ends_with(b"END:VEVENT\r\n"));
        assert_eq!(other.raw, b"BEGIN:X-A\nEND:X-A\n");
        assert_eq!(other.kind.name(), "X-A");
    }

    #[test]
    fn several_calendars_one_after_another_and_a_bom_are_taken() {
        let mut input = "\u{feff}".as_bytes().to_vec();
        input.extend(text(&["BEGIN:VCALENDAR", "END:VCALENDAR", "", "BEGIN:VCALENDAR", "END:VCALENDAR", ""]));
        assert_eq!(scan(&input).map(|objects| objects.len()).ok(), Some(2));
    }

    #[test]
    fn what_is_between_calendars_and_behind_them_is_nothing() {
        let end = "BEGIN:VCALENDAR\r\nEND:VCALENDAR";
        for (text, objects) in [
            (format!("{end}{end}\u{1a}"), Some(2)),
            (format!("{end}\r\n\0 \u{1a}\r\n\u{feff}{end}\0\0"), Some(2)),
            (format!("{end} \r\n"), Some(1)),
            (format!("{end}X"), None),
            (format!("\0{end}"), None),
        ] {
            let found = scan(text.as_bytes()).map(|objects| objects.len());
            assert_eq!(found.as_ref().ok(), objects.as_ref(), "{text:?}: {found:?}");
        }
        let wrong = scan(format!("{end}\r\n\0\r\n\u{feff}x").as_bytes())
            .map(|_| ())
            .map_err(|error| error.to_string());
        assert_eq!(wrong, Err("line 4: expected BEGIN:VCALENDAR".to_owned()));
    }

    #[test]
    fn what_is_malformed_is_named_with_its_line() {
        let deep: Vec<&str> =
            std::iter::once("BEGIN:VCALENDAR").chain(std::iter::repeat_n("BEGIN:X", 2_000)).collect();
        for (lines, says) in [
            (vec![], "line 1: expected BEGIN:VCALENDAR"),
            (vec!["", "hello"], "line 2: expected BEGIN:VCALENDAR"),
            (vec!["BEGIN:VEVENT"], "line 1: expected BEGIN:VCALENDAR"),
            (vec!["BEGIN:VCALENDAR"], "line 2: expected END:VCALENDAR"),
            (vec!["BEGIN:VCALENDAR", "BEGIN:VEVENT"], "line 3: expected END:VEVENT"),
            (vec!["BEGIN:VCALENDAR", "BEGIN:VEVENT", "END:VTODO"], "line 3: expected END:VEVENT"),
            (vec!["BEGIN:VCALENDAR", "END:VEVENT"], "line 2: expected END:VCALENDAR"),
            (vec!["BEGIN:VCALENDAR", "SUMMARY"], "line 2: expected a property, NAME:VALUE"),
            (vec!["BEGIN:VCALENDAR", "BEGIN;X=1:VEVENT"], "line 2: expected a property, NAME:VALUE"),
            (
                vec!["BEGIN:VCALENDAR", "BEGIN:VEVENT", "END;X=1:VEVENT"],
                "line 3: expected a property, NAME:VALUE",
            ),
            (vec!["BEGIN:VCALENDAR", "BEGIN:VEVENT", "A\0:x"], "line 3: expected text without NUL bytes"),
            (vec!["BEGIN:VCALENDAR", "END:VCALENDAR", "trash"], "line 3: expected BEGIN:VCALENDAR"),
            (deep, "line 9: too large: components nested deeper than 8"),
        ] {
            let error = scan(&text(&lines)).expect_err(says);
            assert_eq!(error.to_string(), says);
        }
        let error = scan(b"BEGIN:VCALENDAR\r\nX:\xff\r\n").expect_err("no UTF-8");
        assert_eq!(error.to_string(), "line 2: expected UTF-8");
    }

    #[test]
    fn a_fold_inside_a_character_is_no_error() {
        let mut input = b"BEGIN:VCALENDAR\r\nX:\xc3\r\n \xbc\r\n".to_vec();
        input.extend_from_slice(b"END:VCALENDAR\r\n");
        assert!(scan(&input).is_ok());
    }

    #[test]
    fn an_unknown_class_is_private() {
        assert_eq!(Class::of("x-secret"), Class::Private);
        assert_eq!(Class::of(" public "), Class::Public);
    }
}
