//! What is on record of a change: who made it and why, and which files of the home it touched. One line of JSON; where the
//! lines are is `log`'s.

use std::net::IpAddr;
use std::path::Path as FsPath;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{spelled, time_of};
use crate::store::commit::operation::Operation;
use crate::store::disk::content::State;
use crate::store::origin::Origin;

/// What kind of change it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Did {
    Save,
    /// Of a whole calendar.
    Remove,
    Restore,
    /// Of free/busy.
    Publish,
    Rights,
    /// By a check.
    Repair,
    /// Of nothing: the home itself went back in time, see `went_back`.
    Back,
    /// Something that a later version writes.
    #[default]
    #[serde(other)]
    Other,
}

/// Why a change is made, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cause {
    pub did: Did,
    pub who: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// What the merge did beside taking what was sent, as the answer's header says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub merge: String,
    /// Of a home that went back: the change that was its newest, and is not on record any more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub missing: String,
}

/// One line: a change, and the files of the home that it touched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// Its name, which starts with its time and is part of the names of what it kept.
    pub change: String,
    /// When it was made, as names say it, if its name says that it is yet to come: it is named after one by a clock that was ahead.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub made: String,
    #[serde(flatten)]
    pub cause: Cause,
    /// The calendar, below the home, that was removed or came back as a whole; what came with it counts as added.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub calendar: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// What nothing reached by its name, with the name that it got.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<(String, String)>,
    /// Not made after all: takes back the line before of the same change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl Cause {
    pub fn new(did: Did, origin: &Origin) -> Cause {
        Cause {
            did,
            who: origin.who.to_string(),
            program: origin.program.clone(),
            peer: origin.peer,
            address: origin.address.clone(),
            ..Cause::default()
        }
    }

    /// With what the merge did.
    pub fn merged(self, merge: String) -> Cause {
        Cause { merge, ..self }
    }
}

impl Record {
    /// The record of a commit with these operations.
    pub fn new(change: String, cause: &Cause, operations: &[Operation]) -> Record {
        let mut record = Record { made: made(&change), change, cause: cause.clone(), ..Record::default() };
        for operation in operations {
            let file = operation.file.to_string_lossy().into_owned();
            record.touches(file, operation.before != State::Absent, operation.after.is_some());
        }
        record
    }

    /// Says of a file what becomes of it.
    pub fn touches(&mut self, file: String, was_there: bool, is_there: bool) {
        let files = match (was_there, is_there) {
            (false, true) => &mut self.added,
            (true, true) => &mut self.replaced,
            (_, false) => &mut self.removed,
        };
        files.push(file);
    }

    /// The record of a calendar that goes or comes as a whole.
    pub fn of_calendar(change: String, cause: &Cause, calendar: &FsPath) -> Record {
        let calendar = calendar.to_string_lossy().into_owned();
        Record { made: made(&change), change, cause: cause.clone(), calendar, ..Record::default() }
    }

    /// Whether a whole calendar went or came by it that is at `place`, or below that.
    pub fn is_whole_below(&self, place: &FsPath) -> bool {
        !self.calendar.is_empty() && FsPath::new(&self.calendar).starts_with(place)
    }

    /// When it was made.
    pub fn time(&self) -> Option<Timestamp> {
        time_of(&self.made).or_else(|| time_of(&self.change))
    }
}

/// What is to be said of when a change is made beside its name.
fn made(change: &str) -> String {
    let now = Timestamp::now();
    // Those of one moment are named a little ahead too.
    let is_ahead =
        time_of(change).is_some_and(|named| named.duration_since(now) > SignedDuration::from_secs(1));
    if is_ahead { spelled(now) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_version_writes_is_read() {
        let line = r#"{"change":"20261124T215500.000000Z-7","did":"dream","who":"alice","mood":1}"#;
        let record: Record = serde_json::from_str(line).expect("a record");
        assert_eq!((record.cause.did, record.cause.who.as_str()), (Did::Other, "alice"));
    }
}
