//! What an event of inotify says about the tree: which calendar, which home, or all of it may be different. Only marks;
//! in doubt it marks more.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Event, EventHandler};

use super::directories::Directories;
use crate::store::busy::published;
use crate::store::calendar::props::{METADATA, PROPS};
use crate::store::calendar::slots::Slots;
use crate::store::place::{Home, Name, Path};
use crate::store::rights;
use crate::store::tree::USERS;

/// Turns events into marks.
pub struct Marker {
    /// The data directory, as the kernel names it.
    pub root: PathBuf,
    pub public_root: String,
    pub slots: Arc<Slots>,
    pub directories: Arc<Directories>,
}

/// What became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It is new there; a directory or not, if that is known.
    Came { directory: Option<bool> },
    /// It is not there any more.
    Went { directory: bool },
    /// Its content, times or mode.
    Altered,
}

/// A place in the tree that an event names.
#[derive(Debug, PartialEq, Eq)]
enum At<'a> {
    /// The data directory, or `users`.
    Top,
    /// A name right below `users` that is no home's.
    Above(&'a str),
    /// A home, or a name in it.
    In(Home, Vec<&'a str>),
    /// Nothing that is served.
    Elsewhere,
}

impl Change {
    /// What an event says, if it says that anything changed.
    fn of(kind: EventKind) -> Option<Change> {
        match kind {
            // Our own reading makes these.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Change::Altered),
            EventKind::Access(_) => None,
            EventKind::Create(created) => {
                Some(Change::Came { directory: Some(created == CreateKind::Folder) })
            }
            EventKind::Remove(removed) => Some(Change::Went { directory: removed == RemoveKind::Folder }),
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => Some(Change::Went { directory: false }),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Change::Came { directory: None }),
            // Comes after the two that it is made of.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
            _ => Some(Change::Altered),
        }
    }
}

impl EventHandler for Marker {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => {
                tracing::info!("more changes at once than the kernel reports: all loaded homes are compared");
                self.directories.doubt();
                self.slots.marks.mark_everything();
            }
            Ok(event) => {
                let Some(change) = Change::of(event.kind) else { return };
                event.paths.iter().for_each(|path| self.mark(change, path));
            }
            Err(error) => {
                tracing::warn!("watching: {error}; all loaded homes are compared");
                self.directories.doubt();
                self.slots.marks.mark_everything();
            }
        }
    }
}

impl Marker {
    fn mark(&self, change: Change, path: &FsPath) {
        // The watch of a directory that went goes with it, and is to be made again for what comes there.
        let was_watched = matches!(change, Change::Went { .. }) && self.directories.forget(path);
        let Some(below) = path.strip_prefix(&self.root).ok().and_then(FsPath::to_str) else { return };
        match self.at(below) {
            At::Top => self.slots.marks.mark_everything(),
            At::Above(name) if name == rights::FILE => self.slots.marks.mark_everything(),
            At::Above(_) | At::Elsewhere => {}
            At::In(home, _) if was_watched => self.slots.marks.mark_home(&home),
            At::In(home, names) => self.mark_in(&home, &names, change, path),
        }
    }

    fn at<'a>(&self, below: &'a str) -> At<'a> {
        let mut names = below.split('/').filter(|name| !name.is_empty());
        let home = match names.next() {
            None => return At::Top,
            Some(top) if top == self.public_root => Home::Public,
            Some(USERS) => match names.next().map(|user| (user, Name::new(user))) {
                None => return At::Top,
                Some((user, None)) => return At::Above(user),
                Some((_, Some(name))) => Home::User(name),
            },
            Some(_) => return At::Elsewhere,
        };
        At::In(home, names.collect())
    }

    fn mark_in(&self, home: &Home, names: &[&str], change: Change, path: &FsPath) {
        let Some((last, above)) = names.split_last() else { return self.slots.marks.mark_home(home) };
        let Some(above) = above.iter().map(|name| Name::new(name)).collect::<Option<Vec<_>>>() else {
            return;
        };
        let decides = [rights::FILE, PROPS, published::FILE].contains(last) || METADATA.contains(last);
        if decides || (Name::new(last).is_some() && self.is_directory(change, path)) {
            return self.slots.marks.mark_home(home);
        }
        let directory = Path { home: home.clone(), names: above };
        // Of any name: it may be a hard link of an item, which then changes without an event of its own.
        self.slots.mark(&directory, last);
        let Some(stem) = last.strip_suffix(".ics").filter(|_| !last.starts_with('.')) else { return };
        // In a folder it is a calendar of its own, which came or went.
        if change != Change::Altered
            && path.parent().is_none_or(|parent| !self.directories.is_calendar(parent))
        {
            self.slots.marks.mark_home(home);
        }
        let mut loose = directory;
        loose.names.extend(Name::new(stem));
        self.slots.mark(&loose, last);
    }

    /// Whether the name is a directory's, as far as that can be told of what is gone.
    fn is_directory(&self, change: Change, path: &FsPath) -> bool {
        match change {
            Change::Came { directory } => {
                directory.unwrap_or_else(|| path.symlink_metadata().is_ok_and(|it| it.is_dir()))
            }
            Change::Went { directory } => directory,
            Change::Altered => self.directories.has(path),
        }
    }
}
