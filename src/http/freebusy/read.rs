//! GET and HEAD of busy times: ready bytes, or 304.

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;

use super::{Asked, query};
use crate::acl::Principal;
use crate::error::{Error, Result};
use crate::http::guard::Guard;
use crate::http::headers::{accepts_calendar, accepts_gzip, http_date, last_modified};
use crate::http::target::{Owner, Target};
use crate::http::{Site, blocking, header};
use crate::ical::busy::TimeRange;
use crate::ical::busy_events::{Blocks, events};
use crate::ical::freebusy::{Publication, document};
use crate::store::place::{Home, Name, Place};
use crate::store::{Answer, Busy, Question, Scope, Shows};

pub async fn answer(asked: &Asked<'_>) -> Result<HttpResponse> {
    let Asked { site, request, who, owner, .. } = asked;
    acceptable(request)?;
    let query = query::read(request.query_string(), site.store.default_window()?)?;
    let shows = match query.show.as_deref() {
        None => Shows::Freebusy,
        Some("events") => Shows::Events,
        Some(other) => {
            return Err(Error::BadRequest(format!("show={other}: only show=events is known here")));
        }
    };
    let scope = Scope::Home(Home::User(owner.clone()));
    let question = Question { scope, window: query.window, shows };
    let answer = ready(site, who, owner.as_str(), question).await?;
    respond(request, &answer)
}

/// Whether a query to an `.ics` address asks for busy times alone.
///
/// # Errors
/// `BadRequest` for something else to be shown: taken for nothing, it would show all.
pub fn asks_for_busy(query: &str) -> Result<bool> {
    let mut shown = query.split('&').filter_map(|pair| pair.strip_prefix("show="));
    match shown.find(|shown| *shown != "busy") {
        Some(other) => Err(Error::BadRequest(format!("show={other}: only show=busy is known here"))),
        None => Ok(query.split('&').any(|pair| pair == "show=busy")),
    }
}

/// The busy times of one place, for whoever may know those.
pub async fn of_place(
    site: &Data<Site>,
    request: &HttpRequest,
    who: &Arc<Principal>,
    place: &Place,
) -> Result<HttpResponse> {
    acceptable(request)?;
    let query = query::read(request.query_string(), site.store.default_window()?)?;
    let name = match place {
        Place::Main(user) => user.as_str(),
        Place::Calendar(path) => path.last().map_or("", Name::as_str),
    };
    let question =
        Question { scope: Scope::Place(place.clone()), window: query.window, shows: Shows::Events };
    let answer = ready(site, who, name, question).await?;
    respond(request, &answer)
}

fn acceptable(request: &HttpRequest) -> Result<()> {
    match accepts_calendar(header(request, ACCEPT.as_str())) {
        true => Ok(()),
        false => Err(Error::NotAcceptable),
    }
}

/// The Etag of what `asked` would get, now and where nothing else is asked for. Not on an async thread.
pub fn etag(site: &Site, who: &Principal, owner: &Name) -> Result<String> {
    let window = site.store.default_window()?;
    let question = Question { scope: Scope::Home(Home::User(owner.clone())), window, shows: Shows::Freebusy };
    let answer = site.store.busy(who, &question, |busy| text(site, owner.as_str(), &question, busy))?;
    Ok(answer.etag.clone())
}

/// From memory where that is enough.
async fn ready(
    site: &Data<Site>,
    who: &Arc<Principal>,
    name: &str,
    question: Question,
) -> Result<Arc<Answer>> {
    if let Some(answer) = site.store.glance_busy(who, &question) {
        return Ok(answer);
    }
    let (site, who, name) = (site.clone(), who.clone(), name.to_owned());
    blocking(move || site.store.busy(&who, &question, |busy| text(&site, &name, &question, busy))).await
}

fn text(site: &Site, name: &str, question: &Question, busy: &Busy) -> String {
    // Not now: the same content is to have the same Etag.
    let stamp = stamp(busy, &question.window);
    match question.shows {
        Shows::Events => events(&Blocks { name, of: &of(&question.scope), stamp, periods: &busy.periods }),
        Shows::Freebusy => document(&Publication {
            address: &format!("{name}@{}", site.config.domain.as_deref().unwrap_or("localhost")),
            url: url(site, name).as_deref(),
            window: question.window,
            stamp,
            periods: &busy.periods,
        }),
    }
}

/// Where the busy times of a user are read, if the configuration says what our URLs begin with.
fn url(site: &Site, name: &str) -> Option<String> {
    let user = Name::new(name).filter(|_| !site.urls.base().is_empty())?;
    Some(Target::Freebusy(Owner::User(user)).url(&site.urls))
}

/// When something last changed, or the window began to be this one: never later than now.
fn stamp(busy: &Busy, window: &TimeRange) -> Timestamp {
    let modified = Timestamp::try_from(busy.modified).unwrap_or(Timestamp::UNIX_EPOCH);
    let now = Timestamp::now();
    // A file may have any time that somebody gives it.
    let past = [modified, window.start].into_iter().filter(|time| *time <= now);
    past.max().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What tells the busy times of one scope from those of another.
fn of(scope: &Scope) -> String {
    match scope {
        Scope::Home(home) => home.owner().unwrap_or_default().to_owned(),
        Scope::Place(Place::Main(user)) => format!("{user}/main"),
        Scope::Place(Place::Calendar(path)) => path.to_string(),
    }
}

fn respond(request: &HttpRequest, answer: &Answer) -> Result<HttpResponse> {
    // The window moves at midnight, and rights change, without any calendar: Last-Modified could not tell, so it is not asked.
    let unchanged = request.headers().contains_key("if-none-match")
        && Guard::parse(request.headers()).not_modified(&answer.etag, Some(answer.modified))?;
    let zipped = accepts_gzip(header(request, ACCEPT_ENCODING.as_str()));
    let suffix = if zipped { "-gzip" } else { "" };
    let mut response = HttpResponse::build(if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    response
        .insert_header((ETAG, format!("\"{}{suffix}\"", answer.etag)))
        .insert_header((CACHE_CONTROL, "private, no-cache, no-transform"))
        .insert_header((VARY, "Accept-Encoding, Authorization"));
    if let Some(modified) = last_modified(answer.modified, SystemTime::now()) {
        response.insert_header((LAST_MODIFIED, http_date(modified)));
    }
    if unchanged {
        return Ok(response.finish());
    }
    response
        .insert_header((CONTENT_TYPE, "text/calendar; charset=utf-8"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    match zipped {
        true => Ok(response.insert_header((CONTENT_ENCODING, "gzip")).body(answer.gzip()?.clone())),
        false => Ok(response.body(answer.body.clone())),
    }
}
