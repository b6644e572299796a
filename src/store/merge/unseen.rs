//! Sent items of which the asker does not see all, or did not when he fetched: no edit of a busy block is one of the item in
//! whose place it is shown. Pure.

use super::base::Base;
use super::misread::is_unedited;
use super::plan::Plan;
use super::program::Program;
use crate::ical::item::Item;
use crate::store::views::view::{BLOCK, Known};

/// Whether the client, who sees all of `ours` by now, may have had no more than a busy block of it. Where one of its copies is a
/// block, all counts as made of that but what another copy has as it is sent. Where it is not known what it had, the sent item
/// tells: it is called so, and ours is not.
pub fn is_of_block(sent: &Item, ours: &Item, base: &Base<'_>, program: Program) -> bool {
    let copies = match base {
        Base::Here | Base::Replace => return false,
        Base::None | Base::View(_) | Base::Copies(_) => base.copies(&sent.key),
    };
    if copies.iter().any(|known| known.ours == BLOCK) {
        let is_whole = |known: &Known| known.ours != BLOCK && is_unedited(known, sent, Some(ours), program);
        return !copies.iter().any(is_whole);
    }
    let had_all = !copies.is_empty() && base.is_known();
    !had_all && sent.is_busy_block() && !ours.is_busy_block()
}

impl Plan {
    /// Decides about a sent item of which the asker does not see all, or not any more: what is here stays, and what he edited
    /// while he saw it goes to the history, as does what he may have made himself. A busy block is the `masked` item's, and no
    /// edit of it counts.
    pub fn meet_unseen(
        &mut self,
        ordinal: usize,
        sent: &Item,
        masked: Option<&Item>,
        base: &Base<'_>,
        program: Program,
    ) {
        let copies = base.copies(&sent.key);
        let is_as_sent = |known: &Known| known.is_as(sent.look_as_sent(), program);
        let saw_it = copies.iter().any(|known| known.ours != BLOCK);
        let may_be_new = masked.is_none() && copies.is_empty();
        if may_be_new || saw_it && !copies.iter().any(is_as_sent) {
            self.touches |= !may_be_new;
            self.conflicts += 1;
            self.lost.push(ordinal);
        }
        match masked.is_some() && !saw_it {
            true => self.unlike.push((ordinal, Some(BLOCK))),
            false => self.stay(ordinal, base.known(&sent.key)),
        }
    }

