//! `kalends freebusy`: when a user is busy, as the server would tell it, and what made it so.

use clap::Args;

use super::out::print;
use super::when::{instant, plain};
use super::{DataOptions, acl};
use crate::acl::{Groups, Principal};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ical::busy::{Kind, Period, Reason, TimeRange};
use crate::store::place::{Home, Name};
use crate::store::{Explained, Store};

#[derive(Debug, Args)]
pub struct Asked {
    /// Whose time.
    user: String,
    /// From when: 2026-01-31, or 2026-01-31T12:00:00Z [default: today].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when [default: as far as the server shows it].
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Who asks [default: the owner, who may know everything].
    #[arg(long = "as", value_name = "USER")]
    asker: Option<String>,
    /// Say which item, rule and file made each period, and what does not count.
    #[arg(long)]
    why: bool,
}

/// Prints what is asked for.
///
/// # Errors
/// A time that cannot be read; a user without a home, or whom the asker may not see.
pub fn run(asked: &Asked, data: &DataOptions) -> Result<()> {
    let config = data.config()?;
    let store = Store::open_tree(&config)?;
    let unfit = || Error::BadRequest(format!("{}: not the name of a user", asked.user));
    let home = Home::User(Name::new(&asked.user).ok_or_else(unfit)?);
    let who = match &asked.asker {
        Some(asker) => acl::principal(&config, asker)?,
        None => Principal::User { name: asked.user.clone(), groups: Groups::Known(Vec::new()) },
    };
    let window = window(asked, &config, store.default_window()?)?;
    let busy = store.busy_now(&who, &home, window).map_err(|error| match error {
        Error::NotFound => {
            Error::BadRequest(format!("{}: no such home, or nothing to see of it", asked.user))
        }
        other => other,
    })?;
    if !asked.why {
        return print(&busy.periods.iter().map(line).collect::<String>());
    }
    let explained = store.explain_busy(&who, &home, &window)?;
    let with_reasons = |period| {
        let made = stretches(&explained).filter(|(.., reason)| made(period, reason));
        line(period) + &made.map(stretch).collect::<String>()
    };
    print(&(busy.periods.iter().map(with_reasons).collect::<String>() + &rest(&explained)))
}

fn window(asked: &Asked, config: &Config, default: TimeRange) -> Result<TimeRange> {
    let start = asked.from.as_deref().map(|text| instant(text, config)).transpose()?.unwrap_or(default.start);
    let end = match &asked.to {
        Some(text) => instant(text, config)?,
        None => start
            .checked_add(default.end.duration_since(default.start))
            .map_err(|_| Error::BadRequest("the end is out of range".to_owned()))?,
    };
    match start < end {
        true => Ok(TimeRange { start, end }),
        false => Err(Error::BadRequest("the end is not after the start".to_owned())),
    }
}

fn line(period: &Period) -> String {
    format!("{} - {}  {}\n", period.start, period.end, kind(Some(period.kind)))
}

fn kind(kind: Option<Kind>) -> &'static str {
    match kind {
        None => "free",
        Some(Kind::Tentative) => "tentative",
        Some(Kind::Busy) => "busy",
        Some(Kind::Unavailable) => "away",
    }
}

type Stretch<'e> = (&'e str, &'e str, &'e Reason);

fn stretches(explained: &[Explained]) -> impl Iterator<Item = Stretch<'_>> {
    explained.iter().filter_map(|explained| match explained {
        Explained::Stretch { file, uid, reason } => Some((file.as_str(), uid.as_str(), reason)),
        Explained::LeftOut { .. } | Explained::Uncounted { .. } => None,
    })
}

fn made(period: &Period, reason: &Reason) -> bool {
    reason.kind.is_some() && reason.start < period.end && reason.end > period.start
}

fn stretch((file, uid, reason): Stretch<'_>) -> String {
    let Reason { start, end, kind: found, rule } = reason;
    format!("    {start} - {end}  {}: {rule}: {} in {file}\n", kind(*found), plain(uid))
}

/// What does not count, and what is not understood.
fn rest(explained: &[Explained]) -> String {
    let free: String =
        stretches(explained).filter(|(.., reason)| reason.kind.is_none()).map(stretch).collect();
    let mut text = if free.is_empty() { free } else { format!("free all the same:\n{free}") };
    for explained in explained {
        match explained {
            Explained::LeftOut { file, uid, why } => {
                text += &format!("left out: {} in {file}: {why}\n", plain(uid));
            }
            Explained::Uncounted { calendar, why } => text += &format!("not counted: {calendar}: {why}\n"),
            Explained::Stretch { .. } => {}
        }
    }
    text
}
