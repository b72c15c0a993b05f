//! Twins: a context that is bound, variable by variable, to what another one has. The two share no
//! node, so that equality has to look at every value.

use contextvars_spec::{ContextId, Object, Operation, ThreadId, TokenId, Value};

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
        self.push(ThreadId::MAIN, Operation::CopyContext { context: original });
        let bindings: Vec<_> =
            self.variables.iter().filter_map(|&variable| Some((variable, self.current_value(ThreadId::MAIN, variable)?))).collect();
        self.push(ThreadId::MAIN, Operation::Context { context: twin });
        self.push(ThreadId::MAIN, Operation::Run { context: twin });
        let set = |grower: &mut Self, variable, value| {
            let token = TokenId(grower.number(Kind::Token));
            grower.push(ThreadId::MAIN, Operation::VarSet { variable, value, token });
        };
        for &(variable, value) in &bindings {
            set(self, variable, value);
        }
        self.compare(original, twin);
        if let Some((variable, value)) = choice.of(&bindings) {
            set(self, variable, if value == Value::None { Value::Missing } else { Value::None });
        }
        self.compare(original, twin);
        self.push(ThreadId::MAIN, Operation::Return {});
    }

    fn compare(&mut self, left: ContextId, right: ContextId) {
        self.push(ThreadId::MAIN, Operation::Equal { left: Object::Context(left), right: Object::Context(right) });
    }
}
