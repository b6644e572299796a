//! A whole calendar as one VCALENDAR: the properties around the items, each zone once, the items' bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::item::Item;
use super::line::{Property, lines};
use super::meaning::Hash;
use super::text::{Renames, as_it_is, escape, push_line, rename_zones};
use super::zone::{Definition, Zone};
use super::{PRODID, value, vtimezone};

/// What a calendar says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heading {
    pub name: String,
    /// `#RRGGBB`.
    pub color: Option<String>,
    /// An IANA zone.
    pub time_zone: Option<String>,
}

/// What was done to a calendar's items on the way out.
#[derive(Debug)]
pub struct Whole {
    /// From the TZIDs that were made up to tell two definitions apart to what the items' files call them.
    pub made_up: HashMap<String, String>,
    /// From the TZIDs that some items only name, and others define, to what the definition means under which they meet.
    pub lent: HashMap<String, Hash>,
}

/// Puts items together and hands out the text piece by piece; two custom definitions under one TZID are told apart by
/// `<TZID> (2)`.
pub fn whole<'a>(
    heading: &Heading,
    items: impl Iterator<Item = &'a Item> + Clone,
    mut push: impl FnMut(&[u8]),
) -> Whole {
    let mut head = b"BEGIN:VCALENDAR\r\n".to_vec();
    push_heading(&mut head, heading);
    push_unknown(&mut head, items.clone());
    let zones = Served::collect(items.clone());
    zones.push(&mut head);
    push(&head);
    for item in items {
        match zones.renames(item) {
            renames if renames.is_empty() => push(&item.raw),
            renames => push(&rename_zones(&item.raw, &renames)),
        }
    }
    push(b"END:VCALENDAR\r\n");
    Whole { made_up: zones.made_up(), lent: zones.lent() }
}

fn push_heading(text: &mut Vec<u8>, heading: &Heading) {
    let mut push = |line: &str| push_line(text, line);
    let name = escape(&heading.name);
    push("VERSION:2.0");
    push(&format!("PRODID:{PRODID}"));
    push("CALSCALE:GREGORIAN");
    push(&format!("NAME:{name}"));
    push(&format!("X-WR-CALNAME:{name}"));
    if let Some(color) = &heading.color {
        if let Some(css) = css_name(color) {
            push(&format!("COLOR:{css}"));
        }
        push(&format!("X-APPLE-CALENDAR-COLOR:{color}"));
    }
    if let Some(zone) = &heading.time_zone {
        push(&format!("X-WR-TIMEZONE:{}", escape(zone)));
    }
    push("REFRESH-INTERVAL;VALUE=DURATION:PT1H");
    push("X-PUBLISHED-TTL:PT1H");
}

/// The properties of items' VCALENDARs that nobody knows: for each name, the lines of the first item that has it, each once. Who
/// saves what was served sends them back with each new item: they must not become more.
fn push_unknown<'a>(text: &mut Vec<u8>, items: impl Iterator<Item = &'a Item>) {
    let (mut first, mut pushed) = (HashMap::new(), HashSet::new());
    let mut last: Option<&Arc<[u8]>> = None;
    for (ordinal, item) in items.enumerate() {
        if last.is_some_and(|last| last == &item.header) {
            continue;
        }
        last = Some(&item.header);
        for line in lines(&item.header) {
            let Some(property) = Property::parse(&line.text).filter(|property| !property.is("PRODID")) else {
                continue;
            };
            let first = *first.entry(property.name.to_ascii_uppercase()).or_insert(ordinal);
            if first == ordinal && pushed.insert(line.text.to_string()) {
                push_line(text, &line.text);
            }
        }
    }
}

