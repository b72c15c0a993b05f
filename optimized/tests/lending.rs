//! Values that are lent while everything changes, panics in values, confined contexts, threads.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::LazyLock;

use contextvars_optimized::{Confined, Context, ContextVar, LookupError, ThreadState};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A value that counts its drops, and panics in them if it is told to.
struct Counted<'a> {
    number: u32,
    dropped: &'a Cell<u32>,
    panics: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        assert!(!self.panics || std::thread::panicking(), "a value panics");
    }
}

#[test]
fn what_is_lent_outlives_what_the_call_does() -> Outcome {
    let dropped = Cell::new(0);
    let value = |number| Counted { number, dropped: &dropped, panics: false };
    let (thread, context) = (ThreadState::<Counted<'_>>::new(), Context::new());
    let variable = ContextVar::new("v");
    thread.enter(&context)?;
    thread.set(&variable, value(1));
    let seen = thread.with(&variable, |one| {
        thread.set(&variable, value(2));
        let inner = thread.with(&variable, |two| {
            thread.set(&variable, value(3));
            // Left, so that another thread state could write it; it does.
            let left = thread.exit(&context);
            let other = ThreadState::new();
            let entered = other.enter(&context);
            other.set(&variable, value(4));
            assert!(left.is_ok() && entered.is_ok());
            assert!(other.exit(&context).is_ok());
            (one.number, two.number, dropped.get())
        });
        assert!(thread.enter(&context).is_ok());
        inner.map(|(one, two, dropped)| (one, two, dropped, thread.with(&variable, |four| four.number)))
    })?;
    assert_eq!(seen, Ok((1, 2, 1, Ok(4))), "only the third, which is not lent, went");
    thread.exit(&context)?;
    drop(context);
    assert_eq!(dropped.get(), 4);
    Ok(())
}

#[test]
fn a_call_that_keeps_writing_keeps_one_map() -> Outcome {
    let (thread, context) = (ThreadState::<u32, Confined>::default(), Context::default());
    let variable = ContextVar::build("v", None, None);
    let value = Rc::new(0);
    thread.enter(&context)?;
    thread.set_shared(&variable, Rc::clone(&value));
    thread.with(&variable, |_| {
        for number in 0..1_000 {
            thread.set(&variable, number);
        }
        assert_eq!(Rc::strong_count(&value), 2, "one map holds what is lent");
    })?;
    // A patch lets go of what only its base has at the next write.
    thread.set(&variable, 0);
    assert_eq!(Rc::strong_count(&value), 1);
    Ok(())
}

#[test]
fn what_was_found_before_a_switch_is_right_after_it() -> Outcome {
    let thread = ThreadState::<u32>::new();
    let variables: Vec<_> = (0..130).map(|_| ContextVar::new("v")).collect();
    let (outer, inner) = (Context::new(), Context::new());
    let number = |at: usize| thread.with(&variables[at], |number| *number);
    thread.enter(&outer)?;
    let tokens: Vec<_> = variables.iter().zip(0..).map(|(variable, number)| thread.set(variable, number)).collect();
    assert!((0..130).all(|at| number(at) == Ok(at as u32)));
    thread.enter(&inner)?;
    assert!((0..130).all(|at| number(at) == Err(LookupError)));
    thread.set(&variables[5], 500);
    assert_eq!((number(5), number(69)), (Ok(500), Err(LookupError)));
    thread.exit(&inner)?;
    assert_eq!((number(5), number(69)), (Ok(5), Ok(69)));
    thread.reset(&variables[5], &tokens[5])?;
    assert_eq!(number(5), Err(LookupError));
    thread.exit(&outer)?;
    assert_eq!(number(69), Err(LookupError));
    Ok(())
}

#[test]
fn a_base_context_that_two_thread_states_have_is_never_stale() -> Outcome {
    let (thread, other) = (ThreadState::<u32>::new(), ThreadState::new());
    let variable = ContextVar::new("v");
    thread.set(&variable, 1);
    assert_eq!(thread.with(&variable, |number| *number), Ok(1));
    let base = thread.current().ok_or("a base context")?;
    other.enter(&base)?;
    other.set(&variable, 2);
    assert_eq!(thread.with(&variable, |number| *number), Ok(2));
    thread.set(&variable, 3);
    assert_eq!(other.get(&variable).map(|number| *number), Ok(3));
    // As in CPython, whoever has it current may leave it, whoever entered it.
    thread.exit(&base)?;
    assert!(other.exit(&base).is_err() && !base.is_entered());
    Ok(())
}

#[test]
fn a_panic_in_a_value_leaves_the_rest_valid() -> Outcome {
    let dropped = Cell::new(0);
    let thread = ThreadState::<Counted<'_>>::new();
    let variables: Vec<_> = (0..100).map(|_| ContextVar::new("v")).collect();
    let context = Context::new();
    thread.run(&context, || {
        for (variable, number) in variables.iter().zip(0..) {
            thread.set(variable, Counted { number, dropped: &dropped, panics: number == 50 });
        }
    })?;
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(context)));
    assert!(panicked.is_err());
    assert_eq!(dropped.get(), 100, "each went once, those after the panic too");
    Ok(())
}

