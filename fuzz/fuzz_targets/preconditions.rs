//! Preconditions: any headers make a decision, and the decisions keep the laws of RFC 9110 §13 and RFC 4918 §10.4, with our deviation.
//!
//! An input is one header a line, as `If-Match: "a"`. The Etag of what is there is `a`.

#![no_main]

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use kalends::http::guard::Guard;
use kalends::store::Basis;
use libfuzzer_sys::fuzz_target;

const HERE: &str = "a";

fuzz_target!(|text: &str| {
    let mut headers = HeaderMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) =
            (name.trim().parse::<HeaderName>(), HeaderValue::from_str(value.trim()))
        {
            headers.append(name, value);
        }
    }
    let guard = Guard::parse(&headers);
    is_one_decision_however_the_tag_is_written(&guard);
    if let Basis::Named(tags) = guard.basis() {
        assert!(
            tags.iter()
                .all(|tag| !tag.contains('"') && !tag.ends_with("-gzip") && headers.contains_key("if"))
        );
    }
    for (_, value) in &headers {
        match_and_none_match_are_opposites(value);
        an_entity_tag_in_if_never_refuses(value);
        not_is_the_opposite(value);
    }
});

fn with(name: &'static str, value: &HeaderValue) -> Guard {
    let mut headers = HeaderMap::new();
    headers.append(HeaderName::from_static(name), value.clone());
    Guard::parse(&headers)
}

fn passes(guard: &Guard) -> bool {
    guard.check(Some(HERE)).is_ok()
}

fn is_one_decision_however_the_tag_is_written(guard: &Guard) {
    for written in ["\"a\"", "W/\"a\"", "\"a-gzip\"", "W/\"a-gzip\""] {
        assert_eq!(guard.check(Some(written)).is_ok(), passes(guard), "{written}");
    }
    let read = guard.not_modified(HERE, Some(std::time::UNIX_EPOCH)).is_ok();
    assert!(read || !passes(guard), "what refuses a read refuses a change");
}

fn match_and_none_match_are_opposites(value: &HeaderValue) {
    let (matched, unmatched) = (with("if-match", value), with("if-none-match", value));
    assert_ne!(passes(&matched), passes(&unmatched), "{value:?}");
    assert!(matched.check(None).is_err(), "nothing there matches nothing");
    assert!(unmatched.check(None).is_ok(), "nothing there matches nothing");
    assert_eq!(unmatched.basis(), Basis::Unknown);
    if value.as_bytes().trim_ascii() == b"*" {
        assert!(passes(&matched) && matched.basis() == Basis::Unknown);
    }
}

fn an_entity_tag_in_if_never_refuses(value: &HeaderValue) {
    let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    let guard = with("if", value);
    if !text.contains("not") && !text.contains('<') {
        assert!(passes(&guard) && guard.check(None).is_ok(), "{value:?}");
    }
}

/// `Not` before the one tag that is there refuses, before any other it does not.
fn not_is_the_opposite(value: &HeaderValue) {
    let Ok(tag) = value.to_str() else { return };
    if tag.contains(['"', ']']) {
        return;
    }
    let Ok(list) = HeaderValue::from_str(&format!("(Not [\"{tag}\"])")) else { return };
    let guard = with("if", &list);
    assert_eq!(passes(&guard), tag.trim_end_matches("-gzip") != HERE, "{tag}");
    assert_eq!(guard.basis(), Basis::Unknown);
}
