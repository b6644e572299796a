//! The zones that items name, each with the VTIMEZONE that came with it.

use std::collections::HashMap;
use std::sync::Arc;

use super::line::{Property, lines};
use super::meaning::{self, Hash};
use super::scan::{Component, Kind, Object};
use super::text::{self, Renames};
use super::tz;

/// A VTIMEZONE as somebody wrote it.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    pub raw: Box<[u8]>,
    pub meaning: Hash,
    summer_time: bool,
}

/// A zone that an item's TZID parameters name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// As it is meant, see [`super::value::tzid`].
    pub tzid: Arc<str>,
    /// The IANA zone that the TZID leads to by its name; then the definition does not count, see [`tz::iana_beside`].
    pub iana: Option<Arc<str>>,
    pub definition: Option<Arc<Definition>>,
}

impl Zone {
    pub fn new(tzid: &str, definition: Option<Arc<Definition>>) -> Zone {
        let summer_time = || definition.as_ref().is_some_and(|definition| definition.summer_time);
        let iana = tz::iana_beside(tzid, summer_time).map(Arc::from);
        Zone { tzid: tzid.into(), iana, definition }
    }

    /// Whether nobody can tell from the item alone what the zone is.
    pub fn is_undefined(&self) -> bool {
        self.iana.is_none() && self.definition.is_none()
    }

    /// The zone without what only describes it.
    pub fn bare(&self) -> Zone {
        let custom = self.definition.as_ref().filter(|_| self.iana.is_none());
        let definition = custom.map(|definition| Arc::new(definition.bare()));
        Zone { definition, ..self.clone() }
    }
}

impl Definition {
    fn new(raw: &[u8]) -> Definition {
        let meaning = meaning::look(&rules(raw), &[]).meaning;
        Definition { raw: raw.into(), meaning, summer_time: tz::has_summer_time(raw) }
    }

    /// The definition without what only describes it; it means the same.
    fn bare(&self) -> Definition {
        Definition { raw: rules(&self.raw).into(), ..*self }
    }

    /// The definition under another TZID.
    pub fn renamed(&self, from: &str, to: &str) -> Definition {
        Definition::new(&text::rename_zones(&self.raw, &Renames::from([(from, to)])))
    }
}

/// What a VTIMEZONE says of time. All else only describes it, in words that may be meant for few.
const RULES: [&str; 8] = ["BEGIN", "END", "TZID", "DTSTART", "TZOFFSETFROM", "TZOFFSETTO", "RRULE", "RDATE"];

/// A VTIMEZONE with its rules alone.
fn rules(raw: &[u8]) -> Vec<u8> {
    let mut rules = Vec::with_capacity(raw.len());
    let mut open: Vec<String> = Vec::new();
    for line in lines(raw) {
        let Some(property) = Property::parse(&line.text) else { continue };
        if property.is("BEGIN") {
            open.push(property.value.trim().to_ascii_uppercase());
        }
        let is_of_rules = match open.as_slice() {
            [_zone] => true,
            [_zone, inner] => inner == "STANDARD" || inner == "DAYLIGHT",
            _ => false,
        };
        if is_of_rules && RULES.iter().any(|name| property.is(name)) {
            rules.extend_from_slice(line.raw);
        }
        if property.is("END") {
            open.pop();
        }
    }
    rules
}

/// The VTIMEZONEs of one VCALENDAR by their TZIDs.
pub type Definitions = HashMap<Box<str>, Arc<Definition>>;

/// A TZID, and where its definition is in memory.
type NamedZone = (Box<str>, Option<*const Definition>);

/// What was found out about zones, so that ten thousand items that name the same ones share it.
#[derive(Default)]
pub struct KnownZones<'a> {
    definitions: HashMap<&'a [u8], Arc<Definition>>,
    sets: HashMap<Vec<NamedZone>, Arc<[Zone]>>,
}

impl<'a> KnownZones<'a> {
    /// The VTIMEZONEs of one VCALENDAR; of two with one TZID the first counts.
    pub fn definitions(&mut self, object: &Object<'a>) -> Definitions {
        let mut definitions = HashMap::new();
        for component in &object.components {
            if let (Kind::Timezone, Some(tzid)) = (&component.kind, &component.tzid) {
                let known = self.definitions.entry(component.raw);
                let known = known.or_insert_with(|| Arc::new(Definition::new(component.raw)));
                definitions.entry(tzid.clone()).or_insert_with(|| known.clone());
            }
        }
        definitions
    }

    /// The zones that a component names.
    pub fn of(&mut self, component: &Component<'_>, definitions: &Definitions) -> Arc<[Zone]> {
        let defined = |tzid: &str| definitions.get(tzid);
        let zones = || component.zones.iter().map(|tzid| &**tzid);
        let named = |tzid: &str| (tzid.into(), defined(tzid).map(Arc::as_ptr));
        let set = self.sets.entry(zones().map(named).collect()).or_insert_with(|| {
            let zone = |tzid: &str| Zone::new(tzid, defined(tzid).cloned());
            zones().map(zone).collect()
        });
        set.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_describes_a_zone_is_neither_shown_nor_compared() {
        let rules = "BEGIN:VTIMEZONE\r\nTZID:Home\r\nBEGIN:STANDARD\r\nDTSTART:19701025T030000\r\n\
            RRULE:FREQ=YEARLY;BYMONTH=10;\r\n BYDAY=-1SU\r\nRDATE:19711025T030000\r\nTZOFFSETFROM:+0200\r\n\
            TZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";
        let described = rules
            .replace("TZID:Home\r\n", "TZID:Home\r\nCOMMENT:secret\r\nX-A:secret\r\nTZURL:secret\r\n")
            .replace("BEGIN:STANDARD\r\n", "BEGIN:X-B\r\nDTSTART:secret\r\nEND:X-B\r\nBEGIN:STANDARD\r\n")
            .replace(
                "END:STANDARD\r\n",
                "COMMENT:secret\r\nX-A:secret\r\nTZNAME:se\r\n cret\r\nEND:STANDARD\r\n",
            );
        let definition = Definition::new(described.as_bytes());
        let bare = definition.bare();
        assert_eq!(String::from_utf8_lossy(&bare.raw), rules);
        assert_eq!(bare.meaning, definition.meaning);
        assert_eq!(bare.meaning, Definition::new(rules.as_bytes()).meaning);
        let other = rules.replace("19711025", "19721025");
        assert_ne!(bare.meaning, Definition::new(other.as_bytes()).meaning);
    }
}
