//! Engines of the tester's own process that do not answer. A thread cannot be stopped, so that the trace is
//! shrunk in processes that can.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use contextvars_spec::{Observe, Version};
use thiserror::Error;

use crate::campaign::{self, CampaignError, Plan};
use crate::engines::{self, Unavailable};
use crate::lockstep;

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

/// A case that is not answered.
#[derive(Clone, Copy, Debug)]
pub struct Hung {
    /// Its number.
    pub case: u64,
    /// How many cases had been begun.
    pub cases: u64,
    /// How long the run had gone on.
    pub elapsed: Duration,
}

/// Notices an engine that does not answer.
pub struct Watch<'a> {
    /// How long one may take to answer a trace.
    pub patience: Duration,
    /// Is told of the first case of which one takes longer. The run does not end by itself then.
    pub hung: &'a (dyn Fn(Hung) + Sync),
}

impl Watch<'_> {
    /// Watches until all workers have ended.
    pub(crate) fn over(&self, begun: &[Arc<Begun>], cases: &AtomicU64, started: Instant, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            if let Some(case) = begun.iter().find_map(|begun| begun.late(longest(self.patience))) {
                return (self.hung)(Hung { case, cases: cases.load(Ordering::Relaxed), elapsed: started.elapsed() });
            }
            std::thread::park_timeout(LOOKS.min(self.patience));
        }
    }
}

/// How long it takes until an engine is late: one in a process of its own has ended by then.
fn longest(patience: Duration) -> Duration {
    patience.saturating_add(patience / 2)
}

/// What hangs cannot be shown.
#[derive(Debug, Error)]
pub enum Unshown {
    /// The model hangs with which traces are grown.
    #[error(
        "the reference does not answer case {case} of seed {seed} in {patience:?}, and without it there is no trace; hold it to another engine by a tester that is in order: `--engines optimized,child='BROKEN/difftest serve --engine reference'`"
    )]
    Reference {
        /// The case.
        case: u64,
        /// The seed that draws it.
        seed: u64,
        /// How long was waited.
        patience: Duration,
    },
    /// A new process answers.
    #[error("case {case} of seed {seed} is not answered in {patience:?}, and by itself in a new process it is; run again with `--jobs 1`")]
    Alone {
        /// The case.
        case: u64,
        /// The seed that draws it.
        seed: u64,
        /// How long was waited.
        patience: Duration,
    },
    /// The engines do not start in processes of their own.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// No trace, or no place for it.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
}

/// Whether an engine answers in the tester's own process.
fn is_here(name: &str) -> bool {
    engines::NAMES.contains(&name) && name != "coq"
}

/// The engines of this process, but for the reference, in processes of their own, one for every trace:
/// `program` is this one.
#[must_use]
pub fn in_processes(names: &[String], program: &str) -> Vec<String> {
    let program = shlex::try_quote(program).map_or_else(|_| program.to_owned(), Into::into);
    let apart = |name: &String| match name.as_str() {
        name if is_here(name) && name != "reference" => format!("fresh={program} serve --engine {name}"),
        name => name.to_owned(),
    };
    names.iter().map(apart).collect()
}

/// Shrinks the trace of a case that engines hang on, and saves it. The engines named are in processes of their
/// own, all but the reference. Answers signature and file.
///
/// # Errors
///
/// If no engine hangs on the trace in a process of its own, or it cannot be grown or saved.
pub fn shrink(plan: &Plan, case: u64, names: &[String], patience: Duration) -> Result<(String, PathBuf), Unshown> {
    let (sender, shrunk) = channel();
    let begun = Arc::<Begun>::default();
    let (of_thread, of_plan, of_names) = (Arc::clone(&begun), plan.clone(), names.to_vec());
    // The model may be what hangs.
    std::thread::spawn(move || {
        watched(&of_thread);
        let _ends = begin(case);
        // Nobody receives any more where this came too late.
        let _ = sender.send(shrink_here(&of_plan, case, &of_names, patience));
    });
    loop {
        match shrunk.recv_timeout(LOOKS) {
            Ok(shrunk) => return shrunk,
            Err(RecvTimeoutError::Timeout) if begun.late(longest(patience)).is_none() => {}
            Err(_) => return Err(Unshown::Reference { case, seed: plan.seed, patience }),
        }
    }
}

fn shrink_here(plan: &Plan, case: u64, names: &[String], patience: Duration) -> Result<(String, PathBuf), Unshown> {
    let mut engines = names.iter().map(|name| engines::start_with(name, patience)).collect::<Result<Vec<_>, _>>()?;
    let python = engines.iter().map(|engine| engine.python_version()).min().unwrap_or(Version::V3_14);
    let (steps, settings) = campaign::trace_of(plan, case, python)?;
    let ran = lockstep::run(&mut engines, &steps, Observe::Every(usize::MAX), None).map_err(CampaignError::from)?;
    let Some(divergence) = ran.divergence else {
        return Err(Unshown::Alone { case, seed: plan.seed, patience });
    };
    let (steps, divergence) = campaign::minimize(&steps, divergence, &mut engines);
    let mut trace = campaign::counterexample(steps, &divergence, &engines);
    campaign::come_from(&mut trace, plan, case, &settings);
    let signature = divergence.signature();
    let path = campaign::keep_smallest(&plan.out, &trace, &divergence, &mut engines).map_err(|source| CampaignError::Save {
        folder: plan.out.clone(),
        seed: plan.seed,
        case,
        source,
    })?;
    Ok((signature, path))
}
