//! One file of a calendar: as it was read last, and how it is looked at again. Which files there are is `listing`'s business,
//! what they come to together is `calendar`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::last_good::LastGood;
use super::worked::OfItem;
use crate::error::{Error, Result};
use crate::ical::cut::cut;
use crate::ical::item::{Item, derived_uid};
use crate::ical::scan::Class;
use crate::store::disk::Directory;
use crate::store::disk::content::{ContentHash, State, content_hash};
use crate::store::disk::stamp::Stamp;

/// The files of a calendar by name.
pub type Files = BTreeMap<Arc<str>, Arc<File>>;

/// An item, as it is served, and the file it comes from.
#[derive(Debug)]
pub struct Stored {
    pub item: Arc<Item>,
    pub file: Arc<str>,
    pub(in crate::store) modified: SystemTime,
    /// The busy times that it makes.
    pub busy: OfItem,
}

/// How much of an item somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Whole,
    /// A bare "Busy" block in its place.
    Masked,
    Hidden,
}

/// One file as it was read.
#[derive(Debug)]
pub struct File {
    /// Nothing if we wrote it and have not looked since.
    pub stamp: Option<Stamp>,
    /// Whether the stamp alone tells that the file is still the same.
    pub settled: bool,
    /// Nothing if it cannot be read.
    hash: Option<ContentHash>,
    /// What is served of it; of a file that does not parse, what was good last.
    pub items: Vec<Arc<Stored>>,
    /// Whether that is not what the file says now: then only this memory has it, or the cache.
    pub broken: bool,
}

impl Stored {
    fn new(item: Arc<Item>, file: &Arc<str>, modified: SystemTime) -> Stored {
        Stored { item, file: file.clone(), modified, busy: OfItem::default() }
    }

    /// How much of it is seen by whoever sees all of its calendar, or not: see [`super::Contents::is_masked_for`].
    pub fn seen(&self, masked: bool) -> Seen {
        match self.item.class {
            Class::Private if masked => Seen::Hidden,
            Class::Confidential if masked => Seen::Masked,
            Class::Private | Class::Confidential | Class::Public => Seen::Whole,
        }
    }
}

impl File {
    /// A file of one item that a commit of ours has made.
    pub fn written(name: &Arc<str>, item: Arc<Item>, hash: ContentHash, modified: SystemTime) -> File {
        let items = vec![Arc::new(Stored::new(Item::served(item), name, modified))];
        File { stamp: None, settled: false, hash: Some(hash), items, broken: false }
    }

    pub fn state(&self) -> State {
        self.hash.map_or(State::Unreadable, State::Bytes)
    }

    /// Whether it cannot be read, and nobody knows what was in it.
    pub fn is_unknown(&self) -> bool {
        self.hash.is_none() && self.items.is_empty()
    }

    pub fn has_same_items(&self, other: &File) -> bool {
        self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// A file that is being looked at.
pub struct Looked<'a> {
    pub name: &'a Arc<str>,
    pub before: Option<&'a Arc<File>>,
    pub last_good: &'a LastGood,
}

impl Looked<'_> {
    /// The file as it is now, or nothing if it is gone.
    pub fn sweep(&self, directory: &Directory) -> Result<Option<Arc<File>>> {
        let Some(stamp) = directory.stamp(self.name)? else { return Ok(None) };
        if let Some(before) = self.before.filter(|before| before.settled && before.stamp == Some(stamp)) {
            return Ok(Some(before.clone()));
        }
        let read_at = SystemTime::now();
        let file = match directory.read(self.name) {
            Ok(Some((content, stamp))) => {
                let hash = content_hash(&content);
                let (items, broken) = self.items(directory, &content, hash, stamp);
                let settled = !directory.is_racy(stamp, read_at);
                File { stamp: Some(stamp), settled, hash: Some(hash), items, broken }
            }
            Ok(None) => return Ok(None),
            // A smaller calendar than there is must not be served: clients would delete what is missing in it.
            Err(error) if error.is_passing() && self.before.is_none() => return Err(error),
            Err(error @ Error::Io { .. }) => {
                tracing::warn!("cannot be read: {error}");
                let settled = !error.is_passing();
                let items = self.kept(directory, stamp);
                File { stamp: Some(stamp), settled, hash: None, items, broken: true }
            }
            Err(error) => return Err(error),
        };
        Ok(Some(Arc::new(file)))
    }

    /// What is served of the file, which was read just now, and whether that is something older.
    fn items(
        &self,
        directory: &Directory,
        content: &[u8],
        hash: ContentHash,
        stamp: Stamp,
    ) -> (Vec<Arc<Stored>>, bool) {
        let same_time = |before: &File| before.stamp.is_none_or(|known| known.modified() == stamp.modified());
        if let Some(before) = self.before.filter(|before| before.hash == Some(hash) && same_time(before)) {
            if !before.broken {
                // A save of ours may have mended it.
                self.last_good.forget(directory, self.name);
            }
            return (before.items.clone(), before.broken);
        }
        match cut(content) {
            Ok(cut) => {
                self.last_good.forget(directory, self.name);
                (stored(cut.items, self.name, stamp.modified()), false)
            }
            Err(error) => {
                let path = directory.path().join(&**self.name);
                tracing::warn!(
                    "{}: {error}; its last good version is served, if there is one",
                    path.display()
                );
                (self.kept(directory, stamp), true)
            }
        }
    }

    /// What was good of the file before it broke: from memory, else from the cache.
    fn kept(&self, directory: &Directory, stamp: Stamp) -> Vec<Arc<Stored>> {
        if let Some(before) = self.before {
            let served = before.items.iter().map(|stored| &*stored.item);
            self.last_good.keep(directory, self.name, served);
            return before.items.clone();
        }
        let cached = self.last_good.recall(directory, self.name).and_then(|content| cut(&content).ok());
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
