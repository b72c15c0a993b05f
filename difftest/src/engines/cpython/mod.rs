//! The real CPython, embedded.
//!
//! Enter and exit go through the C API, everything that Python has a name for through Python, and
//! `Context.run` is nested for real: the callable carries the trace on. Each logical thread is a
//! thread of the operating system that holds one attachment for the trace's life, since the current
//! context of a thread that Python did not start ends with the attachment.

mod capi;
mod errors;
mod objects;
mod session;
mod watchers;

use std::sync::{Mutex, PoisonError};

use contextvars_spec::{Engine, EngineError, Identity, Observe, Run, Step, Version};
use pyo3::prelude::*;

/// Watchers and the collector's switch belong to the interpreter, so that traces take turns.
static TURN: Mutex<()> = Mutex::new(());

/// The engine `cpython`.
#[derive(Debug)]
pub struct CPython {
    version: String,
    python: Version,
}

fn failure(reason: impl ToString) -> EngineError {
    EngineError { engine: "cpython".to_owned(), reason: reason.to_string() }
}

impl CPython {
    /// Starts the interpreter, or takes the one that runs.
    ///
    /// # Errors
    ///
    /// If another libpython is loaded than the one that the build linked.
    pub fn new() -> Result<Self, EngineError> {
        // The thread that initializes the interpreter keeps its state for ever, so none that runs
        // traces may be it.
        let started = std::thread::spawn(|| {
            Python::attach(|py| {
                let version = py.version_info();
                (version.major, version.minor, version.patch)
            })
        });
        let (major, minor, patch) = started.join().map_err(|_| failure("the interpreter does not start; check the python installation"))?;
        let built = env!("CONTEXTVARS_PYTHON");
        if built != format!("{major}.{minor}") {
            return Err(failure(format!(
                "built for python `{built}` and loaded `{major}.{minor}`; set PYO3_PYTHON to the interpreter that is meant, and build again"
            )));
        }
        Ok(Self { version: format!("{major}.{minor}.{patch}"), python: Version { major, minor } })
    }
}

impl Engine for CPython {
    fn identity(&self) -> Identity {
        Identity { name: "cpython".to_owned(), version: self.version.clone() }
    }

    fn python_version(&self) -> Version {
        self.python
    }

    /// User code may crash the interpreter, and this one is the tester's own process.
    fn runs_programs(&self) -> bool {
        false
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        session::run(steps, observe).map_err(failure)
    }
}
