//! The places that checked names lead to. Whoever holds a `Place` cannot hold a `..`.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};
pub use crate::name::Name;

/// The two calendars of every user's home, which are its main.ics: events, tasks.
pub const MAIN: [&str; 2] = ["Calendar", "Tasks"];

/// A tree with one owner, or the tree that nobody owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Home {
    User(Name),
    Public,
}

impl Home {
    /// The user who is always master here.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Home::User(name) => Some(name.as_str()),
            Home::Public => None,
        }
    }

    /// Whether these names lead from here to one of the two calendars that main.ics shows.
    pub fn shows_in_main(&self, names: &[Name]) -> bool {
        matches!(names, [name] if *self != Home::Public && MAIN.contains(&name.as_str()))
    }
}

/// A directory in a home, or with no names the home itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    pub home: Home,
    pub names: Vec<Name>,
}

impl Path {
    pub fn root(home: Home) -> Path {
        Path { home, names: Vec::new() }
    }

    /// Where it is below its home.
    pub fn below_home(&self) -> PathBuf {
        self.names.iter().map(Name::as_str).collect()
    }

    /// The last name, or nothing for a home.
    pub fn last(&self) -> Option<&Name> {
        self.names.last()
    }
}

impl fmt::Display for Path {
    /// As commands and logs name a place: `alice/Work/Projects`, `public/Holidays`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.home.owner().unwrap_or("public"))?;
        self.names.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

impl std::str::FromStr for Path {
    type Err = Error;

    /// Reads a place as commands name it. A `~` before the user is taken too, as addresses have it: `~public` is a user's
    /// home, `public` the tree that nobody owns.
    fn from_str(text: &str) -> Result<Path> {
        let unfit = || {
            Error::BadRequest(format!("{text:?}: not a place, as alice/Work/Projects or public/Holidays are"))
        };
        let bare = text.strip_prefix('~');
        let mut names = bare
            .unwrap_or(text)
            .trim_end_matches('/')
            .split('/')
            .map(|name| Name::new(name).ok_or_else(unfit));
        let home = names.next().ok_or_else(unfit)??;
        let home = match home.as_str() {
            "public" if bare.is_none() => Home::Public,
            _ => Home::User(home),
        };
        Ok(Path { home, names: names.collect::<Result<_>>()? })
    }
}

/// What an `.ics` address names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Calendar and Tasks of a user, as one.
    Main(Name),
    /// One calendar.
    Calendar(Path),
}

impl Place {
    pub fn home(&self) -> Home {
        match self {
            Place::Main(user) => Home::User(user.clone()),
            Place::Calendar(path) => path.home.clone(),
        }
    }

    /// The calendars that it is made of; new items that are no tasks go to the first.
    pub fn paths(&self) -> Vec<Path> {
        match self {
            Place::Calendar(path) => vec![path.clone()],
            Place::Main(user) => MAIN
                .iter()
                .filter_map(|name| Name::new(name))
                .map(|name| Path { home: Home::User(user.clone()), names: vec![name] })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_as_in_logs() {
        for text in ["alice/Work/Projects", "public/Holidays", "alice", "public"] {
            assert_eq!(text.parse::<Path>().expect("a place").to_string(), text);
        }
        let home = |text: &str| text.parse::<Path>().expect("a place").home;
        assert_eq!(home("~alice/Work"), home("alice/Work"));
        assert_ne!(home("~public"), home("public"));
        for text in ["", "~", "/", "alice/../bob", "alice//x", "/etc", "~~alice"] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
