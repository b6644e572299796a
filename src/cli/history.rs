//! `kalends history`: who changed what at a place, when, and by what program.

use clap::Args;
use serde::Serialize;

use super::DataOptions;
use super::diff::uid;
use super::out::print;
use super::when::{plain, shown, zone};
use crate::error::Result;
use crate::store::{Cause, Did, Store, Told, ToldItem};

/// As many items of a change are listed where not one item is asked for.
const MOST: usize = 20;

#[derive(Debug, Args)]
pub struct Asked {
    /// A calendar, as alice/Work/Projects; or a folder or a home, for all that is in it.
    place: String,
    /// Only the changes of this item.
    #[arg(value_parser = uid)]
    uid: Option<String>,
    /// Print each change as a line of JSON, with all of its items.
    #[arg(long)]
    json: bool,
}

/// A change as `--json` prints it.
#[derive(Serialize)]
struct Line<'t> {
    time: String,
    change: &'t str,
    #[serde(flatten)]
    cause: &'t Cause,
    items: Vec<Item<'t>>,
}

#[derive(Serialize)]
struct Item<'t> {
    what: &'static str,
    file: &'t str,
    uid: &'t str,
    summary: &'t str,
}

/// Prints what is asked for.
///
/// # Errors
/// A place that cannot be, or of which the history has nothing.
pub fn run(asked: &Asked, data: &DataOptions) -> Result<()> {
    let config = data.config()?;
    let store = Store::open_tree(&config)?;
    let told = store.history(&asked.place.parse()?, asked.uid.as_deref())?;
    let zone = zone(&config);
    let text: String = match asked.json {
        true => told.iter().map(json).collect(),
        false => {
            told.iter().map(|told| readable(told, &shown(told.time, &zone), asked.uid.is_none())).collect()
        }
    };
    print(&text)
}

fn json(told: &Told) -> String {
    fn item(ToldItem { what, file, uid, summary }: &ToldItem) -> Item<'_> {
        Item { what: what.name(), file, uid, summary }
    }
    let items = told.items.iter().map(item).collect();
    let line = Line { time: told.time.to_string(), change: &told.change, cause: &told.cause, items };
    serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
}

/// A line for the change, and one below it for each item.
fn readable(told: &Told, time: &str, bounded: bool) -> String {
    let Cause { did, who, program, peer, address, merge, missing } = &told.cause;
    if *did == Did::Back {
        return format!(
            "{time}  the home went back in time: {} and what followed is not here any more\n",
            plain(missing)
        );
    }
    let did = match did {
        Did::Save => "save",
        Did::Remove => "removal",
        Did::Restore => "restore",
        Did::Publish => "publication",
        Did::Rights => "rights",
        Did::Repair => "repair",
        Did::Back | Did::Other => "change",
    };
    let who = if who.is_empty() { "unknown" } else { who };
    let mut words = vec![time.to_owned(), plain(who), did.to_owned()];
    words.extend([program, address].into_iter().filter(|word| !word.is_empty()).map(|word| plain(word)));
    words.extend(peer.map(|peer| peer.to_string()));
    words.extend((!merge.is_empty()).then(|| format!("({})", plain(merge))));
    let most = if bounded { MOST } else { usize::MAX };
    let mut text = words.join("  ") + "\n";
    for ToldItem { what, file, uid, summary } in told.items.iter().take(most) {
        let name = if uid.is_empty() { plain(file) } else { plain(uid) };
        // What the calendar says of itself, or who may see it.
        let name = if file.ends_with(".ics") { name } else { format!("{name}  (no item)") };
        let summary = if summary.is_empty() { String::new() } else { format!("  \"{}\"", plain(summary)) };
        text += &format!("    {:<8}  {name}{summary}\n", what.name());
    }
    if told.items.len() > most {
        text += &format!("    and {} more\n", told.items.len() - most);
    }
    text
}
