//! The Views that are kept and what is known of clients: what is waiting to be worked out, what was used last, and the
//! shelf in the cache directory. What a View says is in `view`, what follows from a client's Views in `copies`.
//!
//! To compare ten thousand items takes tens of milliseconds. So who reads or saves leaves only a draft here, and a thread
//! works it out and writes it; who needs a View before its turn works it out then.

use std::collections::{HashMap, VecDeque};
use std::path::Path as FsPath;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use super::calendar::BESIDE_THE_TEXT;
use super::copies::{Copies, Parents};
use super::recent::Recent;
use super::sent::Parent;
use super::shelf::Shelf;
use super::snapshot::Shown;
use super::threads::in_threads;
use super::view::{Known, View};
use super::view_names::{Client, NOTHING, Share, ViewName, share};
use crate::ical::item::{Item, KeyId};
use crate::ical::meaning::{Hash, Look};

/// What a View is to be made of.
#[derive(Debug)]
pub enum Draft {
    /// What was served, and how many bytes that were.
    Shown(Arc<[Shown]>, usize),
    /// What a client sent where the outcome was another, and of those items that were not taken, by their ordinals, the
    /// versions of ours that they stand for.
    Sent(Vec<Item>, HashMap<usize, Hash>),
}

impl Draft {
    fn view(&self) -> View {
        let rows = |items: &[&Item]| items.iter().map(|item| (item.key.id(), *item.look())).collect();
        match self {
            Draft::Shown(shown, _) => {
                let items: Vec<&Item> = shown.iter().map(Shown::item).collect();
                View::new(in_threads(&items, rows).into_iter().map(|(id, look)| (id, Known::of(&look))))
            }
            Draft::Sent(items, ours) => {
                let items: Vec<&Item> = items.iter().collect();
                let known = |(ordinal, (id, look)): (usize, (KeyId, Look))| {
                    let known = Known::of(&look);
                    (id, Known { ours: ours.get(&ordinal).copied().unwrap_or(known.ours), ..known })
                };
                View::new(in_threads(&items, rows).into_iter().enumerate().map(known))
            }
        }
    }

    /// Looks at each item, on this thread alone: nobody waits for it.
    fn look_ahead(&self) {
        match self {
            Draft::Shown(shown, _) => {
                shown.iter().for_each(|shown| {
                    shown.item().look();
                });
            }
            Draft::Sent(items, _) => {
                items.iter().for_each(|item| {
                    item.look();
                });
            }
        }
    }

    /// About how many bytes of memory it keeps alive.
    fn bytes(&self) -> usize {
        match self {
            Draft::Shown(shown, text) => text + (1 + shown.len()) * BESIDE_THE_TEXT,
            Draft::Sent(items, _) => {
                let text: usize = items.iter().map(|item| item.raw.len()).sum();
                text + (1 + items.len()) * BESIDE_THE_TEXT
            }
        }
    }
}

/// The Views and what is known of clients.
#[derive(Debug)]
pub struct Views {
    kept: Arc<Kept>,
    thread: Option<JoinHandle<()>>,
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
    jobs: VecDeque<Job>,
    /// The clients that have changed, and when they are to be written.
    changed: VecDeque<(Instant, Client)>,
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
}

/// A View that is not worked out yet, or not written.
#[derive(Debug)]
struct Waiting {
    draft: Draft,
    bytes: usize,
    view: OnceLock<Arc<View>>,
}

impl Waiting {
    fn new(draft: Draft) -> Arc<Waiting> {
        let bytes = draft.bytes();
        Arc::new(Waiting { draft, bytes, view: OnceLock::new() })
    }

    fn view(&self) -> &Arc<View> {
        self.view.get_or_init(|| Arc::new(self.draft.view()))
    }
}

#[derive(Debug)]
enum Job {
    Write(ViewName),
    Touch(ViewName),
    Remember(Client),
}

