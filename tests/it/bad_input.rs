//! Bad and hostile input: a clear refusal, nothing written, nothing followed, nothing that hangs.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::calendar::{event, plain, summaries};
use crate::raw::head;
use crate::server::{NOBODY, Server, write};

const NEW: &str = "/ical/folder/New.ics";

/// A state that no refused request may have changed.
fn files(s: &Server) -> Vec<(PathBuf, Vec<u8>)> {
    s.tree("users")
}

#[test]
fn a_malformed_calendar_is_a_400_with_its_line_and_writes_nothing() {
    let s = Server::start();
    s.get("/ical/main.ics", "alice").status(200);
    let before = files(&s);
    for (body, line) in [
        ("", 1),
        ("hello", 1),
        ("<!DOCTYPE html>\r\n<html></html>", 1),
        ("BEGIN:VCARD\r\nEND:VCARD\r\n", 1),
        ("BEGIN:VEVENT\r\nUID:x\r\nEND:VEVENT\r\n", 1),
        ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nno colon here\r\nEND:VCALENDAR\r\n", 3),
        ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:x\r\nEND:VTODO\r\nEND:VCALENDAR\r\n", 5),
        (
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:x\r\n  folded\r\n:no name\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            5,
        ),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:x\nEND:VCALENDAR\n", 4),
        ("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\nand more\r\n", 3),
        ("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\nEND:VCALENDAR\r\n", 3),
    ] {
        for address in [NEW, "/ical/main.ics"] {
            let answer = s.put(address, "alice", body).status(400);
            assert!(answer.header("Content-Type").starts_with("text/plain"), "{answer}");
            let text = answer.text();
            assert!(text.contains(&format!("line {line}:")), "line {line} of {body:?}: {text}");
            assert!(text.contains("expected"), "{text}");
        }
    }
    assert!(files(&s) == before);
    s.get(NEW, "alice").status(404);
}

#[test]
fn what_is_asked_for_wrongly_is_refused_and_not_passed_over() {
    let s = Server::start();
    s.put(NEW, "alice", plain(&[&event("a", "A", &[]), &event("b", "B", &[])])).status(201);
    let before = files(&s);
    for (name, value) in [("Kalends-Merge", "replcae"), ("Content-Range", "bytes 0-99/5000")] {
        let put = s.put(NEW, "alice", plain(&[&event("a", "A", &[])])).header("User-Agent", "curl");
        let answer = put.header(name, value).status(400);
        assert!(answer.text().contains(name), "{answer}");
    }
    for show in ["Busy", "bussy", ""] {
        let answer = s.get(&format!("{NEW}?show={show}"), "alice").status(400);
        assert!(answer.text().contains("only show=busy is known here"), "{answer}");
    }
    let busy = s.get(&format!("{NEW}?show=busy&x=1"), "alice").status(200).text();
    assert!(summaries(&busy).iter().all(|title| title == "Busy"), "{busy}");
    s.get(&format!("{NEW}?shown=1"), "alice").status(200);
    assert!(files(&s) == before);
}

#[test]
fn what_files_are_filled_up_and_put_together_with_is_nothing() {
    let s = Server::start();
    let one = plain(&[&event("a", "A", &[])]);
    let two = plain(&[&event("b", "B", &[])]);
    for (what, body, wanted) in [
        ("Ctrl-Z", format!("{one}\u{1a}"), vec!["A"]),
        ("NULs", format!("{one}{}", "\0".repeat(500)), vec!["A"]),
        ("NULs behind the last word", format!("{}\0\0", one.trim_end()), vec!["A"]),
        ("byte order marks", format!("\u{feff}{one}\u{feff}{two}"), vec!["A", "B"]),
        ("no last line end", format!("{}{two}", one.trim_end()), vec!["A", "B"]),
        (
            "all of that",
            format!("{}\u{1a}\r\n\u{feff}{}\0\r\n", one.trim_end(), two.trim_end()),
            vec!["A", "B"],
        ),
    ] {
        s.put(NEW, "alice", body).header("Kalends-Merge", "replace").send();
        assert_eq!(summaries(&s.get(NEW, "alice").text()), wanted, "{what}");
        s.delete(NEW, "alice").status(204);
    }
}

