//! What a client sent, in the terms of what is here, and what it is a change of.
//!
//! Three steps: what the client says (`Basis`), what is known of that by the Views (`Parent`), what the merge compares with
//! (`merge::base::Base`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::writing::Present;
use crate::error::{Error, Result};
use crate::ical::cut::Cut;
use crate::ical::item::{Item, Key, KeyId, KeyMap, assign_uids};
use crate::ical::meaning::{Hash, Look};
use crate::ical::text::Renames;
use crate::ical::whole::Served;
use crate::ical::zone::Zone;
use crate::store::calendar::snapshot::{Shown, Snapshot};
use crate::store::merge::base::{Base, Here};
use crate::store::merge::merge;
use crate::store::merge::plan::Plan;
use crate::store::merge::program::Program;
use crate::store::threads::in_threads;
use crate::store::views::draft::Draft;
use crate::store::views::parents::Parents;
use crate::store::views::view::View;

/// What the sent calendar is a change of, as its client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// Of what is here now: the client has proved that it has seen it.
    Current,
    /// Of the View that the first known of these Etags names.
    Named(Vec<String>),
    /// The client does not say.
    Unknown,
    /// Of nothing: what was sent is what the client wants.
    Replace,
}

impl Basis {
    /// A name for what is here now is as good as the proof that the client has seen it.
    pub fn resolved(self, snapshot: Option<&Snapshot>) -> Basis {
        match (self, snapshot) {
            (Basis::Named(etags), Some(snapshot)) if etags.first() == Some(&snapshot.etag) => Basis::Current,
            (other, _) => other,
        }
    }
}

/// What a save is a change of, as far as Views tell.
#[derive(Debug)]
pub enum Parent {
    /// Of what is here, by the client's own word.
    Here,
    /// By its word too; of nothing that is known, if none.
    Named(Option<Arc<View>>),
    Guessed(Parents),
    /// There is no calendar yet.
    Nothing,
}

impl Parent {
    pub fn base(&self, basis: &Basis) -> Base<'_> {
        match (basis, self) {
            (Basis::Replace, _) => Base::Replace,
            (_, Parent::Here) => Base::Here,
            (_, Parent::Named(Some(view))) => Base::View(view),
            (_, Parent::Named(None) | Parent::Nothing) => Base::None,
            (_, Parent::Guessed(parents)) => Base::Copies(parents),
        }
    }
}

/// What was sent, in the terms of what is here.
pub struct Sent {
    /// Shared with what is made of them.
    pub items: Vec<Arc<Item>>,
    /// Whose save it is.
    pub program: Program,
}

impl Sent {
    /// Takes the items out of `cut`, which a client with this User-Agent sent.
    pub fn new(cut: &mut Cut, snapshot: Option<&Snapshot>, agent: &str) -> Sent {
        let program = Program::of(&cut.prodid, agent);
        let items = assign_uids(std::mem::take(&mut cut.items));
        let items = match snapshot {
            Some(snapshot) => without_lent(with_own_names(items, snapshot), snapshot),
            None => items,
        };
        Sent { items: items.into_iter().map(Arc::new).collect(), program }
    }

    /// Merges it into what is here.
    pub fn merged_into(&self, here: &Present<'_>, base: &Base<'_>) -> Result<Plan> {
        merge(&self.items, base, here, self.program)
            .map_err(|_| Error::Forbidden("one of the items cannot be saved here".to_owned()))
    }

    /// How all items compare as they were sent. What is here byte for byte is looked at there, where it is remembered.
    pub fn looks(&self, here: &Present<'_>) -> Vec<(KeyId, Look)> {
        let look = |item: &Arc<Item>| match here.get(&item.key) {
            Some(Here::Whole(ours)) if item.sent_look().is_none() && ours.is_written_as(item) => *ours.look(),
            Some(Here::Whole(_) | Here::Masked(_) | Here::Hidden) | None => *item.look_as_sent(),
        };
        in_threads(&self.items, |items| items.iter().map(|item| (item.key.id(), look(item))).collect())
    }

    /// What the client has now, where that is not what is here.
    pub fn draft(self, plan: Plan) -> Draft {
        let ours = plan.unlike.into_iter().filter_map(|(ordinal, ours)| Some((ordinal, ours?)));
        Draft::Sent(self.items, ours.collect())
    }

