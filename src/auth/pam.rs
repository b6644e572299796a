//! Asks PAM whether a password is right and the account may be used: the phases auth and account, no session. The only unsafe code.
//!
//! The conversation is our own: the `pam` crate's keeps its handle to itself, so that neither the address of the client nor the flag
//! against empty passwords could be set, and it gives up at the first message of a module. The raw calls are those of `pam-sys`, under it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use nix::libc;
use pam::PamError;
use pam_sys::raw;
use pam_sys::{PamConversation, PamFlag, PamHandle, PamItemType, PamMessage, PamMessageStyle};
use pam_sys::{PamResponse, PamReturnCode};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Where Linux-PAM looks for a service, in this order.
const DIRECTORIES: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];

/// No more messages at once than this (PAM_MAX_NUM_MSG).
const MOST_MESSAGES: c_int = 32;

/// Empty passwords are no passwords, whatever the service file says, and nobody reads what the modules print.
const FLAGS: c_int = PamFlag::DISALLOW_NULL_AUTHTOK as c_int | PamFlag::SILENT as c_int;

unsafe extern "C" {
    /// Linux-PAM 1.4; `pam-sys` is older.
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const PamConversation,
        directory: *const c_char,
        handle: *mut *const PamHandle,
    ) -> c_int;
}

/// A PAM service whose file was there at the start.
pub struct Service {
    name: CString,
    directory: Option<CString>,
    file: PathBuf,
}

/// Why PAM did not let somebody in.
#[derive(Debug)]
pub enum Denial {
    /// The login is wrong, or the account may not be used.
    Refused(String),
    /// PAM itself, or a module, does not work.
    Broken(String),
}

impl Service {
    /// The service `name`, from `directory` or where the system has them.
    ///
    /// # Errors
    /// `Error::Config`: its file cannot be read. PAM would take the service `other` in its place, without a word.
    pub fn new(name: &str, directory: Option<&Path>) -> Result<Service> {
        let wrong = |message: String| Error::Config(format!("auth.service: {message}"));
        // PAM does the same: `Kalends` is looked up as `kalends`.
        let name = name.to_ascii_lowercase();
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(wrong(format!("the name of a file in {}, not {name:?}", DIRECTORIES[0])));
        }
        let places =
            directory.map_or_else(|| DIRECTORIES.map(PathBuf::from).to_vec(), |one| vec![one.into()]);
        let files: Vec<_> = places.iter().map(|place| place.join(&name)).collect();
        let readable = |file: &&PathBuf| std::fs::File::open(file).is_ok();
        let file = files.iter().find(readable).cloned().ok_or_else(|| {
            let tried: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            wrong(format!("no readable PAM service file: {}", tried.join(", ")))
        })?;
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|error| wrong(error.to_string()));
        let directory = directory.map(|directory| c_string(directory.as_os_str().as_bytes())).transpose()?;
        Ok(Service { name: c_string(name.as_bytes())?, directory, file })
    }

    /// The service file that was found.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Checks a login, and that the account may be used now. Gives the name that PAM knows the user by: a module may change it. May take
    /// long.
    pub fn check(&self, user: &str, password: &str, peer: Option<IpAddr>) -> Result<String, Denial> {
        let unusable = |_| Denial::Refused("a NUL".to_owned());
        let answers = Answers {
            user: CString::new(user).map_err(unusable)?,
            password: Zeroizing::new(CString::new(password).map_err(unusable)?),
        };
        let mut transaction = Transaction::start(self, &answers)?;
        if let Some(peer) = peer {
            transaction.set_remote_host(peer)?;
        }
        transaction.set_no_delay()?;
        transaction.run(raw::pam_authenticate)?;
        transaction.run(raw::pam_acct_mgmt)?;
        transaction.user()
    }

    /// Whether the account may be used now, where no password is at hand. A password that is to be changed ends no account.
    pub fn may_use(&self, user: &str, peer: Option<IpAddr>) -> Result<bool, Denial> {
        let Ok(user) = CString::new(user) else { return Ok(false) };
        let answers = Answers { user, password: Zeroizing::default() };
        let mut transaction = Transaction::start(self, &answers)?;
        if let Some(peer) = peer {
            transaction.set_remote_host(peer)?;
        }
        match transaction.run(raw::pam_acct_mgmt) {
            Ok(()) => Ok(true),
            Err(_) if transaction.status == PamReturnCode::NEW_AUTHTOK_REQD as c_int => Ok(true),
            Err(Denial::Refused(_)) => Ok(false),
            Err(broken @ Denial::Broken(_)) => Err(broken),
        }
    }
}

