//! Saving a whole calendar: under the home's lock, the disk compared, what was sent merged in, one commit.

pub mod gone;
pub mod sent;
pub mod writing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Store;
use crate::acl::{Principal, Role};
use crate::error::{Error, Result};
use crate::ical::cut::Cut;
use crate::ical::item::KeyId;
use crate::ical::meaning::Look;
use crate::store::calendar::snapshot::Snapshot;
use crate::store::commit::writer::Locked;
use crate::store::commit::{Commit, Made};
use crate::store::disk::content::Content;
use crate::store::door::{Admitted, Part, admit};
use crate::store::history::record::{Cause, Did};
use crate::store::merge::merged::Merged;
use crate::store::merge::plan::Plan;
use crate::store::merge::program::Program;
use crate::store::nearest::nearest;
use crate::store::origin::Origin;
use crate::store::place::{Path, Place};
use crate::store::took::took;
use crate::store::tree::Found;
use crate::store::views::draft::Draft;
use crate::store::views::view_names::{self, Client};
use sent::{Basis, Parent, Sent};
use writing::{Target, Writing};

/// How often a save is merged anew because somebody changes the files under its hands.
const ATTEMPTS: usize = 10;

/// A precondition, asked with what is current, or nothing if there is no calendar yet.
pub type Precondition<'a> = &'a (dyn Fn(Option<&Snapshot>) -> Result<()> + Send + Sync);

/// A whole calendar to be saved.
pub struct Save<'a> {
    pub origin: &'a Origin,
    pub client: Client,
    pub place: &'a Place,
    pub sent: Cut,
    pub basis: Basis,
    pub precondition: Precondition<'a>,
}

/// What became of a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub created: bool,
    /// Current, or of the View as sent where the outcome is another.
    pub etag: String,
    pub merged: Merged,
}

/// A commit that is made but not on disk in full.
struct Unapplied {
    home: PathBuf,
    journal: String,
    locked: Locked,
}

impl Store {
    /// Saves a calendar. `acknowledge` is called once, as soon as the outcome is durable; what is left is done after.
    /// Not on an async thread.
    pub fn save(&self, save: Save<'_>, acknowledge: impl FnOnce(Result<Saved>)) {
        match self.commit_save(save) {
            Ok((saved, unapplied)) => {
                acknowledge(Ok(saved));
                if let Some(unapplied) = unapplied {
                    self.apply(unapplied);
                }
            }
            Err(error) => acknowledge(Err(error)),
        }
    }

    /// Whether `who` may save to `place` at all, and what is there: to be asked before the body is read.
    ///
    /// # Errors
    /// As [`Store::open`]; `Conflict` for an address at which no calendar can be.
    pub fn may_save(&self, who: &Principal, place: &Place) -> Result<Option<Arc<Snapshot>>> {
        let look = || self.targets(who, place, &|path| self.load_for(who, Role::Contributor, path));
        let targets = match look() {
            // What somebody makes at this moment is neither there nor missing: with the home's lock nobody makes anything.
            Err(Error::NotFound | Error::Conflict(_)) | Ok(None) if self.may_add(who, place)? => {
                let _locked = self.lock(&place.home())?;
                look()?
            }
            other => other?,
        };
        Ok(self.shown(place, &targets.ok_or(Error::Busy)?))
    }

    fn may_add(&self, who: &Principal, place: &Place) -> Result<bool> {
        place
            .paths()
            .iter()
            .try_fold(false, |may, path| Ok(may || self.role_at(who, path)? >= Role::Contributor))
    }

    fn commit_save(&self, mut save: Save<'_>) -> Result<(Saved, Option<Unapplied>)> {
        let locked = self.lock(&save.place.home())?;
        let mut sent = None;
        for _ in 0..ATTEMPTS {
            let Some((saved, journal)) = self.try_save(&mut save, &mut sent, &locked)? else { continue };
            let home = self.tree.home_on_disk(&save.place.home());
            return Ok((saved, journal.map(|journal| Unapplied { home, journal, locked })));
        }
        Err(Error::Busy)
    }

