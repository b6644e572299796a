//! What is served of a calendar's files: one item for each key, whichever files have it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::file::{File, Files, Stored};
use crate::ical::item::{Item, Key, KeyMap};

/// One item for each key: of two, the one with the higher SEQUENCE, then LAST-MODIFIED, then the newer file.
pub fn serve(files: &Files) -> Arc<[Arc<Stored>]> {
    let mut items: Vec<Arc<Stored>> = Vec::with_capacity(files.len());
    let mut by_key: KeyMap<&Key, usize> = KeyMap::with_capacity_and_hasher(files.len(), Default::default());
    for stored in files.values().flat_map(|file| &file.items) {
        match by_key.get(&stored.item.key) {
            None => {
                by_key.insert(&stored.item.key, items.len());
                items.push(stored.clone());
            }
            Some(&at) if rank(&items[at]) < rank(stored) => items[at] = stored.clone(),
            Some(_) => {}
        }
    }
    items.into()
}

fn rank(stored: &Stored) -> (u64, u64, SystemTime) {
    precedence(&stored.item, stored.modified)
}

/// Of two items with one key the one where this is greater is served; of equals, the one whose file's name comes first.
pub fn precedence(item: &Item, modified: SystemTime) -> (u64, u64, SystemTime) {
    let age = item.look().age;
    (age.sequence, age.last_modified, modified)
}

/// The files that have an item of which `served` has another file's version.
pub fn doubles(files: &Files, served: &[Arc<Stored>]) -> HashMap<Key, Vec<Arc<str>>> {
    let served: KeyMap<&Key, &str> = served.iter().map(|stored| (&stored.item.key, &*stored.file)).collect();
    let mut doubles: HashMap<_, Vec<_>> = HashMap::new();
    for stored in files.values().flat_map(|file| &file.items) {
        if served.get(&stored.item.key) != Some(&&*stored.file) {
            doubles.entry(stored.item.key.clone()).or_default().push(stored.file.clone());
        }
    }
    doubles
}

/// Whether the same items come from both; files may have been read again since.
pub fn same_items(before: &Files, after: &Files) -> bool {
    std::ptr::eq(before, after)
        || before.len() == after.len()
            && before.iter().zip(after).all(|((name, one), (other_name, other))| {
                name == other_name && has_same_items(Some(one), Some(other))
            })
}

/// As [`same_items`], of one file; one without items is as good as none.
pub fn has_same_items(one: Option<&File>, other: Option<&File>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => std::ptr::eq(one, other) || one.has_same_items(other),
        (one, other) => one.or(other).is_none_or(|file| file.items.is_empty()),
    }
}
