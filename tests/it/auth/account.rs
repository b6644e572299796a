//! `method = "pam"` with accounts of this system, made for the test and removed after it, and with the PAM service file that is shipped.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use kalends::auth::Authenticator;
use kalends::config::Config;

use super::{answer, answers, groups, login, remembered, settle};

/// One test at a time: the programs lock the account files.
static ACCOUNTS: Mutex<()> = Mutex::new(());

/// An account, until it is dropped.
struct Account {
    name: String,
}

impl Account {
    /// An account with this password; nothing, and a line that says so, where no account can be made.
    fn new(password: &str) -> Option<Account> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can make an account");
            return None;
        }
        let account = Account { name: format!("kalends{}", std::process::id()) };
        if !ran("useradd", &["--no-create-home", "--shell", "/bin/false", &account.name]) {
            println!("skipped: useradd can make no account here");
            std::mem::forget(account);
            return None;
        }
        account.set_password(password);
        Some(account)
    }

    fn set_password(&self, password: &str) {
        let mut child = Command::new("chpasswd").stdin(Stdio::piped()).spawn().expect("started");
        writeln!(child.stdin.take().expect("an input"), "{}:{password}", self.name).expect("written");
        assert!(child.wait().expect("ended").success());
    }

    fn change(&self, program: &str, arguments: &[&str]) {
        assert!(ran(program, &[arguments, &[&self.name]].concat()), "{program}");
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        ran("userdel", &[&self.name]);
    }
}

fn ran(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// A directory with `service` as the service file `kalends`, and an authenticator over it.
fn open(service: &str) -> (tempfile::TempDir, Authenticator) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("kalends"), service).expect("written");
    let mut config = Config::default();
    config.auth.service_directory = Some(directory.path().to_owned());
    settle();
    let auth = Authenticator::new(&config).expect("a service");
    (directory, auth)
}

const SHIPPED: &str = include_str!("../../../systemd/pam.d/kalends");

#[test]
fn an_account_of_the_system_logs_in_with_its_groups_until_its_password_changes() {
    let _turn = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(account) = Account::new("sesame street") else { return };
    account.change("usermod", &["--append", "--groups", "games"]);
    let (_directory, auth) = open(SHIPPED);
    let who = login(&auth, &account.name, "sesame street").expect("let in");
    assert_eq!(who.user(), Some(account.name.as_str()));
    assert_eq!(groups(&who), [account.name.as_str(), "games"]);
    assert_eq!(answers(&auth, &[(&account.name, "sesame")]), ["refused"]);

    assert!(remembered(&auth, &account.name, "sesame street"));
    account.set_password("another street");
    assert_eq!(answers(&auth, &[(&account.name, "sesame street")]), ["refused"]);
    assert!(!remembered(&auth, &account.name, "sesame street"));
    assert_eq!(answer(login(&auth, &account.name, "another street")), account.name);
}

#[test]
fn an_account_that_expired_or_is_locked_is_refused() {
    let _turn = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(account) = Account::new("sesame street") else { return };
    let (_directory, auth) = open(SHIPPED);
    for (change, back) in [
        (["--expiredate", "1970-01-02"], ["--expiredate", ""]),
        (["--lock", "--append"], ["--unlock", "--append"]),
    ] {
        let arguments =
            |list: [&'static str; 2]| list.into_iter().filter(|one| *one != "--append").collect::<Vec<_>>();
        account.change("usermod", &arguments(change));
        assert_eq!(answer(login(&auth, &account.name, "sesame street")), "refused", "{change:?}");
        account.change("usermod", &arguments(back));
        assert_eq!(answer(login(&auth, &account.name, "sesame street")), account.name, "{back:?}");
    }
}

#[test]
fn an_account_without_a_password_is_refused_even_where_the_service_allows_it() {
    let _turn = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(account) = Account::new("sesame street") else { return };
    account.change("passwd", &["--delete"]);
    let lax = "auth required pam_unix.so nullok\naccount required pam_unix.so\n";
    for service in [SHIPPED, lax] {
        let (_directory, auth) = open(service);
        assert_eq!(answers(&auth, &[(&account.name, "x"), (&account.name, "")]), ["refused"; 2], "{service}");
    }
}
