//! Families of variable hashes, chosen to hurt a trie of 32-way nodes over 32-bit hashes.

use std::ops::RangeInclusive;

use proptest::prelude::*;
use proptest::sample::select;

use super::choice::Choice;

/// How many bits of the hash choose a slot at each level of the trie.
const BITS: u32 = 5;

/// How the folded hashes of a trace's variables relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFamily {
    /// All equal: one collision node.
    Equal,
    /// Equal in the low five bits of as many levels as are shared, so that one node at the level
    /// below has so many children, and no other variable.
    OneNode {
        /// How many levels tell nothing apart: 0 for the root's children, 6 for those of the deepest
        /// node, which are four at the most.
        shared: u8,
        /// How many children the node can have.
        children: u8,
        /// What is under each.
        below: Below,
    },
    /// Consecutive.
    Dense,
    /// Any 32 bits.
    Sparse,
    /// One, but for a bit: of every two variables the next one on the way down the trie.
    BitByBit {
        /// How many levels tell nothing apart.
        shared: u8,
    },
    /// Those that fold to -1 and -2, which the fold makes equal, and their neighbours at each level.
    MinusOne,
}

/// What further variables under one child have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// The whole hash.
    Everything,
    /// All but the two bits of the deepest level.
    AllButTheTop,
    /// Nothing that was intended.
    Nothing,
}

/// How many variables crowd together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    /// As the families say.
    AsDrawn,
    /// As children of one node below so many levels; the deepest node, with room for four, is left out.
    OneNode {
        /// How many levels tell nothing apart.
        shared: u8,
    },
    /// With one hash, but for some that part from the others below so many levels.
    OneHash {
        /// How many levels tell nothing apart.
        shared: u8,
        /// One in so many parts, and one at the least.
        every: u32,
    },
    /// With one hash, but for every other one, which parts from it one bit later than the one before, below so
    /// many levels.
    BitByBit {
        /// How many levels tell nothing apart.
        shared: u8,
    },
}

impl Crowd {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let one_node = (0u8..=5).prop_map(|shared| Self::OneNode { shared });
        let one_hash = (0u8..=6, select(&[2, u32::MAX][..])).prop_map(|(shared, every)| Self::OneHash { shared, every });
        let bit_by_bit = BIT_BY_BIT.prop_map(|shared| Self::BitByBit { shared });
        prop_oneof![3 => Just(Self::AsDrawn), 4 => one_node, 4 => one_hash, 2 => bit_by_bit]
    }
}

/// The numbers of children that are drawn: few for collisions and collapses, and those around the
/// boundaries of CPython's array nodes.
const CHILDREN: [u8; 12] = [1, 2, 2, 3, 4, 4, 8, 15, 16, 17, 31, 32];

/// Below how many levels variables part bit by bit: with so few bits left that an engine which gives a node one bit
/// more each time goes beyond the last of them, and answers wrongly, before it has taken all memory.
const BIT_BY_BIT: RangeInclusive<u8> = 3..=6;

impl HashFamily {
    fn any() -> impl Strategy<Value = Self> {
        let one_node = (0u8..=6, select(&CHILDREN[..]), select(&[Below::Everything, Below::AllButTheTop, Below::Nothing][..]))
            .prop_map(|(shared, children, below)| Self::OneNode { shared, children, below });
        prop_oneof![
            1 => Just(Self::Equal),
            7 => one_node,
            1 => Just(Self::Dense),
            1 => Just(Self::Sparse),
            1 => BIT_BY_BIT.prop_map(|shared| Self::BitByBit { shared }),
            1 => Just(Self::MinusOne),
        ]
    }

