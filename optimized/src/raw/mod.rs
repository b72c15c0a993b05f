//! The unsafe core: counted blocks, the nodes of the map, and the cells that change.

#![allow(unsafe_code, reason = "nodes of variable size and counts that share a word with flags; the bench shows what they gain")]

mod cell;
mod counted;
mod equal;
mod iter;
mod map;
mod node;
mod pool;
mod tags;
mod write;

pub(crate) use cell::{ContextCell, Current};
pub(crate) use counted::{Counted, WeakCounted};
pub use map::{Bindings, Hamt, HamtIter};
