//! What other crates offer for context variables.

use std::hint::black_box;
use std::sync::Arc;

use crate::contexts::{Contender, Operation, Operation::*};

/// A value of OpenTelemetry's context, which is found by its type.
struct Numbered<const NUMBER: usize>(Arc<u64>);

/// OpenTelemetry's context: it can neither set in place nor reset other than by a guard.
pub struct OpenTelemetry {
    value: Arc<u64>,
    guard: Option<opentelemetry::ContextGuard>,
}

impl OpenTelemetry {
    /// A context of so many variables, entered; at most eight, since each is a type.
    pub fn new(size: usize) -> Option<Self> {
        if size > 8 {
            return None;
        }
        let value = Arc::new(0);
        let mut context = opentelemetry::Context::new();
        macro_rules! bind {
            ($($number:literal)*) => {
                $(if size > $number { context = context.with_value(Numbered::<$number>(Arc::clone(&value))); })*
            };
        }
        bind!(0 1 2 3 4 5 6 7);
        let guard = Some(context.attach());
        Some(Self { value, guard })
    }
}

fn opentelemetry_get<const NUMBER: usize>() {
    opentelemetry::Context::map_current(|context| black_box(context.get::<Numbered<NUMBER>>().map(|value| *value.0)));
}

impl Contender for OpenTelemetry {
    fn name(&self) -> String {
        "opentelemetry".to_owned()
    }

    fn run(&mut self, operation: Operation, repeats: u64) -> bool {
        use opentelemetry::Context;
        debug_assert!(self.guard.is_some(), "the context is attached");
        for _ in 0..repeats {
            match operation {
                Get => opentelemetry_get::<0>(),
                SetReset => drop(Context::map_current(|context| context.with_value(Numbered::<0>(Arc::clone(&self.value)))).attach()),
                CopyDrop => drop(black_box(Context::current())),
                EnterExit => drop(Context::current().attach()),
                TaskSpawn => {
                    let _task = Context::current().attach();
                    let one = Context::map_current(|context| context.with_value(Numbered::<0>(Arc::clone(&self.value)))).attach();
                    let two = Context::map_current(|context| context.with_value(Numbered::<1>(Arc::clone(&self.value)))).attach();
                    let three = Context::map_current(|context| context.with_value(Numbered::<2>(Arc::clone(&self.value)))).attach();
                    for _ in 0..4 {
                        opentelemetry_get::<0>();
                        opentelemetry_get::<1>();
                        opentelemetry_get::<2>();
                        opentelemetry_get::<3>();
                        opentelemetry_get::<4>();
                    }
                    drop(three);
                    drop(two);
                    drop(one);
                }
                _ => return false,
            }
        }
        true
    }
}

tokio::task_local! {
    static LOCAL: Arc<u64>;
}

/// Tokio's task-local: one variable, bound for the time of a call; contexts cannot be copied.
pub struct TaskLocal {
    value: Arc<u64>,
}

impl TaskLocal {
    /// The one variable.
    pub fn new() -> Self {
        Self { value: Arc::new(0) }
    }
}

impl Default for TaskLocal {
    fn default() -> Self {
        Self::new()
    }
}

impl Contender for TaskLocal {
    fn name(&self) -> String {
        "tokio task_local".to_owned()
    }

    fn run(&mut self, operation: Operation, repeats: u64) -> bool {
        match operation {
            Get => LOCAL.sync_scope(Arc::clone(&self.value), || {
                for _ in 0..repeats {
                    LOCAL.with(|value| black_box(**value));
                }
            }),
            GetShared => LOCAL.sync_scope(Arc::clone(&self.value), || {
                for _ in 0..repeats {
                    drop(black_box(LOCAL.get()));
                }
            }),
            SetReset => {
                for _ in 0..repeats {
                    LOCAL.sync_scope(Arc::clone(&self.value), || black_box(()));
                }
            }
            _ => return false,
        }
        true
    }
}
