//! The Views that are kept and what is known of clients: what is waiting to be worked out, what was used last, and the
//! shelf in the cache directory. What a View says is in `view`, what follows from a client's Views in `copies`.
//!
//! To compare ten thousand items takes tens of milliseconds. So who reads or saves leaves only a draft here, and a thread
//! works it out and writes it, a second later what came in that second; who needs a View before works it out then.

use std::collections::{HashMap, VecDeque};
use std::path::Path as FsPath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use super::copies::{Copies, Parents};
use super::draft::{Draft, Waiting};
use super::recent::Recent;
use super::sent::Parent;
use super::shelf::Shelf;
use super::view::View;
use super::view_names::{Client, NOTHING, Share, ViewName, share};
use crate::ical::item::KeyId;
use crate::ical::meaning::Look;

/// The Views and what is known of clients.
#[derive(Debug)]
pub struct Views {
    kept: Arc<Kept>,
    /// Nothing once it has ended.
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Kept {
    shelf: Shelf,
    memory: Mutex<Memory>,
    /// Told when there is work.
    work: Condvar,
    /// When it was opened, in nanoseconds, and how many Etags were given since.
    born: u128,
    sent: AtomicU64,
}

/// What is in memory. Held for look-ups only.
#[derive(Debug)]
struct Memory {
    drafts: HashMap<ViewName, Arc<Waiting>>,
    /// The memory that drafts keep alive, in bytes: all of them, and those of each share.
    drafts_bytes: usize,
    drafts_of: HashMap<Share, usize>,
    /// The Views that were used last.
    recent: Recent<ViewName, Arc<View>>,
    /// The Views that are on the shelf, and since when that is known.
    shelved: Recent<ViewName, Instant>,
    clients: HashMap<Share, Recent<Client, Remembered>>,
    /// What is to be written for each share, and which is due when.
    jobs: HashMap<Share, Jobs>,
    turns: VecDeque<(Instant, Share)>,
    /// Whether nothing is taken any more: there is no thread that would write it, or it is to end.
    closing: bool,
}

#[derive(Debug, Clone, Default)]
struct Remembered {
    copies: Copies,
    /// Whether what the shelf has is in it.
    recalled: bool,
    /// Whether it is to be written.
    changed: bool,
    written: Option<Instant>,
}

/// What is to be written for one share.
#[derive(Debug, Default)]
struct Jobs {
    views: Vec<(ViewName, Arc<Waiting>)>,
    clients: Vec<Client>,
}

/// How much may wait, and half of it in one share. What comes when there is more is not kept, unless it is asked for again.
const MAX_DRAFTS: usize = 64 << 20;
/// How much of the Views that were used last is in memory, in bytes; at most twice that, as of the next two.
const MAX_RECENT: usize = 4 << 20;
/// How many clients of one share are in memory.
const MAX_CLIENTS: usize = 128;
const MAX_SHELVED: usize = 25_000;
/// How many Views are noted under one lock: others wait for it.
const AT_ONCE: usize = 64;
/// How long what there is to write for one share is gathered: for all saves of that time a file is opened once.
const SETTLE: Duration = Duration::from_secs(1);
/// How much may wait that long: beyond, drafts are worked out at once, so that the memory is free again.
const MAX_SETTLING: usize = 4 << 20;
/// For how long it is believed that a View is on the shelf, without a look there.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

impl Views {
    /// Opens what is kept in the cache directory for the tree in `data`. Starts a thread, which ends with it.
    pub fn open(cache: &FsPath, data: &FsPath) -> Views {
        let shelf = Shelf::open(cache, data);
        let born = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let sent = AtomicU64::new(0);
        let kept =
            Arc::new(Kept { shelf, memory: Mutex::new(Memory::new()), work: Condvar::new(), born, sent });
        let worker = kept.clone();
        let thread = std::thread::Builder::new().name("views".to_owned()).spawn(move || worker.run());
        if let Err(error) = &thread {
            tracing::warn!("no bases for merging are kept: {error}");
            kept.memory.lock().closing = true;
        }
        Views { kept, thread: Mutex::new(thread.ok()) }
    }

    /// Keeps nothing: for who serves nothing.
    pub fn none() -> Views {
        let mut memory = Memory::new();
        memory.closing = true;
        let kept = Kept {
            shelf: Shelf::none(),
            memory: Mutex::new(memory),
            work: Condvar::new(),
            born: 0,
            sent: AtomicU64::new(0),
        };
        Views { kept: Arc::new(kept), thread: Mutex::new(None) }
    }

    /// Says that `client` was shown the View `name`: whole, or by the word that what it has is current.
    pub fn fetched(&self, client: &Client, name: ViewName, whole: bool, draft: impl FnOnce() -> Draft) {
        let mut memory = self.kept.memory.lock();
        let mut work = memory.offer(name, || Waiting::new(draft()));
        work |= memory.note(client, |copies| copies.fetched(name, whole));
        drop(memory);
        if work {
            self.kept.work.notify_one();
        }
    }

