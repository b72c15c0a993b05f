//! The objects of the model, and the tables that name them.

use std::collections::BTreeMap;

use contextvars_spec::{
    CacheEntry, ContextId, Equality, Handle, IteratorId, Program, ReferenceId, ThreadId, TokenId, Value, ValueId, VariableId, WatcherId,
};

use crate::bindings::Bindings;
use crate::programs::Pin;

/// A context's index; contexts are never removed, only forgotten.
pub(crate) type ContextIndex = usize;

#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) equality: Equality,
    pub(crate) on_compare: Program,
    pub(crate) on_drop: Program,
    /// Whether the trace still holds it.
    pub(crate) held: bool,
    /// Whether its `on_drop` is still to run.
    pub(crate) waits_for_drop: bool,
    /// Whether its `on_compare` is running.
    pub(crate) is_comparing: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: Box<str>,
    pub(crate) default: Option<Value>,
    pub(crate) hash: i64,
    pub(crate) place: u64,
    pub(crate) cache: Option<CacheEntry>,
    /// Whether the trace still holds it.
    pub(crate) held: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) context: ContextIndex,
    pub(crate) variable: VariableId,
    pub(crate) old_value: Option<Value>,
    pub(crate) used: bool,
    /// The thread that set, for the rules about other threads.
    pub(crate) thread: ThreadId,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    pub(crate) bindings: Bindings,
    pub(crate) previous: Option<ContextIndex>,
    pub(crate) entered: bool,
    /// The trace's name of it, while the trace holds it.
    pub(crate) name: Option<ContextId>,
}

/// An open `Context.run`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) context: ContextIndex,
    pub(crate) name: ContextId,
}

#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) current: Option<ContextIndex>,
    pub(crate) context_ver: u64,
    pub(crate) frames: Vec<Frame>,
}

impl Thread {
    /// THREAD-1, VER-1.
    pub(crate) fn new() -> Self {
        Self { current: None, context_ver: 1, frames: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Keys,
    Values,
    Items,
}

#[derive(Clone, Debug)]
pub(crate) struct Iterator {
    pub(crate) view: View,
    /// The bindings at its creation (ITER-5).
    pub(crate) items: Vec<(VariableId, Value)>,
    pub(crate) next: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Watcher {
    pub(crate) name: WatcherId,
}

/// Everything there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) values: BTreeMap<ValueId, Made>,
    pub(crate) variables: BTreeMap<VariableId, Variable>,
    pub(crate) tokens: BTreeMap<TokenId, Token>,
    pub(crate) contexts: Vec<Context>,
    pub(crate) names: BTreeMap<ContextId, ContextIndex>,
    pub(crate) iterators: BTreeMap<IteratorId, Iterator>,
    pub(crate) references: BTreeMap<ReferenceId, (ContextId, ContextIndex)>,
    pub(crate) threads: BTreeMap<ThreadId, Thread>,
    pub(crate) watchers: [Option<Watcher>; 8],
    /// What the operations that are being carried out hold, outermost first.
    pub(crate) pins: Vec<Pin>,
    /// Whether any value or name has a program; without one nothing needs to be pinned.
    pub(crate) has_programs: bool,
}

impl Objects {
    pub(crate) fn add_context(&mut self, context: Context) -> ContextIndex {
        self.contexts.push(context);
        self.contexts.len() - 1
    }

    pub(crate) fn is_bound(&self, handle: Handle) -> bool {
        match handle {
            Handle::Value(id) => self.values.get(&id).is_some_and(|value| value.held),
            Handle::Variable(id) => self.variables.get(&id).is_some_and(|variable| variable.held),
            Handle::Token(id) => self.tokens.contains_key(&id),
            Handle::Context(id) => self.names.contains_key(&id),
            Handle::Iterator(id) => self.iterators.contains_key(&id),
            Handle::Reference(id) => self.references.contains_key(&id),
            Handle::Thread(id) => self.threads.contains_key(&id),
            // No operation needs one.
            Handle::Watcher(_) => true,
        }
    }

    /// For each context whether anything still leads to it (CONTEXT-5, TOKEN-13): the trace, a token,
    /// a thread's current context, open calls and what was current before, or a running operation.
    pub(crate) fn alive_contexts(&self) -> Vec<bool> {
        let named = self.names.values().copied();
        let tokens = self.tokens.values().map(|token| token.context);
        let threads =
            self.threads.values().flat_map(|thread| thread.current.into_iter().chain(thread.frames.iter().map(|frame| frame.context)));
        let pinned = self.pins.iter().filter_map(|pin| match pin {
            Pin::Context(index) => Some(*index),
            Pin::Token(token) => Some(token.context),
            Pin::Value(_) | Pin::Variable(_) | Pin::Bindings(_) => None,
        });
        let mut pending: Vec<_> = named.chain(tokens).chain(threads).chain(pinned).collect();
        let mut alive = vec![false; self.contexts.len()];
        while let Some(index) = pending.pop() {
            if !std::mem::replace(&mut alive[index], true) {
                pending.extend(self.contexts[index].previous);
            }
        }
        alive
    }
}
