//! User code that an operation calls back into: when values are compared, when they go, and when a
//! name is hashed.

use std::collections::{BTreeSet, VecDeque};

use contextvars_spec::{Call, Gone, Object, Operation, Outcome, Program, Rule, ThreadId, Trigger, Value, ValueId, VariableId};

use crate::bindings::Bindings;
use crate::machine::Reference;
use crate::objects::{ContextIndex, Objects, Token};

/// What a running operation holds, whatever user code does to the trace's names (FINAL-5).
#[derive(Clone, Debug)]
pub(crate) enum Pin {
    Value(Value),
    Variable(VariableId),
    Token(Token),
    Context(ContextIndex),
    Bindings(Bindings),
}

impl Objects {
    pub(crate) fn pin(&self, object: Object) -> Option<Pin> {
        match object {
            Object::None | Object::Missing | Object::Iterator(_) => None,
            Object::Value(id) => Some(Pin::Value(Value::Made(id))),
            Object::Variable(id) => Some(Pin::Variable(id)),
            Object::Token(id) => self.tokens.get(&id).copied().map(Pin::Token),
            Object::Context(id) => self.names.get(&id).copied().map(Pin::Context),
        }
    }

    /// FINAL-1: the values that something still leads to. Maps and iterators need not hold variables
    /// (`of_bound`): an engine that gives identifiers for keys lets their defaults go with the last name.
    fn reachable_values(&self, of_bound: bool) -> BTreeSet<ValueId> {
        let mut values: BTreeSet<Value> = self.values.iter().filter(|(_, value)| value.held).map(|(&id, _)| Value::Made(id)).collect();
        let held = self.variables.iter().filter(|(_, variable)| variable.held);
        let mut variables: BTreeSet<VariableId> = held.map(|(&id, _)| id).collect();
        let pinned_tokens = self.pins.iter().filter_map(|pin| if let Pin::Token(token) = pin { Some(token) } else { None });
        for token in self.tokens.values().chain(pinned_tokens) {
            variables.insert(token.variable);
            values.extend(token.old_value);
        }
        let pinned_maps = self.pins.iter().filter_map(|pin| if let Pin::Bindings(bindings) = pin { Some(bindings) } else { None });
        let contexts = self.alive_contexts();
        let of_contexts = self.contexts.iter().zip(contexts).filter(|(_, alive)| *alive).map(|(context, _)| &context.bindings);
        let bound = of_contexts.chain(pinned_maps).flat_map(Bindings::iter);
        let iterated = self.iterators.values().flat_map(|iterator| iterator.items.iter().copied());
        for (variable, value) in bound.chain(iterated) {
            if of_bound {
                variables.insert(variable);
            }
            values.insert(value);
        }
        for pin in &self.pins {
            match *pin {
                Pin::Value(value) => values.extend([value]),
                Pin::Variable(variable) => variables.extend([variable]),
                Pin::Token(_) | Pin::Context(_) | Pin::Bindings(_) => {}
            }
        }
        values.extend(variables.iter().filter_map(|id| self.variables.get(id)?.default));
        values.into_iter().filter_map(|value| if let Value::Made(id) = value { Some(id) } else { None }).collect()
    }
}

impl Reference {
    /// FINAL-1 to FINAL-4: the values that nothing leads to any more go.
    ///
    /// Answers whether any did.
    pub(crate) fn finalize(&mut self, thread: ThreadId) -> bool {
        let waits = self.objects.has_programs && self.objects.values.values().any(|value| value.waits_for_drop && !value.held);
        if !waits || !self.objects.threads.contains_key(&thread) {
            return false;
        }
        if self.told.is_some() {
            return self.finalize_as_told(thread);
        }
        let reachable = self.objects.reachable_values(true);
        let waiting = self.objects.values.iter().filter(|(id, value)| value.waits_for_drop && !reachable.contains(id));
        let gone: Vec<ValueId> = waiting.map(|(&id, _)| id).collect();
        if gone.len() > 1 {
            // Which goes first depends on the kinds of the trie's nodes.
            self.leave_open();
        }
        // All have gone before any program runs: none of them is called twice.
        for &id in &gone {
            if let Some(value) = self.objects.values.get_mut(&id) {
                value.waits_for_drop = false;
            }
        }
        for &id in &gone {
            self.finalize_one(thread, id);
        }
        !gone.is_empty()
    }

