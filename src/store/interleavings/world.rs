//! The model: machines with copies, users who edit them, what is here, and the checks of each save.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::super::base::{Base, Here};
use super::super::copies::{Copies, Parents};
use super::super::merge::merge;
use super::super::view::{Known, View};
use super::super::view_names::ViewName;
use super::press::{Form, NOT_LOADED, Press, Text, Texts, Version};
use crate::ical::item::{Item, Key, KeyMap};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A backup GET and a PUT under `If` for each edit.
    Thunderbird,
    /// Loads, edits, saves without a guard.
    Kde,
    /// As Kde, but never loads: Apple's publishing, and `curl -T` from cron, which saves what has not changed too.
    OneWay,
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
    Save,
    /// Sends again what it has just saved, for it heard no answer.
    SaveAgain,
}

/// What is lost of the cache now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum Loss {
    Nothing,
    /// How many copies there are, as at a start.
    Counts,
    /// The same, and what of a client that is one machine was written last, as at a start after a kill.
    Newest,
    /// A View here and there.
    Views,
    /// All that is known of a client that is one machine.
    Clients,
}

/// A program on a machine, and the user in front of it.
#[derive(Debug, Clone)]
pub struct Machine {
    pub kind: Kind,
    /// What the server knows it by; two machines may share it.
    client: usize,
    role: Role,
    copy: Texts,
    /// Under which its copy is named.
    tag: Option<ViewName>,
    /// The same, before it saved last.
    tag_before: Option<ViewName>,
    loaded: bool,
    /// Its copy when it was loaded or saved last.
    known: Texts,
    /// What its user deleted since its copy was loaded, as it was known.
    deleted: BTreeMap<u8, Version>,
    /// What its user made and it has not saved.
    unsaved: BTreeSet<Version>,
}

#[derive(Clone)]
pub struct World {
    press: Rc<Press>,
    pub machines: Vec<Machine>,
    here: Texts,
    views: HashMap<ViewName, Arc<View>>,
    copies: Vec<Copies>,
    /// What was written of each client, oldest first.
    written: Vec<Vec<Vec<u8>>>,
    /// What each client's machines ever had as their copy: what the model says about doubt.
    had: Vec<BTreeSet<Vec<Version>>>,
    /// Every version that was here once.
    once: BTreeSet<Version>,
    edits: u32,
    next: u8,
    sent: u64,
    /// Who has just saved.
    saved_last: Option<usize>,
    pub counts: Counts,
    pub loss: Loss,
    /// All that was done, for who reads a failure.
    pub done: Vec<(usize, Act)>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub orders: u64,
    pub saves: u64,
    pub honoured: u64,
    pub in_doubt: u64,
}

impl World {
    pub fn new(press: &Rc<Press>, cast: &[(Kind, usize, Role)]) -> World {
        let machine = |&(kind, client, role): &(Kind, usize, Role)| Machine {
            kind,
            client,
            role,
            copy: Texts::new(),
            tag: None,
            tag_before: None,
            loaded: kind == Kind::OneWay,
            known: Texts::new(),
            deleted: BTreeMap::new(),
            unsaved: BTreeSet::new(),
        };
        let here: Texts = (1..=NOT_LOADED)
            .map(|uid| (uid, (Version { uid, edit: 0, by: usize::MAX }, Form::Plain)))
            .collect();
        World {
            press: press.clone(),
            machines: cast.iter().map(machine).collect(),
            once: here.values().map(|(version, _)| *version).collect(),
            here,
            views: HashMap::new(),
            copies: vec![Copies::default(); cast.len()],
            written: vec![Vec::new(); cast.len()],
            had: vec![BTreeSet::new(); cast.len()],
            edits: 0,
            next: 10,
            sent: 0,
            saved_last: None,
            counts: Counts::default(),
            loss: Loss::Nothing,
            done: Vec::new(),
        }
    }

