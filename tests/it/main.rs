//! Behaviour, tested against the real server over a copy of `data-example/`: real files, a real HTTP client.
//!
//! `server`, `request`, `raw`, `calendar`, `versions`, `strace`, `mounted` and `need`
//! are what the tests are written with; each other file is one area.

mod calendar;
mod mounted;
mod need;
mod raw;
mod request;
mod restores;
mod server;
mod strace;
mod versions;

mod addresses;
mod applied;
mod auth;
mod bad_input;
mod bases;
mod check;
mod class;
mod clients;
mod commands;
mod condensed;
mod copies;
mod crash;
mod expiry;
mod foreign;
mod freebusy;
mod guards;
mod history;
mod hostile;
mod killed;
mod limits;
mod links;
mod lookalikes;
mod makings;
mod merge;
mod outside;
mod processes;
mod publications;
mod readers;
mod readme;
mod reads;
mod removed;
mod rewriting;
mod rights;
mod saves;
mod socket;
mod turns;
mod unreadable;
mod watch;
mod zones;
