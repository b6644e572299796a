//! Secret links on disk: `links/<sha256 of the token>.json`, one file each. The tokens themselves are nowhere.
//!
//! Who holds a token, and what its maker may do, is not known here.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

use super::Store;
use super::disk::staging::Staged;
use super::disk::{Directory, EntryKind};
use super::door::admit;
use super::place::{Name, Path};
use super::tree::Found;
use crate::acl::{Link, Principal, Reach, Role};
use crate::error::{Error, Result};

pub const LINKS: &str = "links";
const ENDING: &str = ".json";

/// The longest label, in bytes.
const MAX_LABEL: usize = 200;

/// What names a link's file: the SHA-256 of its token, in hexadecimal. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(String);

impl LinkId {
    /// How much of an id tells links apart where people read it.
    const SHORT: usize = 12;

    pub fn of(sha256: [u8; 32]) -> LinkId {
        LinkId(sha256.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The id that a link's file is named by.
    pub(super) fn of_file(name: &str) -> Option<LinkId> {
        name.strip_suffix(ENDING).and_then(LinkId::read)
    }

    /// The id that is the stem of a file's name.
    fn read(stem: &str) -> Option<LinkId> {
        let hexadecimal = stem.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (stem.len() == 64 && hexadecimal).then(|| LinkId(stem.to_owned()))
    }

    /// As people are shown it.
    pub fn short(&self) -> &str {
        &self.0[..LinkId::SHORT]
    }

    fn file(&self) -> String {
        format!("{}{ENDING}", self.0)
    }
}

/// Where a link is good for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPlace {
    /// Whatever its maker may see.
    Everywhere,
    /// A place and all that is below it.
    Below(Path),
}

impl fmt::Display for LinkPlace {
    /// `~*`, `alice`, `alice/Work/Projects`, `public/Holidays`; `~public` is the home of a user of that name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkPlace::Everywhere => f.write_str("~*"),
            LinkPlace::Below(path) if path.home.owner() == Some("public") => write!(f, "~{path}"),
            LinkPlace::Below(path) => write!(f, "{path}"),
        }
    }
}

impl FromStr for LinkPlace {
    type Err = Error;

    fn from_str(text: &str) -> Result<LinkPlace> {
        match text {
            "~*" => Ok(LinkPlace::Everywhere),
            place => place.parse().map(LinkPlace::Below),
        }
    }
}

/// When a link was last used, and by what program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    #[serde(with = "text")]
    pub at: Timestamp,
    pub by: String,
}

/// What a link's file says. A file with a mistake, or with a key that is not known here, is no link: a typo never grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretLink {
    /// The user who made it.
    pub owner: String,
    /// The most that it grants: freebusy, viewer or editor.
    #[serde(with = "text")]
    pub role: Role,
    #[serde(with = "text")]
    pub place: LinkPlace,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    #[serde(with = "text")]
    pub made: Timestamp,
    /// From when on it is dead.
    #[serde(default, with = "text::maybe", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
}

impl SecretLink {
    /// A link of `owner` as it was asked for, in text. Without `expires` it never does.
    ///
    /// # Errors
    /// As [`SecretLink::check`]; `BadRequest` for an expiry that is past.
    pub fn asked(
        owner: &str,
        place: &str,
        role: &str,
        label: &str,
        expires: Option<&str>,
        now: Timestamp,
    ) -> Result<SecretLink> {
        let link = SecretLink {
            owner: owner.to_owned(),
            role: role.parse().map_err(Error::BadRequest)?,
            place: place.parse()?,
            label: label.to_owned(),
            made: now.round(Unit::Second).unwrap_or(now),
            expires: expires.map(expiry).transpose()?,
            used: None,
        };
        link.check()?;
        match link.is_expired(now) {
            true => Err(Error::BadRequest("the link's expiry is past".to_owned())),
            false => Ok(link),
        }
    }

