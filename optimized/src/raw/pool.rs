//! Small blocks of memory, kept for reuse by the thread that freed them.
//!
//! Contexts, tokens and patches are made and dropped at the rate of tasks. A general allocator takes
//! about as long as all the rest of a copy.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::ptr::NonNull;

/// Blocks are of multiples of this size, and aligned to it.
const STEP: usize = 8;
/// Larger blocks go to the allocator.
const LARGEST: usize = 704;
/// How many blocks of a size a thread keeps: contexts, tokens and patches are small, leaves may be
/// larger. It bounds what a thread keeps at all to half a MiB.
const fn most_kept(size: usize) -> usize {
    if size <= 256 { 64 } else { 8 }
}
/// How many lists there are.
const CLASSES: usize = LARGEST / STEP + 1;
/// Sanitizers and Miri are to see every block come and go.
const REUSES: bool = !cfg!(any(miri, debug_assertions));

/// A block that nobody uses: its first word leads to the next one.
struct Free {
    next: Option<NonNull<Free>>,
}

struct Class {
    first: Cell<Option<NonNull<Free>>>,
    /// How many more are kept. None before the thread has a [`Closing`], and none once that has gone.
    room: Cell<usize>,
}

/// Gives back what a thread keeps when the thread ends.
struct Closing;

thread_local! {
    // Without a `Drop` of their own: they are reached without a look whether they are still there.
    static KEPT: [Class; CLASSES] = const { [const { Class { first: Cell::new(None), room: Cell::new(0) } }; CLASSES] };
    static CLOSING: Closing = const { Closing };
    static OPENED: Cell<bool> = const { Cell::new(false) };
}

fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size.next_multiple_of(STEP), STEP) {
        Ok(layout) => layout,
        Err(_) => handle_alloc_error(Layout::new::<Free>()),
    }
}

/// A block of at least that size, which is not zero, and aligned to eight bytes.
#[inline]
pub(super) fn allocate(size: usize) -> NonNull<u8> {
    if REUSES && size <= LARGEST {
        let reused = KEPT.with(|classes| {
            let class = &classes[size.div_ceil(STEP)];
            let free = class.first.get()?;
            // SAFETY: a block in the list is unused and holds a `Free`.
            class.first.set(unsafe { free.as_ref() }.next);
            class.room.set(class.room.get() + 1);
            Some(free.cast())
        });
        if let Some(block) = reused {
            return block;
        }
    }
    allocate_anew(size)
}

/// Does not unwind, so that callers keep nothing at hand that would have to be dropped then.
#[cold]
#[inline(never)]
extern "C" fn allocate_anew(size: usize) -> NonNull<u8> {
    let layout = layout(size);
    // SAFETY: the size is not zero.
    let block = unsafe { std::alloc::alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Gives a block back.
///
/// # Safety
///
/// It is one that [`allocate`] answered for the same size, and nobody uses it any more.
#[inline]
pub(super) unsafe fn release(block: NonNull<u8>, size: usize) {
    if REUSES && size <= LARGEST {
        let kept = KEPT.with(|classes| {
            let class = &classes[size.div_ceil(STEP)];
            let kept = class.room.get() > 0;
            if kept {
                // SAFETY: the block is unused, and of this class.
                unsafe { class.keep(block) };
            }
            kept
        });
        if kept {
            return;
        }
    }
    // SAFETY: the contract.
    unsafe { release_beyond(block, size) }
}

/// Gives back a block for which there is no room, or not yet.
///
/// # Safety
///
/// As [`release`].
#[cold]
#[inline(never)]
unsafe fn release_beyond(block: NonNull<u8>, size: usize) {
    if REUSES && size <= LARGEST && !OPENED.replace(true) && CLOSING.try_with(|_| ()).is_ok() {
        KEPT.with(|classes| {
            for (steps, class) in classes.iter().enumerate() {
                class.room.set(most_kept(steps * STEP));
            }
            // SAFETY: the block is unused, and of this class, which has room now.
            unsafe { classes[size.div_ceil(STEP)].keep(block) };
        });
        return;
    }
    // SAFETY: the block came from `allocate_anew` with this layout.
    unsafe { std::alloc::dealloc(block.as_ptr(), layout(size)) }
}

impl Class {
    /// Puts a block into the list.
    ///
    /// # Safety
    ///
    /// Nobody uses the block, which is of this class; there is room.
    #[inline]
    unsafe fn keep(&self, block: NonNull<u8>) {
        let free = block.cast::<Free>();
        // SAFETY: the block is unused, large enough and aligned for a `Free`.
        unsafe { free.write(Free { next: self.first.get() }) };
        self.first.set(Some(free));
        self.room.set(self.room.get() - 1);
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        KEPT.with(|classes| {
            for (steps, class) in classes.iter().enumerate() {
                class.room.set(0);
                let mut next = class.first.take();
                while let Some(free) = next {
                    // SAFETY: as in `allocate`; the block is of this class's size.
                    unsafe {
                        next = free.as_ref().next;
                        std::alloc::dealloc(free.as_ptr().cast(), layout(steps * STEP));
                    }
                }
            }
        });
    }
}
