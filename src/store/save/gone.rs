//! What is gone here and only a stale program has any more: another tool removed it or put an older state back, of which there
//! is no record. The history keeps it, once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::ical::cut::cut;
use crate::ical::item::Item;
use crate::ical::meaning::Hash;
use crate::store::disk::Directory;
use crate::store::history::Kept;

/// Items by the files that they would lie in, below the home, each with the meaning of the version of ours that it stands for.
pub type Gone = BTreeMap<PathBuf, (Arc<Item>, Hash)>;

/// Those of which the history has no such version. What lay in a file of another name is not found there, and is kept a second time.
pub fn not_kept(home: &Directory, mut gone: Gone) -> Result<Gone> {
    let calendars: BTreeSet<_> =
        gone.keys().filter_map(|file| file.parent()).map(FsPath::to_path_buf).collect();
    for (calendar, kept) in calendars.iter().flat_map(|calendar| Kept::ALL.map(|kept| (calendar, kept))) {
        let Some(directory) = home.directory(FsPath::new(kept.directory()).join(calendar))? else { continue };
        for (name, _) in directory.entries()? {
            let Some((_, file)) = Kept::told(&calendar.join(&name)) else { continue };
            let Some((item, ours)) = gone.get(&file) else { continue };
            let is_it = |kept: &Item| [*ours, item.look().meaning].contains(&kept.look().meaning);
            let content = directory.read(&name)?.map(|(content, _)| content).unwrap_or_default();
            if cut(&content).is_ok_and(|cut| cut.items.iter().any(is_it)) {
                gone.remove(&file);
            }
        }
    }
    Ok(gone)
}
