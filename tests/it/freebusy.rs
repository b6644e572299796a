//! Free/busy: one VFREEBUSY from the calendars that the asker may see busy periods of.

use jiff::{SignedDuration, Timestamp};

use crate::calendar::{assert_well_formed, plain, unfold, value};
use crate::server::{NOBODY, Server, write};

const ALICE: &str = "/ical/~alice/freebusy.ifb";

/// The whole hour that is so many hours from now.
fn hour(from_now: i64) -> String {
    (Timestamp::now() + SignedDuration::from_hours(from_now)).strftime("%Y%m%dT%H0000Z").to_string()
}

/// An event of one hour, so many hours from now.
fn at(uid: &str, from_now: i64, more: &[&str]) -> String {
    let (start, end) = (hour(from_now), hour(from_now + 1));
    let more: String = more.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:{start}\r\nDTEND:{end}\r\n\
         SUMMARY:Secret {uid}\r\n{more}END:VEVENT\r\n"
    )
}

/// A server in which alice has these events and no others, nor other calendars.
fn with(events: &[String]) -> Server {
    let events: Vec<_> = events.iter().map(String::as_str).collect();
    Server::prepared(|data| {
        std::fs::remove_dir_all(data.join("users/alice")).expect("the example's");
        write(data, "users/alice/Calendar/all.ics", plain(&events));
        write(data, "users/alice/Tasks/.props.json", "{\"components\": [\"VTODO\"]}");
    })
}

/// FBTYPE and value of each period in the answer to bob.
fn periods(s: &Server) -> Vec<(String, String)> {
    let text = unfold(&s.get(ALICE, "bob").text());
    let lines = text.lines().filter_map(|line| line.strip_prefix("FREEBUSY"));
    let mut found = Vec::new();
    for line in lines {
        let (params, values) = line.split_once(':').expect("a value");
        let kind = params.split(';').find_map(|param| param.strip_prefix("FBTYPE=")).unwrap_or("BUSY");
        found.extend(values.split(',').map(|value| (kind.to_owned(), value.to_owned())));
    }
    found
}

/// A period as the answer may write it: by its end or by its length.
fn has(found: &[(String, String)], kind: &str, from: i64, hours: i64) -> bool {
    let forms = [format!("{}/{}", hour(from), hour(from + hours)), format!("{}/PT{hours}H", hour(from))];
    found.iter().any(|(found, value)| found == kind && forms.contains(value))
}

#[test]
fn it_is_one_published_vfreebusy_in_utc() {
    let s = Server::start();
    let answer = s.get(ALICE, "bob").status(200);
    assert!(answer.header("Content-Type").starts_with("text/calendar"), "{answer}");
    let text = answer.text();
    assert_well_formed(&text);
    assert_eq!(text.matches("BEGIN:VFREEBUSY").count(), 1, "{text}");
    assert_eq!(text.matches("BEGIN:").count(), 2, "{text}");
    assert_eq!(value(&text, "METHOD").as_deref(), Some("PUBLISH"));
    assert_eq!(value(&text, "ORGANIZER").as_deref(), Some("mailto:alice@example.org"));
    for name in ["DTSTAMP", "DTSTART", "DTEND", "URL", "UID"] {
        assert!(value(&text, name).is_some(), "{name} is not in {text}");
    }
    for name in ["DTSTAMP", "DTSTART", "DTEND"] {
        assert!(value(&text, name).is_some_and(|time| time.ends_with('Z')), "{text}");
    }
    for (_, period) in periods(&s) {
        assert!(period.contains("Z/") && !period.contains("TZID"), "{period}");
    }
    assert!(!text.contains("FBTYPE=FREE"), "{text}");
}

#[test]
fn it_reaches_from_today_at_least_six_weeks() {
    let s = Server::start();
    let text = s.get(ALICE, "bob").text();
    let (start, end) = (value(&text, "DTSTART").expect("a start"), value(&text, "DTEND").expect("an end"));
    assert!(start <= hour(1), "{start}");
    assert!(end >= hour(42 * 24 - 24), "{end}");
}

