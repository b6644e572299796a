//! WebDAV `If` on an `.ics` address: never a refusal, but the View to merge from (docs/merging.md). The three-way table, row by row.

use crate::calendar::{MOZILLA, PLAIN, THUNDERBIRD, by_uid, calendar, event, plain, summaries, task, uids};
use crate::request::Answer;
use crate::server::{Server, eventually};

const ADDRESS: &str = "/ical/folder/Shared.ics";

/// What stands before a row: events `a` and `b`, and the tag under which the client saw them.
struct Table {
    s: Server,
    seen: String,
}

impl Table {
    fn of(events: &[String]) -> Table {
        let s = Server::start();
        let events: Vec<_> = events.iter().map(String::as_str).collect();
        s.put(ADDRESS, "alice", plain(&events)).status(201);
        let seen = s.get(ADDRESS, "alice").etag();
        Table { s, seen }
    }

    fn a_and_b() -> Table {
        Table::of(&[event("a", "A", &[]), event("b", "B", &[])])
    }

    /// Another client, which has seen everything, makes the calendar these events.
    fn meanwhile(&self, events: &[String]) {
        let current = self.s.get(ADDRESS, "alice").etag();
        let body = plain(&events.iter().map(String::as_str).collect::<Vec<_>>());
        self.s.put(ADDRESS, "alice", body).header("If-Match", &current).status(204);
    }

    /// The client saves these events over what it saw.
    fn save(&self, events: &[String]) -> Answer {
        self.save_as(PLAIN, &self.seen, events)
    }

    fn save_as(&self, prodid: &str, tag: &str, events: &[String]) -> Answer {
        let body = calendar(prodid, &events.iter().map(String::as_str).collect::<Vec<_>>());
        let put = self.s.put(ADDRESS, "alice", body).header("If", &format!("([{tag}])"));
        let put = if prodid == MOZILLA { put.header("User-Agent", THUNDERBIRD) } else { put };
        put.status(204)
    }

    fn text(&self) -> String {
        self.s.get(ADDRESS, "alice").text()
    }

    fn summaries(&self) -> Vec<String> {
        summaries(&self.text())
    }

    fn etag(&self) -> String {
        self.s.get(ADDRESS, "alice").etag()
    }

    fn history_has(&self, part: &str) -> bool {
        let kept = self.s.tree("users/alice/.history");
        kept.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(part))
    }
}

fn a() -> String {
    event("a", "A", &[])
}

fn b() -> String {
    event("b", "B", &[])
}

/// An event as Thunderbird stamps it: the same UID and times, a summary, and when it was last edited.
fn stamped(uid: &str, summary: &str, edited: &str) -> String {
    event(
        uid,
        summary,
        &[&format!("DTSTAMP:{edited}"), &format!("LAST-MODIFIED:{edited}"), "X-MOZ-GENERATION:1"],
    )
}

const EARLY: &str = "20261001T080000Z";
const LATE: &str = "20261101T080000Z";

#[test]
fn not_changed_by_the_client_and_changed_here_stays_byte_for_byte() {
    let t = Table::a_and_b();
    let here = event("a", "A here", &["X-ODD;P=\"q\":1", "SEQUENCE:1"]);
    t.meanwhile(&[here.clone(), b()]);
    // The client writes its old copy in another order of lines.
    let again = a().replace("SUMMARY:A\r\n", "").replace("UID:a\r\n", "SUMMARY:A\r\nUID:a\r\n");
    t.save(&[again, b(), event("c", "C", &[])]);
    assert_eq!(by_uid(&t.text(), "a"), here);
    assert_eq!(t.summaries(), ["A here", "B", "C"]);
}

#[test]
fn not_changed_by_the_client_and_gone_here_stays_gone() {
    let t = Table::a_and_b();
    t.meanwhile(&[b()]);
    t.save(&[a(), event("b", "B changed", &[])]);
    assert_eq!(t.summaries(), ["B changed"]);
}

