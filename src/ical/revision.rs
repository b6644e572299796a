//! What tells that a component was edited in one of KDE's programs.

use std::cmp::Reverse;

use super::sense::{Hash, hash};
use super::stamp::{Stamp, digits};

/// What they move at every edit of a component, beside its RECURRENCE-ID.
#[derive(Default, Clone, Copy)]
pub(super) struct Revision {
    /// Its RECURRENCE-ID as one number, midnight for a whole day, since they write that so.
    occurrence: u64,
    sequence: u64,
    last_modified: u64,
}

impl Revision {
    /// Of several the last counts there.
    pub(super) fn note(&mut self, stamp: Stamp, value: &str) {
        const MIDNIGHT: u64 = 1_000_000;
        match stamp {
            Stamp::RecurrenceId => {
                let number = digits(value);
                self.occurrence = if value.len() == "YYYYMMDD".len() { number * MIDNIGHT } else { number };
            }
            Stamp::Sequence => self.sequence = digits(value),
            Stamp::LastModified => self.last_modified = digits(value),
            Stamp::Dtstamp | Stamp::Generation => {}
        }
    }
}

/// One hash for those of an item's components; nothing if they do not tell of every edit.
pub(super) fn of_revisions(mut revisions: Vec<Revision>) -> Option<Hash> {
    // Of several for one occurrence they load the first of those with the highest SEQUENCE.
    revisions.sort_by_key(|revision| (revision.occurrence, Reverse(revision.sequence)));
    revisions.dedup_by_key(|revision| revision.occurrence);
    if revisions.iter().any(|revision| revision.last_modified == 0) {
        return None;
    }
    let numbers = revisions.iter().flat_map(|one| [one.occurrence, one.sequence, one.last_modified]);
    Some(hash(&numbers.flat_map(u64::to_le_bytes).collect::<Vec<u8>>()))
}

#[cfg(test)]
mod tests {
    use super::super::meaning::{UNSTAMPED, look};

    #[test]
    fn kdes_stamps_are_those_of_the_components_that_kde_loads() {
        let stamps = |components: &[&[&str]]| {
            let of = |lines: &&[&str]| format!("BEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\n", lines.join("\r\n"));
            look(components.iter().map(of).collect::<String>().as_bytes(), &[]).kde_stamps
        };
        const ONE: &str = "LAST-MODIFIED:20260101T000000Z";
        const TWO: &str = "LAST-MODIFIED:20260102T000000Z";
        const DAY: &str = "RECURRENCE-ID;VALUE=DATE:20260101";
        const MIDNIGHT: &str = "RECURRENCE-ID:20260101T000000";
        type Components = &'static [&'static [&'static str]];
        let same: [(Components, Components); 6] = [
            (&[&[ONE, "SUMMARY:a", "DTSTAMP:20260101T000000Z"]], &[&[ONE]]),
            (&[&[ONE, "SEQUENCE:0"]], &[&[ONE, "SEQUENCE:"]]),
            (&[&[TWO, ONE]], &[&[ONE]]),
            (&[&[ONE, DAY], &[TWO]], &[&[TWO], &[ONE, MIDNIGHT]]),
            // Two of one occurrence.
            (&[&[ONE], &[TWO]], &[&[ONE]]),
            (&[&[ONE], &[TWO, "SEQUENCE:1"]], &[&[TWO, "SEQUENCE:1 "]]),
        ];
        for (before, after) in same {
            assert_eq!(stamps(before), stamps(after), "{before:?}");
            assert_ne!(stamps(before), UNSTAMPED);
        }
        let other: [(Components, Components); 4] = [
            (&[&[ONE]], &[&[TWO]]),
            (&[&[ONE]], &[&[ONE, "SEQUENCE:1"]]),
            (&[&[ONE]], &[&[ONE], &[ONE, MIDNIGHT]]),
            (&[&[ONE, DAY]], &[&[ONE, "RECURRENCE-ID;VALUE=DATE:20260102"]]),
        ];
        for (before, after) in other {
            assert_ne!(stamps(before), stamps(after), "{before:?}");
        }
        const MADE_UP: [Components; 2] = [&[&["SUMMARY:a"], &[ONE, DAY]], &[&["LAST-MODIFIED:yesterday"]]];
        for unstamped in MADE_UP {
            assert_eq!(stamps(unstamped), UNSTAMPED);
        }
    }
}
