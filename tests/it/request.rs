//! Requests to the server, as a line of a test reads: `s.put(address, user, body).header(..).status(204).etag()`.

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use reqwest::header::HeaderMap;

use crate::server::{NOBODY, Server};

/// A request that is not sent yet.
pub struct Request {
    what: String,
    builder: RequestBuilder,
}

/// What the server answered, read whole.
#[derive(Debug)]
pub struct Answer {
    what: String,
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Server {
    pub fn get(&self, path: &str, user: &str) -> Request {
        self.request("GET", path, user)
    }

    pub fn head(&self, path: &str, user: &str) -> Request {
        self.request("HEAD", path, user)
    }

    pub fn options(&self, path: &str, user: &str) -> Request {
        self.request("OPTIONS", path, user)
    }

    pub fn delete(&self, path: &str, user: &str) -> Request {
        self.request("DELETE", path, user)
    }

    /// A PUT with the content type that most clients send.
    pub fn put(&self, path: &str, user: &str, body: impl Into<Vec<u8>>) -> Request {
        self.bare_put(path, user, body).header("Content-Type", "text/calendar; charset=utf-8")
    }

    pub fn post(&self, path: &str, user: &str, body: impl Into<Vec<u8>>) -> Request {
        let mut request = self.request("POST", path, user);
        request.builder = request.builder.body(body.into());
        request
    }

    /// A PUT without a content type.
    pub fn bare_put(&self, path: &str, user: &str, body: impl Into<Vec<u8>>) -> Request {
        let mut request = self.request("PUT", path, user);
        request.builder = request.builder.body(body.into());
        request
    }

    pub fn propfind(&self, path: &str, user: &str, depth: &str, body: &str) -> Request {
        let mut request = self.request("PROPFIND", path, user).header("Depth", depth);
        if !body.is_empty() {
            request.builder = request.builder.body(body.to_owned());
            request = request.header("Content-Type", "text/xml; charset=utf-8");
        }
        request
    }

    /// A request in which the password of `user` is the name, as in `data-example/passwd`.
    pub fn request(&self, method: &str, path: &str, user: &str) -> Request {
        let verb = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut builder = self.client.request(verb, self.url(path));
        if user != NOBODY {
            builder = builder.basic_auth(user, Some(user));
        }
        let who = if user == NOBODY { "nobody" } else { user };
        Request { what: format!("{method} {path} by {who}"), builder }
    }
}

impl Request {
    pub fn header(self, name: &str, value: &str) -> Request {
        Request {
            what: format!("{} [{name}: {value}]", self.what),
            builder: self.builder.header(name, value),
        }
    }

    /// Sends the request and takes any answer.
    pub fn send(self) -> Answer {
        let what = self.what.clone();
        self.try_send().unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Sends the request to a server that may die over it.
    pub fn try_send(self) -> reqwest::Result<Answer> {
        let response = self.builder.send()?;
        let (code, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { what: self.what, code, headers, body: response.bytes()?.to_vec() })
    }

    /// Sends the request; the answer must have this status.
    #[track_caller]
    pub fn status(self, wanted: u16) -> Answer {
        self.send().status(wanted)
    }

    /// Sends the request; the answer is 200 and this is its text.
    #[track_caller]
    pub fn text(self) -> String {
        self.status(200).text()
    }

    /// Sends the request; the answer succeeds and this is its entity tag.
    #[track_caller]
    pub fn etag(self) -> String {
        let answer = self.send();
        assert!((200..300).contains(&answer.code), "{answer}");
        answer.etag()
    }
}

impl Answer {
    #[track_caller]
    pub fn status(self, wanted: u16) -> Answer {
        assert_eq!(self.code, wanted, "{self}");
        self
    }

    /// The value of a header, or nothing at all.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[track_caller]
    pub fn etag(&self) -> String {
        let etag = self.header("ETag");
        assert!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'), "no strong tag: {self}");
        etag.to_owned()
    }

    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let start: String = body.chars().take(2000).collect();
        write!(f, "{} → {} {:?}\n{start}", self.what, self.code, self.headers)
    }
}
