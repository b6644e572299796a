//! `kalends check`: what is wrong with a tree, as lines for people and cron or as JSON for scripts.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::out::is_gone;
use crate::auth::Authenticator;
use crate::config::Config;
use crate::count::counted;
use crate::error::{Error, Result};
use crate::store::check::{Check, Finding, Progress, Severity};

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing but notes, 1 damage or warnings that are still there, 2 it could not be checked."
)]
pub struct Asked {
    /// The data directory; a kalends.toml in it is read.
    directory: Option<PathBuf>,
    /// The configuration file [default without DIRECTORY: /etc/kalends/kalends.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Repair what can be repaired without losing a byte: originals go into the history.
    #[arg(long)]
    fix: bool,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
    /// Leave out notes.
    #[arg(long, short)]
    quiet: bool,
}

/// Could not check: what is printed says nothing of the tree.
const NOT_CHECKED: u8 = 2;

/// Checks, and prints what is found.
pub fn run(asked: &Asked) -> ExitCode {
    let mut output = Output::new(asked);
    let checked = check(asked, &mut output);
    match output.end(&checked).map(|()| checked) {
        Ok(Ok(_)) if output.remaining == [0, 0] => ExitCode::SUCCESS,
        Ok(Ok(_)) => ExitCode::FAILURE,
        // Whoever read has seen enough, and nobody knows what was found after that.
        Ok(Err(Error::Io { source, .. })) | Err(source) if is_gone(&source) => ExitCode::from(NOT_CHECKED),
        Ok(Err(error)) => {
            eprintln!("kalends: {error}");
            ExitCode::from(NOT_CHECKED)
        }
        // Nobody can know what was found.
        Err(error) => {
            eprintln!("kalends: the findings cannot be written: {error}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

fn check(asked: &Asked, output: &mut Output<'_>) -> Result<Progress> {
    let config = Config::find(asked.config.as_deref(), asked.directory.as_deref())?;
    // On another machine, as with a backup, nobody may know the users.
    let users = Authenticator::new(&config).ok();
    let is_user = |name: &str| users.as_ref()?.principal(name).ok().map(|known| known.is_some());
    let bar = Bar::new();
    let progress = |now| bar.show(now);
    let origin = asked.fix.then(|| super::origin(&["check", "--fix"]));
    let check = Check { config: &config, fix: origin.as_ref(), is_user: &is_user, progress: &progress };
    let mut failed = None;
    let checked = check.run(&mut |finding| {
        bar.clear();
        if let Err(error) = output.finding(&finding) {
            failed.get_or_insert(error);
        }
    });
    bar.clear();
    match failed {
        Some(error) => Err(Error::io("the output", error)),
        None => checked,
    }
}

/// Where findings go.
struct Output<'a> {
    asked: &'a Asked,
    out: io::StdoutLock<'static>,
    /// How many were printed.
    printed: usize,
    repaired: usize,
    notes: usize,
    /// Damage and warnings that are still there.
    remaining: [usize; 2],
}

impl<'a> Output<'a> {
    fn new(asked: &'a Asked) -> Output<'a> {
        Output { asked, out: io::stdout().lock(), printed: 0, repaired: 0, notes: 0, remaining: [0; 2] }
    }

    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        match finding.kind.severity() {
            _ if finding.repaired => self.repaired += 1,
            Severity::Damage => self.remaining[0] += 1,
            Severity::Warning => self.remaining[1] += 1,
            Severity::Note => self.notes += 1,
        }
        if self.asked.quiet && finding.kind.severity() == Severity::Note {
            return Ok(());
        }
        self.printed += 1;
        match self.asked.json {
            true => {
                let before = if self.printed == 1 { "{\"findings\":[\n" } else { ",\n" };
                write!(self.out, "{before}{}", as_json(finding))
            }
            false => writeln!(self.out, "{}", as_line(finding, self.asked.fix)),
        }
    }

    /// Says what it all comes to.
    fn end(&mut self, checked: &Result<Progress>) -> io::Result<()> {
        let Output { repaired, notes, remaining: [damage, warnings], .. } = *self;
        if self.asked.json {
            let Progress { files, homes, .. } = checked.as_ref().copied().unwrap_or_default();
            let error = checked.as_ref().err().map(Error::to_string);
            let before = if self.printed == 0 { "{\"findings\":[" } else { "\n" };
            writeln!(
                self.out,
                "{before}],\"damage\":{damage},\"warnings\":{warnings},\"notes\":{notes},\"repaired\":{repaired},\
                 \"files\":{files},\"homes\":{homes},\"error\":{}}}",
                json!(error)
            )?;
        } else if let Ok(Progress { files, homes, .. }) = checked
            // In cron no news is good news.
            && (self.printed > 0 || self.out.is_terminal())
        {
            let (files, homes) = (counted(files, "file"), counted(homes, "home"));
            let (warnings, notes) = (counted(warnings, "warning"), counted(notes, "note"));
            writeln!(
                self.out,
                "{files} in {homes}: {damage} damage, {warnings}, {notes}, {repaired} repaired"
            )?;
        }
        self.out.flush()
    }
}

fn as_json(finding: &Finding) -> serde_json::Value {
    json!({
        "path": path(finding),
        "line": finding.spot.map(|spot| spot.line),
        "column": finding.spot.and_then(|spot| spot.column),
        "kind": finding.kind.name(),
        "severity": finding.kind.severity().name(),
        "message": finding.words,
        "repairable": finding.repairable,
        "repaired": finding.repaired,
    })
}

/// As compilers name what they find: `PATH:LINE: SEVERITY: WORDS [KIND]`.
fn as_line(finding: &Finding, fix: bool) -> String {
    let (kind, severity) = (finding.kind.name(), finding.kind.severity().name());
    let spot = finding.spot.map_or(String::new(), |spot| match spot.column {
        Some(column) => format!(":{}:{column}", spot.line),
        None => format!(":{}", spot.line),
    });
    let repair = match (finding.repaired, finding.repairable) {
        (true, _) => " (repaired)",
        (false, true) if !fix => " (--fix repairs it)",
        (false, _) => "",
    };
    escaped(&format!("{}{spot}: {severity}: {} [{kind}]{repair}", path(finding), finding.words))
}

/// The path as it is shown; bytes that are no UTF-8 as `\xNN`.
fn path(finding: &Finding) -> String {
    match finding.path.as_os_str() {
        path if path.is_empty() => ".".to_owned(),
        path => shown(path),
    }
}

fn shown(path: &OsStr) -> String {
    path.as_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
        text
    })
}

/// Nothing that a file's name or a client's text holds may move a terminal's cursor or begin a line of its own.
fn escaped(text: &str) -> String {
    let is_tricky = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match is_tricky(c) {
            true => safe.extend(c.escape_unicode()),
            false => safe.push(c),
        }
    }
    safe
}

