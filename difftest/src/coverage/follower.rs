//! From the changes of a trace's maps to the situations that they meet.

use contextvars_reference::MapChange;

use super::situations::{Kind, Met};
use super::trie::Trie;

/// From how many bindings on a map is a large one.
const LARGE: usize = 1_000;

/// The maps of one trace, by the numbers of their contexts.
#[derive(Debug, Default)]
pub struct Follower {
    tries: Vec<Trie>,
}

impl Follower {
    /// Carries the changes out, and notes what they met.
    pub fn follow(&mut self, changes: &[MapChange], met: &mut Met) {
        for change in changes {
            match *change {
                MapChange::Copied { source, copy } => *self.of(copy) = self.of(source).clone(),
                MapChange::Bound { context, variable, hash, value, len } => {
                    self.of(context).assoc(variable, hash, value, met);
                    if len >= LARGE {
                        met.note(Kind::LargeMap, 1);
                    }
                }
                MapChange::Unbound { context, variable, hash } => self.of(context).without(variable, hash, met),
            }
        }
    }

    /// The map of a context; empty where nothing was bound in it.
    pub fn of(&mut self, context: usize) -> &mut Trie {
        if self.tries.len() <= context {
            self.tries.resize_with(context + 1, Trie::default);
        }
        &mut self.tries[context]
    }
}
