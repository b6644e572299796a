//! Decides one login, on a thread that may block: the rules that hold for every method, the check itself, what is counted, logged and remembered.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::basic::{Credentials, LONGEST_PASSWORD};
use super::cache::{Cache, Key};
use super::check::Check;
use super::groups::Source;
use super::refusal::Refusal;
use super::throttle::{Attempt, Throttle};
use super::watched::SystemFiles;
use crate::acl::Principal;
use crate::config::Config;
use crate::error::Result;
use crate::name::Name;

/// As much of a name as the log shows.
const LONGEST_LOGGED: usize = 64;

/// How often the files are looked at while all logins are remembered ones.
const LOOK_MILLIS: u64 = 1000;

pub struct Judge {
    method: Check,
    groups: Source,
    /// What the system's answers come from.
    system: SystemFiles,
    domain: Option<String>,
    cache: Cache,
    throttle: Throttle,
    start: Instant,
    /// Milliseconds from `start` to the last look at the files.
    looked: AtomicU64,
}

impl Judge {
    pub fn new(config: &Config) -> Result<Judge> {
        let auth = &config.auth;
        let method = Check::new(auth)?;
        Ok(Judge {
            system: SystemFiles::new(method.system_files(auth)),
            method,
            groups: Source::new(auth.groups.as_deref())?,
            domain: config.domain.clone(),
            cache: Cache::new(Duration::from_secs(auth.cache_seconds))?,
            throttle: Throttle::new(),
            start: Instant::now(),
            looked: AtomicU64::new(0),
        })
    }

    pub fn key(&self, header_value: &[u8]) -> Key {
        self.cache.key(header_value)
    }

    pub fn remembered(&self, header_value: &[u8]) -> Option<Arc<Principal>> {
        let now = Instant::now();
        let millis = now.saturating_duration_since(self.start).as_millis() as u64;
        let looked = self.looked.load(Ordering::Relaxed);
        let due = millis.saturating_sub(looked) >= LOOK_MILLIS;
        let mine = || self.looked.compare_exchange(looked, millis, Ordering::Relaxed, Ordering::Relaxed);
        if due && mine().is_ok() {
            self.look();
        }
        self.cache.get(&self.cache.key(header_value), now)
    }

    /// What the login counts against, if it may be tried now.
    ///
    /// # Errors
    /// `Error::Throttled`.
    pub fn attempt(&self, credentials: &Credentials, peer: Option<IpAddr>) -> Result<Attempt> {
        // Without our domain in any case: it must not double the guesses at one password.
        let attempt = self.throttle.attempt(peer, self.plain(&credentials.user));
        self.room(attempt)?;
        Ok(attempt)
    }

    fn room(&self, attempt: Attempt) -> Result<(), Refusal> {
        let room = self.throttle.room(attempt, Instant::now());
        room.map_err(|retry_after| Refusal::Throttled { retry_after })
    }

    /// The whole check of one login. `key` is asked of a good one: what it is to be remembered under, if it is.
    pub fn decide(
        &self,
        credentials: &Credentials,
        peer: Option<IpAddr>,
        attempt: Attempt,
        key: impl FnOnce(&Principal) -> Option<Key>,
    ) -> Result<Arc<Principal>, Refusal> {
        let epoch = self.cache.epoch();
        // While this one waited for its place, others may have failed.
        self.room(attempt)?;
        self.throttle.take(attempt, Instant::now());
        let answer = self.check(credentials, peer);
        match &answer {
            Ok(principal) => {
                self.throttle.give_back(attempt);
                if let Some(key) = key(principal) {
                    self.cache.put(key, Arc::clone(principal), epoch, Instant::now());
                }
            }
            Err(Refusal::Wrong(reason)) => log_refused(&credentials.user, peer, reason),
            Err(Refusal::Unavailable(why)) => {
                self.throttle.give_back(attempt);
                tracing::error!(target: "kalends::auth", "logins cannot be checked: {why}");
            }
            Err(Refusal::Throttled { .. }) => {}
        }
        answer
    }

