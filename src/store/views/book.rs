//! A book: the one file in which the cache has what is in one share, record behind record, the newest at the end. Who writes
//! appends, who reads walks back from the end. What a crash or a full disk has torn is passed over, and so is what is
//! broken: it costs no record but itself. What is in a record, and whether that is whole, is the matter of whoever reads it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{SystemTime, UNIX_EPOCH};

use super::view_names::ViewName;
use crate::store::recent::Recent;

/// What the name of a book ends with, behind its share.
pub const ENDING: &str = "views";
/// In seconds.
pub const DAY: u64 = 24 * 60 * 60;
/// The start of a book: a line, and the time of the first record.
const TITLE: &[u8; 16] = b"kalends views 1\n";
const HEAD: usize = TITLE.len() + 8;
/// The end of a record, behind its content: name, time, the content's length, a checksum of these, and a mark that is
/// looked for where something is torn. It is written last, so a record that has it is as long as it says.
const TRAILER: usize = 16 + 8 + 4 + 8 + MARK.len();
const MARK: [u8; 4] = [0x9e, b'K', b'r', 0x01];
/// The View of a calendar as large as it may be is smaller.
const MAX_CONTENT: u64 = 16 << 20;
/// How much is read at once: trailers that lie close together, or one that does not.
const WINDOW: u64 = 16 << 10;
/// How many records of a book can be found, and at most twice that: the newest.
const MAX_KNOWN: usize = 20_000;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub name: ViewName,
    /// When it was written, in seconds since 1970.
    pub time: u64,
    /// From its content to behind its trailer.
    pub start: u64,
    pub end: u64,
}

/// A time as books have it, in seconds since 1970.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a book begins with whose first record was written at `time`.
pub fn head(time: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..TITLE.len()].copy_from_slice(TITLE);
    head[TITLE.len()..].copy_from_slice(&time.to_le_bytes());
    head
}

/// When the first record of a book was written, in seconds since 1970; nothing if that is broken.
pub fn born(book: &File) -> Option<u64> {
    let mut head = [0; HEAD];
    book.read_exact_at(&mut head, 0).ok()?;
    let (title, time) = head.split_last_chunk()?;
    (title == TITLE).then(|| u64::from_le_bytes(*time))
}

/// Waits until nobody else appends to a book or prunes it, for as long as it is open; whether it is still the one that its name
/// leads to, and no other has taken its place.
pub fn lock(book: &File) -> io::Result<bool> {
    // Where there are no locks, one of two at worst loses what it has just written.
    let _ = book.lock();
    Ok(book.metadata()?.nlink() > 0)
}

/// Puts a record at the end of `bytes`; what is too long to be read again is left out.
pub fn put(bytes: &mut Vec<u8>, name: &ViewName, time: u64, content: &[u8]) {
    let Some(len) = u32::try_from(content.len()).ok().filter(|len| u64::from(*len) <= MAX_CONTENT) else {
        return;
    };
    bytes.extend_from_slice(content);
    let start = bytes.len();
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&time.to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    let check = check(&bytes[start..]);
    bytes.extend_from_slice(&check);
    bytes.extend_from_slice(&MARK);
}

fn check(fields: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&blake3::hash(fields).as_bytes()[..8]);
    check
}

impl Record {
    /// The record that ends at `end` with what may be a trailer.
    fn ending(end: u64, trailer: &[u8; TRAILER]) -> Option<Record> {
        let (fields, mark) = trailer.split_last_chunk()?;
        let (fields, found) = fields.split_last_chunk()?;
        if *mark != MARK || check(fields) != *found {
            return None;
        }
        let (name, rest) = fields.split_first_chunk()?;
        let (time, len) = rest.split_first_chunk()?;
        let len = u64::from(u32::from_le_bytes(*len.first_chunk()?));
        let start = end.checked_sub(len + TRAILER as u64).filter(|start| *start >= HEAD as u64)?;
        Some(Record { name: *name, time: u64::from_le_bytes(*time), start, end })
    }

    /// What is in it, if it is still there.
    pub fn content(&self, book: &File) -> Option<Vec<u8>> {
        let len = usize::try_from(self.end - self.start).ok()?;
        let mut bytes = vec![0; len];
        book.read_exact_at(&mut bytes, self.start).ok()?;
        let found = Record::ending(self.end, bytes.last_chunk()?)?;
        bytes.truncate(len - TRAILER);
        (found == *self).then_some(bytes)
    }
}

