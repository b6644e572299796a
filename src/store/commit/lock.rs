//! The right to write to a home, with no commit of it left unfinished; and the finishing of those whose process died or failed.

use super::operation::Operation;
use super::writer::Locked;
use super::{Commit, Made};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::history::record::Cause;
use crate::store::place::Home;

impl Store {
    /// Applies the journals of a process that died, each under its home's lock. On a read-only file system whoever asks for such
    /// a home is told, and no others are.
    pub(in crate::store) fn recover(&self) -> Result<()> {
        if self.journals.staging().ask_to_stage().is_err() {
            return Ok(());
        }
        for on_disk in self.journals.homes()? {
            let home = self.tree.home_at(&on_disk);
            if let Err(error) = home.ok_or(Error::NotFound).and_then(|home| self.lock(&home)) {
                tracing::error!("{}: an unfinished commit cannot be applied: {error}", on_disk.display());
            }
        }
        Ok(())
    }

    /// The right to write to a home, with no commit of it left unapplied.
    pub(in crate::store) fn lock(&self, home: &Home) -> Result<Locked> {
        let opened = || self.tree.home(home)?.ok_or(Error::NotFound);
        let mut locked = self.writers.of(home).lock(opened()?)?;
        // Another one may have been put in its place meanwhile.
        while locked.has_waited && opened()?.identity()? != locked.directory.identity()? {
            drop(locked);
            locked = self.writers.of(home).lock(opened()?)?;
        }
        let on_disk = self.tree.home_on_disk(home);
        if !self.journals.pending(&on_disk)?.is_empty() {
            // Who looks meanwhile sees the journal, and takes no half of it for what is here.
            self.journals.replay(&on_disk)?;
            // Only here: who made it may have been at it until the lock was free.
            tracing::info!("{}: an unfinished commit was applied", on_disk.display());
        }
        // Late: whoever has waited may have waited long.
        self.whereabouts.look()?;
        self.written.lock().insert(home.clone());
        locked.writer.set_applying(false);
        Ok(locked)
    }

    /// Tries again to apply the commits that are made and could not be applied.
    pub fn finish_commits(&self) {
        for home in self.writers.applying() {
            if let Err(error) = self.take_over(&home) {
                tracing::error!("a commit is made but cannot be applied yet: {error}");
            }
        }
    }

    /// Applies what another process that died has left of its commits in a home, or this one in vain, if one did.
    pub(in crate::store) fn take_over(&self, home: &Home) -> Result<()> {
        let writer = self.writers.of(home);
        // Of ours, another process may have applied it meanwhile.
        if !writer.is_applying() && !self.tree.standing(home)?.is_half {
            return Ok(());
        }
        let Some(directory) = self.tree.home(home)? else { return Ok(()) };
        // Whoever holds the lock lives, and is at it.
        let Some(locked) = writer.try_lock(directory)? else { return Ok(()) };
        self.journals.replay(&self.tree.home_on_disk(home))?;
        // From now on the disk is right again.
        locked.writer.set_applying(false);
        Ok(())
    }

