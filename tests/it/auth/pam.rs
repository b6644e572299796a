//! `method = "pam"`, away from the system's accounts: service files of the test's own, with modules that every Debian has.
//!
//! Names must be accounts of the system, so the user is `nobody`; whether the password is right, a script of the test decides.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kalends::acl::Principal;
use kalends::auth::Authenticator;
use kalends::config::Config;
use kalends::error::Error;

use sha2::{Digest, Sha256};

use super::{answer, answers, basic, login, peer, remembered, run, settle};
use crate::server::{NOBODY, Server, eventually, write};

/// A directory with the service file `kalends`, and what its modules write.
struct Realm {
    directory: tempfile::TempDir,
}

impl Realm {
    fn new(service: &str) -> Realm {
        let realm = Realm { directory: tempfile::tempdir().expect("a directory") };
        std::fs::write(realm.path("kalends"), service).expect("written");
        realm
    }

    /// A realm in which `sesame` is everybody's password, and the account phase writes down what it knows.
    fn of_sesame() -> Realm {
        let realm = Realm::new("");
        let (check, note) = (realm.path("check.sh"), realm.path("note.sh"));
        // The password comes with a NUL behind it.
        std::fs::write(&check, "test \"$(tr -d '\\000')\" = sesame\n").expect("written");
        let seen = realm.path("seen");
        std::fs::write(&note, format!("env | grep ^PAM_ | sort >> {}\n", seen.display())).expect("written");
        let service = format!(
            "auth required pam_exec.so quiet expose_authtok /bin/sh {}\naccount required pam_exec.so quiet /bin/sh {}\n",
            check.display(),
            note.display()
        );
        std::fs::write(realm.path("kalends"), service).expect("written");
        realm
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.auth.service_directory = Some(self.directory.path().to_owned());
        config
    }

    fn open(&self) -> Authenticator {
        settle();
        Authenticator::new(&self.config()).expect("a service")
    }

    /// What the account phase knew, as `NAME=value` lines.
    fn seen(&self) -> String {
        std::fs::read_to_string(self.path("seen")).unwrap_or_default()
    }
}

#[test]
fn pam_decides_and_its_answer_is_remembered() {
    let realm = Realm::of_sesame();
    let auth = realm.open();
    assert_eq!(answers(&auth, &[("nobody", "sesame"), ("nobody", "simsim")]), ["nobody", "refused"]);
    assert!(remembered(&auth, "nobody", "sesame"));
    assert!(!remembered(&auth, "nobody", "simsim"));
    assert_eq!(auth.users(), None);
}

#[test]
fn pam_is_told_where_the_login_comes_from() {
    for (address, line) in [
        ("192.0.2.7", "PAM_RHOST=192.0.2.7"),
        ("::ffff:192.0.2.8", "PAM_RHOST=192.0.2.8"),
        ("2001:db8::9", "PAM_RHOST=2001:db8::9"),
    ] {
        let realm = Realm::of_sesame();
        let who = run(realm.open().login(basic("nobody", "sesame").as_bytes(), peer(address), |_| true));
        assert_eq!(answer(who), "nobody");
        let seen = realm.seen();
        for line in [line, "PAM_SERVICE=kalends", "PAM_TYPE=account", "PAM_USER=nobody"] {
            assert!(seen.lines().any(|found| found == line), "{line} in {seen}");
        }
    }
    let realm = Realm::of_sesame();
    run(realm.open().login(basic("nobody", "sesame").as_bytes(), None, |_| true)).expect("let in");
    assert!(!realm.seen().contains("PAM_RHOST"), "a Unix socket has no address");
}

#[test]
fn the_account_phase_can_refuse_what_the_password_would_open() {
    let realm = Realm::new("auth required pam_permit.so\naccount required pam_deny.so\n");
    let auth = realm.open();
    assert_eq!(answer(login(&auth, "nobody", "anything")), "refused");
    assert!(!remembered(&auth, "nobody", "anything"));
    let open = Realm::new("auth required pam_permit.so\naccount required pam_permit.so\n");
    assert_eq!(answer(login(&open.open(), "nobody", "anything")), "nobody");
}

