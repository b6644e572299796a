//! What one property says, apart from how a program wrote it: without defaults, and lists, parameters, rules and durations in
//! one spelling each.

use std::borrow::Cow;

use super::line::{Property, is_makers_own, unquote, unquoted};
use super::{tz, value};

/// A hash of something's meaning: the first half of a BLAKE3.
pub type Hash = [u8; 16];

pub(super) fn hash(bytes: &[u8]) -> Hash {
    half(&blake3::hash(bytes))
}

pub(super) fn half(hash: &blake3::Hash) -> Hash {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}

/// Pushes the meaning of a property: one hash, or one for each value of a list, or none if it is empty.
pub(super) fn push_meanings(buffer: &mut Vec<u8>, property: &Property<'_>, out: &mut Vec<Hash>) {
    // CREATED is no content, and some programs make one up where none is.
    if property.value.trim_ascii().is_empty() || is_default(property) || property.is("CREATED") {
        return;
    }
    buffer.clear();
    buffer.extend(property.name.bytes().map(|byte| byte.to_ascii_uppercase()));
    let is_utc = push_params(buffer, property);
    buffer.push(b':');
    if is_list(property) {
        // Parameters may be as long as a line, and the values as many: each must not cost all of them again.
        let mut head = blake3::Hasher::new();
        head.update(buffer);
        for value in split_list(property.value) {
            buffer.clear();
            push_text(buffer, value.trim_ascii());
            push_utc(buffer, is_utc);
            out.push(half(&head.clone().update(buffer).finalize()));
        }
        return;
    }
    push_value(buffer, property);
    push_utc(buffer, is_utc);
    out.push(hash(buffer));
}

/// Whether a property says what holds without it too: some programs spell that out, others drop it (RFC 5545 §3.8).
fn is_default(property: &Property<'_>) -> bool {
    const DEFAULTS: [(&str, &str); 6] = [
        ("TRANSP", "OPAQUE"),
        ("CLASS", "PUBLIC"),
        ("PRIORITY", "0"),
        ("PERCENT-COMPLETE", "0"),
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

/// Whether a parameter says nothing that counts: what holds without it too, or what some programs drop and nobody edits.
fn is_idle_param(property: &Property<'_>, name: &str, value: &str) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("VALUE") {
        // What such a property is by default is its maker's matter.
        return is_makers_own(property.name) || unquote(value).eq_ignore_ascii_case(default_type(property));
    }
    is("LANGUAGE")
        || is_default_param(name, value)
        || is_makers_own(name) && (property.is("ATTENDEE") || property.is("ORGANIZER"))
}

/// The type of a property's value where VALUE does not tell (RFC 5545 §3.8, RFC 7986 §5, RFC 9074).
fn default_type(property: &Property<'_>) -> &'static str {
    const TYPES: [(&str, &[&str]); 8] = [
        (
            "DATE-TIME",
            &[
                "DTSTART",
                "DTEND",
                "DUE",
                "RECURRENCE-ID",
                "EXDATE",
                "RDATE",
                "COMPLETED",
                "LAST-MODIFIED",
                "ACKNOWLEDGED",
            ],
        ),
        ("DURATION", &["DURATION", "TRIGGER"]),
        ("URI", &["ATTACH", "URL", "TZURL", "CONFERENCE", "IMAGE"]),
        ("CAL-ADDRESS", &["ATTENDEE", "ORGANIZER", "CALENDAR-ADDRESS"]),
        ("INTEGER", &["PRIORITY", "SEQUENCE", "PERCENT-COMPLETE", "REPEAT"]),
        ("RECUR", &["RRULE", "EXRULE"]),
        ("PERIOD", &["FREEBUSY"]),
        ("UTC-OFFSET", &["TZOFFSETFROM", "TZOFFSETTO"]),
    ];
    let found = TYPES.iter().find(|(_, names)| names.iter().any(|name| property.is(name)));
    found.map_or("TEXT", |(kind, _)| kind)
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

/// UTC has one spelling, also where programs name it as a zone.
fn push_utc(buffer: &mut Vec<u8>, is_utc: bool) {
    if is_utc && !buffer.ends_with(b"Z") {
        buffer.push(b'Z');
    }
}

/// Pushes all parameters but a TZID that says UTC; whether there is one.
fn push_params(buffer: &mut Vec<u8>, property: &Property<'_>) -> bool {
    let mut is_utc = false;
    if property.params.is_empty() {
        return is_utc;
    }
    let mut params: Vec<Vec<u8>> = property
        .params()
        .filter(|(name, value)| !is_idle_param(property, name, value))
        .filter_map(|(name, value)| {
            let mut param = name.to_ascii_uppercase().into_bytes();
            param.push(b'=');
            if param != b"TZID=" {
                push_param_value(&mut param, value);
                return Some(param);
            }
            // Programs replace a zone's name by the one that they know it under.
            let zone = tz::iana(unquote(value));
            is_utc |= zone == Some("UTC");
            let name = zone.map_or_else(|| value::tzid(unquote(value)), Cow::from);
            param.extend_from_slice(name.as_bytes());
            param.push(b',');
            (zone != Some("UTC")).then_some(param)
        })
        .collect();
    params.sort_unstable();
    for param in params {
        buffer.push(b';');
        buffer.extend_from_slice(&param);
    }
    is_utc
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
    } else if property.is("TZID") {
        buffer.extend_from_slice(value::tzid(value).as_bytes());
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

/// A text with its escapes undone, so that needless ones do not count. What is no escape, as in `C:\temp`, stays, and a
/// backslash that is escaped is two: else it would be the same as `C:temp` or as `C:\\temp`.
fn push_text(buffer: &mut Vec<u8>, value: &str) {
    if memchr::memchr(b'\\', value.as_bytes()).is_none() {
        return push_address(buffer, value);
    }
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'n' | b'N') => buffer.push(b'\n'),
                Some(needless @ (b',' | b';' | b':' | b'"')) => buffer.push(needless),
                Some(other) => buffer.extend_from_slice(&[b'\\', other]),
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
