//! A removed calendar comes back with all that was in its directory, and the record tells what went and came.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::calendar::{event, plain};
use crate::history::{ADDRESS, DIRECTORY, PLACE, kalends, restore, save, served};
use crate::need::need;
use crate::server::Server;

/// More than is read of any file.
const TOO_LARGE: u64 = 65 << 20;

fn make_too_large(path: &Path) {
    File::create(path).and_then(|file| file.set_len(TOO_LARGE)).expect("a file");
}

#[test]
fn a_removed_calendar_comes_back_with_what_is_never_read_and_without_what_is_no_file() {
    let s = Server::start();
    save(&s, &[event("a", "A", &[])]);
    let at = |name: &[u8]| s.path(DIRECTORY).join(OsStr::from_bytes(name));
    make_too_large(&at(b"big.bin"));
    make_too_large(&at(b"big.ics"));
    std::fs::write(at(b"caf\xe9.ics"), "mine").expect("write");
    std::fs::create_dir(at(b"caf\xe9")).expect("mkdir");
    std::fs::write(at(b"caf\xe9/deep.ics"), "mine too").expect("write");
    std::os::unix::fs::symlink("/etc/hostname", at(b"link")).expect("symlink");
    s.delete(ADDRESS, "alice").status(204);
    let said = restore(&s, &[PLACE]);
    assert!(said.contains("is back, with 3 files"), "{said}");
    served(&s, &["A"]);
    for name in [&b"big.bin"[..], b"big.ics"] {
        assert_eq!(at(name).metadata().expect("it is back").len(), TOO_LARGE);
    }
    assert_eq!(std::fs::read(at(b"caf\xe9.ics")).expect("it is back"), b"mine");
    assert_eq!(std::fs::read(at(b"caf\xe9/deep.ics")).expect("it is back"), b"mine too");
    assert!(at(b"link").symlink_metadata().is_err());
}

#[test]
fn what_the_service_may_not_read_keeps_nothing_else_of_a_removed_calendar_away() {
    let Some(s) = crate::foreign::started() else { return };
    save(&s, &[event("a", "A", &[])]);
    for name in ["secret", "secret.ics"] {
        let name = format!("{DIRECTORY}/{name}");
        s.write(&name, "x");
        crate::foreign::give(&s, &name, crate::foreign::SOMEBODY, 0o600);
    }
    s.delete(ADDRESS, "alice").status(204);
    s.settle();
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-dac_override,-dac_read_search,-fowner", env!("CARGO_BIN_EXE_kalends")])
        .args(["restore", PLACE, "--data"])
        .arg(s.path(""))
        .output()
        .expect("the command");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("left out: ").count(), 2, "{said}");
    served(&s, &["A"]);
}

#[test]
fn of_two_versions_of_an_item_the_same_is_served_when_their_calendar_is_back() {
    let s = Server::start();
    let day = Duration::from_secs(86_400);
    save(&s, &[event("z", "Z", &[])]);
    for (name, summary, days) in [("1.ics", "older", 3), ("2.ics", "newer", 1), ("3.ics", "oldest", 9)] {
        let name = format!("{DIRECTORY}/{name}");
        s.write(&name, plain(&[&event("twice", summary, &[])]));
        let file = File::options().write(true).open(s.path(&name)).expect("a file");
        file.set_modified(SystemTime::now() - days * day).expect("a time");
    }
    let text = served(&s, &["Z", "newer"]);
    s.delete(ADDRESS, "alice").status(204);
    restore(&s, &[PLACE]);
    assert_eq!(served(&s, &["Z", "newer"]), text);
}

#[test]
fn a_removed_calendar_comes_back_with_its_access_control_lists() {
    if !need("acl", "setfacl") || !need("acl", "getfacl") {
        return;
    }
    let s = Server::start();
    save(&s, &[event("a", "A", &[])]);
    s.write(&format!("{DIRECTORY}/notes.txt"), "mine");
    let set =
        Command::new("setfacl").args(["-R", "-m", "u:4000:rwX,d:u:4000:rwX"]).arg(s.path(DIRECTORY)).output();
    if !set.is_ok_and(|set| set.status.success()) {
        println!("skipped: no access control lists here");
        return;
    }
    let lists = || {
        let got = Command::new("getfacl").args(["-R", "-c", "-p"]).arg(s.path(DIRECTORY)).output();
        let text = String::from_utf8(got.expect("getfacl").stdout).expect("UTF-8");
        let mut lists: Vec<String> = text.split("\n\n").map(str::to_owned).collect();
        lists.sort();
        lists
    };
    let before = lists();
    s.delete(ADDRESS, "alice").status(204);
    restore(&s, &[PLACE]);
    assert_eq!(lists(), before);
}

/// Each change, with its items: what became of which.
fn told(s: &Server) -> Vec<(String, Vec<String>)> {
    let text = kalends(s, &["history", PLACE, "--json"]).expect("a history");
    let change = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let word = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let items = line["items"].as_array().expect("items").iter();
        let items = items.filter(|item| word(&item["file"]).ends_with(".ics"));
        let items = items.map(|item| format!("{} {}", word(&item["what"]), word(&item["summary"])));
        (word(&line["did"]), items.collect())
    };
    text.lines().map(change).collect()
}

fn change(did: &str, items: &[&str]) -> (String, Vec<String>) {
    (did.to_owned(), items.iter().map(|item| (*item).to_owned()).collect())
}

#[test]
fn a_calendar_that_went_and_came_is_told_with_what_it_had_then() {
    let s = Server::start();
    let (a, b, c) = (event("a", "A", &[]), event("b", "B", &[]), event("c", "C", &[]));
    save(&s, &[a.clone(), b.clone()]);
    s.delete(ADDRESS, "alice").status(204);
    restore(&s, &[PLACE]);
    save(&s, &[a, b.clone(), c.clone()]);
    save(&s, &[b, c.clone()]);
    s.settle();
    let mut expected = vec![
        change("save", &["added A", "added B"]),
        change("remove", &["removed A", "removed B"]),
        change("restore", &["added A", "added B"]),
        change("save", &["added C"]),
        change("save", &["removed A"]),
    ];
    let sorted = |mut told: Vec<(String, Vec<String>)>| {
        told.iter_mut().for_each(|(_, items)| items.sort());
        told
    };
    assert_eq!(sorted(told(&s)), expected);
    s.delete(ADDRESS, "alice").status(204);
    expected.push(change("remove", &["removed B", "removed C"]));
    assert_eq!(sorted(told(&s)), expected);
}

#[test]
fn who_removed_a_calendar_is_told_when_what_went_has_expired_too() {
    let s = Server::start();
    save(&s, &[event("a", "A", &[])]);
    s.delete(ADDRESS, "alice").status(204);
    std::fs::remove_dir_all(s.path("users/alice/.history/removed")).expect("expired");
    assert_eq!(told(&s).last(), Some(&change("remove", &[])));
}
