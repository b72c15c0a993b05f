//! Faults of released interpreters, which a campaign is not to find again and again.

use std::fmt;

use crate::version::Version;

/// A fault of CPython: what the rules say, these versions do not do. `SPEC.md` tells of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnownFault {
    /// A reset to an old value fills the variable's cache after what it overwrote has gone. If that
    /// value's finalizer binds the variable or switches contexts, the cache says what no context binds
    /// (CACHE-6).
    StaleCacheAfterReset,
    /// `==` of contexts reads maps that it does not hold. If a value's `__eq__` replaces the map of
    /// one, freed memory is read (EQ-9).
    ComparedMapsAreFreed,
}

impl KnownFault {
    /// Every known fault.
    pub const ALL: &[Self] = &[Self::StaleCacheAfterReset, Self::ComparedMapsAreFreed];

    /// The first version that was seen without the fault.
    #[must_use]
    pub fn mended_in(self) -> Version {
        match self {
            Self::StaleCacheAfterReset | Self::ComparedMapsAreFreed => Version::V3_14,
        }
    }

    /// Whether an interpreter of the version has the fault.
    #[must_use]
    pub fn affects(self, version: Version) -> bool {
        version < self.mended_in()
    }
}

impl fmt::Display for KnownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StaleCacheAfterReset => "stale-cache-after-reset",
            Self::ComparedMapsAreFreed => "compared-maps-are-freed",
        })
    }
}
