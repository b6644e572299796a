//! The Views that are kept and what is known of clients: in `memory`, and on the shelf in the cache directory. What a View says
//! is in `view`, which of them a client has in `copies`.
//!
//! To compare ten thousand items takes tens of milliseconds. So who reads or saves leaves only a draft here, and a thread
//! works it out and writes it, at once, or in turns where more comes in; who needs a View before works it out then.

pub(super) mod book;
pub mod copies;
pub(super) mod draft;
pub(super) mod memory;
pub mod parents;
pub(super) mod pruning;
pub(super) mod shelf;
pub mod view;
pub mod view_names;

use std::path::Path as FsPath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

use crate::ical::item::KeyId;
use crate::ical::meaning::Look;
use crate::store::merge::program::Program;
use crate::store::save::sent::Parent;
use copies::Copies;
use draft::{Draft, Waiting};
use memory::{Jobs, Memory};
use parents::Parents;
use shelf::Shelf;
use view::View;
use view_names::{Client, NOTHING, Share, ViewName};

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
    /// Held for look-ups only.
    memory: Mutex<Memory>,
    /// Told when there is work.
    work: Condvar,
    /// When it was opened, in nanoseconds, and how many Etags were given since.
    born: u128,
    sent: AtomicU64,
}

/// How many Views are noted under one lock: others wait for it.
const AT_ONCE: usize = 64;

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

    /// Keeps nothing: for whoever serves nothing.
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
            Parent::Here => copies.guarded(true, name),
            Parent::Named(parent) => copies.guarded(parent.is_some(), name),
            Parent::Guessed(parents) => copies.saved(parents.only, parents.are_known(), name),
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
    pub fn parents(&self, client: &Client, shown: Vec<(KeyId, Look)>, program: Program) -> Parents {
        Parents::of(&self.kept.recall(client), |name| self.find(name), shown, program)
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.close();
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
            if self.memory.lock().remembered(client).start_writing() {
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
