//! What a context binds: a map that a write clones wherever anything shares it.

use std::collections::BTreeMap;
use std::rc::Rc;

use contextvars_spec::{Value, VariableId};

/// An immutable map from variables to values; clones share it, as copies of a context do (COPY-1).
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    map: Rc<BTreeMap<VariableId, Binding>>,
    /// More than `inserted` of any binding.
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    value: Value,
    /// The variable's place in the order of folded hashes.
    place: u64,
    /// Larger than that of any binding that was inserted before (ORDER-2).
    inserted: u64,
}

impl Bindings {
    pub(crate) fn find(&self, variable: VariableId) -> Option<Value> {
        self.map.get(&variable).map(|binding| binding.value)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether both are one map, not merely equal (EQ-1).
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.map, &other.map)
    }

    /// Binds a variable; one that is bound already keeps its place (ORDER-2).
    pub(crate) fn bind(&mut self, variable: VariableId, place: u64, value: Value) {
        let new = Binding { value, place, inserted: self.next };
        Rc::make_mut(&mut self.map).entry(variable).and_modify(|binding| binding.value = value).or_insert(new);
        self.next += 1;
    }

    pub(crate) fn unbind(&mut self, variable: VariableId) {
        Rc::make_mut(&mut self.map).remove(&variable);
    }

    /// The bindings, in no order that CPython knows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (VariableId, Value)> + '_ {
        self.map.iter().map(|(&variable, binding)| (variable, binding.value))
    }

    /// The bindings in CPython's order (ORDER-1, ORDER-2).
    pub(crate) fn in_order(&self) -> Vec<(VariableId, Value)> {
        let mut all: Vec<_> = self.map.iter().collect();
        all.sort_by_key(|(_, binding)| (binding.place, binding.inserted));
        all.into_iter().map(|(&variable, binding)| (variable, binding.value)).collect()
    }

    /// Whether two variables share their place, so that insertion decides between them (ORDER-2).
    pub(crate) fn has_ties(&self) -> bool {
        let mut places: Vec<_> = self.map.values().map(|binding| binding.place).collect();
        places.sort_unstable();
        places.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// The 32 bits that the map uses of a 64-bit hash (ORDER-1, ORDER-3; `hamt_hash`).
pub(crate) fn fold(hash: i64) -> u32 {
    let folded = (hash as u32) ^ ((hash >> 32) as u32);
    if folded == u32::MAX { u32::MAX - 1 } else { folded }
}

/// A number that sorts as the trie iterates: the lowest five bits of the hash first (ORDER-1).
pub(crate) fn place(hash: i64) -> u64 {
    let folded = u64::from(fold(hash));
    (0..7).fold(0, |place, level| place << 5 | folded >> (5 * level) & 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_fold_as_in_cpython() {
        assert_eq!(fold(0), 0);
        assert_eq!(fold(-1), 0);
        assert_eq!(fold(0xffff_ffff), u32::MAX - 1);
        assert_eq!(fold(0xffff_fffe), u32::MAX - 1);
        assert_eq!(fold(0x1_0000_0001), 0);
    }

    #[test]
    fn the_lowest_chunk_decides_first() {
        assert!(place(0b00001_00000) < place(0b00000_00001));
        assert!(place(1 << 30) < place(2 << 30));
    }
}
