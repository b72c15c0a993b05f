//! The machine: one function an operation, each headed by the rules that it implements.

use contextvars_spec::{
    Answer, CacheEntry, ContextId, CurrentContext, Engine, EngineError, Error, Event, Identity, Object, Observation, Observe,
    ObservedContext, ObservedToken, Operation, Outcome, Rule, RuleSet, Run, Step, ThreadId, TokenId, Value, VariableId, Version,
};

use crate::bindings::place;
use crate::journal::MapChange;
use crate::objects::{Context, ContextIndex, Frame, Iterator, Objects, Thread, Token, Variable, View, Watcher};

/// The reference model. It answers single steps, so that a generator can work from its state, and
/// whole traces as an [`Engine`].
#[derive(Debug)]
pub struct Reference {
    pub(crate) objects: Objects,
    rules: RuleSet,
    events: Vec<Event>,
    pub(crate) journal: Option<Vec<MapChange>>,
}

impl Default for Reference {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers `Skipped` where a handle is not bound.
macro_rules! bound {
    ($found:expr) => {
        match $found {
            Some(found) => found,
            None => return Outcome::Skipped,
        }
    };
}

impl From<CurrentName> for CurrentContext {
    fn from(CurrentName(name): CurrentName) -> Self {
        match name {
            None => Self::Null,
            Some(None) => Self::Unnamed,
            Some(Some(context)) => Self::Named(context),
        }
    }
}

struct CurrentName(Option<Option<ContextId>>);

fn answer(result: Result<(), Error>) -> Outcome {
    result.map_or_else(Outcome::Error, |()| Outcome::None)
}

impl Reference {
    /// A fresh state: one thread, no current context.
    #[must_use]
    pub fn new() -> Self {
        let mut objects = Objects::default();
        objects.threads.insert(ThreadId::MAIN, Thread::new());
        Self { objects, rules: RuleSet::default(), events: Vec::new(), journal: None }
    }

    /// The rules that the answers so far exercised.
    #[must_use]
    pub fn rules(&self) -> RuleSet {
        self.rules
    }

    /// The thread's current context, if the trace has a name for it.
    #[must_use]
    pub fn current(&self, thread: ThreadId) -> Option<ContextId> {
        self.objects.contexts[self.objects.threads.get(&thread)?.current?].name
    }

    /// How many `Context.run` are open on the thread.
    #[must_use]
    pub fn open_runs(&self, thread: ThreadId) -> usize {
        self.objects.threads.get(&thread).map_or(0, |thread| thread.frames.len())
    }

    /// The variable that made the token.
    #[must_use]
    pub fn token_variable(&self, token: TokenId) -> Option<VariableId> {
        self.objects.tokens.get(&token).map(|token| token.variable)
    }

    /// Answers one step.
    pub fn step(&mut self, step: &Step) -> Answer {
        let outcome =
            if self.objects.threads.contains_key(&step.thread) { self.operate(step.thread, &step.operation) } else { Outcome::Skipped };
        Answer { outcome, events: std::mem::take(&mut self.events) }
    }

    /// Every context and token that the trace holds.
    #[must_use]
    pub fn observe(&self) -> Observation {
        let contexts = self
            .objects
            .names
            .iter()
            .map(|(&context, &index)| ObservedContext { context, bindings: self.objects.contexts[index].bindings.in_order() });
        let tokens = self.objects.tokens.iter().map(|(&id, token)| ObservedToken {
            token: id,
            variable: token.variable,
            old_value: token.old_value.unwrap_or(Value::Missing),
            used: token.used,
        });
        Observation { contexts: contexts.collect(), tokens: tokens.collect() }
    }

    pub(crate) fn cite(&mut self, rule: Rule) {
        self.rules.insert(rule);
    }

