//! What Mozilla's programs cannot have deleted: what they never load, and what they could not read. Pure.

use std::collections::HashSet;

use super::base::{Base, Here};
use super::program::Program;
use crate::ical::item::{Item, Key, KeyId, KeyMap};
use crate::ical::meaning;
use crate::ical::scan::Kind;
use crate::store::views::view::{Known, View};

/// All that is here by key, as the asker sees it.
type Present<'a> = KeyMap<&'a Key, Here<'a>>;

/// Whether a client that had a copy sends it unchanged. Of an item's components Mozilla's programs leave out without a word
/// those that they do not load (an override without DTSTART, a second one of the same occurrence). An edit of theirs always moves
/// a stamp, so what comes with fewer stamps, and no new one, is none; `ours` tells as long as it is what they had. Nor is it edited
/// if all that is new is a definition that others have brought.
pub fn is_unedited(known: &Known, sent: &Item, ours: Option<&Item>, program: Program) -> bool {
    let leaves_out_only = |ours: &Item| known.stamps == ours.look().stamps && has_fewer_stamps(sent, ours);
    let borrowed_nothing = known.meaning == known.ours;
    known.is_as(sent.look_as_sent(), program)
        || borrowed_nothing && known.is_as(sent.look(), program)
        || program == Program::Mozilla && known.is_loaded() && ours.is_some_and(leaves_out_only)
}

fn has_fewer_stamps(sent: &Item, ours: &Item) -> bool {
    let (sent, ours) = (meaning::stamps(&sent.raw), meaning::stamps(&ours.raw));
    let mut left = ours.iter();
    sent.len() < ours.len() && sent.iter().all(|stamp| left.any(|other| other == stamp))
}

/// Whether they may show nothing of an item, so that its absence says nothing.
pub fn may_not_load(item: &Item, here: &Present<'_>) -> bool {
    let other = match item.key.kind {
        Kind::Event => Kind::Todo,
        Kind::Todo => Kind::Event,
        _ => return true,
    };
    // They know items by their UIDs alone, and of two they show one.
    let twin = here.get(&Key { uid: item.key.uid.clone(), kind: other });
    twin.and_then(Here::shown).is_some() || !Known::of(item.look()).is_loaded()
}

/// Whether the save looks like a calendar that could not be read in full.
pub fn is_misread(sent: &[&Item], base: &Base<'_>, here: &Present<'_>) -> bool {
    let views: Vec<&View> = match base {
        Base::None | Base::Replace => return false,
        Base::Here => return is_misread_of_here(sent, here),
        Base::View(view) => vec![view],
        Base::Copies(parents) => parents.views.iter().map(|view| &**view).collect(),
    };
    let is_unloaded = |ours: &Here<'_>| ours.shown().is_some_and(|item| may_not_load(item, here));
    let unloaded = absent(sent, here).filter(|(_, ours)| is_unloaded(ours)).map(|(key, _)| key.id());
    let accounted_for: HashSet<KeyId> = sent.iter().map(|item| item.key.id()).chain(unloaded).collect();
    views.iter().any(|view| {
        // What is gone here is counted as well: how much the program could not read does not depend on what others did.
        let is_left_out = |(id, known): &&(KeyId, Known)| known.is_loaded() && !accounted_for.contains(id);
        does_too_much(view.iter().filter(is_left_out).count(), sent, |item| {
            let (known, ours) = (view.get(&item.key.id()), here.get(&item.key).and_then(Here::whole));
            // What is here byte for byte is looked at there, where it is remembered.
            let item = ours.filter(|ours| ours.is_written_as(item)).unwrap_or(item);
            !known.is_some_and(|known| is_unedited(&known, item, ours, Program::Mozilla))
        })
    })
}

/// The same of a client that has seen all that is here.
fn is_misread_of_here(sent: &[&Item], here: &Present<'_>) -> bool {
    let is_loaded = |ours: &Here<'_>| ours.shown().is_some_and(|item| !may_not_load(item, here));
    let left_out = absent(sent, here).filter(|(_, ours)| is_loaded(ours)).count();
    does_too_much(left_out, sent, |item| !here.get(&item.key).is_some_and(|ours| is_as_here(item, ours)))
}

/// What is here and was not sent.
fn absent<'a>(sent: &'a [&'a Item], here: &'a Present<'a>) -> impl Iterator<Item = (&'a Key, &'a Here<'a>)> {
    let keys: HashSet<&Key> = sent.iter().map(|item| &item.key).collect();
    here.iter().filter(move |(key, _)| !keys.contains(*key)).map(|(key, ours)| (*key, ours))
}

