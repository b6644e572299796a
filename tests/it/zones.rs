//! Zones that are defined in the calendar itself: their definitions are as much a part of what is saved as the items.

use crate::calendar::plain;
use crate::server::{Server, eventually};

const ADDRESS: &str = "/ical/folder/Zones.ics";
const DIRECTORY: &str = "users/alice/Zones";

fn zone(offset: &str) -> String {
    format!(
        "BEGIN:VTIMEZONE\r\nTZID:Mars/Base\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n\
         TZOFFSETFROM:{offset}\r\nTZOFFSETTO:{offset}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
    )
}

fn zoned(uid: &str) -> String {
    format!(
        "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261001T080000Z\r\nDTSTART;TZID=Mars/Base:20261201T100000\r\n\
         SUMMARY:On {uid}\r\nEND:VEVENT\r\n"
    )
}

#[test]
fn a_change_of_the_definition_alone_is_saved() {
    let guards = [Some("If-Match"), Some("If"), Some("Kalends-Merge"), None];
    for guard in guards {
        let s = Server::start();
        s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
        let before = s.get(ADDRESS, "alice").etag();
        let put = s.put(ADDRESS, "alice", plain(&[&zone("+0300"), &zoned("a")]));
        let put = match guard {
            Some("Kalends-Merge") => put.header("Kalends-Merge", "replace"),
            Some("If") => put.header("If", &format!("([{before}])")),
            Some(guard) => put.header(guard, &before),
            None => put,
        };
        let after = put.status(204).etag();
        let file = s.read(&format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, "UID:a")));
        assert!(file.contains("TZOFFSETTO:+0300") && !file.contains("+0100"), "{guard:?}: {file}");
        assert_ne!(before, after, "{guard:?}");
        let served = s.get(ADDRESS, "alice");
        let text = served.text();
        assert!(text.contains("TZOFFSETTO:+0300") && !text.contains("+0100"), "{guard:?}: {text}");
        // The tag stands for what was sent: it comes back without an edit, and is the base of the next one.
        assert_eq!(s.get(ADDRESS, "alice").etag(), after, "{guard:?}");
        let tree = s.tree(DIRECTORY);
        s.put(ADDRESS, "alice", text).header("If", &format!("([{after}])")).status(204);
        assert!(s.tree(DIRECTORY) == tree, "{guard:?}");
    }
}

#[test]
fn what_somebody_else_changes_of_a_definition_meanwhile_stays() {
    let s = Server::start();
    s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
    let (seen, old) = (s.get(ADDRESS, "alice").etag(), s.get(ADDRESS, "alice").text());
    s.put(ADDRESS, "alice", plain(&[&zone("+0300"), &zoned("a")])).header("If-Match", &seen).status(204);
    let with_new = old.replace("END:VCALENDAR", &format!("{}END:VCALENDAR", zoned("b")));
    s.put(ADDRESS, "alice", with_new).header("If", &format!("([{seen}])")).status(204);
    for (uid, offset) in [("a", "+0300"), ("b", "+0100")] {
        let file = s.read(&format!("{DIRECTORY}/{}", s.file_with(DIRECTORY, &format!("UID:{uid}"))));
        assert!(file.contains(&format!("TZOFFSETTO:{offset}")), "{file}");
    }
}

#[test]
fn an_item_that_borrows_its_definition_comes_back_unedited() {
    let s = Server::start();
    s.put(ADDRESS, "alice", plain(&[&zone("+0100"), &zoned("a")])).status(201);
    s.write(&format!("{DIRECTORY}/b.ics"), plain(&[&zoned("b")]));
    let text = eventually("the second item is served", || {
        let text = s.get(ADDRESS, "alice").text();
        text.contains("UID:b").then_some(text)
    });
    assert_eq!(text.matches("BEGIN:VTIMEZONE").count(), 1, "{text}");
    let (tree, etag) = (s.tree(DIRECTORY), s.get(ADDRESS, "alice").etag());
    for body in
        [text.clone(), text.replace("UID:b\r\nDTSTAMP:20261001T080000Z", "DTSTAMP:20261002T080000Z\r\nUID:b")]
    {
        for guard in ["If-Match", "If"] {
            let value = if guard == "If" { format!("([{etag}])") } else { etag.clone() };
            assert_eq!(s.put(ADDRESS, "alice", body.clone()).header(guard, &value).status(204).etag(), etag);
            assert!(s.tree(DIRECTORY) == tree);
        }
        s.put(ADDRESS, "alice", body).header("Kalends-Merge", "replace").status(204);
        assert!(s.tree(DIRECTORY) == tree);
    }
    // With another definition it is the client's: for both.
    s.put(ADDRESS, "alice", text.replace("+0100", "+0300")).header("If-Match", &etag).status(204);
    assert!(s.texts(DIRECTORY).iter().filter(|text| text.contains("TZOFFSETTO:+0300")).count() == 2);
}
