//! The password file: lines `user:hash`, bcrypt as `htpasswd -B` writes it or argon2id as a PHC string. Reads no disk itself.

use std::collections::BTreeMap;

use argon2::password_hash::phc::PasswordHash;
use argon2::{ARGON2ID_IDENT, Argon2, Params, PasswordVerifier};

use super::watched::Fault;
use crate::name::Name;

const SUPPORTED: &str = "bcrypt (htpasswd -B) or argon2id (kalends passwd)";

/// Bcrypt doubles its time with each step of cost; at 16 a login takes seconds.
const DEAREST_BCRYPT: u32 = 16;

/// Argon2id takes this many KiB for as long as a check lasts.
const LARGEST_ARGON2: u32 = 256 * 1024;
const MOST_PASSES: u32 = 32;

/// The users of a password file with their hashes.
pub struct Passwords {
    hashes: BTreeMap<String, Hash>,
}

enum Hash {
    Bcrypt { text: String, cost: u32 },
    Argon2id { hash: Box<PasswordHash>, kibibytes: u32, passes: u32 },
}

impl Passwords {
    /// Reads the text of a password file: `#` begins a comment, a blank line is nothing.
    ///
    /// # Errors
    /// A line without a colon, a user twice, a name against the rules of names, a hash of another scheme: with its line.
    pub fn parse(text: &str) -> Result<Passwords, Fault> {
        let mut hashes = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = entry(line).map_err(|message| (at + 1, message))?;
            if hashes.insert(user.clone(), hash).is_some() {
                return Err((at + 1, format!("\"{user}\" stands twice")));
            }
        }
        Ok(Passwords { hashes })
    }

    /// The users in order of name.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.hashes.keys().map(String::as_str)
    }

    pub fn contains(&self, user: &str) -> bool {
        self.hashes.contains_key(user)
    }

    /// Whether this is the user's password. For a user who is not there the dearest hash of the file is computed in vain, so that the
    /// time does not tell who is.
    pub fn check(&self, user: &str, password: &[u8]) -> bool {
        let Some(hash) = self.hashes.get(user) else {
            let decoy = self.hashes.values().max_by_key(|hash| hash.price());
            std::hint::black_box(decoy.map(|decoy| decoy.matches(password)));
            return false;
        };
        hash.matches(password)
    }
}

/// One line. What stands behind a second colon is a comment, as in Apache.
fn entry(line: &str) -> Result<(String, Hash), String> {
    let (user, rest) = line.split_once(':').ok_or("expected user:hash")?;
    let name = Name::new(user).ok_or_else(|| format!("\"{}\" is no name of a user", user.escape_debug()))?;
    let hash = rest.split(':').next().unwrap_or(rest).trim_end();
    Ok((name.as_str().to_owned(), Hash::parse(hash)?))
}

impl Hash {
    fn parse(text: &str) -> Result<Hash, String> {
        match text.split('$').nth(1) {
            Some("2y" | "2b" | "2a") => Hash::bcrypt(text),
            Some("argon2id") => Hash::argon2id(text),
            _ => Err(format!("a hash of an unknown scheme, expected {SUPPORTED}")),
        }
    }

    fn bcrypt(text: &str) -> Result<Hash, String> {
        let parts: bcrypt::HashParts = text.parse().map_err(|error| format!("no bcrypt hash: {error}"))?;
        match parts.get_cost() {
            cost @ 4..=DEAREST_BCRYPT => Ok(Hash::Bcrypt { text: text.to_owned(), cost }),
            cost => Err(format!("bcrypt of cost 4 to {DEAREST_BCRYPT}, not {cost}")),
        }
    }

    fn argon2id(text: &str) -> Result<Hash, String> {
        let hash = PasswordHash::new(text).map_err(|error| format!("no argon2id hash: {error}"))?;
        let params = Params::try_from(&hash).map_err(|error| format!("no argon2id hash: {error}"))?;
        if hash.algorithm != ARGON2ID_IDENT || hash.salt.is_none() || hash.hash.is_none() {
            return Err("no argon2id hash: salt or hash is missing".to_owned());
        }
        let (kibibytes, passes) = (params.m_cost(), params.t_cost());
        if kibibytes > LARGEST_ARGON2 || passes > MOST_PASSES {
            return Err(format!("argon2id of at most m={LARGEST_ARGON2} and t={MOST_PASSES}"));
        }
        Ok(Hash::Argon2id { hash: Box::new(hash), kibibytes, passes })
    }

