//! Operations: everything that a trace can ask of an engine.

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json};

use crate::handle::{ContextId, Handle, IteratorId, Object, ReferenceId, ThreadId, TokenId, Value, ValueId, VariableId, WatcherId};
use crate::outcome::{Call, Event, Outcome};
use crate::unique_keys::UniqueKeys;
use crate::version::Version;

/// How a value answers `==`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Equality {
    /// Equal to no other object, and to itself only by identity; like a NaN, `v == v` is false.
    Never,
    /// Equal to every value of the same group.
    Group(u32),
    /// Every comparison raises.
    Raises,
}

/// What Python's surface allows or forbids, beyond the calls that have an operation of their own.
///
/// These are properties of types and of argument parsing. A library in a statically typed language
/// answers `unsupported` to most of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `type(o)(1, z=2)`, a keyword that nothing knows.
    ConstructWithUnknownKeyword,
    /// `ContextVar(1)`.
    ConstructWithNameNotStr,
    /// `ContextVar(n)`, where `n` counts how often it is hashed; answers the count.
    CountNameHashes,
    /// `type(o)()`.
    Construct,
    /// `type(o)[int]`; answers the name of the result's type.
    Subscript,
    /// `class S(type(o)): pass`.
    Subclass,
    /// `weakref.ref(o)`.
    WeakReference,
    /// `pickle.dumps(o)`.
    Pickle,
    /// `copy.copy(o)`.
    CopyCopy,
    /// `o.something = 1`.
    SetAttribute,
    /// `o.name = 1` on a variable, `o.var = 1` on a token.
    SetReadOnly,
    /// `o[k] = 1`.
    SetItem,
    /// `o < o`.
    Order,
    /// `bool(o)`.
    Truth,
    /// `isinstance(o, collections.abc.Mapping)`.
    IsMapping,
    /// `o.run()`.
    RunWithoutCallable,
    /// `o.run(f, callable=1, self=2)`; answers how many keyword arguments `f` got.
    RunWithKeywords,
    /// `o.run(1)`.
    RunNotCallable,
    /// `o.__exit__()`.
    ExitWithoutArguments,
}

