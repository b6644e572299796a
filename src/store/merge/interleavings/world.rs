//! The model: machines that fetch and save, what is here, and the checks of each save.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::machine::{Act, Kind, Machine, Role};
use super::press::{Form, NOT_LOADED, Press, Text, Texts, Version};
use crate::ical::item::{Item, Key, KeyMap};
use crate::store::merge::base::{Base, Here};
use crate::store::merge::merge;
use crate::store::merge::program::Program;
use crate::store::views::copies::Copies;
use crate::store::views::parents::Parents;
use crate::store::views::view::{Known, View};
use crate::store::views::view_names::ViewName;

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
    /// Those that came back, perhaps as another program writes them.
    again: BTreeSet<Version>,
    edits: u32,
    next: u8,
    sent: u64,
    /// Who has just saved.
    saved_last: Option<usize>,
    pub counts: Counts,
    pub loss: Loss,
    /// Whether nothing is masked at the moment.
    unmasked: bool,
    /// All that was done, for whoever reads a failure.
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
        let here: Texts = (1..=NOT_LOADED)
            .map(|uid| (uid, (Version { uid, edit: 0, by: usize::MAX }, Form::Plain)))
            .collect();
        World {
            press: press.clone(),
            machines: cast.iter().map(|cast| Machine::new(press, cast)).collect(),
            once: here.values().map(|(version, _)| *version).collect(),
            again: BTreeSet::new(),
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
            unmasked: false,
            done: Vec::new(),
        }
    }

    /// The owner says otherwise about what is masked.
    pub fn turn_masks(&mut self) {
        self.unmasked = !self.unmasked;
        self.saved_last = None;
    }

    fn is_masked(&self, at: usize) -> bool {
        self.machines[at].role == Role::Masked && !self.unmasked
    }

    /// What a machine is shown of what is here, and the name of that.
    fn shown(&mut self, at: usize) -> (ViewName, Texts) {
        let masked = self.is_masked(at);
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
        let again = (self.saved_last == Some(at)).then_some(Act::SaveAgain);
        let machine = &self.machines[at];
        // Who replaces, and may have fetched nothing, does not share what it sends with machines that look like it.
        let replaces = machine.kind == Kind::Script && machine.loaded && self.is_one_machine(machine.client);
        // Who undoes what stayed in doubt sends just what the other was shown.
        let undoes = machine.kind != Kind::OneWay
            || !self.machines.iter().any(|other| other.kind == Kind::Kde && other.client == machine.client);
        // So does who undoes an edit of a busy block that another machine has as well.
        let undoes = undoes && (machine.role != Role::Masked || self.is_one_machine(machine.client));
        let acts = machine.acts().into_iter().filter(|act| undoes || *act != Act::Undo);
        again.into_iter().chain(acts).chain(replaces.then_some(Act::Replace)).collect()
    }

    pub fn act(&mut self, at: usize, act: Act) {
        self.done.push((at, act));
        self.saved_last = None;
        match act {
            Act::Load => return self.load(at),
            Act::Save | Act::Replace => return self.save(at, act == Act::Replace),
            Act::SaveAgain => return self.save_again(at),
            Act::Add => self.edit(at, Some(self.next)),
            Act::ChangeFirst => self.edit(at, self.machines[at].copy.keys().next().copied()),
            Act::ChangeLast => self.edit(at, self.machines[at].copy.keys().last().copied()),
            Act::DeleteFirst => self.machines[at].delete(Texts::pop_first),
            Act::DeleteLast => self.machines[at].delete(Texts::pop_last),
            Act::Undo => self.machines[at].undo(),
        }
        if self.machines[at].kind == Kind::Thunderbird {
            self.save(at, false);
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

    fn edit(&mut self, at: usize, uid: Option<u8>) {
        let Some(uid) = uid else { return };
        self.edits += 1;
        self.next += u8::from(uid == self.next);
        self.machines[at].edit(Version { uid, edit: self.edits, by: at });
    }

    fn load(&mut self, at: usize) {
        let (name, shown) = self.shown(at);
        let client = self.machines[at].client;
        // Every other program asks whether what it has is current.
        let whole = at.is_multiple_of(2) || self.machines[at].tag != Some(name);
        if self.machines[at].kind != Kind::Script {
            self.note(client, |copies| copies.fetched(name, whole));
        }
        self.had[client].insert(versions(&shown));
        self.machines[at].load(name, shown);
    }

    fn save_again(&mut self, at: usize) {
        let before = self.here.clone();
        self.machines[at].tag = self.machines[at].tag_before;
        self.save(at, false);
        assert_eq!(self.here, before, "the same save again changes something");
    }

    /// Saves a machine's whole copy, and checks all that must hold.
    fn save(&mut self, at: usize, replace: bool) {
        let machine = self.machines[at].clone();
        let client = machine.client;
        let (current, _) = self.shown(at);
        let script = machine.kind == Kind::Script;
        if script && !replace && machine.tag != Some(current) {
            // 412
            return;
        }
        let program = machine.kind.program();
        let mozilla = program == Program::Mozilla;
        if mozilla {
            // The backup.
            self.copies[client].fetched(current, true);
        }
        let sent: Vec<Item> = machine.copy.values().map(|text| self.press.item(text)).collect();
        let texts: Vec<Text> = machine.copy.values().copied().collect();
        let looks: Vec<_> = sent.iter().map(|item| (item.key.id(), *item.look())).collect();
        let parents_by =
            |looks| Parents::of(&self.copies[client], |name| self.views.get(name).cloned(), looks, program);
        let mut parents = match mozilla || script {
            true => Parents::default(),
            false => parents_by(looks.clone()),
        };
        let named = machine.tag.filter(|_| mozilla).and_then(|tag| self.views.get(&tag).cloned());
        let base = match &named {
            _ if replace => Base::Replace,
            _ if script => Base::Here,
            _ if mozilla && machine.tag == Some(current) => Base::Here,
            Some(view) => Base::View(view),
            None => Base::Copies(&parents),
        };
        let items: Vec<(Item, u8)> =
            self.here.values().map(|text| (self.press.item(text), text.0.uid)).collect();
        let masked = self.is_masked(at);
        let here: KeyMap<&Key, Here<'_>> = items
            .iter()
            .map(|(item, uid)| match uid {
                1 if masked => (&item.key, Here::Masked(item)),
                2 if masked => (&item.key, Here::Hidden),
                _ => (&item.key, Here::Whole(item)),
            })
            .collect();
        let Ok(plan) = merge(&sent, &base, &here, program) else {
            // 403: it takes the deletion back of what it no longer sees.
            return assert!(masked && base.is_known(), "nobody makes up a hidden key");
        };
        if !plan.stale.is_empty() && !mozilla && !script {
            parents.doubt_unless(&parents_by(plan.without_stale(looks)));
        }
        self.counts.saves += 1;
        if machine.role == Role::Contributor && plan.touches {
            // 403: nothing is written, and the program goes on with what it has.
            return;
        }
        let before = self.here.clone();
        for key in &plan.remove {
            let uid: u8 = key.uid.parse().expect("a number");
            let may_go = replace || machine.deleted.contains_key(&uid);
            assert!(may_go, "{uid} is removed, which nobody deleted");
            assert!(!(masked && uid <= 2), "{uid} is removed, which was not shown");
            let is_block = self.loss <= Loss::Counts && !replace && machine.deleted_block(uid);
            assert!(!is_block, "{uid} is removed, of which a busy block was deleted");
            self.here.remove(&uid);
        }
        for ordinal in &plan.take {
            let (version, form) = texts[*ordinal];
            let is_new = self.once.insert(version);
            if !is_new {
                self.again.insert(version);
            }
            // Without its View, Thunderbird's copy of what is gone is as good as new; so is anybody's if the newest is not known, unless
            // age tells, which an undo turns round.
            let is_older = || before.get(&version.uid).is_some_and(|(here, _)| !self.again.contains(here));
            let views_are_there = self.loss <= Loss::Counts || self.loss == Loss::Newest && is_older();
            if views_are_there && !replace && !machine.undone.contains(&version) {
                assert_eq!(version.by, at, "{version:?} is a stale copy");
                // Of two machines that only send and look like one, either may have changed its mind.
                assert!(is_new || self.is_one_of_two_senders(at), "{version:?} was here before");
                assert_ne!(form, Form::Busy);
                let replaces = before.contains_key(&version.uid);
                let of_block = machine.of_blocks.contains(&version);
                // Of a block that is forgotten age alone tells.
                let is_known = mozilla || !self.copies[client].forgotten && self.loss <= Loss::Counts;
                assert!(!(of_block && replaces && is_known), "{version:?} was made of a busy block");
            }
            let form = if form == Form::Busy { Form::Bare } else { form };
            self.machines[at].of_blocks.remove(&version);
            self.machines[at].copy.insert(version.uid, (version, form));
            self.here.insert(version.uid, (version, form));
        }
        for version in &machine.unsaved {
            let lost = plan.lost.iter().any(|ordinal| texts[*ordinal].0 == *version);
            let here = self.here.get(&version.uid).is_some_and(|(here, _)| here == version);
            assert!(here || lost || masked && version.uid <= 2, "{version:?} is nowhere");
        }
        // A busy block is nobody's version.
        let is_block = |version: &Version| machine.copy.get(&version.uid) == Some(&(*version, Form::Busy));
        let seen = |version: &&Version| !(masked && version.uid <= 2 || is_block(version));
        for version in machine.undone.iter().filter(seen) {
            let lost = plan.lost.iter().any(|ordinal| texts[*ordinal].0 == *version);
            let here = self.here.get(&version.uid).is_some_and(|(here, _)| here == version);
            assert!(here || lost || !plan.stale.is_empty(), "nobody is told that {version:?} is not here");
        }
        for (uid, (known, _)) in &machine.deleted {
            self.check_deletion(&machine, *uid, *known, &before);
        }
        let as_sent = plan.unlike.is_empty() && plan.kept == 0 && !masked;
        let name = if as_sent { self.shown(at).0 } else { self.keep_sent(&sent, &plan.unlike) };
        self.note(client, |copies| match mozilla || script {
            true => copies.guarded(named.is_some() || script && !replace, name),
            false => copies.saved(parents.only, parents.are_known(), name),
        });
        self.had[client].insert(versions(&machine.copy));
        let machine = &mut self.machines[at];
        machine.is_saved();
        machine.tag_before = machine.tag.replace(name);
        self.saved_last = Some(at).filter(|_| !script);
    }

    fn is_one_of_two_senders(&self, at: usize) -> bool {
        let alike =
            |machine: &&Machine| machine.kind == Kind::OneWay && machine.client == self.machines[at].client;
        self.machines.iter().filter(alike).count() > 1 && self.machines[at].kind == Kind::OneWay
    }

    /// What a save leaves out stays only in doubt, or if somebody changed it.
    fn check_deletion(&mut self, machine: &Machine, uid: u8, known_as: Version, before: &Texts) {
        let Some((here, _)) = before.get(&uid) else { return };
        let changed = *here != known_as || self.again.contains(here);
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
        let lacks = explaining.iter().any(|copy| !copy.contains(here));
        // Of what was taken back, the copies that had it may have nothing else of the save.
        let doubt = known.is_empty() || lacks || !machine.undone.is_empty();
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
