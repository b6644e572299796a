//! What kind of file system something is on, by `statfs(2)`, what can be relied on there, and whether there is room.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{AtFlags, StatxFlags, fstatfs, fstatvfs, statx};
use rustix::io::Result;

/// On which what is made durable brings along all that was done before it, in any directory: ext4 and xfs have one journal,
/// tmpfs has nothing to make durable.
const ORDERED: [u32; 3] = [0xef53, 0x5846_5342, 0x0102_1994];

/// What is on another machine, or kept by a program: what others write there makes no events here, and its times are of
/// somebody else's clock.
const REMOTE: [(u32, &str); 13] = [
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x517b, "smb"),
    (0x00c3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "kafs"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
];

/// A kind of file system.
#[derive(Debug, Clone, Copy)]
pub struct FileSystem {
    /// Whether the order is kept in which things are done in different directories.
    pub is_ordered: bool,
    /// Its name if inotify does not see everything on it.
    pub remote: Option<&'static str>,
}

impl FileSystem {
    pub fn of(directory: impl AsFd) -> Result<FileSystem> {
        // The field's width and sign differ between machines; the magic number is 32 bits of it.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let magic = fstatfs(directory)?.f_type as u32;
        let remote = REMOTE.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name);
        Ok(FileSystem { is_ordered: ORDERED.contains(&magic), remote })
    }

    /// How much newer than a file's times its reading must be for its next change to leave others.
    pub fn grain(self) -> Duration {
        match self.remote {
            Some(_) => Duration::from_secs(2),
            None => Duration::from_millis(20),
        }
    }
}

/// Within which a file can be renamed from any directory to any other: a mount, and on btrfs one of its subvolumes. A directory
/// that is mounted once more is on the same device, and that the subvolumes are on one mount does not help.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    id: u64,
    device: (u32, u32),
}

impl Mount {
    pub fn of(directory: impl AsFd) -> Result<Mount> {
        let found = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
        // Before Linux 5.8 the first is 0.
        Ok(Mount { id: found.stx_mnt_id, device: (found.stx_dev_major, found.stx_dev_minor) })
    }
}

/// Whether changes of so many names, with new content of these lengths, have room on the file system that `directory` is on: by
/// what it says, which is nothing of quotas.
pub fn has_room(directory: impl AsFd, changes: impl Iterator<Item = Option<usize>>) -> Result<bool> {
    /// In bytes, what files are given at once. Where a block is said to be larger, as by NFS and Ceph, none is filled by a file.
    const PIECE: u64 = 4096;
    /// More than an inode and the names of one change take, in bytes.
    const NAMES: u64 = 1024;
    /// More than a commit takes beside that for its directories in the history and its line in the log.
    const DIRECTORIES: u64 = 8 * PIECE;
    let stat = fstatvfs(directory)?;
    let (mut files, mut bytes) = (0, DIRECTORIES);
    for length in changes {
        files += u64::from(length.is_some());
        bytes += NAMES + length.map_or(0, |length| (length as u64).next_multiple_of(PIECE));
    }
    // Some count no blocks, some no inodes.
    let fits = |needed: u64, free: u64, of: u64| of == 0 || needed <= free;
    Ok(fits(bytes.div_ceil(stat.f_frsize.max(1)), stat.f_bavail, stat.f_blocks)
        && fits(files, stat.f_favail, stat.f_files))
}
