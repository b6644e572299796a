//! HTTP: addresses, preconditions, status codes, and what is said in headers and bodies. The only floor that names actix.

pub mod guard;
pub mod headers;
pub mod page;
pub mod propfind;
pub mod status;
pub mod target;
pub mod xml;
