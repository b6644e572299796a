//! Views: what an asker was shown of a place, or sent to it, as a base for merging what comes back.

use std::collections::{HashMap, HashSet, VecDeque};
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

    /// About how many bytes it takes, apart from the text of its items, which newer Views mostly share.
    fn bytes(&self) -> usize {
        match self {
            View::Fetched(shown) => shown.len() * size_of::<Shown>(),
            View::Sent(known) => known.len() * (size_of::<Known>() + 100),
        }
    }

    /// How many bytes of text it alone keeps alive, now that `newer` is there.
    fn outdated(&self, newer: &View) -> usize {
        let (View::Fetched(old), View::Fetched(new)) = (self, newer) else { return 0 };
        let new: HashSet<*const Item> = new.iter().map(|shown| std::ptr::from_ref(shown.item())).collect();
        let gone = old.iter().map(Shown::item).filter(|item| !new.contains(&std::ptr::from_ref(*item)));
        gone.map(|item| item.raw.len()).sum()
    }
}

/// The Views that are kept, oldest first, bounded by the bytes they take.
#[derive(Debug, Default)]
pub struct Views {
    /// Guards all of it; held for look-ups only.
    kept: Mutex<Kept>,
}

type ViewName = (Place, String);

#[derive(Debug, Default)]
struct Kept {
    /// With what each costs.
    by_name: HashMap<ViewName, (Arc<View>, usize)>,
    /// The last View of each place.
    newest: HashMap<Place, ViewName>,
    order: VecDeque<ViewName>,
    bytes: usize,
}

const MAX_BYTES: usize = 64 << 20;

impl Views {
    pub fn keep(&self, place: &Place, etag: &str, view: View) {
        let name = (place.clone(), etag.to_owned());
        let mut kept = self.kept.lock();
        if !kept.by_name.contains_key(&name) {
            kept.add(name, view);
        }
    }

    /// The first View that one of `etags` names.
    pub fn find(&self, place: &Place, etags: &[String]) -> Option<Arc<View>> {
        let kept = self.kept.lock();
        etags
            .iter()
            .find_map(|etag| kept.by_name.get(&(place.clone(), etag.clone())).map(|(view, _)| view.clone()))
    }
}

impl Kept {
    fn add(&mut self, name: ViewName, view: View) {
        let previous = self.newest.insert(name.0.clone(), name.clone());
        if let Some((previous, cost)) = previous.and_then(|previous| self.by_name.get_mut(&previous)) {
            let outdated = previous.outdated(&view);
            *cost += outdated;
            self.bytes += outdated;
        }
        let cost = view.bytes() + 1000;
        self.bytes += cost;
        self.by_name.insert(name.clone(), (Arc::new(view), cost));
        self.order.push_back(name);
        while self.bytes > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some((_, cost)) = self.by_name.remove(&oldest) {
                self.bytes -= cost;
            }
            if self.newest.get(&oldest.0) == Some(&oldest) {
                self.newest.remove(&oldest.0);
            }
        }
    }
}
