//! A map that forgets what was not put into it lately. A look and a step cost the same however much is in it. Pure.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    /// What is forgotten once there are enough young ones, unless it is put in again.
    old: HashMap<K, V>,
    weight: usize,
    most: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// One that keeps what was put in last, up to the weight `most`, and no more than twice that and two of them.
    pub fn new(most: usize) -> Recent<K, V> {
        Recent { young: HashMap::new(), old: HashMap::new(), weight: 0, most }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Puts in what weighs `weight`; gives what is forgotten for it, which may be much to drop.
    pub fn put(&mut self, key: K, value: V, weight: usize) -> HashMap<K, V> {
        self.old.remove(&key);
        let mut forgotten = HashMap::new();
        if self.weight >= self.most && !self.young.contains_key(&key) {
            forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.weight = 0;
        }
        if self.young.insert(key, value).is_none() {
            self.weight += weight;
        }
        forgotten
    }

    /// What is there, as if it was put in again, or a new one; it weighs 1.
    pub fn used(&mut self, key: K) -> &mut V
    where
        K: Copy,
        V: Default,
    {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key).unwrap_or_default();
            self.put(key, value, 1);
        }
        self.young.entry(key).or_default()
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        // Its weight counts until the young ones are old: a little is forgotten sooner.
        self.young.remove(key).or_else(|| self.old.remove(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_lately_is_there_and_never_more_than_twice_the_most() {
        let mut recent = Recent::new(10);
        for n in 0..1000 {
            recent.put(n, n, 1);
            recent.put(-1, n, 1);
            assert!((n.max(9) - 4..=n).all(|n| recent.get(&n) == Some(&n)), "{n}");
            assert_eq!(recent.get(&-1), Some(&n));
            assert!(recent.young.len() + recent.old.len() <= 2 * 10);
        }
        assert_eq!(recent.remove(&-1), Some(999));
        assert_eq!((recent.get(&-1), recent.get(&500)), (None, None));
    }
}
