//! Times as people type them and read them: in the server's zone, or with their own offset (RFC 3339).

use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{AmbiguousOffset, TimeZone};

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
///
/// # Errors
/// `BadRequest` also for a time of day that the clocks there show twice, or never.
pub fn instant(text: &str, config: &Config) -> Result<Timestamp> {
    let zone = zone(config);
    read(text, &zone).map_err(|why| Error::BadRequest(format!("{text}: {why}")))
}

fn read(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    let unknown = |_| "not a time as 2026-01-31, \"2026-01-31 12:00\" or 2026-01-31T12:00:00Z are".to_owned();
    let pieces = Pieces::parse(text).map_err(unknown)?;
    if text.contains('[') {
        return Err(
            "a zone in brackets is not read: write the offset, as in 2026-01-31T12:00:00+01:00".to_owned()
        );
    }
    if pieces.offset().is_some() {
        return text.parse().map_err(unknown);
    }
    let there = zone.to_ambiguous_timestamp(pieces.date().to_datetime(pieces.time().unwrap_or_default()));
    let found = match (there.offset(), pieces.time()) {
        (AmbiguousOffset::Fold { .. }, Some(_)) => {
            let both = [there.earlier(), there.later()].map(|time| time.map(|time| spelled(time, zone)));
            let [Ok(first), Ok(second)] = both else { return Err("out of range".to_owned()) };
            return Err(format!("the clocks show it twice: say \"{first}\" or \"{second}\""));
        }
        (AmbiguousOffset::Gap { .. }, Some(_)) => return Err("the clocks skip it".to_owned()),
        _ => there.compatible(),
    };
    found.map_err(unknown)
}

/// A time in the server's zone, to the second; with its offset where the clocks show it twice.
pub fn shown(time: Timestamp, zone: &TimeZone) -> String {
    let zoned = time.to_zoned(zone.clone());
    match zone.to_ambiguous_timestamp(zoned.datetime()).is_ambiguous() {
        true => spelled(time, zone),
        false => zoned.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    }
}

/// A time in the server's zone with its offset, which can be read again.
fn spelled(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string()
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
        for text in
            ["", "yesterday", "2026-13-01", "09:00", "2026-11-20 09:00[UTC]", "2026-11-20T09:00:00Z[UTC]"]
        {
            assert!(instant(text, &config).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_the_clocks_show_twice_or_never_is_told_from_others() {
        let config = Config { time_zone: Some("Europe/Berlin".to_owned()), ..Config::default() };
        let error = |text: &str| instant(text, &config).expect_err(text).to_string();
        let twice = error("2026-10-25 02:45");
        for spelled in ["2026-10-25 02:45:00+02:00", "2026-10-25 02:45:00+01:00"] {
            assert!(twice.contains(&format!("\"{spelled}\"")), "{twice}");
            let time = instant(spelled, &config).expect(spelled);
            assert_eq!(shown(time, &zone(&config)), spelled);
        }
        assert!(error("2026-03-29 02:30").contains("skip"));
        // A day begins, whatever its clocks do.
        let config = Config { time_zone: Some("America/Asuncion".to_owned()), ..config };
        let day = instant("2023-10-01", &config).expect("a day");
        assert_eq!(day.to_string(), "2023-10-01T04:00:00Z");
    }
}
