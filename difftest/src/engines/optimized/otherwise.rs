//! The library asked in its other ways: what lends, what takes a value of one's own, and what has no operation
//! of its own in a trace.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use contextvars_optimized::{Context, ContextVar, Sharing, ThreadState};
use contextvars_spec::{Action, ContextId, Error, Exception, Object, Outcome, TokenId, Value, VariableId};

use super::programs::Held;
use super::{Session, Thread, bound, enter_error, found, put};

impl<S: Sharing> Session<S> {
    /// As [`Self::get`], by what the library has besides: a value that is lent, and a lookup without defaults.
    pub(super) fn get_lent(&self, thread: &Thread<S>, id: VariableId, default: Option<Value>) -> Outcome {
        let (variable, state) = (bound!(found(&self.variables, id)), thread.state());
        let found = match default {
            Some(default) => Some(state.find(&variable).map_or(default, |held| held.value())),
            None => {
                // A finalizer would run at another moment, and see it.
                let is_tried = !self.programs.any() && state.find(&variable).is_some();
                state.with(&variable, |held| if is_tried { self.lent(&state, &variable, held) } else { held.value() }).ok()
            }
        };
        found.map_or(Outcome::NotFound, |value| Outcome::Object(value.into()))
    }

    /// The value of a variable that is lent, read when its binding has gone for a while and its memory is
    /// used anew. Only constants are of no one object, so that they can be bound again.
    fn lent(&self, state: &ThreadState<Held<S>, S>, variable: &ContextVar<Held<S>, S>, held: &Held<S>) -> Value {
        let value = held.value();
        let other = match value {
            Value::None => Value::Missing,
            Value::Missing => Value::None,
            Value::Made(_) => return value,
        };
        self.write_elsewhere(state, variable);
        drop(state.set_shared(variable, self.constants[0].clone()));
        let in_its_place = S::value(Held::<S>::constant(other, &self.lives));
        let read = held.value();
        drop(in_its_place);
        drop(state.set(variable, Held::constant(value, &self.lives)));
        read
    }

    /// Binds a variable in another context, which is current meanwhile. Nobody is told, nor can tell.
    fn write_elsewhere(&self, state: &ThreadState<Held<S>, S>, variable: &ContextVar<Held<S>, S>) {
        let (context_ver, told) = (state.context_ver(), self.events.take());
        let switched = state.run(&Context::default(), || drop(state.set_shared(variable, self.constants[1].clone())));
        debug_assert!(switched.is_ok(), "nobody else has the context");
        state.set_context_ver(context_ver);
        self.events.replace(told);
    }

    /// As [`Self::set`], by what the library has besides: a value that nobody else holds yet.
    pub(super) fn set_owned(&self, thread: &Thread<S>, variable: VariableId, value: Value, token: TokenId) -> Outcome {
        if let Value::Made(_) = value {
            return self.set(thread, variable, value, token);
        }
        let made = thread.state().set(&bound!(found(&self.variables, variable)), Held::constant(value, &self.lives));
        put(&self.tokens, token, made);
        Outcome::None
    }

    /// Enters a context, of which the library says before whether it can be entered.
    pub(super) fn enter_foreseen(thread: &Thread<S>, context: &Context<Held<S>, S>, name: ContextId) -> Outcome {
        let is_entered = context.is_entered();
        match thread.state().enter(context) {
            Ok(()) if !is_entered => Outcome::None,
            Err(error) if is_entered => Outcome::Error(enter_error(error, name)),
            _ => Outcome::Count(0),
        }
    }

    /// `!=`, which the library has too where no value raises: `PartialEq` of contexts.
    pub(super) fn not_equal(&self, left: Object, right: Object) -> Result<bool, Error> {
        let equal = self.equal(left, right)?;
        if let (false, Object::Context(left), Object::Context(right)) = (self.programs.any(), left, right) {
            return Ok(self.context(left) != self.context(right));
        }
        Ok(!equal)
    }

    /// Most of Python's surface has no counterpart; what switches contexts does it here too.
    pub(super) fn attempt(&self, thread: &Thread<S>, action: Action, object: Object) -> Outcome {
        let Object::Context(name) = object else { return Outcome::Unsupported };
        let context = bound!(self.context(name));
        match action {
            Action::Truth if context.is_empty() != context.vars().is_empty() => Outcome::Count(0),
            Action::Truth => Outcome::Bool(!context.is_empty()),
            Action::RunWithKeywords => match thread.state().run(&context, || 2) {
                Ok(count) => Outcome::Count(count),
                Err(_) => Outcome::Error(Error::AlreadyEntered { context: name }),
            },
            // What raises in Python panics in Rust.
            Action::RunNotCallable => {
                let state = thread.state();
                match catch_unwind(AssertUnwindSafe(|| state.run(&context, || resume_unwind(Box::new(()))))) {
                    Ok(Err(_)) => Outcome::Error(Error::AlreadyEntered { context: name }),
                    Ok(Ok(())) => Outcome::None,
                    Err(_) => Outcome::Error(Error::Unspecified { exception: Exception::TypeError }),
                }
            }
            _ => Outcome::Unsupported,
        }
    }
}
