//! One typed configuration, complete and checked at start. An unknown key or a bad value is an error with file, line and key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::ical::tz;

/// Everything an admin can set. Relative paths in the file start at its directory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// The cache directory; without one, see [`Config::cache`].
    pub cache: Option<PathBuf>,
    /// `ADDRESS:PORT`, or `unix:PATH`.
    pub listen: String,
    /// Scheme, host and path prefix as clients see them, without a slash at the end; used in every URL we write.
    pub base_url: Option<String>,
    /// The domain of our users: `~alice@<domain>` is `~alice`, and `alice@<domain>` their mail address.
    pub domain: Option<String>,
    /// The name of the public tree's directory in the data directory.
    pub public_root: String,
    /// The time zone of the server's users (IANA), where a calendar names none.
    pub time_zone: Option<String>,
    /// Whether `.ics` addresses are served.
    pub icalendar: bool,
    /// Whether free/busy addresses are served.
    pub freebusy: bool,
    /// How many weeks ahead free/busy reaches where nothing else is asked for.
    pub freebusy_weeks: u32,
    /// Further mail addresses of users, beside `user@domain`: by them they are found among those who are invited.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// How much memory loaded calendars may take, in megabytes.
    pub cache_mb: usize,
    /// How changes behind the server are noticed.
    pub watch: Watch,
    /// How many days a replaced or removed item stays in the history.
    pub history_days: u32,
    /// How many megabytes each home's history may take.
    pub history_mb: u64,
    /// Peers whose Forwarded or X-Forwarded-For header is believed, and that may pass passwords on over plain HTTP.
    pub proxies: Vec<Proxy>,
    /// How many connections one address may have at once; those of `proxies` are not counted.
    pub connections_per_address: usize,
    pub auth: Auth,
}

/// How passwords are checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    pub method: Method,
    /// The PAM service, which is the name of a file in `/etc/pam.d`.
    pub service: String,
    /// A directory to read the PAM service file from instead of `/etc/pam.d`.
    pub service_directory: Option<PathBuf>,
    /// `method = "file"`: lines `user:hash`, with bcrypt or argon2id hashes.
    pub file: Option<PathBuf>,
    /// `method = "file"`: lines `group: user user`; without it groups are the system's.
    pub groups: Option<PathBuf>,
    /// `method = "pam"`: accounts with a lower uid cannot log in.
    pub min_uid: u32,
    /// For how many seconds a good login is remembered.
    pub cache_seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Pam,
    File,
}

/// A peer that stands for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// As peers are compared: a dual-stack socket has IPv4 addresses as `::ffff:192.0.2.1`, here they are IPv4.
    At(IpAddr),
    /// Whoever connects to the Unix socket.
    Unix,
}

/// How changes behind the server are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watch {
    /// By inotify where it sees everything, else as `Poll`.
    Auto,
    /// By comparing on access, at most a second late.
    Poll,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: PathBuf::from("/var/lib/kalends"),
            cache: None,
            listen: "127.0.0.1:5545".to_owned(),
            base_url: None,
            domain: None,
            public_root: "public".to_owned(),
            time_zone: None,
            icalendar: true,
            freebusy: true,
            freebusy_weeks: 8,
            aliases: BTreeMap::new(),
            cache_mb: 512,
            watch: Watch::Auto,
            history_days: 30,
            history_mb: 100,
            proxies: Vec::new(),
            connections_per_address: 256,
            auth: Auth::default(),
        }
    }
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            method: Method::Pam,
            service: "kalends".to_owned(),
            service_directory: None,
            file: None,
            groups: None,
            min_uid: 1000,
            cache_seconds: 300,
        }
    }
}

/// What the path of a Unix socket stands behind in `listen`.
pub const UNIX: &str = "unix:";

/// Where the configuration is looked for when no other place is named.
pub const SYSTEM_FILE: &str = "/etc/kalends/kalends.toml";

/// The cache directory of the shipped unit, and the variable by which systemd tells the server of it.
const SYSTEM_CACHE: &str = "/var/cache/kalends";
const CACHE_DIRECTORY: &str = "CACHE_DIRECTORY";

