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
        Mounted::by(path, &["-t", kind, "-o", options, kind])
    }

    /// As [`Mounted::on`], by what `mount` is told before the path.
    pub fn by(path: &Path, words: &[&str]) -> Option<Mounted> {
        let mounted = Command::new("mount").args(words).arg(path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Mounted(path.to_path_buf()));
        }
        println!("skipped: this may not be mounted here: {words:?}");
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
    let s = Server::prepared(|data| mounted = filled(data, |data| Mounted::on(data, kind, options)));
    Some((s, mounted?))
}

/// Has `make` put another directory in the place of one, and fills it with what that holds.
pub fn filled<T>(directory: &Path, make: impl FnOnce(&Path) -> T) -> T {
    let aside = directory.with_extension("aside");
    std::fs::rename(directory, &aside).expect("aside");
    let made = make(directory);
    std::fs::create_dir_all(directory).expect("a directory");
    let copied = Command::new("cp").arg("-a").arg(aside.join(".")).arg(directory).status();
    assert!(copied.is_ok_and(|status| status.success()));
    std::fs::remove_dir_all(aside).expect("removed");
    made
}
