//! The shape of CPython's hash array mapped trie: its three kinds of node, and when one becomes
//! another. Nothing is ever looked up in it, and it is not meant to be fast.

use std::rc::Rc;

use contextvars_spec::{Value, VariableId};

use super::situations::{Kind, Met};

/// A bitmap node of this many slots becomes an array node when it gets one more, and an array node
/// stays one down to this many children.
const BOUNDARY: usize = 16;

/// How many slots five bits of the hash can tell apart.
const WIDTH: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    variable: VariableId,
    hash: u32,
    value: Value,
}

#[derive(Clone, Debug)]
enum Slot {
    Pair(Pair),
    Child(Rc<Node>),
}

#[derive(Debug)]
enum Node {
    // INVARIANT: one slot for each bit of `bitmap`, in the order of the bits; sixteen at the most.
    Bitmap { bitmap: u32, slots: Vec<Slot> },
    // INVARIANT: at least sixteen children, and no pairs.
    Array { children: Box<[Option<Rc<Node>>; WIDTH]> },
    // INVARIANT: at least two pairs, all of this hash, in the order of their insertion.
    Collision { hash: u32, pairs: Vec<Pair> },
}

/// What is left of a node without a key.
enum Without {
    NotFound,
    Empty,
    Node(Rc<Node>),
}

/// Which five bits of the hash a level looks at; levels count from 1.
fn index(hash: u32, level: u8) -> usize {
    (hash >> (5 * (level - 1)) & 31) as usize
}

fn position(bitmap: u32, index: usize) -> usize {
    (bitmap & ((1 << index) - 1)).count_ones() as usize
}

impl Node {
    const EMPTY: Self = Self::Bitmap { bitmap: 0, slots: Vec::new() };

    fn children(&self) -> usize {
        match self {
            Self::Bitmap { slots, .. } => slots.len(),
            Self::Array { children } => children.iter().flatten().count(),
            Self::Collision { pairs, .. } => pairs.len(),
        }
    }

    /// The only pair of a bitmap node, which its parent may take over.
    fn only_pair(&self) -> Option<Pair> {
        match self {
            Self::Bitmap { slots, .. } => match slots.as_slice() {
                [Slot::Pair(pair)] => Some(*pair),
                _ => None,
            },
            _ => None,
        }
    }

    /// Notes a node that was made.
    fn made(self, level: u8, met: &mut Met) -> Rc<Self> {
        match &self {
            Self::Bitmap { slots, .. } => {
                met.note(Kind::BitmapNode, level);
                match slots.len() {
                    15 => met.note(Kind::BitmapOf15, level),
                    16 => met.note(Kind::BitmapOf16, level),
                    _ => {}
                }
            }
            Self::Array { .. } => {
                met.note(Kind::ArrayNode, level);
                match self.children() {
                    16 => met.note(Kind::ArrayOf16, level),
                    17 => met.note(Kind::ArrayOf17, level),
                    31 => met.note(Kind::ArrayOf31, level),
                    32 => met.note(Kind::ArrayOf32, level),
                    _ => {}
                }
            }
            Self::Collision { .. } => met.note(Kind::CollisionNode, level),
        }
        Rc::new(self)
    }

