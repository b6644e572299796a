//! What kind of file system something is on, by `statfs(2)`.

use std::os::fd::AsFd;

use rustix::fs::fstatfs;
use rustix::io::Result;

/// On which what is made durable brings along all that was done before it, in any directory: ext4 and xfs have one journal,
/// tmpfs has nothing to make durable.
const ORDERED: [u32; 3] = [0xef53, 0x5846_5342, 0x0102_1994];

/// Whether the order is kept in which things are done in different directories.
pub fn is_ordered(directory: impl AsFd) -> Result<bool> {
    Ok(ORDERED.contains(&magic(directory)?))
}

/// The number that tells one kind from another.
pub fn magic(directory: impl AsFd) -> Result<u32> {
    // The field's width and sign differ between machines; the magic number is 32 bits of it.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fstatfs(directory).map(|found| found.f_type as u32)
}
