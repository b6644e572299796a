//! What the file system says of a file beside its content, by which one state of it is told from another. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// The grain of a clock that has made times without a fraction of a second.
const WHOLE_SECONDS: Duration = Duration::from_secs(2);

/// What tells one state of a file from another, apart from its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Stamp {
    pub(in crate::store) fn of(stat: &Stat) -> Stamp {
        Stamp {
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// When the content last changed, by the file's own word.
    pub fn modified(&self) -> SystemTime {
        time(self.modified)
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The same bytes for equal stamps alone.
    pub fn bytes(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        let fields = [
            self.inode,
            self.size,
            self.modified.0.cast_unsigned(),
            self.modified.1,
            self.changed.0.cast_unsigned(),
            self.changed.1,
        ];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether a later write could have left the very same stamp: the file's times are not older than its reading by
    /// more than the grain of the clock that made them.
    pub fn is_racy(&self, read_at: SystemTime, grain: Duration) -> bool {
        // On ext4 with small inodes, say: its clock tells seconds alone.
        let grain = if self.changed.1 == 0 { grain.max(WHOLE_SECONDS) } else { grain };
        // A modification that is yet to come was put there by hand, and the next write takes it away.
        let modified = Some(time(self.modified)).filter(|modified| *modified <= read_at);
        let newest = time(self.changed).max(modified.unwrap_or(UNIX_EPOCH));
        // What is later than the reading is not older.
        !read_at.duration_since(newest).is_ok_and(|age| age >= grain)
    }
}

fn time((seconds, nanoseconds): (i64, u64)) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    UNIX_EPOCH + Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_of_no_change_that_is_as_new_as_the_clock_is_coarse() {
        let stamp = Stamp { inode: 1, size: 2, modified: (1_000, 0), changed: (1_000, 500_000_000) };
        let at = |milliseconds| UNIX_EPOCH + Duration::from_millis(milliseconds);
        let [here, elsewhere] = [20, 2_000].map(Duration::from_millis);
        for (read_at, grain, racy) in [
            (1_000_519, here, true),
            (1_000_520, here, false),
            (1_002_499, elsewhere, true),
            (1_002_500, elsewhere, false),
        ] {
            assert_eq!(stamp.is_racy(at(read_at), grain), racy, "{read_at}");
        }
    }

    #[test]
    fn times_without_a_fraction_are_of_a_clock_of_whole_seconds() {
        let at = |milliseconds| UNIX_EPOCH + Duration::from_millis(milliseconds);
        let grain = Duration::from_millis(20);
        for (modified, changed, read_at, racy) in [
            ((1_000, 0), (1_000, 0), 1_000_250, true),
            ((999, 0), (1_000, 0), 1_001_999, true),
            ((999, 0), (1_000, 0), 1_002_000, false),
            ((1_000, 0), (1_000, 1), 1_000_250, false),
            ((i64::MAX, 999_999_999), (1_000, 0), 1_000_250, true),
            // Set to a time that is yet to come, and to one that is over.
            ((i64::MAX, 0), (1_000, 1), 1_000_250, false),
            ((0, 0), (1_000, 1), 1_000_010, true),
            ((2_000, 0), (2_000, 1), 1_000_250, true),
        ] {
            let stamp = Stamp { inode: 1, size: 2, modified, changed };
            assert_eq!(stamp.is_racy(at(read_at), grain), racy, "{stamp:?}");
        }
    }
}
