//! What every URL of ours starts with, who is meant by `~user`, and the percent-encoding of one segment.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::auth::Token;
use crate::store::LinkId;
use crate::store::place::Name;

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

/// What every URL of ours starts with, and the domain of our users.
#[derive(Debug, Clone, Default)]
pub struct Urls {
    base: String,
    prefix: String,
    prefix_names: Vec<String>,
    domain: Option<String>,
    /// What every address of calendars starts with, below the prefix, if that is not `/ical`.
    link: Option<String>,
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
        let domain = domain.map(str::to_owned);
        Urls { base: format!("{origin}{prefix}"), prefix, prefix_names, domain, link: None }
    }

    /// The same addresses through a secret link.
    pub fn through(&self, token: &Token) -> Urls {
        Urls { link: Some(format!("/ical/link/{}", encode(token.reveal()))), ..self.clone() }
    }

    /// The same addresses as they are written down: with what tells a link from others in the place of its token.
    pub fn masked(&self, link: Option<&Token>) -> Cow<'_, Urls> {
        let through = |token: &Token| Some(format!("/ical/link/{}", LinkId::of(token.sha256()).short()));
        link.map_or(Cow::Borrowed(self), |token| Cow::Owned(Urls { link: through(token), ..self.clone() }))
    }

    /// The same addresses as the asker's way here had them.
    pub fn on_the_way(&self, link: Option<&Token>) -> Cow<'_, Urls> {
        link.map_or(Cow::Borrowed(self), |token| Cow::Owned(self.through(token)))
    }

    /// What every address of calendars starts with, below the prefix.
    pub(super) fn top(&self) -> &str {
        self.link.as_deref().unwrap_or("/ical")
    }

    /// Scheme, host and path prefix without a slash at the end, or nothing if no `base_url` is configured.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The path prefix, percent-encoded.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What follows the path prefix in `names`, if it is there.
    pub(super) fn after_prefix<'a, 'b>(&self, names: &'a [&'b str]) -> Option<&'a [&'b str]> {
        let (start, rest) = names.split_at_checked(self.prefix_names.len())?;
        start.iter().zip(&self.prefix_names).all(|(name, prefix)| name == prefix).then_some(rest)
    }

    /// The user whom `text` names after a `~`: `alice`, or `alice@example.org` if that domain is ours.
    ///
    /// Where no domain is configured, an `@` is a character like others: some directories have it in account names.
    pub(super) fn user(&self, text: &str) -> Option<Name> {
        match (&self.domain, text.rsplit_once('@')) {
            (Some(ours), Some((user, domain))) if domain.eq_ignore_ascii_case(ours) => Name::new(user),
            (Some(_), Some(_)) => None,
            _ => Name::new(text),
        }
    }

    /// The segment that [`Urls::user`] reads, with its `~`.
    pub(super) fn user_segment(&self, user: &Name) -> String {
        match &self.domain {
            Some(domain) if user.as_str().contains('@') => {
                format!("~{}@{}", encode(user.as_str()), encode(domain))
            }
            _ => format!("~{}", encode(user.as_str())),
        }
    }
}

pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// One segment without its percent-encoding; nothing if that is broken, or what comes out is empty or no UTF-8.
pub(super) fn decode(segment: &str) -> Option<String> {
    let whole =
        |escape: &str| escape.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if segment.is_empty() || !segment.split('%').skip(1).all(whole) {
        return None;
    }
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
