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
/// Sanitizers and Miri are to see every block come and go.
const REUSES: bool = !cfg!(any(miri, debug_assertions));

/// A block that nobody uses: its first word leads to the next one.
struct Free {
    next: Option<NonNull<Free>>,
}

struct Class {
    first: Cell<Option<NonNull<Free>>>,
    kept: Cell<usize>,
}

struct Pool {
    classes: [Class; LARGEST / STEP + 1],
}

thread_local! {
    static POOL: Pool = const { Pool { classes: [const { Class { first: Cell::new(None), kept: Cell::new(0) } }; LARGEST / STEP + 1] } };
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
        let reused = POOL.try_with(|pool| {
            let class = &pool.classes[size.div_ceil(STEP)];
            let free = class.first.get()?;
            // SAFETY: a block in the list is unused and holds a `Free`.
            class.first.set(unsafe { free.as_ref() }.next);
            class.kept.set(class.kept.get() - 1);
            Some(free.cast())
        });
        if let Ok(Some(block)) = reused {
            return block;
        }
    }
    allocate_anew(size)
}

#[cold]
#[inline(never)]
fn allocate_anew(size: usize) -> NonNull<u8> {
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
        let kept = POOL.try_with(|pool| {
            let class = &pool.classes[size.div_ceil(STEP)];
            if class.kept.get() == most_kept(size) {
                return false;
            }
            let free = block.cast::<Free>();
            // SAFETY: the block is unused, large enough and aligned for a `Free`.
            unsafe { free.write(Free { next: class.first.get() }) };
            class.first.set(Some(free));
            class.kept.set(class.kept.get() + 1);
            true
        });
        if kept == Ok(true) {
            return;
        }
    }
    // SAFETY: the block came from `allocate_anew` with this layout.
    unsafe { std::alloc::dealloc(block.as_ptr(), layout(size)) }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (steps, class) in self.classes.iter().enumerate() {
            let mut next = class.first.take();
            while let Some(free) = next {
                // SAFETY: as in `allocate`; the block is of this class's size.
                unsafe {
                    next = free.as_ref().next;
                    std::alloc::dealloc(free.as_ptr().cast(), layout(steps * STEP));
                }
            }
        }
    }
}
