//! From a question for free/busy to its answer: which calendars count for whoever asks, and what they come to.

use std::sync::Arc;

use jiff::Timestamp;

use super::answers::{Answer, Question, Scope, Sources};
use super::{Busy, Counted};
use crate::acl::{Principal, Role};
use crate::error::{Error, Result};
use crate::ical::busy::TimeRange;
use crate::store::calendar::held::Held;
use crate::store::place::{Home, Path};
use crate::store::{Store, census, door};

impl Store {
    /// What is shown where no other window is asked for.
    ///
    /// # Errors
    /// `BadRequest` for a clock that is out of range.
    pub fn default_window(&self) -> Result<TimeRange> {
        self.owners.window(Timestamp::now())
    }

    /// The answer to a question, as far as `who` may know it. `write` puts it into words. Not on an async thread.
    ///
    /// # Errors
    /// As [`Store::open`], for the role freebusy in any calendar of the home or in the home itself.
    pub fn busy(
        &self,
        who: &Principal,
        question: &Question,
        write: impl FnOnce(&Busy) -> String,
    ) -> Result<Arc<Answer>> {
        let sources = self.sources(who, &question.scope)?;
        if let Some(ready) = sources.ready(question) {
            return Ok(ready);
        }
        let (sources, busy) = self.made_from(sources, who, &question.scope, question.window)?;
        let answer = Arc::new(Answer::new(write(&busy), busy.modified));
        sources.answers.keep(&sources, question, &answer);
        Ok(answer)
    }

    /// When the owner of `home` is busy, as far as `who` may know it. Not on an async thread.
    ///
    /// # Errors
    /// As [`Store::busy`].
    pub fn busy_now(&self, who: &Principal, home: &Home, window: TimeRange) -> Result<Busy> {
        let scope = Scope::Home(home.clone());
        Ok(self.made_from(self.sources(who, &scope)?, who, &scope, window)?.1)
    }

    fn sources(&self, who: &Principal, scope: &Scope) -> Result<Sources> {
        let census = self.census(&scope.home())?;
        sources(who, scope, census.as_deref(), |path| self.load_counted(who, scope, path, Store::load_held))
    }

    /// As [`Store::sources`], with all texts.
    fn whole_sources(&self, who: &Principal, scope: &Scope) -> Result<Sources> {
        let census = self.census(&scope.home())?;
        let load =
            |store: &Store, path: &Path| Ok(store.load_unread(path)?.map(|(_, loaded)| Held::Whole(loaded)));
        sources(who, scope, census.as_deref(), |path| self.load_counted(who, scope, path, load))
    }

    /// What is at `path`, of which `who` may know: as [`Store::load_for`]. One of many calendars that the service may not read
    /// holds up no others.
    fn load_counted(
        &self,
        who: &Principal,
        scope: &Scope,
        path: &Path,
        load: impl Fn(&Store, &Path) -> Result<Option<Held>>,
    ) -> Result<Option<Held>> {
        match scope {
            Scope::Home(_) => Ok(self.tree.if_allowed(load(self, path))?.flatten()),
            Scope::Place(_) if self.role_at(who, path)? < Role::Freebusy => Ok(None),
            Scope::Place(_) => load(self, path),
        }
    }

    /// What the sources come to, and those that it is made from: these, or with their texts if it takes texts.
    fn made_from(
        &self,
        sources: Sources,
        who: &Principal,
        scope: &Scope,
        window: TimeRange,
    ) -> Result<(Sources, Busy)> {
        let home = scope.home();
        let put_together = |sources: &Sources| {
            self.put_together(&home, &sources.calendars, sources.published.as_deref(), window)
        };
        if let Some(busy) = put_together(&sources)? {
            return Ok((sources, busy));
        }
        let sources = self.whole_sources(who, scope)?;
        // With all texts there, nothing is missing.
        let busy = put_together(&sources)?.ok_or(Error::Busy)?;
        Ok((sources, busy))
    }

    /// As [`Store::busy`], but from memory alone: nothing if that is not enough for an answer.
    pub fn glance_busy(&self, who: &Principal, question: &Question) -> Option<Arc<Answer>> {
        let census = self.fresh_census(&question.scope.home())?;
        let fresh = |path: &Path| {
            let slot = self.slots.get(path).ok_or(Error::NotFound)?;
            slot.fresh_held().map(Some).ok_or(Error::NotFound)
        };
        sources(who, &question.scope, Some(&census), fresh).ok()?.ready(question)
    }
}

/// The calendars that count for `who`. What the asker may not know of is not even loaded.
fn sources(
    who: &Principal,
    scope: &Scope,
    census: Option<&census::Counted>,
    load: impl Fn(&Path) -> Result<Option<Held>>,
) -> Result<Sources> {
    let mut sources = Sources { calendars: Vec::new(), published: None, answers: Arc::default() };
    let mut role = Role::None;
    if let Some(census) = census {
        sources.answers = census.answers.clone();
        let wanted: Vec<Path> = match scope {
            Scope::Home(home) => {
                role = census.rights.role(who, &Path::root(home.clone()))?;
                sources.published = census.published.clone().filter(|_| role >= Role::Freebusy);
                let mut wanted = Vec::with_capacity(census.calendars.len());
                for (path, rights) in &census.calendars {
                    if rights.role(who, path)? >= Role::Freebusy {
                        wanted.push(path.clone());
                    }
                }
                wanted
            }
            Scope::Place(place) => place.paths(),
        };
        for path in wanted {
            let Some(held) = load(&path)? else { continue };
            let here = held.role(who, &path)?;
            role = role.max(here);
            if here >= Role::Freebusy && held.gist().props.freebusy {
                sources.calendars.push(Counted::new(path, &held));
            }
        }
    }
    door::admit(who, role, Role::Freebusy)?;
    Ok(sources)
}
