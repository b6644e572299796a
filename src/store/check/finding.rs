//! What a check finds: the kinds of damage with their names and weights, and one finding.

use std::path::{Path as FsPath, PathBuf};

use super::look::Seen;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong with what is served. The exit code stays 0.
    Note,
    /// Something is not as it should be, or other programs stumble over it.
    Warning,
    /// Something is not served, or cannot be written.
    Damage,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Damage => "damage",
        }
    }
}

/// One kind of finding. Names are stable: scripts go by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    HalfFile,
    Unparsable,
    TooLarge,
    Unreadable,
    NoAccess,
    AclUnreadable,
    LinkUnreadable,
    JournalHomeless,
    UnreachableName,
    SpecialFile,
    OtherMount,
    Shadowed,
    SeveralItems,
    NoUid,
    UidTwice,
    UidClash,
    UidOfTwoKinds,
    NameClash,
    StaleStaging,
    JournalWaiting,
    JournalTorn,
    Owner,
    Mode,
    PropsUnreadable,
    Metadata,
    LinkDangling,
    StrayDirectory,
    FreebusyUnreadable,
    PublicationUnreadable,
    NoTimeZone,
    LongLine,
    NoStart,
    BadValue,
    LineEnds,
    SplitCharacter,
    LooseFile,
    StrayFile,
    LinkExpired,
    HistoryEntry,
    HardLink,
}

use Kind::*;
use Severity::{Damage, Note, Warning};

/// Every kind with its name and weight.
const KINDS: [(Kind, &str, Severity); 40] = [
    (HalfFile, "half-file", Damage),
    (Unparsable, "unparsable", Damage),
    (TooLarge, "too-large", Damage),
    (Unreadable, "unreadable", Damage),
    (NoAccess, "no-access", Damage),
    (AclUnreadable, "acl-unreadable", Damage),
    (LinkUnreadable, "link-unreadable", Damage),
    (JournalHomeless, "journal-homeless", Damage),
    (UnreachableName, "unreachable-name", Damage),
    (SpecialFile, "special-file", Damage),
    (OtherMount, "other-mount", Damage),
    (Shadowed, "shadowed-file", Damage),
    (SeveralItems, "several-items", Warning),
    (NoUid, "no-uid", Warning),
    (UidTwice, "uid-twice", Warning),
    (UidClash, "uid-clash", Warning),
    (UidOfTwoKinds, "uid-of-two-kinds", Warning),
    (NameClash, "name-clash", Warning),
    (StaleStaging, "stale-staging", Note),
    (JournalWaiting, "journal-waiting", Note),
    (JournalTorn, "journal-torn", Warning),
    (Owner, "owner", Warning),
    (Mode, "mode", Warning),
    (PropsUnreadable, "props-unreadable", Warning),
    (Metadata, "metadata", Warning),
    (LinkDangling, "link-dangling", Warning),
    (StrayDirectory, "stray-directory", Warning),
    (FreebusyUnreadable, "freebusy-unreadable", Warning),
    (PublicationUnreadable, "publication-unreadable", Warning),
    (NoTimeZone, "no-time-zone", Warning),
    (LongLine, "long-line", Warning),
    (NoStart, "no-start", Warning),
    (BadValue, "bad-value", Warning),
    (LineEnds, "line-ends", Note),
    (SplitCharacter, "split-character", Note),
    (LooseFile, "loose-file", Note),
    (StrayFile, "stray-file", Note),
    (LinkExpired, "link-expired", Note),
    (HistoryEntry, "history-entry", Note),
    (HardLink, "hard-link", Note),
];

impl Kind {
    fn row(self) -> (&'static str, Severity) {
        // The table is in the order of the kinds, which a test holds it to.
        let (_, name, severity) = KINDS[self as usize];
        (name, severity)
    }

    pub fn name(self) -> &'static str {
        self.row().0
    }

    pub fn severity(self) -> Severity {
        self.row().1
    }

    /// Every kind there is.
    pub fn all() -> impl Iterator<Item = Kind> {
        KINDS.iter().map(|(kind, ..)| *kind)
    }
}

/// Where a file's text is wrong, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    pub line: usize,
    pub column: Option<usize>,
}

impl Spot {
    /// Where JSON is wrong.
    pub fn of(error: &serde_json::Error) -> Option<Spot> {
        let (line, column) = (error.line(), error.column());
        (line > 0).then_some(Spot { line, column: (column > 0).then_some(column) })
    }
}

/// What is the matter with one file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// Below the data directory; empty for the data directory itself.
    pub path: PathBuf,
    pub spot: Option<Spot>,
    /// One sentence. It may hold what clients wrote: escape it where it is shown.
    pub words: String,
    /// Whether a repair is known.
    pub repairable: bool,
    /// Whether it was there and is not any more.
    pub repaired: bool,
}

impl Finding {
    pub fn new(kind: Kind, path: impl Into<PathBuf>, words: impl Into<String>) -> Finding {
        let (path, words) = (path.into(), words.into());
        Finding { kind, path, spot: None, words, repairable: false, repaired: false }
    }

    pub fn at(mut self, spot: Option<Spot>) -> Finding {
        self.spot = spot;
        self
    }

    pub fn at_line(self, line: Option<usize>) -> Finding {
        self.at(line.map(|line| Spot { line, column: None }))
    }

    pub fn repairable(mut self) -> Finding {
        self.repairable = true;
        self
    }

    /// Whether it says the same of the same thing, wherever its line is now.
    pub fn is_again(&self, other: &Finding) -> bool {
        (self.kind, &self.path) == (other.kind, &other.path)
    }
}

/// What JSON has that is wrong, without the place, which a finding has beside it.
pub fn json_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// What has a name of ours and is something else than that needs: `wanted`, with its article.
pub fn instead_of(wanted: &str, path: &FsPath, seen: &Seen) -> Finding {
    let words = format!(
        "{} where {wanted} should be: it is never opened, and nothing can be put in its place",
        seen.what()
    );
    Finding::new(Kind::SpecialFile, path, words)
}

/// What is neither file nor directory.
pub fn special(path: &FsPath, seen: &Seen) -> Finding {
    Finding::new(
        Kind::SpecialFile,
        path,
        format!("{}: it is never opened, and nothing can be put in its place", seen.what()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_kinds_and_no_name_stands_twice() {
        for (at, (kind, ..)) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
        let names: std::collections::HashSet<_> = Kind::all().map(Kind::name).collect();
        assert_eq!(names.len(), KINDS.len());
    }

    #[test]
    fn every_kind_is_in_the_documentation_with_its_weight() {
        let table = include_str!("../../../docs/checking.md");
        for kind in Kind::all() {
            let row = format!("| `{}` | {} |", kind.name(), kind.severity().name());
            assert!(table.contains(&row), "{row} is missing in docs/checking.md");
        }
    }
}
