//! Homes that went back in time: a backup that was put back, an older copy, another user's home in the place of this one. Of each
//! home the newest change on record is remembered outside the tree, and looked for whenever the record may have become another
//! one. Where it is not told of any more, that is said once: in the log and in the home's own record. Nothing else is to be done,
//! for what else is remembered is named by content.
//!
//! Off the request path, in a thread of its own. What is remembered is one small file in the cache for all homes of a tree: where
//! it is lost, nobody is told of what happened before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FsPath, PathBuf};
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan};
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};

use super::expiry::Bounds;
use super::log::{self, Spot};
use super::record::{Cause, Did};
use super::{LOGS, spelled, time_of};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::disk::Directory;
use crate::store::place::{Home, Path};
use crate::store::tree::Tree;

const DIRECTORY: &str = "newest";
/// How often homes are looked at whose record has moved.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long ago a change was seen that is written to the file: by then the kernel has written the record to the disk, and a power
/// cut leaves none in the file of which the record does not tell.
const SETTLED: Duration = Duration::from_secs(60);

/// The newest changes of homes, as far as they were seen.
#[derive(Debug)]
pub struct Newest {
    /// Nothing if nothing can be kept.
    file: Option<PathBuf>,
    /// Guards what was seen; never held over disk access.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    by_home: BTreeMap<Home, Known>,
    in_file: String,
    /// What the file is to say next, and since when that is known.
    next: Option<(Instant, String)>,
    /// Whether the log has it that the file cannot be written.
    complained: bool,
}

/// What is remembered of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// Seen on record.
    Seen(Spot),
    /// Read from the file.
    Told(String),
    /// Not found on record when what is there now was the newest.
    Missed { change: String, newest: Option<Spot> },
}

impl Known {
    fn change(&self) -> &str {
        match self {
            Known::Seen(Spot { change, .. }) | Known::Told(change) | Known::Missed { change, .. } => change,
        }
    }
}

impl Newest {
    /// What is remembered in a cache directory of the tree in `data`.
    pub fn open(cache: &FsPath, data: &FsPath) -> Newest {
        let directory = cache.join(DIRECTORY);
        let data = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
        // One cache may serve several trees.
        let tree = blake3::hash(data.as_os_str().as_encoded_bytes()).to_hex();
        let file = directory.join(&tree[..16]);
        let in_file = std::fs::read_to_string(&file).unwrap_or_default();
        // Whoever opens the cache first has said that there is none.
        let made = std::fs::create_dir_all(&directory);
        let seen = Seen { by_home: decode(&in_file), in_file, ..Seen::default() };
        Newest { file: made.is_ok().then_some(file), seen: Mutex::new(seen) }
    }

    /// Remembers nothing: for whoever serves nothing.
    pub fn none() -> Newest {
        Newest { file: None, seen: Mutex::default() }
    }

    fn of(&self, home: &Home) -> Option<Known> {
        self.seen.lock().by_home.get(home).cloned()
    }

    /// The homes that are to be looked at, though their records have not moved.
    fn in_doubt(&self) -> Vec<Home> {
        let seen = self.seen.lock();
        let doubtful = seen.by_home.iter().filter(|(_, known)| !matches!(known, Known::Seen(_)));
        doubtful.map(|(home, _)| home.clone()).collect()
    }

    fn put(&self, home: &Home, known: Option<Known>) {
        let mut seen = self.seen.lock();
        match known {
            Some(known) => seen.by_home.insert(home.clone(), known),
            None => seen.by_home.remove(home),
        };
    }

    /// Writes what was known a while ago, once in that while.
    fn write_settled(&self) {
        let settled = {
            let mut seen = self.seen.lock();
            if seen.next.as_ref().is_some_and(|(since, _)| since.elapsed() < SETTLED) {
                return;
            }
            let now = (Instant::now(), encode(&seen.by_home));
            seen.next.replace(now)
        };
        if let Some((_, text)) = settled {
            self.write(text);
        }
    }

    /// Writes all that is known now.
    fn write_all(&self, tree: &Tree) {
        let (by_home, in_file) = {
            let seen = self.seen.lock();
            (seen.by_home.clone(), decode(&seen.in_file))
        };
        let change = |known: Option<&Known>| known.map(|known| known.change().to_owned());
        let is_new = |home: &Home, known: &Known| change(in_file.get(home)) != change(Some(known));
        for (home, known) in by_home.iter().filter(|(home, known)| is_new(home, known)) {
            if let Err(error) = sync(tree, home, known.change()) {
                tracing::debug!("history: {error}");
            }
        }
        self.write(encode(&by_home));
    }

