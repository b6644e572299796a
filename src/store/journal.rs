//! The bytes of a journal: a line that says what it is, one of JSON with the operations, the files' contents, a checksum.

use std::path::Path as FsPath;

use serde::{Deserialize, Serialize};

use super::calendar::{ContentHash, State, content_hash};
use super::commit::{Commit, Operation};
use super::record::Record;
use crate::error::{Error, Result};

const MAGIC: &str = "kalends journal 1\n";

/// A journal's first line after the magic.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    pub home: String,
    /// What the home's log is to say of it.
    pub record: Record,
    pub operations: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    /// Below the home.
    pub file: String,
    /// The file before and after, see [`spelled`].
    pub before: Option<String>,
    pub after: Option<String>,
    /// How many of the bytes after the head are this file's.
    length: usize,
}

/// What is under a name, as a journal says it.
pub fn spelled(state: State) -> Option<String> {
    match state {
        State::Absent => None,
        State::Bytes(hash) => Some(hex(&hash)),
        State::Unreadable => Some("unreadable".to_owned()),
    }
}

fn hex(hash: &ContentHash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

/// A commit as its journal's bytes, in parts: the contents are not copied.
pub struct Encoded<'c> {
    head: Vec<u8>,
    contents: Vec<&'c [u8]>,
    checksum: ContentHash,
}

impl Encoded<'_> {
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let head = std::iter::once(self.head.as_slice());
        head.chain(self.contents.iter().copied()).chain([self.checksum.as_slice()])
    }
}

/// The journal of a commit, with its record.
pub fn encode<'c>(commit: &'c Commit, record: &Record) -> Result<Encoded<'c>> {
    let text = |path: &FsPath| match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::io(path, rustix::io::Errno::ILSEQ)),
    };
    let line = |operation: &Operation| {
        Ok(Line {
            file: text(&operation.file)?,
            before: spelled(operation.before),
            after: operation.after.as_deref().map(|content| hex(&content_hash(content))),
            length: operation.after.as_ref().map_or(0, Vec::len),
        })
    };
    let operations = commit.operations.iter().map(line).collect::<Result<_>>()?;
    let head = Head { home: text(&commit.home)?, record: record.clone(), operations };
    let json =
        serde_json::to_vec(&head).map_err(|error| Error::io(&commit.home, std::io::Error::from(error)))?;
    let head = [MAGIC.as_bytes(), &json, b"\n"].concat();
    let contents: Vec<&[u8]> =
        commit.operations.iter().filter_map(|operation| operation.after.as_deref()).collect();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head);
    for content in &contents {
        hasher.update(content);
    }
    Ok(Encoded { head, checksum: *hasher.finalize().as_bytes(), contents })
}

/// The operations and the content of each, or nothing if the checksum does not hold.
pub fn decode(bytes: &[u8]) -> Option<(Head, Vec<&[u8]>)> {
    let (bytes, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if blake3::hash(bytes).as_bytes() != checksum {
        return None;
    }
    let rest = bytes.strip_prefix(MAGIC.as_bytes())?;
    let end = memchr::memchr(b'\n', rest)?;
    let head: Head = serde_json::from_slice(&rest[..end]).ok()?;
    let mut rest = &rest[end + 1..];
    let mut contents = Vec::with_capacity(head.operations.len());
    for line in &head.operations {
        let (content, more) = rest.split_at_checked(line.length)?;
        contents.push(content);
        rest = more;
    }
    Some((head, contents))
}
