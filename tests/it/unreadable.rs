//! Files and directories that the service may not read, as programs leave them that make things for their user alone: they cost
//! nothing but themselves, and open nothing.

use std::fs;

use crate::calendar::{event, plain, summaries};
use crate::foreign::{SOMEBODY, give, started};
use crate::freebusy::{at, has, hour, periods};
use crate::need::need;
use crate::server::{NOBODY, Server, eventually};
use crate::strace::Strace;

const ADDRESS: &str = "/ical/folder/Team.ics";
const DIRECTORY: &str = "users/alice/Team";

/// Puts a file there that is somebody's alone.
fn write_for_somebody(s: &Server, name: &str, text: &str) {
    s.write(&format!("{name}.new"), text);
    give(s, &format!("{name}.new"), SOMEBODY, 0o600);
    fs::rename(s.path(&format!("{name}.new")), s.path(name)).expect("renamed");
}

fn make_for_somebody(s: &Server, name: &str) {
    fs::create_dir(s.path(name)).expect("a directory");
    give(s, name, SOMEBODY, 0o700);
}

/// Makes alice busy 30 hours from now, by a calendar that is nobody else's.
fn busy(s: &Server, name: &str) {
    s.write(
        &format!("users/alice/{name}/a.ics"),
        plain(&[&at(name, 30, &["X-MICROSOFT-CDO-BUSYSTATUS:OOF"])]),
    );
}

/// Waits until what the watcher or the next second would bring is there, and more.
fn a_while() {
    std::thread::sleep(std::time::Duration::from_millis(1_500));
}

#[test]
fn metadata_that_cannot_be_read_is_as_it_was() {
    let Some(s) = started() else { return };
    s.write(&format!("{DIRECTORY}/displayname"), "The team");
    s.write(&format!("{DIRECTORY}/color"), "#ff0000");
    eventually("it has its name", || s.get(ADDRESS, "alice").text().contains("NAME:The team").then_some(()));
    for file in ["displayname", "color", ".props.json"] {
        write_for_somebody(&s, &format!("{DIRECTORY}/{file}"), "other");
        a_while();
        let text = s.get(ADDRESS, "alice").text();
        assert!(text.contains("NAME:The team") && text.contains("COLOR:red"), "{file}: {text}");
        s.put(ADDRESS, "alice", plain(&[&event(file, file, &[])])).status(204);
        s.get("/ical/~alice/freebusy.ifb", "bob").status(200);
        assert_eq!(s.log().matches(&format!("Team/{file}: Permission denied")).count(), 1, "{}", s.log());
    }
    write_for_somebody(&s, &format!("{DIRECTORY}/displayname"), "New name");
    give(&s, &format!("{DIRECTORY}/displayname"), SOMEBODY, 0o644);
    eventually("it is read again", || s.get(ADDRESS, "alice").text().contains("NAME:New name").then_some(()));
}

#[test]
fn properties_with_a_mistake_are_as_they_were_and_without_any_free_busy_is_off() {
    let mut s = Server::start();
    let props = "users/alice/Off/.props.json";
    busy(&s, "Off");
    s.write(props, "{\"freebusy\": false}");
    assert!(!has(&periods(&s), "BUSY-UNAVAILABLE", 30, 1));
    s.write(props, "{\n\"freebusy\": false,\n}");
    a_while();
    assert!(!has(&periods(&s), "BUSY-UNAVAILABLE", 30, 1));
    assert_eq!(s.log().matches("Off/.props.json: trailing comma at line 3").count(), 1, "{}", s.log());
    s.restart(rustix::process::Signal::TERM);
    assert!(!has(&periods(&s), "BUSY-UNAVAILABLE", 30, 1));
    s.write(props, "{\"freebusy\": true}");
    eventually("it is on", || has(&periods(&s), "BUSY-UNAVAILABLE", 30, 1).then_some(()));
    s.write(props, "{\"freebusy\": true");
    a_while();
    assert!(has(&periods(&s), "BUSY-UNAVAILABLE", 30, 1));
}

