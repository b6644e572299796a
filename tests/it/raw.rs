//! Requests that no HTTP library would send: bytes on a socket, and what comes back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::server::{NOBODY, Server};

/// A connection that says what it is told to.
pub struct Raw(TcpStream);

impl Server {
    pub fn connect(&self) -> Raw {
        let stream = TcpStream::connect(self.address()).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        Raw(stream)
    }

    /// The status of a request whose target goes out exactly as written.
    pub fn raw_status(&self, method: &str, target: &str, user: &str) -> u16 {
        let mut raw = self.connect();
        raw.say(head(method, target, user, &["Content-Length: 0", "Connection: close"]));
        raw.status()
    }
}

/// The bytes of a request up to its body.
pub fn head(method: &str, target: &str, user: &str, headers: &[&str]) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    if user != NOBODY {
        let login = STANDARD.encode(format!("{user}:{user}"));
        text += &format!("Authorization: Basic {login}\r\n");
    }
    for header in headers {
        text += &format!("{header}\r\n");
    }
    text + "\r\n"
}

impl Raw {
    /// Sends bytes. The server may have answered and closed before it has read them all.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref());
    }

    /// One chunk of a chunked body; an empty one ends it.
    pub fn chunk(&mut self, bytes: &[u8]) {
        self.say(format!("{:x}\r\n", bytes.len()));
        self.say(bytes);
        self.say("\r\n");
    }

    /// Says that nothing more will come.
    pub fn finish(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Reads one head, up to its blank line.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && self.0.read(&mut byte).is_ok_and(|read| read == 1) {
            head.push(byte[0]);
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// The status of the next answer; 0 if the connection was closed without one.
    pub fn status(&mut self) -> u16 {
        let head = self.head();
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Everything that comes until the server closes.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}
