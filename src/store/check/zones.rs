//! The time zones that no name explains. An item that names one without defining it is served with the first definition
//! under that TZID in its calendar, and which is the first is up to the names of the files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::ical::item::Item;
use crate::ical::meaning::Hash;

/// What the items of a calendar say of such zones.
#[derive(Debug, Default)]
pub struct Zones {
    /// By TZID, what its definitions mean; nothing for an item that has none.
    meanings: HashMap<Arc<str>, HashSet<Option<Hash>>>,
    /// The TZIDs that the items of a file define.
    of_files: HashMap<String, HashSet<Arc<str>>>,
}

impl Zones {
    /// Notes the items of a file.
    pub fn add(&mut self, file: &str, items: &[Item]) {
        for (tzid, meaning) in items.iter().flat_map(unexplained) {
            self.meanings.entry(tzid.clone()).or_default().insert(meaning);
            if meaning.is_some() {
                self.of_files.entry(file.to_owned()).or_default().insert(tzid.clone());
            }
        }
    }

    /// A TZID that the file defines and that is defined in another way too: with other names for what is in the file, another
    /// definition may be the first.
    pub fn of_two_meanings(&self, file: &str) -> Option<&str> {
        let is_of_two = |tzid: &&Arc<str>| {
            self.meanings.get(*tzid).is_some_and(|meanings| meanings.iter().flatten().count() > 1)
        };
        self.of_files.get(file)?.iter().filter(is_of_two).min().map(|tzid| &**tzid)
    }

    /// A TZID that could mean something else to an item here if `items` were served too.
    pub fn changed_by<'i>(&self, items: &'i [Item]) -> Option<&'i str> {
        let is_another = |(tzid, meaning): &(&Arc<str>, Option<Hash>)| {
            let here = self.meanings.get(*tzid);
            meaning.is_some() && here.is_some_and(|here| !here.iter().flatten().eq(meaning))
        };
        items.iter().flat_map(unexplained).find(is_another).map(|(tzid, _)| &**tzid)
    }
}

/// The TZIDs of an item that no name explains, each with what its definition means.
fn unexplained(item: &Item) -> impl Iterator<Item = (&Arc<str>, Option<Hash>)> {
    let zones = item.zones.iter().filter(|zone| zone.iana.is_none());
    zones.map(|zone| (&zone.tzid, zone.definition.as_ref().map(|definition| definition.meaning)))
}
