//! Reads a run's answers in order, and holds each against those that were asked of the same state.

use std::cell::RefCell;
use std::rc::Rc;

use contextvars_spec::{
    Action, Answer, ContextId, Error, IteratorId, Object, Observation, Operation, Outcome, Rule, Step, ThreadId, TokenId, Value, VariableId,
};
use rustc_hash::FxHashMap;

use super::maps::{Bound, Map, Reading, Way};
use super::tokens::Token;
use super::{Broken, Checked};

type Shared = Rc<RefCell<Map>>;
type Agrees = Result<(), Box<Broken>>;

/// What a thread's current context is.
#[derive(Debug, Default)]
struct Thread {
    /// The contexts that were seen to be entered, the current one last.
    entered: Vec<ContextId>,
    /// What was current before, which may have a name that is not known.
    bottom: Shared,
    /// Whether that may be a context of the trace: else it is a base context, which nothing else leads to.
    may_be_named: bool,
}

#[derive(Debug)]
struct Iterator {
    /// The map of the iterator's creation.
    map: Shared,
    context: ContextId,
    keys: bool,
    values: bool,
    taken: usize,
}

/// Which attribute of an object never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Constant {
    Name,
    Hash,
    Repr,
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) checked: Checked,
    threads: FxHashMap<ThreadId, Thread>,
    contexts: FxHashMap<ContextId, Shared>,
    iterators: FxHashMap<IteratorId, Iterator>,
    tokens: FxHashMap<TokenId, Token>,
    /// The defaults that variables were made with.
    defaults: FxHashMap<VariableId, Value>,
    constants: FxHashMap<(Constant, Object), (Outcome, usize)>,
    /// What `==` (and, negated, `!=`) answered since the last write.
    compared: FxHashMap<(Object, Object), (Outcome, usize)>,
    /// Whether `context_ver` was overwritten: stamps of caches may be met again then, and get need not
    /// answer what is bound.
    turned_back: bool,
}

impl Reader {
    /// Takes in the answer to a step.
    pub(super) fn step(&mut self, index: usize, step: &Step, answer: &Answer) -> Agrees {
        let outcome = &answer.outcome;
        if matches!(outcome, Outcome::Skipped | Outcome::Unsupported) {
            return Ok(());
        }
        let thread = step.thread;
        if let Operation::ContextVar { default: Some(default), variable, .. }
        | Operation::CapiVarNew { default: Some(default), variable, .. } = step.operation
        {
            self.defaults.insert(variable, default);
        }
        if !answer.calls.is_empty() {
            // The answer is of some moment between what the programs did.
            self.forget(thread);
            return Ok(());
        }
        match step.operation {
            Operation::VarGet { variable, default } => self.get(index, thread, variable, default, outcome),
            Operation::CapiVarGet { variable: Object::Variable(variable), default } => self.get(index, thread, variable, default, outcome),
            Operation::VarSet { variable, value, token } => self.set(index, thread, variable, value, token, outcome),
            Operation::CapiVarSet { variable: Object::Variable(variable), value, token } => {
                self.set(index, thread, variable, value, token, outcome)
            }
            Operation::VarReset { variable, token: Object::Token(token) }
            | Operation::CapiVarReset { variable: Object::Variable(variable), token: Object::Token(token) } => {
                self.reset(index, thread, Some(variable), token, outcome)
            }
            Operation::TokenExit { token } => self.reset(index, thread, None, token, outcome),
            Operation::Run { context } => {
                if *outcome == Outcome::Called {
                    self.enter(thread, context);
                }
                Ok(())
            }
            Operation::Enter { context: Object::Context(context) } => {
                if *outcome == Outcome::None {
                    self.enter(thread, context);
                }
                Ok(())
            }
            Operation::Return {} | Operation::Raise {} => {
                match outcome {
                    Outcome::None | Outcome::Error(Error::Raised) => self.exit(thread),
                    _ => self.lose(thread),
                }
                Ok(())
            }
            Operation::Exit { .. } => {
                if *outcome == Outcome::None {
                    self.exit(thread);
                }
                Ok(())
            }
            Operation::EndThread {} => {
                self.threads.remove(&thread);
                Ok(())
            }
            Operation::SetContextVer { .. } => {
                self.turned_back = true;
                Ok(())
            }
            Operation::Drop { object } => {
                match object {
                    Object::Context(id) => drop(self.contexts.remove(&id)),
                    Object::Token(id) => drop(self.tokens.remove(&id)),
                    Object::Iterator(id) => drop(self.iterators.remove(&id)),
                    _ => {}
                }
                Ok(())
            }
            _ => self.question(index, thread, &step.operation, outcome),
        }
    }

