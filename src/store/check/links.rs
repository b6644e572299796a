//! Secret links that open nothing: their files cannot be understood, their makers or places are gone, or their time is over.

use std::path::Path as FsPath;

use jiff::Timestamp;

use super::finding::{Finding, Kind, Spot, instead_of, json_words};
use super::items::unread;
use super::look::list;
use crate::error::Result;
use crate::store::commit::writer;
use crate::store::disk::Directory;
use crate::store::links::{LINKS, LinkId, LinkPlace, SecretLink};
use crate::store::tree::{Found, Tree};

/// Whether there is a user of this name; nothing where that cannot be told.
pub type IsUser<'a> = &'a dyn Fn(&str) -> Option<bool>;

/// What is wrong with the links.
pub fn links(tree: &Tree, now: Timestamp, is_user: IsUser<'_>) -> Result<Vec<Finding>> {
    let Some(directory) = tree.root.directory(LINKS)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for seen in list(&directory)? {
        let path = FsPath::new(LINKS).join(&seen.name);
        let name = seen.text().filter(|name| LinkId::of_file(name).is_some());
        match name {
            _ if (seen.name == writer::LOCK || name.is_some()) && !seen.is_file() => {
                found.push(instead_of("a file", &path, &seen));
            }
            _ if seen.name == writer::LOCK => {}
            Some(name) => found.extend(of_file(tree, &directory, name, &path, now, is_user)),
            None => {
                let words = format!("{} whose name is no link's: it opens nothing", seen.what());
                found.push(Finding::new(Kind::StrayFile, path, words));
            }
        }
    }
    Ok(found)
}

fn of_file(
    tree: &Tree,
    directory: &Directory,
    name: &str,
    path: &FsPath,
    now: Timestamp,
    is_user: IsUser<'_>,
) -> Option<Finding> {
    let unreadable =
        |words: String| Finding::new(Kind::LinkUnreadable, path, format!("{words}: it opens nothing"));
    let content = match directory.read(name) {
        Ok(Some((content, _))) => content,
        // Revoked since it was listed.
        Ok(None) => return None,
        Err(error) => return Some(unreadable(format!("it cannot be read ({error})"))),
    };
    if let Err(error) = serde_json::from_slice::<SecretLink>(&content) {
        return Some(unreadable(json_words(&error)).at(Spot::of(&error)));
    }
    let link = match SecretLink::parse(&content) {
        Ok(link) => link,
        Err(words) => return Some(unreadable(words)),
    };
    if link.is_expired(now) {
        let words = "its time is over: `kalends link revoke` removes it";
        return Some(Finding::new(Kind::LinkExpired, path, words));
    }
    let dangling =
        |words: String| Some(Finding::new(Kind::LinkDangling, path, format!("{words}: it opens nothing")));
    if is_user(&link.owner) == Some(false) {
        return dangling(format!("there is no user {}, who made it", link.owner));
    }
    let LinkPlace::Below(place) = &link.place else { return None };
    match tree.find(place) {
        Ok(Found::Folder(_) | Found::Calendar(_) | Found::File(..)) => None,
        Ok(Found::Missing | Found::Blocked) => dangling(format!("{} is gone", link.place)),
        Err(error) => Some(unread(&tree.on_disk(place), &error)),
    }
}
