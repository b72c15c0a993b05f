//! Two threads at once: how much more they do than one.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use contextvars_optimized::{Context, ContextVar, ThreadState};

use crate::peers::{Imbl, Map};
use crate::results::{Figure, OURS};

const REPEATS: u32 = 1_000_000;
const SIZE: usize = 32;

/// Operations a second of so many threads that each run `work` a million times.
fn throughput(threads: u32, work: &(dyn Fn() + Sync)) -> f64 {
    let barrier = Barrier::new(threads as usize);
    let elapsed = std::thread::scope(|scope| {
        let run = || {
            barrier.wait();
            let started = Instant::now();
            work();
            (started, Instant::now())
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let times: Vec<_> = handles.into_iter().filter_map(|handle| handle.join().ok()).collect();
        // From the first start to the last end: threads that run one after the other do not do more.
        let first = times.iter().map(|(started, _)| *started).min();
        let last = times.iter().map(|(_, ended)| *ended).max();
        first.zip(last).map(|(first, last)| last - first)
    });
    f64::from(threads * REPEATS) / elapsed.unwrap_or_default().as_secs_f64()
}

/// The best of some tries, since one of two threads may lose its processor to others.
fn best(threads: u32, work: &(dyn Fn() + Sync)) -> f64 {
    (0..7).map(|_| throughput(threads, work)).fold(0.0, f64::max)
}

/// What one and two threads do in a second.
pub fn run() -> Vec<Figure> {
    let variables: Vec<_> = (0..SIZE).map(|_| ContextVar::new("v")).collect();
    let (thread, context) = (ThreadState::new(), Context::new());
    assert!(thread.enter(&context).is_ok());
    let mut map = Imbl::empty();
    for (number, variable) in variables.iter().enumerate() {
        let value = Arc::new(number as u64);
        thread.set_shared(variable, Arc::clone(&value));
        map.insert(variable.id(), value);
    }
    let read = || {
        let (thread, copy) = (ThreadState::new(), context.copy());
        assert!(thread.enter(&copy).is_ok());
        for at in 0..REPEATS as usize {
            let _ = black_box(thread.with(&variables[at % SIZE], |value| *value));
        }
        assert!(thread.exit(&copy).is_ok());
    };
    let read_map = || {
        let clone = map.clone();
        for at in 0..REPEATS as usize {
            black_box(clone.get(&variables[at % SIZE].id()));
        }
    };
    let copy = || {
        for _ in 0..REPEATS {
            drop(black_box(context.copy()));
        }
    };
    let copy_map = || {
        for _ in 0..REPEATS {
            drop(black_box(map.clone()));
        }
    };
    let cells: [(&str, &str, &(dyn Fn() + Sync)); 4] = [
        ("read a copy of one context", OURS, &read),
        ("read a copy of one context", "imbl", &read_map),
        ("copy one context", OURS, &copy),
        ("copy one context", "imbl", &copy_map),
    ];
    let mut figures = Vec::new();
    for (operation, contender, work) in cells {
        for threads in [1, 2] {
            let (section, operation, contender) = ("threads".to_owned(), operation.to_owned(), contender.to_owned());
            figures.push(Figure { section, operation, size: threads as usize, contender, value: best(threads, work) });
        }
    }
    figures
}
