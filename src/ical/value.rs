//! Values of content lines: dates, date-times, durations, periods and UTC offsets (RFC 5545 §3.3). Text in, values out; a value that
//! cannot be read is `None`, and the caller knows which property it stood in.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// A DATE, or a DATE-TIME in one of its forms (RFC 5545 §3.3.4, §3.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// A whole day.
    Date(Date),
    /// The time on a clock: with a TZID beside it that zone's, else floating.
    Local(DateTime),
    /// The same in UTC, written with a `Z`.
    Utc(DateTime),
}

impl When {
    /// The day as written.
    pub fn date(self) -> Date {
        match self {
            When::Date(date) => date,
            When::Local(time) | When::Utc(time) => time.date(),
        }
    }

    /// The date and time as written; a DATE is its midnight.
    pub fn civil(self) -> DateTime {
        match self {
            When::Date(date) => date.to_datetime(Time::midnight()),
            When::Local(time) | When::Utc(time) => time,
        }
    }

    pub fn is_date(self) -> bool {
        matches!(self, When::Date(_))
    }
}

/// A DURATION (RFC 5545 §3.3.6): days that are as long as the zone makes them, then exact seconds. Both carry the sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Duration {
    pub days: i64,
    pub seconds: i64,
}

impl Duration {
    /// The length in seconds where a day has 24 hours.
    pub fn nominal_seconds(self) -> i64 {
        self.days * 86_400 + self.seconds
    }
}

/// A PERIOD (RFC 5545 §3.3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: When,
    pub end: SpanEnd,
}

/// How a PERIOD says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanEnd {
    At(When),
    After(Duration),
}

/// A DATE or a DATE-TIME of either form.
///
/// Second 60, which RFC 5545 §3.3.12 keeps for leap seconds, is taken for 59 as its text suggests.
pub fn parse_date_time(value: &str) -> Option<When> {
    let bytes = value.trim_ascii().as_bytes();
    let date = parse_date(bytes.get(..8)?)?;
    match &bytes[8..] {
        [] => Some(When::Date(date)),
        [b'T' | b't', clock @ .., b'Z' | b'z'] => Some(When::Utc(date.to_datetime(parse_time(clock)?))),
        [b'T' | b't', clock @ ..] => Some(When::Local(date.to_datetime(parse_time(clock)?))),
        _ => None,
    }
}

/// A DURATION. Weeks beside other units are outside the grammar, but their meaning is plain.
pub fn parse_duration(value: &str) -> Option<Duration> {
    let value = value.trim_ascii();
    let (sign, value) = match value.as_bytes().first()? {
        b'-' => (-1, &value[1..]),
        b'+' => (1, &value[1..]),
        _ => (1, value),
    };
    let mut rest = value.strip_prefix(['P', 'p'])?;
    let mut found = Duration::default();
    let mut in_time = false;
    let mut any = false;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix(['T', 't']).filter(|_| !in_time) {
            (rest, in_time) = (time, true);
            continue;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok().filter(|number| *number <= MAX_UNITS)?;
        match (rest.as_bytes().get(digits)?.to_ascii_uppercase(), in_time) {
            (b'W', false) => found.days += number * 7,
            (b'D', false) => found.days += number,
            (b'H', true) => found.seconds += number * 3600,
            (b'M', true) => found.seconds += number * 60,
            (b'S', true) => found.seconds += number,
            _ => return None,
        }
        // Each unit may come again and again.
        if found.days.max(found.seconds) > MAX_SUM {
            return None;
        }
        rest = &rest[digits + 1..];
        any = true;
    }
    any.then_some(Duration { days: sign * found.days, seconds: sign * found.seconds })
}

/// More of a unit than any calendar means, and more days or seconds than they come to together: far from an overflow.
const MAX_UNITS: i64 = 1_000_000_000;
const MAX_SUM: i64 = 10_000 * MAX_UNITS;

/// A PERIOD of either form.
pub fn parse_period(value: &str) -> Option<Span> {
    let (start, end) = value.split_once('/')?;
    let start = parse_date_time(start).filter(|start| !start.is_date())?;
    let end = match parse_date_time(end) {
        Some(end) => SpanEnd::At(end),
        None => SpanEnd::After(parse_duration(end)?),
    };
    Some(Span { start, end })
}

/// A UTC-OFFSET (RFC 5545 §3.3.14): `+0100`, `-053000`.
pub fn parse_utc_offset(value: &str) -> Option<Offset> {
    let bytes = value.trim_ascii().as_bytes();
    let (sign, digits) = match bytes.first()? {
        b'-' => (-1, &bytes[1..]),
        b'+' => (1, &bytes[1..]),
        _ => (1, bytes),
    };
    let seconds = match digits.len() {
        4 => 0,
        6 => number(&digits[4..6])?,
        _ => return None,
    };
    let (hours, minutes) = (number(&digits[..2])?, number(&digits[2..4])?);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60 + seconds)).ok()
}

/// TEXT without its escapes (RFC 5545 §3.3.11).
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => plain.push('\n'),
                Some(escaped) => plain.push(escaped),
                None => plain.push('\\'),
            },
            _ => plain.push(c),
        }
    }
    plain.into()
}

/// A UID as it is meant: it is a text, which some programs escape and others do not. A line break stays spelled, as it is no
/// part of a name.
pub fn uid(spelled: &str) -> Cow<'_, str> {
    name(spelled, &['\\', ',', ';'])
}

/// A zone's name as it is meant: the property escapes it as a text, a parameter has it as it is (RFC 5545 §3.2.19), and some
/// programs do the one in the place of the other.
pub fn tzid(spelled: &str) -> Cow<'_, str> {
    name(spelled, &['\\', ',', ';', ':', '"'])
}

