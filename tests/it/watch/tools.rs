//! The tools that people use on the files of a calendar.

use std::fs;

use super::{ADDRESS, DIRECTORY, settle, shell, shows, summary, watching};
use crate::calendar::{components, summaries};
use crate::need::need;
use crate::server::eventually;

#[test]
fn edits_with_the_tools_that_people_use_are_noticed() {
    let s = watching();
    for (package, program, line) in [
        ("sed", "sed", "sed -i s/Before/After/ Team/lunch.ics"),
        ("coreutils", "cp", "sed s/Before/After/ Team/lunch.ics > ../../edited; cp ../../edited Team/lunch.ics; rm ../../edited"),
        ("coreutils", "mv", "sed s/Before/After/ Team/lunch.ics > Team/.new; mv Team/.new Team/lunch.ics"),
        ("dash", "sh", "text=$(sed s/Before/After/ Team/lunch.ics); printf '%s\\n' \"$text\" > Team/lunch.ics"),
        ("vim", "vim", "vim -u NONE -es -N '+%s/Before/After/' '+wq' Team/lunch.ics < /dev/null"),
        ("vim", "vim", "vim -u NONE -es -N '+set backup writebackup backupcopy=yes' '+%s/Before/After/' '+wq' Team/lunch.ics < /dev/null; rm -f Team/*~"),
        ("rsync", "rsync", "mkdir .from; sed s/Before/After/ Team/lunch.ics > .from/lunch.ics; rsync -rc .from/ Team/; rm -r .from"),
        ("rsync", "rsync", "mkdir .from; sed s/Before/After/ Team/lunch.ics > .from/lunch.ics; rsync -rc --inplace .from/ Team/; rm -r .from"),
        ("tar", "tar", "mkdir .from; sed s/Before/After/ Team/lunch.ics > .from/lunch.ics; tar c -C .from lunch.ics | tar x -C Team; rm -r .from"),
        ("python3", "python3", "python3 -c 'import mmap,re
f=open(\"Team/lunch.ics\",\"r+b\"); m=mmap.mmap(f.fileno(),0); at=m.find(b\"Before\"); m[at:at+6]=b\"After \"; m.flush(); m.close(); f.close()'"),
    ] {
        if !need(package, program) {
            continue;
        }
        s.write(&format!("{DIRECTORY}/lunch.ics"), summary("Before"));
        shows(&s, ADDRESS, &["Before"]);
        let etag = s.get(ADDRESS, "alice").etag();
        shell(&s, line);
        eventually(line, || {
            let answer = s.get(ADDRESS, "alice").status(200);
            let shown = summaries(&answer.text());
            (shown.len() == 1 && shown[0].starts_with("After") && answer.etag() != etag).then_some(())
        });
    }
}

#[test]
fn what_khal_and_todoman_make_is_noticed() {
    let s = watching();
    settle(&s, "/ical/main.ics", "alice", "users/alice/Tasks");
    let home = s.path("users/alice");
    let config = |name: &str, text: String| {
        let file = s.path(name);
        fs::write(&file, text).expect("a configuration");
        file
    };
    if need("khal", "khal") {
        let text = format!(
            "[calendars]\n[[team]]\npath = {}\n[locale]\ntimeformat = %H:%M\ndateformat = %Y-%m-%d\nlongdateformat = %Y-%m-%d\ndatetimeformat = %Y-%m-%d %H:%M\nlongdatetimeformat = %Y-%m-%d %H:%M\n[sqlite]\npath = {}\n",
            home.join("Team").display(),
            s.path("khal.db").display(),
        );
        let file = config("khal.conf", text);
        shell(&s, &format!("khal -c {} new -a team 2026-12-24 18:00 19:00 Carols", file.display()));
        shows(&s, ADDRESS, &["Carols", "Team lunch"]);
    }
    if need("todoman", "todoman") {
        let text = format!(
            "path = \"{}/*\"\ndate_format = \"%Y-%m-%d\"\ntime_format = \"%H:%M\"\ndefault_list = \"Alice: to do\"\ncache_path = \"{}\"\n",
            home.display(),
            s.path("todo.db").display(),
        );
        let file = config("todo.py", text);
        shell(&s, &format!("todoman --config {} new -l 'Alice: to do' 'Buy string'", file.display()));
        let text = || s.get("/ical/main.ics", "alice").text();
        eventually("the task", || text().contains("SUMMARY:Buy string").then_some(()));
        let line = format!(
            "todoman --config {0} --porcelain list | python3 -c 'import json,sys; print(*[t[\"id\"] for t in json.load(sys.stdin) if t[\"summary\"]==\"Buy string\"])'",
            file.display()
        );
        shell(&s, &format!("todoman --config {} done $({line})", file.display()));
        let done = |text: &str| {
            components(text).iter().any(|part| part.contains("Buy string") && part.contains("COMPLETED"))
        };
        eventually("it is done", || done(&text()).then_some(()));
    }
}
