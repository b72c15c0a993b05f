//! Traces: a sequence of steps that explains itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Identity;
use crate::load::FORMAT_VERSION;
use crate::operation::{Operation, Step};
use crate::outcome::Answer;
use crate::rule::Rule;
use crate::version::Version;

/// What an engine must have to be given a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// The oldest Python version that has everything in the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<Version>,
}

impl Requirements {
    /// Whether nothing is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.python.is_none()
    }
}

/// Where a counterexample comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The seed of the run that found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The number of the case in that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<u64>,
    /// The generator's settings, for a reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// The engines that took part.
    pub engines: Vec<Identity>,
    /// The index of the step where they part.
    pub step: usize,
    /// What each engine answered there, in the order of `engines`; empty where a state differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// What differs, in a sentence.
    pub difference: String,
    /// What broke, in a form by which duplicates are recognised; also the file's name.
    pub signature: String,
}

/// A trace: what a file under `traces/` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The version of the format.
    pub format: u32,
    /// What the trace shows, in a sentence.
    pub title: String,
    /// The rules that it was written to exercise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// What an engine needs.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requires: Requirements,
    /// Where a counterexample comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// The steps, in the order in which they happen.
    pub steps: Vec<Step>,
}

impl Trace {
    /// A trace of the current format, which requires what its steps require.
    #[must_use]
    pub fn new(title: impl Into<String>, steps: Vec<Step>) -> Self {
        let requires = required(&steps);
        Self { format: FORMAT_VERSION, title: title.into(), rules: Vec::new(), requires, provenance: None, steps }
    }

    /// The oldest Python version that the trace runs on.
    #[must_use]
    pub fn since(&self) -> Version {
        self.requires.python.unwrap_or(Version::FIRST).max(required(&self.steps).python.unwrap_or(Version::FIRST))
    }

    /// What an engine must have to be given the trace, in words that follow "which" or "the trace".
    #[must_use]
    pub fn needs(&self) -> String {
        let calls_back = self.steps.iter().any(|step| step.operation.programs().next().is_some());
        let user_code = if calls_back { " and user code in a process of its own" } else { "" };
        format!("requires python {}{user_code}", self.since())
    }

    /// The trace as indented JSON, with a final newline.
    ///
    /// # Errors
    ///
    /// Never for a trace that was loaded or generated; the type is `serde_json`'s.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

fn required(steps: &[Step]) -> Requirements {
    let since = steps.iter().map(|step| step.operation.since()).max();
    Requirements { python: since.filter(|since| *since > Version::FIRST) }
}

impl Trace {
    /// Whether every variable has the hash that the trace gives it, so that order is comparable.
    #[must_use]
    pub fn is_steered(steps: &[Step]) -> bool {
        !steps.iter().any(|step| matches!(step.operation, Operation::ContextVar { hash: None, .. } | Operation::CapiVarNew { .. }))
    }
}
