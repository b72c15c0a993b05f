//! The entries of a leaf or a patch: how they lie side by side, and how one is found.

use super::tags;
use crate::variable::VarId;

/// What stands in a leaf (of a patch: with a value that may be absent).
#[repr(C)]
pub(super) struct Pair<T> {
    pub(super) serial: u64,
    pub(super) value: T,
}

/// Bytes for so many tags. They are compared sixteen at a time, the last of them together with what
/// stands in the first pair.
pub(super) const fn tag_room(room: usize) -> usize {
    (room + 7) & !7
}

/// Where tags, pairs and places stand, each `room` many, after a head. A patch has no tags.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) start: *mut u8,
    pub(super) tag_room: usize,
    pub(super) room: usize,
}

/// What pair and place of an entry take.
pub(super) const ENTRY: usize = size_of::<Pair<usize>>() + size_of::<u32>();

impl Columns {
    #[inline]
    pub(super) fn tags(self) -> *mut u8 {
        self.start
    }

    #[inline]
    pub(super) fn pairs<T>(self) -> *mut Pair<T> {
        const { assert!(size_of::<Pair<T>>() == 16 && align_of::<Pair<T>>() == 8, "a value is a pointer") };
        self.start.wrapping_add(self.tag_room).cast()
    }

    #[inline]
    pub(super) fn places(self) -> *mut u32 {
        self.start.wrapping_add(self.tag_room + self.room * size_of::<Pair<usize>>()).cast()
    }

    /// The position of a serial among the first `len`.
    ///
    /// # Safety
    ///
    /// The columns have tags; so many tags and pairs are written, and the rest of the tags is
    /// initialized.
    #[inline]
    pub(super) unsafe fn find<T>(self, len: usize, serial: u64) -> Option<usize> {
        let mut from = 0;
        while from < len {
            // SAFETY: of the width, half is within the room for tags, and the rest too or in the serial of
            // the first pair, which is written.
            let mut found = tags::positions(unsafe { &*self.tags().add(from).cast() }, serial as u8);
            while found != 0 {
                let at = from + found.trailing_zeros() as usize;
                if at >= len {
                    return None;
                }
                // SAFETY: the position is below `len`.
                if unsafe { (*self.pairs::<T>().add(at)).serial } == serial {
                    return Some(at);
                }
                found &= found - 1;
            }
            from += tags::WIDTH;
        }
        None
    }

    /// Writes an entry at a position.
    ///
    /// # Safety
    ///
    /// The position is within the room, and what stood there is moved or gone.
    #[inline]
    pub(super) unsafe fn write<T>(self, at: usize, key: VarId, value: T) {
        // SAFETY: the contract.
        unsafe {
            if self.tag_room > 0 {
                self.tags().add(at).write(key.serial() as u8);
            }
            self.pairs::<T>().add(at).write(Pair { serial: key.serial(), value });
            self.places().add(at).write(key.place());
        }
    }

    /// Copies entries bit by bit; whoever calls sees to the values' counts.
    ///
    /// # Safety
    ///
    /// `many` entries from `from` are written there, and there is room for as many from `to` here; both
    /// have tags, or neither.
    #[inline]
    pub(super) unsafe fn copy<T>(self, to: usize, other: Self, from: usize, many: usize) {
        // SAFETY: the contract; within one node the columns are moved, so that they may overlap.
        unsafe {
            if self.tag_room > 0 {
                std::ptr::copy(other.tags().add(from), self.tags().add(to), many);
            }
            std::ptr::copy(other.pairs::<T>().add(from), self.pairs::<T>().add(to), many);
            std::ptr::copy(other.places().add(from), self.places().add(to), many);
        }
    }

    /// The key at a position.
    ///
    /// # Safety
    ///
    /// An entry is written there.
    #[inline]
    pub(super) unsafe fn key<T>(self, at: usize) -> VarId {
        // SAFETY: the contract.
        unsafe { VarId::of((*self.pairs::<T>().add(at)).serial, *self.places().add(at)) }
    }
}
