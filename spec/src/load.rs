//! Reading a trace from a file, with errors that say where and how to mend it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::trace::Trace;
use crate::validate::{Problem, validate_steps};

/// The version of the trace format that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The largest trace file that is read, in bytes: some 500,000 steps, a thousand times what any
/// counterexample has needed, and small enough to hold in memory several times over.
pub const MAX_TRACE_BYTES: u64 = 64 << 20;

/// A trace file cannot be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}; check the path", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than [`MAX_TRACE_BYTES`].
    #[error("`{}` is larger than {MAX_TRACE_BYTES} bytes; split the trace", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another format version.
    #[error("`{}` has trace format {found}, and this program reads {FORMAT_VERSION}; use the program's version that wrote it", path.display())]
    WrongFormat {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u64,
    },
    /// The file is not JSON, or not of a trace's form.
    #[error("`{}` is not a trace: at `{place}`: {message}; `traces/schema.json` describes the format", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the document.
        place: String,
        /// What the parser found, with line and column.
        message: String,
    },
    /// The trace is of the right form and means nothing.
    #[error("`{}` is not a valid trace: at `steps[{step}]` (`{operation}`): {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The index of the step.
        step: usize,
        /// Its operation.
        operation: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// Reads and validates a trace file.
///
/// # Errors
///
/// [`LoadError`], which names the file, the place and the mend.
pub fn load_trace(path: &Path) -> Result<Trace, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let mut text = Vec::new();
    // The limit holds for pipes and growing files too, so it is on the reading.
    File::open(path).map_err(unreadable)?.take(MAX_TRACE_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_TRACE_BYTES {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    parse_trace(path, &text)
}

/// Parses and validates the text of a trace; `path` is what errors name.
///
/// # Errors
///
/// As [`load_trace`], except for those of reading.
pub fn parse_trace(path: &Path, text: &[u8]) -> Result<Trace, LoadError> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    // The version first: of another format nothing else can be told.
    if let Ok(Format { format: found }) = serde_json::from_slice(text)
        && found != u64::from(FORMAT_VERSION)
    {
        return Err(LoadError::WrongFormat { path: path.to_owned(), found });
    }
    let malformed = |place: String, message: String| LoadError::Malformed { path: path.to_owned(), place, message };
    let mut parser = serde_json::Deserializer::from_slice(text);
    let trace: Trace =
        serde_path_to_error::deserialize(&mut parser).map_err(|error| malformed(error.path().to_string(), error.inner().to_string()))?;
    parser.end().map_err(|error| malformed("the end".to_owned(), error.to_string()))?;
    validate_steps(&trace.steps).map_err(|(step, problem)| LoadError::Invalid {
        path: path.to_owned(),
        step,
        operation: trace.steps[step].operation.tag(),
        problem,
    })?;
    Ok(trace)
}
