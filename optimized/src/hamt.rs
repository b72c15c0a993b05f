//! The persistent map: a hash array mapped trie of 32-way nodes over the folded hash.
//!
//! A node has a bitmap of the slots that are taken and an array of just these. A slot is a pair or a
//! child. Variables of equal folded hash share a collision node, in order of insertion. A clone
//! shares the root; a write copies the path from the root to its slot, and only what of it is shared.

use std::sync::Arc;

use crate::variable::VarId;

/// Five bits of the hash choose a slot at each level; the seventh level has the two that are left.
const BITS: u32 = 5;

struct Pair<V> {
    key: VarId,
    value: Arc<V>,
}

enum Slot<V> {
    Pair(Pair<V>),
    Child(Arc<Node<V>>),
}

enum Node<V> {
    // INVARIANT: `slots` has one slot for each bit of `bitmap`, in the order of the bits.
    // INVARIANT: a bitmap node below the root never consists of a single pair: it would stand in
    // its parent's slot. So the shape is a function of the content, apart from collision order.
    Bitmap { bitmap: u32, slots: Vec<Slot<V>> },
    // INVARIANT: at least two pairs, all of one folded hash, in the order of their insertion.
    Collision { pairs: Vec<Pair<V>> },
}

impl<V> Clone for Pair<V> {
    fn clone(&self) -> Self {
        Self { key: self.key, value: Arc::clone(&self.value) }
    }
}

impl<V> Clone for Slot<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Pair(pair) => Self::Pair(pair.clone()),
            Self::Child(child) => Self::Child(Arc::clone(child)),
        }
    }
}

impl<V> Clone for Node<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Bitmap { bitmap, slots } => Self::Bitmap { bitmap: *bitmap, slots: slots.clone() },
            Self::Collision { pairs } => Self::Collision { pairs: pairs.clone() },
        }
    }
}

fn bit_at(hash: u32, shift: u32) -> u32 {
    1 << (hash >> shift & 31)
}

fn position(bitmap: u32, bit: u32) -> usize {
    (bitmap & (bit - 1)).count_ones() as usize
}

impl<V> Node<V> {
    fn find(&self, key: VarId) -> Option<&Arc<V>> {
        let mut node = self;
        let mut shift = 0;
        loop {
            match node {
                Self::Collision { pairs } => return pairs.iter().find(|pair| pair.key == key).map(|pair| &pair.value),
                Self::Bitmap { bitmap, slots } => {
                    let bit = bit_at(key.folded_hash(), shift);
                    if bitmap & bit == 0 {
                        return None;
                    }
                    match &slots[position(*bitmap, bit)] {
                        Slot::Pair(pair) => return (pair.key == key).then_some(&pair.value),
                        Slot::Child(child) => node = child,
                    }
                    shift += BITS;
                }
            }
        }
    }

    /// Binds in place what the caller alone owns, and answers the value that was bound before.
    fn assoc(&mut self, shift: u32, new: Pair<V>) -> Option<Arc<V>> {
        let hash = new.key.folded_hash();
        match self {
            Self::Collision { pairs } => {
                if pairs[0].key.folded_hash() == hash {
                    if let Some(pair) = pairs.iter_mut().find(|pair| pair.key == new.key) {
                        return Some(std::mem::replace(&mut pair.value, new.value));
                    }
                    pairs.push(new);
                    return None;
                }
                // The collision moves a level down, under a node that tells the two hashes apart.
                let bit = bit_at(pairs[0].key.folded_hash(), shift);
                let below = Arc::new(Self::Collision { pairs: std::mem::take(pairs) });
                *self = Self::Bitmap { bitmap: bit, slots: vec![Slot::Child(below)] };
                self.assoc(shift, new)
            }
            Self::Bitmap { bitmap, slots } => {
                let bit = bit_at(hash, shift);
                let at = position(*bitmap, bit);
                if *bitmap & bit == 0 {
                    *bitmap |= bit;
                    slots.insert(at, Slot::Pair(new));
                    return None;
                }
                match &mut slots[at] {
                    Slot::Child(child) => Arc::make_mut(child).assoc(shift + BITS, new),
                    Slot::Pair(pair) if pair.key == new.key => Some(std::mem::replace(&mut pair.value, new.value)),
                    Slot::Pair(pair) => {
                        let both = Self::of_two(shift + BITS, pair.clone(), new);
                        slots[at] = Slot::Child(Arc::new(both));
                        None
                    }
                }
            }
        }
    }

    /// A node of two pairs, of which the first was inserted first.
    fn of_two(shift: u32, first: Pair<V>, second: Pair<V>) -> Self {
        let (one, other) = (first.key.folded_hash(), second.key.folded_hash());
        if one == other {
            return Self::Collision { pairs: vec![first, second] };
        }
        let (bit, other_bit) = (bit_at(one, shift), bit_at(other, shift));
        if bit == other_bit {
            let below = Self::of_two(shift + BITS, first, second);
            return Self::Bitmap { bitmap: bit, slots: vec![Slot::Child(Arc::new(below))] };
        }
        let slots = if bit < other_bit { vec![Slot::Pair(first), Slot::Pair(second)] } else { vec![Slot::Pair(second), Slot::Pair(first)] };
        Self::Bitmap { bitmap: bit | other_bit, slots }
    }

