//! Which groups a user is in: the system's, or those of a group file as Apache's htgroup has them.

use std::collections::BTreeMap;
use std::path::Path;

use super::system::{Account, is_group};
use super::watched::{Fault, Watched};
use crate::acl::Groups;
use crate::error::Result;

/// Where groups are looked up.
pub enum Source {
    System,
    File(Watched<Members>),
}

impl Source {
    /// # Errors
    /// `Error::Config` with file and line.
    pub fn new(file: Option<&Path>) -> Result<Source> {
        Ok(match file {
            Some(file) => Source::File(Watched::read("auth.groups", file, Members::parse)?),
            None => Source::System,
        })
    }

    /// The groups of a user; a user of a password file may be unknown to the system, and is then in none of its groups.
    pub fn of(&self, user: &str) -> Groups {
        match self {
            Source::File(members) => Groups::Known(members.current().groups_of(user)),
            Source::System => match Account::named(user) {
                Ok(Some(account)) => account.groups(),
                Ok(None) => Groups::Known(Vec::new()),
                Err(_) => Groups::Unknown,
            },
        }
    }

    /// Whether there is such a group.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn knows(&self, group: &str) -> nix::Result<bool> {
        match self {
            Source::File(members) => Ok(members.current().0.contains_key(group)),
            Source::System => is_group(group),
        }
    }

    /// Whether another version of a group file is in force now.
    pub fn look(&self) -> bool {
        match self {
            Source::System => false,
            Source::File(members) => members.look(),
        }
    }
}

/// From a group to its members.
pub struct Members(BTreeMap<String, Vec<String>>);

impl Members {
    /// Reads lines `group: user user`; a group may have several lines.
    ///
    /// # Errors
    /// A line without a colon or a name: with its line.
    fn parse(text: &str) -> Result<Members, Fault> {
        let mut members = BTreeMap::<String, Vec<String>>::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parts = line.split_once(':').map(|(group, users)| (group.trim(), users));
            let Some((group, users)) = parts.filter(|(group, _)| !group.is_empty()) else {
                return Err((at + 1, "expected group: user user".to_owned()));
            };
            let users = users.split_whitespace().map(str::to_owned);
            members.entry(group.to_owned()).or_default().extend(users);
        }
        Ok(Members(members))
    }

    fn groups_of(&self, user: &str) -> Vec<String> {
        let mine = self.0.iter().filter(|(_, users)| users.iter().any(|name| name == user));
        mine.map(|(group, _)| group.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_file_gives_each_user_the_groups_that_name_it() {
        let text = "# who is who\nstaff: alice bob\n\n board :alice\r\nstaff:carol\nempty:\n";
        let members = Members::parse(text).unwrap_or_else(|(line, message)| panic!("{line}: {message}"));
        for (user, groups) in [
            ("alice", vec!["board", "staff"]),
            ("bob", vec!["staff"]),
            ("carol", vec!["staff"]),
            ("Alice", vec![]),
            ("staff", vec![]),
        ] {
            assert_eq!(members.groups_of(user), groups, "{user}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line) in [("staff alice", 1), ("# x\n: alice", 2)] {
            let (found, message) = Members::parse(text).err().unwrap_or_else(|| panic!("{text}: taken"));
            assert_eq!((found, message.as_str()), (line, "expected group: user user"), "{text}");
        }
    }

    #[test]
    fn a_user_who_is_unknown_to_the_system_is_in_no_group() {
        assert_eq!(Source::System.of("no such account"), Groups::Known(Vec::new()));
    }
}