    /// Decides about what was made of a busy block by whoever sees all of the item by now: what is here stays, and an edit goes to the
    /// history. What the client has is a block still.
    pub fn meet_block(
        &mut self,
        ordinal: usize,
        sent: &Item,
        ours: &Item,
        base: &Base<'_>,
        program: Program,
    ) {
        let is_as_sent = |known: &Known| known.is_as(sent.look_as_sent(), program);
        let is_edited = !base.copies(&sent.key).iter().any(is_as_sent);
        if is_edited && !is_as_sent(&Known::of(ours.busy().look())) {
            self.touches = true;
            self.conflicts += 1;
            self.lost.push(ordinal);
        }
        self.unlike.push((ordinal, Some(BLOCK)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::base::Here;
    use super::super::merge;
    use super::Program::{Kde, Mozilla, Other};
    use super::*;
    use crate::ical::cut::cut;
    use crate::ical::item::{Key, KeyMap};
    use crate::store::views::copies::Copies;
    use crate::store::views::parents::Parents;
    use crate::store::views::view::View;
    use crate::store::views::view_names::ViewName;

    fn item(lines: &str) -> Item {
        named("1", lines)
    }

    fn named(uid: &str, lines: &str) -> Item {
        let text = format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTART:20260101T100000Z\r\n{lines}END:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        cut(text.as_bytes()).expect("a good item").items.remove(0)
    }

    fn run(sent: Item, base: &Base<'_>, here: &Item, program: Program) -> Plan {
        let here = [(&here.key, Here::Whole(here))].into_iter().collect();
        merge(&[sent], base, &here, program).expect("nothing is hidden")
    }

    #[test]
    fn a_busy_block_is_no_version_of_what_is_seen_whole_by_now() {
        let was = item("SUMMARY:Surgery\r\nCLASS:CONFIDENTIAL\r\nLAST-MODIFIED:20260101T000000Z\r\n");
        let block = was.busy();
        let with = |lines: &str| item(&format!("SUMMARY:Busy\r\nCLASS:CONFIDENTIAL\r\n{lines}"));
        let dated = with("LAST-MODIFIED:20261130T000000Z\r\nCREATED:20261130T000000Z\r\n");
        let moved = with("LAST-MODIFIED:20261130T000000Z\r\nDURATION:PT2H\r\n");
        let shown = View::new([(block.key.id(), Known { ours: BLOCK, ..Known::of(block.look()) })]);
        let opened = item("SUMMARY:Operation\r\nLAST-MODIFIED:20260102T000000Z\r\nDURATION:PT3H\r\n");
        // Nothing is known of whoever was a reader until now.
        for base in [Base::View(&shown), Base::None] {
            for program in [Other, Mozilla, Kde] {
                let run = |sent: &Item, here: &Item| {
                    let plan = run(sent.clone(), &base, here, program);
                    assert_eq!((plan.take.len(), plan.unlike), (0, vec![(0, Some(BLOCK))]), "{base:?}");
                    assert_eq!(plan.conflicts, plan.lost.len());
                    plan.conflicts
                };
                assert_eq!([run(&block, &was), run(&moved, &was), run(&moved, &opened)], [0, 1, 1]);
                assert_eq!(run(&dated, &was), usize::from(program != Kde), "{base:?}");
            }
        }
        let plan = run(moved, &Base::None, &block, Other);
        assert_eq!(plan.take, [0], "who owns a bare block may edit it");
    }

    #[test]
    fn where_one_of_two_copies_is_a_busy_block_what_is_made_of_it_counts_no_more() {
        let with = |lines: &str| item(&format!("{lines}LAST-MODIFIED:20300101T000000Z\r\n"));
        let was = item("SUMMARY:Surgery\r\nCLASS:CONFIDENTIAL\r\n");
        let other = named("2", "SUMMARY:Other\r\n");
        let block = was.busy();
        let beside = (other.key.id(), Known::of(other.look()));
        let shown = |known: Known| Arc::new(View::new([(was.key.id(), known), beside]));
        let views = [Known { ours: BLOCK, ..Known::of(block.look()) }, Known::of(was.look())].map(shown);
        let here: KeyMap<&Key, Here<'_>> =
            [&was, &other].into_iter().map(|item| (&item.key, Here::Whole(item))).collect();
        for order in [[0, 1], [1, 0]] {
            let mut copies = Copies::default();
            order.iter().for_each(|at| copies.fetched([*at; 16], true));
            for program in [Other, Kde] {
                let run = |sent: &[&Item]| {
                    let look = |item: &&Item| (item.key.id(), *item.look_as_sent());
                    let find = |name: &ViewName| Some(views[usize::from(name[0])].clone());
                    let parents = Parents::of(&copies, find, sent.iter().map(look).collect(), program);
                    let plan =
                        merge(sent, &Base::Copies(&parents), &here, program).expect("nothing is hidden");
                    (plan.take.len(), plan.remove.len(), plan.conflicts, plan.kept)
                };
                for made in [
                    with("SUMMARY:Ask Carol?\r\nCLASS:CONFIDENTIAL\r\nDURATION:PT1H\r\n"),
                    with("SUMMARY:Busy\r\nDURATION:PT1H\r\n"),
                ] {
                    assert_eq!(run(&[&made, &other]), (0, 0, 1, 0), "{order:?} {program:?}");
                }
                assert_eq!(run(&[&other]), (0, 0, 0, 1), "{order:?} {program:?}");
                assert_eq!(run(&[&block, &other]), (0, 0, 0, 0), "{order:?} {program:?}");
                assert_eq!(run(&[&was]), (0, 1, 0, 0), "a deletion elsewhere counts");
            }
        }
    }
}
