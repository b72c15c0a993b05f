//! Values to bind that are not bound already.
//!
//! CPython changes nothing where a variable is bound to the very value that it has, and so would be timed at not
//! doing what others do.

use std::cell::Cell;

/// How many there are. A prime, which divides no size of the bench: who binds one variable after another binds none
/// to the value that it got the last time. So few that they stay in the nearest cache.
const MANY: u64 = 61;

/// Values that are handed out in turn; nothing is bound to any of them at first.
pub struct Fresh<T> {
    values: Vec<T>,
    turn: Cell<usize>,
}

impl<T> Fresh<T> {
    /// Makes them of numbers.
    pub fn new(make: impl FnMut(u64) -> T) -> Self {
        Self { values: (0..MANY).map(make).collect(), turn: Cell::new(0) }
    }

    /// The next one.
    #[inline]
    pub fn next(&self) -> &T {
        let turn = self.turn.get();
        self.turn.set(if turn + 1 < MANY as usize { turn + 1 } else { 0 });
        &self.values[turn]
    }
}
