//! Families of variable hashes, chosen to hurt a trie.

use super::choice::Choice;

/// How the hashes of a trace's variables relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFamily {
    /// All equal: one collision node.
    Equal,
    /// Equal in the low five bits of as many levels; they part below.
    LowLevels(u8),
    /// They differ only in the two bits of the deepest level.
    TopBits,
    /// Consecutive: the children of one node, over its boundary of sixteen.
    Dense,
    /// Any 64 bits.
    Sparse,
    /// They fold to -1 and -2, which the fold makes equal.
    MinusOne,
    /// Different 64-bit hashes that fold to one of four.
    FoldAlike,
}

impl HashFamily {
    /// Every family, for drawing one.
    pub const ALL: [Self; 9] = [
        Self::Equal,
        Self::LowLevels(1),
        Self::LowLevels(3),
        Self::LowLevels(6),
        Self::TopBits,
        Self::Dense,
        Self::Sparse,
        Self::MinusOne,
        Self::FoldAlike,
    ];

    /// A hash of the family; never -1, which Python reserves for errors.
    pub(crate) fn draw(self, choice: &mut Choice) -> i64 {
        let bits = choice.bits();
        let hash = match self {
            Self::Equal => 7,
            Self::LowLevels(levels) => (bits << (5 * u32::from(levels)) & 0xffff_ffff) | 1,
            Self::TopBits => (bits & 3) << 30 | 5,
            Self::Dense => bits % 40,
            Self::Sparse => bits,
            Self::MinusOne => 0xffff_fffe | (bits & 1),
            Self::FoldAlike => {
                let high = bits >> 32;
                (high << 32) | (high ^ (bits & 3))
            }
        } as i64;
        if hash == -1 { -2 } else { hash }
    }
}
