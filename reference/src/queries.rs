//! What a generator asks of the state, so that its operations meet what they are meant to meet.

use contextvars_spec::{ContextId, ThreadId, TokenId, Value, VariableId};

use crate::machine::Reference;
use crate::objects::Context;

impl Reference {
    fn current_context(&self, thread: ThreadId) -> Option<&Context> {
        Some(&self.objects.contexts[self.objects.threads.get(&thread)?.current?])
    }

    /// The context's number in the journal ([`crate::MapChange`]).
    #[must_use]
    pub fn context_number(&self, context: ContextId) -> Option<usize> {
        self.objects.names.get(&context).copied()
    }

    /// How many variables the thread's current context binds; none where it has no context.
    #[must_use]
    pub fn current_len(&self, thread: ThreadId) -> usize {
        self.current_context(thread).map_or(0, |context| context.bindings.len())
    }

    /// What the thread's current context binds the variable to.
    #[must_use]
    pub fn current_value(&self, thread: ThreadId, variable: VariableId) -> Option<Value> {
        self.current_context(thread)?.bindings.find(variable)
    }

    /// The first of the variables that the thread's current context does not bind.
    #[must_use]
    pub fn first_unbound(&self, thread: ThreadId, mut variables: impl Iterator<Item = VariableId>) -> Option<VariableId> {
        match self.current_context(thread) {
            Some(context) => variables.find(|&variable| context.bindings.find(variable).is_none()),
            None => variables.next(),
        }
    }

    /// How many variables the context binds; none where the trace does not hold it.
    #[must_use]
    pub fn len_of(&self, context: ContextId) -> usize {
        self.context_number(context).map_or(0, |number| self.objects.contexts[number].bindings.len())
    }

    /// Whether a reset of the token would unbind its variable, were its context current (RESET-6).
    #[must_use]
    pub fn may_unbind(&self, token: TokenId) -> bool {
        self.objects.tokens.get(&token).is_some_and(|token| !token.used && token.old_value.is_none())
    }

    /// Whether the token was made in what is the thread's current context.
    #[must_use]
    pub fn is_of_current(&self, token: TokenId, thread: ThreadId) -> bool {
        let current = self.objects.threads.get(&thread).and_then(|thread| thread.current);
        self.objects.tokens.get(&token).is_some_and(|token| Some(token.context) == current)
    }
}
