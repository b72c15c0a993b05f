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

/// The largest trace file that is read, in bytes: some 130,000 steps, hundreds of times what any
/// counterexample has needed, and small enough to hold in memory several times over.
pub const MAX_TRACE_BYTES: u64 = 16 << 20;

/// The longest message of a parser that is passed on, in characters: it may quote the whole file.
/// The longest that is of use lists all operations.
const MAX_MESSAGE: usize = 3_000;

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
    /// The path leads to a folder.
    #[error("`{}` is a folder; name a trace file in it", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file holds nothing.
    #[error("`{}` is empty; get the file again from where it was written", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is text of another encoding, or no text.
    #[error("`{}` is not UTF-8: at line {line} column {column}; save it as UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line of the first bad byte, from 1.
        line: usize,
        /// Its byte in that line, from 1.
        column: usize,
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

/// Reads and validates a trace file. Of a pipe it waits for the writer.
///
/// At the most [`MAX_TRACE_BYTES`] are read; a trace takes some ten times its file in memory.
///
/// # Errors
///
/// [`LoadError`], which names the file, the place and the mend.
pub fn load_trace(path: &Path) -> Result<Trace, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let too_large = || LoadError::TooLarge { path: path.to_owned() };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(LoadError::Folder { path: path.to_owned() });
    }
    if metadata.len() > MAX_TRACE_BYTES {
        return Err(too_large());
    }
    let mut text = Vec::new();
    // The limit holds for pipes, devices and growing files too, so it is on the reading as well.
    File::open(path).map_err(unreadable)?.take(MAX_TRACE_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_TRACE_BYTES {
        return Err(too_large());
    }
    parse_trace(path, &text)
}

/// Parses and validates the text of a trace; `path` is what errors name. A byte order mark is
/// passed over.
///
/// # Errors
///
/// As [`load_trace`], except for those of reading.
pub fn parse_trace(path: &Path, text: &[u8]) -> Result<Trace, LoadError> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    let text = std::str::from_utf8(text).map_err(|error| not_utf8(path, &text[..error.valid_up_to()]))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(LoadError::Empty { path: path.to_owned() });
    }
    // The version first: of another format nothing else can be told.
    if let Ok(Format { format: found }) = serde_json::from_str(text)
        && found != u64::from(FORMAT_VERSION)
    {
        return Err(LoadError::WrongFormat { path: path.to_owned(), found });
    }
    let malformed = |place: String, message: String| LoadError::Malformed {
        path: path.to_owned(),
        place: printable(&place),
        message: printable(&message),
    };
    let mut parser = serde_json::Deserializer::from_str(text);
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

fn not_utf8(path: &Path, before: &[u8]) -> LoadError {
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    LoadError::NotUtf8 { path: path.to_owned(), line, column }
}

/// A message that quotes a file, fit for a terminal: of bounded length, without control characters.
fn printable(message: &str) -> String {
    let clean = |part: &str| -> String {
        part.chars().flat_map(|one| if one.is_control() { one.escape_default().collect() } else { vec![one] }).collect()
    };
    if message.chars().nth(MAX_MESSAGE).is_none() {
        return clean(message);
    }
    // What was expected, and where, stands at the end.
    let beginning = message.char_indices().nth(MAX_MESSAGE / 10).map_or(message.len(), |(at, _)| at);
    let end = message.char_indices().nth_back(MAX_MESSAGE * 9 / 10).map_or(0, |(at, _)| at);
    format!("{} … {}", clean(&message[..beginning]), clean(&message[end..]))
}
