//! The store: the only code that opens users' files. Everything goes through the door (`door`), reads are answered
//! from Snapshots, writes go through `save` and `commit`.
//!
//! - `place`, `tree`: which places there are; `rights`, `nearest`, `links`, `door`: who may come to them; `census`, `owners`: whose they are.
//! - `disk`: descriptors, listings, stamps, staging. `calendar`: what is in memory of the disk; `watch`: when that is old.
//! - `save`: from what a client sent to the operations of a commit, by way of `views` (what the client had) and `merge` (what becomes of it; pure).
//! - `commit`: operations made durable, under the home's lock; `history`: what they replaced, and who made them; `restore`: the way back.
//! - `busy`: free/busy of all that. `check`: what is wrong with a tree.

mod busy;
mod calendar;
mod census;
pub mod check;
mod commit;
mod disk;
mod door;
mod history;
mod links;
pub mod merge;
mod nearest;
mod origin;
mod owners;
pub mod place;
mod recent;
mod restore;
pub mod rights;
mod save;
mod threads;
mod took;
mod tree;
pub mod views;
mod watch;
mod whereabouts;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

pub use busy::Busy;
pub use busy::answers::{Answer, Question, Scope, Shows};
pub use busy::reasons::Explained;
pub use calendar::snapshot::Snapshot;
pub use door::Room;
pub use history::record::{Cause, Did};
pub use history::told::{Differing, Told, ToldItem, What};
pub use links::{LinkId, LinkPlace, SecretLink, Used};
pub use merge::merged::Merged;
pub use origin::Origin;
pub use restore::Restored;
pub use restore::look_back::Moment;
pub use save::sent::Basis;
pub use save::{Precondition, Save, Saved};
pub use views::view_names::Client;

use crate::acl::Role;
use crate::config::Config;
use crate::error::{Error, Result};
use calendar::last_good::LastGood;
use calendar::slots::Slots;
use census::Census;
use commit::Journals;
use commit::writer::{Writer, Writers};
use disk::Directory;
use disk::staging::Staging;
use door::one_file;
use history::expiry::Bounds;
use history::went_back::Newest;
use owners::Owners;
use place::{Home, Name, Place};
use tree::{Found, Tree};
use views::Views;
use whereabouts::Whereabouts;

/// A data directory and what is in memory of it.
#[derive(Debug)]
pub struct Store {
    tree: Tree,
    whereabouts: Whereabouts,
    journals: Journals,
    writers: Writers,
    slots: Arc<Slots>,
    views: Views,
    newest: Newest,
    /// Held for writing while a commit shows what it made of several calendars, and for reading by whoever looks at several:
    /// nobody sees half of it. Never held over disk access.
    together: RwLock<()>,
    owners: Owners,
    /// The turn of whoever writes to a link's file.
    link_writer: Arc<Writer>,
    census: Census,
    /// How far the histories reach back.
    history: Bounds,
    /// The homes whose histories have grown since they were looked through. Guards the set only.
    written: Mutex<HashSet<Home>>,
}

/// What the directory above all homes says until an admin says otherwise.
const SHIPPED_RIGHTS: &str = "{\"authenticated\": \"freebusy\"}\n";

impl Store {
    /// Opens a data directory: finishes the commits that a crash has left, clears what it has staged.
    ///
    /// # Errors
    /// `Io` if the directory is not there or cannot be written to.
    pub fn open_to_serve(config: &Config) -> Result<Store> {
        private_from_the_start();
        let cache = config.cache();
        let (views, newest) = (Views::open(&cache, &config.data), Newest::open(&cache, &config.data));
        Store::open_with(config, LastGood::open(&cache, &config.data), views, newest)?.writable()
    }

    /// Asks whether there is a data directory at all.
    ///
    /// # Errors
    /// `Io` if not.
    pub fn is_there(config: &Config) -> Result<()> {
        Directory::root(&config.data).map(drop)
    }

    /// As [`Store::open_to_serve`], for a command. It makes nothing in the cache directory, which would be root's own before
    /// the server's first start, and what it does needs no bases. What only reads may do so on a read-only file system too.
    pub fn open_tree(config: &Config) -> Result<Store> {
        private_from_the_start();
        let last_good = LastGood::existing(&config.cache(), &config.data);
        Store::open_with(config, last_good, Views::none(), Newest::none())
    }

    /// As [`Store::open_tree`], without the last good versions of files that broke.
    fn open_uncached(config: &Config) -> Result<Store> {
        Store::open_with(config, LastGood::default(), Views::none(), Newest::none())?.writable()
    }