    fn operate(&mut self, thread: ThreadId, operation: &Operation) -> Outcome {
        match *operation {
            Operation::Value { equality, name } => {
                self.objects.values.insert(name, equality);
                Outcome::None
            }
            Operation::ContextVar { ref name, hash, default, variable } => {
                self.cite(Rule::Var1);
                self.new_variable(name, hash, default, variable)
            }
            Operation::CapiVarNew { ref name, default, variable } => {
                self.cite(Rule::Capi4);
                self.new_variable(name, None, default, variable)
            }
            Operation::VarGet { variable, default } => self.get(thread, variable, default),
            Operation::VarSet { variable, value, token } => self.set(thread, variable, value, token),
            Operation::VarReset { variable, token } => self.reset_any(thread, variable, token),
            Operation::VarName { variable } => {
                let name = bound!(self.variable(variable)).name.clone();
                self.cite(Rule::Var6);
                Outcome::Text(name)
            }
            Operation::TokenVar { token } => {
                let found = *bound!(self.objects.tokens.get(&token));
                self.cite(Rule::Token1);
                self.cite_used(found);
                Outcome::Object(Object::Variable(found.variable))
            }
            Operation::TokenOldValue { token } => {
                let found = *bound!(self.objects.tokens.get(&token));
                self.cite(if found.old_value.is_some() { Rule::Token2 } else { Rule::Token3 });
                self.cite_used(found);
                Outcome::Object(found.old_value.unwrap_or(Value::Missing).into())
            }
            Operation::TokenEnter { token } => {
                bound!(self.objects.tokens.get(&token));
                self.cite(Rule::Token14);
                Outcome::Object(Object::Token(token))
            }
            Operation::TokenExit { token } => {
                let variable = bound!(self.objects.tokens.get(&token)).variable;
                self.cite(Rule::Token15);
                answer(self.reset(thread, variable, token))
            }
            Operation::Context { context } => {
                self.cite(Rule::Context1);
                self.name_context(context, Context::default())
            }
            Operation::CapiNew { context } => {
                self.cite(Rule::Capi1);
                self.name_context(context, Context::default())
            }
            Operation::CopyContext { context } => {
                self.cite(Rule::Copy2);
                self.copy_current(thread, context)
            }
            Operation::CapiCopyCurrent { context } => {
                self.cite(Rule::Capi3);
                self.copy_current(thread, context)
            }
            Operation::ContextCopy { source, context } => {
                let source = bound!(self.context(source));
                self.copy(source, context)
            }
            Operation::CapiCopy { source, context } => match source {
                Object::Context(source) => {
                    let source = bound!(self.context(source));
                    self.copy(source, context)
                }
                _ => self.refuse(source, Rule::Capi2, Error::CapiContextExpected),
            },
            Operation::Run { context } => self.run_begin(thread, context),
            Operation::Return {} => self.run_end(thread, Outcome::None),
            Operation::Raise {} => {
                let outcome = self.run_end(thread, Outcome::Error(Error::Raised));
                if outcome == Outcome::Error(Error::Raised) {
                    self.cite(Rule::Run4);
                }
                outcome
            }
            Operation::GetItem { context, key } => self.look_up(context, key, |model, variable, found| match found {
                Some(value) => {
                    model.cite(Rule::Map1);
                    Outcome::Object(value.into())
                }
                None => {
                    model.cite(Rule::Map2);
                    Outcome::Error(Error::Key { variable })
                }
            }),
            Operation::Contains { context, key } => self.look_up(context, key, |model, _, found| {
                model.cite(Rule::Map3);
                Outcome::Bool(found.is_some())
            }),
            Operation::ContextGet { context, key, default } => self.look_up(context, key, |model, _, found| {
                model.cite(if found.is_some() { Rule::Map4 } else { Rule::Map5 });
                Outcome::Object(found.or(default).unwrap_or(Value::None).into())
            }),
            Operation::ContextLen { context } => {
                let index = bound!(self.context(context));
                self.cite(Rule::Map8);
                Outcome::Count(self.objects.contexts[index].bindings.len() as u64)
            }
            Operation::Iter { context, iterator } | Operation::Keys { context, iterator } => {
                self.iterate(context, iterator, View::Keys, Rule::Iter1)
            }
            Operation::Values { context, iterator } => self.iterate(context, iterator, View::Values, Rule::Iter2),
            Operation::Items { context, iterator } => self.iterate(context, iterator, View::Items, Rule::Iter3),
            Operation::Next { iterator } => self.next(iterator),
            Operation::IteratorLen { iterator } => {
                let length = bound!(self.objects.iterators.get(&iterator)).items.len();
                self.cite(Rule::Iter6);
                Outcome::Count(length as u64)
            }
            Operation::Equal { left, right } => {
                bound!(self.both_bound(left, right));
                self.equal(left, right).map_or_else(Outcome::Error, Outcome::Bool)
            }
            Operation::NotEqual { left, right } => {
                bound!(self.both_bound(left, right));
                self.cite(Rule::Eq7);
                self.equal(left, right).map_or_else(Outcome::Error, |equal| Outcome::Bool(!equal))
            }
            Operation::Repr { object } => {
                bound!(self.is_bound(object).then_some(()));
                Outcome::Text(self.repr(object).into())
            }
            Operation::Hash { object } => self.hash(object),
            Operation::Attempt { action, object } => {
                bound!(self.is_bound(object).then_some(()));
                self.attempt(thread, action, object)
            }
            Operation::WeakReference { context, reference } => {
                let index = bound!(self.context(context));
                self.cite(Rule::Context5);
                self.objects.references.insert(reference, (context, index));
                Outcome::None
            }
            Operation::Dereference { reference } => {
                let (name, index) = *bound!(self.objects.references.get(&reference));
                if !self.objects.is_alive(index) {
                    return Outcome::None;
                }
                if self.objects.tokens.values().any(|token| token.context == index) {
                    self.cite(Rule::Token13);
                }
                Outcome::Object(Object::Context(name))
            }
            Operation::Drop { object } => self.drop_handle(object),
            Operation::Enter { context } => match context {
                Object::Context(name) => {
                    let index = bound!(self.context(name));
                    let entered = self.enter(thread, index, name);
                    if entered.is_ok() {
                        self.cite(Rule::Enter1);
                    } else {
                        self.cite(Rule::Enter3);
                    }
                    answer(entered)
                }
                _ => self.refuse(context, Rule::Enter2, Error::CapiContextExpected),
            },
            Operation::Exit { context } => match context {
                Object::Context(name) => {
                    let index = bound!(self.context(name));
                    let exited = self.exit(thread, index, name);
                    self.cite(match exited {
                        Ok(()) => Rule::Exit1,
                        Err(Error::NotEntered { .. }) => Rule::Exit3,
                        Err(_) => Rule::Exit4,
                    });
                    answer(exited)
                }
                _ => self.refuse(context, Rule::Exit2, Error::CapiContextExpected),
            },
            Operation::CapiVarGet { variable, default } => match variable {
                Object::Variable(variable) => {
                    let outcome = self.get(thread, variable, default);
                    if let Outcome::Error(Error::Lookup { .. }) = outcome {
                        self.cite(Rule::Capi5);
                        return Outcome::NotFound;
                    }
                    outcome
                }
                _ => self.refuse(variable, Rule::Capi6, Error::CapiVariableExpected),
            },
            Operation::CapiVarSet { variable, value, token } => match variable {
                Object::Variable(variable) => self.set(thread, variable, value, token),
                _ => self.refuse(variable, Rule::Capi7, Error::CapiVariableExpected),
            },
            Operation::CapiVarReset { variable, token } => {
                bound!(self.both_bound(variable, token));
                match (variable, token) {
                    (Object::Variable(variable), Object::Token(token)) => answer(self.reset(thread, variable, token)),
                    (Object::Variable(_), _) => self.refuse(token, Rule::Capi8, Error::CapiTokenExpected),
                    _ => self.refuse(variable, Rule::Capi8, Error::CapiVariableExpected),
                }
            }
            Operation::AddWatcher { watcher, .. } => self.add_watcher(watcher, operation),
            Operation::ClearWatcher { id } => self.clear_watcher(id),
            Operation::StartThread { started } => {
                self.cite(Rule::Thread1);
                self.objects.threads.insert(started, Thread::new());
                Outcome::None
            }
            Operation::EndThread {} => {
                while self.open_runs(thread) > 0 {
                    self.run_end(thread, Outcome::None);
                }
                let ended = self.objects.threads.remove(&thread);
                if ended.and_then(|ended| ended.current).is_some_and(|index| self.objects.contexts[index].entered) {
                    self.cite(Rule::Thread5);
                }
                Outcome::None
            }
            Operation::Cache { variable } => Outcome::Cache(bound!(self.variable(variable)).cache),
            Operation::ContextVer {} => {
                self.cite(Rule::Ver2);
                Outcome::ContextVer(self.thread(thread).context_ver)
            }
            Operation::SetContextVer { context_ver } => {
                self.thread(thread).context_ver = context_ver;
                Outcome::None
            }
            Operation::HasCurrentContext {} => self.has_current(thread),
        }
    }

