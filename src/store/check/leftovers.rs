//! What processes that died have left: staging directories whose lock is free, and commits that nobody finishes.

use std::path::Path as FsPath;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::finding::{Finding, Kind};
use super::items::unread;
use super::look::{Seen, list};
use super::{Asked, Visit, places};
use crate::count::counted;
use crate::error::Result;
use crate::store::commit::journal::{JOURNALS, Journal};
use crate::store::commit::writer;
use crate::store::disk::Directory;
use crate::store::disk::staging::{self, TMP};
use crate::store::tree::Tree;

/// A staging directory that is younger may be about to be locked.
const SETTLED: Duration = Duration::from_secs(10);

/// Owner and mode of what is in the directory at `path`, which is that of all staging or journals, or below, or in a home that
/// a journal is for: whoever starts next has to clear the one and to apply the others.
pub fn own(asked: &Asked<'_>, path: &FsPath) -> Result<Visit> {
    let mut visit = Visit::default();
    let Some(directory) = asked.tree.root.directory(path)? else { return Ok(visit) };
    for seen in list(&directory)? {
        let is_ours = match () {
            // What a living process has made just now may not have its mode yet.
            () if path == FsPath::new(TMP) => seen.is_directory() && is_settled(&seen, asked.now),
            () if path == FsPath::new(JOURNALS) => seen.is_file(),
            () => places::is_ours(&seen) && (seen.is_file() || seen.is_directory()),
        };
        if is_ours {
            places::own(asked, &directory, &path.join(&seen.name), &seen, &mut visit);
        }
        if is_ours && seen.is_directory() {
            visit.below.push(seen.name);
        }
    }
    Ok(visit)
}

/// Staging directories of processes that are gone.
pub fn staging(root: &Directory, now: SystemTime) -> Result<Vec<Finding>> {
    let Some(tmp) = root.directory(TMP)? else { return Ok(Vec::new()) };
    let of = |seen: &Seen, path: &FsPath| of_staging(&tmp, seen, path, now);
    each(&tmp, FsPath::new(TMP), of)
}

/// What `of` finds of each name in `directory`, which is at `path`; what cannot be looked at is named among that.
fn each(
    directory: &Directory,
    path: &FsPath,
    of: impl Fn(&Seen, &FsPath) -> Result<Option<Finding>>,
) -> Result<Vec<Finding>> {
    let of = |seen: &Seen| {
        let path = path.join(&seen.name);
        of(seen, &path).unwrap_or_else(|error| Some(unread(&path, &error)))
    };
    Ok(list(directory)?.iter().filter_map(of).collect())
}

fn of_staging(tmp: &Directory, seen: &Seen, path: &FsPath, now: SystemTime) -> Result<Option<Finding>> {
    if !seen.is_directory() {
        let words = format!("{} that no process has staged", seen.what());
        return Ok(Some(Finding::new(Kind::StrayFile, path, words)));
    }
    if !is_settled(seen, now) || !is_free(tmp, &FsPath::new(&seen.name).join(staging::LOCK))? {
        return Ok(None);
    }
    let staged = tmp.directory(&seen.name)?.map_or(Ok(Vec::new()), |left| list(&left))?;
    let files = staged.iter().filter(|file| file.name != staging::LOCK).count();
    let words = format!(
        "left by a process that is gone, with {}; nobody was told that it is saved, and the next start removes it",
        counted(files, "file")
    );
    // Every process that is killed leaves an empty one, and the next start takes it away.
    Ok((files > 0).then(|| Finding::new(Kind::StaleStaging, path, words).repairable()))
}

fn is_settled(seen: &Seen, now: SystemTime) -> bool {
    let modified = UNIX_EPOCH + Duration::from_secs(u64::try_from(seen.stat.st_mtime).unwrap_or(0));
    now.duration_since(modified).is_ok_and(|age| age > SETTLED)
}

/// Whether no process holds the lock at `path`. Nothing is made for the question, and the lock is held for no time.
fn is_free(below: &Directory, path: &FsPath) -> Result<bool> {
    let Some(file) = below.open_beneath(path, OFlags::RDONLY, Mode::empty())? else { return Ok(true) };
    // A shared one: some file systems give an exclusive one only to whoever may write.
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        _ => Ok(true),
    }
}

/// Commits that are made but that nobody is applying.
pub fn journals(root: &Directory, tree: &Tree) -> Result<Vec<Finding>> {
    let Some(journals) = root.directory(JOURNALS)? else { return Ok(Vec::new()) };
    each(&journals, FsPath::new(JOURNALS), |seen, path| match seen.text().filter(|_| seen.is_file()) {
        Some(name) => of_journal(tree, &journals, name, path),
        None => {
            let words = format!("{} that is no journal", seen.what());
            Ok(Some(Finding::new(Kind::StrayFile, path, words)))
        }
    })
}

