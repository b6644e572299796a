//! Lets the `pam` crate link on a machine that has the PAM runtime but not its -dev package.
//!
//! The linker looks for `libpam.so`, which only libpam0g-dev installs; every Debian has `libpam.so.0`.
//! So the runtime libraries are linked under their plain names into OUT_DIR, and that is searched last.
//!
//! `KALENDS_BROKEN` makes a build that is broken on purpose, for the fault harness to be caught by it (`tests/faults/`).

use std::path::{Path, PathBuf};

const LIBRARIES: [&str; 2] = ["libpam", "libpam_misc"];

/// What a build can be without: the sync of a file, the sync of a directory, the rename over a file.
const FAULTS: [&str; 3] = ["no-file-sync", "no-directory-sync", "in-place"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    version();
    let Some(out) = std::env::var_os("OUT_DIR").map(PathBuf::from) else {
        return;
    };
    for library in LIBRARIES {
        match installed(library) {
            Some(runtime) => link(&runtime, &out.join(format!("{library}.so"))),
            None => println!("cargo::warning={library}.so.0 is not installed: linking needs it"),
        }
    }
    println!("cargo::rustc-link-search=native={}", out.display());
}

/// Says what `kalends --version` prints, and which fault the build has, if any.
fn version() {
    println!("cargo::rerun-if-env-changed=KALENDS_BROKEN");
    println!("cargo::rustc-check-cfg=cfg(broken, values(\"{}\"))", FAULTS.join("\", \""));
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match std::env::var("KALENDS_BROKEN") {
        Err(_) => println!("cargo::rustc-env=KALENDS_VERSION={version}"),
        Ok(fault) if FAULTS.contains(&fault.as_str()) => {
            println!("cargo::warning=this build loses data: {fault}");
            println!("cargo::rustc-cfg=broken=\"{fault}\"");
            println!("cargo::rustc-env=KALENDS_VERSION={version} BROKEN ON PURPOSE: {fault}, loses data");
        }
        Ok(fault) => println!("cargo::error=KALENDS_BROKEN: {fault} is none of {}", FAULTS.join(", ")),
    }
}

/// The runtime library where the dynamic linker would find it.
fn installed(library: &str) -> Option<PathBuf> {
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let multiarch = format!("{arch}-linux-gnu");
    ["/lib", "/usr/lib"]
        .iter()
        .flat_map(|root| [format!("{root}/{multiarch}"), format!("{root}64"), root.to_string()])
        .map(|directory| Path::new(&directory).join(format!("{library}.so.0")))
        .find(|path| path.exists())
}

fn link(runtime: &Path, name: &Path) {
    // A rebuild finds the link of the build before.
    let _ = std::fs::remove_file(name);
    if let Err(error) = std::os::unix::fs::symlink(runtime, name) {
        println!("cargo::warning={}: {error}", name.display());
    }
}
