//! The addresses of the server: each form of a URL, each verb on it, and the two pages beside them.

use crate::calendar::{components, event, plain, summaries};
use crate::server::{NOBODY, Server, write};

/// Address, asker, a summary that must be in the answer.
const CALENDARS: [(&str, &str, &str); 16] = [
    ("/ical/main.ics", "alice", "Planning"),
    ("/ical/main.ics", "alice", "Buy milk"),
    ("/ical/folder/Calendar.ics", "alice", "Planning"),
    ("/ical/folder/Tasks.ics", "alice", "Buy milk"),
    ("/ical/folder/Work/Projects.ics", "alice", "Kick-off"),
    ("/ical/folder/Work/Archive/2025.ics", "alice", "Kick-off 2025"),
    ("/ical/~alice/main.ics", "alice", "Planning"),
    ("/ical/~alice/folder/Work/Projects.ics", "bob", "Kick-off"),
    ("/ical/%7Ealice/folder/Work/Projects.ics", "bob", "Kick-off"),
    ("/ical/%7ealice/folder/Work/Projects.ics", "bob", "Kick-off"),
    ("/ical/~alice@example.org/folder/Work/Projects.ics", "bob", "Kick-off"),
    ("/ical/~alice%40example.org/folder/Work/Projects.ics", "bob", "Kick-off"),
    ("/ical/~alice@EXAMPLE.org/folder/Work/Projects.ics", "bob", "Kick-off"),
    ("/ical/pf/Holidays.ics", NOBODY, "Neujahr"),
    ("/ical/pf/Clubs/Chess.ics", NOBODY, "Club evening"),
    ("/ical/pf/Clubs/Chess.ics", "alice", "Club evening"),
];

#[test]
fn every_calendar_address_leads_to_its_calendar() {
    let s = Server::start();
    for (address, user, summary) in CALENDARS {
        let found = summaries(&s.get(address, user).text());
        assert!(found.iter().any(|found| found == summary), "{address}: {summary} is not in {found:?}");
    }
}

#[test]
fn main_is_calendar_and_tasks_together_and_nothing_else() {
    let s = Server::start();
    let count = |address| components(&s.get(address, "alice").text()).len();
    let parts = count("/ical/folder/Calendar.ics") + count("/ical/folder/Tasks.ics");
    assert_eq!(count("/ical/main.ics"), parts);
}

#[test]
fn a_users_own_address_and_the_short_one_are_the_same_calendar() {
    let s = Server::start();
    for (short, full) in [
        ("/ical/main.ics", "/ical/~alice/main.ics"),
        ("/ical/folder/Work/Projects.ics", "/ical/~alice/folder/Work/Projects.ics"),
    ] {
        let (short, full) = (s.get(short, "alice").status(200), s.get(full, "alice").status(200));
        assert_eq!((short.etag(), short.text()), (full.etag(), full.text()));
    }
}

#[test]
fn free_busy_has_three_endings_and_two_forms() {
    let s = Server::start();
    for address in [
        "/ical/~alice/freebusy.ifb",
        "/ical/~alice/freebusy.vfb",
        "/ical/~alice/freebusy.xfb",
        "/ical/%7Ealice@example.org/freebusy.ifb",
    ] {
        let text = s.get(address, "bob").text();
        assert!(text.contains("BEGIN:VFREEBUSY"), "{address}: {text}");
    }
    for address in ["/ical/freebusy.ifb", "/ical/freebusy.vfb", "/ical/freebusy.xfb"] {
        let text = s.get(address, "alice").text();
        assert!(text.contains("BEGIN:VFREEBUSY"), "{address}: {text}");
    }
}

