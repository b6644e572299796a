//! The hostile corpus: what somebody sends to keep the server busy is refused, or served within its limits, and the server goes on.
//!
//! Measured is the processor time of the server, not the clock, against bounds some fifty times what a release build may need. So they hold
//! for a debug build on any machine, and still tell what grows faster than its input: that takes minutes.

mod bombs;
mod calendars;
mod requests;

use std::fs;
use std::time::Duration;

use crate::server::{NOBODY, Server};

/// What a request may cost apart from its size.
const REQUEST: Duration = Duration::from_secs(2);

/// What a megabyte of body may cost: a release build has 50 ms.
const MEGABYTE: Duration = Duration::from_millis(2_500);

/// What one recurrence rule may cost: a release build has 50 ms.
const RULE: Duration = Duration::from_millis(1_000);

/// The processor time of the server up to now, all its threads together.
fn spent(s: &Server) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", s.pid())).expect("a running server");
    // utime and stime are fields 14 and 15; the name in field 2 may hold blanks, but ends with the last parenthesis.
    let (_, after_name) = stat.rsplit_once(") ").expect("a name");
    let ticks: u64 =
        after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
    // Linux shows its programs a hundred a second, whatever it counts in.
    Duration::from_millis(ticks * 10)
}

/// Runs `request`, which may cost the server so much processor time.
#[track_caller]
fn costs_at_most<T>(s: &Server, most: Duration, what: &str, request: impl FnOnce() -> T) -> T {
    let before = spent(s);
    let answer = request();
    let cost = spent(s).saturating_sub(before);
    assert!(cost <= most, "{what}: {cost:?} of the processor, at most {most:?}");
    answer
}

/// The server answers others.
#[track_caller]
fn goes_on(s: &Server) {
    s.get("/robots.txt", NOBODY).status(200);
}
