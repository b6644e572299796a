//! Items: what one is, how it compares, and the file of its own that it is put into. Raw bytes are moved, never rewritten.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::line::{Line, Property, lines, logical_len};
use super::mask;
use super::meaning::{self, Hash, Look};
use super::scan::{Class, Kind};
use super::text::{self, Renames};
use super::zone::{Definition, Zone};

/// A map by keys: they are long, and whole calendars are put into such maps at each save.
pub type KeyMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What makes an item the same one: its UID and the kind of its components.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub uid: Arc<str>,
    pub kind: Kind,
}

/// What the file of an item may be called: of these names the first that is free.
pub fn file_names(stem: &str) -> impl Iterator<Item = String> {
    let others = (2_u32..).map(move |ordinal| format!("{stem}-{ordinal}.ics"));
    std::iter::once(format!("{stem}.ics")).chain(others)
}

/// A key's hash: what stands for it where keys would take too much room.
pub type KeyId = [u8; 16];

impl Key {
    /// A name for an item's file, that says nothing and no two keys share.
    pub fn file_stem(&self) -> String {
        self.hash().to_hex()[..24].to_owned()
    }

    pub fn id(&self) -> KeyId {
        let mut half = [0; 16];
        half.copy_from_slice(&self.hash().as_bytes()[..16]);
        half
    }

    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.kind.name().as_bytes()).update(&[0]).update(self.uid.as_bytes());
        hasher.finalize()
    }
}

/// Everything of one calendar that is one key's.
#[derive(Debug, Clone)]
pub struct Item {
    pub key: Key,
    pub class: Class,
    /// Its components one after another, as they were written.
    pub raw: Arc<[u8]>,
    pub zones: Arc<[Zone]>,
    /// What stood in the VCALENDAR around it and is neither ours nor for us: PRODID and what nobody knows, as raw lines.
    /// Where none stood, the PRODID is ours: a calendar must have one.
    pub header: Arc<[u8]>,
    look: OnceLock<Look>,
    /// How it looked when it was sent, where its zones were changed since.
    sent_look: Option<Box<Look>>,
}

impl Item {
    pub(super) fn new(key: Key, class: Class, raw: Arc<[u8]>, zones: Arc<[Zone]>, header: Arc<[u8]>) -> Item {
        Item { key, class, raw, zones, header, look: OnceLock::new(), sent_look: None }
    }

    /// How the item compares; worked out when first asked for.
    pub fn look(&self) -> &Look {
        self.look.get_or_init(|| {
            let custom = self.zones.iter().filter(|zone| zone.iana.is_none());
            let zones: Vec<Hash> =
                custom.filter_map(|zone| Some(zone.definition.as_ref()?.meaning)).collect();
            meaning::look(&self.raw, &zones)
        })
    }

    /// How it looked when it was sent, if [`Item::sent_as`] tells.
    pub fn sent_look(&self) -> Option<&Look> {
        self.sent_look.as_deref()
    }

    /// How it looked when it was sent.
    pub fn look_as_sent(&self) -> &Look {
        self.sent_look().unwrap_or_else(|| self.look())
    }

    /// This item, which came as `sent`: that is what the client's copy looks like.
    pub fn sent_as(self, sent: &Item) -> Item {
        Item { sent_look: Some(Box::new(*sent.look_as_sent())), ..self }
    }

    /// Whether the other has the same bytes and its zones are defined alike, so that there is no need to look at both.
    pub fn is_written_as(&self, other: &Item) -> bool {
        self.raw == other.raw && self.custom_zones().eq(other.custom_zones())
    }

    /// Whether the other is served with the same bytes, but for DTSTAMP, which some programs write anew each time.
    pub fn is_served_as_but_for_dtstamp(&self, other: &Item) -> bool {
        fn lasting(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
            let is_stamp = |line: &Line<'_>| Property::parse(&line.text).is_some_and(|p| p.is("DTSTAMP"));
            lines(raw).filter(move |line| !is_stamp(line)).map(|line| line.raw)
        }
        let [one, another] = [self, other].map(|item| text::served(&item.raw));
        lasting(&one).eq(lasting(&another)) && self.custom_zones().eq(other.custom_zones())
    }

