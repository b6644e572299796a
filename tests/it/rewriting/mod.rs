//! What programs change merely by writing a calendar again, measured on 240 items of many styles, and that it is no edit.
//!
//! `cargo test --test it rewriting -- --nocapture` prints the counts.

mod items;
mod rewrite;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;

use kalends::ical::item::{Item, cut};

use crate::calendar::{MOZILLA, PLAIN, calendar, components, value};
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

/// Whether an item has something that programs have no place for.
fn is_odd(item: &Item) -> bool {
    String::from_utf8_lossy(&item.raw).contains("BEGIN:VLOCATION")
}

#[test]
fn writing_again_is_no_edit() {
    let before = cut_of(&whole(PLAIN));
    assert!(before.len() >= 200, "{} items", before.len());
    let odd = before.iter().filter(|item| is_odd(item)).count();
    println!("{} items, {odd} of them with components that these programs drop", before.len());
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
            Program::Kde | Program::Apple => assert_eq!(meaning, before.len() - odd),
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
    let fetched = s.get(ADDRESS, "alice").header("User-Agent", "a program").status(200);
    let text = calendar(prodid, &[&edited(&rewritten(inside(&fetched.text()), program), "kde-3-4f2c")]);
    let put = s.put(ADDRESS, "alice", text).header("User-Agent", "a program");
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
    let odd = cut_of(&whole(PLAIN)).iter().filter(|item| is_odd(item)).count();
    assert_eq!(files_after(Program::Kde, PLAIN, false), 1 + odd);
}
