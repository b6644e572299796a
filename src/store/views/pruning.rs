//! What is too much or too old on the shelf goes. Where there is too much, the largest shares lose their oldest: no user
//! pushes out what others have.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path as FsPath, PathBuf};
use std::time::{Duration, SystemTime};

use super::book::{self, DAY, ENDING, Walk, seconds};

/// How long a View is of use: a laptop that was put away comes back after a holiday.
const MAX_AGE: Duration = Duration::from_secs(6 * 7 * DAY);
const MAX_BOOKS: usize = 20_000;
/// How old what is no book must be to be swept out: another process may be about to name it.
const STRAY: Duration = Duration::from_secs(60 * 60);

/// A book that may be too large or too old.
#[derive(Debug)]
struct Book {
    path: PathBuf,
    modified: SystemTime,
    len: u64,
}

/// Removes from the shelf in `directory` what is too old at `now` and what is no book, and of the largest shares the oldest
/// while there is more than `most` bytes.
pub fn prune(directory: &FsPath, most: u64, now: SystemTime) {
    let mut books = books(directory, now);
    books.sort_by_key(|book| std::cmp::Reverse(book.modified));
    let unused = |book: &Book| now.duration_since(book.modified).is_ok_and(|age| age > MAX_AGE);
    let in_use = books.partition_point(|book| !unused(book)).min(MAX_BOOKS);
    for book in books.drain(in_use..) {
        remove(&book.path);
    }
    let lens: Vec<u64> = books.iter().map(|book| book.len).collect();
    let of_each = match lens.iter().sum::<u64>() > most {
        // Less than there may be, so that not each View that comes pushes one out.
        true => most_of_each(lens, most / 4 * 3),
        false => u64::MAX,
    };
    for book in books {
        if let Err(error) = book.cut(of_each, now) {
            tracing::debug!("{}: {error}", book.path.display());
        }
    }
}

/// The books that there are. What else lies about is swept out.
fn books(directory: &FsPath, now: SystemTime) -> Vec<Book> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let book = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().ok()?;
        let (path, modified) = (entry.path(), metadata.modified().ok()?);
        let is_book = path.extension().is_some_and(|found| found == ENDING);
        if !is_book && now.duration_since(modified).is_ok_and(|age| age > STRAY) {
            remove(&path);
        }
        is_book.then_some(Book { path, modified, len: metadata.len() })
    };
    entries.flatten().filter_map(book).collect()
}

impl Book {
    /// Takes the oldest records away until no more than `most` bytes are left, and those that are too old.
    fn cut(&self, most: u64, now: SystemTime) -> std::io::Result<()> {
        // Also for writing: some file systems let nobody else lock.
        let mut book = File::options().read(true).write(true).open(&self.path)?;
        if !book::lock(&book)? {
            // Another process has just done it.
            return Ok(());
        }
        // Another process may have written since.
        let len = book.metadata()?.len();
        let oldest = seconds(now).saturating_sub(MAX_AGE.as_secs());
        // A day later, so that what is in use all the time is not written again at each look.
        if len <= most && book::born(&book).is_some_and(|born| born + DAY >= oldest) {
            return Ok(());
        }
        let (mut start, mut born) = (len, u64::MAX);
        for record in Walk::new(&book, 0, len) {
            if len - record.start > most {
                break;
            }
            if record.time >= oldest {
                (start, born) = (record.start, born.min(record.time));
            }
        }
        if start == len {
            return std::fs::remove_file(&self.path);
        }
        // One that is there is another process's, or will be swept out.
        let staged = self.path.with_extension("staged");
        let mut rest = File::options().write(true).create_new(true).open(&staged)?;
        let written = book.seek(SeekFrom::Start(start)).and_then(|_| {
            rest.write_all(&book::head(born))?;
            // By reference: the lock is held until the other one has its name.
            std::io::copy(&mut (&book).take(len - start), &mut rest)?;
            std::fs::rename(&staged, &self.path)
        });
        written.inspect_err(|_| remove(&staged))
    }
}

/// How much each may have at most, so that all together have no more than `all`.
fn most_of_each(mut lens: Vec<u64>, all: u64) -> u64 {
    lens.sort_unstable();
    let (mut left, mut many) = (all, lens.len() as u64);
    for len in lens {
        let fair = left / many;
        if len > fair {
            return fair;
        }
        left -= len;
        many -= 1;
    }
    u64::MAX
}

