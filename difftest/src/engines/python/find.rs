//! The search for interpreters: on PATH and under pyenv. None is ever assumed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What an interpreter tells of itself: that it has contextvars, who it is, and where it really is.
const QUESTION: &str = "import contextvars, os, sys; \
    print(sys.implementation.name, '%d.%d.%d' % sys.version_info[:3], os.path.realpath(sys.executable))";

/// An interpreter that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The implementation's name, such as `cpython`.
    pub implementation: String,
    /// The version of the language.
    pub version: Vec<u32>,
    /// How it is started.
    pub path: PathBuf,
}

/// A file that has the name of an interpreter and is none that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// The interpreters on PATH and under pyenv, each once, by implementation and version; and the files
/// that look like one and do not work.
#[must_use]
pub fn find() -> (Vec<Found>, Vec<LeftOut>) {
    let pyenv = pyenv_root();
    let shims = pyenv.as_deref().map(|root| root.join("shims"));
    let mut candidates = Vec::new();
    if let Some(root) = &pyenv {
        candidates
            .extend(entries(&root.join("versions")).into_iter().map(|version| version.join("bin/python")).filter(|path| path.exists()));
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    // pyenv's shims stand for the versions that are listed already, and work for the chosen ones alone.
    let folders = std::env::split_paths(&on_path).filter(|folder| Some(folder) != shims.as_ref());
    candidates.extend(folders.flat_map(|folder| entries(&folder)).filter(|path| path.file_name().is_some_and(is_interpreter)));

    let mut found = BTreeMap::new();
    let mut left_out = Vec::new();
    let mut asked = std::collections::BTreeSet::new();
    for path in candidates {
        // Links to one file need not be asked one by one.
        if !asked.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            continue;
        }
        match ask(&path) {
            Ok((implementation, version, real)) => {
                found.entry(real).or_insert(Found { implementation, version, path });
            }
            Err(reason) => left_out.push(LeftOut { path, reason }),
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort();
    (found, left_out)
}

/// The files of a folder, by name; none where it cannot be read, as PATH may name what is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// `python3`, `python3.11`, `python3.14t`, `pypy3`, `pypy3.9`, `rustpython`, also with `.exe`.
fn is_interpreter(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let name = name.strip_suffix(".exe").unwrap_or(name);
    let Some(rest) = name.strip_prefix("python3").or_else(|| name.strip_prefix("pypy3")) else { return name == "rustpython" };
    let Some(minor) = rest.strip_prefix('.') else { return rest.is_empty() };
    let minor = minor.strip_suffix('t').unwrap_or(minor);
    !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
}

fn pyenv_root() -> Option<PathBuf> {
    if let Some(root) = std::env::var_os("PYENV_ROOT") {
        return Some(root.into());
    }
    let output = Command::new("pyenv").arg("root").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let root = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !root.trim().is_empty()).then(|| root.trim().into())
}

/// Implementation, version and real path of the interpreter at a path.
fn ask(path: &Path) -> Result<(String, Vec<u32>, String), String> {
    let output = Command::new(path)
        .args(["-I", "-c", QUESTION])
        // The embedding's own, where it is set: it would lead another interpreter astray.
        .env_remove("PYTHONHOME")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("it does not start: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(complaint.trim().lines().last().unwrap_or("it fails and does not say why").to_owned());
    }
    let answer = String::from_utf8_lossy(&output.stdout);
    let mut words = answer.trim().splitn(3, ' ');
    let (implementation, version, real) = (words.next(), words.next(), words.next());
    let version: Option<Vec<u32>> = version.and_then(|version| version.split('.').map(|number| number.parse().ok()).collect());
    match (implementation, version, real) {
        (Some(implementation), Some(version), Some(real)) => Ok((implementation.to_owned(), version, real.to_owned())),
        _ => Err(format!("it answers `{}` when it is asked who it is", answer.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_interpreters_are_told_from_those_of_their_tools() {
        for name in ["python3", "python3.7", "python3.14t", "pypy3", "pypy3.11", "rustpython", "python3.12.exe"] {
            assert!(is_interpreter(OsStr::new(name)), "{name}");
        }
        for name in ["python", "python2.7", "python3-config", "python3.11-config", "python3.", "python3.t", "pypy", "pypy3-config"] {
            assert!(!is_interpreter(OsStr::new(name)), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_does_not_work_is_left_out_with_the_reason() {
        let error = ask(Path::new("/nonexistent/python3")).unwrap_err();
        assert!(error.starts_with("it does not start"), "{error}");
        assert_eq!(ask(Path::new("/bin/false")).unwrap_err(), "it fails and does not say why");
        let error = ask(Path::new("/bin/echo")).unwrap_err();
        assert!(error.starts_with("it answers `-I -c import"), "{error}");
    }
}