/// One operation. The tag is CPython's name where there is one.
///
/// A handle that an operation makes stands in its field `as`. Where the operation fails, the handle
/// stays unbound, and a later operation that needs it answers `skipped`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", deny_unknown_fields)]
#[allow(missing_docs, reason = "fields are operands; the variant's text says what they are for")]
pub enum Operation {
    /// Makes an object to bind, with its own idea of equality, and programs that run when it is compared and when it goes.
    #[serde(rename = "value")]
    Value {
        equality: Equality,
        #[serde(default, skip_serializing_if = "Program::is_empty")]
        on_compare: Program,
        #[serde(default, skip_serializing_if = "Program::is_empty")]
        on_drop: Program,
        #[serde(rename = "as")]
        name: ValueId,
    },
    /// `ContextVar(name, *, default)`. `hash` is the variable's 64-bit hash, which engines must use; without it the engine chooses, and iteration order is compared as a set. `on_hash` runs when the name is hashed.
    #[serde(rename = "ContextVar")]
    ContextVar {
        name: Box<str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
        #[serde(default, skip_serializing_if = "Program::is_empty")]
        on_hash: Program,
        #[serde(rename = "as")]
        variable: VariableId,
    },
    /// `var.get()` or `var.get(default)`.
    #[serde(rename = "ContextVar.get")]
    VarGet {
        variable: VariableId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
    },
    /// `var.set(value)`.
    #[serde(rename = "ContextVar.set")]
    VarSet {
        variable: VariableId,
        value: Value,
        #[serde(rename = "as")]
        token: TokenId,
    },
    /// `var.reset(token)`.
    #[serde(rename = "ContextVar.reset")]
    VarReset { variable: VariableId, token: Object },
    /// `var.name`.
    #[serde(rename = "ContextVar.name")]
    VarName { variable: VariableId },
    /// `token.var`.
    #[serde(rename = "Token.var")]
    TokenVar { token: TokenId },
    /// `token.old_value`.
    #[serde(rename = "Token.old_value")]
    TokenOldValue { token: TokenId },
    /// `token.__enter__()`.
    #[serde(rename = "Token.__enter__")]
    TokenEnter { token: TokenId },
    /// `token.__exit__(None, None, None)`.
    #[serde(rename = "Token.__exit__")]
    TokenExit { token: TokenId },
    /// `Context()`.
    #[serde(rename = "Context")]
    Context {
        #[serde(rename = "as")]
        context: ContextId,
    },
    /// `copy_context()`.
    #[serde(rename = "copy_context")]
    CopyContext {
        #[serde(rename = "as")]
        context: ContextId,
    },
    /// `context.copy()`.
    #[serde(rename = "Context.copy")]
    ContextCopy {
        source: ContextId,
        #[serde(rename = "as")]
        context: ContextId,
    },
    /// `context.run(f)`: what follows in this thread is the body of `f`, up to its `return` or `raise`.
    #[serde(rename = "Context.run")]
    Run { context: ContextId },
    /// The callable of the innermost open `Context.run` of this thread returns `None`; answers what `run` answers.
    #[serde(rename = "return")]
    Return {},
    /// The callable of the innermost open `Context.run` of this thread raises; answers what `run` answers.
    #[serde(rename = "raise")]
    Raise {},
    /// `context[key]`.
    #[serde(rename = "Context.__getitem__")]
    GetItem { context: ContextId, key: Object },
    /// `key in context`.
    #[serde(rename = "Context.__contains__")]
    Contains { context: ContextId, key: Object },
    /// `context.get(key)` or `context.get(key, default)`.
    #[serde(rename = "Context.get")]
    ContextGet {
        context: ContextId,
        key: Object,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
    },
    /// `len(context)`.
    #[serde(rename = "Context.__len__")]
    ContextLen { context: ContextId },
    /// `iter(context)`.
    #[serde(rename = "Context.__iter__")]
    Iter {
        context: ContextId,
        #[serde(rename = "as")]
        iterator: IteratorId,
    },
    /// `context.keys()`.
    #[serde(rename = "Context.keys")]
    Keys {
        context: ContextId,
        #[serde(rename = "as")]
        iterator: IteratorId,
    },
    /// `context.values()`.
    #[serde(rename = "Context.values")]
    Values {
        context: ContextId,
        #[serde(rename = "as")]
        iterator: IteratorId,
    },
    /// `context.items()`.
    #[serde(rename = "Context.items")]
    Items {
        context: ContextId,
        #[serde(rename = "as")]
        iterator: IteratorId,
    },
    /// `next(iterator)`.
    #[serde(rename = "next")]
    Next { iterator: IteratorId },
    /// `len(iterator)`.
    #[serde(rename = "len")]
    IteratorLen { iterator: IteratorId },
    /// `left == right`.
    #[serde(rename = "==")]
    Equal { left: Object, right: Object },
    /// `left != right`.
    #[serde(rename = "!=")]
    NotEqual { left: Object, right: Object },
    /// `repr(object)`, with handles in the place of addresses.
    #[serde(rename = "repr")]
    Repr { object: Object },
    /// `hash(object)`: a variable's is answered, and compared where every hash is steered; of others only that there is one.
    #[serde(rename = "hash")]
    Hash { object: Object },
    /// Tries what the surface of Python allows or forbids.
    #[serde(rename = "attempt")]
    Attempt { action: Action, object: Object },
    /// `weakref.ref(context)`.
    #[serde(rename = "weakref.ref")]
    WeakReference {
        context: ContextId,
        #[serde(rename = "as")]
        reference: ReferenceId,
    },
    /// `reference()`: the context, or `None` once it is gone.
    #[serde(rename = "dereference")]
    Dereference { reference: ReferenceId },
    /// `del name`: the trace's own reference goes, and with the last one the object.
    #[serde(rename = "del")]
    Drop { object: Object },
    /// `PyContext_New()`.
    #[serde(rename = "PyContext_New")]
    CapiNew {
        #[serde(rename = "as")]
        context: ContextId,
    },
    /// `PyContext_Copy(source)`.
    #[serde(rename = "PyContext_Copy")]
    CapiCopy {
        source: Object,
        #[serde(rename = "as")]
        context: ContextId,
    },
    /// `PyContext_CopyCurrent()`.
    #[serde(rename = "PyContext_CopyCurrent")]
    CapiCopyCurrent {
        #[serde(rename = "as")]
        context: ContextId,
    },
    /// `PyContext_Enter(context)`.
    #[serde(rename = "PyContext_Enter")]
    Enter { context: Object },
    /// `PyContext_Exit(context)`.
    #[serde(rename = "PyContext_Exit")]
    Exit { context: Object },
    /// `PyContextVar_New(name, default)`. CPython chooses the hash.
    #[serde(rename = "PyContextVar_New")]
    CapiVarNew {
        name: Box<str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
        #[serde(rename = "as")]
        variable: VariableId,
    },
    /// `PyContextVar_Get(variable, default, &value)`.
    #[serde(rename = "PyContextVar_Get")]
    CapiVarGet {
        variable: Object,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
    },
    /// `PyContextVar_Set(variable, value)`.
    #[serde(rename = "PyContextVar_Set")]
    CapiVarSet {
        variable: Object,
        value: Value,
        #[serde(rename = "as")]
        token: TokenId,
    },
    /// `PyContextVar_Reset(variable, token)`.
    #[serde(rename = "PyContextVar_Reset")]
    CapiVarReset { variable: Object, token: Object },
    /// `PyContext_AddWatcher(callback)`; a failing callback raises after it has seen the event. Answers the identifier.
    #[serde(rename = "PyContext_AddWatcher")]
    AddWatcher {
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fails: bool,
        #[serde(rename = "as")]
        watcher: WatcherId,
    },
    /// `PyContext_ClearWatcher(id)`, with CPython's number.
    #[serde(rename = "PyContext_ClearWatcher")]
    ClearWatcher { id: i32 },
    /// Starts a thread whose current context is NULL, as `_thread.start_new_thread` does.
    #[serde(rename = "start_new_thread")]
    StartThread {
        #[serde(rename = "as")]
        started: ThreadId,
    },
    /// The thread's callables return, innermost first, and the thread ends; what it entered otherwise stays entered.
    #[serde(rename = "end_thread")]
    EndThread {},
    /// Reads the variable's lookup cache: the value and its stamp.
    #[serde(rename = "cache")]
    Cache { variable: VariableId },
    /// Reads the thread's `context_ver`.
    #[serde(rename = "context_ver")]
    ContextVer {},
    /// Overwrites the thread's `context_ver`, to reach its wrap-around.
    #[serde(rename = "set_context_ver")]
    SetContextVer { context_ver: u64 },
    /// Whether the thread has a current context: enters a fresh context, looks for a previous one, and exits it.
    #[serde(rename = "has_current_context")]
    HasCurrentContext {},
}

