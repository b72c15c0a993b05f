//! Binding and unbinding below a patch: in place what nobody else sees, in copies what others do.
//!
//! Nothing here runs user code: values are counted, moved and handed out, never dropped for good.

use super::columns::Columns;
use super::node::{Entry, FEW, FULL, Kind, LEVEL, Node, Value};
use crate::sharing::Sharing;
use crate::variable::VarId;

type Entries<V, S> = Vec<Entry<Value<V, S>>>;

/// Room for so many entries in a leaf that is copied: it fits exactly. Only a leaf of equal places,
/// which cannot be divided, has room to grow.
fn leaf_room(len: usize) -> usize {
    if len <= FULL { len } else { len + len / 4 }
}

/// Room for so many entries in a leaf that nobody else sees, and that is written once more: some entries
/// later it would be copied again. From eight entries on, an entry takes 24 bytes at most, the branches
/// above among them.
fn growing_room<V, S: Sharing>(len: usize) -> usize {
    if len < 8 {
        return len.next_multiple_of(4);
    }
    let mut room = leaf_room(len);
    while room < FULL && Node::<V, S>::leaf_size(room + 1) <= 23 * len {
        room += 1;
    }
    room
}

/// Whether a leaf keeps its room though it has only so many entries.
pub(super) fn keeps_room(room: usize, len: usize) -> bool {
    len > 0 && room < 2 * len + 8
}

/// Copies a leaf's entries into another, counted once more unless they move.
///
/// # Safety
///
/// As [`Columns::copy`]; a leaf whose entries move is freed without them.
unsafe fn take_over<V, S: Sharing>(to: Columns, at: usize, leaf: Node<V, S>, from: usize, many: usize, moves: bool) {
    // SAFETY: the contract.
    unsafe {
        let columns = leaf.leaf_columns();
        if !moves {
            let pairs = columns.pairs::<Value<V, S>>();
            for index in from..from + many {
                std::mem::forget((*pairs.add(index)).value.clone());
            }
        }
        to.copy::<Value<V, S>>(at, columns, from, many);
    }
}

/// Gives up a leaf that has been taken over.
///
/// # Safety
///
/// The caller holds a count; if the entries moved, the only one.
unsafe fn give_up<V, S: Sharing>(leaf: Node<V, S>, moved: bool) {
    // SAFETY: the contract. If others gave the leaf up meanwhile, it goes here, but no value does:
    // each has been counted once more.
    unsafe { if moved { leaf.free_block() } else { leaf.release() } }
}

/// Makes a leaf the caller's own.
///
/// # Safety
///
/// The caller holds a count of the leaf in `slot`.
unsafe fn own_leaf<V, S: Sharing>(slot: &mut Node<V, S>) {
    // SAFETY: the contract.
    unsafe {
        let leaf = *slot;
        if leaf.is_unique() {
            return;
        }
        let len = leaf.leaf_len();
        let copy = Node::new_leaf(leaf_room(len));
        take_over(copy.leaf_columns(), 0, leaf, 0, len, false);
        copy.set_leaf_len(len);
        leaf.release();
        *slot = copy;
    }
}

/// Makes a branch the caller's own.
///
/// # Safety
///
/// The caller holds a count of the branch in `slot`.
unsafe fn own_branch<V, S: Sharing>(slot: &mut Node<V, S>) {
    // SAFETY: the contract.
    unsafe {
        let branch = *slot;
        if branch.is_unique() {
            return;
        }
        let bits = branch.branch_bits();
        let copy = Node::new_branch(bits);
        let mut last = Node::EMPTY;
        for at in 0..1 << bits {
            let child = *branch.slots().add(at);
            if child != last {
                child.retain(1);
                last = child;
            }
            copy.slots().add(at).write(child);
        }
        copy.set_branch_total(branch.branch_total());
        branch.release();
        *slot = copy;
    }
}

/// The slots that lead to the same child as one of them: the first and the power of two of how many.
///
/// # Safety
///
/// The branch lives.
unsafe fn run<V, S: Sharing>(branch: Node<V, S>, slot: usize) -> (usize, u32) {
    // SAFETY: the contract.
    unsafe {
        let (bits, slots) = (branch.branch_bits(), branch.slots());
        let child = *slots.add(slot);
        let mut power = 0;
        while power < bits {
            let first = slot >> (power + 1) << (power + 1);
            if (first..first + (2 << power)).any(|at| *slots.add(at) != child) {
                break;
            }
            power += 1;
        }
        (slot >> power << power, power)
    }
}

/// # Safety
///
/// The branch is the caller's own, and has these slots.
unsafe fn fill_run<V, S: Sharing>(branch: Node<V, S>, first: usize, power: u32, child: Node<V, S>) {
    for at in first..first + (1 << power) {
        // SAFETY: the contract.
        unsafe { branch.slots().add(at).write(child) };
    }
}

