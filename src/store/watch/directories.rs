//! The directories that are watched, home by home, and what the kernel was asked for.

use std::collections::{HashMap, HashSet};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::store::disk::{Directory, EntryKind, Identity};
use crate::store::place::{Home, Name};
use crate::store::tree::{Tree, USERS, is_folder};

/// What is watched, as the worker and the events know it.
#[derive(Debug, Default)]
pub struct Directories {
    /// By path, as the events name them. Guards the map only, never held while the kernel or the watcher is asked.
    by_path: Mutex<HashMap<PathBuf, Watched>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watched {
    /// A name may lead to another directory by now. Nothing if its watch may be gone, or was refused.
    identity: Option<Identity>,
    calendar: bool,
}

/// Why a home is not watched.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no inotify watch is left (fs.inotify.max_user_watches)")]
    Limit,
    #[error("on {0}, inotify does not see what other machines do")]
    Blind(&'static str),
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Directories {
    /// Whether a directory has this path that is watched, or will be once we may look into it.
    pub fn has(&self, path: &FsPath) -> bool {
        self.by_path.lock().contains_key(path)
    }

    /// Whether the directory was a calendar when it was looked at last.
    pub fn is_calendar(&self, path: &FsPath) -> bool {
        self.by_path.lock().get(path).is_some_and(|watched| watched.calendar)
    }

    /// Takes a directory and all below it for not watched; says whether it was.
    pub fn forget(&self, path: &FsPath) -> bool {
        let mut by_path = self.by_path.lock();
        let known = by_path.contains_key(path);
        if known {
            by_path.retain(|watched, _| !watched.starts_with(path));
        }
        known
    }

    /// Takes no watch for granted any more: that a directory went may have been among the events that were lost, and the one
    /// that is there now may have its number.
    pub fn doubt(&self) {
        self.by_path.lock().values_mut().for_each(|watched| watched.identity = None);
    }

    /// Awaits the word of its parent's watch that a directory which we may not look into has changed.
    fn await_access(&self, path: &FsPath) {
        self.by_path.lock().insert(path.to_path_buf(), Watched { identity: None, calendar: false });
    }

    fn set_calendar(&self, path: &FsPath, calendar: bool) {
        if let Some(watched) = self.by_path.lock().get_mut(path) {
            watched.calendar = calendar;
        }
    }

    fn below(&self, path: &FsPath) -> Vec<PathBuf> {
        self.by_path.lock().keys().filter(|watched| watched.starts_with(path)).cloned().collect()
    }
}

/// The watches, and who may change them.
pub struct Watches {
    pub watcher: RecommendedWatcher,
    /// The data directory, as the kernel names it.
    pub root: PathBuf,
    pub directories: Arc<Directories>,
}

impl Watches {
    /// Watches what is above the homes: where homes come and go, and the rights that hold for all.
    pub fn watch_top(&mut self, tree: &Tree) -> Result<(), Refusal> {
        let root = tree.root.existing("")?;
        if !self.watch(FsPath::new(""), &root)? {
            return Err(Refusal::Failed(Error::io(&self.root, rustix::io::Errno::NOENT)));
        }
        if let Some(users) = root.directory(USERS)? {
            self.watch(FsPath::new(USERS), &users)?;
        }
        Ok(())
    }

    /// Watches each directory of a home that an address can reach, as they are now. Those that are watched already stay
    /// so. Those below the home that we may not look into are left out: what is there nobody can be served.
    pub fn watch_home(&mut self, tree: &Tree, home: &Home) -> Result<(), Refusal> {
        let top = tree.home_on_disk(home);
        let mut found = HashSet::new();
        let mut left = vec![top.clone()];
        while let Some(at) = left.pop() {
            let path = self.root.join(&at);
            match self.watch_one(tree, &at, at == top) {
                // What is gone by now, its parent's watch tells.
                Ok(None) => continue,
                Ok(Some(below)) => left.extend(below.iter().map(|name| at.join(name))),
                Err(Refusal::Failed(error)) if at != top && error.is_refused() => {
                    self.directories.await_access(&path);
                }
                Err(refusal) => return Err(refusal),
            }
            found.insert(path);
        }
        let stale = self.directories.below(&self.root.join(&top));
        stale.iter().filter(|path| !found.contains(*path)).for_each(|path| self.unwatch(path));
        Ok(())
    }

    /// Watches one directory of a home; gives those in it, if it is a folder, or nothing if it is gone. It is watched before it is
    /// listed, so that nothing is made in it unnoticed.
    fn watch_one(&mut self, tree: &Tree, at: &FsPath, is_top: bool) -> Result<Option<Vec<String>>, Refusal> {
        let Some(directory) = tree.root.directory(at)? else { return Ok(None) };
        if !self.watch(at, &directory)? {
            return Ok(None);
        }
        let calendar = !is_top && !is_folder(&directory)?;
        self.directories.set_calendar(&self.root.join(at), calendar);
        Ok(Some(if calendar { Vec::new() } else { visible_directories(&directory)? }))
    }

    pub fn unwatch_home(&mut self, tree: &Tree, home: &Home) {
        let top = self.root.join(tree.home_on_disk(home));
        self.directories.below(&top).iter().for_each(|path| self.unwatch(path));
    }

    /// Whether the directory is there still and watched now.
    fn watch(&mut self, below: &FsPath, directory: &Directory) -> Result<bool, Refusal> {
        if let Some(name) = directory.remote()? {
            return Err(Refusal::Blind(name));
        }
        let path = self.root.join(below);
        let identity = Some(directory.identity()?);
        // Before it is watched: an event that it went must find it here.
        let before =
            self.directories.by_path.lock().insert(path.clone(), Watched { identity, calendar: false });
        match before {
            Some(before) if before.identity == identity => return Ok(true),
            Some(_) => drop(self.watcher.unwatch(&path)),
            None => {}
        }
        let watched = self.watcher.watch(&path, RecursiveMode::NonRecursive);
        if watched.is_err() {
            self.directories.by_path.lock().remove(&path);
        }
        match watched.map_err(|error| error.kind) {
            Ok(()) => Ok(true),
            Err(ErrorKind::PathNotFound) => Ok(false),
            Err(ErrorKind::MaxFilesWatch) => Err(Refusal::Limit),
            Err(ErrorKind::Io(error)) => Err(Refusal::Failed(Error::io(path, error))),
            Err(other) => Err(Refusal::Failed(Error::io(path, std::io::Error::other(format!("{other:?}"))))),
        }
    }

    fn unwatch(&mut self, path: &FsPath) {
        self.directories.by_path.lock().remove(path);
        // It may be gone, and its watch with it.
        drop(self.watcher.unwatch(path));
    }
}

/// The directories in a folder that an address can reach.
fn visible_directories(folder: &Directory) -> Result<Vec<String>> {
    let reached = |name: &str| Name::new(name).is_some_and(|checked| checked.as_str() == name);
    let entries = folder.entries()?.into_iter();
    let directories = entries.filter(|(name, kind)| *kind == EntryKind::Directory && reached(name));
    Ok(directories.map(|(name, _)| name).collect())
}
