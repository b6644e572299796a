//! Paths, headers, and the bodies of PROPFIND and POST.

use super::{REQUEST, costs_at_most, goes_on};
use crate::calendar::{event, plain};
use crate::raw::head;
use crate::server::{NOBODY, Server};

const PROJECTS: &str = "/ical/folder/Work/Projects.ics";

#[test]
fn no_path_leads_out_or_keeps_the_server() {
    let s = Server::start();
    s.get("/ical/main.ics", "alice").status(200);
    let before = s.tree("");
    let segments = |segment: &str, count: usize| format!("/ical/folder{}.ics", segment.repeat(count));
    for target in [
        segments("/a", 10_000),
        segments("/%61", 10_000),
        segments("/..", 10_000),
        segments("/%2e%2e", 5_000),
        segments("/", 30_000),
        segments("/a%CC%88", 3_000),
        format!("/ical/folder/a{}.ics", "%CC%88".repeat(9_000)),
        format!("/ical/folder/{}.ics", "x".repeat(30_000)),
        format!("/ical/link/{}/main.ics", "x".repeat(30_000)),
        format!("/ical/~{}/main.ics", "%7E".repeat(9_000)),
        format!("/ical/freebusy.ifb?{}", "start=&".repeat(5_000)),
        "/ical/folder/..%2f..%2f..%2f..%2fetc/passwd.ics".to_owned(),
        "/ical/folder/%c0%ae%c0%ae/x.ics".to_owned(),
        "/ical/folder/%e0%80%ae%e0%80%ae/x.ics".to_owned(),
        "/ical/folder/%f0%80%80%ae/x.ics".to_owned(),
        "/ical/folder/%ed%a0%80.ics".to_owned(),
        "/ical/folder/x%00.ics".to_owned(),
        "/ical/folder/x.ics%00.txt".to_owned(),
        "/ical/folder/..%5c..%5cx.ics".to_owned(),
        "/ical/~alice/../bob/folder/Family.ics".to_owned(),
        "/ical/~..%2fpublic/folder/x.ics".to_owned(),
        "/ical/folder/.acl.json.ics".to_owned(),
        "/ical/folder/.history/x.ics".to_owned(),
    ] {
        let what: String = target.chars().take(60).collect();
        for method in ["GET", "PUT", "DELETE", "PROPFIND"] {
            let status = costs_at_most(&s, REQUEST, &what, || s.raw_status(method, &target, "alice"));
            // A head too long for the server ends the connection.
            assert!((400..500).contains(&status) || status == 0, "{method} {what}: {status}");
        }
        goes_on(&s);
    }
    assert!(s.tree("") == before);
}

#[test]
fn no_header_keeps_the_server_or_is_an_error_of_it() {
    let s = Server::start();
    let before = s.tree("users/alice/Work/Projects");
    for (name, value) in [
        ("If", format!("(Not [\"x\"] {}", "[]".repeat(15_000))),
        ("If", "(".repeat(30_000)),
        ("If", format!("<{}", "(<".repeat(15_000))),
        ("If", "([\"".repeat(10_000)),
        ("If", "(Not <DAV:no-lock>) ".repeat(1_500)),
        ("If-Match", "\"x\",".repeat(7_000)),
        ("If-Match", "\"".repeat(30_001)),
        ("If-None-Match", "W/".repeat(15_000)),
        ("If-None-Match", ",".repeat(30_000)),
        ("If-Modified-Since", "9".repeat(30_000)),
        ("Range", format!("bytes={}", "0-1,".repeat(7_000))),
        ("Range", "bytes=-99999999999999999999".to_owned()),
        ("If-Range", "\"".repeat(10_000)),
        ("Accept", "*/*;q=0.1,".repeat(3_000)),
        ("Accept-Encoding", "gzip;q=1e999,".repeat(2_500)),
        ("Depth", "1".repeat(30_000)),
        ("Content-Type", "text/calendar;".repeat(2_000)),
        ("X-Forwarded-For", "1.2.3.4,".repeat(4_000)),
        ("Forwarded", "for=\"[::1]\";".repeat(2_500)),
        ("User-Agent", "\u{fc}".repeat(10_000)),
        ("Kalends-Merge", "replace,".repeat(3_000)),
        ("Prefer", "return=minimal;".repeat(2_000)),
    ] {
        let what = format!("{name}: {}", value.chars().take(40).collect::<String>());
        for method in ["GET", "PUT", "DELETE", "PROPFIND", "OPTIONS"] {
            let header = format!("{name}: {value}");
            let user = if method == "DELETE" || method == "PUT" { "carol" } else { "alice" };
            let status = costs_at_most(&s, REQUEST, &what, || {
                let mut raw = s.connect();
                raw.say(head(method, PROJECTS, user, &[&header, "Content-Length: 0", "Connection: close"]));
                raw.status()
            });
            assert!(status == 0 || (200..500).contains(&status), "{method} {what}: {status}");
        }
        goes_on(&s);
    }
    assert!(s.tree("users/alice/Work/Projects") == before);
}

#[test]
fn a_range_or_a_broken_tag_changes_nothing_of_an_answer() {
    let s = Server::start();
    let whole = s.get(PROJECTS, "alice").text();
    for (name, value) in
        [("Range", "bytes=0-9"), ("Range", "bytes=-1,5-,0-0"), ("Range", "lines=1"), ("If-None-Match", "\"")]
    {
        assert!(s.get(PROJECTS, "alice").header(name, value).text() == whole, "{name}: {value}");
    }
}

