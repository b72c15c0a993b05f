#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cache;
mod context;
mod error;
mod hamt;
mod thread_state;
mod token;
mod variable;
mod watchers;

pub use context::{Context, Iter, WeakContext};
pub use error::{EnterError, ExitError, LookupError, ResetError, RunError, WatcherError};
pub use hamt::{Hamt, HamtIter};
pub use thread_state::ThreadState;
pub use token::Token;
pub use variable::{ContextVar, VarId, fold_hash};
pub use watchers::Watchers;
