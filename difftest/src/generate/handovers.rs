//! Handovers: contexts that go from one thread to another and back, while each thread still has from before
//! what a thread may remember of a variable.

use contextvars_spec::{ContextId, Operation, ThreadId, TokenId, Value, VariableId};

use super::choice::Choice;
use super::grow::{Grower, Kind};
use super::settings::Theme;

/// How many traces in a hundred end with handovers, of those that have threads.
const SHARE: usize = 3;

impl Grower<'_> {
    /// Two new threads bind one variable in a context each, step for step alike, look into each other's context,
    /// write there, and look into their own. One of them and the main thread take turns at a context that the trace has.
    pub(super) fn hand_over(&mut self) {
        let mut choice = Choice::new(self.answers.len() as u64);
        if self.settings.programs || !self.has(Theme::Threads) || !choice.percent(SHARE) {
            return;
        }
        let Some(variable) = choice.of(&self.variables) else { return };
        let older = choice.of(&self.contexts);
        let threads = [(); 2].map(|()| ThreadId(self.number(Kind::Thread)));
        let contexts = [(); 2].map(|()| ContextId(self.number(Kind::Context)));
        for (started, context) in threads.into_iter().zip(contexts) {
            self.on_main(Operation::StartThread { started });
            self.on_main(Operation::Context { context });
        }
        let bound = [Value::None, Value::Missing];
        for (at, thread) in threads.into_iter().enumerate() {
            self.run_in(thread, contexts[at], variable, Some(bound[at]));
        }
        for (at, thread) in threads.into_iter().enumerate() {
            self.run_in(thread, contexts[1 - at], variable, None);
        }
        for (at, thread) in threads.into_iter().enumerate() {
            self.run_in(thread, contexts[1 - at], variable, Some(bound[at]));
        }
        for (at, thread) in threads.into_iter().enumerate() {
            self.run_in(thread, contexts[at], variable, None);
        }
        if let Some(older) = older {
            self.run_in(threads[0], older, variable, Some(bound[0]));
            self.run_in(ThreadId::MAIN, older, variable, Some(bound[1]));
            self.run_in(threads[0], older, variable, None);
        }
        for thread in threads {
            self.push(thread, Operation::EndThread {});
        }
    }

    /// Binds the variable, or looks at it, while the context is current on the thread.
    fn run_in(&mut self, thread: ThreadId, context: ContextId, variable: VariableId, value: Option<Value>) {
        if !self.enters(thread, context) {
            return;
        }
        match value {
            Some(value) => {
                let token = TokenId(self.number(Kind::Token));
                self.push(thread, Operation::VarSet { variable, value, token });
            }
            None => self.push(thread, Operation::VarGet { variable, default: None }),
        }
        self.push(thread, Operation::Return {});
    }
}
