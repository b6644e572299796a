//! Turns a URL path into what it names, and back. The only place that knows the URL forms.
//!
//! A `Target` holds checked names only; whether anything is there, and who may see it, is the store's to say.

mod form;
mod urls;

pub use form::FORMS;
pub use urls::Urls;

use crate::auth::Token;
use crate::error::{Error, Result};
use crate::store::place::{Home, Name, Path, Place};

/// Whose calendars an address speaks of: the asker's, or a named user's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    Me,
    User(Name),
}

impl Owner {
    /// The user, given the one who asks.
    ///
    /// # Errors
    /// `LoginNeeded` if it is the asker and nobody is logged in; `Forbidden` if the asker's name can have no home.
    pub fn name(&self, me: Option<&str>) -> Result<Name> {
        match self {
            Owner::User(name) => Ok(name.clone()),
            Owner::Me => Name::new(me.ok_or(Error::LoginNeeded)?)
                .ok_or_else(|| Error::Forbidden("this user name cannot have calendars".to_owned())),
        }
    }

    fn home(&self, me: Option<&str>) -> Result<Home> {
        self.name(me).map(Home::User)
    }
}

/// What an `.ics` address names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CalendarTarget {
    /// `main.ics`: Calendar and Tasks as one.
    Main(Owner),
    /// `folder/<path>.ics`; at least one name.
    Folder(Owner, Vec<Name>),
    /// `pf/<path>.ics`; at least one name.
    Public(Vec<Name>),
}

impl CalendarTarget {
    /// The place, given the one who asks.
    ///
    /// # Errors
    /// As [`Owner::name`].
    pub fn place(&self, me: Option<&str>) -> Result<Place> {
        Ok(match self {
            CalendarTarget::Main(owner) => Place::Main(owner.name(me)?),
            CalendarTarget::Folder(owner, names) => {
                Place::Calendar(Path { home: owner.home(me)?, names: names.clone() })
            }
            CalendarTarget::Public(names) => {
                Place::Calendar(Path { home: Home::Public, names: names.clone() })
            }
        })
    }
}

/// The address above `.ics` addresses: publishing clients look at these on their way up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Collection {
    /// `/ical/` or `/ical/~bob/`: `main.ics` and `folder/` are in it.
    Top(Owner),
    /// `folder/` or `folder/<path>/`.
    Folder(Owner, Vec<Name>),
    /// `pf/` or `pf/<path>/`.
    Public(Vec<Name>),
}

impl Collection {
    /// The directory, given the one who asks.
    ///
    /// # Errors
    /// As [`Owner::name`].
    pub fn path(&self, me: Option<&str>) -> Result<Path> {
        Ok(match self {
            Collection::Top(owner) => Path::root(owner.home(me)?),
            Collection::Folder(owner, names) => Path { home: owner.home(me)?, names: names.clone() },
            Collection::Public(names) => Path { home: Home::Public, names: names.clone() },
        })
    }

    /// The address of the calendar `name` in this folder; nothing at the top, where no calendars lie.
    pub fn calendar(&self, name: &Name) -> Option<Target> {
        let calendar = match self {
            Collection::Top(_) => return None,
            Collection::Folder(owner, names) => CalendarTarget::Folder(owner.clone(), with(names, name)),
            Collection::Public(names) => CalendarTarget::Public(with(names, name)),
        };
        Some(Target::Calendar(calendar))
    }

    /// The address of the folder `name` in this folder; nothing at the top, which has its `folder/` instead.
    pub fn folder(&self, name: &Name) -> Option<Target> {
        let folder = match self {
            Collection::Top(_) => return None,
            Collection::Folder(owner, names) => Collection::Folder(owner.clone(), with(names, name)),
            Collection::Public(names) => Collection::Public(with(names, name)),
        };
        Some(Target::Collection(folder))
    }
}

fn with(names: &[Name], last: &Name) -> Vec<Name> {
    names.iter().chain([last]).cloned().collect()
}

/// What the path of a URL says: through which secret link somebody comes, if through one, and to what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    pub link: Option<Token>,
    /// Nothing for what is no address of ours.
    pub target: Option<Target>,
}

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `/`
    Page,
    /// `/robots.txt`
    Robots,
    /// `/ical/link`: where users make links, and see and revoke theirs.
    Links,
    Calendar(CalendarTarget),
    Collection(Collection),
    /// `freebusy.ifb`, and `.vfb` and `.xfb`, which clients probe for.
    Freebusy(Owner),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|text| name(text)).collect()
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn user(text: &str) -> Owner {
        Owner::User(name(text))
    }
    #[test]
    fn my_address_needs_a_login_and_a_named_one_does_not() {
        let mine = CalendarTarget::Main(Owner::Me);
        assert!(matches!(mine.place(None), Err(Error::LoginNeeded)));
        assert!(matches!(mine.place(Some("~x")), Err(Error::Forbidden(_))));
        assert_eq!(mine.place(Some("alice")).ok(), Some(Place::Main(name("alice"))));
        assert_eq!(CalendarTarget::Main(user("bob")).place(None).ok(), Some(Place::Main(name("bob"))));
        let work = CalendarTarget::Folder(Owner::Me, names(&["Work"]));
        let path = Path { home: Home::User(name("alice")), names: names(&["Work"]) };
        assert_eq!(work.place(Some("alice")).ok(), Some(Place::Calendar(path)));
        let public = Collection::Public(Vec::new());
        assert_eq!(public.path(None).ok(), Some(Path::root(Home::Public)));
    }

    #[test]
    fn members_are_addressed_below_their_folder() {
        let urls = Urls::default();
        let folder = Collection::Folder(user("bob"), names(&["Work"]));
        let href = |target: Option<Target>| target.map(|target| target.href(&urls));
        let member = name("A b");
        assert_eq!(href(folder.calendar(&member)).as_deref(), Some("/ical/~bob/folder/Work/A%20b.ics"));
        assert_eq!(href(folder.folder(&member)).as_deref(), Some("/ical/~bob/folder/Work/A%20b/"));
        assert_eq!(Collection::Top(Owner::Me).calendar(&member), None);
        assert_eq!(Collection::Top(Owner::Me).folder(&member), None);
    }
}
