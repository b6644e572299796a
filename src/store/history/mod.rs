//! `.history/` of a home: what was replaced or removed, for a while. `log` has beside it who made which change.
//!
//! - `versions/Work/Projects/a.ics~<change>`: `Work/Projects/a.ics` as it was before the change;
//! - `lost/Work/Projects/a.ics~<change>`: a version that never was in the tree, because what was there won;
//! - `removed/<change>/Work/Projects/`: a calendar that was removed as a whole.
//!
//! No directory for each change: to make one costs more than to write a durable file.

pub mod expiry;
pub mod log;
pub mod made;
pub mod record;
pub mod timeline;
pub mod told;
pub mod went_back;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path as FsPath, PathBuf};

use jiff::Timestamp;
use jiff::fmt::strtime;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::store::disk::staging::Staging;
use crate::store::disk::{Directory, EntryKind, split};

pub const HISTORY: &str = ".history";
pub const REMOVED: &str = ".history/removed";
/// A directory of their own: a history has as many names as there were changes, and each commit looks for the newest log.
pub const LOGS: &str = ".history/log";
/// Between a file's name and its change's. No change has it in its name.
const BEFORE_THE_CHANGE: char = '~';
/// In bytes. What would be longer with its change's name is alone in a directory that has that name.
const LONGEST_NAME: usize = 255;
/// How a change's name says its time: `20261123T183000.123456Z`, in UTC.
const TIME: &str = "%Y%m%dT%H%M%S%.6fZ";

/// A time as names of changes carry it.
pub fn spelled(time: Timestamp) -> String {
    time.strftime(TIME).to_string()
}

/// When a change was made, by its name.
pub fn time_of(change: &str) -> Option<Timestamp> {
    let time = change.split('-').next()?;
    strtime::parse(TIME, time)
        .ok()?
        .to_datetime()
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|time| time.timestamp())
}

/// The name of a change in the history, by its journal's, which has the home's tag before it.
pub fn bare(journal: &str) -> &str {
    journal.split_once('-').map_or(journal, |(_, bare)| bare)
}

/// What `.history/` keeps of files, each in a tree of its own that is shaped like the home's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    Version,
    Lost,
}

impl Kept {
    pub const ALL: [Kept; 2] = [Kept::Version, Kept::Lost];

    pub fn directory(self) -> &'static str {
        match self {
            Kept::Version => ".history/versions",
            Kept::Lost => ".history/lost",
        }
    }

    /// Where it is of `file`, below the home.
    pub fn place(self, change: &str, file: &FsPath) -> PathBuf {
        let (parent, name) = split(file);
        let mut kept = name.to_os_string();
        kept.push(format!("{BEFORE_THE_CHANGE}{change}"));
        if kept.len() > LONGEST_NAME {
            kept = OsString::from(format!("{BEFORE_THE_CHANGE}{change}"));
            return FsPath::new(self.directory()).join(parent).join(kept).join(name);
        }
        FsPath::new(self.directory()).join(parent).join(kept)
    }

    /// The change and the file of the home that something `below` this tree is of, or nothing if it is none of ours.
    pub fn told(below: &FsPath) -> Option<(String, PathBuf)> {
        let (parent, name) = split(below);
        let by_name = |name: &OsStr| {
            let (file, change) = name.to_str()?.rsplit_once(BEFORE_THE_CHANGE)?;
            time_of(change)?;
            Some((change.to_owned(), file.to_owned()))
        };
        match by_name(name) {
            Some((change, file)) => (!file.is_empty()).then(|| (change, parent.join(file))),
            None => {
                let (parent, change) = split(parent);
                by_name(change)
                    .filter(|(_, file)| file.is_empty())
                    .map(|(change, _)| (change, parent.join(name)))
            }
        }
    }
}

/// Whether a name in `.history/` is that of one of our directories.
pub fn is_ours(name: &OsStr) -> bool {
    let ours = Kept::ALL.map(Kept::directory).into_iter().chain([REMOVED, LOGS]);
    ours.filter_map(|path| FsPath::new(path).file_name()).any(|ours| ours == name)
}

