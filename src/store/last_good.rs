//! The last good versions of files that do not parse any more, in the cache directory: so that they outlive the memory
//! that they were served from. Losing them loses nothing that is in the data directory.

use std::collections::HashSet;
use std::path::{Path as FsPath, PathBuf};

use parking_lot::Mutex;

use crate::ical::item::Item;

/// What makes backup programs pass a directory over (the Cache Directory Tagging Specification).
const TAG: (&str, &str) = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n# Everything here may be deleted at any time.\n",
);

const DIRECTORY: &str = "last-good";

/// The versions that are kept; none where the cache directory cannot be written to.
#[derive(Debug, Default)]
pub struct LastGood {
    directory: Option<PathBuf>,
    /// The data directory as it is spelled, and where it really is.
    data: PathBuf,
    root: PathBuf,
    /// The names in it, so that the many files that never broke cost nothing. Guards the set only.
    names: Mutex<HashSet<String>>,
}

impl LastGood {
    /// Opens or makes the cache directory, for the tree in `data`. Without one the server serves all the same.
    pub fn open(cache: &FsPath, data: &FsPath) -> LastGood {
        match LastGood::prepare(cache, data) {
            Ok(last_good) => last_good,
            Err(error) => {
                tracing::warn!("{}: no cache: {error}", cache.display());
                LastGood::default()
            }
        }
    }

    fn prepare(cache: &FsPath, data: &FsPath) -> std::io::Result<LastGood> {
        make(&cache.join(DIRECTORY))?;
        LastGood::of(cache, data)
    }

    fn of(cache: &FsPath, data: &FsPath) -> std::io::Result<LastGood> {
        let directory = cache.join(DIRECTORY);
        let names =
            std::fs::read_dir(&directory)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let names = Mutex::new(names.collect());
        let root = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
        Ok(LastGood { directory: Some(directory), data: data.to_path_buf(), root, names })
    }

    /// What is in a cache directory, if there is one.
    pub fn existing(cache: &FsPath, data: &FsPath) -> LastGood {
        LastGood::of(cache, data).unwrap_or_default()
    }

    /// Keeps what was served of `file` before it broke.
    pub fn keep<'i>(&self, file: &FsPath, items: impl Iterator<Item = &'i Item>) {
        let Some(directory) = self.directory.as_ref() else { return };
        let content: Vec<u8> = items.flat_map(Item::to_file).collect();
        if content.is_empty() {
            return;
        }
        let name = self.name(file);
        match write(directory, &name, &content) {
            Ok(()) => drop(self.names.lock().insert(name)),
            Err(error) => tracing::warn!("{}: {error}", directory.join(name).display()),
        }
    }

    /// What was kept of `file`: one VCALENDAR for each of its items.
    pub fn recall(&self, file: &FsPath) -> Option<Vec<u8>> {
        let name = self.known(file)?;
        std::fs::read(self.directory.as_ref()?.join(name)).ok()
    }

    /// Drops what was kept of `file`, which is good again.
    pub fn forget(&self, file: &FsPath) {
        if let (Some(name), Some(directory)) = (self.known(file), &self.directory) {
            // Whoever empties the cache has removed it already.
            let _ = std::fs::remove_file(directory.join(&name));
            self.names.lock().remove(&name);
        }
    }

    fn known(&self, file: &FsPath) -> Option<String> {
        let names = self.names.lock();
        if names.is_empty() {
            return None;
        }
        Some(self.name(file)).filter(|name| names.contains(name))
    }

    /// One cache may serve several trees, and two of them may be spelled alike.
    fn name(&self, file: &FsPath) -> String {
        let below = file.strip_prefix(&self.data).unwrap_or(file);
        blake3::hash(self.root.join(below).as_os_str().as_encoded_bytes()).to_hex()[..32].to_owned()
    }
}

/// Makes the directory, and the cache around it.
fn make(directory: &FsPath) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.with_file_name(TAG.0), TAG.1)
}

fn write(directory: &FsPath, name: &str, content: &[u8]) -> std::io::Result<()> {
    // Somebody may have deleted the whole cache.
    if !directory.is_dir() {
        make(directory)?;
    }
    let staged = directory.join(format!(".{name}"));
    std::fs::write(&staged, content)?;
    std::fs::rename(&staged, directory.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ical::cut::cut;

    const ITEM: &[u8] = b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    fn items() -> Vec<Item> {
        cut(ITEM).expect("an item").items
    }

    #[test]
    fn what_is_kept_is_known_of_its_own_tree_however_that_is_spelled() {
        let [own, other, cache] = std::array::from_fn(|_| tempfile::tempdir().expect("a directory"));
        let spelled = cache.path().join("data");
        let knows = |data: &FsPath| LastGood::open(cache.path(), data).recall(&data.join("1.ics")).is_some();
        symlink(own.path(), &spelled).expect("a link");
        LastGood::open(cache.path(), &spelled).keep(&spelled.join("1.ics"), items().iter());
        assert!(knows(&spelled) && knows(own.path()));
        std::fs::remove_file(&spelled).expect("removed");
        symlink(other.path(), &spelled).expect("a link");
        assert!(!knows(&spelled));
    }

    #[test]
    fn what_is_good_is_kept_though_somebody_has_removed_the_cache() {
        let [data, cache] = std::array::from_fn(|_| tempfile::tempdir().expect("a directory"));
        let file = data.path().join("1.ics");
        let last_good = LastGood::open(cache.path(), data.path());
        std::fs::remove_dir_all(cache.path()).expect("removed");
        last_good.keep(&file, items().iter());
        assert!(LastGood::open(cache.path(), data.path()).recall(&file).is_some());
        assert!(cache.path().join(TAG.0).is_file());
    }
}
