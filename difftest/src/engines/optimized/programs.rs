//! The values of a trace as the library stores them, and the programs that they carry.
//!
//! The library calls user code where it compares values and where it drops them; here that is a
//! value's `PartialEq`, which the session asks, and [`Held`]'s `Drop`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Weak;

use contextvars_spec::{Call, Equality, Error, Gone, Moment, Object, Program, ThreadId, Trigger, Value, ValueId, VariableId};

use super::Session;

/// A value of the trace. It is made once, so that it goes when its last reference does.
pub(super) struct Held {
    value: Value,
    /// The session whose program runs when the value goes; none where it has no program.
    session: Weak<Session>,
}

impl Held {
    /// `None` or `MISSING`.
    pub(super) fn constant(value: Value) -> Self {
        Self { value, session: Weak::new() }
    }

    pub(super) fn value(&self) -> Value {
        self.value
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A session that ends runs no more programs.
        if let (Value::Made(id), Some(session)) = (self.value, self.session.upgrade()) {
            session.programs.drop_value(id);
        }
    }
}

struct Made {
    equality: Equality,
    on_compare: Program,
    on_drop: Program,
}

/// What values do when they are compared and when they go, and what came of it.
pub(super) struct Programs {
    session: Weak<Session>,
    made: RefCell<BTreeMap<ValueId, Made>>,
    any: Cell<bool>,
    thread: Cell<ThreadId>,
    /// The operation that is being carried out.
    moment: Cell<Moment>,
    /// Whether the trace is over: values go silently then.
    over: Cell<bool>,
    gone: RefCell<Vec<Gone>>,
    comparing: RefCell<BTreeSet<ValueId>>,
    calls: RefCell<Vec<Call>>,
}

impl Programs {
    pub(super) fn new(session: Weak<Session>) -> Self {
        Self {
            session,
            made: RefCell::default(),
            any: Cell::new(false),
            thread: Cell::new(ThreadId::MAIN),
            moment: Cell::default(),
            over: Cell::new(false),
            gone: RefCell::default(),
            comparing: RefCell::default(),
            calls: RefCell::default(),
        }
    }

    /// Whether the trace has had any program so far.
    pub(super) fn any(&self) -> bool {
        self.any.get()
    }

    /// Begins a step, on whose thread programs run.
    pub(super) fn begin(&self, step: usize, thread: ThreadId) {
        self.thread.set(thread);
        self.moment.set(Moment { step, within: None });
    }

    /// Ends the trace after so many steps.
    pub(super) fn end(&self, steps: usize) {
        self.moment.set(Moment { step: steps, within: None });
        self.over.set(true);
    }

    /// The values with finalizers that went, in this order.
    pub(super) fn take_gone(&self) -> Vec<Gone> {
        self.gone.take()
    }

    pub(super) fn take_calls(&self) -> Vec<Call> {
        self.calls.take()
    }

    pub(super) fn make(&self, id: ValueId, equality: Equality, on_compare: &Program, on_drop: &Program) -> Held {
        let session = if on_drop.is_empty() { Weak::new() } else { Weak::clone(&self.session) };
        self.any.set(self.any.get() || !(on_compare.is_empty() && on_drop.is_empty()));
        let made = Made { equality, on_compare: on_compare.clone(), on_drop: on_drop.clone() };
        self.made.borrow_mut().insert(id, made);
        Held { value: Value::Made(id), session }
    }

    /// `hash(name)`, where a name has a program for it.
    pub(super) fn hash(&self, variable: VariableId, program: &Program) {
        if !program.is_empty() {
            self.any.set(true);
            self.call(Object::Variable(variable), Trigger::Hash, program);
        }
    }

    fn drop_value(&self, id: ValueId) {
        self.gone.borrow_mut().push(Gone { value: id, during: self.moment.get() });
        let program = self.made.borrow().get(&id).map(|made| made.on_drop.clone());
        self.call(Object::Value(id), Trigger::Drop, &program.unwrap_or_default());
    }

    /// `left == right` of values: the left one is asked, or the right one where only that is a value.
    pub(super) fn equal(&self, left: Object, right: Object) -> Result<bool, Error> {
        let equality = |object| match object {
            Object::Value(id) => self.made.borrow().get(&id).map(|made| (id, made.equality)),
            _ => None,
        };
        let (asked, other) = match (equality(left), equality(right)) {
            (Some(left), right) => (left, right),
            (None, Some(right)) => (right, None),
            (None, None) => return Ok(left == right),
        };
        self.compare(asked.0);
        match asked {
            (value, Equality::Raises) => Err(Error::EqualityRaised { value }),
            (_, Equality::Never) => Ok(false),
            (_, group @ Equality::Group(_)) => Ok(other.is_some_and(|(_, other)| other == group)),
        }
    }

    fn compare(&self, id: ValueId) {
        let program = self.made.borrow().get(&id).map(|made| made.on_compare.clone()).unwrap_or_default();
        if program.is_empty() || !self.comparing.borrow_mut().insert(id) {
            return;
        }
        self.call(Object::Value(id), Trigger::Compare, &program);
        self.comparing.borrow_mut().remove(&id);
    }

    fn call(&self, of: Object, on: Trigger, program: &Program) {
        let Some(session) = self.session.upgrade() else { return };
        let index = self.calls.borrow().len();
        if program.is_empty() || index >= Program::MAX_CALLS || self.over.get() {
            return;
        }
        self.calls.borrow_mut().push(Call { of, on, outcomes: Vec::new() });
        let around = self.moment.get();
        for (at, operation) in program.0.iter().enumerate() {
            self.moment.set(Moment { within: Some((index, at)), ..around });
            let outcome = session.carry_out(self.thread.get(), operation);
            self.calls.borrow_mut()[index].outcomes.push(outcome);
        }
        self.moment.set(around);
    }
}
