//! Views: what an asker was shown of a place, or sent to it, as a base for merging what comes back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::place::Place;
use super::snapshot::Shown;
use crate::ical::item::{Item, Key, KeyMap};
use crate::ical::meaning::{Hash, Look};

/// What is known of one item of a View.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What the client's copy looks like.
    pub theirs: Look,
    /// The meaning of the version of ours that the copy stands for.
    pub ours: Hash,
}

/// A set of items, named by an Etag.
#[derive(Debug)]
pub enum View {
    /// What was served: each copy stands for itself.
    Fetched(Arc<[Shown]>),
    /// What a client sent where the outcome was another.
    Sent(KeyMap<Key, Known>),
}

/// A View by key. Looks are worked out only for the items that somebody asks for.
#[derive(Debug)]
pub struct Index<'v>(KeyMap<&'v Key, Copied<'v>>);

#[derive(Debug)]
enum Copied<'v> {
    Of(&'v Item),
    Known(Known),
}

impl Index<'_> {
    pub fn get(&self, key: &Key) -> Option<Known> {
        Some(match self.0.get(key)? {
            Copied::Of(item) => Known { theirs: *item.look(), ours: item.look().meaning },
            Copied::Known(known) => *known,
        })
    }
}

impl View {
    /// All of the View, to be looked up by key.
    pub fn index(&self) -> Index<'_> {
        Index(match self {
            View::Fetched(shown) => {
                shown.iter().map(|shown| (&shown.item().key, Copied::Of(shown.item()))).collect()
            }
            View::Sent(known) => known.iter().map(|(key, known)| (key, Copied::Known(*known))).collect(),
        })
    }

    /// How many items it has, which is what it costs.
    fn len(&self) -> usize {
        match self {
            View::Fetched(shown) => shown.len(),
            View::Sent(known) => known.len(),
        }
    }
}

/// The Views that are kept, oldest first, bounded by the items in them.
#[derive(Debug, Default)]
pub struct Views {
    /// Guards all of it; held for look-ups only.
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_name: HashMap<(Place, String), Arc<View>>,
    order: VecDeque<(Place, String)>,
    items: usize,
}

/// At about 100 bytes each, and the text of those that are shown no more.
const MAX_ITEMS: usize = 250_000;

impl Views {
    pub fn keep(&self, place: &Place, etag: &str, view: View) {
        let name = (place.clone(), etag.to_owned());
        let mut kept = self.kept.lock();
        if kept.by_name.contains_key(&name) {
            return;
        }
        kept.items += view.len() + 1;
        kept.by_name.insert(name.clone(), Arc::new(view));
        kept.order.push_back(name);
        while kept.items > MAX_ITEMS {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some(view) = kept.by_name.remove(&oldest) {
                kept.items -= view.len() + 1;
            }
        }
    }

    /// The first View that one of `etags` names.
    pub fn find(&self, place: &Place, etags: &[String]) -> Option<Arc<View>> {
        let kept = self.kept.lock();
        etags.iter().find_map(|etag| kept.by_name.get(&(place.clone(), etag.clone())).cloned())
    }
}
