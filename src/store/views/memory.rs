//! What is in memory of Views and clients: what waits to be worked out and written, what was used last, and whose turn it is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::copies::Copies;
use super::draft::Waiting;
use super::view::View;
use super::view_names::{Client, NOTHING, Share, ViewName, share};
use crate::store::recent::Recent;

/// How much may wait, and half of it in one share. What comes when there is more is not kept, unless it is asked for again.
const MAX_DRAFTS: usize = 64 << 20;
/// How much of the Views that were used last is in memory, in bytes; at most twice that, as of the next two.
const MAX_RECENT: usize = 4 << 20;
/// How many clients of one share are in memory.
const MAX_CLIENTS: usize = 128;
const MAX_SHELVED: usize = 25_000;
/// How long after a write what there is to write for the same share is gathered: for all saves of that time a file is opened once.
const REST: Duration = Duration::from_millis(250);
/// How much may wait that long: beyond, drafts are worked out at once, so that the memory is free again.
const MAX_GATHERED: usize = 4 << 20;
/// For how long it is believed that a View is on the shelf, without a look there.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
pub struct Memory {
    pub drafts: HashMap<ViewName, Arc<Waiting>>,
    /// The memory that drafts keep alive, in bytes: all of them, and those of each share.
    drafts_bytes: usize,
    drafts_of: HashMap<Share, usize>,
    /// The Views that were used last.
    pub recent: Recent<ViewName, Arc<View>>,
    /// The Views that are on the shelf, and since when that is known.
    pub shelved: Recent<ViewName, Instant>,
    clients: HashMap<Share, Recent<Client, Remembered>>,
    /// What is to be written for each share; nothing yet for one that rests.
    jobs: HashMap<Share, Jobs>,
    /// Which are to be written as soon as the thread comes to it.
    at_once: VecDeque<Share>,
    /// Which rest, and until when.
    resting: VecDeque<(Instant, Share)>,
    /// Whether nothing is taken any more: there is no thread that would write it, or it is to end.
    pub closing: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Remembered {
    pub copies: Copies,
    /// Whether what the shelf has is in it.
    pub recalled: bool,
    /// Whether it is to be written.
    changed: bool,
    written: Option<Instant>,
}

/// What is to be written for one share.
#[derive(Debug, Default)]
pub struct Jobs {
    pub views: Vec<(ViewName, Arc<Waiting>)>,
    pub clients: Vec<Client>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory {
            drafts: HashMap::new(),
            drafts_bytes: 0,
            drafts_of: HashMap::new(),
            recent: Recent::new(MAX_RECENT),
            shelved: Recent::new(MAX_SHELVED),
            clients: HashMap::new(),
            jobs: HashMap::new(),
            at_once: VecDeque::new(),
            resting: VecDeque::new(),
            closing: false,
        }
    }

    /// Takes a draft, unless the View is known; gives whether the thread is to be woken.
    pub fn offer(&mut self, name: ViewName, waiting: impl FnOnce() -> Arc<Waiting>) -> bool {
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
        let (jobs, woken) = self.jobs_of(share(&name));
        jobs.views.push((name, waiting));
        woken || self.drafts_bytes > MAX_GATHERED
    }

    /// Where to put what is to be written for a share, and whether the thread is to be woken for it.
    fn jobs_of(&mut self, share: Share) -> (&mut Jobs, bool) {
        let mut woken = false;
        let jobs = self.jobs.entry(share).or_insert_with(|| {
            woken = self.at_once.is_empty();
            self.at_once.push_back(share);
            Jobs::default()
        });
        (jobs, woken)
    }

    /// What is to be written `now`, or when there will be something; nothing if that is not known.
    pub fn next(&mut self, now: Instant) -> std::result::Result<(Share, Jobs), Option<Instant>> {
        loop {
            let share = match self.at_once.pop_front() {
                Some(share) => share,
                None => self.rested(now)?,
            };
            let jobs = self.jobs.remove(&share).unwrap_or_default();
            if jobs.views.is_empty() && jobs.clients.is_empty() {
                continue;
            }
            if !self.closing {
                self.jobs.insert(share, Jobs::default());
                self.resting.push_back((now + REST, share));
            }
            return Ok((share, jobs));
        }
    }

