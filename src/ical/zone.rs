//! The zones that items name, each with the VTIMEZONE that came with it.

use std::collections::HashMap;
use std::sync::Arc;

use super::line::{Property, lines};
use super::meaning::{self, Hash};
use super::scan::{Component, Kind, Object};
use super::text::{self, Renames};
use super::tz;
use super::value::unescape;

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
        Definition { raw: raw.into(), meaning: meaning::of_zone(raw), summer_time: tz::has_summer_time(raw) }
    }

    /// The definition without what only describes it, in words that may be meant for few; it means the same.
    fn bare(&self) -> Definition {
        let (mut raw, mut depth) = (Vec::with_capacity(self.raw.len()), 0_usize);
        for line in lines(&self.raw) {
            let Some(property) = Property::parse(&line.text) else { continue };
            if property.is("BEGIN") {
                depth += 1;
            } else if property.is("END") {
                depth = depth.saturating_sub(1);
            }
            if depth != 1 || !meaning::describes_a_zone(&property) {
                raw.extend_from_slice(line.raw);
            }
        }
        Definition { raw: raw.into(), ..*self }
    }

    /// The definition under another TZID.
    pub fn renamed(&self, from: &str, to: &str) -> Definition {
        Definition::new(&text::rename_zones(&self.raw, &Renames::from([(from, to)])))
    }
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
        // The property escapes what the parameter does not, but some programs copy it as it stands.
        let defined = |tzid: &str| definitions.get(tzid).or_else(|| definitions.get(unescape(tzid).as_ref()));
        let zones = || component.zones.iter().map(|tzid| &**tzid);
        let named = |tzid: &str| (tzid.into(), defined(tzid).map(Arc::as_ptr));
        let set = self.sets.entry(zones().map(named).collect()).or_insert_with(|| {
            let zone = |tzid: &str| Zone::new(tzid, defined(tzid).cloned());
            zones().map(zone).collect()
        });
        set.clone()
    }
}