#[test]
fn contexts_are_read_while_their_thread_writes() {
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    // What is never freed stays within reach, so that no sanitizer takes it for a leak.
    static IMMORTAL: LazyLock<ContextVar<u64>> = LazyLock::new(|| ContextVar::new("v"));
    let (variable, other) = (&*IMMORTAL, ContextVar::new("w"));
    variable.make_immortal();
    let context = Context::<u64>::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let thread = ThreadState::new();
            assert!(thread.enter(&context).is_ok());
            for number in 0..rounds {
                let token = thread.set(variable, number);
                thread.set(&other, number);
                assert_eq!(thread.with(variable, |seen| *seen), Ok(number));
                if number % 3 == 0 {
                    assert!(thread.reset(variable, &token).is_ok());
                }
            }
            assert!(thread.exit(&context).is_ok());
        });
        scope.spawn(|| {
            let mut last = 0;
            for _ in 0..rounds {
                let copy = context.copy();
                let seen = copy.get(&other).map_or(0, |number| *number);
                assert!(seen >= last, "versions come in order");
                last = seen;
                assert!(copy.len() <= 2 && copy == copy.copy());
            }
        });
    });
}

#[test]
fn what_another_thread_state_wrote_meanwhile_is_not_remembered() -> Outcome {
    let (thread, other) = (ThreadState::<u32>::new(), ThreadState::new());
    let (variable, contexts) = (ContextVar::new("v"), [Context::new(), Context::new()]);
    for context in &contexts {
        thread.run(context, || drop(thread.set(&variable, 1)))?;
    }
    for round in 2..200 {
        // In turn, so that both are remembered; the second is written elsewhere in between.
        thread.enter(&contexts[0])?;
        assert_eq!(thread.with(&variable, |number| *number), Ok(1));
        thread.run(&contexts[1], || assert_eq!(thread.with(&variable, |number| *number), Ok(round - 1)))?;
        other.run(&contexts[1], || drop(other.set(&variable, round)))?;
        assert_eq!(thread.with(&variable, |number| *number), Ok(1));
        thread.exit(&contexts[0])?;
    }
    Ok(())
}

#[test]
fn what_is_lent_outlives_that_another_thread_state_takes_the_context_over() -> Outcome {
    // Whoever exits a base has current what it was entered over.
    let (thread, other) = (ThreadState::<String>::new(), ThreadState::new());
    let variable = ContextVar::new("v");
    let (outer, inner, base) = (Context::new(), Context::new(), other.current_or_base());
    thread.enter(&outer)?;
    thread.set(&variable, "outer".repeat(9));
    thread.with(&variable, |lent_of_outer| -> Outcome {
        thread.enter(&inner)?;
        thread.set(&variable, "inner".repeat(9));
        thread.with(&variable, |lent_of_inner| -> Outcome {
            thread.enter(&base)?;
            other.exit(&base)?;
            other.set(&variable, "inner, written".to_owned());
            other.exit(&inner)?;
            other.set(&variable, "outer, written".to_owned());
            assert_eq!((lent_of_outer, lent_of_inner), (&"outer".repeat(9), &"inner".repeat(9)));
            Ok(())
        })?
    })??;
    assert_eq!(other.with(&variable, String::len)?, "outer, written".len());
    Ok(())
}
