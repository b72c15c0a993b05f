//! The nodes: how they lie in memory, and what is done with one of them.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::columns::{Columns, ENTRY, tag_room};
use super::pool;
use crate::sharing::{Sharing, Word};
use crate::variable::VarId;

/// More entries than this divide a leaf, unless all have one place.
pub(super) const FULL: usize = 32;
/// A branch decides by at most so many bits; more need a branch below.
pub(super) const LEVEL: u32 = 5;
/// A branch that is left with so few entries becomes a leaf.
pub(super) const FEW: u64 = 16;
/// How many changes a patch has room for.
pub(super) const CHANGES: usize = 8;

pub(super) type Value<V, S> = <S as Sharing>::Value<V>;

/// A binding on its way into a node.
pub(super) struct Entry<T> {
    pub(super) key: VarId,
    pub(super) value: T,
}

#[repr(C)]
pub(super) struct LeafHead<S: Sharing> {
    count: S::Word,
    len: u32,
    room: u32,
}

#[repr(C)]
pub(super) struct BranchHead<S: Sharing> {
    count: S::Word,
    /// The number of entries below, times 256, and the number of bits that choose a slot.
    total_and_bits: u64,
}

#[repr(C)]
pub(super) struct PatchHead<V, S: Sharing> {
    count: S::Word,
    pub(super) len: u8,
    room: u8,
    /// Of each change a bit: whether the base has the variable.
    pub(super) in_base: u8,
    /// Whether the variable is unbound here, though the base has it.
    pub(super) removed: u8,
    /// Whether it was unbound and bound again, so that it stands last among those of its place.
    pub(super) moved: u8,
    pub(super) base: Node<V, S>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Empty,
    Leaf,
    Branch,
    Patch,
}

/// The address of a node, with its kind in the two lowest bits; NULL is the empty node.
///
/// A plain copy counts nothing: who keeps one sees to the count.
pub(super) struct Node<V, S: Sharing> {
    tagged: *mut u8,
    leads: PhantomData<(*const V, S)>,
}

impl<V, S: Sharing> Clone for Node<V, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, S: Sharing> Copy for Node<V, S> {}

impl<V, S: Sharing> PartialEq for Node<V, S> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.tagged == other.tagged
    }
}

const LEAF: usize = 1;
const BRANCH: usize = 2;
const PATCH: usize = 3;

impl<V, S: Sharing> Node<V, S> {
    pub(super) const EMPTY: Self = Self { tagged: std::ptr::null_mut(), leads: PhantomData };

    fn tagged(block: NonNull<u8>, tag: usize) -> Self {
        Self { tagged: block.as_ptr().map_addr(|address| address | tag), leads: PhantomData }
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        match self.tagged.addr() & 3 {
            0 => Kind::Empty,
            LEAF => Kind::Leaf,
            BRANCH => Kind::Branch,
            _ => Kind::Patch,
        }
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.tagged.is_null()
    }

    /// The node as a number, from which [`Self::from_address`] makes it again.
    #[inline]
    pub(super) fn address(self) -> u64 {
        self.tagged.expose_provenance() as u64
    }

    /// The node whose address this is.
    #[inline]
    pub(super) fn from_address(address: u64) -> Self {
        Self { tagged: std::ptr::with_exposed_provenance_mut(address as usize), leads: PhantomData }
    }

    #[inline]
    pub(super) fn block(self) -> *mut u8 {
        self.tagged.map_addr(|address| address & !3)
    }

    #[inline]
    pub(super) fn leaf(self) -> *mut LeafHead<S> {
        debug_assert!(self.kind() == Kind::Leaf);
        self.tagged.wrapping_sub(LEAF).cast()
    }

    #[inline]
    pub(super) fn branch(self) -> *mut BranchHead<S> {
        debug_assert!(self.kind() == Kind::Branch);
        self.tagged.wrapping_sub(BRANCH).cast()
    }

