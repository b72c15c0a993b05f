//! Departures: values that nothing leads to any more but an overwritten binding of a map that was shared.
//! An engine that shares parts of maps may let them go in the middle of a later write.

use contextvars_spec::{ContextId, Equality, IteratorId, Object, Operation, Program, ThreadId, TokenId, Value, ValueId, VariableId};

use super::choice::Choice;
use super::grow::{Grower, Kind};

/// How many traces in a hundred that have programs end with values that go together, and in how many a value
/// goes in a reset or with a token that is made anew. Up to 3.13 the reset is a known fault, from which on an
/// interpreter is not compared.
const TOGETHER: usize = 20;
const CONFUSED: usize = 8;

impl Grower<'_> {
    /// A value with a finalizer, which only a binding leads to.
    fn bind_departing(&mut self, variable: VariableId, on_drop: Program) -> TokenId {
        let value = ValueId(self.number(Kind::Value));
        self.on_main(Operation::Value { equality: Equality::Never, on_compare: Program::default(), on_drop, name: value });
        let token = self.bind(variable, Value::Made(value));
        self.on_main(Operation::Drop { object: Object::Value(value) });
        token
    }

    /// A value goes in the reset that replaces it, and its program writes the same variable or switches.
    pub(super) fn confuse(&mut self, choice: &mut Choice) {
        let Some(variable) = choice.of(&self.variables).filter(|_| choice.percent(CONFUSED)) else { return };
        self.bind(variable, Value::None);
        let operation = if choice.percent(50) {
            Operation::VarSet { variable, value: Value::Missing, token: TokenId(self.number(Kind::Token)) }
        } else {
            let context = ContextId(self.number(Kind::Context));
            self.on_main(Operation::Context { context });
            Operation::Enter { context: Object::Context(context) }
        };
        let token = self.bind_departing(variable, Program([operation].into()));
        self.on_main(Operation::VarReset { variable, token: Object::Token(token) });
        self.on_main(Operation::VarGet { variable, default: None });
        let context = ContextId(self.number(Kind::Context));
        self.on_main(Operation::CopyContext { context });
        self.on_main(Operation::GetItem { context, key: Object::Variable(variable) });
    }

    /// A program that runs again makes a token anew, and a value goes with the one before it, whose program resets
    /// by the name that both have.
    pub(super) fn replace_token(&mut self, choice: &mut Choice) {
        let Some(variable) = choice.of(&self.variables).filter(|_| choice.percent(CONFUSED)) else { return };
        let (value, token) = (ValueId(self.number(Kind::Value)), TokenId(self.number(Kind::Token)));
        let on_compare = Program([Operation::VarSet { variable, value: Value::None, token }].into());
        self.on_main(Operation::Value { equality: Equality::Never, on_compare, on_drop: Program::default(), name: value });
        let on_drop = Program([Operation::VarReset { variable, token: Object::Token(token) }].into());
        let bound = self.bind_departing(variable, on_drop);
        self.on_main(Operation::Drop { object: Object::Token(bound) });
        for _ in 0..2 {
            self.on_main(Operation::Equal { left: Object::Value(value), right: Object::None });
        }
        self.on_main(Operation::VarGet { variable, default: None });
    }

    /// Two values go with the context that binds them. Which goes first the rules leave open, and with it all
    /// that follows: nothing does.
    pub(super) fn go_together(&mut self, choice: &mut Choice) {
        let (first, second) = (choice.of(&self.variables), choice.of(&self.variables));
        let (Some(first), Some(second), true) = (first, second, choice.percent(TOGETHER)) else { return };
        let context = ContextId(self.number(Kind::Context));
        self.on_main(Operation::Context { context });
        if first == second || !self.enters(ThreadId::MAIN, context) {
            return;
        }
        for variable in [first, second] {
            let on_drop = self.program(100, choice);
            let token = self.bind_departing(variable, on_drop);
            self.on_main(Operation::Drop { object: Object::Token(token) });
        }
        self.on_main(Operation::Return {});
        self.on_main(Operation::Drop { object: Object::Context(context) });
    }

    /// Up to three times: a value is bound, the map shared, the binding overwritten or undone, the copy deleted,
    /// and some variables are written, or the map is read to make a new object.
    pub(super) fn depart(&mut self, choice: &mut Choice) {
        for _ in 0..choice.below(4) {
            let Some(variable) = choice.of(&self.variables) else { return };
            let drawn = self.program(100, choice);
            let (made, asked) = choice.percent(30).then(|| self.late(variable, choice)).unzip();
            let bound = self.bind_departing(variable, Program(drawn.0.into_iter().chain(asked).collect()));
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
            match made {
                Some(made) => self.on_main(made),
                None => (0..1 + choice.below(3)).for_each(|_| self.write_any(choice)),
            }
        }
    }

    /// An operation that makes an object of the current map, and one that asks this object: an engine may let
    /// values go while it makes it, and then it has no name yet.
    fn late(&mut self, variable: VariableId, choice: &mut Choice) -> (Operation, Operation) {
        let context = ContextId(self.number(Kind::Context));
        let current = self.model.current(ThreadId::MAIN).filter(|_| choice.percent(60));
        let key = Object::Variable(variable);
        match (current, choice.below(3)) {
            (Some(source), 0) => {
                let iterator = IteratorId(self.number(Kind::Iterator));
                (Operation::Items { context: source, iterator }, Operation::Next { iterator })
            }
            (Some(source), _) => (Operation::ContextCopy { source, context }, Operation::ContextLen { context }),
            (None, 0) => (Operation::CapiCopyCurrent { context }, Operation::Contains { context, key }),
            (None, _) => (Operation::CopyContext { context }, Operation::ContextGet { context, key, default: None }),
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
