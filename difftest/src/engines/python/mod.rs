//! Any Python interpreter, by an adapter that the interpreter itself runs.
//!
//! The adapter needs nothing but the interpreter's standard library and speaks the protocol of
//! [`contextvars_spec::Request`].

mod find;

use std::fs;
use std::path::Path;
use std::time::Duration;

use contextvars_spec::{Answer, Engine, EngineError, Finalizes, Identity, Observe, Operation, Outcome, Run, Step, Version};
use tempfile::TempDir;

use super::child::Child;
pub use find::{Found, LeftOut, find};

macro_rules! files {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("adapter/", $path)))),*] };
}

/// The adapter's files: their paths in its folder, and what they say.
const ADAPTER: &[(&str, &str)] = files![
    "__main__.py",
    "attempts.py",
    "capi.py",
    "errors.py",
    "interpreter.py",
    "operations/__init__.py",
    "operations/capi.py",
    "operations/contexts.py",
    "operations/objects.py",
    "operations/variables.py",
    "outcomes.py",
    "protocol.py",
    "session.py",
    "steering.py",
    "threads.py",
    "values.py",
    "watchers.py",
];

/// An interpreter in a process of its own.
#[derive(Debug)]
pub struct Python {
    child: Child,
    /// The adapter's folder, from which a process is started again after a crash. Removed when no process reads it:
    /// fields are dropped in their order.
    _adapter: TempDir,
}

impl Python {
    /// Starts the interpreter at a path, with options of its own, which may take so long to answer one trace;
    /// `name` is the engine's on the command line. The environment's `PYTHON*` variables are ignored, so that
    /// a run does not depend on them.
    ///
    /// # Errors
    ///
    /// If the adapter cannot be written, or the interpreter does not start or has no contextvars.
    pub fn start(name: &str, path: &str, options: &[&str], patience: Duration) -> Result<Self, EngineError> {
        let adapter = write_adapter().map_err(|error| EngineError {
            engine: name.to_owned(),
            reason: format!("cannot write its adapter to a temporary folder: {error}"),
        })?;
        let words = std::iter::once(path).chain(["-I"]).chain(options.iter().copied()).map(str::to_owned);
        let words = words.chain([adapter.path().to_string_lossy().into_owned()]).collect();
        Ok(Self { child: Child::start(name, words, patience)?, _adapter: adapter })
    }
}

/// An interpreter runs the folder, and keeps its bytecode there for the next start.
fn write_adapter() -> std::io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("difftest-").tempdir()?;
    for (path, content) in ADAPTER {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        fs::write(path, content)?;
    }
    Ok(folder)
}

impl Engine for Python {
    fn identity(&self) -> Identity {
        self.child.identity()
    }

    fn python_version(&self) -> Version {
        self.child.python_version()
    }

    fn steers_hashes(&self) -> bool {
        self.child.steers_hashes()
    }

    fn runs_programs(&self) -> bool {
        self.child.runs_programs()
    }

    fn finalizes(&self) -> Finalizes {
        self.child.finalizes()
    }

    fn distrust(&mut self) {
        self.child.distrust();
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let mut run = self.child.run(steps, observe)?;
        // Not every interpreter has the C API. Where a step would have changed something by it, what
        // follows starts from another state.
        let lost = |(step, answer): (&Step, &Answer)| answer.outcome == Outcome::Unsupported && leaves_a_mark(&step.operation);
        run.open_from = steps.iter().zip(&run.answers).position(lost);
        Ok(run)
    }
}

/// Whether the operation changes more than caches and `context_ver`.
fn leaves_a_mark(operation: &Operation) -> bool {
    !matches!(
        operation,
        Operation::CapiVarGet { .. }
            | Operation::Next { .. }
            | Operation::IteratorLen { .. }
            | Operation::Attempt { .. }
            | Operation::Cache { .. }
            | Operation::ContextVer {}
            | Operation::SetContextVer { .. }
            | Operation::HasCurrentContext {}
            | Operation::TokenEnter { .. }
    )
}

#[cfg(test)]
mod tests {
    use contextvars_spec::{ContextId, Object};

    use super::*;

    /// The Python files under a folder, by their paths in it.
    fn python_files(folder: &Path, under: &str) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder.join(under)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{under}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                found.extend(python_files(folder, &format!("{path}/")));
            } else if Path::new(&path).extension().is_some_and(|extension| extension == "py") {
                found.push(path);
            }
        }
        found.sort();
        found
    }

    #[test]
    fn every_file_of_the_adapter_reaches_the_interpreter() {
        let written = write_adapter().unwrap();
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engines/python/adapter");
        assert_eq!(python_files(written.path(), ""), python_files(&kept, ""));
    }

    #[test]
    fn what_cannot_be_carried_out_and_changes_the_state_is_told_from_what_only_looks() {
        let context = Object::Context(ContextId(0));
        assert!(leaves_a_mark(&Operation::Enter { context }));
        assert!(leaves_a_mark(&Operation::CapiCopyCurrent { context: ContextId(1) }));
        assert!(!leaves_a_mark(&Operation::HasCurrentContext {}));
    }
}
