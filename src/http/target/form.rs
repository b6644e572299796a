//! The URL forms: what they are, read and written.

use super::urls::{Urls, decode, encode};
use super::{Address, CalendarTarget, Collection, Owner, Target};
use crate::auth::Token;
use crate::store::place::Name;

/// The forms as people are shown them, with USER and PATH for what differs, and what each is.
pub const FORMS: [(&str, &str); 7] = [
    ("/ical/main.ics", "your calendar and your tasks in one"),
    ("/ical/folder/PATH.ics", "one of your calendars"),
    ("/ical/~USER/main.ics", "somebody else's calendar and tasks, if you may see them"),
    ("/ical/~USER/folder/PATH.ics", "one of somebody else's calendars, if you may see it"),
    ("/ical/pf/PATH.ics", "a public calendar"),
    ("/ical/~USER/freebusy.ifb", "when somebody is free or busy"),
    ("/ical/freebusy.ifb", "when you are free or busy"),
];

/// How many names a path may have below a home, and how many bytes together: with the data directory before it,
/// a longer one would not fit what the system takes as a path (4096 bytes), and would be an error of the server.
const MAX_DEPTH: usize = 32;
const MAX_BYTES: usize = 3000;

impl Address {
    /// What the path of a URL names, as it stands in the request: percent-encoded, without the query.
    ///
    /// The path prefix of `base_url` may be there, or a proxy may have taken it off. What is no address of ours,
    /// or holds a name against the rules, has no target.
    pub fn parse(raw_path: &str, urls: &Urls) -> Address {
        let Some((decoded, slash)) = split(raw_path) else { return Address::default() };
        let names: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let inner = urls.after_prefix(&names).map(|inner| parse_names(inner, slash, urls));
        match inner {
            Some(address) if address != Address::default() => address,
            _ => parse_names(&names, slash, urls),
        }
    }
}

/// The segments of a path, and whether it ends in a slash.
fn split(raw_path: &str) -> Option<(Vec<String>, bool)> {
    let path = raw_path.strip_prefix('/')?;
    let (path, slash) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
    let names = match path {
        "" if slash => return None,
        "" => Vec::new(),
        path => path.split('/').map(decode).collect::<Option<_>>()?,
    };
    Some((names, slash))
}

impl Target {
    /// The path of the URL, with the prefix of `base_url`: what DAV hrefs hold (RFC 4918 §8.3), and what [`Address::parse`] reads.
    pub fn href(&self, urls: &Urls) -> String {
        format!("{}{}", urls.prefix(), self.path(urls))
    }

    /// The whole URL if a `base_url` is configured, else its path.
    pub fn url(&self, urls: &Urls) -> String {
        format!("{}{}", urls.base(), self.path(urls))
    }

    fn path(&self, urls: &Urls) -> String {
        let top = |owner: &Owner| match owner {
            Owner::Me => urls.top().to_owned(),
            Owner::User(user) => format!("{}/{}", urls.top(), urls.user_segment(user)),
        };
        let under = |names: &[Name]| -> String {
            names.iter().map(|name| format!("/{}", encode(name.as_str()))).collect()
        };
        match self {
            Target::Page => "/".to_owned(),
            Target::Robots => "/robots.txt".to_owned(),
            Target::Links => "/ical/link".to_owned(),
            Target::Freebusy(owner) => format!("{}/freebusy.ifb", top(owner)),
            Target::Calendar(CalendarTarget::Main(owner)) => format!("{}/main.ics", top(owner)),
            Target::Calendar(CalendarTarget::Folder(owner, names)) => {
                format!("{}/folder{}.ics", top(owner), under(names))
            }
            Target::Calendar(CalendarTarget::Public(names)) => {
                format!("{}/pf{}.ics", urls.top(), under(names))
            }
            Target::Collection(Collection::Top(owner)) => format!("{}/", top(owner)),
            Target::Collection(Collection::Folder(owner, names)) => {
                format!("{}/folder{}/", top(owner), under(names))
            }
            Target::Collection(Collection::Public(names)) => format!("{}/pf{}/", urls.top(), under(names)),
        }
    }
}

fn parse_names(names: &[&str], slash: bool, urls: &Urls) -> Address {
    let (link, target) = match names {
        [] => (None, Some(Target::Page)),
        ["robots.txt"] if !slash => (None, Some(Target::Robots)),
        ["ical", "link"] => (None, Some(Target::Links)),
        // Whatever stands there is a token: one that cannot be right is answered as one that is not.
        ["ical", "link", token, rest @ ..] => (Some(Token::given(token)), parse_calendars(rest, slash, urls)),
        ["ical", rest @ ..] => (None, parse_calendars(rest, slash, urls)),
        _ => (None, None),
    };
    Address { link, target }
}

