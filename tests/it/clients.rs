//! Real clients, replayed: their requests in their order, with their headers and bodies.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::calendar::{
    MOZILLA, THUNDERBIRD, by_uid, components, event, plain, summaries, uids, unfold, value,
};
use crate::need::need;
use crate::request::{Answer, Request};
use crate::server::{NOBODY, Server};

const DETECTION: &str = include_str!("fixtures/thunderbird_detection.xml");
const PRIVILEGES: &str = include_str!("fixtures/thunderbird_privileges.xml");
const NEW_EVENT: &str = include_str!("fixtures/thunderbird_new_event.ics");
const GVFS_STAT: &str = include_str!("fixtures/gvfs_stat.xml");
const EVOLUTION: &str = include_str!("fixtures/evolution_publish_several_calendars.ics");
const APPLE: &str = include_str!("fixtures/apple_publish.ics");
const KORGANIZER: &str = include_str!("fixtures/korganizer_remote_file.ics");
const OUTLOOK: &str = include_str!("fixtures/outlook_publish.ics");

const MAIN: &str = "/ical/main.ics";

/// Thunderbird's calendar "on the network": what it holds in memory, and the tag under which it has it.
struct Thunderbird<'s> {
    s: &'s Server,
    address: &'static str,
    user: &'static str,
    etag: String,
    text: String,
}

impl<'s> Thunderbird<'s> {
    fn subscribed(s: &'s Server, address: &'static str, user: &'static str) -> Thunderbird<'s> {
        let answer = as_thunderbird(s.get(address, user)).status(200);
        Thunderbird { s, address, user, etag: answer.etag(), text: rewritten(&answer.text()) }
    }

    /// What it does every half an hour.
    fn refresh(&mut self) -> Answer {
        let request = as_thunderbird(self.s.get(self.address, self.user)).header("If-None-Match", &self.etag);
        let answer = request.send();
        if answer.code == 200 {
            (self.etag, self.text) = (answer.etag(), rewritten(&answer.text()));
        }
        answer
    }

    /// One user action: a backup that is not loaded, then all that it has, under the tag that it has.
    fn save(&mut self, edit: impl FnOnce(String) -> String) -> Answer {
        as_thunderbird(self.s.get(self.address, self.user)).header("Cache-Control", "no-cache").status(200);
        self.text = edit(std::mem::take(&mut self.text));
        let put = self.s.bare_put(self.address, self.user, self.text.clone());
        let answer = as_thunderbird(put)
            .header("Content-Type", "text/calendar; charset=utf-8")
            .header("If", &format!("([{}])", self.etag))
            .status(204);
        self.etag = answer.etag();
        answer
    }

    /// The text with one event changed as its dialog changes it, stamps and all.
    fn edited(text: String, uid: &str, from: &str, to: &str) -> String {
        let before = by_uid(&text, uid);
        assert!(before.contains(from), "{from} is not in {before}");
        let kept = before.replace(from, to);
        let lines = kept
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("LAST-MODIFIED:") && !line.starts_with("DTSTAMP:"));
        let after: String = lines.collect();
        let stamps = "LAST-MODIFIED:20261120T120000Z\r\nDTSTAMP:20261120T120000Z\r\nX-MOZ-GENERATION:9\r\nEND:VEVENT\r\n";
        text.replace(&before, &after.replace("END:VEVENT\r\n", stamps))
    }

    fn added(text: String, component: &str) -> String {
        text.replace("END:VCALENDAR", &format!("{component}END:VCALENDAR"))
    }

    fn deleted(text: String, uid: &str) -> String {
        let gone = by_uid(&text, uid);
        text.replace(&gone, "")
    }
}

fn as_thunderbird(request: Request) -> Request {
    request
        .header("User-Agent", THUNDERBIRD)
        .header("Accept", "text/calendar, application/ics, text/plain;q=0.9, */*;q=0.8")
        .header("Origin", "null")
        .header("Sec-Fetch-Dest", "empty")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Site", "cross-site")
}

