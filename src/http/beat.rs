//! When "not found" is told, where the time that it took would tell what is there.

use std::time::{Duration, Instant};

/// Every "not found" on a link's address, or of a collection, takes this long, or a multiple: a token that is wrong,
/// one that is dead and one that leads elsewhere are told apart neither by the answer nor by the time it took. The
/// members of a collection are judged one by one, and none is to be told from many.
const MISS: Duration = Duration::from_millis(100);

/// Waits until a miss that has `begun` then may be told.
pub async fn miss(begun: Instant) {
    tokio::time::sleep(rest_of_miss(begun.elapsed())).await;
}

/// What a miss that took `elapsed` still has to wait.
fn rest_of_miss(elapsed: Duration) -> Duration {
    let over = elapsed.as_nanos() % MISS.as_nanos();
    MISS.saturating_sub(Duration::from_nanos(over as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_misses_end_on_the_same_beat() {
        for (elapsed, rest) in [(0, 100), (1, 99), (99, 1), (100, 100), (250, 50)] {
            assert_eq!(rest_of_miss(Duration::from_millis(elapsed)), Duration::from_millis(rest));
        }
    }
}
