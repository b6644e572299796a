//! PUT of a calendar: rights, then preconditions, then the body, which is merged into what is here.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::web::Payload;
use tokio::sync::oneshot;

use super::{Asked, check, quoted};
use crate::acl::Role;
use crate::error::{Error, Result};
use crate::http::body::{Body, MAX_CALENDAR};
use crate::http::guard::Guard;
use crate::http::{blocking, header};
use crate::ical::cut::cut;
use crate::store::{Basis, Save, Saved, Snapshot};

/// As a request header with the value `replace`: what was sent is wanted as it is. As a response header: what the
/// merge did beside taking what was sent.
const MERGE: &str = "Kalends-Merge";

pub async fn answer(asked: &Asked<'_>, payload: Payload) -> Result<HttpResponse> {
    let guard = Guard::parse(asked.request.headers());
    let basis = basis(asked, &guard)?;
    check(&guard, current(asked).await?.as_deref())?;
    let body = asked.site.bodies.read(&asked.who, asked.request, payload, MAX_CALENDAR).await?;
    let saved = save(asked, guard, basis, body).await?;
    let mut response =
        HttpResponse::build(if saved.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT });
    response.insert_header((ETAG, quoted(&saved.etag)));
    let did = saved.merged.in_words();
    if !did.is_empty() {
        tracing::info!("merged a save by {} to {}: {did}", asked.who, asked.origin().address);
        response.insert_header((MERGE, did));
    }
    if saved.merged.spared > 0 {
        tracing::warn!(
            "a save without a guard by {} left out more than half of the calendar, {} items: none is removed",
            asked.who,
            saved.merged.spared
        );
    }
    Ok(response.finish())
}

/// What is here, if anything is, for whoever may save here; from memory where that is enough.
async fn current(asked: &Asked<'_>) -> Result<Option<Arc<Snapshot>>> {
    if let Some(room) = asked.site.store.glance(&asked.who, &asked.place, Role::Contributor) {
        return Ok(Some(room.snapshot));
    }
    let (store, who, place) = (asked.site.store.clone(), asked.who.clone(), asked.place.clone());
    blocking(move || store.may_save(&who, &place)).await
}

/// Saves off the async threads; comes back as soon as the outcome is durable.
async fn save(asked: &Asked<'_>, guard: Guard, basis: Basis, body: Body) -> Result<Saved> {
    let (site, origin, place) = (asked.site.clone(), asked.origin(), asked.place.clone());
    let client = asked.client();
    let (answer, outcome) = oneshot::channel();
    actix_web::rt::task::spawn_blocking(move || {
        let Body { bytes, mut room } = body;
        let sent = cut(&bytes).and_then(|sent| {
            site.bodies.widen(&mut room, &origin.who, bytes.len(), sent.items.len())?;
            Ok(sent)
        });
        drop(bytes);
        // Whoever waited for the answer may have gone; the save is made all the same.
        let acknowledge = |outcome| drop(answer.send(outcome));
        match sent {
            Ok(sent) => {
                let precondition = |here: Option<&Snapshot>| check(&guard, here);
                site.store.save(
                    Save { origin: &origin, client, place: &place, sent, basis, precondition: &precondition },
                    acknowledge,
                );
            }
            Err(error) => acknowledge(Err(error)),
        }
    });
    // Without an answer the save panicked, which is logged where it happened.
    outcome.await.unwrap_or(Err(Error::Busy))
}

fn basis(asked: &Asked<'_>, guard: &Guard) -> Result<Basis> {
    match header(asked.request, MERGE).map(str::trim) {
        None => Ok(guard.basis()),
        Some(value) if value.eq_ignore_ascii_case("replace") => Ok(Basis::Replace),
        Some(value) => Err(Error::BadRequest(format!("{MERGE}: replace or nothing, not \"{value}\""))),
    }
}
