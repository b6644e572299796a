//! A calendar text cut into items. Raw bytes are moved, never rewritten.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::item::{Item, Key, KeyMap};
use super::line::{Property, lines};
use super::scan::{Class, Component, Kind, MAX_ITEM, Object, over_cap, scan};
use super::text;
use super::zone::{KnownZones, Zone};
use crate::error::{Error, Result};

/// A calendar text cut into items.
#[derive(Debug)]
pub struct Cut {
    /// In the order of their first components. Those without a UID have an empty one.
    pub items: Vec<Item>,
    /// The PRODID of the first VCALENDAR.
    pub prodid: String,
}

/// Properties of a VCALENDAR that are made anew on the way out, and dropped on the way in.
const OURS: [&str; 10] = [
    "VERSION",
    "METHOD",
    "CALSCALE",
    "NAME",
    "X-WR-CALNAME",
    "COLOR",
    "X-APPLE-CALENDAR-COLOR",
    "X-WR-TIMEZONE",
    "REFRESH-INTERVAL",
    "X-PUBLISHED-TTL",
];

/// How much larger than four times a text the files of its items may be in all, in bytes.
const MAX_GROWTH: usize = 64 << 20;

/// Cuts `bytes`, which hold one VCALENDAR or several, into items.
///
/// Components that Mozilla's programs make up for overrides without a master (X-MOZ-FAKED-MASTER) are left out.
///
/// # Errors
/// As [`scan`]; `OverCap` for an item of more than [`MAX_ITEM`] bytes, `TooLarge` for more than all items may take.
pub fn cut(bytes: &[u8]) -> Result<Cut> {
    let objects = scan(bytes)?;
    let prodid = objects.first().map(prodid).unwrap_or_default();
    let mut items: Vec<Item> = grouped(objects).into_iter().map(Group::finish).collect::<Result<_>>()?;
    // Each item takes the zones and the header along into its file: a small text must not become a large tree.
    let room = MAX_GROWTH + 4 * bytes.len();
    let is_too_large = |items: &[Item]| items.iter().map(Item::file_len).sum::<usize>() > room;
    if is_too_large(&items) {
        // What zone data knows is served from there.
        let bare = |item: Item| item.without_definitions(|zone| zone.iana.is_some());
        items = items.into_iter().map(bare).collect();
    }
    if is_too_large(&items) {
        return Err(Error::TooLarge(format!(
            "items that come to more than {room} bytes with the zones they use"
        )));
    }
    Ok(Cut { items, prodid })
}

/// The components by key.
fn grouped(objects: Vec<Object<'_>>) -> Vec<Group<'_>> {
    let mut known = KnownZones::default();
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut by_key: KeyMap<Key, usize> = KeyMap::default();
    for object in objects {
        let header = header(&object);
        let definitions = known.definitions(&object);
        for component in object.components {
            if component.kind == Kind::Timezone || component.faked {
                continue;
            }
            let Component { raw, class, line, .. } = component;
            let part = Part { raw, class, line, zones: known.of(&component, &definitions) };
            let key = Key { uid: component.uid.unwrap_or_default(), kind: component.kind };
            let at = match &*key.uid {
                "" => groups.len(),
                _ => *by_key.entry(key.clone()).or_insert(groups.len()),
            };
            match groups.get_mut(at) {
                Some(group) => group.more.push(part),
                None => groups.push(Group { key, header: header.clone(), first: part, more: Vec::new() }),
            }
        }
    }
    groups
}

fn prodid(object: &Object<'_>) -> String {
    let text: Vec<u8> = object.properties.concat();
    lines(&text)
        .filter_map(|line| Property::parse(&line.text).filter(|p| p.is("PRODID")).map(|p| p.value.to_owned()))
        .next()
        .unwrap_or_default()
}

/// The lines of a VCALENDAR that go with its items.
fn header(object: &Object<'_>) -> Arc<[u8]> {
    let (mut header, mut has_prodid) = (Vec::new(), false);
    for raw in &object.properties {
        let mut is_theirs = true;
        for line in lines(raw) {
            let property = Property::parse(&line.text);
            is_theirs &= property.is_some_and(|p| !OURS.iter().any(|name| p.is(name)));
            has_prodid |= property.is_some_and(|p| p.is("PRODID"));
        }
        if is_theirs {
            header.extend_from_slice(raw);
        }
    }
    if has_prodid {
        return header.into();
    }
    let mut with_ours = Vec::new();
    text::push_line(&mut with_ours, &format!("PRODID:{}", super::PRODID));
    with_ours.extend_from_slice(&header);
    with_ours.into()
}

/// An item in the making: most have one part, and a calendar has many items.
struct Group<'a> {
    key: Key,
    header: Arc<[u8]>,
    first: Part<'a>,
    more: Vec<Part<'a>>,
}

/// A component of an item.
struct Part<'a> {
    raw: &'a [u8],
    class: Class,
    /// The line (from 1) of its BEGIN.
    line: usize,
    zones: Arc<[Zone]>,
}

