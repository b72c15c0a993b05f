//! The current context of a thread state: how it is switched, read and written, and what is remembered of
//! it.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use super::at_hand::AtHand;
use super::cell::{ContextCell, SPARE, TokenContext};
use super::counted::Counted;
use super::further::Further;
use super::lend::Loan;
use super::map::{Gone, Hamt};
use crate::context::Context;
use crate::error::ExitError;
use crate::sharing::{Access, Sharing, Word};
use crate::variable::VarId;

/// The current context of a thread state, and what is lent of it.
pub(crate) struct Current<V, S: Sharing> {
    // INVARIANT 10: no reference to this outlives a call of a method here, nor does user code run
    // while there is one.
    pub(super) context: UnsafeCell<Option<Context<V, S>>>,
    // INVARIANT 11: leads to the loans of the running calls of `with`, innermost first. Calls nest, so
    // that each takes its own loan off when it ends, and all of the list lives.
    pub(super) loans: Cell<*const Loan<V, S>>,
    /// The stamp of the current context, which it keeps until another thread state has it current: what
    /// is remembered of it is right again when it is. Zero where there is no context, or one that was
    /// made as a base, which others may write.
    pub(super) stamp: Cell<u64>,
    /// The next stamp that is given, and the first of those that may be: no two thread states have the same.
    next_stamp: Cell<u64>,
    first_stamp: Cell<u64>,
    /// The number of the thread, which a thread state never leaves.
    thread: u64,
    /// What was found or bound last, by the serial of the variable and the stamp.
    // INVARIANT 12: a value whose stamp is the current one is bound to that variable in the current
    // context, whose map counts it: every write goes through here.
    found: UnsafeCell<[Found<V, S>; FOUND]>,
    pub(super) further: Further<V, S>,
}

/// How many values a thread state remembers; consecutive variables of one context do not get into each
/// other's way.
pub(super) const FOUND: usize = 128;

/// From one stamp to the next. An odd number, so that no two of `FOUND` stamps in a row have one place,
/// and so that a few variables of one stamp come before those of the next.
const STRIDE: u64 = 37;

/// The stamps that are taken at once lie so far apart. What had one of those before is not remembered
/// any more.
const STAMPS: u64 = STRIDE << 20;

/// The first of some stamps that nobody else has; none is zero.
fn new_stamps() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(STAMPS);
    LAST.fetch_add(STAMPS, Ordering::Relaxed)
}

/// Where a value is remembered.
#[inline]
fn found_at(key: VarId, stamp: u64) -> usize {
    // Contexts that are current in turn have stamps in a row, and mostly the same variables: they shall
    // not get into each other's way either.
    key.serial().wrapping_add(stamp) as usize % FOUND
}

pub(super) struct Found<V, S: Sharing> {
    /// No variable has the serial zero.
    pub(super) serial: u64,
    pub(super) stamp: u64,
    /// Not counted. There is one where there is a serial.
    pub(super) value: MaybeUninit<S::Value<V>>,
}

impl<V, S: Sharing> Found<V, S> {
    /// Remembers a value here.
    #[inline]
    pub(super) fn put(&mut self, key: VarId, stamp: u64, value: &S::Value<V>) {
        (self.serial, self.stamp) = (key.serial(), stamp);
        // SAFETY: the copy is not counted, and never dropped.
        unsafe { std::ptr::copy_nonoverlapping(value, self.value.as_mut_ptr(), 1) };
    }

    /// Forgets a variable, if it is remembered here.
    #[inline]
    pub(super) fn forget(&mut self, key: VarId, stamp: u64) {
        if self.serial == key.serial() && self.stamp == stamp {
            self.serial = 0;
        }
    }
}

impl<V, S: Sharing> Drop for Current<V, S> {
    fn drop(&mut self) {
        self.give_back_spare();
    }
}

/// What a look into the map of the current context finds.
pub(super) enum Looked<V, S: Sharing> {
    /// A value that lives until the map is written, or another context current.
    Uncounted(*const S::Value<V>),
    /// A value of a map that others may write.
    Counted(S::Value<V>),
    Nothing,
}

