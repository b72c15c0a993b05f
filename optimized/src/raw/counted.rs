//! A counted block, as the standard `Arc`, with three differences: strong and weak count share a
//! word, so that a sole owner frees it without an atomic operation and a flag can change together with
//! the count; the block comes from the pool; and a block can be made immortal.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use super::pool;
use crate::sharing::{Shared, Sharing, Word};

/// One strong reference; there are 31 bits of them, the top one of which is never reached.
const STRONG: u64 = 1;
const STRONG_BITS: u64 = (1 << 31) - 1;
/// One weak reference. All strong ones together hold one.
const WEAK: u64 = 1 << 31;
const WEAK_BITS: u64 = ((1 << 30) - 1) << 31;
/// Beyond these a count aborts, since it could overflow into its neighbour.
const MOST_STRONG: u64 = 1 << 30;
const MOST_WEAK: u64 = 1 << 60;
/// A flag that its owner may claim, once at a time (a context: that it is entered).
const CLAIMED: u64 = 1 << 61;
/// A flag that is chosen when the block is made (a context: that it was made as a base).
const MARKED: u64 = 1 << 62;
/// References to the block are not counted, and it is never freed.
const IMMORTAL: u64 = 1 << 63;
/// The counts of a block that one reference alone leads to.
const SOLE: u64 = STRONG + WEAK;

#[repr(C)]
pub(crate) struct Block<T, S: Sharing> {
    word: S::Word,
    value: T,
}

/// A strong reference.
// INVARIANT 1: `block` has a strong count for this reference, or is immortal; so its value lives.
pub(crate) struct Counted<T, S: Sharing> {
    block: NonNull<Block<T, S>>,
    owns: PhantomData<Block<T, S>>,
}

/// A reference that does not keep the value alive, only the block.
// INVARIANT 2: `block` has a weak count for this reference, or is immortal.
pub(crate) struct WeakCounted<T, S: Sharing> {
    block: NonNull<Block<T, S>>,
    owns: PhantomData<Block<T, S>>,
}

// SAFETY: with atomic counts references may be counted from any thread; the value is shared between
// threads, and dropped in any of them.
unsafe impl<T: Send + Sync> Send for Counted<T, Shared> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Counted<T, Shared> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for WeakCounted<T, Shared> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for WeakCounted<T, Shared> {}

impl<T, S: Sharing> Counted<T, S> {
    const SIZE: usize = {
        assert!(align_of::<Block<T, S>>() <= 8, "the pool aligns to eight bytes");
        size_of::<Block<T, S>>()
    };

    /// A new block; it is marked or not for ever. The value is made where it will stand: one that is
    /// put together elsewhere and moved here is read before its parts have arrived, which takes longer
    /// than all the rest.
    #[inline]
    pub(crate) fn new(marked: bool, value: impl FnOnce() -> T) -> Self {
        let block = pool::allocate(Self::SIZE).cast::<Block<T, S>>();
        let word = S::Word::new(SOLE + if marked { MARKED } else { 0 });
        // SAFETY: the block is new and of this size.
        unsafe { block.write(Block { word, value: value() }) };
        Self { block, owns: PhantomData }
    }

    fn word(&self) -> &S::Word {
        // SAFETY: INVARIANT 1.
        unsafe { &self.block.as_ref().word }
    }

    pub(crate) fn as_ptr(&self) -> *const () {
        self.block.as_ptr().cast_const().cast()
    }