/// The records of a book, newest first.
#[derive(Debug)]
pub struct Walk<'a> {
    book: &'a File,
    /// Whatever ends before that is left out.
    known: u64,
    /// Where the next one ends, if nothing is torn.
    at: u64,
    /// What was read last, and where it begins.
    window: Vec<u8>,
    start: u64,
}

impl Walk<'_> {
    /// Those that end behind `known` and not behind `len`.
    pub fn new(book: &File, known: u64, len: u64) -> Walk<'_> {
        Walk { book, known, at: len, window: Vec::new(), start: 0 }
    }

    /// What lies before the place where the next one ends, at least as much as a trailer.
    fn before(&mut self) -> Option<&[u8]> {
        if self.at <= self.known || self.at < (HEAD + TRAILER) as u64 {
            return None;
        }
        let read = self.at.checked_sub(self.start).and_then(|len| usize::try_from(len).ok());
        let at_hand = read.filter(|len| (TRAILER..=self.window.len()).contains(len));
        if at_hand.is_none() {
            self.start = self.at.saturating_sub(WINDOW);
            self.window.resize(usize::try_from(self.at - self.start).ok()?, 0);
            self.book.read_exact_at(&mut self.window, self.start).ok()?;
        }
        self.window.get(..at_hand.unwrap_or(self.window.len()))
    }
}

impl Iterator for Walk<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let at = self.at;
            let before = self.before()?;
            if let Some(record) = Record::ending(at, before.last_chunk()?) {
                self.at = record.start;
                return Some(record);
            }
            // To where the one before may end; a mark may also lie across the start of what was read.
            let mark = memchr::memmem::rfind(&before[..before.len() - 1], &MARK);
            let end = mark.map_or(MARK.len() - 1, |at| at + MARK.len());
            self.at = self.start + end as u64;
        }
    }
}

/// Which file a book is. An inode may be another book's the next moment: when it was made, where that is known, tells.
type Which = (u64, u64, Option<SystemTime>);

/// Where to find the newest records of a book by their names.
#[derive(Debug)]
pub struct Index {
    book: Which,
    /// How much of it was looked at.
    known: u64,
    records: Recent<ViewName, Record>,
}

impl Default for Index {
    fn default() -> Index {
        Index { book: (0, 0, None), known: 0, records: Recent::new(MAX_KNOWN) }
    }
}

impl Index {
    /// What `read` makes of the newest record of this name.
    pub fn find<T>(&mut self, book: &File, name: &ViewName, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        self.follow(book).ok()?;
        let content = |record: &Record| record.content(book).and_then(|bytes| read(&bytes));
        let found = content(self.records.get(name)?);
        if found.is_some() {
            return found;
        }
        // It is broken, or all of this is of a file that is gone, whose inode has another book now.
        *self = Index::default();
        self.follow(book).ok()?;
        let found = content(self.records.get(name)?);
        if found.is_none() {
            self.records.remove(name);
        }
        found
    }

