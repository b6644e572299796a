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

const BERLIN: &str = "Europe/Berlin";

/// An event in Berlin; `start` is the rest of its DTSTART, and `lines` what follows.
fn berlin(start: &str, lines: &str) -> Item {
    Item::new().event(&format!("DTSTART;TZID=Europe/Berlin:{start}\r\n{lines}"))
}

fn days(starts: &[String]) -> String {
    let days: Vec<&str> = starts.iter().filter_map(|start| start.strip_suffix("T09:00")).collect();
    days.join(" ")
}

#[test]
fn rules_make_the_dates_worked_out_by_hand() {
    let table = [
        // A day that a month or a year has not is left out, but for what RFC 7529 adds.
        (
            "20260131",
            "MONTHLY;RSCALE=GREGORIAN;SKIP=FORWARD;COUNT=4",
            "2026-01-31 2026-03-01 2026-03-31 2026-05-01",
        ),
        (
            "20260131",
            "MONTHLY;RSCALE=GREGORIAN;SKIP=BACKWARD;COUNT=4",
            "2026-01-31 2026-02-28 2026-03-31 2026-04-30",
        ),
        (
            "20240229",
            "YEARLY;RSCALE=GREGORIAN;SKIP=BACKWARD;UNTIL=20280301",
            "2024-02-29 2025-02-28 2026-02-28 2027-02-28 2028-02-29",
        ),
        (
            "20240229",
            "YEARLY;RSCALE=GREGORIAN;SKIP=FORWARD;COUNT=5",
            "2024-02-29 2025-03-01 2026-03-01 2027-03-01 2028-02-29",
        ),
        (
            "20260131",
            "MONTHLY;SKIP=BACKWARD;BYMONTHDAY=30,31;COUNT=5",
            "2026-01-31 2026-02-28 2026-03-30 2026-03-31 2026-04-30",
        ),
        ("20240229", "YEARLY", "2024-02-29 2028-02-29 2032-02-29"),
        ("20260131", "MONTHLY;COUNT=3", "2026-01-31 2026-03-31 2026-05-31"),
        (
            "20260101",
            "MONTHLY;BYMONTHDAY=-31;COUNT=5",
            "2026-01-01 2026-03-01 2026-05-01 2026-07-01 2026-08-01",
        ),
        ("20240229", "DAILY;BYMONTH=2;BYMONTHDAY=29", "2024-02-29 2028-02-29 2032-02-29"),
        // The fifth from either end, where there are five.
        ("20260302", "MONTHLY;BYDAY=-5MO;COUNT=4", "2026-03-02 2026-06-01 2026-08-03 2026-11-02"),
        ("20260130", "MONTHLY;BYDAY=5FR;COUNT=4", "2026-01-30 2026-05-29 2026-07-31 2026-10-30"),
        ("20261231", "YEARLY;BYDAY=53TH;COUNT=2", "2026-12-31 2032-12-30"),
        ("20261025", "YEARLY;BYMONTH=10;BYDAY=-1SU;COUNT=3", "2026-10-25 2027-10-31 2028-10-29"),
        // Days of the year from both ends.
        ("20241231", "YEARLY;BYYEARDAY=366;COUNT=2", "2024-12-31 2028-12-31"),
        ("20240229", "YEARLY;BYYEARDAY=60;COUNT=2", "2024-02-29 2025-03-01"),
        ("20261231", "YEARLY;BYYEARDAY=-1;COUNT=2", "2026-12-31 2027-12-31"),
        // Weeks across the turn of the year; without BYDAY they mean DTSTART's weekday.
        ("20201231", "YEARLY;BYWEEKNO=53;BYDAY=TH;COUNT=3", "2020-12-31 2026-12-31 2032-12-30"),
        ("20241231", "YEARLY;BYWEEKNO=1;COUNT=3", "2024-12-31 2025-12-30 2027-01-05"),
        ("20261229", "YEARLY;BYWEEKNO=-1;COUNT=2", "2026-12-29 2027-12-28"),
        // BYSETPOS counts in the whole period, also before DTSTART.
        ("20260120", "MONTHLY;BYDAY=TU;BYSETPOS=3;COUNT=3", "2026-01-20 2026-02-17 2026-03-17"),
        ("20260109", "WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1;COUNT=2", "2026-01-09 2026-01-16"),
        ("20261231", "YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=2", "2026-12-31 2027-12-31"),
        // BYDAY limits BYMONTHDAY.
        ("20260515", "MONTHLY;BYMONTHDAY=15,-1;BYDAY=FR;COUNT=3", "2026-05-15 2026-07-31 2027-01-15"),
        // DTSTART out of step is the first instance and counts.
        ("20260105", "WEEKLY;BYDAY=FR;COUNT=3", "2026-01-05 2026-01-09 2026-01-16"),
        // Several rules unite, each with its own count.
        (
            "20260105",
            "WEEKLY;BYDAY=MO;COUNT=2\r\nRRULE:FREQ=MONTHLY;BYMONTHDAY=1;COUNT=3",
            "2026-01-05 2026-01-12 2026-02-01 2026-03-01",
        ),
        // UNTIL: an instant, a day, a time on the clock; before DTSTART nothing is left.
        ("20260101", "DAILY;UNTIL=20260103T080000Z", "2026-01-01 2026-01-02 2026-01-03"),
        ("20260101", "DAILY;UNTIL=20260103T075959Z", "2026-01-01 2026-01-02"),
        ("20260101", "DAILY;UNTIL=20260103", "2026-01-01 2026-01-02 2026-01-03"),
        ("20260101", "DAILY;UNTIL=20260103T085959", "2026-01-01 2026-01-02"),
        ("20260101", "DAILY;UNTIL=20251231T000000Z", ""),
    ];
    for (start, rule, dates) in table {
        let item = berlin(&format!("{start}T090000"), &format!("RRULE:FREQ={rule}"));
        let found = local_starts(&item, BERLIN, "2000-01-01T00:00", "2033-01-01T00:00");
        assert_eq!(days(&found), dates, "{rule}");
    }
}

