//! Putting content lines into bytes: escaping, and what served bytes must look like whatever a client wrote.

use std::borrow::Cow;
use std::collections::HashMap;

use super::line::{Property, lines, logical_len, push_folded, unfold};
use super::value::{tzid, unescape};

/// Appends `text` as one content line, folded between characters, with CRLF.
pub fn push_line(out: &mut Vec<u8>, text: &str) {
    let mut line = String::with_capacity(text.len() + 8);
    push_folded(&mut line, text);
    out.extend_from_slice(line.as_bytes());
}

/// A TEXT value with what RFC 5545 §3.3.11 wants escaped; other control characters become spaces.
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The SUMMARY of the first component in `raw`, as people read it; empty if it has none.
pub fn summary(raw: &[u8]) -> String {
    let is_summary = |text: &str| Property::parse(text).is_some_and(|property| property.is("SUMMARY"));
    let line = lines(raw).find(|line| is_summary(&line.text));
    let value = line
        .and_then(|line| Property::parse(&line.text).map(|property| unescape(property.value).into_owned()));
    value.unwrap_or_default()
}

/// The bytes to serve for components as a client wrote them: the same but for what other programs stumble over,
/// which is LF or CR CR LF as a line end, blank lines, and folds inside a character.
pub fn served(raw: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(raw).is_ok() && only_crlf(raw) {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 16);
    for line in lines(raw) {
        if std::str::from_utf8(line.raw).is_ok() {
            for physical in line.raw.split_inclusive(|byte| *byte == b'\n') {
                out.extend_from_slice(super::line::trim_line_end(physical));
                out.extend_from_slice(b"\r\n");
            }
        } else {
            push_line(&mut out, &line.text);
        }
    }
    Cow::Owned(out)
}

fn only_crlf(raw: &[u8]) -> bool {
    let mut start_of_line = 0;
    memchr::memchr_iter(b'\n', raw).all(|at| {
        let line = raw[start_of_line..at].strip_suffix(b"\r");
        start_of_line = at + 1;
        line.is_some_and(|line| !line.is_empty() && !line.ends_with(b"\r"))
    }) && start_of_line == raw.len()
}

/// A zone's name without escapes, as a parameter has it; but for a name that would be read as another one then.
pub fn as_it_is(name: &str) -> Cow<'_, str> {
    match tzid(name) == name {
        true => name.into(),
        false => escape(name).into(),
    }
}

/// From what zones are called to what they are to be called, see [`tzid`].
pub type Renames<'a> = HashMap<&'a str, &'a str>;

/// `raw` with other names for zones in its parameters and TZID properties; other lines stay as they are.
pub fn rename_zones(raw: &[u8], renames: &Renames<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + 64);
    let mut rest = raw;
    while let Some((len, physical)) = logical_len(rest) {
        let (line, more) = rest.split_at(len);
        rest = more;
        let unfolded = unfold(line, physical);
        match std::str::from_utf8(&unfolded).ok().and_then(|text| renamed(text, renames)) {
            Some(text) => push_line(&mut out, &text),
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// The line with another name for its zone, or nothing if it names none that is renamed.
fn renamed(text: &str, renames: &Renames<'_>) -> Option<String> {
    let property = Property::parse(text)?;
    let renamed = |spelled: &str| renames.get(&*tzid(spelled)).copied();
    if property.is("TZID") {
        return Some(format!("{}{}:{}", property.name, property.params, escape(renamed(property.value)?)));
    }
    let to = as_it_is(renamed(property.param("TZID")?)?);
    let to = match to.contains([';', ':', ',']) {
        true => format!("\"{to}\""),
        false => to.into_owned(),
    };
    let mut line = property.name.to_owned();
    for (name, value) in property.params() {
        match name.eq_ignore_ascii_case("TZID") {
            true => line.push_str(&format!(";{name}={to}")),
            false => line.push_str(&format!(";{name}={value}")),
        }
    }
    Some(format!("{line}:{}", property.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_folded_between_characters() {
        let mut out = Vec::new();
        let text = format!("SUMMARY:{}", "\u{fc}".repeat(100));
        push_line(&mut out, &text);
        let physical: Vec<&[u8]> = out.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(physical.iter().all(|line| line.len() <= 77 && std::str::from_utf8(line).is_ok()));
        assert_eq!(lines(&out).next().map(|line| line.text.into_owned()), Some(text));
    }

    #[test]
    fn served_bytes_have_crlf_and_no_fold_inside_a_character() {
        let table: [(&[u8], &[u8]); 6] = [
            (b"A:1\r\r\nB:2\r\r\n 3\r\r\n", b"A:1\r\nB:2\r\n 3\r\n"),
            (b"A:1\r\nB:2\r\n 3\r\n", b"A:1\r\nB:2\r\n 3\r\n"),
            (b"A:1\nB:2\n 3\n", b"A:1\r\nB:2\r\n 3\r\n"),
            (b"A:1\r\n\r\nB:2\r\n", b"A:1\r\nB:2\r\n"),
            (b"A:\xc3\r\n \xbc\r\n", b"A:\xc3\xbc\r\n"),
            (b"A:1\r\nB:2", b"A:1\r\nB:2\r\n"),
        ];
        for (raw, expected) in table {
            assert_eq!(served(raw).as_ref(), expected, "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn a_zone_is_renamed_where_it_is_named_and_nowhere_else() {
        let raw = b"DTSTART;TZID=Home;X=1:20260101T100000\r\nSUMMARY:TZID=Home\r\nTZID:Home\r\nDTEND;TZID=Homer:1\r\n";
        let renamed = rename_zones(raw, &Renames::from([("Home", "Home (2)")]));
        let expected = "DTSTART;TZID=Home (2);X=1:20260101T100000\r\nSUMMARY:TZID=Home\r\nTZID:Home (2)\r\nDTEND;TZID=Homer:1\r\n";
        assert_eq!(String::from_utf8_lossy(&renamed), expected);
        let back = rename_zones(&renamed, &Renames::from([("Home (2)", "Home")]));
        let odd = rename_zones(b"DTSTART;TZID=Home:1\r\n", &Renames::from([("Home", "(UTC+01:00) A, B")]));
        assert_eq!(String::from_utf8_lossy(&odd), "DTSTART;TZID=\"(UTC+01:00) A, B\":1\r\n");
        assert!(String::from_utf8_lossy(&back).starts_with("DTSTART;TZID=Home;X=1:"));
    }

    #[test]
    fn text_is_escaped_into_one_line() {
        assert_eq!(escape("a,b;c\\d\ne\rf"), "a\\,b\\;c\\\\d\\ne f");
    }
}
