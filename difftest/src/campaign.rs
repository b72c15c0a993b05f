//! A run of many generated traces.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contextvars_spec::{Engine, EngineError, Identity, Provenance, RuleSet, Step, Trace, Version, load_trace};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use thiserror::Error;

use crate::coverage::{Follower, Met};
use crate::engines::Unavailable;
use crate::generate::{Genome, Grown, genomes, grow};
use crate::hang::{self, Begun, Watch};
use crate::laws::Checked;
use crate::lockstep::{self, Divergence};
use crate::shard::Shard;
use crate::{minimize, save};

/// How many genes a trace grows from at the most, before it looks at everything. Longer traces meet
/// few further situations and shrink more slowly; shorter ones build too little state.
pub const LENGTH: usize = 160;

/// How many genes the traces of a run's first cases grow from at the most, so many cases each: what a
/// short trace shows needs no long one, and has less to lose when it is shrunk.
const FIRST_LENGTHS: [usize; 8] = [8, 12, 16, 24, 32, 48, 64, 96];

/// How many cases have each of the first lengths: enough to meet what few steps can show, and done in
/// a twentieth of a second.
const CASES_OF_A_LENGTH: u64 = 128;

/// How many cases a run has before its traces have their full length.
pub const SHORT: u64 = FIRST_LENGTHS.len() as u64 * CASES_OF_A_LENGTH;

/// In one trace of so many it is followed which situations of CPython's trie it meets: the shape is
/// built again for that, which takes about as long as generating the trace.
pub const FOLLOW: u64 = 8;

/// How many traces of a hundred have user code that operations call back into: it takes its time, and
/// only engines in processes of their own are given it.
pub const PROGRAMS: u32 = 4;

/// When a run ends by itself.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many cases, those of the other shards counted.
    Cases(u64),
    /// After so much time.
    Elapsed(Duration),
    /// After the first counterexample, or after so much time without one.
    Found(Duration),
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When to end.
    pub until: Until,
    /// The seed: the same seed generates the same cases, in whatever number of jobs.
    pub seed: u64,
    /// Which part of the run's cases is to be run.
    pub shard: Shard,
    /// The cases of that part which are run before all others, in this order: those that a run which ended early
    /// was at. Cases do not depend on one another.
    pub first: Vec<u64>,
    /// How many threads work on cases.
    pub jobs: usize,
    /// Where counterexamples go.
    pub out: PathBuf,
    /// How many traces of a hundred have programs; [`PROGRAMS`] by default.
    pub programs: u32,
    /// In one trace of so many it is followed which situations of CPython's trie it meets.
    pub follow: u64,
}

impl Plan {
    /// Whether the run has such a case.
    #[must_use]
    pub fn has(&self, case: u64) -> bool {
        self.shard.has(case) && !matches!(self.until, Until::Cases(cases) if case >= cases)
    }

    /// The cases of the run, each once; for ever, but for a number of them.
    fn cases(&self) -> impl Iterator<Item = u64> + '_ {
        let is_first: BTreeSet<_> = self.first.iter().copied().filter(|case| self.has(*case)).collect();
        let mut left = is_first.clone();
        let first = self.first.iter().copied().filter(move |case| left.remove(case));
        let others = (0..).map_while(|own| self.shard.case(own)).take_while(|case| self.has(*case));
        first.chain(others.filter(move |case| !is_first.contains(case)))
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many traces ran.
    pub cases: u64,
    /// How many operations they had.
    pub operations: u64,
    /// The rules that they exercised.
    pub rules: RuleSet,
    /// The situations of CPython's trie that the traces met which were followed.
    pub situations: Met,
    /// Who took part, with versions.
    pub engines: Vec<Identity>,
    /// How many traces an engine was left out of, since they require what it has not.
    pub left_out: BTreeMap<String, u64>,
    /// How often each law was checked; an engine that answers throughout as the first is not checked again.
    pub laws: Checked,
    /// How many traces met a known fault of an engine, which was not compared from there on.
    pub excused: BTreeMap<String, u64>,
    /// How many traces meet a known fault of CPython, whoever takes part.
    pub faulty: u64,
    /// How many traces the rules leave open from some step on ([`contextvars_spec::Run::open_from`]).
    pub left_open: u64,
    /// The counterexamples: signature and file.
    pub found: BTreeMap<String, PathBuf>,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// A run could not be carried out.
#[derive(Debug, Error)]
pub enum CampaignError {
    /// An engine does not start.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// An engine failed on a trace.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No trace can be drawn.
    #[error("cannot generate a trace: {0}; report this as a bug")]
    Generation(String),
    /// A counterexample cannot be saved.
    #[error("cannot save the counterexample of case {case} of seed {seed} in `{}`: {source}; name another folder with `--out`", folder.display())]
    Save {
        /// The folder.
        folder: PathBuf,
        /// The seed that generates it again.
        seed: u64,
        /// The number of its case.
        case: u64,
        /// Why.
        source: io::Error,
    },
}

/// A run ended before its time.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct Aborted {
    /// What it had come to: counterexamples are saved as they are found.
    pub so_far: Box<Outcome>,
    /// Why.
    #[source]
    pub error: CampaignError,
}