    /// What a machine is shown of what is here, and the name of that.
    fn shown(&mut self, at: usize) -> (ViewName, Texts) {
        let masked = self.machines[at].role == Role::Masked;
        let shown: Texts = self
            .here
            .iter()
            .filter(|(uid, _)| !(masked && **uid == 2))
            .map(|(uid, (version, form))| {
                (*uid, (*version, if masked && *uid == 1 { Form::Busy } else { *form }))
            })
            .collect();
        let mut name = ViewName::default();
        name.copy_from_slice(&blake3::hash(format!("{shown:?}").as_bytes()).as_bytes()[..16]);
        let press = &self.press;
        self.views.entry(name).or_insert_with(|| Arc::new(press.view(&shown)));
        (name, shown)
    }

    /// Which acts make sense for a machine now.
    pub fn acts(&self, at: usize) -> Vec<Act> {
        let machine = &self.machines[at];
        let mut acts = Vec::new();
        if self.saved_last == Some(at) {
            acts.push(Act::SaveAgain);
        }
        if machine.kind != Kind::OneWay {
            acts.push(Act::Load);
        }
        if machine.loaded {
            acts.push(Act::Add);
            if !machine.copy.is_empty() {
                acts.extend([Act::ChangeFirst, Act::DeleteFirst]);
            }
            if machine.copy.len() > 1 {
                acts.extend([Act::ChangeLast, Act::DeleteLast]);
            }
            if machine.kind != Kind::Thunderbird {
                acts.push(Act::Save);
            }
        }
        acts
    }

    pub fn act(&mut self, at: usize, act: Act) {
        self.done.push((at, act));
        self.saved_last = None;
        match act {
            Act::Load => return self.load(at),
            Act::Save => return self.save(at),
            Act::SaveAgain => return self.save_again(at),
            Act::Add => self.edit(at, self.next),
            Act::ChangeFirst | Act::ChangeLast => {
                let copy = &self.machines[at].copy;
                let uid = if act == Act::ChangeFirst { copy.keys().next() } else { copy.keys().last() };
                if let Some(uid) = uid.copied() {
                    self.edit(at, uid);
                }
            }
            Act::DeleteFirst | Act::DeleteLast => {
                let machine = &mut self.machines[at];
                let gone = match act {
                    Act::DeleteFirst => machine.copy.pop_first(),
                    _ => machine.copy.pop_last(),
                };
                if let Some((uid, (version, _))) = gone {
                    let known = machine.known.get(&uid).map_or(version, |(known, _)| *known);
                    machine.deleted.insert(uid, known);
                    machine.unsaved.remove(&version);
                }
            }
        }
        if self.machines[at].kind == Kind::Thunderbird {
            self.save(at);
        }
    }

    /// Loses something of the cache.
    pub fn lose(&mut self, random: &mut Random) {
        self.saved_last = None;
        match self.loss {
            Loss::Nothing => {}
            Loss::Counts => (0..self.copies.len()).for_each(|client| self.read(client)),
            Loss::Newest => {
                for client in 0..self.copies.len() {
                    if self.is_one_machine(client) {
                        let written = &mut self.written[client];
                        written.truncate(written.len().saturating_sub(random.below(4)));
                    }
                    self.read(client);
                }
            }
            Loss::Views => {
                let mut names: Vec<ViewName> = self.views.keys().copied().collect();
                names.sort_unstable();
                if !names.is_empty() {
                    self.views.remove(&names[random.below(names.len())]);
                }
            }
            Loss::Clients => {
                let client = random.below(self.copies.len());
                if self.is_one_machine(client) {
                    self.copies[client] = Copies::default();
                }
            }
        }
    }

    fn is_one_machine(&self, client: usize) -> bool {
        self.machines.iter().filter(|machine| machine.client == client).count() == 1
    }

    /// Notes what a client fetched or sent, and writes it, as `Views` does.
    fn note(&mut self, client: usize, change: impl FnOnce(&mut Copies)) {
        let copies = &mut self.copies[client];
        let before = copies.clone();
        change(copies);
        if !copies.is_written_as(&before) {
            self.written[client].push(copies.encode(&[]));
        }
    }

    /// Takes what is written of a client for all that is known of it.
    fn read(&mut self, client: usize) {
        let read = |written: &Vec<u8>| Copies::decode(&[], written).expect("what was written").recalled();
        self.copies[client] = self.written[client].last().map(read).unwrap_or_default();
    }

