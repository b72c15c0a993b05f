//! Operations on maps of a given size.

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use contextvars_optimized::{ContextVar, VarId};

use crate::fresh::Fresh;
use crate::peers::Map;

/// The sizes of the full run, and of the quick one.
pub const SIZES: [usize; 18] = [1, 2, 4, 8, 12, 16, 17, 32, 64, 128, 200, 256, 300, 512, 1024, 4096, 16384, 262_144];
/// The sizes of the quick run.
pub const QUICK_SIZES: [usize; 5] = [1, 8, 32, 1024, 16384];

/// How many versions are kept in a chain.
pub const KEPT: u64 = 64;

/// What is done with a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Look up each key in the order of insertion.
    GetSequential,
    /// Look up keys in random order.
    GetHit,
    /// Look up keys that are not there.
    GetMiss,
    /// Clone, bind a new key, drop.
    InsertShared,
    /// Bind a new key in a map that nobody shares, and unbind it.
    InsertRemoveUnique,
    /// Clone, bind a key anew, drop.
    OverwriteShared,
    /// Bind a key anew in a map that nobody shares.
    OverwriteUnique,
    /// Bind a key anew while every version before is kept; with its share of dropping them all.
    KeptVersions,
    /// Clone, unbind, drop.
    RemoveShared,
    /// Visit every binding.
    Iterate,
    /// Compare a map with its clone.
    EqualSame,
    /// Compare with a map of the same bindings that was built on its own.
    EqualSeparate,
    /// Compare with a clone in which one key was bound anew to an equal value.
    EqualOneApart,
    /// Bind all keys, starting from nothing, and drop.
    Build,
    /// Clone and drop.
    CloneDrop,
}

use Operation::*;

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 15] = [
        GetSequential,
        GetHit,
        GetMiss,
        InsertShared,
        InsertRemoveUnique,
        OverwriteShared,
        OverwriteUnique,
        KeptVersions,
        RemoveShared,
        Iterate,
        EqualSame,
        EqualSeparate,
        EqualOneApart,
        Build,
        CloneDrop,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            GetSequential => "get hit, sequential",
            GetHit => "get hit, random",
            GetMiss => "get miss",
            InsertShared => "insert, shared",
            InsertRemoveUnique => "insert + remove, unique",
            OverwriteShared => "overwrite, shared",
            OverwriteUnique => "overwrite, unique",
            KeptVersions => "overwrite, versions kept",
            RemoveShared => "remove, shared",
            Iterate => "iterate, an entry",
            EqualSame => "equality, same root",
            EqualSeparate => "equality, separate",
            EqualOneApart => "equality, one apart",
            Build => "build, an entry",
            CloneDrop => "clone + drop",
        }
    }

    /// By how much one repetition counts: some visit every entry, some make many versions.
    pub fn divisor(self, size: usize) -> f64 {
        match self {
            Iterate | Build => size as f64,
            KeptVersions => KEPT as f64,
            _ => 1.0,
        }
    }

    /// Whether the contender without versions can do it.
    fn is_persistent(self) -> bool {
        matches!(self, InsertShared | OverwriteShared | KeptVersions | RemoveShared | EqualOneApart | CloneDrop | EqualSame)
    }
}

/// The keys of one measurement.
pub struct Keys {
    /// The variables that are bound.
    pub present: Vec<ContextVar<u64>>,
    /// As many that are not.
    pub absent: Vec<ContextVar<u64>>,
    /// Indices of keys in random order.
    pub order: Vec<u32>,
}

/// A small generator of random numbers (xorshift), since only spread matters.
pub struct Random(u64);

impl Random {
    /// The same sequence for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl Keys {
    /// The keys of a set: of the first set the allocator chooses the hashes, of others chance.
    pub fn new(size: usize, set: u64) -> Self {
        let mut random = Random::new(set + 77);
        let mut make = || match set {
            0 => ContextVar::new("v"),
            _ => ContextVar::with_hash("v", random.draw().cast_signed(), None),
        };
        let present = (0..size).map(|_| make()).collect();
        let absent = (0..size.min(4096)).map(|_| make()).collect();
        let mut random = Random::new(set);
        let order = (0..size.next_power_of_two().clamp(1024, 1 << 17)).map(|_| (random.draw() % size as u64) as u32).collect();
        Self { present, absent, order }
    }
}

/// A contender with maps of one size.
pub trait Contender {
    /// Its name in tables.
    fn name(&self) -> String;
    /// Whether it can do an operation.
    fn can(&self, operation: Operation) -> bool;
    /// Does the operation a number of times.
    fn run(&self, operation: Operation, repeats: u64);
}

struct Fixture<M: Map> {
    present: Vec<VarId>,
    absent: Vec<VarId>,
    order: Vec<u32>,
    values: Vec<M::Value>,
    fresh: Fresh<M::Value>,
    map: M,
    separate: M,
    one_apart: M,
    unique: RefCell<M>,
    cursor: Cell<usize>,
}