    /// The TZIDs that only a definition tells of, each with what that means.
    fn custom_zones(&self) -> impl Iterator<Item = (&str, Option<Hash>)> {
        let custom = self.zones.iter().filter(|zone| zone.iana.is_none());
        custom.map(|zone| (&*zone.tzid, zone.definition.as_ref().map(|definition| definition.meaning)))
    }

    /// The item with definitions of zones that it only names.
    pub fn with_definitions(mut self, of: impl Fn(&str) -> Option<Arc<Definition>>) -> Item {
        let defined = |zone: &Zone| match zone.is_undefined() {
            true => Zone::new(&zone.tzid, of(&zone.tzid)),
            false => zone.clone(),
        };
        self.zones = self.zones.iter().map(defined).collect();
        self.look = OnceLock::new();
        self
    }

    /// The item without its definitions of those zones.
    pub fn without_definitions(mut self, of: impl Fn(&Zone) -> bool) -> Item {
        let bare = |zone: &Zone| Zone::new(&zone.tzid, None);
        self.zones = self.zones.iter().map(|zone| if of(zone) { bare(zone) } else { zone.clone() }).collect();
        self.look = OnceLock::new();
        self
    }

    /// The item as it is shown to whoever may not see it: a busy block, and nothing of what was around it but its zones' rules.
    pub fn busy(&self) -> Item {
        Item {
            raw: mask::busy_block(&self.raw).into(),
            header: Arc::new([]),
            zones: self.zones.iter().map(Zone::bare).collect(),
            look: OnceLock::new(),
            ..self.clone()
        }
    }

    /// Whether it looks like such a block, or like one that somebody edited.
    pub fn is_busy_block(&self) -> bool {
        self.class == Class::Confidential && text::summary(&self.raw) == mask::SUMMARY
    }

    /// The item with a UID in each of its components, which have none.
    pub fn with_uid(mut self, uid: &str) -> Item {
        // The item is one component: those without a UID are never put together.
        let begin = logical_len(&self.raw).map_or(0, |(len, _)| len);
        let mut raw = self.raw[..begin].to_vec();
        text::push_line(&mut raw, &format!("UID:{uid}"));
        raw.extend_from_slice(&self.raw[begin..]);
        self.raw = raw.into();
        self.key.uid = uid.into();
        self.look = OnceLock::new();
        self
    }

    /// The item as it is to be served, see [`text::served`].
    pub fn served(item: Arc<Item>) -> Arc<Item> {
        match text::served(&item.raw) {
            Cow::Borrowed(_) => item.clone(),
            Cow::Owned(served) => Arc::new(Item { raw: served.into(), ..(*item).clone() }),
        }
    }

    /// The item with other names for its zones.
    pub fn with_zones_renamed(mut self, renames: &Renames<'_>) -> Item {
        self.raw = text::rename_zones(&self.raw, renames).into();
        self.zones = self
            .zones
            .iter()
            .map(|zone| match renames.get(&*zone.tzid) {
                Some(to) => {
                    let renamed = |known: &Arc<Definition>| Arc::new(known.renamed(&zone.tzid, to));
                    Zone::new(to, zone.definition.as_ref().map(renamed))
                }
                None => zone.clone(),
            })
            .collect();
        self.look = OnceLock::new();
        self
    }

    /// About how many bytes the item's file has.
    pub fn file_len(&self) -> usize {
        let definitions = self.zones.iter().filter_map(|zone| zone.definition.as_ref());
        self.raw.len() + self.header.len() + definitions.map(|definition| definition.raw.len()).sum::<usize>()
    }

    /// The bytes of the item's file: a VCALENDAR with the item and the VTIMEZONEs that came with it.
    pub fn to_file(&self) -> Vec<u8> {
        self.file_parts().concat()
    }

