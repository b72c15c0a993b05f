//! Points the programs at the libpython that they were built for, and notes the versions of all.

use std::process::Command;

#[cfg(feature = "cpython")]
#[path = "../difftest/link_python.rs"]
mod link_python;

/// The crates whose versions the tables show.
const PEERS: [&str; 8] = ["imbl", "im", "rpds", "archery", "triomphe", "hashbrown", "opentelemetry", "tokio"];

fn main() {
    note_versions();
    #[cfg(feature = "cpython")]
    link_python::link_python();
}

/// The lock file is what was built: its versions, in pairs of two lines.
fn note_versions() {
    println!("cargo:rerun-if-changed=../Cargo.lock");
    let lock = std::fs::read_to_string("../Cargo.lock").unwrap_or_default();
    let mut versions = Vec::new();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("name = ") else { continue };
        let name = name.trim_matches('"');
        if let (true, Some(version)) = (PEERS.contains(&name), lines.next().and_then(|line| line.strip_prefix("version = "))) {
            versions.push(format!("{name} {}", version.trim_matches('"')));
        }
    }
    println!("cargo:rustc-env=CONTEXTVARS_PEERS={}", versions.join(", "));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo:rustc-env=CONTEXTVARS_RUSTC={}", version.unwrap_or_default());
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\u{1f}', " ");
    println!("cargo:rustc-env=CONTEXTVARS_FLAGS={flags}");
}
