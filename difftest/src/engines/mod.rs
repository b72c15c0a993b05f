//! The engines, by their names on the command line.

pub mod child;
#[cfg(feature = "cpython")]
pub mod cpython;
pub mod optimized;

use contextvars_reference::Reference;
use contextvars_spec::{Engine, EngineError};
use thiserror::Error;

/// The names of all engines that this build knows, the one that others are held to first.
pub const NAMES: &[&str] = &["reference", "optimized", "cpython"];

/// An engine cannot be had.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// No engine has the name.
    #[error("`{0}` is not an engine; name some of reference, optimized, cpython, child=COMMAND")]
    Unknown(String),
    /// The build left it out.
    #[error("engine `cpython` was left out of this build; build with `--features cpython`")]
    LeftOut,
    /// It does not start.
    #[error(transparent)]
    Broken(#[from] EngineError),
}

/// Starts the engine of a name.
///
/// # Errors
///
/// If there is no such engine, or it does not start.
pub fn start(name: &str) -> Result<Box<dyn Engine>, Unavailable> {
    match name {
        "reference" => Ok(Box::new(Reference::default())),
        "optimized" => Ok(Box::new(optimized::Optimized)),
        #[cfg(feature = "cpython")]
        "cpython" => Ok(Box::new(cpython::CPython::new()?)),
        #[cfg(not(feature = "cpython"))]
        "cpython" => Err(Unavailable::LeftOut),
        _ => match name.strip_prefix("child=") {
            Some(command) => Ok(Box::new(child::Child::start(name, shlex::split(command).unwrap_or_default())?)),
            None => Err(Unavailable::Unknown(name.to_owned())),
        },
    }
}
