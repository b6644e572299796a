//! `method = "file"`: the password and group files, what is remembered, and the throttle.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kalends::acl::Principal;
use kalends::auth::Authenticator;
use kalends::config::{Config, Method};
use kalends::error::Error;

use super::{answer, answers, basic, groups, login, peer, remembered, run};

/// A directory with a password file for alice and bob, and a group file.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        let files = Files { directory: tempfile::tempdir().expect("a directory") };
        files.write(&[("alice", "wonderland"), ("bob", "builder")]);
        std::fs::write(files.path("groups"), "staff: alice bob\nboard: alice\n").expect("written");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, users: &[(&str, &str)]) {
        let line = |(user, password): &(&str, &str)| {
            format!("{user}:{}\n", bcrypt::hash(password, 4).expect("a hash"))
        };
        std::fs::write(self.path("users"), users.iter().map(line).collect::<String>()).expect("written");
    }

    fn config(&self) -> Config {
        let mut config = Config { domain: Some("example.org".to_owned()), ..Config::default() };
        config.auth.method = Method::File;
        config.auth.file = Some(self.path("users"));
        config.auth.groups = Some(self.path("groups"));
        config
    }

    fn open(&self) -> Authenticator {
        Authenticator::new(&self.config()).expect("good files")
    }
}

#[test]
fn a_good_login_is_a_user_with_groups() {
    let files = Files::new();
    let auth = files.open();
    let alice = login(&auth, "alice", "wonderland").expect("let in");
    assert_eq!(alice.user(), Some("alice"));
    assert_eq!(groups(&alice), ["board", "staff"]);
    assert_eq!(groups(&login(&auth, "bob", "builder").expect("let in")), ["staff"]);
    assert_eq!(auth.users(), Some(vec!["alice".to_owned(), "bob".to_owned()]));
}

#[test]
fn who_is_let_in() {
    let files = Files::new();
    let auth = files.open();
    let long = "x".repeat(1025);
    let table = [
        ("alice", "wonderland", "alice"),
        ("alice@example.org", "wonderland", "alice"),
        ("alice@EXAMPLE.ORG", "wonderland", "alice"),
        ("alice@elsewhere.org", "wonderland", "refused"),
        ("alice", "builder", "refused"),
        ("alice", "", "refused"),
        ("alice", &long, "refused"),
        ("Alice", "wonderland", "refused"),
        ("carol", "wonderland", "refused"),
        ("", "wonderland", "refused"),
        ("../alice", "wonderland", "refused"),
        ("~alice", "wonderland", "refused"),
        (" ", "", "refused"),
    ];
    let logins: Vec<_> = table.iter().map(|(user, password, _)| (*user, *password)).collect();
    for ((user, password, expected), found) in table.iter().zip(answers(&auth, &logins)) {
        assert_eq!(found, *expected, "{user:?} {password:?}");
    }
}

#[test]
fn a_header_that_is_no_basic_login_is_nobodys() {
    let files = Files::new();
    let auth = files.open();
    for value in [&b"Bearer eyJhbGciOi"[..], b"Basic", b"Basic bm8gY29sb24=", b"\xff\xff", b""] {
        let who = run(auth.login(value, None, |_| true)).expect("not refused");
        assert_eq!(*who, Principal::Nobody, "{value:?}");
        assert!(auth.remembered(value).is_none());
    }
}

#[test]
fn only_good_logins_are_remembered() {
    let files = Files::new();
    let auth = files.open();
    assert!(!remembered(&auth, "alice", "wonderland"));
    assert_eq!(answers(&auth, &[("alice", "wonderland"), ("alice", "wrong")]), ["alice", "refused"]);
    assert!(remembered(&auth, "alice", "wonderland"));
    assert!(!remembered(&auth, "alice", "wrong"));
}

#[test]
fn a_changed_password_ends_what_was_remembered() {
    let files = Files::new();
    let auth = files.open();
    login(&auth, "alice", "wonderland").expect("let in");
    login(&auth, "bob", "builder").expect("let in");
    files.write(&[("alice", "looking glass"), ("bob", "builder")]);
    assert_eq!(answers(&auth, &[("alice", "wonderland")]), ["refused"]);
    assert!(!remembered(&auth, "alice", "wonderland") && !remembered(&auth, "bob", "builder"));
    assert_eq!(answer(login(&auth, "alice", "looking glass")), "alice");
}

#[test]
fn a_change_is_noticed_also_when_all_logins_are_remembered_ones() {
    let files = Files::new();
    let auth = files.open();
    login(&auth, "alice", "wonderland").expect("let in");
    std::fs::write(files.path("groups"), "board: bob\n").expect("written");
    // The files are looked at once a second.
    std::thread::sleep(Duration::from_millis(1100));
    assert!(!remembered(&auth, "alice", "wonderland"));
    assert!(groups(&login(&auth, "alice", "wonderland").expect("let in")).is_empty());
}

