//! The addresses above the calendars: what programs PROPFIND on their way to the place they publish to.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::ical::{MAX_PROPFIND, multi_status};
use super::propfind::{Depth, FINITE_DEPTH, Kind, MULTISTATUS_TYPE, Resource, Wanted, multistatus};
use super::target::{Collection, Target};
use super::{Site, blocking, header, login};
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
    let (role, members) = blocking(move || {
        let members = store.list(&asker, &folder)?;
        Ok((store.role_at(&asker, &folder)?, members))
    })
    .await?;
    if request.method().as_str() != "PROPFIND" {
        return Err(Error::MethodNotAllowed { allow: ALLOW });
    }
    let depth = Depth::parse(header(request, "depth"))?;
    let body = site.bodies.read(&who, request, payload, MAX_PROPFIND).await?;
    let wanted = Wanted::parse(&body.bytes)?;
    let urls = site.urls.on_the_way(link);
    let mut resources =
        vec![resource(Target::Collection(target.clone()).href(&urls), Kind::Collection, &path, role)];
    match depth {
        Depth::Zero => {}
        Depth::One => resources.extend(members.iter().filter_map(|(name, is_folder, role)| {
            let (kind, member) = match is_folder {
                true => (Kind::Collection, target.folder(name)?),
                false => (Kind::Calendar, target.calendar(name)?),
            };
            Some(named(member.href(&urls), kind, name, *role))
        })),
        Depth::Infinity => {
            return Ok(HttpResponse::Forbidden().content_type(MULTISTATUS_TYPE).body(FINITE_DEPTH));
        }
    }
    Ok(multi_status(multistatus(&wanted, &resources)))
}

fn resource(href: String, kind: Kind, path: &Path, role: Role) -> Resource {
    let display_name =
        path.last().map(|name| name.to_string()).or_else(|| path.home.owner().map(str::to_owned));
    Resource { href, kind, display_name, color: None, etag: None, modified: None, length: None, role }
}

fn named(href: String, kind: Kind, name: &Name, role: Role) -> Resource {
    let display_name = Some(name.to_string());
    Resource { href, kind, display_name, color: None, etag: None, modified: None, length: None, role }
}
