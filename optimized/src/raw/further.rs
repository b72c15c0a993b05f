//! What a thread state remembers besides of a context of many variables: what they have driven out of the
//! places where it looks first.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;

use super::current::{FOUND, Found};
use crate::sharing::Sharing;
use crate::variable::VarId;

/// How many places there are once there are some.
const FEWEST: usize = 1024;
/// How many there are at most, in a hundred kB.
const MOST: usize = 4 * FEWEST;

/// More places for values, of which there are none until they are needed.
pub(super) struct Further<V, S: Sharing> {
    // INVARIANT 12 holds of what is remembered here, too.
    places: UnsafeCell<Box<[Found<V, S>]>>,
    /// How many variables were looked up, and drove another one of their context out, since there are so
    /// many places.
    driven_out: Cell<usize>,
}

impl<V, S: Sharing> Further<V, S> {
    /// No places.
    pub(super) fn new() -> Self {
        Self { places: UnsafeCell::new(Box::default()), driven_out: Cell::new(0) }
    }

    /// Whether there are places.
    #[inline]
    pub(super) fn is_used(&self) -> bool {
        // SAFETY: the reference ends here; none outlives a call of a method here.
        !unsafe { &*self.places.get() }.is_empty()
    }

    /// Where a value is remembered, if there are places. Their number is a power of two.
    #[inline]
    fn place(&self, key: VarId, stamp: u64) -> Option<*mut Found<V, S>> {
        // SAFETY: as above.
        let places = unsafe { &mut *self.places.get() };
        let at = key.serial().wrapping_add(stamp) as usize & places.len().wrapping_sub(1);
        places.get_mut(at).map(std::ptr::from_mut)
    }

    /// The value of a variable, if it is remembered.
    ///
    /// # Safety
    ///
    /// The stamp is that of the current context. INVARIANT 12: the answer lives until the map
    /// is written, or another context current, or something is remembered here.
    #[inline]
    pub(super) unsafe fn get<'a>(&self, key: VarId, stamp: u64) -> Option<&'a S::Value<V>> {
        // SAFETY: the contract; a stamp comes with a value.
        unsafe {
            let place = &*self.place(key, stamp)?;
            (place.serial == key.serial() && place.stamp == stamp).then(|| &*place.value.as_ptr())
        }
    }

    /// Remembers a value that is bound in a context, if there are places.
    #[cold]
    pub(super) fn put(&self, key: VarId, stamp: u64, value: &S::Value<V>) {
        if let Some(place) = self.place(key, stamp) {
            // SAFETY: the copy is not counted, and never dropped.
            unsafe { (*place).put(key, stamp, value) };
        }
    }

    /// Forgets a variable that is not bound any more.
    #[cold]
    pub(super) fn forget(&self, key: VarId, stamp: u64) {
        if let Some(place) = self.place(key, stamp) {
            // SAFETY: the reference ends here.
            unsafe { (*place).forget(key, stamp) };
        }
    }

    /// Remembers a value that was looked up, and drives another one of its context out. More places are made
    /// if that happens again and again; what was remembered here is forgotten then.
    #[cold]
    pub(super) fn put_driving_out(&self, key: VarId, stamp: u64, value: &S::Value<V>) {
        // SAFETY: as above.
        let places = unsafe { &mut *self.places.get() };
        self.driven_out.set(self.driven_out.get() + 1);
        // About as long as it takes to look all of them up once more.
        if self.driven_out.get() > places.len().max(FOUND) && places.len() < MOST {
            let many = (4 * places.len()).max(FEWEST);
            *places = (0..many).map(|_| Found { serial: 0, stamp: 0, value: MaybeUninit::uninit() }).collect();
            self.driven_out.set(0);
        }
        self.put(key, stamp, value);
    }
}
