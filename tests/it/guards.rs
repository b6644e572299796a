//! Preconditions of a save: If-Match, If-None-Match, If-Unmodified-Since and none at all (RFC 9110 §13). WebDAV's `If` is in `merge`.

use crate::calendar::{by_uid, components, event, plain, summaries, uids};
use crate::server::{Server, eventually};

const NEW: &str = "/ical/folder/New.ics";

/// A new calendar of alice's with these parts, and its entity tag as a GET gives it.
fn new(s: &Server, parts: &[&str]) -> String {
    s.put(NEW, "alice", plain(parts)).status(201);
    s.get(NEW, "alice").etag()
}

#[test]
fn if_match_refuses_what_is_not_current() {
    let s = Server::start();
    let etag = new(&s, &[&event("a", "A", &[])]);
    let opaque = etag.trim_matches('"').to_owned();
    let body = |summary: &str| plain(&[&event("a", summary, &[])]);
    for tag in ["\"other\"", "nothing", "\"\"", &opaque, "\"open", "\"other\", \"another\""] {
        s.put(NEW, "alice", body("Refused")).header("If-Match", tag).status(412);
    }
    assert_eq!(summaries(&s.get(NEW, "alice").text()), ["A"]);
    let put = |summary: &str, tag: String| {
        s.put(NEW, "alice", body(summary)).header("If-Match", &tag).status(204).etag()
    };
    let opaque = |etag: &str| etag.trim_matches('"').to_owned();
    let etag = put("B", etag);
    let etag = put("C", format!("W/{etag}"));
    let etag = put("D", format!("\"{}-gzip\"", opaque(&etag)));
    let etag = put("E", format!("\"other\", {etag}"));
    // A star is met and says nothing of what the client saw: so this is a merge without a base.
    let body_f = plain(&[&event("a", "F", &["SEQUENCE:1"])]);
    s.put(NEW, "alice", body_f).header("If-Match", "*").status(204);
    s.put(NEW, "alice", body("G")).header("If-Match", &etag).status(412);
    s.put("/ical/folder/Missing.ics", "alice", body("G")).header("If-Match", "*").status(412);
    s.get("/ical/folder/Missing.ics", "alice").status(404);
}

#[test]
fn if_match_met_means_that_what_is_left_out_goes() {
    let s = Server::start();
    let etag = new(&s, &[&event("a", "A", &[]), &event("b", "B", &[]), &event("c", "C", &[])]);
    s.put(NEW, "alice", plain(&[&event("b", "B", &[])])).header("If-Match", &etag).status(204);
    assert_eq!(uids(&s.get(NEW, "alice").text()), ["b"]);
    assert_eq!(s.files("users/alice/New").len(), 1);
}

#[test]
fn what_is_left_out_goes_also_beside_an_item_without_a_uid_that_is_sent_with_its_made_up_one_too() {
    let s = Server::start();
    let bare = event("x", "Bare", &[]).replace("UID:x\r\n", "");
    let etag = new(&s, &[&bare, &event("b", "B", &[])]);
    let parts = components(&s.get(NEW, "alice").text());
    let named = parts.iter().find(|part| part.contains("SUMMARY:Bare")).expect("it is served");
    let put = s.put(NEW, "alice", plain(&[named, &bare])).header("If-Match", &etag).status(204);
    assert_eq!(put.header("Kalends-Merge"), "kept=0, removed=1, conflicts=0");
    assert_eq!(summaries(&s.get(NEW, "alice").text()), ["Bare", "Bare"]);
}

