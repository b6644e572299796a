//! One calendar directory as it was last read: its files with their stamps, and the items that are served from them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::busy::{OfItem, Worked};
use super::disk::{Directory, EntryKind, Stamp};
use super::last_good::LastGood;
use super::props::Props;
use super::threads::side_by_side;
use crate::error::{Error, Result};
use crate::ical::item::{Item, Key, KeyMap, cut, derived_uid};
use crate::ical::scan::Class;

/// A hash of a file's bytes.
pub type ContentHash = [u8; 32];

/// Where a calendar's items are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'a> {
    /// Each `*.ics` in the directory.
    Directory,
    /// One file of the directory, which is a folder; such a calendar is read-only.
    File(&'a str),
}

/// An item, as it is served, and the file it comes from.
#[derive(Debug)]
pub struct Stored {
    pub item: Arc<Item>,
    pub file: Arc<str>,
    modified: SystemTime,
    /// The busy times that it makes.
    pub busy: OfItem,
}

/// What a calendar holds; the same `Arc` for as long as nothing changes.
#[derive(Debug)]
pub struct Contents {
    /// In the order of file names. One for each key.
    pub items: Arc<[Arc<Stored>]>,
    pub props: Props,
    /// The newest time of the items and the directory.
    pub modified: SystemTime,
    pub read_only: bool,
    /// Whether any item is not for everybody who may read the calendar.
    pub has_classes: bool,
    /// About how much memory the items take.
    pub bytes: usize,
    /// The busy times that its items make together; guards the pointer only.
    pub busy: Mutex<Option<Arc<Worked>>>,
}

/// A calendar's contents and what they were read from.
#[derive(Debug, Clone)]
pub struct Calendar {
    pub contents: Arc<Contents>,
    files: Arc<BTreeMap<Arc<str>, Arc<File>>>,
    /// Names that a file of ours cannot have, because something else has them.
    blocked: Arc<[String]>,
}

/// One file as it was read.
#[derive(Debug)]
struct File {
    /// Nothing if we wrote it and have not looked since.
    stamp: Option<Stamp>,
    /// Whether the stamp alone tells that the file is still the same.
    settled: bool,
    /// Nothing if it cannot be read.
    hash: Option<ContentHash>,
    /// What is served of it; of a file that does not parse, what was good last.
    items: Vec<Arc<Stored>>,
}

/// What is under a name, as a commit finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Absent,
    Bytes(ContentHash),
    /// Too large, not to be opened, or no regular file.
    Unreadable,
}

/// A file before and after a commit.
type Swap = (Option<Arc<File>>, Option<Arc<File>>);

/// What a commit did to a file.
#[derive(Debug)]
pub struct Change {
    pub file: Arc<str>,
    /// The item it holds now and the hash of its bytes, or nothing if it is gone.
    pub now: Option<(Arc<Item>, ContentHash)>,
}

pub fn content_hash(content: &[u8]) -> ContentHash {
    *blake3::hash(content).as_bytes()
}

impl Stored {
    fn new(item: Arc<Item>, file: &Arc<str>, modified: SystemTime) -> Stored {
        Stored { item, file: file.clone(), modified, busy: OfItem::default() }
    }
}

impl Contents {
    fn new(items: Arc<[Arc<Stored>]>, props: Props, modified: SystemTime, read_only: bool) -> Arc<Contents> {
        const BESIDE_THE_TEXT: usize = 400;
        let bytes = items.iter().map(|stored| stored.item.raw.len() + BESIDE_THE_TEXT).sum();
        let has_classes = items.iter().any(|stored| stored.item.class > Class::Public);
        Arc::new(Contents { items, props, modified, read_only, has_classes, bytes, busy: Mutex::default() })
    }
}

impl Calendar {
    /// A calendar that is about to be made.
    pub fn empty(name: &str) -> Calendar {
        Calendar {
            contents: Contents::new(Arc::new([]), Props::bare(name), SystemTime::now(), false),
            files: Arc::new(BTreeMap::new()),
            blocked: Arc::new([]),
        }
    }

