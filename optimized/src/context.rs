//! Contexts: mutable cells that hold a persistent map.

use std::fmt;

use crate::raw::{ContextCell, Counted, Hamt, HamtIter, WeakCounted};
use crate::sharing::{Shared, Sharing};
use crate::variable::{ContextVar, VarId};

impl<V, S: Sharing> Drop for ContextCell<V, S> {
    #[inline]
    fn drop(&mut self) {
        self.settle_ahead();
        if let Some(previous) = self.previous_mut().take() {
            drop_chain(previous);
        }
    }
}

/// Chains of previous contexts can be of any length, so that they are taken apart in a loop.
#[cold]
#[inline(never)]
fn drop_chain<V, S: Sharing>(context: Context<V, S>) {
    let mut next = Some(context);
    while let Some(context) = next {
        next = context.cell.into_inner().and_then(|mut cell| cell.previous_mut().take());
    }
}

/// A context (CPython's `PyContext`). Clones are the same context; [`Context::copy`] makes another.
///
/// Any thread may read it, whether it is entered or not; it is written only through the thread state
/// whose current context it is.
pub struct Context<V, S: Sharing = Shared> {
    /// Claimed while it is entered; marked if it was made as a base, which several thread states can
    /// have current at once.
    pub(crate) cell: Counted<ContextCell<V, S>, S>,
}

impl<V> Context<V> {
    /// An empty context (CONTEXT-1, `PyContext_New`). [`Context::default`] makes a confined one, too.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<V, S: Sharing> Context<V, S> {
    #[inline]
    pub(crate) fn of(vars: Hamt<V, S>, is_base: bool) -> Self {
        Self { cell: Counted::new(is_base, || ContextCell::new(vars)) }
    }

    /// The empty context of a thread that needs one (SET-2).
    pub(crate) fn base() -> Self {
        Self::of(Hamt::default(), true)
    }

    /// The bindings as they are now, as a map of their own. Constant time.
    #[must_use]
    pub fn vars(&self) -> Hamt<V, S> {
        self.cell.vars()
    }

    /// Another context with the same bindings, not entered (COPY-1, `PyContext_Copy`). Constant time.
    #[must_use]
    #[inline]
    pub fn copy(&self) -> Self {
        Self::of(self.vars(), false)
    }

    /// Whether both are the same context, not merely equal.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.cell.ptr_eq(&other.cell)
    }

    /// The value bound to a variable; its default is never used (MAP-4, MAP-7).
    #[must_use]
    pub fn get(&self, variable: &ContextVar<V, S>) -> Option<S::Value<V>> {
        self.cell.read(|vars| vars.find(variable.id()).cloned())
    }

    /// Whether a variable is bound (MAP-3).
    #[must_use]
    pub fn contains(&self, variable: &ContextVar<V, S>) -> bool {
        self.cell.read(|vars| vars.find(variable.id()).is_some())
    }

    /// How many variables are bound (MAP-8). Constant time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cell.read(|vars| vars.len())
    }

    /// Whether no variable is bound. Constant time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some thread state has the context entered. Constant time.
    #[must_use]
    pub fn is_entered(&self) -> bool {
        self.cell.is_claimed()
    }

    /// The bindings as they are now, in CPython's order (ITER-5, ORDER-1). Constant time to make.
    #[must_use]
    pub fn iter(&self) -> Iter<V, S> {
        let vars = self.vars();
        Iter { map_len: vars.len(), bindings: vars.iter() }
    }

    /// Compares as CPython does (EQ-1 to EQ-6, `_PyHamt_Eq`): the same map is equal; maps of
    /// different sizes are not; else `equal` is asked for each pair of values that are not one value,
    /// in this context's order, until it denies or fails. No lock is held meanwhile. Time proportional
    /// to the difference where one context was made from the other.
    ///
    /// # Errors
    ///
    /// The first error of `equal`.
    pub fn try_eq_by<E>(&self, other: &Self, equal: impl FnMut(&S::Value<V>, &S::Value<V>) -> Result<bool, E>) -> Result<bool, E> {
        self.vars().try_eq_by(&other.vars(), equal)
    }

    /// A reference that does not keep the context alive (CONTEXT-5).
    #[must_use]
    pub fn downgrade(&self) -> WeakContext<V, S> {
        WeakContext { cell: self.cell.downgrade() }
    }
}

impl<V, S: Sharing> Default for Context<V, S> {
    fn default() -> Self {
        Self::of(Hamt::default(), false)
    }
}

impl<V, S: Sharing> Clone for Context<V, S> {
    #[inline]
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone() }
    }
}

/// Identical values are equal without being asked (EQ-4).
impl<V: PartialEq, S: Sharing> PartialEq for Context<V, S> {
    fn eq(&self, other: &Self) -> bool {
        self.vars() == other.vars()
    }
}

impl<V, S: Sharing> fmt::Debug for Context<V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Context object at {:p}>", self.cell.as_ptr())
    }
}

impl<V, S: Sharing> IntoIterator for &Context<V, S> {
    type Item = (VarId, S::Value<V>);
    type IntoIter = Iter<V, S>;

    fn into_iter(self) -> Iter<V, S> {
        self.iter()
    }
}

/// A reference to a context that does not keep it alive.
pub struct WeakContext<V, S: Sharing = Shared> {
    cell: WeakCounted<ContextCell<V, S>, S>,
}

impl<V, S: Sharing> WeakContext<V, S> {
    /// The context, while anything else holds it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Context<V, S>> {
        self.cell.upgrade().map(|cell| Context { cell })
    }
}

/// An iterator over the bindings that a context had when it was made (ITER-5).
pub struct Iter<V, S: Sharing = Shared> {
    map_len: usize,
    bindings: HamtIter<V, S>,
}

impl<V, S: Sharing> Iter<V, S> {
    /// The size of the whole map, however much has been taken (ITER-6, Python's `len(it)`).
    #[must_use]
    pub fn map_len(&self) -> usize {
        self.map_len
    }
}

impl<V, S: Sharing> Iterator for Iter<V, S> {
    type Item = (VarId, S::Value<V>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.bindings.next()
    }
}
