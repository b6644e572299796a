//! Repairs: what a check has found is put right under the home's lock, by commits that keep the originals in the history.
//! Whatever has changed since it was found is left alone.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use super::super::Store;
use super::access::{Service, as_service, mend};
use super::keys::Twin;
use super::look::Seen;
use crate::error::{Error, Result};
use crate::ical::cut::cut;
use crate::ical::faults::tidied;
use crate::ical::item::{Item, file_names};
use crate::store::calendar::file::named;
use crate::store::commit::operation::Operation;
use crate::store::commit::{Commit, Made};
use crate::store::disk::content::{Content, ContentHash, State, content_hash};
use crate::store::disk::{Directory, There};
use crate::store::history::record::Cause;
use crate::store::place::Home;

/// One thing to be put right in a directory.
#[derive(Debug, Clone)]
pub enum Repair {
    /// A file of one item gets a UID, CRLF, and lines of good length.
    Rewrite { file: String, hash: Option<ContentHash> },
    /// Each item of a file gets a file of its own, but for those that another file has just so.
    Split { file: String, hash: Option<ContentHash>, twins: Vec<Twin> },
    /// A name that nothing reaches becomes one that is reached.
    Rename { from: OsString, to: String },
}

/// All that is to be put right in one directory.
#[derive(Debug, Default)]
pub struct Repairs {
    pub modes: Vec<Seen>,
    pub files: Vec<Repair>,
}

/// How many files are repaired under one lock: others have to write too.
const AT_ONCE: usize = 64;

/// Where repairs are made, and why.
pub struct At<'a> {
    pub home: &'a Home,
    pub path: &'a FsPath,
    pub cause: Cause,
}

impl Repairs {
    pub fn is_empty(&self) -> bool {
        self.modes.is_empty() && self.files.is_empty()
    }

    /// Sets owners and modes; what fails is logged, and will be found again.
    pub fn set_modes(&self, directory: &Directory, service: Service) {
        self.modes.iter().for_each(|seen| report(mend(directory, seen, service)));
    }

    /// Repairs the files of the directory at `path`; what fails is logged, and will be found again.
    pub fn mend_files(&self, store: &Store, at: &At<'_>, service: Service) {
        let make = |repairs: &[Repair]| as_service(service, || together(store, at, repairs));
        for repairs in self.files.chunks(AT_ONCE) {
            match make(repairs) {
                Ok(true) => {}
                // One file that cannot be changed must not keep the others from it.
                _ if repairs.len() > 1 => repairs.chunks(1).for_each(|one| report(make(one).map(drop))),
                // Who was quicker is looked at again.
                made => report(made.map(drop)),
            }
        }
    }
}

fn report(result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!("not repaired: {error}");
    }
}

/// Makes some repairs in one commit; whether they were made.
fn together(store: &Store, at: &At<'_>, repairs: &[Repair]) -> Result<bool> {
    let At { home, path, cause } = at;
    let locked = store.lock(home)?;
    let directory = &store.tree.root.existing(path)?;
    let on_disk = store.tree.home_on_disk(home);
    let below = path.strip_prefix(&on_disk).unwrap_or(path);
    let mut plan = Plan { directory, below, operations: Vec::new(), taken: HashSet::new() };
    for repair in repairs {
        match repair {
            Repair::Rewrite { file, hash } => plan.rewrite(file, *hash)?,
            Repair::Split { file, hash, twins } => plan.split(file, *hash, twins)?,
            Repair::Rename { .. } => {}
        }
    }
    let renamed = rename_each(directory, below, repairs);
    if !renamed.is_empty() {
        store.journals.note(&store.tree.root.existing(&on_disk)?, cause, renamed)?;
    }
    let commit =
        Commit { home: on_disk.clone(), operations: plan.operations, lost: Vec::new(), cause: cause.clone() };
    match store.journals.commit(&locked.directory, commit)? {
        Made::Applied => Ok(true),
        Made::Outdated => Ok(false),
        Made::Journaled(change) => store.journals.apply(&on_disk, &change).map(|()| true),
    }
}