#[test]
fn a_day_that_was_moved_on_is_found_by_a_window_on_that_day() {
    let item = berlin("20100131T090000", "RRULE:RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=FORWARD");
    let starts = local_starts(&item, BERLIN, "2026-03-01T00:00", "2026-03-02T00:00");
    assert_eq!(starts, ["2026-03-01T09:00"]);
}

#[test]
fn clocks_that_change_keep_the_time_of_day() {
    let table = [
        // Left out in spring: later. Twice in autumn: the first, an hour before the second.
        (BERLIN, "20260328T023000", "2026-03-28T02:30 2026-03-29T03:30 2026-03-30T02:30"),
        (BERLIN, "20261024T023000", "2026-10-24T02:30 2026-10-25T02:30 2026-10-26T02:30"),
        ("America/New_York", "20260307T023000", "2026-03-07T02:30 2026-03-08T03:30 2026-03-09T02:30"),
        ("America/Sao_Paulo", "20181103T000000", "2018-11-03T00:00 2018-11-04T01:00 2018-11-05T00:00"),
        ("Australia/Lord_Howe", "20261003T021500", "2026-10-03T02:15 2026-10-04T02:45 2026-10-05T02:15"),
        // Samoa went to bed on the 29th and rose on the 31st: the 30th falls together with it.
        ("Pacific/Apia", "20111229T120000", "2011-12-29T12:00 2011-12-31T12:00 2012-01-01T12:00"),
    ];
    for (name, start, expected) in table {
        let item = Item::new().event(&format!("DTSTART;TZID={name}:{start}\r\nRRULE:FREQ=DAILY"));
        let found =
            local_starts(&item, name, "2000-01-01T00:00", expected.rsplit(' ').next().unwrap_or_default());
        assert_eq!(found.join(" "), expected, "{name}");
    }
    let item = berlin("20261025T023000", "DTEND;TZID=Europe/Berlin:20261025T033000");
    let found = found(&item, "UTC", "2026-10-25T00:00", "2026-10-26T00:00");
    assert_eq!(found, Ok(vec!["2026-10-25T00:30/2026-10-25T02:30".to_owned()]));
}

/// What overlaps a window in Berlin, without the year.
fn in_berlin(item: &Item, from: &str, to: &str) -> String {
    found(item, BERLIN, from, to).expect("understood").join(" ").replace("2026-", "")
}

