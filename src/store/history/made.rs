//! When changes were made whose names say that it is yet to come: a clock was ahead once, and what followed is named after that,
//! so that the names keep the order. What else tells their times is asked then; names that may be right are believed.

use std::path::Path as FsPath;

use jiff::Timestamp;

use super::spelled;
use crate::store::disk::Directory;

/// When the last of `names` were made, those that are later than `now`: all are in their order, and all times are as names have
/// them. `told` says of one, by its place, when it was made at the latest.
pub fn of_those_ahead(names: &[&str], now: &str, told: impl Fn(usize) -> Option<String>) -> Vec<String> {
    let believed = names.partition_point(|name| *name <= now);
    let earliest = names[..believed].last().copied().unwrap_or_default();
    let mut made = Vec::new();
    let mut latest = now.to_owned();
    for at in (believed..names.len()).rev() {
        // None was made later than the next, whatever is told of it, nor earlier than all that are believed.
        if let Some(told) = told(at).filter(|told| *told < latest) {
            latest = told.max(earliest.to_owned());
        }
        made.push(latest.clone());
    }
    made.reverse();
    made
}

/// When something at `place` below the home was put into the history at the latest, by the file system's word.
pub fn kept_at(home: &Directory, place: &FsPath) -> Option<String> {
    let found = home.stat_at(place).ok().flatten()?;
    let nanoseconds = i32::try_from(found.st_ctime_nsec).ok()?;
    Timestamp::new(found.st_ctime, nanoseconds).ok().map(spelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_after_a_clock_that_was_ahead_was_made_when_the_rest_says() {
        let now = "20261130T120000.000000Z";
        let names = ["20261101T000000.000000Z-1", "20380101T000000.000000Z-1", "20380101T000000.000001Z-1"];
        let made =
            |told: [Option<&str>; 2]| of_those_ahead(&names, now, |at| told[at - 1].map(str::to_owned));
        let (early, late) = ("20261110T000000.000000Z", "20261120T000000.000000Z");
        assert_eq!(made([Some(early), Some(late)]), [early, late]);
        // By the clock that was ahead, or not told at all.
        assert_eq!(made([Some(names[1]), Some(late)]), [late, late]);
        assert_eq!(made([Some(early), None]), [early, now]);
        assert_eq!(made([None, None]), [now, now]);
        // By one that was behind.
        assert_eq!(made([Some(early), Some("20000101T000000.000000Z")]), [names[0], names[0]]);
        assert_eq!(of_those_ahead(&names[..1], now, |_| None), [""; 0]);
    }
}
