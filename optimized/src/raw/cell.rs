//! What a context consists of, and how tokens refer to it.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ops::Deref;

use super::map::Hamt;
use crate::context::Context;
use crate::sharing::{Access, Shared, Sharing, Word};

/// What a context consists of.
pub(crate) struct ContextCell<V, S: Sharing> {
    /// [`FREE`]; or [`LOCKED`] while somebody writes the map, or while another thread than the one that
    /// has claimed the context reads it; or the address of the map's root over a number of counts ahead.
    // INVARIANT 14: so many counts of the root are nobody's, and who takes one from the number has it.
    // Meanwhile the map is not written: who takes the lock gives them back.
    lock: S::Word,
    // INVARIANT 8: written only under the lock, and only through a thread state whose current context
    // this is. A context that was not made as a base is current in one thread state at most: the one
    // that claimed it. So that one may read it without the lock.
    pub(super) vars: UnsafeCell<Hamt<V, S>>,
    pub(super) vars_access: S::Access,
    // INVARIANT 9: touched only by the thread state that claimed the context, or by who drops it; of a
    // context that was made as a base, which several thread states can leave, under the lock.
    pub(super) previous: UnsafeCell<Option<Context<V, S>>>,
    /// The stamp of what the thread state that made it current last remembers of it. Touched as
    /// `previous`.
    pub(super) stamp: Cell<u64>,
    pub(super) previous_access: S::Access,
    /// The thread that accounts for `spare`; zero where nobody does.
    pub(super) owner: S::Word,
    /// How many references are counted that nobody holds: tokens come and go at the rate of sets, and
    /// take and give back one of these instead of counting.
    // INVARIANT 13: touched only by the owner, who has the context claimed in a thread state, and no
    // context that was made as a base entered over it.
    pub(super) spare: Cell<u64>,
    pub(super) spare_access: S::Access,
}

/// How many references to a context are counted ahead when it is entered. More tokens of one entering
/// than this are counted one by one.
pub(super) const SPARE: u64 = 1 << 16;

/// The number of counts ahead is in the lowest bits of the word; it is zero in both of the states below.
const AHEAD_BITS: u32 = 16;
/// How many counts are taken ahead at once. A root's own count takes 2^47 times as many.
const AHEAD: u64 = (1 << AHEAD_BITS) - 1;
/// A word goes from one processor to another and back in a fifth of a microsecond, and a turn of waiting takes some
/// 16 ns. So a thread that found the word changed waits half a microsecond; if the other one took this many counts
/// meanwhile, which is more than it takes now and then, twice as long, and so on up to eight microseconds. Two threads
/// that do nothing but copy a context then do it 94 million times a second; with half a microsecond each time 29 to 74
/// million times, and without a wait 10 million times.
const FEWEST_TURNS: u32 = 32;
const MANY_TAKEN: u64 = 8;
const MOST_TURNS: u32 = 512;
/// The address of the empty map, which needs no count.
const FREE: u64 = 0;
/// The address of nothing.
const LOCKED: u64 = 1 << AHEAD_BITS;

// SAFETY: INVARIANTS 8, 9, 13 and 14; locks and claims are atomic.
unsafe impl<V: Send + Sync> Sync for ContextCell<V, Shared> {}

pub(super) struct Unlock<'a, W: Word>(&'a W);

impl<W: Word> Drop for Unlock<'_, W> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(FREE);
    }
}

impl<V, S: Sharing> ContextCell<V, S> {
    pub(crate) fn new(vars: Hamt<V, S>) -> Self {
        Self {
            lock: S::Word::new(FREE),
            vars: UnsafeCell::new(vars),
            vars_access: S::Access::new(),
            previous: UnsafeCell::new(None),
            stamp: Cell::new(0),
            previous_access: S::Access::new(),
            owner: S::Word::new(0),
            spare: Cell::new(0),
            spare_access: S::Access::new(),
        }
    }

