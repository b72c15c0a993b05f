//! The maps of other crates, behind one trait.

use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use contextvars_optimized::{Hamt, VarId};

/// A map from variables to counted values.
pub trait Map: Clone + 'static {
    /// Its name in tables.
    const NAME: &'static str;
    /// What it holds.
    type Value: Clone + From<u64> + Deref<Target = u64> + 'static;
    /// The empty map.
    fn empty() -> Self;
    /// Binds, and answers nothing.
    fn insert(&mut self, key: VarId, value: Self::Value);
    /// Unbinds.
    fn remove(&mut self, key: VarId);
    /// Looks up.
    fn get(&self, key: VarId) -> Option<&Self::Value>;
    /// Adds all values up.
    fn sum(&self) -> u64;
    /// Compares.
    fn equal(&self, other: &Self) -> bool;
}

/// The hash of a variable is fixed and well spread, so that nobody needs a stronger hasher: one
/// multiplication for everybody who takes a hasher.
#[derive(Default)]
pub struct VariableHasher(u64);

impl Hasher for VariableHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }

    fn write_u32(&mut self, word: u32) {
        self.0 ^= u64::from(word);
    }
}

type Build = BuildHasherDefault<VariableHasher>;

impl Map for Hamt<u64> {
    const NAME: &'static str = crate::results::OURS;
    type Value = Arc<u64>;
    fn empty() -> Self {
        Self::new()
    }
    fn insert(&mut self, key: VarId, value: Self::Value) {
        self.assoc(key, value);
    }
    fn remove(&mut self, key: VarId) {
        self.without(key);
    }
    fn get(&self, key: VarId) -> Option<&Self::Value> {
        self.find(key)
    }
    fn sum(&self) -> u64 {
        self.iter().map(|(_, value)| *value).sum()
    }
    fn equal(&self, other: &Self) -> bool {
        self.ptr_eq(other)
    }
}

macro_rules! map {
    ($name:literal, $type:ty, $value:ty, $empty:expr, |$map:ident, $key:ident, $new:ident| $insert:expr, $remove:expr) => {
        impl Map for $type {
            const NAME: &'static str = $name;
            type Value = $value;
            fn empty() -> Self {
                $empty
            }
            fn insert(&mut self, $key: VarId, $new: Self::Value) {
                let $map = self;
                $insert;
            }
            fn remove(&mut self, $key: VarId) {
                let $map = self;
                $remove;
            }
            fn get(&self, key: VarId) -> Option<&Self::Value> {
                self.get(&key)
            }
            fn sum(&self) -> u64 {
                self.iter().map(|(_, value)| **value).sum()
            }
            fn equal(&self, other: &Self) -> bool {
                self == other
            }
        }
    };
}

/// imbl's hash map.
pub type Imbl = imbl::GenericHashMap<VarId, Arc<u64>, Build, imbl::shared_ptr::DefaultSharedPtr>;
/// imbl's B+-tree.
pub type ImblOrd = imbl::OrdMap<VarId, Arc<u64>>;
/// im's hash map.
pub type Im = im::HashMap<VarId, Arc<u64>, Build>;
type Rpds<P, V> = rpds::HashTrieMap<VarId, V, P, Build>;
/// rpds over the standard library's `Arc`.
pub type RpdsArc = Rpds<archery::ArcK, Arc<u64>>;
/// rpds over triomphe's `Arc`.
pub type RpdsTriomphe = Rpds<archery::ArcTK, Arc<u64>>;
/// rpds over `Rc`.
pub type RpdsRc = Rpds<archery::RcK, Rc<u64>>;
/// The standard hash map, cloned when it is written.
pub type HashMapOnWrite = OnWrite<std::collections::HashMap<VarId, Arc<u64>, Build>>;
/// The standard B-tree, cloned when it is written.
pub type BTreeMapOnWrite = OnWrite<std::collections::BTreeMap<VarId, Arc<u64>>>;
/// hashbrown's map.
pub type Hashbrown = hashbrown::HashMap<VarId, Arc<u64>, Build>;

map!("imbl", Imbl, Arc<u64>, Self::default(), |map, key, value| map.insert(key, value), map.remove(&key));
map!("imbl ordmap", ImblOrd, Arc<u64>, Self::new(), |map, key, value| map.insert(key, value), map.remove(&key));
map!("im", Im, Arc<u64>, Self::default(), |map, key, value| map.insert(key, value), map.remove(&key));
map!(
    "rpds arc",
    RpdsArc,
    Arc<u64>,
    Self::new_with_hasher_and_ptr_kind(Build::default()),
    |map, key, value| map.insert_mut(key, value),
    map.remove_mut(&key)
);
map!(
    "rpds triomphe",
    RpdsTriomphe,
    Arc<u64>,
    Self::new_with_hasher_and_ptr_kind(Build::default()),
    |map, key, value| map.insert_mut(key, value),
    map.remove_mut(&key)
);
map!(
    "rpds rc",
    RpdsRc,
    Rc<u64>,
    Self::new_with_hasher_and_ptr_kind(Build::default()),
    |map, key, value| map.insert_mut(key, value),
    map.remove_mut(&key)
);
map!("hashbrown", Hashbrown, Arc<u64>, Self::default(), |map, key, value| map.insert(key, value), map.remove(&key));

/// A standard map that is cloned whole when it is written while others see it.
#[derive(Clone, PartialEq)]
pub struct OnWrite<M>(Arc<M>);

macro_rules! on_write {
    ($name:literal, $type:ty) => {
        impl Map for OnWrite<$type> {
            const NAME: &'static str = $name;
            type Value = Arc<u64>;
            fn empty() -> Self {
                Self(Arc::default())
            }
            fn insert(&mut self, key: VarId, value: Self::Value) {
                Arc::make_mut(&mut self.0).insert(key, value);
            }
            fn remove(&mut self, key: VarId) {
                Arc::make_mut(&mut self.0).remove(&key);
            }
            fn get(&self, key: VarId) -> Option<&Self::Value> {
                self.0.get(&key)
            }
            fn sum(&self) -> u64 {
                self.0.values().map(|value| **value).sum()
            }
            fn equal(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self == other
            }
        }
    };
}

on_write!("std hashmap on write", std::collections::HashMap<VarId, Arc<u64>, Build>);
on_write!("std btreemap on write", std::collections::BTreeMap<VarId, Arc<u64>>);
