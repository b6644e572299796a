//! Of which of a client's copies a save without a guard may be a change: of those that have all that it shows of any of them.
//! What it leaves out is removed only if every one of these has it. In doubt an item stays. Pure.

use std::sync::Arc;

use super::copies::{Copies, Entry, MANY};
use super::view::{BLOCK, Known, View};
use super::view_names::ViewName;
use crate::ical::item::{Item, KeyId};
use crate::ical::meaning::Look;
use crate::store::merge::program::Program;

/// What a save without a guard may be a change of.
#[derive(Debug, Default)]
pub struct Parents {
    /// Oldest first; if it is not explained, all copies that there are.
    pub views: Vec<Arc<View>>,
    /// Whether each of the Views has all that the save shows of any of them.
    pub explained: bool,
    /// Whether it may come from a copy that is not known any more.
    pub forgotten: bool,
    /// Whether it may come from a copy that is newer than all that a kill has left.
    pub lapsed: bool,
    /// Whose copy it is if nobody else's is like it.
    pub only: Option<ViewName>,
    /// Of a client that only ever sends, what it sent last.
    sent_last: Option<Arc<View>>,
}

impl Parents {
    /// Of which copies a save of `shown` may be a change: those that have all that it shows of any of them.
    pub fn of(
        copies: &Copies,
        find: impl Fn(&ViewName) -> Option<Arc<View>>,
        mut shown: Vec<(KeyId, Look)>,
        program: Program,
    ) -> Parents {
        shown.sort_unstable_by_key(|(id, _)| *id);
        let found = Found(copies.entries.iter().map(|entry| (entry, find(&entry.view))).collect());
        let has = found.has_shown(&shown, program);
        let alive = found.those(|entry| entry.count > 0);
        let candidates = found.explaining(&shown, &has, alive, copies.unseen);
        let explained = !candidates.is_empty();
        let lost = found.0.iter().any(|(entry, view)| entry.count > 0 && view.is_none());
        // What was sent tells nothing of when: its machine need not have loaded what others made. If nobody fetches, nothing else does.
        let telling = found.those(|entry| !entry.sent || !copies.fetches);
        let forgotten = lost || copies.forgotten && !is_newer(&has, telling);
        let only = match candidates.as_slice() {
            [(entry, _)] if entry.count != MANY && !forgotten => Some(entry.view),
            _ => None,
        };
        let lapsed = copies.lapsed && candidates.iter().any(|(entry, _)| entry.count == MANY);
        let views = if explained { candidates } else { found.of(alive) };
        let views = views.into_iter().map(|(_, view)| view.clone()).collect();
        let only_sends = copies.unseen && !copies.fetches;
        let sent_last = found.0.last().filter(|_| only_sends).and_then(|(_, view)| view.clone());
        Parents { views, explained, forgotten, lapsed, only, sent_last }
    }

    /// Whether it is known what the client had.
    pub fn are_known(&self) -> bool {
        self.explained && !self.forgotten
    }

    /// Nobody's copy is counted off unless what is not stale tells of the same: what is stale may as well be another machine's undo.
    pub fn doubt_unless(&mut self, fresh: &Parents) {
        self.only = self.only.filter(|only| fresh.only == Some(*only));
    }

    /// What the newest copy that has the key says of it.
    pub fn newest(&self, id: &KeyId) -> Option<Known> {
        self.views.iter().rev().find_map(|view| view.get(id))
    }

    /// Whether the client had an item, and more than a busy block of it, whichever copy it comes from, and knows it as it is here.
    pub fn all_had(&self, id: &KeyId, here: &Item) -> bool {
        // Who had another version and left it out deleted the item as well as who had this one.
        self.are_known()
            && self.views.iter().all(|view| view.get(id).is_some_and(|known| known.ours != BLOCK))
            && self
                .views
                .iter()
                .any(|view| view.get(id).is_some_and(|known| known.ours == here.look().meaning))
    }