    /// Merges and commits; gives the journal that is to be applied, if one is. Nothing if somebody changes the files
    /// meanwhile, which is then to be merged too.
    fn try_save(
        &self,
        save: &mut Save<'_>,
        sent: &mut Option<Sent>,
        locked: &Locked,
    ) -> Result<Option<(Saved, Option<String>)>> {
        let targets = self.targets(&save.origin.who, save.place, &|path| self.sweep(path))?;
        let Some(mut writing) = targets else { return Ok(None) };
        let snapshot = self.shown(save.place, &writing);
        (save.precondition)(snapshot.as_deref())?;
        let basis = save.basis.clone().resolved(snapshot.as_deref());
        let (known_sent, parent, plan, lost) = took("merging", || {
            let agent = &save.origin.program;
            let known_sent =
                sent.get_or_insert_with(|| Sent::new(&mut save.sent, snapshot.as_deref(), agent));
            let (parent, plan) = self.plan(save, &basis, snapshot.as_deref(), known_sent, &writing)?;
            let mut lost =
                writing.carry_out(&plan, &known_sent.items, |path, file| self.content(path, file))?;
            lost.extend(writing.gone(&plan, &known_sent.items, &locked.directory)?);
            Ok::<_, Error>((known_sent, parent, plan, lost))
        })?;
        // A whole calendar's text, which the commit and the new picture would lie in memory beside.
        drop(snapshot);
        let merged = plan.merged();
        let cause = Cause::new(Did::Save, save.origin).merged(merged.in_words());
        let journal = match self.commit(&mut writing, locked, lost, cause)? {
            Made::Outdated => return Ok(None),
            Made::Applied => None,
            Made::Journaled(journal) => Some(journal),
        };
        let after = self.snapshot(save.place, &writing.parts);
        let as_sent = match writing.may_show_otherwise() {
            true => known_sent.is_shown_by(&after),
            false => plan.unlike.is_empty() && plan.kept == 0,
        } && known_sent.has_zones_of(&after);
        let created =
            writing.targets.iter().any(|target| target.new) && matches!(save.place, Place::Calendar(_));
        let (etag, draft) = match sent.take().filter(|_| !as_sent) {
            Some(sent) => (self.views.new_etag(), sent.draft(plan)),
            None => (after.etag.clone(), Draft::Shown(after.shown.clone(), after.length)),
        };
        self.views.saved(&save.client, view_names::name(save.place, &etag), draft, parent);
        Ok(Some((Saved { created, etag, merged }, journal)))
    }

    /// What becomes of the save, and what it is a change of.
    fn plan(
        &self,
        save: &Save<'_>,
        basis: &Basis,
        snapshot: Option<&Snapshot>,
        sent: &Sent,
        writing: &Writing,
    ) -> Result<(Parent, Plan)> {
        let here = writing.here();
        let looks = || sent.looks(&here);
        let mut parent = self.parent(save, basis, snapshot, sent.program, looks);
        let mut plan = sent.merged_into(&here, &parent.base(basis))?;
        if *basis == Basis::Unknown {
            plan.guard_against_shrinking(writing.targets.iter().map(Target::seen_whole));
        }
        if let Parent::Guessed(parents) = &mut parent
            && parents.only.is_some()
            && !plan.stale.is_empty()
        {
            let fresh = plan.without_stale(looks());
            parents.doubt_unless(&self.views.parents(&save.client, fresh, sent.program));
        }
        Ok((parent, plan))
    }

    /// What is known of what the client had.
    fn parent(
        &self,
        save: &Save<'_>,
        basis: &Basis,
        snapshot: Option<&Snapshot>,
        program: Program,
        looks: impl FnOnce() -> Vec<(KeyId, Look)>,
    ) -> Parent {
        let place = save.place;
        match (basis, snapshot) {
            (Basis::Current, Some(_)) => Parent::Here,
            (Basis::Named(etags), _) => {
                let mut names = etags.iter().map(|etag| view_names::name(place, etag));
                Parent::Named(names.find_map(|name| self.views.find(&name)))
            }
            // What is made anew is made of all that is sent, whatever was here once.
            (Basis::Unknown, Some(_)) => Parent::Guessed(self.views.parents(&save.client, looks(), program)),
            (Basis::Unknown | Basis::Current, None) => Parent::Nothing,
            (Basis::Replace, _) => Parent::Named(None),
        }
    }

    /// The calendars that a save to `place` may touch, and what the asker sees of them; nothing if one was made while they
    /// were looked for.
    pub(super) fn targets(&self, who: &Principal, place: &Place, load: Load<'_>) -> Result<Option<Writing>> {
        let admitted = match self.enter(who, place, Role::Contributor, load) {
            Err(Error::NotFound | Error::LoginNeeded) => Admitted { role: Role::None, parts: Vec::new() },
            other => other?,
        };
        let is_main = matches!(place, Place::Main(_));
        let mut writing = Writing { is_main, targets: Vec::new(), parts: admitted.parts };
        for path in place.paths() {
            let part = writing.parts.iter().find(|part| part.slot.path == path);
            let target = match part {
                Some(part) => Target::existing(path, part),
                None => match self.may_make(who, &path) {
                    Ok(true) => Target::new(nearest(&self.tree, &path)?, path),
                    Ok(false) => return Ok(None),
                    // One half of main.ics is enough.
                    Err(_) if is_main => continue,
                    Err(error) => return Err(error),
                },
            };
            writing.targets.push(target);
        }
        if writing.targets.is_empty() {
            admit(who, admitted.role, Role::Contributor)?;
        }
        Ok(Some(writing))
    }