#[test]
fn odd_names_are_reached_by_percent_encoding() {
    let s = Server::start();
    let long = format!("{}-name", "long-".repeat(49));
    for (name, number) in [
        ("Two%20Words", "1"),
        ("it's%20%22quoted%22", "2"),
        ("it%27s%20%22quoted%22", "2"),
        ("%23%2520", "3"),
        ("%F0%9F%93%85", "4"),
        ("M%C3%BCllers%20%C3%9Cbungen", "5"),
        // The same name as macOS decomposes it.
        ("Mu%CC%88llers%20U%CC%88bungen", "5"),
        (&long, "6"),
        ("a+b=c%20&%20d;e,f", "7"),
        ("a%2Bb%3Dc%20%26%20d%3Be%2Cf", "7"),
        ("semi.ics", "8"),
    ] {
        let text = s.get(&format!("/ical/folder/Odd/Names/{name}.ics"), "bob").text();
        assert_eq!(summaries(&text), [format!("In an oddly named calendar, {number}")], "{name}");
    }
    let nested = "/ical/folder/Odd/Names/Ein%20Ordner/Gr%C3%B6%C3%9Fe%20100%25.ics";
    assert_eq!(summaries(&s.get(nested, "bob").text()), ["In an oddly named folder"]);
}

#[test]
fn what_is_no_address_is_a_404_and_no_html() {
    let s = Server::start();
    for address in [
        "/ical/other.ics",
        "/ical/folder/Missing.ics",
        "/ical/folder/Work.ics",
        "/ical/folder/Calendar/6f1c2a7e-3b0d-4a53-9d1f-0c8e7a51b2d4.ics",
        "/ical/folder/.acl.json",
        "/ical/folder/Calendar.ics/",
        "/ical/folder//Calendar.ics",
        "/ical/folder/.ics",
        "/ical/folder/Calendar%00.ics",
        "/ical/folder/Calendar%0A.ics",
        "/ical/folder/Work%2FProjects.ics",
        "/ical/folder/%FF.ics",
        "/ical/~alice@example.com/main.ics",
        "/ical/~/main.ics",
        "/ical/~nobody-of-this-name/main.ics",
        "/ical/pf/Missing.ics",
        "/ical/~alice.xfb",
        "/ical/alice.ifb",
        "/nothing",
    ] {
        let answer = s.get(address, "alice").status(404);
        assert!(!answer.header("Content-Type").contains("html"), "{answer}");
        assert!(!answer.text().contains(s.path("").to_str().expect("UTF-8")), "{answer}");
    }
}

#[test]
fn who_saves_under_a_name_against_the_rules_is_told_them() {
    let s = Server::start();
    for address in ["/ical/folder/.hidden.ics", "/ical/folder/end%20.ics", "/ical/other.ics"] {
        let text = s.put(address, "alice", plain(&[])).status(404).text();
        assert!(text.contains("does not start with a dot"), "{address}: {text}");
    }
    assert_eq!(s.get("/ical/folder/Missing.ics", "alice").status(404).text(), "not found\n");
}

#[test]
fn no_spelling_of_dot_dot_leaves_the_tree() {
    let s = Server::start();
    s.write("outside.ics", plain(&[&event("outside", "Outside", &[])]));
    s.write("users/outside.ics", plain(&[&event("outside", "Outside", &[])]));
    for target in [
        "/ical/folder/../outside.ics",
        "/ical/folder/../../outside.ics",
        "/ical/folder/%2e%2e/%2e%2e/outside.ics",
        "/ical/folder/..%2f..%2foutside.ics",
        "/ical/folder/%2e%2e%2f%2e%2e%2foutside.ics",
        "/ical/folder/..%5coutside.ics",
        "/ical/folder/Work/../../../outside.ics",
        "/ical/~../outside.ics",
        "/ical/~%2e%2e/main.ics",
        "/ical/~../folder/outside.ics",
        "/ical/~alice/folder/..%2f..%2foutside.ics",
        "/ical/~bob/../~alice/folder/../../outside.ics",
        "/ical/pf/../users/outside.ics",
        "/ical/pf/../users/alice/Calendar.ics",
        "/ical/pf/%2e%2e/outside.ics",
        "/ical/folder/../.acl.json",
    ] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PROPFIND"] {
            let status = s.raw_status(method, target, "alice");
            assert!((400..500).contains(&status), "{method} {target}: {status}");
        }
    }
    assert!(s.has("outside.ics") && s.has("users/outside.ics"));
}

