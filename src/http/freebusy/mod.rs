//! The free/busy address: when its owner is busy, as far as the asker may know; and what its owner publishes there.

mod publish;
pub mod query;
mod read;

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::acl::Principal;
use crate::auth::Token;
use crate::error::Result;
use crate::http::target::Owner;
use crate::http::{Site, login};
use crate::store::place::Name;

pub use publish::MAX_BODY;
pub use read::{asks_for_busy, of_place};

pub const ALLOW: &str = "OPTIONS, GET, HEAD, PUT, DELETE";

/// A request to a free/busy address.
struct Asked<'r> {
    site: &'r Data<Site>,
    request: &'r HttpRequest,
    link: Option<&'r Token>,
    who: Arc<Principal>,
    named: &'r Owner,
    owner: Name,
}

/// Answers a request to the free/busy address of `owner`.
pub async fn answer(
    site: &Data<Site>,
    request: &HttpRequest,
    payload: Payload,
    link: Option<&Token>,
    owner: &Owner,
) -> Result<HttpResponse> {
    let who = login::principal(site, request, link).await?;
    let asked = Asked { site, request, link, named: owner, owner: owner.name(who.me())?, who };
    match request.method().as_str() {
        "GET" | "HEAD" => read::answer(&asked).await,
        "PUT" => publish::put(&asked, payload).await,
        "DELETE" => publish::delete(&asked).await,
        _ => Err(login::unknown_method(&asked.who, ALLOW)),
    }
}