#[test]
fn a_calendar_that_ends_too_early_is_a_400() {
    let s = Server::start();
    let whole =
        plain(&[&event("a", "A", &["BEGIN:VALARM", "TRIGGER:-PT5M", "END:VALARM"]), &event("b", "B", &[])]);
    let lines: Vec<_> = whole.split_inclusive("\r\n").collect();
    for kept in 1..lines.len() {
        let answer = s.put(NEW, "alice", lines[..kept].concat()).status(400);
        assert!(answer.text().contains("line "), "{answer}");
    }
    s.get(NEW, "alice").status(404);
}

#[test]
fn bytes_that_are_no_text_are_a_400() {
    let s = Server::start();
    let body = plain(&[&event("a", "HERE", &[])]);
    for bad in [&b"\0"[..], b"\xff\xfe", b"\xc3", b"\xed\xa0\x80"] {
        let (start, end) = body.split_once("HERE").expect("a summary");
        let bytes = [start.as_bytes(), bad, end.as_bytes()].concat();
        let answer = s.put(NEW, "alice", bytes).status(400);
        assert!(answer.text().contains("line 9:"), "{answer}");
    }
    s.put(NEW, "alice", vec![0; 100_000]).status(400);
    s.put(NEW, "alice", body.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).status(400);
    s.get(NEW, "alice").status(404);
}

#[test]
fn components_nested_too_deep_are_refused_and_overflow_nothing() {
    let s = Server::start();
    let nested = |levels: usize| {
        let (open, close) = ("BEGIN:X-LEVEL\r\n".repeat(levels), "END:X-LEVEL\r\n".repeat(levels));
        plain(&[&format!("BEGIN:VEVENT\r\nUID:deep\r\n{open}X:1\r\n{close}END:VEVENT\r\n")])
    };
    s.put(NEW, "alice", nested(4)).status(201);
    for levels in [20, 2_000, 200_000] {
        let code = s.put(NEW, "alice", nested(levels)).send().code;
        assert!([400, 413].contains(&code), "{levels} levels: {code}");
    }
    s.put(NEW, "alice", "BEGIN:VCALENDAR\r\n".repeat(100_000)).send();
    s.get(NEW, "alice").status(200);
}

#[test]
fn what_is_too_large_is_a_413_and_writes_nothing() {
    let s = Server::start();
    s.get("/ical/main.ics", "alice").status(200);
    let before = files(&s);
    let line = event("line", &"x".repeat(1_100_000), &[]);
    let item = event(
        "item",
        "Item",
        &vec!["X-FILL:0123456789012345678901234567890123456789012345678901234567"; 160_000],
    );
    let properties = event("properties", "Properties", &vec!["X:1"; 100_001]);
    for (name, body) in [("a line", line), ("an item", item), ("properties", properties)] {
        let answer = s.put(NEW, "alice", plain(&[&body])).send();
        assert_eq!(answer.code, 413, "{name}: {answer}");
    }
    assert!(files(&s) == before);
}

#[test]
fn a_body_too_large_is_refused_by_its_length_or_where_it_passes_the_cap() {
    let s = Server::start();
    let mut raw = s.connect();
    raw.say(head("PUT", NEW, "alice", &["Content-Length: 70000000", "Connection: close"]));
    assert_eq!(raw.status(), 413);
    let mut raw = s.connect();
    raw.say(head("PUT", NEW, "alice", &["Transfer-Encoding: chunked", "Connection: close"]));
    raw.say(format!("{:x}\r\nBEGIN:VCALENDAR\r\n\r\n", 17));
    let filler = "X-FILL:0123456789\r\n".repeat(50_000).into_bytes();
    for _ in 0..75 {
        raw.chunk(&filler);
    }
    raw.chunk(b"");
    let status = raw.status();
    assert!([413, 0].contains(&status), "{status}");
    s.get(NEW, "alice").status(404);
}