/// What the modules are told when they ask.
struct Answers {
    user: CString,
    password: Zeroizing<CString>,
}

/// One use of PAM, from its start to its end.
struct Transaction<'a> {
    handle: *mut PamHandle,
    status: c_int,
    /// The handle points to them.
    answers: PhantomData<&'a Answers>,
}

impl<'a> Transaction<'a> {
    fn start(service: &Service, answers: &'a Answers) -> Result<Transaction<'a>, Denial> {
        // As at the start: without its file the service would be `other`.
        if !service.file.exists() {
            return Err(Denial::Broken(format!("{} is gone", service.file.display())));
        }
        let conversation = PamConversation {
            conv: Some(converse),
            data_ptr: ptr::from_ref(answers).cast_mut().cast::<c_void>(),
        };
        let (name, user) = (service.name.as_ptr(), answers.user.as_ptr());
        let mut handle: *const PamHandle = ptr::null();
        let status = match &service.directory {
            // SAFETY: all pointers are to live values; libpam copies the strings and the conversation.
            None => unsafe { raw::pam_start(name, user, &conversation, &mut handle) },
            // SAFETY: as above.
            Some(directory) => unsafe {
                pam_start_confdir(name, user, &conversation, directory.as_ptr(), &mut handle)
            },
        };
        if handle.is_null() {
            return Err(Denial::Broken(format!("pam_start: {}", named(status))));
        }
        let transaction = Transaction { handle: handle.cast_mut(), status, answers: PhantomData };
        judge(status).map(|()| transaction)
    }

    /// Tells the modules where the login comes from (pam_access, pam_faillock and the logs use it).
    fn set_remote_host(&mut self, peer: IpAddr) -> Result<(), Denial> {
        let text = peer.to_canonical().to_string();
        let host = CString::new(text).map_err(|_| Denial::Broken("an address with a NUL".to_owned()))?;
        self.set(PamItemType::RHOST, host.as_ptr().cast())
    }

    /// Takes the waiting after a failure away from PAM, which would block a thread for it.
    fn set_no_delay(&mut self) -> Result<(), Denial> {
        self.set(PamItemType::FAIL_DELAY, no_delay as *const c_void)
    }

    fn set(&mut self, item: PamItemType, value: *const c_void) -> Result<(), Denial> {
        // SAFETY: the handle is live; `value` is what the item calls for: a string, which libpam copies, or a function.
        self.status = unsafe { raw::pam_set_item(self.handle, item as c_int, value) };
        judge(self.status)
    }

    fn run(&mut self, phase: unsafe extern "C" fn(*mut PamHandle, c_int) -> c_int) -> Result<(), Denial> {
        // SAFETY: the handle is live, and the answers that its conversation points to are.
        self.status = unsafe { phase(self.handle, FLAGS) };
        judge(self.status)
    }

    fn user(&mut self) -> Result<String, Denial> {
        let mut item: *const c_void = ptr::null();
        // SAFETY: the handle is live; libpam sets `item` to a string of its own, or leaves it NULL.
        self.status = unsafe { raw::pam_get_item(self.handle, PamItemType::USER as c_int, &mut item) };
        judge(self.status)?;
        if item.is_null() {
            return Err(Denial::Broken("PAM forgot the user".to_owned()));
        }
        // SAFETY: a NUL-terminated string that lives as long as the handle and is copied here.
        let user = unsafe { CStr::from_ptr(item.cast::<c_char>()) };
        user.to_str().map(str::to_owned).map_err(|_| Denial::Refused("a name that is not UTF-8".to_owned()))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is live, and nothing uses it after this.
        unsafe { raw::pam_end(self.handle, self.status) };
    }
}

/// Sorts the codes of PAM into "the login is wrong" and "PAM does not work".
fn judge(status: c_int) -> Result<(), Denial> {
    use PamReturnCode as Code;
    match Code::from(status) {
        Code::SUCCESS => Ok(()),
        Code::AUTH_ERR
        | Code::USER_UNKNOWN
        | Code::PERM_DENIED
        | Code::MAXTRIES
        | Code::NEW_AUTHTOK_REQD
        | Code::AUTHTOK_EXPIRED
        | Code::ACCT_EXPIRED
        | Code::CRED_EXPIRED
        | Code::CRED_ERR
        // A module asked for what a Basic login has no answer to.
        | Code::CONV_ERR
        // What pam_exec makes of a "no": as "PAM does not work" it would not count as a guess.
        | Code::SYSTEM_ERR => Err(Denial::Refused(named(status))),
        // What pam_unix says when it cannot read the passwords.
        Code::AUTHINFO_UNAVAIL => {
            Err(Denial::Broken(format!("{} (may the server read /etc/shadow?)", named(status))))
        }
        _ => Err(Denial::Broken(named(status))),
    }
}

/// The code as PAM's documentation spells it.
fn named(status: c_int) -> String {
    PamError::from(PamReturnCode::from(status)).to_string()
}

extern "C" fn no_delay(_status: c_int, _microseconds: c_uint, _data: *mut c_void) {}

/// Answers the modules (pam_conv(3)): the password to a hidden prompt, the user to an open one, nothing to a message.
///
/// Modules differ in what they hand in: some show a message without a place for an answer.
extern "C" fn converse(
    count: c_int,
    messages: *mut *mut PamMessage,
    out: *mut *mut PamResponse,
    data: *mut c_void,
) -> c_int {
    if messages.is_null() || data.is_null() || !(1..=MOST_MESSAGES).contains(&count) {
        return PamReturnCode::CONV_ERR as c_int;
    }
    // SAFETY: libpam hands in `count` pointers to messages (Linux's layout of the two that exist), and the answers that
    // `Transaction::start` gave it, which outlive the transaction.
    let (messages, answers) = unsafe {
        (std::slice::from_raw_parts(messages, count.unsigned_abs() as usize), &*data.cast::<Answers>())
    };
    let responses = messages.iter().map(|message| answers.to(*message)).collect::<Option<Vec<_>>>();
    let Some(responses) = responses else { return PamReturnCode::CONV_ERR as c_int };
    if out.is_null() {
        let silent = responses.iter().all(Option::is_none);
        return if silent { PamReturnCode::SUCCESS } else { PamReturnCode::CONV_ERR } as c_int;
    }
    match copied(&responses) {
        // SAFETY: `out` is not NULL, so it is the module's place for the answers.
        Some(copies) => unsafe { *out = copies },
        None => return PamReturnCode::BUF_ERR as c_int,
    }
    PamReturnCode::SUCCESS as c_int
}

impl Answers {
    /// What `message` is answered with; nothing at all if it is of a style that has no answer here.
    fn to(&self, message: *const PamMessage) -> Option<Option<&CStr>> {
        // SAFETY: NULL, or a message that lives as long as the call; its text is not looked at.
        let style = unsafe { message.as_ref() }?.msg_style;
        const HIDDEN: c_int = PamMessageStyle::PROMPT_ECHO_OFF as c_int;
        const OPEN: c_int = PamMessageStyle::PROMPT_ECHO_ON as c_int;
        const INFO: c_int = PamMessageStyle::TEXT_INFO as c_int;
        const ERROR: c_int = PamMessageStyle::ERROR_MSG as c_int;
        match style {
            HIDDEN => Some(Some(&self.password)),
            OPEN => Some(Some(&self.user)),
            INFO | ERROR => Some(None),
            _ => None,
        }
    }
}

/// The answers in memory of malloc's, since the module frees them; nothing when there is no memory.
fn copied(responses: &[Option<&CStr>]) -> Option<*mut PamResponse> {
    // SAFETY: zeroed responses are valid ones: no text, code 0.
    let copies = unsafe { libc::calloc(responses.len(), size_of::<PamResponse>()) }.cast::<PamResponse>();
    if copies.is_null() {
        return None;
    }
    for (at, response) in responses.iter().enumerate() {
        let Some(text) = response else { continue };
        // SAFETY: `at` is below the length that was allocated; the text is NUL-terminated.
        let copy = unsafe {
            (*copies.add(at)).resp = libc::strdup(text.as_ptr());
            (*copies.add(at)).resp
        };
        if copy.is_null() {
            // SAFETY: this memory was allocated above, and so were the texts; a NULL is free to be freed.
            unsafe {
                (0..at).for_each(|before| libc::free((*copies.add(before)).resp.cast()));
                libc::free(copies.cast());
            }
            return None;
        }
    }
    Some(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        let password = Zeroizing::new(c"sesame".to_owned());
        Answers { user: c"alice".to_owned(), password }
    }

    /// What the conversation gives for messages of these styles: its code, and the texts of its answers.
    fn ask(styles: &[c_int]) -> (c_int, Vec<Option<String>>) {
        let answers = answers();
        let data = ptr::from_ref(&answers).cast_mut().cast::<c_void>();
        let mut messages: Vec<_> =
            styles.iter().map(|style| PamMessage { msg_style: *style, msg: ptr::null() }).collect();
        let mut pointers: Vec<_> = messages.iter_mut().map(ptr::from_mut).collect();
        let mut out: *mut PamResponse = ptr::null_mut();
        let code = converse(styles.len() as c_int, pointers.as_mut_ptr(), &mut out, data);
        if out.is_null() {
            return (code, Vec::new());
        }
        // SAFETY: as many answers as messages, in memory of malloc's that the caller frees.
        let texts = unsafe {
            let taken = std::slice::from_raw_parts(out, styles.len())
                .iter()
                .map(|answer| {
                    let text = (!answer.resp.is_null())
                        .then(|| CStr::from_ptr(answer.resp).to_string_lossy().into_owned());
                    libc::free(answer.resp.cast());
                    text
                })
                .collect();
            libc::free(out.cast());
            taken
        };
        (code, texts)
    }

    #[test]
    fn prompts_are_answered_and_messages_are_not() {
        let (hidden, open, error, info) = (1, 2, 3, 4);
        let (code, texts) = ask(&[info, open, error, hidden]);
        assert_eq!(code, PamReturnCode::SUCCESS as c_int);
        assert_eq!(texts, [None, Some("alice".to_owned()), None, Some("sesame".to_owned())]);
    }

    #[test]
    fn a_message_of_an_unknown_style_ends_the_conversation() {
        for styles in [[1, 5], [7, 1], [0, 0], [-1, 1]] {
            assert_eq!(ask(&styles), (PamReturnCode::CONV_ERR as c_int, Vec::new()), "{styles:?}");
        }
        assert_eq!(ask(&[]).0, PamReturnCode::CONV_ERR as c_int);
        assert_eq!(ask(&[4; 33]).0, PamReturnCode::CONV_ERR as c_int);
    }

    #[test]
    fn null_pointers_of_a_module_are_survived() {
        let (answers, nothing) = (answers(), ptr::null_mut());
        let data = ptr::from_ref(&answers).cast_mut().cast::<c_void>();
        let code = |code: PamReturnCode| code as c_int;
        for (style, expected) in [(4, PamReturnCode::SUCCESS), (1, PamReturnCode::CONV_ERR)] {
            let mut message = PamMessage { msg_style: style, msg: ptr::null() };
            let mut pointer = ptr::from_mut(&mut message);
            assert_eq!(converse(1, &mut pointer, nothing, data), code(expected), "{style}");
        }
        let mut out = ptr::null_mut();
        let mut no_message = ptr::null_mut();
        assert_eq!(converse(1, &mut no_message, &mut out, data), code(PamReturnCode::CONV_ERR));
        assert_eq!(converse(1, ptr::null_mut(), &mut out, data), code(PamReturnCode::CONV_ERR));
        assert_eq!(converse(1, &mut no_message, &mut out, ptr::null_mut()), code(PamReturnCode::CONV_ERR));
        assert!(out.is_null());
    }

    #[test]
    fn a_service_without_its_file_is_an_error_at_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("other"), "auth required pam_permit.so\n").expect("written");
        std::fs::write(directory.path().join("kalends"), "").expect("written");
        for (name, found) in [
            ("kalends", true),
            ("Kalends", true),
            ("calends", false),
            ("", false),
            ("../kalends", false),
            (".", false),
            ("/etc/passwd", false),
        ] {
            assert_eq!(Service::new(name, Some(directory.path())).is_ok(), found, "{name}");
        }
        let message = Service::new("calends", Some(directory.path())).err().map(|error| error.to_string());
        assert!(message.is_some_and(|message| message.contains("no readable PAM service file")));
    }
}
