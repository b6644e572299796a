//! Who knows the passwords, the password file or PAM: is this one right, may the account be used, and how is its name spelled. May block.

use std::net::IpAddr;
use std::path::PathBuf;

use super::file::Passwords;
use super::pam;
use super::refusal::Refusal;
use super::system::Account;
use super::watched::Watched;
use crate::config::{Auth, Method};
use crate::error::{Error, Result};
use crate::name::Name;

/// Who knows the passwords.
pub enum Check {
    File(Watched<Passwords>),
    Pam { service: pam::Service, min_uid: u32 },
}

impl Check {
    pub fn new(auth: &Auth) -> Result<Check> {
        match (auth.method, &auth.file) {
            (Method::File, Some(file)) => {
                Ok(Check::File(Watched::read("auth.file", file, Passwords::parse)?))
            }
            (Method::File, None) => Err(Error::Config("auth.method: \"file\" needs auth.file".to_owned())),
            (Method::Pam, _) => {
                let service = pam::Service::new(&auth.service, auth.service_directory.as_deref())?;
                Ok(Check::Pam { service, min_uid: auth.min_uid })
            }
        }
    }

    /// The user's name as whoever knows the passwords spells it, if the password is right.
    pub fn check(&self, user: &str, password: &str, peer: Option<IpAddr>) -> Result<String, Refusal> {
        match self {
            Check::File(passwords) => {
                let right = passwords.current().check(user, password.as_bytes());
                right.then(|| user.to_owned()).ok_or_else(|| Refusal::wrong("wrong user or password"))
            }
            Check::Pam { service, min_uid } => {
                // A refused account is not shown to PAM at all: modules that lock after failures would let anybody lock root.
                let known = account(user)?.map(|account| account.usable(*min_uid)).transpose()?;
                let given = known.as_ref().map_or(user, |account| &account.name);
                let user = service.check(given, password, peer)?;
                let found = account(&user)?.ok_or_else(|| Refusal::wrong("no account of the system"))?;
                let name = found.usable(*min_uid)?.name;
                // The name becomes that of a directory, letter by letter.
                let honest = Name::new(&name).is_some_and(|checked| checked.as_str() == name);
                honest.then_some(name).ok_or_else(|| Refusal::wrong("no name of a user"))
            }
        }
    }

    /// The user's name as whoever knows the passwords spells it.
    pub fn spelling(&self, user: &str) -> Result<Option<String>, Refusal> {
        match self {
            Check::File(passwords) => Ok(passwords.current().contains(user).then(|| user.to_owned())),
            Check::Pam { .. } => Ok(account(user)?.map(|account| account.name)),
        }
    }

    /// Whether the account of `user` may be used now, by whoever comes from `peer`, where no password is at hand.
    pub fn may_use(&self, user: &str, peer: Option<IpAddr>) -> Result<bool, Refusal> {
        match self {
            Check::File(passwords) => Ok(passwords.current().contains(user)),
            Check::Pam { service, min_uid } => {
                let usable = account(user)?.is_some_and(|account| account.usable(*min_uid).is_ok());
                Ok(usable && service.may_use(user, peer)?)
            }
        }
    }

    /// The users of the password file, in order of name; the system's are not listed.
    pub fn users(&self) -> Option<Vec<String>> {
        match self {
            Check::File(passwords) => Some(passwords.current().users().map(str::to_owned).collect()),
            Check::Pam { .. } => None,
        }
    }

    /// Whether another version of the password file is in force now.
    pub fn look(&self) -> bool {
        match self {
            Check::File(passwords) => passwords.look(),
            Check::Pam { .. } => false,
        }
    }

    /// The files besides the password file that an answer depends on.
    pub fn system_files(&self, auth: &Auth) -> Vec<PathBuf> {
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
        usable.then_some(self).ok_or_else(|| Refusal::wrong("an account below min_uid"))
    }
}

fn account(name: &str) -> Result<Option<Account>, Refusal> {
    Account::named(name)
        .map_err(|error| Refusal::Unavailable(format!("the accounts cannot be read: {error}")))
}