/// A calendar as Thunderbird writes it again: its own PRODID and name, each component's lines in another order, without
/// LANGUAGE and without properties that are empty.
fn rewritten(text: &str) -> String {
    let mut parts = String::new();
    let text = unfold(text);
    for zone in
        text.split_inclusive("END:VTIMEZONE\r\n").filter_map(|part| part.split_once("BEGIN:VTIMEZONE"))
    {
        parts += &format!("BEGIN:VTIMEZONE{}", zone.1);
    }
    for component in components(&text) {
        let lines: Vec<_> = component.split_inclusive("\r\n").collect();
        let inner = lines[1..]
            .iter()
            .position(|line| line.starts_with("BEGIN:"))
            .map_or(lines.len() - 1, |at| at + 1);
        let mut own: Vec<_> = lines[1..inner].iter().filter(|line| !line.trim_end().ends_with(':')).collect();
        own.sort();
        let own: String = own.into_iter().map(|line| line.replace(";LANGUAGE=de", "")).collect();
        parts += &format!("{}{own}{}", lines[0], lines[inner..].concat());
    }
    format!(
        "BEGIN:VCALENDAR\r\nPRODID:{MOZILLA}\r\nVERSION:2.0\r\nX-WR-CALNAME:In Thunderbird\r\n\
         X-WR-TIMEZONE:Asia/Tokyo\r\n{parts}END:VCALENDAR\r\n"
    )
}

#[test]
fn thunderbird_detects_a_calendar_that_it_may_write() {
    let s = Server::start();
    let challenge = as_thunderbird(s.head(MAIN, NOBODY)).status(401);
    assert_eq!(challenge.header("WWW-Authenticate"), "Basic realm=\"Kalends\", charset=\"UTF-8\"");
    let head = as_thunderbird(s.head(MAIN, "alice")).status(200);
    assert!(head.header("Content-Type").starts_with("text/calendar"), "{head}");
    as_thunderbird(s.get(MAIN, "alice")).status(200);
    let found = as_thunderbird(s.propfind(MAIN, "alice", "0", DETECTION)).status(207);
    assert!(found.header("Content-Type").contains("xml"), "{found}");
    let text = found.text();
    assert!(text.contains(">text/calendar</"), "{text}");
    assert!(text.contains("/ical/main.ics</"), "{text}");
    let privileges = as_thunderbird(s.propfind(MAIN, "alice", "0", PRIVILEGES)).status(207).text();
    assert!(privileges.contains("write"), "{privileges}");
    let before = s.tree("users/alice");
    let dummy =
        s.bare_put(MAIN, "alice", "").header("Content-Type", "text/plain").header("If-Match", "nothing");
    let code = as_thunderbird(dummy).send().code;
    assert!([409, 412].contains(&code), "{code}");
    assert!(s.tree("users/alice") == before);
}

#[test]
fn thunderbird_is_told_where_it_may_only_read() {
    let s = Server::start();
    for (address, user) in
        [("/ical/pf/Holidays.ics", "alice"), ("/ical/~carol/folder/Rights/Viewer.ics", "bob")]
    {
        let privileges = as_thunderbird(s.propfind(address, user, "0", PRIVILEGES)).status(207).text();
        assert!(privileges.contains("read") && !privileges.contains("write"), "{address}: {privileges}");
        let dummy =
            s.bare_put(address, user, "").header("Content-Type", "text/plain").header("If-Match", "nothing");
        // Rights come before preconditions.
        as_thunderbird(dummy).status(403);
    }
}

#[test]
fn thunderbird_finds_the_calendars_of_a_folder() {
    let s = Server::start();
    let text = as_thunderbird(s.propfind("/ical/folder/", "alice", "1", DETECTION)).status(207).text();
    for part in
        ["/ical/folder/Calendar.ics<", "/ical/folder/Tasks.ics<", "/ical/folder/Team.ics<", ">text/calendar<"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("text/calendar;"), "{text}");
    let text = as_thunderbird(s.propfind("/ical/folder/Work/", "alice", "1", DETECTION)).status(207).text();
    assert!(text.contains("/ical/folder/Work/Projects.ics<") && text.contains("Travel.ics<"), "{text}");
    let text = as_thunderbird(s.propfind("/ical/pf/", NOBODY, "1", DETECTION)).status(207).text();
    assert!(text.contains("/ical/pf/Holidays.ics<"), "{text}");
    // What bob may not read is not there for him, whatever else is.
    let seen = s.propfind("/ical/~alice/folder/Work/", "bob", "1", DETECTION).send();
    assert!(!seen.text().contains("Travel") && !seen.text().contains("Archive"), "{seen}");
}

