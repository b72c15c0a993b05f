//! The unsafe core: counted blocks, the nodes of the map, and the cells that change.
//!
//! ```text
//!  Context ──► Block ┌ word: strong 31 bits │ weak 30 │ claimed │ marked │ immortal ┐   INVARIANTS 1, 2
//!                    └ ContextCell: lock │ vars │ previous │ owner │ spare          ┘   8, 9, 13, 14
//!                                            │ one count                                4
//!                                            ▼
//!  patch   ┌ count │ len, in_base, removed, moved │ base │ serial+value … │ place … ┐
//!          └──────────────────────────────────────── │ ─────────────────────────────┘       6
//!                                  ┌── one count ────┘
//!                                  ▼
//!  branch  ┌ count │ total, bits │ slot 0 │ slot 1 │ slot 2 │ slot 3 ┐                      5
//!          └──────────────────────── │ ────── │ ────── │ ────── │ ───┘
//!                                    └───┬────┘        ▼        ▼
//!                                        ▼            NULL    leaf or branch
//!  leaf    ┌ count │ len, room │ tag tag tag … 0 │ serial+value … │ place place … ┐         3
//!          └──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! 1. A strong reference has a strong count of its block, or the block is immortal: its value lives.
//! 2. A weak reference has a weak count, and all strong ones together have one: the block lives.
//! 3. A node that is counted lives, and with it what it leads to. Of a leaf (or patch) the first `len`
//!    pairs and places are written, of a leaf in the order of places, equal places in the order of
//!    insertion. A leaf has a tag for each, the lowest byte of the serial; the tags that are left are
//!    zero or old. A leaf has more than 32 entries only if all have one place.
//! 4. A map holds one count of its root.
//! 5. Slots of a branch that lead to one child are an aligned run of a power of two, and hold one count
//!    together; what stands below agrees with the slot in the bits that were decided.
//! 6. A patch stands only at a root; its base is a leaf or a branch. A change is in the base or not as
//!    its bit of `in_base` says; `removed` changes have no value, all others have one.
//! 7. A cursor leads into a map that its holder keeps alive and unchanged.
//! 8. A context's map is written only under its lock, through a thread state whose current context it
//!    is. One that was not made as a base is current in one thread state at most, which reads it
//!    without the lock.
//! 9. What was current before a context is touched only by who claimed it, or drops it.
//! 10. No reference to a thread state's current context is left when user code runs.
//! 11. The loans of a thread state are those of running calls, innermost first.
//! 12. A remembered value whose stamp is the current one is bound in the current context.
//! 13. Spare references to a context are counted and accounted for by one thread, which has it entered,
//!     and no base entered over it.
//! 14. A lock that holds an address and a number: so many counts of that root, which is the map's, are
//!     nobody's, and whoever lowers the number has one. The map is not written meanwhile.
//! 15. Counts at hand are of the root of a context that a thread state of this thread has claimed. No base
//!     is entered over it, and its map not written since they were taken.
//!
//! A node whose count is one is the caller's own, and changed in place; any other is copied first.
//! User code (a value's `drop`, or equality) runs only where all of this holds.

#![allow(unsafe_code, reason = "nodes of variable size and counts that share a word with flags; the bench shows what they gain")]

mod at_hand;
mod cell;
mod columns;
mod counted;
mod current;
mod equal;
mod free;
mod further;
mod in_place;
mod iter;
mod lend;
mod map;
mod node;
mod pool;
mod tags;
mod write;

pub(crate) use at_hand::AtHand;
pub(crate) use cell::{ContextCell, TokenContext};
pub(crate) use counted::{Counted, WeakCounted};
pub(crate) use current::Current;
pub use iter::{Bindings, HamtIter};
pub use map::Hamt;
