//! The optimized implementation as an engine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use contextvars_optimized::{
    Context, ContextVar, EnterError, ExitError, Iter, ResetError, ThreadState, Token, VarId, WatcherError, Watchers, WeakContext,
};
use contextvars_spec::{
    Action, Answer, ContextId, CurrentContext, Engine, EngineError, Equality, Error, Event, Exception, Identity, IteratorId, Object,
    Observation, Observe, ObservedContext, ObservedToken, Operation, Outcome, ReferenceId, Run, Step, ThreadId, TokenId, Value, ValueId,
    VariableId, Version, WatcherId,
};

/// The engine `optimized`.
#[derive(Debug, Default)]
pub struct Optimized;

impl Engine for Optimized {
    fn identity(&self) -> Identity {
        Identity { name: "optimized".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let mut session = Session::new();
        let mut run = Run { answers: Vec::with_capacity(steps.len()), ..Run::default() };
        for (index, step) in steps.iter().enumerate() {
            let outcome = session.step(step);
            run.answers.push(Answer { outcome, events: session.events.take() });
            if observe.after(index, steps.len()) {
                run.observations.push((index, session.observe()));
            }
        }
        Ok(run)
    }
}

#[derive(Clone, Copy)]
enum View {
    Keys,
    Values,
    Items,
}

struct Thread {
    state: ThreadState<Value>,
    frames: RefCell<Vec<(Context<Value>, ContextId)>>,
}

type Names = Rc<RefCell<BTreeMap<ContextId, Context<Value>>>>;

struct Session {
    values: BTreeMap<ValueId, Equality>,
    variables: BTreeMap<VariableId, ContextVar<Value>>,
    /// Also of variables that the trace has deleted, since maps and tokens still show them.
    names: BTreeMap<VarId, VariableId>,
    tokens: BTreeMap<TokenId, Token<Value>>,
    contexts: Names,
    iterators: BTreeMap<IteratorId, (View, Iter<Value>)>,
    references: BTreeMap<ReferenceId, (ContextId, WeakContext<Value>)>,
    threads: BTreeMap<ThreadId, Rc<Thread>>,
    watchers: Rc<Watchers<Value>>,
    events: Rc<RefCell<Vec<Event>>>,
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

fn enter_error(_: EnterError, context: ContextId) -> Error {
    Error::AlreadyEntered { context }
}

fn exit_error(error: ExitError, context: ContextId) -> Error {
    match error {
        ExitError::NotEntered => Error::NotEntered { context },
        ExitError::NotCurrent => Error::NotCurrent { context },
    }
}

fn answer(result: Result<(), Error>) -> Outcome {
    result.map_or_else(Outcome::Error, |()| Outcome::None)
}

impl Session {
    fn new() -> Self {
        let mut session = Self {
            values: BTreeMap::new(),
            variables: BTreeMap::new(),
            names: BTreeMap::new(),
            tokens: BTreeMap::new(),
            contexts: Rc::default(),
            iterators: BTreeMap::new(),
            references: BTreeMap::new(),
            threads: BTreeMap::new(),
            watchers: Rc::default(),
            events: Rc::default(),
        };
        session.start_thread(ThreadId::MAIN);
        session
    }

    fn start_thread(&mut self, thread: ThreadId) {
        let state = ThreadState::with_watchers(Rc::clone(&self.watchers));
        self.threads.insert(thread, Rc::new(Thread { state, frames: RefCell::default() }));
    }

    fn observe(&self) -> Observation {
        let contexts = self.contexts.borrow();
        let bindings =
            |context: &Context<Value>| context.iter().filter_map(|(key, value)| Some((*self.names.get(&key)?, *value))).collect();
        Observation {
            contexts: contexts.iter().map(|(&id, context)| ObservedContext { context: id, bindings: bindings(context) }).collect(),
            tokens: self
                .tokens
                .iter()
                .filter_map(|(&id, token)| {
                    Some(ObservedToken {
                        token: id,
                        variable: *self.names.get(&token.var().id())?,
                        old_value: token.old_value().map_or(Value::Missing, |value| **value),
                        used: token.is_used(),
                    })
                })
                .collect(),
        }
    }

