//! The thread state: the current context, its version, and the operations on variables.

use std::cell::Cell;
use std::rc::Rc;

use crate::context::Context;
use crate::error::{EnterError, ExitError, LookupError, ResetError, RunError};
use crate::raw::Current;
use crate::sharing::{Shared, Sharing};
use crate::token::Token;
use crate::variable::ContextVar;
use crate::watchers::Watchers;

/// What a thread knows of contexts (the context part of CPython's `PyThreadState`). Values may call
/// back into it from `Drop`: no borrow is out and no update half done when a value goes.
///
/// Dropping it leaves contexts that are entered on it entered for ever (THREAD-5).
pub struct ThreadState<V, S: Sharing = Shared> {
    current: Current<V, S>,
    context_ver: Cell<u64>,
    watchers: Rc<Watchers<V, S>>,
}

impl<V> ThreadState<V> {
    /// A thread without a current context (THREAD-1). [`ThreadState::default`] makes a confined one,
    /// too.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<V, S: Sharing> ThreadState<V, S> {
    /// A thread without a current context that tells its switches to shared watchers.
    #[must_use]
    pub fn with_watchers(watchers: Rc<Watchers<V, S>>) -> Self {
        Self { current: Current::new(), context_ver: Cell::new(1), watchers }
    }

    /// The number of enters and exits, from 1, modulo 2^64 (VER-1, VER-3).
    #[must_use]
    pub fn context_ver(&self) -> u64 {
        self.context_ver.get()
    }

    /// Overwrites the version, so that its wrap-around can be reached.
    pub fn set_context_ver(&self, context_ver: u64) {
        self.context_ver.set(context_ver);
    }

    /// The current context; absent before anything needed one.
    #[must_use]
    pub fn current(&self) -> Option<Context<V, S>> {
        self.current.get()
    }

    /// The current context, made where there is none: no version changes, no watcher is called
    /// (SET-2, `context_get`).
    #[must_use]
    pub fn current_or_base(&self) -> Context<V, S> {
        self.current.with_context(Context::clone)
    }

    /// A copy of the current context (COPY-2, COPY-3, `PyContext_CopyCurrent`). Constant time, but for
    /// what the writes since the last copy have put off.
    #[must_use]
    #[inline]
    pub fn copy_context(&self) -> Context<V, S> {
        self.current.copy()
    }

    /// Calls a function with the value in the current context, else with the variable's default
    /// (GET-1, GET-3), which is lent: nothing is counted. The function may do whatever it likes,
    /// also bind the variable anew.
    ///
    /// # Errors
    ///
    /// [`LookupError`] where there is neither (GET-4); the function is not called then.
    #[inline]
    pub fn with<R>(&self, variable: &ContextVar<V, S>, function: impl FnOnce(&V) -> R) -> Result<R, LookupError> {
        self.current.with(variable.id(), |value| {
            let value = value.or_else(|| variable.default().map(|default| &**default));
            value.map(function).ok_or(LookupError)
        })
    }

    /// The value in the current context (GET-1, GET-5, `PyContextVar_Get`), without any default.
    #[must_use]
    #[inline]
    pub fn find(&self, variable: &ContextVar<V, S>) -> Option<S::Value<V>> {
        self.current.find(variable.id())
    }

    /// The value in the current context, else the variable's default (GET-1, GET-3).
    ///
    /// # Errors
    ///
    /// [`LookupError`] where there is neither (GET-4).
    pub fn get(&self, variable: &ContextVar<V, S>) -> Result<S::Value<V>, LookupError> {
        self.find(variable).or_else(|| variable.default().cloned()).ok_or(LookupError)
    }

    /// The value in the current context, else the default given (GET-1, GET-2).
    #[must_use]
    pub fn get_or(&self, variable: &ContextVar<V, S>, default: S::Value<V>) -> S::Value<V> {
        self.find(variable).unwrap_or(default)
    }

    /// Binds a variable in the current context (SET-1 to SET-4, `PyContextVar_Set`).
    #[inline]
    pub fn set(&self, variable: &ContextVar<V, S>, value: V) -> Token<V, S> {
        self.set_shared(variable, S::value(value))
    }

    /// Binds a variable to a value that is shared already.
    #[inline]
    pub fn set_shared(&self, variable: &ContextVar<V, S>, value: S::Value<V>) -> Token<V, S> {
        self.current.assoc(variable.id(), value, |context, old| Token::new(self.current.token_context(context), variable.clone(), old))
    }

    /// Undoes a set (RESET-2 to RESET-9, `PyContextVar_Reset`). A refused reset leaves the token
    /// unused, but makes the base context where the checks came as far as the token's (RESET-5).
    ///
    /// # Errors
    ///
    /// [`ResetError`], in the order of its variants.
    pub fn reset(&self, variable: &ContextVar<V, S>, token: &Token<V, S>) -> Result<(), ResetError> {
        if token.is_used() {
            return Err(ResetError::Used);
        }
        if token.var() != variable {
            return Err(ResetError::DifferentVariable);
        }
        if !self.current.with_context(|context| context.ptr_eq(token.context())) {
            return Err(ResetError::DifferentContext);
        }
        if !token.take() {
            return Err(ResetError::Used);
        }
        let replaced = match token.old_value() {
            Some(value) => self.current.assoc(variable.id(), value.clone(), |_, replaced| replaced),
            None => self.current.without(variable.id()),
        };
        drop(replaced);
        Ok(())
    }

    /// Makes a context current (ENTER-1, `PyContext_Enter`).
    ///
    /// # Errors
    ///
    /// [`EnterError`] where any thread state has it entered (ENTER-3).
    #[inline]
    pub fn enter(&self, context: &Context<V, S>) -> Result<(), EnterError> {
        self.current.enter(context).ok_or(EnterError)?;
        self.tell_switch();
        Ok(())
    }

    /// Makes current again what was before the context was entered (EXIT-1, `PyContext_Exit`).
    ///
    /// # Errors
    ///
    /// [`ExitError`], in the order of its variants.
    #[inline]
    pub fn exit(&self, context: &Context<V, S>) -> Result<(), ExitError> {
        self.current.exit(context)?;
        self.tell_switch();
        Ok(())
    }

    #[inline]
    fn tell_switch(&self) {
        self.context_ver.set(self.context_ver.get().wrapping_add(1));
        if !self.watchers.is_empty() {
            self.tell_watchers();
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_watchers(&self) {
        self.watchers.tell(self.current().as_ref());
    }

    /// Calls a function in a context (RUN-1 to RUN-8, `context_run`); a panic leaves after the exit.
    ///
    /// # Errors
    ///
    /// [`RunError::Enter`] where the context is entered, [`RunError::Exit`] where the function left
    /// another context current or exited this one: its result is lost then, as in CPython.
    pub fn run<R>(&self, context: &Context<V, S>, function: impl FnOnce() -> R) -> Result<R, RunError> {
        struct Leave<'a, V, S: Sharing>(&'a ThreadState<V, S>, Option<&'a Context<V, S>>);
        impl<V, S: Sharing> Drop for Leave<'_, V, S> {
            fn drop(&mut self) {
                if let Some(context) = self.1 {
                    // The function panicked: that is what the caller hears of.
                    let _ = self.0.exit(context);
                }
            }
        }
        self.enter(context)?;
        let mut leave = Leave(self, Some(context));
        let result = function();
        leave.1 = None;
        self.exit(context)?;
        Ok(result)
    }
}

impl<V, S: Sharing> Default for ThreadState<V, S> {
    fn default() -> Self {
        Self::with_watchers(Rc::default())
    }
}
