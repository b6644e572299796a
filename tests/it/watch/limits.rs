//! Where the kernel does not tell everything: its queue runs over, its watches run out, or it is not asked.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::{ADDRESS, DIRECTORY, is_watched, looks_during, settle, shell, shows, summary, watches, watching};
use crate::calendar::components;
use crate::foreign::{SOMEBODY, give, started};
use crate::need::need;
use crate::server::{Server, eventually, write};

#[test]
fn a_storm_that_the_kernels_queue_cannot_hold_ends_with_what_is_on_disk() {
    const FILES: usize = 6_000;
    if !need("python3", "python3") {
        return;
    }
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap_or_default();
    if limit.trim().parse::<usize>().is_ok_and(|limit| limit > 50_000) {
        println!("skipped: fs.inotify.max_queued_events is {limit}, more than this storm has");
        return;
    }
    let s = Server::prepared(|data| write(data, "users/alice/Club/chess.ics", summary("Chess")));
    settle(&s, ADDRESS, "alice", DIRECTORY);
    s.get("/ical/freebusy.ifb", "alice").status(200);
    let lines = format!(
        "import os\ntext = open('Team/lunch.ics').read()\nfor turn in range(3):\n    for n in range({FILES}):\n        open(f'Team/storm-{{n}}.ics', 'w').write(text.replace('lunch', f'{{turn}}-{{n}}'))\nfor n in range(0, {FILES}, 2):\n    os.unlink(f'Team/storm-{{n}}.ics')\n"
    );
    s.write("storm.py", lines);
    // While it cannot listen, all that happens must fit the queue, and does not: some 60,000 events.
    let server = Pid::from_raw(i32::try_from(s.pid()).expect("a process")).expect("a process");
    kill_process(server, Signal::STOP).expect("ours");
    shell(&s, "python3 ../../storm.py");
    // Of these nobody hears. On many file systems the new directory has the number of the old one.
    shell(&s, "rm -r Club && mkdir Club && sed s/lunch/Go/ Team/lunch.ics > Club/go.ics");
    shell(&s, "mkdir -p New/Deep && sed s/lunch/Deep/ Team/lunch.ics > New/Deep/deep.ics");
    kill_process(server, Signal::CONT).expect("ours");
    eventually("the log tells of it", || s.log().contains("more changes at once").then_some(()));
    eventually("the end of the storm", || {
        let text = s.get(ADDRESS, "alice").text();
        (components(&text).len() == FILES / 2 + 1 && !text.contains("SUMMARY:Team 0-")).then_some(())
    });
    shows(&s, "/ical/folder/Club.ics", &["Team Go"]);
    shows(&s, "/ical/folder/New/Deep.ics", &["Team Deep"]);
    // And what comes after it is heard of again.
    settle(&s, "/ical/folder/Club.ics", "alice", "users/alice/Club");
    settle(&s, "/ical/folder/New/Deep.ics", "alice", "users/alice/New/Deep");
    shell(&s, "sed -i s/Go/Shogi/ Club/go.ics && sed -i s/Deep/Deeper/ New/Deep/deep.ics");
    shows(&s, "/ical/folder/Club.ics", &["Team Shogi"]);
    shows(&s, "/ical/folder/New/Deep.ics", &["Team Deeper"]);
    shell(&s, "rm Team/storm-*.ics && sed -i s/lunch/dinner/ Team/lunch.ics");
    shows(&s, ADDRESS, &["Team dinner"]);
}

