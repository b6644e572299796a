//! `views/` of the cache directory: the Views and what is known of clients, each share's in a book of its own (`book`), to
//! which is appended. Bounded in bytes, number of books and age (`pruning`); losing any of it as a rule makes a merge keep
//! more, so nothing is synced. Several processes may use one: who appends and who prunes lock the book.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::book::{self, DAY, ENDING, Index, Record, Walk, seconds};
use super::copies::Copies;
use super::pruning;
use super::view::{View, checksum};
use super::view_names::{Client, Share, ViewName, share};
use crate::store::recent::Recent;

const DIRECTORY: &str = "views";
const MAX_BYTES: u64 = 256 << 20;
/// How much is written before it is looked through again.
const PRUNE_EVERY: u64 = MAX_BYTES / 16;
/// For how long what is in use is not written again.
const FRESH: Duration = Duration::from_secs(7 * DAY);
/// Of how many books it is remembered what is where; at most of six.
const MAX_INDEXES: usize = 2;
/// How far back is looked for what need not be written again, in records.
const LOOK_BACK: usize = 256;

#[derive(Debug)]
pub struct Shelf {
    /// Nothing if it cannot be made.
    directory: Option<PathBuf>,
    /// Whose clients they are: one cache may serve several trees. Views say the same in all of them.
    tree: [u8; 32],
    /// The books that were read last. Guards the map only; a book's own lock is held while it is read.
    indexes: Mutex<Recent<Share, Arc<Mutex<Index>>>>,
    /// How much was written since it was looked through.
    written: AtomicU64,
    /// Whether the log has it that nothing can be written.
    complained: AtomicBool,
}

/// What is to be put into one book at once.
#[derive(Debug)]
pub struct Batch<'a> {
    shelf: &'a Shelf,
    path: Option<PathBuf>,
    book: Option<File>,
    /// How long the book was when it was opened.
    len: u64,
    now: SystemTime,
    /// The newest records of the book; nothing until they are asked for.
    newest: Option<HashMap<ViewName, Record>>,
    bytes: Vec<u8>,
}

impl Shelf {
    /// Opens the shelf in a cache directory, for the tree in `data`.
    pub fn open(cache: &FsPath, data: &FsPath) -> Shelf {
        let directory = cache.join(DIRECTORY);
        let made = std::fs::create_dir_all(&directory).inspect_err(|error| {
            tracing::warn!("{}: bases for merging do not outlive a restart: {error}", directory.display());
        });
        let data = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
        let tree = *blake3::hash(data.as_os_str().as_encoded_bytes()).as_bytes();
        Shelf { directory: made.is_ok().then_some(directory), tree, ..Shelf::none() }
    }

    /// One on which nothing can be put.
    pub fn none() -> Shelf {
        Shelf {
            directory: None,
            tree: [0; 32],
            indexes: Mutex::new(Recent::new(MAX_INDEXES)),
            written: AtomicU64::new(0),
            complained: AtomicBool::new(false),
        }
    }

    pub fn read_view(&self, name: &ViewName) -> Option<View> {
        self.read(name, |bytes| View::decode(name, bytes))
    }

    pub fn read_client(&self, client: &Client) -> Option<Copies> {
        let name = self.name_of(client);
        self.read(&name, |bytes| Copies::decode(&name, bytes))
    }

    fn read<T>(&self, name: &ViewName, decode: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let share = share(name);
        let book = File::open(self.path_of(&share)?).ok()?;
        let index = self.indexes.lock().used(share).clone();
        index.lock().find(&book, name, decode)
    }

