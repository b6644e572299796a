//! Journals that are made and not on disk in full: applied, also by whoever finds one that a crash or a copy has left.
//!
//! It may be killed anywhere and done again. An operation is applied only to its before-state; its after-state is left alone,
//! unless it may be one that the disk refused; what a power cut has left of that is written again; anything else is somebody's
//! later change, which stays, and ours goes to the history. A journal that another change follows in the home's log was applied
//! in full: it came into a copy of the tree by chance, and is dropped.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::journal::{JOURNALS, Journal, Line, is_torn, spelled, tag};
use super::operation::{file_name, parent, state};
use super::{Journals, SYNC_EACH};
use crate::error::{Error, Result};
use crate::store::disk::staging::Staging;
use crate::store::disk::{Directory, EntryKind};
use crate::store::history::log::{self, Log};
use crate::store::history::{self, HISTORY, Kept, LOGS, Leaving};
use crate::store::took::took;

/// What is under a journal's name.
enum Waiting {
    Whole(Box<Journal>),
    /// Something whose checksum does not hold.
    Half,
    Nothing,
}

/// What a file is taken for that is found as it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Placed just now: if the disk refuses it, the sync that follows tells.
    Ours,
    /// Perhaps what the disk refused, and another sync told somebody else of: then it is in memory only, where it looks as good
    /// as any other, and no later sync tells of it again.
    Doubtful,
}

impl Journals {
    /// Applies what a crash or a copy has left of a home's commits. The caller holds the home's lock. May be done again.
    ///
    /// # Errors
    /// `Io` also on a read-only file system, where nobody can.
    pub fn replay(&self, home: &FsPath) -> Result<()> {
        for change in self.pending(home)? {
            if self.staging.ask_to_stage().is_err() {
                let why = "a save is unfinished, and the file system is read-only: copy the data directory and ask the copy";
                let error = io::Error::new(io::ErrorKind::ReadOnlyFilesystem, why);
                return Err(Error::io(self.root.path().join(JOURNALS).join(change), error));
            }
            if log::is_followed(&self.root.existing(home)?, history::bare(&change))? {
                tracing::info!("{}: a journal that was applied before is dropped", home.display());
                self.root.existing(JOURNALS)?.remove(&change)?;
                continue;
            }
            self.apply_again(home, &change)?;
        }
        Ok(())
    }

    /// Applies a journal that was made just now, makes it durable and removes it. The caller holds the home's lock. Whoever
    /// failed in this goes on with [`Journals::apply_again`].
    pub fn apply(&self, home: &FsPath, journal: &str) -> Result<()> {
        self.bring_to_disk(home, journal, Found::Ours)
    }

    /// As [`Journals::apply`], of a journal of which that was begun before, by whomever. May be done again.
    pub fn apply_again(&self, home: &FsPath, journal: &str) -> Result<()> {
        self.bring_to_disk(home, journal, Found::Doubtful)
    }

    fn bring_to_disk(&self, home: &FsPath, journal: &str, found: Found) -> Result<()> {
        // Opened before anything is placed: a descriptor that is younger than a failed write is not told of it.
        let home = self.root.open(home)?.ok_or_else(|| Error::io(home, Errno::NOENT))?;
        match self.read(journal)? {
            Waiting::Whole(journal) => {
                Log::open(&home)?.append_once(&journal.record)?;
                self.placing(&home, &journal, found).all(&journal)?;
                sync_all(&home, &journal)?;
            }
            // Never acknowledged: it is named only after it is durable, so this is a copy of a half-written file.
            Waiting::Half => tracing::warn!("{journal}: a journal that is not whole is removed"),
            Waiting::Nothing => {}
        }
        let journals = self.root.existing(JOURNALS)?;
        journals.remove(journal)?;
        // Where the order is not kept, it could come back after later changes.
        if journals.is_ordered() { Ok(()) } else { journals.sync() }
    }

    /// Puts the files of a journal in place that was made just now.
    pub(in crate::store) fn place(&self, home: &Directory, journal: &str, log: &mut Log) -> Result<()> {
        let Waiting::Whole(journal) = self.read(journal)? else { return Ok(()) };
        took(HISTORY, || log.append(&journal.record))?;
        self.placing(home, &journal, Found::Ours).all(&journal)
    }

