//! What is known to have changed on disk and was not looked at since. Marked by whoever learns of a change, taken by the
//! worker of `watch`, and asked by each slot whether what it holds still stands.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::store::place::{Home, Path};

/// Changes come in bursts: they are looked at when none came for this long …
const QUIET: Duration = Duration::from_millis(200);
/// … or when the first of them is this old.
const AT_MOST: Duration = Duration::from_secs(1);

/// How long what is watched and not marked stands. Some changes make no events: those through a memory map, and of what is
/// mounted or unmounted.
pub const WATCHED: Duration = Duration::from_secs(60);

/// The marks of all homes that were asked for.
#[derive(Debug, Default)]
pub struct Marks {
    /// Whether there is a worker that takes them; without one nothing is kept.
    active: AtomicBool,
    /// Guards the map only.
    homes: RwLock<HashMap<Home, Arc<AtomicU64>>>,
    /// Each new mark of a home gets another number, so that no two states of a home look alike.
    last: AtomicU64,
    /// What the worker has to do.
    pending: Mutex<Pending>,
    woken: Condvar,
}

/// What was marked since the worker looked last.
#[derive(Debug, Default)]
pub struct Pending {
    /// The calendars to be compared with the disk, each with how often that may still be repeated.
    pub calendars: HashMap<Path, u8>,
    /// The homes whose directories are to be looked through, and all of whose calendars compared.
    pub homes: HashSet<Home>,
    /// Every home, and what is above the homes.
    pub everything: bool,
    /// Which homes have loaded calendars may be different.
    pub moved: bool,
    first: Option<Instant>,
    newest: Option<Instant>,
}

/// What has been marked of one calendar, as a number that grows.
#[derive(Debug)]
pub struct Sight {
    /// Of the home; 0 while it is not watched.
    home: Arc<AtomicU64>,
    own: AtomicU64,
    /// Guards the names, and that a mark's number is in them when it can be seen.
    names: Mutex<Names>,
}

/// Which names were marked lately.
#[derive(Debug, Default)]
struct Names {
    /// Each with its newest mark.
    newest: HashMap<Arc<str>, u64>,
    /// The last mark whose name is not known any more.
    forgotten: u64,
}

/// The marks that a calendar had when it was compared with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    home: u64,
    own: u64,
}

impl Sight {
    /// The marks as they are now; nothing where nobody watches. To be asked *before* the disk is.
    pub fn now(&self) -> Option<Seen> {
        let home = self.home.load(Ordering::SeqCst);
        (home != 0).then(|| Seen { home, own: self.own.load(Ordering::SeqCst) })
    }

    /// Says that what has this name in the calendar's directory is different.
    pub fn mark(&self, name: &str) {
        /// From so many on it is no less work to look at all files.
        const MOST: usize = 500;
        let mut names = self.names.lock();
        let number = self.own.load(Ordering::SeqCst) + 1;
        if names.newest.len() >= MOST && !names.newest.contains_key(name) {
            *names = Names { newest: HashMap::new(), forgotten: number - 1 };
        }
        names.newest.insert(name.into(), number);
        self.own.store(number, Ordering::SeqCst);
    }

    /// The names that were marked after something was `seen`; nothing if other things may be different too.
    pub fn marked_since(&self, seen: Seen) -> Option<BTreeSet<Arc<str>>> {
        let names = self.names.lock();
        if self.now()?.home != seen.home || seen.own < names.forgotten {
            return None;
        }
        let since = names.newest.iter().filter(|(_, number)| **number > seen.own);
        Some(since.map(|(name, _)| name.clone()).collect())
    }
}

impl Marks {
    /// From now on marks are kept for a worker.
    pub fn activate(&self) {
        self.active.store(true, Ordering::SeqCst);
    }

    /// From now on none are kept.
    pub fn deactivate(&self) {
        self.active.store(false, Ordering::SeqCst);
    }

    /// The marks of a calendar in `home`.
    pub fn sight(&self, home: &Home) -> Sight {
        Sight { home: self.of(home), own: AtomicU64::new(0), names: Mutex::default() }
    }

    fn of(&self, home: &Home) -> Arc<AtomicU64> {
        if let Some(marks) = self.homes.read().get(home) {
            return marks.clone();
        }
        self.homes.write().entry(home.clone()).or_default().clone()
    }

    /// A number that changes with everything but the items of a home: its directories, their rights and properties.
    /// Nothing while the home is not watched. To be asked *before* the disk is.
    pub fn structure(&self, home: &Home) -> Option<u64> {
        let marks = self.homes.read().get(home)?.load(Ordering::SeqCst);
        (marks != 0).then_some(marks)
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// From now on every change of `home` is marked; what was read before may have missed one.
    pub fn watched(&self, home: &Home) {
        self.of(home).store(self.next(), Ordering::SeqCst);
    }

    /// From now on nobody marks the changes of `home`.
    pub fn unwatched(&self, home: &Home) {
        self.of(home).store(0, Ordering::SeqCst);
    }

    /// Every calendar of `home` may be different, and what its directories are too. Ignored if it is not watched.
    pub fn mark_home(&self, home: &Home) {
        let Some(marks) = self.homes.read().get(home).cloned() else { return };
        let bumped = |marks| (marks != 0).then(|| self.next());
        if marks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, bumped).is_ok() {
            self.wake(|pending| {
                pending.homes.insert(home.clone());
            });
        }
    }