impl Group<'_> {
    fn finish(self) -> Result<Item> {
        let Group { key, header, first, more } = self;
        let parts = || std::iter::once(&first).chain(&more);
        if parts().map(|part| part.raw.len()).sum::<usize>() > MAX_ITEM {
            return Err(over_cap(first.line, format!("an item of more than {MAX_ITEM} bytes")));
        }
        let class = parts().map(|part| part.class).max().unwrap_or_default();
        let raw: Arc<[u8]> = match more.is_empty() {
            true => first.raw.into(),
            false => parts().map(|part| part.raw).collect::<Vec<_>>().concat().into(),
        };
        Ok(Item::new(key, class, raw, zones_of(&first, &more), header))
    }
}

/// The zones of an item's components, each once.
fn zones_of(first: &Part<'_>, more: &[Part<'_>]) -> Arc<[Zone]> {
    let is_as_first = |part: &Part<'_>| Arc::ptr_eq(&part.zones, &first.zones);
    if more.iter().all(is_as_first) {
        return first.zones.clone();
    }
    let (mut sets, mut places) = (HashSet::new(), HashMap::new());
    let parts = std::iter::once(first).chain(more).filter(|part| sets.insert(part.zones.as_ptr()));
    let mut zones: Vec<Zone> = Vec::new();
    for zone in parts.flat_map(|part| part.zones.iter()) {
        let at = *places.entry(&zone.tzid).or_insert(zones.len());
        match zones.get(at) {
            // Of several VCALENDARs in one body not each has the definition.
            Some(known) if known.definition.is_none() => zones[at] = zone.clone(),
            Some(_) => {}
            None => zones.push(zone.clone()),
        }
    }
    zones.into()
}

#[cfg(test)]
mod tests {
    use super::super::text::Renames;
    use super::*;

    const TWO: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Mozilla//x\r\nX-WR-CALNAME:Gone\r\nX-OTHER:stays\r\n\
        BEGIN:VTIMEZONE\r\nTZID:Nowhere\r\nBEGIN:STANDARD\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n\
        BEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=Nowhere:20260101T100000\r\nEND:VEVENT\r\n\
        BEGIN:VTODO\r\nUID:1\r\nSUMMARY:same UID\r\nEND:VTODO\r\n\
        BEGIN:VEVENT\r\nUID:1\r\nRECURRENCE-ID:20260102T100000\r\nCLASS:PRIVATE\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn an_item_is_all_that_has_its_uid_and_kind_with_its_zones() {
        let cut = cut(TWO.as_bytes()).expect("a good calendar");
        assert_eq!(cut.prodid, "-//Mozilla//x");
        let [event, todo] = cut.items.as_slice() else { panic!("two items") };
        assert_eq!((event.key.kind.name(), todo.key.kind.name()), ("VEVENT", "VTODO"));
        assert_ne!(event.key.file_stem(), todo.key.file_stem());
        assert_eq!(event.class, Class::Private);
        let file = String::from_utf8(event.to_file()).expect("text");
        assert_eq!(
            file,
            TWO.replace("X-WR-CALNAME:Gone\r\n", "")
                .replace("BEGIN:VTODO\r\nUID:1\r\nSUMMARY:same UID\r\nEND:VTODO\r\n", "")
        );
        assert!(todo.zones.is_empty());
    }

    #[test]
    fn a_zone_goes_with_its_item_however_its_name_is_escaped() {
        for tzid in ["Here, there", "\"Here, there\"", "Here\\, there"] {
            let text =
                TWO.replace("TZID:Nowhere", "TZID:Here\\, there").replace("=Nowhere", &format!("={tzid}"));
            let before = &cut(text.as_bytes()).expect("a good calendar").items[0];
            assert!(before.zones[0].definition.is_some(), "{tzid}");
            let renames = Renames::from([(&*before.zones[0].tzid, "Nowhere")]);
            let after = before.clone().with_zones_renamed(&renames);
            assert_eq!(after.to_file(), cut(TWO.as_bytes()).expect("a good calendar").items[0].to_file());
        }
    }

    #[test]
    fn a_zone_that_is_defined_in_a_later_calendar_is_defined() {
        let master = "BEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=Nowhere:20260101T100000\r\nEND:VEVENT\r\n";
        let text = format!("BEGIN:VCALENDAR\r\n{master}END:VCALENDAR\r\n{TWO}");
        let cut = cut(text.as_bytes()).expect("a good calendar");
        assert_eq!(cut.items[0].zones.len(), 1);
        assert!(cut.items[0].zones[0].definition.is_some());
    }

    #[test]
    fn a_file_cut_again_is_the_same_item() {
        let before = &cut(TWO.as_bytes()).expect("a good calendar").items[0];
        let after = &cut(&before.to_file()).expect("a good calendar").items[0];
        assert_eq!(before.to_file(), after.to_file());
        assert_eq!(before.look(), after.look());
    }

    #[test]
    fn a_faked_master_is_left_out() {
        let faked = "BEGIN:VEVENT\r\nUID:1\r\nX-MOZ-FAKED-MASTER:1\r\nEND:VEVENT\r\n";
        let text = format!("BEGIN:VCALENDAR\r\n{faked}END:VCALENDAR\r\n");
        assert!(cut(text.as_bytes()).expect("a good calendar").items.is_empty());
    }
}