    #[inline]
    pub(super) fn patch(self) -> *mut PatchHead<V, S> {
        debug_assert!(self.kind() == Kind::Patch);
        self.tagged.wrapping_sub(PATCH).cast()
    }

    /// # Safety
    ///
    /// The node is a leaf that lives.
    #[inline]
    pub(super) unsafe fn leaf_len(self) -> usize {
        // SAFETY: the contract.
        unsafe { (*self.leaf()).len as usize }
    }

    /// # Safety
    ///
    /// As [`Self::leaf_len`]; so many entries are written, and nobody else sees the leaf.
    pub(super) unsafe fn set_leaf_len(self, len: usize) {
        // SAFETY: the contract. A room is below 2^32, or memory would not suffice.
        unsafe { (*self.leaf()).len = len as u32 }
    }

    /// # Safety
    ///
    /// As [`Self::leaf_len`].
    #[inline]
    pub(super) unsafe fn leaf_room(self) -> usize {
        // SAFETY: the contract.
        unsafe { (*self.leaf()).room as usize }
    }

    /// # Safety
    ///
    /// As [`Self::leaf_len`].
    #[inline]
    pub(super) unsafe fn leaf_columns(self) -> Columns {
        // SAFETY: the contract; the columns follow the head.
        unsafe {
            let room = self.leaf_room();
            Columns { start: self.leaf().add(1).cast(), tag_room: tag_room(room), room }
        }
    }

    /// # Safety
    ///
    /// The node is a patch that lives.
    #[inline]
    pub(super) unsafe fn patch_columns(self) -> Columns {
        // SAFETY: the contract; the columns follow the head.
        unsafe { Columns { start: self.patch().add(1).cast(), tag_room: 0, room: self.patch_room() } }
    }

    /// # Safety
    ///
    /// The node is a patch that lives.
    pub(super) unsafe fn patch_room(self) -> usize {
        // SAFETY: the contract.
        unsafe { (*self.patch()).room as usize }
    }

    /// # Safety
    ///
    /// The node is a branch that lives.
    #[inline]
    pub(super) unsafe fn branch_bits(self) -> u32 {
        // SAFETY: the contract.
        unsafe { ((*self.branch()).total_and_bits & 0xff) as u32 }
    }

    /// # Safety
    ///
    /// As [`Self::branch_bits`].
    #[inline]
    pub(super) unsafe fn branch_total(self) -> u64 {
        // SAFETY: the contract.
        unsafe { (*self.branch()).total_and_bits >> 8 }
    }

    /// # Safety
    ///
    /// As [`Self::branch_bits`], and nobody else sees the branch.
    pub(super) unsafe fn set_branch_total(self, total: u64) {
        // SAFETY: the contract.
        unsafe { (*self.branch()).total_and_bits = total << 8 | u64::from(self.branch_bits()) }
    }

    /// # Safety
    ///
    /// As [`Self::branch_bits`].
    #[inline]
    pub(super) unsafe fn slots(self) -> *mut Self {
        // SAFETY: the contract; the slots follow the head.
        unsafe { self.branch().add(1).cast() }
    }

    /// The child that a place leads to, whose bits above have been shifted out; those that decide here are
    /// shifted out, too.
    ///
    /// # Safety
    ///
    /// As [`Self::branch_bits`].
    #[inline]
    pub(super) unsafe fn child(self, place: &mut u32) -> Self {
        // SAFETY: the contract; so many bits are below the number of slots.
        unsafe {
            let bits = self.branch_bits();
            let slot = *place >> (u32::BITS - bits);
            *place <<= bits;
            *self.slots().add(slot as usize)
        }
    }

    /// How many bytes a leaf takes.
    pub(super) const fn leaf_size(room: usize) -> usize {
        size_of::<LeafHead<S>>() + tag_room(room) + room * ENTRY
    }

    /// How many bytes a branch takes.
    pub(super) const fn branch_size(bits: u32) -> usize {
        size_of::<BranchHead<S>>() + (size_of::<Self>() << bits)
    }

