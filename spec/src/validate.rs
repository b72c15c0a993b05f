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
    #[error("`{0}` cannot be deleted; name a variable, a token, a context or an iterator")]
    NotDeletable(Object),
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Defined,
    Gone,
}

/// Checks that every handle is made once, before its uses, and not used after it has gone.
///
/// # Errors
///
/// The index of the first step that breaks this, and how.
pub fn validate_steps(steps: &[Step]) -> Result<(), (usize, Problem)> {
    let mut handles = HashMap::from([(Handle::Thread(ThreadId::MAIN), Status::Defined)]);
    for (index, step) in steps.iter().enumerate() {
        check(step, &mut handles).map_err(|problem| (index, problem))?;
    }
    Ok(())
}

fn check(step: &Step, handles: &mut HashMap<Handle, Status>) -> Result<(), Problem> {
    let thread = Handle::Thread(step.thread);
    match handles.get(&thread) {
        Some(Status::Defined) => {}
        Some(Status::Gone) => return Err(Problem::Ended(step.thread)),
        None => return Err(Problem::Undefined(thread)),
    }
    for used in step.operation.uses() {
        match handles.get(&used) {
            Some(Status::Defined) => {}
            Some(Status::Gone) => return Err(Problem::Deleted(used)),
            None => return Err(Problem::Undefined(used)),
        }
    }
    match step.operation {
        Operation::EndThread {} if step.thread.is_main() => return Err(Problem::MainEnds),
        Operation::EndThread {} => {
            handles.insert(thread, Status::Gone);
        }
        Operation::Drop { object } => match object {
            Object::None | Object::Missing | Object::Value(_) => return Err(Problem::NotDeletable(object)),
            _ => handles.extend(object.handle().map(|handle| (handle, Status::Gone))),
        },
        _ => {}
    }
    if let Some(made) = step.operation.definition()
        && handles.insert(made, Status::Defined).is_some()
    {
        return Err(Problem::Doubled(made));
    }
    Ok(())
}