    /// A share that rests no longer.
    fn rested(&mut self, now: Instant) -> std::result::Result<Share, Option<Instant>> {
        let &(due, share) = self.resting.front().ok_or(None)?;
        if !self.closing && self.drafts_bytes <= MAX_GATHERED && due > now {
            return Err(Some(due));
        }
        self.resting.pop_front();
        Ok(share)
    }

    /// Takes a draft off that is worked out and written.
    pub fn take_off(&mut self, name: &ViewName) {
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
    pub fn note(&mut self, client: &Client, change: impl FnOnce(&mut Copies)) -> bool {
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
        let (jobs, woken) = self.jobs_of(share(&client.0));
        jobs.clients.push(*client);
        woken
    }

    /// What is known of a client, which may be nothing yet.
    pub fn remembered(&mut self, client: &Client) -> &mut Remembered {
        let of_share = self.clients.entry(share(&client.0)).or_insert_with(|| Recent::new(MAX_CLIENTS));
        of_share.used(*client)
    }

    /// Keeps a View at hand; gives what goes for it, to be dropped when nobody waits.
    #[must_use]
    pub fn use_view(&mut self, name: ViewName, view: &Arc<View>) -> HashMap<ViewName, Arc<View>> {
        self.recent.put(name, view.clone(), view.bytes())
    }
}

impl Remembered {
    /// Whether it is to be written. If so, it counts as written from now on.
    pub fn start_writing(&mut self) -> bool {
        let changed = std::mem::take(&mut self.changed);
        if changed {
            self.written = Some(Instant::now());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::cut::cut;
    use crate::ical::item::Item;
    use crate::store::calendar::BESIDE_THE_TEXT;
    use crate::store::views::draft::Draft;

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
    fn what_comes_first_for_a_share_is_written_at_once_and_what_follows_is_gathered() {
        let draft = |items| Waiting::new(Draft::Sent(vec![item(); items], HashMap::new()));
        let of = |share: u8, n: u8| [share, share, share, share, n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let now = Instant::now();
        let mut memory = Memory::new();
        assert!(memory.next(now).is_err_and(|due| due.is_none()));
        assert!(memory.offer(of(1, 1), || draft(1)), "the thread is to be woken");
        assert!(!memory.note(&Client(of(1, 9)), |copies| copies.fetched(of(1, 1), true)));
        assert!(!memory.offer(of(2, 1), || draft(1)), "it is awake");
        let written = |memory: &mut Memory, now: Instant| {
            let (share, jobs) = memory.next(now).ok()?;
            jobs.views.iter().for_each(|(name, _)| memory.take_off(name));
            Some((share[0], jobs.views.len(), jobs.clients.len()))
        };
        assert_eq!(written(&mut memory, now), Some((1, 1, 1)));
        assert_eq!(written(&mut memory, now), Some((2, 1, 0)));
        assert!(!memory.offer(of(1, 2), || draft(1)) && !memory.offer(of(1, 3), || draft(1)));
        assert_eq!(written(&mut memory, now), None);
        let due = memory.next(now).expect_err("nothing is due").expect("something will be");
        assert_eq!(written(&mut memory, due), Some((1, 2, 0)));
        assert_eq!(written(&mut memory, due), None, "nothing came for the other");
        assert!(memory.offer(of(2, 2), || draft(1)), "it has rested");
        assert_eq!(written(&mut memory, due), Some((2, 1, 0)));
        assert!(memory.offer(of(1, 4), || draft(MAX_GATHERED / BESIDE_THE_TEXT)), "it is much");
        assert_eq!(written(&mut memory, due), Some((1, 1, 0)));
        memory.offer(of(1, 5), || draft(1));
        assert_eq!(written(&mut memory, due), None);
        memory.closing = true;
        assert_eq!(written(&mut memory, due), Some((1, 1, 0)));
        assert!(memory.next(due).is_err_and(|due| due.is_none()));
    }

    #[test]
    fn what_is_known_of_a_client_is_written_when_more_is_known_and_once_a_day_in_use() {
        let client = Client([1; 16]);
        let mut now = Instant::now();
        let mut is_written = |memory: &mut Memory, whole| {
            memory.note(&client, |copies| copies.fetched([1; 16], whole));
            now += 2 * REST;
            let is_due = memory.next(now).is_ok();
            assert_eq!(memory.remembered(&client).start_writing(), is_due);
            is_due
        };
        let mut memory = Memory::new();
        memory.remembered(&client).copies.guarded(false, [1; 16]);
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
