//! What a save is compared with: what its client had, and what is here, as the asker sees it. Pure.

use crate::ical::item::{Item, Key};
use crate::store::views::parents::Parents;
use crate::store::views::view::{Known, View};

/// What the client's copy is compared with.
#[derive(Debug)]
pub enum Base<'a> {
    /// Nothing is known of what the client had: what differs is decided by age, and nothing is removed.
    None,
    /// The client has seen all that is here.
    Here,
    View(&'a View),
    /// One of several that the client may have had.
    Copies(&'a Parents),
    /// The client wants what it sent, whatever was here.
    Replace,
}

impl Base<'_> {
    /// Whether the client had nothing but what this says.
    pub fn is_known(&self) -> bool {
        match self {
            Base::None => false,
            Base::Here | Base::View(_) | Base::Replace => true,
            Base::Copies(parents) => parents.are_known() && !parents.lapsed,
        }
    }

    /// What the client had under a key, as far as Views tell.
    pub fn known(&self, key: &Key) -> Option<Known> {
        match self {
            Base::None | Base::Here | Base::Replace => None,
            Base::View(view) => view.get(&key.id()),
            Base::Copies(parents) => parents.newest(&key.id()),
        }
    }

    /// As [`Base::known`], in each copy that the client may have had.
    pub fn copies(&self, key: &Key) -> Vec<Known> {
        match self {
            Base::None | Base::Here | Base::Replace => Vec::new(),
            Base::View(view) => view.get(&key.id()).into_iter().collect(),
            Base::Copies(parents) => parents.views.iter().filter_map(|view| view.get(&key.id())).collect(),
        }
    }
}

/// An item that is here, as the asker sees it.
#[derive(Debug, Clone, Copy)]
pub enum Here<'a> {
    Whole(&'a Item),
    /// The asker sees a busy block of it only, which cannot be edited.
    Masked(&'a Item),
    /// The asker must not know of it.
    Hidden,
}

impl<'a> Here<'a> {
    /// The item, if the asker sees all of it.
    pub fn whole(&self) -> Option<&'a Item> {
        match self {
            Here::Whole(item) => Some(item),
            Here::Masked(_) | Here::Hidden => None,
        }
    }

    /// The item, if the asker sees anything of it.
    pub fn shown(&self) -> Option<&'a Item> {
        match self {
            Here::Whole(item) | Here::Masked(item) => Some(item),
            Here::Hidden => None,
        }
    }
}
