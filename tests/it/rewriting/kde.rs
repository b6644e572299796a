//! Saves of KDE's programs: what they change merely by reading and writing is no edit, and what they edit is one.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::calendar::{PLAIN, by_uid, calendar, components, event, unfold};
use crate::server::Server;

pub const KDE: &str = "-//K Desktop Environment//NONSGML libkcal 4.3//EN";

/// User-Agent of KIO, which sends what they write.
pub const KIO: &str = "Mozilla/5.0 (X11; Linux x86_64) KIO/6.18 akonadi_ical_resource_0/6.5.1";

const STAMP: &str = "LAST-MODIFIED:20261001T080000Z";
const LATER: &str = "LAST-MODIFIED:20261124T120000Z";

/// A component in December 2026, with these lines.
fn component(kind: &str, uid: &str, lines: &[&str]) -> String {
    format!(
        "BEGIN:{kind}\r\nUID:{uid}\r\nDTSTAMP:20261001T080000Z\r\n{}\r\nEND:{kind}\r\n",
        lines.join("\r\n")
    )
}

/// A calendar of a server, by its address.
struct Calendar<'s>(&'s Server, String);

impl<'s> Calendar<'s> {
    /// One of these parts, which somebody else has made.
    fn holding(s: &'s Server, parts: &[&str]) -> Calendar<'s> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let new = Calendar(s, format!("/ical/folder/Kde{}.ics", MADE.fetch_add(1, Ordering::Relaxed)));
        new.put(PLAIN, "another", parts, 201);
        new
    }

    #[track_caller]
    fn put(&self, prodid: &str, agent: &str, parts: &[&str], status: u16) {
        let put = self.0.put(&self.1, "alice", calendar(prodid, parts));
        put.header("User-Agent", agent).status(status);
    }

    fn fetch(&self, agent: &str) -> String {
        self.0.get(&self.1, "alice").header("User-Agent", agent).status(200).etag()
    }

    fn here(&self) -> String {
        unfold(&self.0.get(&self.1, "alice").header("User-Agent", "a test").text())
    }
}

/// What KDE makes of an item by reading and writing it, of lines that say the same: whoever sends them has edited nothing.
const THE_SAME: [(&str, [&str; 2]); 7] = [
    ("VTODO", ["SUMMARY:Buy", "SUMMARY:Buy\r\nPERCENT-COMPLETE:0"]),
    ("VEVENT", ["SUMMARY:A meeting", "SUMMARY:A meeting\r\nCREATED:20261124T120000Z"]),
    ("VEVENT", ["SUMMARY;LANGUAGE=de-DE:Termin", "SUMMARY:Termin"]),
    (
        "VEVENT",
        [
            "ATTENDEE;PARTSTAT=ACCEPTED;CN=A;X-NUM-GUESTS=0:mailto:a@x",
            "ATTENDEE;CN=A;RSVP=FALSE;PARTSTAT=ACCEPTED;ROLE=REQ-PARTICIPANT;CUTYPE=INDIVIDUAL:mailto:a@x",
        ],
    ),
    ("VEVENT", ["DTSTART;VALUE=DATE:20261201", "DTSTART;VALUE=DATE:20261201\r\nDTEND;VALUE=DATE:20261202"]),
    (
        "VEVENT",
        [
            "DTSTART;TZID=W. Europe Standard Time:20261201T100000",
            "DTSTART;TZID=Europe/Berlin:20261201T100000",
        ],
    ),
    (
        "VEVENT",
        [
            "DTSTART;TZID=UTC:20261201T100000\r\nEXDATE;TZID=UTC:20261202T100000",
            "DTSTART:20261201T100000Z\r\nEXDATE:20261202T100000Z",
        ],
    ),
];

/// The same of lines that say something else: there LAST-MODIFIED tells that KDE has edited nothing.
const LESS: [(&str, [&str; 2]); 10] = [
    (
        "VEVENT",
        [
            "DESCRIPTION;ALTREP=\"data:text/html,%3Cb%3EBold%3C%2Fb%3E\":Bold\r\nSEQUENCE:0\r\nRESOURCES:Beamer",
            "DESCRIPTION:Bold",
        ],
    ),
    ("VTODO", ["RELATED-TO;RELTYPE=SIBLING:other\r\nSEQUENCE:2 ", "RELATED-TO:other\r\nSEQUENCE:2"]),
    (
        "VEVENT",
        [
            "ATTENDEE;SCHEDULE-STATUS=2.0;EMAIL=a@x:mailto:a@x\r\nATTENDEE:/principal/\r\nORGANIZER;SENT-BY=\"mailto:b@x\":mailto:o@x",
            "ATTENDEE:mailto:a@x\r\nORGANIZER:mailto:o@x",
        ],
    ),
    ("VEVENT", ["GEO:50.123456789;8.1", "GEO:50.123455;8.100000"]),
    ("VEVENT", ["DTSTART:20261201T100000Z\r\nDTEND:20261201T100000Z", "DTSTART:20261201T100000Z"]),
    ("VEVENT", ["RRULE:FREQ=DAILY;UNTIL=20261210", "RRULE:FREQ=DAILY;UNTIL=20261210T000000Z"]),
    ("VEVENT", ["RECURRENCE-ID;VALUE=DATE:20261201", "RECURRENCE-ID:20261201T000000"]),
    ("VEVENT", ["RECURRENCE-ID;TZID=Etc/UTC:20261201T100000", "RECURRENCE-ID:20261201T100000Z"]),
    (
        "VEVENT",
        [
            "SUMMARY:kept\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:x\r\nLAST-MODIFIED:20261003T080000Z\r\nSUMMARY:left out",
            "SUMMARY:kept",
        ],
    ),
    ("VJOURNAL", ["DESCRIPTION;ALTREP=\"cid:1\":Bold", "DESCRIPTION:Bold"]),
];

