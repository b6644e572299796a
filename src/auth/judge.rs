//! Decides one login, on a thread that may block: the rules that hold for every method, the check itself, what is counted, logged and remembered.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::basic::Credentials;
use super::cache::{Cache, Key};
use super::file::Passwords;
use super::groups::Source;
use super::pam;
use super::system::Account;
use super::throttle::{Attempt, Throttle};
use super::watched::{SystemFiles, Watched};
use crate::acl::Principal;
use crate::config::{Auth, Config, Method};
use crate::error::{Error, Result};
use crate::store::place::Name;

/// Longer passwords are not looked at: each byte of them is work for who checks.
const LONGEST_PASSWORD: usize = 1024;

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

/// Who knows the passwords.
enum Check {
    File(Watched<Passwords>),
    Pam { service: pam::Service, min_uid: u32 },
}

/// Why a login is not let in.
#[derive(Debug)]
pub enum Refusal {
    /// The login is wrong; the reason is for the log alone.
    Wrong(String),
    /// The check itself failed.
    Unavailable(String),
    /// Too many were wrong before this one.
    Throttled { retry_after: u64 },
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Wrong(_) => Error::LoginRefused,
            Refusal::Unavailable(why) => Error::LoginUnavailable(why),
            Refusal::Throttled { retry_after } => Error::Throttled { retry_after },
        }
    }
}

fn wrong(reason: &str) -> Refusal {
    Refusal::Wrong(reason.to_owned())
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
        let attempt = self.throttle.attempt(peer, self.plain(&credentials.user));
        self.room(attempt)?;
        Ok(attempt)
    }

    fn room(&self, attempt: Attempt) -> Result<(), Refusal> {
        let room = self.throttle.room(attempt, Instant::now());
        room.map_err(|retry_after| Refusal::Throttled { retry_after })
    }

    /// The whole check of one login.
    pub fn decide(
        &self,
        credentials: &Credentials,
        peer: Option<IpAddr>,
        attempt: Attempt,
        key: Key,
    ) -> Result<Arc<Principal>, Refusal> {
        self.look();
        let epoch = self.cache.epoch();
        // While this one waited for its place, others may have failed.
        self.room(attempt)?;
        self.throttle.take(attempt, Instant::now());
        let answer = self.check(credentials, peer);
        match &answer {
            Ok(principal) => {
                self.throttle.give_back(attempt);
                self.cache.put(key, Arc::clone(principal), epoch, Instant::now());
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
        let name = Name::new(self.plain(&credentials.user)).ok_or_else(|| wrong("no name of a user"))?;
        let password = credentials.password.reveal();
        if password.is_empty() {
            return Err(wrong("empty password"));
        }
        if password.len() > LONGEST_PASSWORD || password.contains('\0') {
            return Err(wrong("no password"));
        }
        let user = self.method.check(name.as_str(), password, peer)?;
        Ok(self.with_groups(user))
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
    fn look(&self) {
        let looks = [self.method.look(), self.groups.look(), self.system.look()];
        if looks.contains(&true) {
            self.cache.clear();
        }
    }

    pub fn users(&self) -> Option<Vec<String>> {
        match &self.method {
            Check::File(passwords) => Some(passwords.current().users().map(str::to_owned).collect()),
            Check::Pam { .. } => None,
        }
    }

    pub fn principal(&self, user: &str) -> Result<Option<Arc<Principal>>, Refusal> {
        self.look();
        let Some(name) = Name::new(self.plain(user)) else { return Ok(None) };
        let found = self.method.spelling(name.as_str())?;
        Ok(found.map(|name| self.with_groups(name)))
    }
}

impl Check {
    fn new(auth: &Auth) -> Result<Check> {
        match (auth.method, &auth.file) {
            (Method::File, Some(file)) => Ok(Check::File(Watched::read(file, Passwords::parse)?)),
            (Method::File, None) => Err(Error::Config("auth.method: \"file\" needs auth.file".to_owned())),
            (Method::Pam, _) => {
                let service = pam::Service::new(&auth.service, auth.service_directory.as_deref())?;
                Ok(Check::Pam { service, min_uid: auth.min_uid })
            }
        }
    }

    /// The user's name as whoever knows the passwords spells it, if the password is right.
    fn check(&self, user: &str, password: &str, peer: Option<IpAddr>) -> Result<String, Refusal> {
        match self {
            Check::File(passwords) => {
                let right = passwords.current().check(user, password.as_bytes());
                right.then(|| user.to_owned()).ok_or_else(|| wrong("wrong user or password"))
            }
            Check::Pam { service, min_uid } => {
                // A refused account is not shown to PAM at all: modules that lock after failures would let anybody lock root.
                let known = account(user)?.map(|account| account.usable(*min_uid)).transpose()?;
                let given = known.as_ref().map_or(user, |account| &account.name);
                let user = service.check(given, password, peer)?;
                let found = account(&user)?.ok_or_else(|| wrong("no account of the system"))?;
                let name = found.usable(*min_uid)?.name;
                // The name becomes that of a directory, letter by letter.
                let honest = Name::new(&name).is_some_and(|checked| checked.as_str() == name);
                honest.then_some(name).ok_or_else(|| wrong("no name of a user"))
            }
        }
    }

    /// The user's name as whoever knows the passwords spells it.
    fn spelling(&self, user: &str) -> Result<Option<String>, Refusal> {
        match self {
            Check::File(passwords) => Ok(passwords.current().contains(user).then(|| user.to_owned())),
            Check::Pam { .. } => Ok(account(user)?.map(|account| account.name)),
        }
    }

    fn look(&self) -> bool {
        match self {
            Check::File(passwords) => passwords.look(),
            Check::Pam { .. } => false,
        }
    }

    /// The files besides the password file that an answer depends on.
    fn system_files(&self, auth: &Auth) -> Vec<PathBuf> {
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        match (self, &auth.groups) {
            (Check::Pam { service, .. }, _) => {
                let mut files = files(&["/etc/passwd", "/etc/shadow", "/etc/group"]);
                files.push(service.file().to_owned());
                files
            }
            (Check::File(_), None) => files(&["/etc/passwd", "/etc/group"]),
            (Check::File(_), Some(_)) => Vec::new(),
        }
    }
}

impl Account {
    /// The account, if its owner may log in here: never root's, nor a daemon's.
    fn usable(self, min_uid: u32) -> Result<Account, Refusal> {
        let usable = !self.uid.is_root() && self.uid.as_raw() >= min_uid;
        usable.then_some(self).ok_or_else(|| wrong("an account below min_uid"))
    }
}

fn account(name: &str) -> Result<Option<Account>, Refusal> {
    Account::named(name)
        .map_err(|error| Refusal::Unavailable(format!("the accounts cannot be read: {error}")))
}

impl From<pam::Denial> for Refusal {
    fn from(denial: pam::Denial) -> Refusal {
        match denial {
            pam::Denial::Refused(why) => Refusal::Wrong(why),
            pam::Denial::Broken(why) => Refusal::Unavailable(format!("PAM: {why}")),
        }
    }
}

/// The one line of a failure. What the client chose stands last, quoted and with control characters escaped.
fn log_refused(user: &str, peer: Option<IpAddr>, reason: &str) {
    let address = peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_canonical().to_string());
    let user: String = user.chars().take(LONGEST_LOGGED).collect();
    tracing::warn!(target: "kalends::auth", %address, user, reason, "login refused");
}