/// Something that is kept of a file.
#[derive(Debug)]
pub struct Entry {
    pub change: String,
    /// Below the home, as is the next.
    pub file: PathBuf,
    pub place: PathBuf,
}

/// All that is kept of files.
pub fn entries(home: &Directory, kept: Kept) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(below) = left.pop() {
        let at = FsPath::new(kept.directory()).join(&below);
        let Some(directory) = home.directory(&at)? else { continue };
        for (name, kind) in directory.entries()? {
            let (place, below) = (at.join(&name), below.join(&name));
            // A calendar may be called like a version of something: but versions are files.
            match Kept::told(&below).filter(|_| kind != EntryKind::Directory) {
                Some((change, file)) => entries.push(Entry { change, file, place }),
                None if kind == EntryKind::Directory => left.push(below),
                None => {}
            }
        }
    }
    Ok(entries)
}

/// The changes that removed a calendar as a whole which is still kept, oldest first.
pub fn removals(home: &Directory) -> Result<Vec<String>> {
    let Some(removed) = home.directory(REMOVED)? else { return Ok(Vec::new()) };
    let mut names: Vec<String> = removed.entries()?.into_iter().map(|(name, _)| name).collect();
    names.retain(|name| time_of(name).is_some());
    names.sort();
    Ok(names)
}

/// Where a calendar is that was removed as a whole, with all above it that it was alone in, below the home.
pub fn removed(change: &str) -> PathBuf {
    FsPath::new(REMOVED).join(change)
}

/// The directory that a place below the home is in, which is made if it is missing, and its name there.
fn made(home: &Directory, place: &FsPath) -> Result<(Directory, String)> {
    let (parent, name) = split(place);
    Ok((home.make_unsynced(parent)?, name.to_string_lossy().into_owned()))
}

/// A file of a home, in a change that replaces or removes it.
pub struct Leaving<'c> {
    pub home: &'c Directory,
    pub change: &'c str,
    /// Below the home.
    pub file: &'c FsPath,
    /// Where it is: its directory, and its name there.
    pub from: &'c Directory,
    pub name: &'c str,
}

impl Leaving<'_> {
    /// Links it into the history, before it is replaced.
    pub fn keep(&self, staging: &Staging) -> Result<()> {
        let Leaving { from, name, .. } = *self;
        let (kept, its) = self.version()?;
        match rustix::fs::linkat(from.fd(), name, kept.fd(), &*its, AtFlags::empty()) {
            Ok(()) => Ok(()),
            // A replay has linked it before.
            Err(Errno::EXIST)
                if kept.read(&its)?.map(|(bytes, _)| bytes) == from.read(name)?.map(|(bytes, _)| bytes) =>
            {
                Ok(())
            }
            // Somebody removed it meanwhile: there is nothing to keep.
            Err(Errno::NOENT) => Ok(()),
            // Some file systems have no second names, and some files may have none: such as we may read and not write
            // (`fs.protected_hardlinks`).
            Err(Errno::PERM | Errno::ISDIR | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOSYS) => {
                match from.file(name) {
                    Ok(Some((content, _))) => copy(content, &kept, &its, staging),
                    // A directory, or what we may not read: it moves, and is missing until there is another.
                    _ => self.take(),
                }
            }
            Err(error) => Err(Error::io(kept.path().join(its), error)),
        }
    }

    /// Makes durable what is kept of it, before what replaces it is: else a power cut could leave neither.
    pub fn settle(&self) -> Result<()> {
        // Where the order is kept, the sync of what replaces it brings it along.
        if self.home.is_ordered() {
            return Ok(());
        }
        let place = Kept::Version.place(self.change, self.file);
        above(&place).try_for_each(|above| self.home.existing(above)?.sync())
    }

    /// Drops what [`Leaving::keep`] kept of it, which was not replaced after all.
    pub fn unkeep(&self) -> Result<()> {
        let (kept, its) = self.version()?;
        match self.from.kind(self.name)? {
            Some(_) => kept.remove(&its),
            None => self.put_back(),
        }
    }

    /// Moves it into the history, which removes it; what is moved is what was there, whoever wrote it.
    pub fn take(&self) -> Result<()> {
        let is_directory = self.from.kind(self.name)? == Some(EntryKind::Directory);
        let (kept, its) = self.moved(is_directory)?;
        self.from.rename(self.name, &kept, &its)
    }

    /// Moves what was kept or taken back to where it was.
    pub fn put_back(&self) -> Result<()> {
        let is_directory = self.home.directory(removed(self.change).join(self.file))?.is_some();
        let (kept, its) = self.moved(is_directory)?;
        kept.rename(its, self.from, self.name)
    }

    /// Where its version is kept.
    fn version(&self) -> Result<(Directory, String)> {
        made(self.home, &Kept::Version.place(self.change, self.file))
    }

    /// Where it goes if it is moved: versions are files, and a directory that was in the place of one is something that was
    /// removed as a whole.
    fn moved(&self, is_directory: bool) -> Result<(Directory, String)> {
        match is_directory {
            true => made(self.home, &removed(self.change).join(self.file)),
            false => self.version(),
        }
    }
}

