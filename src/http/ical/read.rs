//! GET and HEAD of a calendar: the Snapshot's bytes, or 304.

use std::sync::Arc;
use std::time::SystemTime;

use actix_web::HttpResponse;
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;

use super::pieces::Pieces;
use super::{Asked, quoted};
use crate::error::{Error, Result};
use crate::http::guard::Guard;
use crate::http::headers::{accepts_gzip, content_disposition, http_date, last_modified};
use crate::http::{blocking, header};
use crate::store::Snapshot;

/// Whoever caches must ask again each time, and must not compress: that would change the Etag.
const CACHING: &str = "private, no-cache, no-transform";

pub async fn answer(asked: &Asked<'_>) -> Result<HttpResponse> {
    let gets = asked.request.method() == Method::GET;
    let room = match asked.room().await {
        Err(Error::NotFound) if gets => {
            note_that_nothing_is_there(asked).await?;
            return Err(Error::NotFound);
        }
        other => other?,
    };
    let snapshot = &room.snapshot;
    let guard = Guard::parse(asked.request.headers());
    let zipped = accepts_gzip(header(asked.request, ACCEPT_ENCODING.as_str()));
    let etag = match zipped {
        true => quoted(&format!("{}-gzip", snapshot.etag)),
        false => quoted(&snapshot.etag),
    };
    let unchanged = guard.not_modified(&snapshot.etag, snapshot.modified)?;
    if gets {
        asked.site.store.shown_to(|| asked.client(), &asked.place, &room, !unchanged);
    }
    let mut response = HttpResponse::build(if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    response
        .insert_header((ETAG, etag))
        .insert_header((CACHE_CONTROL, CACHING))
        .insert_header((VARY, "Accept-Encoding, Authorization"));
    if let Some(modified) = snapshot.modified.and_then(|time| last_modified(time, SystemTime::now())) {
        response.insert_header((LAST_MODIFIED, http_date(modified)));
    }
    if unchanged {
        return Ok(response.finish());
    }
    response
        .insert_header((CONTENT_TYPE, "text/calendar; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, content_disposition(&snapshot.heading.name)))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if !zipped {
        return Ok(response.body(Pieces::of(plain(room.snapshot).await?)));
    }
    let body = gzip(room.snapshot).await?;
    Ok(response.insert_header((CONTENT_ENCODING, "gzip")).body(Pieces::of(body)))
}

/// A client may take the refusal for an empty calendar, and save to it.
async fn note_that_nothing_is_there(asked: &Asked<'_>) -> Result<()> {
    let (store, who, place) = (asked.site.store.clone(), asked.who.clone(), asked.place.clone());
    let client = asked.client();
    blocking(move || {
        store.told_of_nothing(&client, &who, &place);
        Ok(())
    })
    .await
}

/// The body, made off the async threads the first time.
async fn plain(snapshot: Arc<Snapshot>) -> Result<Bytes> {
    if let Some(body) = snapshot.body_now() {
        return Ok(body.clone());
    }
    blocking(move || Ok(snapshot.body().clone())).await
}

/// The body in gzip, made off the async threads the first time.
async fn gzip(snapshot: Arc<Snapshot>) -> Result<Bytes> {
    if let Some(gzip) = snapshot.gzip_now() {
        return Ok(gzip.clone());
    }
    blocking(move || snapshot.gzip().cloned().map_err(|error| Error::io("gzip", error))).await
}
