//! Remembers good logins, in memory and for a while. Knows no passwords: its keys cannot be turned back, nor made without this process's secret.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::acl::Principal;
use crate::error::{Error, Result};

/// More good logins than this at once are forgotten. One user can fill it, by spelling the same header in many ways.
const MOST: usize = 65_536;

/// A header value under the process's secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

pub struct Cache {
    secret: [u8; 32],
    lifetime: Duration,
    /// Guards the answers and the epoch that they belong to.
    answers: RwLock<Answers>,
}

struct Answers {
    epoch: u64,
    by_key: HashMap<Key, Answer>,
}

struct Answer {
    principal: Arc<Principal>,
    until: Instant,
}

impl Cache {
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(lifetime: Duration) -> Result<Cache> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| Error::LoginUnavailable(error.to_string()))?;
        let answers = Answers { epoch: 0, by_key: HashMap::new() };
        Ok(Cache { secret, lifetime, answers: RwLock::new(answers) })
    }

    pub fn key(&self, header_value: &[u8]) -> Key {
        Key(*blake3::keyed_hash(&self.secret, header_value).as_bytes())
    }

    pub fn get(&self, key: &Key, now: Instant) -> Option<Arc<Principal>> {
        let answers = self.answers.read();
        let answer = answers.by_key.get(key)?;
        (now < answer.until).then(|| Arc::clone(&answer.principal))
    }

    /// The epoch that an answer must belong to when it is remembered: read before the check begins.
    pub fn epoch(&self) -> u64 {
        self.answers.read().epoch
    }

    /// Remembers a good login, unless the passwords may have changed since `epoch`.
    pub fn put(&self, key: Key, principal: Arc<Principal>, epoch: u64, now: Instant) {
        let mut answers = self.answers.write();
        if answers.epoch != epoch {
            return;
        }
        if answers.by_key.len() >= MOST {
            answers.by_key.retain(|_, answer| now < answer.until);
        }
        if answers.by_key.len() >= MOST {
            answers.by_key.clear();
        }
        answers.by_key.insert(key, Answer { principal, until: now + self.lifetime });
    }

    /// Forgets everything, also the answers of checks that are under way.
    pub fn clear(&self) {
        let mut answers = self.answers.write();
        answers.epoch += 1;
        answers.by_key.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Cache {
        Cache::new(Duration::from_secs(300)).expect("random bytes")
    }

    #[test]
    fn a_good_login_is_remembered_for_its_time_and_no_longer() {
        let (cache, start) = (cache(), Instant::now());
        let key = cache.key(b"Basic x");
        assert!(cache.get(&key, start).is_none());
        cache.put(key, Arc::new(Principal::Nobody), cache.epoch(), start);
        assert!(cache.get(&key, start + Duration::from_secs(299)).is_some());
        assert!(cache.get(&key, start + Duration::from_secs(300)).is_none());
        assert!(cache.get(&cache.key(b"Basic y"), start).is_none());
    }

    #[test]
    fn a_check_that_began_before_a_change_is_not_remembered() {
        let (cache, start) = (cache(), Instant::now());
        let (key, epoch) = (cache.key(b"Basic x"), cache.epoch());
        cache.clear();
        cache.put(key, Arc::new(Principal::Nobody), epoch, start);
        assert!(cache.get(&key, start).is_none());
    }

    #[test]
    fn keys_differ_from_process_to_process() {
        assert!(cache().key(b"Basic x") != cache().key(b"Basic x"));
    }

    #[test]
    fn a_full_cache_takes_new_answers() {
        let (cache, start) = (cache(), Instant::now());
        for n in 0..=MOST {
            cache.put(cache.key(&n.to_le_bytes()), Arc::new(Principal::Nobody), 0, start);
        }
        assert!(cache.get(&cache.key(&MOST.to_le_bytes()), start).is_some());
        assert!(cache.answers.read().by_key.len() <= MOST);
    }
}
