//! Secret links: what may be done through one and what may not. How they are made and revoked is in `making`.

mod making;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::calendar::{by_uid, event, plain, summaries};
use crate::request::{Answer, Request};
use crate::rights::{TABLE, with_role};
use crate::server::{NOBODY, Server, eventually};

const NEVER_GOOD: &str = "wrong777wrong777wrong777wrong777";
const FAR: &str = "2099-01-01T00:00:00Z";

/// The name of the file of a link.
fn file(token: &str) -> String {
    let id: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("links/{id}.json")
}

/// Writes the file of a link as an admin could; gives what its addresses start with.
fn link(s: &Server, token: &str, owner: &str, role: &str, place: &str) -> String {
    let link = json!({ "owner": owner, "role": role, "place": place, "made": "2026-11-23T20:00:00Z", "expires": FAR });
    s.write(&file(token), link.to_string());
    format!("/ical/link/{token}")
}

/// The code of an answer to whoever has no login, which on a link's address is never a question for one.
#[track_caller]
fn code(request: Request) -> u16 {
    let answer = request.send();
    assert_sealed(&answer);
    answer.code
}

#[track_caller]
fn assert_sealed(answer: &Answer) {
    assert!(answer.code != 401 && !(300..400).contains(&answer.code) || answer.code == 304, "{answer}");
    assert_eq!(answer.header("Referrer-Policy"), "no-referrer", "{answer}");
    for name in ["WWW-Authenticate", "Set-Cookie", "Location"] {
        assert!(answer.headers.get(name).is_none(), "{answer}");
    }
}

#[test]
fn a_link_may_do_what_the_lower_of_its_role_and_its_makers_may() {
    // A server for each role of the maker; a miss takes its time, so they run side by side.
    std::thread::scope(|scope| {
        for (makers, _) in TABLE {
            scope.spawn(move || assert_lower(makers));
        }
    });
}

/// What each role answers stands in the table of `rights`; a link has the same rows, up to editor.
fn assert_lower(makers: &str) {
    let rank = |role: &str| TABLE.iter().position(|(name, _)| *name == role).expect("a role");
    let s = with_role(makers);
    for (address, missing) in [
        ("~carol/folder/Shared.ics", "~carol/folder/Missing.ics"),
        ("~carol/folder/Deep/Shared.ics", "~carol/folder/Deep/Missing.ics"),
        ("pf/Shared.ics", "pf/Missing.ics"),
    ] {
        for role in ["freebusy", "viewer", "editor"] {
            let top = link(&s, &format!("table{role}"), "bob", role, "~*");
            let lower = rank(makers).min(rank(role));
            let found = verbs(&s, &format!("{top}/{address}"), &format!("{top}/{missing}"));
            assert_eq!(found, TABLE[lower].1, "a link for {role} of a {makers}, {address}");
            let freebusy = code(s.get(&format!("{top}/~carol/freebusy.ifb"), NOBODY));
            assert_eq!(freebusy, if lower == 0 { 404 } else { 200 }, "a link for {role} of a {makers}");
        }
    }
}

/// What the verbs of the table answer, in its order.
fn verbs(s: &Server, address: &str, missing: &str) -> [u16; 9] {
    let put = |address: &str, parts: &[&str]| {
        let tag = s.get(address, NOBODY).send().header("ETag").to_owned();
        let guard = if tag.is_empty() { "\"none\"" } else { &tag };
        code(s.put(address, NOBODY, plain(parts)).header("If", &format!("([{guard}])")))
    };
    let (one, two) = (event("one", "One", &[]), event("two", "Two", &[]));
    [
        code(s.get(address, NOBODY)),
        code(s.head(address, NOBODY)),
        code(s.propfind(address, NOBODY, "0", "")),
        put(address, &[&one, &two]),
        put(address, &[&event("one", "Changed", &[]), &two]),
        put(address, &[&two]),
        put(missing, &[&one]),
        code(s.delete(address, NOBODY)),
        code(s.delete(&missing.replace("Missing", "Gone"), NOBODY)),
    ]
}

