//! Machines that look like one client: nothing that one of them fetched, sent or only has is taken for another's copy, over
//! restarts and kills too.

use rustix::process::Signal;

use crate::bases::{ADDRESS, KDE, OTHER, get, here, kept, plain_of, put, save, shared};
use crate::calendar::{event, plain};
use crate::server::{Server, eventually};

/// A calendar with these items, of which `a` is edited.
fn with_a_edited(others: &[&str]) -> String {
    let mut events = vec![event("a", "a edited", &[])];
    events.extend(others.iter().map(|uid| event(uid, uid, &[])));
    plain(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Somebody else saves, who has seen all.
fn by_etag(s: &Server, uids: &[&str]) {
    let etag = get(s, OTHER).etag();
    s.put(ADDRESS, "alice", plain_of(uids)).header("If-Match", &etag).header("User-Agent", OTHER).status(204);
}

#[test]
fn what_was_first_heard_of_by_a_304_any_number_may_have() {
    let s = shared(&["a", "b"]);
    let etag = get(&s, OTHER).etag();
    for _ in 0..2 {
        s.get(ADDRESS, "alice").header("User-Agent", KDE).header("If-None-Match", &etag).status(304);
    }
    save(&s, KDE, &["a", "b", "x"]);
    // The other machine has never seen x.
    put(&s, KDE, &with_a_edited(&["b"])).status(204);
    assert_eq!(here(&s), ["a edited", "b", "x"]);
}

#[test]
fn that_a_client_also_fetches_is_known_after_a_restart() {
    let mut s = Server::start();
    put(&s, KDE, &plain_of(&["a", "e"])).status(201);
    eventually("the client is written", || (kept(&s, "client") == 1).then_some(()));
    // Another machine fetches the very same.
    get(&s, KDE);
    s.restart(Signal::TERM);
    save(&s, KDE, &["a"]);
    assert_eq!(here(&s), ["a"]);
    // The other machine's copy is stale.
    save(&s, KDE, &["a", "e", "z"]);
    assert_eq!(here(&s), ["a", "z"]);
}

#[test]
fn a_machine_that_moves_and_a_program_that_is_updated_are_the_client_that_they_were() {
    let s = shared(&["a", "b"]);
    let from = |local: &str, method: &str, program: &str, body: String| {
        let client = reqwest::blocking::Client::builder().no_proxy();
        let client =
            client.local_address(Some(local.parse().expect("an address"))).build().expect("a client");
        let request = client.request(method.parse().expect("a method"), s.url(ADDRESS));
        let request = request.basic_auth("alice", Some("alice")).header("User-Agent", program);
        let sent = request.header("Content-Type", "text/calendar").body(body).send().expect("an answer");
        assert!(sent.status().is_success(), "{sent:?}");
    };
    // A laptop fetches at home, and another machine with a newer program in the office.
    from("127.0.0.2", "GET", KDE, String::new());
    by_etag(&s, &["a", "b", "e"]);
    from("127.0.0.1", "GET", "korganizer/6.10", String::new());
    // The laptop saves from the office, and has never seen e.
    from("127.0.0.1", "PUT", KDE, with_a_edited(&["b"]));
    assert_eq!(here(&s), ["a edited", "b", "e"]);
    // What it fetched before its update it may remove after it.
    from("127.0.0.3", "PUT", "korganizer/7.0", with_a_edited(&[]));
    assert_eq!(here(&s), ["a edited", "e"]);
}

#[test]
fn a_machine_that_sends_nothing_but_its_own_removes_nothing_of_one_that_fetched() {
    let s = shared(&["a", "b"]);
    get(&s, KDE);
    save(&s, KDE, &["a", "b", "c"]);
    let answer = save(&s, KDE, &["x"]);
    assert_eq!(answer.header("Kalends-Merge"), "kept=3, removed=0, conflicts=0");
    assert_eq!(here(&s), ["a", "b", "c", "x"]);
}

#[test]
fn who_has_an_etag_without_a_fetch_counts_off_nobodys_copy() {
    let s = shared(&["a", "b"]);
    get(&s, KDE);
    let etag = s.head(ADDRESS, "alice").header("User-Agent", KDE).etag();
    let guarded = s.put(ADDRESS, "alice", plain_of(&["a", "b", "x"])).header("If-Match", &etag);
    guarded.header("User-Agent", KDE).status(204);
    // The one that fetched has never seen x.
    put(&s, KDE, &with_a_edited(&["b"])).status(204);
    assert_eq!(here(&s), ["a edited", "b", "x"]);
}

#[test]
fn an_undo_counts_off_nobodys_copy() {
    let s = shared(&["a", "b"]);
    get(&s, KDE);
    get(&s, KDE);
    save(&s, KDE, &["a"]);
    let undo = save(&s, KDE, &["a", "b"]);
    assert_eq!(undo.header("Kalends-Merge"), "kept=0, removed=0, conflicts=0, stale=1");
    save(&s, KDE, &["a", "b", "x"]);
    // The other machine has never seen x.
    put(&s, KDE, &with_a_edited(&["b"])).status(204);
    assert_eq!(here(&s), ["a edited", "x"]);
}

#[test]
fn what_was_an_edit_and_looks_stale_is_told() {
    let s = shared(&["a", "b"]);
    let set = |summary: &str| {
        get(&s, KDE);
        put(&s, KDE, &plain(&[&event("a", summary, &[]), &event("b", "b", &[])])).status(204)
    };
    set("on");
    set("off");
    let again = set("on");
    assert_eq!(again.header("Kalends-Merge"), "kept=0, removed=0, conflicts=0, stale=1");
    assert_eq!(here(&s), ["b", "off"]);
}