    /// The node with one more binding (`hamt_node_assoc`); the same node where nothing changes.
    fn assoc(self: &Rc<Self>, level: u8, new: Pair, met: &mut Met) -> Rc<Self> {
        let at = index(new.hash, level.min(7));
        match &**self {
            Self::Bitmap { bitmap, slots } if bitmap >> at & 1 == 0 => {
                if slots.len() >= BOUNDARY {
                    return Self::array_of(*bitmap, slots, level, new, met);
                }
                let mut slots = slots.clone();
                slots.insert(position(*bitmap, at), Slot::Pair(new));
                Self::Bitmap { bitmap: bitmap | 1 << at, slots }.made(level, met)
            }
            Self::Bitmap { bitmap, slots } => {
                let slot = position(*bitmap, at);
                let replaced = match &slots[slot] {
                    Slot::Child(child) => {
                        let changed = child.assoc(level + 1, new, met);
                        if Rc::ptr_eq(&changed, child) {
                            return Rc::clone(self);
                        }
                        Slot::Child(changed)
                    }
                    Slot::Pair(pair) if pair.variable == new.variable => {
                        if pair.value == new.value {
                            met.note(Kind::IdenticalInBitmap, level);
                            return Rc::clone(self);
                        }
                        met.note(Kind::ReplacesInBitmap, level);
                        Slot::Pair(new)
                    }
                    Slot::Pair(pair) => Slot::Child(Self::of_two(level + 1, *pair, new, met)),
                };
                let mut slots = slots.clone();
                slots[slot] = replaced;
                Self::Bitmap { bitmap: *bitmap, slots }.made(level, met)
            }
            Self::Array { children } => {
                let mut children = children.clone();
                let child = match &children[at] {
                    None => Rc::new(Self::EMPTY).assoc(level + 1, new, met),
                    Some(child) => {
                        let changed = child.assoc(level + 1, new, met);
                        if Rc::ptr_eq(&changed, child) {
                            met.note(Kind::IdenticalUnderArray, level);
                        }
                        changed
                    }
                };
                children[at] = Some(child);
                Self::Array { children }.made(level, met)
            }
            Self::Collision { hash, pairs } if *hash == new.hash => {
                let mut pairs = pairs.clone();
                match pairs.iter_mut().find(|pair| pair.variable == new.variable) {
                    Some(pair) if pair.value == new.value => {
                        met.note(Kind::IdenticalInCollision, level);
                        return Rc::clone(self);
                    }
                    Some(pair) => {
                        met.note(Kind::ReplacesInCollision, level);
                        pair.value = new.value;
                    }
                    None => {
                        met.note(Kind::CollisionGrows, level);
                        pairs.push(new);
                    }
                }
                Self::Collision { hash: *hash, pairs }.made(level, met)
            }
            Self::Collision { hash, .. } => {
                met.note(Kind::CollisionWrapped, level);
                let wrapped = Self::Bitmap { bitmap: 1 << index(*hash, level), slots: vec![Slot::Child(Rc::clone(self))] };
                wrapped.made(level, met).assoc(level, new, met)
            }
        }
    }

    /// A full bitmap node and one more slot (`hamt_node_bitmap_assoc`): each pair gets a node below.
    fn array_of(bitmap: u32, slots: &[Slot], level: u8, new: Pair, met: &mut Met) -> Rc<Self> {
        met.note(Kind::BitmapToArray, level);
        let mut children: Box<[Option<Rc<Self>>; WIDTH]> = Box::default();
        let indexes = (0..WIDTH).filter(|index| bitmap >> index & 1 == 1);
        for (at, slot) in indexes.zip(slots) {
            children[at] = Some(match slot {
                Slot::Child(child) => Rc::clone(child),
                Slot::Pair(pair) => Rc::new(Self::EMPTY).assoc(level + 1, *pair, met),
            });
        }
        children[index(new.hash, level)] = Some(Rc::new(Self::EMPTY).assoc(level + 1, new, met));
        Self::Array { children }.made(level, met)
    }

    /// A node of two pairs (`hamt_node_new_bitmap_or_collision`).
    fn of_two(level: u8, first: Pair, second: Pair, met: &mut Met) -> Rc<Self> {
        if first.hash == second.hash {
            met.note(Kind::SplitToCollision, level - 1);
            return Self::Collision { hash: first.hash, pairs: vec![first, second] }.made(level, met);
        }
        met.note(Kind::SplitToBitmap, level - 1);
        Rc::new(Self::EMPTY).assoc(level, first, met).assoc(level, second, met)
    }

    /// The node without a key (`hamt_node_without`).
    fn without(self: &Rc<Self>, level: u8, variable: VariableId, hash: u32, met: &mut Met) -> Without {
        let at = index(hash, level.min(7));
        match &**self {
            Self::Bitmap { bitmap, .. } if bitmap >> at & 1 == 0 => Without::NotFound,
            Self::Bitmap { bitmap, slots } => {
                let slot = position(*bitmap, at);
                let mut changed = slots.clone();
                match &slots[slot] {
                    Slot::Child(child) => match child.without(level + 1, variable, hash, met) {
                        Without::Node(left) => {
                            changed[slot] = match left.only_pair() {
                                Some(pair) => {
                                    let collision = matches!(**child, Self::Collision { .. });
                                    met.note(if collision { Kind::InlinesCollision } else { Kind::InlinesBitmap }, level);
                                    Slot::Pair(pair)
                                }
                                None => Slot::Child(left),
                            };
                            Without::Node(Self::Bitmap { bitmap: *bitmap, slots: changed }.made(level, met))
                        }
                        unchanged => unchanged,
                    },
                    Slot::Pair(pair) if pair.variable != variable => Without::NotFound,
                    Slot::Pair(_) if slots.len() == 1 => Without::Empty,
                    Slot::Pair(_) => {
                        changed.remove(slot);
                        if level > 1 && matches!(changed.as_slice(), [Slot::Child(_)]) {
                            met.note(Kind::KeepsLoneChild, level);
                        }
                        Without::Node(Self::Bitmap { bitmap: bitmap & !(1 << at), slots: changed }.made(level, met))
                    }
                }
            }
            Self::Array { children } => {
                let Some(child) = &children[at] else { return Without::NotFound };
                let left = match child.without(level + 1, variable, hash, met) {
                    Without::NotFound => return Without::NotFound,
                    Without::Empty => None,
                    Without::Node(left) => Some(left),
                };
                let mut changed = children.clone();
                changed[at] = left;
                if changed.iter().flatten().count() >= BOUNDARY {
                    return Without::Node(Self::Array { children: changed }.made(level, met));
                }
                Without::Node(Self::bitmap_of(&changed, level, met))
            }
            Self::Collision { hash: own, .. } if *own != hash => Without::NotFound,
            Self::Collision { hash, pairs } => {
                let left: Vec<_> = pairs.iter().copied().filter(|pair| pair.variable != variable).collect();
                match left.as_slice() {
                    [pair] => {
                        met.note(Kind::CollisionDissolves, level);
                        // Below the seventh level the mask has run out of the hash's bits.
                        let at = if level > 7 { 0 } else { index(*hash, level) };
                        Without::Node(Rc::new(Self::Bitmap { bitmap: 1 << at, slots: vec![Slot::Pair(*pair)] }))
                    }
                    _ if left.len() == pairs.len() => Without::NotFound,
                    _ => {
                        met.note(Kind::CollisionShrinks, level);
                        Without::Node(Self::Collision { hash: *hash, pairs: left }.made(level, met))
                    }
                }
            }
        }
    }

