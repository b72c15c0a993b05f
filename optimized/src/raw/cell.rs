//! The cells that change: a context's map, and a thread state's current context.

use std::cell::{Cell, UnsafeCell};

use super::map::{Gone, Hamt};
use crate::context::Context;
use crate::sharing::{Shared, Sharing, Word};
use crate::variable::VarId;

/// After so many turns a waiting thread lets others run.
const TURNS: u32 = 64;

/// What a context consists of.
pub(crate) struct ContextCell<V, S: Sharing> {
    /// 1 while somebody writes the map, or while another thread than the owner reads it.
    lock: S::Word,
    // INVARIANT 8: written only under the lock, and only through a thread state whose current context
    // this is. A context that was not made as a base is current in one thread state at most: the one
    // that claimed it. So that one may read it without the lock.
    vars: UnsafeCell<Hamt<V, S>>,
    // INVARIANT 9: touched only by the thread state that claimed the context, or by who drops it; of a
    // context that was made as a base, which several thread states can leave, under the lock.
    previous: UnsafeCell<Option<Context<V, S>>>,
}

// SAFETY: INVARIANTS 8 and 9; locks and claims are atomic.
unsafe impl<V: Send + Sync> Sync for ContextCell<V, Shared> {}

struct Unlock<'a, W: Word>(&'a W);

impl<W: Word> Drop for Unlock<'_, W> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(0);
    }
}

impl<V, S: Sharing> ContextCell<V, S> {
    pub(crate) fn new(vars: Hamt<V, S>) -> Self {
        Self { lock: S::Word::new(0), vars: UnsafeCell::new(vars), previous: UnsafeCell::new(None) }
    }

    /// Takes the lock. Nobody who holds it runs user code: no value is dropped or asked for equality.
    #[inline]
    fn lock(&self) -> Option<Unlock<'_, S::Word>> {
        // One thread alone needs none, since it does not come back while it works.
        if !S::ATOMIC {
            return None;
        }
        if self.lock.replace(0, 1).is_err() {
            self.wait();
        }
        Some(Unlock(&self.lock))
    }

    /// Works on the map under the lock. The function runs no user code.
    #[inline]
    pub(crate) fn locked<R>(&self, function: impl FnOnce(&mut Hamt<V, S>) -> R) -> R {
        let _unlock = self.lock();
        // SAFETY: the lock is held.
        function(unsafe { &mut *self.vars.get() })
    }

    #[cold]
    fn wait(&self) {
        let mut turns = 0;
        while self.lock.get() != 0 || self.lock.replace(0, 1).is_err() {
            turns += 1;
            if turns < TURNS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }

    pub(crate) fn previous_mut(&mut self) -> &mut Option<Context<V, S>> {
        self.previous.get_mut()
    }
}

/// The current context of a thread state, and what is lent of it.
pub(crate) struct Current<V, S: Sharing> {
    // INVARIANT 10: no reference to this outlives a call of a method here, nor does user code run
    // while there is one.
    context: UnsafeCell<Option<Context<V, S>>>,
    // INVARIANT 11: leads to the loans of the running calls of `with`, innermost first. Calls nest, so
    // that each takes its own loan off when it ends, and all of the list lives.
    loans: Cell<*const Loan<V, S>>,
}

/// A value that a running call of [`Current::with`] lends.
struct Loan<V, S: Sharing> {
    /// The context whose map counts the value.
    context: *const (),
    /// The map as it was, once the context is written or left.
    kept: Cell<Option<Hamt<V, S>>>,
    below: *const Self,
}

struct Lent<'a, V, S: Sharing> {
    current: &'a Current<V, S>,
    loan: &'a Loan<V, S>,
}

impl<V, S: Sharing> Drop for Lent<'_, V, S> {
    #[inline]
    fn drop(&mut self) {
        // What is kept goes with the loan, after this.
        self.current.loans.set(self.loan.below);
    }
}