#[test]
fn it_says_nothing_but_times() {
    let s = with(&[at("a", 5, &["LOCATION:Somewhere", "CLASS:PRIVATE", "ATTENDEE:mailto:x@example.net"])]);
    let text = s.get(ALICE, "bob").text();
    for part in ["Secret", "Somewhere", "x@example.net", "PRIVATE"] {
        assert!(!text.contains(part), "{part} is in {text}");
    }
    assert!(has(&periods(&s), "BUSY", 5, 1), "{text}");
}

#[test]
fn each_event_counts_by_what_it_says_of_itself() {
    let organizer = "ORGANIZER:mailto:eve@example.net";
    let attendee = |partstat: &str| format!("ATTENDEE;CN=Alice;PARTSTAT={partstat}:MAILTO:Alice@example.org");
    for (kind, more) in [
        ("BUSY", &[][..]),
        ("BUSY", &["STATUS:CONFIRMED"]),
        ("BUSY", &["CLASS:CONFIDENTIAL"]),
        ("BUSY-TENTATIVE", &["STATUS:TENTATIVE"]),
        ("", &["STATUS:CANCELLED"]),
        ("", &["TRANSP:TRANSPARENT"]),
        ("", &["X-MICROSOFT-CDO-BUSYSTATUS:FREE"]),
        ("BUSY-UNAVAILABLE", &["X-MICROSOFT-CDO-BUSYSTATUS:OOF"]),
        ("BUSY-TENTATIVE", &["X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE"]),
        ("BUSY", &[organizer, &attendee("ACCEPTED")]),
        ("", &[organizer, &attendee("DECLINED")]),
        ("BUSY-TENTATIVE", &[organizer, &attendee("TENTATIVE")]),
        ("BUSY-TENTATIVE", &[organizer, &attendee("NEEDS-ACTION")]),
        // Somebody else's answer is not the owner's.
        ("BUSY", &["ATTENDEE;PARTSTAT=DECLINED:mailto:bob@example.org"]),
    ] {
        let s = with(&[at("x", 30, more)]);
        let found = periods(&s);
        if kind.is_empty() {
            assert!(found.is_empty(), "{more:?}: {found:?}");
        } else {
            assert!(has(&found, kind, 30, 1) && found.len() == 1, "{more:?}: {found:?}");
        }
    }
}

#[test]
fn touching_and_overlapping_periods_are_one() {
    let s = with(&[at("a", 30, &[]), at("b", 31, &[]), at("c", 31, &[]), at("d", 40, &[])]);
    let found = periods(&s);
    assert!(has(&found, "BUSY", 30, 2) && has(&found, "BUSY", 40, 1) && found.len() == 2, "{found:?}");
}