/// Whether entries stay in one leaf.
fn fits<T>(entries: &[Entry<T>]) -> bool {
    entries.len() <= FULL || entries.first().map(|entry| entry.key.place()) == entries.last().map(|entry| entry.key.place())
}

/// How many bits must be looked at, from `bit` on, until every leaf fits; at most `most`.
fn bits_needed<T>(entries: &[Entry<T>], bit: u32, most: u32) -> u32 {
    if most == 0 || fits(entries) {
        return 0;
    }
    let middle = entries.partition_point(|entry| entry.key.place() << bit >> 31 == 0);
    let (low, high) = entries.split_at(middle);
    1 + bits_needed(low, bit + 1, most - 1).max(bits_needed(high, bit + 1, most - 1))
}

/// A leaf of sorted entries.
fn leaf_of<V, S: Sharing>(entries: Entries<V, S>) -> Node<V, S> {
    if entries.is_empty() {
        return Node::EMPTY;
    }
    let len = entries.len();
    let leaf = Node::new_leaf(leaf_room(len));
    for (at, entry) in entries.into_iter().enumerate() {
        // SAFETY: the leaf is new and has room.
        unsafe { leaf.leaf_columns().write(at, entry.key, entry.value) };
    }
    // SAFETY: so many are written.
    unsafe { leaf.set_leaf_len(len) };
    leaf
}

/// A node of sorted entries that agree in their first `bit` bits.
fn build<V, S: Sharing>(entries: Entries<V, S>, bit: u32) -> Node<V, S> {
    if fits(&entries) {
        return leaf_of(entries);
    }
    let bits = bits_needed(&entries, bit, LEVEL.min(u32::BITS - bit));
    let branch = Node::new_branch(bits);
    // SAFETY: the branch is new.
    unsafe {
        branch.set_branch_total(entries.len() as u64);
        divide(branch, 0, bits, entries, bit);
    }
    branch
}

/// Fills a run of slots with sorted entries that agree in their first `bit` bits.
///
/// # Safety
///
/// The branch is the caller's own, and the slots lead to nothing that is counted.
unsafe fn divide<V, S: Sharing>(branch: Node<V, S>, first: usize, power: u32, mut entries: Entries<V, S>, bit: u32) {
    // SAFETY: the contract.
    unsafe {
        if fits(&entries) || power == 0 {
            fill_run(branch, first, power, build(entries, bit));
            return;
        }
        let middle = entries.partition_point(|entry| entry.key.place() << bit >> 31 == 0);
        let high = entries.split_off(middle);
        divide(branch, first, power - 1, entries, bit + 1);
        divide(branch, first + (1 << (power - 1)), power - 1, high, bit + 1);
    }
}

/// Takes the entries out of a leaf that the caller gives up.
///
/// # Safety
///
/// The caller holds a count of the leaf.
unsafe fn entries_of<V, S: Sharing>(leaf: Node<V, S>, entries: &mut Entries<V, S>) {
    // SAFETY: the contract.
    unsafe {
        let (moves, columns) = (leaf.is_unique(), leaf.leaf_columns());
        for at in 0..leaf.leaf_len() {
            let value = &raw const (*columns.pairs::<Value<V, S>>().add(at)).value;
            let value = if moves { value.read() } else { (*value).clone() };
            entries.push(Entry { key: columns.key::<Value<V, S>>(at), value });
        }
        give_up(leaf, moves);
    }
}

/// Takes the entries out of any node but a patch.
///
/// # Safety
///
/// The caller holds a count of the node, and gives it up.
unsafe fn drain<V, S: Sharing>(node: Node<V, S>, entries: &mut Entries<V, S>) {
    // SAFETY: the contract.
    unsafe {
        match node.kind() {
            Kind::Leaf => entries_of(node, entries),
            Kind::Branch => {
                let mut own = node;
                own_branch(&mut own);
                let mut last = Node::EMPTY;
                for at in 0..1 << own.branch_bits() {
                    let child = *own.slots().add(at);
                    if child != last {
                        drain(child, entries);
                        last = child;
                    }
                }
                own.free_block();
            }
            Kind::Empty | Kind::Patch => {}
        }
    }
}

/// Puts a new entry after those of its place and those before it.
fn insert_sorted<T>(entries: &mut Vec<Entry<T>>, new: Entry<T>) {
    let at = entries.partition_point(|entry| entry.key.place() <= new.key.place());
    entries.insert(at, new);
}