    /// Anything may be different.
    pub fn mark_everything(&self) {
        let homes: Vec<Home> = self.homes.read().keys().cloned().collect();
        homes.iter().for_each(|home| self.mark_home(home));
        self.wake(|pending| pending.everything = true);
    }

    /// A calendar whose own mark was made, or that a commit has changed, is to be compared with the disk.
    pub fn look_at(&self, path: &Path) {
        // Twice: what was written just before the first look may look the same after one more write.
        self.wake(|pending| {
            pending.calendars.insert(path.clone(), 1);
        });
    }

    /// A calendar is to be compared once more, `repeats` times at most after that.
    pub fn look_again(&self, path: &Path, repeats: u8) {
        self.wake(|pending| {
            pending.calendars.entry(path.clone()).or_insert(repeats);
        });
    }

    /// Which homes have loaded calendars may be different now.
    pub fn moved(&self) {
        self.wake(|pending| pending.moved = true);
    }

    fn wake(&self, change: impl FnOnce(&mut Pending)) {
        if !self.active.load(Ordering::SeqCst) {
            return;
        }
        let mut pending = self.pending.lock();
        change(&mut pending);
        let now = Instant::now();
        pending.newest = Some(now);
        if pending.first.is_none() {
            pending.first = Some(now);
            self.woken.notify_one();
        }
    }

    /// Waits until something is marked and quiet has come, and takes it.
    pub fn take(&self) -> Pending {
        let mut pending = self.pending.lock();
        loop {
            match pending.due() {
                None => self.woken.wait(&mut pending),
                Some(due) if due <= Instant::now() => return std::mem::take(&mut pending),
                Some(due) => {
                    self.woken.wait_until(&mut pending, due);
                }
            }
        }
    }
}

impl Pending {
    fn due(&self) -> Option<Instant> {
        Some((self.newest? + QUIET).min(self.first? + AT_MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(name: &str) -> Home {
        Home::User(crate::store::place::Name::new(name).expect("a name"))
    }

    #[test]
    fn a_mark_made_while_the_disk_was_read_outdates_the_reading() {
        let marks = Marks::default();
        let sight = marks.sight(&home("alice"));
        assert_eq!(sight.now(), None, "nobody watches yet");
        marks.watched(&home("alice"));
        let before = sight.now();
        assert!(before.is_some());
        sight.mark("1.ics");
        assert_ne!(sight.now(), before);
        let before = sight.now();
        marks.mark_home(&home("alice"));
        assert_ne!(sight.now(), before);
    }

    #[test]
    fn what_was_seen_before_a_home_was_lost_counts_no_more_when_it_is_watched_again() {
        let marks = Marks::default();
        let sight = marks.sight(&home("alice"));
        marks.watched(&home("alice"));
        let before = sight.now();
        marks.unwatched(&home("alice"));
        marks.mark_home(&home("alice"));
        assert_eq!(sight.now(), None);
        marks.watched(&home("alice"));
        assert_ne!(sight.now(), before);
    }

    #[test]
    fn the_names_that_were_marked_since_a_reading_are_known_and_in_doubt_it_is_all() {
        let marks = Marks::default();
        let sight = marks.sight(&home("alice"));
        marks.watched(&home("alice"));
        let since =
            |seen| sight.marked_since(seen).map(|names| names.iter().map(ToString::to_string).collect());
        let first = sight.now().expect("watched");
        assert_eq!(since(first), Some(Vec::<String>::new()));
        sight.mark("1.ics");
        sight.mark("2.ics");
        let second = sight.now().expect("watched");
        sight.mark("1.ics");
        assert_eq!(since(first), Some(vec!["1.ics".to_owned(), "2.ics".to_owned()]));
        assert_eq!(since(second), Some(vec!["1.ics".to_owned()]));
        (0..1000).for_each(|n| sight.mark(&format!("{n}.ics")));
        assert_eq!(since(second), None, "a storm");
        let third = sight.now().expect("watched");
        sight.mark("3.ics");
        assert_eq!(since(third), Some(vec!["3.ics".to_owned()]));
        marks.mark_home(&home("alice"));
        assert_eq!(since(third), None, "anything in the home");
    }

    #[test]
    fn marks_of_one_burst_are_taken_together() {
        let marks = Marks::default();
        marks.activate();
        marks.watched(&home("alice"));
        for _ in 0..100 {
            marks.mark_home(&home("alice"));
            marks.mark_home(&home("bob"));
            marks.look_at(&Path::root(home("alice")));
        }
        let taken = marks.take();
        assert_eq!(taken.homes, HashSet::from([home("alice")]));
        assert_eq!(taken.calendars.len(), 1);
        assert!(!taken.everything);
        assert!(marks.pending.lock().due().is_none());
    }
}
