//! The last good versions of files that do not parse any more, in the cache directory: so that they outlive the memory
//! that they were served from. Losing them loses nothing that is in the data directory.

use std::collections::HashSet;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::calendar::Stored;

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
    /// The names in it, so that the many files that never broke cost nothing. Guards the set only.
    names: Mutex<HashSet<String>>,
}

impl LastGood {
    /// Opens or makes the cache directory. Without one the server serves all the same.
    pub fn open(cache: &FsPath) -> LastGood {
        match LastGood::prepare(cache) {
            Ok(last_good) => last_good,
            Err(error) => {
                tracing::warn!("{}: no cache: {error}", cache.display());
                LastGood::default()
            }
        }
    }

    fn prepare(cache: &FsPath) -> std::io::Result<LastGood> {
        let directory = cache.join(DIRECTORY);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(cache.join(TAG.0), TAG.1)?;
        LastGood::of(directory)
    }

    fn of(directory: PathBuf) -> std::io::Result<LastGood> {
        let names =
            std::fs::read_dir(&directory)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let names = Mutex::new(names.collect());
        Ok(LastGood { directory: Some(directory), names })
    }

    /// What is in a cache directory, if there is one.
    pub fn existing(cache: &FsPath) -> LastGood {
        LastGood::of(cache.join(DIRECTORY)).unwrap_or_default()
    }

    /// Keeps what was served of `file` before it broke.
    pub fn keep(&self, file: &FsPath, items: &[Arc<Stored>]) {
        let Some(directory) = self.directory.as_ref().filter(|_| !items.is_empty()) else { return };
        let name = name(file);
        let content: Vec<u8> = items.iter().flat_map(|stored| stored.item.to_file()).collect();
        let staged = directory.join(format!(".{name}"));
        let written =
            std::fs::write(&staged, content).and_then(|()| std::fs::rename(&staged, directory.join(&name)));
        match written {
            Ok(()) => drop(self.names.lock().insert(name)),
            Err(error) => tracing::warn!("{}: {error}", staged.display()),
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
        Some(name(file)).filter(|name| names.contains(name))
    }
}

fn name(file: &FsPath) -> String {
    blake3::hash(file.as_os_str().as_encoded_bytes()).to_hex()[..32].to_owned()
}
