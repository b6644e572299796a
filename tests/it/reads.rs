//! What a GET carries: headers, entity tags, conditions, compression, and the VCALENDAR around the items.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::calendar::{assert_well_formed, by_uid, components, event, plain, summaries, uids, unfold, value};
use crate::server::{NOBODY, Server};

const PROJECTS: &str = "/ical/folder/Work/Projects.ics";

#[test]
fn a_get_carries_the_headers_that_clients_and_proxies_need() {
    let s = Server::start();
    let answer = s.dated(PROJECTS, "alice");
    assert_eq!(answer.header("Content-Type"), "text/calendar; charset=utf-8");
    assert_eq!(answer.header("Cache-Control"), "private, no-cache, no-transform");
    assert_eq!(
        answer.header("Content-Disposition"),
        "inline; filename=\"Projects.ics\"; filename*=UTF-8''Projects.ics"
    );
    let vary: Vec<_> = answer.header("Vary").split(',').map(|name| name.trim().to_lowercase()).collect();
    assert!(vary.contains(&"accept-encoding".into()) && vary.contains(&"authorization".into()), "{answer}");
    assert!(httpdate::parse_http_date(answer.header("Last-Modified")).is_ok(), "{answer}");
    assert_eq!(answer.header("Content-Length"), answer.body.len().to_string());
    assert_eq!(answer.header("X-Content-Type-Options"), "nosniff");
    answer.etag();
}

#[test]
fn a_calendar_says_its_name_colour_and_how_often_to_come() {
    let s = Server::start();
    let text = s.get(PROJECTS, "alice").text();
    assert_well_formed(&text);
    for line in [
        "VERSION:2.0",
        "CALSCALE:GREGORIAN",
        "NAME:Projects",
        "X-WR-CALNAME:Projects",
        // RFC 7986 wants a CSS3 colour name, so the exact one stands in Apple's property only where there is no name.
        "X-APPLE-CALENDAR-COLOR:#C17D11",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} is not in\n{text}");
    }
    for name in ["PRODID", "COLOR", "X-WR-TIMEZONE", "X-PUBLISHED-TTL"] {
        assert!(value(&text, name).is_some(), "{name} is not in\n{text}");
    }
    assert!(text.contains("\r\nREFRESH-INTERVAL;VALUE=DURATION:P"), "{text}");
    assert_eq!(
        value(&s.get("/ical/main.ics", "alice").text(), "X-WR-TIMEZONE").as_deref(),
        Some("Europe/Berlin")
    );
}

#[test]
fn an_empty_calendar_is_a_calendar() {
    let s = Server::start();
    let text = s.get("/ical/folder/Odd/Empty.ics", "bob").text();
    assert_well_formed(&text);
    assert!(components(&text).is_empty(), "{text}");
}

#[test]
fn every_calendar_of_the_example_is_well_formed() {
    let s = Server::start();
    for (address, user) in [
        ("/ical/main.ics", "alice"),
        ("/ical/main.ics", "bob"),
        ("/ical/main.ics", "carol"),
        ("/ical/folder/Team.ics", "alice"),
        ("/ical/folder/Work/Travel.ics", "alice"),
        ("/ical/folder/Journal.ics", "carol"),
        ("/ical/folder/Odd/Dropped.ics", "bob"),
        ("/ical/folder/Odd/Nameless.ics", "bob"),
        ("/ical/folder/Odd/Zones.ics", "bob"),
        ("/ical/pf/Holidays.ics", NOBODY),
    ] {
        let text = s.get(address, user).text();
        assert_well_formed(&text);
        assert!(!components(&text).is_empty(), "{address}");
    }
}

#[test]
fn an_items_bytes_are_served_as_the_client_wrote_them() {
    let s = Server::start();
    let served = s.get("/ical/folder/Calendar.ics", "alice").text();
    for text in s.texts("users/alice/Calendar") {
        for component in components(&text) {
            assert!(served.contains(&component), "not served byte for byte:\n{component}");
        }
    }
    // Windows' own line that VCALENDAR carried for its inspector is no item's.
    assert_eq!(
        components(&served).len(),
        s.texts("users/alice/Calendar").iter().flat_map(|text| components(text)).count()
    );
}

#[test]
fn each_time_zone_stands_once_and_none_is_missing() {
    let s = Server::start();
    for (address, user) in [("/ical/main.ics", "alice"), ("/ical/folder/Odd/Zones.ics", "bob")] {
        let text = unfold(&s.get(address, user).text());
        let defined: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("TZID:")).map(str::to_owned).collect();
        let mut once = defined.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), defined.len(), "{defined:?}");
        for used in text.split(";TZID=").skip(1) {
            let used = used.split([':', ';']).next().expect("a value");
            // The long Windows name has a colon inside its quotes.
            let used = used.trim_matches('"');
            let known = defined.iter().any(|tzid| tzid.starts_with(used)) || used == "Nowhere/At_All";
            assert!(known, "{used} is not in {defined:?}");
        }
    }
}

