//! The free/busy address: one VFREEBUSY, from today on, of what the asker may know.

mod query;

use std::time::SystemTime;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::auth::Token;
use crate::error::{Error, Result};
use crate::http::guard::Guard;
use crate::http::headers::{accepts_calendar, http_date};
use crate::http::target::{Owner, Target};
use crate::http::{Site, blocking, header, login};
use crate::ical::busy::TimeRange;
use crate::ical::freebusy::{Publication, document};
use crate::store::Busy;
use crate::store::place::{Home, Name};

pub const ALLOW: &str = "OPTIONS, GET, HEAD";

/// How far ahead it reaches; clients want six weeks at least (CalConnect CC/S 0903).
const WEEKS: i64 = 8;

/// Answers a request to the free/busy address of `owner`.
pub async fn answer(
    site: &Data<Site>,
    request: &HttpRequest,
    link: Option<&Token>,
    owner: &Owner,
) -> Result<HttpResponse> {
    let who = login::principal(site, request, link).await?;
    let name = owner.name(who.me())?;
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return Err(login::unknown_method(&who, ALLOW));
    }
    if !accepts_calendar(header(request, ACCEPT.as_str())) {
        return Err(Error::NotAcceptable);
    }
    let window = query::window(request.query_string(), default_window(site)?)?;
    let (store, home) = (site.store.clone(), Home::User(name.clone()));
    let busy = blocking(move || store.busy(&who, &home, window)).await?;
    let text = text(site, &name, window, &busy);
    respond(request, text, busy.modified)
}

/// From the start of today, in the server's zone.
fn default_window(site: &Site) -> Result<TimeRange> {
    let named = site.config.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let today = Zoned::now().with_time_zone(named.unwrap_or_else(TimeZone::system)).start_of_day();
    let range = today.and_then(|start| {
        let end = start.checked_add(WEEKS.weeks())?;
        Ok(TimeRange { start: start.timestamp(), end: end.timestamp() })
    });
    range.map_err(|_| Error::BadRequest("the clock is out of range".to_owned()))
}

fn text(site: &Site, user: &Name, window: TimeRange, busy: &Busy) -> String {
    let domain = site.config.domain.as_deref().unwrap_or("localhost");
    document(&Publication {
        address: &format!("{user}@{domain}"),
        url: &Target::Freebusy(Owner::User(user.clone())).url(&site.urls),
        window,
        // Not now: the same content is to have the same Etag.
        stamp: Timestamp::try_from(busy.modified).map_or(window.start, |modified| modified.max(window.start)),
        periods: &busy.periods,
    })
}

fn respond(request: &HttpRequest, text: String, modified: SystemTime) -> Result<HttpResponse> {
    let etag = blake3::hash(text.as_bytes()).to_hex()[..32].to_owned();
    // The window moves at midnight without any file: Last-Modified could not tell, so it is not asked.
    let unchanged = request.headers().contains_key("if-none-match")
        && Guard::parse(request.headers()).not_modified(&etag, modified)?;
    let mut response = HttpResponse::build(if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    response
        .insert_header((ETAG, format!("\"{etag}\"")))
        .insert_header((LAST_MODIFIED, http_date(modified)))
        .insert_header((CACHE_CONTROL, "private, no-cache, no-transform"))
        .insert_header((VARY, "Authorization"));
    if unchanged {
        return Ok(response.finish());
    }
    response
        .insert_header((CONTENT_TYPE, "text/calendar; charset=utf-8"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    Ok(response.body(text))
}
