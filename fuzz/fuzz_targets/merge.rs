//! The three-way merge: whatever the client had, sends and finds, the outcome keeps the promises of the design's table.
//!
//! Each two bytes of an input are what one item is like: in the client's base, in what it sends, here, and in an older copy that
//! another machine may have. The first byte says which base counts, what program the client is, how the copies came about, and whether
//! the guard against shrinking is asked.

#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use kalends::ical::cut::cut;
use kalends::ical::item::{Item, Key, KeyMap};
use kalends::store::merge::base::{Base, Here};
use kalends::store::merge::plan::Plan;
use kalends::store::merge::program::Program;
use kalends::store::merge::{HiddenKey, merge};
use kalends::store::views::copies::Copies;
use kalends::store::views::parents::Parents;
use kalends::store::views::view::{Known, View};
use libfuzzer_sys::fuzz_target;

const UIDS: usize = 16;
const VERSIONS: usize = 4;

/// The item that Mozilla's programs never load.
const NOT_LOADED: usize = 1;

/// The item that few programs have a place for.
const RARE: usize = 2;

/// Every item in every version. Two versions say the same and differ in how they are written; two have the same stamps.
static ITEMS: LazyLock<Vec<[Item; VERSIONS]>> = LazyLock::new(|| (0..UIDS).map(of).collect());

fn of(uid: usize) -> [Item; VERSIONS] {
    let start = if uid == NOT_LOADED { "" } else { "DTSTART:20260101T100000Z\r\n" };
    let kind = if uid == RARE { "VAVAILABILITY" } else { "VEVENT" };
    [("A", 1), ("B", 2), ("C", 3), ("re-written", 3)].map(|(summary, day)| {
        let text = format!(
            "BEGIN:VCALENDAR\r\nBEGIN:{kind}\r\nUID:{uid}\r\n{start}SUMMARY:{summary}\r\nLAST-MODIFIED:2026010{day}T000000Z\r\nEND:{kind}\r\nEND:VCALENDAR\r\n"
        );
        cut(text.as_bytes()).expect("a good item").items.remove(0)
    })
}

/// One item: what the client had of it, what it sends, and what is here.
struct Case {
    had: Option<&'static Item>,
    had_before: Option<&'static Item>,
    sent: Option<&'static Item>,
    here: Option<Here<'static>>,
}

impl Case {
    fn read(uid: usize, bytes: &[u8]) -> Case {
        let version = |bits: u8| ITEMS[uid].get(usize::from(bits & 7));
        let here = match bytes[1] >> 3 & 7 {
            4 => Some(Here::Masked(&ITEMS[uid][0])),
            5 => Some(Here::Hidden),
            bits => version(bits).map(Here::Whole),
        };
        Case { had: version(bytes[0]), had_before: version(bytes[1]), sent: version(bytes[0] >> 3), here }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let cases: Vec<Case> =
        rest.chunks_exact(2).take(UIDS).enumerate().map(|(uid, bytes)| Case::read(uid, bytes)).collect();
    let view_of = |had: fn(&Case) -> Option<&'static Item>| {
        View::new(cases.iter().filter_map(had).map(|item| (item.key.id(), Known::of(item.look()))))
    };
    let views = [view_of(|case| case.had_before), view_of(|case| case.had)].map(Arc::new);
    let program = match first & (4 | KDES) {
        4 => Program::Mozilla,
        KDES => Program::Kde,
        _ => Program::Other,
    };
    let sent: Vec<Item> = cases.iter().filter_map(|case| case.sent.cloned()).collect();
    let parents = parents(*first, &views, &sent, program);
    let base = match first & 3 {
        _ if first & COPIES != 0 => Base::Copies(&parents),
        0 => Base::None,
        1 => Base::Here,
        2 => Base::View(&views[1]),
        _ => Base::Replace,
    };
    let keys: Vec<&'static Key> = ITEMS.iter().map(|versions| &versions[0].key).collect();
    let here: KeyMap<&Key, Here<'_>> =
        keys.iter().zip(&cases).filter_map(|(key, case)| Some((*key, case.here?))).collect();
    match merge(&sent, &base, &here, program) {
        Ok(mut plan) => {
            if first & UNGUARDED != 0 && matches!(base, Base::Copies(_) | Base::None) {
                let here = here.iter().filter(|(_, here)| here.whole().is_some());
                shrinks_little(&mut plan, &here.map(|(key, _)| *key).collect::<Vec<_>>());
            }
            let only_sends = first & SENT != 0;
            keeps_its_promises(&Outcome { plan, sent: &sent, base: &base, program, only_sends }, &cases);
        }
        Err(HiddenKey) => {
            assert!(cases.iter().any(|case| matches!(case.here, Some(Here::Hidden)) && case.sent.is_some()))
        }
    }
});

