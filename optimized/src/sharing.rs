//! Whether contexts and values may cross threads: the two ways to count.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::raw::AtHand;

/// A count, or a lock.
pub trait Word {
    /// A word of that value.
    fn new(value: u64) -> Self;
    /// Reads, and sees what was written before the value that it reads was released.
    fn get(&self) -> u64;
    /// Writes, and releases what was written before.
    fn set(&self, value: u64);
    /// Adds, and answers the value before.
    fn add(&self, value: u64) -> u64;
    /// Subtracts, and answers the value before; releases what was written before, and sees what
    /// others released.
    fn sub(&self, value: u64) -> u64;
    /// Replaces one value by another; answers whether it was that one, or else which.
    ///
    /// # Errors
    ///
    /// The value that was found instead.
    fn replace(&self, from: u64, to: u64) -> Result<u64, u64>;
}

/// The orderings of an atomic word, written once: those that run are those that the model checker checks.
macro_rules! atomic_word {
    ($atomic:ty, $ordering:ty) => {
        impl $crate::sharing::Word for $atomic {
            fn new(value: u64) -> Self {
                Self::new(value)
            }
            #[inline]
            fn get(&self) -> u64 {
                self.load(<$ordering>::Acquire)
            }
            #[inline]
            fn set(&self, value: u64) {
                self.store(value, <$ordering>::Release);
            }
            #[inline]
            fn add(&self, value: u64) -> u64 {
                self.fetch_add(value, <$ordering>::Relaxed)
            }
            #[inline]
            fn sub(&self, value: u64) -> u64 {
                self.fetch_sub(value, <$ordering>::AcqRel)
            }
            #[inline]
            fn replace(&self, from: u64, to: u64) -> Result<u64, u64> {
                self.compare_exchange(from, to, <$ordering>::AcqRel, <$ordering>::Acquire)
            }
        }
    };
}

atomic_word!(AtomicU64, Ordering);

impl Word for Cell<u64> {
    fn new(value: u64) -> Self {
        Self::new(value)
    }
    #[inline]
    fn get(&self) -> u64 {
        self.get()
    }
    #[inline]
    fn set(&self, value: u64) {
        self.set(value);
    }
    #[inline]
    fn add(&self, value: u64) -> u64 {
        let before = self.get();
        self.set(before.wrapping_add(value));
        before
    }
    #[inline]
    fn sub(&self, value: u64) -> u64 {
        let before = self.get();
        self.set(before.wrapping_sub(value));
        before
    }
    #[inline]
    fn replace(&self, from: u64, to: u64) -> Result<u64, u64> {
        let before = self.get();
        if before == from {
            self.set(to);
            Ok(before)
        } else {
            Err(before)
        }
    }
}

/// Sees the accesses to what is not atomic, where a model checker looks for races.
pub trait Access {
    /// Nothing was accessed yet.
    fn new() -> Self;
    /// It is read now.
    fn read(&self);
    /// It is written now.
    fn write(&self);
}

/// Nobody looks.
impl Access for () {
    fn new() -> Self {}
    #[inline]
    fn read(&self) {}
    #[inline]
    fn write(&self) {}
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Shared {}
    impl Sealed for super::Confined {}
}

/// How contexts, variables and tokens are counted: [`Shared`] or [`Confined`].
pub trait Sharing: sealed::Sealed + Sized + 'static {
    /// The counted pointer in which values are kept.
    type Value<V>: Clone + Deref<Target = V>;
    /// What counts.
    #[doc(hidden)]
    type Word: Word;
    /// What sees the accesses to a cell.
    #[doc(hidden)]
    type Access: Access;
    /// Whether several threads may count at once.
    #[doc(hidden)]
    const ATOMIC: bool;
    /// A number of the running thread that no other has had; not zero. Only asked where counts are
    /// atomic.
    #[doc(hidden)]
    fn thread() -> u64;
    /// What the running thread has at hand. Only asked where counts are atomic.
    #[doc(hidden)]
    #[inline]
    fn at_hand<R>(function: impl FnOnce(&AtHand) -> R) -> R {
        thread_local! {
            static AT_HAND: AtHand = const { AtHand::new() };
        }
        AT_HAND.with(function)
    }
    /// Lets others run, after so many turns of waiting for one of them.
    #[doc(hidden)]
    fn wait(turns: u32);
    /// Leaves a word alone that another thread has just changed, for so many turns.
    #[doc(hidden)]
    fn back_off(turns: u32);
    /// A value of its own.
    fn value<V>(value: V) -> Self::Value<V>;
    /// Whether both are one value, not merely equal.
    fn ptr_eq<V>(left: &Self::Value<V>, right: &Self::Value<V>) -> bool;
}

/// Contexts that threads may share: counts are atomic, values are kept in [`Arc`]. The default.
#[derive(Clone, Copy, Debug)]
pub struct Shared;

/// Contexts that stay in one thread: counts are plain, values are kept in [`Rc`].
#[derive(Clone, Copy, Debug)]
pub struct Confined;

impl Sharing for Shared {
    type Value<V> = Arc<V>;
    type Word = AtomicU64;
    type Access = ();
    const ATOMIC: bool = true;
    #[inline]
    fn thread() -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            static NUMBER: Cell<u64> = const { Cell::new(0) };
        }
        #[cold]
        fn first(number: &Cell<u64>) -> u64 {
            number.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
            number.get()
        }
        NUMBER.with(|number| if number.get() == 0 { first(number) } else { number.get() })
    }
    fn wait(turns: u32) {
        /// After so many turns another thread is let run: whoever holds a lock may have been stopped.
        const TURNS: u32 = 64;
        if turns < TURNS { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
    fn back_off(turns: u32) {
        (0..turns).for_each(|_| std::hint::spin_loop());
    }
    fn value<V>(value: V) -> Arc<V> {
        Arc::new(value)
    }
    #[inline]
    fn ptr_eq<V>(left: &Arc<V>, right: &Arc<V>) -> bool {
        Arc::ptr_eq(left, right)
    }
}

impl Sharing for Confined {
    type Value<V> = Rc<V>;
    type Word = Cell<u64>;
    type Access = ();
    const ATOMIC: bool = false;
    fn thread() -> u64 {
        1
    }
    fn wait(_turns: u32) {}
    fn back_off(_turns: u32) {}
    fn value<V>(value: V) -> Rc<V> {
        Rc::new(value)
    }
    #[inline]
    fn ptr_eq<V>(left: &Rc<V>, right: &Rc<V>) -> bool {
        Rc::ptr_eq(left, right)
    }
}
