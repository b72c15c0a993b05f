//! Outcomes: everything that an engine can answer.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::handle::{ContextId, Object, ThreadId, TokenId, Value, ValueId, VariableId, WatcherId};

/// What an operation answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// `None`, or success without an answer.
    None,
    /// An object.
    Object(Object),
    /// A variable and its value, from `items()`.
    Pair(VariableId, Value),
    /// A truth value.
    Bool(bool),
    /// A size, a count or an identifier.
    Count(u64),
    /// A variable's hash.
    Hash(i64),
    /// A text, with handles in the place of addresses.
    Text(Box<str>),
    /// `context_ver`.
    ContextVer(u64),
    /// `Context.run` has called its callable.
    Called,
    /// `PyContextVar_Get` succeeded and found no value.
    NotFound,
    /// The content of a lookup cache; empty where nothing is cached.
    Cache(Option<CacheEntry>),
    /// An exception.
    Error(Error),
    /// A handle that the operation needs is not bound, its thread has not started, or there is no open `Context.run`.
    Skipped,
    /// The engine does not know the operation and has changed nothing else than its rule says.
    Unsupported,
}

/// What a variable's lookup cache holds (CACHE-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheEntry {
    /// The cached value.
    pub value: Value,
    /// The thread that filled the cache.
    pub thread: ThreadId,
    /// That thread's `context_ver` at the time.
    pub context_ver: u64,
}

/// The type of a Python exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the variants are Python's own names")]
pub enum Exception {
    TypeError,
    ValueError,
    RuntimeError,
    LookupError,
    KeyError,
    AttributeError,
    StopIteration,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An exception: its kind, which fixes type and message, and its payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "fields are payloads; `Error::template` says where they show")]
pub enum Error {
    /// ENTER-3, RUN-3.
    AlreadyEntered { context: ContextId },
    /// EXIT-3, RUN-7.
    NotEntered { context: ContextId },
    /// EXIT-4, RUN-8.
    NotCurrent { context: ContextId },
    /// RESET-2.
    TokenUsed { token: TokenId },
    /// RESET-3.
    TokenOfOtherVariable { token: TokenId },
    /// RESET-4.
    TokenOfOtherContext { token: TokenId },
    /// RESET-1.
    TokenExpected { object: Object },
    /// CAPI-8.
    CapiTokenExpected,
    /// CAPI-6, CAPI-7, CAPI-8.
    CapiVariableExpected,
    /// CAPI-2, ENTER-2, EXIT-2.
    CapiContextExpected,
    /// MAP-6.
    KeyExpected { object: Object },
    /// GET-4: the variable is `args[0]`, the same object.
    Lookup { variable: VariableId },
    /// MAP-2: the variable is `args[0]`, the same object.
    Key { variable: VariableId },
    /// ITER-4.
    StopIteration,
    /// RUN-4: the exception that a `raise` raised.
    Raised,
    /// EQ-6: the exception that comparing with this value raised.
    EqualityRaised { value: ValueId },
    /// TOKEN-10.
    TokensOnlyByVariables,
    /// CONTEXT-2.
    ContextTakesNoArguments,
    /// RUN-2.
    CallableMissing,
    /// VAR-3.
    NameNotStr,
    /// WATCH-3.
    NoMoreWatchers,
    /// WATCH-5.
    InvalidWatcher { id: i32 },
    /// WATCH-6.
    WatcherNotSet { id: i32 },
    /// An exception whose message the rules leave open.
    Unspecified { exception: Exception },
    /// An exception that no rule knows.
    Other { exception: Box<str>, message: Box<str> },
}

impl Error {
    /// The type of the exception; absent for exceptions that the trace itself raises or no rule knows.
    #[must_use]
    pub fn exception(&self) -> Option<Exception> {
        Some(match self {
            Self::AlreadyEntered { .. }
            | Self::NotEntered { .. }
            | Self::NotCurrent { .. }
            | Self::TokenUsed { .. }
            | Self::TokensOnlyByVariables
            | Self::NoMoreWatchers => Exception::RuntimeError,
            Self::TokenOfOtherVariable { .. }
            | Self::TokenOfOtherContext { .. }
            | Self::InvalidWatcher { .. }
            | Self::WatcherNotSet { .. } => Exception::ValueError,
            Self::TokenExpected { .. }
            | Self::CapiTokenExpected
            | Self::CapiVariableExpected
            | Self::CapiContextExpected
            | Self::KeyExpected { .. }
            | Self::ContextTakesNoArguments
            | Self::CallableMissing
            | Self::NameNotStr => Exception::TypeError,
            Self::Lookup { .. } => Exception::LookupError,
            Self::Key { .. } => Exception::KeyError,
            Self::StopIteration => Exception::StopIteration,
            Self::Unspecified { exception } => *exception,
            Self::Raised | Self::EqualityRaised { .. } | Self::Other { .. } => return None,
        })
    }

