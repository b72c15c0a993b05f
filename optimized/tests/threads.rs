//! Threads that share contexts, variables, tokens and values, for real: with a sanitizer this finds
//! races in the map's nodes, which the model checker of `loom.rs` does not see (`tools/check-memory thread`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use contextvars_optimized::{Context, ContextVar, ThreadState, Token};

/// As many rounds as a sanitizer, and Miri, does in some seconds.
const ROUNDS: u32 = if cfg!(miri) { 6 } else { 2_000 };

/// Enough variables for branches under the root, with some equal hashes.
fn variables() -> Vec<ContextVar<Counted>> {
    (0..80).map(|number| ContextVar::with_hash("v", number * 7 % 61, None)).collect()
}

/// A value that counts how many there are.
struct Counted {
    number: u32,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn new(number: u32, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self { number, alive: Arc::clone(alive) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

#[test]
fn copies_taken_while_the_source_is_written_are_moments_of_it() {
    let (variables, alive) = (variables(), Arc::new(AtomicUsize::new(0)));
    let (context, done) = (Context::new(), AtomicBool::new(false));
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut copies = 0_u32;
                    while !done.load(Ordering::Relaxed) {
                        let copy = context.copy();
                        // Written in this order, so that numbers fall, by one at most.
                        let numbers: Vec<u32> =
                            variables.iter().map(|variable| copy.get(variable).map_or(0, |value| value.number)).collect();
                        assert!(numbers.is_sorted_by(|before, after| before >= after));
                        assert!(numbers[0] - numbers[numbers.len() - 1] <= 1);
                        assert!(copy == copy.copy() && copy.iter().count() == copy.len());
                        // The copy is written as well, in place where nobody else has the node.
                        let state = ThreadState::new();
                        assert!(state.enter(&copy).is_ok());
                        for variable in variables.iter().step_by(9) {
                            state.set(variable, Counted::new(copies, &alive));
                        }
                        copies += 1;
                        drop((state, copy));
                        // The next copy takes the context's lock, which orders all that was read before
                        // it: without a pause the release of the nodes would never have to.
                        thread::sleep(Duration::from_micros(20));
                    }
                    copies
                })
            })
            .collect();
        let state = ThreadState::new();
        assert!(state.enter(&context).is_ok());
        for round in 1..=ROUNDS {
            for variable in &variables {
                state.set(variable, Counted::new(round, &alive));
            }
        }
        assert!(state.exit(&context).is_ok());
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().is_ok());
        }
    });
    assert_eq!(context.len(), variables.len());
    drop(context);
    assert_eq!(alive.load(Ordering::Relaxed), 0, "every value goes, and once");
}

#[test]
fn a_context_that_threads_pass_to_one_another_loses_nothing() {
    let (counter, alive) = (ContextVar::<Counted>::new("counter"), Arc::new(AtomicUsize::new(0)));
    let context = Context::new();
    let entered: u32 = thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let state = ThreadState::new();
                    let mut entered = 0;
                    for _ in 0..ROUNDS {
                        if state.enter(&context).is_err() {
                            continue;
                        }
                        let before = state.find(&counter).map_or(0, |value| value.number);
                        state.set(&counter, Counted::new(before + 1, &alive));
                        entered += 1;
                        assert!(state.exit(&context).is_ok());
                    }
                    entered
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    assert_eq!(context.get(&counter).map_or(0, |value| value.number), entered);
}

#[test]
fn tokens_variables_and_weak_references_go_in_any_thread() {
    let alive = Arc::new(AtomicUsize::new(0));
    let state = ThreadState::new();
    for round in 0..ROUNDS / 4 {
        let variable = ContextVar::new("short");
        let context = Context::new();
        assert!(state.enter(&context).is_ok());
        let tokens: Vec<Token<Counted>> = (0..2).map(|number| state.set(&variable, Counted::new(number + round, &alive))).collect();
        assert!(state.exit(&context).is_ok());
        let weak = context.downgrade();
        thread::scope(|scope| {
            for token in tokens {
                let (weak, variable) = (context.downgrade(), variable.clone());
                scope.spawn(move || {
                    drop(token);
                    let Some(context) = weak.upgrade() else { return };
                    assert!(context.get(&variable).is_some());
                });
            }
            drop((context, variable));
        });
        assert!(weak.upgrade().is_none());
        assert_eq!(alive.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_token_is_taken_by_one_of_the_threads_that_share_a_base_context() {
    let (variable, alive) = (ContextVar::<Counted>::new("shared"), Arc::new(AtomicUsize::new(0)));
    let state = ThreadState::new();
    for round in 0..ROUNDS / 4 {
        let token = state.set(&variable, Counted::new(round, &alive));
        let base = state.current_or_base();
        let resets = thread::scope(|scope| {
            let other = scope.spawn(|| {
                let other = ThreadState::new();
                assert!(other.enter(&base).is_ok());
                let reset = other.reset(&variable, &token).is_ok();
                assert!(other.exit(&base).is_ok());
                reset
            });
            let here = state.reset(&variable, &token).is_ok();
            u32::from(here) + u32::from(other.join().unwrap_or(true))
        });
        assert_eq!(resets, 1);
        assert!(token.is_used() && !base.contains(&variable));
    }
}