    fn placing<'p>(&'p self, home: &'p Directory, journal: &'p Journal, found: Found) -> Placing<'p> {
        Placing { home, change: &journal.record.change, staging: &self.staging, found }
    }

    fn read(&self, journal: &str) -> Result<Waiting> {
        let Some(journals) = self.root.directory(JOURNALS)? else { return Ok(Waiting::Nothing) };
        let Some((file, _)) = journals.file(journal)? else { return Ok(Waiting::Nothing) };
        let decoded = Journal::decode(file, history::bare(journal));
        let decoded = decoded.map_err(|error| Error::io(journals.path().join(journal), error))?;
        Ok(decoded.map_or(Waiting::Half, |journal| Waiting::Whole(Box::new(journal))))
    }

    /// The journals that wait for a home, oldest first.
    pub fn pending(&self, home: &FsPath) -> Result<Vec<String>> {
        // Opened in full, it brings the news of other machines.
        let journals =
            if self.root.is_ordered() { self.root.directory(JOURNALS)? } else { self.root.open(JOURNALS)? };
        let Some(journals) = journals else { return Ok(Vec::new()) };
        let stamp = journals.own_stamp()?;
        if *self.idle.lock() == Some(stamp) {
            return Ok(Vec::new());
        }
        let read_at = SystemTime::now();
        let entries = journals.entries()?;
        // Elsewhere stamps may be another machine's, or too coarse.
        if entries.is_empty() && !journals.is_racy(stamp, read_at) && journals.is_ordered() {
            *self.idle.lock() = Some(stamp);
        }
        let tag = tag(home);
        let files = entries.into_iter().filter(|(_, kind)| *kind == EntryKind::File);
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
            match self.read(&name) {
                Ok(Waiting::Whole(journal)) => homes.push(PathBuf::from(journal.home)),
                Ok(Waiting::Half) => {
                    tracing::warn!("{}/{name}: not a whole journal, removed", journals.path().display());
                    // Another process that starts now may be faster.
                    journals.remove(&name)?;
                }
                Ok(Waiting::Nothing) => {}
                Err(error) => tracing::error!("a journal cannot be read: {error}"),
            }
        }
        homes.sort();
        homes.dedup();
        Ok(homes)
    }
}

/// The files of a journal that are being put in place.
struct Placing<'p> {
    home: &'p Directory,
    change: &'p str,
    staging: &'p Staging,
    found: Found,
}

