//! The engines, by their names on the command line.

pub mod child;
#[cfg(feature = "cpython")]
pub mod cpython;
pub mod optimized;
pub mod python;

use contextvars_reference::Reference;
use contextvars_spec::{Engine, EngineError};
use thiserror::Error;

/// The names of all engines that this build knows, the one that others are held to first.
pub const NAMES: &[&str] = &["reference", "optimized", "cpython"];

/// The name of the group of every Python interpreter that is found.
pub const PYTHONS: &str = "pythons";

/// An engine cannot be had.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// No engine has the name.
    #[error("`{0}` is not an engine; name some of reference, optimized, cpython, pythons, python=PATH, child=COMMAND")]
    Unknown(String),
    /// There is no interpreter for the group `pythons`.
    #[error("no python interpreter was found on PATH or under pyenv; name one with `python=PATH`")]
    NoPythons,
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
        _ => match name.split_once('=') {
            Some(("child", command)) => Ok(Box::new(child::Child::start(name, shlex::split(command).unwrap_or_default())?)),
            Some(("python", path)) => Ok(Box::new(python::Python::start(name, path)?)),
            _ => Err(Unavailable::Unknown(name.to_owned())),
        },
    }
}

/// The names with `pythons`, where it is one of them, replaced by every interpreter that was found.
/// `left_out` is told of each file that looks like an interpreter and does not work.
///
/// # Errors
///
/// If no interpreter was found for `pythons`.
pub fn expand(names: Vec<String>, left_out: impl Fn(&python::LeftOut)) -> Result<Vec<String>, Unavailable> {
    let mut expanded = Vec::with_capacity(names.len());
    for name in names {
        if name != PYTHONS {
            expanded.push(name);
            continue;
        }
        let (found, broken) = python::find();
        broken.iter().for_each(&left_out);
        if found.is_empty() {
            return Err(Unavailable::NoPythons);
        }
        expanded.extend(found.iter().map(|found| format!("python={}", found.path.display())));
    }
    Ok(expanded)
}
