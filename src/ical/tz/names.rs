//! The IANA zone that a TZID's name leads to. Only the name is looked at; what a VTIMEZONE says is `custom`'s.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::windows;
use crate::ical::value;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// A TZID may be as long as a line; what leads to a zone by its name is far shorter.
const LONGEST: usize = 255;

/// The IANA name for `tzid`: itself in any letter case, behind a known kind of prefix, a Windows name old or new, or a free form.
///
/// Nothing if only the file's own VTIMEZONE can tell. A name that is known costs one look-up.
pub fn iana(tzid: &str) -> Option<&'static str> {
    if tzid.len() > LONGEST {
        return None;
    }
    let plain = value::unescape(tzid);
    let name = plain.trim_ascii().trim_matches('"').to_ascii_lowercase();
    known(&name)
        .or_else(|| after_prefix(&name))
        .or_else(|| windows_variant(&name))
        .or_else(|| microsoft_address(&name))
        .or_else(|| display_name(&name))
        .or_else(|| fixed_offset(&name).and_then(whole_hours))
}

/// As [`iana`], beside a VTIMEZONE that has `summer_time` or not. A name that states a mere offset, as `EST` does, leads nowhere where
/// it is defined with summer time: the definition counts.
pub fn iana_beside(tzid: &str, summer_time: impl FnOnce() -> bool) -> Option<&'static str> {
    iana(tzid).filter(|name| !(is_offset(name) && summer_time()))
}

/// Whether the zone is no place's, but one offset (`Etc/GMT+5`, `EST`, `UTC`).
fn is_offset(name: &str) -> bool {
    let is_place = name.contains('/') && !name.starts_with("Etc/");
    !is_place && zone(name).is_some_and(|zone| zone.following(Timestamp::UNIX_EPOCH).next().is_none())
}

/// The zone with this IANA name.
///
/// The system's zone data may be without the old names (Debian keeps them in tzdata-legacy): those come from the bundled copy.
pub fn zone(name: &str) -> Option<TimeZone> {
    jiff::tz::db().get(name).or_else(|_| BUNDLED.get(name)).ok()
}

/// The offset that a name like `GMT+0100` or `UTC-5` states. Unlike in POSIX, east is plus.
pub(super) fn fixed_offset(name: &str) -> Option<Offset> {
    let rest = ["utc", "gmt"].iter().find_map(|prefix| strip_prefix_any_case(name.trim_ascii(), prefix))?;
    let rest = rest.trim_ascii();
    let digits = rest.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match (digits.split_once([':', '.']), digits.len()) {
        (Some(parts), _) => parts,
        (None, 1 | 2) => (digits, "00"),
        (None, 4) if digits.is_ascii() => digits.split_at(2),
        _ => return None,
    };
    let parse =
        |text: &str| text.parse::<i32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (hours, minutes) = (parse(hours)?, parse(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let sign = if rest.starts_with('-') { -1 } else { 1 };
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Every name we know, in lower case, with the spelling of the IANA zone.
static NAMES: LazyLock<HashMap<Box<str>, Box<str>>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for (old, iana) in windows::OLD_NAMES {
        names.insert(old.into(), iana.into());
    }
    for zone in windows::zones() {
        names.insert(zone.name().to_ascii_lowercase().into(), zone.tzdb_id().into());
    }
    for database in [&*BUNDLED, jiff::tz::db()] {
        for name in database.available().filter(|name| is_zone(name.as_str())) {
            names.insert(name.as_str().to_ascii_lowercase().into(), name.as_str().into());
        }
    }
    names
});

/// What stands behind the offset in Windows' display names, whole and by city, in lower case.
static PLACES: LazyLock<HashMap<Box<str>, Vec<&'static str>>> = LazyLock::new(|| {
    let mut places: HashMap<Box<str>, Vec<&'static str>> = HashMap::new();
    for zone in windows::zones() {
        let description = zone.description().to_ascii_lowercase();
        let Some((_, text)) = description.split_once(") ") else { continue };
        for place in std::iter::once(text).chain(text.split(", ")) {
            places.entry(place.into()).or_default().push(zone.tzdb_id());
        }
    }
    // Sorted, so that of two zones with one city the same one is found at every start.
    let mut areas: Vec<&'static str> =
        NAMES.values().map(|name| &**name).filter(|name| name.contains('/')).collect();
    areas.sort_unstable();
    areas.dedup();
    for name in areas {
        if let Some(city) = name.rsplit('/').next() {
            places.entry(city.replace('_', " ").to_ascii_lowercase().into()).or_default().push(name);
        }
    }
    places
});

