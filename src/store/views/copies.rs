//! Which copies of a place a client has, by what it fetched and sent. Of which of them a save may be a change is `parents`'. Pure.
//!
//! Clients are told apart by little (`view_names::Client`): all machines of one user with one program look like one.
//! So the copies are counted: a whole fetch makes one more, a save turns the one that it comes from into another.

use super::view::{CHECKSUM, checksum};
use super::view_names::ViewName;

/// How many Views are remembered of one client.
pub const MOST: usize = 8;

/// Any number of copies.
pub const MANY: u32 = u32::MAX;

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

    /// The client has sent what is now `sent`. `parent`: the one copy that it can be a change of, if there is no doubt; `is_known`:
    /// whether it is known what the client had.
    pub fn saved(&mut self, parent: Option<ViewName>, is_known: bool, sent: ViewName) {
        self.unseen |= parent.is_none() && !is_known;
        if let Some(parent) = parent.filter(|_| !self.unseen) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn after_a_start_there_may_be_any_number_of_copies() {
        let mut earlier = Copies::default();
        earlier.fetched([1; 16], true);
        let mut copies = Copies::default();
        copies.fetched([2; 16], true);
        copies.after(earlier);
        assert_eq!(copies.entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [MANY, 1]);
    }

    #[test]
    fn of_any_number_none_is_counted_off() {
        let nothing = [0; 16];
        let mut copies = Copies::default();
        copies.fetched(nothing, true);
        let mut copies = copies.recalled();
        copies.made(nothing, [1; 16]);
        assert_eq!(copies.entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [MANY, 1]);
    }

    #[test]
    fn what_was_fetched_and_is_sent_again_counts_as_fetched() {
        let mut earlier = Copies::default();
        earlier.fetched([1; 16], true);
        let mut copies = Copies::default();
        copies.guarded(false, [1; 16]);
        assert!(copies.entries[0].sent);
        copies.after(earlier);
        assert!(!copies.entries[0].sent);
    }
}
