//! CPython's HAMT alone.

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Object, number, variable};
use crate::fresh::Fresh;
use crate::maps;

type Method = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject;

/// CPython's trie alone: the type that its own tests use, by the functions of its method table.
struct Trie {
    empty: Object,
    map: Object,
    separate: Object,
    one_apart: Object,
    unique: RefCell<Object>,
    present: Vec<Object>,
    absent: Vec<Object>,
    fresh: Fresh<Object>,
    /// The arguments of `set`, which are filled in anew each time.
    arguments: Object,
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

/// Puts another object into a tuple.
///
/// # Safety
///
/// The tuple has such a place, and nobody else has a reference to it.
#[inline]
unsafe fn put(tuple: &Object, at: isize, object: &Object) {
    // SAFETY: the contract. The tuple owns what is in it.
    unsafe {
        let before = ffi::PyTuple_GET_ITEM(tuple.0, at);
        ffi::PyTuple_SET_ITEM(tuple.0, at, std::mem::ManuallyDrop::new(object.clone()).0);
        ffi::Py_DECREF(before);
    }
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
    let build = || present.iter().zip(&numbers).fold(empty.clone(), |map, (key, value)| call(set, &map, &tuple(&[key, value])));
    let map = build();
    let middle = present.len() / 2;
    let one_apart = call(set, &map, &tuple(&[&present[middle], &number(middle as u64)]));
    let (separate, unique) = (build(), RefCell::new(build()));
    let (order, cursor, fresh) = (keys.order.clone(), Cell::new(0), Fresh::new(number));
    let arguments = tuple(&[&present[middle], fresh.next()]);
    Ok(Box::new(Trie { empty, map, separate, one_apart, unique, present, absent, fresh, arguments, order, cursor, set, delete, values }))
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

    /// A map with a key bound to a value that it did not have.
    #[inline]
    fn bind(&self, map: &Object, key: &Object) -> Object {
        // SAFETY: a pair of arguments, which `set` does not keep.
        unsafe {
            put(&self.arguments, 0, key);
            put(&self.arguments, 1, self.fresh.next());
        }
        call(self.set, map, &self.arguments)
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
                self.in_turn(repeats, self.absent.len(), |at| drop(black_box(self.bind(&self.map, &self.absent[at]))));
            }
            Operation::InsertRemoveUnique => {
                let mut unique = self.unique.borrow_mut();
                self.in_turn(repeats, self.absent.len(), |at| {
                    *unique = self.bind(&unique, &self.absent[at]);
                    *unique = call(self.delete, &unique, &self.absent[at]);
                });
            }
            Operation::OverwriteShared => self.each(repeats, |at| drop(black_box(self.bind(&self.map, &self.present[at])))),
            Operation::OverwriteUnique => {
                let mut unique = self.unique.borrow_mut();
                self.each(repeats, |at| *unique = self.bind(&unique, &self.present[at]));
            }
            Operation::KeptVersions => {
                for _ in 0..repeats {
                    let mut version = self.map.clone();
                    let mut kept = Vec::with_capacity(maps::KEPT as usize);
                    self.each(maps::KEPT, |at| {
                        version = self.bind(&version, &self.present[at]);
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
                for _ in 0..repeats {
                    black_box(self.present.iter().fold(self.empty.clone(), |map, key| self.bind(&map, key)));
                }
            }
            Operation::CloneDrop => {
                for _ in 0..repeats {
                    drop(black_box(black_box(&self.map).clone()));
                }
            }
        }
    }
}
