//! RFC 5545, pure: bytes in, values out, no clock, no disk.

pub mod availability;
pub mod busy;
pub mod busy_events;
pub mod cut;
pub mod event;
pub mod faults;
pub mod freebusy;
pub mod item;
mod left_out;
pub mod line;
pub mod mask;
pub mod meaning;
pub mod period;
pub mod recur;
pub mod revise;
mod revision;
pub mod scan;
mod sense;
pub mod series;
mod stamp;
pub mod text;
pub mod tz;
pub mod value;
pub mod verdict;
pub mod vtimezone;
pub mod whole;
pub mod zone;

/// Names this program as the maker of a calendar (RFC 5545 §3.7.3).
pub const PRODID: &str = concat!("-//Kalends//Kalends ", env!("CARGO_PKG_VERSION"), "//EN");
