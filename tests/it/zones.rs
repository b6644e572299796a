//! Zones that are defined in the calendar itself: their definitions are as much a part of what is saved as the items.

use crate::calendar::{plain, summaries};
use crate::server::{Server, eventually};

const ADDRESS: &str = "/ical/folder/Zones.ics";
const DIRECTORY: &str = "users/alice/Zones";

fn zone(offset: &str) -> String {
    format!(
        "BEGIN:VTIMEZONE\r\nTZID:Mars/Base\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n\
         TZOFFSETFROM:{offset}\r\nTZOFFSETTO:{offset}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
    )
}

fn zoned(uid: &str) -> String {
    format!(
        "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261001T080000Z\r\nDTSTART;TZID=Mars/Base:20261201T100000\r\n\
         SUMMARY:On {uid}\r\nEND:VEVENT\r\n"
    )
}

#[test]
fn an_offset_that_is_defined_with_summer_time_has_it() {
    let s = Server::start();
    let observance = |name: &str, from: &str, to: &str, start: &str| {
        format!("BEGIN:{name}\r\nDTSTART:{start}\r\nTZOFFSETFROM:{from}\r\nTZOFFSETTO:{to}\r\nEND:{name}\r\n")
    };
    let winter =
        observance("STANDARD", "-0400", "-0500", "19701101T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU");
    let summer =
        observance("DAYLIGHT", "-0500", "-0400", "19700308T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU");
    for tzid in ["EST", "GMT-0500"] {
        let zone = format!("BEGIN:VTIMEZONE\r\nTZID:{tzid}\r\n{winter}{summer}END:VTIMEZONE\r\n");
        let event = format!(
            "BEGIN:VEVENT\r\nUID:a\r\nDTSTAMP:20261001T080000Z\r\nDTSTART;TZID={tzid}:20260701T100000\r\nDURATION:PT1H\r\nEND:VEVENT\r\n"
        );
        s.put(ADDRESS, "alice", plain(&[&zone, &event])).status(201);
        let served = s.get(ADDRESS, "alice").status(200);
        assert!(served.text().contains("BEGIN:DAYLIGHT"), "{served}");
        let busy = s.get("/ical/freebusy.ifb?start=20260701T000000Z&period=P1D", "alice").text();
        assert!(busy.contains("20260701T140000Z"), "{tzid}: {busy}");
        s.put(ADDRESS, "alice", served.text()).header("If-Match", &served.etag()).status(204);
        assert_eq!(s.get(ADDRESS, "alice").etag(), served.etag());
        s.delete(ADDRESS, "alice").status(204);
    }
}

#[test]
fn a_large_calendar_is_not_too_large_for_a_definition_that_does_not_count() {
    let s = Server::start();
    // As ical4j writes them: each change since 1893.
    let observance = zone("+0100").replace("Mars/Base", "Europe/Berlin");
    let filler = "X-CHANGE:19160430T230000\r\n".repeat(1_600);
    let large = observance.replace("BEGIN:STANDARD\r\n", &format!("BEGIN:STANDARD\r\n{filler}"));
    let events: String =
        (0..2_000).map(|at| zoned(&at.to_string()).replace("Mars/Base", "Europe/Berlin")).collect();
    let body = plain(&[&large, &events]);
    s.put(ADDRESS, "alice", body.clone()).status(201);
    assert_eq!(summaries(&s.get(ADDRESS, "alice").text()).len(), 2_000);
    s.write("users/alice/Team/export.ics", body);
    eventually("the dropped in file is served", || {
        (summaries(&s.get("/ical/folder/Team.ics", "alice").text()).len() == 2_001).then_some(())
    });
    let mars =
        plain(&[&large.replace("Europe/Berlin", "Mars/Base"), &events.replace("Europe/Berlin", "Mars/Base")]);
    s.put("/ical/folder/Mars.ics", "alice", mars).status(413);
}

#[test]
fn an_item_may_be_in_both_zones_of_one_name() {
    let s = Server::start();
    s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
    s.put(ADDRESS, "alice", plain(&[&zone("+0300"), &zoned("b")])).status(204);
    let served = s.get(ADDRESS, "alice").status(200);
    let start = "DTSTART;TZID=Mars/Base (2):20261201T100000\r\n";
    let both = format!("{start}DTEND;TZID=Mars/Base:20261201T180000\r\n");
    assert!(served.text().contains(start), "{served}");
    s.put(ADDRESS, "alice", served.text().replace(start, &both))
        .header("If-Match", &served.etag())
        .status(204);
    let now = s.get(ADDRESS, "alice").text();
    assert!(now.contains(&both), "{now}");
    let file = s.file_with(DIRECTORY, "DTEND");
    let file = s.read(&format!("{DIRECTORY}/{file}"));
    assert!(file.contains("TZOFFSETTO:+0300") && file.contains("TZOFFSETTO:+0100"), "{file}");
}

