//! `kalends serve`: opens the tree, checks what can be checked, listens until told to stop.

use std::time::Duration;

use crate::auth::Authenticator;
use crate::config::{Config, Watch};
use crate::error::Result;
use crate::http::Site;
use crate::http::server::{Listening, serve};
use crate::store::Store;

/// How often all histories are looked through for what has expired, in rounds of the next.
const ALL: u32 = 24 * 6;
/// How often those are that have grown.
const ROUND: Duration = Duration::from_secs(10 * 60);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps the server from starting: the tree, the password file or PAM service, the address.
pub fn run(config: Config) -> Result<()> {
    let listen = config.listen.clone();
    let watch = config.watch;
    let store = Store::open_to_serve(&config)?;
    let auth = Authenticator::new(&config)?;
    let users = auth.users();
    let site = Site::new(config, store, auth);
    let store = site.store.clone();
    if watch == Watch::Auto
        && let Err(error) = store.watch()
    {
        tracing::warn!("nothing is watched, calendars are compared on access: {error}");
    }
    std::thread::spawn(move || {
        loop {
            store.expire_histories();
            for _ in 1..ALL {
                std::thread::sleep(ROUND);
                store.expire_written_histories();
            }
        }
    });
    serve(site, &listen, |listening| greet(listening, users))
}

fn greet(listening: &Listening, users: Option<Vec<String>>) {
    match listening {
        Listening::Address(address) => println!("Kalends listens at http://{address}"),
        Listening::Socket(path) => println!("Kalends listens at unix:{path}"),
    }
    match users {
        Some(users) => println!("Users who can log in: {}", users.join(", ")),
        None => println!("Users log in with their system accounts (PAM)"),
    }
}
