//! Which copies of a place a client has, by what it fetched and sent, and of which of them a save without a guard may be a
//! change. Pure.
//!
//! Clients are told apart by little (`views::Client`): two machines with one program behind one address look like one.
//! So the copies are counted: a whole fetch makes one more, a save turns the one that it comes from into another. What
//! a save leaves out is removed only if every copy that it may come from has it. In doubt an item stays.

use std::sync::Arc;

use super::view::{Known, View};
use super::views::ViewName;
use crate::ical::item::{Item, KeyId};
use crate::ical::meaning::Look;

/// How many Views are remembered of one client.
pub const MOST: usize = 8;

/// Any number of copies.
const MANY: u32 = u32::MAX;

/// A View that a client fetched or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub view: ViewName,
    /// How many machines may have it as their copy; of those that have none left, saves are told by it all the same.
    pub count: u32,
    /// Whether it was sent, and not fetched: then it is certain that the client had it.
    pub sent: bool,
}

/// The Views of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copies {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Whether somebody may have an older copy than these.
    pub forgotten: bool,
    /// Whether somebody saves who fetched nothing: then it is not known how many there are.
    pub unseen: bool,
}

/// What a save without a guard may be a change of.
#[derive(Debug, Default)]
pub struct Parents {
    /// Oldest first; if it is not explained, all copies that there are.
    pub views: Vec<Arc<View>>,
    /// Whether each of the Views has all that the save shows of any of them.
    pub explained: bool,
    /// Whether it may come from a copy that is not known any more.
    pub forgotten: bool,
    /// Whose copy it is if nobody else's is like it.
    only: Option<ViewName>,
}

impl Parents {
    /// Whether it is known what the client had.
    pub fn are_known(&self) -> bool {
        self.explained && !self.forgotten
    }

    /// What the newest copy that has the key says of it.
    pub fn newest(&self, id: &KeyId) -> Option<Known> {
        self.views.iter().rev().find_map(|view| view.get(id))
    }

    /// Whether the client had an item, whichever copy it comes from, and knows it as it is here.
    pub fn all_had(&self, id: &KeyId, here: &Item) -> bool {
        // Who had another version and left it out deleted the item as well as who had this one.
        self.are_known()
            && self.views.iter().all(|view| view.get(id).is_some())
            && self
                .views
                .iter()
                .any(|view| view.get(id).is_some_and(|known| known.ours == here.look().meaning))
    }
}

impl Copies {
    /// The client has fetched a View, or was told that it has it still.
    pub fn fetched(&mut self, view: ViewName, whole: bool) {
        let mut entry = self.take(view);
        if whole || entry.count == 0 {
            entry.count = entry.count.saturating_add(1);
        }
        entry.sent = false;
        self.push(entry);
    }

    /// The client has sent what is now `sent`, as a change of one of `parents`.
    pub fn saved(&mut self, parents: &Parents, sent: ViewName) {
        self.unseen |= parents.only.is_none() && !parents.are_known();
        if let Some(parent) = parents.only.filter(|_| !self.unseen) {
            self.leave(parent);
        }
        self.sent(sent);
    }

    /// The client has sent what is now `sent`, and said that it is a change of `parent`.
    pub fn guarded(&mut self, parent: Option<ViewName>, sent: ViewName) {
        if let Some(parent) = parent {
            self.leave(parent);
        }
        self.sent(sent);
    }

    /// The client has made the place by sending what is now `sent`; that nothing was there it may have known by `nothing`.
    pub fn made(&mut self, nothing: ViewName, sent: ViewName) {
        self.unseen |= !self.entries.iter().any(|entry| entry.view == nothing && entry.count > 0);
        self.leave(nothing);
        self.sent(sent);
    }

    /// What nobody counted since the last start counts as any number.
    pub fn recalled(mut self) -> Copies {
        for entry in self.entries.iter_mut().filter(|entry| entry.count > 0) {
            entry.count = MANY;
        }
        self
    }

    /// Puts what was remembered before it behind what is known now.
    pub fn after(&mut self, earlier: Copies) {
        let later = std::mem::replace(self, earlier.recalled());
        self.forgotten |= later.forgotten;
        self.unseen |= later.unseen;
        for entry in later.entries {
            let before = self.take(entry.view);
            self.push(Entry { count: entry.count.saturating_add(before.count), ..entry });
        }
    }

    /// Of which copies a save of `shown` may be a change: those that have all that it shows of any of them.
    pub fn parents(
        &self,
        find: impl Fn(&ViewName) -> Option<Arc<View>>,
        shown: &[(KeyId, Look)],
        mozilla: bool,
    ) -> Parents {
        let found: Vec<_> = self.entries.iter().map(|entry| (entry, find(&entry.view))).collect();
        let alive: Vec<_> = found.iter().filter(|(entry, _)| entry.count > 0).collect();
        let lost = alive.iter().any(|(_, view)| view.is_none());
        let alive: Vec<_> =
            alive.into_iter().filter_map(|(entry, view)| Some((*entry, view.as_ref()?))).collect();
        // One bit for each copy.
        let (mut any, mut all) = (0_u32, u32::MAX);
        let oldest = found.iter().find_map(|(_, view)| view.as_ref());
        let mut newer = false;
        for (id, look) in shown {
            let has = |view: &View| view.get(id).is_some_and(|known| known.is_as(look, mozilla));
            let of = (0..alive.len()).filter(|at| has(alive[*at].1)).fold(0, |bits, at| bits | 1 << at);
            if of != 0 {
                (any, all) = (any | of, all & of);
                newer = newer || oldest.is_some_and(|oldest| !has(oldest));
            }
        }
        let of = |bits: u32| -> Vec<_> {
            (0..alive.len()).filter(|at| bits & 1 << at != 0).map(|at| alive[at]).collect()
        };
        let candidates = match any {
            // A fetch of which the save shows nothing was not loaded, unless there was nothing to show.
            0 if alive.iter().all(|(entry, view)| entry.sent || view.is_empty()) && !self.unseen => {
                of(u32::MAX)
            }
            0 => Vec::new(),
            _ => of(all),
        };
        let explained = !candidates.is_empty();
        let forgotten = lost || self.forgotten && !newer;
        let only = match candidates.as_slice() {
            [(entry, _)] if entry.count != MANY && !forgotten => Some(entry.view),
            _ => None,
        };
        let views = if explained { candidates } else { of(u32::MAX) };
        let views = views.into_iter().map(|(_, view)| view.clone()).collect();
        Parents { views, explained, forgotten, only }
    }

    /// The entry of a View, which is no longer in its place; an empty one if there is none.
    fn take(&mut self, view: ViewName) -> Entry {
        match self.entries.iter().position(|entry| entry.view == view) {
            Some(at) => self.entries.remove(at),
            None => Entry { view, count: 0, sent: true },
        }
    }

    /// One has this View no longer.
    fn leave(&mut self, view: ViewName) {
        let entry = self.entries.iter_mut().find(|entry| entry.view == view);
        if let Some(entry) = entry.filter(|entry| entry.count != MANY) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    fn sent(&mut self, view: ViewName) {
        let mut entry = self.take(view);
        entry.count = if self.unseen { MANY } else { entry.count.saturating_add(1) };
        self.push(entry);
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        if self.entries.len() > MOST {
            let dead = self.entries.iter().position(|entry| entry.count == 0);
            self.forgotten |= dead.is_none();
            self.entries.remove(dead.unwrap_or(0));
        }
    }
}