    /// Takes in the answer to a step that changes no binding.
    fn question(&mut self, index: usize, thread: ThreadId, operation: &Operation, outcome: &Outcome) -> Agrees {
        match *operation {
            Operation::Context { context } | Operation::CapiNew { context } => {
                if *outcome == Outcome::None {
                    self.contexts.insert(context, Shared::default());
                }
                Ok(())
            }
            Operation::CopyContext { context } | Operation::CapiCopyCurrent { context } => {
                if *outcome == Outcome::None {
                    let source = Rc::clone(self.current(thread));
                    self.contexts.insert(context, source);
                }
                Ok(())
            }
            Operation::ContextCopy { source, context } | Operation::CapiCopy { source: Object::Context(source), context } => {
                if *outcome == Outcome::None {
                    let source = Rc::clone(self.contexts.entry(source).or_default());
                    self.contexts.insert(context, source);
                }
                Ok(())
            }
            Operation::GetItem { context, key: Object::Variable(variable) } => {
                reading(outcome, false).map_or(Ok(()), |reading| self.mapping(index, context, variable, reading))
            }
            Operation::Contains { context, key: Object::Variable(variable) } => match outcome {
                Outcome::Bool(true) => self.mapping(index, context, variable, Reading::BOUND),
                Outcome::Bool(false) => self.mapping(index, context, variable, Reading::UNBOUND),
                _ => Ok(()),
            },
            Operation::ContextGet { context, key: Object::Variable(variable), default } => {
                let unbound = *outcome == Outcome::Object(default.unwrap_or(Value::None).into());
                reading(outcome, unbound).map_or(Ok(()), |reading| self.mapping(index, context, variable, reading))
            }
            Operation::ContextLen { context } => match *outcome {
                Outcome::Count(size) => self.size(index, context, size),
                _ => Ok(()),
            },
            Operation::Attempt { action: Action::Truth, object: Object::Context(context) } => match *outcome {
                Outcome::Bool(truth) => {
                    let map = self.contexts.entry(context).or_default();
                    map.borrow_mut().take_truth(index, context, truth, &mut self.checked)
                }
                _ => Ok(()),
            },
            Operation::Iter { context, iterator } | Operation::Keys { context, iterator } => {
                self.iterate(context, iterator, true, false, outcome);
                Ok(())
            }
            Operation::Values { context, iterator } => {
                self.iterate(context, iterator, false, true, outcome);
                Ok(())
            }
            Operation::Items { context, iterator } => {
                self.iterate(context, iterator, true, true, outcome);
                Ok(())
            }
            Operation::Next { iterator } => self.next(index, iterator, outcome),
            Operation::IteratorLen { iterator } => match (self.iterators.get(&iterator), outcome) {
                (Some(of), Outcome::Count(size)) => {
                    let size = usize::try_from(*size).unwrap_or(usize::MAX);
                    of.map.borrow_mut().take_size(index, of.context, size, &mut self.checked)
                }
                _ => Ok(()),
            },
            Operation::Equal { left, right } => self.equal(index, left, right, outcome.clone()),
            Operation::NotEqual { left, right } => {
                let negated = match outcome {
                    Outcome::Bool(unequal) => Outcome::Bool(!unequal),
                    outcome => outcome.clone(),
                };
                self.equal(index, left, right, negated)
            }
            Operation::TokenVar { token } => match *outcome {
                Outcome::Object(Object::Variable(variable)) => {
                    self.tokens.entry(token).or_default().take_variable(index, token, variable, &mut self.checked)
                }
                _ => Ok(()),
            },
            Operation::TokenOldValue { token } => match bound_to(outcome).old_value() {
                Some(value) => self.tokens.entry(token).or_default().take_old_value(index, token, value, &mut self.checked),
                None => Ok(()),
            },
            Operation::VarName { variable } => self.constant(index, Constant::Name, Object::Variable(variable), outcome),
            Operation::Hash { object: object @ Object::Variable(_) } => self.constant(index, Constant::Hash, object, outcome),
            Operation::Repr { object: object @ (Object::Variable(_) | Object::Context(_)) } => {
                self.constant(index, Constant::Repr, object, outcome)
            }
            Operation::Repr { object: Object::Token(token) } => match outcome {
                Outcome::Text(text) => {
                    let used = text.starts_with("<Token used");
                    self.tokens.entry(token).or_default().take_used(index, token, used, &mut self.checked)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Takes in a whole observed state.
    pub(super) fn observe(&mut self, index: usize, observation: &Observation) -> Agrees {
        for observed in &observation.contexts {
            let map = self.contexts.entry(observed.context).or_default();
            map.borrow_mut().take_all(index, observed.context, &observed.bindings, &mut self.checked)?;
        }
        for observed in &observation.tokens {
            let token = self.tokens.entry(observed.token).or_default();
            token.take_variable(index, observed.token, observed.variable, &mut self.checked)?;
            token.take_old_value(index, observed.token, observed.old_value, &mut self.checked)?;
            token.take_used(index, observed.token, observed.used, &mut self.checked)?;
        }
        Ok(())
    }

    fn current(&mut self, thread: ThreadId) -> &mut Shared {
        let of = self.threads.entry(thread).or_default();
        match of.entered.last() {
            Some(context) => self.contexts.entry(*context).or_default(),
            None => &mut of.bottom,
        }
    }

    fn get(&mut self, index: usize, thread: ThreadId, variable: VariableId, default: Option<Value>, outcome: &Outcome) -> Agrees {
        if self.turned_back {
            return Ok(());
        }
        let fallback = default.or_else(|| self.defaults.get(&variable).copied());
        let unbound = fallback.is_some_and(|fallback| *outcome == Outcome::Object(fallback.into()));
        let Some(reading) = reading(outcome, unbound) else { return Ok(()) };
        let map = Rc::clone(self.current(thread));
        map.borrow_mut().take(index, variable, Way::Get(thread), reading, &mut self.checked)
    }

    fn mapping(&mut self, index: usize, context: ContextId, variable: VariableId, reading: Reading) -> Agrees {
        let map = self.contexts.entry(context).or_default();
        map.borrow_mut().take(index, variable, Way::Mapping(context), reading, &mut self.checked)
    }

    fn size(&mut self, index: usize, context: ContextId, size: u64) -> Agrees {
        let map = self.contexts.entry(context).or_default();
        map.borrow_mut().take_size(index, context, usize::try_from(size).unwrap_or(usize::MAX), &mut self.checked)
    }

    fn set(&mut self, index: usize, thread: ThreadId, variable: VariableId, value: Value, token: TokenId, outcome: &Outcome) -> Agrees {
        if *outcome == Outcome::None {
            let old_value = self.current(thread).borrow().old_value(variable);
            self.tokens.insert(token, Token::made(index, variable, old_value));
            self.write(index, thread, variable, Some(Reading::to(value)));
        }
        Ok(())
    }

    fn reset(&mut self, index: usize, thread: ThreadId, variable: Option<VariableId>, id: TokenId, outcome: &Outcome) -> Agrees {
        let token = self.tokens.entry(id).or_default();
        match outcome {
            Outcome::None => {
                token.take_used(index, id, false, &mut self.checked)?;
                token.use_up(index);
                let after = token.old_value().map(|value| match value {
                    // Also where there was none (TOKEN-3).
                    Value::Missing => Reading { bound: Bound::To(value), unbound: true },
                    value => Reading::to(value),
                });
                match variable.or_else(|| token.variable()) {
                    Some(variable) => self.write(index, thread, variable, after),
                    None => self.forget(thread),
                }
                Ok(())
            }
            Outcome::Error(Error::TokenUsed { .. }) => token.take_used(index, id, true, &mut self.checked),
            Outcome::Error(Error::TokenOfOtherVariable { .. } | Error::TokenOfOtherContext { .. }) => {
                token.take_used(index, id, false, &mut self.checked)
            }
            _ => Ok(()),
        }
    }

    /// The thread's current context has been written to.
    fn write(&mut self, index: usize, thread: ThreadId, variable: VariableId, after: Option<Reading>) {
        self.compared.clear();
        let of = self.threads.entry(thread).or_default();
        if of.entered.is_empty() && of.may_be_named {
            self.contexts.values_mut().for_each(|map| *map = Shared::default());
        }
        let map = self.current(thread);
        if Rc::strong_count(map) > 1 {
            let own = map.borrow().clone();
            *map = Rc::new(RefCell::new(own));
        }
        map.borrow_mut().write(index, variable, thread, after);
    }

    fn enter(&mut self, thread: ThreadId, context: ContextId) {
        self.threads.entry(thread).or_default().entered.push(context);
    }

    fn exit(&mut self, thread: ThreadId) {
        if self.threads.entry(thread).or_default().entered.pop().is_none() {
            self.lose(thread);
        }
    }

    /// Nobody has told what the thread's current context is.
    fn lose(&mut self, thread: ThreadId) {
        self.threads.insert(thread, Thread { may_be_named: true, ..Thread::default() });
    }

    /// Programs have run on the thread: they may have written to any context, entered and exited some,
    /// and taken from iterators.
    fn forget(&mut self, thread: ThreadId) {
        self.contexts.values_mut().for_each(|map| *map = Shared::default());
        self.lose(thread);
        self.iterators.clear();
        self.tokens.clear();
        self.compared.clear();
    }

    fn iterate(&mut self, context: ContextId, iterator: IteratorId, keys: bool, values: bool, outcome: &Outcome) {
        if *outcome == Outcome::None {
            let map = Rc::clone(self.contexts.entry(context).or_default());
            self.iterators.insert(iterator, Iterator { map, context, keys, values, taken: 0 });
        }
    }

    fn next(&mut self, index: usize, iterator: IteratorId, outcome: &Outcome) -> Agrees {
        let Some(of) = self.iterators.get_mut(&iterator) else { return Ok(()) };
        let (key, value) = match *outcome {
            Outcome::Error(Error::StopIteration) => {
                let taken = of.taken;
                return of.map.borrow_mut().take_end(index, of.context, taken, &mut self.checked);
            }
            Outcome::Object(Object::Variable(variable)) if of.keys && !of.values => (Some(variable), None),
            Outcome::Pair(variable, value) if of.keys && of.values => (Some(variable), Some(value)),
            ref outcome if of.values && !of.keys => (None, bound_to(outcome).old_value()),
            _ => return Ok(()),
        };
        let place = of.taken;
        of.taken += 1;
        of.map.borrow_mut().take_place(index, of.context, place, key, value, &mut self.checked)
    }

    fn equal(&mut self, index: usize, left: Object, right: Object, outcome: Outcome) -> Agrees {
        let expected = match (left, right) {
            (Object::Context(one), Object::Context(other)) => self.contexts_compare(one, other),
            (Object::Variable(_), Object::Variable(_)) | (Object::Token(_), Object::Token(_)) if left == right => Some(true),
            _ => None,
        };
        let broken = |first, text| Broken { law: Rule::Law9, first, second: index, text };
        if let Some(expected) = expected {
            // Where an operand may raise, two contexts that are not equal need not answer.
            let agrees = if expected { outcome == Outcome::Bool(true) } else { outcome != Outcome::Bool(true) };
            self.checked.note(Rule::Law9, agrees, || {
                broken(index, format!("`{left}` and `{right}` read {}, and `==` (or `!=`, negated) answers {outcome:?}", reads(expected)))
            })?;
        }
        match self.compared.get(&(left, right)) {
            Some((before, step)) => self.checked.note(Rule::Law9, *before == outcome, || {
                broken(*step, format!("`{left} == {right}` answers {before:?} and then {outcome:?}, one of them by `!=`, negated"))
            }),
            None => {
                self.compared.insert((left, right), (outcome, index));
                Ok(())
            }
        }
    }

    /// Whether two contexts must be equal, or cannot be, by how they read.
    fn contexts_compare(&mut self, left: ContextId, right: ContextId) -> Option<bool> {
        let left = Rc::clone(self.contexts.entry(left).or_default());
        let right = Rc::clone(self.contexts.entry(right).or_default());
        if Rc::ptr_eq(&left, &right) {
            return Some(true);
        }
        let (left, right) = (left.borrow(), right.borrow());
        if left.size()? != right.size()? {
            return Some(false);
        }
        let (left, right) = (left.bindings()?, right.bindings()?);
        let same_keys = left.iter().map(|(key, _)| key).eq(right.iter().map(|(key, _)| key));
        if left == right { Some(true) } else { (!same_keys).then_some(false) }
    }

    fn constant(&mut self, index: usize, which: Constant, object: Object, outcome: &Outcome) -> Agrees {
        match self.constants.get(&(which, object)) {
            Some((before, step)) => self.checked.note(Rule::Law10, before == outcome, || Broken {
                law: Rule::Law10,
                first: *step,
                second: index,
                text: format!("the {which:?} of `{object}` is {before:?} and then {outcome:?}").to_lowercase(),
            }),
            None => {
                self.constants.insert((which, object), (outcome.clone(), index));
                Ok(())
            }
        }
    }
}

fn reads(same: bool) -> &'static str {
    if same { "the same" } else { "differently" }
}

/// What the answer to `var.get` or to a subscription says of the binding. `unbound` is whether the value
/// that was answered can be a default. An exception that says nothing of it gives none.
fn reading(outcome: &Outcome, unbound: bool) -> Option<Reading> {
    match outcome {
        Outcome::NotFound | Outcome::Error(Error::Lookup { .. } | Error::Key { .. }) => Some(Reading::UNBOUND),
        // Another implementation's arguments may be others.
        Outcome::Error(Error::Other { exception, .. }) => ["LookupError", "KeyError"].contains(&&**exception).then_some(Reading::UNBOUND),
        Outcome::Error(_) => None,
        outcome => Some(Reading { unbound, ..bound_to(outcome) }),
    }
}

/// The reading of a binding whose value was answered.
fn bound_to(outcome: &Outcome) -> Reading {
    let bound = match *outcome {
        Outcome::Object(Object::None) => Bound::To(Value::None),
        Outcome::Object(Object::Missing) => Bound::To(Value::Missing),
        Outcome::Object(Object::Value(id)) => Bound::To(Value::Made(id)),
        _ => Bound::Strange,
    };
    Reading { bound, unbound: false }
}
