//! What must hold of a trace before it is run.

use std::collections::HashMap;

use thiserror::Error;

use crate::handle::{Handle, Object, ThreadId};
use crate::operation::{Operation, Step};

/// A trace is well-formed JSON and yet means nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// An operation needs what nothing made.
    #[error("`{0}` is not defined; add the step that makes it before this one, or name another")]
    Undefined(Handle),
    /// An operation needs what was deleted.
    #[error("`{0}` was deleted before; move the `del` after this step, or name another")]
    Deleted(Handle),
    /// Two operations make a handle of the same name.
    #[error("`{0}` is defined twice; give one of the two another number")]
    Doubled(Handle),
    /// A step runs on a thread that has ended.
    #[error("`{0}` has ended; move its `end_thread` after this step, or name another")]
    Ended(ThreadId),
    /// The thread that runs the trace cannot end.
    #[error("`thread0` cannot end; leave the step out, or end another thread")]
    MainEnds,
    /// Something is deleted that the trace cannot delete.
    #[error("`{0}` cannot be deleted; name what the trace has made")]
    NotDeletable(Object),
    /// A program has an operation that no program may have.
    #[error("a program cannot have `{0}`; move it to a step of its own")]
    NotInProgram(String),
    /// More than [`MAX_THREADS`] threads are alive.
    #[error("more than {MAX_THREADS} threads are alive; end one before")]
    TooManyThreads,
    /// More than [`MAX_NESTING`] callables of one thread are open.
    #[error("more than {MAX_NESTING} calls of `Context.run` are open on `{0}`; let one return before")]
    TooDeep(ThreadId),
    /// The contexts and iterators could hold more than [`MAX_BINDINGS`].
    #[error("its contexts and iterators could hold more than {MAX_BINDINGS} bindings; leave out contexts or variables")]
    TooManyBindings,
}

/// How many threads may be alive at once. An engine may give each one of the system's own, of which
/// a container may allow a few thousand; no rule needs more than three.
pub const MAX_THREADS: usize = 256;

/// How many calls of `Context.run` may be open on one thread, those that are refused counted. An
/// engine may nest them for real: CPython's recursion ends at 1,000 frames, and what it does there
/// is no matter of contexts.
pub const MAX_NESTING: usize = 400;

/// How many bindings a trace's contexts and iterators may hold: their number times that of the
/// variables. A plain model keeps a whole map for each, of some 50 bytes a binding, so that the limit
/// bounds it to 200 MB; two thousand contexts of two thousand variables are within it.
pub const MAX_BINDINGS: usize = 4 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Status {
    /// Made by a step, or by a program, which may or may not have run.
    Defined,
    Gone,
}

/// Checks that every handle is made once, before its uses, and not used after it has gone, and that
/// no engine needs more than a machine has.
///
/// # Errors
///
/// The index of the first step that breaks this, and how.
pub fn validate_steps(steps: &[Step]) -> Result<(), (usize, Problem)> {
    let mut state = State {
        handles: HashMap::from([(Handle::Thread(ThreadId::MAIN), Status::Defined)]),
        threads: 1,
        open: HashMap::new(),
        variables: 0,
        holders: 0,
        needed: Vec::new(),
    };
    for (index, step) in steps.iter().enumerate() {
        state.check(index, step).map_err(|problem| (index, problem))?;
    }
    let undefined = state.needed.iter().find(|(_, handle)| !state.handles.contains_key(handle));
    undefined.map_or(Ok(()), |&(index, handle)| Err((index, Problem::Undefined(handle))))
}

/// What the steps so far have made.
struct State {
    handles: HashMap<Handle, Status>,
    /// How many threads are alive.
    threads: usize,
    /// How many calls of `Context.run` are open at the most.
    open: HashMap<ThreadId, usize>,
    variables: usize,
    /// How many contexts and iterators there are, deleted ones too: a model may keep them.
    holders: usize,
    /// What programs need, with the step that hands the program over. A program runs later, so that
    /// what it needs may be made later too; where it is not there, the operation is skipped.
    needed: Vec<(usize, Handle)>,
}

impl State {
    fn check(&mut self, index: usize, step: &Step) -> Result<(), Problem> {
        let thread = Handle::Thread(step.thread);
        match self.handles.get(&thread) {
            Some(Status::Defined) => {}
            Some(Status::Gone) => return Err(Problem::Ended(step.thread)),
            None => return Err(Problem::Undefined(thread)),
        }
        for used in step.operation.uses() {
            match self.handles.get(&used) {
                Some(Status::Defined) => {}
                Some(Status::Gone) => return Err(Problem::Deleted(used)),
                None => return Err(Problem::Undefined(used)),
            }
        }
        match step.operation {
            Operation::EndThread {} if step.thread.is_main() => return Err(Problem::MainEnds),
            Operation::EndThread {} => {
                self.handles.insert(thread, Status::Gone);
                self.threads -= 1;
            }
            Operation::Drop { object } => {
                let handle = object.handle().ok_or(Problem::NotDeletable(object))?;
                self.handles.insert(handle, Status::Gone);
            }
            Operation::Run { .. } => {
                let open = self.open.entry(step.thread).or_default();
                *open += 1;
                if *open > MAX_NESTING {
                    return Err(Problem::TooDeep(step.thread));
                }
            }
            Operation::Return {} | Operation::Raise {} => {
                if let Some(open) = self.open.get_mut(&step.thread) {
                    *open = open.saturating_sub(1);
                }
            }
            _ => {}
        }
        for operation in step.operation.programs().flat_map(|program| &program.0) {
            if !operation.fits_program() {
                return Err(Problem::NotInProgram(operation.tag()));
            }
            self.needed.extend(operation.uses().map(|handle| (index, handle)));
            operation.definition().map_or(Ok(()), |made| self.define(made))?;
        }
        step.operation.definition().map_or(Ok(()), |made| self.define(made))
    }

    fn define(&mut self, made: Handle) -> Result<(), Problem> {
        if self.handles.insert(made, Status::Defined).is_some() {
            return Err(Problem::Doubled(made));
        }
        match made {
            Handle::Thread(_) => self.threads += 1,
            Handle::Variable(_) => self.variables += 1,
            Handle::Context(_) | Handle::Iterator(_) => self.holders += 1,
            Handle::Value(_) | Handle::Token(_) | Handle::Reference(_) | Handle::Watcher(_) => {}
        }
        if self.threads > MAX_THREADS {
            return Err(Problem::TooManyThreads);
        }
        if self.holders.saturating_mul(self.variables) > MAX_BINDINGS {
            return Err(Problem::TooManyBindings);
        }
        Ok(())
    }
}