#[test]
fn options_names_the_methods_and_webdav_without_a_login() {
    let s = Server::start();
    for address in ["/ical/main.ics", "/ical/~alice/folder/Work/Projects.ics", "/ical/folder/", "/ical/"] {
        let answer = s.options(address, NOBODY).status(200);
        // gvfs publishes only where it finds WebDAV.
        assert!(answer.header("DAV").split(',').any(|class| class.trim() == "1"), "{answer}");
        let allow: Vec<_> = answer.header("Allow").split(',').map(str::trim).collect();
        assert!(allow.contains(&"OPTIONS") && allow.contains(&"PROPFIND"), "{answer}");
        if address.ends_with(".ics") {
            for method in ["GET", "HEAD", "PUT", "DELETE"] {
                assert!(allow.contains(&method), "{method}: {answer}");
            }
        }
    }
}

#[test]
fn an_unknown_method_is_told_which_ones_there_are() {
    let s = Server::start();
    for (method, address) in [
        ("POST", "/ical/main.ics"),
        ("PATCH", "/ical/main.ics"),
        ("BREW", "/ical/main.ics"),
        ("POST", "/ical/~alice/freebusy.ifb"),
        ("PUT", "/robots.txt"),
        ("DELETE", "/"),
    ] {
        let answer = s.request(method, address, "alice").status(405);
        assert!(answer.header("Allow").contains("GET"), "{answer}");
    }
}

#[test]
fn robots_are_sent_away() {
    let s = Server::start();
    let answer = s.get("/robots.txt", NOBODY).status(200);
    assert!(answer.header("Content-Type").starts_with("text/plain"), "{answer}");
    assert!(answer.text().contains("User-agent: *\nDisallow: /\n"), "{answer}");
}

#[test]
fn the_page_shows_the_addresses_and_runs_nothing() {
    let s = Server::start();
    let answer = s.get("/", NOBODY).status(200);
    assert!(answer.header("Content-Type").starts_with("text/html"), "{answer}");
    assert!(answer.header("Content-Security-Policy").contains("default-src 'none'"), "{answer}");
    assert_eq!(answer.header("X-Content-Type-Options"), "nosniff");
    assert_eq!(answer.header("Referrer-Policy"), "no-referrer");
    assert_eq!(answer.header("Set-Cookie"), "");
    let text = answer.text();
    for part in ["/ical/main.ics", "/ical/folder/", "/ical/pf/", "freebusy.ifb"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("<script"), "{text}");
}

#[test]
fn base_url_is_in_all_that_is_written_and_may_be_in_what_is_asked() {
    let s = Server::configured("base_url = \"https://cal.example.org/kalends\"");
    let page = s.get("/", NOBODY).text();
    assert!(page.contains("https://cal.example.org/kalends/ical/main.ics"), "{page}");
    for address in ["/ical/folder/Work/Projects.ics", "/kalends/ical/folder/Work/Projects.ics"] {
        s.get(address, "alice").status(200);
        let found = s.propfind(address, "alice", "0", "").status(207).text();
        assert!(found.contains("/kalends/ical/folder/Work/Projects.ics</"), "{found}");
    }
    s.get("/kalends/", NOBODY).status(200);
    s.get("/other/ical/main.ics", "alice").status(404);
}

#[test]
fn the_public_tree_keeps_its_address_under_another_name_on_disk() {
    let s = Server::prepared(|data| {
        std::fs::rename(data.join("public"), data.join("shared")).expect("a new name");
        let file = data.join("kalends.toml");
        let before = std::fs::read_to_string(&file).expect("a configuration");
        write(data, "kalends.toml", format!("public_root = \"shared\"\n{before}"));
    });
    s.get("/ical/pf/Holidays.ics", NOBODY).status(200);
    s.get("/ical/pf/Clubs/Chess.ics", NOBODY).status(200);
}

#[test]
fn calendars_and_free_busy_can_be_switched_off_apart() {
    let s = Server::configured("icalendar = false");
    s.get("/ical/main.ics", "alice").status(404);
    s.put("/ical/main.ics", "alice", plain(&[&event("x", "X", &[])])).status(404);
    s.get("/ical/pf/Holidays.ics", "alice").status(404);
    s.get("/ical/freebusy.ifb", "alice").status(200);
    let s = Server::configured("freebusy = false");
    s.get("/ical/main.ics", "alice").status(200);
    s.get("/ical/freebusy.ifb", "alice").status(404);
    s.get("/ical/~alice/freebusy.vfb", "bob").status(404);
}