/// Gives names to what nothing reaches; the names before and after, below the home.
fn rename_each(directory: &Directory, below: &FsPath, repairs: &[Repair]) -> Vec<(String, String)> {
    let name = |name: &FsPath| below.join(name).to_string_lossy().into_owned();
    let mut renamed = Vec::new();
    for repair in repairs {
        let Repair::Rename { from, to } = repair else { continue };
        match rename(directory, from, to) {
            Ok(true) => renamed.push((name(from.as_ref()), name(to.as_ref()))),
            made => report(made.map(drop)),
        }
    }
    renamed
}

/// Gives a name to what nothing reaches, if it is there still and the name is free: whether that was so.
fn rename(directory: &Directory, from: &OsString, to: &str) -> Result<bool> {
    let is_there = directory.look(from.as_ref())? != There::Nothing;
    let renamed = is_there && directory.rename_to_free(from, to)?;
    if renamed {
        directory.sync()?;
    }
    Ok(renamed)
}

/// The operations of a commit in the making.
struct Plan<'a> {
    directory: &'a Directory,
    /// The directory below its home.
    below: &'a FsPath,
    operations: Vec<Operation>,
    taken: HashSet<String>,
}

impl Plan<'_> {
    /// The content of `file`, if it is still as it was found.
    fn unchanged(&self, file: &str, hash: Option<ContentHash>) -> Result<Option<(Vec<u8>, ContentHash)>> {
        let Some((content, _)) = self.directory.read(file)? else { return Ok(None) };
        let now = content_hash(&content);
        Ok(hash.is_none_or(|hash| hash == now).then_some((content, now)))
    }

    fn push(&mut self, file: &str, before: State, after: Option<Content>) {
        let file: PathBuf = self.below.join(file);
        self.operations.push(Operation { file, before, stamp: None, after });
    }

    fn rewrite(&mut self, file: &str, hash: Option<ContentHash>) -> Result<()> {
        let Some((content, now)) = self.unchanged(file, hash)? else { return Ok(()) };
        if let Some(after) = rewritten(&content, file)? {
            self.push(file, State::Bytes(now), Some(after.into()));
        }
        Ok(())
    }

    fn split(&mut self, file: &str, hash: Option<ContentHash>, twins: &[Twin]) -> Result<()> {
        let Some((content, now)) = self.unchanged(file, hash)? else { return Ok(()) };
        for twin in twins {
            if self.unchanged(&twin.other, Some(twin.other_hash))?.is_none() || self.is_written(&twin.other) {
                return Ok(());
            }
        }
        let is_twin = |item: &Item| twins.iter().any(|twin| twin.key == item.key);
        let items: Vec<Item> = named(cut(&content)?.items, file).filter(|item| !is_twin(item)).collect();
        for item in items {
            let name = self.free_name(&item)?;
            self.push(&name, State::Absent, Some(Content::Item(Arc::new(item))));
        }
        self.push(file, State::Bytes(now), None);
        Ok(())
    }

    /// Whether this very commit changes the file.
    fn is_written(&self, file: &str) -> bool {
        self.operations.iter().any(|operation| operation.file == self.below.join(file))
    }

    /// A file name for an item that is not taken.
    fn free_name(&mut self, item: &Item) -> Result<String> {
        let free = file_names(&item.key.file_stem()).find_map(|name| match self.directory.kind(&name) {
            Ok(None) => self.taken.insert(name.clone()).then_some(Ok(name)),
            Ok(Some(_)) => None,
            Err(error) => Some(Err(error)),
        });
        free.unwrap_or(Err(Error::Busy))
    }
}

/// The text of a file of one item with a UID and good lines; nothing if that would say something else.
fn rewritten(content: &[u8], file: &str) -> Result<Option<Vec<u8>>> {
    let had_uid = cut(content)?.items.iter().all(|item| !item.key.uid.is_empty());
    let one = |content: &[u8]| -> Result<Option<Item>, Error> {
        let mut items = named(cut(content)?.items, file);
        Ok(items.next().filter(|_| items.next().is_none()))
    };
    let Some(before) = one(content)? else { return Ok(None) };
    let text = if had_uid { tidied(content) } else { tidied(&before.to_file()) };
    let says_the_same = one(&text)?.is_some_and(|after| {
        (&after.key, after.class, after.look()) == (&before.key, before.class, before.look())
    });
    Ok((says_the_same && text != content).then_some(text))
}
