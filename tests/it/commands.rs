//! The commands beside a running server, and how `serve` refuses to start.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::calendar::{event, plain};
use crate::mounted::Mounted;
use crate::server::{Server, copy, eventually, write};

/// Runs the real binary.
fn kalends(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kalends"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the command")
}

/// Runs `kalends acl` on the server's tree, and gives its output if it succeeds.
fn acl(s: &Server, words: &[&str]) -> Result<String, String> {
    let data = s.path("");
    let output = kalends(&[&["acl", "--data", data.to_str().expect("UTF-8")], words].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn acl_set_counts_for_a_running_server_and_below_the_place() {
    let s = Server::start();
    let address = "/ical/~alice/folder/Work/Archive/2025.ics";
    s.get(address, "carol").status(404);
    acl(&s, &["set", "alice/Work", "user:carol", "viewer"]).expect("it is set");
    eventually("carol reads", || (s.get(address, "carol").send().code == 200).then_some(()));
    acl(&s, &["set", "alice/Work", "user:carol", "unset"]).expect("it is unset");
    eventually("carol reads no more", || (s.get(address, "carol").send().code == 404).then_some(()));
    // What is nearer is not touched.
    s.get("/ical/~alice/folder/Work/Projects.ics", "bob").status(200);
}

#[test]
fn a_command_makes_nothing_in_the_cache_which_is_the_servers() {
    let (data, cache) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data-example"), data.path());
    let data = data.path().to_str().expect("UTF-8");
    for words in [&["show", "alice/Work"][..], &["set", "alice/Work", "user:carol", "viewer"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kalends"));
        command.args(["acl", "--data", data]).args(words).stdin(Stdio::null());
        let output = command.env("XDG_CACHE_HOME", cache.path()).env_remove("CACHE_DIRECTORY").output();
        let output = output.expect("the command");
        assert!(output.status.success(), "{words:?}: {output:?}");
        let made = std::fs::read_dir(cache.path()).expect("the cache").count();
        assert_eq!(made, 0, "{words:?}");
    }
}

#[test]
fn what_root_makes_belongs_to_whom_the_tree_belongs() {
    const SERVICE: u32 = 12_345;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root gives files away");
        return;
    }
    let mut s = Server::start();
    let address = "/ical/folder/Deep/New.ics";
    s.put(address, "alice", plain(&[&event("a", "old", &[])])).status(201);
    let etag = s.get(address, "alice").etag();
    s.put(address, "alice", plain(&[&event("a", "new", &[])])).header("If-Match", &etag).status(204);
    s.stop(Signal::TERM);
    std::fs::remove_file(s.path("users/alice/.lock")).expect("removed");
    let all = || walkdir::WalkDir::new(s.path("")).into_iter().map(|entry| entry.expect("an entry"));
    for entry in all() {
        std::os::unix::fs::lchown(entry.path(), Some(SERVICE), Some(SERVICE)).expect("given away");
    }
    let data = s.path("");
    for words in [
        "acl set alice/Deep/New user:bob viewer",
        "link add alice alice/Deep/New viewer",
        "restore alice/Deep/New",
        "acl set bob user:alice viewer",
    ] {
        let words: Vec<&str> = words.split(' ').chain(["--data", data.to_str().expect("UTF-8")]).collect();
        let output = kalends(&words);
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    let is_roots = |entry: &walkdir::DirEntry| entry.metadata().expect("its owner").uid() != SERVICE;
    let roots: Vec<_> = all().filter(is_roots).map(|entry| entry.into_path()).collect();
    assert_eq!(roots, Vec::<std::path::PathBuf>::new());
    assert!(s.texts("users/alice/Deep/New").concat().contains("SUMMARY:old"));
}

#[test]
fn acl_set_on_a_place_without_a_file_keeps_what_was_inherited() {
    let s = Server::start();
    acl(&s, &["set", "alice/Calendar", "user:carol", "viewer"]).expect("it is set");
    let text = s.read("users/alice/Calendar/.acl.json");
    assert!(
        text.contains("\"authenticated\": \"freebusy\"") && text.contains("\"user:carol\": \"viewer\""),
        "{text}"
    );
}

#[test]
fn acl_set_spells_users_as_their_logins_are_and_warns_of_who_is_not_there() {
    let s = Server::start();
    let data = s.path("");
    let set = |subject: &str, role: &str| {
        let data = data.to_str().expect("UTF-8");
        let output = kalends(&["acl", "--data", data, "set", "alice/Work", subject, role]);
        assert!(output.status.success(), "{subject}: {output:?}");
        (s.read("users/alice/Work/.acl.json"), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (text, said) = set("user:carol@example.org", "none");
    assert!(
        text.contains("\"user:carol\": \"none\"") && !text.contains('@') && said.is_empty(),
        "{text}{said}"
    );
    let (text, _) = set("user:carol@example.org", "unset");
    assert!(!text.contains("carol"), "{text}");
    for subject in ["user:zoe", "user:carol@elsewhere.org", "group:nobodys"] {
        let (text, said) = set(subject, "viewer");
        assert!(
            text.contains(subject) && said.contains(&format!("there is no {subject} now")),
            "{text}{said}"
        );
    }
    s.write("users/alice/Work/.acl.json", "{\"user:carol@example.org\": \"none\"}");
    let (text, said) = set("user:carol@example.org", "unset");
    assert!(!text.contains("carol") && said.is_empty(), "{text}{said}");
}

#[test]
fn acl_set_refuses_what_it_cannot_understand_and_writes_nothing() {
    let s = Server::start();
    let before = s.tree("users");
    for words in [
        ["alice/Work", "user:carol", "reader"],
        ["alice/Work", "carol", "viewer"],
        ["alice/Nothing/Here", "user:carol", "viewer"],
        ["alice/../bob", "user:carol", "viewer"],
        // Whose rights say something that nobody understands.
        ["bob/Odd/Typo", "user:carol", "viewer"],
    ] {
        let error = acl(&s, &[&["set"][..], &words].concat()).expect_err("it is refused");
        assert!(!error.contains("panicked"), "{words:?}: {error}");
    }
    assert!(s.tree("users") == before);
}

#[test]
fn rights_that_are_set_at_once_are_all_set() {
    let s = Server::start();
    for (place, file) in [("/", "users/.acl.json"), ("alice/Work", "users/alice/Work/.acl.json")] {
        let users: Vec<String> = (0..12).map(|n| format!("user:u{n}")).collect();
        std::thread::scope(|scope| {
            for user in &users {
                scope.spawn(|| acl(&s, &["set", place, user, "viewer"]).expect("it is set"));
            }
        });
        let text = s.read(file);
        let lost: Vec<_> = users.iter().filter(|user| !text.contains(&format!("{user:?}"))).collect();
        assert!(lost.is_empty(), "{place}: {lost:?}");
    }
}

/// A copy of a server's tree, and what shows it read-only.
struct Snapshot {
    _mounted: Mounted,
    scratch: tempfile::TempDir,
}

impl Snapshot {
    /// Nothing where this process may not mount.
    fn of(s: &Server) -> Option<Snapshot> {
        s.put("/ical/folder/Deep/New.ics", "alice", plain(&[&event("a", "old", &[])])).status(201);
        s.put("/ical/folder/Deep/New.ics", "alice", plain(&[&event("a", "new", &[])])).status(204);
        s.settle();
        let scratch = tempfile::tempdir().expect("a directory");
        let (copy, shown) = (scratch.path().join("copy"), scratch.path().join("snapshot"));
        let copied = Command::new("cp").arg("-a").arg(s.path("")).arg(&copy).status();
        assert!(copied.is_ok_and(|status| status.success()));
        write(&copy, ".tmp/1-dead/lock", "");
        write(&copy, ".journal/0-torn", "half");
        std::fs::create_dir(&shown).expect("a directory");
        let mounted = Mounted::by(&shown, &["-o", "bind,ro", copy.to_str().expect("UTF-8")]);
        mounted.map(|_mounted| Snapshot { _mounted, scratch })
    }

    fn copy(&self) -> PathBuf {
        self.scratch.path().join("copy")
    }

    /// Whether a command does it, and what it says is wrong.
    fn has(&self, words: &str) -> (bool, String) {
        let shown = self.scratch.path().join("snapshot");
        let words = words.replace("SNAPSHOT", shown.to_str().expect("UTF-8"));
        let output = kalends(&words.split(' ').collect::<Vec<_>>());
        (output.status.success(), String::from_utf8(output.stderr).expect("UTF-8"))
    }
}

const LOOKS_INTO_ALICES_FILES: [&str; 3] = [
    "history alice --data SNAPSHOT",
    "diff alice/Deep/New --data SNAPSHOT",
    "freebusy alice --why --data SNAPSHOT",
];
const LOOKS_ELSEWHERE: [&str; 4] = [
    "acl show alice --data SNAPSHOT",
    "acl why alice bob --data SNAPSHOT",
    "link list --data SNAPSHOT",
    "freebusy carol --data SNAPSHOT",
];

#[test]
fn a_read_only_tree_can_be_looked_into() {
    let s = Server::start();
    let Some(snapshot) = Snapshot::of(&s) else { return };
    let read = || {
        for words in LOOKS_INTO_ALICES_FILES.iter().chain(&LOOKS_ELSEWHERE) {
            assert_eq!(snapshot.has(words), (true, String::new()), "{words}");
        }
    };
    read();
    std::fs::remove_file(snapshot.copy().join("users/alice/.lock")).expect("removed");
    read();
}

#[test]
fn who_would_write_to_a_read_only_tree_is_told_that_it_is() {
    let s = Server::start();
    let Some(snapshot) = Snapshot::of(&s) else { return };
    for words in [
        "acl set / user:bob viewer --data SNAPSHOT",
        "acl set alice user:bob viewer --data SNAPSHOT",
        "link add alice alice viewer --data SNAPSHOT",
        "restore alice/Deep/New --data SNAPSHOT",
        "check --fix SNAPSHOT",
        "serve SNAPSHOT --listen 127.0.0.1:0",
    ] {
        let (is_done, said) = snapshot.has(words);
        let is_told = said.contains("/snapshot") && said.contains("Read-only file system");
        assert!(!is_done && is_told, "{words}: {said}");
    }
}

#[test]
fn a_home_whose_save_a_read_only_tree_has_caught_is_not_looked_into() {
    let s = Server::start();
    let Some(snapshot) = Snapshot::of(&s) else { return };
    let alice = blake3::hash(b"users/alice").to_hex();
    write(&snapshot.copy(), &format!(".journal/{}-20261101T000000.000000Z-1", &alice[..12]), "unfinished");
    for words in LOOKS_INTO_ALICES_FILES {
        let (is_done, said) = snapshot.has(words);
        assert!(!is_done && said.contains("ask the copy") && said.lines().count() == 1, "{words}: {said}");
    }
    for words in LOOKS_ELSEWHERE {
        assert_eq!(snapshot.has(words), (true, String::new()), "{words}");
    }
}

#[test]
fn acl_says_that_a_place_is_not_there() {
    let s = Server::start();
    for words in [&["show", "nobody/here"][..], &["set", "nobody/here", "user:bob", "viewer"]] {
        assert_eq!(acl(&s, words), Err("kalends: nobody/here: no such place\n".to_owned()));
    }
    for (words, there) in [
        (&["show", "alice/Work/Projetcs"][..], false),
        (&["why", "alice/Work/Projetcs", "bob"], false),
        (&["show", "alice/Work/Projects"], true),
        (&["why", "alice/Work", "bob"], true),
        (&["show", "alice"], true),
    ] {
        let text = acl(&s, words).expect("rights that were inherited");
        assert_ne!(text.contains("alice/Work/Projetcs is not there"), there, "{words:?}: {text}");
    }
}

#[test]
fn acl_why_names_the_file_and_the_entry_that_decided() {
    let s = Server::start();
    for (place, user, parts) in [
        ("alice/Work/Projects", "bob", ["editor", "user:bob", "Work/Projects/.acl.json"]),
        ("alice/Team", "bob", ["contributor", "group:staff", "Team/.acl.json"]),
        ("alice/Calendar", "carol", ["freebusy", "authenticated", "users/.acl.json"]),
        ("carol/Rights/Denied group", "dave", ["none", "group:interns", "Denied group/.acl.json"]),
        ("carol/Rights/Denied member", "bob", ["none", "user:bob", "Denied member/.acl.json"]),
        ("public/Holidays", "alice", ["viewer", "anyone", "public/.acl.json"]),
        ("alice/Work", "alice", ["master", "alice", "own"]),
        ("bob/Odd/Typo", "alice", ["none", "editr", "line 2"]),
    ] {
        let text = acl(&s, &["why", place, user]).expect("an answer");
        for part in parts {
            assert!(text.contains(part), "{place} {user}: {part} is not in {text}");
        }
    }
    let text = acl(&s, &["why", "public/Clubs/Board"]).expect("an answer for nobody");
    assert!(text.contains("none"), "{text}");
    acl(&s, &["why", "alice/Work", "nobody-of-this-name"]).expect_err("there is no such user");
}

#[test]
fn acl_show_prints_the_rights_and_the_file() {
    let s = Server::start();
    let text = acl(&s, &["show", "alice/Work/Projects"]).expect("an answer");
    assert!(text.contains("user:bob: editor") && text.contains("Work/Projects/.acl.json"), "{text}");
    let text = acl(&s, &["show", "bob/Odd/Typo"]).expect("an answer");
    assert!(text.contains("closed") && text.contains("line 2"), "{text}");
}

/// What `serve` says when it does not start with this configuration.
fn refusal(config: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "kalends.toml", config);
    let data = directory.path().to_str().expect("UTF-8");
    let output = kalends(&["serve", data, "--listen", "127.0.0.1:0"]);
    assert!(!output.status.success(), "{config}: it started");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!text.contains("panicked"), "{config}: {text}");
    text
}

#[test]
fn serve_names_file_line_and_key_of_a_wrong_setting() {
    for (config, parts) in [
        ("colour = 1\n", ["kalends.toml:1:", "colour"]),
        ("\n[auth]\nmetod = \"file\"\n", ["kalends.toml:3:", "metod"]),
        ("[auth]\ncache_seconds = 90000\n", ["kalends.toml:2:", "auth.cache_seconds"]),
        ("base_url = \"cal.example.org\"\n", ["kalends.toml:1:", "base_url"]),
        ("[auth]\nmethod = \"file\"\nfile = \"missing\"\n", ["missing", "No such file"]),
    ] {
        let text = refusal(config);
        for part in parts {
            assert!(text.contains(part), "{config}: {part} is not in {text}");
        }
    }
}

#[test]
fn serve_refuses_a_data_directory_that_is_not_there() {
    let output = kalends(&["serve", "/nowhere/at/all", "--listen", "127.0.0.1:0"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at/all"), "{output:?}");
    assert!(!Path::new("/nowhere").exists());
}

#[test]
fn two_servers_may_serve_one_tree() {
    let s = Server::start();
    let cache = tempfile::tempdir().expect("a directory");
    let mut other = Command::new(env!("CARGO_BIN_EXE_kalends"))
        .arg("serve")
        .arg(s.path(""))
        .args(["--listen", "127.0.0.1:0"])
        .env("XDG_CACHE_HOME", cache.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a second server");
    let mut stdout = std::io::BufReader::new(other.stdout.take().expect("a pipe"));
    let address = crate::server::announced(&mut stdout).expect("an address");
    let there = |address: &str| {
        let request =
            s.client.get(format!("http://{address}/ical/main.ics")).basic_auth("alice", Some("alice"));
        request.send().and_then(|response| response.text()).expect("an answer")
    };
    for (number, ours) in [(1, true), (2, false), (3, true), (4, false)] {
        let summary = format!("Event {number}");
        let body = crate::calendar::plain(&[&crate::calendar::event(&summary, &summary, &[])]);
        let target = if ours { s.address().to_owned() } else { address.clone() };
        let put = s.client.put(format!("http://{target}/ical/main.ics")).basic_auth("alice", Some("alice"));
        let code = put.header("Content-Type", "text/calendar").body(body).send().expect("an answer").status();
        assert_eq!(code.as_u16(), 204);
        let reader = if ours { address.clone() } else { s.address().to_owned() };
        eventually("the other one shows it", || there(&reader).contains(&summary).then_some(()));
    }
    other.kill().expect("our child");
    other.wait().expect("an ended process");
}

#[test]
fn a_server_that_cannot_check_logins_leaves_nothing_where_it_was_pointed_at() {
    let (data, scratch) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let config = scratch.path().join("kalends.toml");
    std::fs::write(&config, "[auth]\nmethod = \"file\"\nfile = \"missing\"\n").expect("write");
    let output = Command::new(env!("CARGO_BIN_EXE_kalends"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .args([&config, data.path()])
        .env("XDG_CACHE_HOME", scratch.path().join("cache"))
        .stdin(Stdio::null())
        .output()
        .expect("the command");
    assert!(!output.status.success());
    assert_eq!(std::fs::read_dir(data.path()).expect("a directory").count(), 0);
}

#[test]
fn a_symlink_in_the_place_of_a_directory_is_named_as_what_it_is() {
    let (data, disk) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let path = data.path().to_str().expect("UTF-8");
    std::os::unix::fs::symlink(disk.path(), data.path().join("users")).expect("symlink");
    for words in [["acl", "show", "/", "--data", path].as_slice(), &["check", path]] {
        let said = String::from_utf8(kalends(words).stderr).expect("UTF-8");
        assert!(
            said.contains("users") && said.contains("symlinks in the data directory are not followed"),
            "{said}"
        );
    }
    std::fs::remove_file(data.path().join("users")).expect("removed");
    let _ = std::fs::remove_dir_all(data.path().join(".tmp"));
    std::fs::write(data.path().join(".tmp"), "").expect("write");
    let set = kalends(&["acl", "set", "/", "user:bob", "viewer", "--data", path]);
    let said = String::from_utf8(set.stderr).expect("UTF-8");
    assert!(said.contains(".tmp: no directory"), "{said}");
}

#[test]
fn man_makes_the_directory_and_writes_a_page_for_each_command() {
    let scratch = tempfile::tempdir().expect("a directory");
    let pages = scratch.path().join("share/man1");
    let output = kalends(&["man", pages.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{output:?}");
    for page in ["kalends.1", "kalends-serve.1", "kalends-link-list.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
    let check = std::fs::read_to_string(pages.join("kalends-check.1")).expect("a page");
    assert!(check.contains("\n.SH \"EXIT STATUS\"\nExit codes: 0 "), "{check}");
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let s = Server::start();
    s.put("/ical/folder/Copy.ics", "alice", s.read("public/Holidays/new-year.ics")).status(201);
    let data = s.path("");
    let data = data.to_str().expect("UTF-8");
    for words in [
        &["freebusy", "--data", data, "alice", "--why"][..],
        &["acl", "--data", data, "show", "alice/Work/Projects"],
        &["acl", "--data", data, "why", "alice/Work/Projects", "bob"],
        &["link", "--data", data, "add", "alice", "alice/Team", "viewer"],
        &["link", "--data", data, "list"],
        &["history", "--data", data, "alice"],
        &["check", data],
    ] {
        let (read, write) = std::io::pipe().expect("a pipe");
        drop(read);
        let output = Command::new(env!("CARGO_BIN_EXE_kalends"))
            .args(words)
            .env("XDG_CACHE_HOME", s.path("../cache"))
            .stdin(Stdio::null())
            .stdout(write)
            .stderr(Stdio::piped())
            .output()
            .expect("the command");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.is_empty(), "{words:?}: {said}");
        // A check that nobody has read to its end says nothing of the tree.
        let code = if words[0] == "check" { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{words:?}");
    }
}
