//! Who asks: from a request's connection and headers to a Principal.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;

use super::peer::{client, is_private};
use super::{Site, holder};
use crate::acl::Principal;
use crate::auth::Token;
use crate::error::{Error, Result};

/// Who sends this request: who holds the link that it comes through, whatever login is sent along; else who logs in.
/// A user's home is made at the first good login.
///
/// # Errors
/// `InsecureTransport` for a password or a link over plain HTTP from elsewhere; as [`holder::principal`] and
/// [`crate::auth::Authenticator::login`].
pub async fn principal(
    site: &Data<Site>,
    request: &HttpRequest,
    link: Option<&Token>,
) -> Result<Arc<Principal>> {
    if let Some(token) = link {
        return holder::principal(site, request, token).await;
    }
    let Some(value) = request.headers().get(AUTHORIZATION) else { return Ok(Arc::new(Principal::Nobody)) };
    if !is_basic(value.as_bytes()) {
        // Some programs send a token of their own to every server; here it says nothing.
        return Ok(Arc::new(Principal::Nobody));
    }
    if !is_private(site, request) {
        return Err(Error::InsecureTransport);
    }
    if let Some(principal) = site.auth.remembered(value.as_bytes()) {
        return Ok(principal);
    }
    let store = site.store.clone();
    // Before the login is remembered: for one that is, nobody asks whether it has a home.
    let with_home = move |principal: &Principal| {
        let made = principal.user().map_or(Ok(()), |user| store.ensure_home(user));
        // A login without a home still reads what others share: a full disk is no reason to refuse that.
        made.inspect_err(|error| tracing::error!("a home cannot be made: {error}")).is_ok()
    };
    site.auth.login(value.as_bytes(), client(site, request), with_home).await
}

/// The error to answer with: who may not send a password here is not asked for one.
pub fn challenge(site: &Site, request: &HttpRequest, error: Error) -> Error {
    match error {
        Error::LoginNeeded if !is_private(site, request) => Error::InsecureTransport,
        other => other,
    }
}

/// The error for a method that an address does not know: a login comes first, as everywhere.
pub fn unknown_method(who: &Principal, allow: &'static str) -> Error {
    match who {
        Principal::Nobody => Error::LoginNeeded,
        Principal::User { .. } | Principal::Link(_) => Error::MethodNotAllowed { allow },
    }
}

fn is_basic(value: &[u8]) -> bool {
    value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}
