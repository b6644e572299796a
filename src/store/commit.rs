//! Commits: nothing, one file, or a redo journal of several. Success means that the change is on the disk.
//!
//! A journal is one checksummed file in `.journal/` with all operations of a commit, each with the hash of the file
//! before and after. Once it is durable the change is made; applying it to the tree comes after, and may be killed
//! anywhere: whoever locks the home next applies what is left. An operation is applied only to its before-state; its
//! after-state is left alone; anything else is somebody's later change, which stays, and ours goes to the history.

use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::calendar::{State, content_hash};
use super::disk::{Directory, EntryKind};
use super::history;
use super::journal::{Head, Line, decode, encode, spelled};
use super::staging::Staging;
use crate::error::{Error, Result};

const JOURNALS: &str = ".journal";
/// From this many files on, one sync of the file system costs less than one of each file.
const SYNC_EACH: usize = 64;
/// Up to this many files are put in place before the answer, so that whoever saves sees them at once.
const AT_ONCE: usize = 200;

/// One change of the tree.
#[derive(Debug)]
pub struct Operation {
    /// The file, below the home. Its directory is made if it is missing.
    pub file: PathBuf,
    /// What is there.
    pub before: State,
    /// What is to be there, or nothing if the file goes.
    pub after: Option<Vec<u8>>,
}

/// All changes of one save.
#[derive(Debug)]
pub struct Commit {
    /// The home, below the data directory.
    pub home: PathBuf,
    pub operations: Vec<Operation>,
    /// Versions that lost against what is here: kept in the history under these names below the home.
    pub lost: Vec<(PathBuf, Vec<u8>)>,
}

/// A commit that is made.
#[must_use]
#[derive(Debug)]
pub enum Made {
    /// On disk in full.
    Applied,
    /// In the journal of this name; [`Journals::apply`] it, with the home's lock still held.
    Journaled(String),
}

/// The journals of a tree and the means to apply them.
#[derive(Debug)]
pub struct Journals {
    root: Directory,
    staging: Staging,
    next: AtomicU64,
}

impl Journals {
    pub fn open(root: Directory, staging: Staging) -> Journals {
        Journals { root, staging, next: AtomicU64::new(0) }
    }

    pub fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Makes a commit. The caller holds the home's lock.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: then the tree is as it was.
    pub fn commit(&self, commit: Commit) -> Result<Made> {
        let home = self.root.existing(&commit.home)?;
        let change = self.change_name(&commit.home);
        let commit = &with_lost(commit, &change);
        match commit.operations.as_slice() {
            [] => Ok(Made::Applied),
            [one] if parent(&home, &one.file)?.is_some() => {
                self.apply_one(&home, &change, one).map(|()| Made::Applied)
            }
            several => {
                self.journal(commit, &change)?;
                if several.len() <= AT_ONCE
                    && let Err(error) = self.place(&home, &change)
                {
                    // The change is made; `apply` finishes it.
                    tracing::warn!("{}: {error}", home.path().display());
                }
                Ok(Made::Journaled(change))
            }
        }
    }

