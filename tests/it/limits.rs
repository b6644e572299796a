//! What one client may take of what all share.

use crate::raw::head;
use crate::server::{Server, eventually};

/// Asks over a new connection, which stays open; nothing if it is closed without an answer.
fn asks(s: &Server) -> Option<crate::raw::Raw> {
    let mut raw = s.connect();
    raw.say(head("GET", "/robots.txt", "alice", &[]));
    (raw.status() == 200).then_some(raw)
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let s = Server::configured("connections_per_address = 3");
    let mut open: Vec<_> = (0..3).map(|_| asks(&s).expect("an answer")).collect();
    assert!(asks(&s).is_none());
    assert!(s.log().contains("127.0.0.1 has 3 connections"), "{}", s.log());
    open.pop();
    eventually("one more is taken after one has ended", || asks(&s));
}

#[test]
fn the_connections_of_a_proxy_are_not_counted() {
    let s = Server::configured("connections_per_address = 1\nproxies = [\"127.0.0.1\"]");
    let open: Vec<_> = (0..5).map(|_| asks(&s)).collect();
    assert!(open.iter().all(Option::is_some));
}