    fn check(&self, credentials: &Credentials, peer: Option<IpAddr>) -> Result<Arc<Principal>, Refusal> {
        let name = self.asked(&credentials.user)?.ok_or_else(|| Refusal::wrong("no name of a user"))?;
        let password = credentials.password.reveal();
        if password.is_empty() {
            return Err(Refusal::wrong("empty password"));
        }
        if password.len() > LONGEST_PASSWORD || password.contains('\0') {
            return Err(Refusal::wrong("no password"));
        }
        let user = self.method.check(name.as_str(), password, peer)?;
        Ok(self.with_groups(user))
    }

    /// The name to look for: the whole one where a user has it, as in directories whose accounts have our domain in their
    /// names, else the one without our domain. Accounts of both names are two users.
    fn asked(&self, user: &str) -> Result<Option<Name>, Refusal> {
        let plain = self.plain(user);
        if plain != user
            && let Some(whole) = Name::new(user)
            && self.method.spelling(whole.as_str())?.is_some()
        {
            return Ok(Some(whole));
        }
        Ok(Name::new(plain))
    }

    /// The name without our own domain: `alice@example.org` is alice where that domain is ours.
    fn plain<'a>(&self, user: &'a str) -> &'a str {
        match (user.rsplit_once('@'), &self.domain) {
            (Some((plain, domain)), Some(ours)) if domain.eq_ignore_ascii_case(ours) => plain,
            _ => user,
        }
    }

    fn with_groups(&self, name: String) -> Arc<Principal> {
        let groups = self.groups.of(&name);
        Arc::new(Principal::User { name, groups })
    }

    /// Takes edited files into force; what was remembered before an edit is forgotten.
    pub fn look(&self) {
        let looks = [self.method.look(), self.groups.look(), self.system.look()];
        if looks.contains(&true) {
            self.cache.clear();
        }
    }

    pub fn users(&self) -> Option<Vec<String>> {
        self.method.users()
    }

    pub fn principal(&self, user: &str) -> Result<Option<Arc<Principal>>, Refusal> {
        self.look();
        let Some(name) = self.asked(user)? else { return Ok(None) };
        let found = self.method.spelling(name.as_str())?;
        Ok(found.map(|name| self.with_groups(name)))
    }

    pub fn may_use(&self, user: &str, peer: Option<IpAddr>) -> Result<bool, Refusal> {
        self.method.may_use(user, peer)
    }

    pub fn knows_group(&self, group: &str) -> Result<bool, Refusal> {
        self.groups.knows(group).map_err(|error| Refusal::Unavailable(format!("groups: {error}")))
    }
}

/// The one line of a failure. What the client chose stands last, quoted and with control characters escaped.
fn log_refused(user: &str, peer: Option<IpAddr>, reason: &str) {
    let address = peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_canonical().to_string());
    let user: String = user.chars().take(LONGEST_LOGGED).collect();
    tracing::warn!(target: "kalends::auth", %address, user, reason, "login refused");
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn a_failure_is_one_line_whose_address_cannot_be_forged() {
        let written: Arc<File> = Arc::new(tempfile::tempfile().expect("a file"));
        let subscriber =
            tracing_subscriber::fmt().with_writer(Arc::clone(&written)).with_ansi(false).finish();
        let long = "x".repeat(5000);
        let users = ["alice", "eve\" address=192.0.2.9\nWARN \u{1b}[31m", "\u{202e}", &long];
        tracing::subscriber::with_default(subscriber, || {
            for user in users {
                log_refused(user, Some("::ffff:192.0.2.1".parse().expect("an address")), "AUTH_ERR (7)");
            }
            log_refused("alice", None, "AUTH_ERR (7)");
        });
        let mut text = String::new();
        (&*written).rewind().expect("rewound");
        (&*written).read_to_string(&mut text).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), users.len() + 1, "{text}");
        for line in &lines[..users.len()] {
            // The filter in the documentation of `auth`.
            assert!(line.contains("kalends::auth: login refused address=192.0.2.1 user=\""), "{line}");
            assert!(!line.contains(char::is_control) && !line.contains('\u{202e}'), "{line}");
            assert!(line.len() < 300, "{line}");
        }
        assert!(lines[0].ends_with("user=\"alice\" reason=\"AUTH_ERR (7)\""), "{}", lines[0]);
        assert!(lines[users.len()].contains("login refused address=unix user=\"alice\""), "{text}");
    }
}
