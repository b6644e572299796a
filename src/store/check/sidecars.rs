//! The files beside the items: rights, properties, metadata, and what a program published as free/busy.

use std::path::Path as FsPath;

use super::finding::{Finding, Kind, Spot, json_words};
use super::items::unread;
use crate::acl::Acl;
use crate::ical::busy::publication;
use crate::ical::faults::{What, faults};
use crate::ical::tz;
use crate::store::busy::published;
use crate::store::calendar::props::{METADATA, PROPS, is_color, zone_in};
use crate::store::disk::{Directory, MAX_FILE};
use crate::store::rights;

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
        let text = match directory.read_up_to(name, LARGEST) {
            Ok(Some((text, _))) => text,
            Ok(None) => continue,
            Err(error) => {
                found.push(unread(&path.join(name), &error));
                continue;
            }
        };
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
        Ok(Some(zone)) if tz::zone(&zone).is_none() => {
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
            let stands =
                "what the server knew of it before counts, else none of its properties, and free/busy is off";
            let words = format!("{}: {stands}", json_words(&error));
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