#[test]
fn a_directory_that_may_not_be_looked_into_holds_up_nothing_beside_it() {
    let Some(s) = started() else { return };
    busy(&s, "Busy");
    make_for_somebody(&s, "users/alice/Priv");
    make_for_somebody(&s, "users/alice/Work/lost+found");
    make_for_somebody(&s, "users/alice/Listed");
    // Its properties can be looked at, and its names not.
    give(&s, "users/alice/Listed", SOMEBODY, 0o711);
    a_while();
    for _ in 0..2 {
        assert!(has(&periods(&s), "BUSY-UNAVAILABLE", 30, 1));
        s.get("/ical/~alice/freebusy.ifb", "bob").status(200);
        for folder in ["/ical/folder/", "/ical/folder/Work/"] {
            let text = s.propfind(folder, "alice", "1", "").status(207).text();
            assert!(!text.contains("Priv") && !text.contains("lost+found"), "{text}");
        }
        a_while();
    }
    assert_eq!(s.log().matches("alice/Priv").count(), 1, "{}", s.log());
}

#[test]
fn a_calendar_of_which_nothing_can_be_read_is_an_error_and_not_an_empty_one() {
    let Some(s) = started() else { return };
    busy(&s, "Busy");
    s.write("users/alice/Mine/b.ics", plain(&[&event("b", "b", &[])]));
    give(&s, "users/alice/Mine/b.ics", SOMEBODY, 0o600);
    let mine = "/ical/folder/Mine.ics";
    for _ in 0..2 {
        s.get(mine, "alice").status(500);
        s.put(mine, "alice", plain(&[&event("c", "c", &[])])).status(500);
        assert!(has(&periods(&s), "BUSY-UNAVAILABLE", 30, 1));
        a_while();
    }
    s.write("users/alice/Mine/c.ics", plain(&[&event("c", "c", &[])]));
    assert_eq!(summaries(&s.get(mine, "alice").text()), ["c"]);
    give(&s, "users/alice/Mine/b.ics", SOMEBODY, 0o644);
    eventually("it is read", || (summaries(&s.get(mine, "alice").text()) == ["b", "c"]).then_some(()));
}

#[test]
fn who_has_no_rights_is_not_told_by_an_error_that_something_is_there() {
    let Some(s) = started() else { return };
    make_for_somebody(&s, "users/alice/Priv");
    busy(&s, "Busy");
    s.write("users/alice/.acl.json", "{}");
    for folder in ["Busy", "Priv"] {
        for user in ["carol", NOBODY] {
            for method in ["GET", "HEAD", "PUT", "DELETE", "PROPFIND"] {
                let code =
                    |name: &str| s.request(method, &format!("/ical/~alice/folder/{name}"), user).send().code;
                for address in ["FOLDER.ics", "FOLDER.ics?show=busy", "FOLDER/Plans.ics", "FOLDER/"] {
                    let [there, missing] =
                        [folder, "Missing"].map(|name| code(&address.replace("FOLDER", name)));
                    assert_eq!(there, missing, "{method} {folder} {address} by {user:?}");
                }
            }
        }
        give(&s, "users/alice/Busy", SOMEBODY, 0o711);
    }
}

#[test]
fn a_publication_that_cannot_be_read_counts_as_it_did() {
    let Some(s) = started() else { return };
    let published = |from: i64| {
        format!(
            "BEGIN:VFREEBUSY\r\nDTSTAMP:20261001T080000Z\r\nFREEBUSY;FBTYPE=BUSY-UNAVAILABLE:{}/PT2H\r\nEND:VFREEBUSY\r\n",
            hour(from)
        )
    };
    s.write("users/alice/.freebusy.ics", plain(&[&published(50)]));
    assert!(has(&periods(&s), "BUSY-UNAVAILABLE", 50, 2));
    write_for_somebody(&s, "users/alice/.freebusy.ics", &plain(&[&published(60)]));
    a_while();
    assert!(has(&periods(&s), "BUSY-UNAVAILABLE", 50, 2));
    give(&s, "users/alice/.freebusy.ics", SOMEBODY, 0o644);
    eventually("it is read again", || has(&periods(&s), "BUSY-UNAVAILABLE", 60, 2).then_some(()));
    assert_eq!(summaries(&s.get(ADDRESS, "alice").text()), ["Team lunch"]);
}

#[test]
fn a_file_that_the_network_does_not_bring_makes_its_calendar_no_smaller() {
    if !need("strace", "strace") {
        return;
    }
    let s = Server::start();
    let late = s.path("users/alice/New/b.ics");
    let Some(strace) = Strace::inject_at(&s, "read", "error=ETIMEDOUT", &late) else { return };
    for name in ["a", "b"] {
        s.write(&format!("users/alice/New/{name}.ics"), plain(&[&event(name, name, &[])]));
    }
    s.get("/ical/folder/New.ics", "alice").status(500);
    drop(strace);
    assert_eq!(summaries(&s.get("/ical/folder/New.ics", "alice").text()).len(), 2);
}