    /// Reads what has changed in `directory` since `before`; all of it if there is none.
    ///
    /// A file that does not parse or cannot be read keeps what was good of it before.
    pub fn sweep(
        directory: &Directory,
        shape: Shape<'_>,
        name: &str,
        before: Option<&Calendar>,
        last_good: &LastGood,
    ) -> Result<Calendar> {
        let nothing = BTreeMap::new();
        let known = before.map_or(&nothing, |before| &*before.files);
        let Listing { names, blocked, stamp: listed } = list(directory, shape, known)?;
        let read = side_by_side(&names, |names| {
            let mut read = Vec::with_capacity(names.len());
            // Both are in the order of names.
            let mut known = known_from(known, names).peekable();
            for name in names {
                while known.next_if(|(before, _)| *before < name).is_some() {}
                let before = known.next_if(|(before, _)| *before == name).map(|(_, file)| file);
                if let Some(now) = (Looked { name, before, last_good }).sweep(directory)? {
                    read.push((name.clone(), now));
                }
            }
            Ok(read)
        })?;
        let untouched = read.len() == known.len()
            && read.iter().zip(known.values()).all(|((_, now), then)| Arc::ptr_eq(now, then));
        let files = match before.filter(|_| untouched) {
            Some(before) => before.files.clone(),
            None => Arc::new(read.into_iter().collect()),
        };
        let props = match shape {
            Shape::Directory => Props::read(directory, name)?,
            Shape::File(_) => Props::bare(name),
        };
        let own_time = if shape == Shape::Directory { listed.modified() } else { SystemTime::UNIX_EPOCH };
        let modified = files
            .values()
            .filter_map(|file| file.stamp)
            .map(|stamp| stamp.modified())
            .fold(own_time, SystemTime::max);
        let same_items = before.is_some_and(|before| untouched || same_items(&before.files, &files));
        let contents = match before {
            Some(before)
                if same_items && before.contents.props == props && before.contents.modified == modified =>
            {
                before.contents.clone()
            }
            _ => {
                let same = before.filter(|_| same_items);
                let items = same.map_or_else(|| serve(&files), |before| before.contents.items.clone());
                Contents::new(items, props, modified, shape != Shape::Directory)
            }
        };
        Ok(Calendar { contents, files, blocked })
    }

    /// The calendar after a commit of ours, which the next sweep will look at again.
    pub fn with(&self, changes: Vec<Change>, modified: SystemTime) -> Calendar {
        let mut files = (*self.files).clone();
        let mut swaps = Vec::new();
        for Change { file, now } in changes {
            let now = now.map(|(item, hash)| {
                let item = Arc::new(Stored::new(Item::served(item), &file, modified));
                Arc::new(File { stamp: None, settled: false, hash: Some(hash), items: vec![item] })
            });
            let then = match &now {
                Some(now) => files.insert(file, now.clone()),
                None => files.remove(&file),
            };
            swaps.push((then, now));
        }
        let items = self.swapped(&swaps).unwrap_or_else(|| serve(&files));
        let contents = Contents::new(items, self.contents.props.clone(), modified, false);
        Calendar { contents, files: Arc::new(files), blocked: self.blocked.clone() }
    }

    /// The items after a few of them were replaced under their keys, which is what most commits do; nothing for others.
    fn swapped(&self, swaps: &[Swap]) -> Option<Arc<[Arc<Stored>]>> {
        const FEW: usize = 16;
        if swaps.len() > FEW {
            return None;
        }
        let mut items = self.contents.items.to_vec();
        for (then, now) in swaps {
            let ([then], [now]) = (then.as_ref()?.items.as_slice(), now.as_ref()?.items.as_slice()) else {
                return None;
            };
            let at = items.iter().position(|item| Arc::ptr_eq(item, then))?;
            if then.item.key != now.item.key {
                return None;
            }
            items[at] = now.clone();
        }
        Some(items.into())
    }

    /// Whether the stamps tell of every later change. Not so right after a change, for the clock has a grain.
    pub fn is_settled(&self) -> bool {
        self.files.values().all(|file| file.settled)
    }

    /// Whether the name is taken.
    pub fn has(&self, file: &str) -> bool {
        self.files.contains_key(file) || self.blocked.iter().any(|blocked| blocked == file)
    }

    /// What was found under the name.
    pub fn state(&self, file: &str) -> State {
        match self.files.get(file).map(|file| file.hash) {
            None => State::Absent,
            Some(None) => State::Unreadable,
            Some(Some(hash)) => State::Bytes(hash),
        }
    }

    /// All items of a file, those too that another file's version stands before.
    pub fn items_of(&self, file: &str) -> &[Arc<Stored>] {
        self.files.get(file).map_or(&[], |file| &file.items)
    }
}

