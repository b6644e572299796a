//! What a calendar directory says of its calendar: the vdir metadata files and `.props.json`.

use std::time::SystemTime;

use serde::Deserialize;

use super::disk::Directory;
use super::stamp::Stamp;
use crate::error::Result;
use crate::ical::whole::Heading;

/// The file for every property that has no vdir metadata file.
pub const PROPS: &str = ".props.json";

/// The vdir metadata files.
pub const METADATA: [&str; 4] = ["displayname", "color", "description", "order"];

/// The files that are read.
const READ: [&str; 3] = ["displayname", "color", PROPS];

/// The stamps of those.
pub type Stamps = [Option<Stamp>; READ.len()];

/// A calendar's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Props {
    pub heading: Heading,
    /// Whether its events make their owner busy.
    pub freebusy: bool,
}

/// What of `.props.json` matters here; whatever else it holds is left alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stored {
    time_zone: Option<String>,
    freebusy: Option<bool>,
}

impl Stored {
    fn parse(text: &[u8]) -> serde_json::Result<Stored> {
        serde_json::from_slice(text)
    }
}

/// The time zone that the text of a `.props.json` names.
///
/// # Errors
/// It cannot be understood; then none of its properties counts.
pub fn zone_in(text: &[u8]) -> serde_json::Result<Option<String>> {
    Stored::parse(text).map(|stored| stored.time_zone)
}

impl Props {
    /// The properties of a calendar that says nothing of itself and is called `name`.
    pub fn bare(name: &str) -> Props {
        Props { heading: Heading { name: name.to_owned(), ..Heading::default() }, freebusy: true }
    }

    /// The properties in `directory`, which is called `name`, with the stamps that tell of every later change, if they do.
    /// Those that are `known` stand while theirs are the same.
    pub fn sweep(
        directory: &Directory,
        name: &str,
        known: Option<(&Props, Stamps)>,
    ) -> Result<(Props, Option<Stamps>)> {
        let read_at = SystemTime::now();
        let mut stamps = Stamps::default();
        for (stamp, file) in stamps.iter_mut().zip(READ) {
            *stamp = directory.stamp(file)?;
        }
        if let Some((props, _)) = known.filter(|(_, then)| *then == stamps) {
            return Ok((props.clone(), Some(stamps)));
        }
        let settled = stamps.iter().flatten().all(|stamp| !directory.is_racy(*stamp, read_at));
        Ok((Props::read(directory, name)?, Some(stamps).filter(|_| settled)))
    }

    /// Reads the properties in `directory`, which is called `name`. What cannot be understood is logged and left out.
    pub fn read(directory: &Directory, name: &str) -> Result<Props> {
        let mut props = Props::bare(name);
        if let Some(name) = line(directory, "displayname")? {
            props.heading.name = name;
        }
        props.heading.color = line(directory, "color")?.filter(|color| is_color(color));
        if let Some((text, _)) = directory.read(PROPS)? {
            let stored = Stored::parse(&text).unwrap_or_else(|error| {
                tracing::debug!("{}/{PROPS}: {error}", directory.path().display());
                Stored::default()
            });
            props.heading.time_zone = stored.time_zone;
            props.freebusy = stored.freebusy.unwrap_or(true);
        }
        Ok(props)
    }
}

/// The first line of a metadata file, if it holds one.
fn line(directory: &Directory, file: &str) -> Result<Option<String>> {
    let Some((content, _)) = directory.read(file)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&content);
    Ok(text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()))
}

/// Whether it is `#RRGGBB`, which alone counts as a color.
pub fn is_color(text: &str) -> bool {
    text.len() == 7 && text.starts_with('#') && text[1..].bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_that_change_in_the_same_moment_are_read_again_and_others_are_not() {
        let tree = tempfile::tempdir().expect("a directory");
        let directory = Directory::root(tree.path()).expect("open");
        let mut known: Option<(Props, Stamps)> = None;
        let mut sweep = || {
            let before = known.as_ref().map(|(props, stamps)| (props, *stamps));
            let (props, stamps) = Props::sweep(&directory, "x", before).expect("swept");
            known = stamps.map(|stamps| (props.clone(), stamps));
            (props.heading.name, stamps.is_some())
        };
        assert_eq!(sweep(), ("x".to_owned(), true));
        for name in ["a", "b", "c", "d"] {
            std::fs::write(tree.path().join("displayname"), name).expect("write");
            assert_eq!(sweep().0, name);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(sweep(), ("d".to_owned(), true));
        let (props, stamps) = Props::sweep(&directory, "x", None).expect("swept");
        let kept = Props { heading: Heading { name: "kept".to_owned(), ..props.heading }, ..props };
        let again = Props::sweep(&directory, "x", stamps.map(|stamps| (&kept, stamps))).expect("swept");
        assert_eq!(again, (kept, stamps), "they were read");
        std::fs::remove_file(tree.path().join("displayname")).expect("removed");
        assert_eq!(sweep().0, "x");
    }
}
