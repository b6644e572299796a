//! Header values: the ones negotiated by clients (Accept, Accept-Encoding), and the ones written with care.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What needs no escape in an extended parameter: `attr-char` of RFC 8187 §3.2.1.
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A name longer than this many characters is cut: a header has a limit, and the name of a file too.
const MAX_NAME: usize = 60;

/// The last second that an HTTP date can say, 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// Content-Disposition for a calendar shown as `display_name` (RFC 6266 §4): the name in ASCII for old clients, then in full.
pub fn content_disposition(display_name: &str) -> String {
    let shown: String = display_name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    let full = match shown.trim() {
        "" => "calendar".to_owned(),
        // No part of the name may look like a directory to whoever saves it.
        name => name.replace(['/', '\\'], "_"),
    };
    // Quotes would end the value, and some clients take `%` for an escape (RFC 6266 appendix D).
    let plain: String =
        full.chars().map(|c| if c.is_ascii() && !matches!(c, '"' | '%') { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(&full, ATTRIBUTE);
    format!("inline; filename=\"{plain}.ics\"; filename*=UTF-8''{encoded}.ics")
}

/// An HTTP date (RFC 9110 §5.6.7). What it cannot say, before 1970 and after 9999, becomes the nearest that it can.
pub fn http_date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)))
}

/// When something changed last, if that can be told: not while it may change again in the same second, for whoever asks by that time
/// later would not be told of it (RFC 9110 §8.8.2.2).
pub fn last_modified(modified: SystemTime, now: SystemTime) -> Option<SystemTime> {
    const DOUBT: Duration = Duration::from_secs(2);
    let is_past = now.duration_since(modified).is_ok_and(|since| since >= DOUBT);
    is_past.then_some(modified)
}

/// Whether the answer may be gzip (RFC 9110 §12.5.3), and is not less welcome than plain bytes.
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let Some(text) = accept_encoding else { return false };
    let weight_of = |names: &[&str]| {
        let mut found = members(text).filter(|member| names.iter().any(|name| member.is(name)));
        found.next().map(|member| member.weight)
    };
    let gzip = weight_of(&["gzip", "x-gzip"]).or_else(|| weight_of(&["*"])).unwrap_or(0);
    gzip > 0 && gzip >= weight_of(&["identity"]).unwrap_or(0)
}

/// Whether `text/calendar` may be the answer (RFC 9110 §12.5.1): the most specific range that fits decides.
pub fn accepts_calendar(accept: Option<&str>) -> bool {
    let text = accept.unwrap_or("");
    // `*` alone is no media range, but old Java clients send it for `*/*`.
    let ranges: [&[&str]; 3] = [&["text/calendar"], &["text/*"], &["*/*", "*"]];
    let fitting = ranges.iter().find_map(|names| {
        let members = members(text).filter(|member| names.iter().any(|name| member.is(name)));
        members.map(|member| member.weight).max()
    });
    fitting.map_or_else(|| members(text).next().is_none(), |weight| weight > 0)
}

/// One member of a list with weights: `text/calendar; charset=utf-8; q=0.8`.
struct Member<'a> {
    name: &'a str,
    /// In thousandths.
    weight: u32,
}

impl Member<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

fn members(text: &str) -> impl Iterator<Item = Member<'_>> {
    text.split(',').filter_map(|member| {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(Member { name, weight: weight.map_or(1000, thousandths) })
    })
}