    fn context(&self, id: ContextId) -> Option<Context<Value>> {
        self.contexts.borrow().get(&id).cloned()
    }

    fn is_bound(&self, object: Object) -> bool {
        match object {
            Object::None | Object::Missing => true,
            Object::Value(id) => self.values.contains_key(&id),
            Object::Variable(id) => self.variables.contains_key(&id),
            Object::Token(id) => self.tokens.contains_key(&id),
            Object::Context(id) => self.contexts.borrow().contains_key(&id),
            Object::Iterator(id) => self.iterators.contains_key(&id),
        }
    }

    fn step(&mut self, step: &Step) -> Outcome {
        let objects = step.operation.uses().filter_map(|handle| match handle {
            contextvars_spec::Handle::Value(id) => Some(Object::Value(id)),
            contextvars_spec::Handle::Variable(id) => Some(Object::Variable(id)),
            contextvars_spec::Handle::Token(id) => Some(Object::Token(id)),
            contextvars_spec::Handle::Context(id) => Some(Object::Context(id)),
            contextvars_spec::Handle::Iterator(id) => Some(Object::Iterator(id)),
            _ => None,
        });
        for object in objects {
            bound!(self.is_bound(object).then_some(()));
        }
        let thread = Rc::clone(bound!(self.threads.get(&step.thread)));
        let outcome = self.operate(&thread, &step.operation);
        if let Operation::EndThread {} = step.operation {
            while self.run_end(&thread, Outcome::None) != Outcome::Skipped {}
            self.threads.remove(&step.thread);
        }
        outcome
    }

