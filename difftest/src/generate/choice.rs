//! The choices that one gene makes.

/// A stream of choices from one number (SplitMix64), so that deleting a gene deletes one step and
/// leaves the choices of every other as they were.
#[derive(Debug)]
pub(crate) struct Choice {
    state: u64,
}

impl Choice {
    pub(crate) fn new(gene: u64) -> Self {
        Self { state: gene }
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 where `limit` is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.bits()) * limit as u128) >> 64) as usize
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of the items; the later an item was made, the likelier, since fresh objects meet more.
    pub(crate) fn of<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let spread = items.len();
        let recent = self.percent(50);
        let offset = if recent { self.below(spread.min(3)) } else { self.below(spread) };
        items.get(spread.checked_sub(1 + offset)?).copied()
    }
}
