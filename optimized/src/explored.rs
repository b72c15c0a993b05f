//! Sharing under a model checker: `loom` runs the threads of a test in every order that they can take,
//! with every value that the memory orderings allow a load to see.

use std::ops::Deref;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering};

use crate::raw::{AtHand, Counted};
use crate::sharing::{Access, Sharing, sealed};

/// As [`Shared`](crate::Shared), with every count, lock and access known to the model checker. Only
/// built with `--cfg loom`.
#[derive(Clone, Copy, Debug)]
pub struct Explored;

impl sealed::Sealed for Explored {}

atomic_word!(AtomicU64, Ordering);

impl Access for UnsafeCell<()> {
    fn new() -> Self {
        Self::new(())
    }
    fn read(&self) {
        self.with(|_| ());
    }
    fn write(&self) {
        self.with_mut(|_| ());
    }
}

/// A counted value; the model checker's own pointer takes two words, and the map's nodes have one.
pub struct Value<V>(Counted<V, Explored>);

impl<V> Clone for Value<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> Deref for Value<V> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.0
    }
}

impl Sharing for Explored {
    type Value<V> = Value<V>;
    type Word = AtomicU64;
    type Access = UnsafeCell<()>;
    const ATOMIC: bool = true;
    fn thread() -> u64 {
        // Numbers that the model checker does not see, so that they add no order of threads.
        static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        loom::thread_local! {
            static NUMBER: u64 = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        }
        NUMBER.with(|number| *number)
    }
    fn at_hand<R>(function: impl FnOnce(&AtHand) -> R) -> R {
        loom::thread_local! {
            static AT_HAND: AtHand = AtHand::new();
        }
        AT_HAND.with(function)
    }
    fn wait(_turns: u32) {
        loom::thread::yield_now();
    }
    fn back_off(_turns: u32) {
        loom::thread::yield_now();
    }
    fn value<V>(value: V) -> Value<V> {
        Value(Counted::new(false, || value))
    }
    fn ptr_eq<V>(left: &Value<V>, right: &Value<V>) -> bool {
        left.0.ptr_eq(&right.0)
    }
}
