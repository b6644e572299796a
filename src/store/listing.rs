//! Which files a calendar has: the listing of a directory, beside others that change it.

use std::sync::Arc;
use std::time::SystemTime;

use super::disk::{Directory, EntryKind};
use super::file::Files;
use super::props::{Props, Stamps};
use super::stamp::Stamp;
use crate::error::Result;

/// Where a calendar's items are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'a> {
    /// Each `*.ics` in the directory.
    Directory,
    /// One file of the directory, which is a folder; such a calendar is read-only.
    File(&'a str),
}

impl Shape<'_> {
    /// The properties of a calendar that is called `name`, see [`Props::sweep`].
    pub fn props(
        self,
        directory: &Directory,
        name: &str,
        known: Option<(&Props, Stamps)>,
    ) -> Result<(Props, Option<Stamps>)> {
        match self {
            Shape::Directory => Props::sweep(directory, name, known),
            Shape::File(_) => Ok((Props::bare(name), None)),
        }
    }

    /// When the calendar last changed, by its directory's word; a folder has none on one of its files.
    pub fn own_time(self, directory: Stamp) -> SystemTime {
        match self {
            Shape::Directory => directory.modified(),
            Shape::File(_) => SystemTime::UNIX_EPOCH,
        }
    }
}

/// A directory as it was listed.
pub struct Listing {
    /// The items' files, and those that are known and were not listed, in order.
    pub names: Vec<Arc<str>>,
    /// What has an item's name and is no regular file.
    pub blocked: Arc<[String]>,
    pub stamp: Stamp,
}

/// Whether a file of this name holds items.
pub fn is_item(name: &str) -> bool {
    name.ends_with(".ics") && !name.starts_with('.')
}

/// Lists the items' files in `directory`.
///
/// A listing beside somebody's renames may miss names: it is made again while the directory changes, and a name that
/// was known is dropped only when its own stat says that it is gone.
pub fn list(directory: &Directory, shape: Shape<'_>, known: &Files) -> Result<Listing> {
    if let Shape::File(name) = shape {
        return Ok(Listing {
            names: vec![name.into()],
            blocked: Arc::new([]),
            stamp: directory.own_stamp()?,
        });
    }
    let mut attempts = 3;
    loop {
        let before = directory.own_stamp()?;
        let entries = directory.entries()?;
        let stamp = directory.own_stamp()?;
        attempts -= 1;
        if before != stamp && attempts > 0 {
            continue;
        }
        let named = entries.into_iter().filter(|(name, _)| is_item(name));
        let (files, others): (Vec<_>, Vec<_>) = named.partition(|(_, kind)| *kind == EntryKind::File);
        let mut names: Vec<Arc<str>> = files.into_iter().map(|(name, _)| name.into()).collect();
        names.sort_unstable();
        let missed: Vec<_> =
            known.keys().filter(|name| names.binary_search(name).is_err()).cloned().collect();
        names.extend(missed);
        names.sort_unstable();
        return Ok(Listing { names, blocked: others.into_iter().map(|(name, _)| name).collect(), stamp });
    }
}
