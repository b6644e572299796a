//! Drafts of Views: what a View is to be made of, until somebody needs it or there is time.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::view::{BLOCK, Known, View};
use crate::ical::item::Item;
use crate::ical::meaning::{Hash, Look};
use crate::ical::whole::Served;
use crate::store::calendar::BESIDE_THE_TEXT;
use crate::store::calendar::snapshot::Shown;
use crate::store::threads::in_threads;

/// What a View is to be made of.
#[derive(Debug)]
pub enum Draft {
    /// What was served, and how many bytes that were.
    Shown(Arc<[Shown]>, usize),
    /// What a client sent where the outcome was another, and of those items that were not taken, by their ordinals, the
    /// versions of ours that they stand for.
    Sent(Vec<Arc<Item>>, HashMap<usize, Hash>),
}

impl Draft {
    fn view(&self) -> View {
        // The client's copy has zones as it reads or writes them, ours has its own. A busy block is none of ours.
        let row = |item: &Item, look: &Look| {
            (item.key.id(), Known { ours: item.look().meaning, ..Known::of(look) })
        };
        match self {
            Draft::Shown(shown, _) => {
                let zones = Served::collect(shown.iter().map(Shown::item));
                let row = |shown: &Shown| {
                    let item = shown.item();
                    let (id, known) = row(item, zones.read_back(item).as_ref().unwrap_or(item).look());
                    match shown {
                        Shown::Whole(_) => (id, known),
                        Shown::Masked(_) => (id, Known { ours: BLOCK, ..known }),
                    }
                };
                View::new(in_threads(shown, |shown| shown.iter().map(row).collect()))
            }
            Draft::Sent(items, ours) => {
                let row = |item: &Arc<Item>| row(item, item.look_as_sent());
                let mut rows = in_threads(items, |items| items.iter().map(row).collect());
                for (ordinal, (_, known)) in rows.iter_mut().enumerate() {
                    known.ours = ours.get(&ordinal).copied().unwrap_or(known.ours);
                }
                View::new(rows)
            }
        }
    }

    /// Looks at each item, on this thread alone: nobody waits for it.
    pub fn look_ahead(&self) {
        match self {
            Draft::Shown(shown, _) => {
                shown.iter().for_each(|shown| {
                    shown.item().look();
                });
            }
            Draft::Sent(items, _) => {
                items.iter().for_each(|item| {
                    item.look();
                });
            }
        }
    }

    /// About how many bytes of memory it keeps alive.
    fn bytes(&self) -> usize {
        match self {
            Draft::Shown(shown, text) => text + (1 + shown.len()) * BESIDE_THE_TEXT,
            Draft::Sent(items, _) => {
                let text: usize = items.iter().map(|item| item.raw.len()).sum();
                text + (1 + items.len()) * BESIDE_THE_TEXT
            }
        }
    }
}

/// A View that is not worked out yet, or not written.
#[derive(Debug)]
pub struct Waiting {
    pub draft: Draft,
    /// About how many bytes of memory it keeps alive.
    pub bytes: usize,
    pub view: OnceLock<Arc<View>>,
}

impl Waiting {
    pub fn new(draft: Draft) -> Arc<Waiting> {
        let bytes = draft.bytes();
        Arc::new(Waiting { draft, bytes, view: OnceLock::new() })
    }

    pub fn view(&self) -> &Arc<View> {
        self.view.get_or_init(|| Arc::new(self.draft.view()))
    }
}
