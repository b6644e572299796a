//! Recurrence bombs: small items of which free/busy could make millions of instances.

use super::{MEGABYTE, RULE, costs_at_most, goes_on};
use crate::calendar::plain;
use crate::server::Server;

const BOMBS: &str = "/ical/folder/Bombs.ics";
const FREE_BUSY: &str = "/ical/freebusy.ifb?start=20260101T000000Z&period=P700D";

/// The numbers of a BY part.
fn list(numbers: impl Iterator<Item = i32>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// Every BY part with all its values.
fn parts() -> Vec<String> {
    let days = "MO,TU,WE,TH,FR,SA,SU";
    let nth: Vec<String> =
        (1..=53).flat_map(|nth| days.split(',').map(move |day| format!("{nth}{day},-{nth}{day}"))).collect();
    vec![
        format!("BYSECOND={}", list(0..60)),
        format!("BYMINUTE={}", list(0..60)),
        format!("BYHOUR={}", list(0..24)),
        format!("BYDAY={days}"),
        format!("BYDAY={}", nth.join(",")),
        format!("BYMONTHDAY={}", list((1..=31).chain(-31..=-1))),
        format!("BYYEARDAY={}", list((1..=366).chain(-366..=-1))),
        format!("BYWEEKNO={}", list((1..=53).chain(-53..=-1))),
        format!("BYMONTH={}", list(1..13)),
        format!("BYDAY={days};BYSETPOS={}", list((1..=366).chain(-366..=-1))),
        format!("BYSECOND={};BYMINUTE={};BYHOUR={}", list(0..60), list(0..60), list(0..24)),
        format!("BYSECOND={};BYSETPOS={}", list(0..60), list(-366..=-1)),
        format!("BYHOUR={};BYMONTHDAY=31;BYMONTH=2", list(0..24)),
        "BYMONTH=2;BYMONTHDAY=30".to_owned(),
        "BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;BYHOUR=23;BYMINUTE=59;BYSECOND=59".to_owned(),
    ]
}

#[test]
fn no_recurrence_rule_keeps_the_processor_longer_than_its_steps() {
    let s = Server::start();
    s.get(FREE_BUSY, "alice").status(200);
    for freq in ["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"] {
        let mut bombs = Vec::new();
        for part in parts() {
            for start in ["00010101T000000", "20260101T000000"] {
                for more in ["", ";COUNT=4000000000", ";INTERVAL=7"] {
                    let uid = bombs.len();
                    bombs.push(format!(
                        "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTART:{start}Z\r\nRRULE:FREQ={freq}{more};{part}\r\nEND:VEVENT\r\n"
                    ));
                }
            }
        }
        let body = plain(&bombs.iter().map(String::as_str).collect::<Vec<_>>());
        s.put(BOMBS, "alice", body).status(201);
        let rules = u32::try_from(bombs.len()).expect("a number");
        costs_at_most(&s, RULE * rules, freq, || s.get(FREE_BUSY, "alice").status(200));
        s.delete(BOMBS, "alice").status(204);
        goes_on(&s);
    }
}

#[test]
fn no_item_of_many_dates_overrides_or_zones_costs_more_than_its_size_allows() {
    let s = Server::start();
    s.get(FREE_BUSY, "alice").status(200);
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let day = |at: usize| format!("20{:02}{:02}{:02}", 26 + at / 336 % 70, at / 28 % 12 + 1, at % 28 + 1);
    let event =
        |more: &str| format!("BEGIN:VEVENT\r\nUID:bomb\r\nDTSTART:20260101T000000Z\r\n{more}END:VEVENT\r\n");
    let moved = |range: &'static str| {
        move |at: usize| event(&format!("RECURRENCE-ID{range}:{}T000000Z\r\nDURATION:P9999D\r\n", day(at)))
    };
    let daily = event("RRULE:FREQ=DAILY\r\nDURATION:P9999D\r\n");
    let observances = many(20_000, &|at| {
        format!(
            "BEGIN:STANDARD\r\nDTSTART:{}T000000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nRRULE:FREQ=DAILY\r\nEND:STANDARD\r\n",
            day(at)
        )
    });
    let zoned = event("").replace("DTSTART:20260101T000000Z", "DTSTART;TZID=Mine:20260101T000000");
    let available = many(10_000, &|at| {
        format!(
            "BEGIN:AVAILABLE\r\nUID:{at}\r\nDTSTART:20260101T000000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=HOURLY\r\nEND:AVAILABLE\r\n"
        )
    });
    for (what, parts) in [
        ("rules", event(&"RRULE:FREQ=DAILY\r\n".repeat(20_000))),
        ("rules that have ended", event(&"RRULE:FREQ=DAILY;UNTIL=19700101\r\n".repeat(50_000))),
        ("dates", event(&many(20_000, &|at| format!("RDATE:{}T000000Z\r\n", day(at))))),
        ("periods", event(&many(20_000, &|at| format!("RDATE;VALUE=PERIOD:{}T000000Z/P9999D\r\n", day(at))))),
        (
            "exceptions",
            event(&format!("RRULE:FREQ=DAILY\r\n{}", many(20_000, &|at| format!("EXDATE:{}\r\n", day(at))))),
        ),
        ("overrides", daily.clone() + &many(10_000, &moved(""))),
        ("overrides of all that follows", daily + &many(10_000, &moved(";RANGE=THISANDFUTURE"))),
        ("observances", format!("BEGIN:VTIMEZONE\r\nTZID:Mine\r\n{observances}END:VTIMEZONE\r\n{zoned}")),
        ("availabilities", format!("BEGIN:VAVAILABILITY\r\nUID:1\r\n{available}END:VAVAILABILITY\r\n")),
        (
            "published periods",
            format!(
                "BEGIN:VFREEBUSY\r\nUID:1\r\nFREEBUSY:20260101T000000Z/P9999D{}\r\nEND:VFREEBUSY\r\n",
                many(20_000, &|at| format!(",{}T000000Z/PT1H", day(at)))
            ),
        ),
    ] {
        let body = plain(&[&parts]);
        let size = u32::try_from(body.len() >> 20).expect("a size") + 1;
        s.put(BOMBS, "alice", body).status(201);
        costs_at_most(&s, RULE + MEGABYTE * size, what, || s.get(FREE_BUSY, "alice").status(200));
        s.delete(BOMBS, "alice").status(204);
        goes_on(&s);
    }
}
