//! The bytes of a journal: a line that says what it is, one of JSON with the operations, the files' contents, a checksum. Written and
//! read piece by piece: a commit may be very large.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path as FsPath;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::operation::Operation;
use crate::store::disk::content::{Content, ContentHash, State};
use crate::store::history::record::Record;

/// Where journals are, below the data directory.
pub const JOURNALS: &str = ".journal";
const MAGIC: &str = "kalends journal 1\n";
/// How many bytes the checksum at the end has.
const CHECKSUM: u64 = 32;

/// What a journal's first line after the magic says before the operations.
#[derive(Deserialize)]
struct Head {
    home: String,
    #[serde(default)]
    record: Record,
}

/// All of that line.
#[derive(Serialize)]
struct Written<'c> {
    home: &'c FsPath,
    record: &'c Record,
    #[serde(serialize_with = "lines")]
    operations: &'c [Operation],
}

/// What stands before the operations, and nowhere else: inside of a text the quotes would be escaped.
const OPERATIONS: &[u8] = b"\"operations\":[";

/// What a journal says of one operation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line<F = String> {
    /// Below the home.
    pub file: F,
    /// The file before and after, see [`spelled`].
    pub before: Option<Spelled>,
    pub after: Option<Spelled>,
    /// How many of the bytes after the head are this file's.
    length: usize,
}

/// What is under a name where something is: in a journal a hash in hex, or a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelled {
    Bytes(ContentHash),
    Unreadable,
}

const UNREADABLE: &str = "unreadable";

/// What is under a name, as a journal says it.
pub fn spelled(state: State) -> Option<Spelled> {
    match state {
        State::Absent => None,
        State::Bytes(hash) => Some(Spelled::Bytes(hash)),
        State::Unreadable => Some(Spelled::Unreadable),
    }
}

impl Serialize for Spelled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Spelled::Bytes(hash) => serializer.serialize_str(&blake3::Hash::from_bytes(*hash).to_hex()),
            Spelled::Unreadable => serializer.serialize_str(UNREADABLE),
        }
    }
}

impl<'de> Deserialize<'de> for Spelled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Spelled, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        match &*text {
            UNREADABLE => Ok(Spelled::Unreadable),
            hex => blake3::Hash::from_hex(hex)
                .map(|hash| Spelled::Bytes(hash.into()))
                .map_err(serde::de::Error::custom),
        }
    }
}

fn lines<S: Serializer>(operations: &[Operation], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(operations.iter().map(|operation| {
        let content = operation.after.as_ref();
        Line {
            file: operation.file.as_path(),
            before: spelled(operation.before),
            after: content.map(|content| Spelled::Bytes(content.hash())),
            length: content.map_or(0, Content::length),
        }
    }))
}

/// What the names of a home's journals start with.
pub fn tag(home: &FsPath) -> String {
    blake3::hash(home.as_os_str().as_encoded_bytes()).to_hex()[..12].to_owned()
}

/// Writes the journal of a commit to `home` of these operations. Nothing of it is in memory beside them.
pub fn encode(home: &FsPath, record: &Record, operations: &[Operation], out: impl Write) -> io::Result<()> {
    let head = Written { home, record, operations };
    let mut hashed = BufWriter::with_capacity(1 << 16, Hashed { out, hasher: blake3::Hasher::new() });
    hashed.write_all(MAGIC.as_bytes())?;
    serde_json::to_writer(&mut hashed, &head)?;
    hashed.write_all(b"\n")?;
    for content in operations.iter().filter_map(|operation| operation.after.as_ref()) {
        content.parts().into_iter().try_for_each(|part| hashed.write_all(part))?;
    }
    let Hashed { mut out, hasher } = hashed.into_inner().map_err(io::IntoInnerError::into_error)?;
    out.write_all(hasher.finalize().as_bytes())
}

/// What is written, and its hash.
struct Hashed<W> {
    out: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether a file is what a power cut may leave of `meant`, whose name was on the disk before its content: the start of
/// it, or nothing, with zeros for what is missing.
pub fn is_torn(found: &[u8], meant: &[u8]) -> bool {
    found.len() <= meant.len() && found.iter().zip(meant).all(|(found, meant)| *found == 0 || found == meant)
}

/// A journal that is whole. Its operations are read as they are asked for: there may be more than the memory has room for.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    pub home: String,
    /// What the home's log is to say of it. By whom it is, journals of earlier versions do not say.
    pub record: Record,
    /// How many operations it has.
    pub count: usize,
    /// Where the operations start, and where their contents.
    lines: u64,
    contents: u64,
}

/// The file from some place on, beside who reads it elsewhere.
struct At {
    file: Arc<File>,
    place: u64,
}

impl Read for At {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.place)?;
        self.place += read as u64;
        Ok(read)
    }
}

/// The operations of a journal, one after another.
pub struct Lines(BufReader<At>);

/// Those, each with the content that the file is to have.
pub struct Operations {
    lines: Lines,
    contents: BufReader<At>,
}

fn reader(file: &Arc<File>, place: u64) -> BufReader<At> {
    BufReader::with_capacity(1 << 16, At { file: file.clone(), place })
}

fn place(reader: &BufReader<At>) -> u64 {
    reader.get_ref().place - reader.buffer().len() as u64
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is of another version of Kalends")
}

impl Iterator for Lines {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        self.read().transpose()
    }
}

impl Lines {
    /// They stand in an array, the first after its bracket and each other one after a comma.
    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut mark = [0];
        self.0.read_exact(&mut mark)?;
        if mark == *b"[" && self.0.fill_buf()?.first() == Some(&b']') {
            self.0.read_exact(&mut mark)?;
        }
        match &mark {
            b"]" => Ok(None),
            b"[" | b"," => {
                let line = Line::deserialize(&mut serde_json::Deserializer::from_reader(&mut self.0));
                line.map(Some).map_err(|error| if error.is_io() { error.into() } else { unknown() })
            }
            _ => Err(unknown()),
        }
    }
}