/// User code that an operation calls back into: operations, carried out by the thread that calls.
///
/// What a program may do is what [`Operation::fits_program`] says. A program that is running does not
/// run again, and of one step no more than [`Program::MAX_CALLS`] run, so that every step ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Program(pub Box<[Operation]>);

impl Program {
    /// How many programs one step may run. Faults by calling back need one or two calls; values that
    /// compare with one another could make thousands.
    pub const MAX_CALLS: usize = 24;

    /// Whether there is nothing to run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Operation {
    /// The operation's tag in a trace.
    #[must_use]
    pub fn tag(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Json::Object(map)) => map.get("op").and_then(Json::as_str).unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }

    /// The first Python version that has the operation.
    #[must_use]
    pub fn since(&self) -> Version {
        match self {
            Self::TokenEnter { .. } | Self::TokenExit { .. } | Self::AddWatcher { .. } | Self::ClearWatcher { .. } => Version::V3_14,
            Self::Attempt { action, .. } => match action {
                Action::ExitWithoutArguments | Action::IsMapping => Version::V3_14,
                Action::Subscript => Version { major: 3, minor: 9 },
                _ => Version::FIRST,
            },
            _ => Version::FIRST,
        }
    }

    /// The handle that the operation makes, if it succeeds.
    #[must_use]
    pub fn definition(&self) -> Option<Handle> {
        Some(match *self {
            Self::Value { name, .. } => Handle::Value(name),
            Self::ContextVar { variable, .. } | Self::CapiVarNew { variable, .. } => Handle::Variable(variable),
            Self::VarSet { token, .. } | Self::CapiVarSet { token, .. } => Handle::Token(token),
            Self::Context { context }
            | Self::CopyContext { context }
            | Self::ContextCopy { context, .. }
            | Self::CapiNew { context }
            | Self::CapiCopy { context, .. }
            | Self::CapiCopyCurrent { context } => Handle::Context(context),
            Self::Iter { iterator, .. } | Self::Keys { iterator, .. } | Self::Values { iterator, .. } | Self::Items { iterator, .. } => {
                Handle::Iterator(iterator)
            }
            Self::WeakReference { reference, .. } => Handle::Reference(reference),
            Self::AddWatcher { watcher, .. } => Handle::Watcher(watcher),
            Self::StartThread { started } => Handle::Thread(started),
            _ => return None,
        })
    }

    /// The programs that the operation hands over.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        let programs = match self {
            Self::Value { on_compare, on_drop, .. } => [Some(on_compare), Some(on_drop)],
            Self::ContextVar { on_hash, .. } => [Some(on_hash), None],
            _ => [None, None],
        };
        programs.into_iter().flatten().filter(|program| !program.is_empty())
    }

    /// Keeps of the programs that the operation hands over the operations for which `keep` holds.
    pub fn retain_in_programs(&mut self, keep: impl Fn(&Self) -> bool) {
        let retain = |program: &mut Program| {
            if !program.0.iter().all(&keep) {
                program.0 = std::mem::take(&mut program.0).into_iter().filter(&keep).collect();
            }
        };
        match self {
            Self::Value { on_compare, on_drop, .. } => [on_compare, on_drop].into_iter().for_each(retain),
            Self::ContextVar { on_hash, .. } => retain(on_hash),
            _ => {}
        }
    }

    /// Whether a program may have the operation: it begins and ends no callable and no thread, adds
    /// and clears no watcher, makes no value and no variable, and does not look at `context_ver`.
    #[must_use]
    pub fn fits_program(&self) -> bool {
        !matches!(
            self,
            Self::Value { .. }
                | Self::ContextVar { .. }
                | Self::CapiVarNew { .. }
                | Self::Run { .. }
                | Self::Return {}
                | Self::Raise {}
                | Self::Attempt { .. }
                | Self::AddWatcher { .. }
                | Self::ClearWatcher { .. }
                | Self::StartThread { .. }
                | Self::EndThread {}
                | Self::ContextVer {}
                | Self::SetContextVer { .. }
                | Self::HasCurrentContext {}
        )
    }

    /// The handles that the operation needs, in the order of its fields.
    pub fn uses(&self) -> impl Iterator<Item = Handle> + use<> {
        let value = |value: Option<Value>| value.and_then(|value| Object::from(value).handle());
        let variable = |variable| Some(Handle::Variable(variable));
        let context = |context| Some(Handle::Context(context));
        let uses = match *self {
            Self::ContextVar { default, .. } | Self::CapiVarNew { default, .. } => [value(default), None, None],
            Self::VarGet { variable: of, default } => [variable(of), value(default), None],
            Self::VarSet { variable: of, value: bound, .. } => [variable(of), value(Some(bound)), None],
            Self::VarReset { variable: of, token } => [variable(of), token.handle(), None],
            Self::VarName { variable: of } | Self::Cache { variable: of } => [variable(of), None, None],
            Self::TokenVar { token } | Self::TokenOldValue { token } | Self::TokenEnter { token } | Self::TokenExit { token } => {
                [Some(Handle::Token(token)), None, None]
            }
            Self::ContextCopy { source: of, .. }
            | Self::Run { context: of }
            | Self::ContextLen { context: of }
            | Self::Iter { context: of, .. }
            | Self::Keys { context: of, .. }
            | Self::Values { context: of, .. }
            | Self::Items { context: of, .. }
            | Self::WeakReference { context: of, .. } => [context(of), None, None],
            Self::GetItem { context: of, key } | Self::Contains { context: of, key } => [context(of), key.handle(), None],
            Self::ContextGet { context: of, key, default } => [context(of), key.handle(), value(default)],
            Self::Next { iterator } | Self::IteratorLen { iterator } => [Some(Handle::Iterator(iterator)), None, None],
            Self::Equal { left, right } | Self::NotEqual { left, right } => [left.handle(), right.handle(), None],
            Self::Repr { object } | Self::Hash { object } | Self::Attempt { object, .. } | Self::Drop { object } => {
                [object.handle(), None, None]
            }
            Self::Dereference { reference } => [Some(Handle::Reference(reference)), None, None],
            Self::CapiCopy { source: of, .. } | Self::Enter { context: of } | Self::Exit { context: of } => [of.handle(), None, None],
            Self::CapiVarGet { variable: of, default } => [of.handle(), value(default), None],
            Self::CapiVarSet { variable: of, value: bound, .. } => [of.handle(), value(Some(bound)), None],
            Self::CapiVarReset { variable: of, token } => [of.handle(), token.handle(), None],
            Self::Value { .. }
            | Self::Context { .. }
            | Self::CopyContext { .. }
            | Self::Return {}
            | Self::Raise {}
            | Self::CapiNew { .. }
            | Self::CapiCopyCurrent { .. }
            | Self::AddWatcher { .. }
            | Self::ClearWatcher { .. }
            | Self::StartThread { .. }
            | Self::EndThread {}
            | Self::ContextVer {}
            | Self::SetContextVer { .. }
            | Self::HasCurrentContext {} => [None, None, None],
        };
        uses.into_iter().flatten()
    }
}

