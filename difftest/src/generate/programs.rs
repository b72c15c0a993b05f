//! Programs: what values do when they are compared and when they go, and names when they are hashed.

use contextvars_spec::{ContextId, IteratorId, Object, Operation, Program, TokenId, Value, VariableId};

use super::choice::Choice;

/// The longest program. What one call can break, two or three operations show.
const LONGEST: usize = 3;

/// The handles that a program may name: those that are, and those that soon will be.
#[derive(Debug)]
pub(super) struct Reach<'a> {
    pub(super) variables: &'a [VariableId],
    pub(super) contexts: &'a [ContextId],
    pub(super) tokens: &'a [TokenId],
    pub(super) iterators: &'a [IteratorId],
    pub(super) values: &'a [Value],
    /// The next number of a token, of which programs make some themselves.
    pub(super) next_token: &'a mut u32,
    /// The next number of a context, likewise.
    pub(super) next_context: &'a mut u32,
}

impl Reach<'_> {
    /// A program of at least one operation; shorter where there is nothing to operate on.
    pub(super) fn program(&mut self, choice: &mut Choice) -> Program {
        let length = 1 + choice.below(LONGEST);
        Program((0..length).filter_map(|_| self.operation(choice)).collect())
    }

    fn operation(&mut self, choice: &mut Choice) -> Option<Operation> {
        let variable = choice.of(self.variables)?;
        let value = choice.of(self.values).unwrap_or(Value::None);
        let context = choice.of(self.contexts);
        Some(match choice.below(20) {
            0..=2 => Operation::VarGet { variable, default: choice.percent(30).then_some(value) },
            3..=7 => Operation::VarSet { variable, value, token: TokenId(fresh(self.next_token)) },
            8..=10 => Operation::VarReset { variable, token: Object::Token(self.token(choice)?) },
            11 => Operation::CopyContext { context: ContextId(fresh(self.next_context)) },
            12 => Operation::ContextGet { context: context?, key: Object::Variable(variable), default: None },
            13 => Operation::ContextLen { context: context? },
            14 => Operation::Equal { left: Object::Context(context?), right: Object::Context(choice.of(self.contexts)?) },
            15 => Operation::Enter { context: Object::Context(context?) },
            16 => Operation::Exit { context: Object::Context(context?) },
            17 => Operation::Drop { object: self.droppable(choice)? },
            18 => Operation::Next { iterator: choice.of(self.iterators)? },
            _ => Operation::CapiVarGet { variable: Object::Variable(variable), default: None },
        })
    }

    fn token(&self, choice: &mut Choice) -> Option<TokenId> {
        choice.of(self.tokens)
    }

    fn droppable(&self, choice: &mut Choice) -> Option<Object> {
        match choice.below(3) {
            0 => choice.of(self.contexts).map(Object::Context),
            1 => choice.of(self.tokens).map(Object::Token),
            _ => choice.of(self.values).map(Object::from).filter(|object| object.handle().is_some()),
        }
    }
}

fn fresh(next: &mut u32) -> u32 {
    let number = *next;
    *next += 1;
    number
}