    /// Nothing is lost with it: so it is not synced.
    fn write(&self, text: String) {
        let Some(file) = self.file.as_ref().filter(|_| self.seen.lock().in_file != text) else { return };
        let staged = file.with_extension("new");
        // Somebody may have deleted the whole cache.
        let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written =
            made.and_then(|()| std::fs::write(&staged, &text)).and_then(|()| std::fs::rename(&staged, file));
        let mut seen = self.seen.lock();
        match written {
            Ok(()) => seen.in_file = text,
            Err(_) if seen.complained => {}
            Err(error) => {
                seen.complained = true;
                let file = staged.display();
                tracing::warn!(
                    "{file}: {error}; what goes back in time is not noticed after a restart (said once)"
                );
            }
        }
    }
}

/// One line for each home: its newest change, and its name as commands take it.
fn encode(by_home: &BTreeMap<Home, Known>) -> String {
    let line = |(home, known): (&Home, &Known)| match home.owner() {
        Some(user) => format!("{} ~{user}\n", known.change()),
        None => format!("{} {}\n", known.change(), Path::root(home.clone())),
    };
    by_home.iter().map(line).collect()
}

/// What is no such line is left out.
fn decode(text: &str) -> BTreeMap<Home, Known> {
    let known = |line: &str| {
        let (change, home) = line.split_once(' ')?;
        time_of(change)?;
        let path: Path = home.parse().ok()?;
        path.names.is_empty().then(|| (path.home, Known::Told(change.to_owned())))
    };
    text.lines().filter_map(known).collect()
}

/// Makes durable that the record tells of a change.
fn sync(tree: &Tree, home: &Home, change: &str) -> Result<()> {
    let Some(directory) = tree.home(home)? else { return Ok(()) };
    let log = log::log_at(change);
    let Some(fd) = directory.open_beneath(&log, OFlags::RDONLY, Mode::empty())? else { return Ok(()) };
    rustix::fs::fsync(&fd).map_err(|error| Error::io(directory.path().join(&log), error))?;
    directory.directory(LOGS)?.map_or(Ok(()), |logs| logs.sync())
}

/// Whether a home's record tells of a change, or may have done so until it expired.
fn accounts_for(home: &Directory, known: &Known, now: Timestamp, bounds: Bounds) -> Result<bool> {
    if let Known::Seen(spot) = known
        && spot.is_there(home)?
    {
        return Ok(true);
    }
    let change = known.change();
    if log::is_told_of(home, change)? {
        return Ok(true);
    }
    let day = log::day_of_change(change);
    Ok(match log::days(home)?.first() {
        // What is older would have gone before.
        Some(oldest) => oldest.as_str() > day,
        None => {
            let kept_from = now.checked_sub((i64::from(bounds.days) * 24).hours()).map(spelled);
            // Of what is named after a clock that was ahead, nobody knows the age any more.
            let is_ahead = day > log::day_of_change(&spelled(now));
            bounds.bytes == 0 || is_ahead || kept_from.is_ok_and(|from| day < log::day_of_change(&from))
        }
    })
}

