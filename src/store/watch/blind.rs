//! File systems on which inotify does not see everything: what other machines write there makes no events here.

use crate::error::{Error, Result};
use crate::store::disk::Directory;
use crate::store::file_system::magic;

/// By `statfs(2)`: what is on another machine, or kept by a program.
const BLIND: [(u32, &str); 13] = [
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

/// The name of the file system under `directory` if inotify does not see everything on it.
pub fn blind(directory: &Directory) -> Result<Option<&'static str>> {
    let magic = magic(directory.fd()).map_err(|error| Error::io(directory.path(), error))?;
    Ok(BLIND.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name))
}