/// A directory as it was listed.
struct Listing {
    /// The items' files, and those that are known and were not listed, in order.
    names: Vec<Arc<str>>,
    /// What has an item's name and is no regular file.
    blocked: Arc<[String]>,
    stamp: Stamp,
}

/// Lists the items' files in `directory`.
///
/// A listing beside somebody's renames may miss names: it is made again while the directory changes, and a name that
/// was known is dropped only when its own stat says that it is gone.
fn list(directory: &Directory, shape: Shape<'_>, known: &BTreeMap<Arc<str>, Arc<File>>) -> Result<Listing> {
    if let Shape::File(name) = shape {
        return Ok(Listing {
            names: vec![name.into()],
            blocked: Arc::new([]),
            stamp: directory.own_stamp()?,
        });
    }
    let mut attempts = 3;
    loop {
        let before = directory.own_stamp()?;
        let entries = directory.entries()?;
        let stamp = directory.own_stamp()?;
        attempts -= 1;
        if before != stamp && attempts > 0 {
            continue;
        }
        let named = entries.into_iter().filter(|(name, _)| name.ends_with(".ics") && !name.starts_with('.'));
        let (files, others): (Vec<_>, Vec<_>) = named.partition(|(_, kind)| *kind == EntryKind::File);
        let mut names: Vec<Arc<str>> = files.into_iter().map(|(name, _)| name.into()).collect();
        names.sort_unstable();
        let missed: Vec<_> =
            known.keys().filter(|name| names.binary_search(name).is_err()).cloned().collect();
        names.extend(missed);
        names.sort_unstable();
        return Ok(Listing { names, blocked: others.into_iter().map(|(name, _)| name).collect(), stamp });
    }
}

/// The files of `known` from the first of `names` on.
fn known_from<'k>(
    known: &'k BTreeMap<Arc<str>, Arc<File>>,
    names: &[Arc<str>],
) -> impl Iterator<Item = (&'k Arc<str>, &'k Arc<File>)> {
    let start = names.first().map_or(Bound::Unbounded, |first| Bound::Included(&**first));
    known.range::<str, _>((start, Bound::Unbounded))
}

/// A file that is being looked at.
struct Looked<'a> {
    name: &'a Arc<str>,
    before: Option<&'a Arc<File>>,
    last_good: &'a LastGood,
}

impl Looked<'_> {
    /// The file as it is now, or nothing if it is gone.
    fn sweep(&self, directory: &Directory) -> Result<Option<Arc<File>>> {
        let Some(stamp) = directory.stamp(self.name)? else { return Ok(None) };
        if let Some(before) = self.before.filter(|before| before.settled && before.stamp == Some(stamp)) {
            return Ok(Some(before.clone()));
        }
        let read_at = SystemTime::now();
        let file = match directory.read(self.name) {
            Ok(Some((content, stamp))) => {
                let hash = content_hash(&content);
                let items = self.items(directory, &content, hash, stamp);
                File { stamp: Some(stamp), settled: !stamp.is_racy(read_at), hash: Some(hash), items }
            }
            Ok(None) => return Ok(None),
            // A smaller calendar than there is must not be served: clients would delete what is missing in it.
            Err(error) if error.is_passing() && self.before.is_none() => return Err(error),
            Err(error @ Error::Io { .. }) => {
                tracing::warn!("cannot be read: {error}");
                let settled = !error.is_passing();
                File { stamp: Some(stamp), settled, hash: None, items: self.kept(directory, stamp) }
            }
            Err(error) => return Err(error),
        };
        Ok(Some(Arc::new(file)))
    }

    fn path(&self, directory: &Directory) -> PathBuf {
        directory.path().join(&**self.name)
    }

    /// What is served of the file, which was read just now.
    fn items(
        &self,
        directory: &Directory,
        content: &[u8],
        hash: ContentHash,
        stamp: Stamp,
    ) -> Vec<Arc<Stored>> {
        let same_time = |before: &File| before.stamp.is_none_or(|known| known.modified() == stamp.modified());
        if let Some(before) = self.before.filter(|before| before.hash == Some(hash) && same_time(before)) {
            return before.items.clone();
        }
        match cut(content) {
            Ok(cut) => {
                self.last_good.forget(&self.path(directory));
                stored(cut.items, self.name, stamp.modified())
            }
            Err(error) => {
                let path = self.path(directory);
                tracing::warn!(
                    "{}: {error}; its last good version is served, if there is one",
                    path.display()
                );
                self.kept(directory, stamp)
            }
        }
    }

    /// What was good of the file before it broke: from memory, else from the cache.
    fn kept(&self, directory: &Directory, stamp: Stamp) -> Vec<Arc<Stored>> {
        if let Some(before) = self.before {
            self.last_good.keep(&self.path(directory), &before.items);
            return before.items.clone();
        }
        let cached = self.last_good.recall(&self.path(directory)).and_then(|content| cut(&content).ok());
        cached.map(|cut| stored(cut.items, self.name, stamp.modified())).unwrap_or_default()
    }
}