/// A contender over one of the maps.
pub fn contender<M: Map>(keys: &Keys) -> Box<dyn Contender> {
    let ids = |variables: &[ContextVar<u64>]| variables.iter().map(ContextVar::id).collect::<Vec<_>>();
    let present = ids(&keys.present);
    let values: Vec<M::Value> = (0..present.len() as u64).map(M::Value::from).collect();
    let build = || {
        let mut map = M::empty();
        for (&key, value) in present.iter().zip(&values) {
            map.insert(key, value.clone());
        }
        map
    };
    let map = build();
    let mut one_apart = map.clone();
    let middle = present.len() / 2;
    one_apart.insert(present[middle], M::Value::from(middle as u64));
    let (separate, unique) = (build(), RefCell::new(build()));
    let (absent, order) = (ids(&keys.absent), keys.order.clone());
    let fresh = Fresh::new(M::Value::from);
    Box::new(Fixture { present, absent, order, values, fresh, map, separate, one_apart, unique, cursor: Cell::new(0) })
}

impl<M: Map> Fixture<M> {
    /// Random keys.
    fn each(&self, repeats: u64, mut work: impl FnMut(VarId)) {
        let mut cursor = self.cursor.get();
        for _ in 0..repeats {
            cursor = if cursor + 1 >= self.order.len() { 0 } else { cursor + 1 };
            work(self.present[self.order[cursor] as usize]);
        }
        self.cursor.set(cursor);
    }

    fn each_absent(&self, repeats: u64, mut work: impl FnMut(VarId)) {
        let mut cursor = self.cursor.get() % self.absent.len();
        for _ in 0..repeats {
            cursor = if cursor + 1 >= self.absent.len() { 0 } else { cursor + 1 };
            work(self.absent[cursor]);
        }
        self.cursor.set(cursor);
    }
}

impl<M: Map> Contender for Fixture<M> {
    fn name(&self) -> String {
        M::NAME.to_owned()
    }

    fn can(&self, operation: Operation) -> bool {
        !(operation.is_persistent() && crate::results::BOUNDS.contains(&M::NAME))
    }

    fn run(&self, operation: Operation, repeats: u64) {
        let map = &self.map;
        match operation {
            GetSequential => {
                let mut cursor = self.cursor.get() % self.present.len();
                for _ in 0..repeats {
                    cursor = if cursor + 1 >= self.present.len() { 0 } else { cursor + 1 };
                    black_box(map.get(self.present[cursor]).map(|value| **value));
                }
                self.cursor.set(cursor);
            }
            GetHit => self.each(repeats, |key| {
                black_box(map.get(key).map(|value| **value));
            }),
            GetMiss => self.each_absent(repeats, |key| {
                black_box(map.get(key).is_none());
            }),
            InsertShared => self.each_absent(repeats, |key| {
                let mut clone = map.clone();
                clone.insert(key, self.values[0].clone());
                black_box(&clone);
            }),
            InsertRemoveUnique => {
                let mut unique = self.unique.borrow_mut();
                self.each_absent(repeats, |key| {
                    unique.insert(key, self.values[0].clone());
                    unique.remove(key);
                });
            }
            OverwriteShared => self.each(repeats, |key| {
                let mut clone = map.clone();
                clone.insert(key, self.fresh.next().clone());
                black_box(&clone);
            }),
            OverwriteUnique => {
                let mut unique = self.unique.borrow_mut();
                self.each(repeats, |key| unique.insert(key, self.fresh.next().clone()));
            }
            KeptVersions => {
                for _ in 0..repeats {
                    let mut version = map.clone();
                    let mut kept = Vec::with_capacity(KEPT as usize);
                    self.each(KEPT, |key| {
                        version.insert(key, self.fresh.next().clone());
                        kept.push(version.clone());
                    });
                    black_box(&kept);
                }
            }
            RemoveShared => self.each(repeats, |key| {
                let mut clone = map.clone();
                clone.remove(key);
                black_box(&clone);
            }),
            Iterate => {
                for _ in 0..repeats {
                    black_box(black_box(map).sum());
                }
            }
            EqualSame => {
                let clone = map.clone();
                for _ in 0..repeats {
                    black_box(black_box(map).equal(&clone));
                }
            }
            EqualSeparate => {
                for _ in 0..repeats {
                    black_box(black_box(map).equal(&self.separate));
                }
            }
            EqualOneApart => {
                for _ in 0..repeats {
                    black_box(black_box(map).equal(&self.one_apart));
                }
            }
            Build => {
                for _ in 0..repeats {
                    let mut built = M::empty();
                    for (&key, value) in self.present.iter().zip(&self.values) {
                        built.insert(key, value.clone());
                    }
                    black_box(&built);
                }
            }
            CloneDrop => {
                for _ in 0..repeats {
                    drop(black_box(black_box(map).clone()));
                }
            }
        }
    }
}