#[test]
fn a_series_counts_each_time_but_where_it_says_otherwise() {
    let day = |n: i64| 30 + 24 * n;
    let s = with(&[
        at("series", 30, &["RRULE:FREQ=DAILY;COUNT=5", &format!("EXDATE:{}", hour(day(1)))]),
        at("series", day(2) + 3, &[&format!("RECURRENCE-ID:{}", hour(day(2)))]),
        at("series", day(3), &[&format!("RECURRENCE-ID:{}", hour(day(3))), "TRANSP:TRANSPARENT"]),
    ]);
    let found = periods(&s);
    for from in [day(0), day(2) + 3, day(4)] {
        assert!(has(&found, "BUSY", from, 1), "{from}: {found:?}");
    }
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn tasks_and_calendars_with_free_busy_off_do_not_count() {
    let s = with(&[at("a", 30, &[])]);
    let busy = |name: &str| plain(&[&at(name, 50, &[])]);
    s.write("users/alice/Off/.props.json", "{\"freebusy\": false}");
    s.write("users/alice/Off/off.ics", busy("off"));
    let task =
        format!("BEGIN:VTODO\r\nUID:t\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:{}\r\nEND:VTODO\r\n", hour(60));
    s.write("users/alice/Tasks/t.ics", plain(&[&task]));
    let found = periods(&s);
    assert!(has(&found, "BUSY", 30, 1) && found.len() == 1, "{found:?}");
}

#[test]
fn each_asker_sees_the_calendars_he_has_the_role_for() {
    let s = with(&[at("a", 30, &[])]);
    s.write("users/alice/Inner/Deep/b.ics", plain(&[&at("b", 50, &[])]));
    s.write("users/alice/Inner/.acl.json", "{\"user:bob\": \"freebusy\"}");
    let count = |user: &str, address: &str| {
        let text = s.get(address, user).text();
        [hour(30), hour(50)].map(|start| text.contains(&format!("{start}/")))
    };
    assert_eq!(count("bob", ALICE), [true, true]);
    assert_eq!(count("carol", ALICE), [true, false]);
    assert_eq!(count("alice", "/ical/freebusy.ifb"), [true, true]);
    s.write("users/alice/Calendar/.acl.json", "{}");
    crate::server::eventually("the calendar is closed to bob", || {
        (count("bob", ALICE) == [false, true]).then_some(())
    });
}

#[test]
fn a_304_and_a_head_save_the_body() {
    let s = Server::start();
    let full = s.get(ALICE, "bob").status(200);
    s.get(ALICE, "bob").header("If-None-Match", &full.etag()).status(304);
    let head = s.head(ALICE, "bob").status(200);
    assert!(head.body.is_empty());
    assert_eq!(head.etag(), full.etag());
    assert!(full.header("Cache-Control").contains("private"), "{full}");
}

#[test]
fn it_is_read_only_for_now() {
    let s = Server::start();
    for method in ["POST", "PUT", "DELETE"] {
        let answer = s.request(method, "/ical/freebusy.ifb", "alice").status(405);
        assert!(answer.header("Allow").contains("GET"), "{answer}");
    }
}

#[test]
fn a_window_is_taken_as_calconnect_spells_it() {
    let s = with(&[at("a", 30, &[]), at("b", 200, &[])]);
    let stamp = |from: i64| hour(from);
    let dashed = |from: i64| {
        (Timestamp::now() + SignedDuration::from_hours(from)).strftime("%Y-%m-%dT%H:00:00").to_string()
    };
    for query in [
        format!("start={}&end={}", stamp(10), stamp(100)),
        format!("start={}Z&end={}Z", dashed(10), dashed(100)),
        format!("start={}%2B00:00&end={}Z", dashed(10), dashed(100)),
        format!("start={}+00:00&end={}Z", dashed(10), dashed(100)),
        format!("start={}&period=P4D", stamp(10)),
        format!("from={}&until={}", stamp(10), stamp(100)),
        format!("from={}&duration=PT90H", stamp(10)),
    ] {
        let text = s.get(&format!("{ALICE}?{query}"), "bob").text();
        assert_eq!(value(&text, "DTSTART"), Some(hour(10)), "{query}");
        assert!(text.contains(&hour(30)) && !text.contains(&hour(200)), "{query}: {text}");
    }
    for query in [
        "start=yesterday",
        "start=20261301T000000Z",
        "start=20260101T000000Z&start=20260102T000000Z",
        "start=20260102T000000Z&end=20260101T000000Z",
        "start=20260101T000000Z&end=20260201T000000Z&period=P1D",
        "period=1D",
    ] {
        s.get(&format!("{ALICE}?{query}"), "bob").status(400);
    }
}

#[test]
fn a_rule_that_never_ends_or_never_matches_hangs_nothing() {
    let bombs = [
        "RRULE:FREQ=SECONDLY",
        "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "RRULE:FREQ=SECONDLY;COUNT=2000000000",
        "RRULE:FREQ=DAILY;INTERVAL=0",
        "RRULE:FREQ=MINUTELY;BYSECOND=61;BYHOUR=99",
    ];
    let events: Vec<_> = bombs.iter().enumerate().map(|(n, rule)| at(&n.to_string(), 30, &[rule])).collect();
    let s = with(&events);
    let text = s.get(ALICE, "bob").text();
    assert!(text.len() < 1_000_000, "{} bytes", text.len());
    s.get("/ical/main.ics", "alice").status(200);
}

#[test]
fn it_asks_for_a_login_and_then_looks_like_nothing_without_rights() {
    let s = Server::start();
    s.get(ALICE, NOBODY).status(401);
    s.get("/ical/~zoe/freebusy.ifb", "alice").status(404);
    let address = "/ical/~bob/freebusy.ifb";
    s.write("users/bob/.acl.json", "{\"user:alice\": \"none\", \"anyone\": \"freebusy\"}");
    crate::server::eventually("alice is out", || (s.get(address, "alice").send().code == 404).then_some(()));
    s.get(address, NOBODY).status(200);
}
