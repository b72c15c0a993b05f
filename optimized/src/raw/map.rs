//! The map: a root, which may be a patch over another root.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use super::node::{CHANGES, Kind, Node, Value};
use super::{equal, in_place, write};
use crate::sharing::{Shared, Sharing};
use crate::variable::VarId;

/// A persistent map from variables to values. A clone is O(1) and shares everything; a write to a map
/// that others share costs the same at every size, up to the eighth since it was cloned.
///
/// Reads and writes take time linear in the number of variables of equal folded hash.
pub struct Hamt<V, S: Sharing = Shared> {
    // INVARIANT 4: holds one count of the root.
    pub(super) root: Node<V, S>,
    owns: PhantomData<Value<V, S>>,
}

// SAFETY: nodes are counted atomically, and what is shared is not written; values are shared between
// threads, and dropped in any of them.
unsafe impl<V: Send + Sync> Send for Hamt<V, Shared> {}
// SAFETY: as above.
unsafe impl<V: Send + Sync> Sync for Hamt<V, Shared> {}

/// Values that went while a map was written: they are dropped when user code may run. Mostly there are
/// none, which is seen without a call.
pub(crate) struct Gone<V, S: Sharing>(ManuallyDrop<Vec<Value<V, S>>>);

impl<V, S: Sharing> Gone<V, S> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self(ManuallyDrop::new(Vec::new()))
    }

    #[cold]
    #[inline(never)]
    fn drop_values(&mut self) {
        // SAFETY: only `drop` calls this, once.
        unsafe { ManuallyDrop::drop(&mut self.0) }
    }
}

impl<V, S: Sharing> Drop for Gone<V, S> {
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() > 0 {
            self.drop_values();
        }
    }
}

impl<V> Hamt<V> {
    /// The empty map (`PyHamt_New`). Allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<V, S: Sharing> Hamt<V, S> {
    /// How many variables are bound. Constant time.
    #[must_use]
    pub fn len(&self) -> usize {
        // SAFETY: INVARIANT 4.
        unsafe { self.root.len() }
    }

