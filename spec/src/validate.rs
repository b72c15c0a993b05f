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
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    /// Made by a step, or by a program, which may or may not have run.
    Defined,
    Gone,
}

#[derive(Default)]
struct Handles {
    status: HashMap<Handle, Status>,
    /// What programs need, with the step that hands the program over. A program runs later, so that
    /// what it needs may be made later too; where it is not there, the operation is skipped.
    needed: Vec<(usize, Handle)>,
}

/// Checks that every handle is made once, before its uses, and not used after it has gone.
///
/// # Errors
///
/// The index of the first step that breaks this, and how.
pub fn validate_steps(steps: &[Step]) -> Result<(), (usize, Problem)> {
    let mut handles = Handles::default();
    handles.status.insert(Handle::Thread(ThreadId::MAIN), Status::Defined);
    for (index, step) in steps.iter().enumerate() {
        handles.check(index, step).map_err(|problem| (index, problem))?;
    }
    let undefined = handles.needed.iter().find(|(_, handle)| !handles.status.contains_key(handle));
    undefined.map_or(Ok(()), |&(index, handle)| Err((index, Problem::Undefined(handle))))
}

impl Handles {
    fn check(&mut self, index: usize, step: &Step) -> Result<(), Problem> {
        let thread = Handle::Thread(step.thread);
        match self.status.get(&thread) {
            Some(Status::Defined) => {}
            Some(Status::Gone) => return Err(Problem::Ended(step.thread)),
            None => return Err(Problem::Undefined(thread)),
        }
        for used in step.operation.uses() {
            match self.status.get(&used) {
                Some(Status::Defined) => {}
                Some(Status::Gone) => return Err(Problem::Deleted(used)),
                None => return Err(Problem::Undefined(used)),
            }
        }
        match step.operation {
            Operation::EndThread {} if step.thread.is_main() => return Err(Problem::MainEnds),
            Operation::EndThread {} => {
                self.status.insert(thread, Status::Gone);
            }
            Operation::Drop { object } => {
                let handle = object.handle().ok_or(Problem::NotDeletable(object))?;
                self.status.insert(handle, Status::Gone);
            }
            _ => {}
        }
        for operation in step.operation.programs().flat_map(|program| &program.0) {
            if !operation.fits_program() {
                return Err(Problem::NotInProgram(operation.tag()));
            }
            self.needed.extend(operation.uses().map(|handle| (index, handle)));
            self.define(operation)?;
        }
        self.define(&step.operation)
    }

    fn define(&mut self, operation: &Operation) -> Result<(), Problem> {
        match operation.definition() {
            Some(made) if self.status.insert(made, Status::Defined).is_some() => Err(Problem::Doubled(made)),
            _ => Ok(()),
        }
    }
}
