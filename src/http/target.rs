//! Turns a URL path into what it names, and back. The only place that knows the URL forms.
//!
//! A `Target` holds checked names only; whether anything is there, and who may see it, is the store's to say.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, Result};
use crate::store::place::{Home, Name, Path, Place};

/// What a path segment need not escape: `pchar` of RFC 3986 §3.3, which is unreserved, sub-delims, `:` and `@`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// How many names a path may have below a home, and how many bytes together: with the data directory before it,
/// a longer one would not fit what the system takes as a path (4096 bytes), and would be an error of the server.
const MAX_DEPTH: usize = 32;
const MAX_BYTES: usize = 3000;

/// What every URL of ours starts with, and the domain of our users.
#[derive(Debug, Clone, Default)]
pub struct Urls {
    base: String,
    prefix: String,
    prefix_names: Vec<String>,
    domain: Option<String>,
}

impl Urls {
    /// From the configuration: `base_url` with scheme, host and path prefix, and the domain of our users.
    pub fn new(base_url: Option<&str>, domain: Option<&str>) -> Urls {
        let base_url = base_url.unwrap_or("");
        let host = base_url.find("://").map_or(0, |at| at + "://".len());
        let (origin, path) = match base_url[host..].find('/') {
            Some(at) => base_url.split_at(host + at),
            None => (base_url, ""),
        };
        let names = path.split('/').filter(|name| !name.is_empty());
        let prefix_names: Vec<_> =
            names.map(|name| decode(name).unwrap_or_else(|| name.to_owned())).collect();
        let prefix: String = prefix_names.iter().map(|name| format!("/{}", encode(name))).collect();
        Urls { base: format!("{origin}{prefix}"), prefix, prefix_names, domain: domain.map(str::to_owned) }
    }

    /// Scheme, host and path prefix without a slash at the end, or nothing if no `base_url` is configured.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The user whom `text` names after a `~`: `alice`, or `alice@example.org` if that domain is ours.
    ///
    /// Where no domain is configured, an `@` is a character like others: some directories have it in account names.
    fn user(&self, text: &str) -> Option<Name> {
        match (&self.domain, text.rsplit_once('@')) {
            (Some(ours), Some((user, domain))) if domain.eq_ignore_ascii_case(ours) => Name::new(user),
            (Some(_), Some(_)) => None,
            _ => Name::new(text),
        }
    }

    /// The segment that [`Urls::user`] reads, with its `~`.
    fn user_segment(&self, user: &Name) -> String {
        match &self.domain {
            Some(domain) if user.as_str().contains('@') => {
                format!("~{}@{}", encode(user.as_str()), encode(domain))
            }
            _ => format!("~{}", encode(user.as_str())),
        }
    }
}

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

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// `/`
    Page,
    /// `/robots.txt`
    Robots,
    Calendar(CalendarTarget),
    Collection(Collection),
    /// `freebusy.ifb`, and `.vfb` and `.xfb`, which clients probe for.
    Freebusy(Owner),
}

impl Target {
    /// What the path of a URL names, as it stands in the request: percent-encoded, without the query.
    ///
    /// The path prefix of `base_url` may be there, or a proxy may have taken it off. What is no address of ours,
    /// or holds a name against the rules, is nothing.
    pub fn parse(raw_path: &str, urls: &Urls) -> Option<Target> {
        let path = raw_path.strip_prefix('/')?;
        let (path, slash) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        let decoded: Vec<String> = match path {
            "" if slash => return None,
            "" => Vec::new(),
            path => path.split('/').map(decode).collect::<Option<_>>()?,
        };
        let names: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let inner = strip(&names, &urls.prefix_names);
        inner.and_then(|inner| parse_names(inner, slash, urls)).or_else(|| parse_names(&names, slash, urls))
    }

    /// The path of the URL, with the prefix of `base_url`: what DAV hrefs hold (RFC 4918 §8.3), and what [`Target::parse`] reads.
    pub fn href(&self, urls: &Urls) -> String {
        format!("{}{}", urls.prefix, self.path(urls))
    }