    // Every caller has checked that the thread runs, so the fallback is never made use of.
    fn thread(&mut self, thread: ThreadId) -> &mut Thread {
        self.objects.threads.entry(thread).or_insert_with(Thread::new)
    }

    fn context(&self, name: ContextId) -> Option<ContextIndex> {
        self.objects.names.get(&name).copied()
    }

    fn variable(&self, variable: VariableId) -> Option<&Variable> {
        self.objects.variables.get(&variable).filter(|variable| variable.held)
    }

    fn is_bound(&self, object: Object) -> bool {
        match object {
            Object::None | Object::Missing => true,
            Object::Value(id) => self.objects.values.contains_key(&id),
            Object::Variable(id) => self.variable(id).is_some(),
            Object::Token(id) => self.objects.tokens.contains_key(&id),
            Object::Context(id) => self.objects.names.contains_key(&id),
            Object::Iterator(id) => self.objects.iterators.contains_key(&id),
        }
    }

    fn both_bound(&self, left: Object, right: Object) -> Option<()> {
        (self.is_bound(left) && self.is_bound(right)).then_some(())
    }

    /// A wrong operand: the error that the rule gives it.
    fn refuse(&mut self, object: Object, rule: Rule, error: Error) -> Outcome {
        if !self.is_bound(object) {
            return Outcome::Skipped;
        }
        self.cite(rule);
        Outcome::Error(error)
    }

