//! Bodies of saves, and what somebody drops into the tree.

use std::fs::File;

use super::{MEGABYTE, REQUEST, costs_at_most, goes_on};
use crate::calendar::{event, plain, summaries};
use crate::server::Server;

const NEW: &str = "/ical/folder/New.ics";

/// One event with something after its summary.
fn with(more: &str) -> String {
    plain(&[&format!("BEGIN:VEVENT\r\nUID:hostile\r\nDTSTART:20261201T100000Z\r\n{more}\r\nEND:VEVENT\r\n")])
}

/// A VTIMEZONE of so many kilobytes.
fn zone(kilobytes: usize) -> String {
    let observance = "BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\n";
    let filler = format!("X-FILL:{}\r\n", "z".repeat(1_000)).repeat(kilobytes);
    format!("BEGIN:VTIMEZONE\r\nTZID:Mine\r\n{filler}{observance}END:VTIMEZONE\r\n")
}

fn events(count: usize, line: &str) -> String {
    (0..count).map(|ordinal| format!("BEGIN:VEVENT\r\nUID:{ordinal}\r\n{line}\r\nEND:VEVENT\r\n")).collect()
}

/// Two items, each with so many zones: of the same names, and each item's own.
fn zones_of_the_same_names(count: usize) -> String {
    let calendar = |offset: &str| {
        let own = |at: usize| {
            format!(
                "BEGIN:VTIMEZONE\r\nTZID:Z{at}\r\nBEGIN:STANDARD\r\nTZOFFSETTO:{offset}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
            )
        };
        let named = |at: usize| {
            format!(
                "BEGIN:VEVENT\r\nUID:{offset}\r\nX;TZID=Z{at}:1\r\n{}END:VEVENT\r\n",
                "TZID:q\r\n".repeat(50)
            )
        };
        plain(&[&(0..count).map(own).chain((0..count).map(named)).collect::<String>()])
    };
    calendar("+0100") + &calendar("+0200")
}

