//! PROPFIND (RFC 4918 §9.1): what a body asks for, and the multistatus that answers it.

mod request;
mod response;

pub use request::{Depth, MAX_BODY, Wanted};
pub use response::{Kind, Resource, finite_depth, multi_status};

/// The namespace of RFC 4918.
const DAV: &str = "DAV:";
