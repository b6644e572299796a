//! Turns the value of an Authorization header into a Principal. Knows no HTTP beyond that value, and nothing of calendars.
//!
//! The way of a login: remembered → throttle → one of a few places → the check itself → remembered, or a failure of one and the same length.
//!
//! Each failure is one line of the log, from `kalends::auth`, with the address before anything that a client can choose. A filter for
//! fail2ban (the text before it is the log's own):
//!
//! ```text
//! [Definition]
//! failregex = kalends::auth: login refused address=<ADDR> user="
//! ```

mod basic;
mod cache;
mod check;
mod file;
mod groups;
mod judge;
mod pam;
mod refusal;
mod system;
mod throttle;
mod token;
mod watched;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub use self::basic::{Credentials, LONGEST_PASSWORD, Secret};
use self::judge::Judge;
use self::refusal::Refusal;
pub use self::system::current_user;
pub use self::token::Token;
use crate::acl::Principal;
use crate::config::Config;
use crate::error::{Error, Result};

/// Every failure takes this long, or a multiple: an unknown user would be answered 30 times sooner than a wrong password.
const FAILURE: Duration = Duration::from_secs(1);

/// How long a login waits for its place before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks logins; shared by all workers.
pub struct Authenticator {
    judge: Arc<Judge>,
    /// A check takes 0.1 s of CPU or 20 MB of memory: there are as many places as cores, so that guesses cannot crowd out the rest.
    places: Arc<Semaphore>,
    nobody: Arc<Principal>,
}

impl Authenticator {
    /// Checks what can be checked at the start.
    ///
    /// # Errors
    /// `Error::Config`: the password or group file is missing or wrong (with its line), or the PAM service file is missing.
    pub fn new(config: &Config) -> Result<Authenticator> {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        Ok(Authenticator {
            judge: Arc::new(Judge::new(config)?),
            places: Arc::new(Semaphore::new(cores)),
            nobody: Arc::new(Principal::Nobody),
        })
    }

    /// Who this header value is, if it was good a moment ago and no password has changed since. Memory only, but for a stat a second.
    pub fn remembered(&self, header_value: &[u8]) -> Option<Arc<Principal>> {
        self.judge.remembered(header_value)
    }

    /// Who this header value is. One that is no Basic login is nobody's.
    ///
    /// `welcome` does what is to be done before the first request of a login is answered, and says whether the login may be
    /// remembered: until it is, others wait, or come to `welcome` too. It may block.
    ///
    /// A check that has begun ends, and counts, also if the client goes away meanwhile.
    ///
    /// # Errors
    /// `LoginRefused`, `Throttled`, `LoginUnavailable`.
    pub async fn login(
        &self,
        header_value: &[u8],
        peer: Option<IpAddr>,
        welcome: impl FnOnce(&Principal) -> bool + Send + 'static,
    ) -> Result<Arc<Principal>> {
        let Some(credentials) = std::str::from_utf8(header_value).ok().and_then(Credentials::from_basic)
        else {
            return Ok(Arc::clone(&self.nobody));
        };
        let attempt = self.judge.attempt(&credentials, peer)?;
        let waiting = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned());
        let Ok(Ok(place)) = waiting.await else {
            return Err(Error::LoginUnavailable("too many logins at once".to_owned()));
        };
        self.judge.look();
        // Clients open several connections with one login: the first to have a place answers for all.
        if let Some(principal) = self.judge.remembered(header_value) {
            return Ok(principal);
        }
        let begun = Instant::now();
        let key = self.judge.key(header_value);
        let judge = Arc::clone(&self.judge);
        let check = tokio::task::spawn_blocking(move || {
            let answer =
                judge.decide(&credentials, peer, attempt, |principal| welcome(principal).then_some(key));
            drop(place);
            answer
        });
        let refusal = match check.await {
            Ok(Ok(principal)) => return Ok(principal),
            Ok(Err(refusal)) => refusal,
            Err(_) => Refusal::Unavailable("the check did not end".to_owned()),
        };
        if let Refusal::Throttled { retry_after } = refusal {
            return Err(Error::Throttled { retry_after });
        }
        tokio::time::sleep(rest_of_failure(begun.elapsed())).await;
        Err(refusal.into())
    }

    /// The users of the password file, in order of name; nothing where the system has them.
    pub fn users(&self) -> Option<Vec<String>> {
        self.judge.users()
    }

    /// The user of this name with the groups, as a login would give it; nothing if there is no such user. May block.
    ///
    /// # Errors
    /// `LoginUnavailable`: the system cannot tell.
    pub fn principal(&self, user: &str) -> Result<Option<Arc<Principal>>> {
        Ok(self.judge.principal(user)?)
    }

    /// Whether there is such a group. May block.
    ///
    /// # Errors
    /// `LoginUnavailable`: the system cannot tell.
    pub fn knows_group(&self, group: &str) -> Result<bool> {
        Ok(self.judge.knows_group(group)?)
    }

    /// As [`Authenticator::principal`], for an account that may be used now from `peer`: a locked one is as good as gone. May
    /// block.
    ///
    /// # Errors
    /// `LoginUnavailable`: the system, or PAM, cannot tell.
    pub fn active(&self, user: &str, peer: Option<IpAddr>) -> Result<Option<Arc<Principal>>> {
        let Some(principal) = self.principal(user)? else { return Ok(None) };
        let may_use = principal.user().map_or(Ok(false), |name| self.judge.may_use(name, peer))?;
        Ok(may_use.then_some(principal))
    }
}

/// What a failure that took `elapsed` still has to wait.
fn rest_of_failure(elapsed: Duration) -> Duration {
    let over = elapsed.as_nanos() % FAILURE.as_nanos();
    FAILURE.saturating_sub(Duration::from_nanos(over as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_failures_end_on_the_same_beat() {
        for (elapsed, rest) in [(0, 1000), (4, 996), (139, 861), (999, 1), (1000, 1000), (2500, 500)] {
            assert_eq!(rest_of_failure(Duration::from_millis(elapsed)), Duration::from_millis(rest));
        }
    }
}