/// The nearest of the basic CSS colours to `#RRGGBB`: COLOR takes names only (RFC 7986 §5.9).
fn css_name(color: &str) -> Option<&'static str> {
    const NAMES: [(&str, [i32; 3]); 17] = [
        ("black", [0, 0, 0]),
        ("silver", [192, 192, 192]),
        ("gray", [128, 128, 128]),
        ("white", [255, 255, 255]),
        ("maroon", [128, 0, 0]),
        ("red", [255, 0, 0]),
        ("purple", [128, 0, 128]),
        ("fuchsia", [255, 0, 255]),
        ("green", [0, 128, 0]),
        ("lime", [0, 255, 0]),
        ("olive", [128, 128, 0]),
        ("yellow", [255, 255, 0]),
        ("navy", [0, 0, 128]),
        ("blue", [0, 0, 255]),
        ("teal", [0, 128, 128]),
        ("aqua", [0, 255, 255]),
        ("orange", [255, 165, 0]),
    ];
    let part = |at: usize| i32::from_str_radix(color.get(at..at + 2)?, 16).ok();
    let wanted = [part(1)?, part(3)?, part(5)?];
    let distance =
        |rgb: &[i32; 3]| wanted.iter().zip(rgb).map(|(one, other)| (one - other).pow(2)).sum::<i32>();
    NAMES.iter().min_by_key(|(_, rgb)| distance(rgb)).map(|(name, _)| *name)
}

/// The zones of a calendar as they are served.
#[derive(Default)]
pub struct Served<'a> {
    /// From TZID to how the definition of the IANA zone it leads to spells it, and that zone.
    iana: BTreeMap<&'a str, (String, &'a str)>,
    /// From TZID to its definitions that differ, in the order in which they came.
    custom: BTreeMap<&'a str, Vec<&'a Arc<Definition>>>,
    /// The TZIDs that an item names without defining them.
    undefined: BTreeSet<&'a str>,
    /// The name under which each definition is served.
    names: HashMap<(&'a str, Hash), String>,
    /// Whether any of them is not its TZID.
    tells_apart: bool,
}

impl<'a> Served<'a> {
    pub fn collect(items: impl Iterator<Item = &'a Item>) -> Served<'a> {
        let mut served = Served::default();
        let mut last: Option<&Arc<[Zone]>> = None;
        for item in items {
            // Most items name the same zones as the one before.
            if item.zones.is_empty() || last.is_some_and(|last| Arc::ptr_eq(last, &item.zones)) {
                continue;
            }
            last = Some(&item.zones);
            served.spell(item);
            item.zones.iter().for_each(|zone| served.add(zone));
        }
        served.name_apart();
        served
    }

    /// Adds the IANA zones that no item before has named. One look at the lines for all: an item may name thousands.
    fn spell(&mut self, item: &'a Item) {
        let new = |zone: &Zone| zone.iana.is_some() && !self.iana.contains_key(&*zone.tzid);
        if !item.zones.iter().any(new) {
            return;
        }
        let mut spellings = spellings(item);
        for zone in item.zones.iter() {
            let Some(iana) = &zone.iana else { continue };
            self.iana.entry(&zone.tzid).or_insert_with(|| {
                let spelling = spellings.remove(&*zone.tzid);
                (spelling.unwrap_or_else(|| as_it_is(&zone.tzid).into_owned()), iana)
            });
        }
    }

    fn add(&mut self, zone: &'a Zone) {
        match (&zone.iana, &zone.definition) {
            // Named by `spell`.
            (Some(_), _) => {}
            (None, Some(definition)) => {
                let name = (&*zone.tzid, definition.meaning);
                if self.names.insert(name, zone.tzid.to_string()).is_none() {
                    self.custom.entry(&zone.tzid).or_default().push(definition);
                }
            }
            (None, None) => {
                self.undefined.insert(&zone.tzid);
            }
        }
    }

    /// Finds a free name for each definition beyond the first of its TZID, and for that too where others mean the IANA zone.
    fn name_apart(&mut self) {
        let named = self.custom.keys().chain(&self.undefined).chain(self.iana.keys());
        let mut taken: HashSet<String> = named.map(|tzid| (*tzid).to_owned()).collect();
        for (tzid, definitions) in &self.custom {
            let mut free = (2..).map(|ordinal| format!("{tzid} ({ordinal})"));
            for definition in definitions.iter().skip(usize::from(!self.iana.contains_key(tzid))) {
                let name = free.find(|name| taken.insert(name.clone())).unwrap_or_default();
                self.names.insert((tzid, definition.meaning), name);
                self.tells_apart = true;
            }
        }
    }

    fn push(&self, text: &mut Vec<u8>) {
        for (tzid, iana) in self.iana.values() {
            if let Some(definition) = vtimezone::definition(tzid, iana) {
                text.extend_from_slice(definition.as_bytes());
            }
        }
        for (tzid, definitions) in &self.custom {
            for definition in definitions {
                let raw = super::text::served(&definition.raw);
                match self.names.get(&(*tzid, definition.meaning)).filter(|name| name != tzid) {
                    None => text.extend_from_slice(&raw),
                    Some(name) => {
                        text.extend_from_slice(&rename_zones(&raw, &Renames::from([(*tzid, name.as_str())])))
                    }
                }
            }
        }
    }

    /// Which zones of an item are served under another name.
    fn renames<'s>(&'s self, item: &'s Item) -> Renames<'s> {
        if !self.tells_apart {
            return Renames::new();
        }
        let served_as = |zone: &'s Zone| {
            let definition = zone.definition.as_ref().filter(|_| zone.iana.is_none())?;
            let name = self.names.get(&(&*zone.tzid, definition.meaning))?;
            (**name != *zone.tzid).then_some((&*zone.tzid, name.as_str()))
        };
        item.zones.iter().filter_map(served_as).collect()
    }

