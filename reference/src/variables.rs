//! Variables and tokens: construction, get, set, reset, and the lookup cache.

use contextvars_spec::{CacheEntry, Error, KnownFault, Object, Outcome, Rule, ThreadId, TokenId, Value, VariableId};

use crate::bindings::place;
use crate::machine::{Reference, answer, bound};
use crate::objects::{ContextIndex, Token, Variable};
use crate::programs::Pin;

impl Reference {
    /// VAR-1, VAR-5 (`contextvar_new`).
    pub(crate) fn new_variable(&mut self, name: &str, hash: Option<i64>, default: Option<Value>, variable: VariableId) -> Outcome {
        let hash = hash.unwrap_or(i64::from(variable.0));
        let made = Variable { name: name.into(), default, hash, place: place(hash), cache: None, held: true };
        self.objects.variables.insert(variable, made);
        Outcome::None
    }

    /// GET-1 to GET-5, CACHE-1, CACHE-4, CACHE-5 (`PyContextVar_Get`).
    pub(crate) fn get(&mut self, thread: ThreadId, variable: VariableId, default: Option<Value>) -> Outcome {
        let found = bound!(self.objects.variables.get(&variable));
        let (own_default, cache) = (found.default, found.cache);
        let (current, context_ver) = (self.thread(thread).current, self.thread(thread).context_ver);
        if cache.is_some_and(|cache| (cache.thread, cache.context_ver) != (thread, context_ver)) {
            self.cite(Rule::Cache5);
        }
        let Some(current) = current else {
            self.cite(Rule::Get5);
            return self.get_default(variable, default, own_default);
        };
        match self.objects.contexts[current].bindings.find(variable) {
            Some(value) => {
                self.cite(Rule::Get1);
                self.cite(Rule::Cache1);
                self.fill_cache(thread, variable, value);
                Outcome::Object(value.into())
            }
            None => self.get_default(variable, default, own_default),
        }
    }

    pub(crate) fn get_default(&mut self, variable: VariableId, given: Option<Value>, own: Option<Value>) -> Outcome {
        match (given, own) {
            (Some(value), _) => {
                self.cite(Rule::Get2);
                Outcome::Object(value.into())
            }
            (None, Some(value)) => {
                self.cite(Rule::Get3);
                self.cite(Rule::Cache4);
                Outcome::Object(value.into())
            }
            (None, None) => {
                self.cite(Rule::Get4);
                Outcome::Error(Error::Lookup { variable })
            }
        }
    }

    pub(crate) fn fill_cache(&mut self, thread: ThreadId, variable: VariableId, value: Value) {
        let context_ver = self.thread(thread).context_ver;
        if let Some(variable) = self.objects.variables.get_mut(&variable) {
            variable.cache = Some(CacheEntry { value, thread, context_ver });
        }
    }

    /// SET-1 to SET-5, CACHE-2 (`PyContextVar_Set`).
    pub(crate) fn set(&mut self, thread: ThreadId, variable: VariableId, value: Value, token: TokenId) -> Outcome {
        let context = self.current_or_base(thread, Rule::Set2);
        let old_value = self.objects.contexts[context].bindings.find(variable);
        self.cite(Rule::Set1);
        self.cite(if old_value.is_some() { Rule::Set4 } else { Rule::Set3 });
        if value == Value::Missing {
            self.cite(Rule::Set5);
        }
        let made = Token { context, variable, old_value, used: false, thread };
        // To a finalizer that runs meanwhile the token has no name yet.
        self.objects.pins.push(Pin::Token(made));
        self.bind(thread, context, variable, value);
        self.objects.pins.pop();
        self.objects.tokens.insert(token, made);
        Outcome::None
    }

    /// ORDER-1 to ORDER-3, FINAL-2, CACHE-2, CACHE-6 (`contextvar_set`).
    fn bind(&mut self, thread: ThreadId, context: ContextIndex, variable: VariableId, value: Value) {
        self.empty_cache(variable);
        let place = self.objects.variables.get(&variable).map_or(0, |variable| variable.place);
        self.objects.contexts[context].bindings.bind(variable, place, value);
        self.note_bound(context, variable, value);
        self.cite(Rule::Cache2);
        self.fill_cache(thread, variable, value);
        let before = self.cache_and_stamp(thread, variable);
        if self.finalize(thread) {
            self.cite(Rule::Final2);
            if self.cache_and_stamp(thread, variable) != before {
                self.cite(Rule::Cache6);
                self.meet(KnownFault::StaleCacheAfterReset);
            }
        }
    }

    /// What the variable has cached, and the stamp that a fill would give it now.
    fn cache_and_stamp(&mut self, thread: ThreadId, variable: VariableId) -> (Option<CacheEntry>, u64) {
        let cache = self.objects.variables.get(&variable).and_then(|variable| variable.cache);
        (cache, self.thread(thread).context_ver)
    }

    /// CACHE-3, FINAL-3 (`contextvar_del`).
    fn unbind(&mut self, thread: ThreadId, context: ContextIndex, variable: VariableId) {
        self.cite(Rule::Cache3);
        self.empty_cache(variable);
        self.objects.contexts[context].bindings.unbind(variable);
        self.note_unbound(context, variable);
        if self.finalize(thread) {
            self.cite(Rule::Final3);
        }
    }

    fn empty_cache(&mut self, variable: VariableId) {
        if let Some(variable) = self.objects.variables.get_mut(&variable) {
            variable.cache = None;
        }
    }

    /// RESET-1 (`_contextvars_ContextVar_reset`).
    pub(crate) fn reset_any(&mut self, thread: ThreadId, variable: VariableId, token: Object) -> Outcome {
        match token {
            Object::Token(token) => answer(self.reset(thread, variable, token)),
            _ => self.refuse(Rule::Reset1, Error::TokenExpected { object: token }),
        }
    }

    /// RESET-2 to RESET-9, THREAD-2, THREAD-3, CACHE-3 (`PyContextVar_Reset`).
    pub(crate) fn reset(&mut self, thread: ThreadId, variable: VariableId, token: TokenId) -> Result<(), Error> {
        let Some(&found) = self.objects.tokens.get(&token) else { return Ok(()) };
        if found.used {
            self.cite(Rule::Reset2);
            return Err(Error::TokenUsed { token });
        }
        if found.variable != variable {
            self.cite(Rule::Reset3);
            self.cite(Rule::Reset8);
            return Err(Error::TokenOfOtherVariable { token });
        }
        let context = self.current_or_base(thread, Rule::Reset5);
        if found.context != context {
            self.cite(Rule::Reset4);
            self.cite(Rule::Reset8);
            if found.thread != thread {
                self.cite(Rule::Thread2);
            }
            return Err(Error::TokenOfOtherContext { token });
        }
        if found.thread != thread {
            self.cite(Rule::Thread3);
        }
        self.objects.tokens.insert(token, Token { used: true, ..found });
        match found.old_value {
            Some(value) => {
                self.cite(if value == Value::Missing { Rule::Reset9 } else { Rule::Reset7 });
                self.bind(thread, context, variable, value);
            }
            None => {
                self.cite(Rule::Reset6);
                self.unbind(thread, context, variable);
            }
        }
        Ok(())
    }
}
