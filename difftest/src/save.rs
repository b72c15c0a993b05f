//! Writing traces so that a killed process leaves whole files or none.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use contextvars_spec::Trace;

/// Writes a trace to `path`: to a file beside it first, which then takes its name.
///
/// # Errors
///
/// If the folder cannot be made or written to.
pub fn write(path: &Path, trace: &Trace) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".trace-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(trace.to_json().map_err(io::Error::other)?.as_bytes())?;
    file.as_file().sync_all()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The file of a counterexample: one a signature, so that a duplicate finds its place taken.
#[must_use]
pub fn path_of(folder: &Path, signature: &str) -> PathBuf {
    folder.join(format!("{signature}.json"))
}

/// Every trace file in `paths`, folders searched through, sorted by name.
///
/// # Errors
///
/// If a path does not exist or a folder cannot be read.
pub fn find(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = paths.to_vec();
    while let Some(path) = pending.pop() {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot read `{}`: {error}; check the path", path.display()));
        if !std::fs::metadata(&path).map_err(named)?.is_dir() {
            found.push(path);
            continue;
        }
        for entry in std::fs::read_dir(&path).map_err(named)? {
            let entry = entry.map_err(named)?.path();
            let is_trace = entry.extension().is_some_and(|extension| extension == "json")
                && entry.file_name().is_some_and(|name| name != "schema.json");
            if entry.is_dir() || is_trace {
                pending.push(entry);
            }
        }
    }
    found.sort();
    Ok(found)
}