    /// An item as it is read out of the whole calendar, if that is not what it is alone.
    pub fn read_back(&self, item: &Item) -> Option<Item> {
        let renames = self.renames(item);
        let lent = |tzid: &str| Some((*self.custom.get(tzid)?.first()?).clone());
        let borrows = |zone: &Zone| zone.is_undefined() && lent(&zone.tzid).is_some();
        match renames.is_empty() && !item.zones.iter().any(borrows) {
            true => None,
            // What it borrows comes under its own name.
            false => Some(item.clone().with_zones_renamed(&renames).with_definitions(lent)),
        }
    }

    fn made_up(&self) -> HashMap<String, String> {
        let apart = self.names.iter().filter(|((tzid, _), name)| name != tzid);
        apart.map(|((tzid, _), name)| (name.clone(), (*tzid).to_owned())).collect()
    }

    fn lent(&self) -> HashMap<String, Hash> {
        let lent = |tzid: &&str| Some(((*tzid).to_owned(), self.custom.get(tzid)?.first()?.meaning));
        self.undefined.iter().filter_map(lent).collect()
    }
}

/// The names of zones as the parameters of an item have them: many programs compare the TZID property with the parameter as both
/// stand.
fn spellings(item: &Item) -> HashMap<String, String> {
    let mut spellings = HashMap::new();
    for line in lines(&item.raw) {
        if let Some(spelling) = Property::parse(&line.text).and_then(|property| property.param("TZID")) {
            spellings.entry(value::tzid(spelling).to_string()).or_insert_with(|| spelling.to_owned());
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::super::cut::cut;
    use super::*;

    fn items(texts: &[&str]) -> Vec<Item> {
        let cut = |text: &&str| {
            cut(format!("BEGIN:VCALENDAR\r\n{text}END:VCALENDAR\r\n").as_bytes()).expect("good").items
        };
        texts.iter().flat_map(cut).collect()
    }

    fn zoned(uid: &str, tzid: &str, offset: &str) -> String {
        format!(
            "BEGIN:VTIMEZONE\r\nTZID:{tzid}\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:{offset}\r\nTZOFFSETTO:{offset}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n\
             BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTART;TZID={tzid}:20260101T100000\r\nEND:VEVENT\r\n"
        )
    }

    fn text(heading: &Heading, items: &[Item]) -> String {
        let mut text = Vec::new();
        whole(heading, items.iter(), |piece| text.extend_from_slice(piece));
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn an_empty_calendar_is_a_calendar_with_its_properties() {
        let heading = Heading {
            name: "Work, home".to_owned(),
            color: Some("#fe0102".to_owned()),
            time_zone: Some("Europe/Berlin".to_owned()),
        };
        let expected = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:{PRODID}\r\nCALSCALE:GREGORIAN\r\nNAME:Work\\, home\r\nX-WR-CALNAME:Work\\, home\r\n\
             COLOR:red\r\nX-APPLE-CALENDAR-COLOR:#fe0102\r\nX-WR-TIMEZONE:Europe/Berlin\r\nREFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n\
             X-PUBLISHED-TTL:PT1H\r\nEND:VCALENDAR\r\n"
        );
        assert_eq!(text(&heading, &[]), expected);
    }

    #[test]
    fn a_zone_is_defined_once_and_an_iana_zone_from_zone_data() {
        let items = items(&[
            &zoned("1", "Europe/Berlin", "+0500"),
            &zoned("2", "Europe/Berlin", "+0600"),
            &zoned("3", "Nowhere", "+0700"),
        ]);
        let text = text(&Heading::default(), &items);
        assert_eq!(text.matches("TZID:Europe/Berlin\r\n").count(), 1);
        assert_eq!(text.matches("TZID:Nowhere\r\n").count(), 1);
        assert!(text.contains("TZOFFSETTO:+0200") && !text.contains("+0500") && text.contains("+0700"));
    }

    #[test]
    fn the_definition_of_an_iana_zone_is_under_the_name_as_it_is_spelled() {
        for name in ["(UTC+01:00) Amsterdam\\, Berlin", "(UTC+01:00) Amsterdam, Berlin"] {
            let event =
                format!("BEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=\"{name}\":20260101T100000\r\nEND:VEVENT\r\n");
            let text = text(&Heading::default(), &items(&[&event]));
            assert!(text.contains(&format!("TZID:{name}\r\n")), "{text}");
            assert!(
                text.contains(&format!("TZID=\"{name}\":")) && text.contains("TZOFFSETTO:+0200"),
                "{text}"
            );
        }
    }

    #[test]
    fn two_definitions_under_one_name_are_told_apart_and_back() {
        let items = items(&[
            &zoned("1", "Nowhere", "+0100"),
            &zoned("2", "Nowhere", "+0200"),
            &zoned("3", "Nowhere", "+0100"),
        ]);
        let whole = whole(&Heading::default(), items.iter(), |_| {});
        let text = text(&Heading::default(), &items);
        assert_eq!(text.matches("TZID:Nowhere\r\n").count(), 1);
        assert_eq!(text.matches("TZID:Nowhere (2)\r\n").count(), 1);
        assert!(
            text.contains("UID:2\r\nDTSTART;TZID=Nowhere (2):")
                && text.contains("UID:3\r\nDTSTART;TZID=Nowhere:")
        );
        assert_eq!(whole.made_up, HashMap::from([("Nowhere (2)".to_owned(), "Nowhere".to_owned())]));
        let zones = Served::collect(items.iter());
        for (item, read) in items.iter().zip(cut(text.as_bytes()).expect("good").items) {
            let expected = zones.read_back(item);
            assert_eq!(expected.is_some(), &*item.key.uid == "2");
            assert_eq!(read.look().meaning, expected.as_ref().unwrap_or(item).look().meaning);
        }
        let back: Vec<Item> = cut(text.as_bytes())
            .expect("good")
            .items
            .into_iter()
            .map(|item| item.with_zones_renamed(&Renames::from([("Nowhere (2)", "Nowhere")])))
            .collect();
        for (before, after) in items.iter().zip(&back) {
            assert_eq!(before.look().meaning, after.look().meaning);
        }
    }

    #[test]
    fn an_offset_defined_with_summer_time_is_served_so_beside_one_without() {
        let summer = "BEGIN:DAYLIGHT\r\nTZOFFSETTO:-0400\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\n";
        let [mine, theirs] = ["1", "2"].map(|uid| zoned(uid, "EST", "-0500"));
        let mine = mine.replace("END:VTIMEZONE\r\n", summer);
        let alone = text(&Heading::default(), &items(&[&mine]));
        assert!(alone.contains("TZID:EST\r\n") && alone.contains("BEGIN:DAYLIGHT"), "{alone}");
        let both = items(&[&mine, &theirs]);
        assert_ne!(both[0].look().meaning, items(&[&mine.replace("-0400", "-0300")])[0].look().meaning);
        let text = text(&Heading::default(), &both);
        assert_eq!(text.matches("TZID:EST\r\n").count(), 1, "{text}");
        let of_first = text.contains("UID:1\r\nDTSTART;TZID=EST (2):");
        assert!(of_first && text.contains("UID:2\r\nDTSTART;TZID=EST:"), "{text}");
        for (item, read) in both.iter().zip(cut(text.as_bytes()).expect("good").items) {
            let back = read.with_zones_renamed(&Renames::from([("EST (2)", "EST")]));
            assert_eq!(back.look().meaning, item.look().meaning);
        }
    }

    #[test]
    fn what_nobody_knows_of_a_calendar_is_served_once() {
        let items = items(&[
            "X-A:1\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:2\r\nEND:VEVENT\r\n",
            "X-A:2\r\nX-B:3\r\nBEGIN:VEVENT\r\nUID:3\r\nEND:VEVENT\r\n",
        ]);
        let text = text(&Heading::default(), &items);
        assert!(text.contains("X-A:1\r\n") && !text.contains("X-A:2") && text.contains("X-B:3\r\n"));
        assert_eq!(text.matches("X-A").count(), 1);
    }

    #[test]
    fn what_nobody_knows_of_a_calendar_neither_grows_nor_depends_on_who_reads() {
        let own = "X-A:1\r\nX-A:2\r\nX-B:1\r\nX-B:1\r\n";
        let event = |uid: usize| format!("BEGIN:VEVENT\r\nUID:{uid}\r\nEND:VEVENT\r\n");
        let saved: Vec<Item> =
            items(&[&format!("{own}{}{}", event(1), event(2)), &format!("X-C:1\r\n{}", event(3))]);
        // As two programs leave them that save in turn.
        let saved = [saved[0].clone(), saved[2].clone(), saved[1].clone()];
        let read_again = saved.each_ref().map(|item| cut(&item.to_file()).expect("good").items.remove(0));
        for items in [saved, read_again] {
            let text = text(&Heading::default(), &items);
            let unknown: Vec<&str> =
                text.lines().filter(|line| line.starts_with("X-") && line.len() < 8).collect();
            assert_eq!(unknown, ["X-A:1", "X-A:2", "X-B:1", "X-C:1"]);
        }
    }

    #[test]
    fn a_zone_is_one_however_its_name_is_spelled() {
        for (param, property) in [
            ("A\\, B", "A\\, B"),
            ("\"A, B\"", "A\\, B"),
            ("A, B", "A, B"),
            ("\"a:b\"", "a:b"),
            ("Ba\\ck", "Ba\\\\ck"),
            ("Ba\\ck", "Ba\\ck"),
            ("Ba\\\\ck", "Ba\\\\ck"),
            ("A\\\\\\, B", "A\\\\\\, B"),
        ] {
            let spelled = |uid: &str, param: &str, offset: &str| {
                zoned(uid, property, offset).replace(&format!("TZID={property}:"), &format!("TZID={param}:"))
            };
            let before = items(&[
                &spelled("1", param, "+0100"),
                &spelled("2", param, "+0500"),
                &spelled("3", &property.replace("a:b", "\"a:b\""), "+0500"),
            ]);
            let whole = whole(&Heading::default(), before.iter(), |_| {});
            let text = text(&Heading::default(), &before);
            assert_eq!(text.matches("BEGIN:VTIMEZONE").count(), 2, "{text}");
            let back: Renames<'_> = whole.made_up.iter().map(|(from, to)| (&**from, &**to)).collect();
            for (before, read) in before.iter().zip(cut(text.as_bytes()).expect("good").items) {
                let after = read.with_zones_renamed(&back);
                assert_eq!((after.zones.len(), after.zones[0].is_undefined()), (1, false), "{text}");
                assert_eq!(after.look(), before.look(), "{param} {property}: {text}");
                let again = cut(&after.to_file()).expect("good").items.remove(0);
                assert_eq!(again.look(), before.look(), "{param} {property}: {text}");
            }
        }
    }
}
