//! How long a part of a save takes, in the log at level `debug`: what `benches/load --only shares` adds up.

use std::time::Instant;

/// Does `act`, and says how long that was.
pub fn took<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = act();
    tracing::debug!("{what} took {} ns", begun.elapsed().as_nanos());
    done
}
