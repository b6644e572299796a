//! DELETE of a calendar, which moves it into its home's history.

use actix_web::HttpResponse;

use super::{Asked, check};
use crate::error::Result;
use crate::http::blocking;
use crate::http::guard::Guard;

pub async fn answer(asked: &Asked<'_>) -> Result<HttpResponse> {
    let guard = Guard::parse(asked.request.headers());
    let (store, origin, place) = (asked.site.store.clone(), asked.origin(), asked.place.clone());
    blocking(move || store.remove(&origin, &place, &|here| check(&guard, here))).await?;
    Ok(HttpResponse::NoContent().finish())
}
