//! Which files a calendar has, and what is in them: the listing of a directory, beside others that change it.

use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::file::{File, Files, Looked};
use super::last_good::LastGood;
use super::props::{METADATA, PROPS, Props, Stamps};
use crate::error::{Error, Result};
use crate::store::disk::stamp::Stamp;
use crate::store::disk::{Directory, EntryKind};
use crate::store::threads::side_by_side;

/// Where a calendar's items are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape<'a> {
    /// Each `*.ics` in the directory.
    Directory,
    /// One file of the directory, which is a folder; such a calendar is read-only.
    File(&'a str),
}

impl Shape<'_> {
    /// The properties of a calendar that is called `name`, see [`Props::sweep`].
    pub fn props(
        self,
        directory: &Directory,
        name: &str,
        known: Option<&Props>,
        then: Option<Stamps>,
    ) -> Result<(Props, Option<Stamps>)> {
        match self {
            Shape::Directory => Props::sweep(directory, name, known, then),
            Shape::File(_) => Ok((Props::bare(name), None)),
        }
    }

    /// When the calendar last changed, by its directory's word; a folder has none on one of its files.
    pub fn own_time(self, directory: Stamp) -> SystemTime {
        match self {
            Shape::Directory => directory.modified(),
            Shape::File(_) => SystemTime::UNIX_EPOCH,
        }
    }
}

/// A directory as it was listed.
pub struct Listing {
    /// The items' files, and those that are known and were not listed, in order.
    pub names: Vec<Arc<str>>,
    /// What has an item's name and is no regular file.
    pub blocked: Arc<[String]>,
    pub stamp: Stamp,
}

/// Whether a file of this name holds items.
pub fn is_item(name: &str) -> bool {
    name.ends_with(".ics") && !name.starts_with('.')
}

/// Whether a file of this name is a calendar's own: an item's, or one in which it speaks of itself; not who may see it.
pub fn is_own(name: &str) -> bool {
    is_item(name) || name == PROPS || METADATA.contains(&name)
}

/// The names of a calendar's own files.
pub fn own_files(calendar: &Directory) -> Result<Vec<String>> {
    let files = calendar.entries()?.into_iter().filter(|(_, kind)| *kind == EntryKind::File);
    Ok(files.map(|(name, _)| name).filter(|name| is_own(name)).collect())
}

/// Lists the items' files in `directory`.
///
/// A listing beside somebody's renames may miss names: it is made again while the directory changes, and a name that
/// was known is dropped only when its own stat says that it is gone.
pub fn list(directory: &Directory, shape: Shape<'_>, known: &Files) -> Result<Listing> {
    if let Shape::File(name) = shape {
        return Ok(Listing {
            names: vec![name.into()],
            blocked: Arc::new([]),
            stamp: directory.own_stamp()?,
        });
    }
    let mut attempts = 3;
    loop {
        let before = directory.own_stamp()?;
        let entries = directory.entries()?;
        let stamp = directory.own_stamp()?;
        attempts -= 1;
        if before != stamp && attempts > 0 {
            continue;
        }
        let named = entries.into_iter().filter(|(name, _)| is_item(name));
        let (files, others): (Vec<_>, Vec<_>) = named.partition(|(_, kind)| *kind == EntryKind::File);
        let mut names: Vec<Arc<str>> = files.into_iter().map(|(name, _)| name.into()).collect();
        names.sort_unstable();
        let missed: Vec<_> =
            known.keys().filter(|name| names.binary_search(name).is_err()).cloned().collect();
        names.extend(missed);
        names.sort_unstable();
        return Ok(Listing { names, blocked: others.into_iter().map(|(name, _)| name).collect(), stamp });
    }
}

/// The files of a calendar as they were read.
pub struct Read {
    pub files: Arc<Files>,
    pub blocked: Arc<[String]>,
    pub stamp: Stamp,
}

