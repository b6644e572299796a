//! XML as DAV bodies use it: elements with their namespaces read in order, and text written safely.
//!
//! What is hostile or broken is a 400 here, once for all: a DOCTYPE (and with it every entity of its own),
//! depth over 64, a second root, an undeclared prefix, a document that ends too early, which the parser takes for its end.

use std::borrow::Cow;

use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use crate::error::{Error, Result};

/// How deep elements may lie in each other.
const MAX_DEPTH: usize = 64;

/// How many attributes an element may have: the parser compares each with all before it.
const MAX_ATTRIBUTES: usize = 100;

/// The name of an element: its namespace, empty if it has none, and its local name (XML Namespaces §6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QName {
    namespace: String,
    local: String,
}

impl QName {
    /// Nothing if `local` is no name, or has a colon.
    pub fn new(namespace: &str, local: &str) -> Option<QName> {
        is_name(local).then(|| QName { namespace: namespace.to_owned(), local: local.to_owned() })
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn local(&self) -> &str {
        &self.local
    }

    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.namespace == namespace && self.local == local
    }
}

/// What comes next in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An element begins.
    Open(QName),
    /// The innermost element ends.
    Close,
    /// The document is over, and was whole.
    End,
}

/// Reads a document element by element; text and attributes are checked and passed over.
pub struct Reader<'a> {
    inner: NsReader<&'a [u8]>,
    depth: usize,
    has_root: bool,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// `BadRequest` for bytes that are no UTF-8.
    pub fn new(body: &'a [u8]) -> Result<Reader<'a>> {
        let text = std::str::from_utf8(body).map_err(|_| bad("the XML is not UTF-8"))?;
        let mut inner = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        inner.config_mut().expand_empty_elements = true;
        Ok(Reader { inner, depth: 0, has_root: false })
    }

    /// The next step; after the end, or an error, there is none to ask for.
    ///
    /// # Errors
    /// `BadRequest`, which says what is wrong.
    pub fn step(&mut self) -> Result<Step> {
        loop {
            let (namespace, event) = self
                .inner
                .read_resolved_event()
                .map_err(|error| bad(&format!("the XML is broken: {error}")))?;
            match event {
                Event::Start(start) => {
                    let name = name_of(&namespace, &start)?;
                    return self.open(name);
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Step::Close);
                }
                Event::Eof if self.depth > 0 => return Err(bad("the XML ends too early")),
                Event::Eof if !self.has_root => return Err(bad("the XML has no element")),
                Event::Eof => return Ok(Step::End),
                Event::DocType(_) => return Err(bad("a DOCTYPE is not accepted")),
                Event::GeneralRef(reference) => known(&reference)?,
                Event::Text(text) if self.depth == 0 && !text.trim_ascii().is_empty() => {
                    return Err(bad("the XML has text outside its element"));
                }
                Event::CData(_) if self.depth == 0 => {
                    return Err(bad("the XML has text outside its element"));
                }
                // Empty elements come as a start and an end.
                Event::Empty(_)
                | Event::Text(_)
                | Event::CData(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_) => {}
            }
        }
    }

    /// Passes over what is left of the innermost element, and its end.
    ///
    /// # Errors
    /// As [`Reader::step`].
    pub fn skip(&mut self) -> Result<()> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.step()?;
        }
        Ok(())
    }

    fn open(&mut self, name: QName) -> Result<Step> {
        if self.depth == 0 && self.has_root {
            return Err(bad("the XML has a second root element"));
        }
        if self.depth == MAX_DEPTH {
            return Err(bad("the XML is nested too deep"));
        }
        self.has_root = true;
        self.depth += 1;
        Ok(Step::Open(name))
    }
}

fn bad(text: &str) -> Error {
    Error::BadRequest(text.to_owned())
}

/// The name of an element whose start tag is sound: the parser itself looks at neither names nor attributes.
fn name_of(namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<QName> {
    for (ordinal, attribute) in start.attributes().enumerate() {
        if ordinal == MAX_ATTRIBUTES {
            return Err(bad("the XML has an element with too many attributes"));
        }
        let attribute = attribute.map_err(|error| bad(&format!("the XML is broken: {error}")))?;
        unescape(&attribute.value).map_err(|error| bad(&format!("the XML is broken: {error}")))?;
    }
    let (local, prefix) = start.name().decompose();
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => {
            unescape(namespace.into_inner()).map_err(|_| bad("the XML has a broken namespace"))?
        }
        ResolveResult::Unbound if prefix.is_none() => Cow::Borrowed(""),
        ResolveResult::Unbound | ResolveResult::Unknown(_) => {
            return Err(bad("the XML uses a prefix that is not declared"));
        }
    };
    QName::new(&namespace, local.into_inner())
        .ok_or_else(|| bad("the XML has an element without a proper name"))
}