#[test]
fn a_link_never_has_the_rights_of_an_owner() {
    let s = Server::start();
    let top = link(&s, "owners", "alice", "editor", "~alice");
    let body = plain(&[&event("new", "New", &[])]);
    s.put(&format!("{top}/main.ics"), NOBODY, body.clone()).status(204);
    assert!(s.get("/ical/main.ics", "alice").text().contains("SUMMARY:New"));
    // Calendars are neither made nor removed, links not made.
    assert_eq!(code(s.put(&format!("{top}/folder/Made.ics"), NOBODY, body)), 403);
    assert_eq!(code(s.delete(&format!("{top}/folder/Work/Projects.ics"), NOBODY)), 403);
    assert!(s.has("users/alice/Work/Projects") && !s.has("users/alice/Made"));
    let wish = json!({ "place": "~*", "role": "viewer" }).to_string();
    let post =
        |address: &str| s.post(address, NOBODY, wish.clone()).header("Content-Type", "application/json");
    assert_eq!(code(post(&top)), 405);
    assert_eq!(code(post(&format!("{top}/link"))), 404);
    assert_eq!(code(post(&format!("{top}/main.ics"))), 405);
    // Free/busy is published by the owner alone.
    let busy = "BEGIN:VFREEBUSY\r\nUID:x\r\nDTSTAMP:20261201T000000Z\r\nEND:VFREEBUSY\r\n";
    assert_eq!(code(s.put(&format!("{top}/freebusy.ifb"), NOBODY, busy)), 403);
    assert_eq!(code(s.delete(&format!("{top}/freebusy.ifb"), NOBODY)), 403);
}

#[test]
fn what_class_hides_is_never_whole_through_a_link() {
    let s = Server::start();
    let parts = [
        event("open", "Open", &[]),
        event("private", "Hidden", &["CLASS:PRIVATE"]),
        event("confidential", "Masked", &["CLASS:CONFIDENTIAL", "LOCATION:Room 3"]),
    ];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    s.put("/ical/folder/Classes.ics", "alice", plain(&parts)).status(201);
    for role in ["viewer", "editor"] {
        let top = link(&s, role, "alice", role, "~*");
        let text = s.get(&format!("{top}/folder/Classes.ics"), NOBODY).text();
        assert_eq!(summaries(&text), ["Busy", "Open"], "{role}");
        assert!(!by_uid(&text, "confidential").contains("Room 3"), "{role}");
    }
    assert_eq!(summaries(&s.get("/ical/folder/Classes.ics", "alice").text()), ["Hidden", "Masked", "Open"]);
}

#[test]
fn a_link_leads_to_its_place_and_nowhere_else() {
    let s = Server::start();
    let calendar = link(&s, "calendar", "alice", "viewer", "~alice/Work/Projects");
    let home = link(&s, "home", "alice", "viewer", "~alice");
    let public = link(&s, "public", "alice", "viewer", "public");
    let all = link(&s, "all", "alice", "viewer", "~*");
    for (address, codes) in [
        // Through the link to the calendar, the home, the public tree, all.
        ("folder/Work/Projects.ics", [200, 200, 404, 200]),
        ("~alice/folder/Work/Projects.ics", [200, 200, 404, 200]),
        ("~alice@example.org/folder/Work/Projects.ics", [200, 200, 404, 200]),
        ("folder/Work/Archive/2025.ics", [404, 200, 404, 200]),
        ("folder/Team.ics", [404, 200, 404, 200]),
        ("main.ics", [404, 200, 404, 200]),
        ("~alice/main.ics", [404, 200, 404, 200]),
        ("freebusy.ifb", [200, 200, 404, 200]),
        ("~alice/freebusy.ifb", [200, 200, 404, 200]),
        ("folder/Work/Projects.ics?show=busy", [200, 200, 404, 200]),
        ("folder/Team.ics?show=busy", [404, 200, 404, 200]),
        ("~carol/folder/Calendar.ics", [404, 404, 404, 200]),
        ("~carol/freebusy.ifb", [404, 404, 404, 200]),
        ("~carol/folder/Rights/Viewer.ics", [404, 404, 404, 404]),
        ("~bob/main.ics", [404, 404, 404, 404]),
        ("pf/Holidays.ics", [404, 404, 200, 200]),
        ("pf/Clubs/Board.ics", [404, 404, 404, 404]),
        ("~zoe/freebusy.vfb", [404, 404, 404, 404]),
        ("page.html", [404, 404, 404, 404]),
        ("../main.ics", [404, 404, 404, 404]),
    ] {
        let found = [&calendar, &home, &public, &all].map(|top| {
            // Unlike a client, which would take the dots away.
            let address = format!("{top}/{}", address.replace("..", "%2e%2e"));
            code(s.get(&address, NOBODY))
        });
        assert_eq!(found, codes, "{address}");
    }
}