    /// Whether there can be such a link.
    ///
    /// # Errors
    /// `BadRequest`, which says what is wrong.
    pub fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::BadRequest(why.to_owned()));
        match self.role {
            Role::None | Role::Contributor | Role::Master => {
                refuse("a link's role is freebusy, viewer or editor")
            }
            Role::Editor if self.expires.is_none() => refuse("a link for an editor needs an expiry"),
            _ if self.label.len() > MAX_LABEL || self.label.chars().any(char::is_control) => {
                refuse("a label has at most 200 bytes and no control characters")
            }
            _ => Ok(()),
        }
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What the link lets its holder do, for a `maker` as that user is now.
    pub fn grant(&self, maker: Principal) -> Link {
        let reach = match &self.place {
            LinkPlace::Everywhere => Reach::Everywhere,
            LinkPlace::Below(path) => Reach::Below {
                owner: path.home.owner().map(str::to_owned),
                names: path.names.iter().map(Name::to_string).collect(),
            },
        };
        Link::new(maker, self.role, reach)
    }

    pub(super) fn parse(content: &[u8]) -> Result<SecretLink, String> {
        let link: SecretLink = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        link.check().map_err(|error| error.to_string())?;
        Ok(link)
    }
}

/// A point in time (RFC 3339), or a date, which lasts until its end in UTC.
fn expiry(text: &str) -> Result<Timestamp> {
    let end_of = |date: Date| date.tomorrow()?.to_zoned(TimeZone::UTC);
    let of_date = || text.parse::<Date>().and_then(end_of).map(|end| end.timestamp());
    text.parse().or_else(|_| of_date()).map_err(|_| {
        Error::BadRequest(format!("{text:?}: no expiry, as 2027-01-31 or 2027-01-31T12:00:00Z are"))
    })
}

/// Values that files have as text.
mod text {
    use super::*;
    use serde::de::{Deserializer, Error as _};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }

    pub mod maybe {
        use super::*;

        pub fn serialize<S: Serializer>(
            value: &Option<impl fmt::Display>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => serializer.collect_str(value),
                None => serializer.serialize_none(),
            }
        }

        /// A key that is there has a value: `null` is not taken for "never".
        pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}

impl Store {
    /// Whether `maker` may hand out such a link: nobody can give what they do not have.
    ///
    /// # Errors
    /// As [`SecretLink::check`]; as [`Store::open`] for the link's role at its place.
    pub fn may_share(&self, maker: &Principal, link: &SecretLink) -> Result<()> {
        link.check()?;
        let LinkPlace::Below(path) = &link.place else { return Ok(()) };
        admit(maker, self.role_at(maker, path)?, link.role)?;
        match self.tree.find(path)? {
            Found::Calendar(_) | Found::File(..) => Ok(()),
            Found::Folder(_) if path.names.is_empty() => Ok(()),
            Found::Folder(_) => Err(Error::BadRequest("a link is for a calendar, a home, or ~*".to_owned())),
            Found::Missing | Found::Blocked => Err(Error::NotFound),
        }
    }

    /// Writes a new link, durably. Not on an async thread.
    pub fn add_link(&self, id: &LinkId, link: &SecretLink) -> Result<()> {
        self.whereabouts.look()?;
        let turn = self.link_writer.lock(self.tree.root.make(LINKS)?)?;
        let links = &turn.directory;
        self.stage_link(links, link)?.place(links, &id.file())?;
        links.sync()
    }

    fn stage_link(&self, links: &Directory, link: &SecretLink) -> Result<Staged> {
        let text = serde_json::to_vec_pretty(link)
            .map_err(|error| Error::io(links.path(), std::io::Error::from(error)))?;
        self.journals.staging().write(&text, links)
    }

    /// The link that `id` names, as its file is now; nothing if there is none, or none that can be understood.
    pub fn link(&self, id: &LinkId) -> Result<Option<SecretLink>> {
        let Some(links) = self.tree.root.directory(LINKS)? else { return Ok(None) };
        Ok(read(&links, id)?.and_then(|link| {
            link.map_err(|reason| tracing::warn!("{LINKS}/{}: grants nothing: {reason}", id.file())).ok()
        }))
    }