    /// A name for this change that sorts by time, starts with its home's tag, and is no other's.
    fn change_name(&self, home: &FsPath) -> String {
        let ordinal = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}-{}-{ordinal}", tag(home), history::now(), std::process::id())
    }

    fn apply_one(&self, home: &Directory, change: &str, operation: &Operation) -> Result<()> {
        let (directory, name) = place(home, &operation.file)?;
        match &operation.after {
            Some(content) => {
                let staged = self.staging.write(content, &directory)?;
                if operation.before != State::Absent {
                    history::keep(home, change, &operation.file)?;
                }
                staged.place(&directory, &name)?;
            }
            None => {
                history::keep(home, change, &operation.file)?;
                directory.remove(&name)?;
            }
        }
        // Without this the rename itself may be lost at a power cut.
        directory.sync().inspect_err(|_| {
            // The client is told that nothing was changed, so nothing may be.
            let undone = match operation.before {
                State::Absent => directory.unlink(&name),
                State::Bytes(_) | State::Unreadable => history::put_back(home, change, &operation.file),
            };
            if let Err(error) = undone {
                tracing::error!("a change that failed cannot be undone: {error}");
            }
        })
    }

    fn journal(&self, commit: &Commit, change: &str) -> Result<()> {
        let journals = self.root.make(JOURNALS)?;
        let staged = self.staging.write_parts(encode(commit)?.parts(), &journals)?;
        staged.place(&journals, change)?;
        journals.sync().inspect_err(|_| {
            // It may or may not be there after a power cut; the client is told that it is not.
            let _ = journals.unlink(change);
        })
    }

    /// Applies a journal, makes it durable and removes it. The caller holds the home's lock. May be done again.
    pub fn apply(&self, home: &FsPath, change: &str) -> Result<()> {
        let home = self.root.existing(home)?;
        if let Some(head) = self.place(&home, change)? {
            sync_all(&home, &head)?;
        }
        self.root.existing(JOURNALS)?.remove(change)
    }

    /// Puts a journal's files in place, as far as they are not; gives what was done, or nothing if the journal is not whole.
    fn place(&self, home: &Directory, change: &str) -> Result<Option<Head>> {
        let Some(journals) = self.root.directory(JOURNALS)? else { return Ok(None) };
        let Some(bytes) = read_journal(&journals, change)? else { return Ok(None) };
        let Some((head, contents)) = decode(&bytes) else {
            // Never acknowledged: it is named only after it is durable, so this is a copy of a half-written file.
            tracing::warn!("{}/{change}: a journal that is not whole is removed", journals.path().display());
            return Ok(None);
        };
        for (line, content) in head.operations.iter().zip(contents) {
            self.apply_line(home, change, line, content)?;
        }
        Ok(Some(head))
    }

    fn apply_line(&self, home: &Directory, change: &str, line: &Line, content: &[u8]) -> Result<()> {
        match self.try_line(home, change, line, content) {
            // Something of somebody's is in the way for good: that stays.
            Err(error) if !error.is_passing() => {
                tracing::warn!("a part of a commit goes to the history: {error}");
                self.lose(home, change, line, content)
            }
            other => other,
        }
    }

    fn try_line(&self, home: &Directory, change: &str, line: &Line, content: &[u8]) -> Result<()> {
        let file = FsPath::new(&line.file);
        let directory = match parent(home, file)? {
            Some(directory) => directory,
            None if line.after.is_none() => return Ok(()),
            None => home.make(file.parent().unwrap_or(FsPath::new("")))?,
        };
        let name = file_name(file)?;
        let current = spelled(state(&directory, &name)?);
        if current == line.after {
            return Ok(());
        }
        if current != line.before {
            return self.lose(home, change, line, content);
        }
        if current.is_some() {
            history::keep(home, change, file)?;
        }
        match line.after {
            Some(_) => self.staging.write_unsynced(content, &directory)?.place(&directory, &name),
            None => directory.remove(&name),
        }
    }

    /// Keeps what a commit would have put where somebody's later change is.
    fn lose(&self, home: &Directory, change: &str, line: &Line, content: &[u8]) -> Result<()> {
        match line.after {
            Some(_) => history::keep_lost(home, change, FsPath::new(&line.file), content, &self.staging),
            None => Ok(()),
        }
    }

    /// The journals that wait for a home, oldest first.
    pub fn pending(&self, home: &FsPath) -> Result<Vec<String>> {
        let Some(journals) = self.root.directory(JOURNALS)? else { return Ok(Vec::new()) };
        let tag = tag(home);
        let files = journals.entries()?.into_iter().filter(|(_, kind)| *kind == EntryKind::File);
        let mut names: Vec<String> =
            files.map(|(name, _)| name).filter(|name| name.starts_with(&tag)).collect();
        names.sort();
        Ok(names)
    }

    /// The homes that journals wait for.
    pub fn homes(&self) -> Result<Vec<PathBuf>> {
        let Some(journals) = self.root.directory(JOURNALS)? else { return Ok(Vec::new()) };
        let mut homes = Vec::new();
        for (name, _) in journals.entries()? {
            let bytes = match read_journal(&journals, &name) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!("a journal cannot be read: {error}");
                    continue;
                }
            };
            match decode(&bytes) {
                Some((head, _)) => homes.push(PathBuf::from(head.home)),
                None => {
                    tracing::warn!("{}/{name}: not a whole journal, removed", journals.path().display());
                    journals.unlink(&name)?;
                }
            }
        }
        homes.sort();
        homes.dedup();
        Ok(homes)
    }
}

/// The commit with what lost in it as operations too: it is as durable as the rest.
fn with_lost(mut commit: Commit, change: &str) -> Commit {
    let lost = std::mem::take(&mut commit.lost).into_iter().map(|(file, content)| Operation {
        file: history::lost(change, &file),
        before: State::Absent,
        after: Some(content),
    });
    commit.operations.extend(lost);
    commit
}

/// What is under a name now.
fn state(directory: &Directory, name: &str) -> Result<State> {
    match directory.read(name) {
        Ok(Some((content, _))) => Ok(State::Bytes(content_hash(&content))),
        Ok(None) => Ok(directory.kind(name)?.map_or(State::Absent, |_| State::Unreadable)),
        Err(error) if error.is_passing() => Err(error),
        Err(_) => Ok(State::Unreadable),
    }
}