#[test]
fn what_is_saved_as_it_was_served_keeps_its_zones_however_their_names_are_spelled() {
    for (param, property) in [("A\\, B", "A\\, B"), ("\"A, B\"", "A\\, B"), ("Ba\\ck", "Ba\\\\ck")] {
        let s = Server::start();
        for (uid, offset, status) in [("a", "+0100", 201), ("b", "+0500", 204)] {
            let zone = zone(offset).replace("Mars/Base", property);
            let event = zoned(uid).replace("Mars/Base", param).replace("SUMMARY", "DURATION:PT1H\r\nSUMMARY");
            s.put(ADDRESS, "alice", plain(&[&zone, &event])).status(status);
        }
        let busy = || {
            let text = s.get("/ical/freebusy.ifb?start=20261201T000000Z&period=P1D", "alice").text();
            text.lines().filter(|line| line.starts_with("FREEBUSY")).map(str::to_owned).collect::<Vec<_>>()
        };
        let (before, was_busy) = (s.tree(DIRECTORY), busy());
        assert!(["T050000Z", "T090000Z"].iter().all(|at| was_busy.concat().contains(at)), "{was_busy:?}");
        let served = s.get(ADDRESS, "alice").status(200);
        assert_eq!(served.text().matches("BEGIN:VTIMEZONE").count(), 2, "{served}");
        s.put(ADDRESS, "alice", served.text()).header("If-Match", &served.etag()).status(204);
        assert!(s.tree(DIRECTORY) == before, "{param} {property}");
        // And what is edited stays in its own zone.
        let edited = served.text().replace("SUMMARY:On", "SUMMARY:Still on");
        s.put(ADDRESS, "alice", edited).header("If-Match", &served.etag()).status(204);
        assert_eq!(busy(), was_busy, "{param} {property}");
    }
}

#[test]
fn a_change_of_the_definition_alone_is_saved() {
    let guards = [Some("If-Match"), Some("If"), Some("Kalends-Merge"), None];
    for guard in guards {
        let s = Server::start();
        s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
        let before = s.get(ADDRESS, "alice").etag();
        let put = s.put(ADDRESS, "alice", plain(&[&zone("+0300"), &zoned("a")]));
        let put = match guard {
            Some("Kalends-Merge") => put.header("Kalends-Merge", "replace"),
            Some("If") => put.header("If", &format!("([{before}])")),
            Some(guard) => put.header(guard, &before),
            None => put,
        };
        let after = put.status(204).etag();
        let file = s.read(&format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, "UID:a")));
        assert!(file.contains("TZOFFSETTO:+0300") && !file.contains("+0100"), "{guard:?}: {file}");
        assert_ne!(before, after, "{guard:?}");
        let served = s.get(ADDRESS, "alice");
        let text = served.text();
        assert!(text.contains("TZOFFSETTO:+0300") && !text.contains("+0100"), "{guard:?}: {text}");
        // The tag stands for what was sent: it comes back without an edit, and is the base of the next one.
        assert_eq!(s.get(ADDRESS, "alice").etag(), after, "{guard:?}");
        let tree = s.tree(DIRECTORY);
        s.put(ADDRESS, "alice", text).header("If", &format!("([{after}])")).status(204);
        assert!(s.tree(DIRECTORY) == tree, "{guard:?}");
    }
}

#[test]
fn what_somebody_else_changes_of_a_definition_meanwhile_stays() {
    let s = Server::start();
    s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
    let (seen, old) = (s.get(ADDRESS, "alice").etag(), s.get(ADDRESS, "alice").text());
    s.put(ADDRESS, "alice", plain(&[&zone("+0300"), &zoned("a")])).header("If-Match", &seen).status(204);
    let with_new = old.replace("END:VCALENDAR", &format!("{}END:VCALENDAR", zoned("b")));
    s.put(ADDRESS, "alice", with_new).header("If", &format!("([{seen}])")).status(204);
    for (uid, offset) in [("a", "+0300"), ("b", "+0100")] {
        let file = s.read(&format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, &format!("UID:{uid}"))));
        assert!(file.contains(&format!("TZOFFSETTO:{offset}")), "{file}");
    }
}

#[test]
fn an_item_that_borrows_its_definition_comes_back_unedited() {
    let s = Server::start();
    s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
    s.write(&format!("{DIRECTORY}/b.ics"), plain(&[&zoned("b")]));
    let text = eventually("the second item is served", || {
        let text = s.get(ADDRESS, "alice").text();
        text.contains("UID:b").then_some(text)
    });
    assert_eq!(text.matches("BEGIN:VTIMEZONE").count(), 1, "{text}");
    let (tree, etag) = (s.tree(DIRECTORY), s.get(ADDRESS, "alice").etag());
    for body in
        [text.clone(), text.replace("UID:b\r\nDTSTAMP:20261001T080000Z", "DTSTAMP:20261002T080000Z\r\nUID:b")]
    {
        for guard in ["If-Match", "If"] {
            let value = if guard == "If" { format!("([{etag}])") } else { etag.clone() };
            assert_eq!(s.put(ADDRESS, "alice", body.clone()).header(guard, &value).status(204).etag(), etag);
            assert!(s.tree(DIRECTORY) == tree);
        }
        s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").status(204);
        assert!(s.tree(DIRECTORY) == tree);
    }
    // With another definition it is the client's: for both.
    s.put(ADDRESS, "alice", text.replace("+0100", "+0300")).header("If-Match", &etag).status(204);
    assert!(s.texts(DIRECTORY).iter().filter(|text| text.contains("TZOFFSETTO:+0300")).count() == 2);
}