impl Store {
    /// Notices homes that went back in time, and a data directory that is not where it was, for as long as the process lives.
    pub fn notice_what_went_back(&self) {
        loop {
            // It says so itself.
            let _ = self.whereabouts.look();
            self.look_for_what_went_back();
            self.newest.write_settled();
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Writes what is to be known of homes after a restart.
    pub(in crate::store) fn remember(&self) {
        self.look_for_what_went_back();
        self.newest.write_all(&self.tree);
    }

    fn look_for_what_went_back(&self) {
        let mut homes: BTreeSet<Home> = self.writers.moved().into_iter().collect();
        homes.extend(self.newest.in_doubt());
        for home in homes {
            match self.look_for(&home) {
                Ok(Some(known)) => self.newest.put(&home, known),
                // A home that is gone may be about to be put back.
                Ok(None) => {}
                Err(error) => tracing::debug!("history: {error}"),
            }
        }
    }

    /// Looks whether the record of a home still tells of the newest change that it had; gives what is to be remembered of it
    /// from now on. Nothing if there is no such home.
    fn look_for(&self, home: &Home) -> Result<Option<Option<Known>>> {
        let Some(directory) = self.tree.home(home)? else { return Ok(None) };
        let newest = log::newest(&directory)?;
        let Some(known) = self.newest.of(home) else { return Ok(Some(newest.map(Known::Seen))) };
        if accounts_for(&directory, &known, Timestamp::now(), self.history)? {
            return Ok(Some(newest.map(Known::Seen)));
        }
        let missed = Known::Missed { change: known.change().to_owned(), newest };
        // What is being put back is not there in full yet: it is looked at until it stays the same.
        if known != missed {
            return Ok(Some(Some(missed)));
        }
        self.went_back(home, &directory, known.change())?;
        Ok(Some(log::newest(&directory)?.map(Known::Seen)))
    }

    /// Says that a home went back: its record does not tell of `missing` any more.
    fn went_back(&self, home: &Home, directory: &Directory, missing: &str) -> Result<()> {
        let path = Path::root(home.clone());
        let locked = self.lock(home);
        let directory = locked.as_ref().map_or(directory, |locked| &locked.directory);
        // Another process was faster.
        if locked.is_ok() && log::is_told_of(directory, missing)? {
            return Ok(());
        }
        let newest = log::newest(directory)?;
        let newest = newest.as_ref().map_or("none", |spot| &spot.change);
        tracing::warn!(
            "{path}: the home went back in time: its newest change was {missing}, and is {newest} now"
        );
        let cause = Cause { did: Did::Back, missing: missing.to_owned(), ..Cause::default() };
        let noted = match &locked {
            Ok(locked) => self.journals.note(&locked.directory, &cause, Vec::new()),
            Err(_) => Err(Error::Busy),
        };
        if let Err(error) = noted {
            tracing::warn!("{path}: that it went back cannot be put on record: {error}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history::log::Log;
    use crate::store::history::record::Record;
    use crate::store::place::Name;

    const CHANGE: &str = "20261124T215500.123456Z-7";

    fn user(name: &str) -> Home {
        Home::User(Name::new(name).expect("a name"))
    }

    #[test]
    fn what_is_written_is_read_and_what_is_torn_is_left_out() {
        let known = Known::Told(CHANGE.to_owned());
        let by_home: BTreeMap<Home, Known> = [user("alice"), user("public"), user("ä b"), Home::Public]
            .map(|home| (home, known.clone()))
            .into();
        let text = encode(&by_home);
        assert_eq!(decode(&text), by_home);
        for cut in 0..text.len() {
            if let Some(text) = text.get(..cut) {
                assert!(decode(text).len() <= by_home.len());
            }
        }
        assert_eq!(decode("x ~alice\n20261124T215500.123456Z-7 ~alice/Work\n\n"), BTreeMap::new());
    }

    #[test]
    fn a_change_that_may_have_expired_is_not_missed() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
        let bounds = Bounds { days: 30, bytes: 1 << 20 };
        let accounts = |change: &str, logs: &[&str], bounds: Bounds| {
            let tree = tempfile::tempdir().expect("a directory");
            let home = Directory::root(tree.path()).expect("open");
            for change in logs {
                let record = Record::new((*change).to_owned(), &Cause::default(), &[]);
                Log::open(&home).and_then(|mut log| log.append(&record)).expect("append");
            }
            accounts_for(&home, &Known::Told(change.to_owned()), now, bounds).expect("an answer")
        };
        let at = |day: &str| format!("202611{day}T120000.000000Z-7");
        assert!(accounts(&at("24"), &[&at("23"), &at("24"), &at("25")], bounds));
        // The log of its day is there, or an older one, and does not tell of it.
        assert!(!accounts(&at("24"), &["20261124T110000.000000Z-7"], bounds));
        assert!(!accounts(&at("24"), &[&at("23"), &at("25")], bounds));
        assert!(!accounts(&at("24"), &[&at("23")], bounds));
        // Its log went, and none that is older stayed.
        assert!(accounts(&at("20"), &[&at("23")], bounds));
        // No log at all: it is too young to have expired.
        assert!(!accounts(&at("20"), &[], bounds));
        assert!(accounts("20261001T120000.000000Z-7", &[], bounds));
        assert!(accounts("20380101T120000.000000Z-7", &[], bounds));
        assert!(!accounts("20380101T120000.000000Z-7", &[&at("23")], bounds));
        assert!(accounts(&at("20"), &[], Bounds { bytes: 0, ..bounds }));
    }

    #[test]
    fn what_is_known_is_written_though_somebody_has_removed_the_cache() {
        let [data, cache] = std::array::from_fn(|_| tempfile::tempdir().expect("a directory"));
        let newest = Newest::open(cache.path(), data.path());
        std::fs::remove_dir_all(cache.path()).expect("removed");
        newest.write(format!("{CHANGE} ~alice\n"));
        let known = Newest::open(cache.path(), data.path()).of(&user("alice"));
        assert_eq!(known, Some(Known::Told(CHANGE.to_owned())));
    }

    #[test]
    fn a_change_is_known_by_its_place_in_the_log() {
        let tree = tempfile::tempdir().expect("a directory");
        let home = Directory::root(tree.path()).expect("open");
        let append = |change: &str| {
            let record = Record::new(change.to_owned(), &Cause::default(), &[]);
            Log::open(&home).and_then(|mut log| log.append(&record)).expect("append");
            log::newest(&home).expect("read").expect("a change")
        };
        let spots = [CHANGE, "20261124T215501.000000Z-7", "20261125T000000.000000Z-8"].map(append);
        assert!(spots.iter().all(|spot| spot.is_there(&home).expect("an answer")));
        std::fs::write(tree.path().join(log::log_at(CHANGE)), "").expect("written");
        let there = spots.map(|spot| spot.is_there(&home).expect("an answer"));
        assert_eq!(there, [false, false, true]);
    }
}
