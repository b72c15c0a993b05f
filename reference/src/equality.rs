//! `==` on objects and on maps.

use contextvars_spec::{ContextId, Equality, Error, KnownFault, Object, Rule, ThreadId, Value};

use crate::bindings::Bindings;
use crate::machine::Reference;
use crate::programs::Pin;

impl Reference {
    /// `left == right`: EQ-8, VAR-10, TOKEN-9; the left object answers, else the right one, else identity.
    pub(crate) fn equal(&mut self, thread: ThreadId, left: Object, right: Object) -> Result<bool, Error> {
        match (left, right) {
            (Object::Context(left), Object::Context(right)) => {
                let before = (self.bindings_of(left), self.bindings_of(right));
                // EQ-9: user code may replace a context's map, and not the one that is compared until the
                // operation has ended.
                self.objects.pins.extend([Pin::Bindings(before.0.clone()), Pin::Bindings(before.1.clone())]);
                let equal = self.equal_bindings(thread, &before.0, &before.1);
                if !(before.0.is_same(&self.bindings_of(left)) && before.1.is_same(&self.bindings_of(right))) {
                    self.cite(Rule::Eq9);
                    self.meet(KnownFault::ComparedMapsAreFreed);
                }
                equal
            }
            (Object::Context(_), _) | (_, Object::Context(_)) => {
                self.cite(Rule::Eq8);
                self.equal_values(thread, left, right)
            }
            (Object::Variable(_), Object::Variable(_)) => {
                self.cite(Rule::Var10);
                Ok(left == right)
            }
            (Object::Token(_), Object::Token(_)) => {
                self.cite(Rule::Token9);
                Ok(left == right)
            }
            _ => self.equal_values(thread, left, right),
        }
    }

    fn bindings_of(&self, context: ContextId) -> Bindings {
        self.context(context).map(|index| self.objects.contexts[index].bindings.clone()).unwrap_or_default()
    }

    fn equal_values(&mut self, thread: ThreadId, left: Object, right: Object) -> Result<bool, Error> {
        let made = |object| match object {
            Object::Value(id) => self.objects.values.get(&id).map(|value| (id, value.equality)),
            _ => None,
        };
        let (answering, other) = match (made(left), made(right)) {
            (Some(left), other) => (left, other),
            (None, Some(right)) => (right, None),
            (None, None) => return Ok(left == right),
        };
        self.call_compare(thread, answering.0);
        match answering {
            (value, Equality::Raises) => Err(Error::EqualityRaised { value }),
            (_, Equality::Never) => Ok(false),
            (_, group) => Ok(other.is_some_and(|(_, other)| other == group)),
        }
    }

    /// EQ-1 to EQ-6 (`_PyHamt_Eq`).
    fn equal_bindings(&mut self, thread: ThreadId, left: &Bindings, right: &Bindings) -> Result<bool, Error> {
        if left.is_same(right) {
            self.cite(Rule::Eq1);
            return Ok(true);
        }
        if left.len() != right.len() {
            self.cite(Rule::Eq2);
            return Ok(false);
        }
        for (variable, value) in left.in_order() {
            let Some(other) = right.find(variable) else {
                self.cite(Rule::Eq3);
                return Ok(false);
            };
            if !self.identical_or_equal(thread, value, other)? {
                self.cite(Rule::Eq6);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// EQ-4, EQ-5 (`PyObject_RichCompareBool`).
    fn identical_or_equal(&mut self, thread: ThreadId, left: Value, right: Value) -> Result<bool, Error> {
        if left == right {
            self.cite(Rule::Eq4);
            return Ok(true);
        }
        self.cite(Rule::Eq5);
        self.equal_values(thread, left.into(), right.into())
    }
}