/// A line on a terminal that says how far the check is; nothing anywhere else.
struct Bar {
    is_shown: bool,
    /// When it was drawn last, if it is there.
    drawn: Cell<Option<Instant>>,
    next: Cell<Instant>,
}

impl Bar {
    const EVERY: Duration = Duration::from_millis(100);
    const WIDTH: usize = 30;

    fn new() -> Bar {
        // A check that is done in no time shows none.
        let next = Cell::new(Instant::now() + Bar::EVERY);
        Bar { is_shown: io::stderr().is_terminal(), drawn: Cell::new(None), next }
    }

    fn show(&self, now: Progress) {
        if !self.is_shown || Instant::now() < self.next.get() {
            return;
        }
        self.next.set(Instant::now() + Bar::EVERY);
        self.drawn.set(Some(Instant::now()));
        eprint!("\r\x1b[K{}", bar(now));
    }

    fn clear(&self) {
        if self.drawn.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

fn bar(Progress { files, homes, of_homes }: Progress) -> String {
    let done = homes * Bar::WIDTH / of_homes.max(1);
    format!(
        "[{:#<done$}{:.<rest$}] {homes} of {of_homes} homes, {files} files",
        "",
        "",
        rest = Bar::WIDTH - done
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::check::{Kind, Spot};

    #[test]
    fn a_line_names_file_line_and_kind_and_plays_no_tricks() {
        let mut finding = Finding::new(Kind::Unparsable, "users/a\u{1b}[2J\nb.ics", "expected \u{202e}x");
        finding.spot = Some(Spot { line: 3, column: None });
        let line = as_line(&finding, false);
        assert_eq!(line, "users/a\\u{1b}[2J\\u{a}b.ics:3: damage: expected \\u{202e}x [unparsable]");
        finding.repairable = true;
        assert!(as_line(&finding, false).ends_with("(--fix repairs it)"));
        finding.repaired = true;
        assert!(as_line(&finding, true).ends_with("(repaired)"));
        assert_eq!(shown(OsStr::from_bytes(b"a\xff\xc3b")), "a\\xff\\xc3b");
    }

    #[test]
    fn the_bar_fills() {
        let at = |homes| bar(Progress { files: 7, homes, of_homes: 3 });
        assert_eq!(at(0), format!("[{}] 0 of 3 homes, 7 files", ".".repeat(30)));
        assert_eq!(at(1), format!("[{}{}] 1 of 3 homes, 7 files", "#".repeat(10), ".".repeat(20)));
        assert_eq!(at(3), format!("[{}] 3 of 3 homes, 7 files", "#".repeat(30)));
        assert!(bar(Progress::default()).contains("0 of 0"));
    }
}