#[test]
fn changed_by_the_client_and_not_here_is_the_clients() {
    let t = Table::a_and_b();
    let changed = event("a", "A changed", &["X-MINE:1"]);
    t.save(&[changed.clone(), b()]);
    assert_eq!(by_uid(&t.text(), "a"), changed);
    assert_eq!(t.summaries(), ["A changed", "B"]);
}

#[test]
fn changed_by_the_client_and_gone_here_comes_back() {
    let t = Table::a_and_b();
    t.meanwhile(&[b()]);
    t.save(&[event("a", "A changed", &[]), b()]);
    assert_eq!(t.summaries(), ["A changed", "B"]);
}

#[test]
fn new_from_the_client_is_added() {
    let t = Table::a_and_b();
    t.save(&[a(), b(), event("c", "C", &[])]);
    assert_eq!(t.summaries(), ["A", "B", "C"]);
}

#[test]
fn changed_on_both_sides_is_the_clients_and_the_other_is_in_the_history() {
    let t = Table::a_and_b();
    t.meanwhile(&[event("a", "A here", &["SEQUENCE:9"]), b()]);
    t.save(&[event("a", "A changed", &[]), b()]);
    assert_eq!(t.summaries(), ["A changed", "B"]);
    eventually("the loser in the history", || t.history_has("SUMMARY:A here").then_some(()));
}

#[test]
fn left_out_by_the_client_and_not_changed_here_is_removed() {
    let t = Table::a_and_b();
    t.save(&[b()]);
    assert_eq!(t.summaries(), ["B"]);
    eventually("the removed in the history", || t.history_has("SUMMARY:A\r\n").then_some(()));
}

#[test]
fn left_out_by_the_client_and_changed_here_stays() {
    let t = Table::a_and_b();
    t.meanwhile(&[event("a", "A here", &[]), b()]);
    t.save(&[b()]);
    assert_eq!(t.summaries(), ["A here", "B"]);
}

#[test]
fn never_seen_by_the_client_stays() {
    let t = Table::a_and_b();
    t.meanwhile(&[a(), b(), event("c", "C here", &[])]);
    t.save(&[a()]);
    assert_eq!(t.summaries(), ["A", "C here"]);
}

#[test]
fn added_on_both_sides_under_one_uid_is_the_clients() {
    let t = Table::a_and_b();
    t.meanwhile(&[a(), b(), event("c", "C here", &[])]);
    t.save(&[a(), b(), event("c", "C", &[])]);
    assert_eq!(t.summaries(), ["A", "B", "C"]);
    eventually("the other in the history", || t.history_has("SUMMARY:C here").then_some(()));
}

#[test]
fn with_no_base_the_higher_sequence_then_the_later_stamp_wins_and_nothing_goes() {
    for (client, here, wins) in [
        (&["SEQUENCE:2"][..], &["SEQUENCE:1", "LAST-MODIFIED:20270101T000000Z"][..], "client"),
        (&["SEQUENCE:1"], &["SEQUENCE:2"], "here"),
        (&["LAST-MODIFIED:20261102T000000Z"], &["LAST-MODIFIED:20261101T000000Z"], "client"),
        (&["LAST-MODIFIED:20261101T000000Z"], &["LAST-MODIFIED:20261102T000000Z"], "here"),
        (&["DTSTAMP:20261102T000000Z"], &["DTSTAMP:20261101T000000Z"], "client"),
        (&["DTSTAMP:20261101T000000Z"], &["DTSTAMP:20261102T000000Z"], "here"),
        (&[], &[], "here"),
        // No SEQUENCE is 0 (RFC 5545 §3.8.7.4).
        (&["SEQUENCE:1"], &[], "client"),
    ] {
        let t = Table::of(&[event("a", "here", here), b()]);
        let body = [event("a", "client", client)];
        let answer = t.save_as(PLAIN, "\"a-tag-we-never-gave\"", &body);
        assert_eq!(t.summaries(), ["B", wins], "{client:?} over {here:?}");
        let loser = if wins == "here" { "client" } else { "here" };
        eventually("the loser in the history", || t.history_has(&format!("SUMMARY:{loser}")).then_some(()));
        assert_ne!(answer.etag(), t.etag(), "b is there, and the client did not send it");
    }
}

