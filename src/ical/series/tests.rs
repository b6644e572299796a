//! Series as text, and the rules that a series keeps.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::ical::event::{Event, NotUnderstood, components};
use crate::ical::period::TimeRange;
use crate::ical::series::instances;
use crate::ical::tz::{Zones, zone};

/// A calendar in the making.
pub(in crate::ical) struct Item(String);

impl Item {
    pub fn new() -> Item {
        Item("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n".to_owned())
    }

    pub fn event(mut self, lines: &str) -> Item {
        self.0 += &format!("BEGIN:VEVENT\r\nUID:x\r\n{lines}\r\nEND:VEVENT\r\n");
        self
    }

    pub fn text(&self) -> String {
        format!("{}END:VCALENDAR\r\n", self.0)
    }
}

fn at(name: &str, civil: &str) -> Timestamp {
    let civil: DateTime = civil.parse().expect("a time");
    zone(name).expect("a zone").to_timestamp(civil).expect("an instant")
}

/// `start/end` of each instance that overlaps the window, on the clock of `zone`, which is also the owner's.
fn found(item: &Item, name: &str, from: &str, to: &str) -> Result<Vec<String>, NotUnderstood> {
    let own = zone(name).expect("a zone");
    let text = item.text();
    let mut zones = Zones::new(text.as_bytes(), &own);
    let events: Vec<Event> = (components(text.as_bytes()).iter())
        .map(|component| Event::read(component, &mut zones))
        .collect::<Result<_, _>>()?;
    let window = TimeRange { start: at(name, from), end: at(name, to) };
    let clock =
        |instant: Timestamp, own: &TimeZone| own.to_datetime(instant).strftime("%Y-%m-%dT%H:%M").to_string();
    let mut all = instances(&events, &window)?;
    all.sort_by_key(|instance| (instance.start, instance.end));
    Ok(all
        .iter()
        .map(|instance| format!("{}/{}", clock(instance.start, &own), clock(instance.end, &own)))
        .collect())
}

/// Where the instances of events without a length start, from `from` to `to`, which is in it.
pub(in crate::ical) fn local_starts(item: &Item, name: &str, from: &str, to: &str) -> Vec<String> {
    let end = to.parse::<DateTime>().expect("a time").checked_add(jiff::SignedDuration::from_secs(1));
    let found = found(item, name, from, &end.expect("a time").to_string()).expect("understood");
    found.iter().filter_map(|instance| instance.split('/').next()).map(str::to_owned).collect()
}