#[test]
fn no_xml_keeps_the_server() {
    let s = Server::start();
    let propfind =
        |inside: &str| format!("<D:propfind xmlns:D=\"DAV:\"><D:prop>{inside}</D:prop></D:propfind>");
    let spaces: String = (0..2_000).map(|at| format!(" xmlns:a{at}=\"u\"")).collect();
    let nested: String = (0..30)
        .map(|level| {
            format!("<b{}>", (0..90).map(|at| format!(" xmlns:n{level}x{at}=\"\"")).collect::<String>())
        })
        .collect();
    let entities: String =
        (1..20).map(|at| format!("<!ENTITY e{at} \"&e{};&e{};\">", at - 1, at - 1)).collect();
    for (what, body, code) in [
        (
            "entities that grow",
            format!("<!DOCTYPE x [<!ENTITY e0 \"ha\">{entities}]>{}", propfind("&e19;")),
            400,
        ),
        (
            "an entity from outside",
            format!("<!DOCTYPE x SYSTEM \"file:///etc/passwd\">{}", propfind("")),
            400,
        ),
        (
            "an entity of a file",
            format!("<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]>{}", propfind("&f;")),
            400,
        ),
        ("an unknown entity", propfind("&lol;"), 400),
        ("sixty-five levels", propfind(&format!("{}{}", "<a>".repeat(63), "</a>".repeat(63))), 400),
        ("levels without end", "<a>".repeat(20_000), 400),
        ("namespaces in one element", propfind(&format!("<a{spaces}/>")), 400),
        ("namespaces in all levels", propfind(&format!("{nested}{}", "<c/>".repeat(4_000))), 400),
        ("attributes", propfind(&format!("<a{}/>", " a=\"\"".repeat(10_000))), 400),
        ("names without end", propfind(&(0..3_000).map(|at| format!("<p{at}/>")).collect::<String>()), 400),
        ("one name again and again", propfind(&"<D:getetag/>".repeat(5_000)), 207),
        ("a long name", propfind(&format!("<{}/>", "n".repeat(60_000))), 207),
        ("comments", propfind(&"<!---->".repeat(9_000)), 207),
        ("a comment that does not end", propfind("<!--").repeat(1_000), 400),
        (
            "character data",
            propfind(&format!("<D:getetag><![CDATA[{}]]></D:getetag>", "]".repeat(60_000))),
            207,
        ),
        ("too much", propfind(&"<D:getetag/>".repeat(6_000)), 413),
    ] {
        let answer = costs_at_most(&s, REQUEST, what, || s.propfind(PROJECTS, "alice", "0", &body).send());
        assert_eq!(answer.code, code, "{what}: {}", answer.text().chars().take(300).collect::<String>());
        goes_on(&s);
    }
}

#[test]
fn xml_cut_off_anywhere_is_a_400() {
    let s = Server::start();
    let whole = include_str!("../fixtures/thunderbird_detection.xml").trim_end();
    for length in 1..whole.len() {
        s.propfind(PROJECTS, "alice", "0", &whole[..length]).status(400);
    }
    s.propfind(PROJECTS, "alice", "0", whole).status(207);
}

#[test]
fn no_json_of_a_link_makes_one_that_was_not_meant() {
    let s = Server::start();
    let good = "{\"place\": \"alice\", \"role\": \"freebusy\", \"label\": \"x\"";
    for body in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "[".repeat(15_000),
        "{\"a\":".repeat(3_000),
        good.to_owned(),
        format!("{good}, \"role\": \"master\"}}"),
        format!("{good}, \"more\": 1}}"),
        format!("{good}, \"expires\": 1e999}}"),
        format!("{good}, \"expires\": \"99999-01-01\"}}"),
        format!("{good}}}{good}}}"),
        good.replace("alice", "../bob") + "}",
        good.replace("alice", "alice/\\u0000") + "}",
        good.replace("alice", "\\ud800") + "}",
        good.replace("\"x\"", &format!("\"{}\"", "x".repeat(10_000))) + "}",
        good.replace("freebusy", "owner") + "}",
        format!("\u{feff}{good}}}"),
        format!("{good}, \"x\": \"{}\"}}", "x".repeat(20_000)),
    ] {
        let what: String = body.chars().take(60).collect();
        let answer = costs_at_most(&s, REQUEST, &what, || {
            s.post("/ical/link", "alice", body).header("Content-Type", "application/json").send()
        });
        assert!([400, 403, 404, 413].contains(&answer.code), "{what}: {answer}");
    }
    assert!(!s.has("links"));
}

#[test]
fn rights_that_are_hostile_close_the_place_and_no_more() {
    let s = Server::start();
    for text in [
        "[".repeat(200_000),
        "{\"anyone\":".repeat(100_000),
        format!("{{\"anyone\": \"viewer\", \"user:{}", "x".repeat(1_000_000)),
        format!("{{{}\"anyone\": \"viewer\", \"anyone\": \"viewer\"}}", " ".repeat(1_000_000)),
        "{\"anyone\": \"viewer\"}\0".to_owned(),
        "\u{feff}{\"anyone\": \"viewer\"}".to_owned(),
        "{\"anyone\": \"viewer\", \"everyone\": \"viewer\"}".to_owned(),
        "{\"anyone\": [\"viewer\"]}".to_owned(),
    ] {
        s.write("users/alice/Team/.acl.json", &text);
        let what: String = text.chars().take(40).collect();
        costs_at_most(&s, REQUEST, &what, || s.get("/ical/~alice/folder/Team.ics", "bob").status(404));
        costs_at_most(&s, REQUEST, &what, || s.get("/ical/folder/Team.ics", "alice").status(200));
        s.put("/ical/~alice/folder/Team.ics", "bob", plain(&[&event("x", "X", &[])])).status(404);
    }
    s.get("/ical/~alice/folder/Team.ics", NOBODY).status(401);
    goes_on(&s);
}
