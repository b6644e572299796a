//! Preconditions: what If-Match, If-None-Match, the two dates and WebDAV's If decide, and which View a save is based on.
//!
//! Pure: headers and the current Etag in, a decision out. Entity tags are spoken of bare: without quotes, without
//! `W/` and without the `-gzip` of the compressed variant, since nginx and Apache add those on the way
//! and clients send them back. A malformed tag matches nothing and is never an error.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::{self, HeaderMap, HeaderName};

use crate::error::{Error, Result};
use crate::store::Basis;

/// The preconditions of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<SystemTime>,
    if_unmodified_since: Option<SystemTime>,
    lists: Vec<List>,
}

/// The value of If-Match or If-None-Match (RFC 9110 §13.1.1 and §13.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    /// Bare tags; the malformed ones are left out.
    Listed(Vec<String>),
}

/// One list of WebDAV's If: all its conditions together (RFC 4918 §10.4.3).
type List = Vec<Condition>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    /// `["tag"]`, bare; nothing if malformed.
    Tag(Option<String>),
    /// `Not ["tag"]`
    NotTag(Option<String>),
    /// `<urn:…>`: a lock, of which we have none.
    Token,
    /// `Not <urn:…>`
    NotToken,
}

impl Guard {
    pub fn parse(headers: &HeaderMap) -> Guard {
        Guard {
            if_match: text_of(headers, &header::IF_MATCH).map(|text| Tags::parse(&text)),
            if_none_match: text_of(headers, &header::IF_NONE_MATCH).map(|text| Tags::parse(&text)),
            if_modified_since: date_of(headers, &header::IF_MODIFIED_SINCE),
            if_unmodified_since: date_of(headers, &header::IF_UNMODIFIED_SINCE),
            lists: text_of(headers, &HeaderName::from_static("if"))
                .map(|text| parse_lists(&text))
                .unwrap_or_default(),
        }
    }

    /// Whether a change may go on, where `current` is the Etag (bare or quoted) of what is there, if anything is.
    ///
    /// An entity tag in WebDAV's If never refuses: it only says which View to merge from. A 412 would make
    /// Thunderbird drop its user's edit and turn the calendar read-only (a stated deviation from RFC 4918 §10.4).
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub fn check(&self, current: Option<&str>) -> Result<()> {
        let current = current.map(bare_or_whole);
        let matched = self.if_match.as_ref().is_none_or(|tags| tags.contain(current));
        let unmatched = self.if_none_match.as_ref().is_none_or(|tags| !tags.contain(current));
        let listed = self.lists.is_empty() || self.lists.iter().any(|list| holds(list, current));
        if matched && unmatched && listed { Ok(()) } else { Err(Error::PreconditionFailed) }
    }

    /// Whether a request may go on where what is there was `modified` then, if that is known (RFC 9110 §13.1.4). Where
    /// If-Match is given, that has decided.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub fn check_date(&self, modified: Option<SystemTime>) -> Result<()> {
        match (&self.if_match, self.if_unmodified_since, modified) {
            (None, Some(since), Some(modified)) if seconds(modified) > seconds(since) => {
                Err(Error::PreconditionFailed)
            }
            _ => Ok(()),
        }
    }

    /// What the save is a change of, once [`Guard::check`] has passed. If-Match named the current Etag then; If names older
    /// ones too, bare, and with none that is well-formed it names nothing that is known.
    pub fn basis(&self) -> Basis {
        if matches!(&self.if_match, Some(Tags::Listed(tags)) if !tags.is_empty()) {
            return Basis::Current;
        }
        let tags: Vec<_> = self.lists.iter().flatten().filter_map(Condition::base_tag).collect();
        if tags.is_empty() {
            Basis::Unknown
        } else {
            Basis::Named(tags.into_iter().flatten().cloned().collect())
        }
    }

    /// Whether a read is answered by 304: the client has what is there (RFC 9110 §13.2.2).
    ///
    /// If-Modified-Since is compared for equality: a restored calendar is older than what the client has, and still news.
    ///
    /// # Errors
    /// `PreconditionFailed`, by If-Match or If-Unmodified-Since.
    pub fn not_modified(&self, current: &str, modified: Option<SystemTime>) -> Result<bool> {
        let current = Some(bare_or_whole(current));
        if self.if_match.as_ref().is_some_and(|tags| !tags.contain(current)) {
            return Err(Error::PreconditionFailed);
        }
        self.check_date(modified)?;
        Ok(match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => tags.contain(current),
            (None, Some(since)) => modified.is_some_and(|modified| seconds(since) == seconds(modified)),
            (None, None) => false,
        })
    }
}

