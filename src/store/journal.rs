//! The bytes of a journal: a line that says what it is, one of JSON with the operations, the files' contents, a checksum.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path as FsPath;

use serde::{Deserialize, Serialize};

use super::calendar::{ContentHash, State};
use super::commit::{Commit, Operation};
use super::content::Content;
use super::record::Record;
use crate::error::{Error, Result};

const MAGIC: &str = "kalends journal 1\n";
/// How many bytes the checksum at the end has.
const CHECKSUM: u64 = 32;

/// A journal's first line after the magic.
#[derive(Debug, Serialize, Deserialize)]
pub struct Head {
    pub home: String,
    /// What the home's log is to say of it; see [`Head::recorded`].
    #[serde(default)]
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

impl Head {
    /// The head with a record of `change` if it has none, as journals of earlier versions: by whom is not known then.
    pub fn recorded(mut self, change: &str) -> Head {
        if self.record.change.is_empty() {
            change.clone_into(&mut self.record.change);
            for line in &self.operations {
                self.record.touches(line.file.clone(), line.before.is_some(), line.after.is_some());
            }
        }
        self
    }
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
    operations: &'c [Operation],
    checksum: ContentHash,
}

impl Encoded<'_> {
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head.as_slice())
            .chain(contents(self.operations))
            .chain([self.checksum.as_slice()])
    }
}

/// The bytes of all operations, in parts.
fn contents(operations: &[Operation]) -> impl Iterator<Item = &[u8]> {
    operations.iter().filter_map(|operation| operation.after.as_ref()).flat_map(Content::parts)
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
            after: operation.after.as_ref().map(|content| hex(&content.hash())),
            length: operation.after.as_ref().map_or(0, Content::length),
        })
    };
    let operations = commit.operations.iter().map(line).collect::<Result<_>>()?;
    let head = Head { home: text(&commit.home)?, record: record.clone(), operations };
    let mut bytes = MAGIC.as_bytes().to_vec();
    serde_json::to_writer(&mut bytes, &head)
        .map_err(|error| Error::io(&commit.home, io::Error::from(error)))?;
    bytes.push(b'\n');
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes);
    for part in contents(&commit.operations) {
        hasher.update(part);
    }
    Ok(Encoded { head: bytes, operations: &commit.operations, checksum: *hasher.finalize().as_bytes() })
}

/// Whether a file is what a power cut may leave of `meant`, whose name was on the disk before its content: the start of
/// it, or nothing, with zeros for what is missing.
pub fn is_torn(found: &[u8], meant: &[u8]) -> bool {
    found.len() <= meant.len() && found.iter().zip(meant).all(|(found, meant)| *found == 0 || found == meant)
}

/// The contents of a journal, one after another.
pub struct Contents(BufReader<File>);

impl Contents {
    /// The content of `line`, of which those before have been read.
    pub fn next(&mut self, line: &Line) -> io::Result<Vec<u8>> {
        let mut content = vec![0; line.length];
        self.0.read_exact(&mut content)?;
        Ok(content)
    }
}

/// The operations, and the content of each, which is read as it is asked for: a journal may be larger than the memory.
/// Nothing if it is not whole.
///
/// # Errors
/// It is whole and says what this version does not know: somebody was told that it is saved, so it stays.
pub fn decode(mut file: File) -> io::Result<Option<(Head, Contents)>> {
    let Some(length) = file.metadata()?.len().checked_sub(CHECKSUM) else { return Ok(None) };
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut (&file).take(length), &mut hasher)?;
    let mut checksum = Vec::new();
    (&file).take(CHECKSUM).read_to_end(&mut checksum)?;
    if hasher.finalize().as_bytes() != checksum.as_slice() {
        return Ok(None);
    }
    file.rewind()?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut magic, mut head) = (Vec::new(), Vec::new());
    reader.read_until(b'\n', &mut magic)?;
    reader.read_until(b'\n', &mut head)?;
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, "it is of another version of Kalends");
    let parsed: Head = serde_json::from_slice(&head).map_err(|_| unknown())?;
    let contents = parsed.operations.iter().try_fold(0_usize, |sum, line| sum.checked_add(line.length));
    let rest = length.checked_sub((magic.len() + head.len()) as u64);
    let known = magic == MAGIC.as_bytes() && contents.is_some() && contents.map(|sum| sum as u64) == rest;
    if !known {
        return Err(unknown());
    }
    Ok(Some((parsed, Contents(reader))))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::record::Cause;
    use super::*;

    fn decoded(body: &str) -> io::Result<Option<(Head, Contents)>> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(body.as_bytes()).expect("write");
        file.write_all(blake3::hash(body.as_bytes()).as_bytes()).expect("write");
        file.rewind().expect("rewind");
        decode(file)
    }

    #[test]
    fn a_journal_of_an_earlier_version_is_known_and_one_of_a_later_version_is_not_taken_for_half() {
        let operation = |file: &str, before, after: Option<&str>| Operation {
            file: file.into(),
            before,
            stamp: None,
            after: after.map(|after| after.as_bytes().to_vec().into()),
        };
        let operations = vec![
            operation("Calendar/a.ics", State::Unreadable, Some("A")),
            operation("Calendar/b.ics", State::Absent, Some("b")),
            operation("Calendar/c.ics", State::Unreadable, None),
        ];
        let commit =
            Commit { home: "users/alice".into(), operations, lost: Vec::new(), cause: Cause::default() };
        let record = Record::new("x".to_owned(), &commit.cause, &commit.operations);
        let encoded = encode(&commit, &record).expect("encoded");
        let bytes = encoded.parts().collect::<Vec<_>>().concat();
        let body = std::str::from_utf8(&bytes[..bytes.len() - 32]).expect("text");
        let (head, mut contents) = decoded(body).expect("known").expect("whole");
        assert_eq!(head.recorded("y").record, record);
        let both = Line { file: String::new(), before: None, after: None, length: 2 };
        assert_eq!(contents.next(&both).expect("the contents"), b"Ab");
        let words = serde_json::to_string(&record).expect("a record");
        let (head, _) =
            decoded(&body.replace(&format!("\"record\":{words},"), "")).expect("known").expect("whole");
        assert_eq!(head.recorded("x").record, record);
        for (known, other) in [("journal 1", "journal 2"), ("\"operations\"", "\"acts\""), ("\nAb", "\nAbc")]
        {
            assert!(decoded(&body.replace(known, other)).is_err(), "{other}");
        }
    }
}
