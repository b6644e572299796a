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
