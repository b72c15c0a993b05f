//! Middleware sets a variable for the time of a call, and puts back what was there by its token.

use contextvars_optimized::{ContextVar, ResetError, ThreadState};

fn with_user<R>(thread: &ThreadState<String>, user: &ContextVar<String>, name: &str, call: impl FnOnce() -> R) -> Result<R, ResetError> {
    let token = thread.set(user, name.to_owned());
    let result = call();
    thread.reset(user, &token)?;
    Ok(result)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let thread = ThreadState::new();
    let user = ContextVar::with_default("user", "nobody".to_owned());
    let greet = || thread.with(&user, |user| println!("hello, {user}"));
    greet()?;
    with_user(&thread, &user, "ada", || {
        greet()?;
        // Calls nest: each token knows the value before it.
        with_user(&thread, &user, "grace", greet).map_err(Box::<dyn std::error::Error>::from)??;
        greet().map_err(Box::<dyn std::error::Error>::from)
    })??;
    greet()?;
    Ok(())
}