/// What a home's journals start with.
fn tag(home: &FsPath) -> String {
    blake3::hash(home.as_os_str().as_encoded_bytes()).to_hex()[..12].to_owned()
}

fn file_name(file: &FsPath) -> Result<String> {
    let name = file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| Error::io(file, rustix::io::Errno::INVAL))
}

/// The directory of a file below the home, if it is there.
fn parent(home: &Directory, file: &FsPath) -> Result<Option<Directory>> {
    home.directory(file.parent().unwrap_or(FsPath::new("")))
}

fn place(home: &Directory, file: &FsPath) -> Result<(Directory, String)> {
    Ok((home.existing(file.parent().unwrap_or(FsPath::new("")))?, file_name(file)?))
}

/// A journal may be larger than any file that is read for a calendar.
fn read_journal(journals: &Directory, name: &str) -> Result<Option<Vec<u8>>> {
    Ok(journals.read_up_to(name, u64::MAX)?.map(|(content, _)| content))
}

/// Makes all files and directories of a journal durable.
fn sync_all(home: &Directory, head: &Head) -> Result<()> {
    if head.operations.len() > SYNC_EACH {
        return rustix::fs::syncfs(home.fd()).map_err(|error| Error::io(home.path(), error));
    }
    let mut directories: Vec<&FsPath> = Vec::new();
    for line in &head.operations {
        let file = FsPath::new(&line.file);
        let Some(directory) = parent(home, file)? else { continue };
        if line.after.is_some()
            && let Some(fd) = directory.open_beneath(
                FsPath::new(&file_name(file)?),
                rustix::fs::OFlags::RDONLY,
                rustix::fs::Mode::empty(),
            )?
        {
            rustix::fs::fsync(&fd).map_err(|error| Error::io(home.path().join(file), error))?;
        }
        let directory = file.parent().unwrap_or(FsPath::new(""));
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    for directory in directories {
        if let Some(directory) = home.directory(directory)? {
            directory.sync()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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

        fn files(&self) -> Vec<(String, String)> {
            self.below("users/alice", |path| !path.contains(".history"))
        }

        fn history(&self) -> Vec<String> {
            let files = self.below("users/alice/.history", |_| true);
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
            after: after.map(|after| after.as_bytes().to_vec()),
        }
    }

    fn commit(operations: Vec<Operation>) -> Commit {
        Commit { home: PathBuf::from("users/alice"), operations, lost: Vec::new() }
    }

    fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
    }

    #[test]
    fn one_file_is_replaced_and_its_old_bytes_are_kept() {
        let tree = Tree::new(&[("Calendar/a.ics", "old")]);
        let made = tree.journals.commit(commit(vec![operation("Calendar/a.ics", Some("old"), Some("new"))]));
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
        let Ok(Made::Journaled(name)) = tree.journals.commit(commit(operations)) else { panic!("a journal") };
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
        let bytes = encode(&commit(operations)).expect("encode").parts().collect::<Vec<_>>().concat();
        let name = "0-20261123T183000.000000Z-1-0".to_owned();
        std::fs::create_dir_all(tree.tree.path().join(".journal")).expect("mkdir");
        std::fs::write(tree.tree.path().join(".journal").join(&name), bytes).expect("write");
        std::fs::write(tree.tree.path().join("users/alice/Calendar/a.ics"), "later").expect("write");
        std::fs::write(tree.tree.path().join("users/alice/Calendar/b.ics"), "later too").expect("write");
        tree.journals.apply(HOME.as_ref(), &name).expect("apply");
        assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "later"), ("Calendar/b.ics", "later too")]));
        assert_eq!(tree.history(), ["A"]);
    }

    #[test]
    fn half_a_journal_changes_nothing() {
        let tree = Tree::new(&[("Calendar/a.ics", "a")]);
        let operations = vec![
            operation("Calendar/a.ics", Some("a"), Some("A")),
            operation("Calendar/b.ics", None, Some("b")),
        ];
        let bytes = encode(&commit(operations)).expect("encode").parts().collect::<Vec<_>>().concat();
        for len in [0, 10, 40, bytes.len() - 1] {
            std::fs::create_dir_all(tree.tree.path().join(".journal")).expect("mkdir");
            std::fs::write(tree.tree.path().join(".journal/x"), &bytes[..len]).expect("write");
            tree.journals.apply(HOME.as_ref(), "x").expect("apply");
            assert_eq!(tree.files(), pairs(&[("Calendar/a.ics", "a")]));
        }
    }
}
