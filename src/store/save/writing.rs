//! A save under way: the calendars that it may touch, and the operations that its plan comes to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::gone::not_kept;
use crate::acl::Role;
use crate::error::{Error, Result};
use crate::ical::cut::cut;
use crate::ical::item::{Item, Key, KeyMap, file_names};
use crate::ical::scan::Kind;
use crate::store::calendar::file::{Seen, Stored, named};
use crate::store::calendar::props::PROPS;
use crate::store::calendar::{Calendar, Change};
use crate::store::commit::operation::Operation;
use crate::store::disk::Directory;
use crate::store::disk::content::{Content, State, content_hash};
use crate::store::door::{Part, one_file};
use crate::store::merge::base::Here;
use crate::store::merge::plan::Plan;
use crate::store::place::{MAIN, Path};
use crate::store::rights::Rights;

/// A calendar that a save may write to.
pub struct Target {
    pub path: Path,
    pub calendar: Calendar,
    pub role: Role,
    pub rights: Rights,
    /// Whether the commit makes it.
    pub new: bool,
    pub operations: Vec<Operation>,
    pub changes: Vec<Change>,
    /// See [`Calendar::doubles`].
    doubles: HashMap<Key, Vec<Arc<str>>>,
    /// The files that the commit writes.
    written: HashSet<Arc<str>>,
    /// The files of several items that the commit splits, with what becomes of the items that it changes.
    split: BTreeMap<Arc<str>, HashMap<Key, Option<Arc<Item>>>>,
}

/// The calendars of a save under way.
pub struct Writing {
    pub is_main: bool,
    pub targets: Vec<Target>,
    /// Those of them that are there already, as the asker sees them.
    pub parts: Vec<Part>,
}

/// All that is here by key, as the asker sees it.
pub type Present<'a> = KeyMap<&'a Key, Here<'a>>;

