//! What programs change merely by writing a calendar again, measured on 240 items of many styles, and that it is no edit.
//!
//! `cargo test --test it rewriting -- --nocapture` prints the counts.

mod items;
mod kde;
mod rewrite;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;

use kalends::ical::cut::cut;
use kalends::ical::item::Item;
use kalends::ical::meaning::UNSTAMPED;
use kalends::store::merge::program::Program as Judged;
use kalends::store::views::view::Known;

use crate::calendar::{MOZILLA, PLAIN, THUNDERBIRD, calendar, components, value};
use crate::server::Server;
use items::{corpus, folded, unfolded};
use kde::{KDE, KIO};
use rewrite::{Program, rewritten};

const ADDRESS: &str = "/ical/folder/Corpus.ics";
const FILES: &str = "users/alice/Corpus";

fn whole(prodid: &str) -> String {
    let (zones, items) = corpus();
    calendar(prodid, &[&zones, &items.concat()])
}

/// What tests/clients gives to the programs themselves.
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

/// How many items are the same by their bytes, by meaning, by a program's stamps, and in the end.
fn same(before: &[Item], after: &[Item], program: Program) -> [usize; 4] {
    let after: HashMap<_, _> = after.iter().map(|item| (&item.key, item)).collect();
    let mut counts = [0; 4];
    for item in before {
        let again = after[&item.key];
        let (look, now) = (item.look(), again.look());
        let meaning = look.meaning == now.meaning;
        let stamps = match program {
            Program::Thunderbird => look.stamps == now.stamps,
            Program::Kde => look.kde_stamps != UNSTAMPED && look.kde_stamps == now.kde_stamps,
            Program::Apple => false,
        };
        let whose = match program {
            Program::Thunderbird => Judged::Mozilla,
            Program::Kde => Judged::Kde,
            Program::Apple => Judged::Other,
        };
        let unedited = Known::of(look).is_as(now, whose);
        for (count, same) in counts.iter_mut().zip([item.raw == again.raw, meaning, stamps, unedited]) {
            *count += usize::from(same);
        }
    }
    counts
}

/// How many items KDE changes by writing them, and dates itself.
fn odd_for_kde(items: &[Item]) -> usize {
    let is_odd = |item: &&Item| {
        let text = String::from_utf8_lossy(&item.raw);
        !text.contains("LAST-MODIFIED:") && text.contains("X-MS-OLK-SENDER")
    };
    items.iter().filter(is_odd).count()
}

/// How many items have this in their text.
fn with(items: &[Item], part: &str) -> usize {
    items.iter().filter(|item| String::from_utf8_lossy(&item.raw).contains(part)).count()
}

#[test]
fn writing_again_is_no_edit() {
    let before = cut_of(&whole(PLAIN));
    assert!(before.len() >= 200, "{} items", before.len());
    println!("{} items", before.len());
    for (program, prodid) in [(Program::Thunderbird, MOZILLA), (Program::Kde, KDE), (Program::Apple, PLAIN)] {
        let again = calendar(prodid, &[&rewritten(inside(&whole(PLAIN)), program)]);
        let after = cut_of(&again);
        let [bytes, meaning, stamps, unedited] = same(&before, &after, program);
        println!(
            "{program:?}: the same by bytes {bytes}, by meaning {meaning}, by stamps {stamps}, taken for unedited {unedited}"
        );
        match program {
            Program::Thunderbird => assert_eq!(unedited, before.len()),
            Program::Kde => assert_eq!(unedited, before.len() - odd_for_kde(&before)),
            // It is taken to drop these.
            Program::Apple => assert_eq!(unedited, before.len() - with(&before, "BEGIN:VLOCATION")),
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
    let agent = match program {
        Program::Thunderbird => THUNDERBIRD,
        Program::Kde => KIO,
        Program::Apple => "dataaccessd",
    };
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
fn one_edit_in_kde_writes_one_file_and_those_that_it_changes_and_dates() {
    let odd = odd_for_kde(&cut_of(&whole(PLAIN)));
    assert_eq!(files_after(Program::Kde, KDE, false), 1 + odd);
}

/// Which items KDE changes by meaning, and which by stamps, is what tests/clients/kde found that it does.
#[test]
#[ignore = "reads the file that KALENDS_CORPUS names: the corpus as KDE has written it"]
fn the_simulation_does_what_kde_does() {
    let file = std::env::var_os("KALENDS_CORPUS").expect("KALENDS_CORPUS");
    let written = cut_of(&std::fs::read_to_string(file).expect("a file"));
    let simulated = cut_of(&calendar(KDE, &[&rewritten(inside(&whole(PLAIN)), Program::Kde)]));
    for before in cut_of(&whole(PLAIN)) {
        let by = |after: &[Item]| {
            let after: Vec<Item> = after.iter().filter(|item| item.key == before.key).cloned().collect();
            same(std::slice::from_ref(&before), &after, Program::Kde)
        };
        assert_eq!(by(&simulated)[1..], by(&written)[1..], "{}", before.key.uid);
    }
}
