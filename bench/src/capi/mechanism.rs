//! CPython's context variables.

use std::hint::black_box;

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Object, number, variable, version};
use crate::contexts;
use crate::fresh::Fresh;

/// The mechanism itself.
pub struct CPython {
    name: String,
    context: Object,
    other: Object,
    other_thread: OtherThread,
    variables: Vec<Object>,
    fresh: Fresh<Object>,
    cursor: usize,
}

/// Another thread state of the interpreter, with a context entered.
///
/// INVARIANT: it is not the current one while no method here runs.
struct OtherThread {
    state: *mut ffi::PyThreadState,
    context: Object,
}

impl OtherThread {
    fn new(context: Object) -> Self {
        // SAFETY: the interpreter is attached.
        let state = unsafe { ffi::PyThreadState_New(ffi::PyInterpreterState_Get()) };
        assert!(!state.is_null(), "no thread state is made");
        let made = Self { state, context };
        made.attached(|| enter(&made.context));
        made
    }

    /// Does something while this thread state is the current one.
    #[inline]
    fn attached(&self, work: impl FnOnce()) {
        // SAFETY: the thread is attached to the interpreter, to which both states belong.
        unsafe {
            let own = ffi::PyThreadState_Swap(self.state);
            work();
            ffi::PyThreadState_Swap(own);
        }
    }
}

impl Drop for OtherThread {
    fn drop(&mut self) {
        self.attached(|| exit(&self.context));
        // SAFETY: the state is not the current one, and nobody uses it any more.
        unsafe {
            ffi::PyThreadState_Clear(self.state);
            ffi::PyThreadState_Delete(self.state);
        }
    }
}

impl CPython {
    /// A context of so many variables, entered.
    pub fn new(py: Python<'_>, size: usize) -> Self {
        // SAFETY: the interpreter is attached, as throughout this function.
        let context = Object::owned(unsafe { ffi::PyContext_New() });
        let variables: Vec<_> = (0..size).map(|_| variable()).collect();
        enter(&context);
        for (variable, value) in variables.iter().zip(0..) {
            set(variable, &number(value));
        }
        let (other, other_thread) = (copy(), OtherThread::new(copy()));
        Self { name: version(py), context, other, other_thread, variables, fresh: Fresh::new(number), cursor: 0 }
    }

    fn next(&mut self) -> usize {
        self.cursor = if self.cursor + 1 >= self.variables.len() { 0 } else { self.cursor + 1 };
        self.cursor
    }
}

impl Drop for CPython {
    fn drop(&mut self) {
        exit(&self.context);
    }
}

#[inline]
fn get(variable: &Object) {
    let mut value = std::ptr::null_mut();
    // SAFETY: the variable is one; the value is a new reference, which is given back.
    unsafe {
        ffi::PyContextVar_Get(variable.0, std::ptr::null_mut(), &raw mut value);
        ffi::Py_DECREF(black_box(value));
    }
}

#[inline]
fn set(variable: &Object, value: &Object) -> Object {
    // SAFETY: the variable is one, and the value is an object.
    Object::owned(unsafe { ffi::PyContextVar_Set(variable.0, value.0) })
}

#[inline]
fn reset(variable: &Object, token: &Object) {
    // SAFETY: the variable is one, and the token is the one that its set answered.
    unsafe { ffi::PyContextVar_Reset(variable.0, token.0) };
}

#[inline]
fn copy() -> Object {
    // SAFETY: the interpreter is attached.
    Object::owned(unsafe { ffi::PyContext_CopyCurrent() })
}

#[inline]
fn enter(context: &Object) {
    // SAFETY: the context is one.
    let status = unsafe { ffi::PyContext_Enter(context.0) };
    debug_assert_eq!(status, 0, "it is not entered");
}

#[inline]
fn exit(context: &Object) {
    // SAFETY: the context is one.
    let status = unsafe { ffi::PyContext_Exit(context.0) };
    debug_assert_eq!(status, 0, "it is the current one");
}

impl contexts::Contender for CPython {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, operation: contexts::Operation, repeats: u64) -> bool {
        use contexts::Operation;
        match operation {
            Operation::Get | Operation::GetShared => {
                for _ in 0..repeats {
                    get(black_box(&self.variables[0]));
                }
            }
            Operation::GetInTurn => {
                for _ in 0..repeats {
                    let at = self.next();
                    get(&self.variables[at]);
                }
            }
            Operation::GetAfterSwitch => {
                for _ in 0..repeats {
                    enter(&self.other);
                    get(black_box(&self.variables[0]));
                    exit(&self.other);
                }
            }
            Operation::GetEachAfterSwitch => {
                for _ in 0..repeats {
                    enter(&self.other);
                    self.variables.iter().for_each(get);
                    exit(&self.other);
                }
            }
            Operation::GetEachInThreads => {
                for _ in 0..repeats / 2 {
                    self.variables.iter().for_each(get);
                    self.other_thread.attached(|| self.variables.iter().for_each(get));
                }
                if repeats % 2 == 1 {
                    self.variables.iter().for_each(get);
                }
            }
            Operation::Set => {
                for _ in 0..repeats {
                    let at = self.next();
                    set(&self.variables[at], self.fresh.next());
                }
            }
            Operation::SetReset => {
                for _ in 0..repeats {
                    let at = self.next();
                    let token = set(&self.variables[at], self.fresh.next());
                    reset(&self.variables[at], &token);
                }
            }
            Operation::FirstSetAfterCopy => {
                for _ in 0..repeats {
                    let at = self.next();
                    let task = copy();
                    enter(&task);
                    set(&self.variables[at], self.fresh.next());
                    exit(&task);
                }
            }
            Operation::CopyDrop => {
                for _ in 0..repeats {
                    black_box(copy());
                }
            }
            Operation::EnterExit => {
                for _ in 0..repeats {
                    enter(&self.other);
                    exit(&self.other);
                }
            }
            Operation::TaskSpawn => {
                let variables = contexts::task_variables(&self.variables);
                for _ in 0..repeats {
                    let value = self.fresh.next();
                    let task = copy();
                    enter(&task);
                    let token = set(variables[0], value);
                    set(variables[1], value);
                    set(variables[2], value);
                    for _ in 0..4 {
                        for variable in variables {
                            get(variable);
                        }
                    }
                    reset(variables[0], &token);
                    exit(&task);
                }
            }
        }
        true
    }
}