/// A data directory may bring its own configuration under this name, as `data-example` does.
pub const FILE_IN_DATA: &str = "kalends.toml";

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// `Error::Config` with file, line and key.
    pub fn read(file: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Error::Config(format!("{}: {error}", file.display())))?;
        Config::parse_at(file, &text)
            .map_err(|(line, message)| Error::Config(format!("{}:{line}: {message}", file.display())))
    }

    /// As [`Config::parse`], for the text that is in `file`.
    fn parse_at(file: &Path, text: &str) -> Result<Config, (usize, String)> {
        let mut config = Config::parse(text)?;
        config.anchor(file.parent().unwrap_or(Path::new("")));
        if file == Path::new(SYSTEM_FILE) && variable(CACHE_DIRECTORY).is_none() {
            // The unit's, which only the server is told of: commands read there what it has kept.
            config.cache.get_or_insert_with(|| PathBuf::from(SYSTEM_CACHE));
        }
        Ok(config)
    }

    /// The configuration for a command: `--config`, else the data directory's own, else defaults for it, else the system's.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn find(config: Option<&Path>, data: Option<&Path>) -> Result<Config> {
        let own = data.map(|data| data.join(FILE_IN_DATA)).filter(|own| own.exists());
        let file = config.map(Path::to_path_buf).or(own);
        let mut found = match (file, data) {
            (Some(file), _) => Config::read(&file)?,
            (None, Some(_)) => Config::default(),
            (None, None) => Config::read(Path::new(SYSTEM_FILE))?,
        };
        if let Some(data) = data {
            found.data = data.to_path_buf();
        }
        Ok(found)
    }

    /// The cache directory: the configured one, else systemd's `$CACHE_DIRECTORY`, else one of the user's own.
    pub fn cache(&self) -> PathBuf {
        let home = || variable("HOME").map(|home| home.join(".cache"));
        self.cache
            .clone()
            .or_else(|| variable(CACHE_DIRECTORY))
            .or_else(|| variable("XDG_CACHE_HOME").or_else(home).map(|cache| cache.join("kalends")))
            .unwrap_or_else(|| PathBuf::from(SYSTEM_CACHE))
    }

    /// The configuration in `text`, or the line (from 1) and what is wrong there.
    fn parse(text: &str) -> Result<Config, (usize, String)> {
        let config: Config = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let message = error.message().trim_end();
            (line, key_in(text, line).map_or(message.to_owned(), |key| format!("{key}: {message}")))
        })?;
        config.check().map_err(|(key, message)| {
            let table = key.rsplit_once('.').map(|(table, _)| table);
            let sets =
                |name: &str| (1..=text.lines().count()).find(|at| key_in(text, *at).as_deref() == Some(name));
            let line = sets(&key).or_else(|| sets(table?)).unwrap_or(1);
            (line, format!("{key}: {message}"))
        })?;
        Ok(config)
    }

    /// What serde cannot check: the key and what is wrong with it.
    fn check(&self) -> Result<(), (Cow<'static, str>, String)> {
        self.check_numbers()?;
        if self.auth.method == Method::File && self.auth.file.is_none() {
            return Err(("auth.method".into(), "\"file\" needs auth.file".to_owned()));
        }
        let mut aliases = self.aliases.iter().flat_map(|(user, all)| all.iter().map(move |it| (user, it)));
        if let Some((user, bad)) = aliases.find(|(_, address)| !is_address(address)) {
            return Err((
                format!("aliases.{user}").into(),
                format!("mail addresses as al@example.org, not \"{bad}\""),
            ));
        }
        if self.cache.as_ref().is_some_and(|cache| cache.as_os_str().is_empty()) {
            return Err(("cache".into(), "a directory, not \"\"".to_owned()));
        }
        if !is_listenable(&self.listen) {
            return Err(("listen".into(), format!("ADDRESS:PORT or unix:PATH, not \"{}\"", self.listen)));
        }
        if let Some(domain) = self.domain.as_ref().filter(|domain| !is_address(&format!("x@{domain}"))) {
            return Err(("domain".into(), format!("what follows the @ in mail addresses, not \"{domain}\"")));
        }
        if !is_beside_users(&self.public_root) {
            let root = &self.public_root;
            return Err((
                "public_root".into(),
                format!("the name of a directory beside users, not \"{root}\""),
            ));
        }
        if let Some(url) = self.base_url.as_ref().filter(|url| !is_base(url)) {
            let words = format!("http(s)://host/prefix without a slash at the end, not \"{url}\"");
            return Err(("base_url".into(), words));
        }
        if let Some(zone) = self.time_zone.as_ref().filter(|zone| tz::zone(zone).is_none()) {
            return Err(("time_zone".into(), format!("an IANA zone, not \"{zone}\"")));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), (Cow<'static, str>, String)> {
        for (key, range, number) in [
            ("auth.cache_seconds", 1..=300, self.auth.cache_seconds),
            // Clients want six weeks at least (CalConnect CC/S 0903).
            ("freebusy_weeks", 6..=104, self.freebusy_weeks.into()),
            ("cache_mb", 1..=1_000_000, self.cache_mb as u64),
            ("connections_per_address", 1..=1_000_000, self.connections_per_address as u64),
            ("history_days", 0..=36_500, self.history_days.into()),
            ("history_mb", 0..=1_000_000, self.history_mb),
        ] {
            if !range.contains(&number) {
                return Err((key.into(), format!("{} to {}, not {number}", range.start(), range.end())));
            }
        }
        Ok(())
    }

    /// Makes relative paths start at `directory`.
    fn anchor(&mut self, directory: &Path) {
        let Auth { file, groups, service_directory, .. } = &mut self.auth;
        let optional = [&mut self.cache, file, groups, service_directory];
        for path in optional.into_iter().flatten().chain([&mut self.data]) {
            *path = directory.join(&*path);
        }
        if let Some(path) = self.listen.strip_prefix(UNIX) {
            self.listen = format!("{UNIX}{}", directory.join(path).display());
        }
    }
}