#[test]
fn thunderbird_refreshes_by_etag() {
    let s = Server::start();
    let mut t = Thunderbird::subscribed(&s, MAIN, "alice");
    assert_eq!(t.refresh().code, 304);
    s.put(MAIN, "alice", plain(&[&event("from-elsewhere", "From elsewhere", &[])])).status(204);
    assert_eq!(t.refresh().code, 200);
    assert!(t.text.contains("From elsewhere"));
    assert_eq!(t.refresh().code, 304);
}

#[test]
fn thunderbird_writes_everything_again_and_only_its_edit_is_written() {
    let s = Server::start();
    let before: Vec<_> = ["Calendar", "Tasks"].map(|name| s.texts(&format!("users/alice/{name}"))).concat();
    let mut t = Thunderbird::subscribed(&s, MAIN, "alice");
    t.save(|text| Thunderbird::edited(text, "tentative-0001@example.org", "Dinner", "Late dinner"));
    let after: Vec<_> = ["Calendar", "Tasks"].map(|name| s.texts(&format!("users/alice/{name}"))).concat();
    assert_eq!(before.len(), after.len());
    let changed: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert_eq!(changed.len(), 1, "{changed:#?}");
    assert!(changed[0].1.contains("SUMMARY:Late dinner"), "{}", changed[0].1);
    // Neither name nor zone of this client's own is the calendar's.
    assert_eq!(s.read("users/alice/Calendar/displayname"), "Alice");
}

#[test]
fn thunderbird_adds_edits_and_deletes_one_by_one() {
    let s = Server::start();
    let uid = value(NEW_EVENT, "UID").expect("a UID");
    let mut t = Thunderbird::subscribed(&s, MAIN, "alice");
    t.save(|text| Thunderbird::added(text, NEW_EVENT));
    let served = s.get(MAIN, "alice").text();
    assert_eq!(by_uid(&served, &uid), NEW_EVENT);
    t.save(|text| Thunderbird::edited(text, &uid, "Added in", "Edited in"));
    assert!(s.get(MAIN, "alice").text().contains("SUMMARY:Edited in Thunderbird"));
    t.save(|text| Thunderbird::deleted(text, &uid));
    assert!(!uids(&s.get(MAIN, "alice").text()).contains(&uid));
    t.save(|text| Thunderbird::deleted(text, "cancelled-0001@example.org"));
    let left = uids(&s.get(MAIN, "alice").text());
    assert!(!left.contains(&"cancelled-0001@example.org".to_owned()), "{left:?}");
    assert!(left.contains(&"declined-0001@example.net".to_owned()), "{left:?}");
}

#[test]
fn two_thunderbirds_lose_nothing_of_each_other_without_an_error() {
    let s = Server::start();
    let address = "/ical/~alice/folder/Work/Projects.ics";
    let mut alice = Thunderbird::subscribed(&s, address, "alice");
    let mut bob = Thunderbird::subscribed(&s, address, "bob");
    alice.save(|text| Thunderbird::edited(text, "kickoff-0001@example.org", "Kick-off", "Kick-off in B"));
    bob.save(|text| Thunderbird::added(text, NEW_EVENT));
    alice.save(|text| Thunderbird::edited(text, "sprint-review-0001@google.com", "Sprint review", "Review"));
    bob.save(|text| {
        Thunderbird::edited(text, &value(NEW_EVENT, "UID").expect("a UID"), "Added in", "Edited in")
    });
    let text = s.get(address, "alice").text();
    let found = summaries(&text);
    for summary in ["Kick-off in B", "Review", "Edited in Thunderbird", "Appraisal of Bob", "Budget talk"] {
        assert!(found.iter().any(|found| found == summary), "{summary} is not in {found:?}");
    }
    // Both reload what they do not have, and a deletion after that is one.
    assert_eq!(alice.refresh().code, 200);
    assert_eq!(bob.refresh().code, 200);
    bob.save(|text| Thunderbird::deleted(text, "kickoff-0001@example.org"));
    assert!(!s.get(address, "alice").text().contains("Kick-off"));
    assert_eq!(alice.refresh().code, 200);
    assert_eq!(bob.refresh().code, 304);
}