/// The five entities of XML itself and characters by number; all others would need a DOCTYPE.
fn known(reference: &BytesRef<'_>) -> Result<()> {
    let sound = match reference.is_char_ref() {
        true => matches!(reference.resolve_char_ref(), Ok(Some(_))),
        false => resolve_xml_entity(reference).is_some(),
    };
    if sound { Ok(()) } else { Err(bad("the XML names an unknown entity")) }
}

/// Whether `text` is a name without a colon (XML Namespaces §3, NCName).
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(starts_name) && chars.all(continues_name)
}

/// NameStartChar of XML 1.0 §2.3, without the colon.
fn starts_name(c: char) -> bool {
    matches!(c, 'A'..='Z' | '_' | 'a'..='z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// NameChar of XML 1.0 §2.3, without the colon.
fn continues_name(c: char) -> bool {
    starts_name(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// `text` as the content of an element, or of an attribute in double quotes; good for HTML too.
///
/// Characters that XML 1.0 §2.2 does not have, escaped or not, are left out.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A bare one would be read as a line feed.
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' => escaped.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The names in the order they open, each as `{namespace}local`.
    fn names(body: &[u8]) -> Result<Vec<String>> {
        let mut reader = Reader::new(body)?;
        let mut names = Vec::new();
        loop {
            match reader.step()? {
                Step::Open(name) => names.push(format!("{{{}}}{}", name.namespace, name.local)),
                Step::Close => {}
                Step::End => return Ok(names),
            }
        }
    }

    #[test]
    fn names_come_with_their_namespaces() {
        for (text, expected) in [
            ("<a/>", vec!["{}a"]),
            ("\u{feff}<?xml version=\"1.0\"?>\n<a/>\n<!-- end -->", vec!["{}a"]),
            ("<a xmlns=\"DAV:\"><b/></a>", vec!["{DAV:}a", "{DAV:}b"]),
            ("<D:a xmlns:D='DAV:'><b>x &amp; &#65;</b></D:a>", vec!["{DAV:}a", "{}b"]),
            (
                "<a xmlns=\"x\"><b xmlns=\"\"/><c xmlns=\"y\"><d/></c><e/></a>",
                vec!["{x}a", "{}b", "{y}c", "{y}d", "{x}e"],
            ),
            ("<p:a xmlns:p=\"x&amp;y\"/>", vec!["{x&y}a"]),
            ("<a><![CDATA[<b>]]></a>", vec!["{}a"]),
        ] {
            assert_eq!(
                names(text.as_bytes()).ok(),
                Some(expected.iter().map(ToString::to_string).collect()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_broken_or_hostile_is_a_bad_request() {
        for text in [
            "",
            " ",
            "text",
            "<a>",
            "<a><b></a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>text",
            "<a/>&amp;x",
            "<a/><![CDATA[x]]>",
            "<a",
            "<a b=\"",
            "<a b=c/>",
            "<a b='1' b='2'/>",
            "<a><!--",
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            "<a>&b;</a>",
            "<a b='&c;'/>",
            "<a>&#0;</a>",
            "<D:a/>",
            "<D:a xmlns:D=\"\"/>",
            "<a xmlns:D=\"DAV:\"><b/></a><D:c/>",
            "<a:b:c xmlns:a=\"x\"/>",
            "<a: xmlns:a=\"x\"/>",
            "<1/>",
            "<a&b/>",
            "<p:a xmlns:p=\"&b;\"/>",
        ] {
            assert!(matches!(names(text.as_bytes()), Err(Error::BadRequest(_))), "{text}");
        }
        assert!(matches!(names(b"<a>\xff</a>"), Err(Error::BadRequest(_))));
    }

    #[test]
    fn sixty_four_levels_are_enough() {
        let nested = |depth| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(names(nested(64).as_bytes()).ok().map(|names| names.len()), Some(64));
        assert!(names(nested(65).as_bytes()).is_err());
    }

    #[test]
    fn an_element_has_a_hundred_attributes_at_most() {
        let element = |count| {
            let attributes: String = (0..count).map(|ordinal| format!(" a{ordinal}=\"\"")).collect();
            format!("<a{attributes}/>")
        };
        assert!(names(element(MAX_ATTRIBUTES).as_bytes()).is_ok());
        assert!(names(element(MAX_ATTRIBUTES + 1).as_bytes()).is_err());
    }

    #[test]
    fn escaped_text_is_sound_wherever_it_stands() {
        assert_eq!(
            escape("a<b>&\"c\"\r\n\t\u{1}\u{0}\u{fffe}\u{fc}'"),
            "a&lt;b&gt;&amp;&quot;c&quot;&#13;\n\t\u{fc}'"
        );
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[<>/a:&;#x!?\\[\\]\"'= -]{0,60}".prop_map(String::into_bytes),
        ]) {
            let _ = names(&body);
        }

        #[test]
        fn escaped_text_goes_through_the_reader(text in "\\PC*|[\\x00-\\x7f]{0,30}") {
            let body = format!("<a b=\"{0}\">{0}</a>", escape(&text));
            prop_assert!(names(body.as_bytes()).is_ok(), "{}", body);
        }
    }
}