    /// Whether a client that only ever sends has changed its mind: what it sends it had before, but not last, and nobody else
    /// has changed since what it sent last. It may be another machine's stale copy as well, and in doubt nothing is lost.
    pub fn is_meant_anew(&self, id: &KeyId, look: &Look, here: Option<&Item>) -> bool {
        let Some(last) = &self.sent_last else { return false };
        match (last.get(id), here) {
            (None, None) => true,
            (Some(known), Some(here)) => known.meaning != look.meaning && known.ours == here.look().meaning,
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// The Views of a client that are still there, each known by one bit.
struct Found<'a>(Vec<(&'a Entry, Option<Arc<View>>)>);

impl<'a> Found<'a> {
    fn those(&self, wanted: impl Fn(&Entry) -> bool) -> u32 {
        let there = self.0.iter().enumerate().filter(|(_, (entry, view))| view.is_some() && wanted(entry));
        there.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    fn of(&self, bits: u32) -> Vec<(&'a Entry, &Arc<View>)> {
        let there = self.0.iter().enumerate().filter(|(at, _)| bits & 1 << at != 0);
        there.filter_map(|(_, (entry, view))| Some((*entry, view.as_ref()?))).collect()
    }

    /// Of those `alive` the ones that have all that a save shows of any of them; where it shows nothing of any, all, if it can be a change of them.
    fn explaining(
        &self,
        shown: &[(KeyId, Look)],
        has: &[u32],
        alive: u32,
        unseen: bool,
    ) -> Vec<(&'a Entry, &Arc<View>)> {
        let has_any = has.iter().map(|bits| bits & alive).filter(|bits| *bits != 0);
        if let Some(all) = has_any.reduce(|all, bits| all & bits) {
            return self.of(all);
        }
        let alive = self.of(alive);
        // A fetch of which the save shows nothing was not loaded, unless there was nothing to show.
        let is_loaded = |(entry, view): &(&Entry, &Arc<View>)| entry.sent || view.is_empty();
        // Who sends nothing but other items may never have had these: it is another machine.
        let has_one_of = |(_, view): &(&Entry, &Arc<View>)| {
            view.is_empty() || shown.iter().any(|(id, _)| view.get(id).is_some())
        };
        let is_another = !shown.is_empty() && !alive.iter().any(has_one_of);
        match unseen || is_another || !alive.iter().all(is_loaded) {
            true => Vec::new(),
            false => alive,
        }
    }

    /// Which of them have each of the items that a save shows.
    fn has_shown(&self, shown: &[(KeyId, Look)], program: Program) -> Vec<u32> {
        let mut has = vec![0; shown.len()];
        for (at, (_, view)) in self.0.iter().enumerate() {
            view.iter().for_each(|view| view.marks(shown, program, |item| has[item] |= 1 << at));
        }
        has
    }
}

/// Whether a save shows what came to be since the oldest of the Views that are `telling`, and so after all that is forgotten.
fn is_newer(has: &[u32], telling: u32) -> bool {
    let oldest = telling & telling.wrapping_neg();
    has.iter().any(|bits| bits & telling != 0 && bits & oldest == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::views::copies::MOST;

    /// A View of items that are told by numbers, each in a version of its own.
    fn view(items: &[u8]) -> Arc<View> {
        Arc::new(View::new(shown(items).into_iter().map(|(id, look)| (id, Known::of(&look)))))
    }

    fn shown(items: &[u8]) -> Vec<(KeyId, Look)> {
        let look = |n| Look {
            meaning: [n; 16],
            stamps: [n; 16],
            kde_stamps: [n; 16],
            undated: [n; 16],
            age: Default::default(),
        };
        items.iter().map(|n| ([*n; 16], look(*n))).collect()
    }

    fn name(items: &[u8]) -> ViewName {
        let mut name = ViewName::default();
        name[..items.len()].copy_from_slice(items);
        name
    }

    /// What a save of `items` may be a change of, where each View holds the items of its name.
    fn parents(copies: &Copies, items: &[u8]) -> Parents {
        let find = |name: &ViewName| {
            let items: Vec<u8> = name.iter().copied().take_while(|n| *n != 0).collect();
            Some(view(&items))
        };
        Parents::of(copies, find, shown(items), Program::Other)
    }

    fn save(copies: &mut Copies, items: &[u8]) {
        let parents = parents(copies, items);
        copies.saved(parents.only, parents.are_known(), name(items));
    }

    #[test]
    fn a_save_turns_the_only_copy_that_explains_it_into_another() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        save(&mut copies, &[1, 2, 3]);
        let counts: Vec<u32> = copies.entries.iter().map(|entry| entry.count).collect();
        assert_eq!(counts, [0, 1]);
        let parents = parents(&copies, &[1, 2]);
        assert!(parents.are_known() && parents.views == [view(&[1, 2, 3])]);
    }

    #[test]
    fn with_two_machines_either_copy_may_be_meant_until_a_save_shows_which() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        copies.fetched(name(&[1, 2]), true);
        save(&mut copies, &[1, 2, 3]);
        assert_eq!(parents(&copies, &[1]).views.len(), 2);
        assert_eq!(parents(&copies, &[1, 3]).views, [view(&[1, 2, 3])]);
    }

    #[test]
    fn who_only_sends_may_be_many() {
        let mut copies = Copies::default();
        save(&mut copies, &[1]);
        save(&mut copies, &[1, 2]);
        assert!(copies.unseen);
        assert_eq!(parents(&copies, &[1]).views.len(), 2);
        assert!(!parents(&copies, &[]).explained, "it shows nothing of any");
    }

    #[test]
    fn who_replaces_without_a_fetch_may_be_many() {
        let mut copies = Copies::default();
        copies.guarded(false, name(&[1]));
        save(&mut copies, &[1, 2]);
        assert!(copies.unseen);
        assert_eq!(parents(&copies, &[1]).views.len(), 2);
    }

    #[test]
    fn where_there_may_be_many_nobodys_copy_is_counted_off() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        copies.guarded(false, name(&[1]));
        save(&mut copies, &[1, 2, 3]);
        let counts: Vec<u32> = copies.entries.iter().map(|entry| entry.count).collect();
        assert_eq!(counts, [1, MANY, MANY]);
    }