/// One operation on one thread, with what it answered if that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Step {
    /// The thread that carries the operation out; `thread0` where absent.
    #[serde(default = "main_thread", skip_serializing_if = "ThreadId::is_main")]
    pub thread: ThreadId,
    /// The operation.
    #[serde(flatten)]
    pub operation: Operation,
    /// The recorded outcome, which replay compares every engine with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The recorded events that watchers saw during the operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// The recorded calls of programs during the operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
}

fn main_thread() -> ThreadId {
    ThreadId::MAIN
}

impl Step {
    /// A step whose outcome is not recorded.
    #[must_use]
    pub fn new(thread: ThreadId, operation: Operation) -> Self {
        Self { thread, operation, outcome: None, events: Vec::new(), calls: Vec::new() }
    }
}

// Written out because serde cannot refuse unknown fields beside a flattened one.
impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let UniqueKeys(mut fields) = UniqueKeys::deserialize(deserializer)?;
        Ok(Self {
            thread: taken(&mut fields, "thread")?.unwrap_or(ThreadId::MAIN),
            outcome: taken(&mut fields, "outcome")?,
            events: taken(&mut fields, "events")?.unwrap_or_default(),
            calls: taken(&mut fields, "calls")?.unwrap_or_default(),
            operation: serde_json::from_value(Json::Object(fields)).map_err(D::Error::custom)?,
        })
    }
}

/// A field of a step, if it is there; an error says where in it.
fn taken<T: DeserializeOwned, E: serde::de::Error>(fields: &mut Map<String, Json>, name: &str) -> Result<Option<T>, E> {
    let Some(value) = fields.remove(name) else { return Ok(None) };
    serde_path_to_error::deserialize(value).map(Some).map_err(|error| {
        let place = match error.path().to_string() {
            root if root == "." => name.to_owned(),
            inner if inner.starts_with('[') => format!("{name}{inner}"),
            inner => format!("{name}.{inner}"),
        };
        E::custom(format!("in `{place}`: {}", error.inner()))
    })
}