    /// All links, the oldest first; those that grant nothing for a mistake in them, with the mistake.
    pub fn links(&self) -> Result<Vec<(LinkId, Result<SecretLink, String>)>> {
        let Some(links) = self.tree.root.directory(LINKS)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (name, kind) in links.entries()? {
            let id = LinkId::of_file(&name).filter(|_| kind == EntryKind::File);
            let Some(id) = id else { continue };
            if let Some(link) = read(&links, &id)? {
                found.push((id, link));
            }
        }
        found.sort_by_key(|(id, link)| (link.as_ref().map(|link| link.made).ok(), id.clone()));
        Ok(found)
    }

    /// The one link whose id begins with `start`.
    ///
    /// # Errors
    /// `NotFound`; `BadRequest` where it could be several.
    pub fn link_named(&self, start: &str) -> Result<LinkId> {
        let mut named: Vec<LinkId> = self.links()?.into_iter().map(|(id, _)| id).collect();
        named.retain(|id| id.0.starts_with(start));
        match (named.len(), named.pop()) {
            (1, Some(id)) if start.len() >= LinkId::SHORT => Ok(id),
            (0, _) | (_, None) => Err(Error::NotFound),
            _ => Err(Error::BadRequest(format!("{start}: give at least {} characters", LinkId::SHORT))),
        }
    }

    /// Removes a link, durably.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn revoke_link(&self, id: &LinkId) -> Result<()> {
        self.whereabouts.look()?;
        let turn = self.link_writer.lock(self.tree.root.directory(LINKS)?.ok_or(Error::NotFound)?)?;
        let links = &turn.directory;
        links.kind(id.file())?.ok_or(Error::NotFound)?;
        links.unlink(id.file())?;
        links.sync()
    }

    /// Writes down that a link was used, if it is still there.
    pub fn note_link_use(&self, id: &LinkId, used: Used) -> Result<()> {
        let Some(links) = self.tree.root.directory(LINKS)? else { return Ok(()) };
        // Without the turn a link that is revoked meanwhile would come back.
        let turn = self.link_writer.lock(links)?;
        let links = &turn.directory;
        let Some((before, _)) = links.read(&id.file())? else { return Ok(()) };
        let Ok(link) = SecretLink::parse(&before) else { return Ok(()) };
        let staged = self.stage_link(links, &SecretLink { used: Some(used), ..link })?;
        // Whoever edits or removes the file by hand takes no turn. Staging took its time: what they did meanwhile stands.
        if links.read(&id.file())?.is_none_or(|(now, _)| now != before) {
            return Ok(());
        }
        staged.place(links, &id.file())?;
        links.sync()
    }
}