#[test]
fn two_definitions_under_one_tzid_are_served_under_two() {
    let s = Server::start();
    let text = s.get("/ical/folder/Odd/Zones.ics", "bob").text();
    assert!(
        text.contains("\r\nTZID:Our Office\r\n") && text.contains("\r\nTZID:Our Office (2)\r\n"),
        "{text}"
    );
    let zones: Vec<_> = ["zone-one@example.org", "zone-two@example.org"]
        .iter()
        .map(|uid| by_uid(&text, uid).replace('"', "").contains("DTSTART;TZID=Our Office (2):"))
        .collect();
    assert_eq!(zones.iter().filter(|second| **second).count(), 1, "{text}");
    let files = s.texts("users/bob/Odd/Zones").concat();
    assert!(!files.contains("(2)"), "{files}");
}

#[test]
fn an_equal_etag_is_a_304_without_a_body() {
    let s = Server::start();
    let full = s.get(PROJECTS, "alice").status(200);
    let etag = full.etag();
    let opaque = etag.trim_matches('"');
    for tag in [
        etag.clone(),
        format!("W/{etag}"),
        format!("\"{opaque}-gzip\""),
        format!("\"other\", {etag}"),
        "*".to_owned(),
    ] {
        let answer = s.get(PROJECTS, "alice").header("If-None-Match", &tag).status(304);
        assert!(answer.body.is_empty(), "{answer}");
        assert_eq!(answer.etag(), etag);
        assert_eq!(answer.header("Cache-Control"), full.header("Cache-Control"));
        assert_eq!(answer.header("Vary"), full.header("Vary"));
    }
    for tag in ["\"other\"", opaque, "nothing", "\"\"", ""] {
        s.get(PROJECTS, "alice").header("If-None-Match", tag).status(200);
    }
}

#[test]
fn if_modified_since_is_compared_for_equality_and_only_without_if_none_match() {
    let s = Server::start();
    let modified = s.dated(PROJECTS, "alice").header("Last-Modified").to_owned();
    let ask = |since: &str| s.get(PROJECTS, "alice").header("If-Modified-Since", since);
    ask(&modified).status(304);
    // A restore may bring back older times: whatever differs was modified.
    ask("Fri, 31 Dec 2100 23:59:59 GMT").status(200);
    ask("Thu, 01 Jan 2026 00:00:00 GMT").status(200);
    ask("yesterday").status(200);
    ask(&modified).header("If-None-Match", "\"other\"").status(200);
}

#[test]
fn what_has_just_changed_says_no_time_that_another_change_may_share() {
    let s = Server::start();
    let address = "/ical/folder/New.ics";
    for summary in ["A", "B"] {
        let before = Instant::now();
        s.put(address, "alice", plain(&[&event("a", summary, &["SEQUENCE:1"])])).send();
        let told = s.get(address, "alice").status(200).header("Last-Modified").to_owned();
        assert!(told.is_empty() || before.elapsed() >= Duration::from_secs(2), "{told}");
        let told = s.dated(address, "alice").header("Last-Modified").to_owned();
        s.get(address, "alice").header("If-Modified-Since", &told).status(304);
    }
}

#[test]
fn if_match_on_a_get_refuses_what_is_not_current() {
    let s = Server::start();
    let etag = s.get(PROJECTS, "alice").etag();
    s.get(PROJECTS, "alice").header("If-Match", &etag).status(200);
    s.get(PROJECTS, "alice").header("If-Match", "\"other\"").status(412);
}

