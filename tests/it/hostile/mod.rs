//! The hostile corpus: what somebody sends to keep the server busy is refused, or served within its limits, and the server goes on.
//!
//! Measured are the processor time of the server, not the clock, against bounds some fifty times what a release build may need, and the
//! most memory that it had. So they hold for a debug build on any machine, and still tell what grows faster than its input.

mod bombs;
mod calendars;
mod requests;

use std::fs;
use std::ops::{Add, Mul};
use std::time::Duration;

use crate::server::{NOBODY, Server};

/// What something may cost the server.
#[derive(Debug, Clone, Copy)]
struct Cost {
    processor: Duration,
    /// In megabytes, beside what it had before.
    memory: u32,
}

/// What a request may cost apart from its size.
const REQUEST: Cost = Cost { processor: Duration::from_secs(2), memory: 32 };

/// What a megabyte of body may cost: a release build has 50 ms. Of the memory bodies of many short events need most, and the text is
/// there twice where it is compared with what was before.
const MEGABYTE: Cost = Cost { processor: Duration::from_millis(2_500), memory: 16 };

/// What one recurrence rule may cost: a release build has 50 ms.
const RULE: Cost = Cost { processor: Duration::from_millis(1_000), memory: 1 };

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost { processor: self.processor + other.processor, memory: self.memory + other.memory }
    }
}

impl Mul<u32> for Cost {
    type Output = Cost;

    fn mul(self, times: u32) -> Cost {
        Cost { processor: self.processor * times, memory: self.memory * times }
    }
}

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

/// A line of the server's memory, in megabytes.
fn megabytes(s: &Server, line: &str) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", s.pid())).expect("a running server");
    let found = status.lines().find_map(|found| found.strip_prefix(line)).expect("the line");
    found.trim_end_matches(" kB").trim().parse::<u32>().expect("a number") >> 10
}

/// Runs `request`, which may cost the server so much.
#[track_caller]
fn costs_at_most<T>(s: &Server, most: Cost, what: &str, request: impl FnOnce() -> T) -> T {
    // From here on the most that it has is counted anew.
    fs::write(format!("/proc/{}/clear_refs", s.pid()), "5").expect("one's own child");
    let (before, had) = (spent(s), megabytes(s, "VmRSS:"));
    let answer = request();
    let cost = Cost {
        processor: spent(s).saturating_sub(before),
        memory: megabytes(s, "VmHWM:").saturating_sub(had),
    };
    let is_within = cost.processor <= most.processor && cost.memory <= most.memory;
    assert!(is_within, "{what}: {cost:?}, at most {most:?}");
    answer
}

/// The server answers others.
#[track_caller]
fn goes_on(s: &Server) {
    s.get("/robots.txt", NOBODY).status(200);
}
