//! The optimized implementation as an engine.

mod otherwise;
mod programs;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::rc::{Rc, Weak};

use contextvars_optimized::{
    Confined, Context, ContextVar, EnterError, ExitError, Iter, ResetError, Shared, Sharing, ThreadState, Token, VarId, WatcherError,
    Watchers, WeakContext, fold_hash,
};
use contextvars_spec::{
    Answer, ContextId, CurrentContext, Engine, EngineError, Error, Event, Finalizes, Gone, Handle, Identity, IteratorId, Object,
    Observation, Observe, ObservedContext, ObservedToken, Operation, Outcome, ReferenceId, Run, Step, ThreadId, TokenId, Value, ValueId,
    VariableId, Version, WatcherId,
};

use self::programs::{Held, Lives, Programs};

/// The library in one of its two ways to count.
#[derive(Debug)]
pub struct Optimized<S> {
    counts: PhantomData<S>,
}

impl<S> Default for Optimized<S> {
    fn default() -> Self {
        Self { counts: PhantomData }
    }
}

/// A way to count, and the engine that has it.
pub trait Counts: Sharing {
    /// The engine's name.
    const NAME: &'static str;
}

impl Counts for Shared {
    const NAME: &'static str = "optimized";
}

impl Counts for Confined {
    const NAME: &'static str = "confined";
}

