//! Weighs maps and contexts with an allocator that counts, and prints the figures as JSON.

use std::sync::Arc;

use contextvars_bench::maps::Keys;
use contextvars_bench::memory::SIZES;
use contextvars_bench::peers::{self, Map};
use contextvars_bench::results::{Figure, OURS};
use contextvars_optimized::{Context, ContextVar, Hamt, ThreadState};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// So many of a thing are weighed together, so that what is kept for reuse does not show.
const MANY: usize = 2048;
/// So many entries do at least, where things are large.
const ENTRIES: usize = 1 << 16;

fn live() -> f64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}

fn weigh<T>(many: usize, make: impl Fn() -> T) -> f64 {
    let mut made = Vec::with_capacity(many);
    let before = live();
    made.extend((0..many).map(|_| make()));
    (live() - before) / many as f64
}

struct Scale(Vec<Figure>);

impl Scale {
    fn note(&mut self, operation: &str, size: usize, contender: &str, value: f64) {
        let (section, operation, contender) = ("memory".to_owned(), operation.to_owned(), contender.to_owned());
        self.0.push(Figure { section, operation, size, contender, value });
    }

    fn map<M: Map>(&mut self, keys: &Keys) {
        let size = keys.present.len();
        let values: Vec<_> = (0..size as u64).map(M::Value::from).collect();
        let build = || {
            let mut map = M::empty();
            for (variable, value) in keys.present.iter().zip(&values) {
                map.insert(variable.id(), value.clone());
            }
            map
        };
        let bytes = weigh(MANY.min(ENTRIES.div_ceil(size)), build);
        self.note("bytes an entry", size, M::NAME, bytes / size as f64);
        let map = build();
        let changed = || {
            let mut clone = map.clone();
            clone.insert(keys.present[size / 2].id(), values[0].clone());
            clone
        };
        self.note("bytes of a changed copy", size, M::NAME, weigh(MANY, changed));
    }
}

fn main() -> anyhow::Result<()> {
    let mut scale = Scale(Vec::new());
    for size in SIZES {
        let keys = Keys::new(size, 1);
        scale.map::<Hamt<u64>>(&keys);
        scale.map::<peers::Imbl>(&keys);
        scale.map::<peers::Im>(&keys);
        scale.map::<peers::RpdsArc>(&keys);
        scale.map::<peers::RpdsRc>(&keys);
        scale.map::<peers::HashMapOnWrite>(&keys);
        scale.map::<peers::BTreeMapOnWrite>(&keys);
    }
    scale.note("bytes of an empty context", 0, OURS, weigh(MANY, Context::<u64>::new));
    for size in [8, 1024] {
        let (thread, context) = (ThreadState::new(), Context::new());
        thread.enter(&context)?;
        let variables: Vec<_> = (0..size).map(|_| ContextVar::new("v")).collect();
        for variable in &variables {
            thread.set(variable, 0);
        }
        let value = Arc::new(1);
        scale.note("bytes of a copied context", size, OURS, weigh(MANY, || context.copy()));
        let changed = || {
            let copy = context.copy();
            assert!(thread.enter(&copy).is_ok());
            thread.set_shared(&variables[0], Arc::clone(&value));
            assert!(thread.exit(&copy).is_ok());
            copy
        };
        scale.note("bytes of a changed context", size, OURS, weigh(MANY, changed));
        thread.exit(&context)?;
    }
    serde_json::to_writer(std::io::stdout(), &scale.0)?;
    Ok(())
}
