//! A Python version, as far as rules depend on it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::handle::as_string;

/// A Python feature version: major and minor, as in `3.14`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The major version, 3.
    pub major: u8,
    /// The minor version.
    pub minor: u8,
}

/// A text is not a Python feature version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a python version; write major and minor, such as `3.14`")]
pub struct VersionError(String);

impl Version {
    /// The version in which contextvars first appeared.
    pub const FIRST: Self = Self { major: 3, minor: 7 };
    /// The version that brought watchers, the token as a context manager, and `Thread(context=)`.
    pub const V3_14: Self = Self { major: 3, minor: 14 };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
        };
        parse().ok_or_else(|| VersionError(text.to_owned()))
    }
}

as_string!(Version, "^[0-9]+\\.[0-9]+$", "A Python feature version, such as `3.14`.");