    /// A user's edit, in the machine's own copy.
    fn edit(&mut self, at: usize, uid: u8) {
        self.edits += 1;
        self.next += u8::from(uid == self.next);
        let version = Version { uid, edit: self.edits, by: at };
        let machine = &mut self.machines[at];
        let form = if machine.kind == Kind::Thunderbird { Form::Rewritten } else { Form::Plain };
        if let Some((before, _)) = machine.copy.insert(uid, (version, form)) {
            machine.unsaved.remove(&before);
        }
        machine.unsaved.insert(version);
        machine.deleted.remove(&uid);
    }

    fn load(&mut self, at: usize) {
        let (name, shown) = self.shown(at);
        let client = self.machines[at].client;
        // Every other program asks whether what it has is current.
        let whole = at.is_multiple_of(2) || self.machines[at].tag != Some(name);
        self.note(client, |copies| copies.fetched(name, whole));
        self.had[client].insert(versions(&shown));
        let machine = &mut self.machines[at];
        let rewrites = machine.kind == Kind::Thunderbird;
        let read = |form| if rewrites && form == Form::Plain { Form::Rewritten } else { form };
        machine.copy = shown
            .into_iter()
            .filter(|(uid, _)| !(rewrites && *uid == NOT_LOADED))
            .map(|(uid, (version, form))| (uid, (version, read(form))))
            .collect();
        machine.known = machine.copy.clone();
        (machine.tag, machine.loaded) = (Some(name), true);
        machine.deleted.clear();
        machine.unsaved.clear();
    }

    fn save_again(&mut self, at: usize) {
        let before = self.here.clone();
        self.machines[at].tag = self.machines[at].tag_before;
        self.save(at);
        assert_eq!(self.here, before, "the same save again changes something");
    }

    /// Saves a machine's whole copy, and checks all that must hold.
    fn save(&mut self, at: usize) {
        let machine = self.machines[at].clone();
        let client = machine.client;
        let (current, _) = self.shown(at);
        let mozilla = machine.kind == Kind::Thunderbird;
        if mozilla {
            // The backup.
            self.copies[client].fetched(current, true);
        }
        let sent: Vec<Item> = machine.copy.values().map(|text| self.press.item(text)).collect();
        let texts: Vec<Text> = machine.copy.values().copied().collect();
        let looks: Vec<_> = sent.iter().map(|item| (item.key.id(), *item.look())).collect();
        let parents = match mozilla {
            true => Parents::default(),
            false => self.copies[client].parents(|name| self.views.get(name).cloned(), looks, false),
        };
        let named = machine.tag.filter(|_| mozilla).and_then(|tag| self.views.get(&tag).cloned());
        let base = match &named {
            _ if mozilla && machine.tag == Some(current) => Base::Here,
            Some(view) => Base::View(view),
            None => Base::Copies(&parents),
        };
        let items: Vec<(Item, u8)> =
            self.here.values().map(|text| (self.press.item(text), text.0.uid)).collect();
        let masked = machine.role == Role::Masked;
        let here: KeyMap<&Key, Here<'_>> = items
            .iter()
            .map(|(item, uid)| match uid {
                1 if masked => (&item.key, Here::Masked(item)),
                2 if masked => (&item.key, Here::Hidden),
                _ => (&item.key, Here::Whole(item)),
            })
            .collect();
        let plan = merge(&sent, &base, &here, mozilla).expect("nobody makes up a hidden key");
        self.counts.saves += 1;
        if machine.role == Role::Contributor && plan.touches {
            // 403: nothing is written, and the program goes on with what it has.
            return;
        }
        let before = self.here.clone();
        for key in &plan.remove {
            let uid: u8 = key.uid.parse().expect("a number");
            assert!(machine.deleted.contains_key(&uid), "{uid} is removed, which nobody deleted");
            assert!(!(masked && uid <= 2), "{uid} is removed, which was not shown");
            self.here.remove(&uid);
        }
        for ordinal in &plan.take {
            let (version, form) = texts[*ordinal];
            // Without its View, Thunderbird's copy of what is gone is as good as new; so is anybody's if the newest is not known.
            if self.loss <= Loss::Counts || self.loss == Loss::Newest && before.contains_key(&version.uid) {
                assert_eq!(version.by, at, "{version:?} is a stale copy");
                let is_new = self.once.insert(version);
                // Of two machines that only send and look like one, either may have changed its mind.
                assert!(is_new || self.is_one_of_two_senders(at), "{version:?} was here before");
                assert_ne!(form, Form::Busy);
            }
            self.here.insert(version.uid, (version, form));
        }
        for version in &machine.unsaved {
            let lost = plan.lost.iter().any(|ordinal| texts[*ordinal].0 == *version);
            let here = self.here.get(&version.uid).is_some_and(|(here, _)| here == version);
            assert!(here || lost || masked && version.uid <= 2, "{version:?} is nowhere");
        }
        for (uid, known) in &machine.deleted {
            self.check_deletion(&machine, *uid, *known, &before);
        }
        let as_sent = plan.unlike.is_empty() && plan.kept == 0 && !masked;
        let name = if as_sent { self.shown(at).0 } else { self.keep_sent(&sent, &plan.unlike) };
        self.note(client, |copies| match mozilla {
            true => copies.guarded(machine.tag, name),
            false => copies.saved(&parents, name),
        });
        self.had[client].insert(versions(&machine.copy));
        let machine = &mut self.machines[at];
        machine.known = machine.copy.clone();
        machine.tag_before = machine.tag.replace(name);
        machine.unsaved.clear();
        self.saved_last = Some(at);
    }

