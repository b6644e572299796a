//! The system's accounts and groups, by NSS. A look-up may block on a directory server: never on an async thread.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::acl::Groups;

/// An account as the system spells it.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub uid: Uid,
    gid: Gid,
}

/// The name of the user that this process runs as.
pub fn current_user() -> String {
    let uid = Uid::current();
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// Whether the system has a group of this name.
///
/// # Errors
/// The system cannot tell.
pub fn is_group(name: &str) -> nix::Result<bool> {
    Ok(Group::from_name(name)?.is_some())
}

impl Account {
    /// The account that answers to `name`; a directory may take any letter case and answer with its own spelling.
    ///
    /// # Errors
    /// The system cannot tell; that an account is missing is no error.
    pub fn named(name: &str) -> nix::Result<Option<Account>> {
        let found = User::from_name(name)?;
        Ok(found.map(|user| Account { name: user.name, uid: user.uid, gid: user.gid }))
    }

    /// The names of the account's groups. One look-up that fails makes all of them unknown: the missing one may be the one that denies.
    pub fn groups(&self) -> Groups {
        let by_name = || -> nix::Result<Vec<String>> {
            let name = CString::new(self.name.as_str()).map_err(|_| nix::errno::Errno::EINVAL)?;
            let gids = getgrouplist(&name, self.gid)?;
            let groups: nix::Result<Vec<Option<Group>>> = gids.into_iter().map(Group::from_gid).collect();
            // A group without a name cannot stand in an `.acl.json`.
            Ok(groups?.into_iter().flatten().map(|group| group.name).collect())
        };
        by_name().map_or(Groups::Unknown, Groups::Known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_primary_group() {
        let root = Account::named("root").expect("NSS answers").expect("every system has root");
        assert!(root.uid.is_root());
        let Groups::Known(groups) = root.groups() else { panic!("the groups of root are known") };
        assert!(groups.contains(&"root".to_owned()), "{groups:?}");
    }

    #[test]
    fn a_missing_account_is_no_error() {
        assert!(Account::named("no such account").expect("NSS answers").is_none());
    }
}
