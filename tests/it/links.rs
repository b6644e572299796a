//! Secret links: what may be done through one, what may not, and how they are made and end.

use std::process::{Command, Output};

use serde_json::{Value, json};
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

/// The code of an answer to who has no login, which on a link's address is never a question for one.
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

/// Runs `kalends link` beside the server.
fn kalends_link(s: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kalends"));
    let output = command.arg("link").args(arguments).arg("--data").arg(s.path("")).output();
    output.expect("the command")
}

/// What `kalends link` prints.
#[track_caller]
fn printed(s: &Server, arguments: &[&str]) -> String {
    let output = kalends_link(s, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The path of a printed URL.
fn path(url: &str) -> &str {
    let at = url.find("/ical/link/").unwrap_or_else(|| panic!("no link: {url}"));
    url[at..].trim_end()
}

/// The token in a URL.
fn token(url: &str) -> &str {
    path(url).split('/').nth(3).expect("a token")
}

/// POST of a wish for a link, as a page of ours would send it.
fn wish(s: &Server, user: &str, wish: Value) -> Request {
    s.post("/ical/link", user, wish.to_string()).header("Content-Type", "application/json")
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
    for method in ["GET", "HEAD", "PUT", "DELETE", "PROPFIND", "POST"] {
        for address in ["pf/Holidays.ics", "main.ics", "~alice/main.ics", "~alice/folder/", "freebusy.ifb"] {
            let expected = look(method, &wrong, address);
            assert_eq!(expected.0, 404);
            for top in [&revoked, &gone, &expired, &odd, &nobodys, "/ical/link/%20", "/ical/link/..%2fx"] {
                assert_eq!(look(method, top, address), expected, "{method} {top}/{address}");
            }
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

#[test]
fn a_user_makes_a_link_sees_it_and_revokes_it() {
    let s = Server::configured("base_url = \"https://cal.example.org\"");
    let expires = "2099-01-31";
    let place = "alice/Work/Projects";
    let asked = json!({ "place": place, "role": "editor", "label": "Phone", "expires": expires });
    let answer = wish(&s, "alice", asked).status(201);
    assert_eq!(answer.header("Cache-Control"), "no-store");
    assert_eq!(answer.header("Referrer-Policy"), "no-referrer");
    let made: Value = serde_json::from_str(&answer.text()).expect("JSON");
    let url = made["url"].as_str().expect("a URL").to_owned();
    assert!(url.starts_with("https://cal.example.org/ical/link/"), "{url}");
    assert!(url.ends_with("/~alice/folder/Work/Projects.ics"), "{url}");
    assert!(token(&url).len() >= 26, "130 bits in base32: {url}");
    assert_eq!(code(s.get(path(&url), NOBODY)), 200);

    // The file says all of it, under the hash of the token, and nowhere is the token.
    let text = s.read(&file(token(&url)));
    let stored: Value = serde_json::from_str(&text).expect("JSON");
    for (key, value) in [
        ("owner", "alice"),
        ("role", "editor"),
        ("place", "~alice/Work/Projects"),
        ("label", "Phone"),
        ("expires", "2099-02-01T00:00:00Z"),
    ] {
        assert_eq!(stored[key], value, "{text}");
    }
    assert!(!text.contains(token(&url)));

    let listed = s.get("/ical/link", "alice").text();
    let id = made["id"].as_str().expect("an id");
    assert!(listed.contains(id) && listed.contains("Phone") && !listed.contains(token(&url)), "{listed}");
    // Nobody else sees it, or can revoke it.
    assert_eq!(s.get("/ical/link", "bob").text().trim(), "[]");
    s.delete(&format!("/ical/link?id={id}"), "bob").status(404);
    s.delete(&format!("/ical/link?id={id}"), NOBODY).status(401);
    assert_eq!(code(s.get(path(&url), NOBODY)), 200);
    s.delete(&format!("/ical/link?id={id}"), "alice").status(204);
    assert_eq!(code(s.get(path(&url), NOBODY)), 404);
    s.delete(&format!("/ical/link?id={id}"), "alice").status(404);
}

#[test]
fn a_wish_that_cannot_be_is_refused_and_makes_nothing() {
    let s = Server::start();
    let team = |more: Value| {
        let mut wish = json!({ "place": "alice/Team", "role": "viewer" });
        wish.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        wish
    };
    for (user, asked, code) in [
        (NOBODY, team(json!({})), 401),
        ("alice", team(json!({ "role": "editor" })), 400),
        ("alice", team(json!({ "role": "master", "expires": FAR })), 400),
        ("alice", team(json!({ "role": "contributor" })), 400),
        ("alice", team(json!({ "role": "none" })), 400),
        ("alice", team(json!({ "rolle": "viewer" })), 400),
        ("alice", team(json!({ "owner": "bob" })), 400),
        ("alice", team(json!({ "expires": "2020-01-01" })), 400),
        ("alice", team(json!({ "expires": "soon" })), 400),
        ("alice", team(json!({ "label": "a\nb" })), 400),
        ("alice", team(json!({ "label": "x".repeat(300) })), 400),
        ("alice", team(json!({ "place": "alice/../bob" })), 400),
        ("alice", team(json!({ "place": "alice/Work" })), 400),
        ("alice", team(json!({ "place": "alice/Missing" })), 404),
        ("alice", team(json!({ "place": "bob/Family/Children" })), 404),
        ("alice", team(json!({ "place": "zoe" })), 404),
        ("carol", team(json!({ "place": "alice/Team" })), 404),
        ("bob", team(json!({ "place": "carol/Rights/Viewer", "role": "editor", "expires": FAR })), 403),
        ("alice", json!("~*"), 400),
        ("alice", json!({ "label": "x".repeat(20_000) }), 413),
    ] {
        wish(&s, user, asked.clone()).status(code);
        assert!(!s.has("links"), "{user} {asked}");
    }
}

#[test]
fn another_sites_page_makes_no_link() {
    let s = Server::start();
    let asked = json!({ "place": "~*", "role": "viewer" });
    for from in ["cross-site", "same-site"] {
        wish(&s, "alice", asked.clone()).header("Sec-Fetch-Site", from).status(403);
    }
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/json2", ""] {
        s.post("/ical/link", "alice", asked.to_string()).header("Content-Type", media_type).status(415);
    }
    s.post("/ical/link", "alice", asked.to_string()).status(415);
    assert!(!s.has("links"));
    for from in ["same-origin", "none"] {
        wish(&s, "alice", asked.clone()).header("Sec-Fetch-Site", from).status(201);
    }
    let typed = s.post("/ical/link", "alice", asked.to_string());
    typed.header("Content-Type", "Application/JSON; charset=utf-8").status(201);
}

#[test]
fn the_first_use_of_a_link_is_written_down_with_its_program() {
    let s = Server::start();
    let top = link(&s, "noted", "alice", "viewer", "~*");
    let get = |program: &str| code(s.get(&format!("{top}/main.ics"), NOBODY).header("User-Agent", program));
    assert_eq!(get("Outlook/16"), 200);
    let used = eventually("the use is written down", || {
        let link: Value = serde_json::from_str(&s.read(&file("noted"))).expect("JSON");
        link.get("used").cloned()
    });
    assert_eq!(used["by"], "Outlook/16");
    let before = s.read(&file("noted"));
    for _ in 0..20 {
        assert_eq!(get("Another/1"), 200);
    }
    assert_eq!(s.read(&file("noted")), before);
}

#[test]
fn the_command_makes_lists_and_revokes_beside_the_server() {
    let s = Server::start();
    let url = printed(&s, &["add", "alice", "~*", "freebusy", "--label", "Outlook at the office"]);
    assert!(url.contains("/~%NAME%/freebusy.ifb"), "{url}");
    let address = path(&url).replace("%NAME%", "carol");
    assert_eq!(code(s.get(&address, NOBODY)), 200);
    printed(&s, &["add", "bob", "bob/Family/Children", "editor", "--expires", "2099-01-31"]);

    let listed = printed(&s, &["list"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let line = listed.lines().find(|line| line.contains("Outlook at the office")).expect("the link");
    assert!(
        line.contains("alice") && line.contains("freebusy at ~*") && !listed.contains(token(&url)),
        "{line}"
    );
    assert_eq!(printed(&s, &["list", "bob"]).lines().count(), 1);

    let id = line.split_whitespace().next().expect("an id");
    printed(&s, &["revoke", id]);
    assert_eq!(code(s.get(&address, NOBODY)), 404);
    assert_eq!(printed(&s, &["list"]).lines().count(), 1);
    for arguments in [
        &["revoke", id][..],
        &["revoke", ""],
        &["add", "zoe", "~*", "viewer"],
        &["add", "alice", "~*", "editor"],
        &["add", "alice", "bob/Family/Children", "viewer"],
        &["add", "alice", "~*", "master", "--expires", "2099-01-31"],
    ] {
        let output = kalends_link(&s, arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
    }
    assert_eq!(printed(&s, &["list"]).lines().count(), 1);
}

#[test]
fn no_token_is_in_the_log_or_in_an_answer_but_the_first() {
    let s = Server::start();
    let answer = wish(&s, "alice", json!({ "place": "~*", "role": "editor", "expires": FAR })).status(201);
    let made: Value = serde_json::from_str(&answer.text()).expect("JSON");
    let url = made["url"].as_str().expect("a URL").to_owned();
    let secret = token(&url);
    let top = format!("/ical/link/{secret}");
    let mut answers = Vec::new();
    for token in [secret, NEVER_GOOD] {
        let top = format!("/ical/link/{token}");
        for address in
            ["main.ics", "freebusy.ifb", "freebusy.ifb?start=x", "~bob/main.ics", "folder/%00.ics", "x"]
        {
            let address = format!("{top}/{address}");
            answers.push(s.get(&address, NOBODY).send());
            answers.push(s.delete(&address, NOBODY).send());
            answers.push(s.put(&address, NOBODY, "no calendar").send());
            answers.push(s.request("PATCH", &address, NOBODY).send());
        }
    }
    // A save that is merged is a line of the log.
    s.put(&format!("{top}/main.ics"), NOBODY, plain(&[&event("new", "New", &[])])).status(204);
    s.write(&file("broken"), "{");
    assert_eq!(code(s.get("/ical/link/broken/main.ics", NOBODY)), 404);
    let log = eventually("the log has it", || Some(s.log()).filter(|log| log.contains("grants nothing")));
    assert!(log.contains("a link of alice"), "{log}");
    for hidden in [secret, NEVER_GOOD] {
        assert!(!log.contains(hidden), "{log}");
        for answer in &answers {
            let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
            assert!(!text.contains(hidden), "{text}");
        }
    }
}
