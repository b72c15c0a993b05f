//! Contexts, tokens and thread states, and user code that calls back.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use contextvars_optimized::{Context, ContextVar, EnterError, ExitError, ResetError, RunError, ThreadState, Watchers};

#[test]
fn a_token_works_once_and_only_where_it_was_made() -> Result<(), ResetError> {
    let thread = ThreadState::new();
    let (a, b) = (ContextVar::new("a"), ContextVar::new("b"));
    let token = thread.set(&a, 1);
    assert_eq!(thread.reset(&b, &token), Err(ResetError::DifferentVariable));
    assert_eq!(ThreadState::new().reset(&a, &token), Err(ResetError::DifferentContext));
    thread.reset(&a, &token)?;
    assert_eq!(thread.reset(&a, &token), Err(ResetError::Used));
    assert!(thread.get(&a).is_err());
    Ok(())
}

#[test]
fn a_context_is_entered_once_and_left_in_order() -> Result<(), EnterError> {
    let (thread, other) = (ThreadState::<i32>::new(), ThreadState::new());
    let (outer, inner) = (Context::new(), Context::new());
    thread.enter(&outer)?;
    assert_eq!(other.enter(&outer), Err(EnterError));
    thread.enter(&inner)?;
    assert_eq!(thread.exit(&outer), Err(ExitError::NotCurrent));
    assert_eq!(thread.exit(&inner), Ok(()));
    assert_eq!(thread.exit(&inner), Err(ExitError::NotEntered));
    assert_eq!(thread.exit(&outer), Ok(()));
    assert_eq!(thread.context_ver(), 5);
    assert!(thread.current().is_none());
    Ok(())
}

#[test]
fn run_leaves_the_context_whatever_happens_inside() {
    let thread = ThreadState::<i32>::new();
    let context = Context::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| thread.run(&context, || panic!("inside"))));
    assert!(panicked.is_err() && !context.is_entered());
    assert_eq!(thread.run(&context, || thread.exit(&context)), Err(RunError::Exit(ExitError::NotEntered)));
}

#[test]
fn the_version_wraps_and_watchers_hear_of_it() -> Result<(), Box<dyn std::error::Error>> {
    let watchers = Rc::new(Watchers::default());
    let thread = ThreadState::<i32>::with_watchers(Rc::clone(&watchers));
    let heard = Rc::new(Cell::new(0));
    let counter = Rc::clone(&heard);
    watchers.add(move |_| counter.set(counter.get() + 1))?;
    thread.set_context_ver(u64::MAX);
    thread.run(&Context::new(), || assert_eq!(thread.context_ver(), 0))?;
    assert_eq!((thread.context_ver(), heard.get()), (1, 2));
    Ok(())
}

/// A value that looks at its variable when it goes.
struct Caller {
    thread: Rc<ThreadState<Caller>>,
    variable: ContextVar<Caller>,
    dropped: Rc<Cell<u32>>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        let _ = self.thread.find(&self.variable);
        let _ = self.thread.copy_context();
    }
}

#[test]
fn values_may_call_back_when_they_go_and_go_once() -> Result<(), Box<dyn std::error::Error>> {
    let thread = Rc::new(ThreadState::new());
    let variable = ContextVar::new("v");
    let dropped = Rc::new(Cell::new(0));
    let value = || Caller { thread: Rc::clone(&thread), variable: variable.clone(), dropped: Rc::clone(&dropped) };
    let first = thread.set(&variable, value());
    drop(thread.set(&variable, value()));
    assert_eq!(dropped.get(), 1, "the first went with the token that held it as its old value");
    thread.reset(&variable, &first)?;
    assert_eq!(dropped.get(), 2, "the second was unbound");
    let context = Context::new();
    thread.run(&context, || drop(thread.set(&variable, value())))?;
    drop(context);
    assert_eq!(dropped.get(), 3, "no cache keeps a value beyond its context");
    Ok(())
}

#[test]
fn a_long_stack_of_contexts_goes_without_recursion() -> Result<(), EnterError> {
    let thread = ThreadState::<i32>::new();
    for _ in 0..if cfg!(miri) { 100 } else { 200_000 } {
        thread.enter(&Context::new())?;
    }
    Ok(())
}

#[test]
fn a_context_goes_though_its_thread_state_went_first() -> Result<(), EnterError> {
    let (value, variable) = (Arc::new(()), ContextVar::new("v"));
    let contexts = [Context::new(), Context::new()];
    let thread = ThreadState::new();
    for context in &contexts {
        thread.enter(context)?;
        drop(thread.set_shared(&variable, Arc::clone(&value)));
    }
    let token = thread.set_shared(&variable, Arc::clone(&value));
    drop(thread);
    assert!(contexts.iter().all(Context::is_entered));
    let kept = contexts[1].downgrade();
    drop(contexts);
    assert!(kept.upgrade().is_some(), "the token keeps its context");
    drop(token);
    assert!(kept.upgrade().is_none());
    assert_eq!(Arc::strong_count(&value), 1);
    Ok(())
}

