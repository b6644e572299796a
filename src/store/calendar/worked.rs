//! Busy times that are worked out, as they are remembered: of a calendar, and of each of its items.

use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;

use crate::ical::busy::{Found, Owner, TimeRange};

/// What busy times depend on beside the items.
#[derive(Debug, Clone)]
pub struct Basis {
    pub window: TimeRange,
    pub owner: Owner,
    /// Never 0.
    pub hash: u64,
}

impl Basis {
    pub fn new(window: TimeRange, owner: Owner) -> Basis {
        let mut hasher = DefaultHasher::new();
        (window.start, window.end, owner.zone.iana_name()).hash(&mut hasher);
        Basis { window, owner, hash: hasher.finish().max(1) }
    }
}

/// What one calendar's items come to.
#[derive(Debug)]
pub struct Worked {
    pub basis: Basis,
    pub found: Found,
}

/// What one item comes to; empty until it is asked for.
#[derive(Debug, Default)]
pub struct OfItem {
    /// Guards what is remembered; boxed, because most items lie outside. Nothing too for what is not understood.
    pub known: Mutex<(u64, Option<Box<Found>>)>,
}

impl Worked {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Worked>() + size_of_val(&*self.found.periods) + size_of_val(&*self.found.availabilities)
    }
}
