//! Snapshots: the immutable picture of a place, for one kind of asker, that every read is answered from.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;

use super::calendar::{Contents, Stored};
use crate::acl::Role;
use crate::ical::item::{Item, Key};
use crate::ical::scan::Class;
use crate::ical::whole::{Heading, whole};
use crate::ical::mask;

/// A calendar of a place, and how much of it the asker sees.
#[derive(Debug, Clone)]
pub struct Source {
    pub contents: Arc<Contents>,
    /// PRIVATE items are not there, CONFIDENTIAL ones are bare "Busy" blocks.
    pub masked: bool,
}

/// An item as it is shown.
#[derive(Debug, Clone)]
pub enum Shown {
    Whole(Arc<Stored>),
    /// A busy block in the item's place.
    Masked(Arc<Item>),
}

impl Shown {
    pub fn item(&self) -> &Item {
        match self {
            Shown::Whole(stored) => &stored.item,
            Shown::Masked(item) => item,
        }
    }
}

/// What is served of a place.
#[derive(Debug)]
pub struct Snapshot {
    sources: Vec<Source>,
    pub shown: Arc<[Shown]>,
    /// A whole VCALENDAR.
    pub body: Bytes,
    gzip: OnceLock<Bytes>,
    /// A hash of the body, without quotes.
    pub etag: String,
    pub modified: SystemTime,
    pub heading: Heading,
    /// See [`crate::ical::whole::Whole::made_up`].
    pub made_up: HashMap<String, String>,
}

impl Source {
    /// Whether `role` sees all of `contents`; a calendar without CLASS has one view.
    pub fn new(contents: Arc<Contents>, role: Role) -> Source {
        let masked = role < Role::Master && contents.items.iter().any(|stored| stored.item.class > Class::Public);
        Source { contents, masked }
    }

    fn is(&self, other: &Source) -> bool {
        Arc::ptr_eq(&self.contents, &other.contents) && self.masked == other.masked
    }

    fn shown(&self) -> impl Iterator<Item = Shown> {
        self.contents.items.iter().filter_map(|stored| match stored.item.class {
            Class::Private if self.masked => None,
            Class::Confidential if self.masked => Some(Shown::Masked(Arc::new(busy(&stored.item)))),
            _ => Some(Shown::Whole(stored.clone())),
        })
    }

    /// The keys that the asker must not know of.
    pub fn hidden(&self) -> impl Iterator<Item = &Key> {
        let hidden = |stored: &&Arc<Stored>| self.masked && stored.item.class == Class::Private;
        self.contents.items.iter().filter(hidden).map(|stored| &stored.item.key)
    }
}

fn busy(item: &Item) -> Item {
    item.with_raw(mask::busy_block(&item.raw))
}

impl Snapshot {
    /// The picture of `sources`, under the name `heading` gives it.
    pub fn new(sources: Vec<Source>, heading: Heading) -> Snapshot {
        let shown: Arc<[Shown]> = sources.iter().flat_map(Source::shown).collect();
        let whole = whole(&heading, shown.iter().map(Shown::item));
        let modified = sources.iter().map(|source| source.contents.modified).max().unwrap_or(SystemTime::UNIX_EPOCH);
        Snapshot {
            etag: blake3::hash(&whole.text).to_hex()[..32].to_owned(),
            body: whole.text.into(),
            gzip: OnceLock::new(),
            made_up: whole.made_up,
            sources,
            shown,
            modified,
            heading,
        }
    }

    /// Whether this is the picture of `sources` still.
    pub fn is_of(&self, sources: &[Source], heading: &Heading) -> bool {
        self.sources.len() == sources.len()
            && self.sources.iter().zip(sources).all(|(one, other)| one.is(other))
            && self.heading == *heading
    }

    /// The body in gzip, if it was made before.
    pub fn gzip_now(&self) -> Option<&Bytes> {
        self.gzip.get()
    }

    /// The body in gzip. Made once; takes some 20 ms a megabyte, so not on an async thread.
    pub fn gzip(&self) -> std::io::Result<&Bytes> {
        if let Some(gzip) = self.gzip.get() {
            return Ok(gzip);
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(&self.body)?;
        let gzip = encoder.finish()?;
        Ok(self.gzip.get_or_init(|| gzip.into()))
    }

    /// About how much memory it takes beside its sources, in bytes.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.gzip.get().map_or(0, |gzip| gzip.len()) + self.shown.len() * size_of::<Shown>()
    }
}
