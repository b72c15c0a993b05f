//! Walking over the bindings of a map in order, without allocation.

use std::marker::PhantomData;

use super::map::Hamt;
use super::node::{CHANGES, Kind, Node, Value};
use crate::sharing::{Shared, Sharing};
use crate::variable::VarId;

/// A position in a map. It needs no stack: the next leaf is found from the root again, as the one at or
/// after the place where the last one's slots ended.
// INVARIANT 7: every pointer leads into the map that the cursor was made for, which its holder keeps
// alive and unchanged.
pub(super) struct Cursor<V, S: Sharing> {
    leaf: Node<V, S>,
    at: usize,
    len: usize,
    base: Node<V, S>,
    /// The first place that no leaf so far could have; beyond all places after the last.
    next_place: u64,
    patch: Node<V, S>,
    /// The changes that add a binding, in order.
    added: [u8; CHANGES],
    added_len: u8,
    next_added: u8,
}

/// The first number that is no place.
const END: u64 = 1 << u32::BITS;

impl<V, S: Sharing> Cursor<V, S> {
    /// A cursor before the first binding.
    ///
    /// # Safety
    ///
    /// The map lives, and is not written, as long as the cursor is used.
    #[inline]
    pub(super) unsafe fn new(root: Node<V, S>) -> Self {
        // SAFETY: the contract.
        unsafe {
            let is_patched = root.kind() == Kind::Patch;
            let (patch, base) = if is_patched { (root, (*root.patch()).base) } else { (Node::EMPTY, root) };
            let (leaf, len, next_place) = match base.kind() {
                Kind::Leaf => (base, base.leaf_len(), END),
                _ => (Node::EMPTY, 0, if base.is_empty() { END } else { 0 }),
            };
            let (added, added_len) = if is_patched { added_by(patch) } else { ([0; CHANGES], 0) };
            Self { leaf, at: 0, len, base, next_place, patch, added, added_len, next_added: 0 }
        }
    }

    /// Goes to the next leaf of the base; false where there is none.
    ///
    /// # Safety
    ///
    /// The contract of [`Self::new`], here and below.
    #[inline]
    unsafe fn next_leaf(&mut self) -> bool {
        if self.next_place == END {
            return false;
        }
        // SAFETY: INVARIANT 7; a base that is no branch has no place left.
        unsafe {
            let (leaf, next_place) = leaf_from(self.base, self.next_place);
            (self.leaf, self.at, self.next_place) = (leaf, 0, next_place);
            self.len = if leaf.is_empty() { 0 } else { leaf.leaf_len() };
        }
        self.len > 0
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
    pub(super) unsafe fn fold<'a, B>(self, start: B, mut fold: impl FnMut(B, (VarId, &'a Value<V, S>)) -> B) -> B
    where
        V: 'a,
    {
        let mut all = start;
        // SAFETY: INVARIANT 7.
        unsafe {
            if !self.patch.is_empty() {
                // A cursor of its own, so that the one without a patch need not stand in memory.
                let mut patched = self;
                while let Some(binding) = patched.next_patched() {
                    all = fold(all, binding);
                }
                return all;
            }
            let mut rest = self;
            loop {
                while rest.at < rest.len {
                    all = fold(all, rest.take());
                }
                if !rest.next_leaf() {
                    return all;
                }
            }
        }
    }
}

/// The changes of a patch that add a binding, in order, and how many they are.
///
/// # Safety
///
/// The node is a patch that lives.
#[inline(never)]
unsafe fn added_by<V, S: Sharing>(patch: Node<V, S>) -> ([u8; CHANGES], u8) {
    let (mut added, mut added_len) = ([0; CHANGES], 0);
    // SAFETY: the contract.
    unsafe {
        let (head, places) = (&*patch.patch(), patch.patch_columns().places());
        for change in 0..head.len {
            if (head.in_base & !head.moved) >> change & 1 == 1 {
                continue;
            }
            // Insertion from the back keeps equal places in the order of the changes.
            let mut at = added_len as usize;
            while at > 0 && *places.add(added[at - 1] as usize) > *places.add(change as usize) {
                added[at] = added[at - 1];
                at -= 1;
            }
            added[at] = change;
            added_len += 1;
        }
    }
    (added, added_len)
}