fn known(name: &str) -> Option<&'static str> {
    NAMES.get(name).map(|iana| &**iana)
}

/// A file in the system's zone directory that is a zone of its own, not a second copy, a setting or a table.
fn is_zone(name: &str) -> bool {
    !["posix/", "right/", "SystemV/"].iter().any(|copy| name.starts_with(copy))
        && !["Factory", "localtime", "posixrules", "leapseconds"].contains(&name)
        && !name.contains('.')
}

/// `/freeassociation.sourceforge.net/Europe/Berlin`, `/mozilla.org/20050126_1/Europe/Berlin`,
/// `http://tzurl.org/zoneinfo/Europe/Berlin`: globally unique TZIDs (RFC 5545 §3.8.3.1) that end in the name. Also `America/New York`.
fn after_prefix(name: &str) -> Option<&'static str> {
    if !name.contains('/') {
        return None;
    }
    let name = name.replace(' ', "_");
    if !name.starts_with('/') && !name.contains("://") {
        return known(&name);
    }
    // IANA's names have three parts at most; the longest that is one counts.
    name.rmatch_indices('/').take(3).filter_map(|(at, _)| known(&name[at + 1..])).last()
}

/// `W. Europe` (Windows 95, Lotus) and `W. Europe Daylight Time` (the zone's name in summer).
fn windows_variant(name: &str) -> Option<&'static str> {
    let base =
        [" daylight time", " summer time"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    if base.contains('/') { None } else { known(&format!("{base} standard time")) }
}

/// `tzone://Microsoft/Utc`, `tzone://Microsoft/W. Europe Standard Time`.
fn microsoft_address(name: &str) -> Option<&'static str> {
    known(name.strip_prefix("tzone://microsoft/")?)
}

/// `(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna`, with `GMT` for `UTC` and any list of cities, as
/// the versions of Windows had it. A city counts only where its zone has the offset that is stated.
fn display_name(name: &str) -> Option<&'static str> {
    let (offset, text) = name.strip_prefix('(')?.split_once(')')?;
    let stated = if matches!(offset, "utc" | "gmt") { Offset::UTC } else { fixed_offset(offset)? };
    let text = text.trim_ascii();
    let text = ["- old", "- new"].iter().find_map(|end| text.strip_suffix(end)).unwrap_or(text).trim_ascii();
    let text = text.strip_prefix("greenwich mean time :").unwrap_or(text).trim_ascii();
    std::iter::once(text)
        .chain(text.split([',', '/']).map(str::trim_ascii))
        .filter_map(|place| PLACES.get(place))
        .flatten()
        .find(|iana| zone(iana).is_some_and(|zone| has_standard_offset(&zone, stated)))
        .copied()
        .or_else(|| if text.is_empty() { whole_hours(stated) } else { None })
}

/// Display names state the offset of winter, which is the lower one in both hemispheres.
fn has_standard_offset(zone: &TimeZone, stated: Offset) -> bool {
    let offset_in = |month| {
        let then = zone.to_timestamp(jiff::civil::date(2024, month, 1).at(0, 0, 0, 0)).ok()?;
        Some(zone.to_offset(then))
    };
    offset_in(1).min(offset_in(7)) == Some(stated)
}