    /// Says that `client` was told that there is nothing.
    pub fn told_of_nothing(&self, client: &Client) {
        if self.kept.memory.lock().note(client, |copies| copies.fetched(NOTHING, true)) {
            self.kept.work.notify_one();
        }
    }

    /// Says that `client` has sent the View `name` as a change of `parent`.
    pub fn saved(&self, client: &Client, name: ViewName, draft: Draft, parent: Parent) {
        // What is not taken is dropped when nobody waits.
        let waiting = Waiting::new(draft);
        let mut memory = self.kept.memory.lock();
        let mut work = memory.offer(name, || waiting.clone());
        work |= memory.note(client, |copies| match parent {
            Parent::Named(parent) => copies.guarded(parent.map(|(name, _)| name), name),
            Parent::Guessed(parents) => copies.saved(&parents, name),
            Parent::Nothing => copies.made(NOTHING, name),
        });
        drop(memory);
        if work {
            self.kept.work.notify_one();
        }
    }

    /// Writes what waits, and takes nothing any more.
    pub fn close(&self) {
        self.kept.memory.lock().closing = true;
        self.kept.work.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // A panic was logged where it happened.
            let _ = thread.join();
        }
    }

    /// The View of this name, if it is kept. May read the disk.
    pub fn find(&self, name: &ViewName) -> Option<Arc<View>> {
        self.kept.find(name)
    }

    /// An Etag that no other View has.
    pub fn new_etag(&self) -> String {
        let ordinal = self.kept.sent.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.kept.born.to_le_bytes()).update(&std::process::id().to_le_bytes());
        hasher.update(&ordinal.to_le_bytes());
        format!("sent-{}", &hasher.finalize().to_hex()[..32])
    }

    /// Of which of `client`'s Views a save of `shown` may be a change. May read the disk.
    pub fn parents(&self, client: &Client, shown: Vec<(KeyId, Look)>, mozilla: bool) -> Parents {
        let copies = self.kept.recall(client);
        copies.parents(|name| self.find(name), shown, mozilla)
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.close();
    }
}

impl Memory {
    fn new() -> Memory {
        Memory {
            drafts: HashMap::new(),
            drafts_bytes: 0,
            drafts_of: HashMap::new(),
            recent: Recent::new(MAX_RECENT),
            shelved: Recent::new(MAX_SHELVED),
            clients: HashMap::new(),
            jobs: HashMap::new(),
            turns: VecDeque::new(),
            closing: false,
        }
    }

    /// Takes a draft, unless the View is known; gives whether the thread is to be woken.
    fn offer(&mut self, name: ViewName, waiting: impl FnOnce() -> Arc<Waiting>) -> bool {
        let is_known = |since: &Instant| since.elapsed() <= BELIEVED;
        if self.closing || self.drafts.contains_key(&name) || self.shelved.get(&name).is_some_and(is_known) {
            return false;
        }
        let of_share = self.drafts_of.get(&share(&name)).copied().unwrap_or_default();
        if self.drafts_bytes > MAX_DRAFTS || of_share > MAX_DRAFTS / 2 {
            return false;
        }
        let waiting = waiting();
        self.drafts_bytes += waiting.bytes;
        self.drafts_of.insert(share(&name), of_share + waiting.bytes);
        self.drafts.insert(name, waiting.clone());
        let (jobs, first) = self.jobs_of(share(&name));
        jobs.views.push((name, waiting));
        first || self.drafts_bytes > MAX_SETTLING
    }

    /// Where to put what is to be written for a share, and whether nobody else waits for the thread.
    fn jobs_of(&mut self, share: Share) -> (&mut Jobs, bool) {
        let first = self.turns.is_empty();
        let jobs = self.jobs.entry(share).or_insert_with(|| {
            self.turns.push_back((Instant::now() + SETTLE, share));
            Jobs::default()
        });
        (jobs, first)
    }

    /// What is to be written `now`, or when there will be something; nothing if that is not known.
    fn next(&mut self, now: Instant) -> std::result::Result<(Share, Jobs), Option<Instant>> {
        let &(due, share) = self.turns.front().ok_or(None)?;
        if !self.closing && self.drafts_bytes <= MAX_SETTLING && due > now {
            return Err(Some(due));
        }
        self.turns.pop_front();
        Ok((share, self.jobs.remove(&share).unwrap_or_default()))
    }

    /// Takes a draft off that is worked out and written.
    fn take_off(&mut self, name: &ViewName) {
        let Some(waiting) = self.drafts.remove(name) else { return };
        self.drafts_bytes -= waiting.bytes;
        if let Some(of_share) = self.drafts_of.get_mut(&share(name)) {
            *of_share -= waiting.bytes;
            if *of_share == 0 {
                self.drafts_of.remove(&share(name));
            }
        }
    }

