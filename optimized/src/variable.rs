//! Variables, and the small keys by which maps know them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The key of a variable in a map: 16 bytes, copied freely.
///
/// Serials are never given twice, so that a key outlives its variable without meaning another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId {
    serial: u64,
    hash: u32,
}

impl VarId {
    /// The folded hash, by which maps order variables.
    #[must_use]
    pub fn folded_hash(self) -> u32 {
        self.hash
    }
}

/// The 32 bits of a 64-bit hash that a map uses (ORDER-3; CPython's `hamt_hash`).
#[must_use]
pub fn fold_hash(hash: i64) -> u32 {
    let folded = hash as u32 ^ (hash >> 32) as u32;
    if folded == u32::MAX { u32::MAX - 1 } else { folded }
}

struct Inner<V> {
    name: Arc<str>,
    default: Option<Arc<V>>,
    hash: i64,
    id: VarId,
}

/// A context variable (CPython's `PyContextVar`). Clones are the same variable; equality is identity
/// (VAR-10), so that two variables of one name are two.
pub struct ContextVar<V> {
    inner: Arc<Inner<V>>,
}

impl<V> ContextVar<V> {
    /// A variable without a default.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::build(name.into(), None, None)
    }

    /// A variable with a default, which `get` answers where nothing is set (GET-3).
    #[must_use]
    pub fn with_default(name: impl Into<Arc<str>>, default: V) -> Self {
        Self::build(name.into(), Some(Arc::new(default)), None)
    }

    /// A variable with a hash of the caller's choice, on which only iteration order depends, and a
    /// default that may be shared.
    #[must_use]
    pub fn with_hash(name: impl Into<Arc<str>>, hash: i64, default: Option<Arc<V>>) -> Self {
        Self::build(name.into(), default, Some(hash))
    }

    fn build(name: Arc<str>, default: Option<Arc<V>>, hash: Option<i64>) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        // Consecutive serials fall into different slots of a node: a multiple of an odd constant.
        let hash = hash.unwrap_or(serial.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed());
        let id = VarId { serial, hash: fold_hash(hash) };
        Self { inner: Arc::new(Inner { name, default, hash, id }) }
    }

    /// The name given at construction (VAR-6).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The default given at construction.
    #[must_use]
    pub fn default(&self) -> Option<&Arc<V>> {
        self.inner.default.as_ref()
    }

    /// The 64-bit hash, fixed at construction (VAR-5).
    #[must_use]
    pub fn hash(&self) -> i64 {
        self.inner.hash
    }

    /// The key by which maps know the variable.
    #[must_use]
    pub fn id(&self) -> VarId {
        self.inner.id
    }
}

impl<V> Clone for ContextVar<V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<V> PartialEq for ContextVar<V> {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl<V> Eq for ContextVar<V> {}

impl<V> std::hash::Hash for ContextVar<V> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl<V: fmt::Debug> fmt::Debug for ContextVar<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ContextVar name={:?}", self.name())?;
        if let Some(default) = self.default() {
            write!(f, " default={default:?}")?;
        }
        write!(f, " at {:p}>", Arc::as_ptr(&self.inner))
    }
}
