//! Which `.acl.json` decides about a place, and how one is changed.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use super::Store;
use super::commit::operation::Operation;
use super::commit::writer::Writer;
use super::disk::content::{ContentHash, State, content_hash};
use super::disk::{Directory, There};
use super::history::record::{Cause, Did};
use super::origin::Origin;
use super::place::{Home, Path};
use super::rights::{self, FILE, Rights};
use super::tree::{Found, Tree, USERS};
use crate::acl::{Acl, Role, Subject};
use crate::error::{Error, Result};

/// The nearest `.acl.json`, from `path` up to `users/` or the public root.
pub fn nearest(tree: &Tree, path: &Path) -> Result<Rights> {
    let mut at = tree.on_disk(path);
    loop {
        if let Some(rights) = rights_in(tree, &at)? {
            return Ok(rights);
        }
        if !at.pop() || at.as_os_str().is_empty() {
            return Ok(Rights::None);
        }
    }
}

/// What the `.acl.json` in the directory `at`, below the data directory, says, if there is one.
pub fn rights_in(tree: &Tree, at: &FsPath) -> Result<Option<Rights>> {
    let file = at.join(FILE);
    // Most places have none.
    let there = match tree.root.look(&file) {
        // The service may not look there.
        Err(error) if error.is_refused() => return Ok(Some(Rights::Closed { reason: error.to_string() })),
        there => there?,
    };
    if let There::File(stamp) = there
        && let Some(known) = tree.rights.known(&file, stamp)
    {
        return Ok(Some(known));
    }
    if there != There::Nothing
        && let Some(directory) = tree.root.directory(at)?
        && directory.kind(FILE)?.is_some()
    {
        let (rights, stamp) = rights::read(&directory);
        if let Some(stamp) = stamp {
            tree.rights.learn(file, stamp, rights.clone());
        }
        return Ok(Some(rights));
    }
    Ok(None)
}

impl Store {
    /// What decides about the rights at `path`; without a path, above all users' homes.
    pub fn rights(&self, path: Option<&Path>) -> Result<Rights> {
        match path {
            Some(path) => nearest(&self.tree, path),
            None => {
                let users = self.tree.root.existing(USERS)?;
                Ok(if users.kind(FILE)?.is_some() { rights::read(&users).0 } else { Rights::None })
            }
        }
    }

    /// Whether there is such a home.
    pub fn has_home(&self, home: &Home) -> Result<bool> {
        Ok(self.tree.home(home)?.is_some())
    }

    /// Whether there is such a calendar or folder.
    pub fn has(&self, path: &Path) -> Result<bool> {
        Ok(!matches!(self.tree.find(path)?, Found::Missing | Found::Blocked))
    }

    /// Sets the role of a subject at `path`, or without a role removes its entry. A place without an `.acl.json` of its
    /// own gets one with what was inherited so far, since the nearest file decides alone.
    ///
    /// # Errors
    /// `NotFound` if the directory is not there; `Config` if the file that is to be changed cannot be understood; `Busy` if
    /// somebody has just changed it.
    pub fn set_role(
        &self,
        origin: &Origin,
        path: Option<&Path>,
        subject: Subject,
        role: Option<Role>,
    ) -> Result<PathBuf> {
        let on_disk = path.map_or_else(|| PathBuf::from(USERS), |path| self.tree.on_disk(path));
        let locked = match path {
            Some(path) => self.lock(&path.home)?,
            // No home, but of it too one writer at a time reads, changes and writes.
            None => Arc::new(Writer::default()).lock(self.tree.root.existing(USERS)?)?,
        };
        let directory = self.tree.root.directory(&on_disk)?.ok_or(Error::NotFound)?;
        let before = hash_in(&directory)?;
        let mut acl = match self.rights(path)? {
            Rights::None => Acl::default(),
            Rights::Granted { acl, .. } => acl,
            Rights::Closed { reason } => return Err(Error::Config(reason)),
            Rights::Unread { file, reason } => return Err(rights::unread(&file, &reason)),
        };
        acl.set(subject, role);
        let text = acl.to_text().into_bytes();
        match path {
            Some(path) => {
                let operation = Operation {
                    file: path.below_home().join(FILE),
                    before: before.map_or(State::Absent, State::Bytes),
                    stamp: None,
                    after: Some(text.into()),
                };
                self.commit_alone(&locked, &path.home, operation, Cause::new(Did::Rights, origin))?;
            }
            // Above the homes there is no history.
            None => self.replace(&directory, before, &text)?,
        }
        Ok(directory.path().join(FILE))
    }

    /// Replaces the file in `directory`, durably, if it is what it was `before`.
    fn replace(&self, directory: &Directory, before: Option<ContentHash>, text: &[u8]) -> Result<()> {
        let staged = self.journals.staging().write(text, directory)?;
        if hash_in(directory)? != before {
            return Err(Error::Busy);
        }
        staged.place(directory, FILE)?;
        directory.sync()
    }
}

/// The hash of the file in `directory`, if there is one.
fn hash_in(directory: &Directory) -> Result<Option<ContentHash>> {
    Ok(directory.read(FILE)?.map(|(text, _)| content_hash(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{Groups, Principal};
    use crate::store::calendar::last_good::LastGood;
    use crate::store::place::Name;

    #[test]
    fn rights_that_change_in_the_same_moment_count_at_once_and_others_are_not_read_again() {
        let data = tempfile::tempdir().expect("a directory");
        let tree = Tree::new(Directory::root(data.path()).expect("open"), "public", LastGood::default());
        std::fs::create_dir_all(data.path().join("users/alice/Calendar")).expect("mkdir");
        let name = |name| Name::new(name).expect("a name");
        let path = Path { home: Home::User(name("alice")), names: vec![name("Calendar")] };
        let bob = Principal::User { name: "bob".to_owned(), groups: Groups::Known(Vec::new()) };
        let role = || nearest(&tree, &path).expect("rights").role(&bob, &path).expect("a role");
        assert_eq!(role(), Role::None);
        let file = data.path().join("users/.acl.json");
        for (word, given) in [("viewer", Role::Viewer), ("editor", Role::Editor), ("master", Role::Master)] {
            std::fs::write(&file, format!("{{\"user:bob\": \"{word}\"}}")).expect("write");
            assert_eq!(role(), given);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(role(), Role::Master);
        let There::File(stamp) = tree.root.look("users/.acl.json".as_ref()).expect("a look") else {
            panic!("a file")
        };
        let known = tree.rights.known(&"users/.acl.json".into(), stamp).expect("nobody reads it again");
        assert_eq!(known.role(&bob, &path).expect("a role"), Role::Master);
        std::fs::write(data.path().join("users/alice/.acl.json"), "{\"user:bob\": \"none\"}").expect("write");
        assert_eq!(role(), Role::None);
        std::fs::remove_file(data.path().join("users/alice/.acl.json")).expect("removed");
        std::fs::write(&file, "{").expect("write");
        assert_eq!(role(), Role::None);
    }
}