    fn is_one_of_two_senders(&self, at: usize) -> bool {
        let alike =
            |machine: &&Machine| machine.kind == Kind::OneWay && machine.client == self.machines[at].client;
        self.machines.iter().filter(alike).count() > 1 && self.machines[at].kind == Kind::OneWay
    }

    /// What a save leaves out stays only in doubt, or if somebody changed it.
    fn check_deletion(&mut self, machine: &Machine, uid: u8, known_as: Version, before: &Texts) {
        let Some((here, _)) = before.get(&uid) else { return };
        let changed = *here != known_as;
        if !self.here.contains_key(&uid) {
            self.counts.honoured += 1;
            return;
        }
        let had = &self.had[machine.client];
        let masked = machine.role == Role::Masked && (uid <= 2 || machine.kind != Kind::Thunderbird);
        let shows: Vec<Version> = machine.copy.values().map(|(version, _)| *version).collect();
        let known: Vec<&Version> =
            shows.iter().filter(|version| had.iter().any(|copy| copy.contains(version))).collect();
        let explaining: Vec<_> =
            had.iter().filter(|copy| known.iter().all(|version| copy.contains(version))).collect();
        let doubt =
            known.is_empty() || explaining.iter().any(|copy| !copy.iter().any(|version| version.uid == uid));
        // Of one action that is one save, Thunderbird's guard leaves no doubt.
        let doubt = doubt && machine.kind != Kind::Thunderbird;
        let again = machine.kind == Kind::Thunderbird && machine.deleted.len() > 1;
        let forgotten = self.copies[machine.client].forgotten;
        assert!(
            self.loss > Loss::Nothing || changed || masked || doubt || again || forgotten,
            "the deletion of {uid} is not honoured: {machine:?} had {had:?}"
        );
        self.counts.in_doubt += u64::from(doubt && !changed);
    }

    fn keep_sent(&mut self, sent: &[Item], unlike: &[(usize, Option<[u8; 16]>)]) -> ViewName {
        let ours: HashMap<usize, [u8; 16]> =
            unlike.iter().filter_map(|(ordinal, ours)| Some((*ordinal, (*ours)?))).collect();
        let known = |(ordinal, item): (usize, &Item)| {
            let known = Known::of(item.look());
            (item.key.id(), Known { ours: ours.get(&ordinal).copied().unwrap_or(known.ours), ..known })
        };
        self.sent += 1;
        let mut name = ViewName::default();
        name[..8].copy_from_slice(&self.sent.to_le_bytes());
        self.views.insert(name, Arc::new(View::new(sent.iter().enumerate().map(known))));
        name
    }
}

fn versions(texts: &Texts) -> Vec<Version> {
    texts.values().map(|(version, _)| *version).collect()
}

/// Numbers that are the same for the same seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
