//! Calendars in versions: each event says which one it is of, so that half a state shows.

use crate::calendar::{components, event, plain, value};
use crate::request::Request;
use crate::server::Server;

/// Version `n` of a calendar of so many events, `e0` and so on.
pub fn version(n: usize, events: usize) -> String {
    let events: Vec<_> = (0..events).map(|i| event(&format!("e{i}"), &n.to_string(), &[])).collect();
    plain(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A PUT by alice that makes a calendar its version `n`, whatever is there.
pub fn replaced(s: &Server, address: &str, n: usize, events: usize) -> Request {
    s.put(address, "alice", version(n, events)).header("Kalends-Merge", "replace")
}

/// The version that a calendar of so many events is.
///
/// # Errors
/// It is none: an event is missing, is there twice or is of another version.
pub fn version_of(text: &str, events: usize) -> Result<usize, String> {
    let found = components(text);
    let mut said: Vec<_> = found.iter().filter_map(|part| value(part, "SUMMARY")).collect();
    said.dedup();
    match &said[..] {
        [only] if found.len() == events => only.parse().map_err(|_| text.to_owned()),
        _ => Err(format!("{} events of versions {said:?}", found.len())),
    }
}
