//! What a thread state lends: values that are looked at without being counted.

use std::cell::Cell;

use super::current::{Current, Looked};
use super::map::Hamt;
use crate::context::Context;
use crate::sharing::{Access, Sharing};
use crate::variable::VarId;

/// A value that a running call of [`Current::with`] lends.
pub(super) struct Loan<V, S: Sharing> {
    /// The stamp of the context whose map counts the value.
    stamp: u64,
    /// The map as it was, once the context is written or left.
    kept: Cell<Option<Hamt<V, S>>>,
    below: *const Self,
}

impl<V, S: Sharing> Loan<V, S> {
    /// Keeps the map of a context with a stamp, if it counts the value. What is kept once is not replaced:
    /// nothing goes here.
    fn keep(&self, context: &Context<V, S>, stamp: u64) {
        if self.stamp == stamp {
            // A write comes next, and would give counts ahead back at once.
            let kept = self.kept.take().unwrap_or_else(|| context.cell.read(Hamt::clone));
            self.kept.set(Some(kept));
        }
    }
}

/// Takes the innermost loan off.
struct Lent<'a, V, S: Sharing> {
    current: &'a Current<V, S>,
    below: *const Loan<V, S>,
}

impl<V, S: Sharing> Drop for Lent<'_, V, S> {
    #[inline]
    fn drop(&mut self) {
        // What the loan keeps goes with it, after this.
        self.current.loans.set(self.below);
    }
}

impl<V, S: Sharing> Current<V, S> {
    /// Keeps what is lent of the current context before it is written or left.
    #[inline]
    pub(super) fn keep(&self) {
        if !self.loans.get().is_null() {
            self.keep_loans();
        }
    }

    #[cold]
    fn keep_loans(&self) {
        // SAFETY: INVARIANTS 10 and 11.
        unsafe {
            let Some(context) = &*self.context.get() else { return };
            let mut next = self.loans.get();
            while let Some(loan) = next.as_ref() {
                next = loan.below;
                loan.keep(context, self.stamp.get());
            }
        }
    }

    /// Keeps what is lent of the current context and of those below it, down to a base: what is below
    /// that was kept when it was entered.
    #[inline(never)]
    pub(super) fn keep_all(&self) {
        // SAFETY: INVARIANTS 9 to 11.
        unsafe {
            let mut next = self.loans.get();
            while let Some(loan) = next.as_ref() {
                next = loan.below;
                let mut below = (*self.context.get()).as_ref();
                while let Some(context) = below.filter(|context| !context.cell.is_marked()) {
                    context.cell.previous_access.read();
                    below = (*context.cell.previous.get()).as_ref();
                    loan.keep(context, context.cell.stamp.get());
                }
            }
        }
    }

    /// Calls with the value of a variable, which is lent for that time without being counted.
    #[inline]
    pub(crate) fn with<R>(&self, key: VarId, function: impl FnOnce(Option<&V>) -> R) -> R {
        // SAFETY: INVARIANTS 10 and 12: the reference ends before the function is called.
        match unsafe { self.remembered(key).map(|value| &raw const **value) } {
            // SAFETY: INVARIANT 12.
            Some(value) => unsafe { self.lend(value, function) },
            None => self.with_looked_up(key, function),
        }
    }

    /// As [`Self::with`], of a variable that is not remembered. Apart, so that nothing of it is in the way
    /// of one that is.
    #[cold]
    #[inline(never)]
    fn with_looked_up<R>(&self, key: VarId, function: impl FnOnce(Option<&V>) -> R) -> R {
        // SAFETY: INVARIANTS 10 and 12.
        if let Some(value) = unsafe { self.further.get(key, self.stamp.get()).map(|value| &raw const **value) } {
            // SAFETY: INVARIANT 12.
            return unsafe { self.lend(value, function) };
        }
        match self.look_up(key) {
            // SAFETY: INVARIANTS 10 and 12: the reference ends before the function is called.
            Looked::Uncounted(value) => unsafe { self.lend(std::ptr::from_ref::<V>(&*value), function) },
            Looked::Counted(value) => function(Some(&value)),
            Looked::Nothing => function(None),
        }
    }

    /// Lends a value to a function.
    ///
    /// # Safety
    ///
    /// The value is bound in the current context, which has a stamp.
    #[inline]
    unsafe fn lend<R>(&self, value: *const V, function: impl FnOnce(Option<&V>) -> R) -> R {
        let loan = Loan { stamp: self.stamp.get(), kept: Cell::new(None), below: self.loans.get() };
        // SAFETY: the value is counted by the map, and by a clone of the map that the loan keeps once
        // the map is written, or its context left, or a base entered over it, so that others may write it.
        self.lend_while(&loan, unsafe { &*value }, function)
    }

    /// Calls a function with a value under a loan. Apart, so that the value is an argument: the compiler
    /// then knows that reading it does not read `loans`, and a function that only reads it pays for no
    /// loan.
    #[inline]
    fn lend_while<R>(&self, loan: &Loan<V, S>, value: &V, function: impl FnOnce(Option<&V>) -> R) -> R {
        self.loans.set(loan);
        let _lent = Lent { current: self, below: loan.below };
        function(Some(value))
    }
}
