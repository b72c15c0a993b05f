//! `difftest merge`.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use contextvars_difftest::{merge, save};

use super::{BAD_INPUT, Ended};

pub(crate) fn merge(from: &[PathBuf], out: &Path, json: bool) -> Ended {
    save::remove_stale(out)?;
    let merged = merge::merge(from, out)?;
    let mut stdout = stdout().lock();
    if json {
        writeln!(stdout, "{}", serde_json::to_string(&merged)?)?;
    } else {
        for kept in &merged.written {
            writeln!(stdout, "wrote {} ({} steps, from {})", kept.file.display(), kept.steps, kept.from.display())?;
        }
        for bad in &merged.bad {
            writeln!(stdout, "passed over {}: {}", bad.file.display(), bad.error)?;
        }
        writeln!(
            stdout,
            "{} traces read, {} duplicates, {} written, {} unchanged, {} files passed over",
            merged.read,
            merged.duplicates,
            merged.written.len(),
            merged.unchanged.len(),
            merged.bad.len()
        )?;
    }
    Ok(if merged.bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(BAD_INPUT) })
}