const COPIES: u8 = 8;
const SENT: u8 = 16;
const UNGUARDED: u8 = 32;
const KDES: u8 = 64;

/// What a save may be a change of: the client was shown both Views, or it has sent both, which nobody has ever seen it fetch.
fn parents(first: u8, views: &[Arc<View>; 2], sent: &[Item], program: Program) -> Parents {
    let mut copies = Copies::default();
    for name in [[0; 16], [1; 16]] {
        match first & SENT {
            0 => copies.fetched(name, true),
            _ => copies.guarded(false, name),
        }
    }
    let shown = sent.iter().map(|item| (item.key.id(), *item.look())).collect();
    Parents::of(&copies, |name| views.get(usize::from(name[0])).cloned(), shown, program)
}

/// The guard keeps more than half of a large calendar, and else changes nothing.
fn shrinks_little(plan: &mut Plan, here: &[&Key]) {
    let (removed, kept, taken) = (plan.remove.len(), plan.kept, plan.take.clone());
    plan.guard_against_shrinking([here.iter().copied()]);
    let here = here.len();
    assert!(here < 10 || plan.remove.len() * 2 <= here);
    assert_eq!(plan.remove.len() + plan.spared, removed);
    assert!(plan.spared == 0 || here >= 10 && removed * 2 > here);
    assert_eq!((plan.kept - plan.spared, &plan.take), (kept, &taken));
}

struct Outcome<'a> {
    plan: Plan,
    sent: &'a [Item],
    base: &'a Base<'a>,
    program: Program,
    /// Nothing but saves of the client is known, if copies are.
    only_sends: bool,
}

fn keeps_its_promises(outcome: &Outcome<'_>, cases: &[Case]) {
    let Outcome { plan, sent, .. } = outcome;
    let taken: BTreeMap<&Key, &Item> = plan.take.iter().map(|at| (&sent[*at].key, &sent[*at])).collect();
    assert_eq!(taken.len(), plan.take.len(), "each once");
    assert!(plan.lost.iter().all(|at| !plan.take.contains(at)), "lost or taken");
    assert!(plan.remove.is_sorted_by(|one, next| one < next), "each once");
    for (case, versions) in cases.iter().zip(ITEMS.iter()) {
        let key = &versions[0].key;
        let (taken, removed) = (taken.get(key).copied(), plan.remove.contains(key));
        assert!(taken.is_none() || !removed);
        if let Base::Copies(parents) = outcome.base {
            one_of_which_there_are_copies(outcome, parents, case, key, (taken, removed));
        }
        match case.here {
            Some(Here::Masked(_) | Here::Hidden) => {
                assert!(taken.is_none() && !removed, "what is not seen stays")
            }
            Some(Here::Whole(here)) => one_that_is_here(outcome, case, here, taken, removed),
            None => one_that_is_not_here(outcome, case, taken, removed),
        }
    }
    let may_remove_many = outcome.program != Program::Mozilla || matches!(outcome.base, Base::Replace);
    assert!(may_remove_many || plan.remove.len() <= 1 && (plan.remove.is_empty() || plan.take.is_empty()));
    assert!(may_remove_many || !plan.remove.contains(&ITEMS[NOT_LOADED][0].key));
    let may_not_know_it = matches!(outcome.base, Base::Copies(_));
    assert!(!may_not_know_it || !plan.remove.contains(&ITEMS[RARE][0].key));
    assert!(plan.remove.is_empty() || plan.touches);
}

