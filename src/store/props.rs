//! What a calendar directory says of its calendar: the vdir metadata files and `.props.json`.

use serde::Deserialize;

use super::disk::Directory;
use crate::error::Result;
use crate::ical::whole::Heading;

/// The file for every property that has no vdir metadata file.
pub const PROPS: &str = ".props.json";

/// The vdir metadata files.
pub const METADATA: [&str; 4] = ["displayname", "color", "description", "order"];

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
