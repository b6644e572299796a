//! The names of Views and of clients: hashes, whose first bytes say in whose share of the cache they are. Pure.

use crate::acl::Principal;
use crate::store::place::{Home, Place};

/// The share, and the hash of a place and of the Etag under which something was shown there: clients that were shown the
/// same share it.
pub type ViewName = [u8; 16];

/// Whose a name is: the home's in which the place is, or the user's who asks. No share pushes out what is in a smaller one.
pub type Share = [u8; SHARE];

const SHARE: usize = 4;

/// What is shown where there is no calendar. It is the same everywhere: a client is known by its address.
pub const NOTHING: ViewName = [0; 16];

/// The name of what was shown or sent at `place` under `etag`.
pub fn name(place: &Place, etag: &str) -> ViewName {
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(text.as_bytes()).update(&[0]);
    };
    let owner = match place {
        Place::Main(user) => {
            part(user.as_str());
            Some(user.as_str())
        }
        Place::Calendar(path) => {
            part(match &path.home {
                Home::User(_) => "~",
                Home::Public => "",
            });
            let owner = path.home.owner();
            owner.into_iter().chain(path.names.iter().map(|name| name.as_str())).for_each(&mut part);
            owner
        }
    };
    part("");
    part(etag);
    named(if owner.is_some() { "user" } else { "public" }, owner.unwrap_or_default(), &hasher)
}

/// Who reads and saves, as far as requests without a guard tell: a hash of the principal, the program's name, and the address
/// that is asked for. All machines of one user with one program share it: where a request comes from says little, as they move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client(pub [u8; 16]);

impl Client {
    pub fn new(who: &Principal, program: &str, address: &str) -> Client {
        let mut hasher = blake3::Hasher::new();
        let (kind, me) = match who {
            Principal::Nobody => ("nobody", None),
            Principal::User { name, .. } => ("user", Some(name.as_str())),
            // The address, which has the token in it, tells links apart.
            Principal::Link(_) => ("link", who.me()),
        };
        let me = me.unwrap_or_default();
        // Without its version: an update is no new client.
        let program = program.replace(|c: char| c.is_ascii_digit() || c == '.', "");
        for part in [kind, me, &program, address] {
            hasher.update(part.as_bytes()).update(&[0]);
        }
        Client(named(kind, me, &hasher))
    }
}

/// In whose share a View or a client is.
pub fn share(name: &[u8; 16]) -> Share {
    let mut share = Share::default();
    share.copy_from_slice(&name[..SHARE]);
    share
}

fn named(kind: &str, whose: &str, hasher: &blake3::Hasher) -> [u8; 16] {
    let mut name = [0; 16];
    let share = blake3::hash(format!("{kind}\0{whose}").as_bytes());
    name[..SHARE].copy_from_slice(&share.as_bytes()[..SHARE]);
    name[SHARE..].copy_from_slice(&hasher.finalize().as_bytes()[SHARE..16]);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_a_user_a_program_of_any_version_and_an_address() {
        let client = |program, address| Client::new(&Principal::Nobody, program, address);
        let it = client("Mozilla/5.0 (X11; rv:153.0) Thunderbird/153.9", "/a");
        assert_eq!(it, client("Mozilla/5.0 (X11; rv:153.0.1) Thunderbird/153.10", "/a"));
        assert_ne!(it, client("Mozilla/5.0 (Win; rv:153.0) Thunderbird/153.9", "/a"));
        assert_ne!(it, client("Mozilla/5.0 (X11; rv:153.0) Thunderbird/153.9", "/b"));
    }
}
