//! A thread state's lookup cache.

use std::cell::RefCell;
use std::sync::Arc;

use crate::variable::VarId;

/// Programs look up few variables again and again; eight slots hold those, and are soon emptied.
const SLOTS: usize = 8;

struct Entry<V> {
    key: VarId,
    context_ver: u64,
    value: Arc<V>,
}

/// The values found last, direct-mapped by hash (CPython keeps one in each variable).
// INVARIANT: an entry's value is bound to its key in the context that is current at `context_ver`.
// The cache is emptied at every switch, so that it prolongs no value's life beyond its binding.
pub(crate) struct Cache<V> {
    entries: RefCell<[Option<Entry<V>>; SLOTS]>,
}

impl<V> Cache<V> {
    pub(crate) fn new() -> Self {
        Self { entries: RefCell::new([const { None }; SLOTS]) }
    }

    fn slot(key: VarId) -> usize {
        key.folded_hash() as usize % SLOTS
    }

    pub(crate) fn find(&self, key: VarId, context_ver: u64) -> Option<Arc<V>> {
        let entries = self.entries.borrow();
        let entry = entries[Self::slot(key)].as_ref()?;
        (entry.key == key && entry.context_ver == context_ver).then(|| Arc::clone(&entry.value))
    }

    pub(crate) fn fill(&self, key: VarId, context_ver: u64, value: Arc<V>) {
        let entry = Entry { key, context_ver, value };
        let replaced = self.entries.borrow_mut()[Self::slot(key)].replace(entry);
        // The borrow has ended: dropping the value may call back.
        drop(replaced);
    }

    pub(crate) fn forget(&self, key: VarId) {
        let mut entries = self.entries.borrow_mut();
        let removed = entries[Self::slot(key)].take_if(|entry| entry.key == key);
        drop(entries);
        drop(removed);
    }

    pub(crate) fn clear(&self) {
        let removed = self.entries.replace([const { None }; SLOTS]);
        drop(removed);
    }
}
