//! Times as people type them and read them: in the server's zone, or with their own offset (RFC 3339).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ical::tz;
use crate::name::is_bidi;

/// The zone of the server's users.
pub fn zone(config: &Config) -> TimeZone {
    let named = config.time_zone.as_deref().and_then(tz::zone);
    named.unwrap_or_else(TimeZone::system)
}

/// An instant, a time of day in the server's zone, or the start of a day there.
pub fn instant(text: &str, config: &Config) -> Result<Timestamp> {
    let there = |time: DateTime| Some(time.to_zoned(zone(config)).ok()?.timestamp());
    let time = || text.parse::<DateTime>().ok().and_then(there);
    let day = || text.parse::<Date>().ok().and_then(|day| there(day.into()));
    let read = text.parse().ok().or_else(time).or_else(day);
    read.ok_or_else(|| {
        Error::BadRequest(format!(
            "{text}: not a time as 2026-01-31, \"2026-01-31 12:00\" or 2026-01-31T12:00:00Z are"
        ))
    })
}

/// A time in the server's zone, to the second.
pub fn shown(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Text that somebody else chose: nothing in it may play tricks on a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_moves_what_stands_around_it() {
        assert_eq!(
            plain("a\u{1b}[2K\nb\u{202e}c\u{2066}d\u{200f}\u{fc}"),
            "a\u{fffd}[2K\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}\u{fc}"
        );
    }

    #[test]
    fn times_are_read_in_the_servers_zone_or_with_their_own() {
        let config = Config { time_zone: Some("Europe/Berlin".to_owned()), ..Config::default() };
        for (text, read) in [
            ("2026-11-20 09:00", "2026-11-20T08:00:00Z"),
            ("2026-11-20T09:00:30", "2026-11-20T08:00:30Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("2026-11-20T09:00:00Z", "2026-11-20T09:00:00Z"),
            ("2026-11-20T09:00:00+02:00", "2026-11-20T07:00:00Z"),
        ] {
            let time = instant(text, &config).expect(text);
            assert_eq!(time.to_string(), read, "{text}");
        }
        assert_eq!(
            shown("2026-11-20T08:00:00Z".parse().expect("a time"), &zone(&config)),
            "2026-11-20 09:00:00"
        );
        for text in ["", "yesterday", "2026-13-01", "09:00"] {
            assert!(instant(text, &config).is_err(), "{text}");
        }
    }
}
