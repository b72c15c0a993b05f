//! Bindings that rise and fall between two counts, so that a trie's nodes are made and taken apart.

use contextvars_spec::{ContextId, Object, Operation, ThreadId, TokenId, Value, VariableId, Version};

use super::choice::Choice;
use super::grow::{Grower, Kind};
use super::settings::Theme;

/// How many variables or tokens are looked at in the search for a fitting one.
const LOOK_AT: usize = 32;

/// At how many turns of a hundred, from rising to falling, a version is abandoned.
const ABANDONED: usize = 30;

/// By how many writes it parts at the most: an engine may gather some before it changes nodes that are shared.
const PARTED: usize = 24;

/// Between how many bindings the current context rises and falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tide {
    /// From so many on it rises.
    pub low: usize,
    /// From so many on it falls.
    pub high: usize,
    /// How many steps in a hundred follow the tide.
    pub share: usize,
}

impl Grower<'_> {
    /// A set of a variable that is not bound, or a reset that unbinds one.
    pub(super) fn flow(&mut self, tide: Tide, thread: ThreadId, choice: &mut Choice) -> Option<Operation> {
        let bound = self.model.current_len(thread);
        if bound >= tide.high {
            if std::mem::take(&mut self.rising) && choice.percent(ABANDONED) {
                self.abandon_version(thread, choice);
            }
        } else if bound <= tide.low {
            self.rising = true;
        }
        let step = if self.rising { self.rise(thread, choice) } else { self.fall(thread, choice) };
        if step.is_none() {
            self.rising = !self.rising;
        }
        step
    }

    /// A copy of the current context, which parts from it by some writes and goes, and a few writes more, which
    /// may use the memory that it had alone.
    fn abandon_version(&mut self, thread: ThreadId, choice: &mut Choice) {
        let context = ContextId(self.number(Kind::Context));
        self.push(thread, Operation::CopyContext { context });
        for _ in 0..1 + choice.below(PARTED) {
            self.set_any(thread, choice);
        }
        self.push(thread, Operation::Drop { object: Object::Context(context) });
        for _ in 0..1 + choice.below(4) {
            self.set_any(thread, choice);
        }
    }

    fn set_any(&mut self, thread: ThreadId, choice: &mut Choice) {
        if let Some(variable) = choice.of(&self.variables) {
            let value = self.value(choice);
            let write = self.set(variable, value, choice);
            self.push(thread, write);
        }
    }

    fn rise(&mut self, thread: ThreadId, choice: &mut Choice) -> Option<Operation> {
        let Some(variable) = self.model.first_unbound(thread, around(&self.variables, choice)) else {
            return (self.variables.len() < self.settings.variables).then(|| self.new_variable(choice));
        };
        let value = self.value(choice);
        Some(self.set(variable, value, choice))
    }

    /// Only the first token of a variable in a context unbinds it (RESET-6), so that it is looked for.
    fn fall(&mut self, thread: ThreadId, choice: &mut Choice) -> Option<Operation> {
        let token = self.unbinder(thread, choice)?;
        self.reset(token, choice)
    }

    /// A token whose reset would unbind a variable of the thread's current context.
    pub(super) fn unbinder(&self, thread: ThreadId, choice: &mut Choice) -> Option<TokenId> {
        around(&self.unbinders, choice).find(|token| self.model.is_of_current(*token, thread))
    }

    /// Keeps the list of such tokens, of every context, after a step that wrote.
    pub(super) fn keep_unbinders(&mut self, operation: &Operation) {
        match *operation {
            Operation::VarSet { token, .. } | Operation::CapiVarSet { token, .. } if self.model.may_unbind(token) => {
                self.unbinders.push(token);
            }
            Operation::VarReset { token: Object::Token(token), .. }
            | Operation::CapiVarReset { token: Object::Token(token), .. }
            | Operation::TokenExit { token }
            | Operation::Drop { object: Object::Token(token) } => {
                if let Some(at) = self.unbinders.iter().position(|other| *other == token) {
                    self.unbinders.swap_remove(at);
                }
            }
            _ => {}
        }
    }

    /// A set, through Python or the C API.
    pub(super) fn set(&mut self, variable: VariableId, value: Value, choice: &mut Choice) -> Operation {
        let token = TokenId(self.number(Kind::Token));
        if self.has(Theme::Capi) && choice.percent(20) {
            return Operation::CapiVarSet { variable: Object::Variable(variable), value, token };
        }
        Operation::VarSet { variable, value, token }
    }

    /// A reset of the token by the variable that made it, while the trace holds that.
    pub(super) fn reset(&mut self, token: TokenId, choice: &mut Choice) -> Option<Operation> {
        if self.settings.python >= Version::V3_14 && self.has(Theme::Modern) && choice.percent(20) {
            return Some(Operation::TokenExit { token });
        }
        let variable = self.model.token_variable(token).filter(|variable| self.variables.contains(variable))?;
        let token = Object::Token(token);
        if self.has(Theme::Capi) && choice.percent(20) {
            return Some(Operation::CapiVarReset { variable: Object::Variable(variable), token });
        }
        Some(Operation::VarReset { variable, token })
    }

    /// What a variable is bound to in a thread's current context, if the trace still has a name for that.
    pub(super) fn current_value(&self, thread: ThreadId, variable: VariableId) -> Option<Value> {
        let value = self.model.current_value(thread, variable)?;
        Some(value).filter(|value| !matches!(value, Value::Made(id) if !self.values.contains(id)))
    }

    /// A set of a variable to what it is bound to already, the same object.
    pub(super) fn set_again(&mut self, thread: ThreadId, choice: &mut Choice) -> Option<Operation> {
        let (variable, value) =
            around(&self.variables, choice).find_map(|variable| Some((variable, self.current_value(thread, variable)?)))?;
        Some(self.set(variable, value, choice))
    }
}

/// Some of the items, from a chosen one on, and round.
fn around<T: Copy>(items: &[T], choice: &mut Choice) -> impl Iterator<Item = T> {
    let (before, after) = items.split_at(choice.below(items.len()));
    after.iter().chain(before).copied().take(LOOK_AT)
}
