//! What the tester asks of whoever answers traces.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::handle::{ContextId, TokenId, Value, ValueId, VariableId};
use crate::known_fault::KnownFault;
use crate::operation::Step;
use crate::outcome::Answer;
use crate::version::Version;

/// Who an engine is, for summaries and for the provenance of counterexamples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The engine's name on the command line.
    pub name: String,
    /// Its version, as it tells it.
    pub version: String,
}

/// How often a run records the whole observable state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    /// After every step: slow, and the first difference is where it arose.
    EveryStep,
    /// After every so many steps, and after the last.
    Every(usize),
}

impl Observe {
    /// Whether the state is recorded after step `index` of `count`.
    #[must_use]
    pub fn after(self, index: usize, count: usize) -> bool {
        match self {
            Self::EveryStep => true,
            Self::Every(interval) => index + 1 == count || (index + 1).is_multiple_of(interval.max(1)),
        }
    }
}

/// The bindings of one context, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedContext {
    /// The context.
    pub context: ContextId,
    /// Its variables and their values.
    pub bindings: Vec<(VariableId, Value)>,
}

/// The attributes of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedToken {
    /// The token.
    pub token: TokenId,
    /// Its variable.
    pub variable: VariableId,
    /// Its old value; `MISSING` also where there was none, as Python shows it.
    pub old_value: Value,
    /// Whether it has been used.
    pub used: bool,
}

/// Every context and token that the trace still holds, old snapshots included, by ascending handle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// The contexts.
    pub contexts: Vec<ObservedContext>,
    /// The tokens.
    pub tokens: Vec<ObservedToken>,
}

/// An operation of a run: a step's own, or one of a program that a step has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// The step; the number of steps for what happens when the trace is over.
    pub step: usize,
    /// The call of a program, and the operation in the program, both counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<(usize, usize)>,
}

/// A value with a finalizer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gone {
    /// The value.
    pub value: ValueId,
    /// The operation during which it went.
    pub during: Moment,
}

/// When an engine lets a value go that nothing leads to any more (FINAL-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizes {
    /// At once, inside the operation that gave the last reference up.
    AtOnce,
    /// At the end of that operation or of a later one; [`Run::gone`] tells of which.
    AsItTells,
    /// At some time that nobody is told of.
    AtSomeTime,
}

/// What an engine answered to a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// One answer a step.
    pub answers: Vec<Answer>,
    /// The recorded states, each with the index of the step before it.
    pub observations: Vec<(usize, Observation)>,
    /// The step from which on the rules leave the answers open (FINAL-1): they are not compared.
    pub open_from: Option<usize>,
    /// The known faults of CPython that the trace meets, each with the step that does. From there on an
    /// interpreter that has the fault is not compared.
    pub known_faults: Vec<(usize, KnownFault)>,
    /// The values with finalizers, in the order in which they went, where the engine tells.
    pub gone: Option<Vec<Gone>>,
    /// How the engine's process ended before it had answered, if it has one and it did.
    pub crash: Option<Crash>,
}

/// How a process ended that was to answer a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// A signal ended it.
    Signal(i32),
    /// It ended by itself, with this status.
    Exit(i32),
    /// It had not answered after this time, and was killed.
    Hang(Duration),
    /// The engine runs in the tester's own process, and panicked.
    Panic,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Exit(status) => write!(f, "exit status {status}"),
            Self::Hang(patience) => write!(f, "no answer in {patience:?}"),
            Self::Panic => f.write_str("a panic"),
        }
    }
}

/// What a process may take to answer one trace, and how many it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether every trace gets a process of its own; else one answers as many as it can.
    pub is_fresh: bool,
    /// How much time, if the engine itself allows as much.
    pub patience: Duration,
    /// How much memory for data, in bytes; all that there is, where none.
    pub memory: Option<u64>,
}

/// An engine could not answer a trace at all.
#[derive(Debug, Error)]
#[error("engine `{engine}` could not run the trace: {reason}")]
pub struct EngineError {
    /// The engine's name.
    pub engine: String,
    /// What happened.
    pub reason: String,
}

/// An implementation of the rules that answers traces.
///
/// An engine is handed whole traces, not single steps, because `Context.run` is a call: an engine
/// that nests it for real continues the trace inside the callable.
pub trait Engine {
    /// The engine's name and version.
    fn identity(&self) -> Identity;

    /// The Python version whose rules the engine follows; traces that require a newer one are not
    /// given to it.
    fn python_version(&self) -> Version;

    /// Whether the engine gives variables the hashes that traces give them, so that its order of
    /// iteration is comparable.
    fn steers_hashes(&self) -> bool {
        true
    }

    /// Whether the engine runs the programs that values and names carry. Traces that have some are not
    /// given to others.
    fn runs_programs(&self) -> bool {
        true
    }

    /// When a value goes. Traces with finalizers are not given to an engine of which nobody knows.
    fn finalizes(&self) -> Finalizes {
        Finalizes::AtOnce
    }

    /// Answers every step in order, from a fresh state.
    ///
    /// # Errors
    ///
    /// If the engine itself fails; an exception that an operation raises is an answer.
    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError>;

    /// The last trace may have damaged the engine's process, if it has one: it is not asked again, and the
    /// next trace gets another.
    fn distrust(&mut self) {}

    /// From now on processes have these limits, where there are any, and there is a new one. Answers whether the
    /// engine does so: it needs processes, and those that are quick to start.
    fn isolate(&mut self, limits: Option<Limits>) -> bool {
        let _ = limits;
        false
    }

    /// Answers every step as [`Engine::run`] does, but for the values with finalizers: they go during the
    /// operations that `gone` names, each if nothing leads to it any more. So an engine that lets them go
    /// late is held to all that finalizers see and do. None where the engine cannot.
    fn run_with_gone(&mut self, steps: &[Step], observe: Observe, gone: &[Gone]) -> Option<Run> {
        let _ = (steps, observe, gone);
        None
    }
}
