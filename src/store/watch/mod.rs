//! Watching the homes that have loaded calendars: what changes on disk is read again soon, and what is watched and did not
//! change needs no look at the disk to be served. For speed only: where nobody watches, requests compare by themselves.

mod directories;
mod events;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use notify::{Config, RecommendedWatcher, Watcher};

use super::Store;
use super::calendar::marks::Pending;
use super::place::{Home, Path};
use crate::error::{Error, Result};
use directories::{Directories, Refusal, Watches};
use events::Marker;

/// The one that looks at what was marked.
struct Worker {
    store: Arc<Store>,
    watches: Watches,
    watched: HashSet<Home>,
    /// Those that cannot be watched, each with whether another home's watches would do.
    refused: HashMap<Home, bool>,
    /// Whether the log has it that watches ran out.
    said_limit: bool,
}

impl Store {
    /// Watches from now on, in a thread of its own.
    ///
    /// # Errors
    /// `Io` if the kernel gives no inotify instance, or the data directory cannot be watched: then everything works without.
    pub fn watch(self: &Arc<Store>) -> Result<()> {
        let worker = self.worker()?;
        let started = std::thread::Builder::new().name("watch".to_owned()).spawn(move || worker.run());
        started.map(drop).map_err(|error| Error::io(self.tree.root.path(), error))
    }

    fn worker(self: &Arc<Store>) -> Result<Worker> {
        let data = self.tree.root.path();
        let root = data.canonicalize().map_err(|error| Error::io(data, error))?;
        let directories = Arc::new(Directories::default());
        let marker = Marker {
            root: root.clone(),
            public_root: self.tree.public_root().to_owned(),
            slots: self.slots.clone(),
            directories: directories.clone(),
        };
        let refused = |reason: String| Error::io(data, std::io::Error::other(reason));
        let watcher = RecommendedWatcher::new(marker, Config::default().with_follow_symlinks(false))
            .map_err(|error| refused(error.to_string()))?;
        let mut watches = Watches { watcher, root, directories };
        watches.watch_top(&self.tree).map_err(|refusal| refused(refusal.to_string()))?;
        self.slots.marks.activate();
        let store = self.clone();
        Ok(Worker { store, watches, watched: HashSet::new(), refused: HashMap::new(), said_limit: false })
    }
}

impl Worker {
    fn run(mut self) {
        loop {
            let pending = self.store.slots.marks.take();
            self.work(pending);
        }
    }

    fn work(&mut self, mut pending: Pending) {
        if pending.everything {
            pending.homes.extend(self.watched.iter().cloned());
            if let Err(refusal) = self.watches.watch_top(&self.store.tree) {
                tracing::warn!("watching: {refusal}");
                return self.give_up();
            }
        }
        pending.homes.retain(|home| self.watched.contains(home));
        pending.homes.iter().for_each(|home| {
            self.watch(home);
        });
        if pending.moved || pending.everything {
            pending.homes.extend(self.follow_slots());
        }
        let mut calendars = pending.calendars;
        for path in self.store.slots.paths() {
            if pending.homes.contains(&path.home) {
                calendars.insert(path, 1);
            }
        }
        for (path, repeats) in calendars.iter().filter(|(path, _)| self.watched.contains(&path.home)) {
            self.compare(path, *repeats);
        }
    }

    /// Watches the homes that have loaded calendars and no others; gives those that are new.
    fn follow_slots(&mut self) -> Vec<Home> {
        let loaded: HashSet<Home> = self.store.slots.paths().into_iter().map(|path| path.home).collect();
        let left: Vec<Home> = self.watched.difference(&loaded).cloned().collect();
        for home in &left {
            self.unwatch(home);
        }
        self.refused.retain(|home, for_want_of_watches| {
            loaded.contains(home) && (left.is_empty() || !*for_want_of_watches)
        });
        let mut new: Vec<Home> = loaded.difference(&self.watched).cloned().collect();
        new.retain(|home| !self.refused.contains_key(home) && self.watch(home));
        new
    }

    /// Watches all of a home, or nothing of it; says which.
    fn watch(&mut self, home: &Home) -> bool {
        match self.watches.watch_home(&self.store.tree, home) {
            Ok(()) => {
                self.watched.insert(home.clone());
                // What was read before its directories were watched may have missed something.
                self.store.slots.marks.watched(home);
                true
            }
            Err(refusal) => {
                self.unwatch(home);
                self.say(home, &refusal);
                self.refused.insert(home.clone(), matches!(refusal, Refusal::Limit));
                false
            }
        }
    }

    fn unwatch(&mut self, home: &Home) {
        self.store.slots.marks.unwatched(home);
        self.watched.remove(home);
        self.watches.unwatch_home(&self.store.tree, home);
    }

    /// Without the top nobody would notice that a home comes or goes, and without a worker nobody looks at marks.
    fn give_up(&mut self) {
        for home in self.watched.clone() {
            self.unwatch(&home);
        }
    }

    fn say(&mut self, home: &Home, refusal: &Refusal) {
        let so = "is compared on access instead of being watched";
        match refusal {
            Refusal::Limit if std::mem::replace(&mut self.said_limit, true) => {}
            Refusal::Limit => {
                tracing::warn!("{}, and perhaps others, {so}: {refusal}", Path::root(home.clone()))
            }
            _ => tracing::warn!("{} {so}: {refusal}", Path::root(home.clone())),
        }
    }

    /// Compares a loaded calendar with the disk.
    fn compare(&self, path: &Path, repeats: u8) {
        let slots = &self.store.slots;
        let Some(slot) = slots.peek(path) else { return };
        if slot.is_applying() {
            return slots.marks.look_again(path, repeats);
        }
        let before = slot.held();
        let now = slot.compare(&self.store.tree);
        if let (Some(before), Ok(Some(now))) = (&before, &now) {
            self.store.keep_warm(path, before, now);
            if before.contents().is_none() && now.contents().is_some() {
                slots.evict();
            }
        }
        match now {
            Ok(Some(held)) if repeats > 0 && !(held.is_settled() && slot.is_unchanged()) => {
                slots.marks.look_again(path, repeats - 1);
            }
            Ok(Some(_)) => {}
            Ok(None) => slots.forget_if_empty(path),
            // Whoever asks for it will be told.
            Err(error) => tracing::debug!("{path}: {error}"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Only a panic ends it, or that it could not be started.
        tracing::error!("nothing is watched any more: calendars are compared on access");
        self.store.slots.marks.deactivate();
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_watched_is_compared_on_access_when_nobody_looks_at_the_marks_any_more() {
        let data = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(data.path().join("users/alice/Calendar")).expect("mkdir");
        let config = crate::config::Config { data: data.path().to_path_buf(), ..Default::default() };
        let store = Arc::new(Store::open_tree(&config).expect("a store"));
        let home = "alice".parse::<Path>().expect("a place").home;
        let (mut worker, sight) = (store.worker().expect("a worker"), store.slots.marks.sight(&home));
        assert!(worker.watch(&home) && sight.now().is_some());
        drop(worker);
        assert_eq!(sight.now(), None);
    }
}
