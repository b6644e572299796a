//! Names: those that no address reaches, and those that are one name on another file system.

use std::collections::HashMap;
use std::path::Path as FsPath;

use unicode_normalization::UnicodeNormalization;

use super::finding::{Finding, Kind};
use super::look::Seen;
use crate::store::place::Name;

/// What is wrong with the name of a home, a folder or a calendar; `ending` is what the name of a loose file has more.
pub fn unreachable(path: &FsPath, seen: &Seen, ending: &str) -> Option<Finding> {
    let reason = match seen.text() {
        None => "its name is no UTF-8".to_owned(),
        Some(text) => {
            let bare = text.strip_suffix(ending).unwrap_or(text);
            match Name::new(bare) {
                Some(name) if name.as_str() == bare => return None,
                Some(_) => "its name is not in the composed form (NFC) that addresses have".to_owned(),
                None => "its name has a character, a beginning, an end or a length that no address can have"
                    .to_owned(),
            }
        }
    };
    let finding = Finding::new(Kind::UnreachableName, path, format!("no address leads here: {reason}"));
    Some(if composed(seen).is_some() { finding.repairable() } else { finding })
}

/// The name under which addresses would reach it, if it only has to be composed.
pub fn composed(seen: &Seen) -> Option<String> {
    let text = seen.text()?;
    let composed: String = text.nfc().collect();
    let bare = composed.strip_suffix(".ics").unwrap_or(&composed);
    (composed != text && Name::new(bare).is_some()).then_some(composed)
}

/// What a name is where letter case and Unicode forms do not count.
pub fn folded(name: &str) -> String {
    name.nfkc().flat_map(char::to_lowercase).nfc().collect()
}

/// The names among `all` that would be one on a file system that knows no letter case or but one Unicode form.
pub fn clashes<'s>(path: &FsPath, all: impl Iterator<Item = &'s str>) -> Vec<Finding> {
    let mut first: HashMap<String, &str> = HashMap::new();
    let mut found = Vec::new();
    for name in all {
        match first.get(&folded(name)) {
            None => drop(first.insert(folded(name), name)),
            Some(other) => found.push(Finding::new(
                Kind::NameClash,
                path.join(name),
                format!("it differs from {other} in letter case or Unicode form only: a copy elsewhere may keep but one"),
            )),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_clash_by_case_and_by_form() {
        let names = ["Work", "Mu\u{308}ller", "M\u{fc}ller", "other", "work"];
        let found = clashes(FsPath::new("x"), names.into_iter());
        let paths: Vec<_> = found.iter().map(|finding| finding.path.to_string_lossy().into_owned()).collect();
        assert_eq!(paths, ["x/M\u{fc}ller", "x/work"]);
    }
}