impl Writing {
    /// All that is here by key, as the asker sees it; of one key in two calendars, the first that he sees.
    pub fn here(&self) -> Present<'_> {
        let mut here = KeyMap::default();
        for (key, ours) in self.targets.iter().flat_map(Target::here) {
            let known = here.entry(key).or_insert(ours);
            if matches!(known, Here::Hidden) {
                *known = ours;
            }
        }
        here
    }

    /// Whether the plan does not tell what the asker sees by now: he sees less than all, if only since he sent it, or of an
    /// item in two calendars the other version.
    pub fn may_show_otherwise(&self) -> bool {
        let masks = |part: &Part| part.loaded.calendar.contents.is_masked_for(part.role);
        let all = self.targets.iter().map(|target| target.calendar.contents.items.len()).sum::<usize>();
        self.parts.iter().any(masks) || self.targets.len() > 1 && self.here().len() < all
    }

    /// Turns the plan into operations; gives what lost, for the history. `read` gives a calendar's file.
    pub fn carry_out(
        &mut self,
        plan: &Plan,
        sent: &[Arc<Item>],
        read: impl Fn(&Path, &str) -> Option<Vec<u8>>,
    ) -> Result<Vec<(PathBuf, Content)>> {
        let stored = self.stored(plan, sent);
        for target in &mut self.targets {
            target.make_if_new();
        }
        for item in plan.take.iter().map(|ordinal| &sent[*ordinal]) {
            match stored.get(&item.key) {
                Some((at, old)) => self.targets[*at].change(old, Some(item))?,
                None => {
                    let refused = || Error::Forbidden("you may not add items of this kind here".to_owned());
                    let at = self.target_for(&item.key.kind).ok_or_else(refused)?;
                    self.targets[at].add(item)?;
                }
            }
        }
        for (at, old) in plan.remove.iter().filter_map(|key| stored.get(key)) {
            self.targets[*at].change(old, None)?;
        }
        self.targets.iter_mut().for_each(|target| target.split(&read));
        if plan.touches
            && let Some(target) = self.targets.first()
            && self.targets.iter().all(|target| target.role < Role::Editor)
        {
            return Err(target.too_low(Role::Editor));
        }
        let lost = plan.lost.iter().filter_map(|ordinal| {
            let item = &sent[*ordinal];
            let (at, old) = stored.get(&item.key)?;
            Some((self.targets[*at].below_home(&old.file), Content::Item(item.clone())))
        });
        Ok(lost.collect())
    }

    /// Where the items of the plan lie now: of one in two calendars the version that the asker is shown. The other stays, for he
    /// never saw it.
    fn stored(&self, plan: &Plan, sent: &[Arc<Item>]) -> HashMap<Key, (usize, Arc<Stored>)> {
        let mut wanted: HashSet<&Key> = plan.remove.iter().collect();
        wanted.extend(plan.take.iter().chain(&plan.lost).map(|ordinal| &sent[*ordinal].key));
        let mut found: HashMap<Key, (usize, Arc<Stored>)> = HashMap::new();
        for (at, target) in self.targets.iter().enumerate() {
            let items = target.calendar.contents.items.iter();
            for item in items.filter(|stored| wanted.contains(&stored.item.key)) {
                let shown = found.entry(item.item.key.clone()).or_insert_with(|| (at, item.clone()));
                if self.targets[shown.0].seen(&shown.1) == Seen::Hidden {
                    *shown = (at, item.clone());
                }
            }
        }
        found
    }

    /// What is gone here and only the client has any more, for the history of the home. A busy block is not what is gone.
    pub fn gone(&self, plan: &Plan, sent: &[Arc<Item>], home: &Directory) -> Result<Vec<(PathBuf, Content)>> {
        if plan.stale.is_empty() {
            return Ok(Vec::new());
        }
        let here = self.here();
        let known = plan.unlike.iter().filter_map(|(ordinal, ours)| Some((&sent[*ordinal], (*ours)?)));
        let gone = known.filter(|(item, _)| {
            !here.contains_key(&item.key) && item.busy().look().meaning != item.look().meaning
        });
        let with_file = gone.filter_map(|(item, ours)| {
            let target = &self.targets[self.target_for(&item.key.kind)?];
            Some((target.below_home(&format!("{}.ics", item.key.file_stem())), (item.clone(), ours)))
        });
        let gone = not_kept(home, with_file.collect())?;
        Ok(gone.into_iter().map(|(file, (item, _))| (file, Content::Item(item))).collect())
    }

    /// The calendar that new items of this kind go to, if there is one for the asker.
    fn target_for(&self, kind: &Kind) -> Option<usize> {
        let is_tasks = |target: &Target| target.path.last().is_some_and(|name| name.as_str() == MAIN[1]);
        let alone = !self.is_main;
        self.targets.iter().position(|target| alone || is_tasks(target) == (*kind == Kind::Todo))
    }
}

impl Target {
    pub fn existing(path: Path, part: &Part) -> Target {
        let loaded = &part.loaded;
        Target::with(path, loaded.calendar.clone(), part.role, loaded.rights.clone(), false)
    }

    pub fn new(rights: Rights, path: Path) -> Target {
        let calendar = Calendar::empty(path.last().map_or("", |name| name.as_str()));
        Target::with(path, calendar, Role::Master, rights, true)
    }

    fn with(path: Path, calendar: Calendar, role: Role, rights: Rights, new: bool) -> Target {
        Target {
            path,
            doubles: calendar.doubles(),
            calendar,
            role,
            rights,
            new,
            operations: Vec::new(),
            changes: Vec::new(),
            written: HashSet::new(),
            split: BTreeMap::new(),
        }
    }

    /// All that is in it, as the asker sees it.
    fn here(&self) -> impl Iterator<Item = (&Key, Here<'_>)> {
        self.calendar.contents.items.iter().map(|stored| {
            let here = match self.seen(stored) {
                Seen::Whole => Here::Whole(&stored.item),
                Seen::Masked => Here::Masked(&stored.item),
                Seen::Hidden => Here::Hidden,
            };
            (&stored.item.key, here)
        })
    }

    fn seen(&self, stored: &Stored) -> Seen {
        stored.seen(self.calendar.contents.is_masked_for(self.role))
    }

    /// What of it the asker sees whole.
    pub fn seen_whole(&self) -> impl Iterator<Item = &Key> {
        self.here().filter(|(_, here)| here.whole().is_some()).map(|(key, _)| key)
    }

    fn too_low(&self, need: Role) -> Error {
        Error::Forbidden(format!("your role here is {}, this needs {need}", self.role))
    }