/// The items of a file as they are served: those without a UID get one from the file's name.
fn stored(items: Vec<Item>, file: &Arc<str>, modified: SystemTime) -> Vec<Arc<Stored>> {
    named(items, file)
        .map(|item| Arc::new(Stored::new(Item::served(Arc::new(item)), file, modified)))
        .collect()
}

/// The items of `file`, each with the UID under which it is served.
pub fn named(items: Vec<Item>, file: &str) -> impl Iterator<Item = Item> {
    items.into_iter().enumerate().map(move |(ordinal, item)| match &*item.key.uid {
        "" => item.with_uid(&derived_uid(file.as_bytes(), ordinal)),
        _ => item,
    })
}

/// Whether the same items come from both; files may have been read again since.
fn same_items(before: &BTreeMap<Arc<str>, Arc<File>>, after: &BTreeMap<Arc<str>, Arc<File>>) -> bool {
    let same = |one: &Arc<File>, other: &Arc<File>| {
        Arc::ptr_eq(one, other)
            || one.items.len() == other.items.len()
                && one.items.iter().zip(&other.items).all(|(one, other)| Arc::ptr_eq(one, other))
    };
    before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|((name, one), (other_name, other))| name == other_name && same(one, other))
}

/// One item for each key: of two, the one with the higher SEQUENCE, then LAST-MODIFIED, then the newer file.
fn serve(files: &BTreeMap<Arc<str>, Arc<File>>) -> Arc<[Arc<Stored>]> {
    let mut items: Vec<Arc<Stored>> = Vec::with_capacity(files.len());
    let mut by_key: KeyMap<&Key, usize> = KeyMap::with_capacity_and_hasher(files.len(), Default::default());
    for stored in files.values().flat_map(|file| &file.items) {
        match by_key.get(&stored.item.key) {
            None => {
                by_key.insert(&stored.item.key, items.len());
                items.push(stored.clone());
            }
            Some(&at) if rank(&items[at]) < rank(stored) => items[at] = stored.clone(),
            Some(_) => {}
        }
    }
    items.into()
}

fn rank(stored: &Stored) -> (u64, u64, SystemTime) {
    precedence(&stored.item, stored.modified)
}

