//! Split and join: an item's file is that item again, and a whole calendar of items says what they say.

#![no_main]

use std::collections::HashSet;
use std::sync::Arc;

use kalends::ical::cut::cut;
use kalends::ical::item::{Item, assign_uids};
use kalends::ical::line::lines;
use kalends::ical::meaning::look;
use kalends::ical::text::{Renames, push_line};
use kalends::ical::whole::{Heading, whole};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(cut) = cut(text) else { return };
    let items = assign_uids(cut.items);
    let keys: HashSet<_> = items.iter().map(|item| &item.key).collect();
    assert_eq!(keys.len(), items.len(), "one item a key");
    for item in &items {
        assert!(!item.key.uid.is_empty());
        its_file_is_the_item(item);
        folding_says_nothing(item);
        let masked = item.busy();
        assert_eq!(only(&masked).key, item.key, "a masked item keeps its key");
    }
    if !lends_a_zone(&items) {
        joined_they_mean_the_same(items);
    }
});

/// Whether an item names a zone that only another one defines: in a whole calendar it has that one's.
fn lends_a_zone(items: &[Item]) -> bool {
    let custom = || items.iter().flat_map(|item| item.zones.iter()).filter(|zone| zone.iana.is_none());
    let defined: HashSet<_> =
        custom().filter(|zone| zone.definition.is_some()).map(|zone| &zone.tzid).collect();
    custom().any(|zone| zone.definition.is_none() && defined.contains(&zone.tzid))
}

/// The one item of the file of `item`.
fn only(item: &Item) -> Item {
    let mut again = cut(&item.to_file()).expect("our own file").items;
    assert_eq!(again.len(), 1);
    again.remove(0)
}

fn its_file_is_the_item(item: &Item) {
    let again = only(item);
    assert_eq!((&again.key, again.class), (&item.key, item.class));
    assert_eq!(again.raw, item.raw, "the bytes are the client's");
    assert_eq!(again.look(), item.look());
    assert_eq!(again.zones, item.zones);
    assert_eq!(again.to_file(), item.to_file());
}

fn folding_says_nothing(item: &Item) {
    let mut folded = Vec::new();
    lines(&item.raw).for_each(|line| push_line(&mut folded, &line.text));
    assert_eq!(look(&folded, &[]), look(&item.raw, &[]));
}

fn joined_they_mean_the_same(items: Vec<Item>) {
    let served: Vec<Arc<Item>> = items.iter().cloned().map(|item| Item::served(Arc::new(item))).collect();
    let mut text = Vec::new();
    let items_of = served.iter().map(|item| &**item);
    let whole = whole(&Heading::default(), items_of, |piece| text.extend_from_slice(piece));
    let back: Renames<'_> =
        whole.made_up.iter().map(|(made_up, own)| (made_up.as_str(), own.as_str())).collect();
    let again = cut(&text).expect("our own calendar").items;
    assert_eq!(again.len(), items.len());
    for (after, before) in again.into_iter().zip(&items) {
        let after = after.with_zones_renamed(&back);
        assert_eq!((&after.key, after.class), (&before.key, before.class));
        assert_eq!(after.look(), before.look());
    }
}