#[test]
fn a_compressed_body_is_a_415() {
    let s = Server::start();
    for coding in ["gzip", "deflate", "br", "gzip, identity"] {
        let body = plain(&[&event("a", "A", &[])]);
        s.put(NEW, "alice", body).header("Content-Encoding", coding).status(415);
    }
    let body = plain(&[&event("a", "A", &[])]);
    s.put(NEW, "alice", body).header("Content-Encoding", "identity").status(201);
}

#[test]
fn half_a_body_writes_nothing() {
    let s = Server::start();
    s.get("/ical/main.ics", "alice").status(200);
    let before = files(&s);
    let body = plain(&[&event("a", "A", &[])]);
    for headers in [&["Content-Length: 100000"][..], &["Transfer-Encoding: chunked"]] {
        let mut raw = s.connect();
        raw.say(head("PUT", NEW, "alice", headers));
        if headers[0].starts_with("Transfer") {
            // A whole calendar, but the body has not ended.
            raw.chunk(body.as_bytes());
        } else {
            raw.say(&body);
        }
        raw.finish();
        raw.rest();
    }
    assert!(files(&s) == before);
    s.get(NEW, "alice").status(404);
}

#[test]
fn no_request_is_a_500_or_stops_the_server() {
    let s = Server::start();
    let long = "a".repeat(5_000);
    let deep = "/a".repeat(2_000);
    for target in [
        "/%",
        "/%zz",
        "/ical/%",
        "/ical/folder/%",
        "/ical/folder/%e0%80%af.ics",
        "/ical/folder/%00.ics",
        "/ical/folder/%E2%80%AEsci.ics",
        "/ical/~%00/main.ics",
        "/ical/~alice%2f..%2fbob/main.ics",
        "/ical/~alice@/main.ics",
        "/ical/~@example.org/main.ics",
        "/ical/main.ics?%",
        "/ical/freebusy.ifb?start=%ff",
        "/ical/folder/....ics",
        "/ical/folder/con.ics",
        "*",
        &format!("/ical/folder/{long}.ics"),
        &format!("/ical/folder{deep}.ics"),
        "http://127.0.0.1/ical/folder/Missing.ics",
    ] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND", "POST", "X"] {
            let status = s.raw_status(method, target, "alice");
            assert!((200..500).contains(&status) || status == 501, "{method} {target}: {status}");
        }
    }
    s.get("/ical/main.ics", "alice").status(200);
}

#[test]
fn odd_headers_are_no_500() {
    let s = Server::start();
    let long = "\"x\", ".repeat(800);
    for (name, value) in [
        ("If-Match", long.as_str()),
        ("If-None-Match", ",,,"),
        ("If", "(((((((("),
        ("If", "<"),
        ("If-Modified-Since", "99999999999999999999"),
        ("Accept-Encoding", "gzip;q=nan"),
        ("Depth", "-1"),
        ("Authorization", "Basic"),
        ("Authorization", "Basic !!!!"),
        ("Authorization", "Basic OjpAOg=="),
        ("Authorization", "Bearer x"),
        ("Range", "bytes=0-99999999999999999999999"),
        ("Content-Type", ";;;"),
    ] {
        for method in ["GET", "PUT", "PROPFIND"] {
            let code = s.request(method, "/ical/folder/Missing.ics", NOBODY).header(name, value).send().code;
            assert!((400..500).contains(&code), "{method} {name}: {value}: {code}");
            let mut raw = s.connect();
            let header = format!("{name}: {value}");
            let user = if name == "Authorization" { NOBODY } else { "alice" };
            raw.say(head(method, NEW, user, &[&header, "Content-Length: 0", "Connection: close"]));
            let status = raw.status();
            assert!((400..500).contains(&status), "{method} {header}: {status}");
        }
    }
}

#[test]
fn xml_that_attacks_or_ends_early_is_a_400() {
    let s = Server::start();
    let depth = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    for body in [
        "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"b\">]><D:propfind xmlns:D=\"DAV:\"><D:prop/></D:propfind>",
        "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/>",
        "<D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind><again/>",
        "<D:other xmlns:D=\"DAV:\"/>",
        "<D:propfind",
        "not xml",
        &depth,
    ] {
        let answer = s.propfind("/ical/main.ics", "alice", "0", body).send();
        assert!([400, 413].contains(&answer.code), "{answer}");
    }
}