/// How much may wait, and half of it in one share. What comes when there is more is not kept, unless it is asked for again.
const MAX_DRAFTS: usize = 64 << 20;
/// How much of the Views that were used last is in memory, in bytes; at most twice that, as of the next two.
const MAX_RECENT: usize = 4 << 20;
/// How many clients of one share are in memory.
const MAX_CLIENTS: usize = 128;
const MAX_SHELVED: usize = 25_000;
/// How long what is known of a client may change before it is written: once for all saves of that time.
const SETTLE: Duration = Duration::from_secs(1);
/// How often the shelf is made to know that a View is of use still.
const TOUCH_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

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
        Views { kept, thread: thread.ok() }
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
        Views { kept: Arc::new(kept), thread: None }
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
        // No work: there is no View to be written, and a client that has nothing else is not worth a file.
        self.kept.memory.lock().note(client, |copies| copies.fetched(NOTHING, true));
    }

    /// Says that `client` has sent the View `name` as a change of `parent`.
    pub fn saved(&self, client: &Client, name: ViewName, draft: Draft, parent: Parent) {
        // What is not taken is dropped when nobody waits.
        let waiting = Waiting::new(draft);
        let mut memory = self.kept.memory.lock();
        memory.offer(name, || waiting.clone());
        memory.note(client, |copies| match parent {
            Parent::Named(parent) => copies.guarded(parent.map(|(name, _)| name), name),
            Parent::Guessed(parents) => copies.saved(&parents, name),
            Parent::Nothing => copies.made(NOTHING, name),
        });
        drop(memory);
        self.kept.work.notify_one();
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
        self.kept.memory.lock().closing = true;
        self.kept.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic was logged where it happened.
            let _ = thread.join();
        }
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
            jobs: VecDeque::new(),
            changed: VecDeque::new(),
            closing: false,
        }
    }

    /// Takes a draft, unless the View is known; gives whether there is work.
    fn offer(&mut self, name: ViewName, waiting: impl FnOnce() -> Arc<Waiting>) -> bool {
        if self.closing || self.drafts.contains_key(&name) {
            return false;
        }
        if let Some(since) = self.shelved.get(&name) {
            let due = since.elapsed() > TOUCH_EVERY;
            if due {
                drop(self.shelved.put(name, Instant::now(), 1));
                self.jobs.push_back(Job::Touch(name));
            }
            return due;
        }
        let of_share = self.drafts_of.get(&share(&name)).copied().unwrap_or_default();
        if self.drafts_bytes > MAX_DRAFTS || of_share > MAX_DRAFTS / 2 {
            return false;
        }
        let waiting = waiting();
        self.drafts_bytes += waiting.bytes;
        self.drafts_of.insert(share(&name), of_share + waiting.bytes);
        self.drafts.insert(name, waiting);
        self.jobs.push_back(Job::Write(name));
        true
    }

    /// What is to be done now, or when there will be something; nothing if that is not known.
    fn next(&mut self) -> std::result::Result<Job, Option<Instant>> {
        let due = self.changed.front().map(|(due, _)| *due);
        if due.is_some_and(|due| self.closing || due <= Instant::now())
            && let Some((_, client)) = self.changed.pop_front()
        {
            return Ok(Job::Remember(client));
        }
        self.jobs.pop_front().ok_or(due)
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

    /// Changes what is known of a client; gives whether there is work.
    fn note(&mut self, client: &Client, change: impl FnOnce(&mut Copies)) -> bool {
        if self.closing {
            return false;
        }
        let remembered = self.remembered(client);
        let before = (remembered.copies.entries.last().map(|entry| entry.view), remembered.copies.unseen);
        change(&mut remembered.copies);
        // How many copies there are is not written: after a start it is not known any more.
        let after = (remembered.copies.entries.last().map(|entry| entry.view), remembered.copies.unseen);
        let has_views = remembered.copies.entries.iter().any(|entry| entry.view != NOTHING);
        let work = before != after && has_views && !remembered.changed;
        if work {
            remembered.changed = true;
            self.changed.push_back((Instant::now() + SETTLE, *client));
        }
        // While others are waited for the thread wakes in time.
        work && self.changed.len() == 1
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
            let job = {
                let mut memory = self.memory.lock();
                loop {
                    match memory.next() {
                        Ok(job) => break job,
                        Err(Some(due)) => drop(self.work.wait_until(&mut memory, due)),
                        Err(None) if memory.closing => return,
                        Err(None) => self.work.wait(&mut memory),
                    }
                }
            };
            self.perform(&job);
            self.shelf.prune_in_time();
        }
    }

    fn perform(&self, job: &Job) {
        match job {
            Job::Write(name) => {
                let Some(waiting) = self.memory.lock().drafts.get(name).cloned() else { return };
                if !self.shelf.touch_view(name) {
                    waiting.draft.look_ahead();
                    self.shelf.write_view(name, waiting.view());
                }
                let mut memory = self.memory.lock();
                let gone = waiting.view.get().map(|view| memory.use_view(*name, view));
                memory.take_off(name);
                let no_more = memory.shelved.put(*name, Instant::now(), 1);
                drop(memory);
                drop((gone, no_more));
            }
            Job::Touch(name) => {
                if !self.shelf.touch_view(name) {
                    // Whoever asks for it next brings a draft.
                    self.memory.lock().shelved.remove(name);
                }
            }
            Job::Remember(client) => {
                if !std::mem::take(&mut self.memory.lock().remembered(client).changed) {
                    // It is forgotten again: so much was noted in its share since.
                    return;
                }
                let copies = self.recall(client);
                self.shelf.write_client(client, &copies);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::item::cut;

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
    fn what_waits_counts_with_all_that_its_items_take_and_one_share_leaves_room_to_others() {
        let text = b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\nDTSTART:20261124\nEND:VEVENT\nEND:VCALENDAR\n";
        let item = cut(text).expect("a calendar").items.remove(0);
        let many = MAX_DRAFTS / 2 / BESIDE_THE_TEXT;
        let draft = Waiting::new(Draft::Sent(vec![item; many], HashMap::new()));
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