fn read(links: &Directory, id: &LinkId) -> Result<Option<Result<SecretLink, String>>> {
    Ok(links.read(&id.file())?.map(|(content, _)| SecretLink::parse(&content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const WHOLE: &str = r#"{"owner": "alice", "role": "editor", "place": "~alice/Work/Projects", "label": "phone",
        "made": "2026-11-23T20:00:00Z", "expires": "2027-01-01T00:00:00Z",
        "used": {"at": "2026-11-23T21:00:00Z", "by": "curl/8"}}"#;

    #[test]
    fn a_file_goes_round() {
        let link = SecretLink::parse(WHOLE.as_bytes()).expect("a link");
        assert_eq!(link.place.to_string(), "alice/Work/Projects");
        assert_eq!(SecretLink::parse(&serde_json::to_vec(&link).expect("JSON")), Ok(link));
        let bare = r#"{"owner": "alice", "role": "viewer", "place": "~*", "made": "2026-11-23T20:00:00Z"}"#;
        let link = SecretLink::parse(bare.as_bytes()).expect("a link");
        assert_eq!(SecretLink::parse(&serde_json::to_vec(&link).expect("JSON")), Ok(link));
    }

    #[test]
    fn a_links_place_is_spelled_as_commands_take_it_and_a_user_called_public_is_not_the_public_tree() {
        for (text, spelled) in [
            ("~*", "~*"),
            ("~alice", "alice"),
            ("alice/Work", "alice/Work"),
            ("public/Holidays", "public/Holidays"),
            ("~public/Holidays", "~public/Holidays"),
        ] {
            let place: LinkPlace = text.parse().expect("a place");
            assert_eq!(place.to_string(), spelled);
            assert_eq!(spelled.parse::<LinkPlace>().ok(), Some(place));
        }
    }

    #[test]
    fn a_mistake_in_the_file_grants_nothing() {
        for (from, to, says) in [
            ("\"role\"", "\"rolle\"", "unknown field"),
            ("\"editor\"", "\"master\"", "a link's role is"),
            ("\"editor\"", "\"contributor\"", "a link's role is"),
            ("\"editor\"", "\"none\"", "a link's role is"),
            ("\"editor\"", "\"editr\"", "unknown role"),
            ("~alice/Work", "~alice/../Work", "not a place"),
            ("\"2027-01-01T00:00:00Z\"", "null", "expected a string"),
            ("\"2027-01-01T00:00:00Z\"", "\"never\"", "failed to parse"),
            ("\"expires\": \"2027-01-01T00:00:00Z\",", "", "needs an expiry"),
            ("\"owner\": \"alice\",", "", "missing field"),
            ("phone", "pho\\nne", "control characters"),
            ("}}", "}", "EOF"),
        ] {
            let text = WHOLE.replacen(from, to, 1);
            assert_ne!(text, WHOLE);
            let error = SecretLink::parse(text.as_bytes()).expect_err(&text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_link_is_dead_from_its_expiry_on() {
        let link = SecretLink::parse(WHOLE.as_bytes()).expect("a link");
        for (now, dead) in [("2026-12-31T23:59:59Z", false), ("2027-01-01T00:00:00Z", true)] {
            assert_eq!(link.is_expired(now.parse().expect("a time")), dead, "{now}");
        }
    }

    #[test]
    fn a_use_that_is_written_down_late_brings_no_revoked_link_back() {
        let data = tempfile::tempdir().expect("a directory");
        let config = Config { data: data.path().to_owned(), ..Config::default() };
        let store = Store::open_tree(&config).expect("a store");
        let (id, now) = (LinkId::of([1; 32]), "2026-11-23T20:00:00Z".parse().expect("a time"));
        let link = SecretLink::asked("alice", "~*", "viewer", "", None, now).expect("a link");
        let used = Used { at: now, by: "curl/8".to_owned() };
        store.add_link(&id, &link).expect("added");
        store.note_link_use(&id, used.clone()).expect("noted");
        let noted = SecretLink { used: Some(used.clone()), ..link };
        assert_eq!(store.link(&id).expect("read"), Some(noted));
        store.revoke_link(&id).expect("revoked");
        store.note_link_use(&id, used).expect("nothing to note");
        assert_eq!(store.link(&id).expect("read"), None);
        assert!(store.links().expect("listed").is_empty());
    }

    #[test]
    fn an_expiry_is_a_time_or_the_end_of_a_day() {
        for (text, time) in
            [("2027-01-31", "2027-02-01T00:00:00Z"), ("2027-01-31T12:00:00+01:00", "2027-01-31T11:00:00Z")]
        {
            assert_eq!(expiry(text).ok(), time.parse().ok(), "{text}");
        }
        for text in ["", "soon", "2027-02-30", "9999-12-31", "31.1.2027"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_is_sixty_four_hexadecimal_digits() {
        let id = LinkId::of([0xab; 32]);
        assert_eq!(LinkId::read(&"ab".repeat(32)), Some(id));
        for stem in ["", "ab", &"AB".repeat(32), &"zz".repeat(32), &"ab".repeat(33)] {
            assert_eq!(LinkId::read(stem), None, "{stem}");
        }
    }
}
