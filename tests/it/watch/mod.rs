//! Watching: what changes behind the server is marked by the kernel's word, and what is not marked is not looked at for a
//! minute. So each test first waits until the directory it changes is watched: after that a change that is not noticed
//! stays unnoticed for longer than a test waits.

mod limits;
mod tools;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::calendar::{components, event, plain, summaries};
use crate::need::need;
use crate::server::{Server, eventually, write};
use crate::strace::Strace;

const ADDRESS: &str = "/ical/folder/Team.ics";
const DIRECTORY: &str = "users/alice/Team";

/// The inodes that a process has inotify watches on.
fn watches(s: &Server) -> Vec<u64> {
    let Ok(files) = fs::read_dir(format!("/proc/{}/fdinfo", s.pid())) else { return Vec::new() };
    let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let of_line = |line: &str| {
        let inode = line.strip_prefix("inotify ")?.split(' ').find_map(|field| field.strip_prefix("ino:"))?;
        u64::from_str_radix(inode, 16).ok()
    };
    texts.flat_map(|text| text.lines().filter_map(of_line).collect::<Vec<_>>()).collect()
}

fn is_watched(s: &Server, directory: &str) -> bool {
    fs::metadata(s.path(directory)).is_ok_and(|metadata| watches(s).contains(&metadata.ino()))
}

/// Asks for a calendar until its directory is watched and it was compared with the disk since.
fn settle(s: &Server, address: &str, user: &str, directory: &str) {
    s.get(address, user).status(200);
    eventually(&format!("{directory} is watched"), || is_watched(s, directory).then_some(()));
    // Two rounds of the one that compares: the first follows the watch, the second what was new then.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    s.get(address, user).status(200);
}

fn watching() -> Server {
    let s = Server::start();
    settle(&s, ADDRESS, "alice", DIRECTORY);
    s
}

fn shows(s: &Server, address: &str, wanted: &[&str]) {
    eventually(&format!("{address} shows {wanted:?}"), || {
        let answer = s.get(address, "alice").send();
        let found = summaries(&answer.text());
        (answer.code == 200 && found == wanted).then_some(())
    });
}

fn missing(s: &Server, address: &str) {
    eventually(&format!("{address} is gone"), || (s.get(address, "alice").send().code == 404).then_some(()));
}

