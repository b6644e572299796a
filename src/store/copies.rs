//! Which copies of a place a client has, by what it fetched and sent, and of which of them a save without a guard may be a
//! change. Pure.
//!
//! Clients are told apart by little (`view_names::Client`): all machines of one user with one program look like one.
//! So the copies are counted: a whole fetch makes one more, a save turns the one that it comes from into another. What
//! a save leaves out is removed only if every copy that it may come from has it. In doubt an item stays.

use std::sync::Arc;

use super::program::Program;
use super::view::{CHECKSUM, Known, View, checksum};
use super::view_names::ViewName;
use crate::ical::item::{Item, KeyId};
use crate::ical::meaning::Look;

/// How many Views are remembered of one client.
pub const MOST: usize = 8;

/// Any number of copies.
const MANY: u32 = u32::MAX;

const MAGIC: &[u8] = b"kalends client 2\n";
const ROW: usize = 16 + 1;
const ALIVE: u8 = 1;
const SENT: u8 = 2;

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
    /// Whether anybody ever fetched.
    pub fetches: bool,
    /// Whether there was a start since: a kill before it may have lost what came last.
    pub lapsed: bool,
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
    /// Whether it may come from a copy that is newer than all that a kill has left.
    pub lapsed: bool,
    /// Whose copy it is if nobody else's is like it.
    only: Option<ViewName>,
    /// Of a client that only ever sends, what it sent last.
    sent_last: Option<Arc<View>>,
}

impl Parents {
    /// Whether it is known what the client had.
    pub fn are_known(&self) -> bool {
        self.explained && !self.forgotten
    }