impl<V, S: Sharing> Current<V, S> {
    pub(crate) fn new() -> Self {
        Self { context: UnsafeCell::new(None), loans: Cell::new(std::ptr::null()) }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<Context<V, S>> {
        // SAFETY: INVARIANT 10.
        unsafe { (*self.context.get()).clone() }
    }

    /// Claims a context and makes it current over the one before; none where it is claimed.
    #[inline]
    pub(crate) fn enter(&self, context: &Context<V, S>) -> Option<()> {
        let _unlock = if context.cell.is_marked() { context.cell.lock() } else { None };
        let claimed = context.cell.claim()?;
        // SAFETY: INVARIANTS 9 and 10; what was not claimed has nothing before it that could go.
        unsafe {
            let previous = (*self.context.get()).replace(Context { cell: claimed });
            let nothing = std::mem::replace(&mut *context.cell.previous.get(), previous);
            debug_assert!(nothing.is_none(), "what is not entered has nothing before it");
        }
        Some(())
    }

    /// Makes current what was before the current context, and gives up the claim; none where the
    /// current context is another one, or not claimed any more.
    #[inline]
    pub(crate) fn exit(&self, context: &Context<V, S>) -> Option<()> {
        // SAFETY: INVARIANT 10.
        if !unsafe { (*self.context.get()).as_ref() }?.ptr_eq(context) {
            return None;
        }
        self.keep();
        let _unlock = if context.cell.is_marked() { context.cell.lock() } else { None };
        if !context.cell.is_claimed() {
            return None;
        }
        // SAFETY: INVARIANTS 9 and 10.
        let left = unsafe {
            let previous = (*context.cell.previous.get()).take();
            std::mem::replace(&mut *self.context.get(), previous)
        }?;
        // The caller has a reference, so that nothing goes here.
        left.cell.disclaim();
        Some(())
    }

    /// Calls with the current context, which is made where there is none. The function runs no user
    /// code.
    #[inline]
    pub(crate) fn with_context<R>(&self, function: impl FnOnce(&Context<V, S>) -> R) -> R {
        // SAFETY: INVARIANT 10.
        let context = unsafe { &mut *self.context.get() };
        function(context.get_or_insert_with(Context::base))
    }

    /// Keeps what is lent of the current context before it is written or left.
    #[inline]
    fn keep(&self) {
        if !self.loans.get().is_null() {
            self.keep_loans();
        }
    }

    #[cold]
    fn keep_loans(&self) {
        // SAFETY: INVARIANTS 10 and 11. What is kept once is not replaced: nothing goes here.
        unsafe {
            let Some(context) = &*self.context.get() else { return };
            let mut next = self.loans.get();
            while let Some(loan) = next.as_ref() {
                next = loan.below;
                if loan.context == context.cell.as_ptr() {
                    let kept = loan.kept.take().unwrap_or_else(|| context.vars());
                    loan.kept.set(Some(kept));
                }
            }
        }
    }

    /// Calls with the value of a variable, which is lent for that time without being counted.
    #[inline]
    pub(crate) fn with<R>(&self, key: VarId, function: impl FnOnce(Option<&V>) -> R) -> R {
        // SAFETY: INVARIANT 10: the reference ends before the function is called.
        let Some(context) = (unsafe { &*self.context.get() }) else { return function(None) };
        if context.cell.is_marked() {
            // Others may write the map meanwhile.
            let value = context.cell.locked(|vars| vars.find(key).cloned());
            return function(value.as_deref());
        }
        // SAFETY: INVARIANT 8: this thread state has claimed the context.
        let Some(value) = (unsafe { &*context.cell.vars.get() }).find(key).map(|value| &raw const **value) else { return function(None) };
        let loan = Loan { context: context.cell.as_ptr(), kept: Cell::new(None), below: self.loans.get() };
        self.loans.set(&raw const loan);
        let _lent = Lent { current: self, loan: &loan };
        // SAFETY: the value is counted by the map, and by a clone of the map that the loan keeps once
        // the map is written, or its context left so that others may write it.
        function(Some(unsafe { &*value }))
    }

    /// The value of a variable, counted once more.
    #[inline]
    pub(crate) fn find(&self, key: VarId) -> Option<S::Value<V>> {
        // SAFETY: INVARIANT 10.
        let context = unsafe { (*self.context.get()).as_ref()? };
        if S::ATOMIC && context.cell.is_marked() {
            return context.cell.locked(|vars| vars.find(key).cloned());
        }
        // SAFETY: INVARIANT 8, or there is one thread only.
        unsafe { &*context.cell.vars.get() }.find(key).cloned()
    }

    /// Binds a variable in the current context, which is made where there is none, and answers that
    /// context and the value before.
    #[inline]
    pub(crate) fn assoc(&self, key: VarId, value: S::Value<V>) -> (Context<V, S>, Option<S::Value<V>>) {
        self.keep();
        // Dropped when nothing is half done.
        let mut gone = Gone::<V, S>::new();
        self.with_context(|context| (context.clone(), context.cell.locked(|vars| vars.assoc_into(key, value, &mut gone))))
    }

    /// Unbinds a variable in the current context, and answers its value.
    pub(crate) fn without(&self, key: VarId) -> Option<S::Value<V>> {
        self.keep();
        // Dropped when nothing is half done.
        let mut gone = Gone::<V, S>::new();
        self.with_context(|context| context.cell.locked(|vars| vars.without_into(key, &mut gone)))
    }
}
