//! Operations of programs that use contexts, and the mechanisms that can do them.

use std::hint::black_box;

use contextvars_optimized::{Confined, Context, ContextVar, Sharing, ThreadState, VarId};

use crate::fresh::Fresh;
use crate::peers::Map;
use crate::results::{OURS, OURS_CONFINED};

/// How many variables are bound in the context.
pub const SIZES: [usize; 5] = [2, 8, 32, 128, 1024];
/// The sizes of the quick run.
pub const QUICK_SIZES: [usize; 3] = [2, 8, 32];

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Look at one variable again and again.
    Get,
    /// The same, and take a count of the value.
    GetShared,
    /// Look at every variable in turn.
    GetInTurn,
    /// Enter, look, exit.
    GetAfterSwitch,
    /// Enter, look once at every variable, exit.
    GetEachAfterSwitch,
    /// Two threads, each with a context of its own, look once at every variable in turn.
    GetEachInThreads,
    /// Bind a variable and drop the token.
    Set,
    /// Bind a variable and undo that.
    SetReset,
    /// Copy, enter, bind one variable, exit, drop.
    FirstSetAfterCopy,
    /// Copy and drop.
    CopyDrop,
    /// Enter and exit.
    EnterExit,
    /// Copy, enter, three sets, twenty gets over five variables, one reset, exit, drop.
    TaskSpawn,
}

use Operation::*;

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 12] = [
        TaskSpawn,
        Get,
        GetShared,
        GetInTurn,
        GetAfterSwitch,
        GetEachAfterSwitch,
        GetEachInThreads,
        Set,
        SetReset,
        FirstSetAfterCopy,
        CopyDrop,
        EnterExit,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Get => "get",
            GetShared => "get, counted",
            GetInTurn => "get, all in turn",
            GetAfterSwitch => "enter + get + exit",
            GetEachAfterSwitch => "enter + get each + exit, a get",
            GetEachInThreads => "get each, two threads in turn",
            Set => "set",
            SetReset => "set + reset",
            FirstSetAfterCopy => "copy + enter + set + exit",
            CopyDrop => "copy + drop",
            EnterExit => "enter + exit",
            TaskSpawn => "task spawn",
        }
    }

    /// By how much one repetition counts: some look at every variable.
    pub fn divisor(self, size: usize) -> f64 {
        match self {
            GetEachAfterSwitch | GetEachInThreads => size as f64,
            _ => 1.0,
        }
    }
}

/// A mechanism with a context of so many variables, entered.
pub trait Contender {
    /// Its name in tables.
    fn name(&self) -> String;
    /// Does the operation a number of times; false where it has no such thing.
    fn run(&mut self, operation: Operation, repeats: u64) -> bool;
}

/// The five variables that a task looks at; small contexts have some of them twice.
pub fn task_variables<T>(variables: &[T]) -> [&T; 5] {
    std::array::from_fn(|at| &variables[at % variables.len()])
}

/// Ours.
pub struct Optimized<S: Sharing> {
    thread: ThreadState<u64, S>,
    other: Context<u64, S>,
    other_thread: ThreadState<u64, S>,
    variables: Vec<ContextVar<u64, S>>,
    fresh: Fresh<S::Value<u64>>,
    cursor: usize,
}

impl<S: Sharing> Optimized<S> {
    /// A context of so many variables, entered.
    pub fn new(size: usize) -> Self {
        let (thread, context) = (ThreadState::default(), Context::default());
        let variables: Vec<_> = (0..size).map(|_| ContextVar::build("v", None, None)).collect();
        // As what a program keeps in a `static`, which nearly every variable is.
        variables.iter().for_each(ContextVar::make_immortal);
        assert!(thread.enter(&context).is_ok());
        for (variable, value) in variables.iter().zip(0..) {
            thread.set(variable, value);
        }
        let (other, other_thread) = (context.copy(), ThreadState::default());
        assert!(other_thread.enter(&context.copy()).is_ok());
        Self { thread, other, other_thread, variables, fresh: Fresh::new(S::value), cursor: 0 }
    }

    fn next(&mut self) -> usize {
        self.cursor = if self.cursor + 1 >= self.variables.len() { 0 } else { self.cursor + 1 };
        self.cursor
    }
}

/// A get that lends the value.
#[inline]
fn look<S: Sharing>(thread: &ThreadState<u64, S>, variable: &ContextVar<u64, S>) {
    let _ = black_box(thread.with(variable, |value| *value));
}

