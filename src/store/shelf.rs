//! `views/` of the cache directory: the Views and what is known of clients, one small file each with a checksum in it.
//! Bounded in number, bytes and age; losing any of it makes a merge keep more, and nothing else. Where there is too much, the
//! largest share loses its oldest: no user pushes out what others have.

use std::collections::HashMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::copies::{Copies, Entry, MOST};
use super::view::{View, checksum};
use super::view_names::{Client, Share, ViewName, share};

const DIRECTORY: &str = "views";
/// How long a View is of use: a laptop that was put away comes back after a holiday.
const MAX_AGE: Duration = Duration::from_secs(6 * 7 * 24 * 60 * 60);
const MAX_BYTES: u64 = 256 << 20;
const MAX_FILES: usize = 20_000;
/// A file counts as no less: so as many as may be there are as much as may be there.
const LEAST: u64 = MAX_BYTES / MAX_FILES as u64;
/// How much is written before it is looked through again.
const PRUNE_EVERY: u64 = MAX_BYTES / 16;
/// A View of a calendar as large as it may be is smaller.
const MAX_FILE: u64 = 16 << 20;
/// How many digits of a file's name say in whose share it is.
const SHARE: usize = 2 * size_of::<Share>();

const CLIENT_MAGIC: &[u8] = b"kalends client 1\n";
const CLIENT_ROW: usize = 16 + 1;
const ALIVE: u8 = 1;
const SENT: u8 = 2;

#[derive(Debug)]
pub struct Shelf {
    /// Nothing if it cannot be made.
    directory: Option<PathBuf>,
    /// Whose clients they are: one cache may serve several trees. Views say the same in all of them.
    tree: [u8; 32],
    /// How much was written since it was looked through.
    written: AtomicU64,
    /// Whether the log has it that nothing can be written.
    complained: AtomicBool,
}

/// A file that may have to go.
#[derive(Debug)]
struct File {
    /// The start of its name.
    share: String,
    modified: SystemTime,
    len: u64,
    path: PathBuf,
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
            written: AtomicU64::new(0),
            complained: AtomicBool::new(false),
        }
    }

    pub fn read_view(&self, name: &ViewName) -> Option<View> {
        let file = file_of_view(name);
        let view = View::decode(name, &self.read(&file)?);
        if view.is_none()
            && let Some(directory) = &self.directory
        {
            // In its place a good one can be written.
            let _ = std::fs::remove_file(directory.join(file));
        }
        view
    }

    pub fn write_view(&self, name: &ViewName, view: &View) {
        self.write(&file_of_view(name), &view.encode(name));
    }

    /// Makes a View's file as young as one that is written now; false if it is not there.
    pub fn touch_view(&self, name: &ViewName) -> bool {
        let Some(path) = self.directory.as_ref().map(|directory| directory.join(file_of_view(name))) else {
            return false;
        };
        let file = std::fs::File::options().append(true).open(path);
        file.and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    }

    pub fn read_client(&self, client: &Client) -> Option<Copies> {
        let name = self.name_of(client);
        decode(&name, &self.read(&file_of_client(&name))?)
    }

    pub fn write_client(&self, client: &Client, copies: &Copies) {
        let name = self.name_of(client);
        self.write(&file_of_client(&name), &encode(&name, copies));
    }

    fn name_of(&self, client: &Client) -> [u8; 16] {
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

    /// Removes what is too old, and of the largest shares the oldest while there is too much.
    pub fn prune(&self) {
        self.written.store(0, Ordering::Relaxed);
        let Some(Ok(entries)) = self.directory.as_ref().map(std::fs::read_dir) else { return };
        let files = entries.flatten().filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let share = entry.file_name().to_string_lossy().chars().take(SHARE).collect();
            let (modified, len, path) = (metadata.modified().ok()?, metadata.len(), entry.path());
            Some(File { share, modified, len, path })
        });
        for file in outdated(files.collect(), SystemTime::now()) {
            if let Err(error) = std::fs::remove_file(&file.path) {
                tracing::debug!("{}: {error}", file.path.display());
            }
        }
    }

    fn read(&self, file: &str) -> Option<Vec<u8>> {
        let path = self.directory.as_ref()?.join(file);
        let metadata = std::fs::metadata(&path).ok()?;
        if metadata.len() > MAX_FILE {
            return None;
        }
        std::fs::read(path).ok()
    }

    /// Nobody waits for it, and nothing is lost with it: so nothing is synced.
    fn write(&self, file: &str, bytes: &[u8]) {
        let Some(directory) = &self.directory else { return };
        self.written.fetch_add(LEAST.max(bytes.len() as u64), Ordering::Relaxed);
        let staged = directory.join(format!(".{file}"));
        let written =
            std::fs::write(&staged, bytes).and_then(|()| std::fs::rename(&staged, directory.join(file)));
        if let Err(error) = written {
            if !self.complained.swap(true, Ordering::Relaxed) {
                let file = staged.display();
                tracing::warn!("{file}: {error}; bases for merging do not outlive a restart (said once)");
            }
            // What a full disk has left of it.
            let _ = std::fs::remove_file(&staged);
        }
    }
}