#[test]
fn a_loose_file_in_a_folder_is_a_calendar_that_nobody_writes() {
    let s = Server::start();
    let found = summaries(&s.get("/ical/folder/Work/Travel.ics", "alice").text());
    assert_eq!(found, ["LH 2016 HAM-FRA", "LH 2035 FRA-HAM"]);
    let before = s.read("users/alice/Work/Travel.ics");
    let body = plain(&[&event("x", "X", &[])]);
    s.put("/ical/folder/Work/Travel.ics", "alice", body).status(403);
    s.delete("/ical/folder/Work/Travel.ics", "alice").status(403);
    assert_eq!(s.read("users/alice/Work/Travel.ics"), before);
}

#[test]
fn a_directory_beats_a_loose_file_of_its_name() {
    let s = Server::start();
    assert_eq!(summaries(&s.get("/ical/folder/Odd/Both.ics", "bob").text()), ["From the directory"]);
    assert_eq!(summaries(&s.get("/ical/folder/Odd/Loose.ics", "bob").text()), ["From a single file"]);
}

#[test]
fn a_stray_directory_in_a_calendar_is_not_served() {
    let s = Server::start();
    assert_eq!(summaries(&s.get("/ical/folder/Odd/Stray.ics", "bob").text()), ["Beside a stray directory"]);
    s.get("/ical/folder/Odd/Stray/Lost.ics", "bob").status(404);
}

#[test]
fn a_home_is_made_at_its_users_own_login_and_never_by_naming_it() {
    let s = Server::start();
    s.get("/ical/~dave/main.ics", "alice").status(404);
    s.get("/ical/~dave/freebusy.ifb", "alice").status(404);
    s.get("/ical/~zoe/main.ics", "alice").status(404);
    s.get("/ical/main.ics", "zoe").status(401);
    assert!(!s.has("users/dave") && !s.has("users/zoe"));
    s.get("/ical/main.ics", "dave").status(200);
    assert!(s.has("users/dave/Calendar") && s.has("users/dave/Tasks"));
}

#[test]
fn what_is_made_belongs_to_the_service_and_its_group() {
    use std::os::unix::fs::PermissionsExt;
    let s = Server::start();
    let body = plain(&[&event("x", "X", &[])]);
    s.put("/ical/folder/New/Deep/Plans.ics", "dave", body).status(201);
    s.settle();
    let mode = |name: &str| s.path(name).metadata().expect(name).permissions().mode() & 0o7777;
    for directory in ["users/dave", "users/dave/Calendar", "users/dave/New/Deep", "users/dave/New/Deep/Plans"]
    {
        assert_eq!(mode(directory), 0o2770, "{directory}");
    }
    let file = s.files("users/dave/New/Deep/Plans").remove(0);
    assert_eq!(mode(&format!("users/dave/New/Deep/Plans/{file}")), 0o660);
    assert!(s.has("users/dave/New/Deep/Plans/.props.json"));
}

#[test]
fn a_home_that_could_not_be_made_is_made_as_soon_as_it_can_be() {
    let s = Server::start();
    s.write("users/dave", "in the way");
    s.get("/ical/main.ics", "dave").status(404);
    s.remove("users/dave");
    s.get("/ical/main.ics", "dave").status(200);
}

#[test]
fn a_home_that_was_left_half_made_is_made_whole_at_the_next_login() {
    let s = Server::prepared(|data| {
        std::fs::create_dir_all(data.join("users/dave/Calendar")).expect("directories");
        // What another program has made is left as it is.
        write(data, "users/dave/Tasks/a.ics", plain(&[&event("a", "A", &[])]));
    });
    s.get("/ical/main.ics", "dave").status(200);
    assert!(s.has("users/dave/Calendar/.props.json"));
    assert!(!s.has("users/dave/Tasks/.props.json"));
    // Without it, a directory in it would make a folder of it.
    s.write("users/dave/Calendar/Attachments/b.ics", plain(&[&event("b", "B", &[])]));
    s.put("/ical/main.ics", "dave", plain(&[&event("c", "C", &[])])).status(204);
    assert_eq!(summaries(&s.get("/ical/main.ics", "dave").text()), ["A", "C"]);
}
