//! Rights: the text of an `.acl.json` and a Principal give a Role. Pure: no disk, no clock.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// What somebody may do in a place, each role with all that the ones before it have (RFC 3744 calls them privileges).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    None,
    /// Sees busy periods only.
    Freebusy,
    Viewer,
    /// May add items.
    Contributor,
    /// May change and delete items.
    Editor,
    /// May change properties and rights, make and remove calendars.
    Master,
}

impl Role {
    pub const ALL: [Role; 6] =
        [Role::None, Role::Freebusy, Role::Viewer, Role::Contributor, Role::Editor, Role::Master];

    /// The role as `.acl.json` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Freebusy => "freebusy",
            Role::Viewer => "viewer",
            Role::Contributor => "contributor",
            Role::Editor => "editor",
            Role::Master => "master",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            let known: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
            format!("unknown role \"{text}\", expected one of {}", known.join(", "))
        })
    }
}

/// The groups of a user, or that the system could not tell them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    Known(Vec<String>),
    Unknown,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// No login was given.
    Nobody,
    /// A user with a login: the name as the password database spells it.
    User { name: String, groups: Groups },
    /// Who holds a secret link: never its maker, however much the maker may do.
    Link(Box<Link>),
}

impl Principal {
    /// The name of the user who asks, if one does.
    pub fn user(&self) -> Option<&str> {
        match self {
            Principal::Nobody | Principal::Link(_) => None,
            Principal::User { name, .. } => Some(name),
        }
    }

    /// The user whose calendars are meant where an address names none: who asks, or who made the link.
    pub fn me(&self) -> Option<&str> {
        match self {
            Principal::Link(link) => link.maker.user(),
            other => other.user(),
        }
    }
}

impl fmt::Display for Principal {
    /// As logs name who asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Nobody => f.write_str("nobody"),
            Principal::User { name, .. } => f.write_str(name),
            Principal::Link(link) => write!(f, "a link of {}", link.maker),
        }
    }
}

/// What a secret link lets its holder do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    maker: Principal,
    role: Role,
    reach: Reach,
}

/// Where a secret link is good for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Wherever its maker may do something.
    Everywhere,
    /// A place and all that is below it: the home's owner, nobody for the public tree, and the names from there down.
    Below { owner: Option<String>, names: Vec<String> },
}

impl Link {
    /// A link that grants at most `role`, which is never more than editor.
    pub fn new(maker: Principal, role: Role, reach: Reach) -> Link {
        Link { maker, role: role.min(Role::Editor), reach }
    }

    /// The user without whom the link is good for nothing.
    pub fn maker(&self) -> &Principal {
        &self.maker
    }

    /// What is left of `makers`, the role that the link's maker has now at the place that `owner` and `names` are.
    pub fn role<'n>(
        &self,
        makers: Role,
        owner: Option<&str>,
        mut names: impl Iterator<Item = &'n str>,
    ) -> Role {
        let reaches = match &self.reach {
            Reach::Everywhere => true,
            Reach::Below { owner: top, names: below } => {
                top.as_deref() == owner && below.iter().all(|name| names.next() == Some(name))
            }
        };
        if reaches { makers.min(self.role) } else { Role::None }
    }
}

/// Whom an entry of an `.acl.json` speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    User(String),
    Group(String),
    /// Everybody with a login.
    Authenticated,
    /// Everybody, without a login too.
    Anyone,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::User(name) => write!(f, "user:{name}"),
            Subject::Group(name) => write!(f, "group:{name}"),
            Subject::Authenticated => f.write_str("authenticated"),
            Subject::Anyone => f.write_str("anyone"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Subject, String> {
        match text.split_once(':') {
            Some(("user", name)) if !name.is_empty() => Ok(Subject::User(name.to_owned())),
            Some(("group", name)) if !name.is_empty() => Ok(Subject::Group(name.to_owned())),
            None if text == "authenticated" => Ok(Subject::Authenticated),
            None if text == "anyone" => Ok(Subject::Anyone),
            _ => Err(format!(
                "unknown subject \"{text}\", expected user:NAME, group:NAME, authenticated or anyone"
            )),
        }
    }
}

/// The groups of the asker are not known and this file names a group: it grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupsUnknown;

/// One `.acl.json`: from subject to role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acl {
    entries: BTreeMap<Subject, Role>,
}

