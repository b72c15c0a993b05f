//! A context as a mapping: lookup and iteration.

use contextvars_spec::{ContextId, Error, IteratorId, Object, Outcome, Rule, ThreadId, Value, VariableId};

use crate::machine::{Reference, bound};
use crate::objects::{Iterator, Variable, View};
use crate::programs::Pin;

impl Reference {
    /// MAP-6, MAP-7: checks the key, then finds its binding.
    pub(crate) fn look_up(
        &mut self,
        context: ContextId,
        key: Object,
        then: impl FnOnce(&mut Self, VariableId, Option<Value>) -> Outcome,
    ) -> Outcome {
        let index = bound!(self.context(context));
        let Object::Variable(variable) = key else {
            return self.refuse(Rule::Map6, Error::KeyExpected { object: key });
        };
        let found = self.objects.contexts[index].bindings.find(variable);
        if found.is_none() && self.objects.variables.get(&variable).is_some_and(|variable| variable.default.is_some()) {
            self.cite(Rule::Map7);
        }
        then(self, variable, found)
    }

    /// ITER-1 to ITER-3, ORDER-1 to ORDER-3 (`PyHamtIterator`).
    pub(crate) fn iterate(&mut self, thread: ThreadId, context: ContextId, iterator: IteratorId, view: View, rule: Rule) -> Outcome {
        let index = bound!(self.context(context));
        let bindings = self.objects.contexts[index].bindings.clone();
        let items = bindings.in_order();
        self.cite(rule);
        if items.len() > 1 {
            self.cite(Rule::Order1);
        }
        if bindings.has_ties() {
            self.cite(Rule::Order2);
        }
        let folds_to_minus_two = |variable: &Variable| crate::bindings::fold(variable.hash) == u32::MAX - 1;
        if items.iter().any(|(variable, _)| self.objects.variables.get(variable).is_some_and(folds_to_minus_two)) {
            self.cite(Rule::Order3);
        }
        self.finalize_before_naming(thread, Pin::Bindings(bindings));
        self.objects.iterators.insert(iterator, Iterator { view, items, next: 0 });
        Outcome::None
    }

    /// ITER-4, ITER-5.
    pub(crate) fn next(&mut self, iterator: IteratorId) -> Outcome {
        let found = bound!(self.objects.iterators.get_mut(&iterator));
        let (view, item) = (found.view, found.items.get(found.next).copied());
        found.next += 1;
        let Some((variable, value)) = item else {
            self.cite(Rule::Iter4);
            return Outcome::Error(Error::StopIteration);
        };
        self.cite(Rule::Iter5);
        match view {
            View::Keys => Outcome::Object(Object::Variable(variable)),
            View::Values => Outcome::Object(value.into()),
            View::Items => Outcome::Pair(variable, value),
        }
    }
}
