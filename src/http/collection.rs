//! The addresses above the calendars: what programs PROPFIND on their way to the place they publish to.

use std::time::Instant;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::propfind::{Depth, Kind, MAX_BODY, Resource, Wanted, finite_depth, multi_status};
use super::target::{Collection, Target};
use super::{Site, beat, blocking, header, login};
use crate::acl::Role;
use crate::auth::Token;
use crate::error::{Error, Result};
use crate::store::place::{Name, Path};

pub const ALLOW: &str = "OPTIONS, PROPFIND";

/// Answers a request to the collection `target`.
pub async fn answer(
    site: &Data<Site>,
    request: &HttpRequest,
    payload: Payload,
    link: Option<&Token>,
    target: &Collection,
) -> Result<HttpResponse> {
    let who = login::principal(site, request, link).await?;
    let path = target.path(who.me())?;
    let (store, asker, folder) = (site.store.clone(), who.clone(), path.clone());
    let begun = Instant::now();
    let listed = blocking(move || {
        let members = store.list(&asker, &folder)?;
        Ok((store.role_at(&asker, &folder)?, members))
    })
    .await;
    // Of a link every miss is on the beat, wherever it comes from.
    if link.is_none() && matches!(listed, Err(Error::NotFound | Error::LoginNeeded)) {
        beat::miss(begun).await;
    }
    let (role, members) = listed?;
    if request.method().as_str() != "PROPFIND" {
        return Err(Error::MethodNotAllowed { allow: ALLOW });
    }
    let depth = Depth::parse(header(request, "depth"))?;
    let body = site.bodies.read(&who, request, payload, MAX_BODY).await?;
    let wanted = Wanted::parse(&body.bytes)?;
    let urls = site.urls.on_the_way(link);
    let href = Target::Collection(target.clone()).href(&urls);
    let mut resources = vec![resource(href, Kind::Collection, called(&path), role)];
    match depth {
        Depth::Zero => {}
        Depth::One => resources.extend(members.iter().filter_map(|(name, is_folder, role)| {
            let (kind, member) = match is_folder {
                true => (Kind::Collection, target.folder(name)?),
                false => (Kind::Calendar, target.calendar(name)?),
            };
            Some(resource(member.href(&urls), kind, Some(name.to_string()), *role))
        })),
        Depth::Infinity => return Ok(finite_depth()),
    }
    Ok(multi_status(&wanted, &resources))
}

/// What an address above the calendars is called.
fn called(path: &Path) -> Option<String> {
    path.last().map(Name::to_string).or_else(|| path.home.owner().map(str::to_owned))
}

fn resource(href: String, kind: Kind, display_name: Option<String>, role: Role) -> Resource {
    Resource { href, kind, display_name, color: None, etag: None, modified: None, length: None, role }
}