impl Placing<'_> {
    /// Puts a journal's files in place, as far as they are not.
    fn all(&self, journal: &Journal) -> Result<()> {
        journal.operations().try_for_each(|operation| {
            let (line, content) = operation.map_err(|error| Error::io(JOURNALS, error))?;
            self.one(&line, &content)
        })
    }

    fn one(&self, line: &Line, content: &[u8]) -> Result<()> {
        match self.try_one(line, content) {
            // Something of somebody's is in the way for good: that stays. Where we have no right to write nothing is in the way:
            // the commit waits until we have.
            Err(error) if !error.is_passing() && !error.is_refused() => {
                tracing::warn!("a part of a commit goes to the history: {error}");
                self.lose(line, content)
            }
            other => other,
        }
    }

    fn try_one(&self, line: &Line, content: &[u8]) -> Result<()> {
        let file = FsPath::new(&line.file);
        let directory = match parent(self.home, file)? {
            Some(directory) => directory,
            None if line.after.is_none() => return Ok(()),
            None => self.home.make(file.parent().unwrap_or(FsPath::new("")))?,
        };
        let name = file_name(file)?;
        let current = spelled(state(&directory, &name)?);
        if current == line.after {
            return match line.after {
                Some(_) if self.found == Found::Doubtful => {
                    self.staging.write_unsynced(content, &directory)?.place(&directory, &name)
                }
                _ => Ok(()),
            };
        }
        // Files are placed before their content is durable: a power cut may have left us half of ours.
        let torn = current != line.before && line.after.is_some() && is_left_of(&directory, &name, content)?;
        if current != line.before && !torn && !(current.is_none() && self.has_moved(line)?) {
            return self.lose(line, content);
        }
        let leaving = Leaving { home: self.home, change: self.change, file, from: &directory, name: &name };
        if line.after.is_none() {
            return took(HISTORY, || leaving.take());
        }
        let staged = self.staging.write_unsynced(content, &directory)?;
        if torn {
            return staged.place(&directory, &name);
        }
        if current.is_some() {
            took(HISTORY, || leaving.keep(self.staging))?;
            return staged.place(&directory, &name);
        }
        match staged.add(&directory, &name)? {
            true => Ok(()),
            false => self.lose(line, content),
        }
    }

    /// Whether what was there is in the history, as this very change found it: not all can be there and here at once, and a
    /// kill may have come in between.
    fn has_moved(&self, line: &Line) -> Result<bool> {
        let file = FsPath::new(&line.file);
        for place in [Kept::Version.place(self.change, file), history::removed(self.change).join(file)] {
            if let Some(kept) = parent(self.home, &place)?
                && spelled(state(&kept, &file_name(&place)?)?) == line.before
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps what a commit would have put where somebody's later change is.
    fn lose(&self, line: &Line, content: &[u8]) -> Result<()> {
        match line.after {
            Some(_) => {
                // Acknowledged and not here: whoever misses it must be able to find it.
                let (home_path, file) = (self.home.path().display(), &line.file);
                tracing::warn!(
                    "{home_path}/{file}: not put in its place, for what is there is not what the save found; what was saved is in the history"
                );
                history::keep_lost(self.home, self.change, FsPath::new(file), content, self.staging)
            }
            None => Ok(()),
        }
    }
}

/// Whether what is under a name now is left of `content` after a power cut.
fn is_left_of(directory: &Directory, name: &str, content: &[u8]) -> Result<bool> {
    Ok(directory.read(name)?.is_some_and(|(found, _)| is_torn(&found, content)))
}

/// Makes durable what a journal has changed: files, directories, what the history keeps of them, and the record.
fn sync_all(home: &Directory, journal: &Journal) -> Result<()> {
    if journal.count > SYNC_EACH {
        return home.sync_file_system();
    }
    let lines: Result<Vec<Line>, _> = journal.lines().collect();
    let lines = lines.map_err(|error| Error::io(JOURNALS, error))?;
    let files = || lines.iter().map(|line| FsPath::new(&line.file));
    let mut kept = BTreeSet::from([PathBuf::from(LOGS)]);
    for place in files().flat_map(|file| Kept::ALL.map(|kept| kept.place(&journal.record.change, file))) {
        kept.extend(history::above(&place).map(FsPath::to_path_buf));
    }
    // First: not every file system keeps the order, and what replaces them must not be durable before they are.
    sync_each(home, &kept)?;
    for line in lines.iter().filter(|line| line.after.is_some()) {
        sync_file(home, FsPath::new(&line.file))?;
    }
    sync_each(home, &files().filter_map(FsPath::parent).map(FsPath::to_path_buf).collect())?;
    sync_file(home, &log::log_at(&journal.record.change))
}

/// Makes durable those directories that are there.
fn sync_each(home: &Directory, directories: &BTreeSet<PathBuf>) -> Result<()> {
    directories.iter().try_for_each(|directory| match home.directory(directory)? {
        Some(directory) => directory.sync(),
        None => Ok(()),
    })
}

/// Makes a file durable if it is there.
fn sync_file(home: &Directory, file: &FsPath) -> Result<()> {
    match home.open_beneath(file, OFlags::RDONLY, Mode::empty())? {
        Some(fd) => rustix::fs::fsync(&fd).map_err(|error| Error::io(home.path().join(file), error)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;
    use crate::store::commit::operation::Operation;
    use crate::store::commit::{Commit, Made};
    use crate::store::disk::content::{Content, State};
    use crate::store::history::record::Cause;

    const HOME: &str = "users/alice";
    const FILES: [&str; 2] = ["Calendar/a.ics", "Calendar/b.ics"];

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(tree.path().join(HOME)).expect("mkdir");
        tree
    }

    /// What a process has of a tree.
    fn journals(tree: &tempfile::TempDir) -> Journals {
        let root = || Directory::root(tree.path()).expect("open");
        Journals::open(root(), Staging::open(&root()).expect("staging"))
    }

    /// Makes a commit of two new files, and does not apply it; gives the journal.
    fn commit(journals: &Journals) -> String {
        commit_of(journals, [State::Absent, State::Absent])
    }

    /// As [`commit`], of files that were as `before` says.
    fn commit_of(journals: &Journals, before: [State; 2]) -> String {
        let operation = |(file, before)| Operation {
            file: PathBuf::from(file),
            before,
            stamp: None,
            after: Some(Content::Bytes(b"new".to_vec())),
        };
        let home = journals.root.existing(HOME).expect("open");
        let operations = FILES.into_iter().zip(before).map(operation).collect();
        let commit =
            Commit { home: PathBuf::from(HOME), operations, lost: Vec::new(), cause: Cause::default() };
        let Ok(Made::Journaled(journal)) = journals.commit(&home, commit) else { panic!("a journal") };
        journal
    }

    fn pending(journals: &Journals) -> Vec<String> {
        journals.pending(HOME.as_ref()).expect("a list")
    }

    #[test]
    fn a_journal_that_another_process_makes_is_seen_however_long_none_was_there() {
        let tree = tree();
        let (one, other) = (journals(&tree), journals(&tree));
        let journal = commit(&other);
        other.apply(HOME.as_ref(), &journal).expect("applied");
        std::fs::remove_dir_all(tree.path().join(HOME).join("Calendar")).expect("removed");
        while one.idle.lock().is_none() {
            assert!(pending(&one).is_empty());
            std::thread::sleep(Duration::from_millis(5));
        }
        let journal = commit(&other);
        assert_eq!(pending(&one), [journal]);
        one.replay(HOME.as_ref()).expect("applied");
        let home = tree.path().join(HOME);
        assert!(FILES.iter().all(|file| std::fs::read(home.join(file)).is_ok_and(|text| text == b"new")));
        assert!(pending(&one).is_empty() && pending(&other).is_empty());
    }

    #[test]
    fn a_stamp_that_a_journal_could_leave_as_it_is_is_not_remembered() {
        let tree = tree();
        let journals = journals(&tree);
        let directory = tree.path().join(JOURNALS);
        std::fs::create_dir(&directory).expect("mkdir");
        // Later than the clock says: whatever comes next may have the same time.
        let ahead = SystemTime::now() + Duration::from_secs(3600);
        std::fs::File::open(&directory).and_then(|it| it.set_modified(ahead)).expect("a time");
        assert!(pending(&journals).is_empty());
        assert_eq!(*journals.idle.lock(), None);
        // Nor is one of a directory in which something waits for anybody.
        let past = SystemTime::now() - Duration::from_secs(3600);
        std::fs::write(directory.join(format!("{}-x", tag("users/bob".as_ref()))), "x").expect("write");
        std::fs::File::open(&directory).and_then(|it| it.set_modified(past)).expect("a time");
        std::thread::sleep(Duration::from_millis(50));
        assert!(pending(&journals).is_empty());
        assert_eq!(*journals.idle.lock(), None);
    }

    #[test]
    fn what_the_disk_may_have_refused_is_written_again_and_nothing_else_is() {
        let tree = tree();
        let journals = journals(&tree);
        let inodes =
            || FILES.map(|file| std::fs::metadata(tree.path().join(HOME).join(file)).expect("a file").ino());
        let journal = commit(&journals);
        let copy = std::fs::read(tree.path().join(JOURNALS).join(&journal)).expect("read");
        let placed = inodes();
        journals.apply(HOME.as_ref(), &journal).expect("applied");
        assert_eq!(inodes(), placed);
        std::fs::write(tree.path().join(JOURNALS).join(&journal), copy).expect("write");
        // Held: their numbers go to no others.
        let held = FILES.map(|file| std::fs::File::open(tree.path().join(HOME).join(file)).expect("open"));
        journals.replay(HOME.as_ref()).expect("applied");
        assert!(inodes().iter().all(|inode| !placed.contains(inode)));
        assert!(held.iter().all(|file| file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)));
        assert!(pending(&journals).is_empty());
    }

    #[test]
    fn what_this_very_change_moved_into_the_history_is_nobodys_removal() {
        let (change, file) = (|journal: &str| history::bare(journal).to_owned(), FsPath::new(FILES[0]));
        for is_kept in [true, false] {
            let tree = tree();
            let journals = journals(&tree);
            let (home, at) = (tree.path().join(HOME), tree.path().join(HOME).join(file));
            std::fs::create_dir(home.join("Calendar")).expect("mkdir");
            std::fs::write(&at, "old").expect("write");
            let before = State::Bytes(crate::store::disk::content::content_hash(b"old"));
            let journal = commit_of(&journals, [before, State::Absent]);
            // As if it had died before the new file was there.
            std::fs::remove_file(&at).expect("removed");
            if !is_kept {
                std::fs::remove_file(home.join(Kept::Version.place(&change(&journal), file)))
                    .expect("removed");
            }
            journals.replay(HOME.as_ref()).expect("applied");
            assert_eq!(std::fs::read(&at).ok(), is_kept.then(|| b"new".to_vec()));
            assert_eq!(home.join(Kept::Lost.place(&change(&journal), file)).exists(), !is_kept);
        }
    }

    #[test]
    fn those_who_look_for_journals_at_once_all_get_over_one_that_is_not_whole() {
        let tree = tree();
        let journals = [journals(&tree), journals(&tree)];
        let journal = tree.path().join(JOURNALS);
        std::fs::create_dir(&journal).expect("mkdir");
        for _ in 0..300 {
            std::fs::write(journal.join("half"), "half").expect("write");
            std::thread::scope(|scope| {
                for journals in &journals {
                    scope.spawn(|| assert!(journals.homes().expect("a list").is_empty()));
                }
            });
        }
    }
}
