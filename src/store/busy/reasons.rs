//! Why somebody is busy: for each stretch of time the item, the rule and the file that made it, and what does not count.

use super::{All, MOST_OF_CALENDAR, of_item, published, with_text};
use crate::acl::{Principal, Role};
use crate::error::{Error, Result};
use crate::ical::busy::{Reason, TimeRange, publication, reasons};
use crate::store::Store;
use crate::store::calendar::Contents;
use crate::store::calendar::worked::Basis;
use crate::store::place::{Home, Path};

/// What one file, or one calendar, has to do with somebody's busy times.
#[derive(Debug)]
pub enum Explained {
    /// A stretch of time that an item makes busy, or does not.
    Stretch { file: String, uid: String, reason: Reason },
    /// An item that is not understood or comes to too much, and why.
    LeftOut { file: String, uid: String, why: String },
    /// A calendar that does not count, and why, or what of it does not.
    Uncounted { calendar: Path, why: String },
}

impl Store {
    /// Everything that decides about the answer that `who` would get. Not on an async thread.
    ///
    /// # Errors
    /// `NotFound` for a user without a home; `GroupsUnknown`, `Io`.
    pub fn explain_busy(&self, who: &Principal, home: &Home, window: &TimeRange) -> Result<Vec<Explained>> {
        let census = self.census(home)?.ok_or(Error::NotFound)?;
        let mut explained = Vec::new();
        for (path, rights) in &census.calendars {
            if rights.role(who, path)? < Role::Freebusy {
                let why = "the asker has not the role freebusy there".to_owned();
                explained.push(Explained::Uncounted { calendar: path.clone(), why });
                continue;
            }
            self.explain_calendar(home, path, window, &mut explained)?;
        }
        if census.published.is_some() && census.rights.role(who, &Path::root(home.clone()))? >= Role::Freebusy
        {
            self.explain_published(home, window, &mut explained)?;
        }
        Ok(explained)
    }

    fn explain_calendar(
        &self,
        home: &Home,
        path: &Path,
        window: &TimeRange,
        explained: &mut Vec<Explained>,
    ) -> Result<()> {
        let Some((_, loaded)) = self.load_unread(path)? else { return Ok(()) };
        let contents = &loaded.calendar.contents;
        let props = &contents.gist.props;
        if !props.freebusy {
            let why = match props.faults.is_empty() {
                true => "its .props.json says \"freebusy\": false",
                false => "its .props.json says \"freebusy\": false, or cannot be understood",
            };
            explained.push(Explained::Uncounted { calendar: path.clone(), why: why.to_owned() });
            return Ok(());
        }
        let owner = self.owners.of(home, &contents.gist);
        let (stretch, _) = self.stretch_for(*window)?;
        explain_items(path, contents, &Basis::new(stretch, owner), window, explained);
        Ok(())
    }

    fn explain_published(
        &self,
        home: &Home,
        window: &TimeRange,
        explained: &mut Vec<Explained>,
    ) -> Result<()> {
        let directory = self.tree.home(home)?.ok_or(Error::NotFound)?;
        let Some((text, _)) = directory.read(published::FILE)? else { return Ok(()) };
        let file = format!("{}/{}", Path::root(home.clone()), published::FILE);
        match publication(&text) {
            Ok(periods) => {
                let within = periods
                    .into_iter()
                    .filter(|period| period.start < window.end && period.end > window.start);
                explained.extend(within.map(|period| Explained::Stretch {
                    file: file.clone(),
                    uid: "published".to_owned(),
                    reason: Reason {
                        start: period.start,
                        end: period.end,
                        kind: Some(period.kind),
                        rule: "FREEBUSY",
                    },
                }));
            }
            Err(why) => {
                explained.push(Explained::LeftOut { file, uid: "published".to_owned(), why: why.to_string() })
            }
        }
        Ok(())
    }
}

/// The reasons of a calendar's items in the window. Whether they count is decided for all of the time that `basis` is of.
fn explain_items(
    path: &Path,
    contents: &Contents,
    basis: &Basis,
    window: &TimeRange,
    explained: &mut Vec<Explained>,
) {
    let mut place = path.clone();
    if contents.read_only {
        // A loose file is a calendar itself, beside others in a folder.
        place.names.pop();
    }
    let mut all = All::default();
    for stored in contents.items.iter() {
        let (file, uid) = (format!("{place}/{}", stored.file), stored.item.key.uid.to_string());
        let counts = of_item(stored, &basis.window, &basis.owner).map(|found| all.add(&found));
        let reasons = || with_text(&stored.item, |text| reasons(text, window, &basis.owner));
        match counts.and_then(|()| reasons().map_err(|why| why.to_string())) {
            Ok(reasons) => explained.extend(reasons.into_iter().map(|reason| Explained::Stretch {
                file: file.clone(),
                uid: uid.clone(),
                reason,
            })),
            Err(why) => explained.push(Explained::LeftOut { file, uid, why }),
        }
    }
    if all.is_cut {
        let why = format!("what is over {MOST_OF_CALENDAR} busy times");
        explained.push(Explained::Uncounted { calendar: path.clone(), why });
    }
}