impl Tags {
    fn parse(text: &str) -> Tags {
        if text.trim() == "*" {
            return Tags::Any;
        }
        let mut quoted = false;
        let members = text.split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        Tags::Listed(members.filter_map(bare).map(str::to_owned).collect())
    }

    fn contain(&self, current: Option<&str>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::Listed(tags), Some(current)) => tags.iter().any(|tag| tag == current),
        }
    }
}

impl Condition {
    /// The tag that names a View; the inner nothing if it is malformed.
    fn base_tag(&self) -> Option<Option<&String>> {
        match self {
            Condition::Tag(tag) => Some(tag.as_ref()),
            Condition::NotTag(_) | Condition::Token | Condition::NotToken => None,
        }
    }
}

fn holds(list: &List, current: Option<&str>) -> bool {
    let names_a_view = list.iter().any(|condition| condition.base_tag().is_some());
    list.iter().all(|condition| match condition {
        Condition::Tag(_) | Condition::NotToken => true,
        Condition::NotTag(tag) => tag.is_none() || tag.as_deref() != current,
        Condition::Token => names_a_view,
    })
}

/// The lists of a WebDAV If, up to where it stops making sense.
///
/// The resources of tagged lists are not looked at: a tag of another calendar names no View of this one.
fn parse_lists(text: &str) -> Vec<List> {
    let mut lists = Vec::new();
    let mut rest = text;
    loop {
        // Two If headers in one request arrive joined by a comma.
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(tagged) = rest.strip_prefix('<') {
            let Some((_, after)) = tagged.split_once('>') else { return lists };
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('(') {
            let (list, after) = parse_list(inside);
            lists.push(list);
            rest = after;
        } else {
            return lists;
        }
    }
}

/// The conditions up to the closing parenthesis, and what follows it; nothing follows what makes no sense.
fn parse_list(text: &str) -> (List, &str) {
    let mut list = List::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(')') {
            return (list, after);
        }
        let (not, at) = match rest.get(..3) {
            Some(word) if word.eq_ignore_ascii_case("not") => (true, rest[3..].trim_start()),
            _ => (false, rest),
        };
        let Some((condition, after)) = parse_condition(not, at) else { return (list, "") };
        list.push(condition);
        rest = after;
    }
}

fn parse_condition(not: bool, text: &str) -> Option<(Condition, &str)> {
    if let Some(inside) = text.strip_prefix('<') {
        let (_, after) = inside.split_once('>')?;
        return Some((if not { Condition::NotToken } else { Condition::Token }, after));
    }
    let inside = text.strip_prefix('[')?;
    // The tag itself may hold brackets. Nothing is searched for twice: a header may be full of brackets that open.
    let start = inside.trim_start().trim_start_matches(['W', 'w', '/']);
    let quoted = start.strip_prefix('"').and_then(|tag| tag.split_once('"'));
    let after_tag = quoted.map_or(inside, |(_, after)| after);
    let end = inside.len() - after_tag.len() + after_tag.find(']')?;
    let tag = bare(&inside[..end]).map(str::to_owned);
    Some((if not { Condition::NotTag(tag) } else { Condition::Tag(tag) }, &inside[end + 1..]))
}

/// What stands between the quotes of an entity tag (RFC 9110 §8.8.3), without `W/` and what each proxy on the way added
/// as `-gzip`; nothing if malformed.
fn bare(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").or_else(|| tag.strip_prefix("w/")).unwrap_or(tag);
    let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('"')).then(|| inner.trim_end_matches("-gzip"))
}

/// Our own Etag, which may come with its quotes or without.
fn bare_or_whole(tag: &str) -> &str {
    bare(tag).unwrap_or(tag)
}