    /// The whole URL if a `base_url` is configured, else its path.
    pub fn url(&self, urls: &Urls) -> String {
        format!("{}{}", urls.base, self.path(urls))
    }

    fn path(&self, urls: &Urls) -> String {
        let top = |owner: &Owner| match owner {
            Owner::Me => "/ical".to_owned(),
            Owner::User(user) => format!("/ical/{}", urls.user_segment(user)),
        };
        let under = |names: &[Name]| -> String {
            names.iter().map(|name| format!("/{}", encode(name.as_str()))).collect()
        };
        match self {
            Target::Page => "/".to_owned(),
            Target::Robots => "/robots.txt".to_owned(),
            Target::Freebusy(owner) => format!("{}/freebusy.ifb", top(owner)),
            Target::Calendar(CalendarTarget::Main(owner)) => format!("{}/main.ics", top(owner)),
            Target::Calendar(CalendarTarget::Folder(owner, names)) => {
                format!("{}/folder{}.ics", top(owner), under(names))
            }
            Target::Calendar(CalendarTarget::Public(names)) => format!("/ical/pf{}.ics", under(names)),
            Target::Collection(Collection::Top(owner)) => format!("{}/", top(owner)),
            Target::Collection(Collection::Folder(owner, names)) => {
                format!("{}/folder{}/", top(owner), under(names))
            }
            Target::Collection(Collection::Public(names)) => format!("/ical/pf{}/", under(names)),
        }
    }
}

fn encode(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// One segment without its percent-encoding; nothing if that is broken, or what comes out is empty or no UTF-8.
fn decode(segment: &str) -> Option<String> {
    let whole =
        |escape: &str| escape.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if segment.is_empty() || !segment.split('%').skip(1).all(whole) {
        return None;
    }
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// What follows `prefix` in `names`.
fn strip<'a, 'b>(names: &'a [&'b str], prefix: &[String]) -> Option<&'a [&'b str]> {
    let (start, rest) = names.split_at_checked(prefix.len())?;
    start.iter().zip(prefix).all(|(name, prefix)| name == prefix).then_some(rest)
}

fn parse_names(names: &[&str], slash: bool, urls: &Urls) -> Option<Target> {
    match names {
        [] => Some(Target::Page),
        ["robots.txt"] if !slash => Some(Target::Robots),
        ["ical", "pf", path @ ..] => parse_path(path, slash, Collection::Public, CalendarTarget::Public),
        ["ical", user, rest @ ..] if user.starts_with('~') => {
            parse_owned(Owner::User(urls.user(&user[1..])?), rest, slash)
        }
        ["ical", rest @ ..] => parse_owned(Owner::Me, rest, slash),
        _ => None,
    }
}

fn parse_owned(owner: Owner, names: &[&str], slash: bool) -> Option<Target> {
    match names {
        [] => Some(Target::Collection(Collection::Top(owner))),
        ["folder", path @ ..] => parse_path(
            path,
            slash,
            |names| Collection::Folder(owner.clone(), names),
            |names| CalendarTarget::Folder(owner.clone(), names),
        ),
        ["freebusy.ifb" | "freebusy.vfb" | "freebusy.xfb"] if !slash => Some(Target::Freebusy(owner)),
        [file] if !slash && calendar_name(file) == Some("main") => {
            Some(Target::Calendar(CalendarTarget::Main(owner)))
        }
        _ => None,
    }
}

/// A calendar if the last segment says `.ics`, else a folder.
fn parse_path(
    path: &[&str],
    slash: bool,
    folder: impl Fn(Vec<Name>) -> Collection,
    calendar: impl Fn(Vec<Name>) -> CalendarTarget,
) -> Option<Target> {
    if path.len() > MAX_DEPTH || path.iter().map(|name| name.len() + 1).sum::<usize>() > MAX_BYTES {
        return None;
    }
    let Some((stem, parents)) = path.split_last().and_then(|(last, up)| Some((calendar_name(last)?, up)))
    else {
        let names = path.iter().map(|name| Name::new(name)).collect::<Option<_>>()?;
        return Some(Target::Collection(folder(names)));
    };
    if slash {
        return None;
    }
    let names = parents.iter().chain([&stem]).map(|name| Name::new(name)).collect::<Option<_>>()?;
    Some(Target::Calendar(calendar(names)))
}