    /// A file of this calendar, below its home.
    fn below_home(&self, file: &str) -> PathBuf {
        let mut path: PathBuf = self.path.names.iter().map(|name| name.as_str()).collect();
        path.push(file);
        path
    }

    fn make_if_new(&mut self) {
        if self.new {
            let file = self.below_home(PROPS);
            self.operations.push(Operation {
                file,
                before: State::Absent,
                stamp: None,
                after: Some(b"{}\n".to_vec().into()),
            });
        }
    }

    fn add(&mut self, item: &Arc<Item>) -> Result<()> {
        if self.role < Role::Contributor {
            return Err(self.too_low(Role::Contributor));
        }
        self.writable()?;
        self.put(self.free_name(&item.key), item);
        Ok(())
    }

    /// Replaces or removes a stored item. Another file's version of it goes: it would be served from now on, which nobody asked for.
    fn change(&mut self, old: &Stored, new: Option<&Arc<Item>>) -> Result<()> {
        if self.role < Role::Editor {
            return Err(self.too_low(Role::Editor));
        }
        self.writable()?;
        let key = &old.item.key;
        self.change_in(old.file.clone(), key, new);
        for file in self.doubles.remove(key).unwrap_or_default() {
            self.change_in(file, key, None);
        }
        Ok(())
    }

    /// Replaces or removes a file's version of an item. A file that holds others too is split.
    fn change_in(&mut self, file: Arc<str>, key: &Key, new: Option<&Arc<Item>>) {
        if self.calendar.items_of(&file).len() > 1 {
            self.split.entry(file).or_default().insert(key.clone(), new.cloned());
            return;
        }
        match new {
            Some(item) => self.put(file, item),
            None => self.remove(file),
        }
    }

    fn writable(&self) -> Result<()> {
        match self.calendar.contents.read_only {
            true => Err(one_file()),
            false => Ok(()),
        }
    }

    /// Gives each item of the files that are split a file of its own.
    fn split(&mut self, read: impl Fn(&Path, &str) -> Option<Vec<u8>>) {
        for (file, changed) in std::mem::take(&mut self.split) {
            let as_written = self.as_written(&file, read(&self.path, &file));
            let items: Vec<Arc<Stored>> = self.calendar.items_of(&file).to_vec();
            self.remove(file);
            for stored in items {
                let key = &stored.item.key;
                match changed.get(key) {
                    None => self.put(self.free_name(key), as_written.get(key).unwrap_or(&stored.item)),
                    Some(Some(item)) => self.put(self.free_name(key), item),
                    Some(None) => {}
                }
            }
        }
    }

    /// The items of a file with the bytes that they have there, which are not always those that are served. None if `content` is not what
    /// is known of the file: then the commit will find that out, or what was good last is all there is.
    fn as_written(&self, file: &str, content: Option<Vec<u8>>) -> KeyMap<Key, Arc<Item>> {
        let is_known = |content: &Vec<u8>| State::Bytes(content_hash(content)) == self.calendar.state(file).0;
        let items = content.filter(is_known).and_then(|content| cut(&content).ok()).map(|cut| cut.items);
        named(items.unwrap_or_default(), file).map(|item| (item.key.clone(), Arc::new(item))).collect()
    }

    fn put(&mut self, file: Arc<str>, item: &Arc<Item>) {
        let item = item.clone();
        let content = Content::Item(item.clone());
        let hash = content.hash();
        self.operate(&file, Some(content));
        self.written.insert(file.clone());
        self.changes.push(Change { file, now: Some((item, hash)) });
    }

    fn remove(&mut self, file: Arc<str>) {
        self.operate(&file, None);
        self.changes.push(Change { file, now: None });
    }

    fn operate(&mut self, file: &str, after: Option<Content>) {
        let (before, stamp) = self.calendar.state(file);
        self.operations.push(Operation { file: self.below_home(file), before, stamp, after });
    }

    /// A file name for a new item that is not taken.
    fn free_name(&self, key: &Key) -> Arc<str> {
        let is_free = |name: &String| !self.calendar.has(name) && !self.written.contains(name.as_str());
        file_names(&key.file_stem()).find(is_free).unwrap_or_default().into()
    }
}
