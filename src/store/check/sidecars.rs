//! The files beside the items: rights, properties, metadata, what a program published as free/busy, and the history's own names.

use std::path::{Path as FsPath, PathBuf};

use jiff::tz::TimeZone;

use super::super::disk::{Directory, MAX_FILE};
use super::super::history::{self, HISTORY, Kept, REMOVED};
use super::super::log::{LOGS, day_of};
use super::super::props::{METADATA, PROPS, is_color, zone_in};
use super::super::record::time_of;
use super::super::{published, rights};
use super::finding::{Finding, Kind, Spot, json_words};
use super::look::list;
use crate::acl::Acl;
use crate::error::Result;
use crate::ical::busy::publication;
use crate::ical::faults::{What, faults};

/// The largest of these files that is looked into, in bytes.
const LARGEST: u64 = 1 << 20;

/// What is wrong with the `.acl.json` of a directory.
pub fn acl(directory: &Directory, path: &FsPath) -> Option<Finding> {
    let closed = "it closes the place to all but the owner";
    let finding = |words: String| {
        Finding::new(Kind::AclUnreadable, path.join(rights::FILE), format!("{words}; {closed}"))
    };
    match directory.read_up_to(rights::FILE, LARGEST) {
        Ok(Some((text, _))) => match std::str::from_utf8(&text).map(Acl::parse) {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(finding(json_words(&error)).at(Spot::of(&error))),
            Err(error) => Some(finding(format!("it is no UTF-8 after {} bytes", error.valid_up_to()))),
        },
        Ok(None) => match directory.kind(rights::FILE) {
            Ok(Some(_)) => Some(finding("it is no regular file".to_owned())),
            _ => None,
        },
        Err(error) => Some(finding(format!("it cannot be read ({error})"))),
    }
}

/// What is wrong with what a calendar says of itself.
pub fn props(directory: &Directory, path: &FsPath) -> Vec<Finding> {
    let mut found: Vec<Finding> = stored_props(directory, path).into_iter().collect();
    for name in METADATA {
        let Ok(Some((text, _))) = directory.read_up_to(name, LARGEST) else { continue };
        let bad = match std::str::from_utf8(&text) {
            Err(_) => Some("it is no UTF-8"),
            Ok(text) if name == "color" && !is_color(text.lines().next().unwrap_or("").trim()) => {
                Some("a color is #RRGGBB; the calendar is served without one")
            }
            Ok(_) => None,
        };
        found.extend(bad.map(|words| Finding::new(Kind::Metadata, path.join(name), words)));
    }
    found
}

fn stored_props(directory: &Directory, path: &FsPath) -> Option<Finding> {
    let finding = |words: String| Finding::new(Kind::PropsUnreadable, path.join(PROPS), words);
    let text = match directory.read_up_to(PROPS, LARGEST) {
        Ok(Some((text, _))) => text,
        Ok(None) => return None,
        Err(error) => return Some(finding(format!("it cannot be read ({error})"))),
    };
    match zone_in(&text) {
        Ok(Some(zone)) if TimeZone::get(&zone).is_err() => {
            let line = text
                .split(|byte| *byte == b'\n')
                .position(|line| memchr::memmem::find(line, b"\"time_zone\"").is_some());
            Some(
                finding(format!("\"{zone}\" is no IANA time zone: it does not count"))
                    .at_line(line.map(|at| at + 1)),
            )
        }
        Ok(_) => None,
        Err(error) => {
            let words = format!("{}: none of its properties count", json_words(&error));
            Some(finding(words).at(Spot::of(&error)))
        }
    }
}

/// What is wrong with the free/busy that is published in a home.
pub fn publication_of(directory: &Directory, path: &FsPath) -> Option<Finding> {
    let finding = |words: String| {
        let words = format!("{words}: it does not count in free/busy");
        Finding::new(Kind::PublicationUnreadable, path.join(published::FILE), words)
    };
    let text = match directory.read_up_to(published::FILE, MAX_FILE) {
        Ok(Some((text, _))) => text,
        Ok(None) => return None,
        Err(error) => return Some(finding(format!("it cannot be read ({error})"))),
    };
    let broken = faults(&text).into_iter().find(|fault| matches!(fault.what, What::Half | What::Unparsable));
    match broken {
        Some(fault) => Some(finding(fault.words).at_line(fault.line)),
        None => publication(&text).err().map(|reason| finding(reason.to_string())),
    }
}

/// What in a home's history will never expire.
pub fn history_of(home: &Directory, path: &FsPath) -> Result<Vec<Finding>> {
    let Some(directory) = home.directory(HISTORY)? else { return Ok(Vec::new()) };
    let finding = |place: PathBuf, what: &str| {
        let words = format!("{what} in the history that is of no change: it never expires");
        Finding::new(Kind::HistoryEntry, path.join(place), words)
    };
    let mut others = list(&directory)?;
    others.retain(|seen| !history::is_ours(&seen.name, seen.is_directory()) && !seen.is_hidden());
    let mut found: Vec<Finding> =
        others.iter().map(|seen| finding(FsPath::new(HISTORY).join(&seen.name), seen.what())).collect();
    for kept in Kept::ALL {
        let (_, others) = history::entries(home, kept)?;
        found.extend(others.into_iter().map(|place| finding(place, "a file")));
    }
    for (within, ours) in [(REMOVED, is_removal as fn(&str) -> bool), (LOGS, |name| day_of(name).is_some())] {
        let Some(directory) = home.directory(within)? else { continue };
        let others = list(&directory)?.into_iter().filter(|seen| !seen.text().is_some_and(ours));
        found.extend(others.map(|seen| finding(FsPath::new(within).join(&seen.name), seen.what())));
    }
    Ok(found)
}

/// Whether it is called as a change is, also where it is about to expire.
fn is_removal(name: &str) -> bool {
    time_of(name.strip_prefix('.').unwrap_or(name)).is_some()
}
