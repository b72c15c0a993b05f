//! Engines of the tester's own process that do not answer. A thread cannot be stopped, so that they are asked
//! again in processes that can.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engines;

/// How often a watch looks, at the least.
const LOOKS: Duration = Duration::from_millis(100);

/// The case that a worker is at, and since when whoever answers it now has been asked.
#[derive(Debug, Default)]
pub(crate) struct Begun(Mutex<Option<(u64, Instant)>>);

impl Begun {
    /// A case begins, and is answered when the guard goes.
    fn case(&self, case: u64) {
        *self.lock() = Some((case, Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The case, if whoever was asked has not answered for longer than that.
    fn late(&self, patience: Duration) -> Option<u64> {
        self.lock().filter(|(_, asked)| asked.elapsed() > patience).map(|(case, _)| case)
    }
}

thread_local! {
    /// What is watched of this thread, if it is.
    static WATCHED: RefCell<Option<Arc<Begun>>> = const { RefCell::new(None) };
}

/// From now on what this thread does for cases is watched.
pub(crate) fn watched(begun: &Arc<Begun>) {
    WATCHED.set(Some(Arc::clone(begun)));
}

/// A case begins, and ends when the guard goes.
pub(crate) fn begin(case: u64) -> impl Drop {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            WATCHED.with_borrow(|begun| begun.as_ref().map(|begun| begun.lock().take()));
        }
    }
    WATCHED.with_borrow(|begun| begun.as_ref().map(|begun| begun.case(case)));
    Ends
}

/// An engine is asked, or the model, of which nobody knows whether it will answer.
pub(crate) fn ask() {
    WATCHED.with_borrow(|begun| {
        if let Some(begun) = begun
            && let Some((_, asked)) = begun.lock().as_mut()
        {
            *asked = Instant::now();
        }
    });
}

/// Notices an engine that does not answer, and tells what would be lost with a process that one ends.
pub struct Watch<'a> {
    /// How long one may take to answer a trace.
    pub patience: Duration,
    /// Is told the first case for which one takes longer. The run does not end by itself then.
    pub hung: &'a (dyn Fn(u64) + Sync),
    /// Is told the number of a worker, from 0, and the case that it begins.
    pub begins: &'a (dyn Fn(usize, u64) + Sync),
}

impl Watch<'_> {
    /// Watches until all workers have ended.
    pub(crate) fn over(&self, begun: &[Arc<Begun>], ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            if let Some(case) = begun.iter().find_map(|begun| begun.late(longest(self.patience))) {
                return (self.hung)(case);
            }
            std::thread::park_timeout(LOOKS.min(self.patience));
        }
    }
}

/// How long it takes until an engine is late: one in a process of its own has ended by then.
fn longest(patience: Duration) -> Duration {
    patience.saturating_add(patience / 2)
}

/// The engines with those under test that answer in this process in processes of their own: `program` is this one.
#[must_use]
pub fn apart(names: &[String], program: &str) -> Vec<String> {
    let program = shlex::try_quote(program).map_or_else(|_| program.to_owned(), Into::into);
    let apart = |name: &String| if answers_here(name) { format!("child={program} serve --engine {name}") } else { name.clone() };
    names.iter().map(apart).collect()
}

/// Whether an engine under test answers in this process.
#[must_use]
pub fn answers_here(name: &str) -> bool {
    engines::NAMES.contains(&name) && name != "reference" && name != "coq"
}
