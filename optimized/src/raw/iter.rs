//! Walking over the bindings of a map in order, without allocation.

use std::mem::MaybeUninit;

use super::node::{CHANGES, Kind, Node, Value};
use crate::sharing::Sharing;
use crate::variable::VarId;

/// Levels of five bits in a place of 32.
const LEVELS: usize = 7;

/// The slots of a branch that are still to be visited.
struct Slots<V, S: Sharing> {
    slots: *const Node<V, S>,
    next: u32,
    many: u32,
}

/// A position in a map.
// INVARIANT 7: every pointer leads into the map that the cursor was made for, which its holder keeps
// alive and unchanged.
pub(super) struct Cursor<V, S: Sharing> {
    leaf: Node<V, S>,
    at: usize,
    len: usize,
    above: [MaybeUninit<Slots<V, S>>; LEVELS],
    depth: usize,
    patch: Node<V, S>,
    /// The changes that add a binding, in order.
    added: [u8; CHANGES],
    added_len: u8,
    next_added: u8,
}

impl<V, S: Sharing> Cursor<V, S> {
    /// A cursor before the first binding.
    ///
    /// # Safety
    ///
    /// The map lives, and is not written, as long as the cursor is used.
    pub(super) unsafe fn new(root: Node<V, S>) -> Self {
        let mut cursor = Self {
            leaf: Node::EMPTY,
            at: 0,
            len: 0,
            above: [const { MaybeUninit::uninit() }; LEVELS],
            depth: 0,
            patch: Node::EMPTY,
            added: [0; CHANGES],
            added_len: 0,
            next_added: 0,
        };
        // SAFETY: the contract.
        unsafe {
            let mut base = root;
            if root.kind() == Kind::Patch {
                cursor.patch = root;
                base = (*root.patch()).base;
                cursor.sort_added();
            }
            cursor.descend(base);
        }
        cursor
    }

    /// # Safety
    ///
    /// The contract of [`Self::new`], here and below.
    unsafe fn sort_added(&mut self) {
        // SAFETY: INVARIANT 7.
        unsafe {
            let (head, places) = (&*self.patch.patch(), self.patch.patch_columns().places());
            for change in 0..head.len {
                if (head.in_base & !head.moved) >> change & 1 == 1 {
                    continue;
                }
                // Insertion from the back keeps equal places in the order of the changes.
                let mut at = self.added_len as usize;
                while at > 0 && *places.add(self.added[at - 1] as usize) > *places.add(change as usize) {
                    self.added[at] = self.added[at - 1];
                    at -= 1;
                }
                self.added[at] = change;
                self.added_len += 1;
            }
        }
    }

    unsafe fn descend(&mut self, node: Node<V, S>) {
        // SAFETY: INVARIANT 7. No path is longer than there are levels.
        unsafe {
            match node.kind() {
                Kind::Leaf => (self.leaf, self.at, self.len) = (node, 0, node.leaf_len()),
                Kind::Branch => {
                    self.above[self.depth].write(Slots { slots: node.slots(), next: 0, many: 1 << node.branch_bits() });
                    self.depth += 1;
                }
                Kind::Empty | Kind::Patch => {}
            }
        }
    }

    /// Goes to the next leaf of the base; false where there is none.
    unsafe fn next_leaf(&mut self) -> bool {
        // SAFETY: INVARIANT 7; what is above `depth` is written.
        unsafe {
            while self.depth > 0 {
                let top = self.above[self.depth - 1].assume_init_mut();
                if top.next == top.many {
                    self.depth -= 1;
                    continue;
                }
                let child = *top.slots.add(top.next as usize);
                top.next += 1;
                while top.next < top.many && *top.slots.add(top.next as usize) == child {
                    top.next += 1;
                }
                self.descend(child);
                if child.kind() == Kind::Leaf {
                    return true;
                }
            }
            false
        }
    }

    /// The next binding.
    ///
    /// # Safety
    ///
    /// The contract of [`Self::new`]; the answer lives as long as the map.
    #[inline]
    pub(super) unsafe fn next<'a>(&mut self) -> Option<(VarId, &'a Value<V, S>)> {
        // SAFETY: INVARIANT 7.
        unsafe {
            if !self.patch.is_empty() {
                return self.next_patched();
            }
            if self.at == self.len && !self.next_leaf() {
                return None;
            }
            Some(self.take())
        }
    }

    /// The binding of the base at which the cursor stands.
    #[inline]
    unsafe fn take<'a>(&mut self) -> (VarId, &'a Value<V, S>) {
        // SAFETY: INVARIANT 7; the position is below the length.
        unsafe {
            let (columns, at) = (self.leaf.leaf_columns(), self.at);
            self.at = at + 1;
            (columns.key::<Value<V, S>>(at), &(*columns.pairs::<Value<V, S>>().add(at)).value)
        }
    }

    #[inline(never)]
    unsafe fn next_patched<'a>(&mut self) -> Option<(VarId, &'a Value<V, S>)> {
        // SAFETY: INVARIANT 7.
        unsafe {
            let changes = self.patch.patch_columns();
            let pairs = changes.pairs::<Option<Value<V, S>>>();
            loop {
                let has_base = self.at < self.len || self.next_leaf();
                if self.next_added < self.added_len {
                    let change = self.added[self.next_added as usize] as usize;
                    // Among equal places, what the base has comes first.
                    if !has_base || *changes.places().add(change) < *self.leaf.leaf_columns().places().add(self.at) {
                        self.next_added += 1;
                        if let Some(value) = &(*pairs.add(change)).value {
                            return Some((changes.key::<Option<Value<V, S>>>(change), value));
                        }
                        continue;
                    }
                }
                if !has_base {
                    return None;
                }
                let (key, value) = self.take();
                let Some(change) = self.patch.find_change(key) else { return Some((key, value)) };
                if (*self.patch.patch()).moved >> change & 1 == 0
                    && let Some(value) = &(*pairs.add(change)).value
                {
                    return Some((key, value));
                }
            }
        }
    }

    /// Folds every binding that is left.
    ///
    /// # Safety
    ///
    /// The contract of [`Self::new`].
    #[inline]
    pub(super) unsafe fn fold<'a, B>(&mut self, start: B, mut fold: impl FnMut(B, (VarId, &'a Value<V, S>)) -> B) -> B
    where
        V: 'a,
    {
        let mut all = start;
        // SAFETY: INVARIANT 7.
        unsafe {
            if !self.patch.is_empty() {
                while let Some(binding) = self.next_patched() {
                    all = fold(all, binding);
                }
                return all;
            }
            loop {
                let (columns, len) = (self.leaf, self.len);
                while self.at < len {
                    let columns = columns.leaf_columns();
                    let at = self.at;
                    self.at = at + 1;
                    all = fold(all, (columns.key::<Value<V, S>>(at), &(*columns.pairs::<Value<V, S>>().add(at)).value));
                }
                if !self.next_leaf() {
                    return all;
                }
            }
        }
    }
}