#[test]
fn a_link_to_one_calendar_tells_of_no_other_when_its_owner_is_busy() {
    let s = Server::start();
    for (name, hour) in [("Told", "10"), ("Untold", "14")] {
        let times = event(name, name, &[]).replace("T100000Z", &format!("T{hour}0000Z"));
        let times = times.replace("T110000Z", &format!("T{hour}3000Z"));
        s.put(&format!("/ical/folder/{name}.ics"), "alice", plain(&[&times])).status(201);
    }
    let window = "start=2026-12-01T00:00:00Z&end=2026-12-02T00:00:00Z";
    let top = link(&s, "told", "alice", "freebusy", "~alice/Told");
    let text = s.get(&format!("{top}/~alice/freebusy.ifb?{window}"), NOBODY).text();
    assert!(text.contains("20261201T100000Z") && !text.contains("20261201T140000Z"), "{text}");
    assert!(!text.contains("link") && !text.contains("told/"), "the address is in the answer: {text}");
    assert_eq!(code(s.get(&format!("{top}/folder/Told.ics"), NOBODY)), 404);
    let text = s.get(&format!("{top}/folder/Told.ics?show=busy&{window}"), NOBODY).text();
    assert_eq!(summaries(&text), ["Busy"], "{text}");
}

#[test]
fn what_is_described_through_a_link_is_addressed_through_it() {
    let s = Server::start();
    let top = link(&s, "described", "alice", "viewer", "~alice");
    for (address, depth, hrefs) in [
        ("main.ics", "0", vec!["main.ics"]),
        ("~alice/folder/Work/", "1", vec!["~alice/folder/Work/", "~alice/folder/Work/Projects.ics"]),
    ] {
        let text = s.propfind(&format!("{top}/{address}"), NOBODY, depth, "").status(207).text();
        for href in hrefs {
            assert!(text.contains(&format!("href>{top}/{href}</")), "{href} not in {text}");
        }
        assert!(!text.contains("href>/ical/~") && !text.contains("href>/ical/main"), "{text}");
    }
}

#[test]
fn a_link_follows_the_rights_of_its_maker() {
    let s = Server::start();
    let top = link(&s, "follows", "bob", "editor", "~*");
    let address = format!("{top}/~alice/folder/Work/Projects.ics");
    let put = || code(s.put(&address, NOBODY, plain(&[&event("new", "New", &[])])));
    let acl = |text: &str| s.write("users/alice/Work/Projects/.acl.json", text);
    assert_eq!((code(s.get(&address, NOBODY)), put()), (200, 204));
    for (text, codes) in [
        ("{\"user:bob\": \"viewer\"}", (200, 403)),
        ("{\"user:bob\": \"freebusy\"}", (404, 404)),
        ("{\"user:bob\": \"master\"}", (200, 204)),
        ("{\"user:carol\": \"editor\"}", (404, 404)),
        ("{\"group:staff\": \"viewer\"}", (200, 403)),
        // His own entry is nearer than his group's.
        ("{\"group:staff\": \"viewer\", \"user:bob\": \"none\"}", (404, 404)),
    ] {
        acl(text);
        eventually(text, || ((code(s.get(&address, NOBODY)), put()) == codes).then_some(()));
    }
    acl("{\"group:staff\": \"viewer\"}");
    eventually("bob's group reads", || (code(s.get(&address, NOBODY)) == 200).then_some(()));
    s.write("groups", "staff: dave\n");
    eventually("bob has left the group", || (code(s.get(&address, NOBODY)) == 404).then_some(()));
}

