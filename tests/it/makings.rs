//! Calendars and homes that are made and removed beside other requests: nobody is told of what is half made, and nobody is
//! refused because somebody else makes the same.

use std::sync::Barrier;

use crate::calendar::{event, plain, summaries, uids};
use crate::server::Server;

const CLIENTS: usize = 8;
const ROUNDS: usize = 12;

/// What each of the clients is answered that send at the same moment.
fn at_once<T: Send>(client: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        let threads = (0..CLIENTS).map(|n| {
            let (start, client) = (&start, &client);
            scope.spawn(move || {
                start.wait();
                client(n)
            })
        });
        threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn item(n: usize) -> String {
    plain(&[&event(&format!("e{n}"), "E", &[])])
}

#[test]
fn of_those_who_save_a_new_calendar_at_once_each_adds_to_it() {
    let s = Server::start();
    for round in 0..ROUNDS {
        let address = format!("/ical/folder/At once/{round}.ics").replace(' ', "%20");
        let codes =
            at_once(|n| s.put(&address, "alice", item(n)).header("User-Agent", &n.to_string()).send().code);
        assert_eq!(codes.iter().filter(|code| **code == 201).count(), 1, "{round}: {codes:?}");
        assert_eq!(codes.iter().filter(|code| **code == 204).count(), CLIENTS - 1, "{round}: {codes:?}");
        let all: Vec<_> = (0..CLIENTS).map(|n| format!("e{n}")).collect();
        assert_eq!(uids(&s.get(&address, "alice").text()), all);
    }
}

#[test]
fn of_those_who_make_calendars_in_one_new_folder_at_once_each_makes_its_own() {
    let s = Server::start();
    for round in 0..ROUNDS {
        let codes =
            at_once(|n| s.put(&format!("/ical/folder/{round}/Deep/{n}.ics"), "alice", item(n)).send().code);
        assert_eq!(codes, [201; CLIENTS], "{round}");
    }
}

#[test]
fn who_reads_beside_the_making_of_a_calendar_finds_all_of_it_or_nothing() {
    const EVENTS: usize = 60;
    let s = Server::start();
    let events: Vec<_> = (0..EVENTS).map(|n| event(&format!("e{n}"), "E", &[])).collect();
    let body = plain(&events.iter().map(String::as_str).collect::<Vec<_>>());
    for round in 0..ROUNDS {
        let (folder, calendar) =
            (format!("/ical/folder/{round}.ics"), format!("/ical/folder/{round}/New.ics"));
        at_once(|n| match n {
            0 => drop(s.put(&calendar, "alice", body.clone()).status(201)),
            // What will be a folder is no calendar, not even an empty one.
            1 => (0..20).for_each(|_| drop(s.get(&folder, "alice").status(404))),
            2 => (0..20).for_each(|_| {
                let listed = s.propfind("/ical/folder/", "alice", "1", "").status(207).text();
                assert!(!listed.contains(&folder), "{listed}");
            }),
            _ => loop {
                let answer = s.get(&calendar, "alice").send();
                match answer.code {
                    404 => {}
                    _ => return assert_eq!(summaries(&answer.status(200).text()).len(), EVENTS, "{round}"),
                }
            },
        });
    }
}

#[test]
fn a_calendar_that_is_removed_and_made_in_turns_is_there_whole_or_not_at_all() {
    let s = Server::start();
    let address = "/ical/folder/Turns/Now.ics";
    let two = plain(&[&event("a", "A", &[]), &event("b", "B", &[])]);
    at_once(|n| {
        for _ in 0..ROUNDS {
            match n {
                0 | 1 => {
                    let put = s.put(address, "alice", two.clone()).send();
                    assert!([201, 204].contains(&put.code), "{put}");
                }
                2 | 3 => {
                    let removed = s.delete(address, "alice").send();
                    assert!([204, 404].contains(&removed.code), "{removed}");
                }
                _ => {
                    let got = s.get(address, "alice").send();
                    match got.code {
                        404 => {}
                        _ => assert_eq!(uids(&got.status(200).text()), ["a", "b"]),
                    }
                }
            }
        }
    });
}

#[test]
fn a_home_whose_first_requests_come_at_once_is_made_once_and_serves_them_all() {
    for _ in 0..3 {
        let s = Server::start();
        let codes = at_once(|n| match n % 2 {
            0 => s.put("/ical/main.ics", "dave", item(n)).header("User-Agent", &n.to_string()).send().code,
            _ => s.get("/ical/main.ics", "dave").send().code,
        });
        let wanted: Vec<_> = (0..CLIENTS).map(|n| if n % 2 == 0 { 204 } else { 200 }).collect();
        assert_eq!(codes, wanted);
        assert_eq!(uids(&s.get("/ical/main.ics", "dave").text()), ["e0", "e2", "e4", "e6"]);
        assert!(s.has("users/dave/Tasks/.props.json"));
    }
}