/// Where a new variable stands in a leaf: after those of its place and those before it.
///
/// # Safety
///
/// The leaf lives.
#[inline]
unsafe fn position_of<V, S: Sharing>(leaf: Node<V, S>, key: VarId) -> usize {
    // SAFETY: the contract.
    let places = unsafe { std::slice::from_raw_parts(leaf.leaf_columns().places(), leaf.leaf_len()) };
    if places.len() <= FULL {
        // Without a branch: how many are not after the new one.
        places.iter().map(|&place| usize::from(place <= key.place())).sum()
    } else {
        places.partition_point(|&place| place <= key.place())
    }
}

/// Inserts into a leaf that does not have the variable, and has room.
///
/// # Safety
///
/// The leaf is the caller's own.
#[inline]
pub(super) unsafe fn insert_in_place<V, S: Sharing>(leaf: Node<V, S>, key: VarId, value: Value<V, S>) {
    // SAFETY: the contract.
    unsafe {
        let (len, columns, at) = (leaf.leaf_len(), leaf.leaf_columns(), position_of(leaf, key));
        columns.copy::<Value<V, S>>(at + 1, columns, at, len - at);
        columns.write(at, key, value);
        leaf.set_leaf_len(len + 1);
    }
}

/// Takes an entry out of a leaf that has others, and keeps its room.
///
/// # Safety
///
/// The leaf is the caller's own, and an entry stands there.
#[inline]
pub(super) unsafe fn remove_in_place<V, S: Sharing>(leaf: Node<V, S>, at: usize) -> Value<V, S> {
    // SAFETY: the contract.
    unsafe {
        let (len, columns) = (leaf.leaf_len(), leaf.leaf_columns());
        let value = (&raw const (*columns.pairs::<Value<V, S>>().add(at)).value).read();
        columns.copy::<Value<V, S>>(at, columns, at + 1, len - at - 1);
        leaf.set_leaf_len(len - 1);
        value
    }
}

/// Inserts into a leaf that does not have the variable, and has or makes room.
///
/// # Safety
///
/// The caller holds a count of the leaf in `slot`.
unsafe fn insert_into_leaf<V, S: Sharing>(slot: &mut Node<V, S>, key: VarId, value: Value<V, S>) {
    // SAFETY: the contract.
    unsafe {
        let leaf = *slot;
        let len = leaf.leaf_len();
        let unique = leaf.is_unique();
        if unique && len < leaf.leaf_room() {
            insert_in_place(leaf, key, value);
            return;
        }
        let at = position_of(leaf, key);
        let grown = Node::new_leaf(if unique { growing_room::<V, S>(len + 1) } else { leaf_room(len + 1) });
        let to = grown.leaf_columns();
        take_over(to, 0, leaf, 0, at, unique);
        take_over(to, at + 1, leaf, at, len - at, unique);
        to.write(at, key, value);
        grown.set_leaf_len(len + 1);
        give_up(leaf, unique);
        *slot = grown;
    }
}

/// Whether a leaf must be divided to take a place more.
///
/// # Safety
///
/// The leaf lives.
unsafe fn is_full<V, S: Sharing>(leaf: Node<V, S>, key: VarId) -> bool {
    // SAFETY: the contract; a full leaf has a first and a last place.
    unsafe {
        let (len, places) = (leaf.leaf_len(), leaf.leaf_columns().places());
        len >= FULL && !(*places == key.place() && *places.add(len - 1) == key.place())
    }
}

/// Binds in a node that is no patch, and answers the value before.
///
/// # Safety
///
/// The caller holds a count of the node in `slot`, whose entries agree in their first `bit` bits.
pub(super) unsafe fn assoc<V, S: Sharing>(slot: &mut Node<V, S>, bit: u32, key: VarId, value: Value<V, S>) -> Option<Value<V, S>> {
    // SAFETY: the contract.
    unsafe {
        match slot.kind() {
            Kind::Empty => {
                *slot = leaf_of(vec![Entry { key, value }]);
                None
            }
            Kind::Leaf => {
                let found = slot.leaf_columns().find::<Value<V, S>>(slot.leaf_len(), key.serial());
                if let Some(at) = found {
                    own_leaf(slot);
                    let pair = slot.leaf_columns().pairs::<Value<V, S>>().add(at);
                    return Some(std::mem::replace(&mut (*pair).value, value));
                }
                if is_full(*slot, key) {
                    let mut entries = Vec::with_capacity(slot.leaf_len() + 1);
                    entries_of(*slot, &mut entries);
                    insert_sorted(&mut entries, Entry { key, value });
                    *slot = build(entries, bit);
                } else {
                    insert_into_leaf(slot, key, value);
                }
                None
            }
            Kind::Branch => {
                own_branch(slot);
                assoc_in_branch(slot, bit, key, value)
            }
            // INVARIANT 6: a patch has no patch below.
            Kind::Patch => unreachable!("a patch stands only at a root"),
        }
    }
}

