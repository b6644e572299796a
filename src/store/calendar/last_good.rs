//! The last good versions of files that do not parse any more, in the cache directory: so that they outlive the memory
//! that they were served from. Losing them loses nothing that is in the data directory.

use std::collections::HashSet;
use std::path::{Path as FsPath, PathBuf};

use parking_lot::Mutex;

use crate::ical::item::Item;
use crate::store::disk::Directory;

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

    /// Keeps what was served of the file `name` before it broke.
    pub fn keep<'i>(&self, of: &Directory, name: &str, items: impl Iterator<Item = &'i Item>) {
        let Some(directory) = self.directory.as_ref() else { return };
        let content: Vec<u8> = items.flat_map(Item::to_file).collect();
        if content.is_empty() {
            return;
        }
        let Some(name) = self.place(of).map(|place| place + &half(name.as_bytes())) else { return };
        match write(directory, &name, &content) {
            Ok(()) => drop(self.names.lock().insert(name)),
            Err(error) => tracing::warn!("{}: {error}", directory.join(name).display()),
        }
    }

    /// What was kept of the file `name`: one VCALENDAR for each of its items.
    pub fn recall(&self, of: &Directory, name: &str) -> Option<Vec<u8>> {
        let name = self.known(of, name)?;
        std::fs::read(self.directory.as_ref()?.join(name)).ok()
    }

    /// Drops what was kept of the file `name`, which is good again, or gone.
    pub fn forget(&self, of: &Directory, name: &str) {
        self.known(of, name).iter().for_each(|name| self.remove(name));
    }

    /// Drops what was kept of files that are not among those that are there.
    pub fn forget_others<'f>(&self, of: &Directory, there: impl Iterator<Item = &'f str>) {
        let Some(place) = self.known_place(of) else { return };
        let kept = |name: &&String| name.starts_with(&place);
        let mut gone: HashSet<String> = self.names.lock().iter().filter(kept).cloned().collect();
        if !gone.is_empty() {
            for name in there {
                gone.remove(&(place.clone() + &half(name.as_bytes())));
            }
        }
        gone.iter().for_each(|name| self.remove(name));
    }

    fn remove(&self, name: &str) {
        let Some(directory) = &self.directory else { return };
        // Whoever empties the cache has removed it already.
        let _ = std::fs::remove_file(directory.join(name));
        self.names.lock().remove(name);
    }

    fn known(&self, of: &Directory, name: &str) -> Option<String> {
        let name = self.known_place(of)? + &half(name.as_bytes());
        self.names.lock().contains(&name).then_some(name)
    }

    fn known_place(&self, of: &Directory) -> Option<String> {
        let is_empty = self.names.lock().is_empty();
        if is_empty { None } else { self.place(of) }
    }

    /// What the names of all that is kept of a directory begin with. One cache may serve several trees, and two of them may be
    /// spelled alike; and another directory may have had this one's name, with other rights.
    fn place(&self, of: &Directory) -> Option<String> {
        let below = of.path().strip_prefix(&self.data).unwrap_or(of.path());
        // Not the number of the device, which may be another one after each start.
        let (_, inode) = of.identity().ok()?;
        let path = self.root.join(below);
        Some(half(&[path.as_os_str().as_encoded_bytes(), b"/", &inode.to_le_bytes()].concat()))
    }
}

/// A half of a name in the cache.
fn half(of: &[u8]) -> String {
    blake3::hash(of).to_hex()[..16].to_owned()
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

    fn opened(path: &FsPath) -> Directory {
        Directory::root(path).expect("open")
    }

    #[test]
    fn what_is_kept_is_known_of_its_own_tree_however_that_is_spelled() {
        let [own, other, cache] = std::array::from_fn(|_| tempfile::tempdir().expect("a directory"));
        let spelled = cache.path().join("data");
        let knows =
            |data: &FsPath| LastGood::open(cache.path(), data).recall(&opened(data), "1.ics").is_some();
        symlink(own.path(), &spelled).expect("a link");
        LastGood::open(cache.path(), &spelled).keep(&opened(&spelled), "1.ics", items().iter());
        assert!(knows(&spelled) && knows(own.path()));
        std::fs::remove_file(&spelled).expect("removed");
        symlink(other.path(), &spelled).expect("a link");
        assert!(!knows(&spelled));
    }

    #[test]
    fn what_is_kept_is_of_its_directory_and_not_of_one_that_takes_its_name() {
        let [data, cache] = std::array::from_fn(|_| tempfile::tempdir().expect("a directory"));
        let [one, other] = ["one", "other"].map(|name| data.path().join(name));
        for path in [&one, &other] {
            std::fs::create_dir(path).expect("mkdir");
        }
        let last_good = LastGood::open(cache.path(), data.path());
        last_good.keep(&opened(&one), "1.ics", items().iter());
        assert!(last_good.recall(&opened(&other), "1.ics").is_none());
        std::fs::rename(&one, data.path().join("aside")).expect("moved");
        std::fs::rename(&other, &one).expect("moved");
        assert!(last_good.recall(&opened(&one), "1.ics").is_none());
    }

    #[test]
    fn what_is_good_is_kept_though_somebody_has_removed_the_cache() {
        let [data, cache] = std::array::from_fn(|_| tempfile::tempdir().expect("a directory"));
        let last_good = LastGood::open(cache.path(), data.path());
        std::fs::remove_dir_all(cache.path()).expect("removed");
        last_good.keep(&opened(data.path()), "1.ics", items().iter());
        let kept = LastGood::open(cache.path(), data.path()).recall(&opened(data.path()), "1.ics");
        assert!(kept.is_some() && cache.path().join(TAG.0).is_file());
    }
}
