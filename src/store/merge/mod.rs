//! The three-way merge of a save: what the client sent, what it was shown before, what is here. Pure.

pub mod base;
#[cfg(test)]
mod interleavings;
pub mod merged;
pub mod misread;
pub mod plan;
pub mod program;
mod unseen;

use std::borrow::Borrow;
use std::collections::HashSet;

use crate::ical::item::{Item, Key, KeyMap};
use crate::store::threads::in_threads;
use crate::store::views::parents::Parents;
use crate::store::views::view::Known;
use base::{Base, Here};
use misread::{is_misread, is_unedited, may_not_load};
use plan::Plan;
use program::Program;
use unseen::is_of_block;

/// The client sent a new item whose key belongs to one that it must not know of.
#[derive(Debug, PartialEq, Eq)]
pub struct HiddenKey;

/// Merges `sent` into `here`, item by item (`docs/merging.md` has the rules).
///
/// `program`: whose save it is, for some tell by stamps what was edited.
pub fn merge<I: Borrow<Item>>(
    sent: &[I],
    base: &Base<'_>,
    here: &KeyMap<&Key, Here<'_>>,
    program: Program,
) -> Result<Plan, HiddenKey> {
    let mut plan = Plan::default();
    let mut met = 0;
    let mut differing = Vec::new();
    for (ordinal, item) in sent.iter().map(Borrow::borrow).enumerate() {
        let ours = here.get(&item.key);
        met += usize::from(ours.is_some());
        if ours.and_then(Here::whole).is_none_or(|ours| !ours.is_written_as(item)) {
            differing.push((ordinal, item, ours));
        }
    }
    look_at(&differing);
    for (ordinal, item, ours) in differing {
        match ours {
            // What the client was shown once it may send back, and that may be anything if nobody knows what it was.
            Some(Here::Hidden) if base.is_known() && base.known(&item.key).is_none() => {
                return Err(HiddenKey);
            }
            Some(Here::Hidden) => plan.meet_unseen(ordinal, item, None, base, program),
            Some(Here::Masked(ours)) => plan.meet_unseen(ordinal, item, Some(ours), base, program),
            Some(Here::Whole(ours)) => plan.meet(ordinal, item, Some(ours), base, program),
            None => plan.meet(ordinal, item, None, base, program),
        }
    }
    // No key is sent twice: where all that is here was met, nothing was left out.
    if met < here.len() {
        plan.leave_out(sent, base, here, program);
    }
    Ok(plan)
}

