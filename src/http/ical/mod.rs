//! The `.ics` addresses: a whole calendar read, saved, removed, described.

mod describe;
mod pieces;
mod read;
mod remove;
mod save;

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::guard::Guard;
use super::target::{CalendarTarget, Target};
use super::{Site, blocking, freebusy, header, login, origin};
use crate::acl::{Principal, Role};
use crate::auth::Token;
use crate::error::Result;
use crate::store::place::Place;
use crate::store::{Client, Origin, Room, Snapshot};

pub const ALLOW: &str = "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND";

/// A request to an `.ics` address.
struct Asked<'r> {
    site: &'r Data<Site>,
    request: &'r HttpRequest,
    link: Option<&'r Token>,
    target: &'r CalendarTarget,
    who: Arc<Principal>,
    place: Place,
}

/// Answers a request to the `.ics` address `target`.
pub async fn answer(
    site: &Data<Site>,
    request: &HttpRequest,
    payload: Payload,
    link: Option<&Token>,
    target: &CalendarTarget,
) -> Result<HttpResponse> {
    let who = login::principal(site, request, link).await?;
    let place = target.place(who.me())?;
    let asked = Asked { site, request, link, target, who, place };
    match request.method().as_str() {
        "GET" | "HEAD" if freebusy::asks_for_busy(request.query_string())? => {
            freebusy::of_place(site, request, &asked.who, &asked.place).await
        }
        "GET" | "HEAD" => read::answer(&asked).await,
        "PUT" => save::answer(&asked, payload).await,
        "DELETE" => remove::answer(&asked).await,
        "PROPFIND" => {
            let href = Target::Calendar(target.clone()).href(&site.urls.on_the_way(link));
            describe::answer(&asked, payload, href).await
        }
        _ => Err(login::unknown_method(&asked.who, ALLOW)),
    }
}

impl Asked<'_> {
    /// Where a change that this request makes comes from.
    fn origin(&self) -> Origin {
        let target = Target::Calendar(self.target.clone());
        origin(self.site, self.request, self.link, &self.who, &target)
    }

    /// Who reads and saves, to tell the Views of one client from those of another.
    fn client(&self) -> Client {
        let program = header(self.request, "user-agent").unwrap_or("unknown");
        Client::new(&self.who, program, self.request.path())
    }

    /// Opens the place for reading, from memory where that is enough.
    async fn room(&self) -> Result<Room> {
        if let Some(room) = self.site.store.glance(&self.who, &self.place, Role::Viewer) {
            return Ok(room);
        }
        let (store, who, place) = (self.site.store.clone(), self.who.clone(), self.place.clone());
        blocking(move || store.open(&who, &place, Role::Viewer)).await
    }
}

/// Whether a change of what is here, if anything is, may go on.
fn check(guard: &Guard, here: Option<&Snapshot>) -> Result<()> {
    guard.check(here.map(|snapshot| snapshot.etag.as_str()))?;
    guard.check_date(here.and_then(|snapshot| snapshot.modified))
}

/// An Etag as a header carries it.
fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}