/// Runs a line of shell in alice's home.
#[track_caller]
fn shell(s: &Server, line: &str) {
    let done = Command::new("sh").args(["-ec", line]).current_dir(s.path("users/alice")).output();
    let done = done.expect("a shell");
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// What strace lists of the server's looks at the disk during something, which is told where that is written. Nothing where that
/// cannot be seen.
fn looks_during(s: &Server, something: impl FnOnce(&Path)) -> Option<String> {
    let trace = s.path("trace");
    let strace = Strace::list(s, "openat2,newfstatat,statx,fstat", &trace)?;
    something(&trace);
    drop(strace);
    Some(fs::read_to_string(trace).expect("a trace"))
}

fn summary(text: &str) -> String {
    plain(&[&event("lunch", text, &[])])
}

#[test]
fn a_home_is_watched_when_it_is_loaded_and_not_before() {
    let s = Server::start();
    let above = watches(&s);
    assert_eq!(above.len(), 2, "the data directory and users");
    settle(&s, ADDRESS, "alice", DIRECTORY);
    for directory in ["users/alice", "users/alice/Calendar", "users/alice/Work", "users/alice/Work/Projects"]
    {
        assert!(is_watched(&s, directory), "{directory}");
    }
    assert!(!is_watched(&s, "users/bob"));
}

#[test]
fn a_home_that_gives_way_to_others_is_watched_no_more() {
    let big = |uid: usize| event(&uid.to_string(), &"x".repeat(60_000), &[]);
    let s = Server::configured("cache_mb = 1");
    for (home, of) in [("alice", 0), ("bob", 100)] {
        let items: Vec<String> = (of..of + 12).map(big).collect();
        for (number, item) in items.iter().enumerate() {
            s.write(&format!("users/{home}/Big/{number}.ics"), plain(&[item]));
        }
    }
    settle(&s, "/ical/folder/Big.ics", "alice", "users/alice/Big");
    settle(&s, "/ical/folder/Big.ics", "bob", "users/bob/Big");
    eventually("alice's home is let go", || (!is_watched(&s, "users/alice/Big")).then_some(()));
    assert!(!is_watched(&s, "users/alice"));
    settle(&s, "/ical/folder/Big.ics", "alice", "users/alice/Big");
}

#[test]
fn what_is_watched_and_unchanged_is_served_without_a_look_at_the_disk() {
    if !need("strace", "strace") {
        return;
    }
    let looks = |s: &Server| {
        let trace = looks_during(s, |_| {
            for _ in 0..4 {
                s.get(ADDRESS, "alice").status(200);
                std::thread::sleep(Duration::from_millis(600));
            }
        });
        trace.map(|trace| trace.matches("lunch.ics").count())
    };
    let Some(when_watched) = looks(&watching()) else { return };
    assert_eq!(when_watched, 0);
    let polling = Server::configured("watch = \"poll\"");
    polling.get(ADDRESS, "alice").status(200);
    assert_ne!(looks(&polling), Some(0), "without watching it is compared each second");
}

#[test]
fn a_write_through_another_name_of_the_same_file_is_noticed() {
    let s = watching();
    shell(&s, "ln Team/lunch.ics Team/.same");
    shows(&s, ADDRESS, &["Team lunch"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    s.get(ADDRESS, "alice").status(200);
    s.write(&format!("{DIRECTORY}/.same"), summary("By another name"));
    shows(&s, ADDRESS, &["By another name"]);
}

#[test]
fn directories_that_come_and_go_are_noticed_with_all_that_is_in_them() {
    let s = watching();
    let outside = s.path("outside");
    write(&outside, "Club/chess.ics", summary("Chess"));
    write(&outside, "Year/Spring/sow.ics", summary("Sow"));
    // Asked for and loaded: what is answered from memory must not outlive them.
    shell(&s, "mv ../../outside/Club . && mv ../../outside/Year .");
    shows(&s, "/ical/folder/Club.ics", &["Chess"]);
    shows(&s, "/ical/folder/Year/Spring.ics", &["Sow"]);
    settle(&s, "/ical/folder/Year/Spring.ics", "alice", "users/alice/Year/Spring");
    shell(&s, "sed -i s/Sow/Plant/ Year/Spring/sow.ics");
    shows(&s, "/ical/folder/Year/Spring.ics", &["Plant"]);
    shell(&s, "mv Year Seasons");
    shows(&s, "/ical/folder/Seasons/Spring.ics", &["Plant"]);
    missing(&s, "/ical/folder/Year/Spring.ics");
    settle(&s, "/ical/folder/Seasons/Spring.ics", "alice", "users/alice/Seasons/Spring");
    shell(&s, "sed -i s/Plant/Water/ Seasons/Spring/sow.ics");
    shows(&s, "/ical/folder/Seasons/Spring.ics", &["Water"]);
    // One in the place of another, under the same name.
    shell(
        &s,
        "mv Club ../../outside/ && mkdir Club && sed s/Chess/Go/ ../../outside/Club/chess.ics > Club/go.ics",
    );
    shows(&s, "/ical/folder/Club.ics", &["Go"]);
    settle(&s, "/ical/folder/Club.ics", "alice", "users/alice/Club");
    shell(&s, "sed -i s/Go/Shogi/ Club/go.ics");
    shows(&s, "/ical/folder/Club.ics", &["Shogi"]);
    shell(&s, "rm -r Club Seasons");
    missing(&s, "/ical/folder/Club.ics");
    missing(&s, "/ical/folder/Seasons/Spring.ics");
}

#[test]
fn files_made_right_after_their_nested_directories_are_noticed() {
    let s = watching();
    shell(
        &s,
        "for a in 1 2 3 4 5; do mkdir -p New/a$a/b; for n in 1 2 3 4 5 6 7 8; do sed s/lunch/$a.$n/ Team/lunch.ics > New/a$a/b/$n.ics; done; done",
    );
    for number in 1..=5 {
        let address = format!("/ical/folder/New/a{number}/b.ics");
        eventually(&address, || {
            let answer = s.get(&address, "alice").send();
            (answer.code == 200 && components(&answer.text()).len() == 8).then_some(())
        });
        let directory = format!("users/alice/New/a{number}/b");
        eventually(&directory, || is_watched(&s, &directory).then_some(()));
    }
}

#[test]
fn a_calendar_that_becomes_a_folder_and_a_loose_file_are_noticed() {
    let s = watching();
    s.write("users/alice/Loose.ics", summary("Loose"));
    shows(&s, "/ical/folder/Loose.ics", &["Loose"]);
    settle(&s, "/ical/folder/Loose.ics", "alice", "users/alice");
    shell(&s, "sed -i s/Loose/Tight/ Loose.ics");
    shows(&s, "/ical/folder/Loose.ics", &["Tight"]);
    // `X/` beats `X.ics`.
    s.write("users/alice/Loose/in.ics", summary("Inside"));
    shows(&s, "/ical/folder/Loose.ics", &["Inside"]);
    settle(&s, "/ical/folder/Loose.ics", "alice", "users/alice/Loose");
    s.write("users/alice/Loose/Deeper/in.ics", summary("Deeper"));
    shows(&s, "/ical/folder/Loose/Deeper.ics", &["Deeper"]);
    eventually("a folder is no calendar", || {
        (!s.get("/ical/folder/Loose.ics", "alice").send().text().contains("Inside")).then_some(())
    });
}

#[test]
fn a_home_that_is_moved_away_and_back_is_noticed() {
    let s = watching();
    let (home, away) = (s.path("users/alice"), s.path("away"));
    fs::rename(&home, &away).expect("a rename");
    missing(&s, ADDRESS);
    write(&away, "Team/lunch.ics", summary("Late lunch"));
    // Asking for it has made it again, for its owner.
    if home.exists() {
        fs::remove_dir_all(&home).expect("removed");
    }
    fs::rename(&away, &home).expect("a rename");
    shows(&s, ADDRESS, &["Late lunch"]);
    settle(&s, ADDRESS, "alice", DIRECTORY);
    shell(&s, "sed -i s/Late/Later/ Team/lunch.ics");
    shows(&s, ADDRESS, &["Later lunch"]);
}

#[test]
fn rights_that_change_anywhere_above_a_calendar_are_noticed() {
    let s = watching();
    let address = "/ical/~alice/folder/Team.ics";
    let answers = |code: u16| {
        eventually(&format!("carol gets {code}"), || {
            (s.get(address, "carol").send().code == code).then_some(())
        });
    };
    for file in
        [format!("{DIRECTORY}/.acl.json"), "users/alice/.acl.json".to_owned(), "users/.acl.json".to_owned()]
    {
        s.write(&file, r#"{"user:carol": "viewer"}"#);
        answers(200);
        s.write(&file, r#"{"user:carol": "none"}"#);
        answers(404);
        s.write(&file, r#"{"user:carol": "#);
        answers(404);
        // The next one decides where there is none nearer.
        s.remove(&file);
    }
}

#[test]
fn a_new_name_of_a_calendar_is_noticed() {
    let s = watching();
    s.write(&format!("{DIRECTORY}/displayname"), "Crew");
    eventually("the name", || s.get(ADDRESS, "alice").text().contains("X-WR-CALNAME:Crew").then_some(()));
}

#[test]
fn a_file_that_breaks_is_named_and_served_as_it_was_and_comes_back() {
    let s = watching();
    let name = format!("{DIRECTORY}/lunch.ics");
    let whole = s.read(&name);
    s.write(&name, &whole[..whole.len() / 2]);
    // Nobody asks: it is looked at because it changed.
    eventually("the log names the file", || s.log().contains("lunch.ics").then_some(()));
    shows(&s, ADDRESS, &["Team lunch"]);
    s.write(&name, whole.replace("Team lunch", "Whole again"));
    shows(&s, ADDRESS, &["Whole again"]);
    assert_eq!(s.log().matches("lunch.ics").count(), 1, "{}", s.log());
}

#[test]
fn free_busy_moves_with_the_calendar() {
    let s = watching();
    let busy = || s.get("/ical/freebusy.ifb", "alice").status(200);
    let before = busy();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let in_two_days = |minute: u8| {
        let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
        let start = format!("{}03{minute:02}00Z", day.strftime("%Y%m%dT"));
        let text = plain(&[&event("fb", "Busy", &[])])
            .replace("DTSTART:20261201T100000Z", &format!("DTSTART:{start}"))
            .replace("DTEND:20261201T110000Z", "DURATION:PT5M");
        (start, text)
    };
    let (start, text) = in_two_days(17);
    s.write(&format!("{DIRECTORY}/fb.ics"), text);
    eventually("the period", || {
        let now = busy();
        (now.text().contains(&start) && now.etag() != before.etag()).then_some(())
    });
    let shown = s.get(ADDRESS, "alice").text();
    assert!(shown.contains("UID:fb"), "the calendar has it when free/busy does");
    // A calendar that comes, and one that shall not count any more.
    let (start, text) = in_two_days(37);
    s.write("users/alice/Extra/fb.ics", text);
    eventually("the new calendar counts", || busy().text().contains(&start).then_some(()));
    s.write("users/alice/Extra/.props.json", r#"{"freebusy": false}"#);
    eventually("it counts no more", || (!busy().text().contains(&start)).then_some(()));
}
