//! Rights: role × verb × address, and how entries of `.acl.json` weigh against each other. What CLASS hides is in `class`.

use crate::calendar::{event, plain, summaries};
use crate::need::need;
use crate::server::{NOBODY, Server, eventually, write};
use crate::strace::Strace;

/// A role, and what its verbs answer on a calendar that is there: GET, HEAD, PROPFIND, PUT of a new item, PUT that
/// changes an item, PUT that leaves one out; PUT of a calendar that is not there; DELETE; DELETE of one that is not there.
pub const TABLE: [(&str, [u16; 9]); 6] = [
    ("none", [404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("freebusy", [404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("viewer", [200, 200, 207, 403, 403, 403, 403, 403, 404]),
    ("contributor", [200, 200, 207, 204, 403, 403, 403, 403, 404]),
    ("editor", [200, 200, 207, 204, 204, 204, 403, 403, 404]),
    ("master", [200, 200, 207, 204, 204, 204, 201, 204, 404]),
];

/// A server in which `bob` has `role` in all of carol's home and in the public tree.
pub fn with_role(role: &str) -> Server {
    Server::prepared(|data| {
        let acl = format!("{{\"user:bob\": \"{role}\"}}");
        for place in ["users/carol", "public"] {
            write(data, &format!("{place}/.acl.json"), &acl);
            write(data, &format!("{place}/Shared/one.ics"), plain(&[&event("one", "One", &[])]));
            write(data, &format!("{place}/Deep/Shared/one.ics"), plain(&[&event("one", "One", &[])]));
        }
        // What has rights of its own in the example.
        std::fs::remove_file(data.join("users/carol/Calendar/.acl.json")).expect("the example's");
        std::fs::remove_dir_all(data.join("users/carol/Rights")).expect("the example's");
    })
}

/// The current entity tag, as the owner or as anybody who may would see it.
fn tag(s: &Server, address: &str) -> String {
    s.get(address, "bob").send().header("ETag").to_owned()
}

#[test]
fn each_role_may_do_its_verbs_at_each_address_and_no_other() {
    for (role, codes) in TABLE {
        for (address, missing) in [
            ("/ical/~carol/folder/Shared.ics", "/ical/~carol/folder/Missing.ics"),
            ("/ical/~carol/folder/Deep/Shared.ics", "/ical/~carol/folder/Deep/Missing.ics"),
            ("/ical/~carol@example.org/folder/Shared.ics", "/ical/~carol@example.org/folder/Missing.ics"),
            ("/ical/pf/Shared.ics", "/ical/pf/Missing.ics"),
            ("/ical/pf/Deep/Shared.ics", "/ical/pf/Deep/Missing.ics"),
        ] {
            let s = with_role(role);
            let kept = ["users/carol", "public"].map(|place| s.tree(place));
            let put = |address: &str, parts: &[&str]| {
                let tag = tag(&s, address);
                let guard = if tag.is_empty() { "\"none\"" } else { &tag };
                s.put(address, "bob", plain(parts)).header("If", &format!("([{guard}])")).send().code
            };
            let (one, two) = (event("one", "One", &[]), event("two", "Two", &[]));
            let found = [
                s.get(address, "bob").send().code,
                s.head(address, "bob").send().code,
                s.propfind(address, "bob", "0", "").send().code,
                put(address, &[&one, &two]),
                put(address, &[&event("one", "Changed", &[]), &two]),
                put(address, &[&two]),
                put(missing, &[&one]),
                s.delete(address, "bob").send().code,
                s.delete(&missing.replace("Missing", "Gone"), "bob").send().code,
            ];
            assert_eq!(found, codes, "{role} at {address}");
            if ["freebusy", "none", "viewer"].contains(&role) {
                let now = ["users/carol", "public"].map(|place| s.tree(place));
                assert!(now == kept, "{role} wrote at {address}");
            }
        }
    }
}

#[test]
fn each_role_may_do_its_verbs_on_somebody_elses_main() {
    for (role, codes) in [
        ("none", [404, 404, 404, 404]),
        ("freebusy", [404, 404, 404, 404]),
        ("viewer", [200, 403, 403, 403]),
        ("contributor", [200, 204, 403, 403]),
        ("editor", [200, 204, 204, 403]),
        ("master", [200, 204, 204, 403]),
    ] {
        let s = with_role(role);
        let address = "/ical/~carol/main.ics";
        let changed = event("piano-0001@example.org", "Louder piano", &["SEQUENCE:5"]);
        let found = [
            s.get(address, "bob").send().code,
            s.put(address, "bob", plain(&[&event("two", "Two", &[])])).send().code,
            s.put(address, "bob", plain(&[&changed])).send().code,
            s.delete(address, "bob").send().code,
        ];
        assert_eq!(found, codes, "{role}");
    }
}

#[test]
fn free_busy_is_for_all_roles_but_none() {
    for (role, code) in [
        ("none", 404),
        ("freebusy", 200),
        ("viewer", 200),
        ("contributor", 200),
        ("editor", 200),
        ("master", 200),
    ] {
        let s = with_role(role);
        for ending in ["ifb", "vfb", "xfb"] {
            s.get(&format!("/ical/~carol/freebusy.{ending}"), "bob").status(code);
            s.head(&format!("/ical/~carol/freebusy.{ending}"), "bob").status(code);
        }
    }
}

#[test]
fn a_save_that_a_contributor_may_not_make_writes_nothing() {
    let s = with_role("contributor");
    let address = "/ical/~carol/folder/Shared.ics";
    let before = s.tree("users/carol");
    let etag = tag(&s, address);
    for body in [
        plain(&[&event("one", "Changed", &[]), &event("two", "Two", &[])]),
        plain(&[&event("two", "Two", &[])]),
        plain(&[]),
    ] {
        for guard in [("If", format!("([{etag}])")), ("If-Match", etag.clone())] {
            s.put(address, "bob", body.clone()).header(guard.0, &guard.1).status(403);
        }
    }
    assert!(s.tree("users/carol") == before);
    s.put(address, "bob", plain(&[&event("two", "Two", &[])])).status(204);
    assert_eq!(summaries(&s.get(address, "bob").text()), ["One", "Two"]);
}

#[test]
fn the_examples_cases_are_what_they_say() {
    let s = Server::start();
    for (name, user, code) in [
        ("None", "bob", 404),
        ("None", "alice", 200),
        ("Freebusy", "bob", 404),
        ("Viewer", "bob", 200),
        ("Viewer", "alice", 404),
        ("Contributor", "bob", 200),
        ("Editor", "bob", 200),
        ("Master", "bob", 200),
        ("Group", "bob", 200),
        ("Group", "dave", 200),
        ("Group", "alice", 404),
        // A user's own entry is nearer than his group's.
        ("Denied%20member", "bob", 404),
        ("Denied%20member", "dave", 200),
        // Of several groups a `none` wins.
        ("Denied%20group", "dave", 404),
        ("Denied%20group", "bob", 200),
        ("Members", "alice", 200),
        ("Members", NOBODY, 401),
        ("Open", NOBODY, 200),
        ("Open", "alice", 200),
        ("Closed", "alice", 404),
        ("Closed", "carol", 200),
        ("Closed", NOBODY, 401),
        ("Missing", "carol", 404),
        ("Missing", "alice", 404),
        ("Missing", NOBODY, 401),
    ] {
        s.get(&format!("/ical/~carol/folder/Rights/{name}.ics"), user).status(code);
    }
    for (address, user, code) in [
        ("/ical/~alice/folder/Work/Projects.ics", "bob", 200),
        ("/ical/~alice/folder/Work/Projects.ics", "carol", 404),
        ("/ical/~alice/folder/Work/Projects.ics", "dave", 404),
        ("/ical/~alice/folder/Team.ics", "dave", 200),
        ("/ical/~alice/folder/Team.ics", "carol", 404),
        ("/ical/~alice/main.ics", "bob", 404),
        ("/ical/~bob/folder/Family/Children.ics", "carol", 200),
        ("/ical/~bob/folder/Family/Children.ics", "dave", 404),
        ("/ical/~bob/folder/Odd/Typo.ics", "alice", 404),
        ("/ical/~bob/folder/Odd/Typo.ics", NOBODY, 401),
        ("/ical/~bob/folder/Odd/Typo.ics", "bob", 200),
        ("/ical/pf/Clubs/Board.ics", "dave", 200),
        ("/ical/pf/Clubs/Board.ics", "alice", 404),
        ("/ical/pf/Clubs/Board.ics", NOBODY, 401),
        ("/ical/pf/Holidays.ics", "alice", 200),
    ] {
        s.get(address, user).status(code);
    }
}

#[test]
fn the_nearest_file_decides_alone() {
    let s = Server::start();
    // The home lets bob read all; what lies in Inner says nothing of him.
    s.write("users/carol/.acl.json", "{\"user:bob\": \"editor\"}");
    s.write("users/carol/Outer/.acl.json", "{\"user:alice\": \"viewer\"}");
    s.write("users/carol/Outer/Inner/one.ics", plain(&[&event("one", "One", &[])]));
    s.get("/ical/~carol/folder/Outer/Inner.ics", "bob").status(404);
    s.get("/ical/~carol/folder/Outer/Inner.ics", "alice").status(200);
    s.get("/ical/~carol/folder/Journal.ics", "bob").status(200);
    s.get("/ical/~carol/folder/Journal.ics", "alice").status(404);
}

#[test]
fn the_owner_is_master_whatever_the_files_say() {
    let s = Server::start();
    s.write("users/carol/.acl.json", "{\"user:carol\": \"none\", \"authenticated\": \"none\"}");
    s.write("users/carol/Rights/Closed/.acl.json", "broken");
    s.get("/ical/folder/Rights/Closed.ics", "carol").status(200);
    let body = plain(&[&event("mine", "Mine", &[])]);
    s.put("/ical/folder/Rights/Closed.ics", "carol", body).status(204);
    s.delete("/ical/folder/Rights/Closed.ics", "carol").status(204);
}

#[test]
fn without_rights_missing_and_forbidden_are_the_same_answer() {
    let s = Server::start();
    let look = |method: &str, address: &str, user: &str| {
        let answer = s.request(method, address, user).send();
        let mut headers: Vec<_> = answer.headers.keys().map(|name| name.to_string()).collect();
        headers.sort();
        (answer.code, headers, answer.body)
    };
    for user in ["carol", NOBODY] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PROPFIND"] {
            let there = look(method, "/ical/~alice/folder/Work/Archive/2025.ics", user);
            for missing in
                ["/ical/~alice/folder/Missing.ics", "/ical/~alice/folder/Work.ics", "/ical/~zoe/main.ics"]
            {
                assert_eq!(there, look(method, missing, user), "{method} {missing} by {user:?}");
            }
        }
    }
}

#[test]
fn nothing_is_loaded_for_who_has_no_rights() {
    if !need("strace", "strace") {
        return;
    }
    let s = Server::configured("watch = \"poll\"");
    s.write("users/alice/.acl.json", "{}");
    let trace = s.path("trace");
    let Some(strace) = Strace::list(&s, "openat2,newfstatat,statx", &trace) else { return };
    for user in ["carol", NOBODY] {
        for address in ["/ical/~alice/folder/Work/Archive/2025.ics", "/ical/~alice/main.ics?show=busy"] {
            for method in ["GET", "PUT", "DELETE", "PROPFIND"] {
                s.request(method, address, user).send();
            }
        }
    }
    drop(strace);
    let looks = std::fs::read_to_string(trace).expect("a trace");
    assert!(
        looks.contains("2025/.acl.json") && !looks.contains("kickoff") && !looks.contains("interview"),
        "{looks}"
    );
}

#[test]
fn nothing_is_listed_for_who_has_no_rights() {
    if !need("strace", "strace") {
        return;
    }
    let s = Server::configured("watch = \"poll\"");
    s.write("users/alice/.acl.json", "{}");
    s.write("users/alice/Secret/Vdir/one.ics", plain(&[&event("one", "One", &[])]));
    let trace = s.path("trace");
    let Some(strace) = Strace::list_with_paths(&s, "openat2,newfstatat,getdents64", &trace) else { return };
    for user in ["carol", NOBODY] {
        for method in ["GET", "PUT", "DELETE", "PROPFIND"] {
            s.request(method, "/ical/~alice/folder/Secret/Vdir.ics", user).send();
        }
        s.propfind("/ical/~alice/folder/Secret/", user, "1", "").send();
    }
    drop(strace);
    let looks = std::fs::read_to_string(trace).expect("a trace");
    let member = looks.lines().filter(|line| line.contains("Secret/Vdir>"));
    assert_eq!(member.collect::<Vec<_>>(), [""; 0], "{looks}");
    assert!(looks.contains("Secret/Vdir/.acl.json") && looks.contains("getdents64("), "{looks}");
}

#[test]
fn a_loose_file_is_shown_as_what_it_is_to_its_owner_too() {
    let s = Server::start();
    let privileges = "<propfind xmlns=\"DAV:\"><prop><current-user-privilege-set/></prop></propfind>";
    for (address, depth) in [("/ical/folder/Odd/Loose.ics", "0"), ("/ical/folder/Odd/", "1")] {
        let text = s.propfind(address, "bob", depth, privileges).status(207).text();
        let of_file = text.lines().find(|line| line.contains("Loose.ics")).expect("the file");
        assert!(of_file.contains("<D:read/>") && !of_file.contains("write"), "{text}");
    }
    // What Thunderbird asks by: a 412 would say that a save is welcome.
    let body = plain(&[&event("x", "X", &[])]);
    let refused = s.put("/ical/folder/Odd/Loose.ics", "bob", body).header("If-Match", "nothing").status(403);
    assert!(refused.text().contains("one file"), "{refused}");
    s.delete("/ical/folder/Odd/Loose.ics", "bob").status(403);
}

#[test]
fn without_a_login_comes_the_question_for_one() {
    let s = Server::start();
    for address in [
        "/ical/main.ics",
        "/ical/folder/Calendar.ics",
        "/ical/~alice/main.ics",
        "/ical/~zoe/main.ics",
        "/ical/freebusy.ifb",
        "/ical/~alice/freebusy.ifb",
        "/ical/pf/Clubs/Board.ics",
        "/ical/pf/Missing.ics",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = s.request(method, address, NOBODY).status(401);
            assert_eq!(answer.header("WWW-Authenticate"), "Basic realm=\"Kalends\", charset=\"UTF-8\"");
        }
    }
    let body = plain(&[&event("x", "X", &[])]);
    s.propfind("/ical/main.ics", NOBODY, "0", "").status(401);
    s.propfind("/ical/~alice/folder/", NOBODY, "1", "").status(401);
    s.put("/ical/pf/Holidays.ics", NOBODY, body.clone()).status(401);
    s.put("/ical/main.ics", NOBODY, body).status(401);
    s.delete("/ical/pf/Holidays.ics", NOBODY).status(401);
    // A token that Outlook brings along is no login, and none is needed here.
    s.get("/ical/pf/Holidays.ics", NOBODY).header("Authorization", "Bearer eyJ0eXAi").status(200);
    s.get("/ical/main.ics", NOBODY).header("Authorization", "Bearer eyJ0eXAi").status(401);
}

#[test]
fn without_rights_for_the_public_tree_nobody_sees_it() {
    let s =
        Server::prepared(|data| std::fs::remove_file(data.join("public/.acl.json")).expect("the example's"));
    s.get("/ical/pf/Holidays.ics", NOBODY).status(401);
    s.get("/ical/pf/Holidays.ics", "alice").status(404);
    s.get("/ical/pf/Clubs/Chess.ics", NOBODY).status(200);
}

#[test]
fn a_typo_closes_the_place_and_is_named_in_the_log() {
    for text in [
        "{\"user:bob\": \"editr\"}",
        "{\"users:bob\": \"editor\"}",
        "{\"user:bob\": \"editor\"",
        "[]",
        "",
        "{\"user:bob\": 3}",
    ] {
        let s = Server::start();
        s.write("users/alice/Work/Projects/.acl.json", text);
        s.get("/ical/~alice/folder/Work/Projects.ics", "bob").status(404);
        s.get("/ical/folder/Work/Projects.ics", "alice").status(200);
        let log = s.log();
        assert!(log.contains("Projects/.acl.json"), "{text}: {log}");
    }
}

#[test]
fn a_change_of_rights_counts_at_once_after_a_sweep() {
    let s = Server::start();
    let address = "/ical/~alice/folder/Work/Projects.ics";
    s.get(address, "bob").status(200);
    s.write("users/alice/Work/Projects/.acl.json", "{\"user:carol\": \"viewer\"}");
    crate::server::eventually("bob is out and carol is in", || {
        let codes = (s.get(address, "bob").send().code, s.get(address, "carol").send().code);
        (codes == (404, 200)).then_some(())
    });
    s.remove("users/alice/Work/Projects/.acl.json");
    crate::server::eventually("carol is out too", || {
        (s.get(address, "carol").send().code == 404).then_some(())
    });
}

#[test]
fn an_error_that_passes_closes_a_place_for_no_longer_than_it_lasts() {
    const ADDRESS: &str = "/ical/~alice/folder/Work/Projects.ics";
    const FILE: &str = "users/alice/Work/Projects/.acl.json";
    if !need("strace", "strace") {
        return;
    }
    let s = Server::start();
    s.get(ADDRESS, "bob").status(200);
    let Some(strace) = Strace::inject_at(&s, "read", "error=EIO", &s.path(FILE)) else { return };
    s.write(FILE, "{\"user:bob\": \"viewer\"}");
    eventually("it cannot be read", || (s.get(ADDRESS, "bob").send().code == 500).then_some(()));
    s.get(ADDRESS, "alice").status(200);
    drop(strace);
    eventually("it can be read", || (s.get(ADDRESS, "bob").send().code == 200).then_some(()));
}