    /// Begins what is to be put into the book of a share.
    pub fn batch(&self, share: Share) -> Batch<'_> {
        Batch::new(self, share, SystemTime::now())
    }

    fn path_of(&self, share: &Share) -> Option<PathBuf> {
        let share = u32::from_be_bytes(*share);
        Some(self.directory.as_ref()?.join(format!("{share:08x}.{ENDING}")))
    }

    fn name_of(&self, client: &Client) -> ViewName {
        let mut name = [0; 16];
        name.copy_from_slice(&checksum(&self.tree, &client.0)[..16]);
        let share = share(&client.0);
        name[..share.len()].copy_from_slice(&share);
        name
    }

    /// As [`Shelf::prune`], if much was written since the last time.
    pub fn prune_in_time(&self) {
        if self.written.load(Ordering::Relaxed) > PRUNE_EVERY {
            self.prune();
        }
    }

    /// Removes what is too much or too old.
    pub fn prune(&self) {
        self.written.store(0, Ordering::Relaxed);
        if let Some(directory) = &self.directory {
            pruning::prune(directory, MAX_BYTES, SystemTime::now());
            // What is known of books that are gone is of no use; of the others it is learned again.
            *self.indexes.lock() = Recent::new(MAX_INDEXES);
        }
    }
}

impl Batch<'_> {
    fn new(shelf: &Shelf, share: Share, now: SystemTime) -> Batch<'_> {
        let path = shelf.path_of(&share);
        let open = |path: &PathBuf| File::options().read(true).append(true).open(path).ok();
        let book = path.as_ref().and_then(open);
        let len = book.as_ref().and_then(|book| book.metadata().ok()).map_or(0, |metadata| metadata.len());
        Batch { shelf, path, book, len, now, newest: None, bytes: Vec::new() }
    }

    /// Whether the book has a View that need not be written again. Of what was written long ago that is not known.
    pub fn has(&mut self, name: &ViewName) -> bool {
        let Some(book) = &self.book else { return false };
        let len = self.len;
        let newest = self.newest.get_or_insert_with(|| {
            let mut newest = HashMap::new();
            for record in Walk::new(book, 0, len).take(LOOK_BACK) {
                newest.entry(record.name).or_insert(record);
            }
            newest
        });
        let fresh = seconds(self.now).saturating_sub(FRESH.as_secs());
        let fresh = newest.get(name).filter(|record| record.time >= fresh);
        // A good one takes the place of a broken one.
        fresh.and_then(|record| View::decode(name, &record.content(book)?)).is_some()
    }

    pub fn put_view(&mut self, name: &ViewName, view: &View) {
        self.put(name, &view.encode(name));
    }

    pub fn put_client(&mut self, client: &Client, copies: &Copies) {
        let name = self.shelf.name_of(client);
        self.put(&name, &copies.encode(&name));
    }

    fn put(&mut self, name: &ViewName, content: &[u8]) {
        let time = seconds(self.now);
        if self.len == 0 && self.bytes.is_empty() {
            self.bytes.extend(book::head(time));
        }
        book::put(&mut self.bytes, name, time, content);
    }

    /// Appends it all, in one write: so what another process appends does not come between.
    pub fn write(self) {
        let Some(path) = self.path.as_ref().filter(|_| !self.bytes.is_empty()) else { return };
        self.shelf.written.fetch_add(self.bytes.len() as u64, Ordering::Relaxed);
        if let Err(error) = self.append(path)
            && !self.shelf.complained.swap(true, Ordering::Relaxed)
        {
            let book = path.display();
            tracing::warn!("{book}: {error}; bases for merging do not outlive a restart (said once)");
        }
    }

    fn append(&self, path: &FsPath) -> std::io::Result<()> {
        if let Some(mut book) = self.book.as_ref()
            && book::lock(book)?
        {
            return book.write_all(&self.bytes);
        }
        // Somebody may have deleted the whole cache.
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        loop {
            let mut book = File::options().append(true).create(true).open(path)?;
            if book::lock(&book)? {
                return book.write_all(&self.bytes);
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::store::views::view::Known;

    pub fn days(days: u64) -> SystemTime {
        // Files get the time of the day: what is tried is of later days.
        SystemTime::now() + Duration::from_secs(days * DAY)
    }

    pub fn shelf(cache: &tempfile::TempDir) -> Shelf {
        Shelf::open(cache.path(), cache.path())
    }

    pub fn directory(cache: &tempfile::TempDir) -> PathBuf {
        cache.path().join(DIRECTORY)
    }

    pub fn path_of(shelf: &Shelf, share: u8) -> PathBuf {
        shelf.path_of(&[share; 4]).expect("a path")
    }

    fn name(share: u8, n: u8) -> ViewName {
        let mut name = [n; 16];
        name[..4].fill(share);
        name
    }

    fn view(n: u8) -> View {
        View::new([(
            [n; 16],
            Known { meaning: [n; 16], stamps: [n; 16], kde_stamps: [n; 16], undated: [n; 16], ours: [n; 16] },
        )])
    }

    pub fn put(shelf: &Shelf, share: u8, names: impl IntoIterator<Item = u8>, now: SystemTime) {
        let mut batch = Batch::new(shelf, [share; 4], now);
        names.into_iter().for_each(|n| batch.put_view(&name(share, n), &view(n)));
        batch.write();
    }

    /// Those of the Views that are there, as they were written.
    pub fn there(shelf: &Shelf, share: u8) -> Vec<u8> {
        let is_there = |n: &u8| shelf.read_view(&name(share, *n)).map(|found| assert_eq!(found, view(*n)));
        (0..=255).filter(|n| is_there(n).is_some()).collect()
    }

    #[test]
    fn views_and_clients_outlive_the_shelf_and_are_one_file_for_each_share() {
        let cache = tempfile::tempdir().expect("a directory");
        let shelf = shelf(&cache);
        let client = Client(name(1, 9));
        assert!(shelf.read_view(&name(1, 1)).is_none() && shelf.read_client(&client).is_none());
        put(&shelf, 1, [1, 2], days(0));
        put(&shelf, 2, [3], days(0));
        let mut batch = shelf.batch([1; 4]);
        let mut copies = Copies::default();
        copies.fetched(name(1, 1), true);
        batch.put_client(&client, &copies);
        batch.write();
        let again = self::shelf(&cache);
        assert_eq!((there(&again, 1), there(&again, 2)), (vec![1, 2], vec![3]));
        assert!(again.read_client(&client).is_some_and(|found| found.is_written_as(&copies)));
        let other_tree = Shelf::open(cache.path(), FsPath::new("/elsewhere"));
        assert_eq!(other_tree.read_client(&client), None);
        assert_eq!(std::fs::read_dir(directory(&cache)).expect("views").count(), 2);
    }

    #[test]
    fn what_is_there_need_not_be_written_again_for_a_week_if_it_is_whole() {
        let cache = tempfile::tempdir().expect("a directory");
        let shelf = shelf(&cache);
        assert!(!shelf.batch([1; 4]).has(&name(1, 1)));
        put(&shelf, 1, [1, 2], days(0));
        assert!(shelf.batch([1; 4]).has(&name(1, 1)) && !shelf.batch([1; 4]).has(&name(1, 3)));
        assert!(Batch::new(&shelf, [1; 4], days(6)).has(&name(1, 1)));
        assert!(!Batch::new(&shelf, [1; 4], days(8)).has(&name(1, 1)));
        let path = path_of(&shelf, 1);
        let mut bytes = std::fs::read(&path).expect("a book");
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).expect("write");
        assert!(!shelf.batch([1; 4]).has(&name(1, 1)) && shelf.batch([1; 4]).has(&name(1, 2)));
        assert_eq!(there(&shelf, 1), [2]);
        put(&shelf, 1, [1], days(0));
        assert_eq!(there(&shelf, 1), [1, 2]);
    }

    #[test]
    fn whoever_deletes_the_cache_loses_what_was_in_it_and_nothing_more() {
        let cache = tempfile::tempdir().expect("a directory");
        let shelf = shelf(&cache);
        put(&shelf, 1, [1, 2], days(0));
        assert_eq!(there(&shelf, 1), [1, 2]);
        std::fs::remove_dir_all(directory(&cache)).expect("remove");
        assert!(there(&shelf, 1).is_empty());
        put(&shelf, 1, [3], days(0));
        assert_eq!(there(&shelf, 1), [3]);
    }
}
