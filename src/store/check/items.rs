//! The items of one calendar: what is wrong with each file, and with all of them together.

use std::ffi::OsStr;
use std::path::Path as FsPath;
use std::time::{Duration, SystemTime};

use super::Asked;
use super::finding::{Finding, Kind};
use super::keys::{Contested, Keys};
use super::look::Seen;
use super::mend::Repair;
use super::zones::Zones;
use crate::error::Error;
use crate::ical::busy::found as busy_of;
use crate::ical::cut::cut;
use crate::ical::faults::{Fault, What, broken, faults, line_of};
use crate::ical::item::Item;
use crate::store::busy::{MOST_OF_ITEM, with_text};
use crate::store::calendar::file::named;
use crate::store::disk::content::content_hash;
use crate::store::disk::{Directory, MAX_FILE};

/// What is known of a calendar's items.
#[derive(Debug, Default)]
pub struct Items {
    pub found: Vec<Finding>,
    pub repairs: Vec<Repair>,
    pub keys: Keys,
    zones: Zones,
    /// A file of which nobody knows here what is served: its last good version, if there is one.
    unknown: Option<String>,
}

impl What {
    fn kind(self) -> Kind {
        match self {
            What::Half => Kind::HalfFile,
            What::Unparsable => Kind::Unparsable,
            What::Several => Kind::SeveralItems,
            What::Twice => Kind::UidTwice,
            What::Empty => Kind::StrayFile,
            What::NoStart => Kind::NoStart,
            What::NoUid => Kind::NoUid,
            What::BadValue => Kind::BadValue,
            What::NoZone => Kind::NoTimeZone,
            What::LongLine => Kind::LongLine,
            What::LineEnds => Kind::LineEnds,
            What::SplitCharacter => Kind::SplitCharacter,
        }
    }

    fn is_repairable(self) -> bool {
        match self {
            What::Several | What::NoUid | What::LongLine | What::LineEnds | What::SplitCharacter => true,
            What::Half
            | What::Unparsable
            | What::Twice
            | What::Empty
            | What::NoStart
            | What::BadValue
            | What::NoZone => false,
        }
    }
}

/// Looks at the items' files among `all`, which are in `directory`; `counts` if its events count in free/busy.
pub fn items(asked: &Asked<'_>, directory: &Directory, path: &FsPath, all: &[Seen], counts: bool) -> Items {
    let mut items = Items::default();
    let files = all.iter().filter(|seen| seen.is_item_name() && seen.is_file());
    let (served, unserved): (Vec<&Seen>, Vec<&Seen>) = files.partition(|seen| seen.text().is_some());
    for name in served.into_iter().filter_map(Seen::text) {
        asked.progress.file();
        items.look_at(asked, directory, name, &path.join(name), counts);
    }
    let (found, mut contested) = items.keys.judge(directory, path);
    items.found.extend(found);
    contested.stays.extend(items.of_two_zones(path));
    settle(&mut items, path, contested);
    for seen in unserved {
        asked.progress.file();
        items.unserved(directory, seen, &path.join(&seen.name));
    }
    items
}

/// A loose file, which nothing is repaired in: nobody writes to such a calendar but its owner by hand.
pub fn loose(asked: &Asked<'_>, directory: &Directory, name: &str, path: &FsPath) -> Vec<Finding> {
    asked.progress.file();
    let mut items = Items::default();
    items.look_at(asked, directory, name, path, true);
    // That is what it is for.
    items.found.retain(|finding| finding.kind != Kind::SeveralItems);
    items.found.iter_mut().for_each(|finding| finding.repairable = false);
    items.found
}

/// A name for an item's file, where it carries no meaning.
fn named_anew(seen: &Seen) -> String {
    format!("{}.ics", &blake3::hash(seen.name.as_encoded_bytes()).to_hex()[..24])
}

