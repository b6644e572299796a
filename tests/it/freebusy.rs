//! Free/busy: one VFREEBUSY from the calendars that the asker may see busy periods of.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

use crate::calendar::{assert_well_formed, plain, unfold, value};
use crate::server::{NOBODY, Server, configure, write};

pub const ALICE: &str = "/ical/~alice/freebusy.ifb";

/// The whole hour that is so many hours from now.
pub fn hour(from_now: i64) -> String {
    (Timestamp::now() + SignedDuration::from_hours(from_now)).strftime("%Y%m%dT%H0000Z").to_string()
}

/// An event of one hour, so many hours from now.
pub fn at(uid: &str, from_now: i64, more: &[&str]) -> String {
    let (start, end) = (hour(from_now), hour(from_now + 1));
    let more: String = more.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:{start}\r\nDTEND:{end}\r\n\
         SUMMARY:Secret {uid}\r\n{more}END:VEVENT\r\n"
    )
}

/// A server in which alice has these events and no others, nor other calendars.
pub fn with(events: &[String]) -> Server {
    let events: Vec<_> = events.iter().map(String::as_str).collect();
    Server::prepared(|data| {
        std::fs::remove_dir_all(data.join("users/alice")).expect("the example's");
        write(data, "users/alice/Calendar/all.ics", plain(&events));
        write(data, "users/alice/Tasks/.props.json", "{\"components\": [\"VTODO\"]}");
    })
}