#[test]
fn a_symlink_is_never_followed() {
    let s = Server::prepared(|data| {
        write(data, "secret/secret.ics", plain(&[&event("secret", "Secret", &[])]));
        let users = data.join("users");
        symlink(data.join("secret/secret.ics"), users.join("alice/Calendar/link.ics"))
            .expect("a link to a file");
        symlink("../../bob/Calendar/dentist.ics", users.join("alice/Calendar/near.ics"))
            .expect("a near link");
        symlink("../bob/Calendar", users.join("alice/Linked")).expect("a link to a calendar");
        symlink(data.join("secret"), users.join("alice/Secret")).expect("a link to a directory");
        symlink(data.join("secret/secret.ics"), users.join("alice/Loose.ics"))
            .expect("a link for a loose file");
        symlink("bob", users.join("mallory")).expect("a link to a home");
        symlink(data.join("secret"), users.join("dave")).expect("a link for a home that is not there");
    });
    let text = s.get("/ical/main.ics", "alice").text();
    assert!(!text.contains("Secret") && !text.contains("Dentist"), "{text}");
    for address in ["/ical/folder/Linked.ics", "/ical/folder/Secret.ics", "/ical/folder/Loose.ics"] {
        s.get(address, "alice").status(404);
    }
    s.get("/ical/~mallory/main.ics", "alice").status(404);
    for address in ["/ical/folder/Linked.ics", "/ical/folder/Secret.ics", "/ical/folder/Secret/Deep.ics"] {
        let code = s.put(address, "alice", plain(&[&event("mine", "Mine", &[])])).send().code;
        assert!((400..500).contains(&code), "{address}: {code}");
    }
    let code = s.get("/ical/main.ics", "dave").send().code;
    assert_ne!(code, 200);
    assert_eq!(s.files("secret"), ["secret.ics"]);
    assert_eq!(s.files("users/bob/Calendar"), ["dentist.ics", "standup.ics"]);
}

#[test]
fn rights_behind_a_symlink_close_the_place() {
    let s = Server::start();
    s.write("open.json", "{\"anyone\": \"master\"}");
    let acl = s.path("users/alice/Work/Projects/.acl.json");
    std::fs::remove_file(&acl).expect("the rights");
    symlink(s.path("open.json"), &acl).expect("a link");
    s.get("/ical/~alice/folder/Work/Projects.ics", "bob").status(404);
    s.get("/ical/~alice/folder/Work/Projects.ics", "carol").status(404);
    s.get("/ical/folder/Work/Projects.ics", "alice").status(200);
}

#[test]
fn a_fifo_hangs_nothing() {
    let s = Server::prepared(|data| {
        for name in [
            "users/alice/Calendar/pipe.ics",
            "users/alice/Pipe.ics",
            "users/alice/Team/displayname",
            "users/alice/Team/.acl.json",
            "users/bob/Odd/Empty/.props.json",
        ] {
            let path = data.join(name);
            let _ = std::fs::remove_file(&path);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0)
                .expect("a FIFO");
        }
    });
    assert!(s.get("/ical/main.ics", "alice").text().contains("Planning"));
    s.get("/ical/folder/Pipe.ics", "alice").status(404);
    assert_eq!(summaries(&s.get("/ical/folder/Team.ics", "alice").text()), ["Team lunch"]);
    s.get("/ical/~alice/folder/Team.ics", "bob").status(404);
    s.get("/ical/folder/Odd/Empty.ics", "bob").send();
    let body = plain(&[&event("mine", "Mine", &[])]);
    s.put("/ical/folder/Calendar.ics", "alice", body).status(204);
    s.get("/ical/freebusy.ifb", "alice").status(200);
}

#[test]
fn a_request_line_or_head_without_end_is_closed_not_kept() {
    let s = Server::start();
    let mut raw = s.connect();
    raw.say("GET /ical/main.ics HTTP/1.1\r\nHost: x\r\n");
    raw.say("X-Fill: 0123456789\r\n".repeat(100_000));
    let status = raw.status();
    assert!([0, 400, 413, 431].contains(&status), "{status}");
    s.get("/robots.txt", NOBODY).status(200);
}
