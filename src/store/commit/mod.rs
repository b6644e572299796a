//! Commits: nothing, one file, or a redo journal of several. Success means that the change is on the disk.
//!
//! A journal is one checksummed file in `.journal/` with all operations of a commit, each with the hash of the file
//! before and after. Once it is durable the change is made; applying it to the tree is `replay`'s.

pub mod journal;
pub mod lock;
pub mod operation;
pub mod replay;
pub mod single;
pub mod standing;
pub mod writer;

use std::collections::{HashMap, HashSet};
use std::path::{Path as FsPath, PathBuf};

use parking_lot::Mutex;

use crate::error::Result;
use crate::ical::item::file_names;
use crate::store::disk::Directory;
use crate::store::disk::content::{Content, State};
use crate::store::disk::staging::Staging;
use crate::store::disk::stamp::Stamp;
use crate::store::history::log::{Left, Log};
use crate::store::history::record::{Cause, Record};
use crate::store::history::{self, HISTORY, Kept};
use crate::store::took::took;
use journal::{JOURNALS, encode, tag};
use operation::{Operation, above, are_as_looked_at, ask_for_room, file_name};
use single::Single;

/// From this many files on, one sync of the file system costs less than one of each file.
pub(super) const SYNC_EACH: usize = 64;
/// Up to this many files are put in place before the answer, so that whoever saves sees them at once. Not more than are synced
/// each by itself: whoever syncs the file system instead must have opened it before (see `replay`).
const AT_ONCE: usize = SYNC_EACH;

/// All changes of one save.
#[derive(Debug)]
pub struct Commit {
    /// The home, below the data directory.
    pub home: PathBuf,
    pub operations: Vec<Operation>,
    /// Versions that lost against what is here: kept in the history under these names below the home.
    pub lost: Vec<(PathBuf, Content)>,
    pub cause: Cause,
}

/// What became of a commit.
#[must_use]
#[derive(Debug)]
pub enum Made {
    /// On disk in full.
    Applied,
    /// Nothing was done: somebody has changed a file after it was looked at, so that it is not as `before` says.
    Outdated,
    /// In the journal of this name; [`Journals::apply`] it, with the home's lock still held.
    Journaled(String),
}

/// The journals of a tree and the means to apply them.
#[derive(Debug)]
pub struct Journals {
    pub(super) root: Directory,
    pub(super) staging: Staging,
    /// The stamp that `.journal/` had when nothing waited there, for anybody.
    pub(super) idle: Mutex<Option<Stamp>>,
    /// How the last commits left the homes' logs. Guards that only.
    left: Mutex<HashMap<PathBuf, Left>>,
}

impl Journals {
    pub fn open(root: Directory, staging: Staging) -> Journals {
        Journals { root, staging, idle: Mutex::default(), left: Mutex::default() }
    }

    pub fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Makes a commit. The caller holds the home's lock.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: then the tree is as it was.
    pub fn commit(&self, home: &Directory, commit: Commit) -> Result<Made> {
        if commit.operations.is_empty() && commit.lost.is_empty() {
            return Ok(Made::Applied);
        }
        let on_disk = commit.home.clone();
        let left = self.left.lock().remove(&on_disk);
        let mut log = took(HISTORY, || Log::open_after(home, left.as_ref()))?;
        let made = self.make(home, commit, &mut log)?;
        self.left.lock().extend(log.left().map(|left| (on_disk, left)));
        Ok(made)
    }

    fn make(&self, home: &Directory, commit: Commit, log: &mut Log) -> Result<Made> {
        let record = Record::new(log.next_change()?, &commit.cause, &commit.operations);
        let commit = &with_lost(commit, &record.change);
        match commit.operations.as_slice() {
            [one] if let Some(directory) = home.open(above(&one.file))? => {
                let name = file_name(&one.file)?;
                let single = Single { home, directory, name, staging: &self.staging };
                Ok(if single.commit(one, &record, log)? { Made::Applied } else { Made::Outdated })
            }
            several => {
                let Some(journal) = self.journal(home, commit, &record)? else { return Ok(Made::Outdated) };
                if several.len() <= AT_ONCE
                    && let Err(error) = self.place(home, &journal, log)
                {
                    // The change is made; `apply` finishes it.
                    tracing::warn!("{}: {error}", home.path().display());
                }
                Ok(Made::Journaled(journal))
            }
        }
    }