#[test]
fn a_dtend_lasts_exactly_and_a_duration_nominally() {
    let table = [
        ("DTEND;TZID=Europe/Berlin:20260328T200000", "03-28T20:00/03-29T21:00"),
        ("DURATION:P1D", "03-28T20:00/03-29T20:00"),
        ("DURATION:PT24H", "03-28T20:00/03-29T21:00"),
        ("DURATION:P1DT1H", "03-28T20:00/03-29T21:00"),
        ("X-NONE:", "03-28T20:00/03-28T20:00"),
    ];
    for (end, expected) in table {
        let item = berlin("20260327T200000", &format!("{end}\r\nRRULE:FREQ=DAILY"));
        let found = in_berlin(&item, "2026-03-28T20:00", "2026-03-29T12:00");
        assert_eq!(found.split(' ').next_back(), Some(expected), "{end}");
    }
}

#[test]
fn whole_days_are_the_owners_days() {
    let table = [
        ("20260329", "X-NONE:", "03-29T00:00/03-30T00:00"),
        ("20260329", "DTEND;VALUE=DATE:20260331", "03-29T00:00/03-31T00:00"),
        ("20260329", "DTEND;VALUE=DATE:20260329", "03-29T00:00/03-30T00:00"),
        ("20260329", "DURATION:P2D", "03-29T00:00/03-31T00:00"),
        ("20260329", "RRULE:FREQ=DAILY;UNTIL=20260330", "03-29T00:00/03-30T00:00 03-30T00:00/03-31T00:00"),
        (
            "20260329",
            "RRULE:FREQ=DAILY;UNTIL=20260330T000000Z",
            "03-29T00:00/03-30T00:00 03-30T00:00/03-31T00:00",
        ),
        (
            "20260329",
            "RRULE:FREQ=DAILY;UNTIL=20260329T220000Z",
            "03-29T00:00/03-30T00:00 03-30T00:00/03-31T00:00",
        ),
        ("20260329", "RRULE:FREQ=DAILY;COUNT=2\r\nEXDATE:20260329T000000", "03-30T00:00/03-31T00:00"),
        ("20260329", "RRULE:FREQ=DAILY;COUNT=2\r\nEXDATE:20260328T230000Z", "03-30T00:00/03-31T00:00"),
        ("20260329", "RDATE;VALUE=DATE:20260401", "03-29T00:00/03-30T00:00 04-01T00:00/04-02T00:00"),
    ];
    for (start, lines, expected) in table {
        let item = Item::new().event(&format!("DTSTART;VALUE=DATE:{start}\r\n{lines}"));
        assert_eq!(in_berlin(&item, "2026-03-01T00:00", "2026-05-01T00:00"), expected, "{lines}");
    }
}

#[test]
fn a_whole_day_without_a_midnight_ends_with_the_day() {
    for (name, day, next) in [
        ("Africa/Cairo", "2026-04-24", "2026-04-25"),
        ("America/Havana", "2026-03-08", "2026-03-09"),
        ("America/Santiago", "2026-09-06", "2026-09-07"),
    ] {
        for lines in ["X-NONE:", "DURATION:P1D", &format!("DTEND;VALUE=DATE:{}", next.replace('-', ""))] {
            let start = day.replace('-', "");
            let item = Item::new().event(&format!("DTSTART;VALUE=DATE:{start}\r\n{lines}"));
            let found = found(&item, name, "2026-01-01T00:00", "2027-01-01T00:00");
            assert_eq!(found, Ok(vec![format!("{day}T01:00/{next}T00:00")]), "{name} {lines}");
        }
    }
}

#[test]
fn this_and_future_counts_whole_days_from_midnight() {
    let table = [
        ("20260424", "20260424", "22T00:00/23T00:00 23T00:00/24T01:00 24T01:00/25T00:00 25T00:00/26T00:00"),
        ("20260424", "20260425", "22T00:00/23T00:00 23T00:00/24T01:00 25T00:00/26T00:00 26T00:00/27T00:00"),
        ("20260423", "20260424", "22T00:00/23T00:00 24T01:00/25T00:00 25T00:00/26T00:00 26T00:00/27T00:00"),
    ];
    for (from, to, expected) in table {
        let moved = format!("RECURRENCE-ID;VALUE=DATE;RANGE=THISANDFUTURE:{from}\r\nDTSTART;VALUE=DATE:{to}");
        let item = Item::new().event("DTSTART;VALUE=DATE:20260422\r\nRRULE:FREQ=DAILY;COUNT=4").event(&moved);
        let found = found(&item, "Africa/Cairo", "2026-04-01T00:00", "2026-05-01T00:00");
        assert_eq!(found.expect("understood").join(" ").replace("2026-04-", ""), expected, "{moved}");
    }
}

