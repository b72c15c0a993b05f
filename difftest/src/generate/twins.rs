//! Twins: a context that is bound, variable by variable, to what another one has. The two share no
//! node, so that equality has to look at every value.

use contextvars_spec::{ContextId, Object, Operation, ThreadId, Value};

use super::choice::Choice;
use super::grow::{Grower, Kind};

/// The largest tide has so many bindings; to bind more again would take most of a trace.
const LARGEST: usize = 300;

/// How many tides in a hundred end with twins.
const SHARE: usize = 25;

impl Grower<'_> {
    /// Makes a twin of the main thread's current context, compares the two, changes one value, and
    /// compares again.
    pub(super) fn compare_twins(&mut self) {
        let mut choice = Choice::new(self.answers.len() as u64);
        let len = self.model.current_len(ThreadId::MAIN);
        if len == 0 || len > LARGEST || !choice.percent(SHARE) {
            return;
        }
        let [original, twin] = [(); 2].map(|()| ContextId(self.number(Kind::Context)));
        self.on_main(Operation::CopyContext { context: original });
        let bindings: Vec<_> =
            self.variables.iter().filter_map(|&variable| Some((variable, self.current_value(ThreadId::MAIN, variable)?))).collect();
        self.on_main(Operation::Context { context: twin });
        self.on_main(Operation::Run { context: twin });
        for &(variable, value) in &bindings {
            self.bind(variable, value);
        }
        self.compare(original, twin);
        if let Some((variable, value)) = choice.of(&bindings) {
            self.bind(variable, if value == Value::None { Value::Missing } else { Value::None });
        }
        self.compare(original, twin);
        self.on_main(Operation::Return {});
    }

    fn compare(&mut self, left: ContextId, right: ContextId) {
        self.on_main(Operation::Equal { left: Object::Context(left), right: Object::Context(right) });
    }
}
