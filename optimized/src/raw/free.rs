//! How nodes go: with the last count, all that they lead to is given back.

use std::ptr::NonNull;

use super::node::{CHANGES, Kind, Node, Value};
use super::pool;
use crate::sharing::Sharing;

impl<V, S: Sharing> Node<V, S> {
    /// # Safety
    ///
    /// Nobody holds a count of the node any more.
    #[inline(never)]
    pub(super) unsafe fn free(self) {
        // SAFETY: the contract. Every task has a patch that goes.
        unsafe { if self.kind() == Kind::Patch { self.free_patch() } else { self.free_below() } }
    }

    /// # Safety
    ///
    /// As [`Self::free`]; the node is a patch.
    #[inline]
    unsafe fn free_patch(self) {
        // SAFETY: the contract; block and base are given back even if a value panics.
        unsafe {
            // Either is a constant for the pool.
            let is_large = self.patch_room() == CHANGES;
            let _block = FreedBlock(self.block(), Self::patch_size(if is_large { CHANGES } else { CHANGES / 2 }));
            let _base = Released((*self.patch()).base);
            let pairs = self.patch_columns().pairs::<Option<Value<V, S>>>();
            std::ptr::drop_in_place(std::ptr::slice_from_raw_parts_mut(pairs, (*self.patch()).len as usize));
        }
    }

    /// # Safety
    ///
    /// As [`Self::free`]; the node is no patch.
    #[inline(never)]
    unsafe fn free_below(self) {
        // SAFETY: the contract; the blocks are given back even if a value panics.
        unsafe {
            if self.kind() == Kind::Branch {
                let _block = FreedBlock(self.block(), Self::branch_size(self.branch_bits()));
                let mut rest = ReleasedSlots { slots: self.slots(), next: 0, many: 1 << self.branch_bits() };
                rest.run();
            } else if self.kind() == Kind::Leaf {
                let _block = FreedBlock(self.block(), Self::leaf_size(self.leaf_room()));
                let pairs = self.leaf_columns().pairs::<Value<V, S>>();
                std::ptr::drop_in_place(std::ptr::slice_from_raw_parts_mut(pairs, self.leaf_len()));
            }
        }
    }

    /// Gives the block back without a look at its entries.
    ///
    /// # Safety
    ///
    /// Nobody uses the node any more, and its entries are moved away or gone.
    pub(super) unsafe fn free_block(self) {
        // SAFETY: the contract; the sizes are those of the making.
        unsafe {
            let size = match self.kind() {
                Kind::Empty => return,
                Kind::Leaf => Self::leaf_size(self.leaf_room()),
                Kind::Branch => Self::branch_size(self.branch_bits()),
                Kind::Patch => Self::patch_size(self.patch_room()),
            };
            pool::release(NonNull::new_unchecked(self.block()), size);
        }
    }
}

/// A block of so many bytes that goes at the end.
struct FreedBlock(*mut u8, usize);

impl Drop for FreedBlock {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: only `free` makes these, of nodes whose entries it drops.
        unsafe { pool::release(NonNull::new_unchecked(self.0), self.1) }
    }
}

struct Released<V, S: Sharing>(Node<V, S>);

impl<V, S: Sharing> Drop for Released<V, S> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: only `free` makes these, of counts that the freed node held.
        unsafe { self.0.release_root() }
    }
}

/// The children of a branch that are still to be released: the rest of them goes even if a value of
/// one panics.
struct ReleasedSlots<V, S: Sharing> {
    slots: *mut Node<V, S>,
    next: usize,
    many: usize,
}

impl<V, S: Sharing> ReleasedSlots<V, S> {
    fn run(&mut self) {
        while self.next < self.many {
            // SAFETY: the slots are those of a branch that is being freed; a run of equal slots holds
            // one count (INVARIANT 5).
            unsafe {
                let child = *self.slots.add(self.next);
                self.next += 1;
                while self.next < self.many && *self.slots.add(self.next) == child {
                    self.next += 1;
                }
                child.release();
            }
        }
    }
}

impl<V, S: Sharing> Drop for ReleasedSlots<V, S> {
    fn drop(&mut self) {
        self.run();
    }
}
