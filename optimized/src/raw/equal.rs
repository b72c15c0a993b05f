//! Equality: what two maps share is skipped, and the rest compared in the left map's order.
//!
//! Two walks are merged by place: one over the bases, which skips what is one node on both sides, and
//! one over the places of the changes, of which there are sixteen at most.

use super::node::{CHANGES, Kind, Node, Value};
use crate::sharing::Sharing;
use crate::variable::VarId;

struct Comparison<V, S: Sharing, F> {
    left: Node<V, S>,
    right: Node<V, S>,
    /// The places of all changes, in order, each once.
    changed: [u32; 2 * CHANGES],
    len: usize,
    next: usize,
    equal: F,
}

/// Compares maps of one size.
///
/// # Safety
///
/// Both live, and are not written, until this returns.
pub(super) unsafe fn compare<V, S: Sharing, E>(
    left: Node<V, S>,
    right: Node<V, S>,
    equal: impl FnMut(&Value<V, S>, &Value<V, S>) -> Result<bool, E>,
) -> Result<bool, E> {
    let mut comparison = Comparison { left, right, changed: [0; 2 * CHANGES], len: 0, next: 0, equal };
    // SAFETY: the contract, here and below.
    unsafe {
        let bases = [left, right].map(|root| {
            if root.kind() != Kind::Patch {
                return root;
            }
            for at in 0..(*root.patch()).len as usize {
                comparison.note(*root.patch_columns().places().add(at));
            }
            (*root.patch()).base
        });
        Ok(comparison.walk(bases[0], bases[1])? && comparison.catch_up(None)?)
    }
}

impl<V, S: Sharing, E, F: FnMut(&Value<V, S>, &Value<V, S>) -> Result<bool, E>> Comparison<V, S, F> {
    /// Sorts a place in.
    fn note(&mut self, place: u32) {
        let Err(at) = self.changed[..self.len].binary_search(&place) else { return };
        self.changed.copy_within(at..self.len, at + 1);
        self.changed[at] = place;
        self.len += 1;
    }

    /// Compares a binding of the left map.
    unsafe fn visit(&mut self, key: VarId, value: &Value<V, S>) -> Result<bool, E> {
        // SAFETY: the contract of `compare`.
        match unsafe { self.right.find(key) } {
            Some(other) => Ok(S::ptr_eq(value, other) || (self.equal)(value, other)?),
            None => Ok(false),
        }
    }

    /// Compares what stands at the changed places before a place, or at all that are left.
    unsafe fn catch_up(&mut self, before: Option<u32>) -> Result<bool, E> {
        while self.next < self.len && before.is_none_or(|before| self.changed[self.next] < before) {
            let place = self.changed[self.next];
            self.next += 1;
            // SAFETY: the contract of `compare`.
            if !unsafe { self.visit_place(place)? } {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Compares all bindings of the left map that have one place: those of the base, then those that
    /// a patch adds.
    unsafe fn visit_place(&mut self, place: u32) -> Result<bool, E> {
        // SAFETY: the contract of `compare`.
        unsafe {
            let (left, mut node) = (self.left, self.left);
            if left.kind() == Kind::Patch {
                node = (*left.patch()).base;
            }
            let mut rest = place;
            while node.kind() == Kind::Branch {
                node = node.child(&mut rest);
            }
            if node.kind() == Kind::Leaf {
                let (columns, len) = (node.leaf_columns(), node.leaf_len());
                let places = std::slice::from_raw_parts(columns.places(), len);
                let first = places.partition_point(|&other| other < place);
                for at in (first..len).take_while(|&at| places[at] == place) {
                    let key = columns.key::<Value<V, S>>(at);
                    let is_here = left.kind() != Kind::Patch
                        || left.find_change(key).is_none_or(|change| ((*left.patch()).removed | (*left.patch()).moved) >> change & 1 == 0);
                    if let (true, Some(value)) = (is_here, left.find(key))
                        && !self.visit(key, value)?
                    {
                        return Ok(false);
                    }
                }
            }
            if left.kind() == Kind::Patch {
                let (head, columns) = (&*left.patch(), left.patch_columns());
                for at in (0..head.len as usize).filter(|&at| (head.in_base & !head.moved) >> at & 1 == 0) {
                    let (key, pair) = (columns.key::<Option<Value<V, S>>>(at), &*columns.pairs::<Option<Value<V, S>>>().add(at));
                    if let (true, Some(value)) = (key.place() == place, &pair.value)
                        && !self.visit(key, value)?
                    {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        }
    }

    /// Compares what stands below two nodes of one position, unless it is one node.
    unsafe fn walk(&mut self, left: Node<V, S>, right: Node<V, S>) -> Result<bool, E> {
        if left == right {
            return Ok(true);
        }
        // SAFETY: the contract of `compare`; the slots are within the branches.
        unsafe {
            match left.kind() {
                Kind::Leaf => self.walk_leaf(left, right),
                Kind::Branch => {
                    let bits = left.branch_bits();
                    // A branch that grew has a power of two as many slots for the same bits.
                    let other = if right.kind() == Kind::Branch { right.branch_bits() } else { 0 };
                    let most = bits.max(other);
                    let mut done = Node::EMPTY;
                    for at in 0..1usize << most {
                        let child = *left.slots().add(at >> (most - bits));
                        let across = if other == 0 { right } else { *right.slots().add(at >> (most - other)) };
                        if child == done || child == across {
                            continue;
                        }
                        done = child;
                        if !self.walk(child, across)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                }
                Kind::Empty | Kind::Patch => Ok(true),
            }
        }
    }

    unsafe fn walk_leaf(&mut self, left: Node<V, S>, right: Node<V, S>) -> Result<bool, E> {
        // SAFETY: the contract of `compare`.
        unsafe {
            let (columns, len) = (left.leaf_columns(), left.leaf_len());
            let pairs = columns.pairs::<Value<V, S>>();
            // Leaves of the same keys, which maps of the same bindings mostly have, need no search.
            let twin = (self.len == 0 && right.kind() == Kind::Leaf && right.leaf_len() == len)
                .then(|| right.leaf_columns().pairs::<Value<V, S>>())
                .filter(|twin| (0..len).all(|at| (*twin.add(at)).serial == (*pairs.add(at)).serial));
            for at in 0..len {
                let value = &(*pairs.add(at)).value;
                if let Some(twin) = twin {
                    let other = &(*twin.add(at)).value;
                    if !(S::ptr_eq(value, other) || (self.equal)(value, other)?) {
                        return Ok(false);
                    }
                    continue;
                }
                let key = columns.key::<Value<V, S>>(at);
                if self.len > 0 {
                    if !self.catch_up(Some(key.place()))? {
                        return Ok(false);
                    }
                    // Everything of a changed place was or will be compared with the changes.
                    if self.changed[..self.len].binary_search(&key.place()).is_ok() {
                        continue;
                    }
                }
                if !self.visit(key, value)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}
