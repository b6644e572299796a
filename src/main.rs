//! The command: arguments in, an exit code out.

use std::process::ExitCode;

use clap::Parser;
use kalends::cli::{Arguments, log, run};

fn main() -> ExitCode {
    log::start();
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kalends: {error}");
            ExitCode::FAILURE
        }
    }
}
