//! What a PROPFIND asks for: its Depth, and the properties named in its body.

use super::DAV;
use crate::error::{Error, Result};
use crate::http::xml::{QName, Reader, Step};

/// The largest body, in bytes.
pub const MAX_BODY: usize = 64 << 10;

/// How many properties one body may name; each is answered for each resource.
const MAX_PROPERTIES: usize = 200;

/// How far down a PROPFIND looks (RFC 4918 §10.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Zero,
    One,
    /// Also where no Depth is given (RFC 4918 §9.1).
    Infinity,
}

impl Depth {
    /// # Errors
    /// `BadRequest` for any other value.
    pub fn parse(header: Option<&str>) -> Result<Depth> {
        match header.map(str::trim) {
            Some("0") => Ok(Depth::Zero),
            Some("1") => Ok(Depth::One),
            None => Ok(Depth::Infinity),
            Some(text) if text.eq_ignore_ascii_case("infinity") => Ok(Depth::Infinity),
            Some(_) => Err(bad("Depth is 0, 1 or infinity")),
        }
    }
}

/// What is to be answered for each resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The common properties, and those named beside (RFC 4918 §14.8).
    All { include: Vec<QName> },
    /// The names of all properties, without values.
    Names,
    /// These properties.
    Only(Vec<QName>),
}

impl Wanted {
    /// Reads the body of a PROPFIND, whose size the caller has capped; an empty one asks for all.
    ///
    /// # Errors
    /// `BadRequest`.
    pub fn parse(body: &[u8]) -> Result<Wanted> {
        if body.trim_ascii().is_empty() {
            return Ok(Wanted::All { include: Vec::new() });
        }
        let mut reader = Reader::new(body)?;
        match reader.step()? {
            Step::Open(root) if root.is(DAV, "propfind") => {}
            _ => return Err(bad("the body is no propfind element")),
        }
        let mut wanted = None;
        let mut include = None;
        while let Step::Open(child) = reader.step()? {
            let known = match child.local() {
                _ if child.namespace() != DAV => None,
                "allprop" => Some(Wanted::All { include: Vec::new() }),
                "propname" => Some(Wanted::Names),
                "prop" => Some(Wanted::Only(names(&mut reader)?)),
                "include" => {
                    include = Some(names(&mut reader)?);
                    continue;
                }
                _ => None,
            };
            if known.is_some() && wanted.is_some() {
                return Err(bad("a propfind asks for one thing"));
            }
            if !matches!(known, Some(Wanted::Only(_))) {
                reader.skip()?;
            }
            wanted = known.or(wanted);
        }
        // The rest of the document has to be sound too.
        reader.step()?;
        with_include(wanted, include)
    }
}

fn with_include(wanted: Option<Wanted>, include: Option<Vec<QName>>) -> Result<Wanted> {
    match (wanted, include) {
        (Some(Wanted::All { .. }), Some(include)) => Ok(Wanted::All { include }),
        (Some(wanted), None) => Ok(wanted),
        (_, Some(_)) => Err(bad("include goes with allprop only")),
        (None, None) => Err(bad("the propfind asks for nothing")),
    }
}

/// The names of the elements in the one just opened, each once, and its end.
fn names(reader: &mut Reader<'_>) -> Result<Vec<QName>> {
    let mut names = Vec::new();
    while let Step::Open(name) = reader.step()? {
        reader.skip()?;
        if names.contains(&name) {
            continue;
        }
        if names.len() == MAX_PROPERTIES {
            return Err(bad("the propfind names too many properties"));
        }
        names.push(name);
    }
    Ok(names)
}

fn bad(text: &str) -> Error {
    Error::BadRequest(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dav(local: &str) -> QName {
        QName::new(DAV, local).expect("a name")
    }

    #[test]
    fn a_body_says_what_is_wanted() {
        let color = QName::new("http://apple.com/ns/ical/", "calendar-color").expect("a name");
        for (body, wanted) in [
            ("", Wanted::All { include: vec![] }),
            (" \r\n", Wanted::All { include: vec![] }),
            ("<propfind xmlns=\"DAV:\"><allprop/></propfind>", Wanted::All { include: vec![] }),
            (
                "<propfind xmlns=\"DAV:\"><allprop/><include><getetag/></include></propfind>",
                Wanted::All { include: vec![dav("getetag")] },
            ),
            ("<D:propfind xmlns:D=\"DAV:\"><D:propname></D:propname></D:propfind>", Wanted::Names),
            ("<D:propfind xmlns:D=\"DAV:\"><D:prop/></D:propfind>", Wanted::Only(vec![])),
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<D:propfind xmlns:D=\"DAV:\" xmlns:A=\"http://apple.com/ns/ical/\">\
                 <D:prop><D:getcontenttype/><A:calendar-color/><D:getcontenttype/></D:prop></D:propfind>\n",
                Wanted::Only(vec![dav("getcontenttype"), color]),
            ),
            (
                "<propfind xmlns=\"DAV:\"><x:new xmlns:x=\"y\"><allprop/></x:new><prop><getetag><deep/></getetag></prop></propfind>",
                Wanted::Only(vec![dav("getetag")]),
            ),
        ] {
            assert_eq!(Wanted::parse(body.as_bytes()).ok(), Some(wanted), "{body}");
        }
    }

    #[test]
    fn a_body_that_says_nothing_or_too_much_is_a_bad_request() {
        for body in [
            "<propfind><allprop/></propfind>",
            "<prop xmlns=\"DAV:\"/>",
            "<propfind xmlns=\"DAV:\"/>",
            "<propfind xmlns=\"DAV:\"><other/></propfind>",
            "<propfind xmlns=\"DAV:\"><include/></propfind>",
            "<propfind xmlns=\"DAV:\"><propname/><include/></propfind>",
            "<propfind xmlns=\"DAV:\"><allprop/><prop/></propfind>",
            "<propfind xmlns=\"DAV:\"><prop/><prop/></propfind>",
            "<propfind xmlns=\"DAV:\"><allprop/>",
            "<propfind xmlns=\"DAV:\"><allprop/></propfind><x/>",
            "<propfind xmlns=\"DAV:\"><prop><x:a/></prop></propfind>",
        ] {
            assert!(matches!(Wanted::parse(body.as_bytes()), Err(Error::BadRequest(_))), "{body}");
        }
        let many = |count| -> String {
            let names: String = (0..count).map(|ordinal| format!("<p{ordinal}/>")).collect();
            format!("<propfind xmlns=\"DAV:\"><prop>{names}</prop></propfind>")
        };
        assert!(Wanted::parse(many(MAX_PROPERTIES).as_bytes()).is_ok());
        assert!(Wanted::parse(many(MAX_PROPERTIES + 1).as_bytes()).is_err());
    }

    #[test]
    fn depth_is_infinity_unless_given() {
        for (header, depth) in [
            (None, Some(Depth::Infinity)),
            (Some("0"), Some(Depth::Zero)),
            (Some(" 1 "), Some(Depth::One)),
            (Some("Infinity"), Some(Depth::Infinity)),
            (Some("2"), None),
            (Some(""), None),
            (Some("1,noroot"), None),
        ] {
            assert_eq!(Depth::parse(header).ok(), depth, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<propfind xmlns=\"DAV:\">", "</propfind>", "<prop>", "</prop>", "<prop/>", "<allprop/>", "<include>",
                "</include>", "<a:b xmlns:a=\"c\"/>", "<d>", "</d>", "text", "&amp;", "<!--", "-->", "<![CDATA[", "]]>",
            ]), 0..12),
        ) {
            let _ = Wanted::parse(parts.concat().as_bytes());
        }
    }
}