/// What stands before `.ics`.
fn calendar_name(segment: &str) -> Option<&str> {
    segment.strip_suffix(".ics").or_else(|| segment.strip_suffix(".ICS"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|text| name(text)).collect()
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn user(text: &str) -> Owner {
        Owner::User(name(text))
    }

    fn calendar(owner: Owner, path: &[&str]) -> Target {
        Target::Calendar(CalendarTarget::Folder(owner, names(path)))
    }

    fn ours() -> Urls {
        Urls::new(Some("https://cal.example.org"), Some("example.org"))
    }

    #[test]
    fn every_address_has_one_meaning() {
        let main = |owner| Target::Calendar(CalendarTarget::Main(owner));
        let top = |owner| Target::Collection(Collection::Top(owner));
        let folder = |owner, path: &[&str]| Target::Collection(Collection::Folder(owner, names(path)));
        let public = |path: &[&str]| Target::Calendar(CalendarTarget::Public(names(path)));
        let public_folder = |path: &[&str]| Target::Collection(Collection::Public(names(path)));
        for (path, target) in [
            ("/", Target::Page),
            ("/robots.txt", Target::Robots),
            ("/ical/main.ics", main(Owner::Me)),
            ("/ical/main.ICS", main(Owner::Me)),
            ("/ical/~bob/main.ics", main(user("bob"))),
            ("/ical/%7Ebob/main.ics", main(user("bob"))),
            ("/ical/%7ebob/main.ics", main(user("bob"))),
            ("/ical/~bob@example.org/main.ics", main(user("bob"))),
            ("/ical/~bob%40EXAMPLE.Org/main.ics", main(user("bob"))),
            ("/ical/folder/Work.ics", calendar(Owner::Me, &["Work"])),
            ("/ical/folder/Work/Projects.ics", calendar(Owner::Me, &["Work", "Projects"])),
            ("/ical/~bob/folder/a/b/c.ICS", calendar(user("bob"), &["a", "b", "c"])),
            ("/ical/folder/x.ics.ics", calendar(Owner::Me, &["x.ics"])),
            ("/ical/folder/x.ics/y.ics", calendar(Owner::Me, &["x.ics", "y"])),
            ("/ical/folder/a%20b+c.ics", calendar(Owner::Me, &["a b+c"])),
            ("/ical/folder/%23%2520.ics", calendar(Owner::Me, &["#%20"])),
            ("/ical/folder/Mu%CC%88ller.ics", calendar(Owner::Me, &["M\u{fc}ller"])),
            ("/ical/folder/M\u{fc}ller.ics", calendar(Owner::Me, &["M\u{fc}ller"])),
            ("/ical/folder/main.ics", calendar(Owner::Me, &["main"])),
            ("/ical/pf/Holidays.ics", public(&["Holidays"])),
            ("/ical/pf/Town/Bins.ics", public(&["Town", "Bins"])),
            ("/ical", top(Owner::Me)),
            ("/ical/", top(Owner::Me)),
            ("/ical/~bob", top(user("bob"))),
            ("/ical/~bob/", top(user("bob"))),
            ("/ical/folder", folder(Owner::Me, &[])),
            ("/ical/folder/Work/", folder(Owner::Me, &["Work"])),
            ("/ical/~bob/folder/Work", folder(user("bob"), &["Work"])),
            ("/ical/pf/", public_folder(&[])),
            ("/ical/pf/Town", public_folder(&["Town"])),
            ("/ical/freebusy.ifb", Target::Freebusy(Owner::Me)),
            ("/ical/~bob/freebusy.vfb", Target::Freebusy(user("bob"))),
            ("/ical/~bob/freebusy.xfb", Target::Freebusy(user("bob"))),
        ] {
            assert_eq!(Target::parse(path, &ours()), Some(target), "{path}");
        }
    }

    #[test]
    fn what_is_no_address_names_nothing() {
        for path in [
            "",
            "*",
            "ical/main.ics",
            "//",
            "//ical/main.ics",
            "/robots.txt/",
            "/index.html",
            "/ical//main.ics",
            "/ical/main.ics/",
            "/ical/main.Ics",
            "/ical/Main.ics",
            "/ical/other.ics",
            "/ical/main",
            "/ical/~",
            "/ical/~/main.ics",
            "/ical/~~bob/main.ics",
            "/ical/~bob@example.com/main.ics",
            "/ical/~@example.org/main.ics",
            "/ical/~bob/pf/Holidays.ics",
            "/ical/~bob/secret.ifb",
            "/ical/~../main.ics",
            "/ical/~..%2Falice/main.ics",
            "/ical/folder/.ics",
            "/ical/folder/../main.ics",
            "/ical/folder/%2e%2e/x.ics",
            "/ical/folder/..%2f..%2fetc%2fpasswd.ics",
            "/ical/folder/a%2Fb.ics",
            "/ical/folder/a%5Cb.ics",
            "/ical/folder/a%00.ics",
            "/ical/folder/a%0A.ics",
            "/ical/folder/a%FF.ics",
            "/ical/folder/a%2.ics",
            "/ical/folder/a%.ics",
            "/ical/folder/a%zz.ics",
            "/ical/folder/.history/x.ics",
            "/ical/folder/Work.ics/",
            "/ical/folder/Work//",
            "/ical/folder//Work.ics",
            "/ical/folder/end%20.ics",
            "/ical/pf/~bob/x.ics",
        ] {
            assert_eq!(Target::parse(path, &ours()), None, "{path}");
        }
    }

    #[test]
    fn a_path_too_long_for_the_system_names_nothing() {
        let deep = |depth| format!("/ical/folder{}.ics", "/a".repeat(depth));
        assert!(Target::parse(&deep(MAX_DEPTH), &ours()).is_some());
        assert_eq!(Target::parse(&deep(MAX_DEPTH + 1), &ours()), None);
        let wide = format!("/ical/folder{}", format!("/{}", "x".repeat(250)).repeat(12));
        assert_eq!(Target::parse(&wide, &ours()), None);
    }

    #[test]
    fn the_prefix_may_be_there_or_taken_off() {
        let urls = Urls::new(Some("https://example.org/my%20cal/v1"), None);
        let main = Some(Target::Calendar(CalendarTarget::Main(Owner::Me)));
        for path in ["/my%20cal/v1/ical/main.ics", "/my%20c%61l/v1/ical/main.ics", "/ical/main.ics"] {
            assert_eq!(Target::parse(path, &urls), main, "{path}");
        }
        for path in ["/my%20cal/v1", "/my%20cal/v1/", "/"] {
            assert_eq!(Target::parse(path, &urls), Some(Target::Page), "{path}");
        }
        assert_eq!(Target::parse("/v1/ical/main.ics", &urls), None);
        assert_eq!(Target::parse("/my%20calx/v1/ical/main.ics", &urls), None);
    }

    #[test]
    fn urls_start_with_the_base_and_hrefs_with_its_prefix() {
        let target = calendar(user("bob"), &["a b", "\u{e9}&'\"?"]);
        let path = "/ical/~bob/folder/a%20b/%C3%A9&'%22%3F.ics";
        for (base, prefix) in [
            (None, ""),
            (Some("https://h:8443"), ""),
            (Some("https://h/cal"), "/cal"),
            (Some("http://h/a b"), "/a%20b"),
        ] {
            let urls = Urls::new(base, None);
            assert_eq!(target.href(&urls), format!("{prefix}{path}"));
            let base = base.unwrap_or("").replace(' ', "%20");
            assert_eq!(target.url(&urls), format!("{base}{path}"));
            assert_eq!(urls.base(), base);
        }
    }

    #[test]
    fn an_account_name_with_a_domain_of_its_own_stays_whole_where_none_is_configured() {
        let urls = Urls::new(None, None);
        let main = Target::Calendar(CalendarTarget::Main(user("bob@ad.example.org")));
        assert_eq!(Target::parse("/ical/~bob@ad.example.org/main.ics", &urls), Some(main));
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
        let urls = ours();
        let folder = Collection::Folder(user("bob"), names(&["Work"]));
        let href = |target: Option<Target>| target.map(|target| target.href(&urls));
        let member = name("A b");
        assert_eq!(href(folder.calendar(&member)).as_deref(), Some("/ical/~bob/folder/Work/A%20b.ics"));
        assert_eq!(href(folder.folder(&member)).as_deref(), Some("/ical/~bob/folder/Work/A%20b/"));
        assert_eq!(Collection::Top(Owner::Me).calendar(&member), None);
        assert_eq!(Collection::Top(Owner::Me).folder(&member), None);
    }

    fn any_name() -> impl Strategy<Value = Name> {
        prop_oneof!["[ -~]{1,12}", "\\PC{1,12}", "[a-c.%+~@]{1,6}"]
            .prop_filter_map("against the name rules", |text| Name::new(&text))
    }

    fn any_owner() -> impl Strategy<Value = Owner> {
        prop_oneof![Just(Owner::Me), any_name().prop_map(Owner::User)]
    }

    fn any_target() -> impl Strategy<Value = Target> {
        let path = || prop::collection::vec(any_name(), 1..5);
        // A folder whose name ends in .ics has no address of its own, only what lies below it has.
        let folder = || {
            prop::collection::vec(any_name(), 0..5).prop_filter("a calendar's address", |names| {
                names.last().is_none_or(|last| calendar_name(last.as_str()).is_none())
            })
        };
        prop_oneof![
            Just(Target::Page),
            Just(Target::Robots),
            any_owner().prop_map(Target::Freebusy),
            any_owner().prop_map(|owner| Target::Calendar(CalendarTarget::Main(owner))),
            (any_owner(), path())
                .prop_map(|(owner, path)| Target::Calendar(CalendarTarget::Folder(owner, path))),
            path().prop_map(|path| Target::Calendar(CalendarTarget::Public(path))),
            any_owner().prop_map(|owner| Target::Collection(Collection::Top(owner))),
            (any_owner(), folder())
                .prop_map(|(owner, path)| Target::Collection(Collection::Folder(owner, path))),
            folder().prop_map(|path| Target::Collection(Collection::Public(path))),
        ]
    }

    fn any_urls() -> impl Strategy<Value = Urls> {
        let base = prop::sample::select(vec![
            None,
            Some("https://h"),
            Some("https://h/cal/x"),
            Some("http://h/ical"),
        ]);
        let domain = prop::sample::select(vec![None, Some("example.org")]);
        (base, domain).prop_map(|(base, domain)| Urls::new(base, domain))
    }

    proptest! {
        #[test]
        fn an_address_goes_round(target in any_target(), urls in any_urls()) {
            let href = target.href(&urls);
            prop_assert!(href.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(Target::parse(&href, &urls), Some(target), "{}", href);
        }

        #[test]
        fn no_path_is_taken_that_is_not_written_back_as_itself(
            path in prop_oneof!["\\PC*", "/ical/(folder|pf|~b|%7e)?/[a-b./%0-9]{0,12}(\\.ics)?/?", "[/%.~a-c]{0,20}"],
            urls in any_urls(),
        ) {
            if let Some(target) = Target::parse(&path, &urls) {
                prop_assert_eq!(Target::parse(&target.href(&urls), &urls), Some(target));
            }
        }
    }
}
