//! What threads share, in every order that they can take (`tools/check-memory loom`).
//!
//! The model checker also sees each access to the cells of a context, and to the values, which are its
//! own cells here: a value that goes while somebody reads it fails the test.
#![cfg(loom)]

use contextvars_optimized::{Context, ContextVar, Explored, ResetError, ThreadState};
use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// A value that the model checker sees read and dropped.
struct Value {
    number: UnsafeCell<u32>,
    dropped: Option<Arc<AtomicUsize>>,
}

impl Value {
    fn new(number: u32) -> Self {
        Self { number: UnsafeCell::new(number), dropped: None }
    }
    fn counted(number: u32, dropped: &Arc<AtomicUsize>) -> Self {
        Self { number: UnsafeCell::new(number), dropped: Some(Arc::clone(dropped)) }
    }
    #[expect(unsafe_code, reason = "a cell of the model checker is read through a pointer")]
    fn number(&self) -> u32 {
        // SAFETY: nobody writes it before it is dropped, which the model checker would see.
        self.number.with(|number| unsafe { *number })
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.number.with_mut(|_| ());
        if let Some(dropped) = &self.dropped {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type Var = ContextVar<Value, Explored>;
type Ctx = Context<Value, Explored>;
type State = ThreadState<Value, Explored>;

/// Runs a test in every order in which at most three switches are forced: faults that need more are
/// rare, and each further switch takes about ten times as long.
fn explore(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

fn variable(hash: i64) -> Var {
    Var::build("v", None, Some(hash))
}

/// A context in which a variable is bound to 1, and how often that value was dropped.
fn with_one_value() -> (Arc<AtomicUsize>, Var, Ctx) {
    let (dropped, counter, context) = (Arc::new(AtomicUsize::new(0)), variable(1), Ctx::default());
    let state = State::default();
    assert!(state.enter(&context).is_ok());
    drop(state.set(&counter, Value::counted(1, &dropped)));
    assert!(state.exit(&context).is_ok());
    (dropped, counter, context)
}

fn bound(context: &Ctx, variable: &Var) -> u32 {
    context.get(variable).map_or(0, |value| value.number())
}

#[test]
fn a_copy_is_a_moment_of_its_source() {
    explore(|| {
        let (first, second) = (variable(1), variable(2));
        let context = Ctx::default();
        let writer = {
            let (context, first, second) = (context.clone(), first.clone(), second.clone());
            thread::spawn(move || {
                let state = State::default();
                assert!(state.enter(&context).is_ok());
                state.set(&first, Value::new(1));
                state.set(&second, Value::new(1));
                assert!(state.exit(&context).is_ok());
            })
        };
        let copy = context.copy();
        let seen = (bound(&copy, &first), bound(&copy, &second));
        assert!([(0, 0), (1, 0), (1, 1)].contains(&seen), "`{seen:?}` was never bound");
        assert!(writer.join().is_ok());
        assert_eq!((bound(&copy, &first), bound(&copy, &second)), seen);
        assert_eq!((bound(&context, &first), bound(&context, &second)), (1, 1));
    });
}

#[test]
fn counts_ahead_are_given_back_to_whoever_writes() {
    explore(|| {
        let (dropped, counter, context) = with_one_value();
        // From here on a copy takes a count that is there.
        drop(context.copy());
        let reader = {
            let (context, counter) = (context.clone(), counter.clone());
            thread::spawn(move || {
                let copy = context.copy();
                drop(context);
                bound(&copy, &counter)
            })
        };
        drop(context.copy());
        let state = State::default();
        assert!(state.enter(&context).is_ok());
        drop(state.set(&counter, Value::counted(2, &dropped)));
        assert!(state.exit(&context).is_ok());
        assert!(reader.join().is_ok_and(|seen| [1, 2].contains(&seen)));
        drop(context);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn counts_at_hand_are_given_back_to_whoever_writes() {
    explore(|| {
        let (dropped, counter, context) = with_one_value();
        let state = State::default();
        assert!(state.enter(&context).is_ok());
        // From here on a copy takes a count that is there, and what drops it here puts it back.
        let copy = state.copy_context();
        let other = {
            let counter = counter.clone();
            thread::spawn(move || {
                assert_eq!(bound(&copy, &counter), 1);
                drop(copy);
            })
        };
        drop(state.copy_context());
        drop(state.set(&counter, Value::counted(2, &dropped)));
        drop(state.copy_context());
        assert!(state.exit(&context).is_ok());
        assert!(other.join().is_ok());
        drop(context);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn copies_are_written_apart() {
    explore(|| {
        let shared = variable(1);
        let state = State::default();
        let context = Ctx::default();
        assert!(state.enter(&context).is_ok());
        state.set(&shared, Value::new(1));
        assert!(state.exit(&context).is_ok());
        let writers = [2, 3].map(|number| {
            let (copy, shared) = (context.copy(), shared.clone());
            thread::spawn(move || {
                let state = State::default();
                assert!(state.enter(&copy).is_ok());
                state.set(&shared, Value::new(number));
                assert_eq!(state.find(&shared).map(|value| value.number()), Some(number));
            })
        });
        drop(context);
        for writer in writers {
            assert!(writer.join().is_ok());
        }
    });
}

#[test]
fn one_thread_enters() {
    explore(|| {
        let (context, inside) = (Ctx::default(), Arc::new(AtomicUsize::new(0)));
        let enter = |context: Ctx, inside: Arc<AtomicUsize>| {
            let state = State::default();
            if state.enter(&context).is_ok() {
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "a context is entered twice");
                inside.fetch_sub(1, Ordering::Relaxed);
                assert!(state.exit(&context).is_ok());
            }
        };
        let other = {
            let (context, inside) = (context.clone(), Arc::clone(&inside));
            thread::spawn(move || enter(context, inside))
        };
        enter(context.clone(), inside);
        assert!(other.join().is_ok());
        assert!(!context.is_entered());
    });
}

#[test]
fn what_one_entering_wrote_the_next_one_reads() {
    explore(|| {
        let (context, counter) = (Ctx::default(), variable(1));
        let add = |context: Ctx, counter: Var| {
            let state = State::default();
            if state.enter(&context).is_err() {
                return 0;
            }
            let before = state.find(&counter).map_or(0, |value| value.number());
            state.set(&counter, Value::new(before + 1));
            assert!(state.exit(&context).is_ok());
            1
        };
        let other = {
            let (context, counter) = (context.clone(), counter.clone());
            thread::spawn(move || add(context, counter))
        };
        let here = add(context.clone(), counter.clone());
        let there = other.join().unwrap_or(0);
        assert_eq!(bound(&context, &counter), here + there);
    });
}

#[test]
fn a_base_context_that_two_threads_have_is_written_by_both() {
    explore(|| {
        let state = State::default();
        let (first, second) = (variable(1), variable(2));
        state.set(&first, Value::new(1));
        let base = state.current_or_base();
        let other = {
            let (base, second) = (base.clone(), second.clone());
            thread::spawn(move || {
                let state = State::default();
                if state.enter(&base).is_ok() {
                    state.set(&second, Value::new(2));
                    assert!(state.exit(&base).is_ok());
                }
            })
        };
        state.set(&first, Value::new(3));
        assert_eq!(state.find(&first).map(|value| value.number()), Some(3));
        assert!(other.join().is_ok());
        assert_eq!((bound(&base, &first), bound(&base, &second)), (3, 2));
    });
}

#[test]
fn a_token_works_once_for_all_threads_together() {
    explore(|| {
        // Only a base context can be current in two thread states.
        let counter = variable(1);
        let state = State::default();
        let token = state.set(&counter, Value::new(1));
        let base = state.current_or_base();
        let other = {
            let (base, counter, token) = (base.clone(), counter.clone(), token.clone());
            thread::spawn(move || {
                let state = State::default();
                assert!(state.enter(&base).is_ok());
                let reset = state.reset(&counter, &token);
                assert!(state.exit(&base).is_ok());
                reset
            })
        };
        let resets = [Ok(state.reset(&counter, &token)), other.join()].map(|reset| match reset {
            Ok(Ok(())) => 1,
            Ok(Err(ResetError::Used)) => 0,
            _ => 2,
        });
        assert!(resets == [0, 1] || resets == [1, 0], "resets by two threads: `{resets:?}`");
        assert!(token.is_used() && !base.contains(&counter));
    });
}

#[test]
fn values_go_once() {
    explore(|| {
        let (dropped, counter, context) = with_one_value();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (copy, counter) = (context.copy(), counter.clone());
                thread::spawn(move || assert_eq!(bound(&copy, &counter), 1))
            })
            .collect();
        drop(context);
        for other in others {
            assert!(other.join().is_ok());
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_weak_reference_does_not_revive() {
    explore(|| {
        let (dropped, counter, context) = with_one_value();
        let weak = context.downgrade();
        let other = thread::spawn(move || match weak.upgrade() {
            Some(context) => assert_eq!(bound(&context, &counter), 1),
            None => drop(weak),
        });
        drop(context);
        assert!(other.join().is_ok());
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn tokens_that_other_threads_drop_are_accounted_for() {
    explore(|| {
        let (dropped, counter) = (Arc::new(AtomicUsize::new(0)), variable(1));
        let context = Ctx::default();
        let state = State::default();
        assert!(state.enter(&context).is_ok());
        let token = state.set(&counter, Value::counted(1, &dropped));
        let other = thread::spawn(move || drop(token));
        // The owner takes and gives back spare references, and leaves, while the other gives one up.
        drop(state.set(&counter, Value::counted(2, &dropped)));
        assert!(state.exit(&context).is_ok());
        drop(context);
        assert!(other.join().is_ok());
        assert_eq!(dropped.load(Ordering::Relaxed), 2, "the context goes with the last token");
    });
}

#[test]
fn a_context_that_another_thread_takes_over_has_no_owner() {
    explore(|| {
        let (dropped, counter) = (Arc::new(AtomicUsize::new(0)), variable(1));
        let (state, context) = (State::default(), Ctx::default());
        let base = state.current_or_base();
        let other = {
            let (context, base, counter, dropped) = (context.clone(), base.clone(), counter.clone(), Arc::clone(&dropped));
            thread::spawn(move || {
                let state = State::default();
                assert!(state.enter(&context).is_ok());
                let token = state.set(&counter, Value::counted(1, &dropped));
                assert!(state.enter(&base).is_ok());
                drop(token);
            })
        };
        // The base is current here, too: whoever exits it has what was below.
        while state.exit(&base).is_err() {
            thread::yield_now();
        }
        drop(state.set(&counter, Value::counted(2, &dropped)));
        assert!(state.exit(&context).is_ok());
        assert!(other.join().is_ok());
        drop((context, base, state));
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}
