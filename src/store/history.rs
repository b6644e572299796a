//! `.history/` of a home: what was replaced or removed, for a while. One directory for each change, named by its time,
//! with the earlier files under their own paths; `record` says beside them who made the change.

use std::path::{Path as FsPath, PathBuf};

use jiff::Timestamp;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::disk::Directory;
use super::staging::Staging;
use crate::error::{Error, Result};

pub const HISTORY: &str = ".history";
/// How a change's name says its time: `20261123T183000.123456Z`, in UTC.
pub const TIME: &str = "%Y%m%dT%H%M%S%.6fZ";

/// A time as names of changes carry it.
pub fn spelled(time: Timestamp) -> String {
    time.strftime(TIME).to_string()
}

/// The name of a change in the history, by its journal's, which has the home's tag before it.
pub fn bare(journal: &str) -> &str {
    journal.split_once('-').map_or(journal, |(_, bare)| bare)
}

/// The directory of a change, below the home.
pub fn directory(change: &str) -> PathBuf {
    FsPath::new(HISTORY).join(change)
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

/// Drops what [`keep`] kept of a file that was not replaced after all.
pub fn unkeep(home: &Directory, change: &str, file: &FsPath) -> Result<()> {
    let (parent, name) = split(file);
    let (from, kept) = (home.existing(parent)?, home.existing(directory(change).join(parent))?);
    let name = name.to_string_lossy();
    match from.kind(&name)? {
        Some(_) => kept.remove(&name),
        None => kept.rename(&*name, &from, &name),
    }
}

/// Moves what was kept or taken back to where it was.
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

/// Moves `file` of a home into the history, which removes it; what is moved is what was there, whoever wrote it.
pub fn take(home: &Directory, change: &str, file: &FsPath) -> Result<()> {
    let (parent, name) = split(file);
    let kept = home.make_unsynced(directory(change).join(parent))?;
    home.existing(parent)?.rename(name, &kept, &name.to_string_lossy())
}

/// Moves a directory of a home into the history, durably. One rename: it is here or there, whatever happens.
pub fn take_directory(home: &Directory, change: &str, path: &FsPath) -> Result<()> {
    let (parent, name) = split(path);
    let kept = home.make(directory(change).join(parent))?;
    let from = home.existing(parent)?;
    from.rename(name, &kept, &name.to_string_lossy())?;
    kept.sync().and_then(|()| from.sync()).inspect_err(|_| {
        // Whoever asked is told that nothing was changed, so nothing may be.
        if let Err(error) = kept.rename(name, &from, &name.to_string_lossy()) {
            tracing::error!("a removal that failed cannot be undone: {error}");
        }
    })
}

/// `path`, or the highest directory above it that holds nothing else: a folder that holds nothing any more would be taken
/// for a calendar.
pub fn alone(home: &Directory, path: &FsPath) -> Result<PathBuf> {
    let mut alone = path;
    for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
        if home.existing(folder)?.entries()?.len() > 1 {
            break;
        }
        alone = folder;
    }
    Ok(alone.to_path_buf())
}