fn parse_calendars(names: &[&str], slash: bool, urls: &Urls) -> Option<Target> {
    match names {
        ["pf", path @ ..] => parse_path(path, slash, Collection::Public, CalendarTarget::Public),
        [user, rest @ ..] if user.starts_with('~') => {
            parse_owned(Owner::User(urls.user(&user[1..])?), rest, slash)
        }
        mine => parse_owned(Owner::Me, mine, slash),
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
    let Some((stem, parents)) = path.split_last().and_then(|(last, up)| Some((calendar_name(last)?, up)))
    else {
        return Some(Target::Collection(folder(checked(path)?)));
    };
    if slash {
        return None;
    }
    let names = checked(&[parents, &[stem]].concat())?;
    Some(Target::Calendar(calendar(names)))
}

/// The names of a path, if each keeps the rules and all together are not too long.
fn checked(path: &[&str]) -> Option<Vec<Name>> {
    if path.len() > MAX_DEPTH {
        return None;
    }
    let names: Vec<Name> = path.iter().map(|name| Name::new(name)).collect::<Option<_>>()?;
    let bytes: usize = names.iter().map(|name| name.as_str().len() + 1).sum();
    (bytes <= MAX_BYTES).then_some(names)
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

    fn parse(path: &str, urls: &Urls) -> Option<Target> {
        let address = Address::parse(path, urls);
        address.target.filter(|_| address.link.is_none())
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
            assert_eq!(parse(path, &ours()), Some(target), "{path}");
        }
    }

    #[test]
    fn the_forms_shown_to_people_are_addresses() {
        for (form, _) in FORMS {
            assert_eq!(parse(form, &ours()).map(|target| target.href(&ours())).as_deref(), Some(form));
        }
    }

    #[test]
    fn a_link_leads_to_the_same_addresses() {
        for urls in [ours(), Urls::new(Some("https://example.org/cal"), None)] {
            for rest in [
                "main.ics",
                "~bob/main.ics",
                "folder/Work/Projects.ics",
                "~bob/folder/A%20b.ics",
                "pf/Holidays.ics",
                "freebusy.ifb",
                "~bob/freebusy.ifb",
                "",
                "~bob/",
                "folder/Work/",
                "pf/",
            ] {
                let plain = Address::parse(&format!("/ical/{rest}"), &urls);
                let linked = Address::parse(&format!("/ical/link/s3cret/{rest}"), &urls);
                assert_eq!(linked.target, plain.target, "{rest}");
                assert!(plain.link.is_none() && plain.target.is_some(), "{rest}");
                let token = linked.link.expect("a token");
                assert_eq!(token.reveal(), "s3cret");
                let href = linked.target.expect("a target").href(&urls.through(&token));
                assert_eq!(href, format!("{}/ical/link/s3cret/{rest}", urls.prefix()));
                let again = Address::parse(&href, &urls);
                assert_eq!((again.link, again.target), (Some(token), plain.target), "{href}");
            }
        }
    }

    #[test]
    fn below_a_link_is_nothing_but_calendars() {
        assert_eq!(parse("/ical/link", &ours()), Some(Target::Links));
        for rest in ["robots.txt", "link/s3cret/main.ics", "link", "x", "..", "~bob/x", "main.ics/"] {
            let address = Address::parse(&format!("/ical/link/s3cret/{rest}"), &ours());
            assert!(address.target.is_none() && address.link.is_some(), "{rest}: {address:?}");
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
            assert_eq!(parse(path, &ours()), None, "{path}");
        }
    }

    #[test]
    fn a_path_too_long_for_the_system_names_nothing() {
        let deep = |depth| format!("/ical/folder{}.ics", "/a".repeat(depth));
        assert!(parse(&deep(MAX_DEPTH), &ours()).is_some());
        assert_eq!(parse(&deep(MAX_DEPTH + 1), &ours()), None);
        let wide = format!("/ical/folder{}", format!("/{}", "x".repeat(250)).repeat(12));
        assert_eq!(parse(&wide, &ours()), None);
    }

    #[test]
    fn the_prefix_may_be_there_or_taken_off() {
        let urls = Urls::new(Some("https://example.org/my%20cal/v1"), None);
        let main = Some(Target::Calendar(CalendarTarget::Main(Owner::Me)));
        for path in ["/my%20cal/v1/ical/main.ics", "/my%20c%61l/v1/ical/main.ics", "/ical/main.ics"] {
            assert_eq!(parse(path, &urls), main, "{path}");
        }
        for path in ["/my%20cal/v1", "/my%20cal/v1/", "/"] {
            assert_eq!(parse(path, &urls), Some(Target::Page), "{path}");
        }
        assert_eq!(parse("/v1/ical/main.ics", &urls), None);
        assert_eq!(parse("/my%20calx/v1/ical/main.ics", &urls), None);
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
        assert_eq!(parse("/ical/~bob@ad.example.org/main.ics", &urls), Some(main));
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
            prop_assert_eq!(parse(&href, &urls), Some(target), "{}", href);
        }

        #[test]
        fn no_path_is_taken_that_is_not_written_back_as_itself(
            path in prop_oneof!["\\PC*", "/ical/(folder|pf|~b|%7e)?/[a-b./%0-9]{0,12}(\\.ics)?/?", "[/%.~a-c]{0,20}"],
            urls in any_urls(),
        ) {
            if let Some(target) = parse(&path, &urls) {
                prop_assert_eq!(parse(&target.href(&urls), &urls), Some(target));
            }
        }
    }
}