#[test]
fn a_calendar_is_saved_or_refused_in_time_that_grows_with_its_size() {
    let s = Server::start();
    s.get("/ical/main.ics", "alice").status(200);
    let calendars = |text: &str| format!("BEGIN:VCALENDAR\r\n{text}END:VCALENDAR\r\n");
    for (what, body, code) in [
        ("a line of a megabyte", with(&format!("SUMMARY:{}", "x".repeat(1_000_000))), 201),
        ("a line over a megabyte", with(&format!("SUMMARY:{}", "x".repeat(1_100_000))), 413),
        (
            "an attachment of seven megabytes",
            with(&format!("ATTACH;VALUE=BINARY;ENCODING=BASE64:{}", "QUJD".repeat(7 << 18))),
            201,
        ),
        (
            "an attachment over ten megabytes",
            with(&format!("ATTACH;VALUE=BINARY;ENCODING=BASE64:{}", "QUJD".repeat(11 << 18))),
            413,
        ),
        ("a line of folds", with(&format!("SUMMARY:{}", "x\r\n ".repeat(250_000))), 201),
        (
            "a fold in every character",
            with(&format!("SUMMARY:{}", "\u{fc}".repeat(200_000))).replace('\u{fc}', "\u{fc}\r\n "),
            201,
        ),
        ("blank lines", with(&"\r\n".repeat(500_000)), 201),
        ("parameters without end", with(&format!("X{}:v", ";A=\"b\"".repeat(150_000))), 201),
        ("quotes that do not close", with(&format!("X;A=\"{}:v", ";\"\"".repeat(300_000))), 201),
        ("commas in a parameter", with(&format!("X;A=a{}:v", ",a".repeat(400_000))), 201),
        ("a list without end", with(&format!("CATEGORIES:a{}", ",a".repeat(400_000))), 201),
        (
            "a list below a long parameter",
            with(&format!("CATEGORIES;X-A={}:a{}", "b".repeat(200_000), ",a".repeat(100_000))),
            201,
        ),
        ("the name of a zone that is all slashes", with(&format!("X;TZID={}:1", "/".repeat(400_000))), 201),
        (
            "names of zones that are all cities",
            with(&format!("X;TZID=\"(UTC+05:00) {}\":1\r\n", "rome,".repeat(48)).repeat(3_000)),
            201,
        ),
        ("escapes", with(&format!("SUMMARY:{}", "\\,".repeat(400_000))), 201),
        ("a duration without end", with(&format!("DURATION:P{}", "1000000000W".repeat(80_000))), 201),
        ("a rule without end", with(&format!("RRULE:FREQ=DAILY{}", ";BYDAY=MO".repeat(100_000))), 201),
        ("a UID of a megabyte", plain(&[&event(&"u".repeat(1_000_000), "A", &[])]), 201),
        ("many properties", with(&"X:1\r\n".repeat(99_000)), 201),
        ("too many properties", with(&"X:1\r\n".repeat(101_000)), 413),
        ("many alarms", with("BEGIN:A\r\nEND:A\r\n".repeat(200_000).trim_end()), 201),
        ("deep alarms", with(&("BEGIN:A\r\n".repeat(100_000) + "X:1")), 413),
        ("tiny components", plain(&[&"BEGIN:A\nEND:A\n".repeat(1_000_000)]), 413),
        ("tiny calendars", calendars("").repeat(100_000), 201),
        ("one UID again and again", plain(&[&"BEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\n".repeat(50_000)]), 201),
        (
            "a zone in each line",
            with(&(0..50_000).map(|at| format!("X;TZID=Z{at}:1\r\n")).collect::<String>()),
            413,
        ),
        (
            "a zone that goes with every item",
            plain(&[&zone(500), &events(5_000, "DTSTART;TZID=Mine:20261201T100000")]),
            413,
        ),
        (
            "a header that goes with every item",
            calendars(&(format!("X-A:{}\r\n", "a".repeat(500_000)) + &events(5_000, "X:1"))),
            413,
        ),
        ("zones of the same names", zones_of_the_same_names(1_500), 201),
        ("an unknown start", "x\r\n".repeat(500_000), 400),
        ("nothing but NUL", "\0\n".repeat(500_000), 400),
        (
            "an end too early",
            with("X:1").replace("END:VEVENT\r\nEND:VCALENDAR\r\n", &"X:1\r\n".repeat(90_000)),
            400,
        ),
    ] {
        let size = u32::try_from(body.len() >> 20).expect("a size") + 1;
        let answer = costs_at_most(&s, REQUEST + MEGABYTE * size, what, || s.put(NEW, "alice", body).send());
        assert_eq!(answer.code, code, "{what}: {}", answer.text().chars().take(200).collect::<String>());
        goes_on(&s);
        if code == 201 {
            costs_at_most(&s, REQUEST + MEGABYTE * size, what, || s.get(NEW, "alice").status(200));
            s.delete(NEW, "alice").status(204);
        }
    }
}

#[test]
fn a_calendar_cut_off_anywhere_is_refused_and_names_a_line() {
    let s = Server::start();
    let whole = include_bytes!("../fixtures/outlook_publish.ics");
    let end = whole.trim_ascii_end().len();
    for length in (0..end - 1).step_by(7) {
        let answer = s.put(NEW, "alice", &whole[..length]).status(400);
        assert!(answer.text().contains("line "), "{length}: {answer}");
    }
    s.get(NEW, "alice").status(404);
}

#[test]
fn what_is_dropped_into_the_tree_is_left_out_without_being_read() {
    let s = Server::prepared(|data| {
        for name in ["Team/terabyte.ics", "Terabyte.ics"] {
            let file = File::create(data.join("users/alice").join(name)).expect("a file");
            file.set_len(1 << 40).expect("a sparse file");
        }
        std::fs::write(data.join("users/alice/Team/zeros.ics"), vec![0; 5 << 20]).expect("a file");
        std::fs::write(data.join("users/alice/Team/open.ics"), "BEGIN:VCALENDAR\r\n".repeat(200_000))
            .expect("a file");
    });
    let team = costs_at_most(&s, REQUEST + MEGABYTE * 8, "a calendar with hostile files", || {
        s.get("/ical/folder/Team.ics", "alice").text()
    });
    assert_eq!(summaries(&team), ["Team lunch"]);
    assert!(summaries(&s.get("/ical/folder/Terabyte.ics", "alice").text()).is_empty());
    s.get("/ical/freebusy.ifb", "alice").status(200);
    goes_on(&s);
}