/// # Safety
///
/// As [`assoc`]; the node is a branch and the caller's own.
unsafe fn assoc_in_branch<V, S: Sharing>(slot: &mut Node<V, S>, bit: u32, key: VarId, value: Value<V, S>) -> Option<Value<V, S>> {
    // SAFETY: the contract.
    unsafe {
        let branch = *slot;
        let bits = branch.branch_bits();
        let at = (key.place() << bit >> (u32::BITS - bits)) as usize;
        let child = *branch.slots().add(at);
        if child.kind() == Kind::Leaf
            && is_full(child, key)
            && child.leaf_columns().find::<Value<V, S>>(child.leaf_len(), key.serial()).is_none()
        {
            // The leaf is divided among the slots that lead to it; if these are too few, the branch
            // gets twice as many, as often as needed.
            let (first, power) = run(branch, at);
            let mut entries = Vec::with_capacity(child.leaf_len() + 1);
            entries_of(child, &mut entries);
            insert_sorted(&mut entries, Entry { key, value });
            let decided = bits - power;
            let needed = bits_needed(&entries, bit + decided, LEVEL.min(u32::BITS - bit) - decided);
            let growth = needed.saturating_sub(power);
            if growth > 0 {
                *slot = grow(branch, growth);
            }
            divide(*slot, first << growth, power + growth, entries, bit + decided);
            slot.set_branch_total(slot.branch_total() + 1);
            return None;
        }
        let mut changed = child;
        let old = assoc(&mut changed, bit + bits, key, value);
        if changed != child {
            let (first, power) = run(branch, at);
            fill_run(branch, first, power, changed);
        }
        if old.is_none() {
            branch.set_branch_total(branch.branch_total() + 1);
        }
        old
    }
}

/// A branch with more slots in place of another, whose children it takes over.
///
/// # Safety
///
/// The branch is the caller's own.
unsafe fn grow<V, S: Sharing>(branch: Node<V, S>, growth: u32) -> Node<V, S> {
    // SAFETY: the contract.
    unsafe {
        let bits = branch.branch_bits();
        let grown = Node::new_branch(bits + growth);
        for at in 0..1 << bits {
            fill_run(grown, at << growth, growth, *branch.slots().add(at));
        }
        grown.set_branch_total(branch.branch_total());
        branch.free_block();
        grown
    }
}

/// Unbinds a variable that is bound in a node that is no patch, and answers its value.
///
/// # Safety
///
/// As [`assoc`].
pub(super) unsafe fn without<V, S: Sharing>(slot: &mut Node<V, S>, bit: u32, key: VarId) -> Option<Value<V, S>> {
    // SAFETY: the contract.
    unsafe {
        match slot.kind() {
            Kind::Leaf => remove_from_leaf(slot, key),
            Kind::Branch => {
                own_branch(slot);
                let branch = *slot;
                let bits = branch.branch_bits();
                let at = (key.place() << bit >> (u32::BITS - bits)) as usize;
                let child = *branch.slots().add(at);
                let (first, power) = run(branch, at);
                let mut changed = child;
                let removed = without(&mut changed, bit + bits, key);
                if changed != child {
                    fill_run(branch, first, power, changed);
                }
                let total = branch.branch_total() - u64::from(removed.is_some());
                branch.set_branch_total(total);
                if total <= FEW {
                    let mut entries = Vec::with_capacity(total as usize);
                    drain(branch, &mut entries);
                    *slot = leaf_of(entries);
                }
                removed
            }
            Kind::Empty | Kind::Patch => None,
        }
    }
}

/// # Safety
///
/// The caller holds a count of the leaf in `slot`.
unsafe fn remove_from_leaf<V, S: Sharing>(slot: &mut Node<V, S>, key: VarId) -> Option<Value<V, S>> {
    // SAFETY: the contract.
    unsafe {
        let leaf = *slot;
        let (len, columns) = (leaf.leaf_len(), leaf.leaf_columns());
        let at = columns.find::<Value<V, S>>(len, key.serial())?;
        let unique = leaf.is_unique();
        if unique && keeps_room(leaf.leaf_room(), len - 1) {
            return Some(remove_in_place(leaf, at));
        }
        let value = &raw const (*columns.pairs::<Value<V, S>>().add(at)).value;
        let value = if unique { value.read() } else { (*value).clone() };
        *slot = if len == 1 { Node::EMPTY } else { Node::new_leaf(leaf_room(len - 1)) };
        if len > 1 {
            let to = slot.leaf_columns();
            take_over(to, 0, leaf, 0, at, unique);
            take_over(to, at, leaf, at + 1, len - at - 1, unique);
            slot.set_leaf_len(len - 1);
        }
        give_up(leaf, unique);
        Some(value)
    }
}