fn remove(path: &FsPath) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!("{}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store::views::shelf::tests::{days, directory, path_of, put, shelf, there};

    #[test]
    fn two_that_write_to_one_book_and_two_that_prune_it_lose_nothing_but_the_oldest() {
        let cache = tempfile::tempdir().expect("a directory");
        let (one, other, third) = (shelf(&cache), shelf(&cache), shelf(&cache));
        let directory = directory(&cache);
        let done = AtomicUsize::new(0);
        let write = |shelf, names: Range<u8>| {
            for n in names {
                put(shelf, 1, [n], days(0));
                // Whoever waits for the book gets it.
                std::thread::sleep(Duration::from_micros(200));
            }
            done.fetch_add(1, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| write(&one, 0..100));
            scope.spawn(|| write(&other, 100..200));
        });
        let all: Vec<u8> = (0..200).collect();
        assert!([&one, &other, &third].iter().all(|shelf| there(shelf, 1) == all));
        let most = path_of(&one, 1).metadata().expect("a book").len() / 4;
        for round in 0..10 {
            let _ = std::fs::remove_file(path_of(&one, 1));
            done.store(0, Ordering::SeqCst);
            std::thread::scope(|scope| {
                scope.spawn(|| write(&one, 0..100));
                scope.spawn(|| write(&other, 100..200));
                for _ in 0..2 {
                    scope.spawn(|| {
                        while done.load(Ordering::SeqCst) < 2 {
                            prune(&directory, most, days(0));
                        }
                    });
                }
            });
            let left = there(&third, 1);
            assert!(left.len() < 200);
            for names in [0..100, 100..200] {
                let its: Vec<u8> = left.iter().copied().filter(|n| names.contains(n)).collect();
                assert_eq!(its, (names.end - its.len() as u8..names.end).collect::<Vec<_>>(), "{round}");
            }
            assert!([&one, &other].iter().all(|shelf| there(shelf, 1) == left));
        }
        // What comes after is found by all.
        put(&one, 1, [201], days(0));
        assert!([&one, &other, &third].iter().all(|shelf| there(shelf, 1).contains(&201)));
    }

    #[test]
    fn what_is_too_old_goes_and_what_is_in_use_stays() {
        let cache = tempfile::tempdir().expect("a directory");
        let shelf = shelf(&cache);
        put(&shelf, 1, [1, 2], days(0));
        put(&shelf, 1, [3, 1], days(30));
        put(&shelf, 2, [4], days(0));
        prune(&directory(&cache), u64::MAX, days(41));
        assert_eq!((there(&shelf, 1), there(&shelf, 2)), (vec![1, 2, 3], vec![4]));
        let again = self::shelf(&cache);
        put(&again, 1, [5], days(44));
        // The files' own times are of today.
        for share in [1, 2] {
            let book = File::options().append(true).open(path_of(&again, share));
            let time = if share == 1 { days(44) } else { days(0) };
            book.and_then(|book| book.set_modified(time)).expect("a time");
        }
        prune(&directory(&cache), u64::MAX, days(44));
        assert_eq!((there(&again, 1), there(&again, 2)), (vec![1, 3, 5], vec![]));
        assert!(!path_of(&again, 2).exists());
        assert_eq!(there(&shelf, 1), [1, 3, 5], "another process finds what there is now");
    }

    #[test]
    fn the_largest_share_loses_its_oldest_and_no_user_pushes_out_what_others_have() {
        let cache = tempfile::tempdir().expect("a directory");
        let shelf = shelf(&cache);
        put(&shelf, 2, 0..4, days(0));
        put(&shelf, 3, 0..1, days(0));
        put(&shelf, 1, 0..200, days(1));
        let all: u64 = books(&directory(&cache), days(0)).iter().map(|book| book.len).sum();
        prune(&directory(&cache), all, days(1));
        assert_eq!(there(&shelf, 1).len(), 200);
        prune(&directory(&cache), all / 2, days(1));
        assert_eq!((there(&shelf, 2), there(&shelf, 3)), ((0..4).collect(), vec![0]));
        let left = there(&shelf, 1);
        assert!((50..=100).contains(&left.len()), "{left:?}");
        assert_eq!(left, (200 - left.len() as u8..200).collect::<Vec<_>>());
        put(&shelf, 1, [250], days(1));
        assert!(there(&shelf, 1).contains(&250));
    }

    #[test]
    fn what_is_too_much_is_taken_from_those_who_have_most() {
        assert_eq!(most_of_each(vec![], 10), u64::MAX);
        assert_eq!(most_of_each(vec![3, 7], 10), u64::MAX);
        assert_eq!(most_of_each(vec![90, 3], 10), 7);
        assert_eq!(most_of_each(vec![90, 3, 80], 23), 10);
        assert_eq!(most_of_each(vec![9; 10], 50), 5);
    }

    #[test]
    fn what_is_no_book_is_swept_out_once_it_is_old() {
        let cache = tempfile::tempdir().expect("a directory");
        let shelf = shelf(&cache);
        let directory = directory(&cache);
        for file in ["0102030405.view", "01020304.staged", "x.client", "0102"] {
            std::fs::write(directory.join(file), "x").expect("write");
        }
        put(&shelf, 1, [1], days(0));
        prune(&directory, u64::MAX, days(0));
        assert_eq!(std::fs::read_dir(&directory).expect("views").count(), 5);
        prune(&directory, u64::MAX, days(1));
        assert_eq!(std::fs::read_dir(&directory).expect("views").count(), 1);
        assert_eq!(there(&shelf, 1), [1]);
    }
}