#[test]
fn with_a_hundred_watches_those_that_find_none_are_compared_on_access_and_it_is_said_once() {
    let limit = "echo 100 > /proc/sys/user/max_inotify_watches";
    let probe = Command::new("unshare").args(["-Ur", "sh", "-c", limit]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        println!("skipped: no user namespace with its own limit of watches can be made here");
        return;
    }
    let line = format!("{limit} && exec \"$0\" \"$@\"");
    let s = Server::wrapped(&["unshare", "-Ur", "sh", "-c", &line], |data| {
        for number in 0..110 {
            write(data, &format!("users/alice/Many/{number}/x.ics"), summary("Many"));
            write(data, &format!("users/carol/Many/{number}/x.ics"), summary("Many"));
        }
    });
    s.get(ADDRESS, "alice").status(200);
    s.get("/ical/folder/Many/3.ics", "carol").status(200);
    eventually("the log says so", || s.log().contains("max_user_watches").then_some(()));
    s.write(&format!("{DIRECTORY}/lunch.ics"), summary("Noticed all the same"));
    shows(&s, ADDRESS, &["Noticed all the same"]);
    s.write("users/alice/Many/new/x.ics", summary("New"));
    shows(&s, "/ical/folder/Many/new.ics", &["New"]);
    assert!(!is_watched(&s, "users/alice"), "all of a home or nothing");
    // There is room for a small one.
    settle(&s, "/ical/main.ics", "bob", "users/bob/Calendar");
    assert_eq!(s.log().matches("max_user_watches").count(), 1, "{}", s.log());
}

#[test]
fn polling_can_be_forced_by_the_configuration() {
    let s = Server::configured("watch = \"poll\"");
    shows(&s, ADDRESS, &["Team lunch"]);
    let busy = s.get("/ical/freebusy.ifb", "alice").etag();
    s.write(&format!("{DIRECTORY}/lunch.ics"), summary("Polled").replace("20261201T1", "20261201T2"));
    shows(&s, ADDRESS, &["Polled"]);
    s.write("users/alice/New/Deep/x.ics", summary("New"));
    shows(&s, "/ical/folder/New/Deep.ics", &["New"]);
    eventually("free/busy follows", || (s.get("/ical/freebusy.ifb", "alice").etag() != busy).then_some(()));
    shell(&s, "rm -r New");
    super::missing(&s, "/ical/folder/New/Deep.ics");
    assert!(watches(&s).is_empty());
}

#[test]
fn an_edit_looks_at_the_edited_file_and_at_no_other() {
    if !need("strace", "strace") {
        return;
    }
    let s = watching();
    for number in 0..20 {
        s.write(
            &format!("{DIRECTORY}/{number}.ics"),
            summary(&format!("{number}")).replace("lunch", &format!("{number}")),
        );
    }
    eventually("all are there", || (components(&s.get(ADDRESS, "alice").text()).len() == 21).then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(3));
    let looked = looks_during(&s, |trace| {
        shell(&s, "sed -i s/SUMMARY:7/SUMMARY:Seven/ Team/7.ics");
        // Nobody asks.
        eventually("it is looked at", || {
            std::fs::read_to_string(trace).is_ok_and(|text| text.contains("\"7.ics\"")).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_secs(2));
    });
    let Some(text) = looked else { return };
    let others = (0..20).filter(|number| *number != 7 && text.contains(&format!("\"{number}.ics\""))).count();
    assert_eq!(others, 0, "{text}");
    let shown = s.get(ADDRESS, "alice").text();
    assert!(shown.contains("SUMMARY:Seven"), "{shown}");
}

#[test]
fn a_directory_that_may_not_be_read_ends_no_watching_of_the_rest_of_its_home() {
    let Some(s) = started() else { return };
    settle(&s, ADDRESS, "alice", DIRECTORY);
    s.write("../private/x.ics", summary("Private"));
    give(&s, "../private", SOMEBODY, 0o700);
    shell(&s, "mv ../../../private Private");
    s.write("users/alice/Later/x.ics", summary("Later"));
    settle(&s, "/ical/folder/Later.ics", "alice", "users/alice/Later");
    assert!(is_watched(&s, DIRECTORY) && !is_watched(&s, "users/alice/Private"));
    // Its parent's watch tells when it can be looked into.
    give(&s, "users/alice/Private", 0, 0o770);
    settle(&s, "/ical/folder/Private.ics", "alice", "users/alice/Private");
    shell(&s, "sed -i s/Private/Opened/ Private/x.ics");
    shows(&s, "/ical/folder/Private.ics", &["Opened"]);
}
