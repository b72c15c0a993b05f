//! Tokens: what `set` answers and `reset` takes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::context::Context;
use crate::variable::ContextVar;

struct Inner<V> {
    context: Context<V>,
    variable: ContextVar<V>,
    old_value: Option<Arc<V>>,
    used: AtomicBool,
}

/// What `set` answers (CPython's `PyContextToken`): it keeps its context alive (TOKEN-13), and works
/// once (RESET-2). Clones are the same token.
pub struct Token<V> {
    inner: Arc<Inner<V>>,
}

impl<V> Token<V> {
    pub(crate) fn new(context: Context<V>, variable: ContextVar<V>, old_value: Option<Arc<V>>) -> Self {
        Self { inner: Arc::new(Inner { context, variable, old_value, used: AtomicBool::new(false) }) }
    }

    /// The variable that was set (TOKEN-1).
    #[must_use]
    pub fn var(&self) -> &ContextVar<V> {
        &self.inner.variable
    }

    /// The value before the set; absent where there was none (TOKEN-2, TOKEN-3).
    #[must_use]
    pub fn old_value(&self) -> Option<&Arc<V>> {
        self.inner.old_value.as_ref()
    }

    /// The context in which the variable was set.
    #[must_use]
    pub fn context(&self) -> &Context<V> {
        &self.inner.context
    }

    /// Whether a reset has taken the token.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.inner.used.load(Ordering::Acquire)
    }

    /// Takes the token; false where it was taken before. One of several threads wins.
    pub(crate) fn take(&self) -> bool {
        !self.inner.used.swap(true, Ordering::AcqRel)
    }
}

impl<V> Clone for Token<V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<V> PartialEq for Token<V> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl<V> Eq for Token<V> {}

impl<V: fmt::Debug> fmt::Debug for Token<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = if self.is_used() { " used" } else { "" };
        write!(f, "<Token{used} var={:?} at {:p}>", self.var(), Arc::as_ptr(&self.inner))
    }
}
