//! The one error type, named after what went wrong. `http::status` gives each a status; the client never sees a path.

use std::path::PathBuf;

use rustix::io::Errno;

/// What can go wrong, from a request's first byte to the disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong; the text says how and may be shown.
    #[error("{0}")]
    BadRequest(String),
    /// The body is no calendar (RFC 5545): the line (from 1) and what was expected there.
    #[error("line {line}: expected {expected}")]
    Malformed { line: usize, expected: String },
    /// Something is over a cap, which is part of the message.
    #[error("too large: {0}")]
    TooLarge(String),
    /// As `TooLarge`, with the line (from 1) of the text where the cap is passed.
    #[error("line {line}: too large: {cap}")]
    OverCap { line: usize, cap: String },
    /// A body with a Content-Encoding: only plain bytes are taken.
    #[error("Content-Encoding is not supported")]
    ContentEncoding,
    /// A body of another media type than the one that is taken here.
    #[error("only {0} is taken here")]
    MediaType(&'static str),
    /// The path of the URL names nothing, whoever asks: it has no form of ours, or a name against the rules.
    #[error(
        "no address of a calendar (/ lists them); a name has 1 to 250 bytes of UTF-8, does not start with a dot or ~, \
         does not end with a dot or space, and has no backslash or control character"
    )]
    NoAddress,
    /// Nothing is there, or nothing that the asker may know of.
    #[error("not found")]
    NotFound,
    /// The address is there and does not know this method; `allow` lists those it knows.
    #[error("method not allowed")]
    MethodNotAllowed { allow: &'static str },
    /// None of the formats asked for can be made.
    #[error("only text/calendar can be served")]
    NotAcceptable,
    /// A login is needed first.
    #[error("a login is needed")]
    LoginNeeded,
    /// A login was given and is wrong.
    #[error("wrong user or password")]
    LoginRefused,
    /// Too many wrong logins; seconds until the next may be tried.
    #[error("too many failed logins, try again in {retry_after} seconds")]
    Throttled { retry_after: u64 },
    /// A password or a secret link over plain HTTP from another machine.
    #[error(
        "passwords and secret links are taken over TLS only: use https, or name the proxy in the configuration"
    )]
    InsecureTransport,
    /// Readable to the asker, but not this way; the text says why.
    #[error("{0}")]
    Forbidden(String),
    /// The address cannot hold a calendar; the text says why.
    #[error("{0}")]
    Conflict(String),
    /// If-Match or another precondition does not hold (RFC 9110 §13).
    #[error("the calendar is not as the precondition says")]
    PreconditionFailed,
    /// The system cannot tell the asker's groups, and rights here depend on them.
    #[error("the groups of the user cannot be learned now")]
    GroupsUnknown,
    /// The password check itself failed, apart from the password.
    #[error("logins cannot be checked now: {0}")]
    LoginUnavailable(String),
    /// No room for this body beside the ones in flight.
    #[error("too busy")]
    Busy,
    /// The data directory is not where it was: what is in its place now is not what is served.
    #[error("the data directory is not in its place")]
    Displaced,
    /// The disk or the quota is full; nothing was changed.
    #[error("{path}: no space left", path = path.display())]
    NoSpace { path: PathBuf },
    /// What is written beside the homes cannot be put there; nothing was changed. Of what sets it apart the system tells no more.
    #[error(
        "{path}: nothing can be saved there: it is on another mount or subvolume than the data directory's .tmp, or has a project \
         (as quotas have) or an encryption key of its own",
        path = path.display()
    )]
    OtherMount { path: PathBuf },
    /// The configuration or another file of the admin's is wrong: file, line and key are in the message.
    #[error("{0}")]
    Config(String),
    /// The system refused something that should work.
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the system at `path`; a full disk or quota is told apart, and what nothing can be moved to.
    pub fn io(path: impl Into<PathBuf>, source: impl Into<std::io::Error>) -> Error {
        use std::io::ErrorKind::{CrossesDevices, QuotaExceeded, StorageFull};
        let (path, source) = (path.into(), source.into());
        match source.kind() {
            StorageFull | QuotaExceeded => Error::NoSpace { path },
            CrossesDevices => Error::OtherMount { path },
            _ => Error::Io { path, source },
        }
    }

    /// Whether the same may go well a moment later, and what is at the path is not to blame: the disk, the network, the memory
    /// or the descriptors are short or fail. That is all but what is known to last, for each file system has errors of its own.
    pub fn is_passing(&self) -> bool {
        const LASTING: [Errno; 16] = [
            Errno::NOENT,
            Errno::EXIST,
            Errno::ISDIR,
            Errno::NOTDIR,
            Errno::NOTEMPTY,
            Errno::LOOP,
            Errno::ACCESS,
            Errno::PERM,
            Errno::NXIO,
            Errno::MLINK,
            Errno::FBIG,
            Errno::NAMETOOLONG,
            Errno::INVAL,
            Errno::ILSEQ,
            Errno::OPNOTSUPP,
            Errno::NOSYS,
        ];
        match self {
            Error::NoSpace { .. } | Error::Busy => true,
            // What has no number is our own word.
            Error::Io { source, .. } => source.raw_os_error().is_some() && !self.is_one_of(&LASTING),
            _ => false,
        }
    }

    /// Whether the system does not let us, whatever is at the path: until somebody gives us the right, or unmounts something.
    pub fn is_refused(&self) -> bool {
        matches!(self, Error::OtherMount { .. }) || self.is_one_of(&[Errno::ACCESS, Errno::PERM])
    }

    /// Whether nobody can write there: the file system is read-only, as a snapshot is.
    pub fn is_read_only(&self) -> bool {
        self.is_one_of(&[Errno::ROFS])
    }

    /// Whether what was asked for is not there.
    pub fn is_missing(&self) -> bool {
        self.is_one_of(&[Errno::NOENT])
    }

    fn is_one_of(&self, errors: &[Errno]) -> bool {
        let Error::Io { source, .. } = self else { return false };
        source.raw_os_error().is_some_and(|code| errors.iter().any(|error| error.raw_os_error() == code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_network_or_a_disk_says_passes_and_what_is_in_the_way_lasts() {
        let passes = |error: std::io::Error| Error::io("x", error).is_passing();
        use Errno as E;
        for errno in
            [E::IO, E::MFILE, E::ROFS, E::TIMEDOUT, E::STALE, E::NOTCONN, E::HOSTDOWN, E::AGAIN, E::NOSPC]
        {
            assert!(passes(errno.into()), "{errno}");
        }
        for errno in [E::NOENT, E::EXIST, E::ISDIR, E::NOTDIR, E::LOOP, E::ACCESS, E::PERM, E::XDEV] {
            assert!(!passes(errno.into()), "{errno}");
        }
        assert!(!passes(std::io::ErrorKind::FileTooLarge.into()));
    }
}
