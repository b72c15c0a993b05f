//! What is known of one token.

use std::fmt::Display;

use contextvars_spec::{Object, Rule, TokenId, Value, VariableId};

use super::{Broken, Checked};

/// One answer about an attribute, and the step that gave it.
#[derive(Clone, Copy, Debug)]
struct Said<T> {
    what: T,
    step: usize,
}

/// What is known of a token's attributes, and whether it has been used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    variable: Option<Said<VariableId>>,
    old_value: Option<Said<Value>>,
    used: Option<Said<bool>>,
}

fn take<T: Copy + PartialEq>(
    known: &mut Option<Said<T>>,
    law: Rule,
    step: usize,
    what: T,
    text: impl FnOnce(T, T) -> String,
    checked: &mut Checked,
) -> Result<(), Box<Broken>> {
    match *known {
        Some(known) => {
            checked.note(law, known.what == what, || Broken { law, first: known.step, second: step, text: text(known.what, what) })
        }
        None => {
            *known = Some(Said { what, step });
            Ok(())
        }
    }
}

fn differ(token: TokenId, of: &str, left: impl Display, right: impl Display) -> String {
    format!("the {of} of `{token}` is `{left}` by one answer and `{right}` by another")
}

impl Token {
    /// A token that a set has just made.
    pub(super) fn made(step: usize, variable: VariableId, old_value: Option<Value>) -> Self {
        let said = |what| Said { what, step };
        Self {
            variable: Some(said(variable)),
            old_value: old_value.map(|what| Said { what, step }),
            used: Some(Said { what: false, step }),
        }
    }

    pub(super) fn variable(&self) -> Option<VariableId> {
        self.variable.map(|known| known.what)
    }

    pub(super) fn old_value(&self) -> Option<Value> {
        self.old_value.map(|known| known.what)
    }

    pub(super) fn take_variable(&mut self, step: usize, of: TokenId, what: VariableId, checked: &mut Checked) -> Result<(), Box<Broken>> {
        take(&mut self.variable, Rule::Law7, step, what, |left, right| differ(of, "variable", left, right), checked)
    }

    pub(super) fn take_old_value(&mut self, step: usize, of: TokenId, what: Value, checked: &mut Checked) -> Result<(), Box<Broken>> {
        take(
            &mut self.old_value,
            Rule::Law7,
            step,
            what,
            |left, right| differ(of, "old value", Object::from(left), Object::from(right)),
            checked,
        )
    }

    pub(super) fn take_used(&mut self, step: usize, of: TokenId, what: bool, checked: &mut Checked) -> Result<(), Box<Broken>> {
        let says = |used| if used { "used" } else { "not used" };
        let text = |left, right| format!("`{of}` is {} by one answer and {} by another", says(left), says(right));
        take(&mut self.used, Rule::Law8, step, what, text, checked)
    }

    /// A reset has succeeded by the token.
    pub(super) fn use_up(&mut self, step: usize) {
        self.used = Some(Said { what: true, step });
    }
}
