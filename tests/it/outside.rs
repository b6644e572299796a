//! Edits behind the server's back: editors, scripts, restores. What is served follows the files; nothing needs a restart.

use std::fs;

use crate::calendar::{components, event, plain, summaries, task, uids, value};
use crate::server::{Server, eventually};

const ADDRESS: &str = "/ical/folder/Team.ics";
const DIRECTORY: &str = "users/alice/Team";

/// Waits until alice's GET of `address` shows these summaries.
fn shows(s: &Server, address: &str, wanted: &[&str]) {
    eventually(&format!("{address} shows {wanted:?}"), || {
        let answer = s.get(address, "alice").send();
        (answer.code == 200 && summaries(&answer.text()) == wanted).then_some(())
    });
}

#[test]
fn a_dropped_in_file_is_served_and_a_removed_one_is_not() {
    let s = Server::start();
    shows(&s, ADDRESS, &["Team lunch"]);
    s.write(&format!("{DIRECTORY}/dropped.ics"), plain(&[&event("d", "Dropped", &[])]));
    shows(&s, ADDRESS, &["Dropped", "Team lunch"]);
    s.remove(&format!("{DIRECTORY}/dropped.ics"));
    shows(&s, ADDRESS, &["Team lunch"]);
    s.remove(&format!("{DIRECTORY}/lunch.ics"));
    shows(&s, ADDRESS, &[]);
}

#[test]
fn an_edit_of_the_same_size_in_place_is_seen() {
    let s = Server::start();
    let name = format!("{DIRECTORY}/lunch.ics");
    let before = s.read(&name);
    for round in 0..10 {
        let etag = s.get(ADDRESS, "alice").etag();
        let summary = format!("Team l{round}nch");
        s.write(&name, before.replace("Team lunch", &summary));
        shows(&s, ADDRESS, &[&summary]);
        assert_ne!(s.get(ADDRESS, "alice").etag(), etag);
    }
}

#[test]
fn an_edit_with_an_older_time_is_seen() {
    let s = Server::start();
    let name = format!("{DIRECTORY}/lunch.ics");
    let before = s.dated(ADDRESS, "alice").header("Last-Modified").to_owned();
    // As a restore brings it back.
    s.write(&name, s.read(&name).replace("Team lunch", "Team brunch"));
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(s.path(&name)).expect("the file").set_modified(old).expect("a time");
    shows(&s, ADDRESS, &["Team brunch"]);
    let now = s.get(ADDRESS, "alice").header("If-Modified-Since", &before).send();
    // The directory's time may be the newest and equal; the body then says so by its etag.
    assert!(now.code == 200 || s.dated(ADDRESS, "alice").header("Last-Modified") == before);
}

#[test]
fn a_rename_over_a_file_and_a_rename_of_a_file_are_seen() {
    let s = Server::start();
    s.write(&format!("{DIRECTORY}/.new"), plain(&[&event("r", "Renamed over", &[])]));
    fs::rename(s.path(&format!("{DIRECTORY}/.new")), s.path(&format!("{DIRECTORY}/lunch.ics")))
        .expect("a rename");
    shows(&s, ADDRESS, &["Renamed over"]);
    let etag = s.get(ADDRESS, "alice").etag();
    fs::rename(s.path(&format!("{DIRECTORY}/lunch.ics")), s.path(&format!("{DIRECTORY}/other.ics")))
        .expect("a rename");
    shows(&s, ADDRESS, &["Renamed over"]);
    // A file's name carries no meaning, so nothing changed for a client.
    eventually("the etag is the same again", || (s.get(ADDRESS, "alice").etag() == etag).then_some(()));
}

#[test]
fn names_that_are_no_items_are_not_served() {
    let s = Server::start();
    let body = plain(&[&event("x", "Not an item", &[])]);
    for name in [".hidden.ics", "lunch.ics~", "lunch.ics.tmp", ".lunch.ics.swp", "README", "lunch.ICS.bak"] {
        s.write(&format!("{DIRECTORY}/{name}"), &body);
    }
    s.write(&format!("{DIRECTORY}/seen.ics"), plain(&[&event("seen", "Seen", &[])]));
    shows(&s, ADDRESS, &["Seen", "Team lunch"]);
}