/// Those of the files that are too old or too many.
fn outdated(mut files: Vec<File>, now: SystemTime) -> Vec<File> {
    files.sort_by_key(|file| std::cmp::Reverse(file.modified));
    let mut shares: HashMap<String, u64> = HashMap::new();
    // What its share has with it, and nothing older.
    let mut weighed: Vec<(u64, File)> = Vec::with_capacity(files.len());
    for file in files {
        let of_share = shares.entry(file.share.clone()).or_default();
        *of_share += file.len.max(LEAST);
        weighed.push((*of_share, file));
    }
    weighed.sort_by_key(|(of_share, _)| *of_share);
    let mut all = 0;
    let stays = |(_, file): &(u64, File)| {
        let old = now.duration_since(file.modified).is_ok_and(|age| age > MAX_AGE);
        if !old {
            all += file.len.max(LEAST);
        }
        !old && all <= MAX_BYTES
    };
    let (_, goes): (Vec<_>, Vec<_>) = weighed.into_iter().partition(stays);
    goes.into_iter().map(|(_, file)| file).collect()
}

fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file_of_view(name: &ViewName) -> String {
    format!("{}.view", hex(name))
}

fn file_of_client(name: &[u8; 16]) -> String {
    format!("{}.client", hex(name))
}

fn encode(name: &[u8], copies: &Copies) -> Vec<u8> {
    let mut bytes = CLIENT_MAGIC.to_vec();
    bytes.extend([u8::from(copies.forgotten), u8::from(copies.unseen)]);
    for entry in &copies.entries {
        bytes.extend_from_slice(&entry.view);
        bytes.push(if entry.count > 0 { ALIVE } else { 0 } | if entry.sent { SENT } else { 0 });
    }
    let checksum = checksum(name, &bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

fn decode(name: &[u8], bytes: &[u8]) -> Option<Copies> {
    let (bytes, found) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if checksum(name, bytes) != found {
        return None;
    }
    let (flags, rows) = bytes.strip_prefix(CLIENT_MAGIC)?.split_at_checked(2)?;
    let entry = |row: &[u8]| {
        let mut view = ViewName::default();
        view.copy_from_slice(&row[..16]);
        Entry { view, count: u32::from(row[16] & ALIVE), sent: row[16] & SENT != 0 }
    };
    let entries = rows.chunks_exact(CLIENT_ROW).take(MOST).map(entry).collect();
    Some(Copies { entries, forgotten: flags[0] != 0, unseen: flags[1] != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_client_is_read_as_it_was_written_and_not_if_it_is_broken() {
        let entry = |n, count, sent| Entry { view: [n; 16], count, sent };
        let entries = vec![entry(1, 0, true), entry(2, 1, false), entry(3, 1, true)];
        let copies = Copies { entries, forgotten: true, unseen: false };
        let bytes = encode(b"a", &copies);
        assert_eq!(decode(b"a", &bytes), Some(copies));
        assert_eq!(decode(b"b", &bytes), None);
        for len in 0..bytes.len() {
            assert_eq!(decode(b"a", &bytes[..len]), None);
        }
    }

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn file(share: &str, age: u64, len: u64) -> File {
        let modified = NOW - Duration::from_secs(age);
        File { share: share.to_owned(), modified, len, path: PathBuf::new() }
    }

    /// Whose files go, and how old they are.
    fn gone(files: impl IntoIterator<Item = File>) -> Vec<(String, u64)> {
        let age = |file: &File| NOW.duration_since(file.modified).map_or(0, |age| age.as_secs());
        let mut gone: Vec<_> = outdated(files.into_iter().collect(), NOW)
            .into_iter()
            .map(|file| (file.share.clone(), age(&file)))
            .collect();
        gone.sort();
        gone
    }

    #[test]
    fn the_oldest_go_first_and_all_that_are_too_old() {
        let week = 7 * 24 * 60 * 60;
        let of_a = |ages: &[u64]| ages.iter().map(|age| ("a".to_owned(), *age)).collect::<Vec<_>>();
        assert_eq!(gone([]), []);
        assert_eq!(gone([8, 7, 5].map(|weeks| file("a", weeks * week, 1))), of_a(&[7 * week, 8 * week]));
        let large = [(3, MAX_BYTES / 2), (2, MAX_BYTES / 2), (1, 1)];
        assert_eq!(gone(large.map(|(age, len)| file("a", age, len))), of_a(&[3]));
        let most = MAX_BYTES / LEAST;
        assert_eq!(gone((0..most + 2).map(|age| file("a", age, 1))), of_a(&[most, most + 1]));
    }

    #[test]
    fn no_user_pushes_out_what_others_have() {
        let most = MAX_BYTES / LEAST;
        let few = || (0..100).map(|age| file("b", 1000 + age, 1)).chain([file("c", 9000, MAX_BYTES / 4)]);
        let gone = gone(few().chain((0..2 * most).map(|age| file("a", age, 1))));
        assert!(gone.len() as u64 > most && gone.iter().all(|(share, _)| share == "a"), "{gone:?}");
    }

    #[test]
    fn a_view_outlives_the_shelf_and_a_broken_one_is_not_there() {
        let cache = tempfile::tempdir().expect("a directory");
        let name = [7; 16];
        let shelf = Shelf::open(cache.path(), cache.path());
        assert!(shelf.read_view(&name).is_none() && !shelf.touch_view(&name));
        shelf.write_view(&name, &View::new([]));
        let again = Shelf::open(cache.path(), cache.path());
        assert!(again.read_view(&name).is_some() && again.touch_view(&name));
        std::fs::write(cache.path().join("views").join(file_of_view(&name)), "x").expect("write");
        assert!(again.read_view(&name).is_none());
        again.prune();
    }
}
