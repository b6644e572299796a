//! PROPFIND of a calendar, as programs send it before they read or publish one (RFC 4918 §9.1).

use std::time::SystemTime;

use actix_web::HttpResponse;
use actix_web::web::Payload;

use super::{Asked, quoted};
use crate::error::Result;
use crate::http::headers::last_modified;
use crate::http::propfind::{Kind, MAX_BODY, Resource, Wanted, multi_status};
use crate::store::Room;

/// Describes the calendar at `href`. The Depth does not matter: a calendar has no members here.
pub async fn answer(asked: &Asked<'_>, payload: Payload, href: String) -> Result<HttpResponse> {
    let room = asked.room().await?;
    let body = asked.site.bodies.read(&asked.who, asked.request, payload, MAX_BODY).await?;
    let wanted = Wanted::parse(&body.bytes)?;
    Ok(multi_status(&wanted, &[resource(href, &room)]))
}

/// What there is to tell of an open calendar.
fn resource(href: String, room: &Room) -> Resource {
    let Room { role, snapshot } = room;
    Resource {
        href,
        kind: Kind::Calendar,
        display_name: Some(snapshot.heading.name.clone()),
        color: snapshot.heading.color.clone(),
        etag: Some(quoted(&snapshot.etag)),
        modified: snapshot.modified.and_then(|time| last_modified(time, SystemTime::now())),
        length: u64::try_from(snapshot.length).ok(),
        role: *role,
    }
}
