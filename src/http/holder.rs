//! Who holds a secret link: from the token in an address to a Principal, and what is kept from who holds none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderValue, REFERRER_POLICY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jiff::{Timestamp, ToSpan, Unit};
use parking_lot::Mutex;

use super::peer::{client, is_private};
use super::{Site, beat, blocking, program};
use crate::acl::Principal;
use crate::auth::{Authenticator, Token};
use crate::error::{Error, Result};
use crate::store::{LinkId, SecretLink, Used};

/// How long a maker's account and groups are taken to be as they were: a directory server may answer slowly.
const MAKER_FOR: Duration = Duration::from_secs(5);

/// How often the use of a link is written down.
const NOTE_EVERY: Duration = Duration::from_secs(60 * 60);

/// What an account was when it was looked at; nothing if it was not there or may not be used.
#[derive(Debug, Clone)]
struct Seen {
    when: Instant,
    account: Option<Arc<Principal>>,
}

impl Seen {
    fn is_fresh(&self) -> bool {
        self.when.elapsed() < MAKER_FOR
    }
}

/// The name of a link's maker, and the address that the link is used from.
type Asked = (String, Option<IpAddr>);

/// What is remembered of links: not what they grant, which is in their files.
#[derive(Debug, Default)]
pub struct Links {
    /// The accounts of makers, by whom they were asked for: PAM may refuse an address. Guards the map only.
    makers: Mutex<HashMap<Asked, Seen>>,
    /// The makers that the log knows to be refused, and from where. Guards the map only.
    refused: Mutex<HashMap<String, Option<IpAddr>>>,
    /// When the use of a link was last written down by this process. Guards the map only.
    noted: Mutex<HashMap<LinkId, Instant>>,
}

impl Links {
    /// The user who made a link, if the account is still there and may be used from `peer`. May block.
    fn maker(
        &self,
        auth: &Authenticator,
        name: &str,
        peer: Option<IpAddr>,
    ) -> Result<Option<Arc<Principal>>> {
        let asked = (name.to_owned(), peer);
        let known = self.makers.lock().get(&asked).cloned();
        if let Some(seen) = known.filter(Seen::is_fresh) {
            return Ok(seen.account);
        }
        // A directory that answers to another spelling speaks of an account that did not make the link.
        let account = auth.active(name, peer)?.filter(|maker| maker.user() == Some(name));
        self.tell_refused(name, peer, account.is_none());
        let mut makers = self.makers.lock();
        makers.retain(|_, seen| seen.is_fresh());
        makers.insert(asked, Seen { when: Instant::now(), account: account.clone() });
        Ok(account)
    }

    /// Logs a maker who is refused, once until that changes where it was noticed: who holds the link is told nothing.
    fn tell_refused(&self, name: &str, peer: Option<IpAddr>, is_refused: bool) {
        let mut refused = self.refused.lock();
        match refused.get(name) {
            None if is_refused => {
                refused.insert(name.to_owned(), peer);
                let from = peer.map_or_else(|| "a Unix socket".to_owned(), |peer| peer.to_string());
                tracing::warn!(
                    "a link of {name:?} is used from {from}, and the account is gone or may not be used"
                );
            }
            // Elsewhere it may always have been let in.
            Some(from) if !is_refused && *from == peer => {
                refused.remove(name);
            }
            _ => {}
        }
    }

    /// Whether it is time to write down that a link was used. Then it is this caller's turn.
    fn is_due(&self, id: &LinkId, link: &SecretLink, now: Timestamp) -> bool {
        let recent =
            |used: &Used| now.checked_sub(1.hour()).is_ok_and(|hour_ago| (hour_ago..=now).contains(&used.at));
        if link.used.as_ref().is_some_and(recent) {
            return false;
        }
        let mut noted = self.noted.lock();
        let due = noted.get(id).is_none_or(|when| when.elapsed() >= NOTE_EVERY);
        if due {
            noted.insert(id.clone(), Instant::now());
        }
        due
    }
}

/// Who holds the link with this token.
///
/// # Errors
/// `NotFound`, whatever is wrong with it; `InsecureTransport` where others can read the address, before it is looked at.
pub async fn principal(site: &Data<Site>, request: &HttpRequest, token: &Token) -> Result<Arc<Principal>> {
    if !is_private(site, request) {
        return Err(Error::InsecureTransport);
    }
    let (site, id, by) = (site.clone(), LinkId::of(token.sha256()), program(request));
    let peer = client(&site, request);
    blocking(move || {
        let now = Timestamp::now();
        let link = site.store.link(&id)?.filter(|link| !link.is_expired(now)).ok_or(Error::NotFound)?;
        let maker = site.links.maker(&site.auth, &link.owner, peer)?.ok_or(Error::NotFound)?;
        let who = Principal::Link(Box::new(link.grant(maker.as_ref().clone())));
        if site.links.is_due(&id, &link, now) {
            let at = now.round(Unit::Second).unwrap_or(now);
            actix_web::rt::task::spawn_blocking(move || note(&site, &id, Used { at, by }));
        }
        Ok(Arc::new(who))
    })
    .await
}

fn note(site: &Site, id: &LinkId, used: Used) {
    if let Err(error) = site.store.note_link_use(id, used) {
        tracing::warn!("the use of the link {} is not written down: {error}", id.short());
    }
}

/// The answer on a link's address: never a question for a login, and nowhere a hint which tokens there are.
pub async fn sealed(answer: impl Future<Output = Result<HttpResponse>>) -> HttpResponse {
    let begun = Instant::now();
    let mut response = match answer.await {
        Ok(response) => response,
        Err(Error::NoAddress | Error::NotFound | Error::LoginNeeded | Error::LoginRefused) => {
            beat::miss(begun).await;
            HttpResponse::from_error(Error::NotFound)
        }
        Err(error) => HttpResponse::from_error(error),
    };
    // The address is the secret: what is followed from here must not be told it.
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_maker_is_told_of_once_though_others_use_the_link_from_elsewhere() {
        let links = Links::default();
        let peer = |last| Some(IpAddr::from([192, 0, 2, last]));
        for (from, is_refused, told) in [
            (peer(1), false, None),
            (peer(2), true, Some(peer(2))),
            (peer(3), true, Some(peer(2))),
            (peer(1), false, Some(peer(2))),
            (peer(2), false, None),
        ] {
            links.tell_refused("alice", from, is_refused);
            assert_eq!(links.refused.lock().get("alice").copied(), told, "{from:?}");
        }
    }

    #[test]
    fn a_use_is_written_down_once_an_hour() {
        let now: Timestamp = "2026-11-23T20:00:00Z".parse().expect("a time");
        let id = |byte| LinkId::of([byte; 32]);
        let used = |at: Option<&str>| {
            let link = SecretLink::asked("alice", "~*", "viewer", "", None, now).expect("a link");
            let used = at.map(|at| Used { at: at.parse().expect("a time"), by: String::new() });
            SecretLink { used, ..link }
        };
        let links = Links::default();
        for (byte, at, due) in [
            (1, None, true),
            (1, None, false),
            (2, Some("2026-11-23T19:30:00Z"), false),
            (2, Some("2026-11-23T18:59:00Z"), true),
            (2, Some("2026-11-23T18:59:00Z"), false),
            // A clock that was ahead must not stop it for good.
            (3, Some("2027-11-23T20:00:00Z"), true),
        ] {
            assert_eq!(links.is_due(&id(byte), &used(at), now), due, "{byte} {at:?}");
        }
    }
}