/// Copies a file into the history, durably.
fn copy(mut content: File, kept: &Directory, its: &str, staging: &Staging) -> Result<()> {
    let copied = staging.write_with(kept, |copy| std::io::copy(&mut content, copy).map(drop))?;
    match copied.add(kept, its)? {
        true => Ok(()),
        false => Err(Error::io(kept.path().join(its), Errno::EXIST)),
    }
}

/// The directories of the history that a place is in, below the home.
pub fn above(place: &FsPath) -> impl Iterator<Item = &FsPath> {
    place.ancestors().skip(1).take_while(|above| !above.as_os_str().is_empty())
}

/// Keeps a version that never was in the tree.
pub fn keep_lost(
    home: &Directory,
    change: &str,
    file: &FsPath,
    content: &[u8],
    staging: &Staging,
) -> Result<()> {
    let (kept, its) = made(home, &Kept::Lost.place(change, file))?;
    // Synced: its journal goes, and then there is no other.
    staging.write(content, &kept)?.place(&kept, &its)
}

/// Moves a directory of a home into the history, durably. One rename: it is here or there, whatever happens.
pub fn take_directory(home: &Directory, change: &str, path: &FsPath) -> Result<()> {
    let (parent, name) = split(path);
    let kept = home.make(removed(change).join(parent))?;
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
        // What has a name that is no text must not go along unseen.
        if home.existing(folder)?.count()? > 1 {
            break;
        }
        alone = folder;
    }
    Ok(alone.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &str = "20261124T215500.123456Z-7";

    #[test]
    fn what_is_kept_tells_its_file_and_its_change() {
        let long = format!("Work/{}.ics", "n".repeat(240));
        for file in ["Work/Projects/a.ics", "Calendar/.props.json", "a~b~.ics", ".freebusy.ics", &long] {
            for kept in Kept::ALL {
                let place = kept.place(CHANGE, FsPath::new(file));
                assert!(place.iter().all(|name| name.len() <= LONGEST_NAME), "{place:?}");
                let below = place.strip_prefix(kept.directory()).expect("below");
                assert_eq!(Kept::told(below), Some((CHANGE.to_owned(), PathBuf::from(file))));
            }
        }
        assert_eq!(
            Kept::Version.place(CHANGE, FsPath::new("Work/a.ics")),
            FsPath::new(".history/versions/Work/a.ics~20261124T215500.123456Z-7")
        );
        for other in ["a.ics", "Work/a.ics~", "Work/a.ics~yesterday", "~20261124T215500.123456Z-7"] {
            assert_eq!(Kept::told(FsPath::new(other)), None, "{other}");
        }
    }
}
