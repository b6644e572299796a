//! Where places are on disk, and what a directory is: a Folder, a Calendar, or nothing that an address reaches.

use std::path::PathBuf;

use parking_lot::Mutex;

use super::calendar::last_good::LastGood;
use super::calendar::listing::own_files;
use super::calendar::props::{METADATA, PROPS};
use super::commit::standing::Standing;
use super::disk::{Directory, EntryKind};
use super::place::{Home, Name, Path};
use super::recent::Recent;
use super::rights::KnownRights;
use crate::error::{Error, Result};

pub const USERS: &str = "users";

/// The data directory with the names that its trees have, what was good of files that broke, and what the rights are.
#[derive(Debug)]
pub struct Tree {
    pub root: Directory,
    public_root: String,
    pub last_good: LastGood,
    pub rights: KnownRights,
    /// What the log has of what the service may not look into. Guards that only.
    said: Mutex<Recent<String, ()>>,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Found {
    Folder(Directory),
    Calendar(Directory),
    /// A loose file of this name in a folder, which is a calendar of its own.
    File(Directory, String),
    /// Nothing, but its parents are Folders as far as they are there: it could be made.
    Missing,
    /// Nothing, and something that is no Folder is in the way.
    Blocked,
}

impl Tree {
    pub fn new(root: Directory, public_root: &str, last_good: LastGood) -> Tree {
        const MOST: usize = 1_000;
        let (rights, said) = (KnownRights::default(), Mutex::new(Recent::new(MOST)));
        Tree { root, public_root: public_root.to_owned(), last_good, rights, said }
    }

    /// The name of the public tree's directory.
    pub fn public_root(&self) -> &str {
        &self.public_root
    }

    /// Where a path is below the data directory.
    pub fn on_disk(&self, path: &Path) -> PathBuf {
        let mut on_disk = self.home_on_disk(&path.home);
        on_disk.extend(path.names.iter().map(Name::as_str));
        on_disk
    }

    pub fn home_on_disk(&self, home: &Home) -> PathBuf {
        match home {
            Home::User(name) => PathBuf::from(USERS).join(name.as_str()),
            Home::Public => PathBuf::from(&self.public_root),
        }
    }

    /// The home that is at `on_disk` below the data directory.
    pub fn home_at(&self, on_disk: &std::path::Path) -> Option<Home> {
        if on_disk == std::path::Path::new(&self.public_root) {
            return Some(Home::Public);
        }
        Name::new(on_disk.strip_prefix(USERS).ok()?.to_str()?).map(Home::User)
    }

    pub fn home(&self, home: &Home) -> Result<Option<Directory>> {
        self.root.directory(self.home_on_disk(home))
    }

    pub fn standing(&self, home: &Home) -> Result<Standing> {
        Standing::of(&self.root, &self.home_on_disk(home))
    }

    /// What `path` leads to. A home's root is a Folder.
    pub fn find(&self, path: &Path) -> Result<Found> {
        let Some(mut directory) = self.home(&path.home)? else { return Ok(Found::Blocked) };
        let Some((last, parents)) = path.names.split_last() else { return Ok(Found::Folder(directory)) };
        for (above, parent) in parents.iter().enumerate() {
            match self.step(directory, parent)? {
                Found::Folder(folder) => directory = folder,
                Found::Calendar(bare) if is_bare(&bare)? && !path.home.shows_in_main(&parents[..=above]) => {
                    directory = bare;
                }
                Found::Missing => return Ok(Found::Missing),
                _ => return Ok(Found::Blocked),
            }
        }
        self.step(directory, last)
    }

    /// What `name` is in a folder.
    fn step(&self, folder: Directory, name: &Name) -> Result<Found> {
        if let Some(directory) = folder.directory(name.as_str())? {
            return Ok(if is_folder(&directory)? {
                Found::Folder(directory)
            } else {
                Found::Calendar(directory)
            });
        }
        let loose = format!("{name}.ics");
        if folder.kind(&loose)? == Some(EntryKind::File) {
            return Ok(Found::File(folder, loose));
        }
        // A file, a symlink or a device of that very name is nothing to us, and nothing can be made in its place.
        Ok(if folder.kind(name.as_str())?.is_some() { Found::Blocked } else { Found::Missing })
    }