    /// Moves a calendar of a home, which is a directory, into the history: durably, and in one step. The caller holds the
    /// home's lock.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: then it is where it was.
    pub fn remove_calendar(&self, home: &Directory, calendar: &FsPath, cause: &Cause) -> Result<()> {
        let mut log = Log::open(home)?;
        let record = Record::of_calendar(log.next_change()?, cause, calendar);
        let top = history::alone(home, calendar)?;
        log.append(&record)?;
        history::take_directory(home, &record.change, &top).inspect_err(|_| log.take_back(&record))
    }

    /// Has a whole calendar put in place by `put`, which does it in one step and durably, with these files of the home. The caller
    /// holds the home's lock.
    ///
    /// # Errors
    /// As `put`'s.
    pub fn place_calendar(
        &self,
        home: &Directory,
        calendar: &FsPath,
        added: Vec<String>,
        cause: &Cause,
        put: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut log = Log::open(home)?;
        let record = Record { added, ..Record::of_calendar(log.next_change()?, cause, calendar) };
        log.append(&record)?;
        put().inspect_err(|_| log.take_back(&record))
    }

    /// Puts something on record that changes no file, but perhaps the names of some. The caller holds the home's lock.
    pub fn note(&self, home: &Directory, cause: &Cause, renamed: Vec<(String, String)>) -> Result<()> {
        let mut log = Log::open(home)?;
        log.append(&Record { renamed, ..Record::new(log.next_change()?, cause, &[]) })
    }

    /// Makes the journal durable, which makes the change; gives its name, which starts with its home's tag. Nothing if
    /// somebody has changed a file meanwhile.
    fn journal(&self, home: &Directory, commit: &Commit, record: &Record) -> Result<Option<String>> {
        let journals = self.root.make(JOURNALS)?;
        let name = format!("{}-{}", tag(&commit.home), record.change);
        let staged = self
            .staging
            .write_with(&journals, |file| encode(&commit.home, record, &commit.operations, file))?;
        // Looked at as late as can be: writing has taken its time.
        if !are_as_looked_at(home, &commit.operations, &self.staging)? {
            return Ok(None);
        }
        ask_for_room(home, &commit.operations)?;
        staged.place(&journals, &name)?;
        journals.sync().inspect_err(|_| {
            // It may or may not be there after a power cut; the client is told that it is not.
            let _ = journals.unlink(&name);
        })?;
        Ok(Some(name))
    }
}

