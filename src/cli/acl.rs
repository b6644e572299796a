//! `kalends acl`: who may do what where, why, and how that is changed.

use std::path::PathBuf;

use clap::Subcommand;

use super::out::print;
use super::{DataOptions, origin};
use crate::acl::{Groups, Principal, Role, Subject};
use crate::auth::Authenticator;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::place::Path;
use crate::store::rights::Rights;

#[derive(Debug, Subcommand)]
pub enum Acl {
    /// Show the rights at a place, and the file that says so.
    Show {
        /// alice/Work/Projects, public/Holidays, or / for all users' homes.
        place: String,
    },
    /// Set what somebody may do at a place and below.
    Set {
        /// alice/Work/Projects, public/Holidays, or / for all users' homes.
        place: String,
        /// user:NAME, group:NAME, authenticated, or anyone.
        subject: Subject,
        /// none, freebusy, viewer, contributor, editor, master; or unset to remove the entry.
        role: String,
    },
    /// Say what a user may do at a place, with the file and the entry that decided.
    Why {
        /// alice/Work/Projects, or public/Holidays.
        place: String,
        /// The user; without one, somebody without a login.
        user: Option<String>,
    },
}

/// Does what the arguments say.
///
/// # Errors
/// A place that cannot be, a file that cannot be understood or written.
pub fn run(command: Acl, data: &DataOptions) -> Result<()> {
    let config = data.config()?;
    let store = Store::open_tree(&config)?;
    match command {
        Acl::Show { place } => {
            let path = parse_place(&place)?;
            match &path {
                Some(path) if !store.has_home(&path.home)? => Err(missing(&place)),
                _ => show(&store, &path),
            }
        }
        Acl::Set { place, subject, role } => {
            let role = match role.as_str() {
                "unset" => None,
                role => Some(role.parse::<Role>().map_err(Error::BadRequest)?),
            };
            let path = parse_place(&place)?;
            let subject = match store.rights(path.as_ref())? {
                // What is there can be taken away as it is.
                Rights::Granted { acl, .. } if role.is_none() && acl.names(&subject) => subject,
                _ => spelled(&config, subject),
            };
            let origin = origin(&["acl set", &place, &subject.to_string()]);
            let set = store.set_role(&origin, path.as_ref(), subject, role);
            let file: PathBuf = set.map_err(|error| match error {
                Error::NotFound => missing(&place),
                other => other,
            })?;
            print(&format!("{}\n", file.display()))
        }
        Acl::Why { place, user } => {
            let path = parse_place(&place)?
                .ok_or_else(|| Error::BadRequest("name a home, a folder or a calendar".to_owned()))?;
            let who = match user {
                None => Principal::Nobody,
                Some(user) => principal(&config, &user)?,
            };
            why(&store, &who, &path)
        }
    }
}

/// The subject as logins are spelled, which entries are compared with: without our domain where the account's name has none. Who
/// is not there may come yet, so that it is no error.
fn spelled(config: &Config, subject: Subject) -> Subject {
    let known = || -> Result<Option<Subject>> {
        match &subject {
            Subject::User(name) => {
                let known = Authenticator::new(config)?.principal(name)?;
                Ok(known.and_then(|who| who.user().map(|name| Subject::User(name.to_owned()))))
            }
            Subject::Group(name) => {
                Ok(Authenticator::new(config)?.knows_group(name)?.then(|| subject.clone()))
            }
            Subject::Authenticated | Subject::Anyone => Ok(Some(subject.clone())),
        }
    };
    match known() {
        Ok(Some(known)) => return known,
        Ok(None) => eprintln!("kalends: warning: there is no {subject} now"),
        Err(error) => eprintln!("kalends: warning: whether there is a {subject} cannot be told: {error}"),
    }
    subject
}

/// A user as the system knows them.
///
/// # Errors
/// There is none of that name, or the system cannot tell.
pub fn principal(config: &Config, user: &str) -> Result<Principal> {
    let known = Authenticator::new(config)?.principal(user)?;
    let known = known.ok_or_else(|| Error::BadRequest(format!("there is no user {user}")))?;
    Ok(known.as_ref().clone())
}

fn missing(place: &str) -> Error {
    Error::BadRequest(format!("{place}: no such place"))
}

/// A place as commands name it; nothing for what is above all homes.
fn parse_place(text: &str) -> Result<Option<Path>> {
    if text == "/" {
        return Ok(None);
    }
    text.parse().map(Some)
}

fn show(store: &Store, path: &Option<Path>) -> Result<()> {
    let mut text = match store.rights(path.as_ref())? {
        Rights::None => "no .acl.json: nothing is granted\n".to_owned(),
        Rights::Closed { reason } | Rights::Unread { reason, .. } => {
            format!("closed to all but the owner: {reason}\n")
        }
        Rights::Granted { acl, file } => {
            let entries = acl.entries().map(|(subject, role)| format!("  {subject}: {role}\n"));
            format!("{}\n{}", file.display(), entries.collect::<String>())
        }
    };
    if let Some(owner) = path.as_ref().and_then(|path| path.home.owner()) {
        text += &format!("  {owner} owns this home: master\n");
    }
    if let Some(path) = path {
        text += &not_there(store, path)?;
    }
    print(&text)
}

/// Says so where nothing is at `path`: the rights are those that it would be made with, or its name is mistyped.
fn not_there(store: &Store, path: &Path) -> Result<String> {
    Ok(if store.has(path)? {
        String::new()
    } else {
        format!("{path} is not there; it would have these rights\n")
    })
}

fn why(store: &Store, who: &Principal, path: &Path) -> Result<()> {
    let groups = match who {
        Principal::User { name, groups: Groups::Known(groups) } => {
            format!("{name} is in: {}\n", groups.join(", "))
        }
        Principal::User { name, groups: Groups::Unknown } => {
            format!("the groups of {name} cannot be learned\n")
        }
        _ => String::new(),
    };
    print(&format!("{groups}{}\n{}", reason(store, who, path)?, not_there(store, path)?))
}

/// The role of `who` at `path`, and what says so.
fn reason(store: &Store, who: &Principal, path: &Path) -> Result<String> {
    if who.user().is_some() && who.user() == path.home.owner() {
        return Ok(format!("{}: owns this home", Role::Master));
    }
    Ok(match store.rights(Some(path))? {
        Rights::None => format!("{}: there is no .acl.json from here up", Role::None),
        Rights::Closed { reason } | Rights::Unread { reason, .. } => {
            format!("{}: closed to all but the owner: {reason}", Role::None)
        }
        Rights::Granted { acl, file } => match acl.role(who) {
            Ok((role, Some(subject))) => format!("{role}: \"{subject}\" in {}", file.display()),
            Ok((role, None)) => format!("{role}: no entry matches in {}", file.display()),
            Err(_) => {
                format!("{}: {} names a group, and the groups are unknown", Role::None, file.display())
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_all_homes_is_no_path() {
        assert_eq!(parse_place("/").expect("the top"), None);
        assert!(parse_place("alice").expect("a place").is_some());
        assert!(parse_place("/etc").is_err());
    }
}
