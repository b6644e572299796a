//! Snapshots: the immutable picture of a place, for one kind of asker, that every read is answered from.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;

use super::Contents;
use super::file::{Seen, Stored};
use crate::acl::Role;
use crate::ical::item::Item;
use crate::ical::meaning::Hash;
use crate::ical::whole::{Heading, whole};

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
    body: OnceLock<Bytes>,
    /// How many bytes the body has.
    pub length: usize,
    gzip: OnceLock<Bytes>,
    /// A hash of the body, without quotes.
    pub etag: String,
    /// When any of it changed last; nothing for whoever does not see all: what changes unseen would move it.
    pub modified: Option<SystemTime>,
    pub heading: Heading,
    /// See [`crate::ical::whole::Whole::made_up`].
    pub made_up: HashMap<String, String>,
    /// See [`crate::ical::whole::Whole::lent`].
    pub lent: HashMap<String, Hash>,
}

impl Source {
    pub fn new(contents: Arc<Contents>, role: Role) -> Source {
        Source { masked: contents.is_masked_for(role), contents }
    }

    fn shown(&self) -> impl Iterator<Item = Shown> {
        self.contents.items.iter().filter_map(|stored| match stored.seen(self.masked) {
            Seen::Whole => Some(Shown::Whole(stored.clone())),
            Seen::Masked => Some(Shown::Masked(Arc::new(stored.item.busy()))),
            Seen::Hidden => None,
        })
    }
}

/// What is shown of all sources; of one key in two of them, the first that is seen.
fn shown(sources: &[Source]) -> Arc<[Shown]> {
    let all = sources.iter().flat_map(Source::shown);
    if sources.len() < 2 {
        return all.collect();
    }
    let mut seen = HashSet::new();
    let all: Vec<Shown> = all.collect();
    all.iter().filter(|shown| seen.insert(&shown.item().key)).cloned().collect()
}

impl Snapshot {
    /// The picture of `sources`, under the name `heading` gives it.
    pub fn new(sources: Vec<Source>, heading: Heading) -> Snapshot {
        let shown = shown(&sources);
        let mut digest = Digest::default();
        let whole = whole(&heading, shown.iter().map(Shown::item), |piece| digest.push(piece));
        let is_whole = sources.iter().all(|source| !source.masked);
        let modified = sources.iter().map(|source| source.contents.gist.modified).max();
        Snapshot {
            body: OnceLock::new(),
            length: digest.length,
            etag: digest.finish().to_hex()[..32].to_owned(),
            gzip: OnceLock::new(),
            made_up: whole.made_up,
            lent: whole.lent,
            sources,
            shown,
            modified: modified.filter(|_| is_whole),
            heading,
        }
    }

    /// Whether this is the picture of these calendars still, for one who has these roles in them.
    pub fn is_of<'a>(&self, parts: impl ExactSizeIterator<Item = (&'a Arc<Contents>, Role)>) -> bool {
        self.sources.len() == parts.len()
            && self.sources.iter().zip(parts).all(|(source, (contents, role))| {
                Arc::ptr_eq(&source.contents, contents) && source.masked == contents.is_masked_for(role)
            })
    }

    /// Whether this is for the same kind of asker: then the newer of two takes the place of the other.
    pub fn shares_a_view_with(&self, other: &Snapshot) -> bool {
        let masks =
            |snapshot: &Snapshot| snapshot.sources.iter().map(|source| source.masked).collect::<Vec<_>>();
        masks(self) == masks(other)
    }

    /// The body, if it was made before.
    pub fn body_now(&self) -> Option<&Bytes> {
        self.body.get()
    }

    /// The body: a whole VCALENDAR. Made once, when somebody reads it: a save needs its Etag only. Not on an async thread.
    pub fn body(&self) -> &Bytes {
        self.body.get_or_init(|| {
            let mut text = Vec::with_capacity(self.length);
            whole(&self.heading, self.shown.iter().map(Shown::item), |piece| text.extend_from_slice(piece));
            text.into()
        })
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
        let gzip = compress(self.body())?;
        Ok(self.gzip.get_or_init(|| gzip))
    }

    /// About how much memory it takes beside its sources, in bytes.
    pub fn bytes(&self) -> usize {
        let made = |bytes: &OnceLock<Bytes>| bytes.get().map_or(0, Bytes::len);
        made(&self.body) + made(&self.gzip) + self.shown.len() * size_of::<Shown>()
    }
}

/// The hash and the length of what comes in pieces. They are gathered first: of many bytes the hash is made several times as fast.
#[derive(Default)]
struct Digest {
    gathered: Vec<u8>,
    hasher: blake3::Hasher,
    length: usize,
}

impl Digest {
    fn push(&mut self, piece: &[u8]) {
        const ENOUGH: usize = 64 << 10;
        self.length += piece.len();
        if self.gathered.len() + piece.len() > ENOUGH {
            self.hasher.update(&self.gathered);
            self.gathered.clear();
        }
        if piece.len() > ENOUGH {
            self.hasher.update(piece);
        } else {
            self.gathered.extend_from_slice(piece);
        }
    }

    fn finish(mut self) -> blake3::Hash {
        self.hasher.update(&self.gathered).finalize()
    }
}

/// `body` in gzip.
pub fn compress(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}
