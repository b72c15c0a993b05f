//! CPython through its C API: the calls themselves, with nothing between.
//!
//! Everything here runs while the caller holds one attachment to the interpreter.

#![allow(unsafe_code, reason = "the C API can be called in no other way; this is the only such file of the bench")]

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::{contexts, maps};

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

/// The mechanism itself.
pub struct CPython {
    name: String,
    context: Object,
    other: Object,
    variables: Vec<Object>,
    values: Vec<Object>,
    cursor: usize,
}

impl CPython {
    /// A context of so many variables, entered.
    pub fn new(py: Python<'_>, size: usize) -> Self {
        // SAFETY: the interpreter is attached, as throughout this function.
        let context = Object::owned(unsafe { ffi::PyContext_New() });
        let variables: Vec<_> = (0..size).map(|_| variable()).collect();
        let values: Vec<_> = (0..size as u64).map(number).collect();
        // SAFETY: as above.
        assert_eq!(unsafe { ffi::PyContext_Enter(context.0) }, 0);
        for (variable, value) in variables.iter().zip(&values) {
            set(variable, value);
        }
        // SAFETY: as above.
        let other = Object::owned(unsafe { ffi::PyContext_Copy(context.0) });
        Self { name: version(py), context, other, variables, values, cursor: 0 }
    }

    fn next(&mut self) -> usize {
        self.cursor = if self.cursor + 1 >= self.variables.len() { 0 } else { self.cursor + 1 };
        self.cursor
    }
}

