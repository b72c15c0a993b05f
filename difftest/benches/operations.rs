//! Reference against optimized against CPython, interleaved in every round, with a table of ratios.
//!
//! Each contender is an engine with its adapter: what is measured is how fast a trace is answered,
//! with the adapter's share, which is the same kind of work for each. A trace repeats one operation
//! on a context of a given size.

use std::hint::black_box;
use std::time::{Duration, Instant};

use contextvars_difftest::engines;
use contextvars_spec::{ContextId, Engine, Object, Observe, Operation, Step, ThreadId, TokenId, Value, VariableId};

/// How often the operation stands in a trace, so that preparation weighs little.
const REPEATED: u32 = 2_000;
/// Rounds: the median of these is shown.
const ROUNDS: usize = 9;
const SIZES: [u32; 4] = [1, 8, 32, 128];

fn prepared(size: u32) -> Vec<Operation> {
    let mut operations = vec![Operation::Context { context: ContextId(0) }, Operation::Enter { context: Object::Context(ContextId(0)) }];
    for number in 0..size {
        let variable = VariableId(number);
        let hash = Some(i64::from(number).wrapping_mul(0x9e37_79b9));
        operations.push(Operation::ContextVar { name: "v".into(), hash, default: None, variable });
        operations.push(Operation::VarSet { variable, value: Value::None, token: TokenId(number) });
    }
    operations
}

type Repeat = fn(u32, u32) -> Vec<Operation>;

const OPERATIONS: [(&str, Repeat); 7] = [
    ("get", |at, size| vec![Operation::VarGet { variable: VariableId(at % size), default: None }]),
    ("set", |at, size| vec![Operation::VarSet { variable: VariableId(at % size), value: Value::Missing, token: TokenId(size + at) }]),
    ("set + reset", |at, size| {
        let (variable, token) = (VariableId(at % size), TokenId(size + at));
        vec![Operation::VarSet { variable, value: Value::Missing, token }, Operation::VarReset { variable, token: Object::Token(token) }]
    }),
    ("copy", |at, _| vec![Operation::ContextCopy { source: ContextId(0), context: ContextId(1 + at) }]),
    ("copy + enter + set + exit", |at, size| {
        let context = ContextId(1 + at);
        vec![
            Operation::CopyContext { context },
            Operation::Enter { context: Object::Context(context) },
            Operation::VarSet { variable: VariableId(at % size), value: Value::Missing, token: TokenId(size + at) },
            Operation::Exit { context: Object::Context(context) },
        ]
    }),
    ("mapping get", |at, size| {
        vec![Operation::ContextGet { context: ContextId(0), key: Object::Variable(VariableId(at % size)), default: None }]
    }),
    ("mapping len", |_, _| vec![Operation::ContextLen { context: ContextId(0) }]),
];

fn steps(operations: Vec<Operation>) -> Vec<Step> {
    operations.into_iter().map(|operation| Step::new(ThreadId::MAIN, operation)).collect()
}

fn time(engine: &mut dyn Engine, steps: &[Step]) -> Duration {
    let started = Instant::now();
    // An engine that fails would be seen in the tests; here it would show as absurdly fast.
    let _ = black_box(engine.run(black_box(steps), Observe::Every(usize::MAX)));
    started.elapsed()
}

fn main() {
    let mut contenders: Vec<Box<dyn Engine>> = engines::NAMES.iter().filter_map(|name| engines::start(name).ok()).collect();
    print!("{:<28}{:>6}", "nanoseconds an operation", "size");
    for contender in &contenders {
        let identity = contender.identity();
        print!("{:>20}", format!("{} {}", identity.name, identity.version));
    }
    println!("{:>24}", "first / optimized");
    for (name, repeat) in OPERATIONS {
        for size in SIZES {
            let setup = steps(prepared(size));
            let mut operations = prepared(size);
            operations.extend((0..REPEATED).flat_map(|at| repeat(at, size)));
            let whole = steps(operations);
            let mut samples = vec![Vec::new(); contenders.len()];
            for _ in 0..ROUNDS {
                for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
                    let (setup, whole) = (time(contender.as_mut(), &setup), time(contender.as_mut(), &whole));
                    samples.push(whole.saturating_sub(setup));
                }
            }
            let medians = samples.iter_mut().map(|samples| {
                samples.sort_unstable();
                samples[ROUNDS / 2].as_nanos() as f64 / f64::from(REPEATED)
            });
            let medians: Vec<_> = medians.collect();
            print!("{name:<28}{size:>6}");
            for median in &medians {
                print!("{median:>20.1}");
            }
            let ratios: Vec<_> = medians.iter().map(|median| format!("{:.2}", median / medians[1])).collect();
            println!("{:>24}", ratios.join(" : "));
        }
    }
}