    /// Whether the running thread, whose number it is, accounts for the spare references.
    #[inline]
    pub(super) fn is_owned(&self, thread: u64) -> bool {
        S::ATOMIC && self.owner.get() == thread
    }

    /// The spare references that the caller has to give back from now on.
    #[inline]
    pub(super) fn give_up_spare(&self, thread: u64) -> u64 {
        if !self.is_owned(thread) {
            return 0;
        }
        self.owner.set(0);
        self.spare_access.write();
        self.spare.replace(0)
    }

    /// Takes the lock. Nobody who holds it runs user code: no value is dropped or asked for equality.
    #[inline]
    pub(super) fn lock(&self) -> Option<Unlock<'_, S::Word>> {
        // One thread alone needs none, since it does not come back while it works.
        if !S::ATOMIC {
            return None;
        }
        if self.lock.replace(FREE, LOCKED).is_err() {
            self.wait();
        }
        Some(Unlock(&self.lock))
    }

    /// Writes the map under the lock. The function runs no user code.
    #[inline]
    pub(super) fn write<R>(&self, function: impl FnOnce(&mut Hamt<V, S>) -> R) -> R {
        self.settle_at_hand();
        let _unlock = self.lock();
        self.vars_access.write();
        // SAFETY: the lock is held. INVARIANT 8: nobody reads without it, since the caller's thread state
        // has the context current.
        function(unsafe { &mut *self.vars.get() })
    }

    /// The map of the context that is current, if it is fit to be shared.
    ///
    /// # Safety
    ///
    /// The caller's thread state has it current, and it was not made as a base.
    #[inline]
    pub(super) unsafe fn current_vars(&self) -> Option<Hamt<V, S>> {
        self.vars_access.read();
        // SAFETY: INVARIANT 8: nobody else writes it.
        let vars = unsafe { &*self.vars.get() };
        if !S::ATOMIC {
            return (!vars.is_unsettled(0)).then(|| vars.clone());
        }
        S::at_hand(|at_hand| {
            let counts = at_hand.counts_of(self.address());
            if vars.is_unsettled(counts) {
                return None;
            }
            // SAFETY: the contract.
            Some(unsafe { if counts > 0 { at_hand.take() } else { at_hand.fill(self.address(), vars) } })
        })
    }

    /// Gives back what the running thread has at hand of the context's map, which is written or left.
    #[inline]
    pub(super) fn settle_at_hand(&self) {
        if S::ATOMIC {
            S::at_hand(|at_hand| at_hand.settle_of::<S>(self.address()));
        }
    }

    fn address(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }

    /// Reads the map, with a count of it or under the lock. The function runs no user code.
    #[inline]
    pub(crate) fn read<R>(&self, function: impl FnOnce(&Hamt<V, S>) -> R) -> R {
        if let Some(vars) = self.take_ahead() {
            return function(&vars);
        }
        let _unlock = self.lock();
        self.vars_access.read();
        // SAFETY: the lock is held: nobody writes.
        function(unsafe { &*self.vars.get() })
    }

    /// The map as it is now. Whoever asks next needs no lock.
    #[inline]
    pub(crate) fn vars(&self) -> Hamt<V, S> {
        if !S::ATOMIC {
            return self.read(Hamt::clone);
        }
        self.take_ahead().unwrap_or_else(|| self.count_ahead())
    }

    /// The map, if a count of it was left ahead.
    #[inline]
    fn take_ahead(&self) -> Option<Hamt<V, S>> {
        if !S::ATOMIC {
            return None;
        }
        let mut seen = self.lock.get();
        while seen & AHEAD != 0 {
            match self.lock.replace(seen, seen - 1) {
                // SAFETY: INVARIANT 14.
                Ok(_) => return Some(unsafe { Hamt::of_counted(seen >> AHEAD_BITS) }),
                Err(found) => seen = self.leave_to_others(found),
            }
        }
        None
    }

    /// Leaves the word to another thread that has just taken a count, for as long as that one takes many, and answers
    /// what is in it then.
    #[cold]
    fn leave_to_others(&self, mut seen: u64) -> u64 {
        let mut turns = FEWEST_TURNS;
        loop {
            S::back_off(turns);
            let now = self.lock.get();
            let is_left_alone = now >> AHEAD_BITS != seen >> AHEAD_BITS || seen.wrapping_sub(now) < MANY_TAKEN;
            if is_left_alone || turns == MOST_TURNS {
                return now;
            }
            (seen, turns) = (now, 2 * turns);
        }
    }

    /// The map, of which more counts are left ahead.
    #[inline(never)]
    fn count_ahead(&self) -> Hamt<V, S> {
        let unlock = self.lock();
        self.vars_access.read();
        // SAFETY: the lock is held: nobody writes.
        let vars = unsafe { &*self.vars.get() };
        let address = vars.address();
        if address == FREE || address << AHEAD_BITS >> AHEAD_BITS != address {
            // Nothing is counted, or no room is left for a number.
            return vars.clone();
        }
        let clone = vars.clone_ahead(AHEAD);
        std::mem::forget(unlock);
        self.lock.set(address << AHEAD_BITS | AHEAD);
        clone
    }

    /// Gives the counts ahead back, before the map goes.
    #[inline]
    pub(crate) fn settle_ahead(&mut self) {
        let word = self.lock.get();
        if word & AHEAD != 0 {
            self.lock.set(FREE);
            // SAFETY: nobody else is here.
            unsafe { self.give_back_ahead(word) };
        }
    }

    #[cold]
    fn wait(&self) {
        let mut turns = 0;
        loop {
            let seen = self.lock.get();
            if seen == LOCKED {
                S::wait(turns);
                turns += 1;
            } else if self.lock.replace(seen, LOCKED).is_ok() {
                // SAFETY: INVARIANT 14: they are the caller's now, and the lock is held.
                unsafe { self.give_back_ahead(seen) };
                return;
            }
        }
    }

    /// # Safety
    ///
    /// The caller has replaced this word, in which there may be counts ahead, and nobody writes the map.
    unsafe fn give_back_ahead(&self, word: u64) {
        if word & AHEAD != 0 {
            // SAFETY: the contract.
            unsafe { (*self.vars.get()).give_back(word & AHEAD) };
        }
    }

    pub(crate) fn previous_mut(&mut self) -> &mut Option<Context<V, S>> {
        self.vars_access.write();
        self.previous_access.write();
        self.previous.get_mut()
    }
}

