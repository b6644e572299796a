//! Free/busy that its owner's program publishes: what it counts for, and who may publish what.

use crate::calendar::plain;
use crate::freebusy::{ALICE, at, has, hour, periods, with};
use crate::server::NOBODY;

/// A VFREEBUSY as programs publish it.
fn publication(from: i64) -> String {
    format!(
        "BEGIN:VFREEBUSY\r\nORGANIZER:mailto:alice@example.org\r\nDTSTAMP:20261001T080000Z\r\n\
         FREEBUSY;FBTYPE=BUSY-UNAVAILABLE:{}/PT2H\r\nEND:VFREEBUSY\r\n",
        hour(from)
    )
}

#[test]
fn what_its_owner_publishes_counts_until_it_is_removed() {
    let s = with(&[at("a", 30, &[])]);
    let mine = "/ical/freebusy.ifb";
    let created = s.put(mine, "alice", plain(&[&publication(50)])).status(201);
    assert_eq!(created.etag(), s.get(mine, "alice").etag());
    let found = periods(&s);
    assert!(has(&found, "BUSY-UNAVAILABLE", 50, 2) && has(&found, "BUSY", 30, 1), "{found:?}");
    // Outlook sends the component alone.
    let again = s.put("/ical/~alice/freebusy.vfb", "alice", publication(60)).status(204);
    assert_eq!(again.etag(), s.get(mine, "alice").etag());
    let found = periods(&s);
    assert!(has(&found, "BUSY-UNAVAILABLE", 60, 2) && found.len() == 2, "{found:?}");
    let stored = s.read("users/alice/.freebusy.ics");
    assert!(stored.starts_with("BEGIN:VCALENDAR") && stored.contains(&publication(60)), "{stored}");
    s.delete(mine, "alice").status(204);
    assert!(!s.has("users/alice/.freebusy.ics"));
    assert_eq!(periods(&s).len(), 1);
    s.delete(mine, "alice").status(404);
}

#[test]
fn a_publication_survives_a_crash() {
    let mut s = with(&[]);
    s.put("/ical/freebusy.ifb", "alice", publication(50)).status(201);
    s.restart(rustix::process::Signal::KILL);
    assert!(has(&periods(&s), "BUSY-UNAVAILABLE", 50, 2));
}

#[test]
fn publishing_heeds_preconditions_and_changes_nothing_when_they_fail() {
    let s = with(&[at("a", 30, &[])]);
    let mine = "/ical/freebusy.ifb";
    let current = s.get(mine, "alice").etag();
    s.put(mine, "alice", publication(50)).header("If-Match", "\"other\"").status(412);
    s.put(mine, "alice", publication(50)).header("If-None-Match", "*").status(412);
    assert!(!s.has("users/alice/.freebusy.ics"));
    s.put(mine, "alice", publication(50)).header("If-Match", &current).status(201);
    s.delete(mine, "alice").header("If-Match", &current).status(412);
    assert!(s.has("users/alice/.freebusy.ics"));
}

#[test]
fn only_free_busy_can_be_published_and_only_by_its_owner() {
    let s = with(&[at("a", 30, &[])]);
    s.write("users/alice/.acl.json", "{\"user:bob\": \"master\", \"user:carol\": \"none\"}");
    s.put(ALICE, "bob", publication(50)).status(403);
    s.delete(ALICE, "bob").status(403);
    s.put(ALICE, "carol", publication(50)).status(404);
    s.put("/ical/~zoe/freebusy.ifb", "bob", publication(50)).status(404);
    s.put(ALICE, NOBODY, publication(50)).status(401);
    for body in [
        "".to_owned(),
        "hello".to_owned(),
        plain(&[&at("b", 50, &[])]),
        publication(50).replace("PT2H", "two hours"),
        plain(&[&publication(50)]).replace("END:VFREEBUSY\r\n", ""),
    ] {
        s.put(ALICE, "alice", body).status(400);
    }
    s.request("POST", ALICE, "alice").status(405);
    assert!(s.options(ALICE, NOBODY).status(200).header("Allow").contains("PUT"));
    assert!(!s.has("users/alice/.freebusy.ics"));
}
