//! What somebody sees of a CONFIDENTIAL item: that its owner is busy then, and nothing else.

use super::line::{Property, lines};
use super::text::push_line;

/// What says when an item takes place, and which one it is.
const TIMES: [&str; 15] = [
    "UID",
    "DTSTAMP",
    "DTSTART",
    "DTEND",
    "DUE",
    "COMPLETED",
    "DURATION",
    "RRULE",
    "RDATE",
    "EXDATE",
    "EXRULE",
    "RECURRENCE-ID",
    "TRANSP",
    "CLASS",
    "SEQUENCE",
];

/// What it is called.
pub const SUMMARY: &str = "Busy";

/// The components `raw` as bare "Busy" blocks: their times, and a summary that says so.
pub fn busy_block(raw: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(512);
    let mut depth = 0_usize;
    for line in lines(raw) {
        let Some(property) = Property::parse(&line.text) else { continue };
        if property.is("BEGIN") {
            depth += 1;
            if depth == 1 {
                masked.extend_from_slice(line.raw);
                push_line(&mut masked, &format!("SUMMARY:{SUMMARY}"));
            }
        } else if property.is("END") {
            if depth == 1 {
                masked.extend_from_slice(line.raw);
            }
            depth = depth.saturating_sub(1);
        } else if depth == 1 && (TIMES.iter().any(|name| property.is(name)) || says_free(&property)) {
            push_line(&mut masked, &bare(&property));
        }
    }
    masked
}

/// Whether it says that nobody is busy after all, or any more.
fn says_free(property: &Property<'_>) -> bool {
    let is_any =
        |known: [&str; 2]| known.iter().any(|status| property.value.trim().eq_ignore_ascii_case(status));
    property.is("STATUS") && is_any(["CANCELLED", "COMPLETED"])
}

/// The property with the parameters that say how to read its value, and no others.
fn bare(property: &Property<'_>) -> String {
    let telling = |(name, _): &(&str, &str)| {
        ["TZID", "VALUE", "RANGE"].iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let params: String =
        property.params().filter(telling).map(|(name, value)| format!(";{name}={value}")).collect();
    format!("{}{params}:{}", property.name, property.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_times_remain() {
        let raw = "BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Surgery\r\nDTSTART;X-NOTE=s;TZID=X:20260101T100000\r\nLOCATION:Clinic\r\nX-A:b\r\n\
                   ATTENDEE:mailto:doc@x\r\nBEGIN:VALARM\r\nUID:a\r\nDESCRIPTION:Surgery\r\nEND:VALARM\r\nDURATION:PT1H\r\n\
                   CLASS:CONFIDENTIAL\r\nEND:VEVENT\r\n";
        let expected = "BEGIN:VEVENT\r\nSUMMARY:Busy\r\nUID:1\r\nDTSTART;TZID=X:20260101T100000\r\nDURATION:PT1H\r\n\
                        CLASS:CONFIDENTIAL\r\nEND:VEVENT\r\n";
        assert_eq!(String::from_utf8_lossy(&busy_block(raw.as_bytes())), expected);
    }

    #[test]
    fn what_takes_no_time_any_more_says_so() {
        for (line, is_said) in [
            ("STATUS:CANCELLED", true),
            ("STATUS:cancelled", true),
            ("STATUS:COMPLETED", true),
            ("COMPLETED:20260101T100000Z", true),
            ("STATUS:TENTATIVE", false),
            ("PERCENT-COMPLETE:90", false),
        ] {
            let raw = format!("BEGIN:VTODO\r\n{line}\r\nEND:VTODO\r\n");
            let masked = busy_block(raw.as_bytes());
            assert_eq!(String::from_utf8_lossy(&masked).contains(line), is_said, "{line}");
        }
    }
}
