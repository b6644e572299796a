//! What a disk does with durable writes and nothing else: so many threads, each in a directory of its own, that create, write,
//! fsync, rename and fsync the directory for so many seconds. Prints how many files that made. `durable` compiles and runs it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// `bare DIRECTORY THREADS SECONDS`, with what is written into each file as the input.
fn main() -> io::Result<()> {
    let arguments = Vec::from_iter(std::env::args());
    let [_, directory, threads, seconds] = arguments.as_slice() else {
        return Err(io::Error::other("usage: bare DIRECTORY THREADS SECONDS"));
    };
    let threads = threads.parse().map_err(io::Error::other)?;
    let time = Duration::from_secs(seconds.parse().map_err(io::Error::other)?);
    let mut content = Vec::new();
    io::stdin().read_to_end(&mut content)?;
    let directories = (0..threads).map(|number| Path::new(directory).join(number.to_string()));
    let directories = Vec::from_iter(directories);
    directories.iter().try_for_each(fs::create_dir_all)?;

    let start = Barrier::new(threads);
    let files = std::thread::scope(|scope| {
        let (content, start) = (&content, &start);
        let writer = |directory| scope.spawn(move || write(directory, content, start, time));
        let writers = Vec::from_iter(directories.iter().map(|directory| writer(directory)));
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .sum::<io::Result<u64>>()
    })?;
    println!("{files}");
    Ok(())
}

fn write(directory: &Path, content: &[u8], start: &Barrier, time: Duration) -> io::Result<u64> {
    let (new, item) = (directory.join("new"), directory.join("item.ics"));
    start.wait();
    let parent = File::open(directory)?;
    let until = Instant::now() + time;
    let mut files = 0;
    while Instant::now() < until {
        let mut file = File::create_new(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&new, &item)?;
        parent.sync_all()?;
        files += 1;
    }
    Ok(files)
}