#[test]
fn a_file_that_breaks_keeps_its_last_good_version_served() {
    let s = Server::start();
    shows(&s, ADDRESS, &["Team lunch"]);
    let name = format!("{DIRECTORY}/lunch.ics");
    let whole = s.read(&name);
    let etag = s.get(ADDRESS, "alice").etag();
    s.write(&name, &whole[..whole.len() / 2]);
    s.write(&format!("{DIRECTORY}/sign.ics"), plain(&[&event("sign", "A sign of the next sweep", &[])]));
    shows(&s, ADDRESS, &["A sign of the next sweep", "Team lunch"]);
    eventually("the log names the file", || s.log().contains("lunch.ics").then_some(()));
    s.write(&name, "");
    s.remove(&format!("{DIRECTORY}/sign.ics"));
    shows(&s, ADDRESS, &["Team lunch"]);
    assert_eq!(s.get(ADDRESS, "alice").etag(), etag);
    s.write(&name, whole.replace("Team lunch", "Whole again"));
    shows(&s, ADDRESS, &["Whole again"]);
}

#[test]
fn a_broken_file_is_logged_once() {
    let s = Server::start();
    let name = format!("{DIRECTORY}/broken.ics");
    s.write(&name, "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n");
    for round in 0..3 {
        let summary = format!("Sign {round}");
        s.write(&format!("{DIRECTORY}/sign.ics"), plain(&[&event("sign", &summary, &[])]));
        shows(&s, ADDRESS, &[&summary, "Team lunch"]);
    }
    assert_eq!(s.log().matches("broken.ics").count(), 1, "{}", s.log());
}

#[test]
fn a_save_from_a_client_does_not_take_a_broken_file_for_a_deletion() {
    let s = Server::start();
    let (etag, text) = (s.get(ADDRESS, "alice").etag(), s.get(ADDRESS, "alice").text());
    let name = format!("{DIRECTORY}/lunch.ics");
    let half = s.read(&name)[..100].to_owned();
    s.write(&name, &half);
    let body = text.replace("END:VCALENDAR", &format!("{}END:VCALENDAR", event("n", "New", &[])));
    s.put(ADDRESS, "alice", body).header("If", &format!("([{etag}])")).status(204);
    assert_eq!(summaries(&s.get(ADDRESS, "alice").text()), ["New", "Team lunch"]);
    // Somebody is half-way through editing it: what he has written so far is his.
    assert_eq!(s.read(&name), half);
}

#[test]
fn a_dropped_in_directory_is_a_calendar() {
    let s = Server::start();
    s.get("/ical/folder/Garden.ics", "alice").status(404);
    s.get("/ical/folder/House/Kitchen.ics", "alice").status(404);
    s.write("users/alice/Garden/apples.ics", plain(&[&event("a", "Apples", &[])]));
    s.write("users/alice/House/Kitchen/oven.ics", plain(&[&event("o", "Oven", &[])]));
    shows(&s, "/ical/folder/Garden.ics", &["Apples"]);
    shows(&s, "/ical/folder/House/Kitchen.ics", &["Oven"]);
    // Files right after the directory, as a restore or rsync makes them.
    for number in 0..20 {
        s.write(
            &format!("users/alice/Garden/{number}.ics"),
            plain(&[&event(&number.to_string(), "Pear", &[])]),
        );
    }
    eventually("all pears", || {
        let text = s.get("/ical/folder/Garden.ics", "alice").text();
        (components(&text).len() == 21).then_some(())
    });
    fs::rename(s.path("users/alice/Garden"), s.path("users/alice/Orchard")).expect("a rename");
    eventually("the new name", || {
        (s.get("/ical/folder/Orchard.ics", "alice").send().code == 200).then_some(())
    });
    eventually("no old name", || {
        (s.get("/ical/folder/Garden.ics", "alice").send().code == 404).then_some(())
    });
    fs::remove_dir_all(s.path("users/alice/Orchard")).expect("removed");
    eventually("it is gone", || {
        (s.get("/ical/folder/Orchard.ics", "alice").send().code == 404).then_some(())
    });
}

#[test]
fn a_dropped_in_home_is_served_to_its_user() {
    let s = Server::start();
    s.write("users/dave/Calendar/one.ics", plain(&[&event("one", "Dave's", &[])]));
    assert_eq!(summaries(&s.get("/ical/main.ics", "dave").text()), ["Dave's"]);
    s.put("/ical/main.ics", "dave", plain(&[&task("t", "A task", &[])])).status(204);
    assert_eq!(s.files("users/dave/Tasks").len(), 1);
}

