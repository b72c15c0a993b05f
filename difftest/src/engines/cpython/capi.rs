//! The C API of contextvars behind safe functions, and a look at a variable's cache.

#![allow(unsafe_code, reason = "the C API can be called in no other way; this is the only such file of the tester")]

use pyo3::ffi;
use pyo3::prelude::*;

/// The result of a C function that answers a status.
fn status(py: Python<'_>, status: std::ffi::c_int) -> PyResult<()> {
    if status < 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
}

pub(super) fn context_new(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is attached; the function answers a new reference or NULL with an exception.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_New()) }
}

pub(super) fn context_copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as above; the function checks its argument's type.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

pub(super) fn context_copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: as above.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

pub(super) fn context_enter(context: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: as above; the thread state takes its own reference.
    status(context.py(), unsafe { ffi::PyContext_Enter(context.as_ptr()) })
}

pub(super) fn context_exit(context: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: as above.
    status(context.py(), unsafe { ffi::PyContext_Exit(context.as_ptr()) })
}

fn pointer(object: Option<&Bound<'_, PyAny>>) -> *mut ffi::PyObject {
    object.map_or(std::ptr::null_mut(), Bound::as_ptr)
}

pub(super) fn var_new<'py>(py: Python<'py>, name: &std::ffi::CStr, default: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the name ends in a NUL and is copied; a NULL default means none.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_New(name.as_ptr(), pointer(default))) }
}

pub(super) fn var_get<'py>(variable: &Bound<'py, PyAny>, default: Option<&Bound<'py, PyAny>>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: the function checks the variable's type and writes a new reference or NULL.
    status(variable.py(), unsafe { ffi::PyContextVar_Get(variable.as_ptr(), pointer(default), &raw mut value) })?;
    // SAFETY: after success `value` is a new reference or NULL.
    Ok(unsafe { Bound::from_owned_ptr_or_opt(variable.py(), value) })
}

pub(super) fn var_set<'py>(variable: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the function checks the variable's type; the value is not NULL.
    unsafe { Bound::from_owned_ptr_or_err(variable.py(), ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr())) }
}

pub(super) fn var_reset(variable: &Bound<'_, PyAny>, token: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: the function checks the types of both.
    status(variable.py(), unsafe { ffi::PyContextVar_Reset(variable.as_ptr(), token.as_ptr()) })
}

/// The identifier by which caches know the thread state that is attached.
pub(super) fn thread_id(_: Python<'_>) -> u64 {
    // SAFETY: the interpreter is attached, so that there is a thread state.
    unsafe { PyThreadState_GetID(ffi::PyThreadState_Get()) }
}

unsafe extern "C" {
    fn PyThreadState_GetID(thread_state: *mut ffi::PyThreadState) -> u64;
}

/// The size of a `PyContextVar` whose layout [`cache`] knows: two words of header, `var_name`,
/// `var_default`, `var_cached`, `var_cached_tsid`, `var_cached_tsver`, `var_hash`. It is the same in
/// every 64-bit build with a global interpreter lock from 3.7 to 3.15.
pub(super) const KNOWN_LAYOUT: usize = 64;

/// A variable's cache: the address of the value (0 where there is none), thread and version.
///
/// The caller has checked that `variable` is a `ContextVar` of [`KNOWN_LAYOUT`].
pub(super) fn cache(variable: &Bound<'_, PyAny>) -> (usize, u64, u64) {
    let words = variable.as_ptr().cast::<u64>();
    // SAFETY: the object is alive and of 64 bytes, so that its words 4 to 6 can be read; the value's
    // address is not followed.
    unsafe { (words.add(4).read() as usize, words.add(5).read(), words.add(6).read()) }
}

/// How many watchers an interpreter has (`CONTEXT_MAX_WATCHERS`).
pub(super) const WATCHERS: usize = 8;

/// Adds the watcher of a slot, which fails after it has seen an event if it is told to, and answers
/// its identifier. None before Python 3.14.
#[cfg(Py_3_14)]
pub(super) fn add_watcher(py: Python<'_>, slot: usize, fails: bool) -> Option<PyResult<usize>> {
    watching::FAILS[slot].store(fails, std::sync::atomic::Ordering::Relaxed);
    // SAFETY: the interpreter is attached, and the callback lives as long as the program.
    let id = unsafe { watching::PyContext_AddWatcher(watching::CALLBACKS[slot]) };
    Some(status(py, id).map(|()| id as usize))
}

/// Clears the watcher of an identifier. None before Python 3.14.
#[cfg(Py_3_14)]
pub(super) fn clear_watcher(py: Python<'_>, id: i32) -> Option<PyResult<()>> {
    // SAFETY: the interpreter is attached; the function checks the identifier.
    Some(status(py, unsafe { watching::PyContext_ClearWatcher(id) }))
}

/// What watchers saw since the last call: slot, and the current context's address if there is one.
#[cfg(Py_3_14)]
pub(super) fn take_seen() -> Vec<(usize, Option<usize>)> {
    std::mem::take(&mut *watching::SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

#[cfg(Py_3_14)]
mod watching {
    use std::ffi::c_int;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::{WATCHERS, ffi};

    type Callback = extern "C" fn(c_int, *mut ffi::PyObject) -> c_int;

    unsafe extern "C" {
        pub(super) fn PyContext_AddWatcher(callback: Callback) -> c_int;
        pub(super) fn PyContext_ClearWatcher(id: c_int) -> c_int;
    }

    pub(super) static SEEN: Mutex<Vec<(usize, Option<usize>)>> = Mutex::new(Vec::new());
    pub(super) static FAILS: [AtomicBool; WATCHERS] = [const { AtomicBool::new(false) }; WATCHERS];
    pub(super) const CALLBACKS: [Callback; WATCHERS] =
        [watch::<0>, watch::<1>, watch::<2>, watch::<3>, watch::<4>, watch::<5>, watch::<6>, watch::<7>];

    extern "C" fn watch<const SLOT: usize>(_event: c_int, current: *mut ffi::PyObject) -> c_int {
        // SAFETY: CPython calls with the interpreter attached; `None` lives for ever.
        let none = unsafe { ffi::Py_None() };
        let address = (current != none && !current.is_null()).then_some(current as usize);
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push((SLOT, address));
        if !FAILS[SLOT].load(Ordering::Relaxed) {
            return 0;
        }
        // A callback that is called with an exception pending, as at the exit of a run whose callable
        // raised, must leave it alone.
        // SAFETY: the interpreter is attached.
        if !unsafe { ffi::PyErr_Occurred() }.is_null() {
            return 0;
        }
        // SAFETY: the interpreter is attached, and the message ends in a NUL.
        unsafe { ffi::PyErr_SetString(ffi::PyExc_RuntimeError, c"the watcher fails".as_ptr()) };
        -1
    }
}

/// Watchers came with Python 3.14.
#[cfg(not(Py_3_14))]
pub(super) fn add_watcher(_: Python<'_>, _: usize, _: bool) -> Option<PyResult<usize>> {
    None
}

/// Watchers came with Python 3.14.
#[cfg(not(Py_3_14))]
pub(super) fn clear_watcher(_: Python<'_>, _: i32) -> Option<PyResult<()>> {
    None
}

/// Watchers came with Python 3.14.
#[cfg(not(Py_3_14))]
pub(super) fn take_seen() -> Vec<(usize, Option<usize>)> {
    Vec::new()
}
