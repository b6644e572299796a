//! Views: what an asker was shown of a place, or sent to it, as a base for merging what comes back. Hashes only, and
//! their bytes in the cache. Pure.

use crate::ical::item::KeyId;
use crate::ical::meaning::{Hash, Look, NOT_LOADED, UNSTAMPED};
use crate::store::merge::program::Program;

/// What is known of one item of a View.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What the client's copy looks like, with zones as the client has them.
    pub meaning: Hash,
    pub stamps: Hash,
    pub kde_stamps: Hash,
    pub undated: Hash,
    /// The meaning of the version of ours that the copy stands for, or [`BLOCK`].
    pub ours: Hash,
}

/// No version of ours: the copy is a busy block, or was made of one.
pub const BLOCK: Hash = [0; 16];

/// A set of items.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    /// In the order of their keys.
    items: Box<[(KeyId, Known)]>,
}

/// With another number for other hashes: by different rules what is the same would look edited.
const MAGIC: &[u8] = b"kalends view 5\n";
const ROW: usize = 6 * 16;
pub const CHECKSUM: usize = 32;

impl Known {
    /// A copy that stands for itself.
    pub fn of(look: &Look) -> Known {
        let &Look { meaning, stamps, kde_stamps, undated, .. } = look;
        Known { meaning, stamps, kde_stamps, undated, ours: meaning }
    }

    /// Whether a client that had this copy and sends `look` has not changed it.
    pub fn is_as(&self, look: &Look, program: Program) -> bool {
        let is_its_writing = match program {
            Program::Mozilla => self.is_loaded() && self.stamps == look.stamps,
            // What they have written once, they write the same again but for a date that moves of itself.
            Program::Kde => {
                self.undated == look.undated
                    || self.kde_stamps != UNSTAMPED && self.kde_stamps == look.kde_stamps
            }
            Program::Other => false,
        };
        self.meaning == look.meaning || is_its_writing
    }

    /// Whether Mozilla's programs load it; else its absence says nothing.
    pub fn is_loaded(&self) -> bool {
        self.stamps != NOT_LOADED
    }
}

impl View {
    pub fn new(items: impl IntoIterator<Item = (KeyId, Known)>) -> View {
        let mut items: Vec<_> = items.into_iter().collect();
        items.sort_unstable_by_key(|(id, _)| *id);
        View { items: items.into() }
    }

    pub fn get(&self, id: &KeyId) -> Option<Known> {
        let at = self.items.binary_search_by_key(id, |(id, _)| *id).ok()?;
        Some(self.items[at].1)
    }

    /// Calls `mark` with the ordinal of each of `shown`, which are in the order of their keys, that is in the View and not
    /// changed since.
    pub fn marks(&self, shown: &[(KeyId, Look)], program: Program, mut mark: impl FnMut(usize)) {
        let mut items = self.items.iter().peekable();
        for (ordinal, (id, look)) in shown.iter().enumerate() {
            while items.next_if(|(known, _)| known < id).is_some() {}
            if items.peek().is_some_and(|(known, item)| known == id && item.is_as(look, program)) {
                mark(ordinal);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &(KeyId, Known)> {
        self.items.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// About how many bytes it takes in memory, with what is around it there.
    pub fn bytes(&self) -> usize {
        const AROUND: usize = 256;
        AROUND + self.items.len() * ROW
    }

    /// The bytes that are kept under `name`.
    pub fn encode(&self, name: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.items.len() * ROW + CHECKSUM);
        bytes.extend_from_slice(MAGIC);
        for (id, known) in &self.items {
            for hash in [id, &known.meaning, &known.stamps, &known.kde_stamps, &known.undated, &known.ours] {
                bytes.extend_from_slice(hash);
            }
        }
        let checksum = checksum(name, &bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// The View that was kept under `name`, or nothing if that is not what was written under it.
    pub fn decode(name: &[u8], bytes: &[u8]) -> Option<View> {
        let (bytes, found) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if checksum(name, bytes) != found {
            return None;
        }
        let rows = bytes.strip_prefix(MAGIC)?.chunks_exact(ROW);
        let hash = |row: &[u8], at: usize| -> Hash {
            let mut hash = [0; 16];
            hash.copy_from_slice(&row[16 * at..16 * (at + 1)]);
            hash
        };
        let known = |row| Known {
            meaning: hash(row, 1),
            stamps: hash(row, 2),
            kde_stamps: hash(row, 3),
            undated: hash(row, 4),
            ours: hash(row, 5),
        };
        Some(View { items: rows.map(|row| (hash(row, 0), known(row))).collect() })
    }
}

/// Of what is kept under a name, with the name in it: what is there under another's name is as bad as what is broken.
pub fn checksum(name: &[u8], bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name).update(bytes);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let known = |n| Known {
            meaning: [n; 16],
            stamps: [n + 1; 16],
            kde_stamps: [n + 2; 16],
            undated: [n + 3; 16],
            ours: [n + 4; 16],
        };
        View::new([([9; 16], known(90)), ([1; 16], known(10)), ([5; 16], known(50))])
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let view = view();
        assert_eq!(view.get(&[5; 16]).map(|known| known.ours), Some([54; 16]));
        assert_eq!(view.get(&[6; 16]), None);
        assert_eq!(View::decode(b"a", &view.encode(b"a")), Some(view));
        let empty = View::new([]);
        assert_eq!(View::decode(b"a", &empty.encode(b"a")), Some(empty));
    }

    #[test]
    fn what_is_broken_cut_or_another_files_is_no_view() {
        let bytes = view().encode(b"a");
        assert_eq!(View::decode(b"b", &bytes), None);
        for len in 0..bytes.len() {
            assert_eq!(View::decode(b"a", &bytes[..len]), None, "{len}");
            let mut broken = bytes.clone();
            broken[len] ^= 1;
            assert_eq!(View::decode(b"a", &broken), None, "{len}");
        }
    }
}