    fn matches(&self, password: &[u8]) -> bool {
        match self {
            Hash::Bcrypt { text, .. } => bcrypt::verify(password, text).unwrap_or(false),
            Hash::Argon2id { hash, .. } => Argon2::default().verify_password(password, &**hash).is_ok(),
        }
    }

    /// The time that a check takes, roughly, in KiB that argon2 fills: one round of bcrypt takes about as long as 64 of them.
    fn price(&self) -> u64 {
        match self {
            Hash::Bcrypt { cost, .. } => 64 << cost,
            Hash::Argon2id { kibibytes, passes, .. } => u64::from(*kibibytes) * u64::from(*passes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Apache's `htpasswd -nbB -C 4 alice alice`.
    const HTPASSWD: &str = "alice:$2y$04$Dp42F7/ptGasqLD72UBeduxZpmuOdAWtHpg.b6jHCXH/5w5SoCcOq";
    /// Written by the reference `argon2` command: `echo -n bob | argon2 somesalt -id -t 1 -k 64 -p 1 -e`.
    const ARGON2ID: &str =
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$hJJLI+5olDPvup7rl618O86p9UttWcmqXHZ+7EBl46A";

    #[test]
    fn hashes_of_htpasswd_and_of_argon2_are_checked() {
        let text = format!("# staff\n\n{HTPASSWD}\r\nbob:{ARGON2ID}:a comment\n");
        let passwords = Passwords::parse(&text).unwrap_or_else(|(line, message)| panic!("{line}: {message}"));
        assert_eq!(passwords.users().collect::<Vec<_>>(), ["alice", "bob"]);
        for (user, password, right) in [
            ("alice", "alice", true),
            ("alice", "bob", false),
            ("bob", "bob", true),
            ("bob", "alice", false),
            ("carol", "alice", false),
            ("Alice", "alice", false),
            ("carol", "bob", false),
        ] {
            assert_eq!(passwords.check(user, password.as_bytes()), right, "{user} {password}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let short = &HTPASSWD[..40];
        for (text, line, says) in [
            ("alice", 1, "expected user:hash"),
            ("# x\nalice:$apr1$r31$xxxxxxxxxxxx", 2, "expected bcrypt (htpasswd -B) or argon2id"),
            ("alice:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=", 1, "unknown scheme"),
            ("alice:rqXexS6ZhobKA", 1, "unknown scheme"),
            ("alice:alice", 1, "unknown scheme"),
            ("alice:", 1, "unknown scheme"),
            (short, 1, "no bcrypt hash"),
            (&format!("{HTPASSWD}\n{HTPASSWD}"), 2, "\"alice\" stands twice"),
            (&HTPASSWD.replace("$04$", "$31$"), 1, "bcrypt of cost 4 to 16, not 31"),
            (&HTPASSWD.replace("alice:", "../eve:"), 1, "no name of a user"),
            (&HTPASSWD.replace("alice:", ":"), 1, "no name of a user"),
            (&format!("bob:{}", ARGON2ID.replace("m=64", "m=4194304")), 1, "at most m="),
            ("bob:$argon2id$v=19$m=64,t=1,p=1", 1, "is missing"),
            ("bob:$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$xxxx", 1, "unknown scheme"),
        ] {
            let (found, message) = Passwords::parse(text).err().unwrap_or_else(|| panic!("{text}: taken"));
            assert_eq!(found, line, "{text}: {message}");
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn an_empty_file_lets_nobody_in() {
        let passwords = Passwords::parse("").unwrap_or_else(|(line, message)| panic!("{line}: {message}"));
        assert!(!passwords.check("alice", b"alice"));
    }
}
