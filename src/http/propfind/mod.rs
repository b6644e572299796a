//! PROPFIND (RFC 4918 §9.1): what a body asks for, and the multistatus that answers it.

mod request;
mod response;

pub use request::{Depth, Wanted};
pub use response::{FINITE_DEPTH, Kind, MULTISTATUS_TYPE, Resource, multistatus};

/// The namespace of RFC 4918.
const DAV: &str = "DAV:";
