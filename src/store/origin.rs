//! Where a change comes from: for its record in the history.

use std::net::IpAddr;

use crate::acl::Principal;

/// Who asks for a change, and how the request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub who: Principal,
    /// The program, by its own word (User-Agent); empty if it says nothing.
    pub program: String,
    /// The client's network address, or nothing for a Unix socket and for commands.
    pub peer: Option<IpAddr>,
    /// The address that was asked for, with any secret in it masked; a command's own words for a command.
    pub address: String,
}
