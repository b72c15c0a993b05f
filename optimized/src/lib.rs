#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod context;
mod error;
mod raw;
mod sharing;
mod thread_state;
mod token;
mod variable;
mod watchers;

pub use context::{Context, Iter, WeakContext};
pub use error::{EnterError, ExitError, LookupError, ResetError, RunError, WatcherError};
pub use raw::{Bindings, Hamt, HamtIter};
pub use sharing::{Confined, Shared, Sharing};
pub use thread_state::ThreadState;
pub use token::Token;
pub use variable::{ContextVar, VarId, fold_hash};
pub use watchers::Watchers;