#[test]
fn a_result_that_is_what_was_sent_answers_the_current_etag() {
    let t = Table::a_and_b();
    let tag = t.save(&[event("a", "A changed", &[]), b()]).etag();
    assert_eq!(tag, t.etag());
    t.s.get(ADDRESS, "alice").header("If-None-Match", &tag).status(304);
}

#[test]
fn another_result_answers_a_tag_that_reloads_and_that_the_next_save_merges_from() {
    let t = Table::a_and_b();
    t.meanwhile(&[event("a", "A here", &[]), b(), event("c", "C here", &[])]);
    let sent = t.save(&[a(), b(), event("d", "D", &[])]).etag();
    assert_ne!(sent, t.etag());
    t.s.get(ADDRESS, "alice").header("If-None-Match", &sent).status(200);
    // Without a reload the client goes on from its own copy: it removes b, and has never seen c nor the new a.
    let again = t.save_as(PLAIN, &sent, &[a(), event("d", "D changed", &[])]).etag();
    assert_eq!(t.summaries(), ["A here", "C here", "D changed"]);
    // And once more.
    t.save_as(PLAIN, &again, &[event("a", "A changed", &[]), event("d", "D changed", &[])]);
    assert_eq!(t.summaries(), ["A changed", "C here", "D changed"]);
}

#[test]
fn an_older_tag_of_ours_is_a_base_as_long_as_it_is_kept() {
    let t = Table::a_and_b();
    t.meanwhile(&[a(), b(), event("c", "C", &[])]);
    t.meanwhile(&[a(), b(), event("c", "C", &[]), event("d", "D", &[])]);
    t.save(&[a()]);
    assert_eq!(t.summaries(), ["A", "C", "D"]);
}

#[test]
fn tags_that_a_proxy_has_marked_name_the_same_view() {
    for mark in [|tag: &str| format!("W/{tag}"), |tag: &str| format!("{}-gzip\"", tag.trim_end_matches('"'))]
    {
        let t = Table::a_and_b();
        t.save_as(PLAIN, &mark(&t.seen), &[a()]);
        assert_eq!(t.summaries(), ["A"]);
    }
}

#[test]
fn if_with_a_tag_never_refuses_while_star_and_not_do() {
    let t = Table::a_and_b();
    let put = |guard: &str| t.s.put(ADDRESS, "alice", plain(&[&a(), &b()])).header("If", guard).send().code;
    let seen = &t.seen;
    for (guard, code) in [
        (format!("([{seen}])"), 204),
        (format!("<{}> ([{seen}])", t.s.url(ADDRESS)), 204),
        ("([\"other\"])".to_owned(), 204),
        (format!("([\"other\"]) ([{seen}])"), 204),
        ("(Not [\"other\"])".to_owned(), 204),
        (format!("(Not [{seen}])"), 412),
    ] {
        assert_eq!(put(&guard), code, "{guard}");
    }
    // Nothing of this was a reason to lose an item.
    assert_eq!(t.summaries(), ["A", "B"]);
}

#[test]
fn what_is_no_if_header_at_all_is_no_guard_and_never_loses_an_item() {
    for guard in ["nonsense", "([", "(<opaquelocktoken:x>)", "[\"x\"]", "()"] {
        let t = Table::a_and_b();
        // By a program of which no base is known.
        let put = t.s.put(ADDRESS, "alice", plain(&[&a()])).header("User-Agent", "another/1.0");
        let code = put.header("If", guard).send().code;
        assert!([204, 400, 412].contains(&code), "{guard}: {code}");
        assert_eq!(t.summaries(), ["A", "B"], "{guard}");
    }
}

#[test]
fn two_clients_of_one_user_keep_what_each_did() {
    let t = Table::a_and_b();
    let one = t.save(&[event("a", "A by one", &[]), b()]).etag();
    let two = t.save(&[a(), event("b", "B by two", &[])]).etag();
    assert_eq!(t.summaries(), ["A by one", "B by two"]);
    t.save_as(PLAIN, &one, &[event("a", "A by one", &[]), b(), event("c", "C by one", &[])]);
    t.save_as(PLAIN, &two, &[event("b", "B by two", &[])]);
    // Two removed the a it knew, which one had changed.
    assert_eq!(t.summaries(), ["A by one", "B by two", "C by one"]);
}

