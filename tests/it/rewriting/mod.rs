//! What programs change merely by writing a calendar again, measured on 240 items of many styles, and that it is no edit.
//!
//! `cargo test --test it rewriting -- --nocapture` prints the counts.

mod items;
mod rewrite;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;

use kalends::ical::cut::cut;
use kalends::ical::item::Item;

use crate::calendar::{MOZILLA, PLAIN, THUNDERBIRD, calendar, components, event, plain, value};
use crate::server::Server;
use items::{corpus, folded, unfolded};
use rewrite::{Program, rewritten};

const ADDRESS: &str = "/ical/folder/Corpus.ics";
const FILES: &str = "users/alice/Corpus";

fn whole(prodid: &str) -> String {
    let (zones, items) = corpus();
    calendar(prodid, &[&zones, &items.concat()])
}

/// What tests/clients/thunderbird gives to the program itself.
#[test]
#[ignore = "writes the file that KALENDS_CORPUS names"]
fn corpus_as_a_file() {
    let file = std::env::var_os("KALENDS_CORPUS").expect("KALENDS_CORPUS");
    std::fs::write(file, whole(PLAIN)).expect("a file");
}

fn cut_of(text: &str) -> Vec<Item> {
    cut(text.as_bytes()).expect("a good calendar").items
}

/// All components of a served calendar, without what is around them.
fn inside(text: &str) -> &str {
    let start = text.find("\r\nBEGIN:").expect("a component") + 2;
    text[start..].strip_suffix("END:VCALENDAR\r\n").expect("a whole calendar")
}

/// How many items are the same by their bytes, by meaning, by stamps, and by either of the two last.
fn same(before: &[Item], after: &[Item]) -> [usize; 4] {
    let after: HashMap<_, _> = after.iter().map(|item| (&item.key, item)).collect();
    let mut counts = [0; 4];
    for item in before {
        let again = after[&item.key];
        let (look, now) = (item.look(), again.look());
        let (meaning, stamps) = (look.meaning == now.meaning, look.stamps == now.stamps);
        for (count, same) in
            counts.iter_mut().zip([item.raw == again.raw, meaning, stamps, meaning || stamps])
        {
            *count += usize::from(same);
        }
    }
    counts
}

/// Whether an item has something that a program has no place for, or lacks what it makes up.
fn is_odd(item: &Item, program: Program) -> bool {
    let text = String::from_utf8_lossy(&item.raw);
    let by_kde = text.contains("ACKNOWLEDGED:") || !text.contains("LAST-MODIFIED:");
    text.contains("BEGIN:VLOCATION") || program == Program::Kde && by_kde
}

#[test]
fn writing_again_is_no_edit() {
    let before = cut_of(&whole(PLAIN));
    assert!(before.len() >= 200, "{} items", before.len());
    println!("{} items", before.len());
    for (program, prodid) in [(Program::Thunderbird, MOZILLA), (Program::Kde, PLAIN), (Program::Apple, PLAIN)]
    {
        let again = calendar(prodid, &[&rewritten(inside(&whole(PLAIN)), program)]);
        let after = cut_of(&again);
        let [bytes, meaning, stamps, either] = same(&before, &after);
        println!(
            "{program:?}: the same by bytes {bytes}, by meaning {meaning}, by stamps {stamps}, either {either}"
        );
        match program {
            Program::Thunderbird => assert_eq!(either, before.len()),
            Program::Kde | Program::Apple => {
                let odd = before.iter().filter(|item| is_odd(item, program)).count();
                assert_eq!(meaning, before.len() - odd);
            }
        }
    }
}

/// The text with one event edited as a program stamps it.
fn edited(text: &str, uid: &str) -> String {
    let text = unfolded(text);
    let before = components(&text).into_iter().find(|part| value(part, "UID").as_deref() == Some(uid));
    let before = before.expect("the event to edit");
    let stamps = ["LAST-MODIFIED:", "DTSTAMP:"];
    let kept =
        before.split_inclusive("\r\n").filter(|line| !stamps.iter().any(|name| line.starts_with(name)));
    let kept: String = kept.collect();
    let stamped =
        "LAST-MODIFIED:20261124T130000Z\r\nDTSTAMP:20261124T130000Z\r\nX-MOZ-GENERATION:9\r\nEND:VEVENT\r\n";
    let after = kept.replace("\r\nSUMMARY:", "\r\nSUMMARY:Edited ").replace("END:VEVENT\r\n", stamped);
    folded(&text.replace(&before, &after), 75, "\r\n ")
}