#[test]
#[cfg_attr(miri, ignore = "so many copies take Miri an hour")]
fn more_copies_than_are_counted_ahead_hold_their_value_and_let_it_go() -> Result<(), EnterError> {
    let (context, variable, value) = (Context::new(), ContextVar::new("v"), Arc::new(1));
    let thread = ThreadState::new();
    thread.enter(&context)?;
    thread.set_shared(&variable, Arc::clone(&value));
    let copies: Vec<_> = (0..70_000).map(|_| context.copy()).collect();
    assert!(copies.iter().all(|copy| copy.get(&variable).is_some_and(|bound| Arc::ptr_eq(&bound, &value))));
    thread.set(&variable, 2);
    drop(context);
    drop(thread);
    assert_eq!(Arc::strong_count(&value), 2, "one map holds it for all copies");
    drop(copies);
    assert_eq!(Arc::strong_count(&value), 1);
    Ok(())
}

#[test]
fn what_copies_of_the_current_context_count_is_given_back() -> Result<(), Box<dyn std::error::Error>> {
    let (thread, other) = (ThreadState::new(), ThreadState::new());
    let (context, variable) = (Context::new(), ContextVar::new("a"));
    let values: Vec<_> = (0..4).map(Arc::new).collect();
    let holders = || values.iter().map(Arc::strong_count).collect::<Vec<_>>();
    thread.enter(&context)?;
    drop(thread.set_shared(&variable, Arc::clone(&values[0])));
    drop((thread.copy_context(), thread.copy_context()));
    drop(thread.set_shared(&variable, Arc::clone(&values[1])));
    assert_eq!(holders(), [1, 2, 1, 1], "a write finds the map its own again");
    let copy = thread.copy_context();
    thread.enter(&copy)?;
    drop(thread.copy_context());
    drop(thread.set_shared(&variable, Arc::clone(&values[2])));
    thread.exit(&copy)?;
    drop(copy);
    assert_eq!(holders(), [1, 2, 1, 1], "a copy of a copy goes");
    drop(thread.copy_context());
    thread.exit(&context)?;
    other.enter(&context)?;
    drop(other.copy_context());
    drop(thread.copy_context());
    drop(other.set_shared(&variable, Arc::clone(&values[3])));
    assert_eq!(holders(), [1, 1, 1, 2], "another thread state writes");
    let copy = other.copy_context();
    drop((other, context));
    drop(copy);
    assert_eq!(holders(), [1, 1, 1, 1], "a thread state goes before its context");
    Ok(())
}

#[test]
fn many_variables_that_are_looked_up_over_and_over_are_what_was_bound_last() -> Result<(), Box<dyn std::error::Error>> {
    // Enough to drive one another out; Miri takes a thousand times as long for each.
    const MANY: usize = if cfg!(miri) { 200 } else { 5000 };
    let thread = ThreadState::new();
    let variables: Vec<_> = (0..MANY).map(|_| ContextVar::new("v")).collect();
    let (outer, mut bound) = (Context::new(), vec![None; MANY]);
    let check = |bound: &[Option<usize>], many: usize| {
        for (variable, bound) in variables.iter().zip(bound).take(many) {
            assert_eq!(thread.with(variable, |value| *value).ok(), *bound);
            assert_eq!(thread.find(variable).as_deref(), bound.as_ref());
        }
    };
    thread.enter(&outer)?;
    for (at, variable) in variables.iter().enumerate() {
        drop(thread.set(variable, at));
        bound[at] = Some(at);
    }
    // More are driven out of the places where they are remembered from round to round.
    for many in [100, 300, 1000, 2000, MANY].into_iter().filter(|many| *many <= MANY) {
        for round in 0..4 {
            check(&bound, many);
            let at = (many + 7 * round) % many;
            let token = thread.set(&variables[at], MANY + round);
            assert_eq!(thread.get(&variables[at]).as_deref(), Ok(&(MANY + round)));
            check(&[bound[..at].to_vec(), vec![Some(MANY + round)], bound[at + 1..].to_vec()].concat(), many);
            thread.reset(&variables[at], &token)?;
        }
    }
    // What is unbound, and what another context has, is not what was remembered.
    let inner = Context::new();
    thread.enter(&inner)?;
    check(&vec![None; MANY], MANY);
    for variable in variables.iter().step_by(3) {
        let token = thread.set(variable, 1);
        assert_eq!(thread.with(variable, |value| *value), Ok(1));
        thread.reset(variable, &token)?;
    }
    check(&vec![None; MANY], MANY);
    thread.exit(&inner)?;
    check(&bound, MANY);
    Ok(())
}
