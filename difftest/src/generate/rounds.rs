//! Rounds: many variables of one context are looked up over and over, with writes in between, so that what an
//! engine remembers of each is driven out by others, and looked for elsewhere, before it is asked again.

use contextvars_spec::{ContextId, Handle, Object, Operation, ThreadId, VariableId};

use super::choice::Choice;
use super::grow::{Grower, Kind};

/// How many variables there are: one and a half times as many as an engine remembers that has 128 places for
/// values, so that a round drives out half of them, and few enough to be shrunk in seconds.
const MANY: usize = 200;

/// How many rounds there are: one that finds out that places are few, one that uses what was made of that, and
/// one that shows what the writes in between have left there.
const ROUNDS: usize = 3;

/// How many variables are written between two rounds.
const WRITES: usize = 24;

impl Grower<'_> {
    /// Binds new variables in a new context, and looks them up, round for round.
    pub(super) fn look_up_in_rounds(&mut self, choice: &mut Choice) {
        let context = ContextId(self.number(Kind::Context));
        self.on_main(Operation::Context { context });
        if !self.enters(ThreadId::MAIN, context) {
            return;
        }
        let variables: Vec<_> = (0..MANY).filter_map(|_| self.variable_of_a_round(choice)).collect();
        for round in 0..ROUNDS {
            for _ in 0..if round == 0 { 0 } else { WRITES } {
                self.write_between_rounds(&variables, choice);
            }
            for &variable in &variables {
                self.on_main(Operation::VarGet { variable, default: None });
            }
        }
        self.on_main(Operation::Return {});
    }

    /// A new variable, which is bound.
    fn variable_of_a_round(&mut self, choice: &mut Choice) -> Option<VariableId> {
        let made = self.new_variable(choice);
        let Some(Handle::Variable(variable)) = made.definition() else { return None };
        self.on_main(made);
        let value = self.value(choice);
        let set = self.set(variable, value, choice);
        self.on_main(set);
        Some(variable)
    }

    /// A set of one of the variables, or a reset that unbinds one.
    fn write_between_rounds(&mut self, variables: &[VariableId], choice: &mut Choice) {
        let token = self.unbinder(ThreadId::MAIN, choice).filter(|_| choice.percent(40));
        let written = match token {
            Some(token) => self.model.token_variable(token).map(|variable| Operation::VarReset { variable, token: Object::Token(token) }),
            None => variables.get(choice.below(variables.len())).map(|&variable| {
                let value = self.value(choice);
                self.set(variable, value, choice)
            }),
        };
        written.into_iter().for_each(|written| self.on_main(written));
    }
}
