//! The UIDs of a calendar: one that stands twice, that differs from another in letter case only, or that is of two kinds.
//! Of each item no more is kept than tells it from others; the few files that matter are read again.

use std::collections::{HashMap, HashSet};
use std::path::Path as FsPath;
use std::time::SystemTime;

use super::finding::{Finding, Kind};
use super::names::folded;
use crate::ical::cut::cut;
use crate::ical::faults::line_of;
use crate::ical::item::{Item, Key};
use crate::store::calendar::file::named;
use crate::store::calendar::served::precedence;
use crate::store::disk::Directory;
use crate::store::disk::content::{ContentHash, content_hash};

/// A hash that nobody can make collide.
type Digest = u128;

/// An item as it is remembered.
#[derive(Debug, Clone, Copy)]
struct Held {
    uid: Digest,
    /// Of UID and kind.
    key: Digest,
    /// Its file, by number.
    file: u32,
}

/// The keys of one calendar.
#[derive(Debug, Default)]
pub struct Keys {
    files: Vec<String>,
    /// By UID in one letter case and one Unicode form.
    by_uid: HashMap<Digest, Vec<Held>>,
}

/// One version of an item that there are two of.
struct Version {
    file: String,
    hash: ContentHash,
    item: Item,
    modified: SystemTime,
    line: Option<usize>,
}

/// The files that have an item which another file has too.
#[derive(Debug, Default)]
pub struct Contested {
    /// Files with a version unlike the other one: a write to them could change which is served.
    pub stays: HashSet<String>,
    /// The items of a file that another one has just so.
    pub twins: HashMap<String, Vec<Twin>>,
}

/// An item that `other` has just so.
#[derive(Debug, Clone)]
pub struct Twin {
    pub key: Key,
    /// Of the file that has it, as it was read.
    pub hash: ContentHash,
    pub other: String,
    pub other_hash: ContentHash,
}

fn digest(bytes: &[u8]) -> Digest {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    Digest::from_le_bytes(half)
}

fn key_digest(key: &Key) -> Digest {
    digest(key.file_stem().as_bytes())
}

