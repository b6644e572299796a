//! PUT and DELETE of free/busy that the owner's program has worked out: rights, then preconditions, then the body.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::web::Payload;

use super::{Asked, read};
use crate::error::Result;
use crate::http::guard::Guard;
use crate::http::target::Target;
use crate::http::{blocking, origin};
use crate::store::place::Home;

/// The largest publication, in bytes.
pub const MAX_BODY: usize = 1 << 20;

pub async fn put(asked: &Asked<'_>, payload: Payload) -> Result<HttpResponse> {
    let guard = Guard::parse(asked.request.headers());
    let early = guard.clone();
    let (site, who, owner) = (asked.site.clone(), asked.who.clone(), asked.owner.clone());
    blocking(move || {
        site.store.may_publish_busy(&who, &Home::User(owner.clone()))?;
        early.check(Some(&read::etag(&site, &who, &owner)?))
    })
    .await?;
    let body = asked.site.bodies.read(&asked.who, asked.request, payload, MAX_BODY).await?;
    let (created, etag) = publish(asked, guard, Some(body.bytes.to_vec())).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    Ok(HttpResponse::build(status).insert_header((ETAG, format!("\"{etag}\""))).finish())
}

pub async fn delete(asked: &Asked<'_>) -> Result<HttpResponse> {
    let (_, etag) = publish(asked, Guard::parse(asked.request.headers()), None).await?;
    Ok(HttpResponse::NoContent().insert_header((ETAG, format!("\"{etag}\""))).finish())
}

/// Whether it was there before, and the Etag of what is read now.
async fn publish(asked: &Asked<'_>, guard: Guard, text: Option<Vec<u8>>) -> Result<(bool, String)> {
    let (site, who, owner) = (asked.site.clone(), asked.who.clone(), asked.owner.clone());
    let target = Target::Freebusy(asked.named.clone());
    let origin = origin(asked.site, asked.request, asked.link, &asked.who, &target);
    blocking(move || {
        let precondition = || guard.check(Some(&read::etag(&site, &who, &owner)?));
        let home = Home::User(owner.clone());
        let created = site.store.publish_busy(&origin, &home, text.as_deref(), &precondition)?;
        Ok((created, read::etag(&site, &who, &owner)?))
    })
    .await
}