/// Of two items with one key the one where this is greater is served; of equals, the one whose file's name comes first.
pub fn precedence(item: &Item, modified: SystemTime) -> (u64, u64, SystemTime) {
    let age = item.look().age;
    (age.sequence, age.last_modified, modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree {
        tree: tempfile::TempDir,
        cache: tempfile::TempDir,
        last_good: LastGood,
        calendar: Option<Calendar>,
    }

    impl Tree {
        fn new() -> Tree {
            let cache = tempfile::tempdir().expect("a directory");
            let last_good = LastGood::open(cache.path());
            Tree { tree: tempfile::tempdir().expect("a directory"), cache, last_good, calendar: None }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.tree.path().join(name), text).expect("write");
        }

        /// The UIDs and summaries that are served now.
        fn sweep(&mut self) -> Vec<String> {
            let root = Directory::root(self.tree.path()).expect("open");
            let calendar =
                Calendar::sweep(&root, Shape::Directory, "x", self.calendar.as_ref(), &self.last_good)
                    .expect("sweep");
            let seen = calendar.contents.items.iter().map(|stored| summary(&stored.item)).collect();
            self.calendar = Some(calendar);
            seen
        }
    }

    fn summary(item: &Item) -> String {
        let text = String::from_utf8_lossy(&item.raw).into_owned();
        text.lines().find_map(|line| line.strip_prefix("SUMMARY:")).unwrap_or("").to_owned()
    }

    fn event(uid: &str, summary: &str, more: &str) -> String {
        format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{uid}SUMMARY:{summary}\r\n{more}END:VEVENT\r\nEND:VCALENDAR\r\n"
        )
    }

    #[test]
    fn a_change_of_the_same_size_in_the_same_moment_is_seen() {
        let mut tree = Tree::new();
        for summary in ["a", "b", "c", "d"] {
            tree.write("1.ics", &event("UID:1\r\n", summary, ""));
            assert_eq!(tree.sweep(), [summary]);
        }
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_version_and_an_unknown_one_is_not_there() {
        let mut tree = Tree::new();
        tree.write("1.ics", &event("UID:1\r\n", "good", ""));
        tree.write("2.ics", "BEGIN:VCALENDAR\r\n");
        assert_eq!(tree.sweep(), ["good"]);
        tree.write("1.ics", "BEGIN:VCALENDAR\r\nBEGIN:VEV");
        assert_eq!(tree.sweep(), ["good"]);
        tree.write("1.ics", "");
        assert_eq!(tree.sweep(), ["good"]);
        tree.write("1.ics", &event("UID:1\r\n", "better", ""));
        assert_eq!(tree.sweep(), ["better"]);
        std::fs::remove_file(tree.tree.path().join("1.ics")).expect("remove");
        assert!(tree.sweep().is_empty());
    }

    #[test]
    fn a_last_good_version_outlives_the_memory_and_is_dropped_when_it_is_needed_no_more() {
        let mut tree = Tree::new();
        tree.write("1.ics", &event("UID:1\r\n", "good", ""));
        tree.sweep();
        tree.write("1.ics", "BEGIN:VCALENDAR\r\nBEGIN:VEV");
        assert_eq!(tree.sweep(), ["good"]);
        let start_again = |tree: &mut Tree| {
            tree.calendar = None;
            tree.last_good = LastGood::open(tree.cache.path());
        };
        start_again(&mut tree);
        assert_eq!(tree.sweep(), ["good"]);
        assert!(tree.cache.path().join("CACHEDIR.TAG").is_file());
        tree.write("1.ics", &event("UID:1\r\n", "better", ""));
        assert_eq!(tree.sweep(), ["better"]);
        start_again(&mut tree);
        tree.write("1.ics", "");
        assert!(tree.sweep().is_empty());
    }

    #[test]
    fn only_visible_ics_files_are_items() {
        let mut tree = Tree::new();
        for name in [".1.ics", "1.ics~", "1.txt", "displayname"] {
            tree.write(name, &event("UID:1\r\n", name, ""));
        }
        std::fs::create_dir(tree.tree.path().join("dir.ics")).expect("mkdir");
        assert!(tree.sweep().is_empty());
    }

    #[test]
    fn of_one_key_twice_the_newer_version_is_served() {
        let mut tree = Tree::new();
        tree.write("1.ics", &event("UID:1\r\n", "old", "SEQUENCE:1\r\nLAST-MODIFIED:20270101T000000Z\r\n"));
        tree.write("2.ics", &event("UID:1\r\n", "new", "SEQUENCE:2\r\n"));
        tree.write("3.ics", &event("UID:1\r\n", "older", "SEQUENCE:0\r\n"));
        assert_eq!(tree.sweep(), ["new"]);
    }

    #[test]
    fn items_without_a_uid_have_one_that_stays() {
        let mut tree = Tree::new();
        tree.write("1.ics", &event("", "a", ""));
        tree.sweep();
        let uid = |tree: &Tree| {
            tree.calendar.as_ref().map(|calendar| calendar.contents.items[0].item.key.uid.clone())
        };
        let first = uid(&tree);
        tree.write("1.ics", &event("", "b", ""));
        assert_eq!(tree.sweep(), ["b"]);
        assert_eq!(uid(&tree), first);
        assert_eq!(
            std::fs::read_to_string(tree.tree.path().join("1.ics")).expect("read"),
            event("", "b", "")
        );
    }

    #[test]
    fn what_did_not_change_is_the_same_picture() {
        let mut tree = Tree::new();
        tree.write("1.ics", &event("UID:1\r\n", "a", ""));
        tree.sweep();
        let before = tree.calendar.clone().expect("swept").contents;
        tree.sweep();
        assert!(Arc::ptr_eq(&before, &tree.calendar.as_ref().expect("swept").contents));
    }
}
