//! Two threads at once: how much more they do than one.

use std::hint::black_box;
use std::sync::{Arc, Barrier, OnceLock};
use std::time::{Duration, Instant};

use contextvars_optimized::{Context, ContextVar, ThreadState};

use crate::measure::median;
use crate::peers::{Imbl, Map};
use crate::results::{Figure, OURS};

/// How long the threads work together. Long beside a time slice, so that threads that have to share a
/// processor do so in turn, and are not taken for ones that never met.
const TOGETHER: Duration = Duration::from_millis(60);
/// Between two looks at the clock.
const BATCH: usize = 4096;
const SIZE: usize = 32;

/// Does an operation so many times.
type Repeated<'a> = &'a (dyn Fn(usize) + Sync);

/// Operations a second of so many threads. All of them work from the first start to the same end.
fn throughput(threads: u32, work: Repeated<'_>) -> f64 {
    let barrier = Barrier::new(threads as usize);
    let started = OnceLock::new();
    let done: usize = std::thread::scope(|scope| {
        let run = || {
            barrier.wait();
            let started: &Instant = started.get_or_init(Instant::now);
            let mut done = 0;
            while started.elapsed() < TOGETHER {
                work(BATCH);
                done += BATCH;
            }
            done
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).sum()
    });
    done as f64 / TOGETHER.as_secs_f64()
}

/// The median of some tries: the best would be that in which the threads met least.
fn usual(threads: u32, work: Repeated<'_>) -> f64 {
    median((0..9).map(|_| throughput(threads, work)).collect())
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
    let read = |repeats: usize| {
        let (thread, copy) = (ThreadState::new(), context.copy());
        assert!(thread.enter(&copy).is_ok());
        for at in 0..repeats {
            let _ = black_box(thread.with(&variables[at % SIZE], |value| *value));
        }
        assert!(thread.exit(&copy).is_ok());
    };
    let read_map = |repeats: usize| {
        let clone = map.clone();
        for at in 0..repeats {
            black_box(clone.get(&variables[at % SIZE].id()));
        }
    };
    let copy = |repeats: usize| {
        for _ in 0..repeats {
            drop(black_box(context.copy()));
        }
    };
    let copy_map = |repeats: usize| {
        for _ in 0..repeats {
            drop(black_box(map.clone()));
        }
    };
    let cells: [(&str, &str, Repeated<'_>); 4] = [
        ("read a copy of one context", OURS, &read),
        ("read a copy of one context", "imbl", &read_map),
        ("copy one context", OURS, &copy),
        ("copy one context", "imbl", &copy_map),
    ];
    let mut figures = Vec::new();
    for (operation, contender, work) in cells {
        for threads in [1, 2] {
            let (section, operation, contender) = ("threads".to_owned(), operation.to_owned(), contender.to_owned());
            figures.push(Figure { section, operation, size: threads as usize, contender, value: usual(threads, work) });
        }
    }
    figures
}