/// `Etc/GMT-1` for one hour east: only whole hours have an IANA name.
fn whole_hours(offset: Offset) -> Option<&'static str> {
    let seconds = offset.seconds();
    if seconds % 3600 != 0 {
        return None;
    }
    match -seconds / 3600 {
        0 => Some("UTC"),
        hours => known(&format!("etc/gmt{hours:+}")),
    }
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_zone() {
        let table = [
            ("Europe/Berlin", "Europe/Berlin"),
            ("EUROPE/berlin", "Europe/Berlin"),
            ("\"Europe/Berlin\"", "Europe/Berlin"),
            ("America/New York", "America/New_York"),
            ("US/Eastern", "US/Eastern"),
            ("utc", "UTC"),
            ("/freeassociation.sourceforge.net/Europe/Berlin", "Europe/Berlin"),
            ("/freeassociation.sourceforge.net/Tzfile/Europe/Berlin", "Europe/Berlin"),
            ("/mozilla.org/20050126_1/America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("/citadel.org/20190914_1/UTC", "UTC"),
            ("http://tzurl.org/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
            ("W. Europe Standard Time", "Europe/Berlin"),
            ("w. europe standard time", "Europe/Berlin"),
            ("W. Europe Daylight Time", "Europe/Berlin"),
            ("W. Europe", "Europe/Berlin"),
            ("Eastern", "America/New_York"),
            ("Mid-Atlantic Standard Time", "Atlantic/South_Georgia"),
            ("Mexico Standard Time 2", "America/Chihuahua"),
            ("tzone://Microsoft/Utc", "UTC"),
            ("tzone://Microsoft/Pacific Standard Time", "America/Los_Angeles"),
            ("(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna", "Europe/Berlin"),
            ("(UTC+01:00) Amsterdam\\, Berlin\\, Bern\\, Rome\\, Stockholm\\, Vienna", "Europe/Berlin"),
            ("(GMT+01:00) Amsterdam / Berlin, Rome", "Europe/Berlin"),
            ("(GMT-05.00) Eastern Time (US & Canada)", "America/New_York"),
            ("(GMT) Greenwich Mean Time : Dublin, Edinburgh, Lisbon, London", "Europe/London"),
            ("(GMT-06:00) Guadalajara, Mexico City, Monterrey - New", "America/Mexico_City"),
            ("(GMT+03:00) Nairobi", "Africa/Nairobi"),
            ("(UTC) Coordinated Universal Time", "Etc/UTC"),
            ("(UTC+01:00)", "Etc/GMT-1"),
            ("GMT+0100", "Etc/GMT-1"),
            ("GMT-05:00", "Etc/GMT+5"),
            ("UTC+1", "Etc/GMT-1"),
            ("GMT+00:00", "UTC"),
            ("Etc/GMT+1", "Etc/GMT+1"),
            ("UTC+12", "Etc/GMT-12"),
            ("Z", "UTC"),
        ];
        for (tzid, expected) in table {
            assert_eq!(iana(tzid), Some(expected), "{tzid}");
        }
    }

    #[test]
    fn a_name_that_says_too_little_leads_nowhere() {
        for tzid in [
            "",
            "/",
            "Berlin",
            "Customized Time Zone",
            "Customized Time Zone 2",
            "tzone://Microsoft/Custom",
            "GMT +0100 (Standard) / GMT +0200 (Daylight)",
            "GMT+0530",
            "GMT+9900",
            "(UTC+02:00) Amsterdam",
            "Europe/Nowhere",
            "posix/Europe/Berlin",
            "../etc/passwd",
            "Factory",
            "GMT+1\u{e9}",
        ] {
            assert_eq!(iana(tzid), None, "{tzid}");
        }
    }

    #[test]
    fn a_definition_with_summer_time_counts_where_the_name_is_a_mere_offset() {
        for tzid in [
            "EST",
            "MST",
            "HST",
            "UTC",
            "GMT",
            "Z",
            "GMT-0500",
            "UTC-5",
            "(UTC-05:00)",
            "Etc/GMT+5",
            "UTC-11",
        ] {
            assert!(iana_beside(tzid, || false).is_some() && iana_beside(tzid, || true).is_none(), "{tzid}");
        }
        for tzid in
            ["EST5EDT", "CET", "Europe/Berlin", "America/Phoenix", "Asia/Tokyo", "Tokyo Standard Time"]
        {
            assert_eq!(iana_beside(tzid, || true), iana(tzid), "{tzid}");
        }
    }

    #[test]
    fn every_name_in_the_table_has_a_zone() {
        for name in NAMES.values() {
            assert!(zone(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_bundled_old_names_are_known_whatever_the_system_has() {
        for name in ["US/Pacific", "Asia/Calcutta", "Europe/Kiev"] {
            assert!(zone(name).is_some() && iana(name) == Some(name), "{name}");
        }
    }

    #[test]
    fn an_offset_in_a_name_is_east_when_plus() {
        let table = [
            ("GMT+0530", Some(19_800)),
            ("utc -3:30", Some(-12_600)),
            ("GMT", None),
            ("GMT+", None),
            ("UTC+123", None),
            ("UTC++1", None),
        ];
        for (name, seconds) in table {
            assert_eq!(fixed_offset(name).map(Offset::seconds), seconds, "{name}");
        }
    }
}
