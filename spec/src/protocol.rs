//! The lines that the tester and an engine in a process of its own exchange.
//!
//! The engine prints a [`Hello`], then answers each [`Request`], one line of JSON, by a [`Response`],
//! one line of JSON, until its input ends. Every request starts from a fresh state.

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Finalizes, Gone, Identity, Observation, Observe, Run};
use crate::operation::Step;
use crate::outcome::Answer;
use crate::version::Version;

/// The version of the protocol that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// The first line of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the protocol.
    pub protocol: u32,
    /// Who answers.
    pub engine: Identity,
    /// The Python version whose rules the engine follows.
    pub python: Version,
    /// Whether variables get the hashes that traces give them; where not, order is compared as a set.
    #[serde(default = "yes")]
    pub steered: bool,
    /// Whether a value goes the moment that its last reference does (FINAL-1).
    #[serde(default = "yes")]
    pub finalizes_promptly: bool,
    /// Whether the responses of one that does not tell what went, and when.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tells_what_goes: bool,
}

fn yes() -> bool {
    true
}

impl Hello {
    /// The hello of an engine of this program.
    #[must_use]
    pub fn of(engine: &dyn Engine) -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            engine: engine.identity(),
            python: engine.python_version(),
            steered: engine.steers_hashes(),
            finalizes_promptly: engine.finalizes() == Finalizes::AtOnce,
            tells_what_goes: engine.finalizes() == Finalizes::AsItTells,
        }
    }

    /// When the engine lets values go.
    #[must_use]
    pub fn finalizes(&self) -> Finalizes {
        match (self.finalizes_promptly, self.tells_what_goes) {
            (true, _) => Finalizes::AtOnce,
            (false, true) => Finalizes::AsItTells,
            (false, false) => Finalizes::AtSomeTime,
        }
    }
}

/// A trace to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// After how many steps the whole state is recorded; it is after the last one too.
    pub observe: usize,
    /// How much memory the process may take for data, in bytes; all that there is, where none. A wish: what
    /// takes too much is found out sooner by an engine that has a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Request {
    /// The request to answer `steps` with so much `memory`, and to record the state as `observe` says.
    #[must_use]
    pub fn new(steps: &[Step], observe: Observe, memory: Option<u64>) -> Self {
        let observe = match observe {
            Observe::EveryStep => 1,
            Observe::Every(interval) => interval,
        };
        Self { observe, memory, steps: steps.to_vec() }
    }
}

/// What an engine answers to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Response {
    /// The answers, one a step, and the recorded states with the index of the step before each.
    Run {
        /// The answers.
        answers: Vec<Answer>,
        /// The states.
        observations: Vec<(usize, Observation)>,
        /// The values with finalizers, in the order in which they went, of an engine that tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gone: Option<Vec<Gone>>,
    },
    /// The engine itself failed.
    Failure {
        /// Why.
        failure: String,
    },
}

impl From<Run> for Response {
    fn from(run: Run) -> Self {
        Self::Run { answers: run.answers, observations: run.observations, gone: run.gone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::{ContextId, ThreadId, Value, VariableId};
    use crate::operation::Operation;

    #[test]
    fn lines_are_as_documented() {
        let steps = [Step::new(ThreadId::MAIN, Operation::Context { context: ContextId(0) })];
        for (memory, line) in [
            (None, r#"{"observe":1,"steps":[{"op":"Context","as":"ctx0"}]}"#),
            (Some(4096), r#"{"observe":1,"memory":4096,"steps":[{"op":"Context","as":"ctx0"}]}"#),
        ] {
            let request = Request::new(&steps, Observe::EveryStep, memory);
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }

        let line = r#"{"answers":[{"outcome":"none"}],"observations":[[0,{"contexts":[{"context":"ctx0","bindings":[["var0","val1"]]}],"tokens":[]}]]}"#;
        let response: Response = serde_json::from_str(line).unwrap();
        let Response::Run { observations, .. } = &response else { panic!("{response:?}") };
        assert_eq!(observations[0].1.contexts[0].bindings, [(VariableId(0), "val1".parse::<Value>().unwrap())]);
        assert_eq!(serde_json::to_string(&response).unwrap(), line);

        let hello: Hello = serde_json::from_str(r#"{"protocol":1,"engine":{"name":"coq","version":"0.1.0"},"python":"3.14"}"#).unwrap();
        assert!(hello.steered && hello.finalizes() == Finalizes::AtOnce);
        let line = r#"{"answers":[],"observations":[],"gone":[{"value":"val0","during":{"step":0}},{"value":"val1","during":{"step":0,"within":[0,1]}}]}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Response>(line).unwrap()).unwrap(), line);
    }
}
