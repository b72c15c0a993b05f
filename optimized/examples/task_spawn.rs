//! A small executor: each task runs in a copy of the context in which it was spawned.

use contextvars_optimized::{Context, ContextVar, LookupError, ThreadState};

type Task<'a> = (Context<String>, Box<dyn FnOnce() + 'a>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let thread = ThreadState::new();
    let request = ContextVar::new("request");
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for name in ["first", "second"] {
        let context = thread.copy_context();
        thread.run(&context, || {
            thread.set(&request, format!("the {name} request"));
            let work = || {
                let shown = thread.with(&request, |request| println!("a task of {request}"));
                debug_assert_eq!(shown, Ok(()));
            };
            // The copy sees what was set so far; what the task sets stays in the copy.
            tasks.push((thread.copy_context(), Box::new(work)));
        })?;
    }
    for (context, work) in tasks {
        thread.run(&context, work)?;
    }
    assert_eq!(thread.get(&request), Err(LookupError), "nothing was set outside");
    Ok(())
}