    /// An array node of fifteen children as a bitmap node (`hamt_node_array_without`).
    fn bitmap_of(children: &[Option<Rc<Self>>; WIDTH], level: u8, met: &mut Met) -> Rc<Self> {
        met.note(Kind::ArrayToBitmap, level);
        let mut bitmap = 0;
        let mut slots = Vec::with_capacity(BOUNDARY);
        for (at, child) in children.iter().enumerate() {
            let Some(child) = child else { continue };
            bitmap |= 1 << at;
            slots.push(match child.only_pair() {
                Some(pair) => {
                    met.note(Kind::ArrayToBitmapInlines, level);
                    Slot::Pair(pair)
                }
                None => {
                    met.note(Kind::ArrayToBitmapKeepsChild, level);
                    Slot::Child(Rc::clone(child))
                }
            });
        }
        Self::Bitmap { bitmap, slots }.made(level, met)
    }

    fn list(&self, bindings: &mut Vec<(VariableId, Value)>) {
        match self {
            Self::Bitmap { slots, .. } => {
                for slot in slots {
                    match slot {
                        Slot::Pair(pair) => bindings.push((pair.variable, pair.value)),
                        Slot::Child(child) => child.list(bindings),
                    }
                }
            }
            Self::Array { children } => children.iter().flatten().for_each(|child| child.list(bindings)),
            Self::Collision { pairs, .. } => bindings.extend(pairs.iter().map(|pair| (pair.variable, pair.value))),
        }
    }
}

/// A map as CPython would hold it (`PyHamtObject`); clones share the root.
#[derive(Clone, Debug)]
pub struct Trie {
    root: Rc<Node>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { root: Rc::new(Node::EMPTY) }
    }
}

impl Trie {
    /// Binds a variable, and notes what that met (`_PyHamt_Assoc`).
    pub fn assoc(&mut self, variable: VariableId, hash: u32, value: Value, met: &mut Met) {
        let root = self.root.assoc(1, Pair { variable, hash, value }, met);
        self.note_sharing(Kind::SharedMapWritten, &root, met);
        self.root = root;
    }

    /// Unbinds a variable, and notes what that met (`_PyHamt_Without`).
    pub fn without(&mut self, variable: VariableId, hash: u32, met: &mut Met) {
        let root = match self.root.without(1, variable, hash, met) {
            Without::NotFound => return,
            Without::Empty => {
                met.note(Kind::LastKeyDeleted, 1);
                Rc::new(Node::EMPTY)
            }
            Without::Node(root) => root,
        };
        self.note_sharing(Kind::SharedMapShrunk, &root, met);
        self.root = root;
    }

    fn note_sharing(&self, kind: Kind, changed: &Rc<Node>, met: &mut Met) {
        if self.root.children() > 0 && Rc::strong_count(&self.root) > 1 && !Rc::ptr_eq(&self.root, changed) {
            met.note(kind, 1);
        }
    }

    /// The bindings in the order of iteration.
    #[must_use]
    pub fn bindings(&self) -> Vec<(VariableId, Value)> {
        let mut bindings = Vec::new();
        self.root.list(&mut bindings);
        bindings
    }
}
