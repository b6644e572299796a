//! One directory of a home: a folder or a calendar, and what lies in it that should not.

use std::path::Path as FsPath;

use super::finding::{Finding, Kind, instead_of, special};
use super::keys::Keys;
use super::look::{Seen, list};
use super::mend::Repair;
use super::{Asked, Visit, items, names, sidecars};
use crate::count::counted;
use crate::error::Result;
use crate::store::busy::published;
use crate::store::calendar::props::{METADATA, PROPS, Props};
use crate::store::commit::writer;
use crate::store::disk::Directory;
use crate::store::disk::staging::{self, TMP};
use crate::store::history::HISTORY;
use crate::store::place::MAIN;
use crate::store::rights;
use crate::store::tree::{USERS, is_folder};

/// The hidden names that are ours, in a home and in all that is below.
const HIDDEN: [&str; 5] = [rights::FILE, PROPS, HISTORY, writer::LOCK, published::FILE];
/// The longest path that the system opens, in bytes.
const LONGEST: usize = 4095;

/// Looks at the directory at `path`, which is a home's root or below one.
pub fn directory(asked: &Asked<'_>, path: &FsPath, is_home: bool) -> Result<Visit> {
    let Some(directory) = asked.tree.root.directory(path)? else {
        let mut visit = Visit::default();
        if path.as_os_str().len() > LONGEST {
            visit.found.push(Finding::new(
                Kind::UnreachableName,
                path,
                "no address leads here: its path is too long",
            ));
        }
        // Else it is gone since it was listed.
        return Ok(visit);
    };
    if is_home || is_folder(&directory)? {
        return folder(asked, &directory, path, is_home);
    }
    /// Beside a commit of several files a calendar may be seen half way.
    const ATTEMPTS: usize = 3;
    let mut visit = calendar(asked, &directory, path)?;
    for _ in 1..ATTEMPTS {
        let stamp = directory.own_stamp()?;
        if !visit.found.iter().any(|finding| finding.kind == Kind::UidTwice) {
            break;
        }
        visit = calendar(asked, &directory, path)?;
        if directory.own_stamp()? == stamp {
            break;
        }
    }
    Ok(visit)
}

fn folder(asked: &Asked<'_>, directory: &Directory, path: &FsPath, is_home: bool) -> Result<Visit> {
    let mut visit = Visit::default();
    let all = list(directory)?;
    rights_and_names(asked, directory, path, &all, &mut visit);
    let is_users = is_home && path.starts_with(USERS);
    for seen in all.iter().filter(|seen| !seen.is_hidden()) {
        let at = path.join(&seen.name);
        let ending = if seen.is_file() { ".ics" } else { "" };
        let has_address = seen.is_directory() || seen.is_item_name() && seen.is_file();
        if let Some(unreachable) = names::unreachable(&at, seen, ending).filter(|_| has_address) {
            visit.found.push(rename_if_free(&all, seen, unreachable, &mut visit.repairs.files));
            continue;
        }
        match seen.text() {
            Some(_) if seen.is_directory() => visit.below.push(seen.name.clone()),
            Some(name) if seen.is_item_name() && seen.is_file() => {
                visit.found.push(loose(&all, name, &at));
                visit.found.extend(items::loose(asked, directory, name, &at));
            }
            Some(name) if is_users && MAIN.contains(&name) && seen.is_file() => {
                visit.found.push(instead_of("a directory", &at, seen));
            }
            _ if seen.is_file() => {
                visit.found.push(Finding::new(Kind::StrayFile, &at, "a file that is nothing to a folder"));
            }
            _ => {}
        }
    }
    if is_home {
        visit.found.extend(sidecars::publication_of(directory, path));
        let history = all.iter().filter(|seen| seen.name == HISTORY && seen.is_directory());
        visit.below.extend(history.map(|seen| seen.name.clone()));
    }
    Ok(visit)
}

/// An item's file in a folder.
fn loose(all: &[Seen], name: &str, path: &FsPath) -> Finding {
    let bare = name.strip_suffix(".ics").unwrap_or(name);
    if all.iter().any(|other| other.is_directory() && other.name == bare) {
        let words = format!("it is not served: the directory {bare} stands before it");
        return Finding::new(Kind::Shadowed, path, words);
    }
    let words = "a loose file: it is served as a calendar of its own, which is read-only";
    Finding::new(Kind::LooseFile, path, words)
}

/// A name that only has to be composed is, where that takes no other's, nor its address: `X` and `X.ics` have one.
fn rename_if_free(all: &[Seen], seen: &Seen, finding: Finding, repairs: &mut Vec<Repair>) -> Finding {
    let is_there = |name: &str| all.iter().any(|other| other.name == name);
    let free = |to: &String| match to.strip_suffix(".ics").filter(|_| seen.is_file()) {
        Some(bare) => !is_there(to) && !is_there(bare),
        None => !is_there(to) && !is_there(&format!("{to}.ics")),
    };
    match names::composed(seen).filter(free) {
        Some(to) => {
            repairs.push(Repair::Rename { from: seen.name.clone(), to });
            finding
        }
        None => Finding { repairable: false, ..finding },
    }
}

