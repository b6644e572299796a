//! `kalends link`: makes, lists and revokes secret links. A server that runs beside it needs not be told.

use clap::Subcommand;
use jiff::Timestamp;

use super::DataOptions;
use super::out::print;
use crate::auth::{Authenticator, Token};
use crate::config::{Config, UNIX};
use crate::error::{Error, Result};
use crate::http::link::url;
use crate::http::target::Urls;
use crate::store::{LinkId, SecretLink, Store};

#[derive(Debug, Subcommand)]
pub enum Link {
    /// Make a link and print its address, which is shown this once.
    Add {
        /// The user in whose name it is: what it may do is never more than this user may.
        user: String,
        /// alice/Work/Projects, alice, public/Holidays, or ~* for whatever the user may see.
        place: String,
        /// freebusy, viewer, or editor.
        role: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        label: String,
        /// Until when it is good, as 2027-01-31 or 2027-01-31T12:00:00Z; an editor's needs one.
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// List all links, or one user's.
    List {
        /// Only the links in this user's name.
        user: Option<String>,
    },
    /// Revoke a link.
    Revoke {
        /// As `list` shows it.
        id: String,
    },
}

/// Does what the arguments say.
///
/// # Errors
/// A user, place, role or expiry that cannot be, an id that names no link, a file that cannot be written.
pub fn run(command: Link, data: &DataOptions) -> Result<()> {
    let config = data.config()?;
    let store = Store::open_tree(&config)?;
    match command {
        Link::Add { user, place, role, label, expires } => {
            let now = Timestamp::now();
            let link = SecretLink::asked(&user, &place, &role, &label, expires.as_deref(), now)?;
            print(&format!("{}\n", add(&config, &store, &link)?))
        }
        Link::List { user } => list(&store, user.as_deref()),
        Link::Revoke { id } => {
            let id = store.link_named(&id).map_err(|error| match error {
                Error::NotFound => Error::BadRequest(format!("there is no link {id}")),
                other => other,
            })?;
            store.revoke_link(&id)
        }
    }
}

/// Makes the link; gives its address.
fn add(config: &Config, store: &Store, link: &SecretLink) -> Result<String> {
    let unknown = || Error::BadRequest(format!("there is no user {}", link.owner));
    let auth = Authenticator::new(config)?;
    let maker = auth.principal(&link.owner)?.ok_or_else(unknown)?;
    // The link's file names the user; another spelling would find nobody.
    if maker.user() != Some(&link.owner) {
        return Err(unknown());
    }
    // Where that cannot be told, as by a user who may not read the passwords, the server will tell.
    if matches!(auth.active(&link.owner, None), Ok(None)) {
        // Nor is it told where the link will be used from, on which the answer may depend.
        eprintln!(
            "kalends: warning: the account {} may not be used: its link is dead where that holds",
            link.owner
        );
    }
    store.may_share(&maker, link).map_err(|error| match error {
        Error::NotFound => Error::BadRequest(format!("{}: nothing that {maker} may see", link.place)),
        other => other,
    })?;
    let token = Token::random()?;
    store.add_link(&LinkId::of(token.sha256()), link)?;
    let listening = (!config.listen.starts_with(UNIX)).then(|| format!("http://{}", config.listen));
    let base_url = config.base_url.clone().or(listening);
    Ok(url(&Urls::new(base_url.as_deref(), config.domain.as_deref()), &token, link))
}

fn list(store: &Store, user: Option<&str>) -> Result<()> {
    let lines = store.links()?.into_iter().filter_map(|(id, link)| match link {
        Ok(link) => user.is_none_or(|user| user == link.owner).then(|| line(&id, &link)),
        Err(mistake) => Some(format!("{}  grants nothing: {mistake}\n", id.short())),
    });
    print(&lines.collect::<String>())
}

fn line(id: &LinkId, link: &SecretLink) -> String {
    let SecretLink { owner, role, place, label, .. } = link;
    let expires = match link.expires {
        None => "for good".to_owned(),
        Some(expires) if link.is_expired(Timestamp::now()) => format!("expired {expires}"),
        Some(expires) => format!("until {expires}"),
    };
    let used = match &link.used {
        None => "never used".to_owned(),
        Some(used) => format!("used {} by {}", used.at, used.by),
    };
    let label = if label.is_empty() { String::new() } else { format!("  \"{label}\"") };
    format!("{}  {owner}  {role} at {place}  {expires}  {used}{label}\n", id.short())
}
