//! Writes to what nobody else sees, where no node is made, divided or joined: one way down to the leaf.
//!
//! All others answer that they cannot, and go through `write`.

use super::node::{FEW, FULL, Kind, Node, Value};
use super::write;
use crate::sharing::Sharing;
use crate::variable::VarId;

/// The leaf that a variable belongs to, if nobody else sees it or what leads to it, and the smallest
/// number of entries below a branch on the way.
///
/// # Safety
///
/// The caller holds a count of the root, which is no patch.
#[inline]
unsafe fn own_leaf_of<V, S: Sharing>(root: Node<V, S>, key: VarId) -> Option<(Node<V, S>, u64)> {
    let (mut node, mut place, mut fewest) = (root, key.place(), u64::MAX);
    // SAFETY: the contract; what only unique nodes lead to is the caller's own.
    unsafe {
        while !node.is_empty() && node.is_unique() {
            if node.kind() == Kind::Leaf {
                return Some((node, fewest));
            }
            fewest = fewest.min(node.branch_total());
            node = node.child(&mut place);
        }
    }
    None
}

/// Changes the number of entries of every branch on the way to a variable's leaf.
///
/// # Safety
///
/// [`own_leaf_of`] has found that leaf.
#[inline]
unsafe fn recount<V, S: Sharing>(root: Node<V, S>, key: VarId, change: i64) {
    let (mut node, mut place) = (root, key.place());
    // SAFETY: the contract.
    unsafe {
        while node.kind() == Kind::Branch {
            node.set_branch_total(node.branch_total().wrapping_add_signed(change));
            node = node.child(&mut place);
        }
    }
}

/// Binds a variable and answers the value before; or answers the new value, where that cannot be done
/// here.
///
/// # Safety
///
/// The caller holds a count of the root, which is no patch.
#[inline]
pub(super) unsafe fn bind<V, S: Sharing>(root: Node<V, S>, key: VarId, value: Value<V, S>) -> Result<Option<Value<V, S>>, Value<V, S>> {
    // SAFETY: the contract; the leaf is the caller's own.
    unsafe {
        let Some((leaf, _)) = own_leaf_of(root, key) else { return Err(value) };
        let columns = leaf.leaf_columns();
        if let Some(at) = columns.find::<Value<V, S>>(leaf.leaf_len(), key.serial()) {
            return Ok(Some(std::mem::replace(&mut (*columns.pairs::<Value<V, S>>().add(at)).value, value)));
        }
        insert(root, leaf, key, value)
    }
}

/// Binds a variable that its leaf does not have; or answers the value, where the leaf has no room. Apart, since most
/// writes replace.
///
/// # Safety
///
/// [`own_leaf_of`] has found that leaf.
#[inline(never)]
unsafe fn insert<V, S: Sharing>(
    root: Node<V, S>,
    leaf: Node<V, S>,
    key: VarId,
    value: Value<V, S>,
) -> Result<Option<Value<V, S>>, Value<V, S>> {
    // SAFETY: the contract.
    unsafe {
        if leaf.leaf_len() >= FULL.min(leaf.leaf_room()) {
            return Err(value);
        }
        write::insert_in_place(leaf, key, value);
        recount(root, key, 1);
        Ok(None)
    }
}

/// Unbinds a variable and answers its value, if it was bound; or answers nothing, where that cannot be
/// done here.
///
/// # Safety
///
/// As [`bind`].
#[inline]
pub(super) unsafe fn unbind<V, S: Sharing>(root: Node<V, S>, key: VarId) -> Option<Option<Value<V, S>>> {
    // SAFETY: the contract; the leaf is the caller's own.
    unsafe {
        let (leaf, fewest) = own_leaf_of(root, key)?;
        let len = leaf.leaf_len();
        let Some(at) = leaf.leaf_columns().find::<Value<V, S>>(len, key.serial()) else { return Some(None) };
        if fewest <= FEW + 1 || !write::keeps_room(leaf.leaf_room(), len - 1) {
            return None;
        }
        let value = write::remove_in_place(leaf, at);
        recount(root, key, -1);
        Some(Some(value))
    }
}