#[test]
fn wrong_expired_revoked_and_elsewhere_are_one_and_the_same_answer() {
    let s = Server::start();
    let look = |method: &str, top: &str, address: &str| {
        let answer = s.request(method, &format!("{top}/{address}"), NOBODY).send();
        assert_sealed(&answer);
        let mut headers = answer.headers.clone();
        headers.remove("date");
        (answer.code, headers, answer.body)
    };
    let revoked = link(&s, "revoked", "alice", "viewer", "~*");
    let gone = link(&s, "gone", "dave", "viewer", "~*");
    let expired = link(&s, "expired", "alice", "viewer", "~*");
    let odd = link(&s, "odd", "alice", "viewer", "~*");
    let nobodys = link(&s, "nobodys", "zoe", "viewer", "~*");
    let elsewhere = link(&s, "elsewhere", "alice", "viewer", "~alice/Team");
    for top in [&revoked, &gone, &expired, &odd] {
        assert_eq!(look("GET", top, "pf/Holidays.ics").0, 200);
    }
    // The server writes each link's first use down; a file edited in the very moment of that could be replaced.
    for token in ["revoked", "gone", "expired", "odd"] {
        eventually("the use is written down", || s.read(&file(token)).contains("used").then_some(()));
    }
    let change = |token: &str, from: &str, to: &str| {
        let before = s.read(&file(token));
        s.write(&file(token), before.replace(from, to));
    };
    s.remove(&file("revoked"));
    change("expired", FAR, "2026-01-01T00:00:00Z");
    change("odd", "viewer", "viewr");
    let users = s.read("passwd");
    let left: Vec<&str> = users.lines().filter(|line| !line.starts_with("dave:")).collect();
    s.write("passwd", left.join("\n"));
    eventually("dave's account is gone", || (look("GET", &gone, "pf/Holidays.ics").0 == 404).then_some(()));
    let wrong = format!("/ical/link/{NEVER_GOOD}");
    for (method, address) in [
        ("GET", "pf/Holidays.ics"),
        ("GET", "freebusy.ifb"),
        ("HEAD", "~alice/main.ics"),
        ("PUT", "main.ics"),
        ("DELETE", "folder/Team.ics"),
        ("PROPFIND", "~alice/folder/"),
        ("POST", "main.ics"),
    ] {
        let expected = look(method, &wrong, address);
        assert_eq!(expected.0, 404);
        for top in [&revoked, &gone, &expired, &odd, &nobodys, "/ical/link/%20", "/ical/link/..%2fx"] {
            assert_eq!(look(method, top, address), expected, "{method} {top}/{address}");
        }
    }
    let expected = look("GET", &wrong, "main.ics");
    for address in
        ["main.ics", "~bob/main.ics", "~carol/freebusy.ifb", "pf/Holidays.ics", "folder/Missing.ics"]
    {
        assert_eq!(look("GET", &elsewhere, address), expected, "{address}");
    }
}

#[test]
fn a_stray_login_changes_nothing_on_a_link() {
    let s = Server::start();
    let top = link(&s, "stray", "alice", "viewer", "~alice/Team");
    for (address, expected) in [("folder/Team.ics", 200), ("~bob/main.ics", 404), ("pf/Holidays.ics", 404)] {
        let address = format!("{top}/{address}");
        // bob's own login, which would open his main.ics; a wrong one; what programs send of their own.
        assert_eq!(code(s.get(&address, "bob")), expected);
        for value in ["Basic Ym9iOndyb25n", "Basic !", "Bearer eyJ0eXAi", "Negotiate x"] {
            assert_eq!(code(s.get(&address, NOBODY).header("Authorization", value)), expected, "{value}");
        }
    }
    assert!(!s.log().contains("login refused"), "{}", s.log());
}

#[test]
fn a_link_that_is_read_again_and_again_is_a_304() {
    let s = Server::start();
    let top = link(&s, "again", "alice", "viewer", "~*");
    for address in ["main.ics", "freebusy.ifb"] {
        let address = format!("{top}/{address}");
        let etag = s.get(&address, NOBODY).etag();
        assert_eq!(code(s.get(&address, NOBODY).header("If-None-Match", &etag)), 304);
    }
}
