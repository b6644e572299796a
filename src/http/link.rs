//! Secret links over HTTP: `/ical/link`, where users make links, see theirs and revoke them.

use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::target::{CalendarTarget, Collection, Owner, Target, Urls};
use super::{Site, blocking, header, login};
use crate::acl::{Principal, Role};
use crate::auth::Token;
use crate::error::{Error, Result};
use crate::store::place::Home;
use crate::store::{LinkId, LinkPlace, SecretLink};

pub const ALLOW: &str = "OPTIONS, GET, HEAD, POST, DELETE";

/// The largest wish for a link, in bytes.
const MAX_WISH: usize = 16 << 10;

/// What a user asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with place and role")]
struct Wish {
    place: String,
    role: String,
    #[serde(default)]
    label: String,
    expires: Option<String>,
}

/// Answers a request to `/ical/link`: POST makes a link, GET lists one's own, `DELETE ?id=…` revokes one.
pub async fn answer(site: &Data<Site>, request: &HttpRequest, payload: Payload) -> Result<HttpResponse> {
    // Browsers send a login that they remember along with what another site's page makes them send.
    if header(request, "sec-fetch-site").is_some_and(|from| !matches!(from, "same-origin" | "none")) {
        return Err(Error::Forbidden("not from another site".to_owned()));
    }
    let who = login::principal(site, request, None).await?;
    let Principal::User { name, .. } = who.as_ref() else { return Err(Error::LoginNeeded) };
    match *request.method() {
        Method::POST => make(site, request, payload, &who, name).await,
        Method::GET | Method::HEAD => list(site, name.clone()).await,
        Method::DELETE => revoke(site, request, name.clone()).await,
        _ => Err(Error::MethodNotAllowed { allow: ALLOW }),
    }
}

async fn make(
    site: &Data<Site>,
    request: &HttpRequest,
    payload: Payload,
    who: &Principal,
    owner: &str,
) -> Result<HttpResponse> {
    let media_type = header(request, CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next());
    // A form of another site's page can send other types, but not this one.
    if !media_type.is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Error::MediaType("application/json"));
    }
    let body = site.bodies.read(who, request, payload, MAX_WISH).await?;
    let wish: Wish = serde_json::from_slice(&body.bytes)
        .map_err(|error| Error::BadRequest(format!("not a wish for a link: {error}")))?;
    let now = Timestamp::now();
    let link = SecretLink::asked(owner, &wish.place, &wish.role, &wish.label, wish.expires.as_deref(), now)?;
    let (site, maker, token) = (site.clone(), who.clone(), Token::random()?);
    let made = blocking(move || {
        let id = LinkId::of(token.sha256());
        site.store.may_share(&maker, &link)?;
        site.store.add_link(&id, &link)?;
        tracing::info!("{maker} made the link {}: {} at {}", id.short(), link.role, link.place);
        let mut made = described(&id, &link);
        made["url"] = url(&site.urls, &token, &link).into();
        Ok(made)
    });
    Ok(json(HttpResponse::Created(), &made.await?))
}

async fn list(site: &Data<Site>, owner: String) -> Result<HttpResponse> {
    let store = site.store.clone();
    let links = blocking(move || {
        let all = store.links()?.into_iter().filter_map(|(id, link)| Some((id, link.ok()?)));
        let own = all.filter(|(_, link)| link.owner == owner);
        Ok(own.map(|(id, link)| described(&id, &link)).collect::<Vec<Value>>())
    });
    Ok(json(HttpResponse::Ok(), &links.await?.into()))
}

async fn revoke(site: &Data<Site>, request: &HttpRequest, owner: String) -> Result<HttpResponse> {
    let id = request.query_string().strip_prefix("id=").ok_or_else(|| {
        Error::BadRequest("name the link: DELETE /ical/link?id=…, as GET /ical/link shows it".to_owned())
    })?;
    let (store, start) = (site.store.clone(), id.to_owned());
    let revoked = blocking(move || {
        let id = store.link_named(&start)?;
        // Another's link is not there.
        store.link(&id)?.filter(|link| link.owner == owner).ok_or(Error::NotFound)?;
        store.revoke_link(&id)?;
        tracing::info!("{owner} revoked the link {}", id.short());
        Ok(())
    });
    revoked.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What its maker may know of a link; the token is not in it.
fn described(id: &LinkId, link: &SecretLink) -> Value {
    let used = link.used.as_ref().map(|used| json!({ "at": used.at.to_string(), "by": used.by }));
    json!({
        "id": id.short(),
        "place": link.place.to_string(),
        "role": link.role.name(),
        "label": link.label,
        "made": link.made.to_string(),
        "expires": link.expires.map(|expires| expires.to_string()),
        "used": used,
    })
}

fn json(mut response: HttpResponseBuilder, value: &Value) -> HttpResponse {
    response
        .insert_header((CONTENT_TYPE, "application/json"))
        // The answer may hold a token, which is shown once.
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(format!("{value:#}\n"))
}

/// The address to paste for a link: its free/busy or its calendar. Where the link reaches everywhere, that is the
/// search path of Outlook (CLIENTS: `%NAME%` is the part of a mail address before the `@`), or its maker's own calendar.
pub fn url(urls: &Urls, token: &Token, link: &SecretLink) -> String {
    let urls = urls.through(token);
    let target = match &link.place {
        LinkPlace::Everywhere if link.role == Role::Freebusy => {
            return Target::Collection(Collection::Top(Owner::Me)).url(&urls) + "~%NAME%/freebusy.ifb";
        }
        LinkPlace::Everywhere => Target::Calendar(CalendarTarget::Main(Owner::Me)),
        LinkPlace::Below(path) => match (&path.home, path.names.as_slice()) {
            (Home::User(user), _) if link.role == Role::Freebusy => {
                Target::Freebusy(Owner::User(user.clone()))
            }
            (Home::User(user), []) => Target::Calendar(CalendarTarget::Main(Owner::User(user.clone()))),
            (Home::User(user), names) => {
                Target::Calendar(CalendarTarget::Folder(Owner::User(user.clone()), names.to_vec()))
            }
            (Home::Public, []) => Target::Collection(Collection::Public(Vec::new())),
            (Home::Public, names) => Target::Calendar(CalendarTarget::Public(names.to_vec())),
        },
    };
    match target {
        // Nobody owns it, so it is in nobody's free/busy.
        Target::Calendar(_) if link.role == Role::Freebusy => target.url(&urls) + "?show=busy",
        _ => target.url(&urls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_to_paste_is_that_of_the_place_and_the_role() {
        let urls = Urls::new(Some("https://cal.example.org"), Some("example.org"));
        let token = Token::given("s3cret");
        for (place, role, expected) in [
            ("~*", "freebusy", "~%NAME%/freebusy.ifb"),
            ("~*", "viewer", "main.ics"),
            ("~alice", "freebusy", "~alice/freebusy.ifb"),
            ("alice", "viewer", "~alice/main.ics"),
            ("alice/Work/A b", "viewer", "~alice/folder/Work/A%20b.ics"),
            ("alice/Work/A b", "freebusy", "~alice/freebusy.ifb"),
            ("public", "viewer", "pf/"),
            ("public/Holidays", "viewer", "pf/Holidays.ics"),
            ("public/Holidays", "freebusy", "pf/Holidays.ics?show=busy"),
        ] {
            let now = Timestamp::UNIX_EPOCH;
            let link = SecretLink::asked("alice", place, role, "", None, now).expect("a link");
            let expected = format!("https://cal.example.org/ical/link/s3cret/{expected}");
            assert_eq!(url(&urls, &token, &link), expected);
        }
    }
}
