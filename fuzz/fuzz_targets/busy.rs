//! From an item's text to busy times, with its zones, overrides and exceptions: refused or bounded, and inside the window.

#![no_main]

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kalends::ical::busy::{Found, Owner, TimeRange, found, merge, overlay, publication, reasons};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|item: &[u8]| {
    let second = |second| Timestamp::from_second(second).expect("a time of ours");
    // 2026-01-01 and eight weeks.
    let window = TimeRange { start: second(1_767_225_600), end: second(1_767_225_600 + 56 * 86_400) };
    let addresses = vec!["alice@example.org".to_owned()];
    let zone = TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
    let owner = Owner { addresses, zone };
    let _ = publication(item);
    let why = reasons(item, &window, &owner);
    let Ok(Found { mut periods, availabilities }) = found(item, &window, &owner) else { return };
    for period in &periods {
        assert!(window.start <= period.start && period.start < period.end && period.end <= window.end);
    }
    // Free events are read for their reasons only, and may then be found not understood.
    if let Ok(why) = why {
        let named: HashSet<_> = why
            .iter()
            .filter(|reason| reason.kind.is_some())
            .map(|reason| (reason.start.max(window.start), reason.end.min(window.end)))
            .collect();
        let unnamed = periods.iter().find(|period| !named.contains(&(period.start, period.end)));
        assert_eq!(unnamed, None, "no reason");
    }
    periods.extend(overlay(availabilities));
    let merged = merge(periods);
    assert!(merged.iter().all(|period| period.start < period.end));
    assert!(
        merged
            .is_sorted_by(|one, next| one.end < next.start || one.end == next.start && one.kind != next.kind)
    );
});
