//! The directories of a home's history: whose they are, and what in them will never expire.

use std::path::Path as FsPath;

use super::finding::{Finding, Kind, instead_of};
use super::look::{Seen, list};
use super::places::{is_ours, own};
use super::{Asked, Visit};
use crate::error::Result;
use crate::store::disk::staging::TRIED;
use crate::store::history::log::day_of;
use crate::store::history::{self, HISTORY, Kept, LOGS, REMOVED, time_of};

/// Looks at the directory `place` of the home at `home`.
pub fn directory(asked: &Asked<'_>, home: &FsPath, place: &FsPath) -> Result<Visit> {
    let mut visit = Visit::default();
    let path = home.join(place);
    // Else it has expired since it was listed.
    let Some(directory) = asked.tree.root.directory(&path)? else { return Ok(visit) };
    for seen in list(&directory)? {
        let (at, place) = (path.join(&seen.name), place.join(&seen.name));
        if !is_ours(&seen) && is_others(&place) {
            continue;
        }
        if place.parent() == Some(FsPath::new(HISTORY))
            && history::is_ours(&seen.name)
            && !seen.is_directory()
        {
            visit.found.push(instead_of("a directory", &at, &seen));
            continue;
        }
        // Versions may be whatever was in an item's place.
        if is_log(&place, &seen) && !seen.is_file() {
            visit.found.push(instead_of("a file", &at, &seen));
            continue;
        }
        if !is_of_change(&place, &seen) {
            let words = format!("{} in the history that is of no change: it never expires", seen.what());
            visit.found.push(Finding::new(Kind::HistoryEntry, at, words));
            continue;
        }
        if seen.is_file() || seen.is_directory() {
            own(asked, &directory, &at, &seen, &mut visit);
        }
        if seen.is_directory() {
            visit.below.push(seen.name);
        }
    }
    Ok(visit)
}

/// Whether a hidden name at `place`, which is below the home, is passed over: the history makes none there, or none that stays.
fn is_others(place: &FsPath) -> bool {
    let is_in = |directory: &str| place.parent() == Some(FsPath::new(directory));
    place.ends_with(TRIED) || is_in(HISTORY) || place.starts_with(REMOVED) && !is_in(REMOVED)
}

/// Whether what is at `place`, which is below the home, is kept for a change, or on the way to such.
fn is_of_change(place: &FsPath, seen: &Seen) -> bool {
    if place.parent() == Some(FsPath::new(HISTORY)) {
        return history::is_ours(&seen.name);
    }
    if let Some(below) = Kept::ALL.into_iter().find_map(|kept| place.strip_prefix(kept.directory()).ok()) {
        // A calendar may be called like a version of something: but versions are files.
        return seen.is_directory() || Kept::told(below).is_some();
    }
    match place.parent() {
        Some(parent) if parent == FsPath::new(REMOVED) => seen.text().is_some_and(is_removal),
        Some(parent) if parent == FsPath::new(LOGS) => is_log(place, seen),
        _ => true,
    }
}

fn is_log(place: &FsPath, seen: &Seen) -> bool {
    place.parent() == Some(FsPath::new(LOGS)) && seen.text().is_some_and(|name| day_of(name).is_some())
}

/// Whether it is called as a change is, also where it is about to expire.
fn is_removal(name: &str) -> bool {
    time_of(name.strip_prefix('.').unwrap_or(name)).is_some()
}
