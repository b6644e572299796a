//! Reads the value of an Authorization header: Basic (RFC 7617) and nothing else. Decides nothing about who may log in.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// The longest header value that is looked at: the longest name, the longest password and base64's third more.
const LONGEST_VALUE: usize = 2048;

/// Longer passwords are not looked at: each byte of them is work for whoever checks.
pub const LONGEST_PASSWORD: usize = 1024;

/// Clients differ in whether they pad (RFC 4648 §3.2).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A password: wiped when dropped, and without `Debug`, so that no log can show it.
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The password itself, for a check of it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What a client says it is.
pub struct Credentials {
    pub user: String,
    pub(super) password: Secret,
}

impl Credentials {
    /// The user and the password in a Basic header value, as UTF-8 (RFC 7617 §2.1), else as the ISO-8859-1 that some programs
    /// send whatever they are asked for (KDE's, up to Frameworks 5).
    ///
    /// Anything else is nothing: Outlook sends a Bearer of its own even to open addresses.
    pub fn from_basic(header_value: &str) -> Option<Credentials> {
        if header_value.len() > LONGEST_VALUE {
            return None;
        }
        let (scheme, token) = header_value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let bytes = Zeroizing::new(BASE64.decode(token.trim()).ok()?);
        let latin;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(_) => {
                latin = from_latin_1(&bytes);
                &latin
            }
        };
        let (user, password) = text.split_once(':')?;
        Some(Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) })
    }
}

/// The text whose characters have these numbers.
fn from_latin_1(bytes: &[u8]) -> Zeroizing<String> {
    // A String that grows leaves what it was behind, unwiped.
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    text.extend(bytes.iter().copied().map(char::from));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        Credentials::from_basic(value)
            .map(|credentials| (credentials.user, credentials.password.reveal().to_owned()))
    }

    fn basic(text: &[u8]) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[test]
    fn a_basic_header_is_user_and_password() {
        for (value, user, password) in [
            ("Basic YWxpY2U6YWxpY2U=".to_owned(), "alice", "alice"),
            ("basic  YWxpY2U6YWxpY2U".to_owned(), "alice", "alice"),
            (basic(b"alice:with:colons:"), "alice", "with:colons:"),
            (basic("m\u{fc}ller:pa\u{df}".as_bytes()), "m\u{fc}ller", "pa\u{df}"),
            (basic(b"m\xfcller:pa\xdfwort"), "m\u{fc}ller", "pa\u{df}wort"),
            (basic(b"alice@example.org:x"), "alice@example.org", "x"),
            (basic(b"alice:"), "alice", ""),
            (basic(b":"), "", ""),
        ] {
            assert_eq!(read(&value), Some((user.to_owned(), password.to_owned())), "{value}");
        }
    }

    #[test]
    fn what_is_no_basic_header_is_nothing() {
        let long = basic(&[b'x'; LONGEST_VALUE]);
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!",
            "Bearer YWxpY2U6YWxpY2U=",
            "BasicYWxpY2U6YWxpY2U=",
            "Negotiate abc",
            &basic(b"no colon"),
            &basic(b"\xff\xfe"),
            &long,
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