#[test]
fn this_and_future_from_a_time_that_the_clock_skips_moves_nothing_that_was_not_moved() {
    let daily = "DTSTART;TZID=Europe/Berlin:20260328T023000\r\nRRULE:FREQ=DAILY;COUNT=3";
    let renamed = "RECURRENCE-ID;TZID=Europe/Berlin;RANGE=THISANDFUTURE:20260329T023000\r\n\
        DTSTART;TZID=Europe/Berlin:20260329T023000";
    let found = local_starts(
        &Item::new().event(daily).event(renamed),
        BERLIN,
        "2026-03-01T00:00",
        "2026-04-01T00:00",
    );
    assert_eq!(found, ["2026-03-28T02:30", "2026-03-29T03:30", "2026-03-30T02:30"]);
}

#[test]
fn midnight_in_utc_is_a_day_wherever_the_owner_is() {
    // And the last second before the next one.
    for until in ["20260103T000000Z", "20260103T235959Z"] {
        let lines = format!(
            "DTSTART;VALUE=DATE:20260101\r\nRRULE:FREQ=DAILY;UNTIL={until}\r\nEXDATE:20260102T000000Z"
        );
        for name in ["America/New_York", "UTC", "Europe/Berlin", "Pacific/Auckland"] {
            let item = Item::new().event(&lines);
            let found = local_starts(&item, name, "2026-01-01T00:00", "2026-02-01T00:00");
            assert_eq!(found, ["2026-01-01T00:00", "2026-01-03T00:00"], "{name} {until}");
        }
    }
}

#[test]
fn an_exdate_takes_out_an_instant_or_a_day() {
    for exdate in [
        "EXDATE;TZID=Europe/Berlin:20260102T090000",
        "EXDATE:20260102T080000Z",
        "EXDATE;TZID=America/New_York:20260102T030000",
        "EXDATE:20260102T090000",
        "EXDATE;VALUE=DATE:20260102",
        "EXDATE;VALUE=DATE:20251231,20260102",
    ] {
        let item = berlin("20260101T090000", &format!("RRULE:FREQ=DAILY;COUNT=3\r\n{exdate}"));
        let found = local_starts(&item, BERLIN, "2026-01-01T00:00", "2026-02-01T00:00");
        assert_eq!(days(&found), "2026-01-01 2026-01-03", "{exdate}");
    }
    let item = berlin("20260101T090000", "RRULE:FREQ=DAILY;COUNT=2\r\nEXDATE:20260101T090000Z");
    assert_eq!(local_starts(&item, BERLIN, "2026-01-01T00:00", "2026-02-01T00:00").len(), 2);
}

#[test]
fn an_rdate_is_a_time_a_day_or_a_period() {
    let table = [
        ("RDATE;TZID=Europe/Berlin:20260105T120000", "01-05T12:00/01-05T13:00"),
        ("RDATE:20260105T120000Z", "01-05T13:00/01-05T14:00"),
        ("RDATE;VALUE=DATE:20260105", "01-05T09:00/01-05T10:00"),
        ("RDATE;VALUE=PERIOD:20260105T080000Z/PT3H", "01-05T09:00/01-05T12:00"),
        ("RDATE;VALUE=PERIOD:20260105T080000Z/20260105T083000Z", "01-05T09:00/01-05T09:30"),
        ("RDATE;VALUE=PERIOD:20251230T080000Z/P7D", "12-30T09:00/01-06T09:00"),
        ("RDATE:20260105T080000Z,20260105T080000Z", "01-05T09:00/01-05T10:00"),
        ("RDATE;VALUE=PERIOD:20260105T080000Z/PT3H\r\nRRULE:FREQ=DAILY", "01-05T09:00/01-05T12:00"),
    ];
    for (rdate, expected) in table {
        let item = berlin("20251229T090000", &format!("DURATION:PT1H\r\n{rdate}"));
        let found = in_berlin(&item, "2026-01-05T00:00", "2026-01-06T00:00").replace("2025-", "");
        assert_eq!(found, expected, "{rdate}");
    }
}

/// Mondays at 9 in Berlin from 2026-01-05 on, an hour each, and an override.
fn mondays(overriding: &str) -> Item {
    berlin("20260105T090000", "DURATION:PT1H\r\nRRULE:FREQ=WEEKLY").event(overriding)
}