impl Acl {
    /// Reads the text of an `.acl.json`.
    ///
    /// # Errors
    /// Text that is no JSON object, a key twice, an unknown subject or role: with line and column.
    pub fn parse(text: &str) -> Result<Acl, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The text that [`Acl::parse`] reads, one entry a line.
    pub fn to_text(&self) -> String {
        let entries: serde_json::Map<String, serde_json::Value> =
            self.entries.iter().map(|(subject, role)| (subject.to_string(), role.name().into())).collect();
        format!("{:#}\n", serde_json::Value::Object(entries))
    }

    pub fn entries(&self) -> impl Iterator<Item = (&Subject, Role)> {
        self.entries.iter().map(|(subject, role)| (subject, *role))
    }

    /// Whether there is an entry for `subject`.
    pub fn names(&self, subject: &Subject) -> bool {
        self.entries.contains_key(subject)
    }

    /// Sets what `subject` may do; without a role its entry goes.
    pub fn set(&mut self, subject: Subject, role: Option<Role>) {
        match role {
            Some(role) => self.entries.insert(subject, role),
            None => self.entries.remove(&subject),
        };
    }

    /// The role of `who` and the entry that gave it: the most specific one (user, group, `authenticated`, `anyone`).
    ///
    /// Of several groups a `none` wins, else the highest role.
    ///
    /// # Errors
    /// The file names a group and the asker's groups are unknown.
    pub fn role(&self, who: &Principal) -> Result<(Role, Option<&Subject>), GroupsUnknown> {
        let found = match who {
            Principal::Nobody => self.entries.get_key_value(&Subject::Anyone),
            // What a link may do depends on the place too, which is not known here.
            Principal::Link(_) => None,
            Principal::User { name, groups } => {
                let by_group = self.by_group(groups)?;
                self.entries
                    .get_key_value(&Subject::User(name.clone()))
                    .or(by_group)
                    .or_else(|| self.entries.get_key_value(&Subject::Authenticated))
                    .or_else(|| self.entries.get_key_value(&Subject::Anyone))
            }
        };
        Ok(found.map_or((Role::None, None), |(subject, role)| (*role, Some(subject))))
    }

    fn by_group(&self, groups: &Groups) -> Result<Option<(&Subject, &Role)>, GroupsUnknown> {
        let named = || {
            self.entries.iter().filter_map(|(subject, role)| match subject {
                Subject::Group(group) => Some((group, (subject, role))),
                _ => None,
            })
        };
        let Groups::Known(groups) = groups else {
            return if named().next().is_some() { Err(GroupsUnknown) } else { Ok(None) };
        };
        let of_mine: Vec<_> =
            named().filter(|(group, _)| groups.contains(group)).map(|(_, entry)| entry).collect();
        let denied = of_mine.iter().find(|(_, role)| **role == Role::None).copied();
        Ok(denied.or_else(|| of_mine.into_iter().max_by_key(|(_, role)| **role)))
    }
}