    /// Takes in what was appended since, by whomever.
    fn follow(&mut self, book: &File) -> io::Result<()> {
        let metadata = book.metadata()?;
        let id = (metadata.dev(), metadata.ino(), metadata.created().ok());
        if self.book != id || metadata.len() < self.known {
            *self = Index { book: id, ..Index::default() };
        }
        let newest: Vec<Record> = Walk::new(book, self.known, metadata.len()).take(MAX_KNOWN).collect();
        for record in newest.into_iter().rev() {
            drop(self.records.put(record.name, record, 1));
        }
        self.known = metadata.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn name(n: u8) -> ViewName {
        [n; 16]
    }

    /// What is put under a name: of another length for each.
    fn content(n: u8) -> Vec<u8> {
        vec![n; 3 * usize::from(n)]
    }

    fn records(names: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        names.into_iter().for_each(|n| put(&mut bytes, &name(n), n.into(), &content(n)));
        bytes
    }

    fn book(parts: &[&[u8]]) -> File {
        let mut book = tempfile::tempfile().expect("a file");
        book.write_all(&head(1)).expect("write");
        parts.iter().for_each(|part| book.write_all(part).expect("write"));
        book
    }

    /// The names of the records, oldest first, each of which is whole.
    fn found(book: &File) -> Vec<u8> {
        let len = book.metadata().expect("a file").len();
        let whole = |record: Record| {
            let n = record.name[0];
            assert_eq!((record.name, record.time), (name(n), n.into()));
            (record.content(book)? == content(n)).then_some(n)
        };
        let mut found: Vec<u8> = Walk::new(book, 0, len).filter_map(whole).collect();
        found.reverse();
        found
    }

    #[test]
    fn what_is_put_in_is_found_newest_first() {
        assert!(found(&book(&[])).is_empty());
        assert_eq!(born(&book(&[])), Some(1));
        assert_eq!(found(&book(&[&records(0..=255)])), (0..=255).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_tail_costs_the_torn_record_alone_and_no_record_behind_it() {
        let torn = records([7]);
        for len in 0..torn.len() {
            assert_eq!(found(&book(&[&records([5, 6]), &torn[..len]])), [5, 6], "{len}");
            assert_eq!(
                found(&book(&[&records([5, 6]), &torn[..len], &records([8, 9])])),
                [5, 6, 8, 9],
                "{len}"
            );
        }
    }

    #[test]
    fn a_broken_record_costs_no_other() {
        let whole = records([5, 6, 7]);
        let of_six = records([5]).len()..records([5, 6]).len();
        for at in of_six.clone() {
            for bit in 0..8 {
                let mut broken = whole.clone();
                broken[at] ^= 1 << bit;
                assert_eq!(found(&book(&[&broken])), [5, 7], "{at}");
            }
        }
        // What a crash may leave of blocks that were not on the disk yet.
        for start in of_six.clone() {
            let mut broken = whole.clone();
            broken[start..of_six.end].fill(0);
            assert_eq!(found(&book(&[&broken])), [5, 7], "{start}");
        }
    }

    #[test]
    fn what_is_broken_may_be_longer_than_what_is_read_at_once() {
        for len in (WINDOW - 3..WINDOW + 3).chain([1, 5 * WINDOW]) {
            let mut rubbish = vec![0; usize::try_from(len).expect("a length")];
            assert_eq!(found(&book(&[&records([5, 6]), &rubbish, &records([8])])), [5, 6, 8], "{len}");
            // Nothing but marks.
            let marks = MARK.into_iter().cycle();
            rubbish.iter_mut().zip(marks).for_each(|(byte, mark)| *byte = mark);
            assert_eq!(found(&book(&[&records([5, 6]), &rubbish, &records([8])])), [5, 6, 8], "{len}");
        }
        let large = vec![1; usize::try_from(2 * WINDOW).expect("a length")];
        let mut bytes = records([5]);
        put(&mut bytes, &name(6), 6, &large);
        bytes.extend(records([7]));
        assert_eq!(found(&book(&[&bytes])), [5, 7]);
    }

    #[test]
    fn an_index_has_the_newest_of_a_name_and_follows_what_is_appended() {
        let mut bytes = Vec::new();
        put(&mut bytes, &name(1), 1, b"old");
        put(&mut bytes, &name(1), 2, b"new");
        let mut book = book(&[&bytes]);
        let mut index = Index::default();
        let read = |bytes: &[u8]| Some(bytes.to_vec());
        assert_eq!(index.find(&book, &name(1), read).as_deref(), Some(&b"new"[..]));
        assert_eq!(index.find(&book, &name(2), read), None);
        let appended = records([2]);
        // Half of it first, as who reads beside a write may see it.
        for half in [&appended[..9], &appended[9..]] {
            assert_eq!(index.find(&book, &name(2), read), None);
            book.write_all(half).expect("write");
        }
        assert_eq!(index.find(&book, &name(2), read), Some(content(2)));
        // Another book, which may have the inode of the one before.
        let other = self::book(&[&records([3, 2, 4])]);
        index.book = {
            let metadata = other.metadata().expect("a file");
            (metadata.dev(), metadata.ino(), metadata.created().ok())
        };
        assert_eq!(index.find(&other, &name(2), read), Some(content(2)));
        assert_eq!(index.find(&other, &name(1), read), None);
    }

    #[test]
    fn an_index_is_bounded_and_has_the_newest() {
        let names = |n: u32| {
            let mut name = ViewName::default();
            name[..4].copy_from_slice(&n.to_le_bytes());
            name
        };
        let mut bytes = Vec::new();
        let many = u32::try_from(3 * MAX_KNOWN).expect("a number");
        (0..many).for_each(|n| put(&mut bytes, &names(n), 1, b"x"));
        let (book, mut index) = (book(&[&bytes]), Index::default());
        assert_eq!(index.find(&book, &names(many - 1), |_| Some(())), Some(()));
        let found = (0..many).filter(|n| index.find(&book, &names(*n), |_| Some(())).is_some()).count();
        assert!((MAX_KNOWN..=2 * MAX_KNOWN).contains(&found), "{found}");
    }
}
