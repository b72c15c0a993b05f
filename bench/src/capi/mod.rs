//! CPython through its C API: the calls themselves, with nothing between.
//!
//! Everything here runs while the caller holds one attachment to the interpreter.

#![allow(unsafe_code, reason = "the C API can be called in no other way; this is the only such module of the bench")]

mod mechanism;
mod trie;

use pyo3::ffi;
use pyo3::prelude::*;

pub use mechanism::CPython;
pub use trie::trie;

/// A counted reference to a Python object.
///
/// INVARIANT: the pointer is an owned reference, and objects exist only while the interpreter is
/// attached, which those who make the contenders see to.
struct Object(*mut ffi::PyObject);

impl Object {
    /// Takes over what a C function answered; a NULL is an exception, which stops the bench.
    fn owned(pointer: *mut ffi::PyObject) -> Self {
        assert!(!pointer.is_null(), "a call of the c api failed");
        Self(pointer)
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        // SAFETY: the invariant of `Object`.
        unsafe { ffi::Py_INCREF(self.0) };
        Self(self.0)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the invariant of `Object`.
        unsafe { ffi::Py_DECREF(self.0) }
    }
}

fn number(value: u64) -> Object {
    // SAFETY: the interpreter is attached.
    Object::owned(unsafe { ffi::PyLong_FromUnsignedLongLong(value + 1_000_000) })
}

fn variable() -> Object {
    // SAFETY: the interpreter is attached; the name ends in a NUL.
    Object::owned(unsafe { ffi::PyContextVar_New(c"v".as_ptr(), std::ptr::null_mut()) })
}

/// The version of the interpreter.
pub fn version(py: Python<'_>) -> String {
    let version = py.version_info();
    format!("CPython {}.{}.{} (C API)", version.major, version.minor, version.patch)
}