    /// The message, with `%R` for the repr of [`Error::payload`] and `%d` for a number; absent where
    /// the exception's argument is not a text, or the rules leave the text open.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        Some(match self {
            Self::AlreadyEntered { .. } => "cannot enter context: %R is already entered",
            Self::NotEntered { .. } => "cannot exit context: %R has not been entered",
            Self::NotCurrent { .. } => "cannot exit context: thread state references a different context object",
            Self::TokenUsed { .. } => "%R has already been used once",
            Self::TokenOfOtherVariable { .. } => "%R was created by a different ContextVar",
            Self::TokenOfOtherContext { .. } => "%R was created in a different Context",
            Self::TokenExpected { .. } => "expected an instance of Token, got %R",
            Self::CapiTokenExpected => "an instance of Token was expected",
            Self::CapiVariableExpected => "an instance of ContextVar was expected",
            Self::CapiContextExpected => "an instance of Context was expected",
            Self::KeyExpected { .. } => "a ContextVar key was expected, got %R",
            Self::TokensOnlyByVariables => "Tokens can only be created by ContextVars",
            Self::ContextTakesNoArguments => "Context() does not accept any arguments",
            Self::CallableMissing => "run() missing 1 required positional argument",
            Self::NameNotStr => "context variable name must be a str",
            Self::NoMoreWatchers => "no more context watcher IDs available",
            Self::InvalidWatcher { .. } => "Invalid context watcher ID %d",
            Self::WatcherNotSet { .. } => "No context watcher set for ID %d",
            Self::Other { message, .. } => message,
            Self::Lookup { .. }
            | Self::Key { .. }
            | Self::StopIteration
            | Self::Raised
            | Self::EqualityRaised { .. }
            | Self::Unspecified { .. } => return None,
        })
    }

    /// The object that the message or the exception's argument shows.
    #[must_use]
    pub fn payload(&self) -> Option<Object> {
        Some(match *self {
            Self::AlreadyEntered { context } | Self::NotEntered { context } | Self::NotCurrent { context } => Object::Context(context),
            Self::TokenUsed { token } | Self::TokenOfOtherVariable { token } | Self::TokenOfOtherContext { token } => Object::Token(token),
            Self::TokenExpected { object } | Self::KeyExpected { object } => object,
            Self::Lookup { variable } | Self::Key { variable } => Object::Variable(variable),
            Self::EqualityRaised { value } => Object::Value(value),
            _ => return None,
        })
    }
}

/// A thread's current context, as a watcher sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CurrentContext {
    /// There is none: the pointer is NULL, and the watcher gets `None`.
    Null,
    /// A base context, or another that the trace has no name for.
    Unnamed,
    /// A context of the trace.
    Named(ContextId),
}

/// One call of a watcher (WATCH-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Who was called.
    pub watcher: WatcherId,
    /// The context that was current at the call.
    pub current: CurrentContext,
}

/// Why a program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The value was compared: `__eq__`.
    Compare,
    /// The last reference to the value went: `__del__`.
    Drop,
    /// The variable's name was hashed: `__hash__`.
    Hash,
}

/// One call of a program, and what its operations answered. Calls stand in the order in which they
/// began.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The value or variable whose program ran.
    pub of: Object,
    /// Why it ran.
    pub on: Trigger,
    /// What its operations answered.
    pub outcomes: Vec<Outcome>,
}

/// What an engine answers to one step: the outcome, and what watchers and programs saw meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The outcome.
    pub outcome: Outcome,
    /// The events, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// The calls of programs, in the order in which they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, events: Vec::new(), calls: Vec::new() }
    }
}
