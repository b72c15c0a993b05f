//! Which situations of CPython's hash array mapped trie the traces of a run met.
//!
//! The rules do not speak of the trie, since no rule depends on its shape; faults of implementations
//! do. So the maps of a trace, as the reference model changes them, are built again as CPython would
//! build them, and what happens to their nodes is counted.

mod follower;
mod situations;
mod trie;

pub use follower::Follower;
pub use situations::{Met, Situation};
pub use trie::Trie;