    fn cite_used(&mut self, token: Token) {
        if token.used {
            self.cite(Rule::Token4);
        }
    }

    /// VAR-1, VAR-5 (`contextvar_new`).
    fn new_variable(&mut self, name: &str, hash: Option<i64>, default: Option<Value>, variable: VariableId) -> Outcome {
        let hash = hash.unwrap_or(i64::from(variable.0));
        let made = Variable { name: name.into(), default, hash, place: place(hash), cache: None, held: true };
        self.objects.variables.insert(variable, made);
        Outcome::None
    }

    fn name_context(&mut self, name: ContextId, context: Context) -> Outcome {
        let index = self.objects.add_context(Context { name: Some(name), ..context });
        self.objects.names.insert(name, index);
        Outcome::None
    }

    /// COPY-1 (`PyContext_Copy`).
    fn copy(&mut self, source: ContextIndex, name: ContextId) -> Outcome {
        self.cite(Rule::Copy1);
        let bindings = self.objects.contexts[source].bindings.clone();
        self.note_copied(source, self.objects.contexts.len());
        self.name_context(name, Context { bindings, ..Context::default() })
    }

    /// COPY-2, COPY-3, CAPI-3 (`PyContext_CopyCurrent`).
    fn copy_current(&mut self, thread: ThreadId, name: ContextId) -> Outcome {
        let current = self.current_or_base(thread, Rule::Copy3);
        self.copy(current, name)
    }

    /// SET-2, RESET-5, COPY-3 (`context_get`): no version changes, nobody is told.
    fn current_or_base(&mut self, thread: ThreadId, rule: Rule) -> ContextIndex {
        if let Some(current) = self.thread(thread).current {
            return current;
        }
        self.cite(rule);
        let base = self.objects.add_context(Context::default());
        self.thread(thread).current = Some(base);
        base
    }

