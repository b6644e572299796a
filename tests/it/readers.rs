//! Readers beside writers: every body that is read is one acknowledged state, or the one that is just being saved, and nobody
//! sees an older state after a newer one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::raw::head;
use crate::server::Server;
use crate::versions::{replaced, version_of};

const ADDRESS: &str = "/ical/folder/Read.ics";
const EVENTS: usize = 4;
const READERS: usize = 4;

/// A connection that is kept: a new one for each read would be most of the work.
struct Reader(BufReader<TcpStream>);

impl Reader {
    fn connect(s: &Server) -> Reader {
        let stream = TcpStream::connect(s.address()).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Reader(BufReader::new(stream))
    }

    fn get(&mut self) -> String {
        let request = head("GET", ADDRESS, "alice", &[]);
        self.0.get_mut().write_all(request.as_bytes()).expect("sent");
        let mut length = 0;
        let mut line = String::new();
        while self.0.read_line(&mut line).expect("a head") > 2 {
            assert!(!line.starts_with("HTTP/") || line.starts_with("HTTP/1.1 200"), "{line}");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        String::from_utf8(body).expect("UTF-8")
    }
}

/// So many reads, and more until so many saves are made, which are spread evenly over the reads.
fn reads_beside_saves(reads: usize, saves: usize) {
    let s = Server::start();
    let save = |n: usize| replaced(&s, ADDRESS, n, EVENTS).try_send().map_or(0, |answer| answer.code);
    assert_eq!(save(0), 201);
    let (sent, acknowledged, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let saved = |n: &usize| {
                while done.load(Ordering::SeqCst) < reads / saves * (n - 1) {
                    std::thread::yield_now();
                }
                sent.store(*n, Ordering::SeqCst);
                let saved = save(*n) == 204;
                acknowledged.fetch_add(usize::from(saved), Ordering::SeqCst);
                saved
            };
            let all = (1..=saves).all(|n| saved(&n));
            over.store(true, Ordering::SeqCst);
            assert!(all, "a save failed");
        });
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut reader = Reader::connect(&s);
                let mut newest = 0;
                while done.load(Ordering::SeqCst) < reads || !over.load(Ordering::SeqCst) {
                    // Saves wait for the disk: reads that run ahead are spread over them.
                    if done.load(Ordering::SeqCst) > reads / saves * (sent.load(Ordering::SeqCst) + 1) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    // What was acknowledged before one asks is not older than what one sees.
                    newest = newest.max(acknowledged.load(Ordering::SeqCst));
                    let seen = version_of(&reader.get(), EVENTS).expect("one state");
                    let possible = newest..=sent.load(Ordering::SeqCst);
                    assert!(possible.contains(&seen), "{seen} is not in {possible:?}");
                    newest = seen;
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    println!("readers: {} reads beside {saves} saves, 0 bad", done.into_inner());
}

#[test]
fn who_reads_beside_saves_sees_whole_states_in_their_order() {
    reads_beside_saves(3_000, 30);
}

#[test]
#[ignore = "takes up to a minute; .ci/run does it"]
fn a_hundred_thousand_reads_beside_a_thousand_saves_see_whole_states_in_their_order() {
    reads_beside_saves(100_000, 1_000);
}
