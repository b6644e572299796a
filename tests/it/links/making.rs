//! Secret links made, listed, used and revoked: by their users over HTTP, and by an admin beside the server.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::{FAR, NEVER_GOOD, code, file, link};
use crate::calendar::{event, plain};
use crate::request::Request;
use crate::server::{NOBODY, Server, eventually};

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
        ("place", "alice/Work/Projects"),
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