#[test]
fn a_definition_that_comes_with_a_new_item_edits_no_other() {
    let s = Server::start();
    s.put(ADDRESS, "alice", plain(&[&zoned("a"), &zoned("b")])).status(201);
    s.get(ADDRESS, "alice").header("User-Agent", PROGRAM).status(200);
    let etag = s.get(ADDRESS, "alice").etag();
    let edited = plain(&[&zoned("a").replace("On a", "Edited a"), &zoned("b")]);
    s.put(ADDRESS, "alice", edited).header("If-Match", &etag).status(204);
    // It has the old a, and an invitation that defines the zone.
    let stale = plain(&[&zone("+0100"), &zoned("a"), &zoned("b"), &zoned("n")]);
    for _ in 0..2 {
        s.put(ADDRESS, "alice", stale.clone()).header("User-Agent", PROGRAM).status(204);
        assert_eq!(summaries(&s.get(ADDRESS, "alice").text()), ["Edited a", "On b", "On n"]);
    }
}

/// What a program has that fetched `a`, which defines its zone, and `b`, which has a zone of the same name: its own, served under
/// another name, or that of `a`.
struct Fetched {
    s: Server,
    text: String,
    etag: String,
}

const PROGRAM: &str = "korganizer/6.5.1";

impl Fetched {
    fn new(own_zone: bool) -> Fetched {
        let s = Server::start();
        s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
        let zone = if own_zone { zone("+0300") } else { String::new() };
        s.write(&format!("{DIRECTORY}/zz.ics"), plain(&[&zone, &zoned("b")]));
        let answer = eventually("the second item is served", || {
            let answer = s.get(ADDRESS, "alice").header("User-Agent", PROGRAM).send();
            answer.text().contains("UID:b").then_some(answer)
        });
        assert_eq!(answer.text().contains("Mars/Base (2)"), own_zone);
        Fetched { text: answer.text(), etag: answer.etag(), s }
    }

    /// The program adds an item to what it fetched, and sends it all.
    #[track_caller]
    fn sends(&self, guarded: bool) {
        let added = zoned("c").replace(";TZID=Mars/Base", "");
        let body = self.text.replace("END:VCALENDAR", &format!("{added}END:VCALENDAR"));
        let put = self.s.put(ADDRESS, "alice", body).header("User-Agent", PROGRAM);
        match guarded {
            true => put.header("If", &format!("([{}])", self.etag)),
            false => put,
        }
        .status(204);
    }

    #[track_caller]
    fn serves(&self, wanted: &[&str]) {
        eventually("it is served", || {
            let text = self.s.get(ADDRESS, "alice").header("User-Agent", "a test").text();
            (summaries(&text) == wanted).then_some(())
        });
    }
}

#[test]
fn what_comes_back_as_it_was_served_is_unedited_also_where_zones_are_served_otherwise_since() {
    for own_zone in [true, false] {
        for guarded in [true, false] {
            // The item is gone whose zone had a made-up name, or a borrowed definition.
            let fetched = Fetched::new(own_zone);
            fetched.s.remove(&format!("{DIRECTORY}/zz.ics"));
            fetched.serves(&["On a"]);
            fetched.sends(guarded);
            fetched.serves(&["On a", "On c"]);
            // The other one is gone, and somebody has edited this one.
            let fetched = Fetched::new(own_zone);
            let a = fetched.s.file_with(DIRECTORY, "UID:a");
            fetched.s.remove(&format!("{DIRECTORY}/{a}"));
            let edited = fetched.s.read(&format!("{DIRECTORY}/zz.ics")).replace("On b", "On b, edited");
            fetched.s.write(&format!("{DIRECTORY}/zz.ics"), edited);
            fetched.serves(&["On b, edited"]);
            fetched.sends(guarded);
            fetched.serves(&["On b, edited", "On c"]);
        }
    }
}

#[test]
fn what_is_served_with_another_zone_than_it_was_sent_is_a_base_as_it_was_sent() {
    let s = Server::start();
    s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
    // Its own zone has a name that is taken.
    s.put(ADDRESS, "alice", plain(&[&zone("+0300"), &zoned("b")]))
        .header("User-Agent", "another")
        .status(204);
    let served = s.get(ADDRESS, "alice").header("User-Agent", "a test").text();
    assert!(served.contains("Mars/Base (2)"), "{served}");
    s.remove(&format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, "UID:b")));
    eventually("it is gone", || {
        let text = s.get(ADDRESS, "alice").header("User-Agent", "a test").text();
        (summaries(&text) == ["On a"]).then_some(())
    });
    s.put(ADDRESS, "alice", plain(&[&zone("+0300"), &zoned("b")]))
        .header("User-Agent", "another")
        .status(204);
    let served = s.get(ADDRESS, "alice").header("User-Agent", "a test").text();
    assert_eq!(summaries(&served), ["On a"]);
}
