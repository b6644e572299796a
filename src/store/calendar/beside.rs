//! A calendar compared with the disk without its home's lock, beside whoever writes there: half of a commit that another process
//! is putting in place is no state, nor is what was read while whole ones came and went.

use std::time::{Duration, Instant};

use super::held::Held;
use super::slot::{Slot, Texts};
use crate::error::{Error, Result};
use crate::store::commit::writer::Locked;
use crate::store::disk::Identity;
use crate::store::nearest::nearest;
use crate::store::rights::Rights;
use crate::store::tree::Tree;

/// How long somebody waits for one state where there was nothing before.
const PATIENCE: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// So many looks may see whole states come and go before whoever writes has to wait for one.
const ATTEMPTS: usize = 3;

/// What one look at the disk saw.
enum Glimpse {
    /// One state.
    Whole(Option<Held>),
    /// Whole ones, that came and went meanwhile.
    Several,
    /// Half of a commit. There was this before.
    Half(Option<Held>),
}

impl Slot {
    /// What is on disk, as soon as it is one state. Until then what there was before is; where nothing was, `Busy` after a
    /// while: whoever was at it may be dead.
    pub(in crate::store) fn look_beside_writers(&self, tree: &Tree, texts: Texts) -> Result<Option<Held>> {
        let (mut since, mut attempts) = (Instant::now(), 0);
        loop {
            let seen = match self.glimpse(tree, texts, attempts) {
                Ok(Glimpse::Whole(held)) => return Ok(held),
                Ok(Glimpse::Several) => {
                    (since, attempts) = (Instant::now(), attempts + 1);
                    continue;
                }
                Ok(Glimpse::Half(before)) => self.keep_held(tree, before, texts),
                Err(error) => Err(error),
            };
            match seen {
                Err(Error::Busy) if since.elapsed() <= PATIENCE => std::thread::sleep(LOOK_AGAIN),
                seen => return seen,
            }
        }
    }

    /// Looks once, after so many `attempts`.
    ///
    /// # Errors
    /// `Busy` if another directory took its name meanwhile.
    fn glimpse(&self, tree: &Tree, texts: Texts, attempts: usize) -> Result<Glimpse> {
        // Others write faster than this reads: for once they wait.
        let takes_turn = attempts >= ATTEMPTS;
        let turn = if takes_turn { self.turn(tree)? } else { None };
        let (begun, changes) = (self.writer.begun(), self.writer.changes());
        let standing = tree.standing(&self.path.home)?;
        self.writer.stands(standing);
        let before = self.held();
        if before.is_none() && self.writer.is_making(&self.path) {
            return Ok(Glimpse::Whole(None));
        }
        let is_half = standing.is_half && !self.writer.is_applying();
        if is_half || takes_turn && turn.is_none() {
            return Ok(Glimpse::Half(before));
        }
        let after = self.read_held(tree, before.as_ref(), texts)?;
        // A commit of ours that began meanwhile may have put half of its files there.
        if self.writer.begun() != begun {
            return Ok(Glimpse::Half(before));
        }
        let now = tree.standing(&self.path.home)?;
        let stands = now == standing || self.writer.is_applying();
        // What this process changes it shows itself, and nobody else has a turn beside it.
        let is_ours = || self.writer.is_busy() || self.writer.changes() != changes;
        Ok(match stands || attempts + 1 >= ATTEMPTS && !now.is_half && is_ours() {
            true => Glimpse::Whole(self.placed(before.as_ref(), after, texts)),
            false => Glimpse::Several,
        })
    }

    /// The right to write to the home, if nobody has it at this moment.
    fn turn(&self, tree: &Tree) -> Result<Option<Locked>> {
        tree.home(&self.path.home)?.map_or(Ok(None), |home| self.writer.try_lock(home))
    }

    /// The rights here, for what was read in the directory `of`, if that is known.
    ///
    /// # Errors
    /// `Busy` if another one is here by now: what is in the one is not to be shown to whom the other is.
    pub(in crate::store) fn rights_for(&self, tree: &Tree, of: Option<Identity>) -> Result<Rights> {
        let rights = nearest(tree, &self.path)?;
        let here = self.find(tree)?.map(|(directory, _)| directory.identity()).transpose()?;
        match of.is_none() || of == here {
            true => Ok(rights),
            false => Err(Error::Busy),
        }
    }

