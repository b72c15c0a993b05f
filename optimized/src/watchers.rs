//! Context watchers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::context::Context;
use crate::error::WatcherError;
use crate::sharing::{Shared, Sharing};

/// As many as CPython has (`CONTEXT_MAX_WATCHERS`).
const SLOTS: usize = 8;

type Callback<V, S> = Rc<dyn Fn(Option<&Context<V, S>>)>;

/// The watchers that several thread states share, as an interpreter's threads do. Each is called
/// after every successful enter and exit with the context that is current then (WATCH-1).
pub struct Watchers<V, S: Sharing = Shared> {
    slots: RefCell<[Option<Callback<V, S>>; SLOTS]>,
    /// How many there are, so that a switch without watchers is told quickly.
    taken: Cell<usize>,
}

impl<V> Watchers<V> {
    /// No watchers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<V, S: Sharing> Watchers<V, S> {
    /// Adds a watcher and answers the lowest free identifier (WATCH-2, `PyContext_AddWatcher`).
    ///
    /// # Errors
    ///
    /// [`WatcherError::NoneFree`] where all eight are taken.
    pub fn add(&self, callback: impl Fn(Option<&Context<V, S>>) + 'static) -> Result<i32, WatcherError> {
        let mut slots = self.slots.borrow_mut();
        let free = slots.iter().position(Option::is_none).ok_or(WatcherError::NoneFree)?;
        slots[free] = Some(Rc::new(callback));
        self.taken.set(self.taken.get() + 1);
        Ok(free as i32)
    }

    /// Removes a watcher (WATCH-4, `PyContext_ClearWatcher`).
    ///
    /// # Errors
    ///
    /// [`WatcherError::OutOfRange`], then [`WatcherError::NotSet`].
    pub fn clear(&self, id: i32) -> Result<(), WatcherError> {
        let slot = usize::try_from(id).ok().filter(|slot| *slot < SLOTS).ok_or(WatcherError::OutOfRange(id))?;
        let removed = self.slots.borrow_mut()[slot].take();
        self.taken.set(self.taken.get() - usize::from(removed.is_some()));
        removed.map(drop).ok_or(WatcherError::NotSet(id))
    }

    /// Whether there is anybody to tell.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.get() == 0
    }

    /// A watcher may add and clear watchers: none is called while the slots are borrowed.
    pub(crate) fn tell(&self, current: Option<&Context<V, S>>) {
        for slot in 0..SLOTS {
            let callback = self.slots.borrow()[slot].clone();
            if let Some(callback) = callback {
                callback(current);
            }
        }
    }
}

impl<V, S: Sharing> Default for Watchers<V, S> {
    fn default() -> Self {
        Self { slots: RefCell::new([const { None }; SLOTS]), taken: Cell::new(0) }
    }
}