#[test]
fn an_override_stands_for_its_instance_wherever_it_lies() {
    let moved = "RECURRENCE-ID;TZID=Europe/Berlin:20260112T090000\r\nDTSTART;TZID=Europe/Berlin:20260220T150000\r\n\
        DTEND;TZID=Europe/Berlin:20260220T153000";
    let elsewhere =
        moved.replace("RECURRENCE-ID;TZID=Europe/Berlin:20260112T090000", "RECURRENCE-ID:20260112T080000Z");
    let by_day = moved
        .replace("RECURRENCE-ID;TZID=Europe/Berlin:20260112T090000", "RECURRENCE-ID;VALUE=DATE:20260112");
    for item in [mondays(moved), mondays(&elsewhere), mondays(&by_day)] {
        assert_eq!(in_berlin(&item, "2026-01-12T00:00", "2026-01-13T00:00"), "");
        assert_eq!(
            in_berlin(&item, "2026-02-16T00:00", "2026-02-22T00:00"),
            "02-16T09:00/02-16T10:00 02-20T15:00/02-20T15:30"
        );
    }
}

#[test]
fn an_override_of_a_whole_day_names_it_in_any_form() {
    for id in [
        "RECURRENCE-ID;VALUE=DATE:20260112",
        "RECURRENCE-ID:20260112T000000Z",
        "RECURRENCE-ID:20260111T230000Z",
    ] {
        let item = Item::new()
            .event("DTSTART;VALUE=DATE:20260105\r\nRRULE:FREQ=WEEKLY")
            .event(&format!("{id}\r\nDTSTART:20260112T080000Z\r\nDURATION:PT1H"));
        assert_eq!(
            in_berlin(&item, "2026-01-10T00:00", "2026-01-15T00:00"),
            "01-12T09:00/01-12T10:00",
            "{id}"
        );
    }
}

#[test]
fn the_newest_override_of_an_instance_counts() {
    let version = |hour, sequence, stamp| {
        format!(
            "RECURRENCE-ID:20260112T080000Z\r\nDTSTART:20260112T{hour}0000Z\r\nSEQUENCE:{sequence}\r\nDTSTAMP:{stamp}"
        )
    };
    let table = [
        ([version(14, 2, "20250101T000000Z"), version(15, 1, "20260101T000000Z")], "01-12T15:00/01-12T15:00"),
        ([version(14, 2, "20250101T000000Z"), version(15, 2, "20260101T000000Z")], "01-12T16:00/01-12T16:00"),
        (
            [version(14, 10, "20250101T000000Z"), version(15, 9, "20250101T000000Z")],
            "01-12T15:00/01-12T15:00",
        ),
    ];
    for ([one, other], expected) in table {
        for item in [mondays(&one).event(&other), mondays(&other).event(&one)] {
            assert_eq!(in_berlin(&item, "2026-01-12T00:00", "2026-01-13T00:00"), expected);
        }
    }
}

#[test]
fn overrides_without_their_master_are_instances_of_their_own() {
    let item =
        Item::new().event("RECURRENCE-ID:20260112T080000Z\r\nDTSTART:20260112T080000Z\r\nDURATION:PT1H");
    assert_eq!(in_berlin(&item, "2026-01-01T00:00", "2026-02-01T00:00"), "01-12T09:00/01-12T10:00");
}

#[test]
fn this_and_future_moves_all_later_instances() {
    let from_third = "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20260303T090000\r\n\
        DTSTART;TZID=Europe/Berlin:20260303T140000\r\nDURATION:PT2H";
    let fifth = "RECURRENCE-ID;TZID=Europe/Berlin:20260305T090000\r\nDTSTART;TZID=Europe/Berlin:20260305T200000\r\n\
        DURATION:PT1H";
    let from_seventh = "RECURRENCE-ID;RANGE=THISANDFUTURE:20260307T080000Z\r\n\
        DTSTART;TZID=Europe/Berlin:20260306T100000\r\nDURATION:PT1H";
    let lines = "DURATION:PT1H\r\nRRULE:FREQ=DAILY;COUNT=35\r\nEXDATE;TZID=Europe/Berlin:20260304T090000";
    let item = berlin("20260301T090000", lines).event(from_third).event(fifth).event(from_seventh);
    assert_eq!(
        in_berlin(&item, "2026-03-02T00:00", "2026-03-08T00:00"),
        "03-02T09:00/03-02T10:00 03-03T14:00/03-03T16:00 03-05T20:00/03-05T21:00 03-06T10:00/03-06T11:00 \
         03-06T14:00/03-06T16:00 03-07T10:00/03-07T11:00"
    );
    // Shifted on the clock, so the change to summer time does not show.
    assert_eq!(in_berlin(&item, "2026-04-03T00:00", "2026-05-01T00:00"), "04-03T10:00/04-03T11:00");
}

