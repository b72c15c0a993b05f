//! Counts of a root that the running thread has at hand.
//!
//! A task copies the current context, and drops the copy where it was made. The root of the map that
//! both share would be counted up and down again each time, atomically.

use std::cell::Cell;

use super::map::Hamt;
use super::node::Node;
use crate::sharing::Sharing;

/// How many counts are taken at once.
const MANY: u64 = 1 << 16;

/// What one thread has: counts of the root of one context's map.
pub struct AtHand {
    /// The address of the context's cell; NULL where there is none.
    // INVARIANT 15: a thread state of this thread has the context claimed, no base is entered over it,
    // and its map was not written since; so the root lives, and is the map's.
    cell: Cell<*const ()>,
    /// The address of the root, or [`NONE`].
    root: Cell<u64>,
    /// So many counts of the root are nobody's.
    counts: Cell<u64>,
}

/// No node has this address, nor has the empty one.
const NONE: u64 = u64::MAX;

impl AtHand {
    /// Nothing.
    pub const fn new() -> Self {
        Self { cell: Cell::new(std::ptr::null()), root: Cell::new(NONE), counts: Cell::new(0) }
    }

    /// How many counts are there of the root of a context's map.
    #[inline]
    pub(super) fn counts_of(&self, cell: *const ()) -> u64 {
        if self.cell.get() == cell { self.counts.get() } else { 0 }
    }

    /// The map of the context that there are counts of, for one of these.
    ///
    /// # Safety
    ///
    /// There is one, and the context's map is of this type.
    #[inline]
    pub(super) unsafe fn take<V, S: Sharing>(&self) -> Hamt<V, S> {
        self.counts.set(self.counts.get() - 1);
        // SAFETY: INVARIANT 15.
        unsafe { Hamt::of_counted(self.root.get()) }
    }

    /// Whether a count of a root stays here; then the caller has it no more.
    #[inline]
    pub(super) fn keeps(&self, root: u64) -> bool {
        let keeps = self.root.get() == root;
        if keeps {
            self.counts.set(self.counts.get() + 1);
        }
        keeps
    }

    /// Takes counts of the root of a context's map, and answers the map.
    ///
    /// # Safety
    ///
    /// A thread state of this thread has the context claimed and current; it was not made as a base.
    #[inline(never)]
    pub(super) unsafe fn fill<V, S: Sharing>(&self, cell: *const (), vars: &Hamt<V, S>) -> Hamt<V, S> {
        self.settle::<S>();
        if vars.address() != Node::<V, S>::EMPTY.address() {
            self.cell.set(cell);
            self.root.set(vars.address());
            self.counts.set(MANY);
            return vars.clone_ahead(MANY);
        }
        vars.clone()
    }

    /// Gives back what there is of a context that is written or left.
    #[inline]
    pub(super) fn settle_of<S: Sharing>(&self, cell: *const ()) {
        if self.cell.get() == cell {
            self.settle::<S>();
        }
    }

    /// Gives back what there is.
    #[inline(never)]
    pub(super) fn settle<S: Sharing>(&self) {
        self.cell.set(std::ptr::null());
        let (root, counts) = (self.root.replace(NONE), self.counts.replace(0));
        if counts > 0 {
            // SAFETY: INVARIANT 15: the map has a count of its own. All nodes begin with the count,
            // whatever their values are.
            unsafe { Node::<(), S>::from_address(root).give_back(counts) };
        }
    }
}
