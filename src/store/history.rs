//! `.history/` of a home: what was replaced or removed, for a while. One directory for each change, named by its time,
//! with the earlier files under their own paths.

use std::path::{Path as FsPath, PathBuf};

use jiff::{Timestamp, ToSpan};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::disk::{Directory, EntryKind};
use super::staging::Staging;
use crate::error::{Error, Result};

const HISTORY: &str = ".history";
/// How a change's name says its time: `20261123T183000.123456Z`, in UTC.
const TIME: &str = "%Y%m%dT%H%M%S%.6fZ";

/// The time now as names of changes carry it.
pub fn now() -> String {
    Timestamp::now().strftime(TIME).to_string()
}

/// The directory of a change: `change` ends in what [`now`] gave and a process's own numbers.
fn directory(change: &str) -> PathBuf {
    let time = change.split_once('-').map_or(change, |(_, time)| time);
    FsPath::new(HISTORY).join(time)
}

fn split(file: &FsPath) -> (&FsPath, &std::ffi::OsStr) {
    (file.parent().unwrap_or(FsPath::new("")), file.file_name().unwrap_or_default())
}

/// Links `file` of a home into the history, before it is replaced or removed.
pub fn keep(home: &Directory, change: &str, file: &FsPath) -> Result<()> {
    let (parent, name) = split(file);
    let kept = home.make_unsynced(directory(change).join(parent))?;
    let from = home.existing(parent)?;
    match rustix::fs::linkat(from.fd(), name, kept.fd(), name, AtFlags::empty()) {
        Ok(()) => Ok(()),
        // A replay has linked it before.
        Err(Errno::EXIST) => Ok(()),
        // Somebody removed it meanwhile: there is nothing to keep.
        Err(Errno::NOENT) => Ok(()),
        // A directory has no second name: it moves.
        Err(Errno::PERM | Errno::ISDIR | Errno::MLINK) => from.rename(name, &kept, &name.to_string_lossy()),
        Err(error) => Err(Error::io(kept.path().join(name), error)),
    }
}

/// Moves what [`keep`] kept back to where it was.
pub fn put_back(home: &Directory, change: &str, file: &FsPath) -> Result<()> {
    let (parent, name) = split(file);
    let kept = home.existing(directory(change).join(parent))?;
    kept.rename(name, &home.existing(parent)?, &name.to_string_lossy())
}

/// Where a version goes that never was in the tree, because what is there won.
pub fn lost(change: &str, file: &FsPath) -> PathBuf {
    let (parent, name) = split(file);
    directory(change).join(parent).join("lost").join(name)
}

/// Keeps such a version.
pub fn keep_lost(
    home: &Directory,
    change: &str,
    file: &FsPath,
    content: &[u8],
    staging: &Staging,
) -> Result<()> {
    let lost = lost(change, file);
    let (parent, name) = split(&lost);
    let kept = home.make_unsynced(parent)?;
    staging.write_unsynced(content, &kept)?.place(&kept, &name.to_string_lossy())
}

/// Moves a whole calendar into the history, durably.
pub fn keep_calendar(home: &Directory, path: &FsPath) -> Result<()> {
    let (parent, name) = split(path);
    let change = format!("-{}-{}", now(), std::process::id());
    let kept = home.make(directory(&change).join(parent))?;
    let from = home.existing(parent)?;
    from.rename(name, &kept, &name.to_string_lossy())?;
    kept.sync()?;
    from.sync()
}

/// Removes the directories above `path` that are empty, up to the home.
pub fn prune(home: &Directory, path: &FsPath) -> Result<()> {
    for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
        let (parent, name) = split(folder);
        let parent = home.existing(parent)?;
        match rustix::fs::unlinkat(parent.fd(), name, AtFlags::REMOVEDIR) {
            Ok(()) => parent.sync()?,
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Error::io(parent.path().join(name), error)),
        }
    }
    Ok(())
}

/// Removes from a home's history what is older than `days` days.
pub fn expire(home: &Directory, now: Timestamp, days: u32) -> Result<()> {
    let Some(history) = home.directory(HISTORY)? else { return Ok(()) };
    let Ok(oldest) = now.checked_sub((i64::from(days) * 24).hours()) else { return Ok(()) };
    let oldest = oldest.strftime(TIME).to_string();
    for (name, kind) in history.entries()? {
        // Names that are no times are somebody's own.
        let Some(time) = name.get(..oldest.len()) else { continue };
        let is_change = time.as_bytes()[8] == b'T' && time.starts_with(|c: char| c.is_ascii_digit());
        if kind == EntryKind::Directory && is_change && time < oldest.as_str() {
            let path = history.path().join(&name);
            std::fs::remove_dir_all(&path).map_err(|error| Error::io(path, error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_expires_and_nothing_else() {
        let tree = tempfile::tempdir().expect("a directory");
        for name in
            ["20260101T000000.000000Z-1-0", "20260301T000000.000000Z-1-0", "my own notes about it all"]
        {
            std::fs::create_dir_all(tree.path().join(".history").join(name).join("Calendar")).expect("mkdir");
        }
        let home = Directory::root(tree.path()).expect("open");
        let now = "2026-03-10T00:00:00Z".parse().expect("a time");
        expire(&home, now, 30).expect("expire");
        let mut left: Vec<String> = home
            .existing(HISTORY)
            .expect("open")
            .entries()
            .expect("list")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        left.sort();
        assert_eq!(left, ["20260301T000000.000000Z-1-0", "my own notes about it all"]);
    }
}