/// Works out, on several threads, how these items compare.
fn look_at(pairs: &[(usize, &Item, Option<&Here<'_>>)]) {
    in_threads(pairs, |pairs| {
        for (_, item, ours) in pairs {
            item.look();
            ours.and_then(Here::whole).map(Item::look);
        }
        Vec::<()>::new()
    });
}

impl Plan {
    /// Decides about a sent item and what is here under its key.
    fn meet(&mut self, ordinal: usize, sent: &Item, ours: Option<&Item>, base: &Base<'_>, program: Program) {
        let is_here = |ours: &Item| match base {
            // It was not fetched and written again: whoever sends it wants it as it is.
            Base::Replace => ours.is_served_as_but_for_dtstamp(sent),
            _ => ours.look().meaning == sent.look().meaning,
        };
        if ours.is_some_and(is_here) {
            return;
        }
        if let Some(ours) = ours.filter(|ours| is_of_block(sent, ours, base, program)) {
            return self.meet_block(ordinal, sent, ours, base, program);
        }
        match (base, ours) {
            (Base::View(view), _) => self.meet_known(ordinal, sent, ours, view.get(&sent.key.id()), program),
            (Base::Here, Some(here)) => {
                self.meet_known(ordinal, sent, ours, Some(Known::of(here.look())), program);
            }
            (Base::Copies(parents), _) => self.meet_copies(ordinal, sent, ours, parents, program),
            (_, None) => self.take.push(ordinal),
            (Base::Replace, Some(_)) => self.change(ordinal),
            (_, Some(ours)) => self.meet_by_age(ordinal, sent, ours, program),
        }
    }

    fn meet_known(
        &mut self,
        ordinal: usize,
        sent: &Item,
        ours: Option<&Item>,
        known: Option<Known>,
        program: Program,
    ) {
        if known.is_some_and(|known| is_unedited(&known, sent, ours, program)) {
            self.stale.extend(ours.is_none().then_some(ordinal));
            return self.stay(ordinal, known);
        }
        let here = ours.map(|ours| ours.look().meaning);
        let changed_here = here.is_some() && here != known.map(|known| known.ours);
        self.conflicts += usize::from(changed_here);
        match known.is_some() || here.is_some() {
            true => self.change(ordinal),
            false => self.take.push(ordinal),
        }
    }

    /// As [`Plan::meet_known`], where the client may have had one of several copies.
    fn meet_copies(
        &mut self,
        ordinal: usize,
        sent: &Item,
        ours: Option<&Item>,
        parents: &Parents,
        program: Program,
    ) {
        let id = sent.key.id();
        let known = || parents.views.iter().filter_map(|view| view.get(&id));
        let same: Vec<Known> = known().filter(|known| is_unedited(known, sent, ours, program)).collect();
        // Not by this client: whatever copy it was, this is what it had.
        if let Some(first) = same.first() {
            if parents.is_meant_anew(&id, sent.look_as_sent(), ours) {
                return self.change(ordinal);
            }
            let is_here = |known: &Known| ours.is_some_and(|ours| ours.look().meaning == known.ours);
            self.stale.extend((!same.iter().any(is_here)).then_some(ordinal));
            return self.stay(ordinal, Some(*first));
        }
        let Some(ours) = ours else {
            match known().next() {
                Some(_) => return self.change(ordinal),
                None => return self.take.push(ordinal),
            }
        };
        let seen_here = known().any(|known| known.ours == ours.look().meaning);
        let is_older = sent.look().age < ours.look().age;
        match parents.are_known() && !parents.lapsed || seen_here && !is_older {
            true => {
                self.conflicts += usize::from(!seen_here);
                self.change(ordinal);
            }
            // It may be a copy older than all that is remembered of the client, or newer than all that a kill has left.
            false => self.meet_by_age(ordinal, sent, ours, program),
        }
    }

    /// Decides where nothing is known of what the client had.
    fn meet_by_age(&mut self, ordinal: usize, sent: &Item, ours: &Item, program: Program) {
        let known = Known::of(ours.look());
        if is_unedited(&known, sent, Some(ours), program) {
            return self.stay(ordinal, Some(known));
        }
        self.conflicts += 1;
        match sent.look().age > ours.look().age {
            true => self.change(ordinal),
            false => {
                self.touches = true;
                self.lost.push(ordinal);
                self.stay(ordinal, None);
            }
        }
    }

    /// Decides about what is here and was not sent.
    fn leave_out<I: Borrow<Item>>(
        &mut self,
        sent: &[I],
        base: &Base<'_>,
        here: &KeyMap<&Key, Here<'_>>,
        program: Program,
    ) {
        let sent: Vec<&Item> = sent.iter().map(Borrow::borrow).collect();
        let keys: HashSet<&Key> = sent.iter().map(|item| &item.key).collect();
        let is_partial = program == Program::Mozilla && !matches!(base, Base::Replace);
        for (key, ours) in here.iter().filter(|(key, _)| !keys.contains(*key)) {
            let Here::Whole(ours) = ours else { continue };
            let goes = match base {
                Base::None => false,
                _ if is_partial && may_not_load(ours, here) => false,
                Base::Replace | Base::Here => true,
                Base::View(view) => {
                    let known = view.get(&key.id()).filter(|known| !is_partial || known.is_loaded());
                    self.touches |= known.is_some();
                    known.is_some_and(|known| known.ours == ours.look().meaning)
                }
                Base::Copies(parents) => key.kind.is_known_to_most() && parents.all_had(&key.id(), ours),
            };
            match goes {
                true => self.remove.push((*key).clone()),
                false => self.kept += 1,
            }
        }
        self.touches |= !self.remove.is_empty();
        let is_doubtful = || !self.take.is_empty() || is_misread(&sent, base, here);
        if is_partial && !self.remove.is_empty() && is_doubtful() {
            self.kept += self.remove.len();
            self.remove.clear();
        }
        self.remove.sort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Program::{Kde, Mozilla, Other};
    use super::*;
    use crate::ical::cut::cut;
    use crate::store::views::copies::Copies;
    use crate::store::views::view::{BLOCK, View};
    use crate::store::views::view_names::ViewName;

    /// An item called `uid` that says `summary`; `stamp` is its LAST-MODIFIED.
    fn item(uid: &str, summary: &str, stamp: u8) -> Item {
        let text = format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTART:20260101T100000Z\r\nSUMMARY:{summary}\r\nLAST-MODIFIED:2026010{stamp}T000000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        cut(text.as_bytes()).expect("a good item").items.remove(0)
    }

    fn had_all(items: &[Item]) -> View {
        View::new(items.iter().map(|item| (item.key.id(), Known::of(item.look()))))
    }

    /// As [`run`], with what `had` holds as the base.
    fn from(had: &[Item], sent: &[Item], here: &[Item], program: Program) -> Plan {
        run(sent, &Base::View(&had_all(had)), here, program)
    }

    fn run(sent: &[Item], base: &Base<'_>, here: &[Item], program: Program) -> Plan {
        let here = here.iter().map(|item| (&item.key, Here::Whole(item))).collect();
        merge(sent, base, &here, program).expect("nothing is hidden")
    }

    /// What is here afterwards, as `uid=summary`.
    fn outcome(plan: &Plan, sent: &[Item], here: &[Item]) -> Vec<String> {
        let summary = |item: &Item| {
            let text = String::from_utf8_lossy(&item.raw).into_owned();
            let summary = text.lines().find_map(|line| line.strip_prefix("SUMMARY:")).unwrap_or_default();
            format!("{}={summary}", item.key.uid)
        };
        let taken: KeyMap<&Key, &Item> = plan.take.iter().map(|at| (&sent[*at].key, &sent[*at])).collect();
        let stays =
            here.iter().filter(|item| !plan.remove.contains(&item.key) && !taken.contains_key(&item.key));
        let mut all: Vec<String> = stays.chain(taken.values().copied()).map(summary).collect();
        all.sort();
        all
    }

    #[test]
    fn each_row_of_the_table_holds() {
        let old = || Some(("old", 1));
        let mine = || Some(("mine", 2));
        let other = || Some(("other", 3));
        type Version = Option<(&'static str, u8)>;
        // The base, what is sent, what is here; what must be here afterwards; conflicts.
        let table: [(Version, Version, Version, Option<&str>, usize); 12] = [
            (old(), old(), old(), Some("old"), 0),
            (old(), old(), other(), Some("other"), 0),
            (old(), old(), None, None, 0),
            (old(), mine(), old(), Some("mine"), 0),
            (old(), mine(), None, Some("mine"), 0),
            (None, mine(), None, Some("mine"), 0),
            (old(), mine(), other(), Some("mine"), 1),
            (None, mine(), other(), Some("mine"), 1),
            (old(), None, old(), None, 0),
            (old(), None, other(), Some("other"), 0),
            (None, None, other(), Some("other"), 0),
            (old(), mine(), mine(), Some("mine"), 0),
        ];
        let make = |version: Version| {
            version.map(|(summary, stamp)| item("1", summary, stamp)).into_iter().collect::<Vec<_>>()
        };
        for program in [Other, Mozilla, Kde] {
            for (base, sent, here, expected, conflicts) in table {
                let (had, sent, here) = (make(base), make(sent), make(here));
                let plan = from(&had, &sent, &here, program);
                let expected: Vec<String> =
                    expected.map(|summary| format!("1={summary}")).into_iter().collect();
                assert_eq!(outcome(&plan, &sent, &here), expected, "{base:?} {program:?}");
                assert_eq!(plan.conflicts, conflicts, "{base:?} {program:?}");
            }
        }
    }

    #[test]
    fn without_a_base_the_newer_version_stays_and_nothing_goes() {
        let here = [item("1", "here", 2), item("2", "alone", 1)];
        for (stamp, expected, lost) in [(1, "1=here", 1), (2, "1=here", 1), (3, "1=sent", 0)] {
            let sent = [item("1", "sent", stamp)];
            let plan = run(&sent, &Base::None, &here, Other);
            assert_eq!(outcome(&plan, &sent, &here), [expected, "2=alone"]);
            assert_eq!(plan.lost.len(), lost);
        }
    }

    #[test]
    fn without_a_base_what_a_mozilla_program_only_wrote_again_is_no_conflict() {
        let here = [item("1", "here", 2)];
        let plan = run(&[item("1", "here without its language", 2)], &Base::None, &here, Mozilla);
        let unlike = vec![(0, Some(here[0].look().meaning))];
        assert_eq!(plan, Plan { unlike, ..Plan::default() });
    }

    #[test]
    fn mozillas_programs_and_kdes_edit_by_stamps_alone() {
        let had = [item("1", "old", 1)];
        let here = [item("1", "other", 3)];
        let rewritten = [item("1", "old without its language", 1)];
        for (program, expected) in
            [(Mozilla, "1=other"), (Kde, "1=other"), (Other, "1=old without its language")]
        {
            assert_eq!(outcome(&from(&had, &rewritten, &here, program), &rewritten, &here), [expected]);
        }
    }

    #[test]
    fn a_mozilla_program_that_leaves_out_much_removes_nothing() {
        let here = [item("1", "a", 1), item("2", "b", 1), item("3", "c", 1)];
        let one_left_out = &here[1..];
        assert_eq!(from(&here, one_left_out, &here, Mozilla).remove.len(), 1);
        let two_left_out = &here[2..];
        assert_eq!(from(&here, two_left_out, &here, Mozilla).remove.len(), 0);
        assert_eq!(from(&here, two_left_out, &here, Other).remove.len(), 2);
        let and_one_changed = [item("2", "changed", 2), item("3", "c", 1)];
        let plan = from(&here, &and_one_changed, &here, Mozilla);
        assert_eq!(outcome(&plan, &and_one_changed, &here), ["1=a", "2=changed", "3=c"]);
    }

    #[test]
    fn a_mozilla_program_removes_nothing_that_it_never_loads() {
        let bare = |uid: &str| {
            let text = String::from_utf8_lossy(&item(uid, uid, 1).to_file()).replace("DTSTART", "X-START");
            cut(text.as_bytes()).expect("a good item").items.remove(0)
        };
        let here = [item("1", "a", 1), item("2", "b", 1), bare("3"), bare("4")];
        for base in [Base::Here, Base::View(&had_all(&here))] {
            let deleted = &here[1..2];
            assert_eq!(outcome(&run(deleted, &base, &here, Mozilla), deleted, &here), ["2=b", "3=3", "4=4"]);
            assert_eq!(outcome(&run(deleted, &base, &here, Other), deleted, &here), ["2=b"]);
            let added = [item("1", "a", 1), item("2", "b", 1), item("5", "new", 1)];
            assert!(!run(&added, &base, &here, Mozilla).touches);
        }
    }

    #[test]
    fn replace_means_what_was_sent() {
        let here = [item("1", "a", 3), item("2", "b", 1)];
        let sent = [item("1", "older", 1), item("3", "new", 1)];
        assert_eq!(outcome(&run(&sent, &Base::Replace, &here, Mozilla), &sent, &here), ["1=older", "3=new"]);
    }

    #[test]
    fn replace_takes_nothing_for_its_line_ends() {
        let here = [item("1", "Z\u{fc}rich", 1)];
        let text = here[0].to_file();
        let bare = String::from_utf8_lossy(&text).replace("\r\n", "\n\n");
        let at = text.iter().position(|byte| *byte == 0xc3).expect("a letter of two bytes") + 1;
        let folded = [&text[..at], b"\r\n ", &text[at..]].concat();
        for sent in [bare.as_bytes(), &folded] {
            let sent = cut(sent).expect("a good calendar").items;
            assert_eq!(run(&sent, &Base::Replace, &here, Other), Plan::default());
        }
    }

    #[test]
    fn what_is_masked_stays_and_what_is_hidden_refuses() {
        let sent = [item("1", "busy", 9)];
        let key = sent[0].key.clone();
        let masked = KeyMap::from_iter([(&key, Here::Masked(&sent[0]))]);
        let stays = |ours| Ok(Plan { unlike: vec![(0, Some(ours))], ..Plan::default() });
        assert_eq!(merge(&sent, &Base::Replace, &masked, Other), stays(BLOCK));
        assert_eq!(merge::<Item>(&[], &Base::Replace, &masked, Other), Ok(Plan::default()));
        let hidden = KeyMap::from_iter([(&key, Here::Hidden)]);
        assert_eq!(merge(&sent, &Base::View(&View::new([])), &hidden, Other), Err(HiddenKey));
        let lost = Plan { unlike: vec![(0, None)], lost: vec![0], conflicts: 1, ..Plan::default() };
        assert_eq!(merge(&sent, &Base::None, &hidden, Other), Ok(lost), "it may have been shown");
        assert_eq!(merge::<Item>(&[], &Base::Replace, &hidden, Other), Ok(Plan::default()));
        let had = had_all(&sent);
        let plan = merge(&sent, &Base::View(&had), &hidden, Other);
        assert_eq!(plan, stays(sent[0].look().meaning), "what was shown once may come back");
    }

    #[test]
    fn after_a_start_what_is_hidden_may_have_been_shown() {
        let had = Arc::new(had_all(&[item("1", "seen", 1)]));
        let sent = [item("1", "seen", 1), item("2", "hidden", 1)];
        let hidden = KeyMap::from_iter([(&sent[1].key, Here::Hidden)]);
        let mut copies = Copies::default();
        copies.fetched([1; 16], true);
        let run = |copies: &Copies| {
            let shown = sent.iter().map(|item| (item.key.id(), *item.look())).collect();
            let parents = Parents::of(copies, |_| Some(had.clone()), shown, Other);
            merge(&sent, &Base::Copies(&parents), &hidden, Other).map(|plan| plan.lost)
        };
        assert_eq!(run(&copies), Err(HiddenKey));
        assert_eq!(run(&copies.recalled()), Ok(vec![1]), "the newest View may be missing");
    }

    #[test]
    fn who_only_sends_may_change_its_mind() {
        let both = [item("1", "a", 1), item("2", "b", 1)];
        let mut copies = Copies::default();
        copies.guarded(false, [2; 16]);
        copies.guarded(false, [1; 16]);
        let stale = |copies: &Copies| {
            let view = |name: &ViewName| Some(Arc::new(had_all(&both[..usize::from(name[0])])));
            let shown = both.iter().map(|item| (item.key.id(), *item.look())).collect();
            let parents = Parents::of(copies, view, shown, Other);
            let plan = run(&both, &Base::Copies(&parents), &both[..1], Other);
            (plan.take, plan.stale)
        };
        assert_eq!(stale(&copies), (vec![1], vec![]));
        copies.fetched([1; 16], true);
        assert_eq!(stale(&copies), (vec![], vec![1]));
    }

    #[test]
    fn a_copy_older_than_all_that_is_remembered_reverts_nothing() {
        let here = [item("1", "here", 2)];
        let mut copies = Copies { forgotten: true, ..Copies::default() };
        copies.fetched([1; 16], true);
        for (stamp, expected) in [(1, "1=here"), (3, "1=sent")] {
            let sent = [item("1", "sent", stamp)];
            let shown = sent.iter().map(|item| (item.key.id(), *item.look())).collect();
            let parents = Parents::of(&copies, |_| Some(Arc::new(had_all(&here))), shown, Other);
            let plan = run(&sent, &Base::Copies(&parents), &here, Other);
            assert_eq!(outcome(&plan, &sent, &here), [expected]);
        }
    }

    #[test]
    fn an_edit_of_what_is_no_longer_seen_is_in_the_history() {
        let seen = [item("1", "seen", 1)];
        let edited = [item("1", "edited", 2)];
        let key = &seen[0].key;
        let all = had_all(&seen);
        let block = View::new([(key.id(), Known { ours: BLOCK, ..Known::of(seen[0].busy().look()) })]);
        // What the client had, what it sends, what it sees by now; whether that is an edit.
        let table = [
            (&all, &edited, Here::Hidden, true),
            (&all, &edited, Here::Masked(&seen[0]), true),
            (&all, &seen, Here::Hidden, false),
            (&all, &seen, Here::Masked(&seen[0]), false),
            (&block, &edited, Here::Masked(&seen[0]), false),
        ];
        for (had, sent, here, is_edit) in table {
            for program in [Other, Mozilla, Kde] {
                let plan = merge(sent, &Base::View(had), &KeyMap::from_iter([(key, here)]), program)
                    .expect("it was shown once");
                assert_eq!(plan.lost.len(), usize::from(is_edit), "{here:?}");
                assert_eq!((plan.conflicts, plan.touches), (usize::from(is_edit), is_edit), "{here:?}");
                assert!(plan.take.is_empty() && plan.unlike.len() == 1);
            }
        }
    }

    #[test]
    fn adding_touches_nothing_and_all_else_does() {
        let here = [item("1", "a", 1)];
        let with_new = [item("1", "a", 1), item("2", "new", 1)];
        assert!(!from(&here, &with_new, &here, Other).touches);
        assert!(from(&here, &[], &here, Other).touches);
        assert!(from(&here, &[item("1", "b", 2)], &here, Other).touches);
        assert!(run(&[item("1", "b", 0)], &Base::None, &here, Other).touches);
        assert!(!run(&with_new[1..], &Base::None, &here, Other).touches);
    }
}
