//! One trace in the interpreter: the loop over its steps, and the threads that hand them over.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use contextvars_spec::{Action, Answer, Error, Object, Observe, Operation, Outcome, Run, Step, ThreadId};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use super::capi;
use super::errors::{classify, of_type};
use super::objects::{Objects, c_str};
use super::watchers::Watchers;

/// Why a loop over the steps ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The trace is over, or the engine failed.
    Over,
    /// The thread ends; the step is answered when its state is gone.
    Thread,
    /// The innermost callable returns.
    Return,
    /// The innermost callable raises.
    Raise,
}

struct State {
    next: usize,
    run: Run,
    objects: Objects,
    watchers: Watchers,
    alive: BTreeSet<ThreadId>,
    workers: Vec<JoinHandle<()>>,
    failure: Option<String>,
}

struct Session {
    steps: Vec<Step>,
    observe: Observe,
    // A thread that waits holds neither this nor the interpreter, and one that has this never waits
    // for the interpreter.
    state: Mutex<State>,
    turn: Condvar,
}

/// Runs a trace from a fresh state of the calling thread.
pub(super) fn run(steps: &[Step], observe: Observe) -> Result<Run, String> {
    let session = Python::attach(|py| -> PyResult<Arc<Session>> {
        let state = State {
            next: 0,
            run: Run::default(),
            objects: Objects::new(py)?,
            watchers: Watchers::default(),
            alive: BTreeSet::from([ThreadId::MAIN]),
            workers: Vec::new(),
            failure: None,
        };
        let session = Arc::new(Session { steps: steps.to_vec(), observe, state: Mutex::new(state), turn: Condvar::new() });
        session.drive(py, ThreadId::MAIN, 0);
        Ok(session)
    })
    .map_err(|error| error.to_string())?;
    // Joined without the interpreter, which the others need to unwind.
    let workers = std::mem::take(&mut session.lock().workers);
    for worker in workers {
        worker.join().map_err(|_| "a thread of the trace panicked".to_owned())?;
    }
    Python::attach(|py| session.lock().watchers.clear_all(py)).map_err(|error| error.to_string())?;
    let mut state = session.lock();
    match state.failure.take() {
        Some(failure) => Err(failure),
        None => Ok(std::mem::take(&mut state.run)),
    }
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who carries the next step out: its thread, or the main one where that is not alive.
    fn owner(&self, state: &State) -> Option<ThreadId> {
        let step = self.steps.get(state.next)?;
        Some(if state.alive.contains(&step.thread) { step.thread } else { ThreadId::MAIN })
    }

    /// Waits until a step of the thread is next; false where the trace is over.
    fn wait(&self, py: Python<'_>, thread: ThreadId) -> bool {
        let ready = |state: &State| state.failure.is_some() || self.owner(state).is_none_or(|owner| owner == thread);
        // Where it may be another thread's turn, that one may have the lock and wait for the interpreter.
        if !self.state.try_lock().is_ok_and(|state| ready(&state)) {
            py.detach(|| {
                let mut state = self.lock();
                while !ready(&state) {
                    state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            });
        }
        let state = self.lock();
        state.failure.is_none() && state.next < self.steps.len()
    }

    /// Records the answer of the next step and goes on to the one after.
    fn answer(&self, py: Python<'_>, thread: ThreadId, outcome: Outcome) {
        self.answer_locked(&mut self.lock(), py, thread, outcome);
    }

    fn answer_locked(&self, state: &mut State, py: Python<'_>, thread: ThreadId, outcome: Outcome) {
        let index = state.next;
        let events = state.watchers.events(&state.objects);
        state.run.answers.push(Answer { outcome, events, calls: Vec::new() });
        if self.observe.after(index, self.steps.len()) {
            match state.objects.observe(py) {
                Ok(observation) => state.run.observations.push((index, observation)),
                Err(error) => state.failure = Some(error.to_string()),
            }
        }
        state.next += 1;
        if self.owner(state) != Some(thread) {
            self.turn.notify_all();
        }
    }

    fn fail(&self, reason: String) {
        self.lock().failure.get_or_insert(reason);
        self.turn.notify_all();
    }

    /// Carries out the steps of one thread at one depth of callables.
    fn drive(self: &Arc<Self>, py: Python<'_>, thread: ThreadId, depth: usize) -> End {
        if depth == 0 {
            // A thread that starts has not had a turn yet: as in `wait`.
            let id = capi::thread_id(py);
            py.detach(|| self.lock().objects.thread_of.insert(id, thread));
        }
        while self.wait(py, thread) {
            let step = &self.steps[self.lock().next];
            let outcome = if step.thread != thread {
                Ok(Outcome::Skipped)
            } else {
                match step.operation {
                    Operation::Run { context } => match self.call_run(py, thread, context, depth) {
                        Ok(None) => continue,
                        Ok(Some(end)) => return end,
                        Err(error) => Err(error),
                    },
                    Operation::Return {} if depth > 0 => return End::Return,
                    Operation::Raise {} if depth > 0 => return End::Raise,
                    Operation::Return {} | Operation::Raise {} => Ok(Outcome::Skipped),
                    Operation::EndThread {} if !thread.is_main() => return End::Thread,
                    Operation::StartThread { started } => {
                        self.start(started);
                        Ok(Outcome::None)
                    }
                    _ => self.operate(py, &step.operation),
                }
            };
            match outcome {
                Ok(outcome) => self.answer(py, thread, outcome),
                Err(error) => self.fail(format!("`{}`: {error}", step.operation.tag())),
            }
        }
        End::Over
    }

    fn start(self: &Arc<Self>, thread: ThreadId) {
        let session = Arc::clone(self);
        let worker = std::thread::spawn(move || {
            let end = Python::attach(|py| session.drive(py, thread, 0));
            if end == End::Thread {
                // The thread's state is gone now, and with it what only it held.
                Python::attach(|py| {
                    // Under one lock: between the two the step would look like one of a dead thread.
                    let mut state = session.lock();
                    state.alive.remove(&thread);
                    session.answer_locked(&mut state, py, thread, Outcome::None);
                });
            }
        });
        let mut state = self.lock();
        state.alive.insert(thread);
        state.workers.push(worker);
    }

    /// `Context.run`, nested for real. Answers why the loop must end, if it must.
    fn call_run(
        self: &Arc<Self>,
        py: Python<'_>,
        thread: ThreadId,
        name: contextvars_spec::ContextId,
        depth: usize,
    ) -> PyResult<Option<End>> {
        let Some(context) = self.lock().objects.object(py, Object::Context(name)) else {
            self.answer(py, thread, Outcome::Skipped);
            return Ok(None);
        };
        let ended = Arc::new(Mutex::new(None));
        let (session, inner) = (Arc::clone(self), Arc::clone(&ended));
        let raised = self.lock().objects.helper(py, "Raised")?.unbind();
        let callable = PyCFunction::new_closure(
            py,
            None,
            None,
            move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
                let py = arguments.py();
                session.answer(py, thread, Outcome::Called);
                let end = session.drive(py, thread, depth + 1);
                *inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
                if end == End::Raise { Err(PyErr::from_value(raised.bind(py).call0()?)) } else { Ok(()) }
            },
        )?;
        let result = context.call_method1("run", (callable,));
        let expected = [Error::AlreadyEntered { context: name }, Error::NotEntered { context: name }, Error::NotCurrent { context: name }];
        let outcome = match result {
            Ok(_) => Outcome::None,
            Err(error) if error.get_type(py).is(&self.lock().objects.helper(py, "Raised")?) => Outcome::Error(Error::Raised),
            Err(error) => Outcome::Error(classify(py, &error, &expected, &context)),
        };
        drop(context);
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ended {
            Some(end @ (End::Over | End::Thread)) => Ok(Some(end)),
            // The answer is that of the `return` or `raise`, or that of a run that did not call.
            Some(End::Return | End::Raise) | None => {
                self.answer(py, thread, outcome);
                Ok(None)
            }
        }
    }

    /// Everything that neither calls back into the trace nor changes threads.
    fn operate(&self, py: Python<'_>, operation: &Operation) -> PyResult<Outcome> {
        // Python code of a trace's values never comes back here, so that the lock can be held.
        let mut guard = self.lock();
        let state = &mut *guard;
        let objects = &mut state.objects;
        macro_rules! object {
            ($object:expr) => {
                match objects.object(py, $object) {
                    Some(object) => object,
                    None => return Ok(Outcome::Skipped),
                }
            };
        }
        macro_rules! optional {
            ($value:expr) => {
                match $value {
                    Some(value) => Some(object!(Object::from(value))),
                    None => None,
                }
            };
        }
        let outcome = match *operation {
            Operation::Value { equality, name, .. } => {
                objects.new_value(py, name, equality)?;
                Outcome::None
            }
            Operation::ContextVar { ref name, hash, default, variable, .. } => {
                let default = optional!(default);
                objects.new_variable(py, variable, name, hash, default)?;
                Outcome::None
            }
            Operation::CapiVarNew { ref name, default, variable } => {
                let default = optional!(default);
                let made = capi::var_new(py, &c_str(name), default.as_ref())?;
                objects.name_variable(variable, made);
                Outcome::None
            }
            Operation::VarGet { variable, default } => {
                let found = object!(Object::Variable(variable));
                let result = match optional!(default) {
                    Some(default) => found.call_method1("get", (default,)),
                    None => found.call_method0("get"),
                };
                match result {
                    Ok(value) => objects.known(&value),
                    Err(error) => Outcome::Error(classify(py, &error, &[Error::Lookup { variable }], &found)),
                }
            }
            Operation::VarSet { variable, value, token } => {
                let made = object!(Object::Variable(variable)).call_method1("set", (object!(value.into()),))?;
                objects.tokens.insert(token, made.unbind());
                Outcome::None
            }
            Operation::VarReset { variable, token } => {
                let found = object!(token);
                let result = object!(Object::Variable(variable)).call_method1("reset", (&found,));
                reset_outcome(py, result.map(|_| ()), token, &found)
            }
            Operation::VarName { variable } => {
                Outcome::Text(object!(Object::Variable(variable)).getattr("name")?.extract::<String>()?.into())
            }
            Operation::TokenVar { token } => objects.known(&object!(Object::Token(token)).getattr("var")?),
            Operation::TokenOldValue { token } => objects.known(&object!(Object::Token(token)).getattr("old_value")?),
            Operation::TokenEnter { token } => {
                let found = object!(Object::Token(token));
                let entered = found.call_method0("__enter__")?;
                if entered.is(&found) { Outcome::Object(Object::Token(token)) } else { objects.known(&entered) }
            }
            Operation::TokenExit { token } => {
                let found = object!(Object::Token(token));
                let result = found.call_method1("__exit__", (py.None(), py.None(), py.None()));
                reset_outcome(py, result.map(|_| ()), Object::Token(token), &found)
            }
            Operation::Context { context } => {
                let made = objects.helper(py, "Context")?.call0()?;
                objects.contexts.insert(context, made.unbind());
                Outcome::None
            }
            Operation::CapiNew { context } => {
                objects.contexts.insert(context, capi::context_new(py)?.unbind());
                Outcome::None
            }
            Operation::CopyContext { context } => {
                let made = objects.helper(py, "copy_context")?.call0()?;
                objects.contexts.insert(context, made.unbind());
                Outcome::None
            }
            Operation::CapiCopyCurrent { context } => {
                objects.contexts.insert(context, capi::context_copy_current(py)?.unbind());
                Outcome::None
            }
            Operation::ContextCopy { source, context } => {
                let made = object!(Object::Context(source)).call_method0("copy")?;
                objects.contexts.insert(context, made.unbind());
                Outcome::None
            }
            Operation::CapiCopy { source, context } => {
                let source = object!(source);
                match capi::context_copy(&source) {
                    Ok(made) => {
                        objects.contexts.insert(context, made.unbind());
                        Outcome::None
                    }
                    Err(error) => Outcome::Error(classify(py, &error, &[Error::CapiContextExpected], &source)),
                }
            }
            Operation::GetItem { context, key } => {
                let found = object!(key);
                answer_key(py, object!(Object::Context(context)).get_item(&found).map(|value| objects.known(&value)), key, &found)
            }
            Operation::Contains { context, key } => {
                let found = object!(key);
                answer_key(py, object!(Object::Context(context)).contains(&found).map(Outcome::Bool), key, &found)
            }
            Operation::ContextGet { context, key, default } => {
                let found = object!(key);
                let context = object!(Object::Context(context));
                let result = match optional!(default) {
                    Some(default) => context.call_method1("get", (&found, default)),
                    None => context.call_method1("get", (&found,)),
                };
                answer_key(py, result.map(|value| objects.known(&value)), key, &found)
            }
            Operation::ContextLen { context } => Outcome::Count(object!(Object::Context(context)).len()? as u64),
            Operation::Iter { context, iterator } => {
                let made = object!(Object::Context(context)).try_iter()?.into_any();
                objects.iterators.insert(iterator, made.unbind());
                Outcome::None
            }
            Operation::Keys { context, iterator } | Operation::Values { context, iterator } | Operation::Items { context, iterator } => {
                let view = match operation {
                    Operation::Keys { .. } => "keys",
                    Operation::Values { .. } => "values",
                    _ => "items",
                };
                let made = object!(Object::Context(context)).call_method0(view)?;
                objects.iterators.insert(iterator, made.unbind());
                Outcome::None
            }
            Operation::Next { iterator } => {
                let found = object!(Object::Iterator(iterator));
                match found.call_method0("__next__") {
                    Ok(item) => match item.cast::<PyTuple>() {
                        Ok(pair) => {
                            let pair = objects.variable_of(&pair.get_item(0)?).zip(objects.value_of(&pair.get_item(1)?));
                            pair.map_or_else(|| objects.known(&item), |(variable, value)| Outcome::Pair(variable, value))
                        }
                        Err(_) => objects.known(&item),
                    },
                    Err(error) => Outcome::Error(classify(py, &error, &[Error::StopIteration], &found)),
                }
            }
            Operation::IteratorLen { iterator } => Outcome::Count(object!(Object::Iterator(iterator)).len()? as u64),
            Operation::Equal { left, right } => equality(py, objects, object!(left).eq(object!(right))),
            Operation::NotEqual { left, right } => equality(py, objects, object!(left).ne(object!(right))),
            Operation::Repr { object } => Outcome::Text(objects.repr(&object!(object))?.into()),
            Operation::Hash { object } => match object!(object).hash() {
                Err(error) => Outcome::Error(of_type(py, &error)),
                Ok(hash) if matches!(object, Object::Variable(_)) => Outcome::Hash(hash as i64),
                Ok(_) => Outcome::None,
            },
            Operation::Attempt { action, object } => {
                let found = object!(object);
                attempt(py, objects, action, object, &found)?
            }
            Operation::WeakReference { context, reference } => {
                let made = py.import("weakref")?.call_method1("ref", (object!(Object::Context(context)),))?;
                objects.references.insert(reference, (context, made.unbind()));
                Outcome::None
            }
            Operation::Dereference { reference } => match objects.references.get(&reference) {
                None => Outcome::Skipped,
                Some((_, made)) if made.bind(py).call0()?.is_none() => Outcome::None,
                Some((name, _)) => Outcome::Object(Object::Context(*name)),
            },
            Operation::Drop { object } => {
                object!(object);
                match object {
                    Object::Variable(id) => drop(objects.variables.remove(&id)),
                    Object::Token(id) => drop(objects.tokens.remove(&id)),
                    Object::Context(id) => drop(objects.contexts.remove(&id)),
                    Object::Iterator(id) => drop(objects.iterators.remove(&id)),
                    Object::Value(id) => drop(objects.values.remove(&id)),
                    Object::None | Object::Missing => {}
                }
                Outcome::None
            }
            Operation::Enter { context } => {
                let found = object!(context);
                switch_outcome(py, capi::context_enter(&found), context, &found)
            }
            Operation::Exit { context } => {
                let found = object!(context);
                switch_outcome(py, capi::context_exit(&found), context, &found)
            }
            Operation::CapiVarGet { variable, default } => {
                let found = object!(variable);
                match capi::var_get(&found, optional!(default).as_ref()) {
                    Ok(Some(value)) => objects.known(&value),
                    Ok(None) => Outcome::NotFound,
                    Err(error) => Outcome::Error(classify(py, &error, &[Error::CapiVariableExpected], &found)),
                }
            }
            Operation::CapiVarSet { variable, value, token } => {
                let found = object!(variable);
                match capi::var_set(&found, &object!(value.into())) {
                    Ok(made) => {
                        objects.tokens.insert(token, made.unbind());
                        Outcome::None
                    }
                    Err(error) => Outcome::Error(classify(py, &error, &[Error::CapiVariableExpected], &found)),
                }
            }
            Operation::CapiVarReset { variable, token } => {
                let found = object!(token);
                let result = capi::var_reset(&object!(variable), &found);
                match result {
                    Err(error) if !matches!((variable, token), (Object::Variable(_), Object::Token(_))) => {
                        Outcome::Error(classify(py, &error, &[Error::CapiVariableExpected, Error::CapiTokenExpected], &found))
                    }
                    result => reset_outcome(py, result, token, &found),
                }
            }
            Operation::Cache { variable } => objects.cache(&object!(Object::Variable(variable))),
            Operation::HasCurrentContext {} => {
                let fresh = capi::context_new(py)?;
                capi::context_enter(&fresh)?;
                let previous = objects.helper(py, "has_previous")?.call1((&fresh,))?.is_truthy()?;
                capi::context_exit(&fresh)?;
                Outcome::Bool(previous)
            }
            Operation::AddWatcher { fails, watcher } => state.watchers.add(py, watcher, fails)?,
            Operation::ClearWatcher { id } => state.watchers.clear(py, id)?,
            // CPython shows its count only in the stamps of caches.
            Operation::ContextVer {} | Operation::SetContextVer { .. } => Outcome::Unsupported,
            Operation::Run { .. }
            | Operation::Return {}
            | Operation::Raise {}
            | Operation::StartThread { .. }
            | Operation::EndThread {} => Outcome::Skipped,
        };
        Ok(outcome)
    }
}

