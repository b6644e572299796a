//! One calendar directory as it was last read: its files with their stamps, and the items that are served from them.

pub mod beside;
pub mod file;
pub mod gist;
pub mod held;
pub mod last_good;
pub mod listing;
pub mod marks;
pub mod props;
pub mod served;
pub mod slot;
pub mod slots;
pub mod snapshot;
pub mod worked;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use crate::acl::Role;
use crate::error::Result;
use crate::ical::item::{Item, Key};
use crate::ical::scan::Class;
use crate::store::disk::content::{ContentHash, State};
use crate::store::disk::stamp::Stamp;
use crate::store::disk::{Directory, Identity};
use file::{File, Files, Looked, Stored};
use gist::{Digest, Gist, digest};
use last_good::LastGood;
use listing::{Read, Shape, a_moment, is_item, look_again, read};
use props::{Props, Stamps};
use served::{doubles, has_same_items, same_items, serve};

/// How much memory an item takes beside its text, in bytes: what the allocator gives for its many small parts, measured.
pub const BESIDE_THE_TEXT: usize = 1_200;

/// What a calendar holds; the same `Arc` for as long as nothing changes.
#[derive(Debug)]
pub struct Contents {
    /// In the order of file names. One for each key.
    pub items: Arc<[Arc<Stored>]>,
    /// What of it is kept when the texts are dropped.
    pub gist: Arc<Gist>,
    pub read_only: bool,
    /// Whether any item is not for everybody who may read the calendar.
    pub has_classes: bool,
    /// About how much memory the items take.
    pub bytes: usize,
}

/// A calendar's contents and what they were read from.
#[derive(Debug, Clone)]
pub struct Calendar {
    pub contents: Arc<Contents>,
    files: Arc<Files>,
    /// Names that a file of ours cannot have, because something else has them.
    blocked: Arc<[String]>,
    /// What tells whether its properties are still the same; nothing if that is to be read.
    stamps: Option<Stamps>,
    /// Where all of it was read; nothing if a commit of ours has made it and nobody has looked since.
    pub directory: Option<Identity>,
}

/// A file before and after a change.
type Swap = (Option<Arc<File>>, Option<Arc<File>>);

/// What a commit did to a file.
#[derive(Debug)]
pub struct Change {
    pub file: Arc<str>,
    /// The item it holds now and the hash of its bytes, or nothing if it is gone.
    pub now: Option<(Arc<Item>, ContentHash)>,
}

impl Contents {
    fn new(items: Arc<[Arc<Stored>]>, gist: Arc<Gist>, read_only: bool) -> Arc<Contents> {
        let of_item = |item: &Item| item.file_len() + BESIDE_THE_TEXT;
        let bytes = items.iter().map(|stored| of_item(&stored.item)).sum();
        let has_classes = items.iter().any(|stored| stored.item.class > Class::Public);
        Arc::new(Contents { items, gist, read_only, has_classes, bytes })
    }
}

impl Calendar {
    /// A calendar that is about to be made.
    pub fn empty(name: &str) -> Calendar {
        Calendar {
            contents: Contents::new(Arc::new([]), Gist::new(Props::bare(name), SystemTime::now()), false),
            files: Arc::new(BTreeMap::new()),
            blocked: Arc::new([]),
            stamps: None,
            directory: None,
        }
    }

    /// Reads what has changed in `directory` since `before`; all of it if there is none.
    ///
    /// A file that does not parse or cannot be read keeps what was good of it before, and so do `known` properties, where
    /// nothing else is known.
    pub fn sweep(
        directory: &Directory,
        shape: Shape<'_>,
        name: &str,
        before: Option<&Calendar>,
        known: Option<&Props>,
        last_good: &LastGood,
    ) -> Result<Calendar> {
        let then = before.map(|before| &before.files);
        let Read { files, blocked, stamp: listed } = read(directory, shape, then, last_good)?;
        let known = before.map(|before| &before.contents.gist.props).or(known);
        let (props, stamps) = shape.props(directory, name, known, before.and_then(|before| before.stamps))?;
        let modified = newest(&files, shape.own_time(listed));
        let (read_only, directory) = (shape != Shape::Directory, Some(directory.identity()?));
        let Some(before) = before.filter(|before| before.contents.read_only == read_only) else {
            let gist = Gist::new(props, modified);
            let contents = Contents::new(serve(&files), gist, read_only);
            return Ok(Calendar { contents, files, blocked, stamps, directory });
        };
        let items = match same_items(&before.files, &files) {
            true => before.contents.items.clone(),
            false => serve(&files),
        };
        let contents = before.contents.with(items, props, modified);
        Ok(Calendar { contents, files, blocked, stamps, directory })
    }