    fn operate(&mut self, thread: &Thread, operation: &Operation) -> Outcome {
        match *operation {
            Operation::Value { equality, name } => {
                self.values.insert(name, equality);
                Outcome::None
            }
            Operation::ContextVar { ref name, hash, default, variable } => self.new_variable(name, hash, default, variable),
            Operation::CapiVarNew { ref name, default, variable } => self.new_variable(name, None, default, variable),
            Operation::VarGet { variable, default } => self.get(thread, variable, default),
            Operation::VarSet { variable, value, token } => self.set(thread, variable, value, token),
            Operation::VarReset { variable, token } => match token {
                Object::Token(token) => self.reset(thread, variable, token),
                _ => Outcome::Error(Error::TokenExpected { object: token }),
            },
            Operation::VarName { variable } => Outcome::Text(bound!(self.variables.get(&variable)).name().into()),
            Operation::TokenVar { token } => {
                let key = bound!(self.tokens.get(&token)).var().id();
                Outcome::Object(Object::Variable(*bound!(self.names.get(&key))))
            }
            Operation::TokenOldValue { token } => {
                let old_value = bound!(self.tokens.get(&token)).old_value().map_or(Value::Missing, |value| **value);
                Outcome::Object(old_value.into())
            }
            Operation::TokenEnter { token } => Outcome::Object(Object::Token(token)),
            Operation::TokenExit { token } => {
                let found = bound!(self.tokens.get(&token));
                self.reset_with(thread, &found.var().clone(), token)
            }
            Operation::Context { context } | Operation::CapiNew { context } => self.name_context(context, Context::new()),
            Operation::CopyContext { context } | Operation::CapiCopyCurrent { context } => {
                self.name_context(context, thread.state.copy_context())
            }
            Operation::ContextCopy { source, context } => {
                let copy = bound!(self.context(source)).copy();
                self.name_context(context, copy)
            }
            Operation::CapiCopy { source, context } => match source {
                Object::Context(source) => {
                    let copy = bound!(self.context(source)).copy();
                    self.name_context(context, copy)
                }
                _ => Outcome::Error(Error::CapiContextExpected),
            },
            Operation::Run { context: name } => {
                let context = bound!(self.context(name));
                match thread.state.enter(&context) {
                    Err(error) => Outcome::Error(enter_error(error, name)),
                    Ok(()) => {
                        thread.frames.borrow_mut().push((context, name));
                        Outcome::Called
                    }
                }
            }
            Operation::Return {} => self.run_end(thread, Outcome::None),
            Operation::Raise {} => self.run_end(thread, Outcome::Error(Error::Raised)),
            Operation::GetItem { context, key } => self.look_up(context, key, |variable, found| {
                found.map_or(Outcome::Error(Error::Key { variable }), |value| Outcome::Object(value.into()))
            }),
            Operation::Contains { context, key } => self.look_up(context, key, |_, found| Outcome::Bool(found.is_some())),
            Operation::ContextGet { context, key, default } => {
                self.look_up(context, key, |_, found| Outcome::Object(found.or(default).unwrap_or(Value::None).into()))
            }
            Operation::ContextLen { context } => Outcome::Count(bound!(self.context(context)).len() as u64),
            Operation::Iter { context, iterator } | Operation::Keys { context, iterator } => self.iterate(context, iterator, View::Keys),
            Operation::Values { context, iterator } => self.iterate(context, iterator, View::Values),
            Operation::Items { context, iterator } => self.iterate(context, iterator, View::Items),
            Operation::Next { iterator } => {
                let (view, bindings) = bound!(self.iterators.get_mut(&iterator));
                let Some((key, value)) = bindings.next() else { return Outcome::Error(Error::StopIteration) };
                let variable = *bound!(self.names.get(&key));
                match view {
                    View::Keys => Outcome::Object(Object::Variable(variable)),
                    View::Values => Outcome::Object((*value).into()),
                    View::Items => Outcome::Pair(variable, *value),
                }
            }
            Operation::IteratorLen { iterator } => Outcome::Count(bound!(self.iterators.get(&iterator)).1.map_len() as u64),
            Operation::Equal { left, right } => self.equal(left, right).map_or_else(Outcome::Error, Outcome::Bool),
            Operation::NotEqual { left, right } => self.equal(left, right).map_or_else(Outcome::Error, |equal| Outcome::Bool(!equal)),
            // Python's texts are Python's own.
            Operation::Repr { .. } | Operation::Cache { .. } => Outcome::Unsupported,
            Operation::Hash { object } => match object {
                Object::Variable(id) => Outcome::Hash(bound!(self.variables.get(&id)).hash()),
                Object::Token(_) | Object::Context(_) => Outcome::Unsupported,
                _ => Outcome::None,
            },
            Operation::Attempt { action, object } => self.attempt(thread, action, object),
            Operation::WeakReference { context, reference } => {
                let weak = bound!(self.context(context)).downgrade();
                self.references.insert(reference, (context, weak));
                Outcome::None
            }
            Operation::Dereference { reference } => {
                let (name, weak) = bound!(self.references.get(&reference));
                weak.upgrade().map_or(Outcome::None, |_| Outcome::Object(Object::Context(*name)))
            }
            Operation::Drop { object } => self.drop_handle(object),
            Operation::Enter { context } => match context {
                Object::Context(name) => {
                    let context = bound!(self.context(name));
                    answer(thread.state.enter(&context).map_err(|error| enter_error(error, name)))
                }
                _ => Outcome::Error(Error::CapiContextExpected),
            },
            Operation::Exit { context } => match context {
                Object::Context(name) => {
                    let context = bound!(self.context(name));
                    answer(thread.state.exit(&context).map_err(|error| exit_error(error, name)))
                }
                _ => Outcome::Error(Error::CapiContextExpected),
            },
            Operation::CapiVarGet { variable, default } => match variable {
                Object::Variable(variable) => match self.get(thread, variable, default) {
                    Outcome::Error(Error::Lookup { .. }) => Outcome::NotFound,
                    outcome => outcome,
                },
                _ => Outcome::Error(Error::CapiVariableExpected),
            },
            Operation::CapiVarSet { variable, value, token } => match variable {
                Object::Variable(variable) => self.set(thread, variable, value, token),
                _ => Outcome::Error(Error::CapiVariableExpected),
            },
            Operation::CapiVarReset { variable, token } => match (variable, token) {
                (Object::Variable(variable), Object::Token(token)) => self.reset(thread, variable, token),
                (Object::Variable(_), _) => Outcome::Error(Error::CapiTokenExpected),
                _ => Outcome::Error(Error::CapiVariableExpected),
            },
            Operation::AddWatcher { watcher, .. } => self.add_watcher(watcher),
            Operation::ClearWatcher { id } => answer(self.watchers.clear(id).map_err(|error| match error {
                WatcherError::OutOfRange(id) => Error::InvalidWatcher { id },
                WatcherError::NotSet(id) => Error::WatcherNotSet { id },
                WatcherError::NoneFree => Error::NoMoreWatchers,
            })),
            Operation::StartThread { started } => {
                self.start_thread(started);
                Outcome::None
            }
            Operation::EndThread {} => Outcome::None,
            Operation::ContextVer {} => Outcome::ContextVer(thread.state.context_ver()),
            Operation::SetContextVer { context_ver } => {
                thread.state.set_context_ver(context_ver);
                Outcome::None
            }
            Operation::HasCurrentContext {} => {
                let has_current = thread.state.current().is_some();
                let fresh = Context::new();
                let switched = thread.state.enter(&fresh).is_ok() && thread.state.exit(&fresh).is_ok();
                if switched { Outcome::Bool(has_current) } else { Outcome::Unsupported }
            }
        }
    }