    /// The folded hash of the variable of a number.
    fn draw(self, stem: u32, number: u32, choice: &mut Choice) -> u32 {
        let bits = choice.bits() as u32;
        match self {
            Self::Equal => stem,
            Self::OneNode { shared, children, below } => {
                let low = BITS * u32::from(shared);
                // An odd factor makes the slots of a node be taken in another order, and each once.
                let slot = (number % u32::from(children)).wrapping_mul(stem >> 26 | 1).wrapping_add(stem >> 21) & 31;
                let above = match below {
                    Below::Everything => 0,
                    Below::AllButTheTop => u64::from(bits) << 30,
                    Below::Nothing => u64::from(bits) << (low + BITS),
                };
                let node = u64::from(stem) & ((1 << low) - 1);
                (node | (u64::from(slot) << low ^ above)) as u32
            }
            Self::Dense => stem.wrapping_add(number),
            Self::Sparse => bits,
            Self::BitByBit { shared } => {
                let first = BITS * u32::from(shared);
                let on_the_way = first + number / 2 % (u32::BITS - first);
                let low = on_the_way / BITS * BITS;
                // The highest bit of a level first: it divides the level's slots into halves.
                let high = u32::BITS.min(low + BITS);
                stem ^ 1 << (high - 1 - on_the_way % BITS)
            }
            Self::MinusOne => {
                let changed = match bits & 7 {
                    level @ 0..=6 => 1 << (BITS * level) << (bits >> 3 & 1),
                    _ => 0,
                };
                (u32::MAX - (bits >> 4 & 1)) ^ if bits >> 5 & 1 == 0 { 0 } else { changed }
            }
        }
    }
}

/// How the hashes of a trace's variables are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// The family.
    pub family: HashFamily,
    /// The family of some variables among the others; most often the same one.
    pub other: HashFamily,
    /// One variable in so many is of the other family.
    pub every: u32,
    /// What they share where they share something: any bits, or all alike, so that each level has the same slot.
    pub stem: u32,
    /// Whether the upper halves of the 64-bit hashes are used too, so that hashes that differ fold alike.
    pub wide: bool,
}

impl Hashes {
    /// Any family, or a mixture of two.
    pub fn any() -> impl Strategy<Value = Self> {
        let mixed = prop_oneof![3 => Just(None), 1 => HashFamily::any().prop_map(Some)];
        let stem = prop_oneof![2 => any::<u32>(), 1 => Just(0), 1 => Just(u32::MAX)];
        (HashFamily::any(), mixed, stem, prop::bool::weighted(0.3)).prop_map(|(family, other, stem, wide)| Self {
            family,
            other: other.unwrap_or(family),
            every: 3,
            stem,
            wide,
        })
    }

    /// The same, but with so many variables that crowd together. A node has room for thirty-two children.
    pub(super) fn crowded(self, crowd: Crowd, variables: usize) -> Self {
        match crowd {
            Crowd::AsDrawn => self,
            Crowd::OneNode { shared } => {
                let below = match self.family {
                    HashFamily::OneNode { below, .. } => below,
                    _ => Below::Everything,
                };
                let family = HashFamily::OneNode { shared, children: variables.min(32) as u8, below };
                Self { family, other: family, ..self }
            }
            Crowd::OneHash { shared, every } => {
                let other = HashFamily::OneNode { shared, children: 4, below: Below::Everything };
                Self { family: HashFamily::Equal, other, every: every.min(variables as u32), ..self }
            }
            Crowd::BitByBit { shared } => Self { family: HashFamily::Equal, other: HashFamily::BitByBit { shared }, every: 2, ..self },
        }
    }

    /// The 32 bits of the variable of a number, with the number as the only source of chance.
    #[must_use]
    pub fn folded(self, number: u32) -> u32 {
        self.draw_folded(number, &mut Choice::new(u64::from(number)))
    }

    fn draw_folded(self, number: u32, choice: &mut Choice) -> u32 {
        let family = if number % self.every == self.every - 1 { self.other } else { self.family };
        family.draw(self.stem, number, choice)
    }

    /// The hash of the variable of a number; never -1, which Python reserves for errors.
    pub(super) fn draw(self, number: u32, choice: &mut Choice) -> i64 {
        let folded = u64::from(self.draw_folded(number, choice));
        let hash = if self.wide {
            let upper = choice.bits() >> 32;
            (upper << 32 | (folded ^ upper)).cast_signed()
        } else {
            folded.cast_signed()
        };
        if hash == -1 { -2 } else { hash }
    }
}