    /// As [`Calendar::sweep`] of a directory in which only files of these names may be different; nothing if others may be
    /// too: those that share a file with one of them.
    pub fn sweep_names(
        &self,
        directory: &Directory,
        names: &BTreeSet<Arc<str>>,
        last_good: &LastGood,
    ) -> Result<Option<Calendar>> {
        let unsettled = self.files.iter().filter(|(_, file)| !file.settled).map(|(name, _)| name);
        let names: BTreeSet<&Arc<str>> = names.iter().chain(unsettled).collect();
        let mut changed = Vec::new();
        for name in names {
            if directory.is_shared(name)? {
                return Ok(None);
            }
            if !is_item(name) {
                continue;
            }
            let before = self.files.get(name);
            let now = Looked { name, before, last_good }.sweep(directory)?;
            // Something that is no file has come or gone.
            if self.blocked.iter().any(|blocked| **blocked == **name)
                || now.is_none() && directory.kind(&**name)?.is_some()
            {
                return Ok(None);
            }
            if before.map(Arc::as_ptr) != now.as_ref().map(Arc::as_ptr) {
                changed.push((name.clone(), now));
            }
        }
        look_again(directory, &mut changed, &self.files, last_good, a_moment)?;
        let listed = Shape::Directory.own_time(directory.own_stamp()?);
        let (files, items) = self.replaced(changed);
        let Gist { props, .. } = &*self.contents.gist;
        let contents = self.contents.with(items, props.clone(), newest(&files, listed));
        Ok(Some(Calendar { contents, files, ..self.clone() }))
    }

    /// The calendar after a commit of ours, which the next sweep will look at again.
    pub fn with(&self, changes: Vec<Change>, modified: SystemTime) -> Calendar {
        let written = |Change { file, now }: Change| {
            let now = now.map(|(item, hash)| Arc::new(File::written(&file, item, hash, modified)));
            (file, now)
        };
        let (files, items) = self.replaced(changes.into_iter().map(written).collect());
        let gist = self.contents.gist.after(self.contents.gist.props.clone(), modified);
        let contents = Contents::new(items, gist, false);
        Calendar { contents, files, ..self.clone() }
    }

    /// The files and what is served of them after some were replaced, made or removed.
    fn replaced(&self, changed: Vec<(Arc<str>, Option<Arc<File>>)>) -> (Arc<Files>, Arc<[Arc<Stored>]>) {
        if changed.is_empty() {
            return (self.files.clone(), self.contents.items.clone());
        }
        let mut files = (*self.files).clone();
        let mut swaps = Vec::new();
        for (name, now) in changed {
            let then = match &now {
                Some(now) => files.insert(name, now.clone()),
                None => files.remove(&name),
            };
            swaps.push((then, now));
        }
        let items = match swaps.iter().all(|(then, now)| has_same_items(then.as_deref(), now.as_deref())) {
            true => self.contents.items.clone(),
            false => self.swapped(&swaps).unwrap_or_else(|| serve(&files)),
        };
        (Arc::new(files), items)
    }

