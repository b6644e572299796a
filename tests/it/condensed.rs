//! Calendars that are asked for free/busy alone give up their texts when memory is short, and nobody can tell by the answers.

use jiff::{SignedDuration, Timestamp};

use crate::calendar::{event, plain, summaries};
use crate::freebusy::hour;
use crate::need::need;
use crate::server::{Server, configure, eventually, write};
use crate::strace::Strace;

const BUSY: &str = "/ical/~alice/freebusy.ifb";
const CALENDAR: &str = "/ical/folder/Big.ics";

/// An event at `start`, of more text than most.
fn large(uid: &str, start: &str) -> String {
    event(uid, &format!("{uid}{}", "x".repeat(60_000)), &[])
        .replace("DTSTART:20261201T100000Z", &format!("DTSTART:{start}"))
        .replace("DTEND:20261201T110000Z", "DURATION:PT5M")
}

fn configured(watch: &str, wrapper: &[&str], start: &str) -> Server {
    Server::wrapped(wrapper, |data| {
        // At some hours of some days the example's own events would be among those that are looked for.
        let files = walkdir::WalkDir::new(data.join("users")).into_iter().flatten();
        let is_item = |file: &walkdir::DirEntry| {
            file.file_type().is_file() && file.path().extension().is_some_and(|it| it == "ics")
        };
        for item in files.filter(is_item) {
            std::fs::remove_file(item.path()).expect("removed");
        }
        for (home, of) in [("alice", 0), ("bob", 100)] {
            for number in of..of + 12 {
                let text = plain(&[&large(&number.to_string(), start)]);
                write(data, &format!("users/{home}/Big/{number}.ics"), text);
            }
        }
        configure(data, &format!("cache_mb = 1\ntime_zone = \"UTC\"\n{watch}"));
    })
}

/// Asks for alice's free/busy, then for bob's, so that alice's texts give way.
fn condense(s: &Server) -> String {
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let etag = s.get(BUSY, "bob").etag();
    s.get("/ical/freebusy.ifb", "bob").status(200);
    etag
}

/// How often the server opens one of alice's large files while `during` runs. Nothing where that cannot be seen.
fn opened(s: &Server, during: impl FnOnce()) -> Option<usize> {
    let trace = s.path("trace");
    let strace = Strace::list(s, "openat2", &trace)?;
    during();
    drop(strace);
    let text = std::fs::read_to_string(&trace).expect("a trace");
    std::fs::remove_file(&trace).expect("ours");
    Some((0..12).map(|number| text.matches(&format!("\"{number}.ics\"")).count()).sum())
}

#[test]
fn what_gave_up_its_texts_answers_without_reading_them_again() {
    if !need("strace", "strace") {
        return;
    }
    for watch in ["", "watch = \"poll\"\n"] {
        let s = configured(watch, &[], &hour(30));
        let etag = condense(&s);
        let Some(reads) = opened(&s, || {
            for _ in 0..3 {
                assert_eq!(s.get(BUSY, "bob").etag(), etag);
                std::thread::sleep(std::time::Duration::from_millis(1100));
            }
            let window = format!("{BUSY}?start={}&period=P3D", hour(0));
            assert!(s.get(&window, "bob").text().contains(&hour(30)));
        }) else {
            return;
        };
        assert_eq!(reads, 0, "{watch}");
        let reads = opened(&s, || {
            let window = format!("{BUSY}?start={}&period=P700D", hour(0));
            assert!(s.get(&window, "bob").text().contains(&hour(30)), "a window beyond what is kept");
        });
        assert_eq!(reads, Some(12), "{watch}");
        let text = s.get(CALENDAR, "alice").text();
        assert_eq!(summaries(&text).len(), 12, "a reader has it whole");
        assert_eq!(s.get(BUSY, "bob").etag(), etag);
    }
}

