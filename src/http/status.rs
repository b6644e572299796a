//! The one map from errors to HTTP: a status, the headers that go with it, and a text for people.
//!
//! What went wrong inside the server goes to the log; the client is told that it did, never where.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};

use crate::error::Error;

/// The challenge of every 401 (RFC 7617 §2). Clients store a login under the realm, so it never changes.
pub const CHALLENGE: &str = "Basic realm=\"Kalends\", charset=\"UTF-8\"";

/// Seconds after which a request that met a passing trouble of ours may come again.
const RETRY_SECONDS: u64 = 10;

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Error::BadRequest(_) | Error::Malformed { .. } => StatusCode::BAD_REQUEST,
            Error::LoginNeeded | Error::LoginRefused => StatusCode::UNAUTHORIZED,
            Error::InsecureTransport | Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::NoAddress | Error::NotFound => StatusCode::NOT_FOUND,
            Error::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Error::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Error::TooLarge(_) | Error::OverCap { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::ContentEncoding | Error::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Config(_) | Error::OtherMount { .. } | Error::Io { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Error::GroupsUnknown | Error::LoginUnavailable(_) | Error::Busy | Error::Displaced => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Error::NoSpace { .. } => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        if status.is_server_error() {
            tracing::error!("{}: {self}", status.as_u16());
        }
        let mut response = HttpResponse::build(status);
        response
            .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            // A proxy that keeps an error would show it after its reason has gone.
            .insert_header((header::CACHE_CONTROL, "no-store"));
        self.add_headers(&mut response);
        response.body(format!("{}\n", self.public_text()))
    }
}

impl Error {
    fn add_headers(&self, response: &mut HttpResponseBuilder) {
        match self {
            Error::LoginNeeded | Error::LoginRefused => {
                response.insert_header((header::WWW_AUTHENTICATE, CHALLENGE));
            }
            Error::MethodNotAllowed { allow } => {
                response.insert_header((header::ALLOW, *allow));
            }
            Error::Throttled { retry_after } => {
                response.insert_header((header::RETRY_AFTER, *retry_after));
            }
            _ if self.status_code() == StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((header::RETRY_AFTER, RETRY_SECONDS));
            }
            _ => {}
        }
    }

    /// What the client may read: the error's own words, unless they speak of the server's inside.
    fn public_text(&self) -> String {
        match self {
            Error::Config(_) | Error::Io { .. } => "the server failed; its log says more".to_owned(),
            Error::LoginUnavailable(_) => "logins cannot be checked now".to_owned(),
            Error::NoSpace { .. } => "no space left; nothing was changed".to_owned(),
            Error::OtherMount { .. } => {
                "this is set apart from the data directory (on another mount, say): nothing can be saved there"
                    .to_owned()
            }
            shown => shown.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::MessageBody;
    use actix_web::http::header::HeaderValue;
    use std::io;

    const SECRET: &str = "/var/lib/kalends/users/alice";

    fn every_error() -> Vec<(Error, u16, &'static str)> {
        let text = |text: &str| text.to_owned();
        vec![
            (Error::BadRequest(text("a word")), 400, "a word\n"),
            (
                Error::Malformed { line: 3, expected: text("END:VEVENT") },
                400,
                "line 3: expected END:VEVENT\n",
            ),
            (Error::LoginNeeded, 401, "a login is needed\n"),
            (Error::LoginRefused, 401, "wrong user or password\n"),
            (Error::Forbidden(text("not yours")), 403, "not yours\n"),
            (
                Error::InsecureTransport,
                403,
                "passwords and secret links are taken over TLS only: use https, or name the proxy in the configuration\n",
            ),
            (
                Error::NoAddress,
                404,
                "no address of a calendar (/ lists them); a name has 1 to 250 bytes of UTF-8, does not start with a dot or ~, \
                 does not end with a dot or space, and has no backslash or control character\n",
            ),
            (Error::NotFound, 404, "not found\n"),
            (Error::MethodNotAllowed { allow: "GET, HEAD" }, 405, "method not allowed\n"),
            (Error::NotAcceptable, 406, "only text/calendar can be served\n"),
            (Error::Conflict(text("a folder")), 409, "a folder\n"),
            (Error::PreconditionFailed, 412, "the calendar is not as the precondition says\n"),
            (Error::TooLarge(text("64 MB a calendar")), 413, "too large: 64 MB a calendar\n"),
            (Error::OverCap { line: 3, cap: text("9 levels") }, 413, "line 3: too large: 9 levels\n"),
            (Error::ContentEncoding, 415, "Content-Encoding is not supported\n"),
            (Error::MediaType("application/json"), 415, "only application/json is taken here\n"),
            (Error::Throttled { retry_after: 7 }, 429, "too many failed logins, try again in 7 seconds\n"),
            (Error::Config(text(SECRET)), 500, "the server failed; its log says more\n"),
            (
                Error::io(SECRET, io::ErrorKind::PermissionDenied),
                500,
                "the server failed; its log says more\n",
            ),
            (
                Error::io(SECRET, io::ErrorKind::CrossesDevices),
                500,
                "this is set apart from the data directory (on another mount, say): nothing can be saved there\n",
            ),
            (Error::GroupsUnknown, 503, "the groups of the user cannot be learned now\n"),
            (Error::LoginUnavailable(text(SECRET)), 503, "logins cannot be checked now\n"),
            (Error::Busy, 503, "too busy\n"),
            (Error::Displaced, 503, "the data directory is not in its place\n"),
            (Error::io(SECRET, io::ErrorKind::StorageFull), 507, "no space left; nothing was changed\n"),
        ]
    }

    #[test]
    fn every_error_has_a_status_and_a_text_without_paths() {
        for (error, status, text) in every_error() {
            let response = error.error_response();
            assert_eq!(response.status().as_u16(), status, "{error:?}");
            let kind = response.headers().get(header::CONTENT_TYPE).cloned();
            assert_eq!(kind, Some(HeaderValue::from_static("text/plain; charset=utf-8")));
            let body = response.into_body().try_into_bytes().expect("a body in memory");
            assert_eq!(body, text.as_bytes(), "{error:?}");
        }
    }

    #[test]
    fn a_status_comes_with_the_header_that_explains_it() {
        for (error, status, _) in every_error() {
            let response = error.error_response();
            let has = |name: header::HeaderName| {
                response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            };
            let challenge = (status == 401).then(|| "Basic realm=\"Kalends\", charset=\"UTF-8\"".to_owned());
            assert_eq!(has(header::WWW_AUTHENTICATE), challenge, "{error:?}");
            assert_eq!(has(header::ALLOW), (status == 405).then(|| "GET, HEAD".to_owned()), "{error:?}");
            let retry = match status {
                429 => Some("7".to_owned()),
                503 => Some("10".to_owned()),
                _ => None,
            };
            assert_eq!(has(header::RETRY_AFTER), retry, "{error:?}");
        }
    }
}