    /// How many bytes a patch takes.
    pub(super) const fn patch_size(room: usize) -> usize {
        size_of::<PatchHead<V, S>>() + room * ENTRY
    }

    /// A leaf without entries, with room for some.
    pub(super) fn new_leaf(room: usize) -> Self {
        let block = pool::allocate(Self::leaf_size(room));
        let node = Self::tagged(block, LEAF);
        // SAFETY: the block is new and large enough.
        unsafe {
            node.leaf().write(LeafHead { count: S::Word::new(1), len: 0, room: room as u32 });
            std::ptr::write_bytes(node.leaf_columns().tags(), 0, tag_room(room));
        }
        node
    }

    /// A branch of empty slots.
    pub(super) fn new_branch(bits: u32) -> Self {
        let block = pool::allocate(Self::branch_size(bits));
        let node = Self::tagged(block, BRANCH);
        // SAFETY: the block is new and large enough.
        unsafe {
            node.branch().write(BranchHead { count: S::Word::new(1), total_and_bits: u64::from(bits) });
            for at in 0..1 << bits {
                node.slots().add(at).write(Self::EMPTY);
            }
        }
        node
    }

    /// A patch without changes over a base whose count it takes over.
    pub(super) fn new_patch(base: Self, room: usize) -> Self {
        let block = pool::allocate(Self::patch_size(room));
        let node = Self::tagged(block, PATCH);
        // SAFETY: the block is new and large enough.
        unsafe {
            let count = S::Word::new(1);
            node.patch().write(PatchHead { count, len: 0, room: room as u8, in_base: 0, removed: 0, moved: 0, base });
        }
        node
    }

    /// # Safety
    ///
    /// The node is not empty and lives.
    #[inline]
    unsafe fn count<'a>(self) -> &'a S::Word {
        // SAFETY: every head begins with the count.
        unsafe { &*self.block().cast::<S::Word>() }
    }

    /// Whether the caller, who holds one count, holds the only one.
    ///
    /// # Safety
    ///
    /// The node is not empty and lives.
    #[inline]
    pub(super) unsafe fn is_unique(self) -> bool {
        // SAFETY: the contract.
        unsafe { self.has_counts(1) }
    }

    /// Whether the caller, who holds so many counts, holds them all.
    ///
    /// # Safety
    ///
    /// The node is not empty and lives.
    #[inline]
    pub(super) unsafe fn has_counts(self, counts: u64) -> bool {
        // SAFETY: the contract.
        unsafe { self.count().get() == counts }
    }

    /// Takes so many counts more.
    ///
    /// # Safety
    ///
    /// The node lives, or is empty.
    #[inline]
    pub(super) unsafe fn retain(self, counts: u64) {
        if !self.is_empty() {
            // SAFETY: the contract.
            let before = unsafe { self.count().add(counts) };
            // Counts that are leaked over and over must not overflow.
            if before > i64::MAX.cast_unsigned() {
                std::process::abort();
            }
        }
    }

    /// Gives back some counts that are not the last.
    ///
    /// # Safety
    ///
    /// The caller holds these counts, and the node is not empty; somebody holds another.
    pub(super) unsafe fn give_back(self, counts: u64) {
        // SAFETY: the contract.
        unsafe { self.count().sub(counts) };
    }

    /// Gives one count of a root back, which the running thread may want at hand.
    ///
    /// # Safety
    ///
    /// As [`Self::release`].
    #[inline]
    pub(super) unsafe fn release_root(self) {
        if S::ATOMIC && S::at_hand(|at_hand| at_hand.keeps(self.address())) {
            return;
        }
        // SAFETY: the contract.
        unsafe { self.release() }
    }