    /// The paths of all calendars in a home, loose files too, but for those that the service may not look into. What is in the
    /// calendars is not looked at.
    pub fn calendars(&self, home: &Home) -> Result<Vec<Path>> {
        let mut calendars = Vec::new();
        let Some(root) = self.home(home)? else { return Ok(calendars) };
        let mut folders = vec![(Path::root(home.clone()), root)];
        while let Some((folder, directory)) = folders.pop() {
            for name in self.if_allowed(members(&directory))?.unwrap_or_default() {
                let mut path = folder.clone();
                path.names.push(name.clone());
                match self.if_allowed(self.step(directory.existing("")?, &name))? {
                    Some(Found::Folder(found)) => folders.push((path, found)),
                    Some(Found::Calendar(_) | Found::File(..)) => calendars.push(path),
                    Some(Found::Missing | Found::Blocked) | None => {}
                }
            }
        }
        calendars.sort();
        Ok(calendars)
    }

    /// What was found, for whoever looks at many places; nothing where the service may not look, which is logged once.
    pub fn if_allowed<T>(&self, found: Result<T>) -> Result<Option<T>> {
        match found {
            Err(error) if error.is_refused() => {
                self.say_once(&error);
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// Logs what cannot be read, for a reason that may last.
    pub fn say_once(&self, error: &Error) {
        let (text, mut said) = (error.to_string(), self.said.lock());
        if said.get(&text).is_none() {
            tracing::warn!("cannot be read: {text}");
            said.put(text, (), 1);
        }
    }

    /// The names below a folder that an address can reach.
    pub fn members(&self, folder: &Directory) -> Result<Vec<Name>> {
        members(folder)
    }

    /// The users that have a home.
    pub fn users(&self) -> Result<Vec<Name>> {
        let Some(users) = self.root.directory(USERS)? else { return Ok(Vec::new()) };
        let homes = users.entries()?.into_iter().filter(|(_, kind)| *kind == EntryKind::Directory);
        Ok(homes.filter_map(|(name, _)| Name::new(&name)).collect())
    }
}

fn members(folder: &Directory) -> Result<Vec<Name>> {
    let mut names: Vec<Name> = folder
        .entries()?
        .into_iter()
        .filter_map(|(name, kind)| match kind {
            EntryKind::Directory => Name::new(&name),
            EntryKind::File => Name::new(name.strip_suffix(".ics")?),
            EntryKind::Other => None,
        })
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether a Calendar is one only because nothing is in it that is a calendar's, nor a visible sub-directory yet: by one that is
/// made in it, it becomes a Folder. So it is with one whose only calendar was removed and that has an `.acl.json`.
fn is_bare(calendar: &Directory) -> Result<bool> {
    Ok(own_files(calendar)?.is_empty())
}

/// Neither `.props.json` nor metadata, and a visible sub-directory.
pub fn is_folder(directory: &Directory) -> Result<bool> {
    // Nearly each has `.props.json`: one look is enough then.
    for file in [PROPS].iter().chain(&METADATA) {
        if directory.kind(file)? == Some(EntryKind::File) {
            return Ok(false);
        }
    }
    let visible =
        |(name, kind): &(String, EntryKind)| *kind == EntryKind::Directory && !name.starts_with('.');
    Ok(directory.entries()?.iter().any(visible))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_a_folder_by_what_is_made_in_it_is_in_nobodys_way() {
        let data = tempfile::tempdir().expect("a directory");
        let tree = Tree::new(Directory::root(data.path()).expect("open"), "public", LastGood::default());
        for (file, at, is_free) in [
            ("users/alice/Deep/.acl.json", "alice/Deep/Plans", true),
            ("users/alice/Stray/notes.txt", "alice/Stray/Plans", true),
            ("users/alice/Work/Deep/.stray", "alice/Work/Deep/er/Plans", true),
            ("users/alice/Made/.props.json", "alice/Made/Plans", false),
            ("users/alice/Red/color", "alice/Red/Plans", false),
            ("users/alice/Vdir/a.ics", "alice/Vdir/Plans", false),
            // Where new items go must stay a calendar.
            ("users/alice/Calendar/.acl.json", "alice/Calendar/Plans", false),
            ("users/alice/Work/Calendar/.acl.json", "alice/Work/Calendar/Plans", true),
            ("public/Calendar/.acl.json", "public/Calendar/Plans", true),
        ] {
            let file = data.path().join(file);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("mkdir");
            std::fs::write(&file, "").expect("write");
            let found = tree.find(&at.parse().expect("a place")).expect("a look");
            assert_eq!(matches!(found, Found::Missing), is_free, "{at}: {found:?}");
        }
    }
}