#[test]
fn for_mozilla_the_stamps_alone_say_what_the_client_changed() {
    let t = Table::of(&[stamped("a", "A", EARLY), stamped("b", "B", EARLY)]);
    // Its copy has lost a line that it does not know how to write, but not its stamps.
    let here = t.text();
    let reduced = stamped("a", "A without its accents", EARLY);
    let answer = t.save_as(MOZILLA, &t.seen, &[reduced, stamped("b", "B edited", LATE)]);
    assert_eq!(t.summaries(), ["A", "B edited"]);
    assert_eq!(by_uid(&t.text(), "a"), by_uid(&here, "a"));
    // The client does not show what is here.
    assert_ne!(answer.etag(), t.etag());
}

#[test]
fn what_a_script_edits_in_mozillas_file_is_taken() {
    for guard in [true, false] {
        let s = Server::start();
        let put = |summary: &str| {
            let body = calendar(MOZILLA, &[&stamped("a", summary, EARLY)]);
            s.put(ADDRESS, "alice", body).header("User-Agent", "curl/8.19")
        };
        put("A").status(201);
        let etag = s.get(ADDRESS, "alice").header("User-Agent", "curl/8.19").etag();
        let edited = put("A edited");
        let edited = if guard { edited.header("If-Match", &etag) } else { edited };
        edited.status(204);
        assert_eq!(summaries(&s.get(ADDRESS, "alice").text()), ["A edited"], "guarded: {guard}");
    }
}

#[test]
fn with_no_base_what_mozilla_only_wrote_again_is_no_conflict_and_may_go_next() {
    let t = Table::of(&[stamped("a", "A", EARLY), b()]);
    let reduced = stamped("a", "A without its accents", EARLY);
    let answer = t.save_as(MOZILLA, "\"unknown\"", &[reduced, b(), event("c", "C", &[])]);
    assert_eq!(answer.header("Kalends-Merge"), "");
    assert_eq!(t.summaries(), ["A", "B", "C"]);
    t.save_as(MOZILLA, &answer.etag(), &[b(), event("c", "C", &[])]);
    assert_eq!(t.summaries(), ["B", "C"]);
}

#[test]
fn with_no_base_a_contributor_with_mozilla_may_add_beside_what_it_wrote_again() {
    let s = Server::start();
    let address = "/ical/~carol/folder/Rights/Contributor.ics";
    let before = s.get(address, "carol").status(200);
    let richer = |text: &str, part: &str| text.replace("END:VCALENDAR", &format!("{part}END:VCALENDAR"));
    let body = richer(&before.text(), &event("rich", "Rich", &["X-A:1"]));
    s.put(address, "carol", body).header("If-Match", &before.etag()).status(204);
    let body = s.get(address, "bob").text().replace("X-A:1\r\n", "");
    let body = richer(&body, &event("bobs", "Bobs", &[])).replace("PRODID:", "PRODID:-//Mozilla.org/");
    let put = s.put(address, "bob", body).header("User-Agent", THUNDERBIRD);
    put.header("If", "([\"unknown\"])").status(204);
    assert!(uids(&s.get(address, "bob").text()).contains(&"bobs".to_owned()));
}

#[test]
fn for_others_the_meaning_says_what_the_client_changed() {
    let t = Table::of(&[stamped("a", "A", EARLY), b()]);
    t.save(&[stamped("a", "A edited", EARLY), b()]);
    assert_eq!(t.summaries(), ["A edited", "B"]);
}

