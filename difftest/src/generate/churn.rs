//! Many objects dropped at once, so that those made afterwards get their identities and addresses.

use contextvars_spec::{Object, Operation};

use super::choice::Choice;
use super::grow::Grower;

impl Grower<'_> {
    /// The next drop, while a purge lasts.
    pub(super) fn purge(&mut self, choice: &mut Choice) -> Option<Operation> {
        if self.purge == 0 {
            if !choice.percent(3) {
                return None;
            }
            self.purge = 1 + choice.below(self.variables.len() + self.tokens.len() + self.contexts.len());
        }
        self.purge -= 1;
        let all = [self.variables.len(), self.tokens.len(), self.contexts.len()];
        let at = choice.below(all.iter().sum());
        let object = match (self.variables.get(at), at.checked_sub(all[0])) {
            (Some(&variable), _) => Object::Variable(variable),
            (None, Some(at)) => match (self.tokens.get(at), at.checked_sub(all[1])) {
                (Some(&token), _) => Object::Token(token),
                (None, Some(at)) => Object::Context(*self.contexts.get(at)?),
                (None, None) => return None,
            },
            (None, None) => return None,
        };
        Some(Operation::Drop { object })
    }
}
