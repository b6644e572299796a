//! What makes a calendar, or one item of it, what it was: the operations of a commit. What comes back in place of a newer version
//! is made the newest, so that programs take it instead of undoing it.

use std::collections::BTreeMap;

use super::look_back::Looked;
use super::newer::Newer;
use crate::error::Result;
use crate::ical::item::{Item, Key, file_names};
use crate::store::calendar::listing::is_item;
use crate::store::calendar::props::PROPS;
use crate::store::commit::operation::Operation;
use crate::store::disk::content::{State, content_hash};
use crate::store::history::timeline::{Files, Version};

/// What becomes of files, by name; nothing of those that go.
type After = BTreeMap<String, Option<Vec<u8>>>;

impl Looked<'_> {
    /// What makes the calendar, or only its item `uid`, what it was.
    pub fn operations(&self, uid: Option<&str>) -> Result<Vec<Operation>> {
        match uid {
            None => self.of_all(),
            Some(uid) => self.of_item(uid),
        }
    }

    /// What makes the calendar what it was: by file, each under its name in the calendar.
    fn of_all(&self) -> Result<Vec<Operation>> {
        let newer = Newer::of(&self.timeline, &self.then)?;
        let mut operations = Vec::new();
        for (name, version) in &self.then.files {
            if self.here.get(name) != Some(version) {
                operations.extend(self.put(name, self.content(name, version, &newer)?)?);
            }
        }
        for name in self.here.keys().filter(|name| !self.then.files.contains_key(*name) && *name != PROPS) {
            operations.push(self.remove(name)?);
        }
        Ok(operations)
    }

    /// What makes the item `uid` what it was, or makes it go if it was not there; others in the same file stay.
    fn of_item(&self, uid: &str) -> Result<Vec<Operation>> {
        let newer = Newer::of(&self.timeline, &self.then)?;
        let (mut after, mut apart) = (After::new(), Vec::new());
        for name in self.only.iter().flatten() {
            if self.then.files.get(name) != self.here.get(name) {
                apart.extend(self.part(uid, name, &newer, &mut after)?);
            }
        }
        for (key, content) in apart {
            let name = self.emptied(&key, &after)?.unwrap_or_else(|| self.free_name(&key, &after));
            after.insert(name, Some(content));
        }
        let mut operations = Vec::new();
        for (name, content) in after {
            match content {
                Some(content) => operations.extend(self.put(&name, content)?),
                None if self.here.contains_key(&name) => operations.push(self.remove(&name)?),
                None => {}
            }
        }
        Ok(operations)
    }

    /// Says what becomes of a file that has the item `uid` or had it; gives the items that are to lie in files of their own.
    fn part(&self, uid: &str, name: &str, newer: &Newer, after: &mut After) -> Result<Vec<(Key, Vec<u8>)>> {
        let (was, is) = (self.items(&self.then.files, name)?, self.items(&self.here, name)?);
        let is_mine = |item: &Item| &*item.key.uid == uid;
        if let Some(version) = self.then.files.get(name)
            && !was.is_empty()
            && was.iter().chain(&is).all(is_mine)
        {
            after.insert(name.to_owned(), Some(self.content(name, version, newer)?));
            return Ok(Vec::new());
        }
        // The item leaves what others are in, as when a save changes one of them.
        let (mine, others): (Vec<Item>, Vec<Item>) = is.into_iter().partition(is_mine);
        let mut apart = Vec::new();
        if !mine.is_empty() {
            after.insert(name.to_owned(), None);
            apart.extend(others.into_iter().map(|item| (item.key.clone(), item.to_file())));
        }
        let mine = was.into_iter().filter(is_mine);
        apart.extend(mine.map(|item| (item.key.clone(), newer.outdone(item.to_file(), name))));
        Ok(apart)
    }

    fn items(&self, files: &Files, name: &str) -> Result<Vec<Item>> {
        files.get(name).map_or(Ok(Vec::new()), |version| self.timeline.items(name, version))
    }

    /// The file that an item leaves in which it is alone: back there, the same again changes nothing.
    fn emptied(&self, key: &Key, after: &After) -> Result<Option<String>> {
        for (name, _) in after.iter().filter(|(_, content)| content.is_none()) {
            let items = self.items(&self.here, name)?;
            if items.iter().all(|item| item.key == *key) && !items.is_empty() {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn free_name(&self, key: &Key, taken: &After) -> String {
        let is_free = |name: &String| !self.here.contains_key(name) && !taken.contains_key(name);
        file_names(&key.file_stem()).find(is_free).unwrap_or_default()
    }

    /// The bytes of a version as they come back.
    fn content(&self, name: &str, version: &Version, newer: &Newer) -> Result<Vec<u8>> {
        let revised = self.revised(name, version, newer)?;
        revised.map_or_else(|| self.timeline.bytes(version), Ok)
    }

    /// The bytes with which a version comes back, unless those are its own.
    pub fn revised(&self, name: &str, version: &Version, newer: &Newer) -> Result<Option<Vec<u8>>> {
        if !is_item(name) {
            return Ok(None);
        }
        let own = self.timeline.bytes(version)?;
        let revised = newer.outdone(own.clone(), name);
        Ok((revised != own).then_some(revised))
    }

    /// Nothing if that is there already.
    fn put(&self, name: &str, content: Vec<u8>) -> Result<Option<Operation>> {
        let before = self.state(name)?;
        let is_there = before == State::Bytes(content_hash(&content));
        Ok((!is_there).then(|| Operation {
            file: name.into(),
            before,
            stamp: None,
            after: Some(content.into()),
        }))
    }

    fn remove(&self, name: &str) -> Result<Operation> {
        Ok(Operation { file: name.into(), before: self.state(name)?, stamp: None, after: None })
    }

    fn state(&self, name: &str) -> Result<State> {
        match self.here.get(name) {
            Some(version) => Ok(State::Bytes(content_hash(&self.timeline.bytes(version)?))),
            None => Ok(State::Absent),
        }
    }
}
