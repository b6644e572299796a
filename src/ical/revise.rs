//! An earlier version that is to count as the newest: programs take what has a later LAST-MODIFIED and a SEQUENCE that is
//! not lower, and leave alone what has not. Nothing else of the text is touched.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::{Timestamp, ToSpan};

use super::line::{Property, lines, logical_len, unfold};
use super::meaning::Age;
use super::value;

/// A component of an item that is being read, and that is to be newer than one of this age.
struct Open {
    age: Age,
    now: Timestamp,
    /// Which of the two it has so far.
    has_last_modified: bool,
    has_sequence: bool,
}

impl Open {
    fn new(age: Age, now: Timestamp) -> Open {
        Open { age, now, has_last_modified: false, has_sequence: false }
    }

    fn last_modified(&self) -> String {
        format!("LAST-MODIFIED:{}", later(self.age.last_modified, self.now))
    }

    fn sequence(&self) -> String {
        format!("SEQUENCE:{}", self.age.sequence)
    }

    /// What stands in the place of one of its own lines, if that does not stay.
    fn instead_of(&mut self, property: &Property<'_>) -> Option<Vec<String>> {
        if property.is("LAST-MODIFIED") {
            let is_second = std::mem::replace(&mut self.has_last_modified, true);
            return Some(if is_second { Vec::new() } else { vec![self.last_modified()] });
        }
        if property.is("SEQUENCE") {
            self.has_sequence = true;
            let own = property.value.trim().parse().unwrap_or(0_u64);
            return (own < self.age.sequence).then(|| vec![self.sequence()]);
        }
        None
    }

    /// The lines that it lacks at its end.
    fn missing(&self) -> Vec<String> {
        let last_modified = (!self.has_last_modified).then(|| self.last_modified());
        let sequence = (!self.has_sequence && self.age.sequence > 0).then(|| self.sequence());
        last_modified.into_iter().chain(sequence).collect()
    }
}

/// `text`, a VCALENDAR, as a version that is newer than those which `newest` has for the UIDs in it, where it has one; it was
/// brought back at `now`.
///
/// SEQUENCE is raised to that of the newest at most: a higher one would speak for the organizer (RFC 5546 §2.1.4).
pub fn revised(text: &[u8], newest: impl Fn(&str) -> Option<Age>, now: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let (mut rest, mut depth) = (text, 0_usize);
    let mut open: Option<Open> = None;
    while let Some((len, physical)) = logical_len(rest) {
        let (raw, more) = rest.split_at(len);
        rest = more;
        let unfolded = unfold(raw, physical);
        let line = String::from_utf8_lossy(&unfolded);
        let (mut before, mut instead) = (Vec::new(), None);
        // Behind what scan passes over, BEGIN:VCALENDAR would be no line that counts.
        match Property::parse(line.trim_start_matches(['\u{feff}', '\u{1a}', '\0'])) {
            Some(begin) if begin.is("BEGIN") => {
                depth += 1;
                if depth == 2 && is_item(begin.value) {
                    open = newest(&uid(rest)).map(|age| Open::new(age, now));
                }
            }
            Some(end) if end.is("END") => {
                before = open.take_if(|_| depth == 2).map(|done| done.missing()).unwrap_or_default();
                // Where the last line of a calendar has no end, the next one begins in it.
                let goes_on = depth == 1 && end.value.to_ascii_uppercase().ends_with("BEGIN:VCALENDAR");
                depth = depth.saturating_sub(usize::from(!goes_on));
            }
            Some(own) if depth == 2 => instead = open.as_mut().and_then(|open| open.instead_of(&own)),
            _ => {}
        }
        let end: &[u8] = if raw.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
        for line in before.iter().chain(instead.iter().flatten()) {
            out.extend([line.as_bytes(), end].concat());
        }
        if instead.is_none() {
            out.extend_from_slice(raw);
        }
    }
    out
}

/// Whether a component of this name is an item's.
fn is_item(name: &str) -> bool {
    ["VEVENT", "VTODO", "VJOURNAL"].iter().any(|kind| name.trim().eq_ignore_ascii_case(kind))
}

/// The UID of a component whose first line was read; empty if it has none.
fn uid(component: &[u8]) -> String {
    let mut depth = 0_usize;
    for line in lines(component) {
        match Property::parse(&line.text) {
            Some(begin) if begin.is("BEGIN") => depth += 1,
            Some(end) if end.is("END") && depth == 0 => break,
            Some(end) if end.is("END") => depth -= 1,
            Some(uid) if depth == 0 && uid.is("UID") && !uid.value.trim().is_empty() => {
                return value::uid(uid.value).into_owned();
            }
            _ => {}
        }
    }
    String::new()
}

