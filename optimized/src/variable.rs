//! Variables, and the small keys by which maps know them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::raw::Counted;
use crate::sharing::{Shared, Sharing};

/// The key of a variable in a map: 16 bytes, copied freely.
///
/// Serials are never given twice, so that a key outlives its variable without meaning another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId {
    serial: u64,
    /// The chunks of five bits of the folded hash, in reverse, so that maps are ordered by it as by a
    /// number (ORDER-1).
    place: u32,
}

impl VarId {
    #[inline]
    pub(crate) fn of(serial: u64, place: u32) -> Self {
        Self { serial, place }
    }

    #[inline]
    pub(crate) fn serial(self) -> u64 {
        self.serial
    }

    #[inline]
    pub(crate) fn place(self) -> u32 {
        self.place
    }

    /// The folded hash, by which maps order variables.
    #[must_use]
    pub fn folded_hash(self) -> u32 {
        (0..6).fold(self.place << 30, |hash, chunk| hash | (self.place >> (27 - 5 * chunk) & 31) << (5 * chunk))
    }
}

/// A folded hash with its chunks of five bits in reverse.
fn place_of(folded: u32) -> u32 {
    (0..6).fold(folded >> 30, |place, chunk| place | (folded >> (5 * chunk) & 31) << (27 - 5 * chunk))
}

/// The 32 bits of a 64-bit hash that a map uses (ORDER-3; CPython's `hamt_hash`).
#[must_use]
pub fn fold_hash(hash: i64) -> u32 {
    let folded = hash as u32 ^ (hash >> 32) as u32;
    if folded == u32::MAX { u32::MAX - 1 } else { folded }
}

struct Inner<V, S: Sharing> {
    name: Arc<str>,
    default: Option<S::Value<V>>,
    hash: i64,
    id: VarId,
}

/// A context variable (CPython's `PyContextVar`). Clones are the same variable; equality is identity
/// (VAR-10), so that two variables of one name are two.
pub struct ContextVar<V, S: Sharing = Shared> {
    inner: Counted<Inner<V, S>, S>,
}

impl<V> ContextVar<V> {
    /// A variable without a default.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::build(name, None, None)
    }

    /// A variable with a default, which `get` answers where nothing is set (GET-3).
    #[must_use]
    pub fn with_default(name: impl Into<Arc<str>>, default: V) -> Self {
        Self::build(name, Some(Arc::new(default)), None)
    }

    /// A variable with a hash of the caller's choice, on which only iteration order depends, and a
    /// default that may be shared.
    #[must_use]
    pub fn with_hash(name: impl Into<Arc<str>>, hash: i64, default: Option<Arc<V>>) -> Self {
        Self::build(name, default, Some(hash))
    }
}

impl<V, S: Sharing> ContextVar<V, S> {
    /// A variable of either sharing, perhaps with a default, perhaps with a hash of the caller's choice.
    #[must_use]
    pub fn build(name: impl Into<Arc<str>>, default: Option<S::Value<V>>, hash: Option<i64>) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        // Consecutive serials fall into different slots of a node: a multiple of an odd constant.
        let hash = hash.unwrap_or(serial.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed());
        let id = VarId { serial, place: place_of(fold_hash(hash)) };
        let name = name.into();
        Self { inner: Counted::new(false, || Inner { name, default, hash, id }) }
    }

    /// The name given at construction (VAR-6).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The default given at construction.
    #[must_use]
    pub fn default(&self) -> Option<&S::Value<V>> {
        self.inner.default.as_ref()
    }

    /// The 64-bit hash, fixed at construction (VAR-5).
    #[must_use]
    pub fn hash(&self) -> i64 {
        self.inner.hash
    }

    /// Says that the variable lives as long as the program: it is never freed, and tokens do not count
    /// it. What is kept in a `static` should be immortal: threads that set it would else all count in
    /// one place.
    pub fn make_immortal(&self) {
        self.inner.make_immortal();
    }

    /// The key by which maps know the variable.
    #[must_use]
    #[inline]
    pub fn id(&self) -> VarId {
        self.inner.id
    }
}

impl<V, S: Sharing> Clone for ContextVar<V, S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<V, S: Sharing> PartialEq for ContextVar<V, S> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.inner.ptr_eq(&other.inner)
    }
}

impl<V, S: Sharing> Eq for ContextVar<V, S> {}

impl<V, S: Sharing> std::hash::Hash for ContextVar<V, S> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<V: fmt::Debug, S: Sharing> fmt::Debug for ContextVar<V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ContextVar name={:?}", self.name())?;
        if let Some(default) = self.default() {
            write!(f, " default={:?}", **default)?;
        }
        write!(f, " at {:p}>", self.inner.as_ptr())
    }
}