impl<S: Sharing> Contender for Optimized<S> {
    fn name(&self) -> String {
        if std::any::TypeId::of::<S>() == std::any::TypeId::of::<Confined>() { OURS_CONFINED } else { OURS }.to_owned()
    }

    fn run(&mut self, operation: Operation, repeats: u64) -> bool {
        for repeat in 0..repeats {
            match operation {
                Get => look(&self.thread, black_box(&self.variables[0])),
                GetShared => drop(black_box(self.thread.find(black_box(&self.variables[0])))),
                GetInTurn => {
                    let at = self.next();
                    look(&self.thread, &self.variables[at]);
                }
                GetAfterSwitch => {
                    let _ = self.thread.enter(&self.other);
                    look(&self.thread, black_box(&self.variables[0]));
                    let _ = self.thread.exit(&self.other);
                }
                GetEachAfterSwitch => {
                    let _ = self.thread.enter(&self.other);
                    self.variables.iter().for_each(|variable| look(&self.thread, variable));
                    let _ = self.thread.exit(&self.other);
                }
                GetEachInThreads => {
                    let thread = if repeat % 2 == 0 { &self.thread } else { &self.other_thread };
                    self.variables.iter().for_each(|variable| look(thread, variable));
                }
                Set => {
                    let at = self.next();
                    drop(black_box(self.thread.set_shared(&self.variables[at], self.fresh.next().clone())));
                }
                SetReset => {
                    let at = self.next();
                    let token = self.thread.set_shared(&self.variables[at], self.fresh.next().clone());
                    let _ = self.thread.reset(&self.variables[at], &token);
                }
                FirstSetAfterCopy => {
                    let at = self.next();
                    let task = self.thread.copy_context();
                    let _ = self.thread.enter(&task);
                    drop(black_box(self.thread.set_shared(&self.variables[at], self.fresh.next().clone())));
                    let _ = self.thread.exit(&task);
                }
                CopyDrop => drop(black_box(self.thread.copy_context())),
                EnterExit => {
                    let _ = self.thread.enter(&self.other);
                    let _ = self.thread.exit(&self.other);
                }
                TaskSpawn => {
                    let variables = task_variables(&self.variables);
                    let value = self.fresh.next();
                    let task = self.thread.copy_context();
                    let _ = self.thread.enter(&task);
                    let token = self.thread.set_shared(variables[0], value.clone());
                    self.thread.set_shared(variables[1], value.clone());
                    self.thread.set_shared(variables[2], value.clone());
                    for _ in 0..4 {
                        for variable in variables {
                            look(&self.thread, variable);
                        }
                    }
                    let _ = self.thread.reset(variables[0], &token);
                    let _ = self.thread.exit(&task);
                }
            }
        }
        true
    }
}

/// The plain model, asked through the steps of a trace, which is its only interface.
pub struct Reference {
    machine: contextvars_reference::Reference,
    size: usize,
    cursor: usize,
}

impl Reference {
    /// A context of so many variables, entered.
    pub fn new(size: usize) -> Self {
        use contextvars_spec::{ContextId, Object, Operation, TokenId, Value, VariableId};
        let mut made = Self { machine: contextvars_reference::Reference::new(), size, cursor: 0 };
        made.step(Operation::Context { context: ContextId(0) });
        made.step(Operation::Enter { context: Object::Context(ContextId(0)) });
        for number in 0..size as u32 {
            let (variable, hash) = (VariableId(number), Some(i64::from(number).wrapping_mul(0x9e37_79b9)));
            made.step(Operation::ContextVar {
                name: "v".into(),
                hash,
                default: None,
                on_hash: contextvars_spec::Program::default(),
                variable,
            });
            made.step(Operation::VarSet { variable, value: Value::None, token: TokenId(0) });
        }
        made
    }

    fn step(&mut self, operation: contextvars_spec::Operation) {
        black_box(self.machine.step(&contextvars_spec::Step::new(contextvars_spec::ThreadId::MAIN, operation)));
    }
}

impl Contender for Reference {
    fn name(&self) -> String {
        "reference".to_owned()
    }