    #[test]
    fn who_shows_nothing_of_what_it_fetched_did_not_load_it() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        let mut edited = shown(&[2]);
        edited[0].1 =
            Look { meaning: [8; 16], undated: [8; 16], stamps: [8; 16], kde_stamps: [8; 16], ..edited[0].1 };
        let find = |_: &ViewName| Some(view(&[1, 2]));
        assert!(!Parents::of(&copies, find, edited, Program::Other).explained);
        let mut copies = Copies::default();
        copies.fetched(name(&[]), true);
        assert!(parents(&copies, &[9]).explained, "there was nothing to show");
    }

    #[test]
    fn who_sends_nothing_but_other_items_is_another_machine() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        save(&mut copies, &[1, 2, 3]);
        assert!(!parents(&copies, &[9]).are_known());
        assert!(parents(&copies, &[]).are_known(), "it has deleted the last ones");
        let edited = Look { meaning: [8; 16], ..shown(&[8]).remove(0).1 };
        let find = |_: &ViewName| Some(view(&[1, 2, 3]));
        assert!(Parents::of(&copies, find, vec![([3; 16], edited)], Program::Other).are_known());
    }

    #[test]
    fn who_only_sends_may_change_its_mind_and_who_fetches_may_be_stale() {
        let mut copies = Copies::default();
        save(&mut copies, &[1, 2]);
        save(&mut copies, &[1]);
        let again = |copies: &Copies| {
            let (id, look) = shown(&[2]).remove(0);
            parents(copies, &[1, 2]).is_meant_anew(&id, &look, None)
        };
        assert!(again(&copies));
        copies.fetched(name(&[1, 3]), true);
        assert!(!again(&copies));
        for n in 10..10 + MOST as u8 {
            save(&mut copies, &[1, n]);
        }
        assert!(!again(&copies), "it is not forgotten");
    }

    #[test]
    fn what_is_not_remembered_explains_all_that_shows_nothing_newer() {
        let mut copies = Copies::default();
        for n in 1..=MOST as u8 + 1 {
            copies.fetched(name(&[20, n]), true);
        }
        assert!(copies.forgotten && copies.entries.len() == MOST);
        assert!(!parents(&copies, &[20]).are_known());
        assert!(parents(&copies, &[20, 5]).are_known());
        let only = |items: &[u8]| parents(&copies, items).only;
        assert_eq!((only(&[20, 2]), only(&[20, 5])), (None, Some(name(&[20, 5]))));
    }

    #[test]
    fn what_was_sent_tells_not_what_is_newer_than_a_forgotten_copy() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        copies.fetched(name(&[1, 2, 9]), true);
        // By the first machine, which never loads the 9.
        save(&mut copies, &[1, 2, 3]);
        for n in 10..9 + MOST as u8 {
            copies.fetched(name(&[1, 2, 3, 9, n]), true);
        }
        assert!(copies.forgotten && copies.entries[0].view == name(&[1, 2, 3]));
        assert!(!parents(&copies, &[2, 9]).are_known());
        assert!(parents(&copies, &[2, 9, 12]).are_known());
    }

    #[test]
    fn an_etag_alone_counts_off_nobodys_copy() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        copies.guarded(true, name(&[1, 2, 3]));
        assert_eq!(parents(&copies, &[2]).views.len(), 2);
    }

    #[test]
    fn a_copy_is_counted_off_by_a_save_with_something_stale_if_what_is_fresh_tells_of_the_same() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        copies.fetched(name(&[1, 2, 3]), true);
        let only = |fresh: &[u8]| {
            let mut all = parents(&copies, &[1, 2, 3, 4]);
            all.doubt_unless(&parents(&copies, fresh));
            all.only
        };
        assert_eq!(only(&[1, 3, 4]), Some(name(&[1, 2, 3])));
        assert_eq!(only(&[1, 2, 4]), None, "the 3 may be an undo");
    }

    #[test]
    fn copies_that_nobody_has_are_dropped_before_others() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1]), true);
        for n in 2..=MOST as u8 + 4 {
            save(&mut copies, &(1..=n).collect::<Vec<_>>());
        }
        assert!(!copies.forgotten && copies.entries.len() == MOST);
    }

    #[test]
    fn of_what_was_not_counted_there_are_any_number() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), false);
        save(&mut copies, &[1, 2, 3]);
        assert_eq!(parents(&copies, &[1]).views.len(), 2);
        copies.fetched(name(&[1, 2, 3]), false);
        assert_eq!(copies.entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [MANY, 1]);
    }

    #[test]
    fn a_lost_view_leaves_doubt() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        copies.fetched(name(&[1, 3]), true);
        let find = |found: &ViewName| (*found == name(&[1, 2])).then(|| view(&[1, 2]));
        let parents = Parents::of(&copies, find, shown(&[1]), Program::Other);
        assert!(parents.explained && !parents.are_known());
    }
}