    fn new_variable(&mut self, name: &str, hash: Option<i64>, default: Option<Value>, id: VariableId) -> Outcome {
        let variable = ContextVar::with_hash(name, hash.unwrap_or(i64::from(id.0)), default);
        self.names.insert(variable.id(), id);
        self.variables.insert(id, variable);
        Outcome::None
    }

    fn name_context(&mut self, id: ContextId, context: Context<Value>) -> Outcome {
        self.contexts.borrow_mut().insert(id, context);
        Outcome::None
    }

    fn get(&self, thread: &Thread, id: VariableId, default: Option<Value>) -> Outcome {
        let variable = bound!(self.variables.get(&id));
        let found = match default {
            Some(default) => Ok(thread.state.get_or(variable, Arc::new(default))),
            None => thread.state.get(variable),
        };
        found.map_or(Outcome::Error(Error::Lookup { variable: id }), |value| Outcome::Object((*value).into()))
    }

    fn set(&mut self, thread: &Thread, variable: VariableId, value: Value, token: TokenId) -> Outcome {
        let made = thread.state.set(bound!(self.variables.get(&variable)), value);
        self.tokens.insert(token, made);
        Outcome::None
    }

    fn reset(&self, thread: &Thread, variable: VariableId, token: TokenId) -> Outcome {
        let variable = bound!(self.variables.get(&variable));
        self.reset_with(thread, variable, token)
    }

    fn reset_with(&self, thread: &Thread, variable: &ContextVar<Value>, token: TokenId) -> Outcome {
        let found = bound!(self.tokens.get(&token));
        answer(thread.state.reset(variable, found).map_err(|error| match error {
            ResetError::Used => Error::TokenUsed { token },
            ResetError::DifferentVariable => Error::TokenOfOtherVariable { token },
            ResetError::DifferentContext => Error::TokenOfOtherContext { token },
        }))
    }

    fn run_end(&self, thread: &Thread, result: Outcome) -> Outcome {
        let (context, name) = bound!(thread.frames.borrow_mut().pop());
        match thread.state.exit(&context) {
            Ok(()) => result,
            Err(error) => Outcome::Error(exit_error(error, name)),
        }
    }

