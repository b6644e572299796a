//! One file for each command, and the table of them.

mod acl;
mod check;
mod diff;
mod freebusy;
mod history;
mod link;
pub mod log;
mod out;
mod passwd;
mod restore;
mod serve;
mod when;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::acl::{Groups, Principal};
use crate::auth::current_user;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::Origin;

/// A calendar server whose database is a directory tree.
#[derive(Debug, Parser)]
#[command(name = "kalends", version = env!("KALENDS_VERSION"), about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the calendars of a data directory.
    Serve {
        /// The data directory; a kalends.toml in it is read.
        data: Option<PathBuf>,
        /// The configuration file [default without DATA: /etc/kalends/kalends.toml].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where to listen: ADDRESS:PORT, or unix:PATH [default: 127.0.0.1:5545].
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
    },
    /// Show, set or explain rights.
    Acl {
        #[command(subcommand)]
        command: acl::Acl,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Make, list or revoke secret links, which let programs in without a login.
    Link {
        #[command(subcommand)]
        command: link::Link,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Say when a user is busy, and why.
    Freebusy {
        #[command(flatten)]
        asked: freebusy::Asked,
        #[command(flatten)]
        data: DataOptions,
    },
    /// List the changes of a place: when, who, by what program, and what became of which item.
    History {
        #[command(flatten)]
        asked: history::Asked,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Show how a calendar differs from what it was, item by item.
    Diff {
        #[command(flatten)]
        asked: diff::Asked,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Bring back what a calendar was, or one item of it, or a calendar that was removed; beside a running server too.
    Restore {
        #[command(flatten)]
        asked: restore::Asked,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Name everything that is wrong with a data directory, and repair it if asked to.
    Check(check::Asked),
    /// Write the man pages to a directory.
    Man {
        /// The directory; it is made if it is not there.
        directory: PathBuf,
    },
    /// Set a user's password in a password file.
    Passwd {
        /// The password file; it is made if it is not there.
        file: PathBuf,
        /// Whose password; it is asked for, or read as a line where nobody can be asked.
        user: String,
    },
}

/// Which tree a command works on.
#[derive(Debug, Args)]
pub struct DataOptions {
    /// The data directory; a kalends.toml in it is read.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// The configuration file [default without --data: /etc/kalends/kalends.toml].
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl DataOptions {
    fn config(&self) -> Result<Config> {
        Config::find(self.config.as_deref(), self.data.as_deref())
    }
}

/// Where a change that a command makes comes from: the user who runs it, and its words.
fn origin(words: &[&str]) -> Origin {
    let name = current_user();
    let who = Principal::User { name, groups: Groups::Known(Vec::new()) };
    Origin { who, program: "kalends".to_owned(), peer: None, address: words.join(" ") }
}

/// Does what the arguments say; gives the exit code.
///
/// # Errors
/// Whatever went wrong; the text is for the admin.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Serve { data, config, listen } => {
            let mut config = Config::find(config.as_deref(), data.as_deref())?;
            if let Some(listen) = listen {
                config.listen = listen;
            }
            serve::run(config)
        }
        Command::Acl { command, data } => acl::run(command, &data),
        Command::Link { command, data } => link::run(command, &data),
        Command::Freebusy { asked, data } => freebusy::run(&asked, &data),
        Command::History { asked, data } => history::run(&asked, &data),
        Command::Diff { asked, data } => diff::run(&asked, &data),
        Command::Restore { asked, data } => restore::run(&asked, &data),
        Command::Check(asked) => return Ok(check::run(&asked)),
        Command::Man { directory } => man(&directory),
        Command::Passwd { file, user } => passwd::run(&file, &user),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `kalends.1` and a page for each command.
fn man(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory))
        .and_then(|()| name_exit_status(&directory.join("kalends-check.1")))
        .map_err(|error| Error::io(directory, error))
}

/// What stands after a command's options has no heading that says what it is: here it is the exit codes.
fn name_exit_status(page: &Path) -> std::io::Result<()> {
    let text = std::fs::read_to_string(page)?;
    std::fs::write(page, text.replace("\n.SH EXTRA\n", "\n.SH \"EXIT STATUS\"\n"))
}
