//! A machine of the model: the copy that a program has, and what its user does with it.

use std::collections::BTreeSet;

use super::press::{Form, NOT_LOADED, Press, Text, Texts, Version};
use crate::store::merge::program::Program;
use crate::store::views::view_names::ViewName;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A backup GET and a PUT under `If` for each edit.
    Thunderbird,
    /// Loads, edits, saves without a guard, and drops what it does not know where stamps tell what it edited.
    Kde,
    /// Saves without a guard, and never loads: Apple's publishing, and `curl -T` from cron, which saves what has not changed too.
    OneWay,
    /// Has what is here without fetching it (a copy of the files, a HEAD for the Etag), and saves under `If-Match`, or with
    /// `Kalends-Merge: replace`.
    Script,
}

impl Kind {
    pub fn program(self) -> Program {
        match self {
            Kind::Thunderbird => Program::Mozilla,
            Kind::Kde => Program::Kde,
            Kind::OneWay | Kind::Script => Program::Other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Full,
    /// Sees item 1 as a busy block, and item 2 not at all.
    Masked,
    Contributor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Load,
    Add,
    ChangeFirst,
    ChangeLast,
    DeleteFirst,
    DeleteLast,
    /// Takes the last edit or deletion back, saved or not.
    Undo,
    Save,
    /// Saves what it wants to be here, whatever was.
    Replace,
    /// Sends again what it has just saved, for it heard no answer.
    SaveAgain,
}

/// A program on a machine, and the user in front of it.
#[derive(Debug, Clone)]
pub struct Machine {
    pub kind: Kind,
    /// What the server knows it by; two machines may share it.
    pub client: usize,
    pub role: Role,
    /// Whether it drops what it does not know.
    rewrites: bool,
    pub copy: Texts,
    /// Under which its copy is named.
    pub tag: Option<ViewName>,
    /// The same, before it saved last.
    pub tag_before: Option<ViewName>,
    pub loaded: bool,
    /// Its copy when it was loaded or saved last.
    pub known: Texts,
    /// Its copy before the last edit or deletion.
    pub before: Option<Texts>,
    /// What its user took back, and it has not saved.
    pub undone: BTreeSet<Version>,
    /// What its user deleted since its copy was loaded, as it was known.
    pub deleted: Texts,
    /// What its user made and it has not saved.
    pub unsaved: BTreeSet<Version>,
    /// What its user made of a busy block.
    pub of_blocks: BTreeSet<Version>,
}

impl Machine {
    pub fn new(press: &Press, &(kind, client, role): &(Kind, usize, Role)) -> Machine {
        Machine {
            kind,
            client,
            role,
            rewrites: press.rewrites(kind),
            copy: Texts::new(),
            tag: None,
            tag_before: None,
            loaded: kind == Kind::OneWay,
            known: Texts::new(),
            before: None,
            undone: BTreeSet::new(),
            deleted: Texts::new(),
            unsaved: BTreeSet::new(),
            of_blocks: BTreeSet::new(),
        }
    }

    /// Which acts make sense now.
    pub fn acts(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.kind != Kind::OneWay {
            acts.push(Act::Load);
        }
        if self.loaded {
            acts.push(Act::Add);
            if !self.copy.is_empty() {
                acts.extend([Act::ChangeFirst, Act::DeleteFirst]);
            }
            if self.copy.len() > 1 {
                acts.extend([Act::ChangeLast, Act::DeleteLast]);
            }
            acts.extend(self.before.is_some().then_some(Act::Undo));
            // Who never had anything publishes nothing.
            let has_any = self.kind != Kind::OneWay || !self.copy.is_empty() || !self.known.is_empty();
            acts.extend((self.kind != Kind::Thunderbird && has_any).then_some(Act::Save));
        }
        acts
    }

    /// Takes what it is shown, under the name of that, for its copy.
    pub fn load(&mut self, name: ViewName, shown: Texts) {
        let (rewrites, leaves_out) = (self.rewrites, self.kind == Kind::Thunderbird);
        let read = |form| if rewrites && form == Form::Plain { Form::Rewritten } else { form };
        self.copy = shown
            .into_iter()
            .filter(|(uid, _)| !(leaves_out && *uid == NOT_LOADED))
            .map(|(uid, (version, form))| (uid, (version, read(form))))
            .collect();
        (self.tag, self.loaded, self.before) = (Some(name), true, None);
        self.deleted.clear();
        self.is_saved();
    }

    /// Its copy is what the server knows of it.
    pub fn is_saved(&mut self) {
        self.known = self.copy.clone();
        self.unsaved.clear();
        self.undone.clear();
    }

    pub fn edit(&mut self, version: Version) {
        self.before = Some(self.copy.clone());
        let form = if self.rewrites { Form::Rewritten } else { Form::Plain };
        if let Some((before, form)) = self.copy.insert(version.uid, (version, form)) {
            if form == Form::Busy || self.of_blocks.contains(&before) {
                self.of_blocks.insert(version);
            }
            self.forget(&before);
        }
        self.unsaved.insert(version);
        self.deleted.remove(&version.uid);
    }

    pub fn delete(&mut self, which: fn(&mut Texts) -> Option<(u8, Text)>) {
        self.before = Some(self.copy.clone());
        if let Some((uid, text)) = which(&mut self.copy) {
            self.deleted.insert(uid, self.known.get(&uid).copied().unwrap_or(text));
            self.forget(&text.0);
        }
    }

    pub fn undo(&mut self) {
        let Some(before) = self.before.take() else { return };
        let undone = std::mem::replace(&mut self.copy, before);
        for (uid, (version, form)) in undone {
            if self.copy.get(&uid).is_none_or(|(before, _)| *before != version) {
                self.forget(&version);
                self.undone.extend(self.copy.get(&uid).map(|(before, _)| *before));
            }
            if !self.copy.contains_key(&uid) {
                self.deleted.insert(uid, (version, form));
            }
        }
        for (uid, (version, _)) in &self.copy {
            if self.deleted.remove(uid).is_some() {
                self.undone.insert(*version);
            }
        }
    }

    /// Whether what its user deleted was a busy block, or made of one.
    pub fn deleted_block(&self, uid: u8) -> bool {
        let is_of_block = |(version, form): &Text| *form == Form::Busy || self.of_blocks.contains(version);
        self.deleted.get(&uid).is_some_and(is_of_block)
    }

    /// Its user wants this version no longer.
    fn forget(&mut self, version: &Version) {
        self.unsaved.remove(version);
        self.undone.remove(version);
    }
}
