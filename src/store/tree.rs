//! Where places are on disk, and what a directory is: a Folder, a Calendar, or nothing that an address reaches.

use std::path::PathBuf;

use super::disk::{Directory, EntryKind};
use super::last_good::LastGood;
use super::place::{Home, Name, Path};
use super::props::{METADATA, PROPS};
use super::replay::{Standing, standing};
use super::rights::KnownRights;
use crate::error::Result;

pub const USERS: &str = "users";

/// The data directory with the names that its trees have, what was good of files that broke, and what the rights are.
#[derive(Debug)]
pub struct Tree {
    pub root: Directory,
    public_root: String,
    pub last_good: LastGood,
    pub rights: KnownRights,
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
        Tree { root, public_root: public_root.to_owned(), last_good, rights: KnownRights::default() }
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

    /// See [`standing`].
    pub fn standing(&self, home: &Home) -> Result<Standing> {
        standing(&self.root, &self.home_on_disk(home))
    }

    /// What `path` leads to. A home's root is a Folder.
    pub fn find(&self, path: &Path) -> Result<Found> {
        let Some(mut directory) = self.home(&path.home)? else { return Ok(Found::Blocked) };
        let Some((last, parents)) = path.names.split_last() else { return Ok(Found::Folder(directory)) };
        for parent in parents {
            match self.step(directory, parent)? {
                Found::Folder(folder) => directory = folder,
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

    /// The paths of all calendars in a home, loose files too. What is in the calendars is not looked at.
    pub fn calendars(&self, home: &Home) -> Result<Vec<Path>> {
        let mut calendars = Vec::new();
        let Some(root) = self.home(home)? else { return Ok(calendars) };
        let mut folders = vec![(Path::root(home.clone()), root)];
        while let Some((folder, directory)) = folders.pop() {
            for name in members(&directory)? {
                let mut path = folder.clone();
                path.names.push(name.clone());
                match self.step(directory.existing("")?, &name)? {
                    Found::Folder(found) => folders.push((path, found)),
                    Found::Calendar(_) | Found::File(..) => calendars.push(path),
                    Found::Missing | Found::Blocked => {}
                }
            }
        }
        calendars.sort();
        Ok(calendars)
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