impl<V, S: Sharing> Current<V, S> {
    pub(crate) fn new() -> Self {
        let stamps = new_stamps();
        Self {
            context: UnsafeCell::new(None),
            loans: Cell::new(std::ptr::null()),
            stamp: Cell::new(0),
            next_stamp: Cell::new(stamps),
            first_stamp: Cell::new(stamps),
            thread: S::thread(),
            further: Further::new(),
            found: UnsafeCell::new([const { Found { serial: 0, stamp: 0, value: MaybeUninit::uninit() } }; FOUND]),
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<Context<V, S>> {
        // SAFETY: INVARIANT 10.
        unsafe { (*self.context.get()).clone() }
    }

    /// Claims a context and makes it current over the one before; none where it is claimed.
    #[inline]
    pub(crate) fn enter(&self, context: &Context<V, S>) -> Option<()> {
        if context.cell.is_marked() {
            return self.enter_base(context);
        }
        let spare = if S::ATOMIC { SPARE } else { 0 };
        let claimed = context.cell.claim(spare)?;
        if S::ATOMIC {
            context.cell.spare_access.write();
            context.cell.spare.set(spare);
            context.cell.owner.set(self.thread);
        }
        self.take_over(context, claimed);
        Some(())
    }

    /// Enters a base, which others may exit.
    #[inline(never)]
    fn enter_base(&self, context: &Context<V, S>) -> Option<()> {
        let _unlock = context.cell.lock();
        let claimed = context.cell.claim(0)?;
        // Another thread state may exit it, and have current what is below, and write that.
        self.keep_all();
        self.give_back_spare();
        self.take_over(context, claimed);
        Some(())
    }

    /// Makes a context current that was claimed by another reference to it.
    #[inline]
    fn take_over(&self, context: &Context<V, S>, claimed: Counted<ContextCell<V, S>, S>) {
        context.cell.previous_access.write();
        // SAFETY: INVARIANTS 9 and 10; what was not claimed has nothing before it that could go.
        unsafe {
            debug_assert!((*context.cell.previous.get()).is_none(), "what is not entered has nothing before it");
            context.cell.previous.get().write((*self.context.get()).replace(Context { cell: claimed }));
        }
        self.restamp(context);
    }

    /// Makes current what was before the current context, and gives up the claim.
    ///
    /// # Errors
    ///
    /// The context is not claimed, or another one is current.
    #[inline]
    pub(crate) fn exit(&self, context: &Context<V, S>) -> Result<(), ExitError> {
        // SAFETY: INVARIANT 10.
        let is_current = unsafe { (*self.context.get()).as_ref() }.is_some_and(|current| current.ptr_eq(context));
        // What is current and has no stamp was made as a base.
        if !is_current || self.stamp.get() == 0 {
            return self.exit_base(context, is_current);
        }
        self.keep();
        // INVARIANT 8: current and not made as a base, it is claimed.
        self.leave(context);
        Ok(())
    }

    /// Exits a base, which others may exit too.
    #[inline(never)]
    fn exit_base(&self, context: &Context<V, S>, is_current: bool) -> Result<(), ExitError> {
        if !context.cell.is_claimed() {
            return Err(ExitError::NotEntered);
        }
        if !is_current {
            return Err(ExitError::NotCurrent);
        }
        self.keep();
        let _unlock = context.cell.lock();
        if !context.cell.is_claimed() {
            return Err(ExitError::NotEntered);
        }
        self.leave(context);
        Ok(())
    }

    /// Leaves a context that is current and claimed.
    #[inline]
    fn leave(&self, context: &Context<V, S>) {
        context.cell.settle_at_hand();
        context.cell.previous_access.write();
        // SAFETY: INVARIANTS 9 and 10.
        let left = unsafe {
            let before = (*context.cell.previous.get()).take();
            match &before {
                Some(before) => self.restamp(before),
                None => self.stamp.set(0),
            }
            std::mem::replace(&mut *self.context.get(), before)
        };
        if let Some(left) = left {
            // The caller has a reference, so that nothing goes here.
            let spare = left.cell.give_up_spare(self.thread);
            left.cell.disclaim(spare);
        }
    }

    /// Sets the stamp to that of a context which is current from now on.
    #[inline]
    fn restamp(&self, context: &Context<V, S>) {
        let stamp = context.cell.stamp.get();
        // One of the last that were taken here, so that no other thread state had it current since.
        if stamp.wrapping_sub(self.first_stamp.get()) < STAMPS {
            context.cell.previous_access.read();
            self.stamp.set(stamp);
        } else {
            self.stamp.set(self.stamp_anew(context));
        }
    }

    /// The stamp of a context that nobody had yet, or another thread state. Even what is below can come
    /// from another: whoever exits a base takes all over that it was entered over.
    #[inline(never)]
    fn stamp_anew(&self, context: &Context<V, S>) -> u64 {
        if context.cell.is_marked() {
            // A base never gets one, so that nobody writes there.
            return 0;
        }
        let stamp = self.new_stamp();
        context.cell.previous_access.write();
        context.cell.stamp.set(stamp);
        stamp
    }

    #[inline]
    fn new_stamp(&self) -> u64 {
        if self.next_stamp.get() - self.first_stamp.get() == STAMPS {
            self.first_stamp.set(new_stamps());
            self.next_stamp.set(self.first_stamp.get());
        }
        let stamp = self.next_stamp.get();
        self.next_stamp.set(stamp + STRIDE);
        stamp
    }

    /// Gives back the spare references to the current context and to those below it, and the counts at
    /// hand.
    #[inline(never)]
    fn give_back_spare(&self) {
        if S::ATOMIC {
            S::at_hand(AtHand::settle::<S>);
        }
        // SAFETY: INVARIANTS 9 and 10; below what has no owner none has.
        unsafe {
            let mut next = (*self.context.get()).as_ref();
            while let Some(context) = next.filter(|context| context.cell.is_owned(self.thread)) {
                context.cell.give_back(context.cell.give_up_spare(self.thread));
                context.cell.previous_access.read();
                next = (*context.cell.previous.get()).as_ref();
            }
        }
    }

    /// Calls with the current context, which is made where there is none. The function runs no user
    /// code.
    #[inline]
    pub(crate) fn with_context<R>(&self, function: impl FnOnce(&Context<V, S>) -> R) -> R {
        // SAFETY: INVARIANT 10.
        let context = unsafe { &mut *self.context.get() };
        function(context.get_or_insert_with(Context::base))
    }

    /// A copy of the current context, which is made where there is none.
    // As a part of its caller it makes a first set a fifth slower: the atomic operation of an enter, which mostly
    // comes next, waits for what is written here.
    #[inline(never)]
    pub(crate) fn copy(&self) -> Context<V, S> {
        // SAFETY: INVARIANT 10.
        let context = unsafe { &*self.context.get() }.as_ref().filter(|context| !context.cell.is_marked());
        // SAFETY: it is current here.
        let settled = context.and_then(|context| unsafe { context.cell.current_vars() });
        Context::of(settled.unwrap_or_else(|| self.settle()), false)
    }

    /// The map of the current context, which is made where there is none, fit to be shared.
    #[inline(never)]
    fn settle(&self) -> Hamt<V, S> {
        // Dropped when nothing is half done.
        let mut gone = Gone::new();
        self.with_context(|context| {
            context.cell.write(|vars| {
                vars.settle(&mut gone);
                vars.clone()
            })
        })
    }

    /// The value of a variable, if it is remembered.
    ///
    /// # Safety
    ///
    /// INVARIANT 12: the answer lives until the map is written, or another context current.
    #[inline]
    pub(super) unsafe fn remembered<'a>(&self, key: VarId) -> Option<&'a S::Value<V>> {
        // SAFETY: nobody else has a reference to what is remembered; a stamp comes with a value.
        unsafe {
            let stamp = self.stamp.get();
            let found = &(*self.found.get())[found_at(key, stamp)];
            if found.serial == key.serial() && found.stamp == stamp {
                return Some(&*found.value.as_ptr());
            }
        }
        None
    }

    /// Remembers a value that is bound in the current context.
    #[inline]
    fn remember(&self, key: VarId, value: &S::Value<V>) {
        let stamp = self.stamp.get();
        if stamp != 0 {
            // SAFETY: as above.
            unsafe { (*self.found.get())[found_at(key, stamp)].put(key, stamp, value) };
            if self.further.is_used() {
                self.further.put(key, stamp, value);
            }
        }
    }

    /// Forgets a variable that is not bound any more.
    #[inline]
    fn forget(&self, key: VarId) {
        let stamp = self.stamp.get();
        // SAFETY: as above.
        unsafe { (*self.found.get())[found_at(key, stamp)].forget(key, stamp) };
        if self.further.is_used() {
            self.further.forget(key, stamp);
        }
    }

    /// Looks a variable up that is not remembered.
    #[inline]
    pub(super) fn look_up(&self, key: VarId) -> Looked<V, S> {
        // SAFETY: INVARIANTS 10 and 12: what is answered lives until the map is written, or another
        // context current.
        unsafe {
            let Some(context) = &*self.context.get() else { return Looked::Nothing };
            if context.cell.is_marked() {
                // Others may write the map meanwhile.
                return context.cell.read(|vars| vars.find(key).cloned()).map_or(Looked::Nothing, Looked::Counted);
            }
            context.cell.vars_access.read();
            // INVARIANT 8: this thread state has claimed the context, or there is one thread only.
            let Some(value) = (*context.cell.vars.get()).find(key) else { return Looked::Nothing };
            let stamp = self.stamp.get();
            let found = &mut (*self.found.get())[found_at(key, stamp)];
            if found.stamp == stamp {
                self.further.put_driving_out(key, stamp, value);
            }
            found.put(key, stamp, value);
            Looked::Uncounted(value)
        }
    }

    /// The value of a variable, counted once more.
    #[inline]
    pub(crate) fn find(&self, key: VarId) -> Option<S::Value<V>> {
        // SAFETY: INVARIANTS 10 and 12.
        unsafe {
            if let Some(value) = self.remembered(key) {
                return Some(value.clone());
            }
        }
        self.find_looked_up(key)
    }

    /// As [`Self::find`], of a variable that is not remembered.
    #[cold]
    #[inline(never)]
    fn find_looked_up(&self, key: VarId) -> Option<S::Value<V>> {
        // SAFETY: INVARIANTS 10 and 12.
        if let Some(value) = unsafe { self.further.get(key, self.stamp.get()) } {
            return Some(value.clone());
        }
        match self.look_up(key) {
            // SAFETY: as above.
            Looked::Uncounted(value) => Some(unsafe { (*value).clone() }),
            Looked::Counted(value) => Some(value),
            Looked::Nothing => None,
        }
    }

    /// Binds a variable in the current context, which is made where there is none, and calls with that
    /// context and the value before. The function runs no user code.
    #[inline]
    pub(crate) fn assoc<R>(&self, key: VarId, value: S::Value<V>, then: impl FnOnce(&Context<V, S>, Option<S::Value<V>>) -> R) -> R {
        self.keep();
        self.remember(key, &value);
        // Dropped when nothing is half done.
        let mut gone = Gone::new();
        self.with_context(|context| {
            let old = context.cell.write(|vars| vars.assoc_into(key, value, &mut gone));
            then(context, old)
        })
    }

    /// A token's reference to the current context.
    #[inline]
    pub(crate) fn token_context(&self, context: &Context<V, S>) -> TokenContext<V, S> {
        TokenContext::new(context, self.thread)
    }

    /// Unbinds a variable in the current context, and answers its value.
    pub(crate) fn without(&self, key: VarId) -> Option<S::Value<V>> {
        self.keep();
        self.forget(key);
        // Dropped when nothing is half done.
        let mut gone = Gone::new();
        self.with_context(|context| context.cell.write(|vars| vars.without_into(key, &mut gone)))
    }
}
