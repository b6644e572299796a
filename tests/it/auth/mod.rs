//! Logins, driven through `Authenticator` as the server does: real password files, real PAM, real accounts.

mod account;
mod file;
mod pam;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kalends::acl::{Groups, Principal};
use kalends::auth::Authenticator;
use kalends::error::{Error, Result};

/// The header value of a login.
fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Runs what a worker of the server would.
fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(future)
}

/// Lets the files that a test has just written grow older than the tick of their times: until then each look finds them changed.
fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}

fn peer(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

fn login(auth: &Authenticator, user: &str, password: &str) -> Result<Arc<Principal>> {
    run(auth.login(basic(user, password).as_bytes(), peer("192.0.2.1"), |_| true))
}

fn remembered(auth: &Authenticator, user: &str, password: &str) -> bool {
    auth.remembered(basic(user, password).as_bytes()).is_some()
}

/// The answer to one login, short enough for a table.
fn answer(result: Result<Arc<Principal>>) -> String {
    match result.as_deref() {
        Ok(who) => who.user().unwrap_or("nobody").to_owned(),
        Err(Error::LoginRefused) => "refused".to_owned(),
        Err(Error::Throttled { .. }) => "throttled".to_owned(),
        Err(Error::LoginUnavailable(_)) => "unavailable".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

/// Tries all at once, as clients do: each failure takes its second, and they pass together.
fn answers(auth: &Authenticator, logins: &[(&str, &str)]) -> Vec<String> {
    let tried = logins.iter().map(|(user, password)| async move {
        answer(auth.login(basic(user, password).as_bytes(), peer("192.0.2.1"), |_| true).await)
    });
    run(futures_util::future::join_all(tried))
}

fn groups(who: &Principal) -> &[String] {
    match who {
        Principal::User { groups: Groups::Known(groups), .. } => groups,
        other => panic!("no known groups: {other:?}"),
    }
}