#[test]
fn what_stands_in_two_files_goes_or_changes_as_one() {
    const TWICE: &str = "/ical/folder/Odd/Twice.ics";
    let edited =
        |text: &str| text.replace("SEQUENCE:2", "SEQUENCE:0").replace("Twice, newer", "Twice, edited");
    for (left, edit) in [(0, (|_: &str| plain(&[])) as fn(&str) -> String), (1, edited)] {
        let s = Server::start();
        let before = s.get(TWICE, "bob").status(200);
        let body = edit(&before.text());
        let tag = s.put(TWICE, "bob", body.clone()).header("If-Match", &before.etag()).status(204).etag();
        let after = s.get(TWICE, "bob").status(200);
        assert_eq!((after.etag(), summaries(&after.text())), (tag, summaries(&body)));
        assert_eq!(s.files("users/bob/Odd/Twice").len(), left);
        let kept = s.tree("users/bob/.history");
        assert!(kept.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("Twice, older")));
    }
}

#[test]
fn of_an_item_in_both_calendars_of_main_the_other_shows_where_one_is_removed_and_the_answer_tells() {
    let s = Server::start();
    let (main, text) = ("/ical/main.ics", |summary| plain(&[&event("twice", summary, &[])]));
    s.write("users/alice/Calendar/twice.ics", text("In Calendar"));
    s.write("users/alice/Tasks/twice.ics", text("In Tasks"));
    let before = eventually("it shows", || {
        Some(s.get(main, "alice").send()).filter(|answer| answer.text().contains("In Calendar"))
    });
    let body = before.text().replace(&by_uid(&before.text(), "twice"), "");
    let tag = s.put(main, "alice", body).header("If-Match", &before.etag()).status(204).etag();
    let after = s.get(main, "alice").status(200);
    assert!(after.text().contains("In Tasks") && after.etag() != tag);
}

#[test]
fn if_none_match_refuses_what_is_there() {
    let s = Server::start();
    let body = plain(&[&event("a", "A", &[])]);
    s.put(NEW, "alice", body.clone()).header("If-None-Match", "*").status(201);
    s.put(NEW, "alice", body.clone()).header("If-None-Match", "*").status(412);
    let etag = s.get(NEW, "alice").etag();
    s.put(NEW, "alice", body.clone()).header("If-None-Match", &etag).status(412);
    s.put(NEW, "alice", body).header("If-None-Match", "\"other\"").status(204);
}

#[test]
fn if_unmodified_since_refuses_what_changed_later() {
    let s = Server::start();
    new(&s, &[&event("a", "A", &[])]);
    let before = s.dated(NEW, "alice");
    let date = before.header("Last-Modified");
    let (long_ago, body) = ("Mon, 01 Jan 2001 00:00:00 GMT", plain(&[&event("b", "B", &[])]));
    for method in ["GET", "PUT", "DELETE"] {
        s.request(method, NEW, "alice").header("If-Unmodified-Since", long_ago).status(412);
    }
    s.put(NEW, "alice", body.clone()).header("If-Unmodified-Since", date).status(204);
    s.put("/ical/folder/Newer.ics", "alice", body).header("If-Unmodified-Since", long_ago).status(201);
    let tag = s.get(NEW, "alice").etag();
    s.delete(NEW, "alice").header("If-Match", &tag).header("If-Unmodified-Since", long_ago).status(204);
}

#[test]
fn without_a_guard_nothing_is_deleted_that_the_save_shows_nothing_of() {
    let s = Server::start();
    new(&s, &[&event("a", "A", &[]), &event("b", "B", &[])]);
    for guard in
        [("X-None", "1"), ("If-Match", "*"), ("If-None-Match", "\"other\""), ("If", "(Not [\"other\"])")]
    {
        s.put(NEW, "alice", plain(&[&event("c", "C", &[])])).header(guard.0, guard.1).status(204);
        assert_eq!(uids(&s.get(NEW, "alice").text()), ["a", "b", "c"], "{guard:?}");
    }
}

#[test]
fn an_empty_calendar_with_if_match_empties() {
    let s = Server::start();
    let etag = new(&s, &[&event("a", "A", &[])]);
    s.put(NEW, "alice", plain(&[])).header("If-Match", &etag).status(204);
    assert!(components(&s.get(NEW, "alice").text()).is_empty());
    assert!(s.files("users/alice/New").is_empty() && s.path("users/alice/New").is_dir());
}