    /// Whether nothing is bound. Constant time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both share one root, and so are equal without a look at them (EQ-1). Constant time.
    #[must_use]
    #[inline]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.root == other.root
    }

    /// The value of a variable (`_PyHamt_Find`).
    #[must_use]
    #[inline]
    pub fn find(&self, key: VarId) -> Option<&S::Value<V>> {
        // SAFETY: INVARIANT 4; the answer lives as long as the map is not written.
        unsafe { self.root.find(key) }
    }

    /// Binds a variable and answers the value before (`_PyHamt_Assoc`). What no clone shares is
    /// changed in place.
    #[inline]
    pub fn assoc(&mut self, key: VarId, value: S::Value<V>) -> Option<S::Value<V>> {
        self.assoc_into(key, value, &mut Gone::new())
    }

    /// Unbinds a variable and answers its value (`_PyHamt_Without`).
    pub fn without(&mut self, key: VarId) -> Option<S::Value<V>> {
        self.without_into(key, &mut Gone::new())
    }

    /// As [`Self::assoc`]; other values that go are put into `gone`, so that no user code runs.
    // Left to itself, the compiler makes this a function of its own, whose saving of registers is a seventh of a set.
    #[inline(always)]
    pub(crate) fn assoc_into(&mut self, key: VarId, value: S::Value<V>, gone: &mut Gone<V, S>) -> Option<S::Value<V>> {
        // SAFETY: INVARIANT 4; the root is a patch, or is not.
        unsafe {
            if self.root.kind() != Kind::Patch {
                if self.root.is_empty() || self.root.is_unique() {
                    return match in_place::bind(self.root, key, value) {
                        Ok(old) => old,
                        Err(value) => write::assoc(&mut self.root, 0, key, value),
                    };
                }
                // Others share the root: the change goes into a patch over it.
                self.root = Node::new_patch(self.root, CHANGES / 2);
            } else {
                let found = self.root.find_change(key);
                if !self.root.takes_changes(found) {
                    return self.assoc_in_patch(found, key, value, gone);
                }
                if let Some(at) = found {
                    let pair = self.root.patch_columns().pairs::<Option<Value<V, S>>>().add(at);
                    return (*pair).value.replace(value);
                }
            }
            let old = (*self.root.patch()).base.find_below(key).cloned();
            push_change(self.root, key, Some(value), old.is_some());
            old
        }
    }

    /// Binds a variable that was found or not among the changes of a patch that does not just take one.
    ///
    /// # Safety
    ///
    /// The root is a patch.
    #[inline(never)]
    unsafe fn assoc_in_patch(
        &mut self,
        found: Option<usize>,
        key: VarId,
        value: Value<V, S>,
        gone: &mut Gone<V, S>,
    ) -> Option<Value<V, S>> {
        // SAFETY: the contract.
        unsafe {
            let patch = self.root;
            let len = (*patch.patch()).len as usize;
            if (*patch.patch()).base.is_unique() && patch.is_unique() || found.is_none() && len == CHANGES {
                // Nobody shares the base any more, or the patch is full: the changes move below.
                self.apply_patch(gone);
                return write::assoc(&mut self.root, 0, key, value);
            }
            self.own_patch(len, found.is_none());
            let patch = self.root;
            let Some(at) = found else {
                let old = (*patch.patch()).base.find_below(key).cloned();
                push_change(patch, key, Some(value), old.is_some());
                return old;
            };
            if (*patch.patch()).removed >> at & 1 == 0 {
                let pair = patch.patch_columns().pairs::<Option<Value<V, S>>>().add(at);
                return (*pair).value.replace(value);
            }
            // What was unbound and is bound again stands last among its equals.
            remove_change(patch, at);
            push_change(patch, key, Some(value), true);
            (*patch.patch()).moved |= 1 << ((*patch.patch()).len - 1);
            None
        }
    }

    /// As [`Self::without`]; other values that go are put into `gone`, so that no user code runs.
    pub(crate) fn without_into(&mut self, key: VarId, gone: &mut Gone<V, S>) -> Option<S::Value<V>> {
        if matches!(self.root.kind(), Kind::Leaf | Kind::Branch) {
            // SAFETY: INVARIANT 4.
            if let Some(value) = unsafe { in_place::unbind(self.root, key) } {
                return value;
            }
        }
        // A miss must not copy.
        let value = self.find(key)?.clone();
        // The value that is handed out is counted twice until the map has let go of its own.
        let again = self.unbind(key, gone);
        debug_assert!(again.is_none_or(|again| S::ptr_eq(&again, &value)));
        Some(value)
    }

    /// Unbinds a variable that is bound, whose value the caller counts.
    fn unbind(&mut self, key: VarId, gone: &mut Gone<V, S>) -> Option<Value<V, S>> {
        // SAFETY: INVARIANT 4, here and in what is called.
        unsafe {
            match self.root.kind() {
                Kind::Empty => None,
                Kind::Leaf | Kind::Branch if self.root.is_unique() => write::without(&mut self.root, 0, key),
                Kind::Leaf if self.root.leaf_len() == 1 => {
                    // If others gave the leaf up meanwhile, it goes here, but the value does not: the caller counts it.
                    std::mem::replace(&mut self.root, Node::EMPTY).release();
                    None
                }
                Kind::Leaf | Kind::Branch => {
                    self.root = Node::new_patch(self.root, CHANGES / 2);
                    push_change(self.root, key, None, true);
                    None
                }
                Kind::Patch => {
                    let found = self.root.find_change(key);
                    let len = (*self.root.patch()).len as usize;
                    if (*self.root.patch()).base.is_unique() && self.root.is_unique() || found.is_none() && len == CHANGES {
                        self.apply_patch(gone);
                        return write::without(&mut self.root, 0, key);
                    }
                    self.own_patch(len, found.is_none());
                    let patch = self.root;
                    let Some(at) = found else {
                        push_change(patch, key, None, true);
                        return None;
                    };
                    if (*patch.patch()).in_base >> at & 1 == 0 {
                        let removed = remove_change(patch, at);
                        if (*patch.patch()).len == 0 {
                            self.root = (*patch.patch()).base;
                            patch.free_block();
                        }
                        return removed;
                    }
                    (*patch.patch()).removed |= 1 << at;
                    (*patch.patch()).moved &= !(1 << at);
                    (*patch.patch_columns().pairs::<Option<Value<V, S>>>().add(at)).value.take()
                }
            }
        }
    }

    /// Makes the patch at the root, which has `len` changes, this map's own, with room for a change more
    /// if that is needed.
    ///
    /// # Safety
    ///
    /// The root is a patch, and not full if a change is to come.
    #[inline]
    unsafe fn own_patch(&mut self, len: usize, grows: bool) {
        // SAFETY: the contract.
        unsafe {
            let needed = len + usize::from(grows);
            if !(self.root.is_unique() && needed <= self.root.patch_room()) {
                self.copy_patch(needed);
            }
        }
    }

    /// Puts a patch of the same changes at the root, with room for so many.
    ///
    /// # Safety
    ///
    /// The root is a patch.
    #[inline(never)]
    unsafe fn copy_patch(&mut self, needed: usize) {
        // SAFETY: the contract.
        unsafe {
            let patch = self.root;
            let (unique, len) = (patch.is_unique(), (*patch.patch()).len as usize);
            let base = (*patch.patch()).base;
            let room = if needed <= CHANGES / 2 { CHANGES / 2 } else { CHANGES };
            let own = Node::new_patch(base, room);
            let (from, to) = (patch.patch_columns(), own.patch_columns());
            if !unique {
                base.retain(1);
                for at in 0..len {
                    std::mem::forget((*from.pairs::<Option<Value<V, S>>>().add(at)).value.clone());
                }
            }
            to.copy::<Option<Value<V, S>>>(0, from, 0, len);
            let (old, new) = (&*patch.patch(), &mut *own.patch());
            (new.len, new.in_base, new.removed, new.moved) = (old.len, old.in_base, old.removed, old.moved);
            if unique {
                patch.free_block();
            } else {
                // No value goes here: each has been counted once more.
                patch.release();
            }
            self.root = own;
        }
    }

    /// Moves the changes of the patch at the root into its base.
    ///
    /// # Safety
    ///
    /// The root is a patch.
    #[inline(never)]
    unsafe fn apply_patch(&mut self, gone: &mut Gone<V, S>) {
        // SAFETY: the contract.
        unsafe {
            let patch = self.root;
            let unique = patch.is_unique();
            let (head, columns) = (&*patch.patch(), patch.patch_columns());
            let mut root = head.base;
            if !unique {
                root.retain(1);
            }
            let pairs = columns.pairs::<Option<Value<V, S>>>();
            for at in 0..head.len as usize {
                let key = columns.key::<Option<Value<V, S>>>(at);
                if (head.removed | head.moved) >> at & 1 == 1 {
                    gone.0.extend(write::without(&mut root, 0, key));
                }
                let value = &raw const (*pairs.add(at)).value;
                if let Some(value) = if unique { value.read() } else { (*value).clone() } {
                    gone.0.extend(write::assoc(&mut root, 0, key, value));
                }
            }
            if unique {
                patch.free_block();
            } else {
                // What goes if others gave the patch up meanwhile is counted in the new root too.
                patch.release();
            }
            self.root = root;
        }
    }

    /// Whether the next copies had better find no patch: what writes to them would have to copy it, or
    /// nobody else shares the base. The caller has so many counts of the root besides the map's.
    #[inline]
    pub(super) fn is_unsettled(&self, counts: u64) -> bool {
        // SAFETY: INVARIANT 4.
        unsafe {
            self.root.kind() == Kind::Patch && {
                let patch = &*self.root.patch();
                usize::from(patch.len) > CHANGES / 2 || patch.base.is_unique() && self.root.has_counts(1 + counts)
            }
        }
    }

    /// Moves the changes of a patch into its base where that is worth it: each is moved once at most.
    #[inline]
    pub(crate) fn settle(&mut self, gone: &mut Gone<V, S>) {
        if self.is_unsettled(0) {
            // SAFETY: the root is a patch.
            unsafe { self.apply_patch(gone) }
        }
    }

    /// The address of the root; zero where nothing is counted.
    pub(super) fn address(&self) -> u64 {
        self.root.address()
    }

    /// A clone, and so many counts of the root ahead, which are the caller's.
    pub(super) fn clone_ahead(&self, counts: u64) -> Self {
        // SAFETY: INVARIANT 4.
        unsafe { self.root.retain(1 + counts) };
        Self { root: self.root, owns: PhantomData }
    }

    /// The map whose root has this address, for a count of it that the caller has.
    ///
    /// # Safety
    ///
    /// The root was counted ahead by [`Self::clone_ahead`], and one of these counts goes over to the map.
    #[inline]
    pub(super) unsafe fn of_counted(address: u64) -> Self {
        Self { root: Node::from_address(address), owns: PhantomData }
    }

    /// Gives back counts that [`Self::clone_ahead`] took; the map keeps its own.
    ///
    /// # Safety
    ///
    /// The caller has these counts of this map's root, and there is at least one.
    pub(super) unsafe fn give_back(&self, counts: u64) {
        // SAFETY: the contract; an empty map has no counts ahead. INVARIANT 4: one stays.
        unsafe { self.root.give_back(counts) }
    }

    /// Compares as `_PyHamt_Eq` (EQ-1 to EQ-6), in time proportional to the difference where one map
    /// was made from the other: what both share is not looked at, and identical values are equal
    /// without being asked.
    ///
    /// # Errors
    ///
    /// The first error of `equal`.
    #[inline]
    pub fn try_eq_by<E>(&self, other: &Self, equal: impl FnMut(&S::Value<V>, &S::Value<V>) -> Result<bool, E>) -> Result<bool, E> {
        if self.ptr_eq(other) {
            return Ok(true);
        }
        self.compare(other, equal)
    }

    /// Compares maps of different roots.
    #[inline(never)]
    fn compare<E>(&self, other: &Self, equal: impl FnMut(&S::Value<V>, &S::Value<V>) -> Result<bool, E>) -> Result<bool, E> {
        if self.len() != other.len() {
            return Ok(false);
        }
        // The maps are kept while user code runs: whoever lent them could not write them anyway.
        // SAFETY: INVARIANT 4 for both.
        unsafe { equal::compare(self.root, other.root, equal) }
    }
}

