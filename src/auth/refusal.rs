//! Why a login is not let in. The reason is for the log; who asks learns only which of the three it is.

use super::pam;
use crate::error::Error;

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

impl Refusal {
    pub fn wrong(reason: &str) -> Refusal {
        Refusal::Wrong(reason.to_owned())
    }
}

impl From<pam::Denial> for Refusal {
    fn from(denial: pam::Denial) -> Refusal {
        match denial {
            pam::Denial::Refused(why) => Refusal::Wrong(why),
            pam::Denial::Broken(why) => Refusal::Unavailable(format!("PAM: {why}")),
        }
    }
}
