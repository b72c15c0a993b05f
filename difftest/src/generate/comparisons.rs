//! Comparisons that are written into: two contexts with like values, whose programs run while the two are
//! compared, and one of them is current.

use contextvars_spec::{ContextId, Equality, Object, Operation, Program, Value, ValueId};

use super::choice::Choice;
use super::grow::{Grower, Kind};

/// How many variables the two bind at the most: some that are compared after one that writes.
const BOUND: usize = 4;

/// How many of those comparisons in a hundred ask for more values than programs may run in one step.
const MANY: usize = 20;

/// How many traces in a hundred that have programs have such a comparison. Up to 3.13 it is a known fault,
/// from which on an interpreter is not compared, and gets a new process.
const SHARE: usize = 5;

impl Grower<'_> {
    /// Makes two contexts that bind some variables to equal values, and compares them while the second is
    /// current.
    pub(super) fn compare_while_writing(&mut self, choice: &mut Choice) {
        if !choice.percent(SHARE) {
            return;
        }
        let is_long = choice.percent(MANY);
        let bound = if is_long { Program::MAX_CALLS + 2 } else { 1 + choice.below(BOUND) };
        // Not until there are so many: of a trace that is left open nothing more is made.
        for _ in self.variables.len()..if is_long { bound } else { 0 } {
            let variable = self.new_variable(choice);
            self.on_main(variable);
        }
        let variables: Vec<_> = self.variables.iter().copied().take(bound).collect();
        let sides = [(); 2].map(|()| ContextId(self.number(Kind::Context)));
        for (at, context) in sides.into_iter().enumerate() {
            self.on_main(Operation::Context { context });
            self.on_main(Operation::Run { context });
            for &variable in &variables {
                let value = ValueId(self.number(Kind::Value));
                let (equality, on_compare) = (Equality::Group(0), self.program(if is_long { 100 } else { 60 }, choice));
                self.on_main(Operation::Value { equality, on_compare, on_drop: Program::default(), name: value });
                self.bind(variable, Value::Made(value));
            }
            if at == 0 {
                self.on_main(Operation::Return {});
            }
        }
        let [left, right] = sides.map(Object::Context);
        let (left, right) = if choice.percent(50) { (left, right) } else { (right, left) };
        self.on_main(Operation::Equal { left, right });
        self.on_main(Operation::Return {});
    }
}