    /// Gives one count back, and frees the node with the last.
    ///
    /// # Safety
    ///
    /// The caller holds that count. Values may be dropped: user code may run.
    #[inline]
    pub(super) unsafe fn release(self) {
        if self.is_empty() {
            return;
        }
        // SAFETY: the contract. A sole owner needs no atomic operation: nobody can begin to count.
        unsafe {
            if S::ATOMIC && self.is_unique() || self.count().sub(1) == 1 {
                self.free();
            }
        }
    }

    /// How many variables are bound.
    ///
    /// # Safety
    ///
    /// The node lives, or is empty.
    #[inline]
    pub(super) unsafe fn len(self) -> usize {
        // SAFETY: the contract; a base is no patch.
        unsafe {
            match self.kind() {
                Kind::Empty => 0,
                Kind::Leaf => self.leaf_len(),
                Kind::Branch => self.branch_total() as usize,
                Kind::Patch => {
                    let patch = &*self.patch();
                    patch.base.len() + (patch.len as usize - patch.in_base.count_ones() as usize) - patch.removed.count_ones() as usize
                }
            }
        }
    }

    /// The value of a variable in a node that is no patch.
    ///
    /// # Safety
    ///
    /// The node lives, or is empty; the answer lives as long.
    #[inline]
    pub(super) unsafe fn find_below<'a>(self, key: VarId) -> Option<&'a Value<V, S>> {
        let mut node = self;
        let mut place = key.place();
        // SAFETY: the contract, and INVARIANT 3 for the children.
        unsafe {
            while node.kind() == Kind::Branch {
                node = node.child(&mut place);
            }
            if node.is_empty() { None } else { node.find_in_leaf(key) }
        }
    }

    /// The value of a variable in a leaf.
    ///
    /// # Safety
    ///
    /// The leaf lives; the answer lives as long.
    #[inline]
    unsafe fn find_in_leaf<'a>(self, key: VarId) -> Option<&'a Value<V, S>> {
        // SAFETY: the contract.
        unsafe {
            let columns = self.leaf_columns();
            let at = columns.find::<Value<V, S>>(self.leaf_len(), key.serial())?;
            Some(&(*columns.pairs::<Value<V, S>>().add(at)).value)
        }
    }

    /// The value of a variable.
    ///
    /// # Safety
    ///
    /// As [`Self::find_below`].
    #[inline]
    pub(super) unsafe fn find<'a>(self, key: VarId) -> Option<&'a Value<V, S>> {
        // SAFETY: the contract.
        unsafe {
            // Small maps first: most are.
            if self.kind() == Kind::Leaf {
                return self.find_in_leaf(key);
            }
            if self.kind() != Kind::Patch {
                return self.find_below(key);
            }
            match self.find_change(key) {
                Some(at) => (*self.patch_columns().pairs::<Option<Value<V, S>>>().add(at)).value.as_ref(),
                None => (*self.patch()).base.find_below(key),
            }
        }
    }

    /// The position of a variable among the changes of a patch.
    ///
    /// # Safety
    ///
    /// The node is a patch that lives.
    #[inline]
    pub(super) unsafe fn find_change(self, key: VarId) -> Option<usize> {
        // SAFETY: the contract.
        unsafe {
            let pairs = self.patch_columns().pairs::<Option<Value<V, S>>>();
            let changes = std::slice::from_raw_parts(pairs, (*self.patch()).len as usize);
            changes.iter().position(|pair| pair.serial == key.serial())
        }
    }

    /// Whether a patch takes a change of a variable, which was found or not among its changes, and nothing has to be
    /// moved: nobody else sees it, others share its base, and it has room or the variable is bound there.
    ///
    /// # Safety
    ///
    /// The node is a patch that lives and has the change that was found; its base is not empty.
    #[inline]
    pub(super) unsafe fn takes_changes(self, found: Option<usize>) -> bool {
        // SAFETY: the contract.
        unsafe {
            let patch = &*self.patch();
            self.is_unique() && !patch.base.is_unique() && found.map_or(patch.len < patch.room, |at| patch.removed >> at & 1 == 0)
        }
    }
}
