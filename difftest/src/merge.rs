//! Joining the counterexamples of many runs: one a signature, the smallest.

use std::collections::btree_map::{BTreeMap, Entry};
use std::io;
use std::path::{Path, PathBuf};

use contextvars_spec::{Trace, load_trace};
use serde::Serialize;
use thiserror::Error;

use crate::save;

/// A trace that stands in the folder now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// What broke.
    pub signature: String,
    /// Its file.
    pub file: PathBuf,
    /// Where it was.
    pub from: PathBuf,
    /// How many steps it has.
    pub steps: usize,
}

/// A file that was passed over; it is where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub error: String,
}

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// How many traces were read, those of the folder itself included.
    pub read: usize,
    /// How many of them gave way to another of their signature.
    pub duplicates: usize,
    /// The traces that were written.
    pub written: Vec<Kept>,
    /// The traces that were there already.
    pub unchanged: Vec<Kept>,
    /// The files that were passed over.
    pub bad: Vec<Bad>,
}

/// A merge could not be finished; what it had written is whole.
#[derive(Debug, Error)]
#[error("cannot write `{}`: {source}; name another folder with `--out`", file.display())]
pub struct MergeError {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Brings the smallest trace of every signature in `from` (files, and folders of them) and in `out`
/// to `out`, in the order of [`save::rank`], whatever the order of `from`. Nothing else is changed:
/// neither `from`, nor a file in `out` that is no trace or is named after another signature.
///
/// # Errors
///
/// If `out` cannot be written. Files that cannot be used are told in [`Merged::bad`].
pub fn merge(from: &[PathBuf], out: &Path) -> Result<Merged, MergeError> {
    let mut merged = Merged::default();
    let mut smallest: BTreeMap<PathBuf, Found> = BTreeMap::new();
    let there = out.to_owned();
    let folders = from.iter().chain(out.exists().then_some(&there));
    for folder in folders {
        match save::find(std::slice::from_ref(folder)) {
            Err(error) => merged.bad.push(Bad { file: folder.clone(), error: error.to_string() }),
            Ok(files) => files.into_iter().for_each(|file| read(file, out, &mut smallest, &mut merged)),
        }
    }
    for (file, found) in smallest {
        let kept = Kept { signature: found.signature, steps: found.trace.steps.len(), from: found.from, file };
        match load_trace(&kept.file) {
            Ok(old) if signature(&old) != Some(&kept.signature) => {
                let error = format!("`{}` has another signature than its name; rename that one", kept.file.display());
                merged.bad.push(Bad { file: kept.from, error });
            }
            Ok(old) if old == found.trace => merged.unchanged.push(kept),
            Err(error) if kept.file.exists() => {
                let error = format!("a file stands in its way, which is no trace; move that one: {error}");
                merged.bad.push(Bad { file: kept.from, error });
            }
            Ok(_) | Err(_) => {
                save::write(&kept.file, &found.trace).map_err(|source| MergeError { file: kept.file.clone(), source })?;
                merged.written.push(kept);
            }
        }
    }
    merged.bad.sort_by(|left, right| left.file.cmp(&right.file));
    merged.bad.dedup();
    Ok(merged)
}

struct Found {
    signature: String,
    trace: Trace,
    from: PathBuf,
}

fn signature(trace: &Trace) -> Option<&String> {
    trace.provenance.as_ref().map(|provenance| &provenance.signature).filter(|signature| !signature.is_empty())
}

fn read(from: PathBuf, out: &Path, smallest: &mut BTreeMap<PathBuf, Found>, merged: &mut Merged) {
    let bad = |error: String| Bad { file: from.clone(), error };
    let trace = match load_trace(&from) {
        Ok(trace) => trace,
        Err(error) => return merged.bad.push(bad(error.to_string())),
    };
    let Some(signature) = signature(&trace).cloned() else {
        return merged
            .bad
            .push(bad(format!("`{}` is no counterexample: it has no `provenance.signature`; copy it by hand", from.display())));
    };
    match smallest.entry(save::path_of(out, &signature)) {
        Entry::Vacant(place) => {
            place.insert(Found { signature, trace, from });
        }
        Entry::Occupied(mut place) => {
            let other = place.get_mut();
            if other.signature != signature {
                let error =
                    format!("`{}` has a signature that gives the file name of `{}`; change it", from.display(), other.from.display());
                return merged.bad.push(bad(error));
            }
            merged.duplicates += 1;
            if save::rank(&trace) < save::rank(&other.trace) {
                *other = Found { signature, trace, from };
            }
        }
    }
    merged.read += 1;
}