fn reset_outcome(py: Python<'_>, result: PyResult<()>, token: Object, found: &Bound<'_, PyAny>) -> Outcome {
    let expected = match token {
        Object::Token(token) => {
            vec![Error::TokenUsed { token }, Error::TokenOfOtherVariable { token }, Error::TokenOfOtherContext { token }]
        }
        object => vec![Error::TokenExpected { object }],
    };
    result.map_or_else(|error| Outcome::Error(classify(py, &error, &expected, found)), |()| Outcome::None)
}

fn switch_outcome(py: Python<'_>, result: PyResult<()>, context: Object, found: &Bound<'_, PyAny>) -> Outcome {
    let expected = match context {
        Object::Context(context) => vec![Error::AlreadyEntered { context }, Error::NotEntered { context }, Error::NotCurrent { context }],
        _ => vec![Error::CapiContextExpected],
    };
    result.map_or_else(|error| Outcome::Error(classify(py, &error, &expected, found)), |()| Outcome::None)
}

fn answer_key(py: Python<'_>, result: PyResult<Outcome>, key: Object, found: &Bound<'_, PyAny>) -> Outcome {
    let expected = match key {
        Object::Variable(variable) => Error::Key { variable },
        object => Error::KeyExpected { object },
    };
    result.unwrap_or_else(|error| Outcome::Error(classify(py, &error, &[expected], found)))
}