fn of_journal(tree: &Tree, journals: &Directory, name: &str, path: &FsPath) -> Result<Option<Finding>> {
    let finding = |kind, words: &str| Some(Finding::new(kind, path, words));
    let opened = match journals.file(name) {
        // Applied since it was listed.
        Ok(None) => return Ok(None),
        Ok(Some((file, _))) => Journal::decode(file, name).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let journal = match opened {
        Ok(Some(journal)) => journal,
        Ok(None) => {
            let words = "not a whole journal: nobody was told that it is saved";
            return Ok(finding(Kind::JournalTorn, words).map(Finding::repairable));
        }
        Err(error) => {
            return Ok(finding(Kind::Unreadable, &format!("a commit that cannot be read ({error})")));
        }
    };
    let commit = format!("a commit of {} for {}", counted(journal.count, "file"), journal.home);
    let home = FsPath::new(&journal.home);
    let home = tree.home_at(home).map(|_| tree.root.directory(home)).transpose()?.flatten();
    let Some(home) = home else {
        return Ok(finding(Kind::JournalHomeless, &format!("{commit}, which is gone")));
    };
    // Whoever holds the lock is at work on it.
    if !is_free(&home, FsPath::new(writer::LOCK))? || journals.kind(name)?.is_none() {
        return Ok(None);
    }
    let words = format!("{commit} that was not finished: opening the data directory finishes it");
    Ok(finding(Kind::JournalWaiting, &words).map(Finding::repairable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::calendar::last_good::LastGood;
    use crate::store::commit::journal::encode;
    use crate::store::commit::operation::Operation;
    use crate::store::disk::content::State;
    use crate::store::history::record::{Cause, Record};

    /// What is said of a journal for `home`, in a tree where alice has one; she `is_writing` if somebody holds her lock.
    fn said(home: &str, is_writing: bool) -> Vec<(Kind, String)> {
        said_of(is_writing, journal(home))
    }

    fn journal(home: &str) -> Vec<u8> {
        let operation = Operation {
            file: "Calendar/a.ics".into(),
            before: State::Absent,
            stamp: None,
            after: Some(b"a".to_vec().into()),
        };
        let record = Record::new("x".to_owned(), &Cause::default(), std::slice::from_ref(&operation));
        let mut bytes = Vec::new();
        encode(home.as_ref(), &record, &[operation], &mut bytes).expect("encoded");
        bytes
    }

    fn said_of(is_writing: bool, journal: Vec<u8>) -> Vec<(Kind, String)> {
        let data = tempfile::tempdir().expect("a directory");
        let lock = data.path().join("users/alice/.lock");
        std::fs::create_dir_all(data.path().join("users/alice")).expect("mkdir");
        std::fs::create_dir_all(data.path().join(JOURNALS)).expect("mkdir");
        std::fs::write(data.path().join(JOURNALS).join("x"), journal).expect("write");
        let lock = std::fs::File::create(lock).expect("a lock");
        if is_writing {
            rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("flock");
        }
        let root = || Directory::root(data.path()).expect("open");
        let tree = Tree::new(root(), "public", LastGood::default());
        let found = journals(&root(), &tree).expect("looked at");
        found.into_iter().map(|finding| (finding.kind, finding.words)).collect()
    }

    #[test]
    fn a_commit_waits_only_where_nobody_is_at_it() {
        let [(kind, words)] = said("users/alice", false).try_into().expect("one");
        assert_eq!(kind, Kind::JournalWaiting);
        assert!(words.starts_with("a commit of 1 file for users/alice"), "{words}");
        assert_eq!(said("users/alice", true), []);
    }

    #[test]
    fn a_commit_for_nobodys_home_is_told_apart() {
        for home in ["users/bob", "elsewhere", "users/../users/alice"] {
            assert_eq!(
                said(home, false).first().map(|(kind, _)| *kind),
                Some(Kind::JournalHomeless),
                "{home}"
            );
        }
    }

    #[test]
    fn a_commit_of_another_version_is_named_and_left_alone() {
        let body = b"kalends journal 2\n{}\n".to_vec();
        let later = [&body[..], blake3::hash(&body).as_bytes()].concat();
        let [(kind, words)] = said_of(false, later).try_into().expect("one");
        assert_eq!(kind, Kind::Unreadable);
        assert!(words.contains("another version"), "{words}");
        let torn = journal("users/alice")[1..].to_vec();
        assert_eq!(said_of(false, torn).first().map(|(kind, _)| *kind), Some(Kind::JournalTorn));
    }
}