impl Drop for CPython {
    fn drop(&mut self) {
        // SAFETY: the context is current since `new`.
        unsafe { ffi::PyContext_Exit(self.context.0) };
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
    // SAFETY: the context is one, and is not entered.
    unsafe { ffi::PyContext_Enter(context.0) };
}

#[inline]
fn exit(context: &Object) {
    // SAFETY: the context is the current one.
    unsafe { ffi::PyContext_Exit(context.0) };
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
            Operation::Set => {
                for _ in 0..repeats {
                    let at = self.next();
                    set(&self.variables[at], &self.values[at]);
                }
            }
            Operation::SetReset => {
                for _ in 0..repeats {
                    let at = self.next();
                    let token = set(&self.variables[at], &self.values[at]);
                    reset(&self.variables[at], &token);
                }
            }
            Operation::FirstSetAfterCopy => {
                for _ in 0..repeats {
                    let at = self.next();
                    let task = copy();
                    enter(&task);
                    set(&self.variables[at], &self.values[at]);
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
                let (variables, values) = (contexts::task_variables(&self.variables), &self.values);
                for _ in 0..repeats {
                    let task = copy();
                    enter(&task);
                    let token = set(variables[0], &values[0]);
                    set(variables[1], &values[0]);
                    set(variables[2], &values[0]);
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

type Method = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject;

/// CPython's trie alone: the type that its own tests use, by the functions of its method table.
struct Trie {
    map: Object,
    separate: Object,
    one_apart: Object,
    unique: RefCell<Object>,
    present: Vec<Object>,
    absent: Vec<Object>,
    /// The arguments of `set`, made beforehand.
    pairs: Vec<Object>,
    absent_pairs: Vec<Object>,
    order: Vec<u32>,
    cursor: Cell<usize>,
    set: Method,
    delete: Method,
    values: Method,
}

fn method(map: &Object, name: &std::ffi::CStr) -> Option<Method> {
    // SAFETY: the map is an object of a static type, whose table of methods ends in a NULL name; a
    // method of the flags VARARGS, O or NOARGS has this signature.
    unsafe {
        let mut entry = (*ffi::Py_TYPE(map.0)).tp_methods;
        while !entry.is_null() && !(*entry).ml_name.is_null() {
            if std::ffi::CStr::from_ptr((*entry).ml_name) == name
                && (*entry).ml_flags & (ffi::METH_VARARGS | ffi::METH_O | ffi::METH_NOARGS) != 0
            {
                return Some((*entry).ml_meth.PyCFunction);
            }
            entry = entry.add(1);
        }
    }
    None
}

fn tuple(objects: &[&Object]) -> Object {
    // SAFETY: the interpreter is attached; each place of the new tuple is filled once, with a
    // reference of its own.
    unsafe {
        let tuple = Object::owned(ffi::PyTuple_New(objects.len() as isize));
        for (at, &object) in objects.iter().enumerate() {
            ffi::PyTuple_SetItem(tuple.0, at as isize, std::mem::ManuallyDrop::new(object.clone()).0);
        }
        tuple
    }
}

#[inline]
fn call(method: Method, map: &Object, arguments: &Object) -> Object {
    // SAFETY: the method is of the map's type, and the argument is what it takes: a tuple, or a key for `delete`.
    Object::owned(unsafe { method(map.0, arguments.0) })
}

#[inline]
fn equal(left: &Object, right: &Object) {
    // SAFETY: both are objects. `PyObject_RichCompare` does not take identity for equality.
    drop(Object::owned(unsafe { ffi::PyObject_RichCompare(left.0, right.0, ffi::Py_EQ) }));
}

/// CPython's trie of the keys' number of entries, or why there is none.
///
/// # Errors
///
/// That of the import, where this CPython was built without its test modules.
pub fn trie(py: Python<'_>, keys: &maps::Keys) -> PyResult<Box<dyn maps::Contender>> {
    let module = py.import("_testinternalcapi").and_then(|module| module.getattr("hamt"));
    let module = module.or_else(|_| py.import("_testcapi").and_then(|module| module.getattr("hamt")))?;
    let empty = Object::owned(module.call0()?.into_ptr());
    let missing = || pyo3::exceptions::PyAttributeError::new_err("the trie has no such method");
    let set = method(&empty, c"set").ok_or_else(missing)?;
    let delete = method(&empty, c"delete").ok_or_else(missing)?;
    let values = method(&empty, c"values").ok_or_else(missing)?;
    let present: Vec<_> = keys.present.iter().map(|_| variable()).collect();
    let absent: Vec<_> = keys.absent.iter().map(|_| variable()).collect();
    let numbers: Vec<_> = (0..present.len() as u64).map(number).collect();
    let pairs: Vec<_> = present.iter().zip(&numbers).map(|(key, value)| tuple(&[key, value])).collect();
    let absent_pairs: Vec<_> = absent.iter().map(|key| tuple(&[key, &numbers[0]])).collect();
    let build = || pairs.iter().fold(empty.clone(), |map, pair| call(set, &map, pair));
    let map = build();
    let middle = present.len() / 2;
    let one_apart = call(set, &map, &tuple(&[&present[middle], &number(middle as u64)]));
    let (separate, unique) = (build(), RefCell::new(build()));
    let (order, cursor) = (keys.order.clone(), Cell::new(0));
    Ok(Box::new(Trie { map, separate, one_apart, unique, present, absent, pairs, absent_pairs, order, cursor, set, delete, values }))
}

impl Trie {
    fn each(&self, repeats: u64, mut work: impl FnMut(usize)) {
        let mut cursor = self.cursor.get();
        for _ in 0..repeats {
            cursor = if cursor + 1 >= self.order.len() { 0 } else { cursor + 1 };
            work(self.order[cursor] as usize);
        }
        self.cursor.set(cursor);
    }

    fn in_turn(&self, repeats: u64, many: usize, mut work: impl FnMut(usize)) {
        let mut cursor = self.cursor.get() % many;
        for _ in 0..repeats {
            cursor = if cursor + 1 >= many { 0 } else { cursor + 1 };
            work(cursor);
        }
        self.cursor.set(cursor);
    }

    fn get(&self, at: usize) {
        // SAFETY: the key is in the map, so that the answer is a new reference.
        drop(black_box(Object::owned(unsafe { ffi::PyObject_GetItem(self.map.0, self.present[at].0) })));
    }
}

impl maps::Contender for Trie {
    fn name(&self) -> String {
        "CPython's HAMT".to_owned()
    }

    fn can(&self, _: maps::Operation) -> bool {
        true
    }

    fn run(&self, operation: maps::Operation, repeats: u64) {
        use maps::Operation;
        match operation {
            Operation::GetSequential => self.in_turn(repeats, self.present.len(), |at| self.get(at)),
            Operation::GetHit => self.each(repeats, |at| self.get(at)),
            Operation::GetMiss => self.in_turn(repeats, self.absent.len(), |at| {
                // SAFETY: both are objects.
                black_box(unsafe { ffi::PySequence_Contains(self.map.0, self.absent[at].0) });
            }),
            Operation::InsertShared => {
                self.in_turn(repeats, self.absent.len(), |at| drop(black_box(call(self.set, &self.map, &self.absent_pairs[at]))));
            }
            Operation::InsertRemoveUnique => {
                let mut unique = self.unique.borrow_mut();
                self.in_turn(repeats, self.absent.len(), |at| {
                    *unique = call(self.set, &unique, &self.absent_pairs[at]);
                    *unique = call(self.delete, &unique, &self.absent[at]);
                });
            }
            Operation::OverwriteShared => self.each(repeats, |at| drop(black_box(call(self.set, &self.map, &self.pairs[at])))),
            Operation::OverwriteUnique => {
                let mut unique = self.unique.borrow_mut();
                self.each(repeats, |at| *unique = call(self.set, &unique, &self.pairs[at]));
            }
            Operation::KeptVersions => {
                for _ in 0..repeats {
                    let mut version = self.map.clone();
                    let mut kept = Vec::with_capacity(64);
                    self.each(64, |at| {
                        version = call(self.set, &version, &self.pairs[at]);
                        kept.push(version.clone());
                    });
                }
            }
            Operation::RemoveShared => self.each(repeats, |at| drop(black_box(call(self.delete, &self.map, &self.present[at])))),
            Operation::Iterate => {
                for _ in 0..repeats {
                    // SAFETY: `values` takes no arguments; what the iterator answers are new references.
                    unsafe {
                        let view = Object::owned((self.values)(self.map.0, std::ptr::null_mut()));
                        let iterator = Object::owned(ffi::PyObject_GetIter(view.0));
                        loop {
                            let value = ffi::PyIter_Next(iterator.0);
                            if value.is_null() {
                                break;
                            }
                            drop(Object(black_box(value)));
                        }
                    }
                }
            }
            Operation::EqualSame => {
                for _ in 0..repeats {
                    equal(black_box(&self.map), &self.map);
                }
            }
            Operation::EqualSeparate => {
                for _ in 0..repeats {
                    equal(black_box(&self.map), &self.separate);
                }
            }
            Operation::EqualOneApart => {
                for _ in 0..repeats {
                    equal(black_box(&self.map), &self.one_apart);
                }
            }
            Operation::Build => {
                // SAFETY: deleting from a map of one entry answers the empty map.
                let empty = {
                    let one = call(self.set, &self.map, &self.absent_pairs[0]);
                    self.present.iter().chain(&self.absent[..1]).fold(one, |map, key| call(self.delete, &map, key))
                };
                for _ in 0..repeats {
                    let mut map = empty.clone();
                    for pair in &self.pairs {
                        map = call(self.set, &map, pair);
                    }
                    black_box(&map.0);
                }
            }
            Operation::CloneDrop => {
                for _ in 0..repeats {
                    drop(black_box(self.map.clone()));
                }
            }
        }
    }
}