#[test]
fn thunderbirds_edit_and_one_on_disk_both_survive() {
    let s = Server::start();
    let mut t = Thunderbird::subscribed(&s, MAIN, "alice");
    let file = "users/alice/Calendar/pay-day.ics";
    s.write(file, s.read(file).replace("Pay slips", "Pay day"));
    s.write("users/alice/Tasks/dropped.ics", plain(&[&crate::calendar::task("dropped", "Dropped in", &[])]));
    t.save(|text| Thunderbird::edited(text, "tentative-0001@example.org", "Dinner", "Late dinner"));
    let found = summaries(&s.get(MAIN, "alice").text());
    for summary in ["Pay day", "Dropped in", "Late dinner, perhaps"] {
        assert!(found.iter().any(|found| found == summary), "{summary} is not in {found:?}");
    }
}

#[test]
fn kde_reads_and_overwrites_without_ever_an_etag() {
    let s = Server::start();
    let address = "/ical/folder/KOrganizer.ics";
    s.get(address, "alice").header("User-Agent", "korganizer/6.5.1").status(404);
    let put = |body: String| {
        s.bare_put(address, "alice", body).header("User-Agent", "korganizer/6.5.1").send().code
    };
    assert_eq!(put(KORGANIZER.to_owned()), 201);
    assert_eq!(summaries(&s.get(address, "alice").text()), ["A to-do from KOrganizer", "From KOrganizer"]);
    // The event edited: LAST-MODIFIED and DTSTAMP move.
    let edited = KORGANIZER.replace("From KOrganizer", "Edited").replace("T101112Z", "T111112Z");
    assert_eq!(put(edited), 204);
    assert_eq!(summaries(&s.get(address, "alice").text()), ["A to-do from KOrganizer", "Edited"]);
}

#[test]
fn kde_probes_for_free_busy_and_a_miss_is_a_404_without_html() {
    let s = Server::start();
    for ending in ["xfb", "ifb", "vfb"] {
        let answer = s.get(&format!("/ical/alice.{ending}"), "bob").status(404);
        assert!(!answer.header("Content-Type").contains("html"), "{answer}");
    }
    s.get("/ical/~alice@example.org/freebusy.ifb", "bob").status(200);
}

#[test]
fn apple_publishes_publishes_again_and_unpublishes() {
    let s = Server::start();
    let address = "/ical/folder/Chess%20&%20Friends.ics";
    let put = |body: String, user: &str| {
        s.bare_put(address, user, body)
            .header("Content-Type", "text/calendar")
            .header("User-Agent", "macOS/15.6 CalendarAgent/1234")
    };
    put(APPLE.to_owned(), NOBODY).status(401);
    put(APPLE.to_owned(), "alice").status(201);
    assert!(s.has("users/alice/Chess & Friends"));
    assert_eq!(
        summaries(&s.get("/ical/folder/Chess%20%26%20Friends.ics", "alice").text()),
        ["Blitz", "Turnier"]
    );
    let moved = APPLE.replace("SUMMARY:Blitz", "SUMMARY:Rapid").replacen("SEQUENCE:0", "SEQUENCE:1", 1);
    put(moved, "alice").status(204);
    assert_eq!(summaries(&s.get(address, "alice").text()), ["Rapid", "Turnier"]);
    s.delete(address, "alice").status(204);
    s.get(address, "alice").status(404);
    assert!(!s.has("users/alice/Chess & Friends"));
}