    /// FINAL-1, for an engine that lets values go late: those go of which it tells, if nothing leads to
    /// them any more. One that something leads to goes at the end of the operation or not at all, nor do
    /// those behind it.
    fn finalize_as_told(&mut self, thread: ThreadId) -> bool {
        let mut any = false;
        while let Some(&Gone { value: id, during }) = self.told.as_ref().and_then(VecDeque::front) {
            let waits = self.objects.values.get(&id).is_some_and(|value| value.waits_for_drop);
            if during != self.moment || !waits || self.objects.reachable_values(false).contains(&id) {
                break;
            }
            self.told.as_mut().map(VecDeque::pop_front);
            any = true;
            self.finalize_one(thread, id);
        }
        any
    }

    /// An engine that lets values go late may do so while it makes an object: to their finalizers it has no
    /// name yet. Where they go at once, none does here.
    pub(crate) fn finalize_before_naming(&mut self, thread: ThreadId, made: Pin) {
        if self.told.is_some() {
            self.objects.pins.push(made);
            self.finalize(thread);
            self.objects.pins.pop();
        }
    }

    fn finalize_one(&mut self, thread: ThreadId, id: ValueId) {
        self.cite(Rule::Final1);
        let Some(value) = self.objects.values.get_mut(&id) else { return };
        value.waits_for_drop = false;
        let program = value.on_drop.clone();
        self.call(thread, Object::Value(id), Trigger::Drop, &program);
    }

    /// CALL-2: a value is asked whether it is equal.
    pub(crate) fn call_compare(&mut self, thread: ThreadId, id: ValueId) {
        let Some(value) = self.objects.values.get_mut(&id) else { return };
        if value.on_compare.is_empty() || std::mem::replace(&mut value.is_comparing, true) {
            return;
        }
        let program = value.on_compare.clone();
        self.cite(Rule::Call2);
        self.call(thread, Object::Value(id), Trigger::Compare, &program);
        if let Some(value) = self.objects.values.get_mut(&id) {
            value.is_comparing = false;
        }
    }

    /// CALL-1: carries a program out, and records what its operations answer.
    pub(crate) fn call(&mut self, thread: ThreadId, of: Object, on: Trigger, program: &Program) {
        if program.is_empty() || self.calls.len() >= Program::MAX_CALLS {
            return;
        }
        self.cite(Rule::Call1);
        let index = self.calls.len();
        self.calls.push(Call { of, on, outcomes: Vec::new() });
        let around = self.moment;
        for (at, operation) in program.0.iter().enumerate() {
            self.moment.within = Some((index, at));
            let outcome = self.carry_out(thread, operation);
            self.calls[index].outcomes.push(outcome);
        }
        self.moment = around;
    }

    /// One operation of a step or of a program: what it needs is held until it has ended (FINAL-5).
    pub(crate) fn carry_out(&mut self, thread: ThreadId, operation: &Operation) -> Outcome {
        if !operation.uses().all(|handle| self.objects.is_bound(handle)) {
            return Outcome::Skipped;
        }
        let before = self.objects.pins.len();
        if self.objects.has_programs {
            let pins = operation.uses().filter_map(|handle| self.objects.pin(handle.object()?));
            let pins: Vec<_> = pins.collect();
            self.objects.pins.extend(pins);
        }
        let outcome = self.operate(thread, operation);
        self.objects.pins.truncate(before);
        if self.finalize(thread) && matches!(operation, Operation::Drop { object: Object::Context(_) }) {
            self.cite(Rule::Final4);
        }
        outcome
    }

    /// Whether an operation around this one holds the object too.
    fn is_pinned_outside(&self, object: Object) -> bool {
        let holds = |pin: &&Pin| match (*pin, object) {
            (Pin::Context(index), Object::Context(id)) => self.context(id) == Some(*index),
            (Pin::Value(value), object) => Object::from(*value) == object,
            _ => false,
        };
        self.objects.pins.iter().filter(holds).count() > 1
    }

    /// `del`: the trace's own reference goes; what nothing else leads to goes with it (FINAL-1).
    pub(crate) fn drop_handle(&mut self, object: Object) -> Outcome {
        if self.is_pinned_outside(object) {
            self.cite(Rule::Final5);
        }
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
            Object::Value(id) => {
                if let Some(value) = self.objects.values.get_mut(&id) {
                    value.held = false;
                }
            }
            Object::None | Object::Missing => {}
        }
        Outcome::None
    }
}
