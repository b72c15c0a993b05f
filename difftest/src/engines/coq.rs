//! The formal model as an engine: the oracle that `make -C spec/coq oracle` builds.

use std::path::PathBuf;
use std::time::Duration;

use contextvars_spec::{Engine, EngineError, Identity, Observe, Run, Step, Version};

use super::child::Child;

/// Where the oracle is, if not where its Makefile puts it.
const VARIABLE: &str = "CONTEXTVARS_ORACLE";

/// The engine `coq`.
#[derive(Debug)]
pub struct Coq {
    oracle: Child,
}

impl Coq {
    /// The oracle's path, if it is built; what the environment names is taken to be.
    #[must_use]
    pub fn find() -> Option<PathBuf> {
        if let Some(named) = std::env::var_os(VARIABLE) {
            return Some(named.into());
        }
        let built = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/coq/_build/oracle"));
        built.exists().then_some(built)
    }

    /// Starts the oracle, which may take so long to answer one trace.
    ///
    /// # Errors
    ///
    /// If the process does not start or does not say hello.
    pub fn start(oracle: PathBuf, patience: Duration) -> Result<Self, EngineError> {
        let words = vec![oracle.into_os_string().to_string_lossy().into_owned()];
        Ok(Self { oracle: Child::start("coq", words, patience)? })
    }
}

impl Engine for Coq {
    fn identity(&self) -> Identity {
        Identity { name: "coq".to_owned(), version: self.oracle.identity().version }
    }

    fn python_version(&self) -> Version {
        self.oracle.python_version()
    }

    fn runs_programs(&self) -> bool {
        false
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        self.oracle.run(steps, observe)
    }
}
