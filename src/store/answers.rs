//! Free/busy answers that are ready: the bytes for a question, kept for as long as what they were made from is what is there.
//! One for each set of calendars that an asker may know of.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::busy::{Busy, Counted};
use super::gist::Gist;
use super::place::{Home, Path, Place};
use super::published::Published;
use super::slot::Held;
use super::snapshot::compress;
use super::{Store, census, door};
use crate::acl::{Principal, Role};
use crate::error::{Error, Result};
use crate::ical::busy::TimeRange;

/// Whose or which busy times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Of all calendars of a home that the asker may know of.
    Home(Home),
    /// Of one place.
    Place(Place),
}

/// How busy times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// One VFREEBUSY.
    Freebusy,
    /// A VEVENT each.
    Events,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub scope: Scope,
    pub window: TimeRange,
    pub shows: Shows,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    pub body: Bytes,
    gzip: OnceLock<Bytes>,
    /// A hash of the body, without quotes.
    pub etag: String,
    pub modified: SystemTime,
}

/// The answers that are kept of one home.
#[derive(Debug, Default)]
pub struct Answers {
    /// The ones asked for last at the end; guards the list.
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    question: Question,
    /// Weak: what was dropped to save memory is not held by what was made from it.
    calendars: Vec<Weak<Gist>>,
    published: Option<Weak<Published>>,
    answer: Arc<Answer>,
}

/// What an answer is made from.
struct Sources {
    calendars: Vec<Counted>,
    published: Option<Arc<Published>>,
    answers: Arc<Answers>,
}

impl Scope {
    pub fn home(&self) -> Home {
        match self {
            Scope::Home(home) => home.clone(),
            Scope::Place(place) => place.home(),
        }
    }
}

impl Answer {
    fn new(body: String, modified: SystemTime) -> Answer {
        let etag = blake3::hash(body.as_bytes()).to_hex()[..32].to_owned();
        Answer { body: body.into(), gzip: OnceLock::new(), etag, modified }
    }

    /// The body in gzip. Made once; an answer is small, so this takes a millisecond or two.
    ///
    /// # Errors
    /// `Io`, which memory does not have.
    pub fn gzip(&self) -> Result<&Bytes> {
        if let Some(gzip) = self.gzip.get() {
            return Ok(gzip);
        }
        let gzip = compress(&self.body).map_err(|error| Error::io("gzip", error))?;
        Ok(self.gzip.get_or_init(|| gzip))
    }
}

impl Store {
    /// What is shown where no other window is asked for.
    ///
    /// # Errors
    /// `BadRequest` for a clock that is out of range.
    pub fn default_window(&self) -> Result<TimeRange> {
        self.owners.window(Timestamp::now())
    }

    /// The answer to a question, as far as `who` may know it. `write` puts it into words. Not on an async thread.
    ///
    /// # Errors
    /// As [`Store::open`], for the role freebusy in any calendar of the home or in the home itself.
    pub fn busy(
        &self,
        who: &Principal,
        question: &Question,
        write: impl FnOnce(&Busy) -> String,
    ) -> Result<Arc<Answer>> {
        let sources = self.sources(who, &question.scope)?;
        if let Some(ready) = sources.ready(question) {
            return Ok(ready);
        }
        let (sources, busy) = self.made_from(sources, who, &question.scope, question.window)?;
        let answer = Arc::new(Answer::new(write(&busy), busy.modified));
        sources.answers.keep(&sources, question, &answer);
        Ok(answer)
    }

    /// When the owner of `home` is busy, as far as `who` may know it. Not on an async thread.
    ///
    /// # Errors
    /// As [`Store::busy`].
    pub fn busy_now(&self, who: &Principal, home: &Home, window: TimeRange) -> Result<Busy> {
        let scope = Scope::Home(home.clone());
        Ok(self.made_from(self.sources(who, &scope)?, who, &scope, window)?.1)
    }

    fn sources(&self, who: &Principal, scope: &Scope) -> Result<Sources> {
        let census = self.census(&scope.home())?;
        sources(who, scope, census.as_deref(), |path| self.load_counted(who, scope, path, Store::load_held))
    }

    /// As [`Store::sources`], with all texts.
    fn whole_sources(&self, who: &Principal, scope: &Scope) -> Result<Sources> {
        let census = self.census(&scope.home())?;
        let load =
            |store: &Store, path: &Path| Ok(store.load_unread(path)?.map(|(_, loaded)| Held::Whole(loaded)));
        sources(who, scope, census.as_deref(), |path| self.load_counted(who, scope, path, load))
    }