    /// GET-1 to GET-5, CACHE-1, CACHE-4, CACHE-5 (`PyContextVar_Get`).
    fn get(&mut self, thread: ThreadId, variable: VariableId, default: Option<Value>) -> Outcome {
        let found = bound!(self.variable(variable));
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

    fn get_default(&mut self, variable: VariableId, given: Option<Value>, own: Option<Value>) -> Outcome {
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

    fn fill_cache(&mut self, thread: ThreadId, variable: VariableId, value: Value) {
        let context_ver = self.thread(thread).context_ver;
        if let Some(variable) = self.objects.variables.get_mut(&variable) {
            variable.cache = Some(CacheEntry { value, thread, context_ver });
        }
    }

    /// SET-1 to SET-5, CACHE-2 (`PyContextVar_Set`).
    fn set(&mut self, thread: ThreadId, variable: VariableId, value: Value, token: TokenId) -> Outcome {
        bound!(self.variable(variable));
        bound!(self.is_bound(value.into()).then_some(()));
        let context = self.current_or_base(thread, Rule::Set2);
        let old_value = self.objects.contexts[context].bindings.find(variable);
        self.cite(Rule::Set1);
        self.cite(if old_value.is_some() { Rule::Set4 } else { Rule::Set3 });
        if value == Value::Missing {
            self.cite(Rule::Set5);
        }
        self.objects.tokens.insert(token, Token { context, variable, old_value, used: false, thread });
        self.bind(thread, context, variable, value);
        Outcome::None
    }

    /// ORDER-1 to ORDER-3, CACHE-2 (`contextvar_set`).
    fn bind(&mut self, thread: ThreadId, context: ContextIndex, variable: VariableId, value: Value) {
        let place = self.objects.variables.get(&variable).map_or(0, |variable| variable.place);
        self.objects.contexts[context].bindings.bind(variable, place, value);
        self.note_bound(context, variable, value);
        self.cite(Rule::Cache2);
        self.fill_cache(thread, variable, value);
    }

    /// RESET-1 (`_contextvars_ContextVar_reset`).
    fn reset_any(&mut self, thread: ThreadId, variable: VariableId, token: Object) -> Outcome {
        bound!(self.variable(variable));
        match token {
            Object::Token(token) => {
                bound!(self.objects.tokens.get(&token));
                answer(self.reset(thread, variable, token))
            }
            _ => self.refuse(token, Rule::Reset1, Error::TokenExpected { object: token }),
        }
    }

    /// RESET-2 to RESET-9, THREAD-2, THREAD-3, CACHE-3 (`PyContextVar_Reset`).
    fn reset(&mut self, thread: ThreadId, variable: VariableId, token: TokenId) -> Result<(), Error> {
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
                self.cite(Rule::Cache3);
                self.objects.contexts[context].bindings.unbind(variable);
                self.note_unbound(context, variable);
                if let Some(variable) = self.objects.variables.get_mut(&variable) {
                    variable.cache = None;
                }
            }
        }
        Ok(())
    }

    /// ENTER-1, ENTER-3, THREAD-4, VER-1, VER-3 (`PyContext_Enter`).
    pub(crate) fn enter(&mut self, thread: ThreadId, context: ContextIndex, name: ContextId) -> Result<(), Error> {
        if self.objects.contexts[context].entered {
            let mut threads = self.objects.threads.iter();
            if threads.any(|(&other, state)| other != thread && state.current == Some(context)) {
                self.cite(Rule::Thread4);
            }
            return Err(Error::AlreadyEntered { context: name });
        }
        let previous = self.thread(thread).current;
        let entered = &mut self.objects.contexts[context];
        entered.previous = previous;
        entered.entered = true;
        self.switch(thread, Some(context));
        Ok(())
    }

    /// EXIT-1, EXIT-3, EXIT-4, VER-1, VER-3 (`PyContext_Exit`).
    pub(crate) fn exit(&mut self, thread: ThreadId, context: ContextIndex, name: ContextId) -> Result<(), Error> {
        if !self.objects.contexts[context].entered {
            return Err(Error::NotEntered { context: name });
        }
        if self.thread(thread).current != Some(context) {
            return Err(Error::NotCurrent { context: name });
        }
        let exited = &mut self.objects.contexts[context];
        exited.entered = false;
        let previous = exited.previous.take();
        self.switch(thread, previous);
        Ok(())
    }