/// Reads what of the files has changed since `before`, which it gives back if nothing has; all of them if there is none.
pub fn read(
    directory: &Directory,
    shape: Shape<'_>,
    before: Option<&Arc<Files>>,
    last_good: &LastGood,
) -> Result<Read> {
    let nothing = Files::new();
    let then = before.map_or(&nothing, |before| before);
    let Listing { names, blocked, stamp } = list(directory, shape, then)?;
    let mut read = side_by_side(&names, |names| look(directory, names, then, last_good))?;
    look_again(directory, &mut read, then, last_good, a_moment)?;
    let read: Vec<_> = read.into_iter().filter_map(|(name, now)| Some((name, now?))).collect();
    // Those too that went while nobody looked. Beside a loose file are others' files.
    if shape == Shape::Directory {
        last_good.forget_others(directory, read.iter().map(|(name, _)| &**name));
    }
    let untouched = read.len() == then.len()
        && read.iter().zip(then.values()).all(|((_, now), then)| Arc::ptr_eq(now, then));
    if let Some(before) = before.filter(|_| untouched) {
        return Ok(Read { files: before.clone(), blocked, stamp });
    }
    let files: Files = read.into_iter().collect();
    if before.is_none() && files.values().all(|file| file.is_unknown()) {
        files.keys().try_for_each(|name| match directory.read(name) {
            // As where we may not look into the directory: clients would take an empty calendar for one in which all is deleted.
            Err(error) if error.is_refused() => Err(error),
            Err(_) => Ok(()),
            // Somebody has given us the right just now.
            Ok(_) => Err(Error::Busy),
        })?;
    }
    Ok(Read { files: Arc::new(files), blocked, stamp })
}

/// What is at a name now; nothing if it is gone.
type Now = (Arc<str>, Option<Arc<File>>);

/// The files of these names, which are in order, as they are now.
fn look(directory: &Directory, names: &[Arc<str>], known: &Files, last_good: &LastGood) -> Result<Vec<Now>> {
    let mut read = Vec::with_capacity(names.len());
    // Both are in the order of names.
    let mut known = known_from(known, names).peekable();
    for name in names {
        while known.next_if(|(before, _)| *before < name).is_some() {}
        let before = known.next_if(|(before, _)| *before == name).map(|(_, file)| file);
        read.push((name.clone(), Looked { name, before, last_good }.sweep(directory)?));
    }
    Ok(read)
}

/// The files of `known` from the first of `names` on.
fn known_from<'k>(
    known: &'k Files,
    names: &[Arc<str>],
) -> impl Iterator<Item = (&'k Arc<str>, &'k Arc<File>)> {
    let start = names.first().map_or(Bound::Unbounded, |first| Bound::Included(&**first));
    known.range::<str, _>((start, Bound::Unbounded))
}

/// Looks once more, after `pause`, at what was known and is gone: tar and git remove a file, make it again and fill it. Who saw
/// it between the first two would take it for deleted, and between the last two would not know any more what was good of it.
pub fn look_again(
    directory: &Directory,
    seen: &mut [Now],
    known: &Files,
    last_good: &LastGood,
    pause: impl FnOnce(),
) -> Result<()> {
    let is_gone = |(name, now): &&mut Now| now.is_none() && known.contains_key(name);
    let mut gone = seen.iter_mut().filter(is_gone).peekable();
    if gone.peek().is_some() {
        pause();
    }
    for (name, now) in gone {
        *now = Looked { name, before: known.get(name), last_good }.sweep(directory)?;
        // Under its name may be another item one day.
        if now.is_none() {
            last_good.forget(directory, name);
        }
    }
    Ok(())
}

/// In which a file that is removed to be made again is there again, unless the machine has much else to do.
pub fn a_moment() {
    std::thread::sleep(Duration::from_millis(20));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn what_is_removed_and_made_again_keeps_its_last_good_version_until_it_is_filled() {
        let tree = tempfile::tempdir().expect("a directory");
        let root = Directory::root(tree.path()).expect("open");
        let (path, last_good) = (tree.path().join("1.ics"), LastGood::default());
        std::fs::write(&path, ITEM).expect("write");
        let sweep = |known: &Files, pause: &dyn Fn()| -> Files {
            let mut seen = look(&root, &["1.ics".into()], known, &last_good).expect("looked");
            look_again(&root, &mut seen, known, &last_good, pause).expect("looked");
            seen.into_iter().filter_map(|(name, now)| Some((name, now?))).collect()
        };
        let known = sweep(&Files::new(), &|| panic!("nothing was known"));
        std::fs::remove_file(&path).expect("removed");
        let made = sweep(&known, &|| std::fs::write(&path, "").expect("made"));
        assert_eq!(
            made.values().map(|file| (file.broken, file.items.len())).collect::<Vec<_>>(),
            [(true, 1)]
        );
        std::fs::remove_file(&path).expect("removed");
        assert!(sweep(&made, &|| {}).is_empty());
    }
}
