//! What lies above the homes: the data directory itself, the secret links, the directory of all homes.

use std::ffi::OsStr;
use std::path::Path as FsPath;

use jiff::Timestamp;

use super::finding::{Finding, Kind, instead_of, special};
use super::look::{Seen, list};
use super::places::own;
use super::{Asked, Visit, Walk, access, links, names, sidecars};
use crate::config::FILE_IN_DATA;
use crate::error::Result;
use crate::store::commit::journal::JOURNALS;
use crate::store::disk::staging::TMP;
use crate::store::links::LINKS;
use crate::store::place::Home;
use crate::store::rights;
use crate::store::tree::USERS;

impl Walk<'_, '_> {
    /// Looks at all that is no home; gives the homes.
    pub fn top(&mut self) -> Result<Vec<Home>> {
        let data = FsPath::new("");
        // What the rest goes by, so a failure here ends the check.
        list(&self.asked.tree.root)?;
        self.visit(None, data, |asked, _| itself(asked));
        self.asked.is_open.set(is_open(&self.asked)?);
        self.visit(None, data, |asked, _| entries(asked));
        // First: commits are for homes, which may have to be given to the service.
        self.visit(None, FsPath::new(USERS), homes);
        self.leftovers()?;
        self.visit(None, FsPath::new(LINKS), link_files);
        let users = self.asked.tree.users()?.into_iter().map(Home::User);
        let mut homes: Vec<Home> = users.collect();
        homes.sort();
        homes.push(Home::Public);
        // Of a home whose name is not as addresses have it, nothing is there. What cannot be opened is named later.
        homes.retain(|home| !matches!(self.asked.tree.home(home), Ok(None)));
        homes.dedup();
        Ok(homes)
    }
}

/// The data directory as its parent would list it.
fn seen(asked: &Asked<'_>) -> Result<Seen> {
    let root = &asked.tree.root;
    let stat = rustix::fs::fstat(root.fd()).map_err(|error| crate::error::Error::io(root.path(), error))?;
    Ok(Seen { name: ".".into(), stat })
}

fn is_open(asked: &Asked<'_>) -> Result<bool> {
    Ok(seen(asked)?.stat.st_mode & 0o7 != 0)
}

/// Whether others may look into the data directory: it is what keeps them from all that is below.
fn itself(asked: &Asked<'_>) -> Result<Visit> {
    let mut visit = Visit::default();
    let seen = seen(asked)?;
    if is_open(asked)? {
        let mode = seen.stat.st_mode & 0o7777;
        let words = format!("the data directory is open to others: its mode is {mode:04o}, not 2770");
        visit.found.push(Finding::new(Kind::Mode, "", words).repairable());
        visit.repairs.modes.push(seen);
    }
    Ok(visit)
}

fn entries(asked: &Asked<'_>) -> Result<Visit> {
    let mut visit = Visit::default();
    let directories = [USERS, asked.tree.public_root(), LINKS, TMP, JOURNALS];
    let auth = &asked.config.auth;
    let files = [auth.file.as_deref(), auth.groups.as_deref(), Some(FsPath::new(FILE_IN_DATA))];
    let configured = |name: &OsStr| files.iter().flatten().any(|file| file.file_name() == Some(name));
    for seen in list(&asked.tree.root)? {
        let path = FsPath::new(&seen.name);
        let is_ours = directories.iter().any(|name| seen.name == *name);
        if is_ours && !seen.is_directory() {
            visit.found.push(instead_of("a directory", path, &seen));
        } else if is_ours {
            own(asked, &asked.tree.root, path, &seen, &mut visit);
        } else if !seen.is_hidden() && !configured(&seen.name) && seen.name != "lost+found" {
            visit.found.push(Finding::new(
                Kind::StrayFile,
                path,
                format!("{} that is nothing to Kalends", seen.what()),
            ));
        }
    }
    Ok(visit)
}

fn link_files(asked: &Asked<'_>, path: &FsPath) -> Result<Visit> {
    let mut visit =
        Visit { found: links::links(&asked.tree, Timestamp::now(), asked.is_user)?, ..Visit::default() };
    let Some(directory) = asked.tree.root.directory(path)? else { return Ok(visit) };
    for seen in list(&directory)?.into_iter().filter(Seen::is_file) {
        own(asked, &directory, &path.join(&seen.name), &seen, &mut visit);
    }
    Ok(visit)
}

/// The homes as names; what is in them comes later.
fn homes(asked: &Asked<'_>, path: &FsPath) -> Result<Visit> {
    let mut visit = Visit::default();
    let users = asked.tree.root.existing(path)?;
    visit.found.extend(sidecars::acl(&users, path));
    let all = list(&users)?;
    for seen in all.iter().filter(|seen| !seen.is_hidden() || seen.name == rights::FILE) {
        let path = path.join(&seen.name);
        match () {
            () if seen.name == rights::FILE => own(asked, &users, &path, seen, &mut visit),
            () if seen.is_directory() => {
                // Which user's it is, a person has to say.
                let unreachable = names::unreachable(&path, seen, "");
                visit.found.extend(unreachable.map(|finding| Finding { repairable: false, ..finding }));
                own(asked, &users, &path, seen, &mut visit);
            }
            () if seen.is_file() => {
                let is_user = seen.text().is_some_and(|name| (asked.is_user)(name) == Some(true));
                visit.found.push(match is_user {
                    true => instead_of("a directory", &path, seen),
                    false => Finding::new(Kind::StrayFile, path, "a file where homes are"),
                });
            }
            () => visit.found.push(special(&path, seen)),
        }
    }
    let visible = all.iter().filter(|seen| !seen.is_hidden());
    visit.found.extend(names::clashes(path, visible.filter_map(Seen::text)));
    Ok(visit)
}

impl Asked<'_> {
    /// What is wrong with owner and mode of `seen`.
    pub fn judge(&self, directory: &super::Directory, path: &FsPath, seen: &Seen) -> Option<Finding> {
        let finding = access::judge(directory, path, seen, self.service)?;
        Some(finding).filter(|finding| finding.kind != Kind::Mode || !self.is_open.get())
    }
}