/// The first leaf at or after a place, and the first place that it could not have; the empty node where
/// there is none.
///
/// # Safety
///
/// The node is a branch that lives.
#[inline(never)]
unsafe fn leaf_from<V, S: Sharing>(base: Node<V, S>, mut next_place: u64) -> (Node<V, S>, u64) {
    while next_place < END {
        let place = next_place as u32;
        let (mut node, mut bit) = (base, 0);
        // SAFETY: the contract.
        unsafe {
            loop {
                let bits = node.branch_bits();
                let slot = place << bit >> (u32::BITS - bits);
                bit += bits;
                let child = *node.slots().add(slot as usize);
                if child.kind() == Kind::Branch {
                    node = child;
                    continue;
                }
                let mut end = slot + 1;
                while end < 1 << bits && *node.slots().add(end as usize) == child {
                    end += 1;
                }
                // The slots before were passed: what is left of the place begins with this one.
                let below = u32::BITS - bit;
                next_place = (u64::from(place >> below) + u64::from(end - slot)) << below;
                if child.is_empty() {
                    break;
                }
                return (child, next_place);
            }
        }
    }
    (Node::EMPTY, END)
}

impl<V, S: Sharing> Hamt<V, S> {
    /// The bindings in CPython's order (ORDER-1, ORDER-2). Constant time to make, no allocation.
    #[must_use]
    pub fn bindings(&self) -> Bindings<'_, V, S> {
        // SAFETY: INVARIANT 4; the map is borrowed as long as the cursor.
        Bindings { cursor: unsafe { Cursor::new(self.root) }, map: PhantomData }
    }

    /// The bindings in the same order, each value counted once more, without a borrow of the map.
    #[must_use]
    pub fn iter(&self) -> HamtIter<V, S> {
        let map = self.clone();
        // SAFETY: INVARIANT 4; the iterator keeps the map, and never writes it.
        HamtIter { cursor: unsafe { Cursor::new(map.root) }, _map: map }
    }
}

impl<'a, V, S: Sharing> IntoIterator for &'a Hamt<V, S> {
    type Item = (VarId, &'a S::Value<V>);
    type IntoIter = Bindings<'a, V, S>;

    fn into_iter(self) -> Bindings<'a, V, S> {
        self.bindings()
    }
}

/// An iterator over the bindings of a map, which it borrows.
pub struct Bindings<'a, V, S: Sharing = Shared> {
    cursor: Cursor<V, S>,
    map: PhantomData<&'a Hamt<V, S>>,
}

impl<'a, V, S: Sharing> Iterator for Bindings<'a, V, S> {
    type Item = (VarId, &'a S::Value<V>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the map is borrowed.
        unsafe { self.cursor.next() }
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, start: B, fold: F) -> B {
        // SAFETY: the map is borrowed.
        unsafe { self.cursor.fold(start, fold) }
    }
}

/// An iterator over the bindings that a map had when it was made.
pub struct HamtIter<V, S: Sharing = Shared> {
    cursor: Cursor<V, S>,
    _map: Hamt<V, S>,
}

// SAFETY: the cursor points into the map that is kept; it reads only.
unsafe impl<V: Send + Sync> Send for HamtIter<V, Shared> {}
// SAFETY: as above.
unsafe impl<V: Send + Sync> Sync for HamtIter<V, Shared> {}
// SAFETY: the cursor points into a map that is borrowed; it reads only.
unsafe impl<V: Send + Sync> Send for Bindings<'_, V, Shared> {}
// SAFETY: as above.
unsafe impl<V: Send + Sync> Sync for Bindings<'_, V, Shared> {}

impl<V, S: Sharing> Iterator for HamtIter<V, S> {
    type Item = (VarId, S::Value<V>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the map is kept.
        unsafe { self.cursor.next() }.map(|(key, value)| (key, value.clone()))
    }
}