    /// What is at `path`, of which `who` may know: as [`Store::load_for`]. One of many calendars that the service may not read
    /// holds up no others.
    fn load_counted(
        &self,
        who: &Principal,
        scope: &Scope,
        path: &Path,
        load: impl Fn(&Store, &Path) -> Result<Option<Held>>,
    ) -> Result<Option<Held>> {
        match scope {
            Scope::Home(_) => Ok(self.tree.if_allowed(load(self, path))?.flatten()),
            Scope::Place(_) if self.role_at(who, path)? < Role::Freebusy => Ok(None),
            Scope::Place(_) => load(self, path),
        }
    }

    /// What the sources come to, and those that it is made from: these, or with their texts if it takes texts.
    fn made_from(
        &self,
        sources: Sources,
        who: &Principal,
        scope: &Scope,
        window: TimeRange,
    ) -> Result<(Sources, Busy)> {
        let home = scope.home();
        let put_together = |sources: &Sources| {
            self.put_together(&home, &sources.calendars, sources.published.as_deref(), window)
        };
        if let Some(busy) = put_together(&sources)? {
            return Ok((sources, busy));
        }
        let sources = self.whole_sources(who, scope)?;
        // With all texts there, nothing is missing.
        let busy = put_together(&sources)?.ok_or(Error::Busy)?;
        Ok((sources, busy))
    }

    /// As [`Store::busy`], but from memory alone: nothing if that is not enough for an answer.
    pub fn glance_busy(&self, who: &Principal, question: &Question) -> Option<Arc<Answer>> {
        let census = self.fresh_census(&question.scope.home())?;
        let fresh = |path: &Path| {
            let slot = self.slots.get(path).ok_or(Error::NotFound)?;
            slot.fresh_held().map(Some).ok_or(Error::NotFound)
        };
        sources(who, &question.scope, Some(&census), fresh).ok()?.ready(question)
    }
}

/// The calendars that count for `who`. What the asker may not know of is not even loaded.
fn sources(
    who: &Principal,
    scope: &Scope,
    census: Option<&census::Counted>,
    load: impl Fn(&Path) -> Result<Option<Held>>,
) -> Result<Sources> {
    let mut sources = Sources { calendars: Vec::new(), published: None, answers: Arc::default() };
    let mut role = Role::None;
    if let Some(census) = census {
        sources.answers = census.answers.clone();
        let wanted: Vec<Path> = match scope {
            Scope::Home(home) => {
                role = census.rights.role(who, &Path::root(home.clone()))?;
                sources.published = census.published.clone().filter(|_| role >= Role::Freebusy);
                let mut wanted = Vec::with_capacity(census.calendars.len());
                for (path, rights) in &census.calendars {
                    if rights.role(who, path)? >= Role::Freebusy {
                        wanted.push(path.clone());
                    }
                }
                wanted
            }
            Scope::Place(place) => place.paths(),
        };
        for path in wanted {
            let Some(held) = load(&path)? else { continue };
            let here = held.role(who, &path)?;
            role = role.max(here);
            if here >= Role::Freebusy && held.gist().props.freebusy {
                sources.calendars.push(Counted::new(path, &held));
            }
        }
    }
    door::admit(who, role, Role::Freebusy)?;
    Ok(sources)
}

impl Sources {
    /// The answer, if it was made from these very sources before.
    fn ready(&self, question: &Question) -> Option<Arc<Answer>> {
        let kept = self.answers.kept.lock();
        kept.iter().rev().find(|kept| kept.is_for(question, self)).map(|kept| kept.answer.clone())
    }
}

impl Kept {
    fn is_for(&self, question: &Question, sources: &Sources) -> bool {
        let same = |(kept, counted): (&Weak<Gist>, &Counted)| {
            std::ptr::eq(kept.as_ptr(), Arc::as_ptr(&counted.gist))
        };
        let published = sources.published.as_ref().map(Arc::as_ptr);
        self.question == *question
            && self.published.as_ref().map(Weak::as_ptr) == published
            && self.calendars.len() == sources.calendars.len()
            && self.calendars.iter().zip(&sources.calendars).all(same)
    }

    /// Whether something that it was made from is gone for good.
    fn is_outdated(&self) -> bool {
        self.calendars.iter().any(|gist| gist.strong_count() == 0)
            || self.published.as_ref().is_some_and(|published| published.strong_count() == 0)
    }
}

impl Answers {
    /// A few windows, a few kinds of askers.
    const MOST: usize = 8;

    fn keep(&self, sources: &Sources, question: &Question, answer: &Arc<Answer>) {
        let calendars = sources.calendars.iter().map(|counted| Arc::downgrade(&counted.gist)).collect();
        let published = sources.published.as_ref().map(Arc::downgrade);
        let mut kept = self.kept.lock();
        kept.retain(|kept| !kept.is_outdated() && !kept.is_for(question, sources));
        while kept.len() >= Answers::MOST {
            kept.pop_front();
        }
        kept.push_back(Kept { question: question.clone(), calendars, published, answer: answer.clone() });
    }
}
