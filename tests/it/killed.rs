//! Several programs save without a guard while the server is killed again and again: nothing that was acknowledged is missing
//! or went back, and the tree is in order.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::calendar::{components, event, plain, value};
use crate::server::Server;

const ADDRESS: &str = "/ical/folder/Killed.ics";
const KILLS: usize = 20;

/// UID → the number of the edit that it says.
type Copy = BTreeMap<String, usize>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Loads now and then, and sends all that it has.
    Kde,
    /// Sends what is its own alone, all of it each time.
    Publisher,
    /// Sends one item a time.
    Curl,
}

#[derive(Debug)]
struct Program {
    kind: Kind,
    name: &'static str,
    copy: Copy,
    edits: usize,
    /// What of its own it was told that is saved, and what it has tried to save.
    acknowledged: Copy,
    sent: Copy,
}

impl Program {
    fn new(kind: Kind, name: &'static str) -> Program {
        let [copy, acknowledged, sent] = std::array::from_fn(|_| Copy::new());
        Program { kind, name, copy, edits: 0, acknowledged, sent }
    }

    fn load(&mut self, s: &Server) {
        let request = s.get(ADDRESS, "alice").header("User-Agent", self.name);
        if let Ok(answer) = request.try_send().map(|answer| answer.status(200)) {
            self.copy = read(&answer.text());
        }
    }

    /// Adds an item of its own, or edits one of the last few, and saves.
    fn edit_and_save(&mut self, s: &Server) {
        self.edits += 1;
        let which = if self.edits.is_multiple_of(3) { self.edits - 2 } else { self.edits };
        let mine = format!("{}-{which}", self.name);
        self.copy.insert(mine.clone(), self.edits);
        let is_sent = |uid: &str| match self.kind {
            Kind::Kde => true,
            Kind::Publisher => uid.starts_with(self.name),
            Kind::Curl => uid == mine,
        };
        let sent: Copy =
            self.copy.iter().filter(|(uid, _)| is_sent(uid)).map(|(k, v)| (k.clone(), *v)).collect();
        let own = |copy: &Copy| -> Copy {
            copy.iter().filter(|(uid, _)| uid.starts_with(self.name)).map(|(k, v)| (k.clone(), *v)).collect()
        };
        self.sent.extend(own(&sent));
        let request = s.put(ADDRESS, "alice", write(&sent)).header("User-Agent", self.name);
        match request.try_send() {
            Ok(answer) if answer.code == 204 => self.acknowledged.extend(own(&sent)),
            Ok(answer) => panic!("{answer}"),
            Err(_) => {}
        }
    }

    /// That all it was told of is there, and no older.
    fn check(&self, here: &Copy) {
        for (uid, edit) in &self.acknowledged {
            let found = here.get(uid).unwrap_or_else(|| panic!("{uid} is missing"));
            assert!((*edit..=self.sent[uid]).contains(found), "{uid}: {edit} was saved, {found} is here");
        }
    }
}

fn write(copy: &Copy) -> String {
    let stamp = |edit: &usize| format!("LAST-MODIFIED:20261101T08{:02}{:02}Z", edit / 60 % 60, edit % 60);
    let events: Vec<_> =
        copy.iter().map(|(uid, edit)| event(uid, &edit.to_string(), &[&stamp(edit)])).collect();
    plain(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

fn read(text: &str) -> Copy {
    let pair = |part: &String| Some((value(part, "UID")?, value(part, "SUMMARY")?.parse().ok()?));
    components(text).iter().filter_map(pair).collect()
}

/// What `kalends check` says of alice's home, and of what lies beside all homes.
fn checked(s: &Server) -> Vec<String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_kalends")).args(["check", "--quiet"]).arg(s.path("")).output();
    let said = String::from_utf8(output.expect("the command").stdout).expect("UTF-8");
    let ours = |line: &&str| ["users/alice", ".journal", ".tmp"].iter().any(|part| line.contains(part));
    said.lines().filter(ours).map(str::to_owned).collect()
}

#[test]
fn programs_that_save_unguarded_beside_one_kill_after_the_other_lose_nothing_that_was_acknowledged() {
    let mut s = Server::start();
    s.put(ADDRESS, "alice", write(&Copy::from([("first".to_owned(), 1)]))).status(201);
    let before = checked(&s);
    let kinds = [(Kind::Kde, "KOrganizer"), (Kind::Publisher, "iCal"), (Kind::Curl, "curl")];
    let programs = kinds.map(|(kind, name)| Mutex::new(Program::new(kind, name)));
    for round in 0..KILLS {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for program in &programs {
                let (s, over) = (&s, &over);
                scope.spawn(move || {
                    let mut program = program.lock().expect("no panic");
                    while !over.load(Ordering::SeqCst) {
                        if program.kind == Kind::Kde && program.edits.is_multiple_of(5) {
                            program.load(s);
                        }
                        program.edit_and_save(s);
                    }
                });
            }
            // At another moment of a save each time, after a few or a few dozen.
            std::thread::sleep(Duration::from_micros(100_000 + 17_300 * round as u64));
            let pid = rustix::process::Pid::from_raw(s.pid() as i32).expect("a process");
            rustix::process::kill_process(pid, Signal::KILL).expect("the server runs");
            over.store(true, Ordering::SeqCst);
        });
        s.start_again();
        let here = read(&s.get(ADDRESS, "alice").text());
        assert_eq!(here.get("first"), Some(&1));
        programs.iter().for_each(|program| program.lock().expect("no panic").check(&here));
        s.settle();
        assert_eq!(read(&s.texts("users/alice/Killed").concat()), here);
        assert_eq!(checked(&s), before);
    }
    let acknowledged = programs.map(|program| program.into_inner().expect("no panic").acknowledged.len());
    println!("{KILLS} kills, acknowledged items: {acknowledged:?}");
    // How many there are is the machine's matter; that there are some is the test's.
    assert!(acknowledged.iter().all(|items| *items > KILLS / 4), "{acknowledged:?}");
}
