//! Whose files are and what their modes let the service do: directories 2770, files 0660, all of the service's user. A local
//! user may own files too, where an ACL lets the service read and write them.

use std::os::fd::AsRawFd;
use std::path::Path as FsPath;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};

use super::finding::{Finding, Kind};
use super::look::Seen;
use crate::error::{Error, Result};
use crate::store::disk::Directory;

/// Who the tree belongs to: the owner of the data directory.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    pub uid: u32,
    pub gid: u32,
}

const DIRECTORY: u32 = 0o2770;
const FILE: u32 = 0o660;
const BITS: u32 = 0o7777;

/// A POSIX ACL, as far as it matters: what it lets a user do.
#[derive(Debug, Default)]
struct Acl(Vec<(u16, u32, u32)>);

impl Acl {
    const USER: u16 = 0x02;
    const OWNING_GROUP: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;

    /// The extended attribute's bytes: a version, then tag, permissions and id of each entry, in the machine's little-endian order.
    fn parse(bytes: &[u8]) -> Option<Acl> {
        let entries = bytes.strip_prefix(&2u32.to_le_bytes())?;
        let entry = |entry: &[u8]| {
            let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            (half(0), u32::from(half(2)), id)
        };
        Some(Acl(entries.chunks_exact(8).map(entry).collect()))
    }

    fn first(&self, tag: u16) -> Option<u32> {
        self.0.iter().find(|(found, ..)| *found == tag).map(|(_, permissions, _)| *permissions)
    }

    /// What the service may do with what somebody else owns (acl(5), the access check algorithm).
    fn allows(&self, service: Service, group: u32) -> u32 {
        let mask = self.first(Acl::MASK).unwrap_or(0o7);
        let named = |tag, id| {
            self.0
                .iter()
                .find(|(found, _, of)| *found == tag && *of == id)
                .map(|(_, permissions, _)| *permissions)
        };
        if let Some(own) = named(Acl::USER, service.uid) {
            return own & mask;
        }
        let own_group = self.first(Acl::OWNING_GROUP).filter(|_| group == service.gid);
        match own_group.into_iter().chain(named(Acl::GROUP, service.gid)).reduce(|one, other| one | other) {
            Some(granted) => granted & mask,
            None => self.first(Acl::OTHER).unwrap_or(0),
        }
    }
}

/// The access ACL of `name`, if it has one beyond its mode.
fn acl(directory: &Directory, seen: &Seen) -> Option<Acl> {
    let mut bytes = [0; 4096];
    // By one name: on a longer way somebody could put a symlink.
    let directory = format!("/proc/self/fd/{}", directory.fd().as_raw_fd());
    let path = FsPath::new(&directory).join(&seen.name);
    let len = rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut bytes[..]).ok()?;
    Acl::parse(&bytes[..len])
}

/// What is wrong with owner and mode of something in `directory`, which is at `path`.
pub fn judge(directory: &Directory, path: &FsPath, seen: &Seen, service: Service) -> Option<Finding> {
    let (mode, uid) = (seen.stat.st_mode & BITS, seen.stat.st_uid);
    let wanted = if seen.is_directory() { DIRECTORY } else { FILE };
    if mode == wanted && uid == service.uid {
        return None;
    }
    let acl = acl(directory, seen);
    let needs = if seen.is_directory() { 0o7 } else { 0o6 };
    let allowed = match &acl {
        _ if uid == service.uid => mode >> 6,
        Some(acl) => acl.allows(service, seen.stat.st_gid),
        None if seen.stat.st_gid == service.gid => mode >> 3,
        None => mode,
    };
    let finding = |kind, words: String| Some(Finding::new(kind, path, words));
    // What has several names may be somebody's file elsewhere: its mode is not ours to change.
    let finding = |kind, words| match seen.is_directory() || seen.stat.st_nlink == 1 {
        true => finding(kind, words).map(Finding::repairable),
        false => finding(kind, words),
    };
    if allowed & needs != needs {
        let words =
            format!("the service cannot read and write it: it is {mode:04o} and belongs to user {uid}");
        return finding(Kind::NoAccess, words);
    }
    if uid != service.uid && acl.is_none() {
        return finding(
            Kind::Owner,
            format!("it belongs to user {uid}, not to the service's user {}", service.uid),
        );
    }
    let differs = match acl {
        // The middle bits are the ACL's mask.
        Some(_) => mode & !DIRECTORY & BITS != 0,
        None => mode != wanted,
    };
    differs.then(|| finding(Kind::Mode, format!("its mode is {mode:04o}, not {wanted:04o}"))).flatten()
}

/// Sets owner and mode of `seen` in `directory` as far as this process may.
pub fn mend(directory: &Directory, seen: &Seen, service: Service) -> Result<()> {
    let failed = |error| Error::io(directory.path().join(&seen.name), error);
    // A handle that needs no right to read, so that one's own file of mode 0000 can be mended.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let fd = rustix::fs::openat2(directory.fd(), seen.name.as_os_str(), flags, Mode::empty(), resolve)
        .map_err(failed)?;
    let stat = rustix::fs::fstat(&fd).map_err(failed)?;
    let is_same = (stat.st_dev, stat.st_ino) == (seen.stat.st_dev, seen.stat.st_ino);
    // Somebody has put something else in its place, or given it a second name.
    if !is_same || !seen.is_directory() && stat.st_nlink > 1 {
        return Ok(());
    }
    if rustix::process::geteuid().is_root() && stat.st_uid != service.uid {
        let (uid, gid) = (Uid::from_raw(service.uid), Gid::from_raw(service.gid));
        rustix::fs::chownat(&fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(failed)?;
    }
    let wanted = if seen.is_directory() { DIRECTORY } else { FILE };
    let handle = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::chmod(handle, Mode::from_raw_mode(wanted)).map_err(failed)
}

/// Does `work` as the service's user where this process is root's: then what is made is the service's own.
pub fn as_service<T: Send>(service: Service, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !rustix::process::geteuid().is_root() || service.uid == 0 {
        return work();
    }
    let become_it = || {
        let (uid, gid) = (Uid::from_raw(service.uid), Gid::from_raw(service.gid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
    };
    // Whose thread it is, counts for that thread alone.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_it().map_err(|error| Error::io("the service's user", error))?;
            work()
        });
        // A panic is logged where it happens.
        thread.join().unwrap_or(Err(Error::Busy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Service = Service { uid: 100, gid: 200 };

    fn acl(entries: &[(u16, u16, u32)]) -> Acl {
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        Acl::parse(&bytes).expect("an ACL")
    }

    #[test]
    fn an_acl_lets_the_service_in_by_name_or_group_within_its_mask() {
        const NONE: u32 = u32::MAX;
        let base = [(0x01, 6, NONE), (0x04, 0, NONE), (0x20, 0, NONE)];
        let with = |more: &[(u16, u16, u32)]| acl(&[&base[..], more].concat()).allows(SERVICE, 300);
        assert_eq!(with(&[(0x02, 6, 100), (0x10, 6, NONE)]), 6);
        assert_eq!(with(&[(0x02, 6, 100), (0x10, 0, NONE)]), 0, "as a file of mode 0600 has it");
        assert_eq!(with(&[(0x02, 6, 101), (0x10, 7, NONE)]), 0);
        assert_eq!(with(&[(0x08, 6, 200), (0x10, 4, NONE)]), 4);
        assert_eq!(acl(&[(0x04, 6, NONE), (0x10, 6, NONE)]).allows(SERVICE, 200), 6);
        assert!(Acl::parse(b"nonsense").is_none());
    }
}