    /// The store for whoever cannot do without writing.
    fn writable(self) -> Result<Store> {
        self.journals.staging().ask_to_stage().map(|()| self)
    }

    /// Waits for what is acknowledged and not in place yet, and writes what is to be known after a restart: for whoever serves
    /// nobody any more.
    pub fn close(&self) {
        // What a disk does not take in that time is finished by the next start.
        const PATIENCE: Duration = Duration::from_secs(10);
        let until = Instant::now() + PATIENCE;
        while !self.writers.applying().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.remember();
        self.views.close();
    }

    /// Whether the data directory is where it was, as far as is known: for whoever answers from memory.
    ///
    /// # Errors
    /// `Displaced`.
    pub fn in_place(&self) -> Result<()> {
        self.whereabouts.last()
    }

    fn open_with(config: &Config, last_good: LastGood, views: Views, newest: Newest) -> Result<Store> {
        let root = Directory::root(&config.data)?;
        let staging = Staging::open(&root)?;
        let store = Store {
            whereabouts: Whereabouts::of(&root)?,
            journals: Journals::open(root.existing("")?, staging),
            tree: Tree::new(root, &config.public_root, last_good),
            writers: Writers::default(),
            slots: Arc::new(Slots::new(config.cache_mb << 20)),
            views,
            newest,
            together: RwLock::default(),
            owners: Owners::new(config),
            link_writer: Arc::default(),
            census: Census::default(),
            history: Bounds::new(config),
            written: Mutex::default(),
        };
        store.recover()?;
        store.ship_rights()?;
        Ok(store)
    }

    /// A tree without homes gets the rights that it is shipped with.
    fn ship_rights(&self) -> Result<()> {
        let users = self.tree.root.make(tree::USERS)?;
        if !users.entries()?.is_empty() {
            return Ok(());
        }
        self.journals.staging().write(SHIPPED_RIGHTS.as_bytes(), &users)?.place(&users, rights::FILE)?;
        users.sync()
    }

    /// Makes the home of `user`, with Calendar and Tasks, as far as they are not there.
    ///
    /// # Errors
    /// `Forbidden` for a name that no home can have; `NoSpace`, `Io`.
    pub fn ensure_home(&self, user: &str) -> Result<()> {
        let unfit = || Error::Forbidden(format!("the user name {user:?} cannot name a home"));
        let name = Name::new(user).filter(|name| name.as_str() == user).ok_or_else(unfit)?;
        let home = self.tree.home_on_disk(&Home::User(name));
        for calendar in place::MAIN.map(|name| home.join(name)) {
            // An empty one is half made: a kill came between.
            if let Some(there) = self.tree.root.directory(&calendar)?
                && (there.kind(calendar::props::PROPS)?.is_some() || there.count()? > 0)
            {
                continue;
            }
            self.whereabouts.look()?;
            let made = self.tree.root.make(&calendar)?;
            // Another process, or another spelling of the name, may be at it too, and its user at the properties already.
            self.journals.staging().write(b"{}\n", &made)?.add(&made, calendar::props::PROPS)?;
            made.sync()?;
            tracing::info!("made {}", calendar.display());
        }
        Ok(())
    }

    /// Removes a calendar into its home's history. `precondition` is asked under the lock. Not on an async thread.
    ///
    /// # Errors
    /// As [`Store::open`]; `Forbidden` for main.ics and its two calendars, and for loose files.
    pub fn remove(&self, origin: &Origin, place: &Place, precondition: Precondition<'_>) -> Result<()> {
        let who = &origin.who;
        self.open(who, place, Role::Viewer)?;
        let path = match place {
            Place::Calendar(path) if !path.home.shows_in_main(&path.names) => path,
            _ => return Err(Error::Forbidden("this calendar cannot be removed".to_owned())),
        };
        self.open(who, place, Role::Master)?;
        let locked = self.lock(&path.home)?;
        self.sweep(path)?;
        let room = self.open(who, place, Role::Master)?;
        precondition(Some(&room.snapshot))?;
        match self.tree.find(path)? {
            Found::Calendar(_) => {}
            Found::File(..) => return Err(one_file()),
            Found::Folder(_) | Found::Missing | Found::Blocked => return Err(Error::NotFound),
        }
        let cause = Cause::new(Did::Remove, origin);
        self.journals.remove_calendar(&locked.directory, &path.below_home(), &cause)?;
        self.slots.forget(path);
        Ok(())
    }
}

/// A kill right after something is made must not leave it with less than the mode that it is given next.
fn private_from_the_start() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
}
