//! Time zones: from a TZID to a zone, from a clock time to an instant. Names are read in `names` and `windows`, VTIMEZONEs in
//! `custom`.

mod custom;
mod names;
mod windows;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub use custom::{BadZone, Custom};
pub use names::{iana, iana_beside, zone};

use super::line::{Line, Property, lines};
use super::recur::Steps;
use super::value::{self, parse_utc_offset};

/// The rules by which a clock time is an instant.
#[derive(Debug, Clone)]
pub enum Zone {
    /// A zone of the system's data.
    Known(TimeZone),
    /// A zone that only a VTIMEZONE tells of.
    Custom(Arc<Custom>),
}

impl Zone {
    pub const UTC: Zone = Zone::Known(TimeZone::UTC);

    /// When a clock in this zone shows `civil`. A time that a gap leaves out is counted on from before the gap, so it comes out later on
    /// the clock; of a time that comes twice it is the first (RFC 5545 §3.3.5).
    pub fn instant(&self, civil: DateTime) -> Timestamp {
        let found = match self {
            Zone::Known(zone) => zone.to_timestamp(civil).ok(),
            Zone::Custom(custom) => custom.instant(civil),
        };
        // Only times within a day of the ends of jiff's ten thousand years have none.
        found.unwrap_or(if civil.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }

    /// What a clock in this zone shows at `instant`.
    pub fn civil(&self, instant: Timestamp) -> DateTime {
        match self {
            Zone::Known(zone) => zone.to_datetime(instant),
            Zone::Custom(custom) => custom.offset(instant).to_datetime(instant),
        }
    }
}

/// The zones of one item: what its TZIDs mean, and in which zone its floating times are.
#[derive(Debug)]
pub struct Zones<'a> {
    item: &'a [u8],
    floating: Zone,
    found: HashMap<String, Zone>,
    /// The item's VTIMEZONEs, once one was asked for.
    definitions: Option<HashMap<String, &'a [u8]>>,
    steps: Steps,
}

impl<'a> Zones<'a> {
    /// The zones of `item`, a whole VCALENDAR or its components. Floating times are in the zone `floating`: X-WR-TIMEZONE does not
    /// count, for Mozilla's programs write their own machine's there.
    pub fn new(item: &'a [u8], floating: &TimeZone) -> Zones<'a> {
        let floating = Zone::Known(floating.clone());
        Zones { item, floating, found: HashMap::new(), definitions: None, steps: Steps::new() }
    }

    /// The zone of floating times and whole days.
    pub fn floating(&self) -> &Zone {
        &self.floating
    }

    /// The zone that `tzid` means: by its name, else by the item's VTIMEZONE, else by an offset in the name, else as if it floated. See
    /// [`iana_beside`] for where the VTIMEZONE comes first.
    ///
    /// # Errors
    /// The VTIMEZONE has to decide and does not make sense.
    pub fn named(&mut self, tzid: &str) -> Result<Zone, BadZone> {
        if let Some(zone) = self.found.get(tzid) {
            return Ok(zone.clone());
        }
        let by_name = iana_beside(tzid, || self.definition(tzid).is_some_and(has_summer_time));
        let zone = match by_name.and_then(zone) {
            Some(zone) => Zone::Known(zone),
            None => self.defined(tzid)?,
        };
        self.found.insert(tzid.to_owned(), zone.clone());
        Ok(zone)
    }

    fn definition(&mut self, tzid: &str) -> Option<&'a [u8]> {
        let definitions = self.definitions.get_or_insert_with(|| definitions(self.item));
        definitions.get(value::tzid(tzid).as_ref()).copied()
    }

    fn defined(&mut self, tzid: &str) -> Result<Zone, BadZone> {
        if let Some(definition) = self.definition(tzid) {
            return Ok(Zone::Custom(Arc::new(Custom::parse(definition, &mut self.steps)?)));
        }
        let fixed = names::fixed_offset(tzid).map(|offset| Zone::Known(TimeZone::fixed(offset)));
        Ok(fixed.unwrap_or_else(|| self.floating.clone()))
    }
}

/// Whether a VTIMEZONE has a DAYLIGHT, and not one that only repeats its STANDARD.
pub fn has_summer_time(vtimezone: &[u8]) -> bool {
    let (mut daylight, mut offsets) = (false, HashSet::new());
    for line in lines(vtimezone) {
        let Some(property) = Property::parse(&line.text) else { continue };
        let value = property.value.trim_ascii();
        daylight |= property.is("BEGIN") && value.eq_ignore_ascii_case("DAYLIGHT");
        if property.is("TZOFFSETTO") {
            offsets.insert(parse_utc_offset(value));
        }
    }
    daylight && offsets.len() > 1
}