#[test]
fn mozilla_removes_one_item_at_a_time() {
    let three = || ["a", "b", "c"].map(|uid| stamped(uid, uid, EARLY));
    for (left, result) in [
        // One left out.
        (vec![stamped("a", "a", EARLY), stamped("b", "b", EARLY)], &["a", "b"][..]),
        // Two left out: an unreadable calendar shows as an empty one.
        (vec![stamped("a", "a", EARLY)], &["a", "b", "c"]),
        (vec![], &["a", "b", "c"]),
        (vec![stamped("d", "d", LATE)], &["a", "b", "c", "d"]),
        // One left out and another changed or added.
        (vec![stamped("a", "A edited", LATE), stamped("b", "b", EARLY)], &["A edited", "b", "c"]),
        (
            vec![stamped("a", "a", EARLY), stamped("b", "b", EARLY), stamped("d", "d", LATE)],
            &["a", "b", "c", "d"],
        ),
    ] {
        let t = Table::of(&three());
        t.save_as(MOZILLA, &t.seen, &left);
        assert_eq!(t.summaries(), result, "{left:?}");
    }
}

#[test]
fn what_mozilla_leaves_out_is_counted_whether_or_not_it_is_still_here() {
    let t = Table::a_and_b();
    t.meanwhile(&[b()]);
    t.save_as(MOZILLA, &t.seen, &[]);
    assert_eq!(t.summaries(), ["B"]);
}

#[test]
fn mozillas_save_removes_nothing_when_it_is_sent_again() {
    let t = Table::of(&[stamped("a", "A", EARLY), b()]);
    for _ in 0..2 {
        t.save_as(MOZILLA, &t.seen, &[stamped("a", "A, edited", LATE)]);
        assert_eq!(t.summaries(), ["A, edited", "B"]);
    }
}

#[test]
fn what_mozilla_never_loads_stays_and_leaves_a_deletion_as_it_is() {
    let journal = "BEGIN:VJOURNAL\r\nUID:j\r\nSUMMARY:Journal\r\nEND:VJOURNAL\r\n".to_owned();
    let bare = event("n", "No start", &[]).replace("DTSTART", "X-START");
    let twins = [event("t", "Event", &[]), task("t", "Task", &[])];
    let t = Table::of(&[&[a(), b(), journal, bare], &twins[..]].concat());
    let shown = |events: &[String]| [events, &twins[..1]].concat();
    t.save_as(MOZILLA, &t.seen, &shown(&[b()]));
    assert_eq!(t.summaries(), ["B", "Event", "Journal", "No start", "Task"]);
    t.save_as(MOZILLA, &t.etag(), &shown(&[]));
    assert_eq!(t.summaries(), ["Event", "Journal", "No start", "Task"]);
}

#[test]
fn components_that_mozilla_leaves_out_of_an_item_stay() {
    let first = stamped("x", "First", EARLY);
    let second = stamped("x", "Second", EARLY);
    let bare = second.replace("DTSTART:", "RECURRENCE-ID:");
    for left_out in [second, bare] {
        let t = Table::of(&[[first.clone(), left_out].concat(), stamped("y", "Y", EARLY), b()]);
        t.save_as(MOZILLA, &t.seen, &[first.clone(), stamped("y", "Y edited", LATE), b()]);
        assert_eq!(t.summaries(), ["B", "First", "Second", "Y edited"]);
        // Nor do they stand in the way of a deletion.
        t.save_as(MOZILLA, &t.etag(), &[first.clone(), b()]);
        assert_eq!(t.summaries(), ["B", "First", "Second"]);
    }
}

#[test]
fn an_item_is_the_same_one_however_its_uid_is_escaped() {
    // As it came, and as Thunderbird writes it.
    let x = |summary: &str, at: &str| stamped("a,b", summary, at);
    let again = |summary: &str, at: &str| stamped("a\\,b", summary, at);
    let t = Table::of(&[x("One", EARLY), b()]);
    let here = t.text();
    t.save_as(MOZILLA, &t.seen, &[again("One", EARLY), stamped("b", "B edited", LATE)]);
    assert_eq!(t.summaries(), ["B edited", "One"]);
    assert_eq!(by_uid(&t.text(), "a,b"), by_uid(&here, "a,b"));
    t.save_as(MOZILLA, &t.etag(), &[again("One edited", LATE), stamped("b", "B edited", LATE)]);
    assert_eq!(t.summaries(), ["B edited", "One edited"]);
    t.save_as(MOZILLA, &t.etag(), &[stamped("b", "B edited", LATE)]);
    assert_eq!(t.summaries(), ["B edited"]);
}

