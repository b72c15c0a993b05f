//! Departures: values that nothing leads to any more but an overwritten binding of a map that was shared.
//! An engine that shares parts of maps may let them go in the middle of a later write.

use contextvars_spec::{ContextId, Equality, Object, Operation, Program, Value, ValueId};

use super::choice::Choice;
use super::grow::{Grower, Kind};

impl Grower<'_> {
    /// Up to three times: a value is bound, the map shared, the binding overwritten or undone, the copy deleted,
    /// and some variables are written.
    pub(super) fn depart(&mut self, choice: &mut Choice) {
        for _ in 0..choice.below(4) {
            let Some(variable) = choice.of(&self.variables) else { return };
            let value = ValueId(self.number(Kind::Value));
            let on_drop = self.program(100, choice);
            self.on_main(Operation::Value { equality: Equality::Never, on_compare: Program::default(), on_drop, name: value });
            let bound = self.bind(variable, Value::Made(value));
            self.on_main(Operation::Drop { object: Object::Value(value) });
            let copy = ContextId(self.number(Kind::Context));
            self.on_main(Operation::CopyContext { context: copy });
            let mut leads = vec![Object::Context(copy)];
            if choice.percent(50) {
                self.on_main(Operation::VarReset { variable, token: Object::Token(bound) });
            } else {
                let other = self.value(choice);
                leads.push(Object::Token(self.bind(variable, other)));
            }
            if choice.percent(50) {
                leads.reverse();
            }
            for object in leads {
                self.on_main(Operation::Drop { object });
            }
            for _ in 0..1 + choice.below(3) {
                self.write_any(choice);
            }
        }
    }

    /// A set, or a reset that undoes one, and a look at the variable.
    fn write_any(&mut self, choice: &mut Choice) {
        let undone = choice.of(&self.tokens).filter(|_| choice.percent(40));
        let variable = undone.and_then(|token| self.model.token_variable(token)).filter(|variable| self.variables.contains(variable));
        let Some(variable) = variable.or_else(|| choice.of(&self.variables)) else { return };
        if let Some(token) = undone {
            self.on_main(Operation::VarReset { variable, token: Object::Token(token) });
        } else {
            let value = self.value(choice);
            self.bind(variable, value);
        }
        self.on_main(Operation::VarGet { variable, default: None });
    }
}