    /// VER-1, VER-3, WATCH-1, WATCH-7 (`context_switched`).
    fn switch(&mut self, thread: ThreadId, current: Option<ContextIndex>) {
        let state = self.thread(thread);
        state.current = current;
        state.context_ver = state.context_ver.wrapping_add(1);
        let wrapped = state.context_ver == 0;
        self.cite(Rule::Ver1);
        if wrapped {
            self.cite(Rule::Ver3);
        }
        let current = CurrentName(current.map(|index| self.objects.contexts[index].name)).into();
        self.tell(current);
    }

    fn tell(&mut self, current: CurrentContext) {
        for watcher in self.objects.watchers.into_iter().flatten() {
            self.cite(Rule::Watch1);
            self.events.push(Event { watcher: watcher.name, current });
        }
    }

    /// RUN-1, RUN-3 (`context_run`).
    fn run_begin(&mut self, thread: ThreadId, name: ContextId) -> Outcome {
        let context = bound!(self.context(name));
        if let Err(error) = self.enter(thread, context, name) {
            self.cite(Rule::Run3);
            return Outcome::Error(error);
        }
        self.thread(thread).frames.push(Frame { context, name });
        Outcome::Called
    }

    /// RUN-1, RUN-4, RUN-7, RUN-8 (`context_run`): a failing exit replaces the result.
    fn run_end(&mut self, thread: ThreadId, result: Outcome) -> Outcome {
        let frame = bound!(self.thread(thread).frames.pop());
        let exited = self.exit(thread, frame.context, frame.name);
        self.cite(match exited {
            Ok(()) => Rule::Run1,
            Err(Error::NotEntered { .. }) => Rule::Run7,
            Err(_) => Rule::Run8,
        });
        exited.map_or_else(Outcome::Error, |()| result)
    }

    /// MAP-6, MAP-7: checks the key, then finds its binding.
    fn look_up(&mut self, context: ContextId, key: Object, then: impl FnOnce(&mut Self, VariableId, Option<Value>) -> Outcome) -> Outcome {
        let index = bound!(self.context(context));
        bound!(self.is_bound(key).then_some(()));
        let Object::Variable(variable) = key else {
            return self.refuse(key, Rule::Map6, Error::KeyExpected { object: key });
        };
        let found = self.objects.contexts[index].bindings.find(variable);
        if found.is_none() && self.variable(variable).is_some_and(|variable| variable.default.is_some()) {
            self.cite(Rule::Map7);
        }
        then(self, variable, found)
    }

    /// ITER-1 to ITER-3, ORDER-1 to ORDER-3 (`PyHamtIterator`).
    fn iterate(&mut self, context: ContextId, iterator: contextvars_spec::IteratorId, view: View, rule: Rule) -> Outcome {
        let index = bound!(self.context(context));
        let bindings = self.objects.contexts[index].bindings.clone();
        let items = bindings.in_order();
        self.cite(rule);
        if items.len() > 1 {
            self.cite(Rule::Order1);
        }
        if bindings.has_ties() {
            self.cite(Rule::Order2);
        }
        let folds_to_minus_two = |variable: &Variable| crate::bindings::fold(variable.hash) == u32::MAX - 1;
        if items.iter().any(|(variable, _)| self.objects.variables.get(variable).is_some_and(folds_to_minus_two)) {
            self.cite(Rule::Order3);
        }
        self.objects.iterators.insert(iterator, Iterator { view, items, next: 0 });
        Outcome::None
    }