    #[inline]
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        self.block == other.block
    }

    /// Stops the counting: the block is never freed.
    pub(crate) fn make_immortal(&self) {
        let word = self.word();
        let mut seen = word.get();
        while let Err(other) = word.replace(seen, seen | IMMORTAL) {
            seen = other;
        }
    }

    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.word().get() & MARKED != 0
    }

    #[inline]
    pub(crate) fn is_claimed(&self) -> bool {
        self.word().get() & CLAIMED != 0
    }

    /// Claims the block and answers another reference to it, both in one operation; none where it is
    /// claimed. So many spare references are counted besides, for which [`Self::take_spare`] and
    /// [`Self::disclaim`] account.
    #[inline]
    pub(crate) fn claim(&self, spare: u64) -> Option<Self> {
        let word = self.word();
        let mut seen = word.get();
        loop {
            if seen & CLAIMED != 0 {
                return None;
            }
            check(seen);
            match word.replace(seen, (seen | CLAIMED) + STRONG * (1 + spare)) {
                Ok(_) => return Some(Self { block: self.block, owns: PhantomData }),
                Err(other) => seen = other,
            }
        }
    }

    /// Gives up claim and reference and the spare references that are left, all in one operation.
    ///
    /// The block is claimed, and nobody else gives that claim up; the caller has another reference.
    #[inline]
    pub(crate) fn disclaim(self, spare: u64) {
        debug_assert!(self.is_claimed(), "only a claim can be given up");
        let this = std::mem::ManuallyDrop::new(self);
        let gone = STRONG * (1 + spare);
        let before = this.word().sub(CLAIMED + gone);
        debug_assert!(before & STRONG_BITS > gone, "the caller has another reference");
    }

    /// A reference for one of the spare ones, which the caller has one less of from now on.
    ///
    /// # Safety
    ///
    /// The caller accounts for the spare references, and there was one.
    #[inline]
    pub(crate) unsafe fn take_spare(&self) -> Self {
        Self { block: self.block, owns: PhantomData }
    }

    /// Gives spare references back; this one stays.
    pub(crate) fn give_back(&self, spare: u64) {
        self.word().sub(STRONG * spare);
    }

    /// A weak reference.
    pub(crate) fn downgrade(&self) -> WeakCounted<T, S> {
        let seen = self.word().add(WEAK);
        if seen & WEAK_BITS >= MOST_WEAK {
            std::process::abort();
        }
        WeakCounted { block: self.block, owns: PhantomData }
    }

    /// The value, if this reference is the last one.
    pub(crate) fn into_inner(self) -> Option<T> {
        let this = std::mem::ManuallyDrop::new(self);
        let word = this.word();
        if word.get() & IMMORTAL != 0 || word.sub(STRONG) & STRONG_BITS != STRONG {
            return None;
        }
        // SAFETY: this was the last strong reference, so that nobody else can reach the value; the
        // weak reference that the strong ones held keeps the block, and is given up after.
        unsafe {
            let value = std::ptr::read(&raw const this.block.as_ref().value);
            drop(WeakCounted { block: this.block, owns: PhantomData });
            Some(value)
        }
    }

    /// Drops the value when the last strong reference goes.
    ///
    /// # Safety
    ///
    /// Nobody else can reach the value, and nobody uses this reference after this.
    #[inline(never)]
    unsafe fn finish(&mut self) {
        let _last = Last(self.block);
        // SAFETY: nobody else can reach the value, and it is dropped once.
        unsafe { std::ptr::drop_in_place(&raw mut (*self.block.as_ptr()).value) };
    }
}

/// A count that is leaked over and over must not overflow.
#[inline]
fn check(word: u64) {
    if word & STRONG_BITS >= MOST_STRONG {
        std::process::abort();
    }
}

impl<T, S: Sharing> Deref for Counted<T, S> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: INVARIANT 1.
        unsafe { &self.block.as_ref().value }
    }
}

impl<T, S: Sharing> Clone for Counted<T, S> {
    #[inline]
    fn clone(&self) -> Self {
        let word = self.word();
        // An immortal block's count does not matter; one that others see being made immortal may
        // still be counted for a while.
        if word.get() & IMMORTAL == 0 {
            check(word.add(STRONG));
        }
        Self { block: self.block, owns: PhantomData }
    }
}

/// The weak reference of all strong ones, which goes after the value, and even if the value's drop panics.
struct Last<T, S: Sharing>(NonNull<Block<T, S>>);

impl<T, S: Sharing> Drop for Last<T, S> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the weak reference keeps the block.
        let sole = unsafe { &(*self.0.as_ptr()).word }.get() & STRONG_BITS == STRONG;
        if sole {
            // SAFETY: whoever made this owns the block alone, and its value is gone.
            unsafe { pool::release(self.0.cast(), Counted::<T, S>::SIZE) }
        } else {
            drop(WeakCounted { block: self.0, owns: PhantomData::<Block<T, S>> });
        }
    }
}

impl<T, S: Sharing> Drop for Counted<T, S> {
    #[inline]
    fn drop(&mut self) {
        let (word, seen) = (self.word(), self.word().get());
        if seen & IMMORTAL != 0 {
            return;
        }
        // Nobody else leads to what has a sole owner, so that nobody can begin to: no atomic operation is
        // needed, and the word stays as it is.
        if seen & (STRONG_BITS | WEAK_BITS) == SOLE || word.sub(STRONG) & STRONG_BITS == STRONG {
            // SAFETY: this was the last strong reference.
            unsafe { self.finish() };
        }
    }
}

impl<T, S: Sharing> WeakCounted<T, S> {
    fn word(&self) -> &S::Word {
        // SAFETY: INVARIANT 2; the word lives as long as the block.
        unsafe { &(*self.block.as_ptr()).word }
    }

    /// A strong reference, if there is still one.
    pub(crate) fn upgrade(&self) -> Option<Counted<T, S>> {
        let word = self.word();
        let mut seen = word.get();
        loop {
            if seen & STRONG_BITS == 0 {
                return None;
            }
            check(seen);
            match word.replace(seen, seen + STRONG) {
                Ok(_) => return Some(Counted { block: self.block, owns: PhantomData }),
                Err(other) => seen = other,
            }
        }
    }
}

impl<T, S: Sharing> Drop for WeakCounted<T, S> {
    #[inline(never)]
    fn drop(&mut self) {
        if self.word().sub(WEAK) & (STRONG_BITS | WEAK_BITS) == WEAK {
            // SAFETY: no reference of either kind is left.
            unsafe { pool::release(self.block.cast(), Counted::<T, S>::SIZE) }
        }
    }
}
