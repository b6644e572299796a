//! What programs make of items merely by reading and writing them again, as far as it is known: Thunderbird's from its
//! source and from the wire, KDE's from its own code (tests/clients/kde compares), Apple's from its files.

use super::items::{folded, unfolded};

/// A component: its name, its lines, what is inside.
struct Component {
    name: String,
    lines: Vec<Line>,
    inner: Vec<Component>,
}

/// A property.
#[derive(Clone)]
struct Line {
    name: String,
    params: Vec<(String, String)>,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Thunderbird,
    Kde,
    Apple,
}

/// The components of `text` as `program` writes them after it has read them.
pub fn rewritten(text: &str, program: Program) -> String {
    let text = unfolded(text);
    let mut lines = text.lines();
    let mut out = String::new();
    while let Some(component) = read(&mut lines) {
        let component = if component.name == "VTIMEZONE" { component } else { again(component, program) };
        write(&component, &mut out);
    }
    folded(&out, 75, "\r\n ")
}

fn read<'t>(lines: &mut impl Iterator<Item = &'t str>) -> Option<Component> {
    let name = lines.next()?.strip_prefix("BEGIN:")?.to_owned();
    inside(name, lines)
}

fn inside<'t>(name: String, lines: &mut impl Iterator<Item = &'t str>) -> Option<Component> {
    let mut component = Component { name, lines: Vec::new(), inner: Vec::new() };
    loop {
        let line = lines.next()?;
        if let Some(name) = line.strip_prefix("BEGIN:") {
            component.inner.push(inside(name.to_owned(), lines)?);
        } else if line.starts_with("END:") {
            return Some(component);
        } else {
            component.lines.push(parse(line));
        }
    }
}

/// The places of `wanted` outside of quotes.
fn split(text: &str, wanted: char, most: usize) -> Vec<&str> {
    let mut quoted = false;
    text.splitn(most, move |c| {
        quoted ^= c == '"';
        c == wanted && !quoted
    })
    .collect()
}

