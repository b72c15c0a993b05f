//! Memory, counted by an allocator; in a process of its own, since counting takes time.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::results::Figure;

/// The sizes of maps that are weighed.
pub const SIZES: [usize; 10] = [1, 2, 4, 8, 9, 17, 32, 100, 1024, 16384];

/// The figures that the program of that path prints.
///
/// # Errors
///
/// Where it cannot be run, fails, or prints something else.
pub fn run(program: &str) -> Result<Vec<Figure>> {
    let output = Command::new(program).output().with_context(|| format!("cannot run `{program}`"))?;
    ensure!(output.status.success(), "`{program}` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