impl Keys {
    /// Notes the items of a file.
    pub fn add<'k>(&mut self, file: &str, keys: impl Iterator<Item = &'k Key>) {
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        self.files.push(file.to_owned());
        for key in keys {
            let held = Held { uid: digest(key.uid.as_bytes()), key: key_digest(key), file: number };
            let folded = digest(folded(&key.uid).as_bytes());
            self.by_uid.entry(folded).or_default().push(held);
        }
    }

    /// A file that has an item of this key.
    pub fn holder(&self, key: &Key) -> Option<&str> {
        let of_uid = self.by_uid.get(&digest(folded(&key.uid).as_bytes()))?;
        of_uid.iter().find(|held| held.key == key_digest(key)).map(|held| self.file(held))
    }

    fn file(&self, held: &Held) -> &str {
        self.files.get(held.file as usize).map_or("", String::as_str)
    }

    /// What is wrong; `path` is the calendar's.
    pub fn judge(&self, directory: &Directory, path: &FsPath) -> (Vec<Finding>, Contested) {
        let (mut found, mut contested) = (Vec::new(), Contested::default());
        for held in self.by_uid.values().filter(|held| held.len() > 1) {
            let mut by_key: HashMap<Digest, Vec<&Held>> = HashMap::new();
            held.iter().for_each(|held| by_key.entry(held.key).or_default().push(held));
            for twice in by_key.values().filter(|twice| twice.len() > 1) {
                let versions = twice.iter().filter_map(|held| self.version(directory, held)).collect();
                judge_versions(path, versions, &mut found, &mut contested);
            }
            let first = &held[0];
            let mut firsts: Vec<&Held> = by_key.values().map(|of_key| of_key[0]).collect();
            firsts.sort_by_key(|held| held.file);
            for other in firsts.into_iter().filter(|other| other.key != first.key) {
                found.extend(self.unlike(directory, path, first, other));
            }
        }
        (found, contested)
    }

    /// What is wrong between two items whose UIDs are alike and whose keys are not.
    fn unlike(&self, directory: &Directory, path: &FsPath, one: &Held, other: &Held) -> Option<Finding> {
        let (one, version) = (self.version(directory, one)?, self.version(directory, other)?);
        let (kind, words) = match one.item.key.uid == version.item.key.uid {
            true => (Kind::UidOfTwoKinds, two_kinds(&one.item.key, &version.item.key, &one.file)),
            false => (
                Kind::UidClash,
                format!(
                    "its UID {} differs from that in {} in letter case or Unicode form only",
                    version.item.key.uid, one.file
                ),
            ),
        };
        Some(Finding::new(kind, path.join(&version.file), words).at_line(version.line))
    }

    /// What stands in this calendar and in `other` too, though one address shows both.
    pub fn judge_together(
        &self,
        directory: &Directory,
        path: &FsPath,
        other: &Keys,
        other_directory: &Directory,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        for (folded, held) in &self.by_uid {
            let Some(others) = other.by_uid.get(folded) else { continue };
            let pairs = held
                .iter()
                .filter_map(|held| Some((held, others.iter().find(|other| other.uid == held.uid)?)));
            for (held, other_held) in pairs {
                let version = self.version(directory, held);
                let other_version = other.version(other_directory, other_held);
                let (Some(version), Some(there)) = (version, other_version) else { continue };
                let place = format!("Calendar/{}", there.file);
                let (kind, words) = match version.item.key == there.item.key {
                    true => {
                        (Kind::UidTwice, format!("the same item is in {place} too, which main.ics shows"))
                    }
                    false => (Kind::UidOfTwoKinds, two_kinds(&there.item.key, &version.item.key, &place)),
                };
                found.push(Finding::new(kind, path.join(&version.file), words).at_line(version.line));
            }
        }
        found
    }

    /// Reads an item again; nothing if it is gone.
    fn version(&self, directory: &Directory, held: &Held) -> Option<Version> {
        let file = self.file(held);
        let (text, stamp) = directory.read(file).ok().flatten()?;
        let item = named(cut(&text).ok()?.items, file).find(|item| key_digest(&item.key) == held.key)?;
        let line = line_of(&text, &item.key.uid, "UID");
        let (hash, modified) = (content_hash(&text), stamp.modified());
        Some(Version { file: file.to_owned(), hash, item, modified, line })
    }
}

fn two_kinds(one: &Key, other: &Key, file: &str) -> String {
    format!(
        "its UID {} is a {} here and a {} in {file}: Thunderbird shows but one of them",
        other.uid,
        other.kind.name(),
        one.kind.name()
    )
}

/// Names the versions of one item that are not served; one that is as the one that is served can go.
fn judge_versions(
    path: &FsPath,
    mut versions: Vec<Version>,
    found: &mut Vec<Finding>,
    contested: &mut Contested,
) {
    // As a calendar is served: the greatest in precedence, and of equals the first by name.
    versions.sort_by(|one, other| one.file.cmp(&other.file));
    let rank = |version: &Version| precedence(&version.item, version.modified);
    let best = versions.iter().enumerate().rev().max_by_key(|(_, version)| rank(version)).map(|(at, _)| at);
    let Some(best) = best else { return };
    let served = versions.remove(best);
    for version in versions {
        let is_equal = version.item.raw == served.item.raw && version.item.look() == served.item.look();
        let why = match rank(&version) {
            _ if is_equal => "it is the same",
            (sequence, ..) if sequence < rank(&served).0 => "its SEQUENCE is higher",
            (_, last_modified, _) if last_modified < rank(&served).1 => "its LAST-MODIFIED is later",
            (.., modified) if modified < rank(&served).2 => "its file is newer",
            _ => "its name comes first",
        };
        let words = format!(
            "UID {} is in {} too, which is served, for {why}; this one stays",
            served.item.key.uid, served.file
        );
        let finding = Finding::new(Kind::UidTwice, path.join(&version.file), words).at_line(version.line);
        found.push(if is_equal { finding.repairable() } else { finding });
        if is_equal {
            let twin = Twin {
                key: version.item.key,
                hash: version.hash,
                other: served.file.clone(),
                other_hash: served.hash,
            };
            contested.twins.entry(version.file).or_default().push(twin);
        } else {
            contested.stays.extend([version.file, served.file.clone()]);
        }
    }
}
