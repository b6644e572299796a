//! Free/busy answers that are ready: the bytes for a question, kept for as long as what they were made from is what is there.
//! One for each set of calendars that an asker may know of.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Counted;
use super::published::Published;
use crate::error::{Error, Result};
use crate::ical::busy::TimeRange;
use crate::store::calendar::gist::Gist;
use crate::store::calendar::snapshot::compress;
use crate::store::place::{Home, Place};

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
pub struct Sources {
    pub calendars: Vec<Counted>,
    pub published: Option<Arc<Published>>,
    pub answers: Arc<Answers>,
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
    pub fn new(body: String, modified: SystemTime) -> Answer {
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

impl Sources {
    /// The answer, if it was made from these very sources before.
    pub fn ready(&self, question: &Question) -> Option<Arc<Answer>> {
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

    pub fn keep(&self, sources: &Sources, question: &Question, answer: &Arc<Answer>) {
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
