//! The thread state: the current context, its version, and the operations on variables.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::cache::Cache;
use crate::context::Context;
use crate::error::{EnterError, ExitError, LookupError, ResetError, RunError};
use crate::token::Token;
use crate::variable::ContextVar;
use crate::watchers::Watchers;

/// What a thread knows of contexts (the context part of CPython's `PyThreadState`). Values may call
/// back into it from `Drop`: no borrow is out and no update half done when a value goes.
///
/// Dropping it leaves contexts that are entered on it entered for ever (THREAD-5).
pub struct ThreadState<V> {
    current: RefCell<Option<Context<V>>>,
    context_ver: Cell<u64>,
    cache: Cache<V>,
    watchers: Rc<Watchers<V>>,
}

impl<V> ThreadState<V> {
    /// A thread without a current context (THREAD-1).
    #[must_use]
    pub fn new() -> Self {
        Self::with_watchers(Rc::default())
    }

    /// A thread without a current context that tells its switches to shared watchers.
    #[must_use]
    pub fn with_watchers(watchers: Rc<Watchers<V>>) -> Self {
        Self { current: RefCell::new(None), context_ver: Cell::new(1), cache: Cache::new(), watchers }
    }

    /// The number of enters and exits, from 1, modulo 2^64 (VER-1, VER-3).
    #[must_use]
    pub fn context_ver(&self) -> u64 {
        self.context_ver.get()
    }

    /// Overwrites the version, so that its wrap-around can be reached; the cache is emptied.
    pub fn set_context_ver(&self, context_ver: u64) {
        self.context_ver.set(context_ver);
        self.cache.clear();
    }

    /// The current context; absent before anything needed one.
    #[must_use]
    pub fn current(&self) -> Option<Context<V>> {
        self.current.borrow().clone()
    }

    /// The current context, made where there is none: no version changes, no watcher is called
    /// (SET-2, `context_get`).
    #[must_use]
    pub fn current_or_base(&self) -> Context<V> {
        self.current.borrow_mut().get_or_insert_with(Context::new).clone()
    }

    /// A copy of the current context (COPY-2, COPY-3, `PyContext_CopyCurrent`). Constant time.
    #[must_use]
    pub fn copy_context(&self) -> Context<V> {
        self.current_or_base().copy()
    }

    /// The value in the current context (GET-1, GET-5, `PyContextVar_Get`), without any default.
    #[must_use]
    pub fn find(&self, variable: &ContextVar<V>) -> Option<Arc<V>> {
        let (key, context_ver) = (variable.id(), self.context_ver.get());
        if let Some(value) = self.cache.find(key, context_ver) {
            return Some(value);
        }
        let value = self.current.borrow().as_ref()?.find(key)?;
        self.cache.fill(key, context_ver, Arc::clone(&value));
        Some(value)
    }

    /// The value in the current context, else the variable's default (GET-1, GET-3).
    ///
    /// # Errors
    ///
    /// [`LookupError`] where there is neither (GET-4).
    pub fn get(&self, variable: &ContextVar<V>) -> Result<Arc<V>, LookupError> {
        self.find(variable).or_else(|| variable.default().cloned()).ok_or(LookupError)
    }

    /// The value in the current context, else the default given (GET-1, GET-2).
    #[must_use]
    pub fn get_or(&self, variable: &ContextVar<V>, default: Arc<V>) -> Arc<V> {
        self.find(variable).unwrap_or(default)
    }

    /// Binds a variable in the current context (SET-1 to SET-4, `PyContextVar_Set`).
    pub fn set(&self, variable: &ContextVar<V>, value: V) -> Token<V> {
        self.set_shared(variable, Arc::new(value))
    }

    /// Binds a variable to a value that is shared already.
    pub fn set_shared(&self, variable: &ContextVar<V>, value: Arc<V>) -> Token<V> {
        let context = self.current_or_base();
        let old = context.assoc(variable.id(), Arc::clone(&value));
        let token = Token::new(context, variable.clone(), old);
        self.cache.fill(variable.id(), self.context_ver.get(), value);
        token
    }

    /// Undoes a set (RESET-2 to RESET-9, `PyContextVar_Reset`). A refused reset leaves the token
    /// unused, but makes the base context where the checks came as far as the token's (RESET-5).
    ///
    /// # Errors
    ///
    /// [`ResetError`], in the order of its variants.
    pub fn reset(&self, variable: &ContextVar<V>, token: &Token<V>) -> Result<(), ResetError> {
        if token.is_used() {
            return Err(ResetError::Used);
        }
        if token.var() != variable {
            return Err(ResetError::DifferentVariable);
        }
        let context = self.current_or_base();
        if !context.ptr_eq(token.context()) {
            return Err(ResetError::DifferentContext);
        }
        if !token.take() {
            return Err(ResetError::Used);
        }
        let key = variable.id();
        let replaced = match token.old_value() {
            Some(value) => {
                let replaced = context.assoc(key, Arc::clone(value));
                self.cache.fill(key, self.context_ver.get(), Arc::clone(value));
                replaced
            }
            None => {
                let removed = context.without(key);
                self.cache.forget(key);
                removed
            }
        };
        drop(replaced);
        Ok(())
    }

    /// Makes a context current (ENTER-1, `PyContext_Enter`).
    ///
    /// # Errors
    ///
    /// [`EnterError`] where any thread state has it entered (ENTER-3).
    pub fn enter(&self, context: &Context<V>) -> Result<(), EnterError> {
        let previous = self.current();
        context.enter_over(previous.as_ref())?;
        self.switch(Some(context.clone()));
        Ok(())
    }

    /// Makes current again what was before the context was entered (EXIT-1, `PyContext_Exit`).
    ///
    /// # Errors
    ///
    /// [`ExitError`], in the order of its variants.
    pub fn exit(&self, context: &Context<V>) -> Result<(), ExitError> {
        let current = self.current();
        let previous = context.exit_from(current.as_ref())?;
        self.switch(previous);
        Ok(())
    }

    fn switch(&self, current: Option<Context<V>>) {
        self.context_ver.set(self.context_ver.get().wrapping_add(1));
        let left = self.current.replace(current);
        self.cache.clear();
        drop(left);
        self.watchers.tell(self.current().as_ref());
    }

    /// Calls a function in a context (RUN-1 to RUN-8, `context_run`); a panic leaves after the exit.
    ///
    /// # Errors
    ///
    /// [`RunError::Enter`] where the context is entered, [`RunError::Exit`] where the function left
    /// another context current or exited this one: its result is lost then, as in CPython.
    pub fn run<R>(&self, context: &Context<V>, function: impl FnOnce() -> R) -> Result<R, RunError> {
        struct Leave<'a, V>(&'a ThreadState<V>, Option<&'a Context<V>>);
        impl<V> Drop for Leave<'_, V> {
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

impl<V> Default for ThreadState<V> {
    fn default() -> Self {
        Self::new()
    }
}
