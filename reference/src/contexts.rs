//! Contexts: copies, enter and exit, `Context.run`, and who is told.

use contextvars_spec::{ContextId, CurrentContext, Error, Event, Outcome, Rule, ThreadId};

use crate::machine::{Reference, bound};
use crate::objects::{Context, ContextIndex, Frame};
use crate::programs::Pin;

impl Reference {
    pub(crate) fn new_context(&mut self, name: ContextId) -> Outcome {
        let index = self.objects.add_context(Context::default());
        self.name_context(name, index)
    }

    fn name_context(&mut self, name: ContextId, index: ContextIndex) -> Outcome {
        self.objects.contexts[index].name = Some(name);
        // A program that runs again makes the object of a name again.
        if let Some(before) = self.objects.names.insert(name, index) {
            self.objects.contexts[before].name = None;
        }
        Outcome::None
    }

    /// COPY-1 (`PyContext_Copy`).
    pub(crate) fn copy(&mut self, thread: ThreadId, source: ContextIndex, name: ContextId) -> Outcome {
        self.cite(Rule::Copy1);
        let bindings = self.objects.contexts[source].bindings.clone();
        self.note_copied(source, self.objects.contexts.len());
        let copy = self.objects.add_context(Context { bindings, ..Context::default() });
        self.finalize_before_naming(thread, Pin::Context(copy));
        self.name_context(name, copy)
    }

    /// COPY-2, COPY-3, CAPI-3 (`PyContext_CopyCurrent`).
    pub(crate) fn copy_current(&mut self, thread: ThreadId, name: ContextId) -> Outcome {
        let current = self.current_or_base(thread, Rule::Copy3);
        self.copy(thread, current, name)
    }

    /// SET-2, RESET-5, COPY-3 (`context_get`): no version changes, nobody is told.
    pub(crate) fn current_or_base(&mut self, thread: ThreadId, rule: Rule) -> ContextIndex {
        if let Some(current) = self.thread(thread).current {
            return current;
        }
        self.cite(rule);
        let base = self.objects.add_context(Context::default());
        self.thread(thread).current = Some(base);
        base
    }

    /// ENTER-1, ENTER-3, THREAD-4, VER-1, VER-3 (`PyContext_Enter`).
    pub(crate) fn enter(&mut self, thread: ThreadId, context: ContextIndex, name: ContextId) -> Result<(), Error> {
        if self.objects.contexts[context].entered {
            let mut threads = self.objects.threads.iter();
            if threads.any(|(&other, state)| other != thread && state.current == Some(context)) {
                self.cite(Rule::Thread4);
            }
            return Err(Error::AlreadyEntered { context: name });
        }
        let previous = self.thread(thread).current;
        let entered = &mut self.objects.contexts[context];
        entered.previous = previous;
        entered.entered = true;
        self.switch(thread, Some(context));
        Ok(())
    }

    /// EXIT-1, EXIT-3, EXIT-4, VER-1, VER-3 (`PyContext_Exit`).
    pub(crate) fn exit(&mut self, thread: ThreadId, context: ContextIndex, name: ContextId) -> Result<(), Error> {
        if !self.objects.contexts[context].entered {
            return Err(Error::NotEntered { context: name });
        }
        if self.thread(thread).current != Some(context) {
            return Err(Error::NotCurrent { context: name });
        }
        let exited = &mut self.objects.contexts[context];
        exited.entered = false;
        let previous = exited.previous.take();
        self.switch(thread, previous);
        Ok(())
    }

    /// VER-1, VER-3, WATCH-1, WATCH-7 (`context_switched`).
    pub(crate) fn switch(&mut self, thread: ThreadId, current: Option<ContextIndex>) {
        let state = self.thread(thread);
        state.current = current;
        state.context_ver = state.context_ver.wrapping_add(1);
        let wrapped = state.context_ver == 0;
        self.cite(Rule::Ver1);
        if wrapped {
            self.cite(Rule::Ver3);
        }
        let current = current
            .map_or(CurrentContext::Null, |index| self.objects.contexts[index].name.map_or(CurrentContext::Unnamed, CurrentContext::Named));
        self.tell(current);
    }

    pub(crate) fn tell(&mut self, current: CurrentContext) {
        for watcher in self.objects.watchers.into_iter().flatten() {
            self.cite(Rule::Watch1);
            self.events.push(Event { watcher: watcher.name, current });
        }
    }

    /// RUN-1, RUN-3 (`context_run`).
    pub(crate) fn run_begin(&mut self, thread: ThreadId, name: ContextId) -> Outcome {
        let context = bound!(self.context(name));
        if let Err(error) = self.enter(thread, context, name) {
            self.cite(Rule::Run3);
            return Outcome::Error(error);
        }
        self.thread(thread).frames.push(Frame { context, name });
        Outcome::Called
    }

    /// RUN-1, RUN-4, RUN-7, RUN-8 (`context_run`): a failing exit replaces the result.
    pub(crate) fn run_end(&mut self, thread: ThreadId, result: Outcome) -> Outcome {
        let frame = bound!(self.thread(thread).frames.pop());
        // The call of `run` holds its context until it has returned.
        self.objects.pins.push(Pin::Context(frame.context));
        let exited = self.exit(thread, frame.context, frame.name);
        self.cite(match exited {
            Ok(()) => Rule::Run1,
            Err(Error::NotEntered { .. }) => Rule::Run7,
            Err(_) => Rule::Run8,
        });
        self.objects.pins.pop();
        exited.map_or_else(Outcome::Error, |()| result)
    }

    /// THREAD-5, FINAL-4: the open calls return, innermost first, and the thread's context goes.
    pub(crate) fn end_thread(&mut self, thread: ThreadId) {
        while self.open_runs(thread) > 0 {
            self.run_end(thread, Outcome::None);
            self.finalize(thread);
        }
        let current = self.thread(thread).current.take();
        if current.is_some_and(|index| self.objects.contexts[index].entered) {
            self.cite(Rule::Thread5);
        }
        if self.finalize(thread) {
            self.cite(Rule::Final4);
        }
        // What a program makes current now, CPython never lets go.
        if self.thread(thread).current.is_some() {
            self.leave_open();
        }
        self.objects.threads.remove(&thread);
    }

    /// THREAD-1, GET-5: enters a fresh context, looks at what was current before, and exits it.
    pub(crate) fn has_current(&mut self, thread: ThreadId) -> Outcome {
        let previous = self.thread(thread).current;
        let fresh = self.objects.add_context(Context::default());
        self.switch(thread, Some(fresh));
        self.switch(thread, previous);
        Outcome::Bool(previous.is_some())
    }
}
