//! What commands print. Whoever reads it may have seen enough before its end, as `head` has: that is no error.

use std::io::{self, Write};

use crate::error::{Error, Result};

/// Prints `text`.
///
/// # Errors
/// `NoSpace`, `Io` where it cannot be written though somebody wants it.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    unless_gone(written).map_err(|error| Error::io("the output", error))
}

/// Whether nobody reads any more.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn unless_gone(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is_one() {
        let failed = |kind: io::ErrorKind| unless_gone(Err(kind.into()));
        assert!(failed(io::ErrorKind::BrokenPipe).is_ok());
        assert!(failed(io::ErrorKind::StorageFull).is_err());
    }
}
