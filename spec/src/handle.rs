//! The names that traces give to objects: a kind and a number, written `ctx3`.
//!
//! A handle is named by the operation that makes the object, so that removing another operation
//! never renumbers it. In memory a handle is four bytes; only a trace file spells it out.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A text is not the name of an object of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not {expected}; write {example}")]
pub struct HandleError {
    text: String,
    expected: &'static str,
    example: &'static str,
}

/// Serializes a type through `Display` and `FromStr`, and describes it as a pattern in the schema.
macro_rules! as_string {
    ($type:ident, $pattern:literal, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}

pub(crate) use as_string;

/// Declares one kind of handle: a number behind a prefix.
macro_rules! handle {
    ($type:ident, $prefix:literal, $kind:literal, $pattern:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub u32);

        impl $type {
            /// The number as an index, for tables that are dense in handles.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $type {
            type Err = HandleError;

            fn from_str(text: &str) -> Result<Self, HandleError> {
                number_after(text, $prefix).map(Self).ok_or_else(|| HandleError {
                    text: text.to_owned(),
                    expected: concat!("the name of ", $kind),
                    example: concat!("`", $prefix, "` and a number below 2^32, such as `", $prefix, "0`"),
                })
            }
        }

        as_string!($type, $pattern, $doc);
    };
}

/// The canonical decimal number behind `prefix`, so that one object has one spelling.
fn number_after(text: &str, prefix: &str) -> Option<u32> {
    let digits = text.strip_prefix(prefix)?;
    let canonical = digits == "0" || !digits.starts_with('0');
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && decimal).then(|| digits.parse().ok())?
}

handle!(ValueId, "val", "a value", "^val(0|[1-9][0-9]*)$", "A value made by a `value` operation, such as `val0`.");
handle!(VariableId, "var", "a variable", "^var(0|[1-9][0-9]*)$", "A context variable, such as `var0`.");
handle!(TokenId, "tok", "a token", "^tok(0|[1-9][0-9]*)$", "A token, such as `tok0`.");
handle!(ContextId, "ctx", "a context", "^ctx(0|[1-9][0-9]*)$", "A context, such as `ctx0`.");
handle!(IteratorId, "iter", "an iterator", "^iter(0|[1-9][0-9]*)$", "An iterator over a context, such as `iter0`.");
handle!(ReferenceId, "ref", "a weak reference", "^ref(0|[1-9][0-9]*)$", "A weak reference to a context, such as `ref0`.");
handle!(
    ThreadId,
    "thread",
    "a thread",
    "^thread(0|[1-9][0-9]*)$",
    "A thread, such as `thread1`. `thread0` exists from the start of every trace."
);
handle!(
    WatcherId,
    "watcher",
    "a watcher",
    "^watcher(0|[1-9][0-9]*)$",
    "A context watcher, such as `watcher0`: the trace's name of it, not the number that CPython gives it."
);

impl ThreadId {
    /// The thread that exists when a trace begins.
    pub const MAIN: Self = Self(0);

    /// Whether this is the thread that a step runs on when it names none.
    #[must_use]
    pub fn is_main(&self) -> bool {
        *self == Self::MAIN
    }
}

/// What a variable may hold: `None`, `Token.MISSING` or a value that the trace made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Python's `None`.
    None,
    /// The object `Token.MISSING`, stored as if it were any other value (SET-5).
    Missing,
    /// A value made by a `value` operation.
    Made(ValueId),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Object::from(*self).fmt(f)
    }
}

impl FromStr for Value {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        match text {
            "None" => Ok(Self::None),
            "MISSING" => Ok(Self::Missing),
            _ => text.parse().map(Self::Made).map_err(|_| HandleError {
                text: text.to_owned(),
                expected: "a value",
                example: "`None`, `MISSING` or the name of a value, such as `val0`",
            }),
        }
    }
}

as_string!(
    Value,
    "^(None|MISSING|val(0|[1-9][0-9]*))$",
    "What a variable may hold: `None`, `MISSING` (the object `Token.MISSING`) or a value that the trace made."
);