    /// ITER-4, ITER-5.
    fn next(&mut self, iterator: contextvars_spec::IteratorId) -> Outcome {
        let found = bound!(self.objects.iterators.get_mut(&iterator));
        let (view, item) = (found.view, found.items.get(found.next).copied());
        found.next += 1;
        let Some((variable, value)) = item else {
            self.cite(Rule::Iter4);
            return Outcome::Error(Error::StopIteration);
        };
        self.cite(Rule::Iter5);
        match view {
            View::Keys => Outcome::Object(Object::Variable(variable)),
            View::Values => Outcome::Object(value.into()),
            View::Items => Outcome::Pair(variable, value),
        }
    }

    /// VAR-5, TOKEN-8, CONTEXT-4, MISSING-2.
    fn hash(&mut self, object: Object) -> Outcome {
        bound!(self.is_bound(object).then_some(()));
        let unhashable = Error::Unspecified { exception: contextvars_spec::Exception::TypeError };
        match object {
            Object::Variable(id) => {
                self.cite(Rule::Var5);
                Outcome::Hash(bound!(self.variable(id)).hash)
            }
            Object::Token(_) => {
                self.cite(Rule::Token8);
                Outcome::Error(unhashable)
            }
            Object::Context(_) => {
                self.cite(Rule::Context4);
                Outcome::Error(unhashable)
            }
            Object::Missing => {
                self.cite(Rule::Missing2);
                Outcome::None
            }
            Object::None | Object::Value(_) | Object::Iterator(_) => Outcome::None,
        }
    }

    fn drop_handle(&mut self, object: Object) -> Outcome {
        bound!(self.is_bound(object).then_some(()));
        match object {
            Object::Variable(id) => {
                if let Some(variable) = self.objects.variables.get_mut(&id) {
                    variable.held = false;
                }
            }
            Object::Token(id) => {
                self.objects.tokens.remove(&id);
            }
            Object::Context(id) => {
                if let Some(index) = self.objects.names.remove(&id) {
                    self.objects.contexts[index].name = None;
                }
            }
            Object::Iterator(id) => {
                self.objects.iterators.remove(&id);
            }
            Object::None | Object::Missing | Object::Value(_) => {}
        }
        Outcome::None
    }

    /// WATCH-2, WATCH-3 (`PyContext_AddWatcher`).
    fn add_watcher(&mut self, name: contextvars_spec::WatcherId, operation: &Operation) -> Outcome {
        let Some(id) = self.objects.watchers.iter().position(Option::is_none) else {
            self.cite(Rule::Watch3);
            return Outcome::Error(Error::NoMoreWatchers);
        };
        self.cite(Rule::Watch2);
        if let Operation::AddWatcher { fails: true, .. } = operation {
            self.cite(Rule::Watch7);
        }
        self.objects.watchers[id] = Some(Watcher { name });
        Outcome::Count(id as u64)
    }

    /// WATCH-4 to WATCH-6 (`PyContext_ClearWatcher`).
    fn clear_watcher(&mut self, id: i32) -> Outcome {
        let slot = usize::try_from(id).ok().and_then(|slot| self.objects.watchers.get_mut(slot));
        let (rule, outcome) = match slot {
            None => (Rule::Watch5, Outcome::Error(Error::InvalidWatcher { id })),
            Some(slot) => match slot.take() {
                None => (Rule::Watch6, Outcome::Error(Error::WatcherNotSet { id })),
                Some(_) => (Rule::Watch4, Outcome::None),
            },
        };
        self.cite(rule);
        outcome
    }

    /// THREAD-1, GET-5: enters a fresh context, looks at what was current before, and exits it.
    fn has_current(&mut self, thread: ThreadId) -> Outcome {
        let previous = self.thread(thread).current;
        let fresh = self.objects.add_context(Context::default());
        self.switch(thread, Some(fresh));
        self.switch(thread, previous);
        Outcome::Bool(previous.is_some())
    }
}

impl Engine for Reference {
    fn identity(&self) -> Identity {
        Identity { name: "reference".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        *self = Self::new();
        let mut run = Run { answers: Vec::with_capacity(steps.len()), ..Run::default() };
        for (index, step) in steps.iter().enumerate() {
            run.answers.push(self.step(step));
            if observe.after(index, steps.len()) {
                run.observations.push((index, self.observe()));
            }
        }
        Ok(run)
    }
}