    /// As [`Item::to_file`], in parts and without a copy.
    pub fn file_parts(&self) -> Vec<&[u8]> {
        let definitions = self.zones.iter().filter_map(|zone| zone.definition.as_ref());
        let mut parts: Vec<&[u8]> = vec![b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", &self.header];
        parts.extend(definitions.map(|definition| &*definition.raw));
        parts.extend([&*self.raw, b"END:VCALENDAR\r\n"]);
        parts
    }
}

/// Gives each item without a UID one: a hash of its meaning and its ordinal among equals, so that the same upload
/// gives the same UIDs. One that another item of the upload has already, as it was served once, is passed over.
pub fn assign_uids(items: Vec<Item>) -> Vec<Item> {
    if items.iter().all(|item| !item.key.uid.is_empty()) {
        return items;
    }
    let given: HashSet<Arc<str>> = items.iter().map(|item| item.key.uid.clone()).collect();
    let mut seen: HashMap<Hash, usize> = HashMap::new();
    items
        .into_iter()
        .map(|item| {
            if !item.key.uid.is_empty() {
                return item;
            }
            let meaning = item.look().meaning;
            let next = seen.entry(meaning).or_insert(0);
            let mut uid = derived_uid(&meaning, *next);
            while given.contains(&*uid) {
                *next += 1;
                uid = derived_uid(&meaning, *next);
            }
            *next += 1;
            item.with_uid(&uid)
        })
        .collect()
}

/// A UID that is the same for the same origin.
pub fn derived_uid(origin: &[u8], ordinal: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(origin).update(&ordinal.to_le_bytes());
    format!("kalends-{}", &hasher.finalize().to_hex()[..32])
}

#[cfg(test)]
mod tests {
    use super::super::cut::cut;
    use super::*;

    fn one(text: &str) -> Vec<Item> {
        cut(format!("BEGIN:VCALENDAR\r\n{text}END:VCALENDAR\r\n").as_bytes()).expect("a good calendar").items
    }

    #[test]
    fn items_without_a_uid_get_the_same_one_each_time() {
        let text = "BEGIN:VEVENT\r\nSUMMARY:a\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:a\r\nEND:VEVENT\r\n";
        let first = assign_uids(one(text));
        let again = assign_uids(one(text));
        assert_eq!(first.len(), 2);
        assert_ne!(first[0].key, first[1].key);
        assert_eq!(
            first.iter().map(|item| &item.key).collect::<Vec<_>>(),
            again.iter().map(|item| &item.key).collect::<Vec<_>>()
        );
        assert_eq!(one(&String::from_utf8_lossy(&first[0].raw))[0].key, first[0].key);
    }

    #[test]
    fn a_uid_that_another_item_has_already_is_passed_over() {
        let bare = "BEGIN:VEVENT\r\nSUMMARY:a\r\nEND:VEVENT\r\n";
        let twice = assign_uids(one(&bare.repeat(2)));
        let named = String::from_utf8_lossy(&twice[0].raw).into_owned();
        let keys = |items: Vec<Item>| items.into_iter().map(|item| item.key).collect::<Vec<_>>();
        assert_eq!(
            keys(assign_uids(one(&format!("{bare}{named}")))),
            [twice[1].key.clone(), twice[0].key.clone()]
        );
    }

    #[test]
    fn a_uid_goes_behind_a_begin_line_that_is_folded() {
        let item = assign_uids(one("BEGIN:VEV\r\n ENT\r\nSUMMARY:a\r\nEND:VEVENT\r\n")).remove(0);
        let text = String::from_utf8_lossy(&item.raw).into_owned();
        assert!(text.starts_with("BEGIN:VEV\r\n ENT\r\nUID:kalends-"), "{text}");
        assert_eq!(cut(&item.to_file()).expect("a good calendar").items[0].key, item.key);
    }

    #[test]
    fn a_custom_zone_counts_and_an_iana_zone_does_not() {
        let with = |tzid: &str, offset: &str| {
            one(&format!(
                "BEGIN:VTIMEZONE\r\nTZID:{tzid}\r\nBEGIN:STANDARD\r\nTZOFFSETTO:{offset}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n\
                 BEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID={tzid}:20260101T100000\r\nEND:VEVENT\r\n"
            ))
            .remove(0)
        };
        assert_ne!(with("Nowhere", "+0100").look().meaning, with("Nowhere", "+0200").look().meaning);
        assert_eq!(
            with("Europe/Berlin", "+0100").look().meaning,
            with("Europe/Berlin", "+0200").look().meaning
        );
        let renamed =
            with("Nowhere (2)", "+0100").with_zones_renamed(&Renames::from([("Nowhere (2)", "Nowhere")]));
        assert_eq!(renamed.look().meaning, with("Nowhere", "+0100").look().meaning);
    }
}