/// All values of a header as one; a header given twice is a list (RFC 9110 §5.3).
fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<Cow<'_, str>> =
        headers.get_all(name).map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The date in a header; one that cannot be read is as good as none (RFC 9110 §13.1.3 and §13.1.4).
fn date_of(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    text_of(headers, name).and_then(|date| httpdate::parse_http_date(date.trim()).ok())
}

/// HTTP dates are in whole seconds.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;
    use std::time::Duration;

    fn guard(headers: &[(&'static str, &str)]) -> Guard {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"));
        }
        Guard::parse(&map)
    }

    fn named(tags: &[&str]) -> Basis {
        Basis::Named(tags.iter().map(|tag| (*tag).to_owned()).collect())
    }

    #[test]
    fn if_match_and_if_none_match_decide_a_save() {
        let (here, gone) = (Some("a"), None);
        for (header, value, current, passes) in [
            ("if-match", "\"a\"", here, true),
            ("if-match", "\"b\"", here, false),
            ("if-match", "\"a\"", gone, false),
            ("if-match", "\"b\", \"a\"", here, true),
            ("if-match", "\"b,c\",\"a\"", here, true),
            ("if-match", "\"x, \\\"a\\\"\"", here, false),
            ("if-match", "W/\"a\"", here, true),
            ("if-match", "\"a-gzip\"", here, true),
            ("if-match", "W/\"a-gzip\"", here, true),
            ("if-match", "\"a-gzip-gzip\"", here, true),
            ("if-match", "*", here, true),
            ("if-match", "*", gone, false),
            ("if-match", "nothing", here, false),
            ("if-match", "nothing", gone, false),
            ("if-match", "a", here, false),
            ("if-match", "", here, false),
            ("if-match", "\"", here, false),
            ("if-match", "W/", here, false),
            ("if-none-match", "*", here, false),
            ("if-none-match", "*", gone, true),
            ("if-none-match", "\"a\"", here, false),
            ("if-none-match", "\"a-gzip\"", here, false),
            ("if-none-match", "\"b\"", here, true),
            ("if-none-match", "nothing", here, true),
        ] {
            let found = guard(&[(header, value)]).check(current);
            assert_eq!(found.is_ok(), passes, "{header}: {value} where {current:?}");
        }
    }

    #[test]
    fn our_own_etag_may_come_quoted_or_bare() {
        let guard = guard(&[("if-match", "\"a\"")]);
        assert!(guard.check(Some("\"a\"")).is_ok());
        assert!(guard.check(Some("\"a-gzip\"")).is_ok());
        assert!(guard.check(Some("a")).is_ok());
    }

    #[test]
    fn an_entity_tag_in_if_never_refuses_but_not_does() {
        for (value, passes) in [
            ("([\"a\"])", true),
            ("([\"old\"])", true),
            ("([nothing])", true),
            ("([\"old\"] [\"a\"])", true),
            ("(Not [\"a\"])", false),
            ("(not [\"a-gzip\"])", false),
            ("(Not [\"b\"])", true),
            ("(Not [nothing])", true),
            ("([\"old\"] Not [\"a\"])", false),
            ("(Not [\"a\"]) ([\"old\"])", true),
            ("(<urn:uuid:1> [\"old\"])", true),
            ("(<urn:uuid:1>)", false),
            ("(Not <DAV:no-lock>)", true),
            ("(<urn:uuid:1>) (Not <DAV:no-lock>)", true),
            ("</ical/main.ics> ([\"old\"])", true),
            ("<http://h/ical/main.ics> (Not [\"a\"])", false),
            ("garbage", true),
            ("", true),
            ("(", true),
            ("([\"old\"", true),
            ("([W/\"]\" ] Not [ \"a\"])", false),
            ("([\"] Not [\"a\"])", true),
            ("<http://h", true),
        ] {
            assert_eq!(guard(&[("if", value)]).check(Some("a")).is_ok(), passes, "If: {value}");
        }
    }

    #[test]
    fn the_base_is_what_the_client_named() {
        type Headers = &'static [(&'static str, &'static str)];
        let table: [(Headers, Basis); 17] = [
            (&[], Basis::Unknown),
            (&[("if-match", "\"a\"")], Basis::Current),
            (&[("if-match", "\"a\""), ("if", "([\"b\"])")], Basis::Current),
            (&[("if-match", "*")], Basis::Unknown),
            (&[("if-match", "*"), ("if", "([\"b\"])")], named(&["b"])),
            (&[("if-none-match", "\"a\"")], Basis::Unknown),
            (&[("if", "([\"b\"])")], named(&["b"])),
            (&[("if", "([W/\"b-gzip\"])")], named(&["b"])),
            (&[("if", "([W/\"b-gzip-gzip\"])")], named(&["b"])),
            (&[("if", "([\"b\"]) ([\"c\"])")], named(&["b", "c"])),
            (&[("if", "(<urn:x> [\"b\"] Not [\"c\"])")], named(&["b"])),
            (&[("if", "</ical/main.ics> ([\"]\"])")], named(&["]"])),
            (&[("if", "([nothing])")], named(&[])),
            (&[("if", "(Not [\"b\"])")], Basis::Unknown),
            (&[("if", "(Not <DAV:no-lock>)")], Basis::Unknown),
            (&[("if", "([\"b\"])"), ("if", "([\"c\"])")], named(&["b", "c"])),
            (&[("if", "garbage")], Basis::Unknown),
        ];
        for (headers, base) in table {
            assert_eq!(guard(headers).basis(), base, "{headers:?}");
        }
    }

    #[test]
    fn what_was_modified_since_a_date_is_not_changed() {
        let modified = Some(UNIX_EPOCH + Duration::from_millis(784_111_777_900));
        type Headers = &'static [(&'static str, &'static str)];
        let table: [(Headers, Option<SystemTime>, bool); 7] = [
            (&[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], modified, false),
            (&[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], modified, true),
            (&[("if-unmodified-since", "Mon, 07 Nov 1994 08:49:37 GMT")], modified, true),
            (&[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], None, true),
            (&[("if-unmodified-since", "yesterday")], modified, true),
            (
                &[("if-match", "\"a\""), ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")],
                modified,
                true,
            ),
            (&[], modified, true),
        ];
        for (headers, modified, passes) in table {
            let guard = guard(headers);
            assert_eq!(guard.check_date(modified).is_ok(), passes, "{headers:?} {modified:?}");
            assert_eq!(guard.not_modified("a", modified).is_ok(), passes, "{headers:?} {modified:?}");
        }
    }

    #[test]
    fn a_read_is_not_modified_by_tag_or_else_by_equal_time() {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        type Headers = &'static [(&'static str, &'static str)];
        let table: [(Headers, bool); 11] = [
            (&[], false),
            (&[("if-none-match", "\"a\"")], true),
            (&[("if-none-match", "W/\"a-gzip\"")], true),
            (&[("if-none-match", "*")], true),
            (&[("if-none-match", "\"b\"")], false),
            (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], true),
            (&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], true),
            (&[("if-modified-since", "Mon, 07 Nov 1994 08:49:37 GMT")], false),
            (&[("if-modified-since", "yesterday")], false),
            (&[("if-none-match", "\"b\""), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], false),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], true),
        ];
        for (headers, expected) in table {
            let found = guard(headers).not_modified("\"a\"", Some(modified));
            assert_eq!(found.ok(), Some(expected), "{headers:?}");
        }
        let refused = guard(&[("if-match", "\"b\"")]).not_modified("a", Some(modified));
        assert!(matches!(refused, Err(Error::PreconditionFailed)));
    }

    #[test]
    fn what_is_full_of_brackets_is_read_once() {
        // Searched to its end at each bracket, this would be 80 GB.
        let lists = format!("(Not [\"a\"] {}", "[]".repeat(200_000));
        assert!(guard(&[("if", &lists)]).check(Some("a")).is_err());
    }

    proptest! {
        #[test]
        fn no_header_panics(
            if_match in prop_oneof!["\\PC*", "[W/\"a,*-]{0,20}"],
            lists in prop_oneof!["\\PC*", "[(<>)\\[\\]\"a Not,]{0,40}"],
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::IF_MATCH, &if_match), (HeaderName::from_static("if"), &lists)] {
                if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                    headers.append(name, value);
                }
            }
            let guard = Guard::parse(&headers);
            let _ = (guard.check(Some("a")), guard.basis());
        }
    }
}
