//! The store.

pub mod disk;
pub mod place;
pub mod staging;
