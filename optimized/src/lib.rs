#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod context;
mod error;
mod raw;
#[macro_use]
mod sharing;
#[cfg(loom)]
mod explored;
mod thread_state;
mod token;
mod variable;
mod watchers;

pub use context::{Context, Iter, WeakContext};
pub use error::{EnterError, ExitError, LookupError, ResetError, RunError, WatcherError};
#[cfg(loom)]
pub use explored::Explored;
pub use raw::{Bindings, Hamt, HamtIter};
pub use sharing::{Confined, Shared, Sharing};
pub use thread_state::ThreadState;
pub use token::Token;
pub use variable::{ContextVar, VarId, fold_hash};
pub use watchers::Watchers;
