//! Slows down who guesses passwords: by address, and by address and user. Never by user alone, or anybody could lock anybody out.
//!
//! Each is a token bucket, kept as one instant: when it will be full again (the "generic cell rate" form).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Wrong passwords for one user from one address: this many at once, and then one in half a minute.
const BY_USER: Rate = Rate { burst: 10, every: Duration::from_secs(30) };

/// Wrong passwords from one address: an office behind one address must fit.
const BY_ADDRESS: Rate = Rate { burst: 60, every: Duration::from_secs(5) };

/// As many buckets as take a few megabytes.
const MOST: usize = 65_536;

#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// Where a login comes from, as coarsely as whoever sends it can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    UnixSocket,
    V4(Ipv4Addr),
    /// A /64 is what one customer gets (RFC 6177).
    V6([u16; 4]),
}

impl Source {
    fn of(peer: Option<IpAddr>) -> Source {
        match peer.map(|peer| peer.to_canonical()) {
            None => Source::UnixSocket,
            Some(IpAddr::V4(address)) => Source::V4(address),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Source::V6([a, b, c, d])
            }
        }
    }
}

/// One login that is tried: what it counts against.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    source: u64,
    source_and_user: u64,
}

pub struct Throttle {
    hasher: RandomState,
    /// Guards both tables: an attempt counts in both or in none.
    tables: Mutex<[Buckets; 2]>,
}

impl Throttle {
    pub fn new() -> Throttle {
        Throttle {
            hasher: RandomState::new(),
            tables: Mutex::new([Buckets::new(BY_ADDRESS), Buckets::new(BY_USER)]),
        }
    }

    pub fn attempt(&self, peer: Option<IpAddr>, user: &str) -> Attempt {
        let source = Source::of(peer);
        Attempt {
            source: self.hasher.hash_one(source),
            source_and_user: self.hasher.hash_one((source, user)),
        }
    }

    /// Whether the attempt may be made now.
    ///
    /// # Errors
    /// The seconds until it may.
    pub fn room(&self, attempt: Attempt, now: Instant) -> Result<(), u64> {
        let [by_address, by_user] = &*self.tables.lock();
        let wait = by_address.wait(attempt.source, now).max(by_user.wait(attempt.source_and_user, now));
        if wait.is_zero() { Ok(()) } else { Err(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)) }
    }

    /// Counts the attempt as failed, before its password is looked at: many at once must not slip through together.
    pub fn take(&self, attempt: Attempt, now: Instant) {
        let [by_address, by_user] = &mut *self.tables.lock();
        by_address.take(attempt.source, now);
        by_user.take(attempt.source_and_user, now);
    }

    /// The attempt was no wrong guess after all.
    pub fn give_back(&self, attempt: Attempt) {
        let [by_address, by_user] = &mut *self.tables.lock();
        by_address.give_back(attempt.source);
        by_user.give_back(attempt.source_and_user);
    }
}

/// For each key, the instant at which its bucket is full again. A key that is not there has a full bucket.
struct Buckets {
    rate: Rate,
    full_at: HashMap<u64, Instant>,
}

impl Buckets {
    fn new(rate: Rate) -> Buckets {
        Buckets { rate, full_at: HashMap::new() }
    }

    /// How long until the bucket has a token.
    fn wait(&self, key: u64, now: Instant) -> Duration {
        let lacking = self.full_at.get(&key).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        (lacking + self.rate.every).saturating_sub(self.rate.every * self.rate.burst)
    }

    fn take(&mut self, key: u64, now: Instant) {
        if self.full_at.len() >= MOST && !self.full_at.contains_key(&key) {
            self.make_room(now);
        }
        let at = self.full_at.entry(key).or_insert(now);
        *at = (*at).max(now) + self.rate.every;
    }

    fn give_back(&mut self, key: u64) {
        if let Some(at) = self.full_at.get_mut(&key)
            && let Some(earlier) = at.checked_sub(self.rate.every)
        {
            *at = earlier;
        }
    }

    /// Drops the full buckets; if there are none, the fuller half: whoever comes with many addresses does not free one that is empty.
    fn make_room(&mut self, now: Instant) {
        self.full_at.retain(|_, at| *at > now);
        if self.full_at.len() < MOST {
            return;
        }
        let mut all: Vec<Instant> = self.full_at.values().copied().collect();
        let middle = all.len() / 2;
        let (_, median, _) = all.select_nth_unstable(middle);
        let median = *median;
        self.full_at.retain(|_, at| *at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    /// Fails as often as it may; how often that was.
    fn exhaust(throttle: &Throttle, attempt: Attempt, now: Instant) -> u32 {
        let mut count = 0;
        while throttle.room(attempt, now).is_ok() && count < 1000 {
            throttle.take(attempt, now);
            count += 1;
        }
        count
    }

    #[test]
    fn one_user_from_one_address_has_its_burst_and_then_waits() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let attempt = throttle.attempt(address("192.0.2.1"), "alice");
        assert_eq!(exhaust(&throttle, attempt, start), BY_USER.burst);
        assert_eq!(throttle.room(attempt, start), Err(30));
        let later = start + Duration::from_millis(500);
        assert_eq!(throttle.room(attempt, later), Err(30));
        assert_eq!(throttle.room(attempt, start + BY_USER.every), Ok(()));
        assert_eq!(exhaust(&throttle, attempt, start + BY_USER.every), 1);
        let rested = start + BY_USER.every * (BY_USER.burst + 5);
        assert_eq!(exhaust(&throttle, attempt, rested), BY_USER.burst);
    }

    #[test]
    fn a_user_is_never_locked_out_from_another_address() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        exhaust(&throttle, throttle.attempt(address("192.0.2.1"), "alice"), start);
        for other in [address("192.0.2.2"), address("2001:db8::1"), None] {
            assert_eq!(throttle.room(throttle.attempt(other, "alice"), start), Ok(()), "{other:?}");
        }
        assert_eq!(throttle.room(throttle.attempt(address("192.0.2.1"), "bob"), start), Ok(()));
    }

    #[test]
    fn one_address_that_tries_many_users_waits_for_all_of_them() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let tried = (0..1000)
            .map(|n| throttle.attempt(address("192.0.2.1"), &format!("user{n}")))
            .take_while(|attempt| throttle.room(*attempt, start).is_ok())
            .inspect(|attempt| throttle.take(*attempt, start))
            .count();
        assert_eq!(tried, BY_ADDRESS.burst as usize);
        assert_eq!(throttle.room(throttle.attempt(address("192.0.2.1"), "alice"), start), Err(5));
    }

    #[test]
    fn one_network_is_one_source_however_its_address_is_written() {
        for (one, other, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(Source::of(address(one)) == Source::of(address(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn what_was_no_failure_is_given_back() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let attempt = throttle.attempt(address("192.0.2.1"), "alice");
        for _ in 0..100 {
            assert_eq!(throttle.room(attempt, start), Ok(()));
            throttle.take(attempt, start);
            throttle.give_back(attempt);
        }
        assert_eq!(exhaust(&throttle, attempt, start), BY_USER.burst);
    }

    #[test]
    fn the_tables_are_bounded_and_an_empty_bucket_outlives_a_flood() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let guesser = throttle.attempt(address("192.0.2.1"), "alice");
        exhaust(&throttle, guesser, start);
        for n in 0..2 * MOST as u32 {
            let peer = Some(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)));
            throttle.take(throttle.attempt(peer, "alice"), start);
        }
        assert!(throttle.tables.lock().iter().all(|table| table.full_at.len() <= MOST));
        assert!(throttle.room(guesser, start).is_err());
    }
}
