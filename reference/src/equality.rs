//! `==` on objects and on maps.

use contextvars_spec::{Equality, Error, Object, Rule, Value};

use crate::bindings::Bindings;
use crate::machine::Reference;

impl Reference {
    /// `left == right`: EQ-8, VAR-10, TOKEN-9; the left object answers, else the right one, else identity.
    pub(crate) fn equal(&mut self, left: Object, right: Object) -> Result<bool, Error> {
        match (left, right) {
            (Object::Context(left), Object::Context(right)) => {
                let bindings = |id| self.objects.names.get(&id).map(|&index| self.objects.contexts[index].bindings.clone());
                let (left, right) = (bindings(left).unwrap_or_default(), bindings(right).unwrap_or_default());
                self.equal_bindings(&left, &right)
            }
            (Object::Context(_), _) | (_, Object::Context(_)) => {
                self.cite(Rule::Eq8);
                self.equal_values(left, right)
            }
            (Object::Variable(_), Object::Variable(_)) => {
                self.cite(Rule::Var10);
                Ok(left == right)
            }
            (Object::Token(_), Object::Token(_)) => {
                self.cite(Rule::Token9);
                Ok(left == right)
            }
            _ => self.equal_values(left, right),
        }
    }

    fn equal_values(&self, left: Object, right: Object) -> Result<bool, Error> {
        let made = |object| match object {
            Object::Value(id) => self.objects.values.get(&id).map(|&equality| (id, equality)),
            _ => None,
        };
        let (answering, other) = match (made(left), made(right)) {
            (Some(left), other) => (left, other),
            (None, Some(right)) => (right, None),
            (None, None) => return Ok(left == right),
        };
        match answering {
            (value, Equality::Raises) => Err(Error::EqualityRaised { value }),
            (_, Equality::Never) => Ok(false),
            (_, group) => Ok(other.is_some_and(|(_, other)| other == group)),
        }
    }

    /// EQ-1 to EQ-6 (`_PyHamt_Eq`).
    fn equal_bindings(&mut self, left: &Bindings, right: &Bindings) -> Result<bool, Error> {
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
            if !self.identical_or_equal(value, other)? {
                self.cite(Rule::Eq6);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// EQ-4, EQ-5 (`PyObject_RichCompareBool`).
    fn identical_or_equal(&mut self, left: Value, right: Value) -> Result<bool, Error> {
        if left == right {
            self.cite(Rule::Eq4);
            return Ok(true);
        }
        self.cite(Rule::Eq5);
        self.equal_values(left.into(), right.into())
    }
}
