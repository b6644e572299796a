//! What is and what was at a place, for whoever brings it back or only tells the difference.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::count::counted;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::calendar::listing::own_files;
use crate::store::commit::writer::Locked;
use crate::store::disk::Directory;
use crate::store::history::record::Did;
use crate::store::history::timeline::{Files, Then, Timeline, Version};
use crate::store::place::Path;
use crate::store::tree::Found;

/// The moment whose state is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    /// Before the last save or removal; where there was none, before the last repair.
    BeforeLast,
}

/// A calendar as it is and as it was, with its home's lock held.
pub(in crate::store) struct Looked<'h> {
    pub timeline: Timeline<'h>,
    pub here: Files,
    pub then: Then,
    /// The names under which the only item that is meant lies or lay; nothing if all are meant.
    pub only: Option<BTreeSet<String>>,
    /// How many files other tools had removed, if all are meant.
    pub missing: usize,
}

impl Store {
    pub(in crate::store) fn lock_home_of(&self, place: &Path) -> Result<Locked> {
        self.lock(&place.home).map_err(|error| match error {
            Error::NotFound => Error::BadRequest(format!("{place}: there is no such home")),
            other => other,
        })
    }

    /// What is and what was at `place`. The caller holds the home's lock.
    pub(in crate::store) fn look_back<'h>(
        &self,
        home: &'h Directory,
        place: &Path,
        uid: Option<&str>,
        moment: Moment,
    ) -> Result<Looked<'h>> {
        let refuse = |why: String| Error::BadRequest(format!("{place}: {why}"));
        let (calendar, here, timeline) = (place.below_home(), self.files_here(place)?, Timeline::read(home)?);
        let only = uid.map(|uid| timeline.names_of(uid, &calendar, &here)).transpose()?;
        if let (Some(uid), Some(names), Moment::BeforeLast) = (uid, &only, moment)
            && let Some(then) = timeline.last_lost(uid, &calendar, names, &here)?
        {
            let only = Some(then.files.keys().cloned().collect());
            return Ok(Looked { timeline, here, then, only, missing: 0 });
        }
        let of_it = uid.map_or_else(String::new, |uid| format!(" of {uid}"));
        let nothing = format!("the history has nothing{of_it}");
        if only.as_ref().is_some_and(BTreeSet::is_empty) {
            let why = "it was never here, or another tool removed it, which is in no history";
            return Err(refuse(format!("{nothing}: {why}")));
        }
        let last_before = |until| timeline.last_change(&calendar, only.as_ref(), until);
        let first_undone = match moment {
            Moment::BeforeLast => last_before(timeline.changes.len())
                .or_else(|| timeline.last_repair(&calendar, only.as_ref()))
                .ok_or(nothing),
            Moment::At(at) => timeline.first_after(at),
        };
        let mut from = first_undone.map_err(refuse)?;
        let mut then = timeline.before(&calendar, &here, from)?;
        let removal = last_before(from).filter(|at| timeline.changes[*at].cause.did == Did::Remove);
        // Made anew, by a program's next save perhaps: then the removal before is meant.
        if let Some(removal) = removal.filter(|_| moment == Moment::BeforeLast && then.is_nothing()) {
            (from, then) = (removal, timeline.before(&calendar, &here, removal)?);
        }
        let missing = timeline.missing(&calendar, &then, from);
        if let Some(why) = refusal(&then, only.as_ref(), missing) {
            return Err(refuse(why));
        }
        Ok(Looked { missing: if uid.is_some() { 0 } else { missing }, timeline, here, then, only })
    }

    /// The files of a calendar as it is.
    fn files_here(&self, place: &Path) -> Result<Files> {
        let refuse = |why: &str| Err(Error::BadRequest(format!("{place}: {why}")));
        match self.tree.find(place)? {
            Found::Calendar(directory) => {
                let version = |name: &String| Version(place.below_home().join(name));
                Ok(own_files(&directory)?.into_iter().map(|name| (name.clone(), version(&name))).collect())
            }
            Found::Folder(_) => refuse("this is a folder; name a calendar in it"),
            Found::File(..) => refuse("this calendar is one file, which Kalends never changes"),
            Found::Missing | Found::Blocked => Ok(Files::new()),
        }
    }
}

/// Why what was cannot come back, if it cannot.
fn refusal(then: &Then, only: Option<&BTreeSet<String>>, missing: usize) -> Option<String> {
    let counts = |name: &&String| only.is_none_or(|only| only.contains(*name));
    if let Some(name) = then.expired.iter().find(counts) {
        return Some(format!("the version that {name} had then has expired"));
    }
    match missing {
        _ if !then.is_nothing() => None,
        0 => Some("there was no such calendar then".to_owned()),
        _ => Some(format!("other tools removed its {}: no history has them", counted(missing, "file"))),
    }
}