    /// Changes what is known of a client; gives whether the thread is to be woken.
    fn note(&mut self, client: &Client, change: impl FnOnce(&mut Copies)) -> bool {
        if self.closing {
            return false;
        }
        let remembered = self.remembered(client);
        let before = remembered.copies.clone();
        change(&mut remembered.copies);
        let has_views = remembered.copies.entries.iter().any(|entry| entry.view != NOTHING);
        // What is in use must not grow old on the shelf.
        let is_there = remembered.written.is_some_and(|when| when.elapsed() <= BELIEVED);
        // A client that was told of nothing and has no View is not worth a record.
        if is_there && remembered.copies.is_written_as(&before) || !has_views || remembered.changed {
            return false;
        }
        remembered.changed = true;
        let (jobs, first) = self.jobs_of(share(&client.0));
        jobs.clients.push(*client);
        first
    }

    /// What is known of a client, which may be nothing yet.
    fn remembered(&mut self, client: &Client) -> &mut Remembered {
        let of_share = self.clients.entry(share(&client.0)).or_insert_with(|| Recent::new(MAX_CLIENTS));
        of_share.used(*client)
    }

    /// Keeps a View at hand; gives what goes for it, to be dropped when nobody waits.
    #[must_use]
    fn use_view(&mut self, name: ViewName, view: &Arc<View>) -> HashMap<ViewName, Arc<View>> {
        self.recent.put(name, view.clone(), view.bytes())
    }
}

impl Remembered {
    /// Whether it is to be written; from now on it is not.
    fn is_to_be_written(&mut self) -> bool {
        let changed = std::mem::take(&mut self.changed);
        if changed {
            self.written = Some(Instant::now());
        }
        changed
    }
}

impl Kept {
    fn find(&self, name: &ViewName) -> Option<Arc<View>> {
        if *name == NOTHING {
            return Some(Arc::new(View::new([])));
        }
        let mut memory = self.memory.lock();
        if let Some(waiting) = memory.drafts.get(name).cloned() {
            drop(memory);
            return Some(waiting.view().clone());
        }
        let view = match memory.recent.get(name).cloned() {
            Some(view) => view,
            None => {
                drop(memory);
                let view = self.shelf.read_view(name).map(Arc::new);
                memory = self.memory.lock();
                if view.is_none() {
                    // Whoever is shown it next brings it again.
                    memory.shelved.remove(name);
                }
                view?
            }
        };
        let gone = memory.use_view(*name, &view);
        drop(memory);
        drop(gone);
        Some(view)
    }

    /// What is known of a client, with what the shelf has.
    fn recall(&self, client: &Client) -> Copies {
        let known = self.memory.lock().remembered(client).clone();
        if known.recalled {
            return known.copies;
        }
        let earlier = self.shelf.read_client(client);
        let mut memory = self.memory.lock();
        let remembered = memory.remembered(client);
        if !std::mem::replace(&mut remembered.recalled, true)
            && let Some(earlier) = earlier
        {
            remembered.copies.after(earlier);
        }
        remembered.copies.clone()
    }

    /// Does what there is to do, until nothing is left and nobody can ask for more.
    fn run(&self) {
        self.shelf.prune();
        loop {
            let (share, jobs) = {
                let mut memory = self.memory.lock();
                loop {
                    match memory.next(Instant::now()) {
                        Ok(next) => break next,
                        Err(Some(due)) => drop(self.work.wait_until(&mut memory, due)),
                        Err(None) if memory.closing => return,
                        Err(None) => self.work.wait(&mut memory),
                    }
                }
            };
            self.perform(share, &jobs);
            self.shelf.prune_in_time();
        }
    }

    /// Writes what there is for one share.
    fn perform(&self, share: Share, jobs: &Jobs) {
        let mut batch = self.shelf.batch(share);
        for (name, waiting) in &jobs.views {
            if !batch.has(name) {
                waiting.draft.look_ahead();
                batch.put_view(name, waiting.view());
            }
        }
        for client in &jobs.clients {
            // If it is not, it is forgotten again: so much was noted in its share since.
            if self.memory.lock().remembered(client).is_to_be_written() {
                batch.put_client(client, &self.recall(client));
            }
        }
        batch.write();
        for views in jobs.views.chunks(AT_ONCE) {
            self.settle(views);
        }
    }

