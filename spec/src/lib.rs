#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod engine;
mod handle;
mod known_fault;
mod load;
mod operation;
mod outcome;
mod protocol;
mod rule;
mod trace;
mod unique_keys;
mod validate;
mod version;

pub use engine::{
    Crash, Engine, EngineError, Finalizes, Gone, Identity, Limits, Moment, Observation, Observe, ObservedContext, ObservedToken, Run,
};
pub use handle::{
    ContextId, Handle, HandleError, IteratorId, Object, ReferenceId, ThreadId, TokenId, Value, ValueId, VariableId, WatcherId,
};
pub use known_fault::KnownFault;
pub use load::{FORMAT_VERSION, LoadError, MAX_TRACE_BYTES, load_trace, parse_trace};
pub use operation::{Action, Equality, Operation, Program, Step};
pub use outcome::{Answer, CacheEntry, Call, CurrentContext, Error, Event, Exception, Outcome, Trigger};
pub use protocol::{Hello, PROTOCOL_VERSION, Request, Response};
pub use rule::{Rule, RuleSet, UnknownRule};
pub use trace::{Provenance, Requirements, Trace};
pub use validate::{MAX_BINDINGS, MAX_NESTING, MAX_THREADS, Problem, validate_steps};
pub use version::{Version, VersionError};
