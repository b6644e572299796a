//! A server whose data directory is a small file system in memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::Server;

/// A mounted file system, gone when this is dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Nothing where this process may not mount.
    pub fn on(path: &Path, kind: &str, options: &str) -> Option<Mounted> {
        std::fs::create_dir_all(path).expect("a directory");
        let mounted = Command::new("mount").args(["-t", kind, "-o", options, kind]).arg(path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Mounted(path.to_path_buf()));
        }
        println!("skipped: a {kind} may not be mounted here");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A server over a copy of `data-example/` on a file system of this kind.
pub fn started_on(kind: &str, options: &str) -> Option<(Server, Mounted)> {
    let mut mounted = None;
    let s = Server::prepared(|data| {
        let aside = data.with_extension("aside");
        std::fs::rename(data, &aside).expect("aside");
        mounted = Mounted::on(data, kind, options);
        let copied = Command::new("cp").arg("-a").arg(aside.join(".")).arg(data).status();
        assert!(copied.is_ok_and(|status| status.success()));
    });
    Some((s, mounted?))
}