/// A weight as RFC 9110 §12.4.2 spells it; a malformed one says "not wanted".
fn thousandths(weight: &str) -> u32 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, format!("{fraction:0<3}").parse()) {
        ("0", Ok(parts)) if digits => parts,
        ("1", Ok(0)) if digits => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_just_changed_says_no_time() {
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        let told = |millis| last_modified(modified, modified + Duration::from_millis(millis));
        assert_eq!((told(1_999), told(2_000)), (None, Some(modified)));
        assert_eq!(last_modified(modified, UNIX_EPOCH), None, "a clock was ahead");
    }

    #[test]
    fn a_name_is_given_in_ascii_and_in_full() {
        let long = "x".repeat(100);
        let cut = format!("inline; filename=\"{0}.ics\"; filename*=UTF-8''{0}.ics", "x".repeat(60));
        for (name, expected) in [
            ("Work", "inline; filename=\"Work.ics\"; filename*=UTF-8''Work.ics"),
            ("A b", "inline; filename=\"A b.ics\"; filename*=UTF-8''A%20b.ics"),
            ("M\u{fc}ller", "inline; filename=\"M_ller.ics\"; filename*=UTF-8''M%C3%BCller.ics"),
            ("\u{1f4c5}", "inline; filename=\"_.ics\"; filename*=UTF-8''%F0%9F%93%85.ics"),
            ("50%\"x\"", "inline; filename=\"50__x_.ics\"; filename*=UTF-8''50%25%22x%22.ics"),
            ("../a\\b", "inline; filename=\".._a_b.ics\"; filename*=UTF-8''.._a_b.ics"),
            (
                "x\r\nSet-Cookie: a",
                "inline; filename=\"xSet-Cookie: a.ics\"; filename*=UTF-8''xSet-Cookie%3A%20a.ics",
            ),
            ("", "inline; filename=\"calendar.ics\"; filename*=UTF-8''calendar.ics"),
            (" \n", "inline; filename=\"calendar.ics\"; filename*=UTF-8''calendar.ics"),
            (long.as_str(), cut.as_str()),
        ] {
            assert_eq!(content_disposition(name), expected, "{name:?}");
        }
    }

    #[test]
    fn times_that_http_cannot_say_become_the_nearest_it_can() {
        let after = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        for (time, expected) in [
            (after(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT"),
            (UNIX_EPOCH - Duration::from_secs(1), "Thu, 01 Jan 1970 00:00:00 GMT"),
            (after(LAST_SECOND), "Fri, 31 Dec 9999 23:59:59 GMT"),
            (after(LAST_SECOND + 1), "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(time), expected);
        }
    }

    #[test]
    fn gzip_is_sent_where_it_is_welcome() {
        for (header, expected) in [
            (None, false),
            (Some(""), false),
            (Some("gzip"), true),
            (Some("GZip"), true),
            (Some("x-gzip"), true),
            (Some("deflate, gzip;q=1.0, *;q=0.5"), true),
            (Some("gzip, deflate, br, zstd"), true),
            (Some("br"), false),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("gzip;q=0"), false),
            (Some("gzip;q=0, *"), false),
            (Some("gzip; q=0.000"), false),
            (Some("gzip;Q=0.001"), true),
            (Some("gzip;q=1.001"), false),
            (Some("gzip;q=NaN"), false),
            (Some("gzip;q="), false),
            (Some("identity"), false),
            (Some("identity;q=1, gzip;q=0.5"), false),
            (Some("identity;q=0.5, gzip;q=0.5"), true),
            (Some("identity;q=0, *;q=0.1"), true),
        ] {
            assert_eq!(accepts_gzip(header), expected, "{header:?}");
        }
    }

    #[test]
    fn the_most_specific_range_decides_on_text_calendar() {
        for (header, expected) in [
            (None, true),
            (Some(""), true),
            (Some("*/*"), true),
            (Some("text/*"), true),
            (Some("TEXT/Calendar"), true),
            (Some("text/calendar;component=VFREEBUSY;q=0.1"), true),
            (Some("text/calendar, application/ics, text/plain;q=0.9"), true),
            (Some("text/html, image/gif, *; q=.2, */*; q=.2"), false),
            (Some("text/html, image/gif, *; q=0.2, */*; q=0.2"), true),
            (Some("text/html, image/gif, *"), true),
            (Some("text/html"), false),
            (Some("application/json, text/plain"), false),
            (Some("text/calendar;q=0, */*"), false),
            (Some("text/*;q=0, */*"), false),
            (Some("text/calendar, text/*;q=0"), true),
            (Some("*/*;q=0"), false),
            (Some(", ,"), true),
        ] {
            assert_eq!(accepts_calendar(header), expected, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_its_header(name in "\\PC*|[\\x00-\\x7f]{0,30}") {
            let header = content_disposition(&name);
            prop_assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(header.matches('"').count(), 2);
        }

        #[test]
        fn no_accept_header_panics(text in "\\PC*|[a-z/*;q=0.1, ]{0,30}") {
            let _ = (accepts_gzip(Some(&text)), accepts_calendar(Some(&text)));
        }
    }
}
