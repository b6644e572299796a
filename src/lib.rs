//! Kalends: a calendar server whose database is a directory tree.
//!
//! The floors, each of which names only the ones to its left:
//! `config, count, error, name ← ical ← acl ← store ← http ← cli`; `auth` stands beside `acl`.

#![deny(unsafe_code)]

pub mod acl;
pub mod auth;
pub mod cli;
pub mod config;
pub mod count;
pub mod error;
pub mod http;
pub mod ical;
pub mod name;
pub mod store;