/// Items in which lines of a kind become others: all that there are, with the stamps that they keep.
fn rewritten() -> impl Iterator<Item = (&'static str, [String; 2], [&'static str; 2])> {
    let same =
        THE_SAME.into_iter().map(|(kind, lines)| (kind, lines.map(str::to_owned), [PLAIN, "a program"]));
    let less = LESS
        .into_iter()
        .map(|(kind, lines)| (kind, lines.map(|lines| format!("{STAMP}\r\n{lines}")), [KDE, KIO]));
    same.chain(less)
}

#[test]
fn what_kde_has_no_place_for_stays_when_it_edits_something_else() {
    let s = Server::start();
    for (kind, [before, after], [prodid, agent]) in rewritten() {
        let x = |lines: &str| component(kind, "x", &[lines]);
        let c = Calendar::holding(&s, &[&x(&before), &event("y", "old", &[STAMP])]);
        c.fetch(agent);
        // Its writing moves LAST-MODIFIED where there is an alarm, which the next save shows.
        let moved = after.replace(STAMP, LATER);
        for (after, summary) in [(&after, "new"), (&moved, "newer")] {
            c.put(prodid, agent, &[&x(after), &event("y", summary, &[LATER])], 204);
            assert!(c.here().contains(&x(&before)), "{before}: {}", c.here());
        }
        c.put(prodid, agent, &[&event("y", "newer", &[LATER])], 204);
        assert!(!c.here().contains("UID:x"), "{before}: it is deleted");
    }
}

#[test]
fn a_stale_copy_of_kdes_revives_and_reverts_nothing() {
    let s = Server::start();
    for (kind, [before, after], [prodid, agent]) in rewritten() {
        for edited in [false, true] {
            let x = |lines: &str| component(kind, "x", &[lines]);
            let c = Calendar::holding(&s, &[&x(&before), &event("y", "old", &[STAMP])]);
            let etag = c.fetch(agent);
            let edit = before.replace(STAMP, LATER) + "\r\nLOCATION:Edited";
            let theirs = if edited { x(&edit) } else { String::new() };
            let body = calendar(PLAIN, &[&theirs, &event("y", "old", &[STAMP])]);
            let put = s.put(&c.1, "alice", body).header("User-Agent", "another");
            put.header("If-Match", &etag).status(204);
            c.put(prodid, agent, &[&x(&after), &event("y", "new", &[LATER])], 204);
            let text = c.here();
            assert!(text.contains("SUMMARY:new"), "{text}");
            assert_eq!(text.contains("UID:x"), edited, "{after}: {text}");
            assert_eq!(text.contains("LOCATION:Edited"), edited, "{after}: {text}");
        }
    }
}

/// KDE knows each occurrence by itself, and writes nothing but the one that it edits or deletes.
#[test]
fn what_kde_edits_is_taken() {
    let s = Server::start();
    let series = |lines: &[&str]| {
        component("VEVENT", "x", &[&["DTSTART:20261201T100000Z", "RRULE:FREQ=DAILY"], lines].concat())
    };
    let moved = |lines: &[&str]| {
        component(
            "VEVENT",
            "x",
            &[&["DTSTART:20261202T120000Z", "RECURRENCE-ID:20261202T100000Z"], lines].concat(),
        )
    };
    let (master, other) = (series(&[STAMP]), moved(&[STAMP]));
    let table: [&[String]; 5] = [
        std::slice::from_ref(&master),
        &[master.clone(), moved(&[LATER, "SUMMARY:edited"])],
        &[series(&[LATER, "SUMMARY:edited"]), other.clone()],
        // Within the second in which it edited it before.
        &[series(&[STAMP, "SEQUENCE:1", "SUMMARY:edited"]), other.clone()],
        &[series(&["SUMMARY:edited"]), other.clone()],
    ];
    for edited in table {
        let c = Calendar::holding(&s, &[&master, &other]);
        c.fetch(KIO);
        c.put(KDE, KIO, &edited.iter().map(String::as_str).collect::<Vec<_>>(), 204);
        let mut parts = components(&c.here());
        parts.sort();
        let mut expected = edited.to_vec();
        expected.sort();
        assert_eq!(parts, expected);
    }
}

#[test]
fn what_a_script_edits_in_kdes_file_is_taken() {
    let s = Server::start();
    let c = Calendar::holding(&s, &[&event("x", "old", &[STAMP])]);
    c.fetch("curl/8.14.1");
    c.put(KDE, "curl/8.14.1", &[&event("x", "new", &[STAMP])], 204);
    assert!(by_uid(&c.here(), "x").contains("SUMMARY:new"));
}
