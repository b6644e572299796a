//! Saves without a guard: which of the Views that a client fetched or sent they are a change of, what that lets them
//! remove, and what becomes of it all at a restart. Every order of acts is tried in the library (`interleavings`).

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;

use crate::calendar::{event, plain, summaries, task};
use crate::request::Answer;
use crate::server::{Server, eventually};
use rustix::process::Signal;

pub const ADDRESS: &str = "/ical/folder/Shared.ics";
pub const KDE: &str = "korganizer/6.5.1";
const CURL: &str = "curl/8.14.1";
pub const OTHER: &str = "another/1.0";

/// A calendar of alice's with an event for each of `uids`, made by somebody else.
pub fn shared(uids: &[&str]) -> Server {
    let s = Server::start();
    put(&s, OTHER, &plain_of(uids)).status(201);
    s
}

pub fn plain_of(uids: &[&str]) -> String {
    let events: Vec<String> = uids.iter().map(|uid| event(uid, uid, &[])).collect();
    plain(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

pub fn get(s: &Server, program: &str) -> Answer {
    s.get(ADDRESS, "alice").header("User-Agent", program).send()
}

pub fn put(s: &Server, program: &str, body: &str) -> Answer {
    s.put(ADDRESS, "alice", body).header("User-Agent", program).send()
}

#[track_caller]
pub fn save(s: &Server, program: &str, uids: &[&str]) -> Answer {
    put(s, program, &plain_of(uids)).status(204)
}

/// What is there, as somebody sees it who leaves no trace.
pub fn here(s: &Server) -> Vec<String> {
    summaries(&s.get(ADDRESS, "alice").header("User-Agent", "a test").text())
}

#[test]
fn who_fetched_removes_what_it_leaves_out_and_not_what_came_since() {
    let s = shared(&["a", "b", "c"]);
    get(&s, KDE);
    save(&s, OTHER, &["a", "b", "c", "d"]);
    let answer = save(&s, KDE, &["a", "c", "e"]);
    assert_eq!(answer.header("Kalends-Merge"), "kept=1, removed=1, conflicts=0");
    assert_eq!(here(&s), ["a", "c", "d", "e"]);
    // It goes on from what it sent, and has not seen d.
    save(&s, KDE, &["a", "e"]);
    assert_eq!(here(&s), ["a", "d", "e"]);
}

#[test]
fn what_was_changed_since_stays_and_no_old_version_comes_back() {
    let s = shared(&["a", "b", "c"]);
    get(&s, KDE);
    let changed = plain(&[&event("a", "a", &[]), &event("b", "b here", &[]), &event("c", "c here", &[])]);
    put(&s, OTHER, &changed).status(204);
    save(&s, KDE, &["a", "c", "d"]);
    assert_eq!(here(&s), ["a", "b here", "c here", "d"]);
}

#[test]
fn who_only_sends_removes_what_it_had_sent_and_leaves_out() {
    let s = Server::start();
    put(&s, CURL, &plain_of(&["a", "b", "c"])).status(201);
    save(&s, OTHER, &["z"]);
    let answer = save(&s, CURL, &["a", "b"]);
    assert_eq!(answer.header("Kalends-Merge"), "kept=1, removed=1, conflicts=0");
    assert_eq!(here(&s), ["a", "b", "z"]);
    save(&s, CURL, &["a", "b"]);
    assert_eq!(here(&s), ["a", "b", "z"]);
}

#[test]
fn who_only_sends_may_change_its_mind() {
    let s = Server::start();
    put(&s, CURL, &plain_of(&["a", "b", "c"])).status(201);
    save(&s, CURL, &["a", "b"]);
    assert_eq!(here(&s), ["a", "b"]);
    save(&s, CURL, &["a", "b", "c"]);
    assert_eq!(here(&s), ["a", "b", "c"]);
    // An edit that is taken back, byte for byte.
    let edited = plain(&[&event("a", "edited", &[]), &event("b", "b", &[]), &event("c", "c", &[])]);
    put(&s, CURL, &edited).status(204);
    assert_eq!(here(&s), ["b", "c", "edited"]);
    save(&s, CURL, &["a", "b", "c"]);
    assert_eq!(here(&s), ["a", "b", "c"]);
}

#[test]
fn a_stale_copy_brings_nothing_back_and_is_told_so() {
    let s = shared(&["a", "b"]);
    get(&s, KDE);
    s.put(ADDRESS, "alice", plain_of(&["a"])).header("Kalends-Merge", "replace").status(204);
    let answer = save(&s, KDE, &["a", "b", "c"]);
    assert_eq!(answer.header("Kalends-Merge"), "kept=0, removed=0, conflicts=0, stale=1");
    assert_eq!(here(&s), ["a", "c"]);
}

#[test]
fn a_deletion_is_honoured_however_often_the_program_saved_a_stale_copy() {
    let s = shared(&["a", "b", "gone"]);
    // As a program does that looks now and then whether there is anything new.
    for uids in [&["a", "b", "gone"][..], &["a", "b", "gone", "newer"], &["a", "b", "gone", "new"]] {
        s.put(ADDRESS, "alice", plain_of(uids)).header("Kalends-Merge", "replace").status(204);
        get(&s, KDE);
    }
    s.put(ADDRESS, "alice", plain_of(&["a", "b", "new"])).header("Kalends-Merge", "replace").status(204);
    let saves = |n: usize, others: &[&str]| {
        let others = others.iter().map(|uid| event(uid, uid, &[]));
        let events: Vec<String> = others.chain([event("a", &format!("edit {n}"), &[])]).collect();
        put(&s, KDE, &plain(&events.iter().map(String::as_str).collect::<Vec<_>>())).status(204)
    };
    for n in 0..10 {
        let answer = saves(n, &["b", "gone", "new"]);
        assert_eq!(answer.header("Kalends-Merge"), "kept=0, removed=0, conflicts=0, stale=1");
    }
    let answer = saves(9, &["gone", "new"]);
    assert_eq!(answer.header("Kalends-Merge"), "kept=0, removed=1, conflicts=0, stale=1");
    assert_eq!(here(&s), ["edit 9", "new"]);
}

#[test]
fn what_others_removed_does_not_come_back_with_the_next_publication() {
    let s = Server::start();
    put(&s, CURL, &plain_of(&["a", "b"])).status(201);
    let etag = get(&s, OTHER).etag();
    s.put(ADDRESS, "alice", plain_of(&["b"])).header("If-Match", &etag).status(204);
    save(&s, CURL, &["a", "b", "c"]);
    assert_eq!(here(&s), ["b", "c"]);
}

#[test]
fn two_machines_that_look_like_one_lose_nothing_of_each_other() {
    let s = shared(&["a", "b"]);
    get(&s, KDE);
    get(&s, KDE);
    save(&s, KDE, &["a", "b", "x"]);
    // The other machine: it has never seen x.
    save(&s, KDE, &["a", "b", "y"]);
    assert_eq!(here(&s), ["a", "b", "x", "y"]);
    // The first one again, with an edit of a, and without b, which both had.
    let edited = plain(&[&event("a", "a edited", &[]), &event("x", "x", &[])]);
    put(&s, KDE, &edited).status(204);
    assert_eq!(here(&s), ["a edited", "x", "y"]);
    // The second one has the old a: it neither brings it back nor misses x.
    save(&s, KDE, &["a", "y", "z"]);
    assert_eq!(here(&s), ["a edited", "x", "y", "z"]);
}

#[test]
fn one_machine_removes_what_it_has_just_made() {
    let s = shared(&["a", "b"]);
    get(&s, KDE);
    save(&s, KDE, &["a", "b", "x"]);
    save(&s, KDE, &["a", "b"]);
    assert_eq!(here(&s), ["a", "b"]);
}

#[test]
fn a_calendar_that_was_not_there_counts_as_an_empty_one() {
    let s = Server::start();
    assert_eq!(get(&s, KDE).code, 404);
    put(&s, KDE, &plain_of(&["a"])).status(201);
    save(&s, KDE, &["a", "x"]);
    save(&s, KDE, &["a"]);
    assert_eq!(here(&s), ["a"]);
}

#[test]
fn a_304_counts_as_a_fetch_and_a_head_does_not() {
    let s = shared(&["a", "b"]);
    let etag = s.get(ADDRESS, "alice").etag();
    s.head(ADDRESS, "alice").header("User-Agent", CURL).status(200);
    save(&s, CURL, &["a"]);
    assert_eq!(here(&s), ["a", "b"]);
    s.get(ADDRESS, "alice").header("User-Agent", KDE).header("If-None-Match", &etag).status(304);
    save(&s, KDE, &["a"]);
    assert_eq!(here(&s), ["a"]);
}

#[test]
fn a_fetch_of_which_a_save_shows_nothing_was_not_loaded() {
    let s = shared(&["a", "b"]);
    get(&s, KDE);
    save(&s, KDE, &[]);
    assert_eq!(here(&s), ["a", "b"]);
    save(&s, KDE, &["z"]);
    assert_eq!(here(&s), ["a", "b", "z"]);
}

#[test]
fn clients_are_told_apart_by_user_program_and_address() {
    let s = shared(&["a", "b"]);
    s.write("users/alice/Shared/.acl.json", "{\"user:bob\": \"editor\"}");
    const OF_ALICE: &str = "/ical/~alice/folder/Shared.ics";
    s.get(OF_ALICE, "alice").header("User-Agent", KDE).status(200);
    for (address, user, program) in
        [(OF_ALICE, "alice", CURL), (OF_ALICE, "bob", KDE), (ADDRESS, "alice", KDE)]
    {
        s.put(address, user, plain_of(&["a"])).header("User-Agent", program).status(204);
        assert_eq!(here(&s), ["a", "b"], "{address} {user} {program}");
    }
    s.put(OF_ALICE, "alice", plain_of(&["a"])).header("User-Agent", KDE).status(204);
    assert_eq!(here(&s), ["a"]);
}

#[test]
fn a_publication_after_a_removed_calendar_is_taken_whole() {
    let s = Server::start();
    put(&s, CURL, &plain_of(&["a", "b"])).status(201);
    s.delete(ADDRESS, "alice").header("User-Agent", CURL).status(204);
    put(&s, CURL, &plain_of(&["a", "b"])).status(201);
    assert_eq!(here(&s), ["a", "b"]);
}

#[test]
fn a_save_without_a_guard_does_not_empty_half_a_calendar() {
    let names: Vec<String> = (0..12).map(|n| format!("{n:02}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let s = shared(&all);
    get(&s, KDE);
    let mut few = all[..5].to_vec();
    few.push("new");
    let answer = save(&s, KDE, &few);
    assert_eq!(answer.header("Kalends-Merge"), "kept=7, removed=0, conflicts=0, spared=7");
    assert_eq!(here(&s).len(), 13, "the rest of the save is made");
    assert!(s.log().contains("left out more than half"), "{}", s.log());
    // A guard or a word for it says that it is meant.
    let etag = get(&s, KDE).etag();
    s.put(ADDRESS, "alice", plain_of(&all[..5])).header("If-Match", &etag).status(204);
    assert_eq!(here(&s), all[..5]);
    let s = shared(&all);
    s.put(ADDRESS, "alice", plain_of(&all[..1])).header("Kalends-Merge", "replace").status(204);
    assert_eq!(here(&s), all[..1]);
    // Half of it is not more than half, and nine are not many.
    let s = shared(&all);
    get(&s, KDE);
    save(&s, KDE, &all[..6]);
    assert_eq!(here(&s), all[..6]);
    let s = shared(&all[..9]);
    get(&s, KDE);
    save(&s, KDE, &all[..1]);
    assert_eq!(here(&s), all[..1]);
}

#[test]
fn of_the_two_calendars_of_main_each_is_more_than_half_emptied_or_not() {
    let s = Server::start();
    let main = "/ical/main.ics";
    let events = (0..13).map(|n| event(&format!("e{n}"), "E", &[]));
    let tasks = (0..12).map(|n| task(&format!("t{n}"), "T", &[]));
    let all: Vec<String> = events.chain(tasks).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    s.put(main, "alice", plain(&all)).header("Kalends-Merge", "replace").status(204);
    s.get(main, "alice").header("User-Agent", KDE).status(200);
    let answer = s.put(main, "alice", plain(&all[..13])).header("User-Agent", KDE).status(204);
    assert_eq!(answer.header("Kalends-Merge"), "kept=12, removed=0, conflicts=0, spared=12");
    assert_eq!(summaries(&s.get(main, "alice").text()).len(), 25);
}

#[test]
fn who_may_only_add_is_refused_what_its_base_lets_it_remove() {
    let s = Server::start();
    let address = "/ical/~carol/folder/Rights/Contributor.ics";
    let as_bob = |body: &str| s.put(address, "bob", body).header("User-Agent", KDE).send().code;
    let before = summaries(&s.get(address, "bob").header("User-Agent", KDE).text());
    let body = plain_of(&["new"]);
    assert_eq!(as_bob(&body), 204, "it shows nothing of what it fetched");
    let only_new = plain_of(&["new", "newer"]);
    assert_eq!(as_bob(&only_new), 204);
    assert_eq!(as_bob(&plain_of(&["newer"])), 403);
    let after = summaries(&s.get(address, "bob").text());
    assert_eq!(after.len(), before.len() + 2, "{after:?}");
}

#[test]
fn what_an_asker_does_not_see_is_not_removed_by_it() {
    let s = Server::start();
    let address = "/ical/~alice/folder/Work/Projects.ics";
    let seen = s.get(address, "bob").header("User-Agent", KDE).text();
    let before = summaries(&s.get(address, "alice").text());
    let shown = summaries(&seen);
    assert!(shown.len() < before.len() || shown != before, "something is masked");
    let kept = "kickoff-0001@example.org";
    let body = plain(&[&crate::calendar::by_uid(&seen, kept), &event("mine", "Mine", &[])]);
    s.put(address, "bob", body).header("User-Agent", KDE).status(204);
    let after = s.get(address, "alice").text();
    for uid in ["appraisal-0001@example.org", "budget-0001@example.org", kept, "mine"] {
        assert!(after.contains(&format!("UID:{uid}")), "{uid} is not in {after}");
    }
}

/// The one book that the cache has of alice's Views, as bytes; nothing before there is one.
fn book(s: &Server) -> Option<(PathBuf, Vec<u8>)> {
    let mut books = std::fs::read_dir(s.path("../cache/kalends/views")).ok()?;
    let path = books.next()?.expect("an entry").path();
    assert!(books.next().is_none(), "it has another beside {}", path.display());
    Some((path.clone(), std::fs::read(path).ok()?))
}

/// Where in a book the records of a kind are, the newest first: from their content to behind their trailer, of name (16
/// bytes), time (8), the content's length (4), checksum (8) and mark (4).
fn records(book: &[u8], kind: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut end = book.len();
    // A line and a time are at its head.
    while end >= 24 + 40 {
        let len = u32::from_le_bytes(book[end - 16..end - 12].try_into().expect("four bytes"));
        // Who looks beside a write may see half of it.
        let Some(start) = end.checked_sub(40 + len as usize) else { break };
        if book[start..].starts_with(format!("kalends {kind} ").as_bytes()) {
            found.push(start..end);
        }
        end = start;
    }
    found
}

/// How many Views, or clients, the cache has.
pub fn kept(s: &Server, kind: &str) -> usize {
    let Some((_, book)) = book(s) else { return 0 };
    let name = |record: Range<usize>| book[record.end - 40..record.end - 24].to_vec();
    records(&book, kind).into_iter().map(name).collect::<HashSet<_>>().len()
}

#[test]
fn bases_outlive_a_restart_even_a_kill() {
    for signal in [Signal::TERM, Signal::KILL] {
        let mut s = shared(&["a", "b", "c", "d"]);
        let etag = get(&s, KDE).etag();
        eventually("the clients are written", || (kept(&s, "client") == 2).then_some(()));
        eventually("the View is written", || (kept(&s, "view") == 1).then_some(()));
        s.restart(signal);
        save(&s, OTHER, &["a", "b", "c", "d", "e"]);
        // Under a stale guard, by a program that was started again itself.
        let stale = s.put(ADDRESS, "alice", plain_of(&["a", "c", "d"]));
        stale.header("User-Agent", CURL).header("If", &format!("([{etag}])")).status(204);
        assert_eq!(here(&s), ["a", "c", "d", "e"]);
        // And without one.
        save(&s, KDE, &["b", "c", "d"]);
        assert_eq!(here(&s), ["c", "d", "e"]);
    }
}

#[test]
fn who_stops_the_server_loses_no_base() {
    let mut s = shared(&["a", "b"]);
    let etag = get(&s, KDE).etag();
    // At once: what was shown is not written yet.
    s.restart(Signal::TERM);
    save(&s, OTHER, &["a", "b", "c"]);
    s.put(ADDRESS, "alice", plain_of(&["a"])).header("If", &format!("([{etag}])")).status(204);
    assert_eq!(here(&s), ["a", "c"]);
}

#[test]
fn two_servers_with_one_cache_find_each_others_bases() {
    let s = shared(&["a", "b", "c", "d"]);
    let other = s.beside();
    let etag = get(&s, KDE).etag();
    eventually("the clients are written", || (kept(&s, "client") == 2).then_some(()));
    eventually("the View is written", || (kept(&s, "view") == 1).then_some(()));
    save(&s, OTHER, &["a", "b", "c", "d", "e"]);
    let stale = other.put(ADDRESS, "alice", plain_of(&["a", "c", "d"]));
    stale.header("User-Agent", CURL).header("If", &format!("([{etag}])")).status(204);
    save(&other, KDE, &["b", "c", "d"]);
    assert_eq!(here(&other), ["c", "d", "e"]);
    // What both append is one book, which stays whole.
    eventually("all is written", || (kept(&s, "client") == 4 && kept(&s, "view") == 5).then_some(()));
}

#[test]
fn without_its_cache_a_save_removes_nothing() {
    for broken in [false, true] {
        let mut s = shared(&["a", "b", "c"]);
        let etag = get(&s, KDE).etag();
        eventually("the clients are written", || (kept(&s, "client") == 2).then_some(()));
        eventually("the View is written", || (kept(&s, "view") == 1).then_some(()));
        s.stop(Signal::TERM);
        let (path, mut book) = book(&s).expect("a book");
        for record in records(&book, "view") {
            match broken {
                true => book[record.start + 20] ^= 1,
                false => drop(book.drain(record)),
            }
        }
        std::fs::write(path, book).expect("a View to break");
        s.start_again();
        save(&s, KDE, &["a", "x"]);
        s.put(ADDRESS, "alice", plain_of(&["b"])).header("If", &format!("([{etag}])")).status(204);
        assert_eq!(here(&s), ["a", "b", "c", "x"], "broken: {broken}");
    }
}

#[test]
fn what_is_asked_for_where_nothing_is_takes_no_room_in_the_cache() {
    let s = Server::start();
    for n in 0..300 {
        s.get(&format!("/ical/folder/None{n}.ics"), "alice").header("User-Agent", KDE).status(404);
    }
    put(&s, CURL, &plain_of(&["a"])).status(201);
    eventually("the client is written", || (kept(&s, "client") > 0).then_some(()));
    assert_eq!((kept(&s, "client"), kept(&s, "view")), (1, 1));
    // It counts as an empty calendar all the same.
    assert_eq!(s.get("/ical/folder/New.ics", "alice").header("User-Agent", KDE).send().code, 404);
    for uids in [&["a", "b"][..], &["b"]] {
        s.put("/ical/folder/New.ics", "alice", plain_of(uids)).header("User-Agent", KDE).send();
    }
    assert_eq!(
        summaries(&s.get("/ical/folder/New.ics", "alice").header("User-Agent", KDE).send().text()),
        ["b"]
    );
}

#[test]
fn that_no_bases_can_be_written_is_told_once() {
    let s = shared(&["a"]);
    eventually("the client is written", || (kept(&s, "client") > 0).then_some(()));
    let directory = s.path("../cache/kalends/views");
    std::fs::rename(&directory, s.path("../cache/kalends/away")).expect("rename");
    std::fs::write(&directory, "no directory").expect("write");
    save(&s, CURL, &["b"]);
    get(&s, KDE);
    eventually("it is told", || s.log().contains("do not outlive a restart").then_some(()));
    // The bases are in memory all the same.
    save(&s, KDE, &["a"]);
    assert_eq!(here(&s), ["a"]);
    assert_eq!(s.log().matches("do not outlive a restart").count(), 1, "{}", s.log());
}

#[test]
fn what_programs_have_no_place_for_is_removed_only_under_a_guard() {
    let rare =
        |kind: &str| format!("BEGIN:{kind}\r\nUID:{kind}\r\nDTSTAMP:20261001T080000Z\r\nEND:{kind}\r\n");
    let parts = ["VAVAILABILITY", "VFREEBUSY", "VPOLL", "VJOURNAL"].map(rare);
    let whole = |uid: &str| plain(&[&parts.concat(), &event(uid, uid, &[])]);
    let has = |text: &str, kind: &str| text.contains(&format!("BEGIN:{kind}\r\n"));
    let s = Server::start();
    put(&s, OTHER, &whole("a")).status(201);
    get(&s, KDE);
    save(&s, KDE, &["a", "b"]);
    let text = s.get(ADDRESS, "alice").header("User-Agent", "a test").text();
    for kind in ["VAVAILABILITY", "VFREEBUSY", "VPOLL"] {
        assert!(has(&text, kind), "{kind}: {text}");
    }
    assert!(!has(&text, "VJOURNAL"), "{text}");
    let etag = get(&s, CURL).etag();
    s.put(ADDRESS, "alice", plain_of(&["a", "b"]))
        .header("User-Agent", CURL)
        .header("If-Match", &etag)
        .status(204);
    let text = get(&s, CURL).text();
    assert!(!has(&text, "VAVAILABILITY") && !has(&text, "VPOLL"), "{text}");
}