/// The raw texts of the item's VTIMEZONEs by their TZIDs. Of two with one TZID the first counts.
fn definitions(item: &[u8]) -> HashMap<String, &[u8]> {
    let mut all = HashMap::new();
    let mut start = None;
    let mut tzid = None;
    for Line { raw, text, .. } in lines(item) {
        // Blank lines are left out, so where a line stands cannot be summed up from their lengths.
        let offset = raw.as_ptr() as usize - item.as_ptr() as usize;
        let Some(property) = Property::parse(&text) else { continue };
        let value = property.value.trim_ascii();
        let of_zone = value.eq_ignore_ascii_case("VTIMEZONE");
        if property.is("BEGIN") && of_zone {
            (start, tzid) = (Some(offset), None);
        } else if property.is("TZID") && tzid.is_none() {
            tzid = Some(value::tzid(value).into_owned());
        } else if property.is("END")
            && of_zone
            && let (Some(start), Some(tzid)) = (start.take(), tzid.take())
            && let Some(text) = item.get(start..offset + raw.len())
        {
            all.entry(tzid).or_insert(text);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::datetime;

    fn calendar(parts: &str) -> String {
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{parts}END:VCALENDAR\r\n")
    }

    const OWN: &str = "BEGIN:VTIMEZONE\r\nTZID:Own\\, here\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n\
        TZOFFSETFROM:+0300\r\nTZOFFSETTO:+0300\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";

    fn hour_of_noon(item: &str, tzid: &str) -> String {
        let fallback = TimeZone::fixed(jiff::tz::offset(7));
        let mut zones = Zones::new(item.as_bytes(), &fallback);
        let zone = zones.named(tzid).expect("a zone");
        zone.instant(datetime(2026, 1, 15, 12, 0, 0, 0)).strftime("%H:%M").to_string()
    }

    #[test]
    fn a_tzid_is_resolved_by_name_then_definition_then_default() {
        let table = [
            (calendar(OWN), "Europe/Berlin", "11:00"),
            (calendar(OWN), "Own, here", "09:00"),
            (calendar(OWN), "Own\\, here", "09:00"),
            (calendar(OWN), "GMT+0530", "06:30"),
            (calendar(OWN), "Other", "05:00"),
        ];
        for (item, tzid, hour) in table {
            assert_eq!(hour_of_noon(&item, tzid), hour, "{tzid}");
        }
    }

    #[test]
    fn a_definition_under_an_iana_name_does_not_decide() {
        let item = calendar(&OWN.replace("Own\\, here", "Europe/Berlin"));
        assert_eq!(hour_of_noon(&item, "Europe/Berlin"), "11:00");
    }

    #[test]
    fn a_definition_with_summer_time_decides_under_the_name_of_an_offset() {
        let observance = |name: &str, from: &str, to: &str, start: &str| {
            format!(
                "BEGIN:{name}\r\nDTSTART:{start}\r\nTZOFFSETFROM:{from}\r\nTZOFFSETTO:{to}\r\nEND:{name}\r\n"
            )
        };
        let item = |summer: &str| {
            let winter = observance("STANDARD", summer, "-0500", "20241103T020000");
            let summer = observance("DAYLIGHT", "-0500", summer, "20260101T020000");
            calendar(&format!("BEGIN:VTIMEZONE\r\nTZID:EST\r\n{winter}{summer}END:VTIMEZONE\r\n"))
        };
        assert_eq!(hour_of_noon(&item("-0400"), "EST"), "16:00");
        assert_eq!(hour_of_noon(&item("-0500"), "EST"), "17:00");
        assert_eq!(hour_of_noon(&calendar(""), "EST"), "17:00");
    }

    #[test]
    fn a_definition_that_makes_no_sense_is_an_error() {
        let item = calendar(&OWN.replace("TZOFFSETTO:+0300", "TZOFFSETTO:three"));
        let mut zones = Zones::new(item.as_bytes(), &TimeZone::UTC);
        let why = zones.named("Own, here").map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(why, Err("TZOFFSETTO:three is malformed".to_owned()));
    }

    #[test]
    fn the_zones_of_one_item_share_their_steps() {
        // Each follows a rule through two centuries of days; a file full of them must not cost as much each.
        let costly = |tzid: &str| {
            let rule = "RRULE:FREQ=DAILY\r\nDTSTART:19000101T000000";
            OWN.replace("Own\\, here", tzid).replace("DTSTART:19700101T000000", rule)
        };
        let item = calendar(&["A", "B", "C"].map(costly).concat());
        let mut zones = Zones::new(item.as_bytes(), &TimeZone::UTC);
        assert_eq!(["A", "B", "C", "A"].map(|tzid| zones.named(tzid).is_ok()), [true, true, false, true]);
    }

    #[test]
    fn a_gap_moves_later_and_an_overlap_takes_the_first() {
        let table = [
            // The north, the south, half an hour, a missing day.
            ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:30:00Z"),
            ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00Z"),
            ("America/Sao_Paulo", "2018-11-04T00:30", "2018-11-04T03:30:00Z"),
            ("America/Sao_Paulo", "2018-02-17T23:30", "2018-02-18T01:30:00Z"),
            ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45:00Z"),
            ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45:00Z"),
            ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T22:00:00Z"),
        ];
        for (name, civil, instant) in table {
            let zone = Zone::Known(zone(name).expect("a zone"));
            let civil: DateTime = civil.parse().expect("a time");
            assert_eq!(zone.instant(civil).to_string(), instant, "{name} {civil}");
        }
    }
}
