//! The errors, in CPython's order of checks.

use thiserror::Error;

/// A variable has no value in the current context, and no default (GET-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the variable has no value in the current context and no default; set it or give a default")]
pub struct LookupError;

/// A context cannot be entered (ENTER-3, `PyContext_Enter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the context is already entered; exit it first or enter a copy")]
pub struct EnterError;

/// A context cannot be exited (`PyContext_Exit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ExitError {
    /// EXIT-3.
    #[error("the context has not been entered; enter it first")]
    NotEntered,
    /// EXIT-4.
    #[error("the thread state's current context is a different one; exit that one first")]
    NotCurrent,
}

/// A token cannot be used (`PyContextVar_Reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResetError {
    /// RESET-2.
    #[error("the token has already been used once; keep a token for each set")]
    Used,
    /// RESET-3.
    #[error("the token was created by a different variable; reset that one")]
    DifferentVariable,
    /// RESET-4.
    #[error("the token was created in a different context; reset where it was set")]
    DifferentContext,
}

/// A function could not be run in a context, or the context not be left (`context_run`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RunError {
    /// RUN-3: the function has not been called.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// RUN-7, RUN-8: the function was called, and its result is lost.
    #[error(transparent)]
    Exit(#[from] ExitError),
}

/// A watcher cannot be added or cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WatcherError {
    /// WATCH-3.
    #[error("all eight context watchers are taken; clear one first")]
    NoneFree,
    /// WATCH-5.
    #[error("`{0}` is not the identifier of a context watcher; give one from 0 to 7")]
    OutOfRange(i32),
    /// WATCH-6.
    #[error("no context watcher has the identifier `{0}`; give one that `add` answered")]
    NotSet(i32),
}
