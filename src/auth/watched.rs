//! Notices that a file of the admin's has changed, and reads it again. A broken edit leaves the last good version in force.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};

use crate::error::{Error, Result};

/// What a look at a file shows. Two edits within one tick of the clock can leave the same times and size (git's "racily clean"), so a
/// look soon after a change proves nothing about the next.
struct Look {
    identity: Option<[i64; 7]>,
    settled: bool,
}

impl Look {
    /// A look at `path`; it is settled when the last change is older than `margin`.
    fn at(path: &Path, margin: Duration) -> Look {
        let Ok(found) = std::fs::metadata(path) else {
            return Look { identity: None, settled: true };
        };
        let changed = SystemTime::UNIX_EPOCH
            + Duration::new(found.ctime().unsigned_abs(), found.ctime_nsec().unsigned_abs() as u32);
        let age = SystemTime::now().duration_since(changed);
        let identity = [
            found.dev().cast_signed(),
            found.ino().cast_signed(),
            found.size().cast_signed(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        ];
        Look { identity: Some(identity), settled: age.is_ok_and(|age| age >= margin) }
    }

    fn proves_unchanged(&self, next: &Look) -> bool {
        self.settled && self.identity == next.identity
    }
}

/// Files that only the system reads: whether one has changed is all there is to know.
pub struct SystemFiles {
    /// Guards the looks, each with the path it was taken at.
    looks: Mutex<Vec<(PathBuf, Look)>>,
}

impl SystemFiles {
    /// The tick of a local file system's times, twice.
    const MARGIN: Duration = Duration::from_millis(20);

    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> SystemFiles {
        let look = |path: PathBuf| {
            let look = Look::at(&path, SystemFiles::MARGIN);
            (path, look)
        };
        SystemFiles { looks: Mutex::new(paths.into_iter().map(look).collect()) }
    }

    /// Whether one of them may have changed since the last look.
    pub fn look(&self) -> bool {
        let mut changed = false;
        for (path, look) in self.looks.lock().iter_mut() {
            let next = Look::at(path, SystemFiles::MARGIN);
            changed |= !look.proves_unchanged(&next);
            *look = next;
        }
        changed
    }
}

/// What is wrong in a file: the line (from 1) and what was expected there.
pub type Fault = (usize, String);

/// A file that is parsed here, in its last good version.
pub struct Watched<T> {
    path: PathBuf,
    parse: fn(&str) -> Result<T, Fault>,
    /// Guards the version in force and the look it was read at.
    version: RwLock<Version<T>>,
}

struct Version<T> {
    value: Arc<T>,
    look: Look,
    /// Of the last text read, good or broken, so that a broken one is logged once.
    text: Option<blake3::Hash>,
}

impl<T> Watched<T> {
    /// The tick of a network file system's times.
    const MARGIN: Duration = Duration::from_secs(2);

    /// # Errors
    /// `Error::Config` with the key that names the file, the file and the line: at the start nothing older could be used.
    pub fn read(key: &str, path: &Path, parse: fn(&str) -> Result<T, Fault>) -> Result<Watched<T>> {
        let look = Look::at(path, Watched::<T>::MARGIN);
        let wrong = |message: String| Error::Config(format!("{key}: {message}"));
        let text = text_of(path).map_err(wrong)?;
        let value = parse(&text).map_err(|fault| wrong(describe(path, &fault)))?;
        let version = Version { value: Arc::new(value), look, text: Some(blake3::hash(text.as_bytes())) };
        Ok(Watched { path: path.to_owned(), parse, version: RwLock::new(version) })
    }

    /// The version in force.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.version.read().value)
    }

    /// Reads the file again if it may have changed. True: another version is in force now.
    pub fn look(&self) -> bool {
        let next = Look::at(&self.path, Watched::<T>::MARGIN);
        if self.version.read().look.proves_unchanged(&next) {
            return false;
        }
        let mut version = self.version.write();
        version.look = next;
        let read = text_of(&self.path);
        // What could not be read may be the same file a moment later: that one is news.
        version.look.settled &= read.is_ok();
        let hash = read.as_ref().ok().map(|text| blake3::hash(text.as_bytes()));
        if version.text == hash {
            return false;
        }
        version.text = hash;
        match read.and_then(|text| (self.parse)(&text).map_err(|fault| describe(&self.path, &fault))) {
            Ok(value) => {
                version.value = Arc::new(value);
                true
            }
            Err(message) => {
                tracing::error!(target: "kalends::auth", "{message}; its last good version stays in force");
                false
            }
        }
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn describe(path: &Path, (line, message): &Fault) -> String {
    format!("{}:{line}: {message}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, Fault> {
        text.trim().parse().map_err(|_| (1, format!("a number, not \"{}\"", text.trim())))
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("number");
        std::fs::write(&path, text).expect("written");
        (directory, path)
    }

    #[test]
    fn an_edit_comes_into_force() {
        let (_directory, path) = file("1");
        let watched = Watched::read("auth.file", &path, number).expect("a number");
        assert!(!watched.look());
        // The same size, and within one tick of the clock: only the content tells.
        std::fs::write(&path, "2").expect("written");
        assert!(watched.look());
        assert_eq!(*watched.current(), 2);
    }

    #[test]
    fn a_broken_edit_leaves_the_last_good_version_in_force() {
        let (_directory, path) = file("1");
        let watched = Watched::read("auth.file", &path, number).expect("a number");
        std::fs::write(&path, "one").expect("written");
        assert!(!watched.look());
        assert_eq!(*watched.current(), 1);
        std::fs::remove_file(&path).expect("removed");
        assert!(!watched.look());
        assert_eq!(*watched.current(), 1);
        std::fs::write(&path, "3").expect("written");
        assert!(watched.look());
        assert_eq!(*watched.current(), 3);
    }

    #[test]
    fn a_look_at_a_file_that_could_not_be_read_proves_nothing() {
        let (_directory, path) = file("1");
        let watched = Watched::read("auth.file", &path, number).expect("a number");
        std::fs::remove_file(&path).expect("removed");
        assert!(!watched.look());
        let next = Look::at(&path, Duration::ZERO);
        assert!(!watched.version.read().look.proves_unchanged(&next));
    }

    #[test]
    fn a_file_that_is_broken_at_the_start_is_an_error_with_its_line() {
        let (_directory, path) = file("one");
        let message = Watched::read("auth.file", &path, number).err().map(|error| error.to_string());
        assert_eq!(message, Some(format!("auth.file: {}:1: a number, not \"one\"", path.display())));
        assert!(Watched::read("auth.file", &path.join("missing"), number).is_err());
    }

    #[test]
    fn a_replaced_system_file_is_noticed_and_a_missing_one_is_no_change() {
        let (directory, path) = file("1");
        let files = SystemFiles::new([path.clone(), directory.path().join("missing")]);
        let other = directory.path().join("other");
        std::fs::write(&other, "1").expect("written");
        std::fs::rename(&other, &path).expect("renamed");
        assert!(files.look());
        let missing = SystemFiles::new([directory.path().join("missing")]);
        assert!(!missing.look());
    }
}