/// When each item's file was written.
fn written(s: &Server) -> BTreeMap<String, (u64, i64, i64)> {
    let of = |name: &String| {
        let metadata = s.path(FILES).join(name).metadata().expect("a file");
        (name.clone(), (metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    };
    s.files(FILES).iter().map(of).collect()
}

/// How many files differ after a program fetched the corpus, wrote all of it again with one edit, and saved it.
fn files_after(program: Program, prodid: &str, guarded: bool) -> usize {
    let s = Server::start();
    s.put(ADDRESS, "alice", whole(PLAIN)).status(201);
    let before = written(&s);
    let agent = if program == Program::Thunderbird { THUNDERBIRD } else { "a program" };
    let fetched = s.get(ADDRESS, "alice").header("User-Agent", agent).status(200);
    let text = calendar(prodid, &[&edited(&rewritten(inside(&fetched.text()), program), "kde-3-4f2c")]);
    let put = s.put(ADDRESS, "alice", text).header("User-Agent", agent);
    let put = if guarded { put.header("If", &format!("([{}])", fetched.etag())) } else { put };
    put.status(204);
    let after = written(&s);
    assert!(before.keys().eq(after.keys()), "no item comes or goes");
    before.iter().filter(|(name, stamp)| after[*name] != **stamp).count()
}

#[test]
fn one_edit_in_thunderbird_writes_one_file() {
    assert_eq!(files_after(Program::Thunderbird, MOZILLA, true), 1);
}

#[test]
fn one_edit_in_kde_writes_one_file_and_those_that_it_cannot_write_whole() {
    let odd = cut_of(&whole(PLAIN)).iter().filter(|item| is_odd(item, Program::Kde)).count();
    assert_eq!(files_after(Program::Kde, PLAIN, false), 1 + odd);
}

/// What KDE makes of an item by reading and writing it, whose line is none that anybody edited.
const KDES_OWN: [(&str, [&str; 2]); 6] = [
    ("VTODO", ["SUMMARY:Buy", "SUMMARY:Buy\r\nPERCENT-COMPLETE:0"]),
    ("VEVENT", ["SUMMARY:A meeting", "SUMMARY:A meeting\r\nCREATED:20261124T120000Z"]),
    ("VEVENT", ["SUMMARY;LANGUAGE=de-DE:Termin", "SUMMARY:Termin"]),
    (
        "VEVENT",
        [
            "ATTENDEE;PARTSTAT=ACCEPTED;CN=A;X-NUM-GUESTS=0:mailto:a@x",
            "ATTENDEE;CN=A;RSVP=FALSE;PARTSTAT=ACCEPTED;ROLE=REQ-PARTICIPANT;CUTYPE=INDIVIDUAL:mailto:a@x",
        ],
    ),
    ("VEVENT", ["DTSTART;VALUE=DATE:20261201", "DTSTART;VALUE=DATE:20261201\r\nDTEND;VALUE=DATE:20261202"]),
    (
        "VEVENT",
        [
            "DTSTART;TZID=W. Europe Standard Time:20261201T100000",
            "DTSTART;TZID=Europe/Berlin:20261201T100000",
        ],
    ),
];

/// An item as KDE has it, `x`, is deleted or edited elsewhere, then KDE edits `y` and saves both.
#[test]
fn a_stale_copy_of_kdes_revives_and_reverts_nothing() {
    for ((kind, [before, after]), edited) in
        KDES_OWN.into_iter().flat_map(|pair| [(pair, false), (pair, true)])
    {
        let s = Server::start();
        let x = |line: &str| {
            format!("BEGIN:{kind}\r\nUID:x\r\nDTSTAMP:20261001T080000Z\r\n{line}\r\nEND:{kind}\r\n")
        };
        let y = |summary: &str| event("y", summary, &[]);
        let put =
            |agent: &str, parts: &[&str]| s.put(ADDRESS, "alice", plain(parts)).header("User-Agent", agent);
        put("another", &[&x(before), &y("old")]).status(201);
        let etag = s.get(ADDRESS, "alice").header("User-Agent", "KDE").status(200).etag();
        let theirs = if edited { x(&format!("{before}\r\nLOCATION:Edited")) } else { String::new() };
        put("another", &[&theirs, &y("old")]).header("If-Match", &etag).status(204);
        put("KDE", &[&x(after), &y("new")]).status(204);
        let text = s.get(ADDRESS, "alice").text();
        assert!(text.contains("SUMMARY:new"), "{text}");
        assert_eq!(text.contains("UID:x"), edited, "{after}: {text}");
        assert_eq!(text.contains("LOCATION:Edited"), edited, "{after}: {text}");
    }
}
