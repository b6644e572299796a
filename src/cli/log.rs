//! The log: lines to stderr, which journald takes. A name on the disk or in a request cannot forge a line of it.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

/// The environment variable that says what is logged.
const LEVELS: &str = "KALENDS_LOG";

/// Starts logging, for the life of the process.
pub fn start() {
    let filter = EnvFilter::try_from_env(LEVELS)
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,actix_http=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    log.with_writer(|| OneLine(io::stderr())).init();
}

/// Writes each event, which comes in one call, as one line.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        match line.contains(char::is_control) {
            false => self.0.write_all(event)?,
            true => {
                let escaped: String = line.chars().map(escape).collect();
                writeln!(self.0, "{escaped}")?;
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn escape(c: char) -> String {
    if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let mut log = OneLine(Vec::new());
        log.write_all("plain \u{fc}\n".as_bytes()).expect("written");
        log.write_all(b"a\nforged\x1b[2K\rline\n").expect("written");
        assert_eq!(String::from_utf8_lossy(&log.0), "plain \u{fc}\na\\nforged\\u{1b}[2K\\rline\n");
    }
}