/// Takes back the repairs that could change which of two versions is served.
fn settle(items: &mut Items, path: &FsPath, contested: Contested) {
    let Contested { stays, mut twins } = contested;
    let mut repairs = std::mem::take(&mut items.repairs);
    for repair in &mut repairs {
        if let Repair::Split { file, twins: its, .. } = repair {
            its.extend(twins.remove(file).unwrap_or_default());
        }
    }
    for (file, twins) in twins {
        // Its only item: the file goes.
        repairs.retain(
            |repair| !matches!(repair, Repair::Rewrite { file: rewritten, .. } if *rewritten == file),
        );
        let hash = twins.first().map(|twin| twin.hash);
        repairs.push(Repair::Split { file, hash, twins });
    }
    repairs.retain(|repair| match repair {
        Repair::Rewrite { file, .. } | Repair::Split { file, .. } => !stays.contains(file),
        Repair::Rename { .. } => true,
    });
    for finding in items.found.iter_mut().filter(|finding| finding.repairable) {
        let name = finding.path.strip_prefix(path).ok().and_then(FsPath::to_str);
        if name.is_some_and(|name| stays.contains(name)) {
            finding.repairable = false;
        }
    }
    items.repairs = repairs;
}

impl Items {
    /// The files that cannot be split, since an item could be served with another zone then. Says so where they are named.
    fn of_two_zones(&mut self, path: &FsPath) -> Vec<String> {
        let Items { found, repairs, zones, .. } = self;
        let mut stays = Vec::new();
        for repair in repairs {
            let Repair::Split { file, .. } = repair else { continue };
            let Some(tzid) = zones.of_two_meanings(file) else { continue };
            let is_it = |finding: &&mut Finding| {
                finding.kind == Kind::SeveralItems && finding.path == path.join(&file)
            };
            for finding in found.iter_mut().filter(is_it) {
                finding.words +=
                    &format!("; it stays whole, for the calendar has two zones called \"{tzid}\"");
            }
            stays.push(file.clone());
        }
        stays
    }

    /// A file that is not served for its name. It gets another one where none of its items is served from elsewhere.
    fn unserved(&mut self, directory: &Directory, seen: &Seen, path: &FsPath) {
        let to = named_anew(seen);
        let finding = |more: String| {
            let words = format!("its name is no UTF-8: it is not served{more}");
            Finding::new(Kind::UnreachableName, path, words)
        };
        let content = match read(directory, &seen.name) {
            Ok(Some(content)) => content,
            Ok(None) => return,
            Err(error) => return self.found.extend([finding(String::new()), unread(path, &error)]),
        };
        // One that cannot be understood is not served under another name either.
        let items = cut(&content).map(|cut| cut.items).unwrap_or_default();
        let items: Vec<Item> = named(items, &to).collect();
        let taken = items
            .iter()
            .find_map(|item| self.keys.holder(&item.key).map(|file| (item.key.uid.clone(), file.to_owned())));
        self.found.push(match (taken, &self.unknown, self.zones.changed_by(&items)) {
            (Some((uid, file)), ..) => finding(format!("; UID {uid} is in {file} too, which is served")),
            (None, Some(file), _) => finding(format!("; {file} may have the same item, and cannot be read")),
            (None, None, Some(tzid)) => {
                finding(format!("; others name its time zone \"{tzid}\" and do not define it so"))
            }
            (None, None, None) => {
                self.zones.add(&to, &items);
                self.repairs.push(Repair::Rename { from: seen.name.clone(), to });
                finding(String::new()).repairable()
            }
        });
    }

    fn look_at(&mut self, asked: &Asked<'_>, directory: &Directory, name: &str, path: &FsPath, counts: bool) {
        let content = match read(directory, name.as_ref()) {
            Ok(Some(content)) => content,
            // Gone since it was listed.
            Ok(None) => return,
            Err(error) => {
                self.unknown = Some(name.to_owned());
                return self.found.push(unread(path, &error));
            }
        };
        let all = faults(&content);
        let repair = repair(&all, name, &content);
        let unclear = all.iter().any(|fault| matches!(fault.what, What::NoStart | What::BadValue));
        self.found.extend(all.into_iter().map(|fault| finding(path, fault)));
        let cut = match cut(&content) {
            Ok(cut) => cut,
            Err(error) => {
                self.unknown = Some(name.to_owned());
                // What the scanner takes and is too much to be served has not been named yet.
                if !self.found.iter().any(|finding| finding.path == path && is_broken(finding.kind)) {
                    self.found.push(finding(path, broken(&content, &error)));
                }
                return;
            }
        };
        let items: Vec<Item> = named(cut.items, name).collect();
        self.repairs.extend(repair);
        if counts && !unclear {
            items.iter().for_each(|item| self.found.extend(uncounted(asked, item, &content, path)));
        }
        self.keys.add(name, items.iter().map(|item| &item.key));
        self.zones.add(name, &items);
    }
}