#[test]
fn a_new_name_and_colour_move_the_etag() {
    let s = Server::start();
    let before = s.get(ADDRESS, "alice").etag();
    s.write(&format!("{DIRECTORY}/displayname"), "Crew");
    eventually("the name", || {
        let answer = s.get(ADDRESS, "alice").status(200);
        (value(&answer.text(), "X-WR-CALNAME").as_deref() == Some("Crew") && answer.etag() != before)
            .then_some(())
    });
}

#[test]
fn an_edit_between_two_saves_is_kept() {
    let s = Server::start();
    let etag = s.get(ADDRESS, "alice").etag();
    s.write(&format!("{DIRECTORY}/dropped.ics"), plain(&[&event("d", "Dropped", &[])]));
    // If-Match is of what is on the disk, not of what was last looked at.
    let body = plain(&[&event("x", "X", &[])]);
    s.put(ADDRESS, "alice", body.clone()).header("If-Match", &etag).status(412);
    s.put(ADDRESS, "alice", body).status(204);
    assert_eq!(summaries(&s.get(ADDRESS, "alice").text()), ["Dropped", "Team lunch", "X"]);
}

#[test]
fn free_busy_follows_the_files() {
    let s = Server::start();
    let busy = |s: &Server| s.get("/ical/~alice/freebusy.ifb", "bob").status(200);
    let before = busy(&s);
    let start = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    let start = start.strftime("%Y%m%dT031700Z").to_string();
    let text = plain(&[&event("fb", "Out of the way", &[])])
        .replace("DTSTART:20261201T100000Z", &format!("DTSTART:{start}"))
        .replace("DTEND:20261201T110000Z", "DURATION:PT5M");
    s.write(&format!("{DIRECTORY}/fb.ics"), text);
    eventually("the period is there", || {
        let now = busy(&s);
        (now.text().contains(&start) && now.etag() != before.etag()).then_some(())
    });
}

#[test]
fn calendars_that_swap_their_names_show_nothing_of_each_other() {
    for watch in ["auto", "poll"] {
        let s = Server::configured(&format!("watch = \"{watch}\""));
        let codes = || {
            ["One", "Other"].map(|name| s.get(&format!("/ical/~alice/folder/{name}.ics"), "bob").send().code)
        };
        s.write("users/alice/One/.acl.json", "{\"user:bob\": \"none\"}");
        s.write("users/alice/Other/.acl.json", "{\"user:bob\": \"viewer\"}");
        s.write("users/alice/One/x.ics", plain(&[&event("x", "Secret", &[])]));
        s.write("users/alice/Other/x.ics", "BEGIN:VCALENDAR\r\nBEGIN:VEV");
        assert_eq!(summaries(&s.get("/ical/folder/One.ics", "alice").text()), ["Secret"]);
        assert_eq!(codes(), [404, 200]);
        let name = |name: &str| s.path("users/alice").join(name);
        for (from, to) in [("One", "Aside"), ("Other", "One"), ("Aside", "Other")] {
            fs::rename(name(from), name(to)).expect("moved");
        }
        eventually("the rights are the other's", || {
            let seen = s.get("/ical/~alice/folder/One.ics", "bob").send().text();
            assert!(!seen.contains("Secret"), "{watch}: {seen}");
            (codes() == [200, 404]).then_some(())
        });
        shows(&s, "/ical/folder/One.ics", &[]);
        shows(&s, "/ical/folder/Other.ics", &["Secret"]);
    }
}

#[test]
fn a_split_of_a_dropped_in_file_keeps_an_edit_that_was_made_meanwhile() {
    let s = Server::start();
    let address = "/ical/folder/Odd/Dropped.ics";
    let (text, etag) = (s.get(address, "bob").text(), s.get(address, "bob").etag());
    let file = "users/bob/Odd/Dropped/export.ics";
    s.write(file, s.read(file).replace("Dropped in 05", "Edited by vim"));
    let body = text.replace("Dropped in 03", "Changed");
    s.put(address, "bob", body).header("If", &format!("([{etag}])")).status(204);
    let text = s.get(address, "bob").text();
    assert_eq!(summaries(&text), ["Changed", "Dropped in 04", "Edited by vim"]);
    assert_eq!(uids(&text).len(), 3);
}