/// A path in the environment.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Proxy, D::Error> {
        deserializer.deserialize_str(Words)
    }
}

/// How a [`Proxy`] is written. A visitor, since the mistakes that it finds have their line.
struct Words;

impl Visitor<'_> for Words {
    type Value = Proxy;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an IP address or \"unix\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Proxy, E> {
        if text == "unix" {
            return Ok(Proxy::Unix);
        }
        let address: Result<IpAddr, _> = text.parse();
        let mistake = |_| E::invalid_value(Unexpected::Str(text), &self);
        address.map(|address| Proxy::At(address.to_canonical())).map_err(mistake)
    }
}

/// The line, from 1, in which the byte at `at` is.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The key that is set in a line of the text, or in the last before it; nothing for the head of a table.
fn key_in(text: &str, line: usize) -> Option<String> {
    let (mut table, mut key) = (String::new(), None);
    for line in text.lines().take(line).map(str::trim_start) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            (table, key) = (format!("{}.", name.0), None);
        } else if let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            key = Some(name.trim_end());
        }
    }
    key.map(|key| format!("{table}{key}"))
}

/// Whether something can be listened at: `ADDRESS:PORT` or `unix:PATH`.
fn is_listenable(text: &str) -> bool {
    match text.strip_prefix(UNIX) {
        Some(path) => !path.is_empty(),
        None => text.parse::<SocketAddr>().is_ok(),
    }
}

/// Whether a directory can have this name beside the data directory's others.
fn is_beside_users(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('/') && !matches!(name, "users" | "links")
}

/// Whether addresses can be written behind it.
fn is_base(url: &str) -> bool {
    let known = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    known && !url.ends_with('/') && !url.contains(['?', '#', ' ', '"', '<', '>'])
}