    fn look_up(&self, context: ContextId, key: Object, then: impl FnOnce(VariableId, Option<Value>) -> Outcome) -> Outcome {
        let context = bound!(self.context(context));
        let Object::Variable(id) = key else { return Outcome::Error(Error::KeyExpected { object: key }) };
        let variable = bound!(self.variables.get(&id));
        let found = context.get(variable);
        if context.contains(variable) != found.is_some() {
            return Outcome::Bool(false);
        }
        then(id, found.map(|value| *value))
    }

    fn iterate(&mut self, context: ContextId, iterator: IteratorId, view: View) -> Outcome {
        let bindings = bound!(self.context(context)).iter();
        self.iterators.insert(iterator, (view, bindings));
        Outcome::None
    }

    fn equal(&self, left: Object, right: Object) -> Result<bool, Error> {
        if let (Object::Context(left), Object::Context(right)) = (left, right)
            && let (Some(left), Some(right)) = (self.context(left), self.context(right))
        {
            return left.try_eq_by(
                &right,
                |left, right| if left == right { Ok(true) } else { self.equal_values((**left).into(), (**right).into()) },
            );
        }
        self.equal_values(left, right)
    }

    /// The values of a trace are the tester's own, so their equality is too.
    fn equal_values(&self, left: Object, right: Object) -> Result<bool, Error> {
        let equality = |object| match object {
            Object::Value(id) => self.values.get(&id).copied().map(|equality| (id, equality)),
            _ => None,
        };
        match (equality(left), equality(right)) {
            (Some((value, Equality::Raises)), _) | (None, Some((value, Equality::Raises))) => Err(Error::EqualityRaised { value }),
            (Some((_, Equality::Group(group))), Some((_, other))) => Ok(other == Equality::Group(group)),
            (Some(_), _) | (_, Some(_)) => Ok(false),
            (None, None) => Ok(left == right),
        }
    }

    /// Most of Python's surface has no counterpart; what switches contexts does it here too.
    fn attempt(&self, thread: &Thread, action: Action, object: Object) -> Outcome {
        let Object::Context(name) = object else { return Outcome::Unsupported };
        let context = bound!(self.context(name));
        match action {
            Action::Truth => Outcome::Bool(!context.is_empty()),
            Action::RunWithKeywords | Action::RunNotCallable => match thread.state.run(&context, || ()) {
                Ok(()) if action == Action::RunNotCallable => Outcome::Error(Error::Unspecified { exception: Exception::TypeError }),
                Ok(()) => Outcome::Count(2),
                Err(_) => Outcome::Error(Error::AlreadyEntered { context: name }),
            },
            _ => Outcome::Unsupported,
        }
    }

    fn add_watcher(&self, watcher: WatcherId) -> Outcome {
        let (events, contexts) = (Rc::clone(&self.events), Rc::clone(&self.contexts));
        let added = self.watchers.add(move |current| {
            let current = current.map_or(CurrentContext::Null, |current| {
                let contexts = contexts.borrow();
                let name = contexts.iter().find(|(_, context)| context.ptr_eq(current)).map(|(&id, _)| id);
                name.map_or(CurrentContext::Unnamed, CurrentContext::Named)
            });
            events.borrow_mut().push(Event { watcher, current });
        });
        added.map_or(Outcome::Error(Error::NoMoreWatchers), |id| Outcome::Count(id as u64))
    }

    fn drop_handle(&mut self, object: Object) -> Outcome {
        match object {
            Object::Variable(id) => drop(self.variables.remove(&id)),
            Object::Token(id) => drop(self.tokens.remove(&id)),
            Object::Context(id) => {
                let removed = self.contexts.borrow_mut().remove(&id);
                drop(removed);
            }
            Object::Iterator(id) => drop(self.iterators.remove(&id)),
            Object::None | Object::Missing | Object::Value(_) => {}
        }
        Outcome::None
    }
}
