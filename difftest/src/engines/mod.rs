//! The engines, by their names on the command line.

pub mod child;
pub mod coq;
#[cfg(feature = "cpython")]
pub mod cpython;
pub mod optimized;
pub mod python;

use std::sync::Once;
use std::time::Duration;

use contextvars_optimized::{Confined, Shared};
use contextvars_reference::Reference;
use contextvars_spec::{Engine, EngineError};
use thiserror::Error;

/// The names of all engines that this build knows, the one that others are held to first.
pub const NAMES: &[&str] = &["reference", "optimized", "confined", "coq", "cpython"];

/// The names of the groups of every Python interpreter that is found, each with the name of one of it.
const GROUPS: [(&str, &str); 2] = [("pythons", "python"), ("pythons-dev", "python-dev")];

/// An engine cannot be had.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// No engine has the name.
    #[error(
        "`{0}` is not an engine; name some of reference, optimized, confined, coq, cpython, pythons, python=PATH, pythons-dev, python-dev=PATH, child=COMMAND, fresh=COMMAND"
    )]
    Unknown(String),
    /// There is no interpreter for a group.
    #[error("no python interpreter was found on PATH or under pyenv; name one with `python=PATH`")]
    NoPythons,
    /// The build left it out.
    #[error("engine `cpython` was left out of this build; build with `--features cpython`")]
    LeftOut,
    /// The formal model's oracle is not built.
    #[error("engine `coq` is not built; build it with `make -C spec/coq oracle`, or name it in `CONTEXTVARS_ORACLE`")]
    NotBuilt,
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
    start_with(name, child::PATIENCE)
}

/// As [`start`]; an engine in a process of its own may take so long to answer one trace.
///
/// # Errors
///
/// If there is no such engine, or it does not start.
pub fn start_with(name: &str, patience: Duration) -> Result<Box<dyn Engine>, Unavailable> {
    let child = |command| child::Child::start(name, shlex::split(command).unwrap_or_default(), patience);
    match name {
        "reference" => Ok(Box::new(Reference::default())),
        "optimized" => Ok(Box::new(optimized::Optimized::<Shared>::default())),
        "confined" => Ok(Box::new(optimized::Optimized::<Confined>::default())),
        "coq" => Ok(Box::new(coq::Coq::start(coq::Coq::find().ok_or(Unavailable::NotBuilt)?, patience)?)),
        #[cfg(feature = "cpython")]
        "cpython" => Ok(Box::new(cpython::CPython::new()?)),
        #[cfg(not(feature = "cpython"))]
        "cpython" => Err(Unavailable::LeftOut),
        _ => match name.split_once('=') {
            Some(("child", command)) => Ok(Box::new(child(command)?)),
            Some(("fresh", command)) => Ok(Box::new(child(command)?.fresh())),
            Some(("python", path)) => Ok(Box::new(python::Python::start(name, path, &[], patience)?)),
            Some(("python-dev", path)) => Ok(Box::new(python::Python::start(name, path, &["-X", "dev"], patience)?)),
            _ => Err(Unavailable::Unknown(name.to_owned())),
        },
    }
}

/// The names with `pythons` and `pythons-dev`, where they are among them, replaced by every interpreter
/// that was found. `left_out` is told of each file that looks like an interpreter and does not work.
///
/// # Errors
///
/// If no interpreter was found for a group.
pub fn expand(names: Vec<String>, left_out: impl Fn(&python::LeftOut)) -> Result<Vec<String>, Unavailable> {
    let mut expanded = Vec::with_capacity(names.len());
    for name in names {
        let Some((_, one)) = GROUPS.iter().find(|(group, _)| *group == name) else {
            expanded.push(name);
            continue;
        };
        let (found, broken) = python::find();
        broken.iter().for_each(&left_out);
        if found.is_empty() {
            return Err(Unavailable::NoPythons);
        }
        expanded.extend(found.iter().map(|found| format!("{one}={}", found.path.display())));
    }
    Ok(expanded)
}

/// The names of the engines that are to be had here, the one that others are held to first.
///
/// Says once on standard error if the oracle is left out. Where `CI=true` is in the environment the formal model's
/// oracle is not left out: without it the run is to fail.
#[must_use]
pub fn at_hand() -> Vec<&'static str> {
    let is_demanded = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    let has = |name: &&str| match *name {
        "cpython" => cfg!(feature = "cpython"),
        "coq" if coq::Coq::find().is_none() && !is_demanded => {
            static SAID: Once = Once::new();
            SAID.call_once(|| eprintln!("skipped: {}", Unavailable::NotBuilt));
            false
        }
        _ => true,
    };
    NAMES.iter().copied().filter(has).collect()
}
