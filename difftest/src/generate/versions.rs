//! Old versions: a copy after nearly every write, all of them kept and read again to the end.

use contextvars_spec::{ContextId, IteratorId, Object, Operation, Outcome, ThreadId};

use super::choice::Choice;
use super::grow::{Grower, Kind};

/// How many bindings the last sweep reads one by one: some millions would make a trace a minute long.
const READ: usize = 4_000;

/// Whether the operation changes the current context's bindings, where it succeeds.
pub(super) fn writes(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::VarSet { .. }
            | Operation::CapiVarSet { .. }
            | Operation::VarReset { .. }
            | Operation::CapiVarReset { .. }
            | Operation::TokenExit { .. }
    )
}

impl Grower<'_> {
    /// A copy of the current context, where the last step changed it.
    pub(super) fn version(&mut self, thread: ThreadId, choice: &mut Choice) -> Option<Operation> {
        if !std::mem::take(&mut self.written) || !choice.percent(90) {
            return None;
        }
        let context = ContextId(self.number(Kind::Context));
        Some(match (choice.below(6), self.model.current(thread)) {
            (0, _) => Operation::CapiCopyCurrent { context },
            (1 | 2, Some(source)) => Operation::ContextCopy { source, context },
            (3, Some(source)) => Operation::CapiCopy { source: Object::Context(source), context },
            _ => Operation::CopyContext { context },
        })
    }

    /// Reads every version again: its bindings in order, its neighbour, and some variables.
    pub(super) fn read_versions(&mut self) {
        let versions = self.contexts.clone();
        let mut choice = Choice::new(versions.len() as u64);
        let mut left = READ;
        for (at, &context) in versions.iter().enumerate() {
            if let Some(&next) = versions.get(at + 1) {
                self.on_main(Operation::Equal { left: Object::Context(context), right: Object::Context(next) });
            }
            for _ in 0..2 {
                if let Some(variable) = choice.of(&self.variables) {
                    let key = Object::Variable(variable);
                    self.on_main(Operation::Contains { context, key });
                    self.on_main(Operation::ContextGet { context, key, default: None });
                }
            }
            let len = self.model.len_of(context);
            if len < left {
                left -= len;
                self.iterate_through(context);
            }
        }
    }

    fn iterate_through(&mut self, context: ContextId) {
        let iterator = IteratorId(self.number(Kind::Iterator));
        self.on_main(Operation::Items { context, iterator });
        while let Some(Outcome::None | Outcome::Pair(..)) = self.answers.last().map(|answer| &answer.outcome) {
            self.on_main(Operation::Next { iterator });
        }
        self.on_main(Operation::Drop { object: Object::Iterator(iterator) });
    }
}
