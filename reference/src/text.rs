//! `repr`, with handles in the place of addresses.

use contextvars_spec::{Object, Rule, VariableId};

use crate::machine::Reference;
use crate::objects::View;

impl Reference {
    /// VAR-8, VAR-9, TOKEN-6, TOKEN-7, CONTEXT-3, MISSING-1.
    pub(crate) fn repr(&mut self, object: Object) -> String {
        match object {
            Object::Variable(id) => self.repr_variable(id),
            Object::Token(id) => {
                let Some(&token) = self.objects.tokens.get(&id) else { return id.to_string() };
                let variable = self.repr_variable(token.variable);
                self.cite(if token.used { Rule::Token7 } else { Rule::Token6 });
                let used = if token.used { " used" } else { "" };
                format!("<Token{used} var={variable} at {id}>")
            }
            Object::Context(id) => {
                self.cite(Rule::Context3);
                format!("<_contextvars.Context object at {id}>")
            }
            Object::Missing => {
                self.cite(Rule::Missing1);
                "<Token.MISSING>".to_owned()
            }
            Object::Iterator(id) => {
                let kind = match self.objects.iterators.get(&id).map(|iterator| iterator.view) {
                    Some(View::Values) => "values",
                    Some(View::Items) => "items",
                    Some(View::Keys) | None => "keys",
                };
                format!("<{kind} object at {id}>")
            }
            Object::None | Object::Value(_) => object.to_string(),
        }
    }

    fn repr_variable(&mut self, id: VariableId) -> String {
        let Some(variable) = self.objects.variables.get(&id) else { return id.to_string() };
        let name = repr_str(&variable.name);
        match variable.default {
            None => {
                self.cite(Rule::Var8);
                format!("<ContextVar name={name} at {id}>")
            }
            Some(default) => {
                let default = self.repr(default.into());
                self.cite(Rule::Var9);
                format!("<ContextVar name={name} default={default} at {id}>")
            }
        }
    }
}

/// Python's `repr` of a `str` of printable characters, quotes, backslashes and ASCII controls.
fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut repr = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => repr.push_str("\\n"),
            '\r' => repr.push_str("\\r"),
            '\t' => repr.push_str("\\t"),
            '\\' => repr.push_str("\\\\"),
            _ if character == quote => repr.extend(['\\', character]),
            '\0'..='\x1f' | '\x7f' => repr.push_str(&format!("\\x{:02x}", character as u32)),
            _ => repr.push(character),
        }
    }
    repr.push(quote);
    repr
}
