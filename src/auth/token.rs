//! The token of a secret link: who knows it may do what the link says. Made here and shown once; the rest of the server
//! knows its hash.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// RFC 4648 §6 in small letters: programs and people that change the case of a URL, or read it aloud, do no harm.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Five bits each: 160 in all.
const LENGTH: usize = 32;

/// A token. Without its text in `Debug`, so that no log can show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token that nobody has seen.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn random() -> Result<Token> {
        let mut random = Zeroizing::new([0; LENGTH]);
        getrandom::fill(&mut *random).map_err(|error| Error::Config(format!("no random bytes: {error}")))?;
        let text = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
        Ok(Token(Zeroizing::new(text.collect())))
    }

    /// What somebody says is a token.
    pub fn given(text: &str) -> Token {
        Token(Zeroizing::new(text.to_ascii_lowercase()))
    }

    /// The token itself, for the URL that is shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What names its link's file. Looking that up takes as long for a token that is nearly right as for any other.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_its_own_and_goes_into_a_url_as_it_is() {
        let tokens: Vec<Token> = (0..100).map(|_| Token::random().expect("random bytes")).collect();
        let mut texts: Vec<&str> = tokens.iter().map(Token::reveal).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), 100);
        for text in texts {
            assert_eq!(text.len(), LENGTH);
            assert!(text.bytes().all(|byte| ALPHABET.contains(&byte)), "{text}");
            assert_eq!(Token::given(&text.to_uppercase()).reveal(), text);
        }
    }

    #[test]
    fn no_log_shows_a_token() {
        let token = Token::random().expect("random bytes");
        assert!(!format!("{token:?}").contains(token.reveal()));
    }

    #[test]
    fn the_hash_is_the_sha_256_of_the_text() {
        // The example of FIPS 180-2, appendix B.1.
        assert!(Token::given("abc").sha256().starts_with(&[0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01]));
    }
}