/// The commit with what lost in it as operations too: it is as durable as the rest.
fn with_lost(mut commit: Commit, change: &str) -> Commit {
    let mut places = HashSet::new();
    for (file, content) in std::mem::take(&mut commit.lost) {
        // Several items of one file may lose at once.
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let mut places_of =
            file_names(&stem).map(|name| Kept::Lost.place(change, &file.with_file_name(name)));
        let Some(place) = places_of.find(|place| places.insert(place.clone())) else { continue };
        let (before, after) = (State::Absent, Some(content));
        commit.operations.push(Operation { file: place, before, stamp: None, after });
    }
    commit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::content::content_hash;
    use crate::store::history::Leaving;
    use crate::store::history::log::records_from;
    use crate::store::history::record::Did;

    const HOME: &str = "users/alice";

    struct Tree {
        tree: tempfile::TempDir,
        journals: Journals,
    }

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Tree {
            let tree = tempfile::tempdir().expect("a directory");
            for (name, content) in files {
                let path = tree.path().join("users/alice").join(name);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
                std::fs::write(path, content).expect("write");
            }
            let root = || Directory::root(tree.path()).expect("open");
            let journals = Journals::open(root(), Staging::open(&root()).expect("staging"));
            Tree { tree, journals }
        }

        fn home(&self) -> Directory {
            self.journals.root.existing(HOME).expect("open")
        }

        fn commit(&self, commit: Commit) -> Result<Made> {
            self.journals.commit(&self.home(), commit)
        }

        fn files(&self) -> Vec<(String, String)> {
            self.below("users/alice", |path| !path.contains(".history"))
        }

        fn history(&self) -> Vec<String> {
            let files = self.below("users/alice/.history", |path| !path.ends_with(".log"));
            let mut files: Vec<String> = files.into_iter().map(|(_, content)| content).collect();
            files.sort();
            files
        }

        fn below(&self, directory: &str, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
            let root = self.tree.path().join(directory);
            let walk = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().flatten();
            let files = walk.filter(|entry| entry.file_type().is_file());
            let name = |entry: &walkdir::DirEntry| {
                entry.path().strip_prefix(&root).expect("below").display().to_string()
            };
            files
                .map(|entry| (name(&entry), std::fs::read_to_string(entry.path()).expect("read")))
                .filter(|(name, _)| wanted(name))
                .collect()
        }
    }

    fn operation(file: &str, before: Option<&str>, after: Option<&str>) -> Operation {
        Operation {
            file: PathBuf::from(file),
            before: before.map_or(State::Absent, |before| State::Bytes(content_hash(before.as_bytes()))),
            stamp: None,
            after: after.map(|after| Content::Bytes(after.as_bytes().to_vec())),
        }
    }

    fn commit(operations: Vec<Operation>) -> Commit {
        let cause = Cause { did: Did::Save, who: "alice".to_owned(), ..Cause::default() };
        Commit { home: PathBuf::from("users/alice"), operations, lost: Vec::new(), cause }
    }

    /// A journal of what was not applied, under a name as journals have it; gives the name.
    fn journal(tree: &Tree, operations: Vec<Operation>) -> String {
        let commit = commit(operations);
        let home = tree.journals.root.existing(HOME).expect("open");
        let change = Log::open(&home).and_then(|log| log.next_change()).expect("a name");
        let record = Record::new(change, &commit.cause, &commit.operations);
        tree.journals.journal(&home, &commit, &record).expect("looked at").expect("a journal")
    }

    fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
    }

    #[test]
    fn one_file_is_replaced_and_its_old_bytes_are_kept() {
        let tree = Tree::new(&[("Calendar/a.ics", "old")]);
        let made = tree.commit(commit(vec![operation("Calendar/a.ics", Some("old"), Some("new"))]));
        assert!(matches!(made, Ok(Made::Applied)));
        assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "new")]));
        assert_eq!(tree.history(), ["old"]);
    }

    #[test]
    fn several_files_are_journaled_and_applied_and_may_be_applied_again() {
        let tree = Tree::new(&[("Calendar/a.ics", "a"), ("Calendar/b.ics", "b")]);
        let operations = vec![
            operation("Calendar/a.ics", Some("a"), Some("A")),
            operation("Calendar/b.ics", Some("b"), None),
            operation("Work/New/c.ics", None, Some("c")),
        ];
        let Ok(Made::Journaled(name)) = tree.commit(commit(operations)) else { panic!("a journal") };
        let copy = std::fs::read(tree.tree.path().join(".journal").join(&name)).expect("read");
        tree.journals.apply(HOME.as_ref(), &name).expect("apply");
        let after = pairs(&[("Calendar/a.ics", "A"), ("Work/New/c.ics", "c")]);
        assert_eq!(tree.files(), after);
        assert_eq!(tree.history(), ["a", "b"]);
        assert!(tree.journals.homes().expect("list").is_empty());
        std::fs::write(tree.tree.path().join(".journal").join(&name), copy).expect("write");
        assert_eq!(
            tree.journals.pending(FsPath::new("users/alice")).expect("list").as_slice(),
            std::slice::from_ref(&name)
        );
        tree.journals.apply(HOME.as_ref(), &name).expect("apply again");
        assert_eq!(tree.files(), after);
    }

    #[test]
    fn somebodys_later_change_stays_and_ours_is_kept_in_the_history() {
        let tree = Tree::new(&[("Calendar/a.ics", "a"), ("Calendar/b.ics", "b")]);
        let operations = vec![
            operation("Calendar/a.ics", Some("a"), Some("A")),
            operation("Calendar/b.ics", Some("b"), None),
        ];
        let name = journal(&tree, operations);
        std::fs::write(tree.tree.path().join("users/alice/Calendar/a.ics"), "later").expect("write");
        std::fs::write(tree.tree.path().join("users/alice/Calendar/b.ics"), "later too").expect("write");
        tree.journals.apply(HOME.as_ref(), &name).expect("apply");
        assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "later"), ("Calendar/b.ics", "later too")]));
        assert_eq!(tree.history(), ["A"]);
    }

    #[test]
    fn what_a_power_cut_left_of_ours_is_written_again_and_is_nobodys_change() {
        for left in ["", "A new", "A new\0\0\0\0\0", "\0\0\0\0\0\0\0\0\0\0", "\0\0\0ew text"] {
            let tree = Tree::new(&[("Calendar/a.ics", "a"), ("Calendar/b.ics", "b")]);
            let operations = vec![
                operation("Calendar/a.ics", Some("a"), Some("A new text")),
                operation("Calendar/b.ics", Some("b"), Some("B")),
            ];
            let Ok(Made::Journaled(name)) = tree.commit(commit(operations)) else { panic!("a journal") };
            std::fs::write(tree.tree.path().join("users/alice/Calendar/a.ics"), left).expect("write");
            tree.journals.apply(HOME.as_ref(), &name).expect("apply");
            assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "A new text"), ("Calendar/b.ics", "B")]));
            assert_eq!(tree.history(), ["a", "b"], "{left:?}");
        }
    }

    #[test]
    fn half_a_journal_changes_nothing() {
        let tree = Tree::new(&[("Calendar/a.ics", "a")]);
        let operations = vec![
            operation("Calendar/a.ics", Some("a"), Some("A")),
            operation("Calendar/b.ics", None, Some("b")),
        ];
        let name = journal(&tree, operations);
        let bytes = std::fs::read(tree.tree.path().join(".journal").join(&name)).expect("read");
        std::fs::remove_file(tree.tree.path().join(".journal").join(&name)).expect("remove");
        for len in [0, 10, 40, bytes.len() - 1] {
            std::fs::write(tree.tree.path().join(".journal/x"), &bytes[..len]).expect("write");
            tree.journals.apply(HOME.as_ref(), "x").expect("apply");
            assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "a")]));
        }
    }

    #[test]
    fn what_somebody_changed_after_it_was_looked_at_is_not_touched() {
        let tree = Tree::new(&[("Calendar/a.ics", "theirs")]);
        for one in [
            operation("Calendar/a.ics", Some("old"), Some("new")),
            operation("Calendar/a.ics", Some("old"), None),
            operation("Calendar/a.ics", None, Some("new")),
            operation("Calendar/gone.ics", Some("old"), Some("new")),
        ] {
            assert!(matches!(tree.commit(commit(vec![one])), Ok(Made::Outdated)));
        }
        for other in [
            operation("Calendar/a.ics", Some("old"), Some("new")),
            operation("Calendar/a.ics", Some("old"), None),
            operation("Calendar/a.ics", None, Some("new")),
            operation("Calendar/gone.ics", Some("old"), Some("new")),
            operation("Gone/a.ics", Some("old"), None),
        ] {
            let several = vec![operation("Calendar/new.ics", None, Some("new")), other];
            assert!(matches!(tree.commit(commit(several)), Ok(Made::Outdated)));
        }
        assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "theirs")]));
        assert!(tree.history().is_empty());
        assert!(tree.journals.homes().expect("list").is_empty());
    }

    #[test]
    fn each_change_is_on_record_once_however_often_it_is_applied() {
        let tree = Tree::new(&[("Calendar/a.ics", "a"), ("Calendar/b.ics", "b")]);
        let one = commit(vec![operation("Calendar/a.ics", Some("a"), Some("A"))]);
        assert!(matches!(tree.commit(one), Ok(Made::Applied)));
        let several = vec![
            operation("Calendar/a.ics", Some("A"), None),
            operation("Calendar/b.ics", Some("b"), Some("B")),
            operation("Calendar/c.ics", None, Some("c")),
        ];
        let Ok(Made::Journaled(name)) = tree.commit(commit(several)) else { panic!("a journal") };
        tree.journals.apply(HOME.as_ref(), &name).expect("apply");
        let home = tree.journals.root.existing(HOME).expect("open");
        let records = records_from(&home, "").expect("records");
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].replaced, ["Calendar/a.ics"]);
        let Record { added, replaced, removed, .. } = &records[1];
        assert_eq!(
            (&added[0], &replaced[0], &removed[0]),
            (&"Calendar/c.ics".to_owned(), &"Calendar/b.ics".to_owned(), &"Calendar/a.ics".to_owned())
        );
    }

    #[test]
    fn a_journal_that_came_into_a_copy_beside_later_changes_undoes_none_of_them() {
        let tree = Tree::new(&[("Calendar/a.ics", "a"), ("Calendar/b.ics", "b")]);
        let there = vec![
            operation("Calendar/a.ics", Some("a"), Some("A")),
            operation("Calendar/b.ics", Some("b"), Some("B")),
        ];
        let Ok(Made::Journaled(name)) = tree.commit(commit(there)) else { panic!("a journal") };
        let copy = std::fs::read(tree.tree.path().join(".journal").join(&name)).expect("read");
        tree.journals.replay(HOME.as_ref()).expect("apply");
        // Back to the very bytes that the journal takes for its own before-state.
        let back = commit(vec![operation("Calendar/a.ics", Some("A"), Some("a"))]);
        assert!(matches!(tree.commit(back), Ok(Made::Applied)));
        std::fs::write(tree.tree.path().join(".journal").join(&name), copy).expect("write");
        tree.journals.replay(HOME.as_ref()).expect("replay");
        assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "a"), ("Calendar/b.ics", "B")]));
        assert!(tree.journals.homes().expect("list").is_empty());
    }

    #[test]
    fn items_of_one_file_that_lose_at_once_are_all_kept() {
        let tree = Tree::new(&[("Calendar/a.ics", "a")]);
        let file = || PathBuf::from("Calendar/a.ics");
        let lost = ["one", "two"].map(|lost| (file(), Content::Bytes(lost.as_bytes().to_vec()))).into();
        let Ok(Made::Journaled(name)) = tree.commit(Commit { lost, ..commit(Vec::new()) }) else {
            panic!("a journal")
        };
        tree.journals.apply(HOME.as_ref(), &name).expect("apply");
        assert_eq!(tree.history(), ["one", "two"]);
    }

    #[test]
    fn a_time_that_has_no_later_one_makes_no_version_take_anothers_place() {
        let tree = Tree::new(&[("Calendar/a.ics", "a")]);
        let home = tree.home();
        let last = Record::new("99991230T220000.999999Z-1".to_owned(), &Cause::default(), &[]);
        Log::open(&home).and_then(|mut log| log.append(&last)).expect("append");
        let change = || tree.commit(commit(vec![operation("Calendar/a.ics", Some("a"), Some("b"))]));
        assert!(change().is_err());
        assert_eq!((tree.files(), tree.history()), (pairs(&[("Calendar/a.ics", "a")]), Vec::new()));
        // What has the name of a version that is to be kept is none of ours.
        std::fs::remove_dir_all(tree.tree.path().join("users/alice/.history")).expect("removed");
        let (file, from) = (FsPath::new("Calendar/a.ics"), &home.existing("Calendar").expect("open"));
        let leaving = Leaving { home: &home, change: "x", file, from, name: "a.ics" };
        let keep = || leaving.keep(tree.journals.staging());
        keep().and_then(|()| keep()).expect("kept, and known to be");
        std::fs::write(tree.tree.path().join("users/alice/.history/versions/Calendar/other"), "other")
            .expect("write");
        std::fs::rename(
            tree.tree.path().join("users/alice/.history/versions/Calendar/other"),
            tree.tree.path().join("users/alice/.history/versions/Calendar/a.ics~x"),
        )
        .expect("renamed");
        assert!(keep().is_err());
    }

    #[test]
    fn a_commit_beside_the_record_of_a_clock_that_was_ahead_is_finished_like_any_other() {
        let tree = Tree::new(&[("Calendar/a.ics", "a"), ("Calendar/b.ics", "b")]);
        let home = tree.journals.root.existing(HOME).expect("open");
        let ahead = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        let change = format!("{}-1", history::spelled(ahead));
        let later = Record::new(change.clone(), &Cause::default(), &[]);
        Log::open(&home).and_then(|mut log| log.append(&later)).expect("append");
        let half = [operation("Calendar/a.ics", Some("a"), Some("A"))];
        let there = vec![
            operation("Calendar/a.ics", Some("a"), Some("A")),
            operation("Calendar/b.ics", Some("b"), Some("B")),
        ];
        let name = journal(&tree, there);
        let record = Record::new(history::bare(&name).to_owned(), &Cause::default(), &half);
        assert!(record.change > change);
        // It dies after its first file.
        Log::open(&home).and_then(|mut log| log.append(&record)).expect("append");
        std::fs::write(tree.tree.path().join("users/alice/Calendar/a.ics"), "A").expect("write");
        tree.journals.replay(HOME.as_ref()).expect("replay");
        assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "A"), ("Calendar/b.ics", "B")]));
        assert!(tree.journals.homes().expect("list").is_empty());
    }

    #[test]
    fn a_calendar_is_removed_with_the_folders_that_hold_nothing_else() {
        let tree = Tree::new(&[("Work/Deep/X/a.ics", "a"), ("Work/Y/b.ics", "b"), ("Z/c.ics", "c")]);
        let remove = |path: &str| {
            tree.journals.remove_calendar(&tree.home(), path.as_ref(), &Cause::default()).expect("removed");
        };
        remove("Work/Deep/X");
        assert_eq!(tree.files(), pairs(&[("Work/Y/b.ics", "b"), ("Z/c.ics", "c")]));
        assert!(!tree.tree.path().join("users/alice/Work/Deep").exists());
        remove("Work/Y");
        assert!(!tree.tree.path().join("users/alice/Work").exists());
        assert_eq!(tree.history(), ["a", "b"]);
    }
}