#[test]
fn a_broken_edit_locks_nobody_out() {
    let files = Files::new();
    let auth = files.open();
    std::fs::write(files.path("users"), "alice:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n").expect("written");
    assert_eq!(answer(login(&auth, "alice", "wonderland")), "alice");
    files.write(&[("bob", "builder")]);
    assert_eq!(answers(&auth, &[("alice", "wonderland"), ("bob", "builder")]), ["refused", "bob"]);
}

#[test]
fn a_file_that_is_wrong_at_the_start_is_named_with_its_line() {
    let files = Files::new();
    for (name, text, says) in [
        ("users", "# staff\nalice:$apr1$x$y\n", "users:2: a hash of an unknown scheme, expected bcrypt"),
        ("groups", "\n\nstaff\n", "groups:3: expected group: user user"),
    ] {
        let before = std::fs::read(files.path(name)).expect("read");
        std::fs::write(files.path(name), text).expect("written");
        let error = Authenticator::new(&files.config()).err().expect(name).to_string();
        assert!(error.contains(says), "{error}");
        std::fs::write(files.path(name), before).expect("written");
    }
    std::fs::remove_file(files.path("users")).expect("removed");
    assert!(matches!(Authenticator::new(&files.config()), Err(Error::Config(_))));
}

#[test]
fn who_guesses_waits_and_nobody_else_does() {
    let files = Files::new();
    let auth = files.open();
    login(&auth, "alice", "wonderland").expect("let in");
    let guesses: Vec<String> = (0..30).map(|n| format!("guess {n}")).collect();
    let logins: Vec<_> = guesses.iter().map(|guess| ("alice", guess.as_str())).collect();
    let found = answers(&auth, &logins);
    assert_eq!(found.iter().filter(|answer| *answer == "refused").count(), 10);
    assert_eq!(found.iter().filter(|answer| *answer == "throttled").count(), 20);

    let Err(Error::Throttled { retry_after }) = login(&auth, "alice", "again") else {
        panic!("not throttled")
    };
    assert!((1..=30).contains(&retry_after), "{retry_after}");
    // Her own program, which logged in before the guessing began, goes on.
    assert!(remembered(&auth, "alice", "wonderland"));
    let elsewhere =
        run(auth.login(basic("alice", "wonderland ").trim().as_bytes(), peer("192.0.2.2"), |_| true));
    assert_eq!(answer(elsewhere), "refused", "not throttled at another address");
    assert_eq!(answer(login(&auth, "bob", "builder")), "bob");
}

#[test]
fn many_connections_with_one_good_login_are_all_let_in() {
    let files = Files::new();
    let auth = files.open();
    assert_eq!(answers(&auth, &[("alice", "wonderland"); 64]), ["alice"; 64]);
}

#[test]
fn a_user_is_known_by_name_without_a_login() {
    let files = Files::new();
    let auth = files.open();
    let name =
        |user: &str| auth.principal(user).expect("an answer").and_then(|who| who.user().map(str::to_owned));
    for (user, found) in
        [("bob", Some("bob")), ("bob@example.org", Some("bob")), ("carol", None), ("/", None)]
    {
        assert_eq!(name(user).as_deref(), found, "{user}");
    }
}

#[test]
fn an_account_whose_own_name_has_the_domain_is_a_user_of_its_own() {
    let files = Files::new();
    files.write(&[("zoe@example.org", "whole"), ("alice@example.org", "whole"), ("alice", "bare")]);
    let auth = files.open();
    let logins = [
        ("zoe@example.org", "whole"),
        ("zoe", "whole"),
        ("alice@example.org", "whole"),
        ("alice", "bare"),
        ("alice@example.org", "bare"),
        ("alice", "whole"),
    ];
    let found = ["zoe@example.org", "refused", "alice@example.org", "alice", "refused", "refused"];
    assert_eq!(answers(&auth, &logins), found);
    for name in ["zoe@example.org", "alice@example.org", "alice"] {
        let known = auth.principal(name).expect("an answer").expect("a user");
        assert_eq!(known.user(), Some(name));
    }
    assert!(auth.active("zoe@example.org", None).expect("an answer").is_some());
}

#[test]
fn a_password_set_by_the_command_logs_in() {
    let files = Files::new();
    let auth = files.open();
    let before = std::fs::read_to_string(files.path("users")).expect("read");
    set_password(&files.path("users"), "carol", "caf\u{e9} au lait");
    assert!(std::fs::read_to_string(files.path("users")).expect("read").starts_with(&before));
    assert_eq!(answer(login(&auth, "carol", "caf\u{e9} au lait")), "carol");
    assert_eq!(answer(login(&auth, "alice", "wonderland")), "alice");
}

/// Runs `kalends passwd` with the password on its input.
fn set_password(file: &Path, user: &str, password: &str) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new(env!("CARGO_BIN_EXE_kalends"));
    let started = command.arg("passwd").arg(file).arg(user).stdin(Stdio::piped()).spawn();
    let mut child = started.expect("started");
    writeln!(child.stdin.take().expect("an input"), "{password}").expect("written");
    assert!(child.wait().expect("ended").success());
}
