//! What programs may have that is newer than what a restore brings back: by item, whatever file it lies or lay in. What comes
//! back is made newer than that, so that programs take it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::Result;
use crate::ical::cut::cut;
use crate::ical::item::{Item, Key, KeyMap};
use crate::ical::meaning::Age;
use crate::ical::revise::revised;
use crate::store::calendar::file::named;
use crate::store::calendar::listing::is_item;
use crate::store::history::timeline::{Then, Timeline};

#[derive(Default)]
pub struct Newer {
    files: Vec<Vec<u8>>,
    /// The versions of a key, each with its file.
    by_key: KeyMap<Key, Vec<(usize, Item)>>,
}

impl Newer {
    /// What is newest of each file that is not what it was `then`.
    pub fn of(timeline: &Timeline<'_>, then: &Then) -> Result<Newer> {
        let mut newer = Newer::default();
        for (name, newest) in &then.newest {
            if !is_item(name) || then.files.get(name) == Some(newest) {
                continue;
            }
            let content = match timeline.bytes(newest) {
                // Programs have nothing of what could not be read.
                Err(error) if !error.is_passing() => continue,
                content => content?,
            };
            for item in named(items(&content), name) {
                newer.by_key.entry(item.key.clone()).or_default().push((newer.files.len(), item));
            }
            newer.files.push(content);
        }
        Ok(newer)
    }

    /// `content` of the file `name` as it comes back: each item newer than all that is newer of it, unless it is that.
    pub fn outdone(&self, content: Vec<u8>, name: &str) -> Vec<u8> {
        let (mut files, mut ages) = (Vec::new(), HashMap::<Arc<str>, Age>::new());
        let items = items(&content);
        for (item, named) in items.iter().zip(named(items.clone(), name)) {
            let versions = self.by_key.get(&named.key).into_iter().flatten();
            for (file, version) in versions.filter(|(_, version)| !version.is_written_as(&named)) {
                files.push(&self.files[*file]);
                let (age, most) = (version.look().age, ages.entry(item.key.uid.clone()).or_default());
                most.sequence = most.sequence.max(age.sequence);
                most.last_modified = most.last_modified.max(age.last_modified);
            }
        }
        let now = Timestamp::now();
        let revise = |text: &[u8]| revised(text, |uid| ages.get(uid).copied(), now);
        let revision = revise(&content);
        // An earlier restore may have brought it back already.
        match files.into_iter().find(|file| revise(file) == revision) {
            Some(file) => file.clone(),
            None => revision,
        }
    }
}

/// None where it does not parse.
fn items(content: &[u8]) -> Vec<Item> {
    cut(content).map(|cut| cut.items).unwrap_or_default()
}