    /// Whether what is shown of what was sent is read with the zones that it was sent with.
    pub fn has_zones_of(&self, snapshot: &Snapshot) -> bool {
        let is_plain = snapshot.made_up.is_empty() && snapshot.lent.is_empty();
        if is_plain && self.items.iter().all(|item| item.sent_look().is_none()) {
            return true;
        }
        let sent: KeyMap<&Key, &Item> = self.items.iter().map(|item| (&item.key, &**item)).collect();
        let served = Served::collect(snapshot.shown.iter().map(Shown::item));
        snapshot.shown.iter().map(Shown::item).all(|shown| {
            let Some(sent) = sent.get(&shown.key) else { return true };
            let read = served.read_back(shown);
            read.is_none() && sent.sent_look().is_none()
                || read.as_ref().unwrap_or(shown).look().meaning == sent.look_as_sent().meaning
        })
    }

    /// Whether the picture is, by meaning, what was sent.
    pub fn is_shown_by(&self, snapshot: &Snapshot) -> bool {
        if self.items.len() != snapshot.shown.len() {
            return false;
        }
        let shown: KeyMap<&Key, &Item> =
            snapshot.shown.iter().map(|shown| (&shown.item().key, shown.item())).collect();
        let same =
            |one: &Item, other: &Item| one.is_written_as(other) || one.look().meaning == other.look().meaning;
        self.items.iter().all(|item| shown.get(&item.key).is_some_and(|shown| same(item, shown)))
    }
}

/// The items with the TZIDs that were made up for serving taken back.
fn with_own_names(items: Vec<Item>, snapshot: &Snapshot) -> Vec<Item> {
    if snapshot.made_up.is_empty() {
        return items;
    }
    let own = |item: Item| {
        let zones = item.zones.clone();
        let made_up =
            zones.iter().filter_map(|zone| Some((&*zone.tzid, snapshot.made_up.get(&*zone.tzid)?.as_str())));
        // An item may be in both zones of a name; then it needs both names.
        let named: HashSet<&str> = zones.iter().map(|zone| &*zone.tzid).collect();
        let renames: Renames<'_> = made_up.filter(|(_, own)| !named.contains(own)).collect();
        if renames.is_empty() { item } else { item.clone().with_zones_renamed(&renames).sent_as(&item) }
    };
    items.into_iter().map(own).collect()
}

/// The items without the definitions that they have in the whole calendar only because others have them, or bring them in the
/// same save: nobody edited what comes back with one.
fn without_lent(items: Vec<Item>, snapshot: &Snapshot) -> Vec<Item> {
    fn undefined(item: &Item) -> impl Iterator<Item = &str> {
        item.zones.iter().filter(|zone| zone.is_undefined()).map(|zone| &*zone.tzid)
    }
    let borrowers: KeyMap<&Key, HashSet<&str>> = snapshot
        .shown
        .iter()
        .map(Shown::item)
        .filter(|item| undefined(item).next().is_some())
        .map(|item| (&item.key, undefined(item).collect()))
        .collect();
    if borrowers.is_empty() {
        return items;
    }
    let borrows =
        |key: &Key, zone: &Zone| borrowers.get(key).is_some_and(|zones| zones.contains(&*zone.tzid));
    let brought: HashMap<Arc<str>, Hash> = items
        .iter()
        .flat_map(|item| item.zones.iter().filter(|zone| !borrows(&item.key, zone)))
        .filter_map(|zone| Some((zone.tzid.clone(), zone.definition.as_ref()?.meaning)))
        .collect();
    let is_lent = |zone: &Zone| {
        let lent = snapshot.lent.get(&*zone.tzid).or_else(|| brought.get(&zone.tzid));
        zone.definition.as_ref().is_some_and(|sent| lent == Some(&sent.meaning))
    };
    let own = |item: Item| {
        let lends = item.zones.iter().any(|zone| is_lent(zone) && borrows(&item.key, zone));
        match lends {
            true => {
                let own = item.clone().without_definitions(|zone| is_lent(zone) && borrows(&item.key, zone));
                own.sent_as(&item)
            }
            false => item,
        }
    };
    items.into_iter().map(own).collect()
}
