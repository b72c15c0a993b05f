//! The machine: one function an operation, each headed by the rules that it implements.

use std::collections::VecDeque;

use contextvars_spec::{
    Answer, Call, ContextId, Engine, EngineError, Error, Event, Gone, Identity, KnownFault, Moment, Object, Observation, Observe,
    ObservedContext, ObservedToken, Operation, Outcome, Rule, RuleSet, Run, Step, ThreadId, TokenId, Trigger, Value, VariableId, Version,
};

use crate::journal::MapChange;
use crate::objects::{ContextIndex, Made, Objects, Thread, Token, View};

/// The reference model. It answers single steps, so that a generator can work from its state, and
/// whole traces as an [`Engine`].
#[derive(Clone, Debug)]
pub struct Reference {
    pub(crate) objects: Objects,
    pub(crate) events: Vec<Event>,
    pub(crate) calls: Vec<Call>,
    rules: RuleSet,
    open: bool,
    faults: Vec<KnownFault>,
    pub(crate) journal: Option<Vec<MapChange>>,
    /// The operation that is being carried out.
    pub(crate) moment: Moment,
    /// The values that are still to go, in this order and during these operations, where another engine
    /// decides when.
    pub(crate) told: Option<VecDeque<Gone>>,
}

impl Default for Reference {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers `Skipped` where there is nothing to answer from.
macro_rules! bound {
    ($found:expr) => {
        match $found {
            Some(found) => found,
            None => return Outcome::Skipped,
        }
    };
}

pub(crate) use bound;

pub(crate) fn answer(result: Result<(), Error>) -> Outcome {
    result.map_or_else(Outcome::Error, |()| Outcome::None)
}

impl Reference {
    /// A fresh state: one thread, no current context.
    #[must_use]
    pub fn new() -> Self {
        let mut objects = Objects::default();
        objects.threads.insert(ThreadId::MAIN, Thread::new());
        Self {
            objects,
            events: Vec::new(),
            calls: Vec::new(),
            rules: RuleSet::default(),
            open: false,
            faults: Vec::new(),
            journal: None,
            moment: Moment::default(),
            told: None,
        }
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

    /// Whether the rules leave open what the engines answer from now on (FINAL-1).
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The faults of CPython that the last step met.
    pub fn take_faults(&mut self) -> Vec<KnownFault> {
        std::mem::take(&mut self.faults)
    }

    pub(crate) fn meet(&mut self, fault: KnownFault) {
        self.faults.push(fault);
    }

    pub(crate) fn leave_open(&mut self) {
        self.open = true;
    }

    /// Answers one step.
    pub fn step(&mut self, step: &Step) -> Answer {
        let runs = self.objects.threads.contains_key(&step.thread);
        let outcome = if runs { self.carry_out(step.thread, &step.operation) } else { Outcome::Skipped };
        self.moment.step += 1;
        Answer { outcome, events: std::mem::take(&mut self.events), calls: std::mem::take(&mut self.calls) }
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

    fn answer_all(&mut self, steps: &[Step], observe: Observe) -> Run {
        let mut run = Run { answers: Vec::with_capacity(steps.len()), ..Run::default() };
        for (index, step) in steps.iter().enumerate() {
            run.answers.push(self.step(step));
            run.known_faults.extend(self.take_faults().into_iter().map(|fault| (index, fault)));
            if self.is_open() {
                run.open_from.get_or_insert(index);
            }
            if observe.after(index, steps.len()) {
                run.observations.push((index, self.observe()));
            }
        }
        run
    }

    pub(crate) fn cite(&mut self, rule: Rule) {
        self.rules.insert(rule);
    }

    pub(crate) fn operate(&mut self, thread: ThreadId, operation: &Operation) -> Outcome {
        match *operation {
            Operation::Value { equality, ref on_compare, ref on_drop, name } => {
                let (on_compare, on_drop) = (on_compare.clone(), on_drop.clone());
                self.objects.has_programs |= !(on_compare.is_empty() && on_drop.is_empty());
                let waits_for_drop = !on_drop.is_empty();
                let made = Made { equality, on_compare, on_drop, held: true, waits_for_drop, is_comparing: false };
                self.objects.values.insert(name, made);
                Outcome::None
            }
            Operation::ContextVar { ref name, hash, default, ref on_hash, variable } => {
                self.cite(Rule::Var1);
                if !on_hash.is_empty() {
                    self.objects.has_programs = true;
                    self.cite(Rule::Var14);
                    self.call(thread, Object::Variable(variable), Trigger::Hash, on_hash);
                }
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
                let name = bound!(self.objects.variables.get(&variable)).name.clone();
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
                self.new_context(context)
            }
            Operation::CapiNew { context } => {
                self.cite(Rule::Capi1);
                self.new_context(context)
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
                self.copy(thread, source, context)
            }
            Operation::CapiCopy { source, context } => match source {
                Object::Context(source) => {
                    let source = bound!(self.context(source));
                    self.copy(thread, source, context)
                }
                _ => self.refuse(Rule::Capi2, Error::CapiContextExpected),
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
                self.iterate(thread, context, iterator, View::Keys, Rule::Iter1)
            }
            Operation::Values { context, iterator } => self.iterate(thread, context, iterator, View::Values, Rule::Iter2),
            Operation::Items { context, iterator } => self.iterate(thread, context, iterator, View::Items, Rule::Iter3),
            Operation::Next { iterator } => self.next(iterator),
            Operation::IteratorLen { iterator } => {
                let length = bound!(self.objects.iterators.get(&iterator)).items.len();
                self.cite(Rule::Iter6);
                Outcome::Count(length as u64)
            }
            Operation::Equal { left, right } => self.equal(thread, left, right).map_or_else(Outcome::Error, Outcome::Bool),
            Operation::NotEqual { left, right } => {
                self.cite(Rule::Eq7);
                self.equal(thread, left, right).map_or_else(Outcome::Error, |equal| Outcome::Bool(!equal))
            }
            Operation::Repr { object } => Outcome::Text(self.repr(object).into()),
            Operation::Hash { object } => self.hash(object),
            Operation::Attempt { action, object } => self.attempt(thread, action, object),
            Operation::WeakReference { context, reference } => {
                let index = bound!(self.context(context));
                self.cite(Rule::Context5);
                self.objects.references.insert(reference, (context, index));
                Outcome::None
            }
            Operation::Dereference { reference } => {
                let (name, index) = *bound!(self.objects.references.get(&reference));
                if !self.objects.alive_contexts()[index] {
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
                _ => self.refuse(Rule::Enter2, Error::CapiContextExpected),
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
                _ => self.refuse(Rule::Exit2, Error::CapiContextExpected),
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
                _ => self.refuse(Rule::Capi6, Error::CapiVariableExpected),
            },
            Operation::CapiVarSet { variable, value, token } => match variable {
                Object::Variable(variable) => self.set(thread, variable, value, token),
                _ => self.refuse(Rule::Capi7, Error::CapiVariableExpected),
            },
            Operation::CapiVarReset { variable, token } => match (variable, token) {
                (Object::Variable(variable), Object::Token(token)) => answer(self.reset(thread, variable, token)),
                (Object::Variable(_), _) => self.refuse(Rule::Capi8, Error::CapiTokenExpected),
                _ => self.refuse(Rule::Capi8, Error::CapiVariableExpected),
            },
            Operation::AddWatcher { watcher, .. } => self.add_watcher(watcher, operation),
            Operation::ClearWatcher { id } => self.clear_watcher(id),
            Operation::StartThread { started } => {
                self.cite(Rule::Thread1);
                self.objects.threads.insert(started, Thread::new());
                Outcome::None
            }
            Operation::EndThread {} => {
                self.end_thread(thread);
                Outcome::None
            }
            Operation::Cache { variable } => Outcome::Cache(bound!(self.objects.variables.get(&variable)).cache),
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
    pub(crate) fn thread(&mut self, thread: ThreadId) -> &mut Thread {
        self.objects.threads.entry(thread).or_insert_with(Thread::new)
    }

    pub(crate) fn context(&self, name: ContextId) -> Option<ContextIndex> {
        self.objects.names.get(&name).copied()
    }

    /// A wrong operand: the error that the rule gives it.
    pub(crate) fn refuse(&mut self, rule: Rule, error: Error) -> Outcome {
        self.cite(rule);
        Outcome::Error(error)
    }

    fn cite_used(&mut self, token: Token) {
        if token.used {
            self.cite(Rule::Token4);
        }
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
        Ok(self.answer_all(steps, observe))
    }

    fn run_with_gone(&mut self, steps: &[Step], observe: Observe, gone: &[Gone]) -> Option<Run> {
        *self = Self { told: Some(gone.iter().copied().collect()), ..Self::new() };
        Some(self.answer_all(steps, observe))
    }
}