    /// Whether a calendar can be made at `path`, where none was found that `who` may write to; not if one is there now.
    fn may_make(&self, who: &Principal, path: &Path) -> Result<bool> {
        let role = self.role_at(who, path)?;
        // Before the disk is looked at: how long that takes would tell what is there.
        admit(who, role, Role::Contributor)?;
        let found = self.tree.find(path)?;
        let need = if matches!(found, Found::Missing) { Role::Master } else { Role::Contributor };
        admit(who, role, need)?;
        match found {
            Found::Missing => Ok(true),
            Found::Calendar(_) | Found::File(..) => Ok(false),
            Found::Folder(_) => Err(Error::Conflict("a folder is here, not a calendar".to_owned())),
            Found::Blocked if role == Role::Master => {
                Err(Error::Conflict("a calendar cannot be below what is no folder".to_owned()))
            }
            Found::Blocked => Err(Error::NotFound),
        }
    }

    fn shown(&self, place: &Place, writing: &Writing) -> Option<Arc<Snapshot>> {
        (!writing.parts.is_empty()).then(|| self.snapshot(place, &writing.parts))
    }

    /// Makes the commit and shows it.
    fn commit(
        &self,
        writing: &mut Writing,
        locked: &Locked,
        lost: Vec<(PathBuf, Content)>,
        cause: Cause,
    ) -> Result<Made> {
        let Some(first) = writing.targets.first() else { return Ok(Made::Applied) };
        let home = self.tree.home_on_disk(&first.path.home);
        let operations: Vec<_> =
            writing.targets.iter_mut().flat_map(|target| std::mem::take(&mut target.operations)).collect();
        let new = writing.targets.iter().filter(|target| target.new);
        let makes: Vec<Path> = new.map(|target| target.path.clone()).collect();
        let writer = &locked.writer;
        // Before the first file is there, until the last one is: nobody may take half of a commit for what is here.
        if operations.len() + lost.len() > 1 || !makes.is_empty() {
            writer.begin(makes);
        }
        let made = self.journals.commit(&locked.directory, Commit { home, operations, lost, cause });
        writer.set_applying(matches!(made, Ok(Made::Journaled(_))));
        let made = made?;
        if !matches!(made, Made::Outdated) {
            self.show(writing);
        }
        Ok(made)
    }

    /// Puts what the commit has made of each calendar into memory.
    fn show(&self, writing: &mut Writing) {
        let changed = writing.targets.iter_mut().filter(|target| !target.changes.is_empty() || target.new);
        let made: Vec<_> = changed
            .map(|target| {
                let modified = self.modified(&target.path);
                let calendar = target.calendar.with(std::mem::take(&mut target.changes), modified);
                (&*target, calendar)
            })
            .collect();
        let _together = self.together.write();
        for (target, calendar) in made {
            let slot = self.slots.get_or_make(&target.path, || self.writers.of(&target.path.home));
            let loaded = slot.publish(calendar, target.rights.clone());
            self.slots.put(&slot);
            match writing.parts.iter_mut().find(|part| part.slot.path == target.path) {
                Some(part) => part.loaded = loaded,
                None => writing.parts.push(Part { slot, loaded, role: target.role }),
            }
        }
    }

    /// What is in a file of a calendar, if it can be read.
    fn content(&self, path: &Path, file: &str) -> Option<Vec<u8>> {
        let directory = self.tree.root.directory(self.tree.on_disk(path)).ok()??;
        Some(directory.read(file).ok()??.0)
    }

    /// When a calendar that was written to just now changed, by its directory's word: the next sweep will hear the same.
    fn modified(&self, path: &Path) -> SystemTime {
        let directory = self.tree.root.directory(self.tree.on_disk(path)).ok().flatten();
        let stamp = directory.and_then(|directory| directory.own_stamp().ok());
        stamp.map_or_else(SystemTime::now, |stamp| stamp.modified())
    }

    /// Brings a commit to the disk in full. The home waits: what is in memory is right, and what is on disk not yet.
    fn apply(&self, unapplied: Unapplied) {
        const PATIENCE: Duration = Duration::from_secs(30);
        let mut pause = Duration::from_millis(100);
        let mut applied = self.journals.apply(&unapplied.home, &unapplied.journal);
        loop {
            match applied {
                Ok(()) => return unapplied.locked.writer.set_applying(false),
                Err(error) => tracing::error!("a commit is made but cannot be applied yet: {error}"),
            }
            if pause > PATIENCE {
                // The next writer or reader, the next round or the next start tries again.
                return;
            }
            std::thread::sleep(pause);
            pause *= 2;
            applied = self.journals.apply_again(&unapplied.home, &unapplied.journal);
        }
    }
}

/// How a calendar is loaded.
type Load<'a> = &'a dyn Fn(
    &Path,
) -> Result<
    Option<(Arc<crate::store::calendar::slot::Slot>, Arc<crate::store::calendar::held::Loaded>)>,
>;