    /// Nobody's copy is counted off: what is not as it is here any more may be a stale copy, and as well another machine's undo.
    pub fn leave_in_doubt(&mut self) {
        self.only = None;
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

impl Copies {
    /// Whether the other would be written alike.
    pub fn is_written_as(&self, other: &Copies) -> bool {
        fn row(entry: &Entry) -> (ViewName, bool, bool) {
            (entry.view, entry.count > 0, entry.sent)
        }
        let flags = |copies: &Copies| (copies.forgotten, copies.unseen, copies.fetches);
        flags(self) == flags(other) && self.entries.iter().map(row).eq(other.entries.iter().map(row))
    }

    /// The bytes that are kept under `name`. How many copies there are is not in them: after a start nobody knows.
    pub fn encode(&self, name: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([self.forgotten, self.unseen, self.fetches].map(u8::from));
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.view);
            bytes.push(if entry.count > 0 { ALIVE } else { 0 } | if entry.sent { SENT } else { 0 });
        }
        let checksum = checksum(name, &bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// What was kept under `name`, or nothing if that is not what was written under it.
    pub fn decode(name: &[u8], bytes: &[u8]) -> Option<Copies> {
        let (bytes, found) = bytes.split_last_chunk::<CHECKSUM>()?;
        if checksum(name, bytes) != *found {
            return None;
        }
        let (flags, rows) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<3>()?;
        let [forgotten, unseen, fetches] = flags.map(|flag| flag != 0);
        let entry = |row: &[u8]| {
            let mut view = ViewName::default();
            view.copy_from_slice(&row[..16]);
            Entry { view, count: u32::from(row[16] & ALIVE), sent: row[16] & SENT != 0 }
        };
        let entries = rows.chunks_exact(ROW).take(MOST).map(entry).collect();
        Some(Copies { entries, forgotten, unseen, fetches, lapsed: false })
    }

    /// The client has fetched a View, or was told that it has it still.
    pub fn fetched(&mut self, view: ViewName, whole: bool) {
        let mut entry = self.take(view);
        entry.count = match (whole, entry.count) {
            (true, count) => count.saturating_add(1),
            // It was fetched when nobody counted.
            (false, 0) => MANY,
            (false, count) => count,
        };
        entry.sent = false;
        self.fetches = true;
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

    /// The client has sent what is now `sent`, and said of what it is a change, and whether that `is_known`. Nobody's copy is
    /// counted off: an Etag can be had without a fetch (HEAD), and then those who fetched are others.
    pub fn guarded(&mut self, is_known: bool, sent: ViewName) {
        self.unseen |= !is_known;
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
        self.lapsed = true;
        self
    }

    /// Puts what was remembered before it behind what is known now.
    pub fn after(&mut self, earlier: Copies) {
        let later = std::mem::replace(self, earlier.recalled());
        self.forgotten |= later.forgotten;
        self.unseen |= later.unseen;
        self.fetches |= later.fetches;
        for entry in later.entries {
            let before = self.take(entry.view);
            let count = entry.count.saturating_add(before.count);
            self.push(Entry { count, sent: entry.sent && before.sent, ..entry });
        }
    }

    /// Of which copies a save of `shown` may be a change: those that have all that it shows of any of them.
    pub fn parents(
        &self,
        find: impl Fn(&ViewName) -> Option<Arc<View>>,
        shown: Vec<(KeyId, Look)>,
        program: Program,
    ) -> Parents {
        let found = Found(self.entries.iter().map(|entry| (entry, find(&entry.view))).collect());
        let has = found.has_shown(shown, program);
        let alive = found.those(|entry| entry.count > 0);
        let all =
            has.iter().map(|bits| bits & alive).filter(|bits| *bits != 0).reduce(|all, bits| all & bits);
        let candidates = match all {
            Some(all) => found.of(all),
            None if self.unseen => Vec::new(),
            // A fetch of which the save shows nothing was not loaded, unless there was nothing to show.
            None => match found.of(alive) {
                alive if alive.iter().all(|(entry, view)| entry.sent || view.is_empty()) => alive,
                _ => Vec::new(),
            },
        };
        let explained = !candidates.is_empty();
        let lost = found.0.iter().any(|(entry, view)| entry.count > 0 && view.is_none());
        // What was sent tells nothing of when: its machine need not have loaded what others made. If nobody fetches, nothing else does.
        let telling = found.those(|entry| !entry.sent || !self.fetches);
        let forgotten = lost || self.forgotten && !is_newer(&has, telling);
        let only = match candidates.as_slice() {
            [(entry, _)] if entry.count != MANY && !forgotten => Some(entry.view),
            _ => None,
        };
        let lapsed = self.lapsed && candidates.iter().any(|(entry, _)| entry.count == MANY);
        let views = if explained { candidates } else { found.of(alive) };
        let views = views.into_iter().map(|(_, view)| view.clone()).collect();
        let only_sends = self.unseen && !self.fetches;
        let sent_last = found.0.last().filter(|_| only_sends).and_then(|(_, view)| view.clone());
        Parents { views, explained, forgotten, lapsed, only, sent_last }
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

    /// Which of them have each of the items that a save shows.
    fn has_shown(&self, mut shown: Vec<(KeyId, Look)>, program: Program) -> Vec<u32> {
        shown.sort_unstable_by_key(|(id, _)| *id);
        let mut has = vec![0; shown.len()];
        for (at, (_, view)) in self.0.iter().enumerate() {
            view.iter().for_each(|view| view.marks(&shown, program, |item| has[item] |= 1 << at));
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
        copies.parents(find, shown(items), Program::Other)
    }

    fn save(copies: &mut Copies, items: &[u8]) {
        let parents = parents(copies, items);
        copies.saved(&parents, name(items));
    }

    #[test]
    fn what_is_known_of_a_client_is_read_as_it_was_written_and_not_if_it_is_broken() {
        let entry = |n, count, sent| Entry { view: [n; 16], count, sent };
        let entries = vec![entry(1, 0, true), entry(2, 1, false), entry(3, 1, true)];
        let copies = Copies { entries, forgotten: true, unseen: false, fetches: true, lapsed: false };
        let bytes = copies.encode(b"a");
        assert_eq!(Copies::decode(b"a", &bytes), Some(copies));
        assert_eq!(Copies::decode(b"b", &bytes), None);
        for len in 0..bytes.len() {
            assert_eq!(Copies::decode(b"a", &bytes[..len]), None);
        }
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
        assert!(!parents(&copies, &[9]).explained, "it shows nothing of any");
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
    fn copies_that_nobody_has_are_dropped_before_others() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1]), true);
        for n in 2..=MOST as u8 + 4 {
            save(&mut copies, &(1..=n).collect::<Vec<_>>());
        }
        assert!(!copies.forgotten && copies.entries.len() == MOST);
    }

    #[test]
    fn after_a_start_there_may_be_any_number_of_copies() {
        let mut earlier = Copies::default();
        earlier.fetched(name(&[1, 2]), true);
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2, 3]), true);
        copies.after(earlier);
        assert_eq!(copies.entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [MANY, 1]);
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
    fn what_was_fetched_and_is_sent_again_counts_as_fetched() {
        let mut earlier = Copies::default();
        earlier.fetched(name(&[1]), true);
        let mut copies = Copies::default();
        copies.guarded(false, name(&[1]));
        assert!(copies.entries[0].sent);
        copies.after(earlier);
        assert!(!copies.entries[0].sent);
    }

    #[test]
    fn a_lost_view_leaves_doubt() {
        let mut copies = Copies::default();
        copies.fetched(name(&[1, 2]), true);
        assert!(!copies.parents(|_| None, shown(&[1]), Program::Other).are_known());
    }
}
