//! What becomes of a save. `merge` decides it. Pure.

use super::merged::Merged;
use crate::ical::item::Key;
use crate::ical::meaning::Hash;
use crate::store::views::view::Known;

/// What becomes of a save.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Ordinals of the sent items that are written.
    pub take: Vec<usize>,
    /// Ordinals of the sent items that lose against what is here; they go to the history.
    pub lost: Vec<usize>,
    /// In order.
    pub remove: Vec<Key>,
    /// Items here that the client did not send and that stay.
    pub kept: usize,
    /// Items that both sides changed.
    pub conflicts: usize,
    /// Whether the client did more than to add: it changed or left out something that is here, or that its base had.
    pub touches: bool,
    /// Ordinals of the sent items that are not here afterwards as they were sent, each with the meaning of the version of
    /// ours that it stands for, if the base knows one.
    pub unlike: Vec<(usize, Option<Hash>)>,
    /// Items that the client left out and that stay because it left out so many, see [`Plan::guard_against_shrinking`].
    pub spared: usize,
    /// Ordinals of sent items that others have removed, or changed, and that stay so, since the client sends them as it had them
    /// before. Of what is changed those alone of which it is not certain which copy the client had: it may have meant them.
    pub stale: Vec<usize>,
}

impl Plan {
    /// What is done beside taking what was sent.
    pub fn merged(&self) -> Merged {
        let &Plan { kept, ref remove, conflicts, spared, ref stale, .. } = self;
        Merged { kept, removed: remove.len(), conflicts, spared, stale: stale.len() }
    }

    /// Of what goes with each of the sent items what goes with those that are not stale.
    pub fn without_stale<T>(&self, sent: Vec<T>) -> Vec<T> {
        let fresh =
            sent.into_iter().enumerate().filter(|(ordinal, _)| self.stale.binary_search(ordinal).is_err());
        fresh.map(|(_, sent)| sent).collect()
    }

    /// What the client changed is taken.
    pub fn change(&mut self, ordinal: usize) {
        self.touches = true;
        self.take.push(ordinal);
    }

    /// What is here stays, or stays away.
    pub fn stay(&mut self, ordinal: usize, known: Option<Known>) {
        self.unlike.push((ordinal, known.map(|known| known.ours)));
    }

    /// A save without a guard that would remove more than half of a large calendar removes nothing: more often than not its
    /// program could not read what it had. `calendars`: of each, what of it the asker sees whole.
    pub fn guard_against_shrinking<'k, C>(&mut self, calendars: impl IntoIterator<Item = C>)
    where
        C: IntoIterator<Item = &'k Key>,
    {
        const LARGE: usize = 10;
        let shrinks = |calendar: C| {
            let (mut here, mut gone) = (0, 0);
            for key in calendar {
                here += 1;
                gone += usize::from(self.remove.binary_search(key).is_ok());
            }
            here >= LARGE && gone * 2 > here
        };
        if calendars.into_iter().any(shrinks) {
            self.spared = self.remove.len();
            self.kept += self.spared;
            self.remove.clear();
        }
    }
}