fn parse(line: &str) -> Line {
    let parts = split(line, ':', 2);
    let mut head = split(parts[0], ';', usize::MAX).into_iter();
    let name = head.next().unwrap_or_default().to_owned();
    let param = |param: &str| {
        let (name, value) = param.split_once('=').unwrap_or((param, ""));
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    Line {
        name,
        params: head.map(param).collect(),
        value: parts.get(1).copied().unwrap_or_default().to_owned(),
    }
}

fn write(component: &Component, out: &mut String) {
    *out += &format!("BEGIN:{}\r\n", component.name);
    for line in &component.lines {
        *out += &line.name;
        for (name, value) in &line.params {
            let quoted = value.contains([',', ';', ':']) && name != "FEATURE";
            *out += &if quoted { format!(";{name}=\"{value}\"") } else { format!(";{name}={value}") };
        }
        *out += &format!(":{}\r\n", line.value);
    }
    component.inner.iter().for_each(|inner| write(inner, out));
    *out += &format!("END:{}\r\n", component.name);
}

fn again(mut component: Component, program: Program) -> Component {
    // What no program has a place for.
    component.inner.retain(|inner| inner.name == "VALARM");
    component.inner = component.inner.into_iter().map(|inner| again(inner, program)).collect();
    for line in &mut component.lines {
        respell(line);
    }
    match program {
        Program::Thunderbird => as_thunderbird(&mut component),
        Program::Kde => as_kde(&mut component),
        Program::Apple => as_apple(&mut component),
    }
    component
}

/// What all of them do: a value is a value, however it was spelled.
fn respell(line: &mut Line) {
    line.params.retain(|(name, value)| {
        !matches!((name.as_str(), value.as_str()), ("RELATED", "START") | ("VALUE", "DURATION"))
    });
    line.params.sort();
    match line.name.as_str() {
        "RRULE" => {
            let mut parts: Vec<&str> = line.value.split(';').filter(|part| *part != "INTERVAL=1").collect();
            parts.sort_by_key(|part| (!part.starts_with("FREQ"), !part.starts_with("COUNT"), *part));
            line.value = parts.join(";");
        }
        "DURATION" | "TRIGGER" => line.value = duration(&line.value),
        "ORGANIZER" | "ATTENDEE" => line.value = line.value.replace("MAILTO:", "mailto:"),
        _ => {}
    }
}

/// A duration in the largest units that come out even.
fn duration(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let mut seconds = 0_u64;
    let mut number = 0_u64;
    for c in digits.chars() {
        match c.to_digit(10) {
            Some(digit) => number = number * 10 + u64::from(digit),
            None => {
                let unit = [('W', 604_800), ('D', 86_400), ('H', 3_600), ('M', 60), ('S', 1)];
                seconds += number * unit.iter().find(|(name, _)| *name == c).map_or(0, |(_, unit)| *unit);
                number = 0;
            }
        }
    }
    match seconds {
        0 => "PT0S".to_owned(),
        _ if seconds.is_multiple_of(604_800) => format!("{sign}P{}W", seconds / 604_800),
        _ if seconds.is_multiple_of(86_400) => format!("{sign}P{}D", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{sign}PT{}H", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{sign}PT{}M", seconds / 60),
        _ => format!("{sign}PT{seconds}S"),
    }
}

fn as_thunderbird(component: &mut Component) {
    const FIRST: [&str; 8] =
        ["CREATED", "LAST-MODIFIED", "DTSTAMP", "UID", "SUMMARY", "PRIORITY", "STATUS", "RRULE"];
    let all = std::mem::take(&mut component.lines);
    let repeated = |at: usize, line: &Line| {
        line.name.starts_with("X-") && all[at + 1..].iter().any(|later| later.name == line.name)
    };
    let kept = all.iter().enumerate().filter(|(at, line)| !line.value.is_empty() && !repeated(*at, line));
    component.lines = kept.map(|(_, line)| line.clone()).collect();
    component.lines.sort_by_key(|line| {
        (FIRST.iter().position(|name| line.name == *name).unwrap_or(FIRST.len()), line.name.clone())
    });
    for line in &mut component.lines {
        line.params.retain(|(name, _)| name != "LANGUAGE" && name != "RANGE");
    }
}

/// A line without parameters.
fn plain(name: &str, value: &str) -> Line {
    Line { name: name.to_owned(), params: Vec::new(), value: value.to_owned() }
}

/// Writes a property anew where it was, or at the end.
fn set(component: &mut Component, name: &str, value: &str, overwrite: bool) {
    match component.lines.iter_mut().find(|line| line.name == name) {
        Some(line) if overwrite => line.value = value.to_owned(),
        Some(_) => {}
        None => component.lines.push(plain(name, value)),
    }
}

fn as_kde(component: &mut Component) {
    component.lines.retain(|line| {
        let is_person = !matches!(line.name.as_str(), "ATTENDEE") || line.value.contains('@');
        let (name, value) = (line.name.as_str(), line.value.as_str());
        let is_default = matches!((name, value), ("CLASS", "PUBLIC") | ("SEQUENCE" | "PRIORITY", "0"));
        is_person && !is_default && !value.is_empty() && !matches!(name, "RESOURCES" | "X-LIC-ERROR")
    });
    join_own(component);
    match component.name.as_str() {
        "VALARM" => {
            component.lines.retain(|line| line.name != "ACKNOWLEDGED" && line.name != "UID");
            set(component, "X-KDE-KCALCORE-ENABLED", "TRUE", false);
        }
        "VEVENT" => {
            set(component, "TRANSP", "OPAQUE", false);
            end_whole_day(component);
        }
        "VTODO" => complete(component),
        _ => {}
    }
    if component.name != "VALARM" {
        // Of the moment of writing, and of reading.
        set(component, "DTSTAMP", "20261124T120000Z", true);
        set(component, "CREATED", "20261124T115900Z", false);
        set(component, "LAST-MODIFIED", "20261124T115900Z", false);
    }
    component.lines.iter_mut().for_each(kdes_params);
    component.lines.sort_by(|one, other| other.name.cmp(&one.name));
}

/// Of what is its maker's own, one line holds all values.
fn join_own(component: &mut Component) {
    let mut joined: Vec<Line> = Vec::new();
    for line in component.lines.drain(..) {
        match joined.iter_mut().find(|known| known.name == line.name && line.name.starts_with("X-")) {
            Some(known) => known.value = format!("{},{}", known.value, line.value),
            None => joined.push(line),
        }
    }
    component.lines = joined;
}

/// A task that is done is done in each respect.
fn complete(task: &mut Component) {
    set(task, "PERCENT-COMPLETE", "0", false);
    let says =
        |name: &str, value: &str| task.lines.iter().any(|line| line.name == name && line.value == value);
    if says("STATUS", "COMPLETED") || says("PERCENT-COMPLETE", "100") {
        set(task, "PERCENT-COMPLETE", "100", true);
        set(task, "STATUS", "COMPLETED", true);
        set(task, "COMPLETED", "20261124T120000Z", false);
    }
}

/// An event of one day that does not say when it ends says so.
fn end_whole_day(event: &mut Component) {
    if event.lines.iter().any(|line| line.name == "DTEND" || line.name == "DURATION") {
        return;
    }
    let start = event.lines.iter().find(|line| line.name == "DTSTART");
    let Some(start) = start.filter(|start| start.params.iter().any(|(_, value)| value == "DATE")) else {
        return;
    };
    let day = jiff::civil::Date::strptime("%Y%m%d", &start.value).expect("a day");
    let next = day.tomorrow().expect("a day").strftime("%Y%m%d").to_string();
    let end = Line { name: "DTEND".to_owned(), value: next, ..start.clone() };
    event.lines.push(end);
}

/// What it has a place for: zones by the names that Qt knows them under, of people a few parameters.
fn kdes_params(line: &mut Line) {
    const OF_ATTENDEES: [&str; 7] =
        ["CN", "ROLE", "PARTSTAT", "RSVP", "CUTYPE", "DELEGATED-TO", "DELEGATED-FROM"];
    let name = line.name.clone();
    line.params.retain(|(param, value)| match name.as_str() {
        "ATTENDEE" => OF_ATTENDEES.contains(&param.as_str()),
        "ORGANIZER" => param == "CN",
        // What is not ASCII is read as Latin-1.
        own if own.starts_with("X-") => value.is_ascii() && !value.contains(';'),
        _ => !["LANGUAGE", "ALTREP", "RELTYPE"].contains(&param.as_str()),
    });
    // Without a definition, it is none that it knows.
    line.params.retain(|(_, value)| !value.starts_with("/freeassociation"));
    for (_, zone) in line.params.iter_mut().filter(|(param, _)| param == "TZID") {
        match zone.as_str() {
            "W. Europe Standard Time" => "Europe/Berlin".clone_into(zone),
            "Customized Time Zone" => "UTC+05:30".clone_into(zone),
            _ => {}
        }
    }
    if line.name == "GEO" {
        let floats = line.value.split(';').map(|number| number.parse().expect("a number"));
        let floats: Vec<String> = floats.map(|number: f32| format!("{number:.6}")).collect();
        line.value = floats.join(";");
    }
    if line.name != "ATTENDEE" {
        return;
    }
    for (name, value) in [
        ("CUTYPE", "INDIVIDUAL"),
        ("ROLE", "REQ-PARTICIPANT"),
        ("PARTSTAT", "NEEDS-ACTION"),
        ("RSVP", "FALSE"),
    ] {
        if !line.params.iter().any(|(known, _)| known == name) {
            line.params.push((name.to_owned(), value.to_owned()));
        }
    }
}

fn as_apple(component: &mut Component) {
    if component.name != "VALARM" {
        set(component, "DTSTAMP", "20261124T120000Z", true);
        set(component, "SEQUENCE", "0", false);
    }
    if component.name == "VEVENT" {
        set(component, "TRANSP", "OPAQUE", false);
    }
    component.lines.sort_by(|one, other| one.name.cmp(&other.name));
}
