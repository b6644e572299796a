//! The parameters of a free/busy address: which window is asked for (CalConnect CC/S 0903, Freebusy Read URL).

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};
use crate::ical::busy::TimeRange;
use crate::ical::value::{When, parse_date_time, parse_duration};

/// The longest window: two years.
const LONGEST: SignedDuration = SignedDuration::from_hours(2 * 366 * 24);

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub window: TimeRange,
    /// The value of `show`.
    pub show: Option<String>,
}

/// Reads a query; what it does not say of the window is as in `default`.
///
/// # Errors
/// `BadRequest` for a parameter twice or one that cannot be read, `end` beside `period`, an empty window, one of more than
/// two years; `NotAcceptable` for another format than text/calendar.
pub fn read(query: &str, default: TimeRange) -> Result<Query> {
    let (mut start, mut end, mut period, mut format, mut show) = (None, None, None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let taken = match name {
            "start" | "from" => &mut start,
            "end" | "until" => &mut end,
            "period" | "duration" => &mut period,
            "format" => &mut format,
            "show" => &mut show,
            // Clients add what they like; none of it changes what is asked for.
            _ => continue,
        };
        let value = percent_decode_str(value).decode_utf8().map_err(|_| bad(format!("{name}: not UTF-8")))?;
        if taken.replace(value).is_some() {
            return Err(bad(format!("{name} is given twice")));
        }
    }
    if format.is_some_and(|format| !format.eq_ignore_ascii_case("text/calendar")) {
        return Err(Error::NotAcceptable);
    }
    let window = window(start.as_deref(), end.as_deref(), period.as_deref(), default)?;
    Ok(Query { window, show: show.map(Cow::into_owned) })
}

fn window(
    start: Option<&str>,
    end: Option<&str>,
    period: Option<&str>,
    default: TimeRange,
) -> Result<TimeRange> {
    let from = start.map(instant).transpose()?.unwrap_or(default.start);
    let to = match (end, period) {
        (Some(_), Some(_)) => return Err(bad("end and period are given both".to_owned())),
        (Some(end), None) => instant(end)?,
        (None, Some(period)) => after(from, length(period)?)?,
        (None, None) => after(from, default.end.duration_since(default.start))?,
    };
    if to <= from {
        return Err(bad("the end is not after the start".to_owned()));
    }
    if to.duration_since(from) > LONGEST {
        return Err(bad("more than two years are asked for".to_owned()));
    }
    Ok(TimeRange { start: from, end: to })
}

fn bad(text: String) -> Error {
    Error::BadRequest(text)
}

/// RFC 3339, or as RFC 5545 writes UTC. A `+` that became a space on its way is one again.
fn instant(text: &str) -> Result<Timestamp> {
    let text = text.replace(' ', "+");
    let basic = || match parse_date_time(&text)? {
        When::Utc(civil) => Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()),
        When::Date(_) | When::Local(_) => None,
    };
    let read = basic().or_else(|| text.parse().ok());
    read.ok_or_else(|| bad(format!("{text}: not a time as 2026-01-31T12:00:00Z is")))
}

fn length(text: &str) -> Result<SignedDuration> {
    let read = parse_duration(text).map(|duration| SignedDuration::from_secs(duration.nominal_seconds()));
    read.ok_or_else(|| bad(format!("{text}: not a duration as P42D is")))
}

fn after(start: Timestamp, length: SignedDuration) -> Result<Timestamp> {
    start.checked_add(length).map_err(|_| bad("the end is out of range".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn asked(query: &str) -> Result<TimeRange> {
        let default = TimeRange { start: at("2026-01-01T00:00:00Z"), end: at("2026-02-26T00:00:00Z") };
        read(query, default).map(|query| query.window)
    }

    #[test]
    fn what_is_asked_for_is_the_window() {
        for (query, start, end) in [
            ("", "2026-01-01T00:00:00Z", "2026-02-26T00:00:00Z"),
            ("u=alice", "2026-01-01T00:00:00Z", "2026-02-26T00:00:00Z"),
            ("start=2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-26T00:00:00Z"),
            ("end=20260102T000000Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("start=2026-03-01T01:00:00+01:00&period=P1D", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
            (
                "from=2026-03-01T01:00:00%2B01:00&duration=PT1H",
                "2026-03-01T00:00:00Z",
                "2026-03-01T01:00:00Z",
            ),
            (
                "from=2026-03-01T01:00:00%2001:00&until=20260302T000000Z",
                "2026-03-01T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
        ] {
            let found = asked(query).expect(query);
            assert_eq!((found.start, found.end), (at(start), at(end)), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for query in [
            "start=today",
            "start=20260101",
            "start=20260101T000000",
            "start=20260101T000000Z&from=20260101T000000Z",
            "end=20260102T000000Z&period=P1D",
            "end=20251231T000000Z",
            "period=-P1D",
            "period=P3Y",
            "period=P1000D",
            "start=%ff",
            "show=events&show=events",
            "period=P1D&duration=P1D",
        ] {
            assert!(matches!(asked(query), Err(Error::BadRequest(_))), "{query}");
        }
        assert!(matches!(asked("format=text/html"), Err(Error::NotAcceptable)));
        assert!(asked("format=text/calendar").is_ok());
    }
}