fn name<'a>(spelled: &'a str, escapes: &[char]) -> Cow<'a, str> {
    let spelled = spelled.trim();
    if !spelled.contains('\\') {
        return spelled.into();
    }
    let mut name = String::with_capacity(spelled.len());
    let mut chars = spelled.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = chars.next_if(|next| c == '\\' && escapes.contains(next));
        name.push(escaped.unwrap_or(c));
    }
    name.into()
}

fn parse_date(digits: &[u8]) -> Option<Date> {
    let year = number(&digits[..4])?;
    Date::new(narrow(year)?, narrow(number(&digits[4..6])?)?, narrow(number(&digits[6..8])?)?).ok()
}

fn parse_time(digits: &[u8]) -> Option<Time> {
    // A time without seconds is outside the grammar and found in the wild.
    let second = match digits.len() {
        4 => 0,
        6 => number(&digits[4..6])?,
        _ => return None,
    };
    let (hour, minute) = (number(&digits[..2])?, number(&digits[2..4])?);
    let second = if second == 60 { 59 } else { second };
    Time::new(narrow(hour)?, narrow(minute)?, narrow(second)?, 0).ok()
}

fn narrow<T: TryFrom<i32>>(number: i32) -> Option<T> {
    T::try_from(number).ok()
}

fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, datetime};

    #[test]
    fn dates_and_times_have_three_forms() {
        let noon = datetime(2026, 2, 28, 12, 30, 5, 0);
        let table = [
            ("20260228", Some(When::Date(date(2026, 2, 28)))),
            ("20260228T123005", Some(When::Local(noon))),
            ("20260228T123005Z", Some(When::Utc(noon))),
            (" 20260228t123005z ", Some(When::Utc(noon))),
            ("19970630T235960Z", Some(When::Utc(datetime(1997, 6, 30, 23, 59, 59, 0)))),
            ("20260228T1230", Some(When::Local(datetime(2026, 2, 28, 12, 30, 0, 0)))),
            ("16010101T000000", Some(When::Local(datetime(1601, 1, 1, 0, 0, 0, 0)))),
        ];
        for (text, expected) in table {
            assert_eq!(parse_date_time(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "2026022",
            "20260229",
            "20261301",
            "20260228T",
            "20260228T240000",
            "20260228T126000",
            "20260228X120000",
            "2026-02-28",
            "20260228T12:00:00",
            "20260228T120000ZZ",
            "2026022\u{e9}",
            "+2260228",
        ] {
            assert_eq!(parse_date_time(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_days_and_seconds() {
        let table = [
            ("P15DT5H0M20S", Some((15, 5 * 3600 + 20))),
            ("P7W", Some((49, 0))),
            ("PT1H30M", Some((0, 5400))),
            ("-P1DT1S", Some((-1, -1))),
            ("+PT0S", Some((0, 0))),
            ("P1W2D", Some((9, 0))),
            ("PT36H", Some((0, 129_600))),
            ("P", None),
            ("PT", None),
            ("P1H", None),
            ("PT1D", None),
            ("PTT1H", None),
            ("1D", None),
            ("P-1D", None),
            ("P99999999999999999999D", None),
            ("", None),
            ("PT1\u{e9}", None),
        ];
        for (text, expected) in table {
            let found = parse_duration(text).map(|Duration { days, seconds }| (days, seconds));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn units_that_come_again_and_again_overflow_nothing() {
        for (start, unit) in [("P", "1000000000W"), ("-PT", "1000000000H")] {
            assert!(parse_duration(&format!("{start}{}", unit.repeat(2))).is_some());
            assert_eq!(parse_duration(&format!("{start}{}", unit.repeat(100_000))), None);
        }
    }

    #[test]
    fn a_period_ends_at_a_time_or_after_a_duration() {
        let start = When::Utc(datetime(1997, 1, 1, 18, 0, 0, 0));
        let end = When::Utc(datetime(1997, 1, 2, 7, 0, 0, 0));
        let at = Span { start, end: SpanEnd::At(end) };
        assert_eq!(parse_period("19970101T180000Z/19970102T070000Z"), Some(at));
        let after = Span { start, end: SpanEnd::After(Duration { days: 0, seconds: 19_800 }) };
        assert_eq!(parse_period("19970101T180000Z/PT5H30M"), Some(after));
        for text in ["19970101T180000Z", "19970101/PT1H", "/PT1H", "19970101T180000Z/"] {
            assert_eq!(parse_period(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_have_hours_minutes_and_seconds() {
        let table = [
            ("+0100", Some(3600)),
            ("-0330", Some(-12_600)),
            ("+001730", Some(1050)),
            ("0530", Some(19_800)),
            ("+1", None),
            ("+0160", None),
            ("+9900", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_utc_offset(text).map(Offset::seconds), expected, "{text}");
        }
    }

    #[test]
    fn a_uid_is_the_same_however_it_is_escaped() {
        for (spelled, meant) in [
            (" a,b ", "a,b"),
            ("a\\,b", "a,b"),
            ("a\\\\;b", "a\\;b"),
            ("a\\b", "a\\b"),
            ("a\\\\b", "a\\b"),
            ("a\\nb\\", "a\\nb\\"),
        ] {
            assert_eq!(uid(spelled), meant, "{spelled}");
        }
    }

    #[test]
    fn escapes_are_undone_once() {
        for (text, plain) in
            [("a\\, b\\;c", "a, b;c"), ("a\\\\nb", "a\\nb"), ("x\\ny\\N", "x\ny\n"), ("x\\", "x\\")]
        {
            assert_eq!(unescape(text), plain, "{text}");
        }
    }
}