    /// The items after a few of them were replaced under their keys, which is what most changes do; nothing for others.
    fn swapped(&self, swaps: &[Swap]) -> Option<Arc<[Arc<Stored>]>> {
        const FEW: usize = 16;
        // Of one key twice, another one may be the newer now.
        if swaps.len() > FEW || self.has_doubles() {
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

    /// What tells whether the files are still the same when nothing else is kept of them; nothing if that would not do: while
    /// a later change may go unseen, or something is served that the files do not have.
    pub fn digest(&self) -> Option<Digest> {
        let stamp = |file: &File| file.stamp.filter(|_| file.settled && !file.broken);
        let stamps = self.files.iter().map(|(name, file)| Some((&**name, stamp(file)?)));
        digest(stamps)
    }

    /// The calendar as the one that goes on from what was kept: its gist is that one while nothing has changed.
    pub fn going_on(self, gist: &Arc<Gist>, then: &Digest) -> Calendar {
        let Gist { props, modified, .. } = &*self.contents.gist;
        let gist = match gist.is_of(props, *modified) && self.digest().as_ref() == Some(then) {
            true => gist.clone(),
            false => gist.after(props.clone(), *modified),
        };
        let items = self.contents.items.clone();
        Calendar { contents: Contents::new(items, gist, self.contents.read_only), ..self }
    }

    /// Whether the name is taken.
    pub fn has(&self, file: &str) -> bool {
        self.files.contains_key(file) || self.blocked.iter().any(|blocked| blocked == file)
    }

    /// What was found under the name, with its stamp if that tells of every later change.
    pub fn state(&self, file: &str) -> (State, Option<Stamp>) {
        let found = self.files.get(file);
        found.map_or((State::Absent, None), |file| (file.state(), file.stamp.filter(|_| file.settled)))
    }

    /// Whether several files have versions of one item.
    fn has_doubles(&self) -> bool {
        self.files.values().map(|file| file.items.len()).sum::<usize>() != self.contents.items.len()
    }

    /// The files of the versions that another file's version stands before.
    pub fn doubles(&self) -> HashMap<Key, Vec<Arc<str>>> {
        if self.has_doubles() { doubles(&self.files, &self.contents.items) } else { HashMap::new() }
    }

    /// All items of a file, those too that another file's version stands before.
    pub fn items_of(&self, file: &str) -> &[Arc<Stored>] {
        self.files.get(file).map_or(&[], |file| &file.items)
    }
}

impl Contents {
    /// Whether somebody of this role sees less than all; a calendar without CLASS has one view.
    pub fn is_masked_for(&self, role: Role) -> bool {
        role < Role::Master && self.has_classes
    }

    /// The contents with these items and properties: the very same if they are no others.
    fn with(
        self: &Arc<Contents>,
        items: Arc<[Arc<Stored>]>,
        props: Props,
        modified: SystemTime,
    ) -> Arc<Contents> {
        if Arc::ptr_eq(&self.items, &items) && self.gist.is_of(&props, modified) {
            return self.clone();
        }
        Contents::new(items, self.gist.after(props, modified), self.read_only)
    }
}

/// The newest time of the files, and of the directory.
fn newest(files: &Files, directory: SystemTime) -> SystemTime {
    let stamps = files.values().filter_map(|file| file.stamp);
    stamps.map(|stamp| stamp.modified()).fold(directory, SystemTime::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::content::content_hash;

    struct Tree {
        tree: tempfile::TempDir,
        cache: tempfile::TempDir,
        last_good: LastGood,
        calendar: Option<Calendar>,
    }

    impl Tree {
        fn new() -> Tree {
            let [tree, cache] = std::array::from_fn(|_| tempfile::tempdir().expect("a directory"));
            let last_good = LastGood::open(cache.path(), tree.path());
            Tree { tree, cache, last_good, calendar: None }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.tree.path().join(name), text).expect("write");
        }

        /// The UIDs and summaries that are served now.
        fn sweep(&mut self) -> Vec<String> {
            let root = Directory::root(self.tree.path()).expect("open");
            let calendar =
                Calendar::sweep(&root, Shape::Directory, "x", self.calendar.as_ref(), None, &self.last_good)
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
        for by_a_save in [false, true] {
            let mut tree = Tree::new();
            let start_again = |tree: &mut Tree| {
                (tree.calendar, tree.last_good) = (None, LastGood::open(tree.cache.path(), tree.tree.path()));
            };
            for text in [&event("UID:1\r\n", "good", ""), "BEGIN:VCALENDAR\r\nBEGIN:VEV"] {
                tree.write("1.ics", text);
                assert_eq!(tree.sweep(), ["good"]);
            }
            start_again(&mut tree);
            assert_eq!(tree.sweep(), ["good"]);
            assert!(tree.cache.path().join("CACHEDIR.TAG").is_file());
            let better = event("UID:1\r\n", "better", "");
            tree.write("1.ics", &better);
            if by_a_save {
                let item = crate::ical::cut::cut(better.as_bytes()).expect("cut").items.remove(0);
                let now = Some((Arc::new(item), content_hash(better.as_bytes())));
                let saved = vec![Change { file: "1.ics".into(), now }];
                tree.calendar = tree.calendar.map(|before| before.with(saved, SystemTime::now()));
            }
            assert_eq!(tree.sweep(), ["better"]);
            start_again(&mut tree);
            tree.write("1.ics", "");
            assert!(tree.sweep().is_empty());
        }
    }

    #[test]
    fn a_last_good_version_goes_with_its_file() {
        for is_seen in [true, false] {
            let mut tree = Tree::new();
            for text in [&event("UID:1\r\n", "good", ""), "BEGIN:VCALENDAR\r\nBEGIN:VEV"] {
                tree.write("1.ics", text);
                assert_eq!(tree.sweep(), ["good"]);
            }
            std::fs::remove_file(tree.tree.path().join("1.ics")).expect("removed");
            if !is_seen {
                (tree.calendar, tree.last_good) = (None, LastGood::open(tree.cache.path(), tree.tree.path()));
            }
            assert!(tree.sweep().is_empty());
            tree.write("1.ics", "");
            assert!(tree.sweep().is_empty(), "{is_seen}");
        }
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
