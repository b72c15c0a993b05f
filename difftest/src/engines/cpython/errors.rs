//! From a Python exception to a typed error, its message compared to the letter.

use contextvars_spec::{Error, Exception};
use pyo3::prelude::*;

/// Which of the errors that an operation may raise this is. `payload` is the object that their
/// messages show.
pub(super) fn classify(py: Python<'_>, error: &PyErr, expected: &[Error], payload: &Bound<'_, PyAny>) -> Error {
    let other = || Error::Other { exception: exception_name(py, error).into(), message: without_addresses(&message(py, error)).into() };
    // An exception that replaces another must not remember it (RUN-7, RUN-8).
    let remembers = error.value(py).getattr("__context__").is_ok_and(|context| !context.is_none());
    if remembers {
        return other();
    }
    expected.iter().find(|candidate| is(py, error, candidate, payload)).cloned().unwrap_or_else(other)
}

fn is(py: Python<'_>, error: &PyErr, candidate: &Error, payload: &Bound<'_, PyAny>) -> bool {
    if candidate.exception().map(|exception| exception.to_string()) != Some(exception_name(py, error)) {
        return false;
    }
    let number = match candidate {
        Error::InvalidWatcher { id } | Error::WatcherNotSet { id } => id.to_string(),
        _ => String::new(),
    };
    match candidate {
        Error::Lookup { .. } | Error::Key { .. } => {
            let arguments = error.value(py).getattr("args");
            arguments.is_ok_and(|arguments| {
                arguments.len().is_ok_and(|count| count == 1) && arguments.get_item(0).is_ok_and(|argument| argument.is(payload))
            })
        }
        Error::StopIteration | Error::Unspecified { .. } => true,
        _ => candidate.template().is_some_and(|template| {
            let shown = payload.repr().map(|repr| repr.to_string()).unwrap_or_default();
            template.replace("%R", &shown).replace("%d", &number) == message(py, error)
        }),
    }
}

/// An exception of which only the type is fixed.
pub(super) fn of_type(py: Python<'_>, error: &PyErr) -> Error {
    let name = exception_name(py, error);
    let known = [Exception::TypeError, Exception::ValueError, Exception::RuntimeError, Exception::AttributeError];
    known.into_iter().find(|exception| exception.to_string() == name).map_or_else(
        || Error::Other { exception: name.clone().into(), message: without_addresses(&message(py, error)).into() },
        |exception| Error::Unspecified { exception },
    )
}

fn exception_name(py: Python<'_>, error: &PyErr) -> String {
    error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default()
}

fn message(py: Python<'_>, error: &PyErr) -> String {
    error.value(py).str().map(|text| text.to_string()).unwrap_or_default()
}

/// Addresses differ from run to run; a signature must not.
fn without_addresses(text: &str) -> String {
    super::objects::replace_addresses(text, |_| Some("0x0".to_owned()))
}