impl<'de> Deserialize<'de> for Acl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Acl, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Reads entry by entry, so that an error carries the line of the entry that is wrong.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Acl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from subject to role")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Acl, M::Error> {
        let mut acl = Acl::default();
        while let Some(key) = map.next_key::<String>()? {
            let subject: Subject = key.parse().map_err(de::Error::custom)?;
            let role = map.next_value::<String>()?.parse().map_err(de::Error::custom)?;
            if acl.entries.insert(subject, role).is_some() {
                return Err(de::Error::custom(format!("\"{key}\" stands twice")));
            }
        }
        Ok(acl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, groups: &[&str]) -> Principal {
        Principal::User {
            name: name.to_owned(),
            groups: Groups::Known(groups.iter().map(|group| (*group).to_owned()).collect()),
        }
    }

    fn acl(text: &str) -> Acl {
        Acl::parse(text).expect("a good .acl.json")
    }

    #[test]
    fn the_most_specific_entry_decides_alone() {
        let acl = acl(r#"{"user:eve": "none", "group:staff": "editor", "group:late": "none",
                "group:board": "viewer", "authenticated": "freebusy", "anyone": "none"}"#);
        let table = [
            (Principal::Nobody, Role::None),
            (user("eve", &["staff"]), Role::None),
            (user("bob", &["staff"]), Role::Editor),
            (user("bob", &["board", "staff"]), Role::Editor),
            (user("bob", &["staff", "late"]), Role::None),
            (user("bob", &["other"]), Role::Freebusy),
            (user("bob", &[]), Role::Freebusy),
        ];
        for (who, role) in table {
            assert_eq!(acl.role(&who).map(|(role, _)| role), Ok(role), "{who:?}");
        }
    }

    #[test]
    fn anyone_is_the_last_resort_of_a_user_too() {
        assert_eq!(
            acl(r#"{"anyone": "viewer"}"#).role(&user("bob", &[])),
            Ok((Role::Viewer, Some(&Subject::Anyone)))
        );
        assert_eq!(acl("{}").role(&user("bob", &[])), Ok((Role::None, None)));
    }

    #[test]
    fn unknown_groups_grant_nothing_where_a_group_is_named() {
        let who = Principal::User { name: "bob".to_owned(), groups: Groups::Unknown };
        let named = acl(r#"{"user:bob": "editor", "group:late": "none"}"#);
        assert_eq!(named.role(&who), Err(GroupsUnknown));
        let not_named = acl(r#"{"user:bob": "editor"}"#);
        assert_eq!(not_named.role(&who).map(|(role, _)| role), Ok(Role::Editor));
    }

    #[test]
    fn a_typo_is_an_error_with_its_line() {
        for (text, line, says) in [
            ("{\n\"user:bob\": \"editr\"}", 2, "unknown role \"editr\""),
            ("{\n\n\"users:bob\": \"editor\"}", 3, "unknown subject \"users:bob\""),
            ("{\"anyone\": \"none\",\n\"anyone\": \"none\"}", 2, "stands twice"),
            ("{\"user:\": \"none\"}", 1, "unknown subject"),
            ("[]", 1, "an object from subject to role"),
            ("{\"anyone\": 3}", 1, "string"),
            ("", 1, "EOF"),
        ] {
            let error = Acl::parse(text).expect_err(text);
            assert_eq!(error.line(), line, "{text}: {error}");
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_link_grants_the_lower_role_where_it_reaches() {
        let link = |role, reach| Link::new(user("alice", &[]), role, reach);
        let below = |owner: Option<&str>, names: &[&str]| Reach::Below {
            owner: owner.map(str::to_owned),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let work = below(Some("alice"), &["Work"]);
        for (role, reach, makers, owner, names, expected) in [
            (Role::Viewer, Reach::Everywhere, Role::Master, Some("bob"), vec!["Work"], Role::Viewer),
            (Role::Viewer, Reach::Everywhere, Role::Freebusy, Some("bob"), vec![], Role::Freebusy),
            (Role::Editor, Reach::Everywhere, Role::Contributor, None, vec!["Clubs"], Role::Contributor),
            (Role::Master, Reach::Everywhere, Role::Master, Some("alice"), vec![], Role::Editor),
            (Role::Viewer, work.clone(), Role::Master, Some("alice"), vec!["Work"], Role::Viewer),
            (Role::Viewer, work.clone(), Role::Master, Some("alice"), vec!["Work", "Deep"], Role::Viewer),
            (Role::Viewer, work.clone(), Role::Master, Some("alice"), vec!["Works"], Role::None),
            (Role::Viewer, work.clone(), Role::Master, Some("alice"), vec![], Role::None),
            (Role::Viewer, work.clone(), Role::Master, Some("bob"), vec!["Work"], Role::None),
            (Role::Viewer, work, Role::Master, None, vec!["Work"], Role::None),
            (Role::Viewer, below(None, &[]), Role::Viewer, None, vec!["Clubs"], Role::Viewer),
            (Role::Viewer, below(None, &[]), Role::Master, Some("public"), vec![], Role::None),
            (Role::Viewer, below(Some("alice"), &[]), Role::None, Some("alice"), vec![], Role::None),
        ] {
            let link = link(role, reach);
            assert_eq!(
                link.role(makers, owner, names.iter().copied()),
                expected,
                "{link:?} {owner:?} {names:?}"
            );
        }
    }

    #[test]
    fn who_holds_a_link_is_not_its_maker() {
        let who = Principal::Link(Box::new(Link::new(user("alice", &[]), Role::Editor, Reach::Everywhere)));
        assert_eq!((who.user(), who.me()), (None, Some("alice")));
        let acl = acl(r#"{"user:alice": "master", "anyone": "viewer"}"#);
        assert_eq!(acl.role(&who), Ok((Role::None, None)));
    }

    #[test]
    fn text_goes_round() {
        let before = acl(r#"{"user:bob":"editor","group:staff":"viewer","authenticated":"freebusy"}"#);
        assert_eq!(acl(&before.to_text()), before);
    }
}
