//! What is in memory of a calendar: all of it, or what is kept when nobody reads its texts; and how old that is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gist::{Digest, Gist};
use super::marks::{Seen, WATCHED};
use super::{Calendar, Contents};
use crate::acl::{Principal, Role};
use crate::error::Result;
use crate::store::disk::Identity;
use crate::store::place::Path;
use crate::store::rights::Rights;

/// Nothing older than this is served where nobody watches.
const FRESH: Duration = Duration::from_secs(1);

/// A calendar as it was at the last sweep.
#[derive(Debug)]
pub struct Loaded {
    pub calendar: Calendar,
    pub rights: Rights,
    pub at: At,
}

/// A calendar as it was at the last sweep, without its texts.
#[derive(Debug)]
pub struct Condensed {
    pub gist: Arc<Gist>,
    pub digest: Digest,
    /// As [`Calendar::directory`].
    pub directory: Option<Identity>,
    pub rights: Rights,
    pub at: At,
}

/// When something was compared with the disk.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub swept: Instant,
    /// The marks before it was swept; nothing if it was not watched, or not swept.
    pub seen: Option<Seen>,
}

impl At {
    /// For what has these rights: what could not be read stands for a second only, however it is watched.
    pub fn with(self, rights: &Rights) -> At {
        At { seen: self.seen.filter(|_| rights.are_read()), ..self }
    }
}

/// What is in memory of a calendar.
#[derive(Debug, Clone)]
pub enum Held {
    Whole(Arc<Loaded>),
    Condensed(Arc<Condensed>),
}

impl Loaded {
    /// What `who` may do here. A home's owner is master, whatever any file says.
    pub fn role(&self, who: &Principal, path: &Path) -> Result<Role> {
        self.rights.role(who, path)
    }
}

impl At {
    pub fn is_fresh(&self, now: Option<Seen>) -> bool {
        let unchanged = self.seen.is_some() && self.seen == now;
        self.swept.elapsed() < if unchanged { WATCHED } else { FRESH }
    }
}

impl Held {
    /// As [`Loaded::role`].
    pub fn role(&self, who: &Principal, path: &Path) -> Result<Role> {
        self.rights().role(who, path)
    }

    pub fn gist(&self) -> &Arc<Gist> {
        match self {
            Held::Whole(loaded) => &loaded.calendar.contents.gist,
            Held::Condensed(condensed) => &condensed.gist,
        }
    }

    pub fn rights(&self) -> &Rights {
        match self {
            Held::Whole(loaded) => &loaded.rights,
            Held::Condensed(condensed) => &condensed.rights,
        }
    }

    /// Its texts, if they are there.
    pub fn contents(&self) -> Option<&Arc<Contents>> {
        match self {
            Held::Whole(loaded) => Some(&loaded.calendar.contents),
            Held::Condensed(_) => None,
        }
    }

    /// Whether its stamps tell of every later change.
    pub fn is_settled(&self) -> bool {
        match self {
            Held::Whole(loaded) => loaded.calendar.is_settled(),
            Held::Condensed(_) => true,
        }
    }

    pub fn at(&self) -> At {
        match self {
            Held::Whole(loaded) => loaded.at,
            Held::Condensed(condensed) => condensed.at,
        }
    }

    /// All of it, if it is there.
    pub fn whole(self) -> Option<Arc<Loaded>> {
        match self {
            Held::Whole(loaded) => Some(loaded),
            Held::Condensed(_) => None,
        }
    }

    /// The same, which stands for a while.
    pub fn kept(&self, rights: Rights) -> Held {
        let at = At { swept: Instant::now(), seen: None };
        match self {
            Held::Whole(loaded) => {
                Held::Whole(Arc::new(Loaded { calendar: loaded.calendar.clone(), rights, at }))
            }
            Held::Condensed(condensed) => {
                let Condensed { gist, digest, directory, .. } = &**condensed;
                let (gist, digest, directory) = (gist.clone(), *digest, *directory);
                Held::Condensed(Arc::new(Condensed { gist, digest, directory, rights, at }))
            }
        }
    }

    /// As [`Calendar::directory`].
    pub fn directory(&self) -> Option<Identity> {
        match self {
            Held::Whole(loaded) => loaded.calendar.directory,
            Held::Condensed(condensed) => condensed.directory,
        }
    }

    /// Whether it is the very same, not only as good.
    pub fn is(&self, other: &Held) -> bool {
        match (self, other) {
            (Held::Whole(one), Held::Whole(other)) => Arc::ptr_eq(one, other),
            (Held::Condensed(one), Held::Condensed(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}
