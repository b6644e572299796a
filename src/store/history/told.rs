//! `kalends history` and `kalends diff`: what the history of a place tells, item by item.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FsPath, PathBuf};

use jiff::Timestamp;

use super::record::{Cause, Did, Record};
use super::timeline::{Timeline, Version};
use crate::error::{Error, Result};
use crate::ical::item::{Item, Key};
use crate::ical::text::summary;
use crate::store::Store;
use crate::store::calendar::listing::{is_item, own_files};
use crate::store::place::Path;
use crate::store::restore::look_back::Moment;

/// A change as it is told.
#[derive(Debug)]
pub struct Told {
    pub time: Timestamp,
    pub change: String,
    pub cause: Cause,
    pub items: Vec<ToldItem>,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToldItem {
    pub what: What,
    /// Below the home.
    pub file: String,
    /// Empty where the version is not known or has no items.
    pub uid: String,
    pub summary: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Added,
    Replaced,
    Removed,
    /// By a check: it was there before under a name that nothing reached.
    Renamed,
    /// A version that never was in the tree, because what was there won.
    Lost,
}

/// An item that differs between then and now: its lines, unfolded, or nothing where it was not or is not there.
#[derive(Debug)]
pub struct Differing {
    pub uid: String,
    pub then: Option<String>,
    pub now: Option<String>,
}

impl Differing {
    /// The lines of both, with those of their own zones where these differ.
    fn new(uid: &str, then: Option<Item>, now: Option<Item>) -> Differing {
        let zones_of = |item: &Option<Item>| item.as_ref().map_or(String::new(), zones);
        let zones_differ = then.is_some() && now.is_some() && zones_of(&then) != zones_of(&now);
        let text = |item: &Option<Item>| {
            let lines = item.as_ref().map(|item| unfolded(&item.raw))?;
            Some(if zones_differ { zones_of(item) + &lines } else { lines })
        };
        Differing { uid: uid.to_owned(), then: text(&then), now: text(&now) }
    }
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Added => "added",
            What::Replaced => "replaced",
            What::Removed => "removed",
            What::Renamed => "renamed",
            What::Lost => "lost",
        }
    }
}

impl Store {
    /// The changes of a calendar, or of all that is in a folder or a home, oldest first; only those of the item `uid` if it
    /// is named.
    ///
    /// # Errors
    /// `BadRequest` for a place without a home or with nothing in the history.
    pub fn history(&self, place: &Path, uid: Option<&str>) -> Result<Vec<Told>> {
        let locked = self.lock_home_of(place)?;
        let home = &locked.directory;
        let timeline = Timeline::read(home)?;
        let mut told = Vec::new();
        let mut after = After::default();
        for record in timeline.changes.iter().rev().filter(|record| timeline.was_made(record)) {
            let items = items_of(&timeline, record, &place.below_home(), &mut after)?;
            // What the whole home did counts at each place in it, and what a calendar did also when nothing is known of its items any more.
            let is_of_all = record.cause.did == Did::Back || record.is_whole_below(&place.below_home());
            if uid.is_none() && (is_of_all || !items.is_empty())
                || items.iter().any(|item| Some(item.uid.as_str()) == uid)
            {
                let items = items.into_iter().filter(|item| uid.is_none_or(|uid| item.uid == uid)).collect();
                let time = record.time().unwrap_or_default();
                told.push(Told { time, change: record.change.clone(), cause: record.cause.clone(), items });
            }
        }
        told.reverse();
        match told.is_empty() {
            true => {
                let of = uid.map_or_else(String::new, |uid| format!(" of {uid}"));
                Err(Error::BadRequest(format!("{place}: the history has nothing{of}")))
            }
            false => Ok(told),
        }
    }

    /// The items of a calendar that are not as they were.
    ///
    /// # Errors
    /// As [`Store::restore`].
    pub fn differences(&self, place: &Path, uid: Option<&str>, moment: Moment) -> Result<Vec<Differing>> {
        let locked = self.lock_home_of(place)?;
        let home = &locked.directory;
        let looked = self.look_back(home, place, uid, moment)?;
        let (mut then, mut now) = (BTreeMap::new(), BTreeMap::new());
        let names: BTreeSet<&String> = looked.then.files.keys().chain(looked.here.keys()).collect();
        for name in names.into_iter().filter(|name| is_item(name)) {
            let (was, is) = (looked.then.files.get(name), looked.here.get(name));
            if was != is {
                gather(&looked.timeline, name, was, &mut then)?;
                gather(&looked.timeline, name, is, &mut now)?;
            }
        }
        let keys: BTreeSet<Key> = then.keys().chain(now.keys()).cloned().collect();
        let differing = keys.into_iter().map(|key| (then.remove(&key), now.remove(&key), key));
        let differing = differing.filter(|(then, now, key)| {
            let is_same = match (then, now) {
                (Some(then), Some(now)) => then.is_written_as(now),
                _ => false,
            };
            uid.is_none_or(|uid| &*key.uid == uid) && !is_same
        });
        Ok(differing.map(|(then, now, key)| Differing::new(&key.uid, then, now)).collect())
    }
}

