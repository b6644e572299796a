//! Content lines (RFC 5545 §3.1): unfolding, and the parts of one property. Nothing here copies what it need not.

use std::borrow::Cow;

use memchr::memchr;

/// One content line: its raw bytes with folds and line end, its unfolded text, its number in the file (from 1).
#[derive(Debug, Clone)]
pub struct Line<'a> {
    pub raw: &'a [u8],
    pub text: Cow<'a, str>,
    pub number: usize,
}

/// The content lines of `bytes` in their order, blank ones left out.
///
/// Bytes that are no UTF-8 after unfolding come out as U+FFFD; `scan` refuses them before anything else looks.
pub fn lines(bytes: &[u8]) -> Lines<'_> {
    Lines { rest: bytes, number: 1 }
}

/// Iterator over content lines, see [`lines`].
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let (len, physical) = logical_len(self.rest)?;
            let (raw, rest) = self.rest.split_at(len);
            let number = self.number;
            self.rest = rest;
            self.number += physical;
            let text = unfold(raw, physical);
            if !text.trim_ascii().is_empty() {
                return Some(Line { raw, text: into_text(text), number });
            }
        }
    }
}

/// The length in bytes of the first content line with its folds, and of how many physical lines it is made.
pub(super) fn logical_len(bytes: &[u8]) -> Option<(usize, usize)> {
    if bytes.is_empty() {
        return None;
    }
    let mut end = 0;
    let mut physical = 0;
    loop {
        physical += 1;
        match memchr(b'\n', &bytes[end..]) {
            Some(at) => end += at + 1,
            None => return Some((bytes.len(), physical)),
        }
        if !matches!(bytes.get(end), Some(b' ' | b'\t')) {
            return Some((end, physical));
        }
    }
}

/// The bytes of a content line without line ends and folds.
pub(super) fn unfold(raw: &[u8], physical: usize) -> Cow<'_, [u8]> {
    if physical == 1 {
        return Cow::Borrowed(trim_line_end(raw));
    }
    let mut text = Vec::with_capacity(raw.len());
    for (ordinal, part) in raw.split_inclusive(|byte| *byte == b'\n').enumerate() {
        // Every physical line but the first starts with the one blank that marks the fold.
        let part = if ordinal == 0 { part } else { &part[1..] };
        text.extend_from_slice(trim_line_end(part));
    }
    Cow::Owned(text)
}

/// Without its line end, which is CR CR LF where a text was made a DOS text twice.
pub(super) fn trim_line_end(line: &[u8]) -> &[u8] {
    let mut line = line.strip_suffix(b"\n").unwrap_or(line);
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

fn into_text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}

/// Adds a content line with its end, folded at 75 octets (RFC 5545 §3.1) between characters; not after a CR, which would be taken
/// for a part of the line end.
pub fn push_folded(text: &mut String, content: &str) {
    let mut width = 0;
    for c in content.chars() {
        if width + c.len_utf8() > 75 && !text.ends_with('\r') {
            text.push_str("\r\n ");
            width = 1;
        }
        text.push(c);
        width += c.len_utf8();
    }
    text.push_str("\r\n");
}

/// Whether a property or a parameter of this name is one that its maker has made up (RFC 5545 §3.8.8.2).
pub(super) fn is_makers_own(name: &str) -> bool {
    name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-"))
}

/// The parts of one property: `name *(";" param) ":" value` (RFC 5545 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Property<'a> {
    pub name: &'a str,
    /// Everything between name and colon, with its leading `;`, or nothing.
    pub params: &'a str,
    pub value: &'a str,
}

impl<'a> Property<'a> {
    /// The parts of an unfolded line, or nothing if it has no name or no colon outside quotes.
    pub fn parse(text: &'a str) -> Option<Property<'a>> {
        let bytes = text.as_bytes();
        let name_end = bytes
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')))?;
        if name_end == 0 {
            return None;
        }
        let colon = match bytes[name_end] {
            b':' => name_end,
            b';' => name_end + unquoted(&bytes[name_end..], b':')?,
            _ => return None,
        };
        Some(Property { name: &text[..name_end], params: &text[name_end..colon], value: &text[colon + 1..] })
    }

    /// Whether this is the property `name`, in any letter case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Name and raw value (quotes kept, lists whole) of each parameter.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.params.strip_prefix(';').unwrap_or("");
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = unquoted(rest.as_bytes(), b';').unwrap_or(rest.len());
            let param = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or("");
            Some(param.split_once('=').unwrap_or((param, "")))
        })
    }

    /// The value of the parameter `name` without its quotes, in any letter case of the name.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| unquote(value))
    }
}

/// Where `wanted` first stands outside double quotes. A quote that never closes is taken for a plain character.
pub fn unquoted(bytes: &[u8], wanted: u8) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            _ if *byte == wanted && !quoted => return Some(at),
            _ => {}
        }
    }
    if quoted { memchr(wanted, bytes) } else { None }
}

/// A parameter value without the quotes around it.
pub fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_line_is_one_line_with_its_first_number() {
        let text = "A:1\r\nB:two\r\n  more\r\n\tand\r\n\r\nC:3";
        // As it is after it was made a DOS text twice.
        for text in [text, &text.replace('\n', "\r\n")] {
            let found: Vec<_> =
                lines(text.as_bytes()).map(|line| (line.number, line.text.into_owned())).collect();
            assert_eq!(
                found,
                [(1, "A:1".to_owned()), (2, "B:two moreand".to_owned()), (6, "C:3".to_owned())]
            );
        }
    }

    #[test]
    fn raw_lines_put_together_are_the_input_without_blank_lines() {
        let text = b"A:1\nB:2\r\n 3\r\n";
        let raw: Vec<u8> = lines(text).flat_map(|line| line.raw.to_vec()).collect();
        assert_eq!(raw, text);
    }

    #[test]
    fn a_fold_inside_a_character_is_undone() {
        let text = "SUMMARY:Z\u{fc}rich".as_bytes();
        let mut folded = text[..10].to_vec();
        folded.extend_from_slice(b"\r\n ");
        folded.extend_from_slice(&text[10..]);
        let line = lines(&folded).next().map(|line| line.text.into_owned());
        assert_eq!(line.as_deref(), Some("SUMMARY:Z\u{fc}rich"));
    }

    #[test]
    fn no_fold_takes_a_carriage_return_away() {
        for before in 70..80 {
            let content = format!("A:{}\rB\r\rC", "x".repeat(before));
            let mut folded = String::new();
            push_folded(&mut folded, &content);
            let line = lines(folded.as_bytes()).next().map(|line| line.text.into_owned());
            assert_eq!(line, Some(content));
        }
    }

    #[test]
    fn a_property_falls_into_name_parameters_and_value() {
        let property = Property::parse("ATTENDEE;CN=\"Doe; John: x\";ROLE=CHAIR:mailto:j@example.org");
        let property = property.expect("a property");
        assert_eq!(property.name, "ATTENDEE");
        assert_eq!(property.value, "mailto:j@example.org");
        assert_eq!(property.param("cn"), Some("Doe; John: x"));
        assert_eq!(property.param("ROLE"), Some("CHAIR"));
        assert_eq!(property.param("RSVP"), None);
    }

    #[test]
    fn what_has_no_name_or_no_colon_is_no_property() {
        for text in ["", ":x", "SUMMARY", "SUM MARY:x", ";A=B:x", "X;A=\"b\""] {
            assert_eq!(Property::parse(text), None, "{text}");
        }
        let open = Property::parse("X;A=\"b:c").expect("an open quote is a plain character");
        assert_eq!(open.value, "c");
    }
}
