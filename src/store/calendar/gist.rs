//! What free/busy needs of a calendar: all that is kept of one whose texts are dropped to save memory, and what tells whether
//! its files are still the same.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::listing::Shape;
use super::listing::{Listing, list};
use super::props::Props;
use super::worked::Worked;
use crate::error::Result;
use crate::store::disk::Directory;
use crate::store::disk::stamp::Stamp;
use crate::store::threads::side_by_side;

/// A hash of the names and stamps of a calendar's files.
pub type Digest = [u8; 32];

/// A calendar without its texts; the same `Arc` for as long as nothing changes.
#[derive(Debug)]
pub struct Gist {
    pub props: Props,
    /// The newest time of the items and the directory.
    pub modified: SystemTime,
    /// The busy times that its items make together; guards the pointer only.
    pub busy: Mutex<Option<Arc<Worked>>>,
    /// What the log has of it, by hash; guards the set only.
    said: Mutex<HashSet<u64>>,
}

impl Gist {
    pub fn new(props: Props, modified: SystemTime) -> Arc<Gist> {
        Arc::new(Gist { props, modified, busy: Mutex::default(), said: Mutex::default() })
    }

    /// The gist of the calendar after something in it has changed.
    pub fn after(&self, props: Props, modified: SystemTime) -> Arc<Gist> {
        let said = Mutex::new(self.said.lock().clone());
        Arc::new(Gist { props, modified, busy: Mutex::default(), said })
    }

    pub fn is_of(&self, props: &Props, modified: SystemTime) -> bool {
        self.props == *props && self.modified == modified
    }

    /// Whether the log has not been told this yet; from now on it has.
    pub fn is_news(&self, what: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        self.said.lock().insert(hasher.finish())
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Gist>() + self.busy.lock().as_ref().map_or(0, |busy| busy.bytes())
    }

    /// Whether the calendar in `directory` is the one that this and `then` are of, by the stamps of its files.
    pub fn still_holds(
        &self,
        then: &Digest,
        directory: &Directory,
        shape: Shape<'_>,
        name: &str,
    ) -> Result<bool> {
        let Listing { names, stamp: listed, .. } = list(directory, shape, &BTreeMap::new())?;
        let stamps = side_by_side(&names, |names| names.iter().map(|name| directory.stamp(name)).collect())?;
        let stamps = names.iter().map(|name| &**name).zip(stamps);
        let there: Vec<(&str, Stamp)> = stamps.filter_map(|(name, stamp)| Some((name, stamp?))).collect();
        let modified =
            there.iter().map(|(_, stamp)| stamp.modified()).fold(shape.own_time(listed), SystemTime::max);
        Ok(digest(there.into_iter().map(Some)).as_ref() == Some(then)
            && self.is_of(&shape.props(directory, name, Some(&self.props), None)?.0, modified))
    }
}

/// The digest of files in the order of their names; nothing if one of them has no stamp.
pub fn digest<'f>(files: impl Iterator<Item = Option<(&'f str, Stamp)>>) -> Option<Digest> {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let (name, stamp) = file?;
        hasher.update(name.as_bytes()).update(b"/").update(&stamp.bytes());
    }
    Some(*hasher.finalize().as_bytes())
}
