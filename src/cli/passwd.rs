//! `kalends passwd FILE USER`: sets a user's password in a password file. The other lines stay as they are, byte for byte.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use argon2::{Argon2, PasswordHasher, password_hash::phc::PasswordHash};
use rustix::fs::{FlockOperation, flock};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::auth::LONGEST_PASSWORD;
use crate::error::{Error, Result};
use crate::store::place::Name;

/// A new file is read by its owner and by the group of its directory, which is the server's.
const NEW_FILE: u32 = 0o640;

/// What Ctrl-C is while the terminal makes no signals of it.
const CONTROL_C: char = '\u{3}';

/// Asks for the password, or reads it as one line where nobody can be asked, and sets it.
///
/// # Errors
/// A name against the rules, no password or two that differ, a file that cannot be read or replaced.
pub fn run(file: &Path, user: &str) -> Result<()> {
    let user = Name::new(user)
        .filter(|name| !name.as_str().starts_with('#') && !name.as_str().contains(':'))
        .ok_or_else(|| Error::BadRequest(format!("\"{}\" is no name of a user", user.escape_debug())))?;
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() { asked_twice(user.as_str())? } else { one_line(stdin.lock())? };
    set(file, user.as_str(), &password)
}

/// Sets the password of `user` in `file`, which is made if it is not there.
fn set(file: &Path, user: &str, password: &str) -> Result<()> {
    if password.is_empty() {
        return Err(Error::BadRequest("an empty password lets nobody in".to_owned()));
    }
    if password.len() > LONGEST_PASSWORD || password.contains('\0') {
        return Err(Error::BadRequest(format!("a password has at most {LONGEST_PASSWORD} bytes and no NUL")));
    }
    let entry = format!("{user}:{}", hash(password)?);
    // Where the name is a symlink, what it leads to is replaced.
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let opened = File::open(directory).map_err(|error| Error::io(directory, error))?;
    // Two at once would each drop the other's line. Where a directory cannot be locked (NFS), it is on the admin.
    let _ = flock(&opened, FlockOperation::LockExclusive);
    let before = match std::fs::read(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|error| Error::io(&file, error))?,
    };
    replace(&file, directory, &with_entry(&before, user, &entry))?;
    opened.sync_all().map_err(|error| Error::io(directory, error))
}

/// Argon2id at the costs that OWASP recommends (19 MiB, 2 passes), which are the crate's.
fn hash(password: &str) -> Result<PasswordHash> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| Error::Config(format!("no random bytes: {error}")))?;
    let hashed = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    hashed.map_err(|error| Error::Config(format!("argon2: {error}")))
}

/// The file with the user's line replaced, or with a new one at its end.
fn with_entry(before: &[u8], user: &str, entry: &str) -> Vec<u8> {
    let mut after = Vec::with_capacity(before.len() + entry.len() + 2);
    let prefix = format!("{user}:");
    let mut found = false;
    for line in before.split_inclusive(|byte| *byte == b'\n') {
        if found || !line.starts_with(prefix.as_bytes()) {
            after.extend_from_slice(line);
            continue;
        }
        found = true;
        let content = line.trim_ascii_end();
        after.extend_from_slice(entry.as_bytes());
        after.extend_from_slice(&line[content.len()..]);
    }
    if !found {
        if after.last().is_some_and(|last| *last != b'\n') {
            after.push(b'\n');
        }
        after.extend_from_slice(entry.as_bytes());
        after.push(b'\n');
    }
    after
}

/// Puts `content` in the file's place in one step, with the file's mode and owner: the server may read it at any moment.
fn replace(file: &Path, directory: &Path, content: &[u8]) -> Result<()> {
    let staged = staged_name(file, directory);
    // Whoever was killed in the midst has left it: with the directory locked nobody is at it.
    match std::fs::remove_file(&staged) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(staged, error)),
        _ => {}
    }
    let written = write(file, directory, &staged, content)
        .and_then(|()| std::fs::rename(&staged, file))
        .map_err(|error| Error::io(file, error));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&staged);
    }
    written
}

fn staged_name(file: &Path, directory: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    directory.join(format!(".{name}.new"))
}