    /// Notes that these Views are on the shelf.
    fn settle(&self, views: &[(ViewName, Arc<Waiting>)]) {
        let mut gone = Vec::new();
        let mut memory = self.memory.lock();
        for (name, waiting) in views {
            let recent = waiting.view.get().map(|view| memory.use_view(*name, view));
            memory.take_off(name);
            gone.push((recent, memory.shelved.put(*name, Instant::now(), 1)));
        }
        drop(memory);
        // Outside the lock: it may be much.
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::cut::cut;
    use crate::ical::item::Item;
    use crate::store::calendar::BESIDE_THE_TEXT;

    fn item() -> Arc<Item> {
        let text = b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\nDTSTART:20261124\nEND:VEVENT\nEND:VCALENDAR\n";
        Arc::new(cut(text).expect("a calendar").items.remove(0))
    }

    #[test]
    fn what_one_user_asks_for_makes_no_other_users_bases_forgotten() {
        let mut memory = Memory::new();
        let client = |share: u8, n: u32| {
            let mut client = [share; 16];
            client[12..].copy_from_slice(&n.to_le_bytes());
            Client(client)
        };
        memory.note(&client(1, 0), |copies| copies.fetched([1; 16], true));
        for n in 0..10_000 {
            memory.note(&client(2, n), |copies| copies.fetched([2; 16], true));
        }
        assert_eq!(memory.remembered(&client(1, 0)).copies.entries.len(), 1);
        assert!(memory.remembered(&client(2, 0)).copies.entries.is_empty(), "memory is bounded");
    }

    #[test]
    fn what_is_to_be_written_for_one_share_is_gathered_until_it_is_due_or_takes_much_memory() {
        let draft = |items| Waiting::new(Draft::Sent(vec![item(); items], HashMap::new()));
        let before = Instant::now();
        let mut memory = Memory::new();
        assert!(memory.next(before).is_err_and(|due| due.is_none()));
        assert!(memory.offer([1; 16], || draft(1)), "the thread is to be woken");
        let mut another = [1; 16];
        another[15] = 2;
        assert!(!memory.offer(another, || draft(1)) && !memory.offer([2; 16], || draft(1)));
        assert!(!memory.note(&Client([1; 16]), |copies| copies.fetched([1; 16], true)));
        let due = memory.next(before).expect_err("nothing is due").expect("something will be");
        let (share, jobs) = memory.next(due).expect("it is due");
        assert_eq!((share, jobs.views.len(), jobs.clients.len()), ([1; 4], 2, 1));
        jobs.views.iter().for_each(|(name, _)| memory.take_off(name));
        assert!(memory.next(before).is_err());
        assert!(memory.offer([3; 16], || draft(MAX_SETTLING / BESIDE_THE_TEXT)), "it is much");
        assert!(memory.next(before).is_ok_and(|(share, _)| share == [2; 4]));
        assert!(memory.next(before).is_ok_and(|(share, _)| share == [3; 4]));
        memory.take_off(&[3; 16]);
        memory.offer([4; 16], || draft(1));
        assert!(memory.next(before).is_err());
        memory.closing = true;
        assert!(memory.next(before).is_ok_and(|(share, _)| share == [4; 4]));
    }

    #[test]
    fn what_is_known_of_a_client_is_written_when_more_is_known_and_once_a_day_in_use() {
        let client = Client([1; 16]);
        let is_written = |memory: &mut Memory, whole| {
            memory.note(&client, |copies| copies.fetched([1; 16], whole));
            let is_due = memory.next(Instant::now() + SETTLE).is_ok();
            assert_eq!(memory.remembered(&client).is_to_be_written(), is_due);
            is_due
        };
        let mut memory = Memory::new();
        memory.remembered(&client).copies.guarded(None, [1; 16]);
        assert!(is_written(&mut memory, true), "the same View, but not only sent any more");
        assert!(!is_written(&mut memory, false) && !is_written(&mut memory, true), "how many is not written");
        memory.remembered(&client).written = Instant::now().checked_sub(2 * BELIEVED);
        assert!(is_written(&mut memory, false) && !is_written(&mut memory, false));
    }

    #[test]
    fn what_waits_counts_with_all_that_its_items_take_and_one_share_leaves_room_to_others() {
        let many = MAX_DRAFTS / 2 / BESIDE_THE_TEXT;
        let draft = Waiting::new(Draft::Sent(vec![item(); many], HashMap::new()));
        let waiting = || draft.clone();
        let mut memory = Memory::new();
        let name = |share: u8, n: u8| [share, share, share, share, n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(memory.offer(name(1, 0), waiting));
        assert!(!memory.offer(name(1, 1), waiting), "it has more than half");
        assert!(memory.offer(name(2, 0), waiting));
        assert!(!memory.offer(name(3, 0), waiting), "nobody has room");
        memory.take_off(&name(1, 0));
        assert!(memory.offer(name(1, 1), waiting));
        memory.take_off(&name(1, 1));
        memory.take_off(&name(2, 0));
        assert_eq!((memory.drafts_bytes, memory.drafts_of.len()), (0, 0));
    }
}