#[test]
fn root_daemons_and_strangers_are_refused_whatever_pam_says() {
    let realm = Realm::new("auth required pam_permit.so\naccount required pam_permit.so\n");
    let logins = [("root", "x"), ("daemon", "x"), ("no-such-account", "x"), ("nobody", "")];
    assert_eq!(answers(&realm.open(), &logins), ["refused"; 4]);
    let mut config = realm.config();
    config.auth.min_uid = 0;
    let auth = Authenticator::new(&config).expect("a service");
    assert_eq!(answers(&auth, &[("root", "x"), ("daemon", "x")]), ["refused", "daemon"]);
}

#[test]
fn a_refused_account_is_never_shown_to_pam() {
    let realm = Realm::of_sesame();
    assert_eq!(answers(&realm.open(), &[("root", "sesame"), ("nobody", "")]), ["refused"; 2]);
    assert_eq!(realm.seen(), "");
}

#[test]
fn a_missing_service_file_is_an_error_at_the_start() {
    let realm = Realm::new("");
    std::fs::rename(realm.path("kalends"), realm.path("other")).expect("renamed");
    let Err(Error::Config(message)) = Authenticator::new(&realm.config()) else { panic!("started") };
    assert!(message.contains(&realm.path("kalends").display().to_string()), "{message}");
}

#[test]
fn a_service_file_that_is_gone_later_lets_nobody_in_by_way_of_other() {
    let realm = Realm::new("auth required pam_permit.so\naccount required pam_permit.so\n");
    let auth = realm.open();
    std::fs::rename(realm.path("kalends"), realm.path("other")).expect("renamed");
    assert_eq!(answers(&auth, &[("nobody", "sesame")]), ["unavailable"]);
}

#[test]
fn a_module_that_does_not_work_is_no_wrong_password() {
    let realm = Realm::new("auth required pam_of_nobody.so\naccount required pam_permit.so\n");
    let auth = realm.open();
    let logins = [("nobody", "sesame"); 40];
    // None of them counts as a guess.
    assert_eq!(answers(&auth, &logins), ["unavailable"; 40]);
}

#[test]
fn pams_own_delay_holds_no_place() {
    let realm = Realm::new("auth optional pam_faildelay.so delay=60000000\nauth required pam_deny.so\n");
    let auth = realm.open();
    let header = basic("nobody", "x");
    let tried = async {
        tokio::time::timeout(
            Duration::from_secs(30),
            auth.login(header.as_bytes(), peer("192.0.2.1"), |_| true),
        )
        .await
    };
    assert_eq!(answer(run(tried).expect("PAM waited")), "refused");
}

#[test]
fn an_edited_service_file_ends_what_was_remembered() {
    let realm = Realm::of_sesame();
    let auth = realm.open();
    login(&auth, "nobody", "sesame").expect("let in");
    std::fs::write(realm.path("kalends"), "auth required pam_deny.so\n").expect("written");
    assert_eq!(answers(&auth, &[("nobody", "sesame")]), ["refused"]);
    assert!(!remembered(&auth, "nobody", "sesame"));
}

#[test]
fn a_user_is_known_by_name_and_with_the_groups_of_the_system() {
    let realm = Realm::of_sesame();
    let auth = realm.open();
    let nobody = auth.principal("nobody").expect("an answer").expect("an account");
    assert_eq!(nobody.user(), Some("nobody"));
    assert_eq!(super::groups(&nobody), ["nogroup"]);
    assert_eq!(auth.principal("no-such-account").expect("an answer"), None::<std::sync::Arc<Principal>>);
}