/// Whether the client sent back the copy that it had.
fn is_untouched(outcome: &Outcome<'_>, had: &Item, sent: &Item) -> bool {
    Known::of(had.look()).is_as(sent.look(), outcome.program)
}

fn one_that_is_here(outcome: &Outcome<'_>, case: &Case, here: &Item, taken: Option<&Item>, removed: bool) {
    let is_as = |other: &Item| other.look().meaning == here.look().meaning;
    match (outcome.base, case.had, case.sent) {
        (Base::None, _, None) => assert!(!removed, "without a base nothing is removed"),
        (Base::View(_), None, None) => assert!(!removed, "what the client never saw stays"),
        (Base::View(_), Some(had), None) => assert!(!removed || is_as(had), "what was changed here stays"),
        (_, _, Some(sent)) if is_as(sent) => assert!(taken.is_none(), "the same is not written again"),
        (Base::View(_), Some(had), Some(sent)) if is_untouched(outcome, had, sent) => {
            assert!(taken.is_none(), "no stale copy reverts anything");
        }
        (Base::None, _, Some(sent)) => {
            assert_eq!(taken.is_some(), sent.look().age > here.look().age, "the newer stays");
        }
        (Base::View(_) | Base::Replace, _, Some(_)) => {
            assert!(taken.is_some(), "what the client changed is saved")
        }
        (Base::Replace, _, None) => assert!(removed),
        _ => {}
    }
    assert!(case.sent.is_none() || !removed, "what was sent is not removed");
}

/// What holds whichever of these copies the client had.
fn one_of_which_there_are_copies(
    outcome: &Outcome<'_>,
    parents: &Parents,
    case: &Case,
    key: &Key,
    (taken, removed): (Option<&Item>, bool),
) {
    let here = match case.here {
        Some(Here::Masked(_) | Here::Hidden) => return,
        Some(Here::Whole(here)) => Some(here),
        None => None,
    };
    let copies: Vec<Known> = parents.views.iter().filter_map(|view| view.get(&key.id())).collect();
    if removed {
        assert!(parents.are_known(), "without a base nothing is removed");
        assert_eq!(copies.len(), parents.views.len(), "what the client never saw stays");
        let is_here = |had: &Known| here.is_some_and(|here| here.look().meaning == had.ours);
        assert!(copies.iter().any(is_here), "what was changed here stays");
    }
    let Some(sent) = case.sent else { return };
    if here.is_some_and(|here| here.look().meaning == sent.look().meaning) {
        return assert!(taken.is_none(), "the same is not written again");
    }
    match copies.iter().any(|had| had.is_as(sent.look(), outcome.program)) {
        // A client that only ever sends may have changed its mind.
        true => assert!(taken.is_none() || outcome.only_sends, "no stale copy reverts or revives anything"),
        false => {
            let is_kept = here.is_some() && outcome.plan.lost.iter().any(|at| outcome.sent[*at].key == *key);
            // Of a copy that is not known any more the stamps still tell that it is what is here, written again.
            let is_rewritten = here.is_some_and(|here| is_untouched(outcome, here, sent));
            let is_here = is_rewritten && (parents.lapsed || !parents.are_known());
            assert!(taken.is_some() || is_kept || is_here, "what the client changed is saved, or kept");
        }
    }
}

fn one_that_is_not_here(outcome: &Outcome<'_>, case: &Case, taken: Option<&Item>, removed: bool) {
    assert!(!removed);
    match (outcome.base, case.had, case.sent) {
        (_, _, None) => assert!(taken.is_none()),
        // See [`one_of_which_there_are_copies`].
        (Base::Copies(_), ..) => {}
        (Base::View(_), Some(had), Some(sent)) if is_untouched(outcome, had, sent) => {
            assert!(taken.is_none(), "no stale copy revives anything");
        }
        (_, _, Some(sent)) => {
            assert!(taken.is_some_and(|taken| taken.raw == sent.raw), "what is new is saved")
        }
    }
}
