//! The situations, and the count of how often each was met.

use std::fmt;
use std::ops::RangeInclusive;

/// How many levels CPython's trie can have (`_Py_HAMT_MAX_TREE_DEPTH`): seven of bitmap or array
/// nodes, and collision nodes below the seventh.
pub(super) const LEVELS: u8 = 8;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal on $levels:expr;)*) => {
        /// What can happen to a node, or to the map.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($(#[doc = $doc])* $name,)*
        }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$name),*];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The levels at which it is possible, from 1, the root.
            fn levels(self) -> RangeInclusive<u8> {
                match self {
                    $(Self::$name => $levels,)*
                }
            }
        }
    };
}

// The seventh level has two bits of the hash, so that no node of it has more than four children. The
// root is never a collision node, and one at the eighth level has hashes that nothing tells apart.
kinds! {
    /// A bitmap node was made or changed.
    BitmapNode = "bitmap-node" on 1..=7;
    /// An array node was made or changed.
    ArrayNode = "array-node" on 1..=6;
    /// A collision node was made, grown or shrunk, or one of its values replaced.
    CollisionNode = "collision-node" on 2..=8;
    /// A bitmap node came to fifteen slots.
    BitmapOf15 = "bitmap-of-15" on 1..=6;
    /// A bitmap node came to sixteen slots, which it does by growing.
    BitmapOf16 = "bitmap-of-16" on 1..=6;
    /// An array node came to sixteen children, which it does by shrinking.
    ArrayOf16 = "array-of-16" on 1..=6;
    /// An array node came to seventeen children.
    ArrayOf17 = "array-of-17" on 1..=6;
    /// An array node came to thirty-one children.
    ArrayOf31 = "array-of-31" on 1..=6;
    /// An array node came to thirty-two children.
    ArrayOf32 = "array-of-32" on 1..=6;
    /// The seventeenth slot made an array node of a bitmap node.
    BitmapToArray = "bitmap-to-array" on 1..=6;
    /// The sixteenth child went, and a bitmap node was made of an array node.
    ArrayToBitmap = "array-to-bitmap" on 1..=6;
    /// Such a node took a pair over from a child of one pair.
    ArrayToBitmapInlines = "array-to-bitmap-inlines" on 1..=6;
    /// Such a node kept a child.
    ArrayToBitmapKeepsChild = "array-to-bitmap-keeps-child" on 1..=6;
    /// A pair of a node at this level became a bitmap node below it.
    SplitToBitmap = "split-to-bitmap" on 1..=6;
    /// A pair of a node at this level became a collision node below it.
    SplitToCollision = "split-to-collision" on 1..=7;
    /// A bitmap node took a pair over from a bitmap node below it that had no other.
    InlinesBitmap = "inlines-bitmap" on 1..=6;
    /// A bitmap node took a pair over from a collision node below it that had no other left.
    InlinesCollision = "inlines-collision" on 1..=7;
    /// A bitmap node below the root was left with a child only, which cannot be taken over.
    KeepsLoneChild = "keeps-lone-child" on 2..=7;
    /// A collision node came to three pairs or more.
    CollisionGrows = "collision-grows" on 2..=8;
    /// A collision node lost a pair, and two or more were left.
    CollisionShrinks = "collision-shrinks" on 2..=8;
    /// A collision node lost its last pair but one, and is a bitmap node.
    CollisionDissolves = "collision-dissolves" on 2..=8;
    /// A collision node moved down under a bitmap node at its place.
    CollisionWrapped = "collision-wrapped" on 2..=7;
    /// A bitmap node replaced a value.
    ReplacesInBitmap = "replaces-in-bitmap" on 1..=7;
    /// A collision node replaced a value.
    ReplacesInCollision = "replaces-in-collision" on 2..=8;
    /// A bitmap node was told to replace a value by itself, and stayed the same node.
    IdenticalInBitmap = "identical-in-bitmap" on 1..=7;
    /// A collision node was told to replace a value by itself, and stayed the same node.
    IdenticalInCollision = "identical-in-collision" on 2..=8;
    /// An array node was copied though its child stayed the same node.
    IdenticalUnderArray = "identical-under-array" on 1..=6;
    /// The last key of a map was deleted.
    LastKeyDeleted = "last-key-deleted" on 1..=1;
    /// A write changed the root of a map that other contexts share.
    SharedMapWritten = "shared-map-written" on 1..=1;
    /// A deletion changed the root of a map that other contexts share.
    SharedMapShrunk = "shared-map-shrunk" on 1..=1;
    /// A map held a thousand bindings or more.
    LargeMap = "large-map" on 1..=1;
}

/// One thing that can happen at one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    kind: Kind,
    level: u8,
}

impl Situation {
    /// Every situation.
    pub fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.iter().flat_map(|&kind| kind.levels().map(move |level| Self { kind, level }))
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.text())?;
        if self.kind.levels() == (1..=1) { Ok(()) } else { write!(f, "@{}", self.level) }
    }
}

/// How often each situation was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    counts: [[u64; LEVELS as usize + 1]; Kind::ALL.len()],
}

impl Default for Met {
    fn default() -> Self {
        Self { counts: [[0; LEVELS as usize + 1]; Kind::ALL.len()] }
    }
}

impl Met {
    pub(super) fn note(&mut self, kind: Kind, level: u8) {
        debug_assert!(kind.levels().contains(&level), "{kind:?} at level {level}");
        self.counts[kind as usize][usize::from(level)] += 1;
    }

    /// How often the situation was met.
    #[must_use]
    pub fn count(&self, situation: Situation) -> u64 {
        self.counts[situation.kind as usize][usize::from(situation.level)]
    }

    /// How many situations were met at least once.
    #[must_use]
    pub fn len(&self) -> usize {
        Situation::all().filter(|&situation| self.count(situation) > 0).count()
    }

    /// Whether no situation was met.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The situations that were not met.
    pub fn missed(&self) -> impl Iterator<Item = Situation> + '_ {
        Situation::all().filter(|&situation| self.count(situation) == 0)
    }

    /// Adds what another run met.
    pub fn extend(&mut self, other: &Self) {
        for (counts, others) in self.counts.iter_mut().zip(&other.counts) {
            for (count, other) in counts.iter_mut().zip(others) {
                *count += other;
            }
        }
    }
}