#[test]
fn an_edit_of_what_gave_up_its_texts_shows() {
    for watch in ["", "watch = \"poll\"\n"] {
        let s = configured(watch, &[], &hour(30));
        let mut etag = condense(&s);
        let shows = |s: &Server, start: &str| {
            eventually("free/busy follows", || s.get(BUSY, "bob").text().contains(start).then_some(()));
        };
        for (number, edit) in ["5.ics", "new.ics"].into_iter().enumerate() {
            let start = hour(50 + 2 * i64::try_from(number).expect("a number"));
            s.write(&format!("users/alice/Big/{edit}"), plain(&[&large(edit, &start)]));
            shows(&s, &start);
            let now = condense(&s);
            assert_ne!(now, etag);
            etag = now;
        }
        s.remove("users/alice/Big/new.ics");
        eventually("it is gone", || (s.get(BUSY, "bob").etag() != etag).then_some(()));
        condense(&s);
        s.write("users/alice/Big/.props.json", "{\"freebusy\": false}");
        eventually("it counts no more", || (!s.get(BUSY, "bob").text().contains(&hour(30))).then_some(()));
        s.write("users/alice/Big/.props.json", "{}");
        shows(&s, &hour(30));
        condense(&s);
        s.write("users/alice/Big/.acl.json", "{}");
        eventually("bob is out", || (!s.get(BUSY, "bob").text().contains(&hour(30))).then_some(()));
        assert!(s.get("/ical/freebusy.ifb", "alice").text().contains(&hour(30)));
    }
}

#[test]
fn the_last_good_version_of_a_broken_file_outlives_memory_that_is_short() {
    let s = configured("", &[], &hour(30));
    s.get(CALENDAR, "alice").status(200);
    let start = hour(70);
    s.write("users/alice/Big/late.ics", plain(&[&large("late", &start)]));
    eventually("it counts", || s.get(BUSY, "bob").text().contains(&start).then_some(()));
    s.write("users/alice/Big/late.ics", "BEGIN:VCALENDAR\r\nBEGIN:VEV");
    eventually("the log names it", || s.log().contains("late.ics").then_some(()));
    condense(&s);
    assert!(s.get(BUSY, "bob").text().contains(&start));
    assert_eq!(summaries(&s.get(CALENDAR, "alice").text()).len(), 13);
}

#[test]
fn the_window_moves_at_midnight_and_all_that_is_kept_with_it() {
    if !need("faketime", "faketime") {
        return;
    }
    // The last day of a fortnight for which busy times are kept: what gave up its texts is worked out again.
    // Not by the program, which stays beside what it starts.
    let library =
        format!("LD_PRELOAD=/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let date = "FAKETIME=@2027-03-10 23:59:48";
    let clock = ["env", "TZ=UTC", "FAKETIME_DONT_FAKE_MONOTONIC=1", date, &library];
    let s = configured("", &clock, "20270505T030000Z");
    let start = |text: &str| text.lines().find_map(|line| line.strip_prefix("DTSTART:").map(str::to_owned));
    let first = s.get(BUSY, "bob").status(200);
    s.get("/ical/freebusy.ifb", "bob").status(200);
    assert_eq!(start(&first.text()).as_deref(), Some("20270310T000000Z"));
    assert!(!first.text().contains("20270505T03"), "eight weeks end before it");
    let next = eventually("midnight", || {
        let answer = s.get(BUSY, "bob").status(200);
        (start(&answer.text()).as_deref() == Some("20270311T000000Z")).then_some(answer)
    });
    assert!(next.text().contains("20270505T030000Z/"), "{}", next.text());
    assert_ne!(next.etag(), first.etag());
    s.get(BUSY, "bob").header("If-None-Match", &first.etag()).status(200);
}

#[test]
fn more_busy_times_than_fit_are_named_once() {
    let often = |second: u32| {
        let day = (Timestamp::now() + SignedDuration::from_hours(24)).strftime("%Y%m%d");
        let event = format!(
            "BEGIN:VEVENT\r\nUID:{second}\r\nDTSTAMP:20261001T080000Z\r\nDTSTART:{day}T0000{second:02}Z\r\n\
             DURATION:PT1S\r\nRRULE:FREQ=MINUTELY;INTERVAL=7;COUNT=9000\r\nEND:VEVENT\r\n"
        );
        plain(&[&event])
    };
    let s = Server::start();
    for second in 0..14 {
        s.write(&format!("users/alice/Full/{second}.ics"), often(4 * second));
    }
    eventually("the log names it", || {
        s.get(BUSY, "bob").status(200);
        s.log().contains("alice/Full: more than 100000 busy times").then_some(())
    });
    s.write("users/alice/Full/more.ics", often(3));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    s.get(BUSY, "bob").status(200);
    assert_eq!(s.log().matches("more than 100000 busy times").count(), 1, "{}", s.log());
}