    /// What is in memory stands, for a while.
    ///
    /// # Errors
    /// `Busy` if that is not what is asked for.
    fn keep_held(&self, tree: &Tree, held: Option<Held>, texts: Texts) -> Result<Option<Held>> {
        let held = held.filter(|held| texts == Texts::Spared || held.contents().is_some());
        let held = held.ok_or(Error::Busy)?;
        let kept = held.kept(self.rights_for(tree, held.directory())?);
        Ok(self.placed(Some(&held), Some(kept), texts))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::Store;
    use crate::store::calendar::last_good::LastGood;
    use crate::store::calendar::slots::Slots;
    use crate::store::commit::lock::tests::{ITEM, Scene};
    use crate::store::commit::operation::Operation;
    use crate::store::commit::{Commit, Made};
    use crate::store::disk::Directory;
    use crate::store::disk::content::{State, content_hash};
    use crate::store::history::record::Cause;
    use crate::store::place::{Home, Name, Path};

    const FILES: [&str; 2] = ["Calendar/0.ics", "Calendar/9.ics"];

    fn item(uid: &str, version: usize) -> String {
        ITEM.replace("UID:a", &format!("UID:{uid}")).replace("SUMMARY:old", &format!("SUMMARY:{version}"))
    }

    /// Makes this version of both files out of the one before, in one commit.
    fn save(store: &Store, home: &Home, version: usize) {
        let operation = |file: &&str| Operation {
            file: file.into(),
            before: State::Bytes(content_hash(item(file, version - 1).as_bytes())),
            stamp: None,
            after: Some(item(file, version).into_bytes().into()),
        };
        let on_disk = store.tree.home_on_disk(home);
        let operations = FILES.iter().map(operation).collect();
        let commit = Commit { home: on_disk.clone(), operations, lost: Vec::new(), cause: Cause::default() };
        let locked = store.lock(home).expect("locked");
        let made = store.journals.commit(&locked.directory, commit).expect("made");
        let Made::Journaled(journal) = made else { panic!("a journal") };
        store.journals.apply(&on_disk, &journal).expect("applied");
    }

    /// Which version of each of the two the text of a calendar has.
    fn versions(text: &str) -> [usize; 2] {
        FILES.map(|file| {
            let (_, text) = text.split_once(&format!("UID:{file}\r\n")).expect("the item");
            let (_, text) = text.split_once("SUMMARY:").expect("a summary");
            text.split_once('\r').expect("a line").0.parse().expect("a version")
        })
    }

    #[test]
    fn who_reads_beside_another_process_that_never_rests_sees_one_state() {
        let tree = Scene::new();
        let write = |file: &str, text: String| tree.write(&format!("users/alice/{file}"), text.as_bytes());
        // What takes a while to be read, between the two.
        (0..200).for_each(|n| write(&format!("Calendar/5-{n}.ics"), item(&n.to_string(), n)));
        FILES.iter().for_each(|file| write(file, item(file, 0)));
        let other = tree.another_process();
        let path = Path { home: tree.home.clone(), names: vec![Name::new("Calendar").expect("a name")] };
        let look = |round: usize| {
            // Every other time with nothing in memory.
            if round.is_multiple_of(2) {
                tree.store.slots.forget(&path);
            }
            versions(&tree.text())
        };
        let (begun, done) = (Instant::now(), AtomicBool::new(false));
        let is_over = || done.load(Ordering::SeqCst) || begun.elapsed() > Duration::from_secs(15);
        let seen: Vec<[usize; 2]> = std::thread::scope(|scope| {
            scope.spawn(|| {
                for version in (1..).take_while(|_| !is_over()) {
                    save(&other, &tree.home, version);
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            let seen = (0..12).map(look).collect();
            done.store(true, Ordering::SeqCst);
            seen
        });
        assert!(seen.iter().all(|[one, other]| one == other), "{seen:?}");
        // How often depends on how busy the machine is.
        assert!(seen.last() > seen.first(), "it follows: {seen:?}");
    }

    #[test]
    fn what_was_read_in_a_directory_gets_no_rights_of_one_that_takes_its_name() {
        let data = tempfile::tempdir().expect("a directory");
        let home = data.path().join("users/alice");
        for name in ["One", "Other"] {
            std::fs::create_dir_all(home.join(name)).expect("mkdir");
        }
        let tree = Tree::new(Directory::root(data.path()).expect("open"), "public", LastGood::default());
        let (slots, path) = (Slots::new(1 << 20), "alice/One".parse().expect("a place"));
        let slot = slots.get_or_make(&path, Arc::default);
        let held = slot.look_beside_writers(&tree, Texts::Needed).expect("looked").expect("a calendar");
        let is_refused = || matches!(slot.rights_for(&tree, held.directory()), Err(Error::Busy));
        assert!(!is_refused());
        let moved = |from: &str, to: &str| std::fs::rename(home.join(from), home.join(to)).expect("moved");
        moved("One", "Aside");
        assert!(is_refused(), "it is gone");
        moved("Other", "One");
        assert!(is_refused());
        let now = slot.look_beside_writers(&tree, Texts::Needed).expect("looked").expect("a calendar");
        assert_ne!(now.directory(), held.directory());
    }
}