/// Makes the engines of a worker; the first is the one that the others are held to.
pub type MakeEngines<'a> = &'a (dyn Fn() -> Result<Vec<Box<dyn Engine>>, Unavailable> + Sync);

/// Runs generated traces on the engines until the plan, or `interrupt`, says to end. What is being shrunk then is
/// saved as it is.
///
/// `progress` is told the cases and operations so far, after every case; `watch` of a case that begins, and of one
/// that is not answered.
///
/// # Errors
///
/// If an engine fails or a counterexample cannot be saved. What the other workers have begun is
/// finished first.
pub fn run(
    plan: &Plan,
    engines: MakeEngines<'_>,
    interrupt: &AtomicBool,
    progress: &(dyn Fn(u64, u64) + Sync),
    watch: Option<&Watch<'_>>,
) -> Result<Outcome, Box<Aborted>> {
    let started = Instant::now();
    let cases = Mutex::new(plan.cases());
    let ended = AtomicBool::new(false);
    let saving = Mutex::new(());
    let total = Mutex::new(Outcome::default());
    let begun: Vec<_> = (0..plan.jobs.max(1)).map(|_| Arc::<Begun>::default()).collect();
    let work = |number: usize, begun: &Arc<Begun>| -> Result<(), CampaignError> {
        hang::watched(begun);
        let mut engines = engines()?;
        let identities: Vec<_> = engines.iter().map(|engine| engine.identity()).collect();
        let python = engines.iter().map(|engine| engine.python_version()).min().unwrap_or(Version::V3_14);
        let lengths = FIRST_LENGTHS.into_iter().chain([LENGTH]);
        let strategies: Vec<_> = lengths.map(|length| genomes(length, python, plan.programs)).collect();
        let mut own = Outcome::default();
        let mut work = || -> Result<(), CampaignError> {
            let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some(case) = next() {
                let over = match plan.until {
                    Until::Cases(_) => false,
                    Until::Elapsed(limit) | Until::Found(limit) => started.elapsed() >= limit,
                };
                if over || interrupt.load(Ordering::Relaxed) || ended.load(Ordering::Relaxed) {
                    break;
                }
                if let Some(watch) = watch {
                    (watch.begins)(number, case);
                }
                let length = strategies.len().min((case / CASES_OF_A_LENGTH) as usize + 1) - 1;
                let (operations, is_shown) = run_case(plan, case, &strategies[length], &mut engines, interrupt, &saving, &mut own)?;
                progress(1, operations);
                if matches!(plan.until, Until::Found(_)) && is_shown {
                    ended.store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        let result = work();
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        total.cases += own.cases;
        total.operations += own.operations;
        total.rules.extend(&own.rules);
        total.situations.extend(&own.situations);
        total.laws.extend(&own.laws);
        total.engines = identities;
        total.found.extend(own.found);
        total.faulty += own.faulty;
        total.left_open += own.left_open;
        for (fault, count) in own.excused {
            *total.excused.entry(fault).or_default() += count;
        }
        for (name, count) in own.left_out {
            *total.left_out.entry(name).or_default() += count;
        }
        result
    };
    let work = |number, begun| work(number, begun).inspect_err(|_| ended.store(true, Ordering::Relaxed));
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = begun.iter().enumerate().map(|(number, begun)| scope.spawn(move || work(number, begun))).collect();
        let (all, begun) = (AtomicBool::new(false), &begun);
        std::thread::scope(|scope| {
            let watcher = watch.map(|watch| scope.spawn(|| watch.over(begun, &all)));
            let results = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            all.store(true, Ordering::Relaxed);
            watcher.inspect(|watcher| watcher.thread().unpark());
            results
        })
    });
    let results = results.into_iter().map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    let failure = results.filter_map(Result::err).next();
    let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    total.elapsed = started.elapsed();
    total.interrupted = interrupt.load(Ordering::Relaxed);
    match failure {
        Some(error) => Err(Box::new(Aborted { so_far: Box::new(total), error })),
        None => Ok(total),
    }
}

/// The source of chance of one case, the same for the same seed in whatever job it runs.
pub(crate) fn runner(seed: u64, case: u64) -> TestRunner {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    // Never all zero, which XorShift has no successor for.
    bytes[8..].copy_from_slice(&(case.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::XorShift, &bytes))
}

/// Runs a case. Answers how many operations it has, and whether it shows a divergence, by itself as far as the
/// engines can tell.
fn run_case(
    plan: &Plan,
    case: u64,
    strategy: &impl Strategy<Value = Genome>,
    engines: &mut [Box<dyn Engine>],
    interrupt: &AtomicBool,
    saving: &Mutex<()>,
    own: &mut Outcome,
) -> Result<(u64, bool), CampaignError> {
    let _ends = hang::begin(case);
    let mut runner = runner(plan.seed, case);
    let mut tree = strategy.new_tree(&mut runner).map_err(|reason| CampaignError::Generation(reason.to_string()))?;
    let genome = tree.current();
    let observe = genome.settings.observe();
    let Grown { steps: grown, run, rules, changes } = grow(&genome, observe);
    if case.is_multiple_of(plan.follow.max(1)) {
        Follower::default().follow(&changes, &mut own.situations);
    }
    own.faulty += u64::from(!run.known_faults.is_empty());
    own.left_open += u64::from(run.open_from.is_some());
    let known = engines.first().is_some_and(|engine| engine.identity().name == "reference").then_some(run);
    let ran = lockstep::run(engines, &grown, observe, known)?;
    own.cases += 1;
    own.operations += grown.len() as u64;
    own.rules.extend(&rules);
    own.rules.extend(&ran.laws.rules());
    own.laws.extend(&ran.laws);
    for (identity, fault) in ran.excused {
        *own.excused.entry(format!("{} {fault}", identity.name)).or_default() += 1;
    }
    for identity in ran.left_out {
        *own.left_out.entry(identity.name).or_default() += 1;
    }
    let mut is_shown = false;
    if let Some(divergence) = ran.divergence {
        let alone = minimize::alone(&grown, observe, &divergence, engines)?;
        is_shown = alone.is_some();
        let (steps, divergence) = match alone {
            None => (grown.clone(), divergence),
            Some(divergence) => {
                let coarse = minimize::by_genes(&mut tree, &grown, &divergence, engines, interrupt);
                minimize::minimize(coarse.as_deref().unwrap_or(&grown), divergence, engines, interrupt)
            }
        };
        let mut trace = counterexample(steps, &divergence, engines);
        if let Some(provenance) = &mut trace.provenance {
            provenance.seed = Some(plan.seed);
            provenance.case = Some(case);
            provenance.settings = Some(format!("{:?}", genome.settings));
        }
        // One at a time, or a larger one could take the place of a smaller.
        let _saving = saving.lock().unwrap_or_else(PoisonError::into_inner);
        let path = keep_smallest(&plan.out, &trace, &divergence, engines).map_err(|source| CampaignError::Save {
            folder: plan.out.clone(),
            seed: plan.seed,
            case,
            source,
        })?;
        own.found.insert(divergence.signature(), path);
    }
    Ok((grown.len() as u64, is_shown))
}

/// Saves a counterexample, unless its place is taken by one that still shows the same and is no
/// larger. What stands there and is no trace is moved aside. Answers the file.
///
/// # Errors
///
/// If the folder cannot be made or written to.
pub fn keep_smallest(folder: &Path, trace: &Trace, divergence: &Divergence, engines: &mut [Box<dyn Engine>]) -> io::Result<PathBuf> {
    let signature = divergence.signature();
    let path = save::path_of(folder, &signature);
    match load_trace(&path) {
        Ok(old) => {
            let shown = minimize::diverges(&old.steps, divergence, engines).map(|divergence| divergence.signature());
            if shown == Some(signature) && save::rank(&old) <= save::rank(trace) {
                return Ok(path);
            }
        }
        Err(_) if path.exists() => std::fs::rename(&path, path.with_extension("json.bad"))?,
        Err(_) => {}
    }
    save::write(&path, trace)?;
    Ok(path)
}

/// The trace of a counterexample, with its provenance.
#[must_use]
pub fn counterexample(steps: Vec<Step>, divergence: &Divergence, engines: &[Box<dyn Engine>]) -> Trace {
    let mut trace = Trace::new(divergence.sentence(), steps);
    trace.rules = divergence.law.into_iter().collect();
    trace.provenance = Some(Provenance {
        seed: None,
        case: None,
        settings: None,
        engines: engines.iter().map(|engine| engine.identity()).collect(),
        step: divergence.difference.step,
        answers: divergence.answers.clone(),
        difference: divergence.difference.text.clone(),
        signature: divergence.signature(),
    });
    trace
}