/// Whether a save that leaves out so many does more than one thing: one action of a user is one PUT there, and what cannot be read
/// is shown as empty and writable.
fn does_too_much(left_out: usize, sent: &[&Item], is_changed: impl Fn(&Item) -> bool) -> bool {
    left_out > 1 || left_out == 1 && sent.iter().any(|item| is_changed(item))
}

fn is_as_here(item: &Item, ours: &Here<'_>) -> bool {
    match ours {
        Here::Whole(ours) => {
            ours.is_written_as(item)
                || is_unedited(&Known::of(ours.look()), item, Some(ours), Program::Mozilla)
        }
        Here::Masked(ours) => Known::of(ours.busy().look()).is_as(item.look(), Program::Mozilla),
        Here::Hidden => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::cut::cut;

    fn item(kind: &str, uid: &str, more: &str) -> Item {
        let text =
            format!("BEGIN:VCALENDAR\r\nBEGIN:{kind}\r\nUID:{uid}\r\n{more}END:{kind}\r\nEND:VCALENDAR\r\n");
        cut(text.as_bytes()).expect("a good item").items.remove(0)
    }

    fn events(versions: &[(&str, &str)]) -> Vec<Item> {
        let event = |(uid, stamp): &(&str, &str)| {
            item(
                "VEVENT",
                uid,
                &format!("DTSTART:20260101T100000Z\r\nDTSTAMP:2026010{stamp}T000000Z\r\nSUMMARY:{stamp}\r\n"),
            )
        };
        versions.iter().map(event).collect()
    }

    fn all(items: &[Item]) -> Present<'_> {
        items.iter().map(|item| (&item.key, Here::Whole(item))).collect()
    }

    #[test]
    fn what_is_left_out_and_changed_is_told_by_the_base() {
        let (x, y, z, edited) = (("x", "1"), ("y", "1"), ("z", "1"), ("x", "2"));
        // The base, what is sent, what is here by now.
        let table: [(&[_], &[_], &[_], bool); 9] = [
            (&[x, y], &[y], &[x, y], false),
            (&[x, y, z], &[z], &[x, y, z], true),
            (&[x, y], &[], &[y], true),
            (&[x, y], &[edited], &[x, y], true),
            (&[x, y], &[edited], &[edited, y], true),
            (&[x, y], &[x, z], &[x, y], true),
            (&[x, y], &[x, z], &[x, y, z], true),
            (&[x, y, z], &[y, z], &[x, y], false),
            (&[x, y], &[y], &[x, y, z], false),
        ];
        for (had, sent, here, expected) in table {
            let (base, sent, here) = (events(had), events(sent), events(here));
            let view = View::new(base.iter().map(|item| (item.key.id(), Known::of(item.look()))));
            let sent: Vec<&Item> = sent.iter().collect();
            assert_eq!(is_misread(&sent, &Base::View(&view), &all(&here)), expected, "{had:?}: {sent:?}");
        }
    }

    #[test]
    fn whose_base_is_here_left_out_what_is_here() {
        let here = events(&[("x", "1"), ("y", "1")]);
        let rewritten =
            item("VEVENT", "x", "DTSTART:20260101T100000Z\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:x\r\n");
        let edited =
            item("VEVENT", "x", "DTSTART:20260101T100000Z\r\nDTSTAMP:20260102T000000Z\r\nSUMMARY:x\r\n");
        for (sent, expected) in [(vec![&rewritten], false), (vec![&edited], true), (vec![], true)] {
            assert_eq!(is_misread(&sent, &Base::Here, &all(&here)), expected, "{sent:?}");
        }
        let mut masked = all(&here);
        masked.insert(&here[1].key, Here::Masked(&here[1]));
        assert!(is_misread(&[], &Base::Here, &masked), "a busy block was shown too");
    }

    #[test]
    fn of_a_uid_of_two_kinds_either_may_not_be_loaded() {
        let start = "DTSTART:20260101T100000Z\r\n";
        let items = [item("VEVENT", "1", start), item("VTODO", "1", ""), item("VTODO", "2", "")];
        let judged = items.iter().map(|item| may_not_load(item, &all(&items))).collect::<Vec<_>>();
        assert_eq!(judged, [true, true, false]);
        assert!(!may_not_load(&items[0], &all(&items[..1])));
    }
}
