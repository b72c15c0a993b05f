//! The last steps of a trace, which look at what no observation shows.

use contextvars_spec::{ContextId, Object, Operation, ThreadId};

use super::choice::Choice;
use super::grow::{Grower, Kind};

/// How many variables a mapping is asked for one by one: an observation reads the rest.
const ASKED_AGAIN: usize = 4;

/// How many variables are asked for what never changes: of most traces the first is asked earlier too.
const ASKED_CONSTANTS: usize = 2;

impl Grower<'_> {
    /// Every thread's view of every variable, by get and by a copy, the caches, and which contexts are entered.
    pub(super) fn look_at_everything(&mut self) {
        // A cached pointer outlives its value, and then stands for whatever has its address.
        if !self.settings.programs {
            for variable in self.variables.clone() {
                self.on_main(Operation::Cache { variable });
            }
        }
        for thread in self.threads.clone() {
            for variable in self.variables.clone() {
                self.push(thread, Operation::CapiVarGet { variable: Object::Variable(variable), default: None });
            }
        }
        for thread in self.threads.clone() {
            self.ask_again(thread);
        }
        for variable in self.variables.clone().into_iter().take(ASKED_CONSTANTS) {
            self.on_main(Operation::Hash { object: Object::Variable(variable) });
            self.on_main(Operation::Repr { object: Object::Variable(variable) });
            self.on_main(Operation::VarName { variable });
        }
        // Of half the traces the threads end first, and leave what they have open.
        if self.answers.len().is_multiple_of(2) {
            for thread in self.threads.clone().into_iter().filter(|thread| !thread.is_main()) {
                self.push(thread, Operation::EndThread {});
            }
        }
        for context in self.contexts.clone() {
            if self.enters(ThreadId::MAIN, context) {
                self.on_main(Operation::Return {});
            }
        }
        for reference in self.references.clone() {
            self.on_main(Operation::Dereference { reference });
        }
        if self.settings.programs {
            self.let_go();
        }
    }

    /// After a write in which programs ran: asks get and then the mapping, before anything else can
    /// mend what the two disagree about.
    pub(super) fn ask_twice(&mut self, thread: ThreadId, choice: &mut Choice) {
        let confused = self.answers.last().is_some_and(|answer| !answer.calls.is_empty());
        let Some(variable) = self.written_to().filter(|_| confused && choice.percent(70)) else { return };
        self.push(thread, Operation::VarGet { variable, default: None });
        let context = ContextId(self.number(Kind::Context));
        self.push(thread, Operation::CopyContext { context });
        self.push(thread, Operation::GetItem { context, key: Object::Variable(variable) });
    }

    /// Asks the mapping for what get has answered: a copy of the thread's current context, which the
    /// last observation reads whole where it lives so long. After get, since a stale cache must come first.
    fn ask_again(&mut self, thread: ThreadId) {
        let context = ContextId(self.number(Kind::Context));
        self.push(thread, Operation::CopyContext { context });
        for variable in self.variables.clone().into_iter().take(ASKED_AGAIN) {
            self.push(thread, Operation::GetItem { context, key: Object::Variable(variable) });
        }
    }

    /// Deletes one name after another, contexts last, so that what only they hold goes with them.
    fn let_go(&mut self) {
        let values = self.values.iter().copied().map(Object::Value);
        let iterators = self.iterators.iter().copied().map(Object::Iterator);
        let tokens = self.tokens.iter().copied().map(Object::Token);
        let contexts = self.contexts.iter().copied().map(Object::Context);
        let all: Vec<_> = values.chain(iterators).chain(tokens).chain(contexts).collect();
        for object in all {
            self.on_main(Operation::Drop { object });
        }
    }
}