#[test]
fn this_and_future_may_move_instances_far() {
    let later = mondays(
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20260112T080000Z\r\nDTSTART:20260131T080000Z\r\nDURATION:PT1H",
    );
    assert_eq!(in_berlin(&later, "2026-02-07T00:00", "2026-02-08T00:00"), "02-07T09:00/02-07T10:00");
    let sooner = mondays(
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20260202T080000Z\r\nDTSTART:20260107T080000Z\r\nDURATION:PT1H",
    );
    assert_eq!(in_berlin(&sooner, "2026-01-14T00:00", "2026-01-15T00:00"), "01-14T09:00/01-14T10:00");
}

#[test]
fn what_began_before_the_window_reaches_into_it() {
    let item = berlin("20260101T200000", "DURATION:P3D\r\nRRULE:FREQ=WEEKLY");
    assert_eq!(in_berlin(&item, "2026-01-10T00:00", "2026-01-11T00:00"), "01-08T20:00/01-11T20:00");
    assert_eq!(in_berlin(&item, "2026-01-11T20:00", "2026-01-15T20:00"), "");
}

#[test]
fn what_is_not_understood_is_named() {
    let table = [
        ("X-NONE:", "DTSTART: is missing"),
        ("DTSTART:soon", "DTSTART: \"soon\" is malformed"),
        ("DTSTART:20260101T000000Z\r\nDTEND:20251231T000000Z", "DTEND: is before DTSTART"),
        ("DTSTART;VALUE=DATE:20260101\r\nDTEND;VALUE=DATE:20251231", "DTEND: is before DTSTART"),
        (
            "DTSTART:20260101T000000Z\r\nDTEND;VALUE=DATE:20260102",
            "DTEND: one of DTSTART and DTEND is a date, the other a time",
        ),
        ("DTSTART:20260101T000000Z\r\nDURATION:-PT1H", "DURATION: \"-PT1H\" is malformed"),
        ("DTSTART:20260101T000000Z\r\nrrule:FREQ=DAILY;COUNT=x", "RRULE: COUNT=x is malformed"),
        ("DTSTART:20260101T000000Z\r\nEXRULE:FREQ=DAILY", "EXRULE: is not supported"),
        ("DTSTART:20260101T000000Z\r\nEXDATE:never", "EXDATE: \"never\" is malformed"),
        ("DTSTART:20260101T000000Z\r\nRDATE:20260101T000000Z/", "RDATE: \"20260101T000000Z/\" is malformed"),
        (
            "DTSTART:20260101T000000Z\r\nRECURRENCE-ID:20260101T000000Z\r\nRRULE:FREQ=DAILY",
            "RECURRENCE-ID: beside RRULE or RDATE is not supported",
        ),
        (
            "DTSTART:20260101T000000Z\r\nRRULE:FREQ=SECONDLY",
            "RRULE: it has too many instances, or too few among too many candidates",
        ),
    ];
    for (lines, why) in table {
        let found = found(&Item::new().event(lines), "UTC", "2026-01-01T00:00", "2026-03-01T00:00");
        assert_eq!(found.map_err(|error| error.to_string()), Err(why.to_owned()), "{lines}");
    }
}

#[test]
fn a_move_by_a_thousand_years_runs_out_of_steps() {
    let item = Item::new()
        .event("DTSTART:10000101T000000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=WEEKLY")
        .event("RECURRENCE-ID;RANGE=THISANDFUTURE:10000108T000000Z\r\nDTSTART:20260101T000000Z");
    let found = found(&item, "UTC", "2026-01-01T00:00", "2026-03-01T00:00");
    assert_eq!(found.map_err(|error| error.property), Err("RRULE".to_owned()));
}

#[test]
fn an_alarm_in_an_event_says_nothing_of_its_time() {
    let alarm = "BEGIN:VALARM\r\nTRIGGER:-PT5M\r\nDURATION:PT9H\r\nRRULE:FREQ=DAILY\r\nEND:VALARM";
    let item = berlin("20260101T090000", &format!("{alarm}\r\nDURATION:PT1H"));
    assert_eq!(in_berlin(&item, "2026-01-01T00:00", "2026-02-01T00:00"), "01-01T09:00/01-01T10:00");
}
