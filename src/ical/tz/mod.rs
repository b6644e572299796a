//! Time zones: from a TZID to rules, from a clock time to an instant. Names are read in `names` and `windows`.

mod names;
mod windows;

pub use names::{iana, zone};