#[test]
fn an_account_is_active_as_long_as_the_account_phase_lets_it_be_without_a_password() {
    for (account, active) in [
        ("account required pam_permit.so", true),
        ("account required pam_deny.so", false),
        // A password that is to be changed ends no account.
        ("account required pam_debug.so acct=new_authtok_reqd", true),
        ("account required pam_debug.so acct=acct_expired", false),
    ] {
        let realm = Realm::new(&format!("auth required pam_deny.so\n{account}\n"));
        let found = realm.open().active("nobody", None).expect("an answer");
        assert_eq!(found.is_some(), active, "{account}");
    }
    let realm = Realm::of_sesame();
    let auth = realm.open();
    for (user, active) in [("nobody", true), ("root", false), ("daemon", false), ("no-such-account", false)] {
        assert_eq!(auth.active(user, peer("192.0.2.7")).expect("an answer").is_some(), active, "{user}");
    }
    assert!(realm.seen().contains("PAM_USER=nobody") && !realm.seen().contains("root"), "{}", realm.seen());
    assert!(realm.seen().contains("PAM_RHOST=192.0.2.7"), "{}", realm.seen());
    std::fs::remove_file(realm.path("kalends")).expect("removed");
    assert!(auth.active("nobody", None).is_err(), "without its file, PAM would ask the service other");
}

#[test]
fn a_link_ends_with_an_account_that_is_locked_and_comes_back_with_it() {
    let service = |account: &str| format!("auth required pam_deny.so\naccount required {account}.so\n");
    let realm = Realm::new(&service("pam_permit"));
    let token = "hermetic";
    let s = Server::prepared(|data| {
        let text = format!("[auth]\nmethod = \"pam\"\nservice_directory = {:?}\n", realm.path(""));
        write(data, "kalends.toml", text);
        let id: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        let link = r#"{"owner": "nobody", "role": "viewer", "place": "~*", "made": "2026-11-23T20:00:00Z"}"#;
        write(data, &format!("links/{id}.json"), link);
    });
    let address = format!("/ical/link/{token}/pf/Holidays.ics");
    let gives = |code: u16| {
        eventually(&format!("{code}"), || (s.get(&address, NOBODY).send().code == code).then_some(()));
    };
    gives(200);
    for (account, code) in [("pam_deny", 404), ("pam_permit", 200)] {
        std::fs::write(realm.path("kalends"), service(account)).expect("written");
        gives(code);
    }
    let says = "a link of \"nobody\" is used from 127.0.0.1, and the account is gone or may not be used";
    assert_eq!(s.log().matches(says).count(), 1, "{}", s.log());
    // From elsewhere the account may be let in.
    std::fs::write(realm.path("kalends"), service("pam_deny")).expect("written");
    for user in ["nobody", "root"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kalends"));
        command.args(["link", "add", user, "public/Holidays", "viewer", "--data"]).arg(s.path(""));
        let output = command.output().expect("the command");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("may not be used"), "{user}: {said}");
    }
}

#[test]
fn modules_that_talk_a_lot_are_survived() {
    let Some(modules) = wrapper_modules() else { return };
    let realm = Realm::new("");
    let passwords = realm.path("passwords");
    std::fs::write(&passwords, "nobody:sesame:kalends\n").expect("written");
    let service = format!(
        "auth required {0}/pam_chatty.so info error num_lines=50\nauth required {0}/pam_matrix.so passdb={1}\n\
         account required {0}/pam_matrix.so passdb={1}\n",
        modules.display(),
        passwords.display()
    );
    std::fs::write(realm.path("kalends"), service).expect("written");
    let auth = realm.open();
    assert_eq!(answers(&auth, &[("nobody", "sesame"), ("nobody", "simsim")]), ["nobody", "refused"]);
}

/// Where Debian's libpam-wrapper has its modules; nothing, and a line that says so, where it is not installed.
fn wrapper_modules() -> Option<PathBuf> {
    let name = format!("/usr/lib/{}-linux-gnu/pam_wrapper", std::env::consts::ARCH);
    let found = Path::new(&name).join("pam_chatty.so").exists();
    let all = std::env::var_os("KALENDS_TEST_ALL").is_some_and(|value| value == "1");
    assert!(found || !all, "{name} is missing: install the package libpam-wrapper");
    if !found {
        println!("skipped: {name} is missing, it is in the package libpam-wrapper");
    }
    found.then(|| PathBuf::from(name))
}