#[test]
fn a_file_that_cannot_be_read_holds_up_no_save_and_no_rights() {
    let s = Server::start();
    let address = "/ical/folder/New.ics";
    let both = |summary: &str| plain(&[&event("a", summary, &[]), &event("b", summary, &[])]);
    s.put(address, "alice", both("old")).status(201);
    let file = s.file_with("users/alice/New", "UID:a");
    // Longer than any calendar may be; nothing of it takes room on the disk.
    let name = format!("users/alice/New/{file}");
    std::fs::File::options()
        .write(true)
        .open(s.path(&name))
        .and_then(|file| file.set_len(65 << 20))
        .expect("longer");
    assert_eq!(summaries(&s.get(address, "alice").text()), ["old", "old"]);
    s.put(address, "alice", both("new")).header("If-Match", &s.get(address, "alice").etag()).status(204);
    s.put(address, "alice", both("newer")).header("If-Match", &s.get(address, "alice").etag()).status(204);
    s.settle();
    assert!(s.read(&name).contains("SUMMARY:newer"), "ours took its place");
    s.write("users/alice/New/.acl.json", "{\"user:bob\": \"viewer\"}");
    eventually("bob is in", || {
        (s.get("/ical/~alice/folder/New.ics", "bob").send().code == 200).then_some(())
    });
    s.write("users/alice/New/.acl.json", "{}");
    eventually("bob is out", || {
        (s.get("/ical/~alice/folder/New.ics", "bob").send().code == 404).then_some(())
    });
}

#[test]
fn a_name_that_something_else_has_is_not_used_for_an_item() {
    let s = Server::start();
    let address = "/ical/folder/New.ics";
    s.put(address, "alice", plain(&[&event("a", "A", &[])])).status(201);
    let file = s.file_with("users/alice/New", "UID:a");
    s.settle();
    s.remove(&format!("users/alice/New/{file}"));
    std::fs::create_dir(s.path(&format!("users/alice/New/{file}"))).expect("a directory");
    eventually("it is gone", || s.get(address, "alice").text().contains("UID:a").eq(&false).then_some(()));
    s.put(address, "alice", plain(&[&event("a", "again", &[])])).status(204);
    assert_eq!(summaries(&s.get(address, "alice").text()), ["again"]);
}

#[test]
fn saves_go_on_after_a_backup_was_put_back_without_what_is_staged_in() {
    let s = Server::start();
    for round in ["one", "other"] {
        // As `rsync --delete` does.
        fs::remove_dir_all(s.path(".tmp")).expect("removed");
        s.put(ADDRESS, "alice", plain(&[&event(round, round, &[])])).status(204);
    }
    fs::remove_dir_all(s.path(".tmp")).expect("removed");
    s.get("/ical/main.ics", "dave").status(200);
    shows(&s, ADDRESS, &["Team lunch", "one", "other"]);
    assert!(!s.is_staging());
}

#[test]
fn where_another_directory_is_in_the_place_of_the_data_nothing_is_shown_or_saved() {
    let s = Server::start();
    let save = |uid: &str| s.put(ADDRESS, "alice", plain(&[&event(uid, uid, &[])])).send().code;
    assert_eq!(save("first"), 204);
    let [data, old, backup] = ["data", "data.old", "backup"].map(|name| s.path("").with_file_name(name));
    crate::server::copy(&data, &backup);
    fs::rename(&data, &old).expect("moved aside");
    // Nothing is there, then something else is.
    assert_eq!(save("second"), 503);
    fs::rename(&backup, &data).expect("put back");
    assert_eq!(save("third"), 503);
    let first_login = s.get("/ical/main.ics", "dave").send().code;
    assert_eq!(first_login, 503);
    eventually("nothing is shown", || (s.get(ADDRESS, "alice").send().code == 503).then_some(()));
    fs::rename(&data, &backup).expect("moved aside");
    fs::rename(&old, &data).expect("put back");
    eventually("it is saved again", || (save("fourth") == 204).then_some(()));
    shows(&s, ADDRESS, &["Team lunch", "first", "fourth"]);
    assert!(!s.path("users/dave").exists());
    assert_eq!(s.log().matches("is not where it was").count(), 1, "{}", s.log());
}