/// FBTYPE and value of each period in the answer to bob.
pub fn periods(s: &Server) -> Vec<(String, String)> {
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
pub fn has(found: &[(String, String)], kind: &str, from: i64, hours: i64) -> bool {
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
    for name in ["DTSTAMP", "DTSTART", "DTEND", "UID"] {
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
fn its_url_is_a_uri_or_is_left_out() {
    let s = Server::configured("base_url = \"https://cal.example.org\"");
    let url = value(&s.get(ALICE, "bob").text(), "URL");
    assert_eq!(url.as_deref(), Some("https://cal.example.org/ical/~alice/freebusy.ifb"));
    let s = Server::start();
    assert_eq!(value(&s.get(ALICE, "bob").text(), "URL"), None);
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
        "period=P800D",
        "show=everything",
        "show=events&show=events",
    ] {
        s.get(&format!("{ALICE}?{query}"), "bob").status(400);
    }
    s.get(&format!("{ALICE}?format=text/html"), "bob").status(406);
    s.get(ALICE, "bob").header("Accept", "text/html").status(406);
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

#[test]
fn every_spelling_of_the_address_says_the_same() {
    let s = Server::start();
    let first = s.get(ALICE, "bob").etag();
    for address in
        ["/ical/~alice/freebusy.vfb", "/ical/~alice/freebusy.xfb", "/ical/~alice@example.org/freebusy.ifb"]
    {
        assert_eq!(s.get(address, "bob").etag(), first, "{address}");
    }
}

#[test]
fn it_may_be_gzip_and_both_tags_are_known() {
    let s = Server::start();
    let plain = s.get(ALICE, "bob").status(200);
    let gzip = s.get(ALICE, "bob").header("Accept-Encoding", "gzip").status(200);
    assert_eq!(gzip.header("Content-Encoding"), "gzip");
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*gzip.body), &mut text).expect("gzip");
    assert_eq!(text, plain.body);
    assert_ne!(gzip.etag(), plain.etag());
    for tag in [plain.etag(), gzip.etag()] {
        s.get(ALICE, "bob").header("If-None-Match", &tag).status(304);
    }
}

#[test]
fn the_owners_other_addresses_are_the_owners() {
    let invited = |address: &str| at("a", 30, &[&format!("ATTENDEE;PARTSTAT=DECLINED:mailto:{address}")]);
    let s = Server::prepared(|data| {
        std::fs::remove_dir_all(data.join("users/alice")).expect("the example's");
        write(data, "users/alice/Calendar/a.ics", plain(&[&invited("Alice.Smith@example.net")]));
        let file = data.join("kalends.toml");
        let text = std::fs::read_to_string(&file).expect("a configuration");
        let aliases = "[aliases]\nalice = [\"alice.smith@example.net\"]\n";
        std::fs::write(file, text + aliases).expect("a configuration");
    });
    assert!(periods(&s).is_empty());
    s.write("users/alice/Calendar/a.ics", plain(&[&invited("bob.smith@example.net")]));
    crate::server::eventually("another's answer is another's", || (!periods(&s).is_empty()).then_some(()));
}

#[test]
fn the_configuration_says_how_far_it_reaches() {
    let reach = |s: &Server| value(&s.get(ALICE, "bob").text(), "DTEND").expect("an end");
    let longer = reach(&Server::configured("freebusy_weeks = 20"));
    assert!(longer > hour(19 * 7 * 24) && longer < hour(21 * 7 * 24), "{longer}");
}

#[test]
fn an_availability_blocks_what_it_does_not_leave_open() {
    let office = format!(
        "BEGIN:VAVAILABILITY\r\nUID:v\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:{}\r\nDTEND:{}\r\nPRIORITY:2\r\n\
         BEGIN:AVAILABLE\r\nUID:w\r\nDTSTART:{}\r\nDTEND:{}\r\nEND:AVAILABLE\r\nEND:VAVAILABILITY\r\n",
        hour(24),
        hour(48),
        hour(30),
        hour(40)
    );
    let s = with(&[at("a", 31, &[])]);
    // In another calendar, and of less priority: what the first leaves open stays so.
    let away = format!(
        "BEGIN:VAVAILABILITY\r\nUID:x\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:{}\r\nDTEND:{}\r\nPRIORITY:9\r\n\
         END:VAVAILABILITY\r\n",
        hour(20),
        hour(50)
    );
    s.write("users/alice/Hours/v.ics", plain(&[&office]));
    s.write("users/alice/Away/v.ics", plain(&[&away]));
    let found = periods(&s);
    for (kind, from, hours) in [("BUSY-UNAVAILABLE", 20, 10), ("BUSY", 31, 1), ("BUSY-UNAVAILABLE", 40, 10)] {
        assert!(has(&found, kind, from, hours), "{kind} {from}: {found:?}");
    }
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn a_rule_of_another_calendar_counts_once() {
    let s = with(&[at("a", 30, &["RRULE:RSCALE=HEBREW;FREQ=YEARLY;BYMONTH=5L;BYMONTHDAY=8"])]);
    let found = periods(&s);
    assert!(has(&found, "BUSY", 30, 1) && found.len() == 1, "{found:?}");
}

#[test]
fn what_is_not_understood_is_left_out_and_named_once() {
    let s = with(&[at("bad", 30, &["RRULE:FREQ=SOMETIMES"]), at("good", 50, &[])]);
    let left_out = || s.log().matches("left out of free/busy: ").count();
    for _ in 0..3 {
        let found = periods(&s);
        assert!(has(&found, "BUSY", 50, 1) && found.len() == 1, "{found:?}");
    }
    s.put("/ical/main.ics", "alice", plain(&[&at("new", 60, &[])])).status(204);
    assert_eq!(periods(&s).len(), 2);
    s.get(&format!("{ALICE}?start={}", hour(20)), "bob").status(200);
    assert_eq!(left_out(), 1, "{}", s.log());
    assert!(s.log().contains("1 item left out"), "{}", s.log());
}

#[test]
fn ones_own_save_shows_at_once() {
    let s = with(&[]);
    for n in 0..5 {
        assert_eq!(periods(&s).len(), n);
        let from = 30 + 2 * n as i64;
        s.put(&format!("/ical/folder/New{n}.ics"), "alice", plain(&[&at(&n.to_string(), from, &[])]))
            .status(201);
    }
    s.delete("/ical/folder/New0.ics", "alice").status(204);
    assert_eq!(periods(&s).len(), 4);
}

#[test]
fn an_edit_behind_the_server_shows_with_another_tag() {
    let s = with(&[at("a", 30, &[])]);
    let before = s.get(ALICE, "bob").etag();
    s.write("users/alice/New/Deep/b.ics", plain(&[&at("b", 50, &[])]));
    crate::server::eventually("the new calendar counts", || (periods(&s).len() == 2).then_some(()));
    assert_ne!(s.get(ALICE, "bob").etag(), before);
    std::fs::remove_dir_all(s.path("users/alice/New")).expect("removed");
    crate::server::eventually("it is gone", || (s.get(ALICE, "bob").etag() == before).then_some(()));
}

#[test]
fn programs_that_only_subscribe_get_events_that_say_busy() {
    let s = with(&[
        at("a", 30, &["LOCATION:Somewhere"]),
        at("b", 50, &["STATUS:TENTATIVE"]),
        at("c", 70, &["X-MICROSOFT-CDO-BUSYSTATUS:OOF"]),
    ]);
    let address = format!("{ALICE}?show=events");
    let first = s.get(&address, "bob").status(200);
    let text = first.text();
    assert_well_formed(&text);
    assert_eq!(text.matches("BEGIN:VEVENT").count(), 3, "{text}");
    assert_eq!(text.matches("SUMMARY:Busy").count(), 3, "{text}");
    for part in ["VFREEBUSY", "Secret", "Somewhere", "METHOD"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    for part in ["STATUS:TENTATIVE", "BUSYSTATUS:OOF", &hour(30), &hour(31)] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(s.get(&address, "bob").status(200).text(), text, "the same UIDs again");
    s.get(&address, "bob").header("If-None-Match", &first.etag()).status(304);
    assert_ne!(s.get(ALICE, "bob").etag(), first.etag());
}

#[test]
fn an_ics_address_shows_busy_times_to_who_may_know_those() {
    let s = with(&[at("a", 30, &[])]);
    s.write("users/alice/Closed/.acl.json", "{}");
    s.write("users/alice/Closed/b.ics", plain(&[&at("b", 50, &[])]));
    let main = "/ical/~alice/main.ics";
    s.get(main, "bob").status(404);
    let text = s.get(&format!("{main}?show=busy"), "bob").text();
    assert!(text.contains("SUMMARY:Busy") && !text.contains("Secret"), "{text}");
    assert_eq!(s.get(&format!("{main}?show=busy"), "alice").text(), text, "the owner sees what others see");
    s.get(&format!("{main}?show=busy"), NOBODY).status(401);
    let closed = "/ical/~alice/folder/Closed.ics?show=busy";
    s.get(closed, "bob").status(404);
    assert!(s.get(closed, "alice").text().contains(&hour(50)));
    s.get("/ical/~alice/folder/Nowhere.ics?show=busy", "bob").status(404);
    s.get("/ical/~zoe/main.ics?show=busy", "bob").status(404);
}

/// What `kalends freebusy` prints of the server's tree.
fn command(s: &Server, arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kalends"))
        .args(["freebusy", "--data"])
        .arg(s.path(""))
        .args(arguments)
        .output()
        .expect("the command");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_command_says_when_and_why() {
    let s = with(&[
        at("meeting", 30, &["STATUS:TENTATIVE"]),
        at("seen-through", 50, &["TRANSP:TRANSPARENT"]),
        at("odd", 60, &["RRULE:FREQ=SOMETIMES"]),
    ]);
    s.write("users/alice/Off/.props.json", "{\"freebusy\": false}");
    s.write("users/alice/Closed/.acl.json", "{}");
    s.write("users/alice/Closed/b.ics", plain(&[&at("b", 70, &[])]));
    s.write("users/alice/Work/Loose.ics", plain(&[&at("loose", 80, &[])]));
    let said = command(&s, &["alice"]);
    assert_eq!(said.lines().count(), 3, "{said}");
    let said = command(&s, &["alice", "--why", "--as", "bob"]);
    for line in [
        "tentative: STATUS:TENTATIVE: meeting in alice/Calendar/all.ics",
        "free: TRANSP:TRANSPARENT: seen-through in alice/Calendar/all.ics",
        ": loose in alice/Work/Loose.ics",
        "left out: odd in alice/Calendar/all.ics: RRULE: FREQ=SOMETIMES is malformed",
        "not counted: alice/Closed: the asker has not the role freebusy there",
        "not counted: alice/Off: its .props.json says \"freebusy\": false",
    ] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    assert!(!said.contains("alice/Closed/b.ics"), "{said}");
    assert_eq!(command(&s, &["alice", "--from", "2001-01-01", "--to", "2001-02-01"]), "");
}

#[test]
fn the_command_names_what_makes_too_many_busy_times() {
    // 35,000 in two years, 11,000 in what is kept worked out.
    let s = with(&[at("flood", 30, &["RRULE:FREQ=MINUTELY;INTERVAL=30"]), at("meeting", 40, &[])]);
    let why = "left out: flood in alice/Calendar/all.ics: RRULE: more than 20000 busy times";
    let now = Timestamp::now();
    let days = |days: i64| (now + SignedDuration::from_hours(days * 24)).strftime("%Y-%m-%d").to_string();
    let said = command(&s, &["alice", "--why", "--to", &days(730)]);
    assert!(said.contains(why) && said.contains("meeting in alice/"), "{said}");
    // What is kept decides for what lies in it.
    s.write("users/alice/Calendar/all.ics", plain(&[&at("flood", 30, &["RRULE:FREQ=MINUTELY;INTERVAL=2"])]));
    let said = command(&s, &["alice", "--why", "--to", &days(7)]);
    assert_eq!(command(&s, &["alice", "--to", &days(7)]), "");
    assert!(said.contains(why), "{said}");
}

#[test]
fn the_command_says_which_calendar_makes_more_busy_times_than_fit() {
    let flood = |n: i64| {
        let start = hour(30).replace("00Z", &format!("{:02}Z", 5 * n));
        format!(
            "BEGIN:VEVENT\r\nUID:flood-{n}\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:{start}\r\nDURATION:PT1S\r\n\
             RRULE:FREQ=MINUTELY;INTERVAL=6\r\nEND:VEVENT\r\n"
        )
    };
    let s = with(&(0..10).map(flood).collect::<Vec<_>>());
    let day = (Timestamp::now() + SignedDuration::from_hours(48)).strftime("%Y-%m-%d").to_string();
    let said = command(&s, &["alice", "--why", "--to", &day]);
    assert!(said.contains("not counted: alice/Calendar: what is over 100000 busy times"), "{said}");
}

#[test]
fn an_old_name_of_a_zone_counts_where_the_system_has_it_not() {
    let s = with(&["BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20300110\r\nEND:VEVENT\r\n".to_owned()]);
    // Zone data of one zone, without an offset.
    let mut utc = b"TZif".to_vec();
    utc.extend([[0; 16].as_slice(), &[0; 16], &[0, 0, 0, 1, 0, 0, 0, 4], &[0; 6], b"UTC\0"].concat());
    let zones = tempfile::tempdir().expect("a directory");
    write(zones.path(), "UTC", utc);
    let data = s.path("");
    let kalends = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kalends"));
        let output = command.env("TZDIR", zones.path()).args(arguments).arg(&data).output();
        String::from_utf8(output.expect("the command").stdout).expect("UTF-8")
    };
    let busy = |from: &str, to: &str| kalends(&["freebusy", "alice", "--from", from, "--to", to, "--data"]);
    let day = "2030-01-10T08:00:00Z - 2030-01-11T08:00:00Z  busy\n";
    s.write("users/alice/Calendar/.props.json", "{\"time_zone\": \"US/Pacific\"}");
    configure(&data, "time_zone = \"UTC\"");
    assert_eq!(busy("2030-01-09", "2030-01-13"), day);
    let checked = kalends(&["check"]);
    assert!(checked.contains(" files in ") && !checked.contains("US/Pacific"), "{checked}");
    s.write("users/alice/Calendar/.props.json", "{}");
    configure(&data, "time_zone = \"US/Pacific\"");
    assert_eq!(busy("2030-01-10", "2030-01-11"), day);
}

#[test]
fn no_stamp_is_of_a_time_to_come() {
    let meeting = at("meeting", 400, &[]);
    for modified in [SystemTime::now(), SystemTime::now() + Duration::from_hours(24)] {
        let s = Server::prepared(|data| {
            let name = "users/alice/Calendar/all.ics";
            write(data, name, plain(&[&meeting]));
            let file = std::fs::File::open(data.join(name)).expect("the calendar");
            file.set_modified(modified).expect("a time");
        });
        for (start, shows) in [(-3, ""), (-3, "&show=events"), (300, ""), (300, "&show=events")] {
            let text = s.get(&format!("{ALICE}?start={}{shows}", hour(start)), "bob").status(200).text();
            let stamp = value(&text, "DTSTAMP").expect("a stamp");
            assert!(stamp < hour(1), "{text}");
        }
    }
}