impl Iterator for Operations {
    type Item = io::Result<(Line, Vec<u8>)>;

    fn next(&mut self) -> Option<io::Result<(Line, Vec<u8>)>> {
        let line = self.lines.next()?;
        Some(line.and_then(|line| {
            let mut content = vec![0; line.length];
            self.contents.read_exact(&mut content)?;
            Ok((line, content))
        }))
    }
}

impl Journal {
    /// The journal of `change` in a file; nothing if it is not whole.
    ///
    /// # Errors
    /// It is whole and says what this version does not know: somebody was told that it is saved, so it stays.
    pub fn decode(file: File, change: &str) -> io::Result<Option<Journal>> {
        let Some(length) = file.metadata()?.len().checked_sub(CHECKSUM) else { return Ok(None) };
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut (&file).take(length), &mut hasher)?;
        let mut checksum = Vec::new();
        (&file).take(CHECKSUM).read_to_end(&mut checksum)?;
        if hasher.finalize().as_bytes() != checksum.as_slice() {
            return Ok(None);
        }
        Journal::known(Arc::new(file), length, change).map(Some)
    }

    fn known(file: Arc<File>, length: u64, change: &str) -> io::Result<Journal> {
        let mut start = reader(&file, 0);
        let (mut magic, mut head) = (Vec::new(), Vec::new());
        start.read_until(b'\n', &mut magic)?;
        if magic != MAGIC.as_bytes() {
            return Err(unknown());
        }
        while !head.ends_with(OPERATIONS) {
            if start.read_until(b'[', &mut head)? == 0 {
                return Err(unknown());
            }
        }
        let lines = place(&start) - 1;
        head.extend_from_slice(b"]}");
        let Head { home, mut record } = serde_json::from_slice(&head).map_err(|_| unknown())?;
        let is_recorded = !record.change.is_empty();
        if !is_recorded {
            change.clone_into(&mut record.change);
        }
        let mut journal = Journal { file, home, record, count: 0, lines, contents: 0 };
        journal.look_through(length, is_recorded)?;
        Ok(journal)
    }

    /// Looks whether all of it is known, before anything is done with a part of it.
    fn look_through(&mut self, length: u64, is_recorded: bool) -> io::Result<()> {
        let (mut lines, mut sum) = (self.lines(), Some(0_u64));
        for line in lines.by_ref() {
            let line = line?;
            self.count += 1;
            sum = sum.and_then(|sum| sum.checked_add(line.length as u64));
            if !is_recorded {
                self.record.touches(line.file, line.before.is_some(), line.after.is_some());
            }
        }
        let mut end = [0; 2];
        lines.0.read_exact(&mut end)?;
        self.contents = place(&lines.0);
        let whole = sum.and_then(|sum| sum.checked_add(self.contents));
        if end == *b"}\n" && whole == Some(length) { Ok(()) } else { Err(unknown()) }
    }

    /// The operations, from the first one on.
    pub fn lines(&self) -> Lines {
        Lines(reader(&self.file, self.lines))
    }

    /// As [`Journal::lines`], with the contents.
    pub fn operations(&self) -> Operations {
        Operations { lines: self.lines(), contents: reader(&self.file, self.contents) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;
    use crate::store::history::record::Cause;

    fn decoded(body: &str, change: &str) -> io::Result<Option<Journal>> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(body.as_bytes()).expect("write");
        file.write_all(blake3::hash(body.as_bytes()).as_bytes()).expect("write");
        file.rewind().expect("rewind");
        Journal::decode(file, change)
    }

    #[test]
    fn a_journal_of_an_earlier_version_is_known_and_one_of_a_later_version_is_not_taken_for_half() {
        let operation = |file: &str, before, after: Option<&str>| Operation {
            file: file.into(),
            before,
            stamp: None,
            after: after.map(|after| after.as_bytes().to_vec().into()),
        };
        let operations = [
            operation("Calendar/a.ics", State::Unreadable, Some("A")),
            operation("Calendar/b.ics", State::Absent, Some("b")),
            operation("Calendar/c.ics", State::Unreadable, None),
        ];
        let record = Record::new("x".to_owned(), &Cause::default(), &operations);
        let mut bytes = Vec::new();
        encode("users/alice".as_ref(), &record, &operations, &mut bytes).expect("encoded");
        let body = std::str::from_utf8(&bytes[..bytes.len() - 32]).expect("text");
        let journal = decoded(body, "y").expect("known").expect("whole");
        assert_eq!((&journal.record, journal.count), (&record, 3));
        let contents: io::Result<Vec<u8>> =
            journal.operations().try_fold(Vec::new(), |all, next| Ok([all, next?.1].concat()));
        assert_eq!(contents.expect("the contents"), b"Ab");
        let files: io::Result<Vec<String>> = journal.lines().map(|line| Ok(line?.file)).collect();
        assert_eq!(files.expect("the lines").last().map(String::as_str), Some("Calendar/c.ics"));
        let words = serde_json::to_string(&record).expect("a record");
        let earlier = body.replace(&format!("\"record\":{words},"), "");
        assert_eq!(decoded(&earlier, "x").expect("known").expect("whole").record, record);
        for (known, other) in [("journal 1", "journal 2"), ("\"operations\"", "\"acts\""), ("\nAb", "\nAbc")]
        {
            assert!(decoded(&body.replace(known, other), "x").is_err(), "{other}");
        }
    }
}