fn equality(py: Python<'_>, objects: &Objects, result: PyResult<bool>) -> Outcome {
    result.map_or_else(
        |error| {
            let value = error.value(py).getattr("args").and_then(|arguments| arguments.get_item(0)).ok();
            match value.and_then(|value| objects.value_of(&value)) {
                Some(contextvars_spec::Value::Made(value)) => Outcome::Error(Error::EqualityRaised { value }),
                _ => Outcome::Error(of_type(py, &error)),
            }
        },
        Outcome::Bool,
    )
}

fn attempt(py: Python<'_>, objects: &Objects, action: Action, object: Object, found: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    if matches!(object, Object::None | Object::Value(_) | Object::Iterator(_)) {
        return Ok(Outcome::Unsupported);
    }
    let name = serde_json::to_value(action).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    let result = objects.helper(py, "ATTEMPTS")?.get_item(name)?.call1((found,));
    let mut expected = vec![Error::TokensOnlyByVariables, Error::ContextTakesNoArguments, Error::CallableMissing, Error::NameNotStr];
    if let Object::Context(context) = object {
        expected.push(Error::AlreadyEntered { context });
    }
    Ok(match result {
        Err(error) => match classify(py, &error, &expected, found) {
            Error::Other { .. } => Outcome::Error(of_type(py, &error)),
            known => Outcome::Error(known),
        },
        Ok(result) if result.is_none() => Outcome::None,
        Ok(result) => match (action, result.extract::<bool>(), result.extract::<u64>()) {
            (Action::Truth | Action::IsMapping, Ok(truth), _) => Outcome::Bool(truth),
            (_, _, Ok(count)) => Outcome::Count(count),
            _ => Outcome::Text(result.str()?.to_string().into()),
        },
    })
}