    /// Makes a commit of one file, with the home's lock held.
    ///
    /// # Errors
    /// `Busy` if somebody has just changed it.
    pub(in crate::store) fn commit_alone(
        &self,
        locked: &Locked,
        home: &Home,
        operation: Operation,
        cause: Cause,
    ) -> Result<()> {
        let on_disk = self.tree.home_on_disk(home);
        let commit = Commit { home: on_disk.clone(), operations: vec![operation], lost: Vec::new(), cause };
        match self.journals.commit(&locked.directory, commit)? {
            Made::Applied => Ok(()),
            Made::Outdated => Err(Error::Busy),
            Made::Journaled(journal) => self.journals.apply(&on_disk, &journal),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::journal::tag;
    use super::super::writer::Writer;
    use super::*;
    use crate::config::Config;
    use crate::store::place::{Name, Path};

    pub const ITEM: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTAMP:20260101T000000Z\r\n\
                        DTSTART:20260101T000000Z\r\nSUMMARY:old\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    /// A tree in which alice has one item, and the store that has it open.
    pub struct Scene {
        tree: tempfile::TempDir,
        pub store: Store,
        pub home: Home,
    }

    impl Scene {
        pub fn new() -> Scene {
            let tree = tempfile::tempdir().expect("a directory");
            let calendar = tree.path().join("data/users/alice/Calendar");
            std::fs::create_dir_all(&calendar).expect("mkdir");
            std::fs::write(calendar.join("a.ics"), ITEM).expect("write");
            let store = Scene::store(tree.path());
            Scene { tree, store, home: Home::User(Name::new("alice").expect("a name")) }
        }

        fn store(at: &std::path::Path) -> Store {
            let (data, cache) = (at.join("data"), Some(at.join("cache")));
            Store::open_tree(&Config { data, cache, ..Config::default() }).expect("a store")
        }

        fn writer(&self) -> Arc<Writer> {
            self.store.writers.of(&self.home)
        }

        /// The store as another process has it.
        pub fn another_process(&self) -> Store {
            Scene::store(self.tree.path())
        }

        /// What is in the calendar when it is compared with the disk.
        pub fn text(&self) -> String {
            let path = Path { home: self.home.clone(), names: vec![Name::new("Calendar").expect("a name")] };
            let slot = self.store.slots.get_or_make(&path, || self.writer());
            let held = loop {
                match slot.compare(&self.store.tree) {
                    Err(Error::Busy) => {}
                    compared => break compared.expect("compared").expect("a calendar"),
                }
            };
            let items = held.contents().expect("texts").items.clone();
            items.iter().map(|stored| String::from_utf8_lossy(&stored.item.to_file()).into_owned()).collect()
        }

        pub fn write(&self, name: &str, content: &[u8]) {
            let path = self.tree.path().join("data").join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            std::fs::write(path, content).expect("write");
        }
    }

    #[test]
    fn a_home_whose_commit_could_not_be_applied_follows_the_disk_as_soon_as_it_is() {
        let tree = Scene::new();
        assert!(tree.text().contains("SUMMARY:old"));
        // As a disk that fails for too long leaves it; another process has applied the journal since.
        tree.writer().set_applying(true);
        tree.write("users/alice/Calendar/a.ics", ITEM.replace("SUMMARY:old", "SUMMARY:new").as_bytes());
        assert!(tree.text().contains("SUMMARY:old"));
        let home = tree.store.tree.home(&tree.home).expect("opened").expect("a home");
        let turn = tree.writer().lock(home).expect("a turn");
        tree.store.finish_commits();
        assert!(tree.writer().is_applying(), "whoever has the turn is at it");
        drop(turn);
        tree.store.finish_commits();
        assert!(!tree.writer().is_applying());
        assert!(tree.text().contains("SUMMARY:new"));
    }

    #[test]
    fn a_home_that_takes_the_place_of_the_one_that_is_waited_for_is_locked_itself() {
        let tree = Scene::new();
        let held = tree.store.lock(&tree.home).expect("locked");
        let locked = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| tree.store.lock(&tree.home)?.directory.identity());
            std::thread::sleep(Duration::from_millis(200));
            let users = tree.tree.path().join("data/users");
            std::fs::rename(users.join("alice"), users.join("away")).expect("renamed");
            std::fs::create_dir(users.join("alice")).expect("mkdir");
            drop(held);
            waiting.join().expect("no panic").expect("locked")
        });
        let home = tree.store.tree.home(&tree.home).expect("opened").expect("a home");
        assert_eq!(locked, home.identity().expect("an identity"));
    }

    #[test]
    fn a_commit_of_another_process_that_cannot_be_applied_makes_nobody_take_half_of_it() {
        let tree = Scene::new();
        let on_disk = tree.store.tree.home_on_disk(&tree.home);
        let name = format!("{}-20261124T000000.000000Z-1", tag(&on_disk));
        let body = b"kalends journal 2\n{}\n".to_vec();
        tree.write(&format!(".journal/{name}"), &[&body[..], blake3::hash(&body).as_bytes()].concat());
        assert!(tree.store.lock(&tree.home).is_err());
        assert!(tree.store.take_over(&tree.home).is_err());
        // Who looks now sees the journal, and waits or keeps what was there before.
        assert!(!tree.writer().is_applying());
        assert!(tree.store.tree.standing(&tree.home).expect("asked").is_half);
    }
}
