//! HTTP: addresses, preconditions, status codes, and what is said in headers and bodies. The only floor that names actix.

mod beat;
mod body;
mod collection;
mod connections;
pub mod freebusy;
pub mod guard;
mod headers;
mod holder;
mod ical;
pub(crate) mod link;
mod login;
mod page;
mod peer;
pub mod propfind;
pub(crate) mod server;
mod status;
pub mod target;
pub mod xml;

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::acl::Principal;
use crate::auth::{Authenticator, Token};
use crate::config::{Config, Proxy};
use crate::error::{Error, Result};
use crate::store::{Origin, Store};
use body::Bodies;
use target::{Address, Target, Urls};

/// As much of a program's name as is written down, in characters.
const LONGEST_PROGRAM: usize = 100;

/// What all requests share.
pub struct Site {
    pub store: Arc<Store>,
    pub auth: Authenticator,
    pub urls: Urls,
    pub config: Config,
    pub bodies: Bodies,
    pub links: holder::Links,
}

impl Site {
    pub fn new(config: Config, store: Store, auth: Authenticator) -> Site {
        let urls = Urls::new(config.base_url.as_deref(), config.domain.as_deref());
        Site {
            store: Arc::new(store),
            auth,
            urls,
            bodies: Bodies::default(),
            links: holder::Links::default(),
            config,
        }
    }

    /// Whether the peer, without an address at a Unix socket, is a proxy that the configuration names.
    fn trusts(&self, peer: Option<IpAddr>) -> bool {
        self.config.proxies.contains(&peer.map_or(Proxy::Unix, Proxy::At))
    }
}

/// Answers one request, whatever its address.
async fn answer(site: Data<Site>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let Address { link, target } = Address::parse(request.uri().path(), &site.urls);
    let answer = route(&site, &request, payload, link.as_ref(), target);
    if link.is_some() {
        return holder::sealed(answer).await;
    }
    match answer.await {
        Ok(response) => response,
        Err(error) => HttpResponse::from_error(login::challenge(&site, &request, error)),
    }
}

async fn route(
    site: &Data<Site>,
    request: &HttpRequest,
    payload: Payload,
    link: Option<&Token>,
    target: Option<Target>,
) -> Result<HttpResponse> {
    let target = target.ok_or(Error::NoAddress)?;
    if *request.method() == Method::OPTIONS {
        return Ok(options(&target));
    }
    if !matches!(target, Target::Page | Target::Robots) {
        site.store.in_place()?;
    }
    match target {
        Target::Page => {
            let Config { icalendar, freebusy, .. } = site.config;
            let served = |form: &str| if form.ends_with(".ics") { icalendar } else { freebusy };
            page(request, page::html(&site.urls, served), &page::HEADERS)
        }
        Target::Robots => {
            page(request, page::ROBOTS.to_owned(), &[("Content-Type", "text/plain; charset=utf-8")])
        }
        Target::Calendar(_) | Target::Collection(_) if !site.config.icalendar => Err(Error::NotFound),
        Target::Freebusy(_) if !site.config.freebusy => Err(Error::NotFound),
        Target::Calendar(calendar) => ical::answer(site, request, payload, link, &calendar).await,
        Target::Collection(collection) => collection::answer(site, request, payload, link, &collection).await,
        Target::Freebusy(owner) => freebusy::answer(site, request, payload, link, &owner).await,
        Target::Links => link::answer(site, request, payload).await,
    }
}

/// The methods that an address knows.
fn allow(target: &Target) -> &'static str {
    match target {
        Target::Page | Target::Robots => "OPTIONS, GET, HEAD",
        Target::Freebusy(_) => freebusy::ALLOW,
        Target::Calendar(_) => ical::ALLOW,
        Target::Collection(_) => collection::ALLOW,
        Target::Links => link::ALLOW,
    }
}

/// Needs no login: programs ask before they have one, and look for `DAV` (RFC 4918 §10.1).
fn options(target: &Target) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Allow", allow(target))).insert_header(("DAV", "1")).finish()
}

fn page(
    request: &HttpRequest,
    text: String,
    headers: &[(&'static str, &'static str)],
) -> Result<HttpResponse> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Error::MethodNotAllowed { allow: "OPTIONS, GET, HEAD" });
    }
    let mut response = HttpResponse::Ok();
    headers.iter().for_each(|header| {
        response.insert_header(*header);
    });
    Ok(response.body(text))
}

/// What program sends this request, as it calls itself.
fn program(request: &HttpRequest) -> String {
    let name = header(request, "user-agent").unwrap_or("unknown");
    name.chars().filter(|c| !c.is_control()).take(LONGEST_PROGRAM).collect()
}

/// Where a change that a request makes comes from.
fn origin(
    site: &Site,
    request: &HttpRequest,
    link: Option<&Token>,
    who: &Principal,
    target: &Target,
) -> Origin {
    Origin {
        who: who.clone(),
        program: program(request),
        peer: peer::client(site, request),
        address: target.href(&site.urls.masked(link)),
    }
}

/// A header's value as text, if it has one that is text.
fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

/// Runs what reads or writes the disk off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match actix_web::rt::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        // The work panicked, which is logged where it happened.
        Err(_) => Err(Error::Busy),
    }
}