impl<S: Counts> Engine for Optimized<S> {
    fn identity(&self) -> Identity {
        Identity { name: S::NAME.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    /// A patch at a map's root keeps what it replaces, for some writes more.
    fn finalizes(&self) -> Finalizes {
        Finalizes::AsItTells
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let session = Session::<S>::new();
        let lives = Rc::clone(&session.lives);
        let mut run = Run { answers: Vec::with_capacity(steps.len()), ..Run::default() };
        for (index, step) in steps.iter().enumerate() {
            run.answers.push(session.step(index, step));
            if observe.after(index, steps.len()) {
                run.observations.push((index, session.observe()));
            }
        }
        run.gone = Some(session.end(steps.len()));
        drop(session);
        // That is a panic of the engine, as one of the library's own would be.
        lives.are_over();
        Ok(run)
    }
}

#[derive(Clone, Copy)]
enum View {
    Keys,
    Values,
    Items,
}

struct Thread<S: Sharing> {
    state: RefCell<Rc<ThreadState<Held<S>, S>>>,
    frames: RefCell<Vec<Frame<S>>>,
}

impl<S: Sharing> Thread<S> {
    fn state(&self) -> Rc<ThreadState<Held<S>, S>> {
        Rc::clone(&self.state.borrow())
    }
}

/// The objects behind one kind of handle.
// INVARIANT: no table is borrowed while the library is called or an object dropped: both may run the
// program of a value, and that comes back here.
type Table<Id, T> = RefCell<BTreeMap<Id, T>>;

/// What a step takes out of its table and changes.
type Taken<T> = Rc<RefCell<T>>;

fn found<Id: Ord, T: Clone>(table: &Table<Id, T>, id: Id) -> Option<T> {
    table.borrow().get(&id).cloned()
}

fn put<Id: Ord, T>(table: &Table<Id, T>, id: Id, object: T) {
    let replaced = table.borrow_mut().insert(id, object);
    drop(replaced);
}

fn remove<Id: Ord, T>(table: &Table<Id, T>, id: Id) {
    let removed = table.borrow_mut().remove(&id);
    drop(removed);
}

/// An open call of `Context.run`.
type Frame<S> = (Context<Held<S>, S>, ContextId);

/// An iterator, and what of each binding it answers.
type Walk<S> = (View, Taken<Iter<Held<S>, S>>);

/// A weak reference, and the name that its context had.
type Reference<S> = (ContextId, Rc<WeakContext<Held<S>, S>>);

struct Session<S: Sharing> {
    values: Table<ValueId, S::Value<Held<S>>>,
    /// `None` and `MISSING`, of which there is one each.
    constants: [S::Value<Held<S>>; 2],
    lives: Rc<Lives>,
    programs: Programs<S>,
    variables: Table<VariableId, ContextVar<Held<S>, S>>,
    /// Also of variables that the trace has deleted, since maps and tokens still show them.
    names: Table<VarId, VariableId>,
    tokens: Table<TokenId, Token<Held<S>, S>>,
    contexts: Rc<Table<ContextId, Context<Held<S>, S>>>,
    iterators: Table<IteratorId, Walk<S>>,
    references: Table<ReferenceId, Reference<S>>,
    threads: Table<ThreadId, Rc<Thread<S>>>,
    watchers: Rc<Watchers<Held<S>, S>>,
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

use bound;

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

impl<S: Sharing> Session<S> {
    fn new() -> Rc<Self> {
        let lives = Rc::<Lives>::default();
        let session = Rc::new_cyclic(|session| Self {
            values: Table::default(),
            constants: [Value::None, Value::Missing].map(|value| S::value(Held::constant(value, &lives))),
            programs: Programs::new(Weak::clone(session), &lives),
            lives,
            variables: Table::default(),
            names: Table::default(),
            tokens: Table::default(),
            contexts: Rc::default(),
            iterators: Table::default(),
            references: Table::default(),
            threads: Table::default(),
            watchers: Rc::default(),
            events: Rc::default(),
        });
        session.start_thread(ThreadId::MAIN);
        session
    }

    fn start_thread(&self, thread: ThreadId) {
        let state = RefCell::new(self.fresh_state());
        put(&self.threads, thread, Rc::new(Thread { state, frames: RefCell::default() }));
    }

    fn fresh_state(&self) -> Rc<ThreadState<Held<S>, S>> {
        Rc::new(ThreadState::with_watchers(Rc::clone(&self.watchers)))
    }

    fn observe(&self) -> Observation {
        let contexts = self.contexts.borrow();
        let names = self.names.borrow();
        let bindings = |context: &Context<Held<S>, S>| {
            (&context.vars()).into_iter().filter_map(|(key, held)| Some((*names.get(&key)?, held.value()))).collect()
        };
        Observation {
            contexts: contexts.iter().map(|(&id, context)| ObservedContext { context: id, bindings: bindings(context) }).collect(),
            tokens: self
                .tokens
                .borrow()
                .iter()
                .filter_map(|(&id, token)| {
                    Some(ObservedToken {
                        token: id,
                        variable: *names.get(&token.var().id())?,
                        old_value: token.old_value().map_or(Value::Missing, |held| held.value()),
                        used: token.is_used(),
                    })
                })
                .collect(),
        }
    }

    fn context(&self, id: ContextId) -> Option<Context<Held<S>, S>> {
        found(&self.contexts, id)
    }

    fn is_bound(&self, handle: Handle) -> bool {
        match handle {
            Handle::Value(id) => self.values.borrow().contains_key(&id),
            Handle::Variable(id) => self.variables.borrow().contains_key(&id),
            Handle::Token(id) => self.tokens.borrow().contains_key(&id),
            Handle::Context(id) => self.contexts.borrow().contains_key(&id),
            Handle::Iterator(id) => self.iterators.borrow().contains_key(&id),
            Handle::Reference(id) => self.references.borrow().contains_key(&id),
            Handle::Thread(id) => self.threads.borrow().contains_key(&id),
            Handle::Watcher(_) => true,
        }
    }

    /// What an operation holds until it has ended, whatever programs do to the names (FINAL-5).
    fn pin(&self, handle: Handle) -> Pin<S> {
        Pin {
            _value: if let Handle::Value(id) = handle { found(&self.values, id) } else { None },
            _variable: if let Handle::Variable(id) = handle { found(&self.variables, id) } else { None },
            _token: if let Handle::Token(id) = handle { found(&self.tokens, id) } else { None },
            _context: if let Handle::Context(id) = handle { self.context(id) } else { None },
        }
    }

    /// The value as the library is to store it: the trace's own object, so that identity is kept.
    fn held(&self, value: Value) -> Option<S::Value<Held<S>>> {
        match value {
            Value::Made(id) => found(&self.values, id),
            Value::None => Some(self.constants[0].clone()),
            Value::Missing => Some(self.constants[1].clone()),
        }
    }

    /// Lets everything go, and answers which values with finalizers went, and when, in all.
    fn end(&self, steps: usize) -> Vec<Gone> {
        self.programs.end(steps);
        drop(self.iterators.take());
        drop(self.tokens.take());
        drop(self.contexts.take());
        drop(self.threads.take());
        drop(self.variables.take());
        drop(self.values.take());
        self.programs.take_gone()
    }

    fn step(&self, index: usize, step: &Step) -> Answer {
        self.programs.begin(index, step.thread);
        let outcome = self.carry_out(step.thread, &step.operation);
        Answer { outcome, events: self.events.take(), calls: self.programs.take_calls() }
    }

    /// One operation of a step or of a program.
    fn carry_out(&self, thread: ThreadId, operation: &Operation) -> Outcome {
        bound!(operation.uses().all(|handle| self.is_bound(handle)).then_some(()));
        let pins: Vec<_> = if self.programs.any() { operation.uses().map(|handle| self.pin(handle)).collect() } else { Vec::new() };
        let outcome = match operation {
            Operation::EndThread {} => self.end_thread(thread),
            _ => self.operate(&*bound!(found(&self.threads, thread)), operation),
        };
        drop(pins);
        outcome
    }

    fn end_thread(&self, id: ThreadId) -> Outcome {
        let thread = bound!(found(&self.threads, id));
        while self.run_end(&thread, Outcome::None) != Outcome::Skipped {}
        // What only the thread's context held goes while the thread is there, without a context.
        let state = thread.state.replace(self.fresh_state());
        drop(state);
        remove(&self.threads, id);
        Outcome::None
    }

    fn operate(&self, thread: &Thread<S>, operation: &Operation) -> Outcome {
        match *operation {
            Operation::Value { equality, ref on_compare, ref on_drop, name } => {
                let held = self.programs.make(name, equality, on_compare, on_drop);
                put(&self.values, name, S::value(held));
                Outcome::None
            }
            Operation::ContextVar { ref name, hash, default, ref on_hash, variable } => {
                let default = default.and_then(|default| self.held(default));
                self.programs.hash(variable, on_hash);
                self.new_variable(name, hash, default, variable)
            }
            Operation::CapiVarNew { ref name, default, variable } => {
                self.new_variable(name, None, default.and_then(|default| self.held(default)), variable)
            }
            Operation::VarGet { variable, default } => self.get(thread, variable, default),
            Operation::VarSet { variable, value, token } => self.set(thread, variable, value, token),
            Operation::VarReset { variable, token } => match token {
                Object::Token(token) => self.reset(thread, variable, token),
                _ => Outcome::Error(Error::TokenExpected { object: token }),
            },
            Operation::VarName { variable } => Outcome::Text(bound!(found(&self.variables, variable)).name().into()),
            Operation::TokenVar { token } => {
                let key = bound!(found(&self.tokens, token)).var().id();
                Outcome::Object(Object::Variable(bound!(found(&self.names, key))))
            }
            Operation::TokenOldValue { token } => {
                let old_value = bound!(found(&self.tokens, token)).old_value().map_or(Value::Missing, |held| held.value());
                Outcome::Object(old_value.into())
            }
            Operation::TokenEnter { token } => Outcome::Object(Object::Token(token)),
            Operation::TokenExit { token } => {
                let variable = bound!(found(&self.tokens, token)).var().clone();
                self.reset_with(thread, &variable, token)
            }
            Operation::Context { context } | Operation::CapiNew { context } => self.name_context(context, Context::default()),
            Operation::CopyContext { context } => self.name_context(context, thread.state().copy_context()),
            Operation::CapiCopyCurrent { context } => self.name_context(context, thread.state().current_or_base().copy()),
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
                match thread.state().enter(&context) {
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
            Operation::Contains { context, key } => self.look_up(context, key, |variable, _| {
                // By a map of its own, which is written without a trace in the context.
                let mut map = bound!(self.context(context)).vars();
                Outcome::Bool(map.without(bound!(found(&self.variables, variable)).id()).is_some())
            }),
            Operation::ContextGet { context, key, default } => self.look_up(context, key, |variable, _| {
                let mut map = bound!(self.context(context)).vars();
                let before = map.assoc(bound!(found(&self.variables, variable)).id(), self.constants[0].clone());
                Outcome::Object(before.map(|held| held.value()).or(default).unwrap_or(Value::None).into())
            }),
            Operation::ContextLen { context } => Outcome::Count(bound!(self.context(context)).len() as u64),
            Operation::Iter { context, iterator } => {
                let bindings = (&bound!(self.context(context))).into_iter();
                self.name_iterator(iterator, View::Keys, bindings)
            }
            Operation::Keys { context, iterator } => self.iterate(context, iterator, View::Keys),
            Operation::Values { context, iterator } => self.iterate(context, iterator, View::Values),
            Operation::Items { context, iterator } => self.iterate(context, iterator, View::Items),
            Operation::Next { iterator } => {
                let (view, bindings) = bound!(found(&self.iterators, iterator));
                let next = bindings.borrow_mut().next();
                let Some((key, held)) = next else { return Outcome::Error(Error::StopIteration) };
                let variable = bound!(found(&self.names, key));
                match view {
                    View::Keys => Outcome::Object(Object::Variable(variable)),
                    View::Values => Outcome::Object(held.value().into()),
                    View::Items => Outcome::Pair(variable, held.value()),
                }
            }
            Operation::IteratorLen { iterator } => Outcome::Count(bound!(found(&self.iterators, iterator)).1.borrow().map_len() as u64),
            Operation::Equal { left, right } => self.equal(left, right).map_or_else(Outcome::Error, Outcome::Bool),
            Operation::NotEqual { left, right } => self.not_equal(left, right).map_or_else(Outcome::Error, Outcome::Bool),
            // Python's texts are Python's own.
            Operation::Repr { .. } | Operation::Cache { .. } => Outcome::Unsupported,
            Operation::Hash { object } => match object {
                Object::Variable(id) => Outcome::Hash(bound!(found(&self.variables, id)).hash()),
                Object::Token(_) | Object::Context(_) => Outcome::Unsupported,
                _ => Outcome::None,
            },
            Operation::Attempt { action, object } => self.attempt(thread, action, object),
            Operation::WeakReference { context, reference } => {
                let weak = bound!(self.context(context)).downgrade();
                put(&self.references, reference, (context, Rc::new(weak)));
                Outcome::None
            }
            Operation::Dereference { reference } => {
                let (name, weak) = bound!(found(&self.references, reference));
                weak.upgrade().map_or(Outcome::None, |_| Outcome::Object(Object::Context(name)))
            }
            Operation::Drop { object } => self.drop_handle(object),
            Operation::Enter { context } => match context {
                Object::Context(name) => {
                    let context = bound!(self.context(name));
                    Self::enter_foreseen(thread, &context, name)
                }
                _ => Outcome::Error(Error::CapiContextExpected),
            },
            Operation::Exit { context } => match context {
                Object::Context(name) => {
                    let context = bound!(self.context(name));
                    answer(thread.state().exit(&context).map_err(|error| exit_error(error, name)))
                }
                _ => Outcome::Error(Error::CapiContextExpected),
            },
            Operation::CapiVarGet { variable, default } => match variable {
                Object::Variable(variable) => self.get_lent(thread, variable, default),
                _ => Outcome::Error(Error::CapiVariableExpected),
            },
            Operation::CapiVarSet { variable, value, token } => match variable {
                Object::Variable(variable) => self.set_owned(thread, variable, value, token),
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
            // Carried out by `carry_out`, which has the thread's identifier.
            Operation::EndThread {} => Outcome::Skipped,
            Operation::ContextVer {} => Outcome::ContextVer(thread.state().context_ver()),
            Operation::SetContextVer { context_ver } => {
                thread.state().set_context_ver(context_ver);
                Outcome::None
            }
            Operation::HasCurrentContext {} => {
                let has_current = thread.state().current().is_some();
                let fresh = Context::default();
                let switched = thread.state().enter(&fresh).is_ok() && thread.state().exit(&fresh).is_ok();
                if switched { Outcome::Bool(has_current) } else { Outcome::Unsupported }
            }
        }
    }

    fn new_variable(&self, name: &str, hash: Option<i64>, default: Option<S::Value<Held<S>>>, id: VariableId) -> Outcome {
        // Without a hash the trace's order is not compared, and the library may choose one.
        let variable = ContextVar::build(name, default, hash);
        if variable.id().folded_hash() != fold_hash(variable.hash()) {
            return Outcome::Hash(variable.hash());
        }
        put(&self.names, variable.id(), id);
        put(&self.variables, id, variable);
        Outcome::None
    }

    fn name_context(&self, id: ContextId, context: Context<Held<S>, S>) -> Outcome {
        put(&self.contexts, id, context);
        Outcome::None
    }

    fn get(&self, thread: &Thread<S>, id: VariableId, default: Option<Value>) -> Outcome {
        let variable = bound!(found(&self.variables, id));
        let found = match default {
            Some(default) => Ok(thread.state().get_or(&variable, bound!(self.held(default)))),
            None => thread.state().get(&variable),
        };
        found.map_or(Outcome::Error(Error::Lookup { variable: id }), |held| Outcome::Object(held.value().into()))
    }

    fn set(&self, thread: &Thread<S>, variable: VariableId, value: Value, token: TokenId) -> Outcome {
        let made = thread.state().set_shared(&bound!(found(&self.variables, variable)), bound!(self.held(value)));
        put(&self.tokens, token, made);
        Outcome::None
    }

    fn reset(&self, thread: &Thread<S>, variable: VariableId, token: TokenId) -> Outcome {
        let variable = bound!(found(&self.variables, variable));
        self.reset_with(thread, &variable, token)
    }

    fn reset_with(&self, thread: &Thread<S>, variable: &ContextVar<Held<S>, S>, token: TokenId) -> Outcome {
        let found = bound!(found(&self.tokens, token));
        answer(thread.state().reset(variable, &found).map_err(|error| match error {
            ResetError::Used => Error::TokenUsed { token },
            ResetError::DifferentVariable => Error::TokenOfOtherVariable { token },
            ResetError::DifferentContext => Error::TokenOfOtherContext { token },
        }))
    }

    fn run_end(&self, thread: &Thread<S>, result: Outcome) -> Outcome {
        let frame = thread.frames.borrow_mut().pop();
        let (context, name) = bound!(frame);
        match thread.state().exit(&context) {
            Ok(()) => result,
            Err(error) => Outcome::Error(exit_error(error, name)),
        }
    }

    fn look_up(&self, context: ContextId, key: Object, then: impl FnOnce(VariableId, Option<Value>) -> Outcome) -> Outcome {
        let context = bound!(self.context(context));
        let Object::Variable(id) = key else { return Outcome::Error(Error::KeyExpected { object: key }) };
        let variable = bound!(found(&self.variables, id));
        let found = context.get(&variable);
        if context.contains(&variable) != found.is_some() {
            return Outcome::Bool(false);
        }
        then(id, found.map(|held| held.value()))
    }

    fn iterate(&self, context: ContextId, iterator: IteratorId, view: View) -> Outcome {
        let bindings = bound!(self.context(context)).iter();
        self.name_iterator(iterator, view, bindings)
    }

    fn name_iterator(&self, iterator: IteratorId, view: View, bindings: Iter<Held<S>, S>) -> Outcome {
        put(&self.iterators, iterator, (view, Rc::new(RefCell::new(bindings))));
        Outcome::None
    }

    fn equal(&self, left: Object, right: Object) -> Result<bool, Error> {
        match (left, right) {
            (Object::Context(left), Object::Context(right)) => match (self.context(left), self.context(right)) {
                (Some(left), Some(right)) => left.try_eq_by(&right, |left, right| self.programs.equal(left.value(), right.value())),
                _ => Ok(left == right),
            },
            (Object::Variable(left), Object::Variable(right)) => Ok(found(&self.variables, left) == found(&self.variables, right)),
            (Object::Token(left), Object::Token(right)) => Ok(found(&self.tokens, left) == found(&self.tokens, right)),
            _ => self.programs.equal(left, right),
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

    fn drop_handle(&self, object: Object) -> Outcome {
        match object {
            Object::Value(id) => remove(&self.values, id),
            Object::Variable(id) => remove(&self.variables, id),
            Object::Token(id) => remove(&self.tokens, id),
            Object::Context(id) => remove(&self.contexts, id),
            Object::Iterator(id) => remove(&self.iterators, id),
            Object::None | Object::Missing => {}
        }
        Outcome::None
    }
}

/// The clones that an operation holds.
struct Pin<S: Sharing> {
    _value: Option<S::Value<Held<S>>>,
    _variable: Option<ContextVar<Held<S>, S>>,
    _token: Option<Token<Held<S>, S>>,
    _context: Option<Context<Held<S>, S>>,
}
