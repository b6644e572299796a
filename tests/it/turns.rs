//! Clients of several kinds take turns at one calendar, over HTTP: what `interleavings` proves of the merge holds of the
//! server. `KALENDS_SEED=n` repeats one run.

use std::collections::{BTreeMap, BTreeSet};

use crate::calendar::{MOZILLA, PLAIN, calendar, components, event, value};
use crate::request::Request;
use crate::server::Server;

const ADDRESS: &str = "/ical/folder/Turns.ics";
const STEPS: usize = 40;

/// UID → SUMMARY, which is another for each edit.
type Copy = BTreeMap<String, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thunderbird,
    /// Two of them share the program's name, and with it all that the server knows them by.
    Kde,
    Curl,
}

#[derive(Debug)]
struct Machine {
    kind: Kind,
    copy: Copy,
    tag: String,
    /// What its user made, and what its user deleted.
    made: BTreeSet<String>,
    deleted: BTreeSet<String>,
}

impl Machine {
    fn new(kind: Kind) -> Machine {
        Machine {
            kind,
            copy: Copy::new(),
            tag: String::new(),
            made: BTreeSet::new(),
            deleted: BTreeSet::new(),
        }
    }

    fn as_itself(&self, request: Request) -> Request {
        request.header("User-Agent", &format!("{:?}", self.kind))
    }

    fn load(&mut self, s: &Server) {
        let answer = self.as_itself(s.get(ADDRESS, "alice")).status(200);
        (self.copy, self.tag) = (read(&answer.text()), answer.etag());
        self.deleted.clear();
    }

    /// One edit, told by two numbers.
    fn edit(&mut self, n: usize, which: usize) {
        let uid = self.copy.keys().nth(which % self.copy.len().max(1)).cloned();
        match (which % 3, uid) {
            (1, Some(uid)) => {
                self.copy.remove(&uid);
                self.deleted.insert(uid);
            }
            (2, Some(uid)) => {
                self.copy.insert(uid, format!("edit {n}"));
                self.made.insert(format!("edit {n}"));
            }
            _ => {
                self.copy.insert(format!("item-{n}"), format!("edit {n}"));
                self.made.insert(format!("edit {n}"));
            }
        }
    }

    fn save(&mut self, s: &Server) {
        let prodid = if self.kind == Kind::Thunderbird { MOZILLA } else { PLAIN };
        let body = write(prodid, &self.copy);
        let put = self.as_itself(s.put(ADDRESS, "alice", body));
        let answer = match self.kind {
            Kind::Thunderbird => {
                self.as_itself(s.get(ADDRESS, "alice")).status(200);
                put.header("If", &format!("([{}])", self.tag)).status(204)
            }
            Kind::Kde | Kind::Curl => put.status(204),
        };
        self.tag = answer.etag();
    }
}

/// A copy as text, each item with the stamp of its edit.
fn write(prodid: &str, copy: &Copy) -> String {
    let stamp = |summary: &str| {
        let edit: usize = summary.strip_prefix("edit ").and_then(|n| n.parse().ok()).unwrap_or(0);
        format!("LAST-MODIFIED:20261101T{edit:06}Z")
    };
    let events: Vec<String> =
        copy.iter().map(|(uid, summary)| event(uid, summary, &[&stamp(summary)])).collect();
    calendar(prodid, &events.iter().map(String::as_str).collect::<Vec<_>>())
}

fn read(text: &str) -> Copy {
    let pair = |part: &String| Some((value(part, "UID")?, value(part, "SUMMARY")?));
    components(text).iter().filter_map(pair).collect()
}

fn here(s: &Server) -> Copy {
    read(&s.get(ADDRESS, "alice").header("User-Agent", "a test").text())
}

/// A number that is the same for the same seed and step.
fn random(seed: usize, step: usize, limit: usize) -> usize {
    let mut z = (seed as u64 * 1_000_003 + step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % limit as u64) as usize
}

fn run(s: &Server, seed: usize) {
    let start = ["a", "b", "c", "d"].map(|uid| (uid.to_owned(), format!("edit 0 of {uid}")));
    let body = write(PLAIN, &Copy::from(start));
    s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").send();
    let kinds = [Kind::Thunderbird, Kind::Kde, Kind::Kde, Kind::Curl];
    let mut machines: Vec<Machine> = kinds.into_iter().map(Machine::new).collect();
    machines.iter_mut().filter(|machine| machine.kind != Kind::Curl).for_each(|machine| machine.load(s));
    for step in 1..=STEPS {
        let machine = &mut machines[random(seed, 3 * step, kinds.len())];
        if machine.kind != Kind::Curl && random(seed, 3 * step + 1, 5) == 0 {
            machine.load(s);
            continue;
        }
        let before = here(s);
        machine.edit(1000 * (seed + 1) + step, random(seed, 3 * step + 2, 1000));
        machine.save(s);
        let after = here(s);
        let told =
            || format!("KALENDS_SEED={seed} step {step}: {machine:?}\nbefore {before:?}\nafter {after:?}");
        for (uid, summary) in &before {
            match after.get(uid) {
                None => assert!(machine.deleted.contains(uid), "{uid} is gone\n{}", told()),
                Some(now) => {
                    assert!(now == summary || machine.made.contains(now), "{uid} went back\n{}", told());
                }
            }
        }
        for (uid, summary) in after.iter().filter(|(uid, _)| !before.contains_key(*uid)) {
            assert!(machine.made.contains(summary), "{uid} came back\n{}", told());
        }
    }
}

#[test]
fn clients_that_take_turns_lose_revert_and_revive_nothing() {
    let one = std::env::var("KALENDS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(0..4, |seed: usize| seed..seed + 1);
    for seed in seeds {
        run(&Server::start(), seed);
    }
}