/// Any object that an operation may be handed or may answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// Python's `None`.
    None,
    /// The object `Token.MISSING`.
    Missing,
    /// A value made by a `value` operation.
    Value(ValueId),
    /// A context variable.
    Variable(VariableId),
    /// A token.
    Token(TokenId),
    /// A context.
    Context(ContextId),
    /// An iterator over a context.
    Iterator(IteratorId),
}

impl From<Value> for Object {
    fn from(value: Value) -> Self {
        match value {
            Value::None => Self::None,
            Value::Missing => Self::Missing,
            Value::Made(id) => Self::Value(id),
        }
    }
}

impl Object {
    /// The handle behind the object; `None` and `MISSING` have none, since nothing makes them.
    #[must_use]
    pub fn handle(self) -> Option<Handle> {
        match self {
            Self::None | Self::Missing => None,
            Self::Value(id) => Some(Handle::Value(id)),
            Self::Variable(id) => Some(Handle::Variable(id)),
            Self::Token(id) => Some(Handle::Token(id)),
            Self::Context(id) => Some(Handle::Context(id)),
            Self::Iterator(id) => Some(Handle::Iterator(id)),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Missing => f.write_str("MISSING"),
            Self::Value(id) => id.fmt(f),
            Self::Variable(id) => id.fmt(f),
            Self::Token(id) => id.fmt(f),
            Self::Context(id) => id.fmt(f),
            Self::Iterator(id) => id.fmt(f),
        }
    }
}

impl FromStr for Object {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        if let Ok(value) = text.parse::<Value>() {
            return Ok(value.into());
        }
        text.parse()
            .map(Self::Variable)
            .or_else(|_| text.parse().map(Self::Token))
            .or_else(|_| text.parse().map(Self::Context))
            .or_else(|_| text.parse().map(Self::Iterator))
            .map_err(|_: HandleError| HandleError {
                text: text.to_owned(),
                expected: "an object",
                example: "`None`, `MISSING` or a name such as `val0`, `var0`, `tok0`, `ctx0` or `iter0`",
            })
    }
}

as_string!(
    Object,
    "^(None|MISSING|(val|var|tok|ctx|iter)(0|[1-9][0-9]*))$",
    "Any object: `None`, `MISSING` (the object `Token.MISSING`), or the name of a value, a variable, a token, a context or an iterator."
);

/// A handle of any kind, for code that treats definitions and uses alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handle {
    /// A value.
    Value(ValueId),
    /// A context variable.
    Variable(VariableId),
    /// A token.
    Token(TokenId),
    /// A context.
    Context(ContextId),
    /// An iterator over a context.
    Iterator(IteratorId),
    /// A weak reference to a context.
    Reference(ReferenceId),
    /// A thread.
    Thread(ThreadId),
    /// A context watcher.
    Watcher(WatcherId),
}

impl Handle {
    /// The object behind the handle; weak references, threads and watchers are none.
    #[must_use]
    pub fn object(self) -> Option<Object> {
        Some(match self {
            Self::Value(id) => Object::Value(id),
            Self::Variable(id) => Object::Variable(id),
            Self::Token(id) => Object::Token(id),
            Self::Context(id) => Object::Context(id),
            Self::Iterator(id) => Object::Iterator(id),
            Self::Reference(_) | Self::Thread(_) | Self::Watcher(_) => return None,
        })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(id) => id.fmt(f),
            Self::Variable(id) => id.fmt(f),
            Self::Token(id) => id.fmt(f),
            Self::Context(id) => id.fmt(f),
            Self::Iterator(id) => id.fmt(f),
            Self::Reference(id) => id.fmt(f),
            Self::Thread(id) => id.fmt(f),
            Self::Watcher(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_survives_its_own_spelling() {
        for text in ["None", "MISSING", "val0", "var12", "tok3", "ctx4294967295", "iter1"] {
            assert_eq!(text.parse::<Object>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_refused_with_the_mend() {
        for text in ["", "ctx", "ctx01", "ctx-1", "ctx+1", "ctx4294967296", "none", "thread0", "val 1"] {
            let error = text.parse::<Object>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("write"), "{error}");
        }
    }
}