/// A time in UTC as LAST-MODIFIED has it: `now`, or what is after `last`, given by its digits, where some clock is fast.
fn later(last: u64, now: Timestamp) -> String {
    const DIGITS: &str = "%Y%m%d%H%M%S";
    let after = strtime::parse(DIGITS, last.to_string()).ok();
    let after = after.and_then(|time| time.to_datetime().ok()?.checked_add(1.second()).ok());
    let now = now.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    now.max(after.unwrap_or(DateTime::MIN)).strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(body: &str, age: Age) -> String {
        let text = format!("BEGIN:VCALENDAR\r\n{body}END:VCALENDAR\r\n");
        let revised = revised(
            text.as_bytes(),
            |uid| (uid != "other").then_some(age),
            "2026-11-24T22:00:00Z".parse().expect("a time"),
        );
        let revised = String::from_utf8(revised).expect("UTF-8");
        let inner = revised.strip_prefix("BEGIN:VCALENDAR\r\n").expect("a calendar");
        inner.strip_suffix("END:VCALENDAR\r\n").expect("a calendar").to_owned()
    }

    #[test]
    fn stamps_are_replaced_where_they_are_and_added_where_they_are_not() {
        let age = Age { sequence: 2, ..Age::default() };
        for (before, after) in [
            (
                "BEGIN:VEVENT\r\nSEQUENCE:1\r\nlast-modified;X-A=1:\r\n 20200101T000000Z\r\nSUMMARY:a\r\nEND:VEVENT\r\n",
                "BEGIN:VEVENT\r\nSEQUENCE:2\r\nLAST-MODIFIED:20261124T220000Z\r\nSUMMARY:a\r\nEND:VEVENT\r\n",
            ),
            (
                "BEGIN:VTODO\nSUMMARY:a\nEND:VTODO\n",
                "BEGIN:VTODO\nSUMMARY:a\nLAST-MODIFIED:20261124T220000Z\nSEQUENCE:2\nEND:VTODO\n",
            ),
            (
                "BEGIN:VEVENT\r\nSEQUENCE:3\r\nBEGIN:VALARM\r\nLAST-MODIFIED:x\r\nEND:VALARM\r\nEND:VEVENT\r\n",
                "BEGIN:VEVENT\r\nSEQUENCE:3\r\nBEGIN:VALARM\r\nLAST-MODIFIED:x\r\nEND:VALARM\r\nLAST-MODIFIED:20261124T220000Z\r\nEND:VEVENT\r\n",
            ),
            (
                "BEGIN:VEVENT\r\nSUMMARY:b\r\nUID:other\r\nEND:VEVENT\r\n",
                "BEGIN:VEVENT\r\nSUMMARY:b\r\nUID:other\r\nEND:VEVENT\r\n",
            ),
            (
                "BEGIN:VTIMEZONE\r\nLAST-MODIFIED:20200101T000000Z\r\nEND:VTIMEZONE\r\n",
                "BEGIN:VTIMEZONE\r\nLAST-MODIFIED:20200101T000000Z\r\nEND:VTIMEZONE\r\n",
            ),
        ] {
            assert_eq!(run(before, age), after);
        }
    }

    #[test]
    fn a_byte_order_mark_stays_and_hides_nothing() {
        let text = "\u{feff}BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let now = "2026-11-24T22:00:00Z".parse().expect("a time");
        let revised = revised(text.as_bytes(), |_| Some(Age::default()), now);
        let expected = text.replace("END:VEVENT", "LAST-MODIFIED:20261124T220000Z\r\nEND:VEVENT");
        assert_eq!(String::from_utf8_lossy(&revised), expected);
    }

    #[test]
    fn a_calendar_that_begins_in_the_last_line_of_another_is_revised_too() {
        let now = "2026-11-24T22:00:00Z".parse().expect("a time");
        let one = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR";
        let text = format!("{one}{one}\r\n\u{1a}\u{feff}{one}");
        let revised = revised(text.as_bytes(), |_| Some(Age::default()), now);
        let expected = text.replace("END:VEVENT", "LAST-MODIFIED:20261124T220000Z\r\nEND:VEVENT");
        assert_eq!(String::from_utf8_lossy(&revised), expected);
    }

    #[test]
    fn a_version_from_the_future_is_outlived_all_the_same() {
        let age = Age { last_modified: 20_301_231_235_959, ..Age::default() };
        let revised = run("BEGIN:VEVENT\r\nEND:VEVENT\r\n", age);
        assert_eq!(revised, "BEGIN:VEVENT\r\nLAST-MODIFIED:20310101T000000Z\r\nEND:VEVENT\r\n");
    }
}