/// A token's reference to the context in which it was made.
pub(crate) struct TokenContext<V, S: Sharing>(ManuallyDrop<Context<V, S>>);

impl<V, S: Sharing> TokenContext<V, S> {
    /// A reference more, which is not counted if the running thread, whose number it is, has a spare one.
    #[inline]
    pub(super) fn new(context: &Context<V, S>, thread: u64) -> Self {
        let cell = &context.cell;
        if cell.is_owned(thread) {
            cell.spare_access.write();
            if let Some(left) = cell.spare.get().checked_sub(1) {
                cell.spare.set(left);
                // SAFETY: INVARIANT 13: there was a spare one, and now is one less.
                return Self(ManuallyDrop::new(Context { cell: unsafe { cell.take_spare() } }));
            }
        }
        Self(ManuallyDrop::new(context.clone()))
    }
}

impl<V, S: Sharing> Deref for TokenContext<V, S> {
    type Target = Context<V, S>;
    #[inline]
    fn deref(&self) -> &Context<V, S> {
        &self.0
    }
}

impl<V, S: Sharing> Drop for TokenContext<V, S> {
    #[inline]
    fn drop(&mut self) {
        let cell = &self.0.cell;
        if S::ATOMIC && cell.is_owned(S::thread()) {
            // INVARIANT 13: its count goes on as that of a spare one.
            cell.spare_access.write();
            cell.spare.set(cell.spare.get() + 1);
            return;
        }
        // SAFETY: nobody sees the reference after this.
        unsafe { ManuallyDrop::drop(&mut self.0) }
    }
}
