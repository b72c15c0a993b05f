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
/// How often, everybody in turn.
const TRIES: usize = 10;
/// Between two looks at the clock.
const BATCH: usize = 4096;
const SIZE: usize = 32;
/// What threads do that have nothing to do with each other.
pub const SHARE_NOTHING: &str = "count, sharing nothing";
/// Who does that.
pub const MACHINE: &str = "the machine";

/// Does an operation so many times.
type Repeated<'a> = &'a (dyn Fn(usize) + Sync);

/// Keeps the running thread on one of the processors that it may use: the one of that number, from zero. A
/// scheduler may well leave two threads on one for as long as they are measured.
#[cfg(target_os = "linux")]
fn stay_on_processor(number: usize) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let running = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(running) else { return };
    let mut processors = (0..CpuSet::count()).filter(|&processor| allowed.is_set(processor).unwrap_or(false));
    let mut one = CpuSet::new();
    if let Some(processor) = processors.nth(number)
        && one.set(processor).is_ok()
    {
        // Where that is forbidden, the scheduler chooses.
        let _ = sched_setaffinity(running, &one);
    }
}

/// Elsewhere the scheduler chooses.
#[cfg(not(target_os = "linux"))]
fn stay_on_processor(_: usize) {}

/// Operations a second of so many threads, each on a processor of its own if there are as many. All of them work
/// from the first start to the same end.
fn throughput(threads: usize, first_processor: usize, work: Repeated<'_>) -> f64 {
    let barrier = Barrier::new(threads);
    let started = OnceLock::new();
    let done: usize = std::thread::scope(|scope| {
        let run = |number| {
            stay_on_processor(first_processor + number);
            barrier.wait();
            let started: &Instant = started.get_or_init(Instant::now);
            let mut done = 0;
            while started.elapsed() < TOGETHER {
                work(BATCH);
                done += BATCH;
            }
            done
        };
        let handles: Vec<_> = (0..threads).map(|number| scope.spawn(move || run(number))).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).sum()
    });
    done as f64 / TOGETHER.as_secs_f64()
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
    // What the machine gives: on a busy one, two threads that share nothing do not do twice as much as one.
    let own = |repeats: usize| {
        for at in 0..repeats {
            black_box(at);
        }
    };
    let cells: [(&str, &str, Repeated<'_>); 5] = [
        (SHARE_NOTHING, MACHINE, &own),
        ("read a copy of one context", OURS, &read),
        ("read a copy of one context", "imbl", &read_map),
        ("copy one context", OURS, &copy),
        ("copy one context", "imbl", &copy_map),
    ];
    let mut tries = vec![Vec::with_capacity(TRIES); 2 * cells.len()];
    for number in 0..TRIES {
        for ((_, _, work), tries) in cells.iter().zip(tries.chunks_exact_mut(2)) {
            // Processors may differ in how busy others keep them: one thread works on either in turn.
            tries[0].push(throughput(1, number % 2, work));
            tries[1].push(throughput(2, 0, work));
        }
    }
    let numbered = cells.iter().flat_map(|&(operation, contender, _)| [(operation, contender, 1), (operation, contender, 2)]);
    let figure = |((operation, contender, size), tries): ((&str, &str, usize), Vec<f64>)| {
        let (section, operation, contender) = ("threads".to_owned(), operation.to_owned(), contender.to_owned());
        // The median: the best would be the try in which the threads met least.
        Figure { section, operation, size, contender, value: median(tries) }
    };
    numbered.zip(tries).map(figure).collect()
}