#[test]
fn evolution_publishes_through_gvfs() {
    let s = Server::start();
    let address = "/ical/folder/Published/Evolution.ics";
    let options = s.options(address, "alice").status(200);
    assert!(!options.header("DAV").is_empty(), "{options}");
    s.propfind(address, "alice", "0", GVFS_STAT).status(404);
    // Up the parents to the first that is no collection: the mount's root.
    s.propfind("/ical/folder/Published", "alice", "0", GVFS_STAT).status(404);
    for parent in ["/ical/folder", "/ical/folder/", "/ical", "/ical/"] {
        let text = s.propfind(parent, "alice", "0", GVFS_STAT).status(207).text();
        assert!(text.contains("collection"), "{parent}: {text}");
    }
    s.bare_put(address, "alice", EVOLUTION).header("User-Agent", "gvfs/1.50.3").status(201);
    let text = s.get(address, "alice").text();
    assert_eq!(summaries(&text), ["Away", "Published from Evolution"]);
    assert_eq!(text.matches("BEGIN:VCALENDAR").count(), 1, "{text}");
    let stat = s.propfind(address, "alice", "0", GVFS_STAT).status(207).text();
    assert!(stat.contains("getetag") && stat.contains("getcontentlength"), "{stat}");
    s.bare_put(address, "alice", EVOLUTION).header("User-Agent", "gvfs/1.50.3").status(204);
}

#[test]
fn vdirsyncers_http_storage_reads_with_basic_sent_at_once() {
    let s = Server::start();
    let answer = s
        .get("/ical/~alice/folder/Work/Projects.ics", "bob")
        .header("User-Agent", "vdirsyncer/0.21.0")
        .header("Accept", "*/*")
        .header("Accept-Encoding", "gzip, deflate")
        .status(200);
    assert_eq!(answer.header("Content-Encoding"), "gzip");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answer.body[..]), &mut text)
        .expect("gzip");
    // It cuts the calendar into items by UID, so each must have one.
    assert_eq!(uids(&text).len(), components(&text).len());
    assert_eq!(components(&text).len(), 4);
}

#[test]
fn outlook_looks_at_the_directory_and_then_publishes() {
    let s = Server::start();
    let agent = ("User-Agent", "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)");
    s.propfind("/ical/folder/", "dave", "1", "").header(agent.0, agent.1).status(207);
    let address = "/ical/folder/Dave_Example_Calendar.ics";
    let put = s.bare_put(address, "dave", OUTLOOK).header(agent.0, agent.1);
    put.header("Content-Type", "text/calendar").status(201);
    let text = s.get(address, "dave").text();
    assert_eq!(summaries(&text), ["Aus Outlook"]);
    // Its parser wants a VTIMEZONE for every TZID.
    assert_eq!(text.matches("TZID:W. Europe Standard Time\r\n").count(), 1, "{text}");
    assert!(
        by_uid(&text, "hJtY4fkGkEu0Qm7p1Vwq3g==").contains("DTSTART;TZID=\"W. Europe Standard Time\":"),
        "{text}"
    );
}

#[test]
fn google_and_icsx5_subscribe() {
    let s = Server::start();
    s.get("/robots.txt", NOBODY).header("User-Agent", "Google-Calendar-Importer").status(200);
    s.dated("/ical/pf/Holidays.ics", NOBODY);
    let answer =
        s.get("/ical/pf/Holidays.ics", NOBODY).header("User-Agent", "Google-Calendar-Importer").status(200);
    assert!(answer.text().contains("\r\nX-WR-CALNAME:Holidays\r\n"));
    let (etag, modified) = (answer.etag(), answer.header("Last-Modified").to_owned());
    let icsx5 = |etag: &str| {
        let request = s.get("/ical/pf/Holidays.ics", NOBODY).header("User-Agent", "ICSx5/2.4 (ical4j)");
        request.header("If-None-Match", etag).header("If-Modified-Since", &modified).send().code
    };
    assert_eq!((icsx5(&etag), icsx5("\"old\"")), (304, 200));
}

#[test]
fn curl_uploads_from_a_pipe() {
    if !need("curl", "curl") {
        return;
    }
    let s = Server::start();
    let mut curl = Command::new("curl")
        .args([
            "-sS",
            "--noproxy",
            "*",
            "-u",
            "alice:alice",
            "-T",
            "-",
            "-w",
            "%{http_code}",
            "-H",
            "Expect: 100-continue",
        ])
        .arg(s.url("/ical/folder/Piped.ics"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl");
    let mut pipe = curl.stdin.take().expect("a pipe");
    pipe.write_all(KORGANIZER.as_bytes()).expect("a body");
    drop(pipe);
    let output = curl.wait_with_output().expect("curl ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "201");
    assert_eq!(components(&s.get("/ical/folder/Piped.ics", "alice").text()).len(), 2);
}
