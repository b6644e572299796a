//! `kalends diff`: how a calendar differs from what it was, item by item, in unified lines.

use std::convert::Infallible;

use clap::Args;

use super::DataOptions;
use super::out::print;
use super::when::{instant, plain};
use crate::config::Config;
use crate::error::Result;
use crate::ical::text::summary;
use crate::ical::value;
use crate::store::{Differing, Moment, Store};

/// From this many pairs of lines on, the lines are not compared one by one.
const MOST_PAIRS: usize = 4_000_000;

#[derive(Debug, Args)]
pub struct Asked {
    /// A calendar, as alice/Work/Projects; of main.ics, alice/Calendar or alice/Tasks.
    place: String,
    #[command(flatten)]
    which: Which,
}

/// Which state of a calendar, or of one item in it, is meant.
#[derive(Debug, Args)]
pub struct Which {
    /// Only this item.
    #[arg(long, value_name = "UID", value_parser = uid)]
    pub uid: Option<String>,
    /// As it was at this time, to the second: "2026-11-20 09:00:30" in the server's zone (09:00 is 09:00:00), or
    /// 2026-11-20T09:00:30Z or with another offset [default: before the last removal or save, or repair if there is neither].
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// A UID as it is spelled in a file, or as it is meant.
pub fn uid(spelled: &str) -> std::result::Result<String, Infallible> {
    Ok(value::uid(spelled).into_owned())
}

impl Which {
    pub fn moment(&self, config: &Config) -> Result<Moment> {
        self.at.as_deref().map_or(Ok(Moment::BeforeLast), |at| instant(at, config).map(Moment::At))
    }
}

/// Prints what is asked for.
///
/// # Errors
/// A place or a time that cannot be, or that the history does not have.
pub fn run(asked: &Asked, data: &DataOptions) -> Result<()> {
    let config = data.config()?;
    let store = Store::open_tree(&config)?;
    let Which { uid, .. } = &asked.which;
    let differing = store.differences(&asked.place.parse()?, uid.as_deref(), asked.which.moment(&config)?)?;
    let text: String = differing.iter().map(unified).collect();
    print(&text)
}

/// Two lines that name the item as it was and as it is, then its lines: ` ` in both, `-` then only, `+` now only.
fn unified(differing: &Differing) -> String {
    let Differing { uid, then, now } = differing;
    let head = |mark: &str, text: &Option<String>, when: &str| match text {
        Some(text) => {
            format!("{mark} {when}: {}  \"{}\"\n", plain(uid), plain(&summary(text.as_bytes())))
        }
        None => format!("{mark} {when}: not there\n"),
    };
    let mut text = head("---", then, "then") + &head("+++", now, "now");
    let lines = |text: &Option<String>| -> Vec<String> {
        text.as_deref().unwrap_or_default().lines().map(str::to_owned).collect()
    };
    for (mark, line) in compared(&lines(then), &lines(now)) {
        text += &format!("{mark}{}\n", plain(&line));
    }
    text
}

/// The lines of both by a longest common subsequence.
fn compared(then: &[String], now: &[String]) -> Vec<(char, String)> {
    let marked =
        |mark: char, lines: &[String]| lines.iter().map(move |line| (mark, line.clone())).collect::<Vec<_>>();
    if then.len() * now.len() > MOST_PAIRS {
        return [marked('-', then), marked('+', now)].concat();
    }
    // How long the longest is from each pair of lines on.
    let mut longest = vec![vec![0_u32; now.len() + 1]; then.len() + 1];
    for (i, old) in then.iter().enumerate().rev() {
        for (j, new) in now.iter().enumerate().rev() {
            longest[i][j] = match old == new {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < then.len() && j < now.len() {
        if then[i] == now[j] {
            lines.push((' ', then[i].clone()));
            (i, j) = (i + 1, j + 1);
        } else if longest[i + 1][j] >= longest[i][j + 1] {
            lines.push(('-', then[i].clone()));
            i += 1;
        } else {
            lines.push(('+', now[j].clone()));
            j += 1;
        }
    }
    lines.extend(marked('-', &then[i..]));
    lines.extend(marked('+', &now[j..]));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_stands_between_what_did_not_below_the_title_of_its_own_time() {
        let differing = Differing {
            uid: "u".to_owned(),
            then: Some("BEGIN\nSUMMARY:old\nA\nEND\n".to_owned()),
            now: Some("BEGIN\nSUMMARY:new\nA\nB\nEND\n".to_owned()),
        };
        let text =
            "--- then: u  \"old\"\n+++ now: u  \"new\"\n BEGIN\n-SUMMARY:old\n+SUMMARY:new\n A\n+B\n END\n";
        assert_eq!(unified(&differing), text);
        let gone = Differing { now: None, then: Some("SUMMARY:old\n".to_owned()), ..differing };
        assert_eq!(unified(&gone), "--- then: u  \"old\"\n+++ now: not there\n-SUMMARY:old\n");
    }
}
