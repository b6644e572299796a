//! Calendars as text: put together for a request, taken apart from an answer.

/// PRODID of a program that only its meaning tells what it changed.
pub const PLAIN: &str = "-//Example//Client//EN";

/// PRODID of Thunderbird, whose stamps tell what it changed.
pub const MOZILLA: &str = "-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN";

/// User-Agent of Thunderbird.
pub const THUNDERBIRD: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Thunderbird/153.0";

/// One VEVENT in December 2026, with more lines after its SUMMARY.
pub fn event(uid: &str, summary: &str, more: &[&str]) -> String {
    let times = "DTSTART:20261201T100000Z\r\nDTEND:20261201T110000Z\r\n";
    component("VEVENT", uid, &format!("{times}SUMMARY:{summary}\r\n"), more)
}

/// One VTODO.
pub fn task(uid: &str, summary: &str, more: &[&str]) -> String {
    component("VTODO", uid, &format!("SUMMARY:{summary}\r\n"), more)
}

fn component(kind: &str, uid: &str, body: &str, more: &[&str]) -> String {
    // A stamp in `more` is meant instead of this one.
    let stamped = more.iter().any(|line| line.starts_with("DTSTAMP"));
    let stamp = if stamped { "" } else { "DTSTAMP:20261001T080000Z\r\n" };
    let more: String = more.iter().map(|line| format!("{line}\r\n")).collect();
    format!("BEGIN:{kind}\r\nUID:{uid}\r\n{stamp}{body}{more}END:{kind}\r\n")
}

/// A VCALENDAR of `parts`.
pub fn calendar(prodid: &str, parts: &[&str]) -> String {
    let parts = parts.concat();
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:{prodid}\r\n{parts}END:VCALENDAR\r\n")
}

/// A plain VCALENDAR of `parts`.
pub fn plain(parts: &[&str]) -> String {
    calendar(PLAIN, parts)
}

/// The raw VEVENTs, VTODOs and VJOURNALs of a text, in their order.
pub fn components(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_end();
        if open.is_none() && ["BEGIN:VEVENT", "BEGIN:VTODO", "BEGIN:VJOURNAL"].contains(&trimmed) {
            open = Some((trimmed.replace("BEGIN", "END"), String::new()));
        }
        let Some((end, body)) = &mut open else {
            continue;
        };
        body.push_str(line);
        if trimmed == end.as_str() {
            found.extend(open.take().map(|(_, body)| body));
        }
    }
    found
}

/// The raw components of a text with this UID.
#[track_caller]
pub fn by_uid(text: &str, uid: &str) -> String {
    let mut found = components(text);
    found.retain(|part| value(part, "UID").as_deref() == Some(uid));
    assert!(!found.is_empty(), "no {uid} in\n{text}");
    found.concat()
}

/// The value of the first property `name` of a text, unfolded.
pub fn value(text: &str, name: &str) -> Option<String> {
    unfold(text).lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (_, value) = rest.split_once(':').filter(|_| rest.starts_with([':', ';']))?;
        Some(value.to_owned())
    })
}

pub fn unfold(text: &str) -> String {
    text.replace("\r\n ", "").replace("\r\n\t", "")
}

/// The SUMMARY of each component, sorted.
pub fn summaries(text: &str) -> Vec<String> {
    sorted(text, "SUMMARY")
}

/// The UID of each component, sorted.
pub fn uids(text: &str) -> Vec<String> {
    sorted(text, "UID")
}

fn sorted(text: &str, name: &str) -> Vec<String> {
    let mut values: Vec<_> = components(text).iter().filter_map(|part| value(part, name)).collect();
    values.sort();
    values
}

/// Fails unless `text` is one VCALENDAR with CRLF line ends, short lines and every BEGIN closed.
#[track_caller]
pub fn assert_well_formed(text: &str) {
    assert!(text.starts_with("BEGIN:VCALENDAR\r\n") && text.ends_with("END:VCALENDAR\r\n"), "{text}");
    let mut open = Vec::new();
    for line in text.split_terminator("\r\n") {
        assert!(!line.contains(['\n', '\r']) && line.len() <= 75, "{line:?} in\n{text}");
        if let Some(name) = line.strip_prefix("BEGIN:") {
            assert!(name != "VCALENDAR" || open.is_empty(), "a second VCALENDAR in\n{text}");
            open.push(name);
        } else if let Some(name) = line.strip_prefix("END:") {
            assert_eq!(open.pop(), Some(name), "{text}");
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed in\n{text}");
}
