//! Tokens: what `set` answers and `reset` takes.

use std::fmt;

use crate::context::Context;
use crate::raw::{Counted, TokenContext};
use crate::sharing::{Shared, Sharing, Word};
use crate::variable::ContextVar;

struct Inner<V, S: Sharing> {
    context: TokenContext<V, S>,
    variable: ContextVar<V, S>,
    old_value: Option<S::Value<V>>,
    /// 1 once a reset has taken the token.
    used: S::Word,
}

/// What `set` answers (CPython's `PyContextToken`): it keeps its context alive (TOKEN-13), and works
/// once (RESET-2). Clones are the same token.
pub struct Token<V, S: Sharing = Shared> {
    inner: Counted<Inner<V, S>, S>,
}

impl<V, S: Sharing> Token<V, S> {
    #[inline]
    pub(crate) fn new(context: TokenContext<V, S>, variable: ContextVar<V, S>, old_value: Option<S::Value<V>>) -> Self {
        Self { inner: Counted::new(false, || Inner { context, variable, old_value, used: S::Word::new(0) }) }
    }

    /// The variable that was set (TOKEN-1).
    #[must_use]
    pub fn var(&self) -> &ContextVar<V, S> {
        &self.inner.variable
    }

    /// The value before the set; absent where there was none (TOKEN-2, TOKEN-3).
    #[must_use]
    pub fn old_value(&self) -> Option<&S::Value<V>> {
        self.inner.old_value.as_ref()
    }

    /// The context in which the variable was set.
    #[must_use]
    pub fn context(&self) -> &Context<V, S> {
        &self.inner.context
    }

    /// Whether a reset has taken the token.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.inner.used.get() != 0
    }

    /// Takes the token of the caller's current context; false where it was taken before. One of several
    /// threads wins.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        let used = &self.inner.used;
        if self.inner.context.cell.is_marked() {
            return used.replace(0, 1).is_ok();
        }
        // What was not made as a base is current in one thread state at most: the caller's.
        let was_used = used.get() != 0;
        used.set(1);
        !was_used
    }
}

impl<V, S: Sharing> Clone for Token<V, S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<V, S: Sharing> PartialEq for Token<V, S> {
    fn eq(&self, other: &Self) -> bool {
        self.inner.ptr_eq(&other.inner)
    }
}

impl<V, S: Sharing> Eq for Token<V, S> {}

impl<V: fmt::Debug, S: Sharing> fmt::Debug for Token<V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = if self.is_used() { " used" } else { "" };
        write!(f, "<Token{used} var={:?} at {:p}>", self.var(), self.inner.as_ptr())
    }
}