/// The version that each file had after a change. Told from the newest change on, each says what was before it.
#[derive(Default)]
struct After {
    /// As far as they are not in the tree; nothing where it is not known.
    versions: BTreeMap<String, Option<Version>>,
    /// The calendars that have gone or come since: what lies there now is not what lay there then.
    others: Vec<PathBuf>,
}

impl After {
    fn of(&self, file: &str) -> Option<Version> {
        let is_others = || self.others.iter().any(|calendar| FsPath::new(file).starts_with(calendar));
        match self.versions.get(file) {
            Some(known) => known.clone(),
            None => (!is_others()).then(|| Version(PathBuf::from(file))),
        }
    }

    /// Forgets what lies in a calendar, which another one has taken the place of since.
    fn forget(&mut self, calendar: &FsPath) {
        self.versions.retain(|file, _| !FsPath::new(file).starts_with(calendar));
        self.others.push(calendar.to_path_buf());
    }
}

/// What a change did at the place `below` the home. Goes on with `after` to the change before it.
fn items_of(
    timeline: &Timeline<'_>,
    record: &Record,
    below: &FsPath,
    after: &mut After,
) -> Result<Vec<ToldItem>> {
    let at_place = |file: &&String| FsPath::new(file.as_str()).starts_with(below);
    let mut items = Vec::new();
    for (what, files) in
        [(What::Added, &record.added), (What::Replaced, &record.replaced), (What::Removed, &record.removed)]
    {
        for file in files.iter().filter(at_place) {
            let before = timeline.version(record, file).cloned();
            let shown = if what == What::Removed { before.clone() } else { after.of(file) };
            items.extend(told(timeline, what, file, shown.as_ref()));
            if what == What::Added {
                after.versions.remove(file);
            } else {
                after.versions.insert(file.clone(), before);
            }
        }
    }
    if record.is_whole_below(below) {
        items.extend(items_of_calendar(timeline, record, after)?);
    }
    for (_, file) in record.renamed.iter().filter(|(_, file)| at_place(&file)) {
        items.extend(told(timeline, What::Renamed, file, Some(&Version(PathBuf::from(file)))));
    }
    for (file, version) in timeline.lost(record).filter(|(file, _)| file.starts_with(below)) {
        items.extend(told(timeline, What::Lost, &file.to_string_lossy(), Some(version)));
    }
    items.sort();
    Ok(items)
}

/// What went with a whole calendar; what came with one is on record.
fn items_of_calendar(timeline: &Timeline<'_>, record: &Record, after: &mut After) -> Result<Vec<ToldItem>> {
    let calendar = FsPath::new(&record.calendar);
    after.forget(calendar);
    let Some((at, removed)) = timeline.removed(record, calendar) else { return Ok(Vec::new()) };
    let mut items = Vec::new();
    for name in own_files(&removed)? {
        let file = calendar.join(&name).to_string_lossy().into_owned();
        let version = Some(Version(at.join(&name)));
        items.extend(told(timeline, What::Removed, &file, version.as_ref()));
        after.versions.insert(file, version);
    }
    Ok(items)
}

/// The items of a version of the file `name` by their keys.
fn gather(
    timeline: &Timeline<'_>,
    name: &str,
    version: Option<&Version>,
    into: &mut BTreeMap<Key, Item>,
) -> Result<()> {
    let Some(version) = version else { return Ok(()) };
    for item in timeline.items(name, version)? {
        into.insert(item.key.clone(), item);
    }
    Ok(())
}

/// The definitions of the zones that only the item's own file defines.
fn zones(item: &Item) -> String {
    let own = item.zones.iter().filter(|zone| zone.iana.is_none());
    own.filter_map(|zone| zone.definition.as_ref()).map(|definition| unfolded(&definition.raw)).collect()
}

fn unfolded(raw: &[u8]) -> String {
    crate::ical::line::lines(raw).map(|line| format!("{}\n", line.text)).collect()
}

/// The items of a version, as a change is told to have touched them; one without a name if it is not there or is no calendar.
fn told(timeline: &Timeline<'_>, what: What, file: &str, version: Option<&Version>) -> Vec<ToldItem> {
    let item =
        |uid: &str, summary: String| ToldItem { what, file: file.to_owned(), uid: uid.to_owned(), summary };
    let name = FsPath::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let items = version.and_then(|version| timeline.items(name, version).ok()).unwrap_or_default();
    match items.is_empty() {
        true => vec![item("", String::new())],
        false => items.iter().map(|found| item(&found.key.uid, summary(&found.raw))).collect(),
    }
}
