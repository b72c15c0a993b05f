//! The values of a trace as the library stores them, and the programs that they carry.
//!
//! The library calls user code where it compares values and where it drops them; here that is a
//! value's `PartialEq`, which the session asks, and [`Held`]'s `Drop`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use contextvars_optimized::Sharing;
use contextvars_spec::{Call, Equality, Error, Gone, Moment, Object, Program, ThreadId, Trigger, Value, ValueId, VariableId};

use super::Session;

/// A value of the trace. It is made once, so that it goes when its last reference does.
pub(super) struct Held<S: Sharing> {
    value: Value,
    /// Whose programs run when the value is compared, and when it goes; none where it has none.
    session: Weak<Session<S>>,
    lives: Rc<Lives>,
}

impl<S: Sharing> Held<S> {
    fn new(value: Value, session: Weak<Session<S>>, lives: &Rc<Lives>) -> Self {
        lives.begun.set(lives.begun.get() + 1);
        Self { value, session, lives: Rc::clone(lives) }
    }

    /// `None` or `MISSING`.
    pub(super) fn constant(value: Value, lives: &Rc<Lives>) -> Self {
        Self::new(value, Weak::new(), lives)
    }

    pub(super) fn value(&self) -> Value {
        self.value
    }
}

/// Asked by the contexts of traces without programs; what raises is not equal.
impl<S: Sharing> PartialEq for Held<S> {
    fn eq(&self, other: &Self) -> bool {
        let session = self.session.upgrade().or_else(|| other.session.upgrade());
        session.map_or(self.value == other.value, |session| session.programs.equal(self.value, other.value) == Ok(true))
    }
}

impl<S: Sharing> Drop for Held<S> {
    fn drop(&mut self) {
        self.lives.ended.set(self.lives.ended.get() + 1);
        // A session that ends runs no more programs.
        if let (Value::Made(id), Some(session)) = (self.value, self.session.upgrade()) {
            session.programs.drop_value(id);
        }
    }
}

/// How many values were made, and how many were dropped.
#[derive(Default)]
pub(super) struct Lives {
    begun: Cell<u64>,
    ended: Cell<u64>,
}

impl Lives {
    /// # Panics
    ///
    /// Unless every value was dropped, and once: when nothing is held any more, nothing is left.
    pub(super) fn are_over(&self) {
        assert_eq!(self.begun, self.ended, "values made and values dropped");
    }
}

struct Made {
    equality: Equality,
    on_compare: Program,
    on_drop: Program,
}

/// What values do when they are compared and when they go, and what came of it.
pub(super) struct Programs<S: Sharing> {
    session: Weak<Session<S>>,
    lives: Rc<Lives>,
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

impl<S: Sharing> Programs<S> {
    pub(super) fn new(session: Weak<Session<S>>, lives: &Rc<Lives>) -> Self {
        Self {
            session,
            lives: Rc::clone(lives),
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

    pub(super) fn make(&self, id: ValueId, equality: Equality, on_compare: &Program, on_drop: &Program) -> Held<S> {
        self.any.set(self.any.get() || !(on_compare.is_empty() && on_drop.is_empty()));
        let made = Made { equality, on_compare: on_compare.clone(), on_drop: on_drop.clone() };
        self.made.borrow_mut().insert(id, made);
        Held::new(Value::Made(id), Weak::clone(&self.session), &self.lives)
    }

    /// `hash(name)`, where a name has a program for it.
    pub(super) fn hash(&self, variable: VariableId, program: &Program) {
        if !program.is_empty() {
            self.any.set(true);
            self.call(Object::Variable(variable), Trigger::Hash, program);
        }
    }

    fn drop_value(&self, id: ValueId) {
        let program = self.made.borrow().get(&id).map(|made| made.on_drop.clone()).unwrap_or_default();
        if !program.is_empty() {
            self.gone.borrow_mut().push(Gone { value: id, during: self.moment.get() });
            self.call(Object::Value(id), Trigger::Drop, &program);
        }
    }

    /// `left == right` of values: the left one is asked, or the right one where only that is a value.
    pub(super) fn equal(&self, left: impl Into<Object>, right: impl Into<Object>) -> Result<bool, Error> {
        let (left, right) = (left.into(), right.into());
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