/// What mends a file with these faults. One in which nothing is needs no other form.
fn repair(faults: &[Fault], file: &str, content: &[u8]) -> Option<Repair> {
    let has = |what: &[What]| faults.iter().any(|fault| what.contains(&fault.what));
    let (file, hash) = (file.to_owned(), Some(content_hash(content)));
    if has(&[What::Several]) {
        return Some(Repair::Split { file, hash, twins: Vec::new() });
    }
    let is_misspelled = has(&[What::NoUid, What::LongLine, What::LineEnds, What::SplitCharacter]);
    (is_misspelled && !has(&[What::Empty])).then_some(Repair::Rewrite { file, hash })
}

fn is_broken(kind: Kind) -> bool {
    matches!(kind, Kind::HalfFile | Kind::Unparsable)
}

fn finding(path: &FsPath, fault: Fault) -> Finding {
    let Fault { what, line, words } = fault;
    let words = match what {
        What::Half | What::Unparsable => format!("{words}: its last good version is served, if there is one"),
        _ => words,
    };
    let finding = Finding::new(what.kind(), path, words).at_line(line);
    if what.is_repairable() { finding.repairable() } else { finding }
}

/// The content of a file. One that somebody seems to be writing is looked at once more.
fn read(directory: &Directory, name: &OsStr) -> Result<Option<Vec<u8>>, Error> {
    const A_MOMENT: Duration = Duration::from_millis(200);
    const YOUNG: Duration = Duration::from_secs(1);
    let Some((content, stamp)) = directory.read_up_to(name, MAX_FILE)? else { return Ok(None) };
    let is_young = SystemTime::now().duration_since(stamp.modified()).is_ok_and(|age| age < YOUNG);
    if !is_young || cut(&content).is_ok() {
        return Ok(Some(content));
    }
    std::thread::sleep(A_MOMENT);
    Ok(directory.read_up_to(name, MAX_FILE)?.map(|(content, _)| content))
}

/// What a file that cannot be read comes to.
pub fn unread(path: &FsPath, error: &Error) -> Finding {
    match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge => {
            let words = format!("more than {} MB: it is not read", MAX_FILE >> 20);
            Finding::new(Kind::TooLarge, path, words)
        }
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Finding::new(Kind::NoAccess, path, "whoever runs this check may not read it")
        }
        Error::Io { source, .. } => {
            Finding::new(Kind::Unreadable, path, format!("it cannot be read: {source}"))
        }
        other => Finding::new(Kind::Unreadable, path, format!("it cannot be read: {other}")),
    }
}

/// What keeps an item out of free/busy.
fn uncounted(asked: &Asked<'_>, item: &Item, content: &[u8], path: &FsPath) -> Option<Finding> {
    let (property, reason) = match with_text(item, |text| busy_of(text, &asked.window, &asked.owner)) {
        Ok(found) if found.periods.len() > MOST_OF_ITEM => {
            ("RRULE".to_owned(), format!("RRULE: more than {MOST_OF_ITEM} busy times"))
        }
        Ok(_) => return None,
        Err(reason) => (reason.property.clone(), reason.to_string()),
    };
    let line = line_of(content, &item.key.uid, &property).or_else(|| line_of(content, "", &property));
    let words = format!("{reason}: it does not count in free/busy");
    Some(Finding::new(Kind::FreebusyUnreadable, path, words).at_line(line))
}
