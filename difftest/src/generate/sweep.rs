//! The last steps of a trace, which look at what no observation shows.

use contextvars_spec::{Object, Operation, Outcome, ThreadId};

use super::grow::Grower;

impl Grower<'_> {
    /// Every thread's view of every variable, the caches, and which contexts are entered.
    pub(super) fn look_at_everything(&mut self) {
        for variable in self.variables.clone() {
            self.push(ThreadId::MAIN, Operation::Cache { variable });
        }
        for thread in self.threads.clone() {
            for variable in self.variables.clone() {
                self.push(thread, Operation::CapiVarGet { variable: Object::Variable(variable), default: None });
            }
        }
        for context in self.contexts.clone() {
            self.push(ThreadId::MAIN, Operation::Run { context });
            if matches!(self.answers.last(), Some(answer) if answer.outcome == Outcome::Called) {
                self.push(ThreadId::MAIN, Operation::Return {});
            }
        }
        for reference in self.references.clone() {
            self.push(ThreadId::MAIN, Operation::Dereference { reference });
        }
    }
}
