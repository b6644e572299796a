//! `kalends serve`: opens the tree, checks what can be checked, listens until told to stop.

use std::time::Duration;

use super::out::print;
use crate::auth::Authenticator;
use crate::config::{Config, UNIX, Watch};
use crate::error::Result;
use crate::http::Site;
use crate::http::server::{Listening, serve};
use crate::store::Store;

/// How often all histories are looked through for what has expired, in rounds of the next.
const ALL: u32 = 24 * 6;
/// How often those are that have grown, and commits are tried again that could not be applied.
const ROUND: Duration = Duration::from_secs(10 * 60);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps the server from starting: the tree, the password file or PAM service, the address.
pub fn run(config: Config) -> Result<()> {
    let listen = config.listen.clone();
    let watch = config.watch;
    Store::is_there(&config)?;
    // Before the store is opened, which makes what is not there: a mistyped path has no logins either.
    let auth = Authenticator::new(&config)?;
    let store = Store::open_to_serve(&config)?;
    let users = auth.users();
    let site = Site::new(config, store, auth);
    let store = site.store.clone();
    if watch == Watch::Auto
        && let Err(error) = store.watch()
    {
        tracing::warn!("nothing is watched, calendars are compared on access: {error}");
    }
    let watching = store.clone();
    std::thread::spawn(move || watching.notice_what_went_back());
    let sweeping = store.clone();
    std::thread::spawn(move || {
        loop {
            sweeping.expire_histories();
            for _ in 1..ALL {
                std::thread::sleep(ROUND);
                sweeping.finish_commits();
                sweeping.expire_written_histories();
            }
        }
    });
    let served = serve(site, &listen, |listening| greet(listening, users));
    store.close();
    served
}

fn greet(listening: &Listening, users: Option<Vec<String>>) {
    let at = match listening {
        Listening::Address(address) => format!("http://{address}"),
        Listening::Socket(path) => format!("{UNIX}{path}"),
    };
    let who = match users {
        Some(users) => format!("Users who can log in: {}", users.join(", ")),
        None => "Users log in with their system accounts (PAM)".to_owned(),
    };
    // It serves, whoever hears of it.
    let _ = print(&format!("Kalends listens at {at}\n{who}\n"));
}