#[test]
fn gzip_is_the_same_calendar_under_its_own_etag() {
    let s = Server::start();
    let plain = s.get("/ical/main.ics", "alice").status(200);
    assert_eq!(plain.header("Content-Encoding"), "");
    let packed = s.get("/ical/main.ics", "alice").header("Accept-Encoding", "br;q=1, gzip;q=0.8").status(200);
    assert_eq!(packed.header("Content-Encoding"), "gzip");
    assert_eq!(packed.etag(), format!("{}-gzip\"", plain.etag().trim_end_matches('"')));
    assert!(packed.body.len() < plain.body.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, plain.text());
    for tag in [packed.etag(), plain.etag()] {
        let again = s.get("/ical/main.ics", "alice").header("Accept-Encoding", "gzip");
        again.header("If-None-Match", &tag).status(304);
    }
    for refusal in ["gzip;q=0", "identity", "br, *;q=0"] {
        let answer = s.get("/ical/main.ics", "alice").header("Accept-Encoding", refusal).status(200);
        assert_eq!(answer.header("Content-Encoding"), "", "{refusal}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let s = Server::start();
    for (address, user) in
        [(PROJECTS, "alice"), ("/ical/pf/Holidays.ics", NOBODY), ("/ical/freebusy.ifb", "bob")]
    {
        s.dated(address, user);
        let (get, head) = (s.get(address, user).status(200), s.head(address, user).status(200));
        assert!(head.body.is_empty());
        for name in ["ETag", "Content-Type", "Content-Length", "Last-Modified", "Content-Disposition", "Vary"]
        {
            assert_eq!(get.header(name), head.header(name), "{address}: {name}");
        }
    }
    let etag = s.get(PROJECTS, "alice").etag();
    s.head(PROJECTS, "alice").header("If-None-Match", &etag).status(304);
    s.head("/ical/folder/Missing.ics", "alice").status(404);
}

#[test]
fn an_etag_is_of_the_content_alone() {
    let s = Server::start();
    let first = s.get("/ical/main.ics", "alice").etag();
    let mut again = Server::start();
    assert_eq!(again.get("/ical/main.ics", "alice").etag(), first);
    again.restart(rustix::process::Signal::TERM);
    assert_eq!(again.get("/ical/main.ics", "alice").etag(), first);
    again.put("/ical/main.ics", "alice", plain(&[&event("x", "X", &[])])).status(204);
    assert_ne!(again.get("/ical/main.ics", "alice").etag(), first);
}

#[test]
fn a_name_that_is_no_header_text_is_encoded_in_the_disposition() {
    let s = Server::start();
    let quoted = s.get("/ical/folder/Odd/Names/it's%20%22quoted%22.ics", "bob").status(200);
    let disposition = quoted.header("Content-Disposition");
    assert!(disposition.contains("filename*=UTF-8''it%27s%20%22quoted%22.ics"), "{disposition}");
    let emoji = s.get("/ical/folder/Odd/Names/%F0%9F%93%85.ics", "bob").status(200);
    let disposition = emoji.header("Content-Disposition");
    assert!(disposition.is_ascii() && disposition.contains("%F0%9F%93%85.ics"), "{disposition}");
}

#[test]
fn the_metadata_files_of_a_vdir_name_and_colour_the_calendar() {
    let s = Server::start();
    s.write("users/alice/Team/displayname", "Crew; all\nInjected:1");
    s.write("users/alice/Team/color", "#00FF00\n");
    let text = s.get("/ical/folder/Team.ics", "alice").text();
    assert!(text.contains("X-APPLE-CALENDAR-COLOR:#00FF00"), "{text}");
    assert!(value(&text, "X-WR-CALNAME").is_some_and(|name| name.starts_with("Crew\\; all")), "{text}");
    assert!(!text.contains("\r\nInjected:1"), "{text}");
}

#[test]
fn a_calendar_without_a_display_name_has_the_directorys() {
    let s = Server::start();
    let text = s.get("/ical/folder/Odd/Names/Two%20Words.ics", "bob").text();
    assert_eq!(value(&text, "X-WR-CALNAME").as_deref(), Some("Two Words"));
}

#[test]
fn a_file_with_several_uids_is_served_whole() {
    let s = Server::start();
    let text = s.get("/ical/folder/Odd/Dropped.ics", "bob").text();
    assert_eq!(uids(&text), ["dropped-03@google.com", "dropped-04@google.com", "dropped-05@google.com"]);
    assert!(!text.contains("METHOD"), "{text}");
    assert_eq!(value(&text, "X-WR-CALNAME").as_deref(), Some("Dropped"));
    assert_eq!(s.files("users/bob/Odd/Dropped"), ["export.ics"]);
}

#[test]
fn items_without_a_uid_get_one_in_what_is_served_and_keep_their_file() {
    let s = Server::start();
    let before = s.read("users/bob/Odd/Nameless/from-a-web-page.ics");
    let first = uids(&s.get("/ical/folder/Odd/Nameless.ics", "bob").text());
    assert_eq!(first.len(), 2);
    assert_ne!(first[0], first[1]);
    assert_eq!(uids(&s.get("/ical/folder/Odd/Nameless.ics", "bob").text()), first);
    assert_eq!(s.read("users/bob/Odd/Nameless/from-a-web-page.ics"), before);
}

#[test]
fn of_a_key_that_stands_twice_the_higher_sequence_is_served() {
    let s = Server::start();
    assert_eq!(summaries(&s.get("/ical/folder/Odd/Twice.ics", "bob").text()), ["Twice, newer"]);
    assert_eq!(s.files("users/bob/Odd/Twice"), ["newer.ics", "older.ics"]);
}

#[test]
fn a_file_that_was_never_whole_is_not_served_and_hides_nothing() {
    let s = Server::start();
    assert_eq!(summaries(&s.get("/ical/folder/Odd/Broken.ics", "bob").text()), ["Good"]);
    assert!(s.has("users/bob/Odd/Broken/half-written.ics"));
    assert!(s.log().contains("half-written.ics"), "{}", s.log());
}

#[test]
fn a_line_folded_inside_a_character_is_folded_properly_in_what_is_served() {
    let s = Server::start();
    let summary = "SUMMARY:Z\u{fc}rich".as_bytes();
    let text = plain(&[&event("fold", "FOLDED", &[])]);
    let (before, after) = text.split_once("SUMMARY:FOLDED").expect("a summary");
    let mut bytes = before.as_bytes().to_vec();
    bytes.extend_from_slice(&summary[..10]);
    bytes.extend_from_slice(b"\r\n ");
    bytes.extend_from_slice(&summary[10..]);
    bytes.extend_from_slice(after.as_bytes());
    s.write("users/bob/Odd/Empty/fold.ics", &bytes);
    let text = s.get("/ical/folder/Odd/Empty.ics", "bob").text();
    assert_eq!(summaries(&text), ["Z\u{fc}rich"]);
}
