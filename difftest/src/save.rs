//! Trace files: written so that a killed process leaves whole ones or none, and found again.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use contextvars_spec::Trace;

/// How files are named while they are written.
const UNFINISHED: (&str, &str) = (".trace-", ".tmp");

/// After how long an unfinished file has no writer any more: writing one takes milliseconds.
const STALE: Duration = Duration::from_secs(3600);

/// The longest name that becomes a file's, in bytes: file systems allow 255 with the ending.
const MAX_NAME: usize = 200;

/// Writes a trace to `path`: to a file beside it first, which then takes its name.
///
/// # Errors
///
/// If the folder cannot be made or written to.
pub fn write(path: &Path, trace: &Trace) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED.0).suffix(UNFINISHED.1).tempfile_in(folder)?;
    file.write_all(trace.to_json().map_err(io::Error::other)?.as_bytes())?;
    file.as_file().sync_all()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    // The name is the folder's: without this it may be lost with the machine's power.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Whether a counterexample could be written to a folder, which need not exist. Leaves nothing there.
///
/// # Errors
///
/// Why it could not.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    let nearest = folder.ancestors().find(|folder| folder.exists()).filter(|folder| !folder.as_os_str().is_empty());
    tempfile::Builder::new().prefix(UNFINISHED.0).suffix(UNFINISHED.1).tempfile_in(nearest.unwrap_or(Path::new("."))).map(drop)
}

/// Removes what killed processes left half written in a folder, an hour ago or longer.
///
/// # Errors
///
/// If the folder cannot be read; where there is none, there is nothing to remove.
pub fn remove_stale(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let unfinished = name.to_str().is_some_and(|name| name.starts_with(UNFINISHED.0) && name.ends_with(UNFINISHED.1));
        let age = |modified: SystemTime| modified.elapsed().unwrap_or_default();
        if unfinished && entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|modified| age(modified) > STALE) {
            // Another process may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// A name that is safe in every file system: what else it may hold becomes `-`, and of too long a one
/// the end becomes a number (FNV-1a), which still tells it from others.
#[must_use]
pub fn file_name(name: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' };
    let mut plain: String = name.chars().map(plain).collect();
    // A dot at the start would hide the file.
    if plain.starts_with('.') {
        plain.replace_range(..1, "-");
    }
    if plain.len() > MAX_NAME {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        plain.truncate(MAX_NAME);
        plain.push_str(&format!("-{hash:016x}"));
    }
    plain
}

/// The file of a counterexample: one a signature, so that a duplicate finds its place taken.
#[must_use]
pub fn path_of(folder: &Path, signature: &str) -> PathBuf {
    folder.join(format!("{}.json", file_name(signature)))
}

/// The order in which one of several traces of a signature is kept: the fewest steps, then the
/// shortest text, then the first by its text. Equal only for equal traces.
#[must_use]
pub fn rank(trace: &Trace) -> (usize, usize, String) {
    let text = trace.to_json().unwrap_or_default();
    (trace.steps.len(), text.len(), text)
}

/// Every trace file in `paths`, folders searched through, sorted by name. Of a folder these are the
/// files named `*.json`, without the schema; links to folders are not followed.
///
/// # Errors
///
/// If a path does not exist or a folder cannot be read.
pub fn find(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = HashSet::new();
    let mut folders = Vec::new();
    for path in paths {
        if std::fs::metadata(path).map_err(|error| unreadable(path, error))?.is_dir() {
            folders.push(path.clone());
        } else {
            found.insert(path.clone());
        }
    }
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))? {
            let entry = entry.map_err(|error| unreadable(&folder, error))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(|error| unreadable(&folder, error))?);
            let is_trace = path.extension().is_some_and(|extension| extension == "json") && entry.file_name() != "schema.json";
            if kind.is_dir() {
                folders.push(path);
            } else if is_trace && path.is_file() {
                found.insert(path);
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort();
    Ok(found)
}

fn unreadable(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read `{}`: {error}; check the path", path.display()))
}