    /// Unbinds a key that the node has, in place, and answers its value.
    fn without(&mut self, shift: u32, key: VarId) -> Option<Arc<V>> {
        match self {
            Self::Collision { pairs } => {
                let at = pairs.iter().position(|pair| pair.key == key)?;
                Some(pairs.remove(at).value)
            }
            Self::Bitmap { bitmap, slots } => {
                let bit = bit_at(key.folded_hash(), shift);
                let at = position(*bitmap, bit);
                match slots.get_mut(at)? {
                    Slot::Pair(_) => {
                        *bitmap &= !bit;
                        match slots.remove(at) {
                            Slot::Pair(pair) => Some(pair.value),
                            Slot::Child(_) => None,
                        }
                    }
                    Slot::Child(child) => {
                        let child = Arc::make_mut(child);
                        let removed = child.without(shift + BITS, key);
                        if let Some(pair) = child.single_pair() {
                            slots[at] = Slot::Pair(pair);
                        }
                        removed
                    }
                }
            }
        }
    }

    /// The only pair of a node that its parent must take over.
    fn single_pair(&self) -> Option<Pair<V>> {
        match self {
            Self::Collision { pairs } if pairs.len() == 1 => pairs.first().cloned(),
            Self::Bitmap { slots, .. } => match slots.as_slice() {
                [Slot::Pair(pair)] => Some(pair.clone()),
                // A collision can stand anywhere, but not under a chain that tells nothing apart.
                _ => None,
            },
            Self::Collision { .. } => None,
        }
    }
}

/// A persistent map from variables to values. A clone is O(1) and shares everything; reads and
/// writes take at most eight nodes, and time linear in the number of variables of equal folded hash.
pub struct Hamt<V> {
    root: Option<Arc<Node<V>>>,
    len: usize,
}

impl<V> Hamt<V> {
    /// The empty map (`PyHamt_New`).
    #[must_use]
    pub fn new() -> Self {
        Self { root: None, len: 0 }
    }

    /// How many variables are bound. Constant time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is bound. Constant time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether both share one root, and so are equal without a look at them (EQ-1). Constant time.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (None, None) => true,
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            _ => false,
        }
    }

    /// The value of a variable (`_PyHamt_Find`).
    #[must_use]
    pub fn find(&self, key: VarId) -> Option<&Arc<V>> {
        self.root.as_ref()?.find(key)
    }

    /// Binds a variable and answers the value before (`_PyHamt_Assoc`). What no clone shares is
    /// changed in place.
    pub fn assoc(&mut self, key: VarId, value: Arc<V>) -> Option<Arc<V>> {
        let root = self.root.get_or_insert_with(|| Arc::new(Node::Bitmap { bitmap: 0, slots: Vec::new() }));
        let old = Arc::make_mut(root).assoc(0, Pair { key, value });
        self.len += usize::from(old.is_none());
        old
    }

    /// Unbinds a variable and answers its value (`_PyHamt_Without`).
    pub fn without(&mut self, key: VarId) -> Option<Arc<V>> {
        // A miss must not copy a path.
        self.find(key)?;
        let removed = Arc::make_mut(self.root.as_mut()?).without(0, key);
        self.len -= usize::from(removed.is_some());
        if self.len == 0 {
            self.root = None;
        }
        removed
    }

    /// The bindings in CPython's order (ORDER-1, ORDER-2).
    #[must_use]
    pub fn iter(&self) -> HamtIter<V> {
        HamtIter { path: self.root.iter().map(|root| (Arc::clone(root), 0)).collect() }
    }
}

impl<V> Default for Hamt<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Clone for Hamt<V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len }
    }
}

/// An iterator over the bindings of a map at its creation.
pub struct HamtIter<V> {
    /// The nodes from the root to the next binding, each with the slot to look at next.
    path: Vec<(Arc<Node<V>>, usize)>,
}

impl<V> Iterator for HamtIter<V> {
    type Item = (VarId, Arc<V>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, next) = self.path.last_mut()?;
            let at = *next;
            *next += 1;
            let found = match &**node {
                Node::Collision { pairs } => pairs.get(at).map(|pair| Slot::Pair(pair.clone())),
                Node::Bitmap { slots, .. } => slots.get(at).cloned(),
            };
            match found {
                Some(Slot::Pair(pair)) => return Some((pair.key, pair.value)),
                Some(Slot::Child(child)) => self.path.push((child, 0)),
                None => {
                    self.path.pop();
                }
            }
        }
    }
}