fn write(file: &Path, directory: &Path, staged: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(staged)?;
    match std::fs::metadata(file) {
        Ok(old) => {
            let new = out.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(&out, Some(old.uid()), Some(old.gid()))?;
            }
            out.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
        Err(_) => {
            // Without the right to give it away, the file keeps the group of whoever runs this.
            let _ = fchown(&out, None, Some(std::fs::metadata(directory)?.gid()));
            out.set_permissions(Permissions::from_mode(NEW_FILE))?;
        }
    }
    out.write_all(content)?;
    out.sync_all()
}

fn one_line(mut input: impl BufRead) -> Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    input.read_line(&mut line).map_err(|error| Error::BadRequest(format!("no password: {error}")))?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}

fn asked_twice(user: &str) -> Result<Zeroizing<String>> {
    let first = asked(&format!("New password for {user}: "))?;
    let second = asked("The same again: ")?;
    if first != second {
        return Err(Error::BadRequest("the passwords differ; nothing was changed".to_owned()));
    }
    Ok(first)
}

fn asked(prompt: &str) -> Result<Zeroizing<String>> {
    let _silence = Silence::begin().map_err(|error| Error::BadRequest(format!("the terminal: {error}")))?;
    eprint!("{prompt}");
    let line = one_line(std::io::stdin().lock());
    eprintln!();
    let line = line?;
    if line.contains(CONTROL_C) {
        return Err(Error::BadRequest("nothing was changed".to_owned()));
    }
    Ok(line)
}

/// While it lives, the terminal shows nothing of what is typed; nor do its signals end the process before it is set right again.
struct Silence(Termios);

impl Silence {
    fn begin() -> rustix::io::Result<Silence> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
        Ok(Silence(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to set right.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_lines_stay_byte_for_byte() {
        for (before, after) in [
            ("", "bob:NEW\n"),
            ("bob:old\n", "bob:NEW\n"),
            ("bob:old", "bob:NEW"),
            ("bob:old\r\ncarol: x \r\n", "bob:NEW\r\ncarol: x \r\n"),
            ("# bob:old\n\n \talice:x", "# bob:old\n\n \talice:x\nbob:NEW\n"),
            ("bobby:old\nBob:old\n", "bobby:old\nBob:old\nbob:NEW\n"),
            ("alice:x\nbob:old:kept no more\ncarol:y", "alice:x\nbob:NEW\ncarol:y"),
        ] {
            assert_eq!(String::from_utf8_lossy(&with_entry(before.as_bytes(), "bob", "bob:NEW")), after);
        }
        assert_eq!(with_entry(b"\xff\xfe:x\n", "bob", "bob:NEW"), b"\xff\xfe:x\nbob:NEW\n");
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, link) = (directory.path().join("users"), directory.path().join("link"));
        std::fs::write(&file, "alice:x\n").expect("written");
        std::fs::set_permissions(&file, Permissions::from_mode(0o604)).expect("mode set");
        // As one that was killed has left it.
        std::fs::write(directory.path().join(".users.new"), "alice:half").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        set(&link, "bob", "sesame").expect("set");
        assert_eq!(std::fs::metadata(&file).expect("there").mode() & 0o7777, 0o604);
        assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 2);
        let text = std::fs::read_to_string(&file).expect("text");
        assert!(text.starts_with("alice:x\nbob:$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_its_group_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("users");
        set(&file, "bob", "sesame").expect("set");
        assert_eq!(std::fs::metadata(&file).expect("there").mode() & 0o7777, NEW_FILE);
    }

    #[test]
    fn what_could_never_log_in_is_not_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("users");
        let long = "x".repeat(LONGEST_PASSWORD + 1);
        for password in ["", "a\0b", &long] {
            assert!(set(&file, "bob", password).is_err(), "{password:?}");
        }
        for user in ["", "a:b", "#bob", ".bob", "a/b", "a\nb"] {
            assert!(run(&file, user).is_err(), "{user:?}");
        }
        assert!(!file.exists());
    }

    #[test]
    fn one_line_is_read_without_its_end() {
        for (input, line) in [("sesame\nrest", "sesame"), ("a b \r\n", "a b "), ("x", "x"), ("", "")] {
            assert_eq!(one_line(input.as_bytes()).expect("read").as_str(), line);
        }
    }
}
