//! The free/busy that an owner's program publishes, as Outlook, Evolution and KOrganizer do: one file in the home, which counts
//! beside the calendars.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::acl::{Principal, Role};
use crate::error::{Error, Result};
use crate::ical::PRODID;
use crate::ical::busy::{Period, publication};
use crate::ical::scan::scan;
use crate::store::Store;
use crate::store::commit::operation::Operation;
use crate::store::disk::Directory;
use crate::store::disk::content::{ContentHash, State, content_hash};
use crate::store::disk::stamp::Stamp;
use crate::store::door::admit;
use crate::store::history::record::{Cause, Did};
use crate::store::origin::Origin;
use crate::store::place::Home;
use crate::store::rights::owns;

/// The file, in the home.
pub const FILE: &str = ".freebusy.ics";

/// A publication as it was read.
#[derive(Debug)]
pub struct Published {
    pub periods: Vec<Period>,
    pub modified: SystemTime,
    hash: ContentHash,
    /// Nothing if a later write may have left the very same one.
    stamp: Option<Stamp>,
}

impl Published {
    /// What is in the home now; the same one for as long as nothing changes. One that cannot be read counts as it was before.
    pub fn sweep(home: &Directory, before: Option<&Arc<Published>>) -> Result<Option<Arc<Published>>> {
        let Some(stamp) = home.stamp(FILE)? else { return Ok(None) };
        if let Some(same) = before.filter(|before| before.stamp == Some(stamp)) {
            return Ok(Some(same.clone()));
        }
        let read_at = SystemTime::now();
        let Some((text, stamp)) = home.read(FILE)? else { return Ok(None) };
        let (hash, modified) = (content_hash(&text), stamp.modified());
        if let Some(same) = before.filter(|before| before.hash == hash && before.modified == modified) {
            return Ok(Some(same.clone()));
        }
        let periods = publication(&text).unwrap_or_else(|reason| {
            tracing::warn!("{}: left out of free/busy: {reason}", home.path().join(FILE).display());
            before.map(|before| before.periods.clone()).unwrap_or_default()
        });
        let stamp = Some(stamp).filter(|stamp| !home.is_racy(*stamp, read_at));
        Ok(Some(Arc::new(Published { periods, modified, hash, stamp })))
    }
}

impl Store {
    /// Keeps what the owner of `home` publishes, or without a text removes it; whether there was none before.
    /// `precondition` is asked under the home's lock. Not on an async thread.
    ///
    /// # Errors
    /// `LoginNeeded`, `NotFound` and `Forbidden` for whoever is not the owner; `BadRequest`, `Malformed` for what is no free/busy;
    /// `NotFound` for nothing to remove; `NoSpace`, `Io`.
    pub fn publish_busy(
        &self,
        origin: &Origin,
        home: &Home,
        text: Option<&[u8]>,
        precondition: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        self.may_publish_busy(&origin.who, home)?;
        let after = text.map(checked).transpose()?;
        let locked = self.lock(home)?;
        precondition()?;
        let before = match locked.directory.read(FILE)? {
            Some((text, _)) => State::Bytes(content_hash(&text)),
            None => State::Absent,
        };
        if before == State::Absent && after.is_none() {
            return Err(Error::NotFound);
        }
        if after.as_deref().is_some_and(|after| before == State::Bytes(content_hash(after))) {
            return Ok(false);
        }
        let operation =
            Operation { file: PathBuf::from(FILE), before, stamp: None, after: after.map(Into::into) };
        self.commit_alone(&locked, home, operation, Cause::new(Did::Publish, origin))?;
        Ok(before == State::Absent)
    }

    /// Only a home's owner publishes there.
    ///
    /// # Errors
    /// As [`Store::publish_busy`].
    pub fn may_publish_busy(&self, who: &Principal, home: &Home) -> Result<()> {
        if owns(who, home) {
            return Ok(());
        }
        let role = self.freebusy_role(who, home)?;
        admit(who, role, Role::Freebusy)?;
        match who {
            Principal::Nobody => Err(Error::LoginNeeded),
            _ => Err(Error::Forbidden("only the owner publishes free/busy here".to_owned())),
        }
    }
}

/// The text to keep: a VCALENDAR, also where a bare VFREEBUSY was sent.
fn checked(text: &[u8]) -> Result<Vec<u8>> {
    let is_bare =
        text.trim_ascii_start().get(..15).is_some_and(|start| start.eq_ignore_ascii_case(b"BEGIN:VFREEBUSY"));
    let text = match is_bare {
        true => {
            let head = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:{PRODID}\r\n");
            [head.as_bytes(), text.trim_ascii(), b"\r\nEND:VCALENDAR\r\n"].concat()
        }
        false => text.to_vec(),
    };
    scan(&text)?;
    publication(&text).map_err(|reason| Error::BadRequest(reason.to_string()))?;
    Ok(text)
}
