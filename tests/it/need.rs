//! Programs that only some tests need: without one its test is skipped with a line that names it.

use std::path::Path;

/// Whether `program` is installed. If it is not, says which Debian `package` has it.
///
/// # Panics
/// Under `KALENDS_TEST_ALL=1`, where every package must be there.
pub fn need(package: &str, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|directory| is_file(&directory.join(program))) {
        return true;
    }
    let all = std::env::var_os("KALENDS_TEST_ALL").is_some_and(|value| value == "1");
    assert!(!all, "{program} is missing: install the package {package}");
    println!("skipped: {program} is missing, it is in the package {package}");
    false
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}