    fn run(&mut self, operation: Operation, repeats: u64) -> bool {
        use contextvars_spec::{Object, Operation as Step, TokenId, Value, VariableId};
        for _ in 0..repeats {
            self.cursor = (self.cursor + 1) % self.size;
            let (variable, token) = (VariableId(self.cursor as u32), TokenId(0));
            match operation {
                Get => self.step(Step::VarGet { variable: VariableId(0), default: None }),
                GetInTurn => self.step(Step::VarGet { variable, default: None }),
                Set => self.step(Step::VarSet { variable, value: Value::Missing, token }),
                SetReset => {
                    self.step(Step::VarSet { variable, value: Value::Missing, token });
                    self.step(Step::VarReset { variable, token: Object::Token(token) });
                }
                _ => return false,
            }
        }
        true
    }
}

/// What a program would do with another crate's map: a stack of maps, and the old value as token.
pub struct OverMap<M: Map> {
    current: M,
    below: Vec<M>,
    other: M,
    variables: Vec<ContextVar<u64>>,
    fresh: Fresh<M::Value>,
    cursor: usize,
}

impl<M: Map> OverMap<M> {
    /// A context of so many variables, entered.
    pub fn new(size: usize) -> Self {
        let variables: Vec<_> = (0..size).map(|_| ContextVar::new("v")).collect();
        let mut current = M::empty();
        for (variable, value) in variables.iter().zip(0..) {
            current.insert(variable.id(), M::Value::from(value));
        }
        let other = current.clone();
        Self { current, below: Vec::new(), other, variables, fresh: Fresh::new(M::Value::from), cursor: 0 }
    }

    fn next(&mut self) -> usize {
        self.cursor = if self.cursor + 1 >= self.variables.len() { 0 } else { self.cursor + 1 };
        self.cursor
    }

    fn enter(&mut self, map: M) {
        self.below.push(std::mem::replace(&mut self.current, map));
    }

    fn exit(&mut self) -> M {
        let below = self.below.pop().unwrap_or_else(M::empty);
        std::mem::replace(&mut self.current, below)
    }

    fn set(&mut self, key: VarId, value: M::Value) -> Option<M::Value> {
        let old = self.current.get(key).cloned();
        self.current.insert(key, value);
        old
    }

    fn reset(&mut self, key: VarId, old: Option<M::Value>) {
        match old {
            Some(old) => self.current.insert(key, old),
            None => self.current.remove(key),
        }
    }

    fn get(&self, key: VarId) {
        black_box(self.current.get(key).map(|value| **value));
    }
}

impl<M: Map> Contender for OverMap<M> {
    fn name(&self) -> String {
        M::NAME.to_owned()
    }

    fn run(&mut self, operation: Operation, repeats: u64) -> bool {
        for _ in 0..repeats {
            match operation {
                Get => self.get(black_box(&self.variables[0]).id()),
                GetShared => drop(black_box(self.current.get(black_box(&self.variables[0]).id()).cloned())),
                GetInTurn => {
                    let at = self.next();
                    self.get(self.variables[at].id());
                }
                GetAfterSwitch => {
                    self.enter(self.other.clone());
                    self.get(black_box(&self.variables[0]).id());
                    drop(self.exit());
                }
                GetEachAfterSwitch => {
                    self.enter(self.other.clone());
                    self.variables.iter().for_each(|variable| self.get(variable.id()));
                    drop(self.exit());
                }
                GetEachInThreads => {
                    std::mem::swap(&mut self.current, &mut self.other);
                    self.variables.iter().for_each(|variable| self.get(variable.id()));
                }
                Set => {
                    let at = self.next();
                    drop(black_box(self.set(self.variables[at].id(), self.fresh.next().clone())));
                }
                SetReset => {
                    let at = self.next();
                    let key = self.variables[at].id();
                    let old = self.set(key, self.fresh.next().clone());
                    self.reset(key, old);
                }
                FirstSetAfterCopy => {
                    let at = self.next();
                    self.enter(self.current.clone());
                    drop(black_box(self.set(self.variables[at].id(), self.fresh.next().clone())));
                    drop(self.exit());
                }
                CopyDrop => drop(black_box(self.current.clone())),
                EnterExit => {
                    self.enter(self.other.clone());
                    drop(self.exit());
                }
                TaskSpawn => {
                    let keys = task_variables(&self.variables).map(ContextVar::id);
                    self.enter(self.current.clone());
                    let value = self.fresh.next().clone();
                    let old = self.set(keys[0], value.clone());
                    drop(self.set(keys[1], value.clone()));
                    drop(self.set(keys[2], value));
                    for _ in 0..4 {
                        for key in keys {
                            self.get(key);
                        }
                    }
                    self.reset(keys[0], old);
                    drop(self.exit());
                }
            }
        }
        true
    }
}