/// Whether it is a mail address, and that alone.
fn is_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('@').collect();
    matches!(*parts.as_slice(), [local, domain] if !local.is_empty() && !domain.is_empty())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '<' | '>' | ','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = Config::parse("").expect("defaults");
        assert_eq!(config.listen, "127.0.0.1:5545");
        assert_eq!(config.auth.method, Method::Pam);
    }

    #[test]
    fn a_proxy_is_the_same_however_its_address_is_written() {
        let text = "proxies = [\"::ffff:192.0.2.1\", \"192.0.2.2\", \"unix\", \"2001:db8::1\"]";
        let at = |text: &str| Proxy::At(text.parse().expect("an address"));
        assert_eq!(
            Config::parse(text).expect("proxies").proxies,
            [at("192.0.2.1"), at("192.0.2.2"), Proxy::Unix, at("2001:db8::1")]
        );
    }

    #[test]
    fn relative_paths_start_at_the_files_directory() {
        for (text, listen) in [
            ("listen = \"unix:socket\"", "unix:/etc/kalends/socket"),
            ("listen = \"unix:/run/socket\"", "unix:/run/socket"),
            ("listen = \"[::1]:5545\"", "[::1]:5545"),
        ] {
            let file = Path::new("/etc/kalends/other.toml");
            let config = Config::parse_at(file, &format!("data = \"tree\"\n{text}")).expect(text);
            assert_eq!(
                (config.listen.as_str(), config.data.as_path()),
                (listen, Path::new("/etc/kalends/tree"))
            );
        }
    }

    #[test]
    fn commands_have_the_cache_of_the_shipped_unit() {
        let unit = include_str!("../systemd/kalends.service");
        assert!(unit.contains("CacheDirectory=kalends\n") && SYSTEM_CACHE == "/var/cache/kalends");
        for (file, text, cache) in [
            (SYSTEM_FILE, "", Some(SYSTEM_CACHE)),
            (SYSTEM_FILE, "cache = \"/srv/cache\"", Some("/srv/cache")),
            ("/srv/kalends.toml", "", None),
        ] {
            let config = Config::parse_at(Path::new(file), text).expect(text);
            assert_eq!(config.cache.as_deref(), cache.map(Path::new), "{file} {text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_key() {
        for (text, line, says) in [
            ("data = \"/x\"\ncolour = 1\n", 2, "unknown field `colour`"),
            ("\n[auth]\nmetod = \"pam\"\n", 3, "unknown field `metod`"),
            ("[auth]\nmethod = \"ldap\"\n", 2, "auth.method: unknown variant `ldap`"),
            ("[auth]\nmin_uid = -1\n", 2, "auth.min_uid: invalid value"),
            ("domain = \"x\"\nproxies = [\n\"x\"\n]\n", 3, "proxies: "),
            ("data = \"/x\"\n[auht]\nmethod = \"pam\"\n", 2, "unknown field `auht`"),
            ("listen = \"5545\"\n", 1, "listen: ADDRESS:PORT"),
            ("listen = \"unix:\"\n", 1, "listen: ADDRESS:PORT"),
            ("domain = \"a b\"\n", 1, "domain: what follows the @"),
            ("[auth]\n\ncache_seconds = 90000\n", 3, "auth.cache_seconds: 1 to 300, not 90000"),
            ("[auth]\nmethod = \"file\"\n", 2, "needs auth.file"),
            ("base_url = \"cal.example.org\"", 1, "base_url: http(s)://"),
            ("time_zone = \"Mars/Base\"", 1, "time_zone: an IANA zone"),
            ("public_root = \"users\"", 1, "public_root"),
            ("freebusy_weeks = 5", 1, "freebusy_weeks: 6 to 104, not 5"),
            ("[aliases]\nalice = \"al@example.org\"", 2, "sequence"),
            ("\n[aliases]\nalice = [\"mailto:al@example.org\"]", 3, "aliases.alice: mail addresses"),
            ("[aliases]\nalice = [\"al@x.org\"]\nbob = [\"b\"]", 3, "aliases.bob: mail addresses"),
            ("cache_mb = 1\naliases = { bob = [\"b\"] }", 2, "aliases.bob: mail addresses"),
            ("cache_mb = 1\ncache = \"\"", 2, "cache: a directory"),
            ("cache_mb = 0", 1, "cache_mb: 1 to 1000000, not 0"),
            ("history_days = 36501", 1, "history_days: 0 to 36500, not 36501"),
            ("history_mb = 1000001", 1, "history_mb: 0 to 1000000, not 1000001"),
            ("connections_per_address = 0", 1, "connections_per_address: 1 to 1000000, not 0"),
            ("proxies = [\"localhost\"]", 1, "expected an IP address or \"unix\""),
            ("watch = \"inotify\"", 1, "watch: unknown variant `inotify`"),
            ("listen = ", 1, "string"),
        ] {
            let (found, message) = Config::parse(text).expect_err(text);
            assert_eq!(found, line, "{text}: {message}");
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
