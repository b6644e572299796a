//! What a commit finds under a name and what it puts there: bytes, or an item whose file is put together only as it is written.

use std::sync::Arc;

use crate::ical::item::Item;

/// A hash of a file's bytes.
pub type ContentHash = [u8; 32];

/// What is under a name, as a commit finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Absent,
    Bytes(ContentHash),
    /// Too large, not to be opened, or no regular file.
    Unreadable,
}

pub fn content_hash(content: &[u8]) -> ContentHash {
    *blake3::hash(content).as_bytes()
}

/// What is put under a name.
#[derive(Debug)]
pub enum Content {
    Bytes(Vec<u8>),
    /// A large calendar must not be in memory twice.
    Item(Arc<Item>),
}

impl Content {
    /// The bytes, in parts.
    pub fn parts(&self) -> Vec<&[u8]> {
        match self {
            Content::Bytes(bytes) => vec![bytes],
            Content::Item(item) => item.file_parts(),
        }
    }

    pub fn hash(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        for part in self.parts() {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// How many bytes they are.
    pub fn length(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content::Bytes(bytes)
    }
}
