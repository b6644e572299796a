//! The items of the model, as programs write them.

use std::collections::{BTreeMap, HashMap};

use super::machine::Kind;
use crate::ical::cut::cut;
use crate::ical::item::Item;
use crate::store::views::view::{BLOCK, Known, View};

/// One state of one item: the item, the number of the edit that made it, and the machine that it was made at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub uid: u8,
    pub edit: u32,
    pub by: usize,
}

/// The item that Thunderbird leaves out of its copies without a word.
pub const NOT_LOADED: u8 = 4;

/// How a version is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    Plain,
    /// By Thunderbird or KDE, which drop what they do not know.
    Rewritten,
    /// As those see it who may not.
    Busy,
    /// What was sent so when the item was gone, and is all that there is of it by now.
    Bare,
}

pub type Text = (Version, Form);
pub type Texts = BTreeMap<u8, Text>;

/// Items as they are written, made once.
#[derive(Default)]
pub struct Press {
    stamped: bool,
    items: std::cell::RefCell<HashMap<Text, Item>>,
}

impl Press {
    pub fn new(stamped: bool) -> Press {
        Press { stamped, ..Press::default() }
    }

    /// Whether a program of this kind drops what it does not know.
    pub fn rewrites(&self, kind: Kind) -> bool {
        match kind {
            Kind::Thunderbird => true,
            // Of what has no stamp, only the meaning tells whether it was edited.
            Kind::Kde => self.stamped,
            Kind::OneWay | Kind::Script => false,
        }
    }

    pub fn item(&self, text: &Text) -> Item {
        let mut items = self.items.borrow_mut();
        items.entry(*text).or_insert_with(|| self.print(text)).clone()
    }

    fn print(&self, (version, form): &Text) -> Item {
        let Version { uid, edit, .. } = version;
        let stamps = match self.stamped {
            true => format!("DTSTAMP:20260101T{edit:06}Z\r\nLAST-MODIFIED:20260101T{edit:06}Z\r\n"),
            false => String::new(),
        };
        let body = match form {
            Form::Plain => format!("{stamps}SUMMARY;LANGUAGE=de:{edit}\r\nX-LOST:1\r\n"),
            Form::Rewritten => format!("SUMMARY:{edit}\r\n{stamps}"),
            Form::Busy | Form::Bare => "SUMMARY:Busy\r\n".to_owned(),
        };
        let start = if *uid == NOT_LOADED { "" } else { "DTSTART:20260101T100000Z\r\n" };
        let text = format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:{uid}\r\n{start}{body}END:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        let item = cut(text.as_bytes()).expect("a good calendar").items.remove(0);
        item.look();
        item
    }

    pub fn view(&self, texts: &Texts) -> View {
        View::new(texts.values().map(|text| {
            let (item, known) = (self.item(text), Known::of(self.item(text).look()));
            let ours = if text.1 == Form::Busy { BLOCK } else { known.ours };
            (item.key.id(), Known { ours, ..known })
        }))
    }
}
