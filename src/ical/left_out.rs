//! What Mozilla's and other programs leave out of a calendar without a word: a component that does not say when it is, or says
//! so in no date or time.

use super::line::Property;
use super::scan::Kind;
use super::value::{parse_date_time, parse_period};

/// Properties that are one date or time.
const DATES: [&str; 8] =
    ["DTSTART", "DTEND", "DUE", "RECURRENCE-ID", "COMPLETED", "CREATED", "DTSTAMP", "LAST-MODIFIED"];
/// Properties that are several, or periods.
const LISTS: [&str; 2] = ["RDATE", "EXDATE"];

/// Whether a component that is called `name` must say when it is, and does not.
pub fn lacks_start(name: &str, has_start: bool) -> bool {
    name == Kind::Event.name() && !has_start
}

/// Whether a date or time is none.
pub fn has_bad_value(property: &Property<'_>) -> bool {
    let is_any = |names: &[&str]| names.iter().any(|name| property.is(name));
    let is_moment = |value: &str| parse_date_time(value).is_some() || parse_period(value).is_some();
    let value = property.value.trim_ascii();
    match () {
        () if value.is_empty() => property.is("DTSTART"),
        () if is_any(&DATES) => parse_date_time(value).is_none(),
        () if is_any(&LISTS) => !value.split(',').all(is_moment),
        () => false,
    }
}