fn calendar(asked: &Asked<'_>, directory: &Directory, path: &FsPath) -> Result<Visit> {
    let mut visit = Visit::default();
    let all = list(directory)?;
    rights_and_names(asked, directory, path, &all, &mut visit);
    visit.found.extend(sidecars::props(directory, path));
    for seen in all.iter().filter(|seen| !seen.is_hidden()) {
        let at = path.join(&seen.name);
        if seen.is_directory() {
            visit.found.push(stray(directory, &at, seen));
        } else if seen.is_file() && seen.is_item_name() && seen.stat.st_nlink > 1 {
            let words = format!(
                "the file has {} names: who edits it in place changes the others too",
                seen.stat.st_nlink
            );
            visit.found.push(Finding::new(Kind::HardLink, &at, words));
        } else if seen.is_file() && !seen.is_item_name() && !METADATA.iter().any(|name| seen.name == *name) {
            visit.found.push(Finding::new(Kind::StrayFile, &at, "a file that is no item: it is not served"));
        }
    }
    // What cannot be read is named already; whether they count is not known then.
    let counts = Props::read(directory, "", None).is_ok_and(|props| props.freebusy);
    let items = items::items(asked, directory, path, &all, counts);
    visit.found.extend(items.found);
    visit.repairs.files.extend(items.repairs);
    visit.keys = Some(items.keys);
    Ok(visit)
}

/// A directory in a calendar.
fn stray(calendar: &Directory, path: &FsPath, seen: &Seen) -> Finding {
    let inside = calendar.directory(&seen.name).ok().flatten().and_then(|inside| list(&inside).ok());
    let items = inside.map_or(0, |inside| inside.iter().filter(|seen| seen.is_item_name()).count());
    let words =
        format!("a directory in a calendar: what is in it, {}, is not served", counted(items, "item"));
    Finding::new(Kind::StrayDirectory, path, words)
}

/// What is the same in folders and calendars: rights, owners and modes, names that clash, what is neither file nor directory.
fn rights_and_names(
    asked: &Asked<'_>,
    directory: &Directory,
    path: &FsPath,
    all: &[Seen],
    visit: &mut Visit,
) {
    visit.found.extend(sidecars::acl(directory, path));
    for seen in all.iter().filter(|seen| is_ours(seen)) {
        let at = path.join(&seen.name);
        if let Some(wanted) = wanted_instead(seen) {
            visit.found.push(instead_of(wanted, &at, seen));
        } else if seen.is_file() || seen.is_directory() {
            own(asked, directory, &at, seen, visit);
        } else if seen.name != rights::FILE {
            visit.found.push(special(&at, seen));
        }
    }
    let visible = all.iter().filter(|seen| !seen.is_hidden());
    visit.found.extend(names::clashes(path, visible.filter_map(Seen::text)));
}

/// What something hidden of ours should be, and is not.
fn wanted_instead(seen: &Seen) -> Option<&'static str> {
    match () {
        () if seen.name == HISTORY => (!seen.is_directory()).then_some("a directory"),
        // What is wrong with rights is named where they are read.
        () if seen.is_hidden() && seen.name != rights::FILE => (!seen.is_file()).then_some("a file"),
        () => None,
    }
}

/// Whether it matters: what is hidden and not ours is passed over.
pub fn is_ours(seen: &Seen) -> bool {
    !seen.is_hidden() || HIDDEN.iter().any(|name| seen.name == *name)
}

/// Judges owner and mode, and whether it is on the mount that `directory` is on.
pub fn own(asked: &Asked<'_>, directory: &Directory, path: &FsPath, seen: &Seen, visit: &mut Visit) {
    let is_mounted = seen.is_directory() && is_on_another_mount(directory, seen);
    if is_mounted {
        let words = "on another mount or subvolume than what it is in: nothing can be saved there";
        visit.found.push(Finding::new(Kind::OtherMount, path, words));
    }
    let Some(mut finding) = asked.judge(directory, path, seen) else { return };
    // It may be anybody's.
    finding.repairable &= !is_mounted;
    // Made by whoever writes first, under their umask.
    let is_lock = seen.name == writer::LOCK || path.starts_with(TMP) && seen.name == staging::LOCK;
    if finding.kind == Kind::Mode && is_lock {
        return;
    }
    if finding.repairable {
        visit.repairs.modes.push(seen.clone());
    }
    visit.found.push(finding);
}

/// What cannot be opened is named elsewhere.
fn is_on_another_mount(directory: &Directory, seen: &Seen) -> bool {
    let mount = |directory: &Directory| directory.mount().ok();
    let below = directory.directory(&seen.name).ok().flatten();
    below.is_some_and(|below| mount(&below) != mount(directory))
}

/// What is wrong with the two calendars of main.ics together.
pub fn together(
    asked: &Asked<'_>,
    calendar: (&FsPath, &Keys),
    tasks: (&FsPath, &Keys),
) -> Result<Vec<Finding>> {
    let (calendar_directory, tasks_directory) =
        (asked.tree.root.existing(calendar.0)?, asked.tree.root.existing(tasks.0)?);
    Ok(tasks.1.judge_together(&tasks_directory, tasks.0, calendar.1, &calendar_directory))
}