#[test]
fn another_program_may_remove_several_at_once() {
    let t = Table::of(&["a", "b", "c"].map(|uid| stamped(uid, uid, EARLY)));
    t.save(&[stamped("b", "b", EARLY)]);
    assert_eq!(t.summaries(), ["b"]);
}

#[test]
fn a_faked_master_is_dropped() {
    let t = Table::a_and_b();
    let faked = event("c", "Faked", &["X-MOZ-FAKED-MASTER:1"]);
    let only = event("c", "Only an exception", &["RECURRENCE-ID:20261202T100000Z"]);
    t.save_as(MOZILLA, &t.seen, &[a(), b(), faked, only]);
    assert_eq!(t.summaries(), ["A", "B", "Only an exception"]);
}

#[test]
fn replace_replaces_all_that_the_asker_sees() {
    let t = Table::a_and_b();
    let body = calendar(MOZILLA, &[&event("c", "C", &[])]);
    let tag = t.s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").status(204).etag();
    assert_eq!(uids(&t.text()), ["c"]);
    assert_eq!(tag, t.etag());
    // What bob does not see stays.
    let projects = "/ical/~alice/folder/Work/Projects.ics";
    t.s.put(projects, "bob", plain(&[&a()])).header("Kalends-Merge", "replace").status(204);
    let left = uids(&t.s.get(projects, "alice").text());
    assert_eq!(left, ["a", "appraisal-0001@example.org", "budget-0001@example.org"]);
}

#[test]
fn replace_takes_what_is_sent_to_the_letter_but_for_the_time_of_sending() {
    let before = event("a", "C:temp", &[]);
    for (after, is_taken) in [
        (before.replace("DTSTAMP:2026", "DTSTAMP:2027"), false),
        (before.replace("SUMMARY:", "SUMMARY;LANGUAGE=de:"), true),
        (before.replace("C:temp", "C\\:temp"), true),
    ] {
        let t = Table::of(std::slice::from_ref(&before));
        t.s.put(ADDRESS, "alice", plain(&[&after])).header("Kalends-Merge", "replace").status(204);
        assert_eq!(t.text().contains(&after), is_taken, "{after}");
    }
}

#[test]
fn a_mirrored_file_with_bare_line_feeds_writes_only_what_changes() {
    let mirror = |t: &Table, summary: &str| {
        let body = plain(&[&a(), &event("b", summary, &[])]).replace("\r\n", "\n");
        t.s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").status(204);
        t.s.settle();
        let kept = t.s.tree("users/alice/.history");
        kept.iter().filter(|(path, _)| path.to_string_lossy().contains("/versions/")).count()
    };
    let t = Table::of(&[]);
    assert_eq!(["B", "B", "B by hand", "B by hand"].map(|summary| mirror(&t, summary)), [0, 0, 1, 1]);
}

#[test]
fn a_tag_of_another_calendar_is_no_base() {
    let t = Table::a_and_b();
    let other = t.s.get("/ical/main.ics", "alice").etag();
    t.save_as(PLAIN, &other, &[a()]);
    assert_eq!(t.summaries(), ["A", "B"]);
}

#[test]
fn what_others_did_on_disk_meanwhile_goes_into_the_merge() {
    let t = Table::a_and_b();
    // Just before the save, so that no sweep can have seen it.
    let file = t.s.file_with("users/alice/Shared", "UID:a\r\n");
    t.s.write(&format!("users/alice/Shared/{file}"), plain(&[&event("a", "A by vim", &[])]));
    t.s.write("users/alice/Shared/dropped.ics", plain(&[&event("c", "C dropped", &[])]));
    t.save(&[a(), event("b", "B changed", &[])]);
    assert_eq!(t.summaries(), ["A by vim", "B changed", "C dropped"]);
}
