//! Addresses: what a URL path names is written back as itself, and no name that could lead out of the tree is let through.

#![no_main]

use kalends::http::target::{Address, CalendarTarget, Collection, Owner, Target, Urls};
use kalends::store::place::{Name, Path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for (base, domain) in
        [(None, None), (Some("https://h/my%20cal/v1"), Some("example.org")), (Some("http://h/ical"), None)]
    {
        let urls = Urls::new(base, domain);
        let Address { link, target } = Address::parse(text, &urls);
        let Some(target) = target else { continue };
        names(&target).into_iter().for_each(keeps_the_rules);
        let urls = urls.on_the_way(link.as_ref());
        let href = target.href(&urls);
        assert!(href.starts_with('/') && href.bytes().all(|byte| byte.is_ascii_graphic()), "{href}");
        let again = Address::parse(&href, &urls);
        assert_eq!(again.target.as_ref(), Some(&target), "{href}");
        // The page and the like are no addresses of a link.
        if matches!(target, Target::Calendar(_) | Target::Collection(_) | Target::Freebusy(_)) {
            assert_eq!(again.link, link, "{href}");
        }
    }
    if let Ok(path) = text.parse::<Path>() {
        path.names.iter().for_each(keeps_the_rules);
    }
});

fn names(target: &Target) -> Vec<&Name> {
    let owned = |owner| match owner {
        &Owner::Me => None,
        Owner::User(name) => Some(name),
    };
    let (owner, below): (_, &[Name]) = match target {
        Target::Page | Target::Robots | Target::Links => (None, &[]),
        Target::Freebusy(owner)
        | Target::Calendar(CalendarTarget::Main(owner))
        | Target::Collection(Collection::Top(owner)) => (owned(owner), &[]),
        Target::Calendar(CalendarTarget::Folder(owner, names))
        | Target::Collection(Collection::Folder(owner, names)) => (owned(owner), names),
        Target::Calendar(CalendarTarget::Public(names)) | Target::Collection(Collection::Public(names)) => {
            (None, names)
        }
    };
    owner.into_iter().chain(below).collect()
}

fn keeps_the_rules(name: &Name) {
    let text = name.as_str();
    assert!((1..=250).contains(&text.len()), "{text:?}");
    assert!(!text.starts_with(['.', '~']) && !text.ends_with(['.', ' ']), "{text:?}");
    assert!(!text.contains(['/', '\\', '\0', '\u{202e}']) && !text.contains(char::is_control), "{text:?}");
    assert_eq!(Name::new(text).as_ref(), Some(name), "NFC");
}
