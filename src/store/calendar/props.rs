//! What a calendar directory says of its calendar: the vdir metadata files and `.props.json`.

use std::collections::HashMap;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Result};
use crate::ical::whole::Heading;
use crate::store::disk::Directory;
use crate::store::disk::stamp::Stamp;

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
    /// What cannot be read or understood of its files, and why.
    pub faults: Vec<String>,
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
        // A list, too, serde takes for the fields in their order.
        serde_json::from_slice::<HashMap<String, IgnoredAny>>(text)?;
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
        let heading = Heading { name: name.to_owned(), ..Heading::default() };
        Props { heading, freebusy: true, faults: Vec::new() }
    }

    /// The properties in `directory`, which is called `name`, with the stamps that tell of every later change, if they do.
    /// Those that are `known` stand while their stamps are the same.
    pub fn sweep(
        directory: &Directory,
        name: &str,
        known: Option<&Props>,
        then: Option<Stamps>,
    ) -> Result<(Props, Option<Stamps>)> {
        let read_at = SystemTime::now();
        let mut stamps = Stamps::default();
        for (stamp, file) in stamps.iter_mut().zip(READ) {
            *stamp = directory.stamp(file)?;
        }
        if let Some(props) = known.filter(|_| then == Some(stamps)) {
            return Ok((props.clone(), then));
        }
        let settled = stamps.iter().flatten().all(|stamp| !directory.is_racy(*stamp, read_at));
        let props = Props::read(directory, name, known)?;
        let news = |fault: &&String| !known.is_some_and(|known| known.faults.contains(*fault));
        props
            .faults
            .iter()
            .filter(news)
            .for_each(|fault| tracing::warn!("{fault}; what it said before counts, if that is known"));
        // What cannot be read may be readable later without another stamp.
        let settled = settled && props.faults.is_empty();
        Ok((props, Some(stamps).filter(|_| settled)))
    }

    /// Reads the properties in `directory`, which is called `name`. What cannot be read or understood is as it is `known`; if it
    /// is not, it is none, and free/busy is off: a mistake never shows what was hidden.
    pub fn read(directory: &Directory, name: &str, known: Option<&Props>) -> Result<Props> {
        let mut props = Props::bare(name);
        let mut faults = Vec::new();
        let mut understood = |found: Result<Option<String>>, then: Option<Option<String>>| match found {
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                faults.push(error.to_string());
                Ok(then.flatten())
            }
            found => found,
        };
        let then = known.map(|known| &known.heading);
        let named = line(directory, "displayname");
        if let Some(name) = understood(named, then.map(|then| Some(then.name.clone())))? {
            props.heading.name = name;
        }
        let color = understood(line(directory, "color"), then.map(|then| then.color.clone()))?;
        props.heading.color = color.filter(|color| is_color(color));
        match stored(directory) {
            Err(error) if error.is_passing() => return Err(error),
            Ok(Stored { time_zone, freebusy }) => {
                props.heading.time_zone = time_zone;
                props.freebusy = freebusy.unwrap_or(true);
            }
            Err(error) => {
                faults.push(error.to_string());
                props.heading.time_zone = then.and_then(|then| then.time_zone.clone());
                props.freebusy = known.is_some_and(|known| known.freebusy);
            }
        }
        Ok(Props { faults, ..props })
    }
}

/// The first line of a metadata file, if it holds one.
fn line(directory: &Directory, file: &str) -> Result<Option<String>> {
    let Some((content, _)) = directory.read(file)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&content);
    Ok(text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()))
}

/// What `.props.json` says.
fn stored(directory: &Directory) -> Result<Stored> {
    let mistake = |why: &str| Error::Config(format!("{}: {why}", directory.path().join(PROPS).display()));
    match directory.read(PROPS)? {
        Some((text, _)) => Stored::parse(&text).map_err(|error| mistake(&error.to_string())),
        None if directory.kind(PROPS)?.is_some() => Err(mistake("not a regular file")),
        None => Ok(Stored::default()),
    }
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
        let (mut known, mut then): (Option<Props>, _) = (None, None);
        let mut sweep = || {
            let (props, stamps) = Props::sweep(&directory, "x", known.as_ref(), then).expect("swept");
            (known, then) = (Some(props.clone()), stamps);
            (props.heading.name, stamps.is_some())
        };
        assert_eq!(sweep(), ("x".to_owned(), true));
        for name in ["a", "b", "c", "d"] {
            std::fs::write(tree.path().join("displayname"), name).expect("write");
            assert_eq!(sweep().0, name);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(sweep(), ("d".to_owned(), true));
        let (props, stamps) = Props::sweep(&directory, "x", None, None).expect("swept");
        let kept = Props { heading: Heading { name: "kept".to_owned(), ..props.heading }, ..props };
        let again = Props::sweep(&directory, "x", Some(&kept), stamps).expect("swept");
        assert_eq!(again, (kept, stamps), "they were read");
        std::fs::remove_file(tree.path().join("displayname")).expect("removed");
        assert_eq!(sweep().0, "x");
    }

    #[test]
    fn a_mistake_changes_nothing_that_is_known_and_switches_no_free_busy_on() {
        let tree = tempfile::tempdir().expect("a directory");
        let directory = Directory::root(tree.path()).expect("open");
        let file = tree.path().join(PROPS);
        let read = |known: Option<&Props>| Props::read(&directory, "x", known).expect("read");
        let said = |props: &Props| (props.freebusy, props.heading.time_zone.clone(), props.faults.len());
        std::fs::write(&file, "{\"freebusy\": true, \"time_zone\": \"Asia/Tokyo\"}").expect("write");
        let on = read(None);
        std::fs::write(&file, "{\"freebusy\": false}").expect("write");
        let off = read(Some(&on));
        assert_eq!(said(&off), (false, None, 0));
        let mistakes = ["{\"freebusy\": false,}", "{\"freebusy\": \"false\"}", "{\"freebusy\": fa", "", "[]"];
        for mistake in mistakes.map(Some).into_iter().chain([None]) {
            std::fs::remove_file(&file).expect("removed");
            match mistake {
                Some(text) => std::fs::write(&file, text).expect("write"),
                None => std::os::unix::fs::symlink("elsewhere", &file).expect("a link"),
            }
            assert_eq!(said(&read(None)), (false, None, 1), "{mistake:?}");
            assert_eq!(said(&read(Some(&off))), (false, None, 1), "{mistake:?}");
            assert_eq!(said(&read(Some(&on))), (true, Some("Asia/Tokyo".to_owned()), 1), "{mistake:?}");
        }
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(said(&read(Some(&off))), (true, None, 0));
    }
}
