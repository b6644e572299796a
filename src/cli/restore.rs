//! `kalends restore`: brings back what was, on a running server too.

use clap::Args;

use super::diff::Which;
use super::out::print;
use super::{DataOptions, origin};
use crate::count::counted;
use crate::error::Result;
use crate::store::{Restored, Store};

#[derive(Debug, Args)]
pub struct Asked {
    /// A calendar, as alice/Work/Projects; of main.ics, alice/Calendar or alice/Tasks.
    place: String,
    #[command(flatten)]
    which: Which,
}

/// Restores, and says what that did.
///
/// # Errors
/// A place or a time that cannot be, or that the history does not have.
pub fn run(asked: &Asked, data: &DataOptions) -> Result<()> {
    let config = data.config()?;
    let store = Store::open_tree(&config)?;
    let Asked { place, which } = asked;
    let moment = which.moment(&config)?;
    let origin = origin(&["restore", place]);
    let Restored { whole, put, removed, missing } =
        store.restore(&origin, &place.parse()?, which.uid.as_deref(), moment)?;
    let did = match (whole, put + removed) {
        (true, _) => format!("{place} is back, with {}\n", counted(put, "file")),
        (false, 0) => format!("{place}: nothing to restore, it is as it was\n"),
        (false, _) => {
            let put = counted(put, "file");
            format!("{place}: {put} restored, {removed} removed; what they replace is in the history\n")
        }
    };
    let but = match missing {
        0 => String::new(),
        _ => format!(
            "{place}: not with {} that other tools removed: no history has them\n",
            counted(missing, "file")
        ),
    };
    print(&(did + &but))
}
