//! Contexts: mutable cells that hold a persistent map.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{EnterError, ExitError};
use crate::hamt::{Hamt, HamtIter};
use crate::variable::{ContextVar, VarId};

struct State<V> {
    vars: Hamt<V>,
    /// What was current before; owned while the context is entered.
    previous: Option<Context<V>>,
    entered: bool,
}

struct Inner<V> {
    // INVARIANT: no user code runs while this is locked: values are only counted, and those that go
    // are handed out of the locked region before they are dropped.
    state: Mutex<State<V>>,
}

impl<V> Inner<V> {
    /// A poisoned lock has whole content: nothing that can panic runs under it.
    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Drop for Inner<V> {
    // Chains of previous contexts can be of any length, so that they are taken apart in a loop.
    fn drop(&mut self) {
        let mut next = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).previous.take();
        while let Some(context) = next {
            next = Arc::into_inner(context.inner)
                .and_then(|mut inner| inner.state.get_mut().unwrap_or_else(PoisonError::into_inner).previous.take());
        }
    }
}

/// A context (CPython's `PyContext`). Clones are the same context; [`Context::copy`] makes another.
///
/// Any thread may read it, whether it is entered or not; it is written only through the thread state
/// whose current context it is.
pub struct Context<V> {
    inner: Arc<Inner<V>>,
}

impl<V> Context<V> {
    /// An empty context (CONTEXT-1, `PyContext_New`).
    #[must_use]
    pub fn new() -> Self {
        Self::of(Hamt::new())
    }

    fn of(vars: Hamt<V>) -> Self {
        Self { inner: Arc::new(Inner { state: Mutex::new(State { vars, previous: None, entered: false }) }) }
    }

    fn vars(&self) -> Hamt<V> {
        self.inner.lock().vars.clone()
    }

    /// Another context with the same bindings, not entered (COPY-1, `PyContext_Copy`). Constant time.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::of(self.vars())
    }

    /// Whether both are the same context, not merely equal.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The value bound to a variable; its default is never used (MAP-4, MAP-7).
    #[must_use]
    pub fn get(&self, variable: &ContextVar<V>) -> Option<Arc<V>> {
        self.inner.lock().vars.find(variable.id()).cloned()
    }

    /// Whether a variable is bound (MAP-3).
    #[must_use]
    pub fn contains(&self, variable: &ContextVar<V>) -> bool {
        self.inner.lock().vars.find(variable.id()).is_some()
    }

    /// How many variables are bound (MAP-8). Constant time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.lock().vars.len()
    }

    /// Whether no variable is bound. Constant time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some thread state has the context entered. Constant time.
    #[must_use]
    pub fn is_entered(&self) -> bool {
        self.inner.lock().entered
    }

    /// The bindings as they are now, in CPython's order (ITER-5, ORDER-1). Constant time to make.
    #[must_use]
    pub fn iter(&self) -> Iter<V> {
        let vars = self.vars();
        Iter { bindings: vars.iter(), vars }
    }

    /// Compares as CPython does (EQ-1 to EQ-6, `_PyHamt_Eq`): the same map is equal; maps of
    /// different sizes are not; else `equal` is asked for each pair of values, in this context's
    /// order, until it denies or fails. No lock is held meanwhile.
    ///
    /// # Errors
    ///
    /// The first error of `equal`.
    pub fn try_eq_by<E>(&self, other: &Self, mut equal: impl FnMut(&Arc<V>, &Arc<V>) -> Result<bool, E>) -> Result<bool, E> {
        let (left, right) = (self.vars(), other.vars());
        if left.ptr_eq(&right) {
            return Ok(true);
        }
        if left.len() != right.len() {
            return Ok(false);
        }
        for (key, value) in left.iter() {
            match right.find(key) {
                Some(other) if equal(&value, other)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// A reference that does not keep the context alive (CONTEXT-5).
    #[must_use]
    pub fn downgrade(&self) -> WeakContext<V> {
        WeakContext { inner: Arc::downgrade(&self.inner) }
    }

    /// Binds a variable, and answers the value before for the caller to drop.
    pub(crate) fn assoc(&self, key: VarId, value: Arc<V>) -> Option<Arc<V>> {
        self.inner.lock().vars.assoc(key, value)
    }

    /// Unbinds a variable, and answers its value for the caller to drop.
    pub(crate) fn without(&self, key: VarId) -> Option<Arc<V>> {
        self.inner.lock().vars.without(key)
    }

    pub(crate) fn find(&self, key: VarId) -> Option<Arc<V>> {
        self.inner.lock().vars.find(key).cloned()
    }

    /// Marks the context as entered over `previous` (ENTER-1, ENTER-3).
    pub(crate) fn enter_over(&self, previous: Option<&Self>) -> Result<(), EnterError> {
        let mut state = self.inner.lock();
        if state.entered {
            return Err(EnterError);
        }
        state.entered = true;
        state.previous = previous.cloned();
        Ok(())
    }

    /// Marks the context as not entered and answers what was current before (EXIT-1, EXIT-3, EXIT-4).
    pub(crate) fn exit_from(&self, current: Option<&Self>) -> Result<Option<Self>, ExitError> {
        let mut state = self.inner.lock();
        if !state.entered {
            return Err(ExitError::NotEntered);
        }
        if !current.is_some_and(|current| current.ptr_eq(self)) {
            return Err(ExitError::NotCurrent);
        }
        state.entered = false;
        Ok(state.previous.take())
    }
}

impl<V> Default for Context<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Clone for Context<V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// Identical values are equal without being asked (EQ-4).
impl<V: PartialEq> PartialEq for Context<V> {
    fn eq(&self, other: &Self) -> bool {
        let equal = |left: &Arc<V>, right: &Arc<V>| Ok::<_, std::convert::Infallible>(Arc::ptr_eq(left, right) || left == right);
        let Ok(equal) = self.try_eq_by(other, equal);
        equal
    }
}

impl<V> fmt::Debug for Context<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Context object at {:p}>", Arc::as_ptr(&self.inner))
    }
}

impl<V> IntoIterator for &Context<V> {
    type Item = (VarId, Arc<V>);
    type IntoIter = Iter<V>;

    fn into_iter(self) -> Iter<V> {
        self.iter()
    }
}

/// A reference to a context that does not keep it alive.
pub struct WeakContext<V> {
    inner: Weak<Inner<V>>,
}

impl<V> WeakContext<V> {
    /// The context, while anything else holds it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Context<V>> {
        self.inner.upgrade().map(|inner| Context { inner })
    }
}

/// An iterator over the bindings that a context had when it was made (ITER-5).
pub struct Iter<V> {
    // Held to the end, as CPython does: what the map binds goes when the iterator does (FINAL-1).
    vars: Hamt<V>,
    bindings: HamtIter<V>,
}

impl<V> Iter<V> {
    /// The size of the whole map, however much has been taken (ITER-6, Python's `len(it)`).
    #[must_use]
    pub fn map_len(&self) -> usize {
        self.vars.len()
    }
}

impl<V> Iterator for Iter<V> {
    type Item = (VarId, Arc<V>);

    fn next(&mut self) -> Option<Self::Item> {
        self.bindings.next()
    }
}