/// Appends a change.
///
/// # Safety
///
/// The patch is the caller's own and has room; a value that is absent unbinds what the base has.
unsafe fn push_change<V, S: Sharing>(patch: Node<V, S>, key: VarId, value: Option<Value<V, S>>, in_base: bool) {
    // SAFETY: the contract.
    unsafe {
        let (head, columns) = (patch.patch(), patch.patch_columns());
        let at = (*head).len;
        (*head).in_base |= u8::from(in_base) << at;
        (*head).removed |= u8::from(value.is_none()) << at;
        columns.write(at as usize, key, value);
        (*head).len = at + 1;
    }
}

/// Takes a change back, and answers its value.
///
/// # Safety
///
/// The patch is the caller's own and has the change.
unsafe fn remove_change<V, S: Sharing>(patch: Node<V, S>, at: usize) -> Option<Value<V, S>> {
    // SAFETY: the contract.
    unsafe {
        let columns = patch.patch_columns();
        let head = &mut *patch.patch();
        let value = (*columns.pairs::<Option<Value<V, S>>>().add(at)).value.take();
        columns.copy::<Option<Value<V, S>>>(at, columns, at + 1, head.len as usize - at - 1);
        head.len -= 1;
        let close = |bits: u8| bits & ((1 << at) - 1) | (bits >> 1) & !((1u8 << at).wrapping_sub(1));
        (head.in_base, head.removed, head.moved) = (close(head.in_base), close(head.removed), close(head.moved));
        value
    }
}

impl<V, S: Sharing> Default for Hamt<V, S> {
    fn default() -> Self {
        Self { root: Node::EMPTY, owns: PhantomData }
    }
}

impl<V, S: Sharing> Clone for Hamt<V, S> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: INVARIANT 4.
        unsafe { self.root.retain(1) };
        Self { root: self.root, owns: PhantomData }
    }
}

impl<V, S: Sharing> Drop for Hamt<V, S> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: INVARIANT 4.
        unsafe { self.root.release_root() }
    }
}

/// Identical values are equal without being asked (EQ-4).
impl<V: PartialEq, S: Sharing> PartialEq for Hamt<V, S> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let Ok(equal) = self.try_eq_by(other, |left, right| Ok::<_, std::convert::Infallible>(**left == **right));
        equal
    }
}
