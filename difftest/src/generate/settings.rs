//! What is drawn once a trace (swarm testing), and the genome that proptest draws and shrinks.

use contextvars_spec::{Observe, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::hashes::{Crowd, Hashes};
use super::tide::Tide;

/// A group of operations that a trace may have or leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say what the operations are about")]
pub enum Theme {
    Get,
    Set,
    Reset,
    TokenAttributes,
    Copy,
    Run,
    EnterExit,
    Mapping,
    Iteration,
    Equality,
    Repr,
    Surface,
    WeakReferences,
    Deletion,
    Capi,
    Threads,
    Cache,
    ContextVer,
    Modern,
}

impl Theme {
    /// Every theme with its weight: how often it is chosen against the others.
    pub const WEIGHTS: [(Self, usize); 19] = [
        (Self::Get, 14),
        (Self::Set, 18),
        (Self::Reset, 12),
        (Self::TokenAttributes, 3),
        (Self::Copy, 7),
        (Self::Run, 10),
        (Self::EnterExit, 10),
        (Self::Mapping, 9),
        (Self::Iteration, 9),
        (Self::Equality, 4),
        (Self::Repr, 1),
        (Self::Surface, 2),
        (Self::WeakReferences, 3),
        (Self::Deletion, 3),
        (Self::Capi, 5),
        (Self::Threads, 2),
        (Self::Cache, 4),
        (Self::ContextVer, 2),
        (Self::Modern, 4),
    ];
}

/// What holds for a whole trace.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One bit a theme, in the order of [`Theme::WEIGHTS`]: set where it is left out.
    pub left_out: u32,
    /// How hashes are drawn.
    pub hashes: Hashes,
    /// How many variables the trace makes at the most.
    pub variables: usize,
    /// How many values the trace makes at the most.
    pub values: usize,
    /// How many threads there are at the most.
    pub threads: usize,
    /// How many contexts are held before old ones are used again.
    pub contexts: usize,
    /// Whether CPython chooses some hashes itself (`PyContextVar_New`), so that order is not compared.
    pub unsteered: bool,
    /// Whether watchers are added faster than they are cleared.
    pub watchful: bool,
    /// Whether every other step is another thread's, so that contexts go from one to the other.
    pub restless: bool,
    /// Whether values and names have programs.
    pub programs: bool,
    /// The counts of bindings between which the current context rises and falls, if it does.
    pub tide: Option<Tide>,
    /// Whether nearly every write is followed by a copy, and all copies are kept and read at the end.
    pub versions: bool,
    /// Whether many variables are looked up over and over at the end.
    pub rounds: bool,
    /// Whether many objects are dropped at once now and then.
    pub churn: bool,
    /// How many steps a gene makes.
    pub burst: usize,
    /// The newest Python whose operations the trace may use.
    pub python: Version,
}

/// What proptest draws and shrinks.
#[derive(Clone, Debug)]
pub struct Genome {
    /// What holds for the whole trace.
    pub settings: Settings,
    /// One number a step, or a burst of steps.
    pub genes: Vec<u64>,
}

/// What a trace is for, with how often it is drawn.
#[derive(Clone, Copy, Debug)]
enum Plot {
    /// Every kind of operation on a few objects.
    Mixed,
    /// Sets and resets on one context, over the boundaries of nodes.
    Tide(Tide, Crowd),
    /// As mixed, and then many variables that are looked up over and over.
    Rounds,
    /// Thousands of variables and steps.
    Large,
}

/// The counts of bindings at which a tide turns: a few, and those around CPython's boundary of
/// sixteen and the width of a node, and twice that with some to spare.
const HIGH: [usize; 17] = [2, 3, 4, 6, 8, 16, 17, 17, 18, 20, 31, 32, 33, 34, 40, 48, 80];

/// How far a tide falls.
const LOW: [usize; 7] = [0, 0, 1, 14, 15, 16, 30];

/// How many steps a gene makes in a large trace, so that a few genes make thousands.
const BURST: usize = 64;

fn plots() -> impl Strategy<Value = Plot> {
    let tide = (select(&HIGH[..]), select(&LOW[..]), select(&[50, 75, 95][..]), Crowd::any())
        .prop_map(|(high, low, share, crowd)| Plot::Tide(Tide { low: low.min(high - 1), high, share }, crowd));
    prop_oneof![5_300 => Just(Plot::Mixed), 700 => tide, 12 => Just(Plot::Rounds), 12 => Just(Plot::Large)]
}

/// Genomes of up to `length` genes for engines of which the oldest follows `python`.
///
/// One trace in ten uses newer operations all the same, so that the other engines meet them.
/// `programs` percent of the traces have values and names with programs.
pub fn genomes(length: usize, python: Version, programs: u32) -> impl Strategy<Value = Genome> {
    let themes = (1u32 << Theme::WEIGHTS.len()) - 1;
    // Half the themes are left out of a trace at the most: bugs need few kinds of operation, often
    // repeated, and sometimes all of them together.
    let left_out = prop_oneof![2 => Just(0), 3 => (0..=themes, 0..=themes).prop_map(|(left, right)| left & right)];
    // Beyond sixteen variables a node of CPython's trie changes its kind.
    let variables = prop_oneof![6 => 1usize..=8, 2 => 9usize..=20, 1 => 21usize..=40];
    let newest = prop_oneof![9 => Just(python), 1 => Just(Version::V3_14)];
    let shape = (variables, 1usize..=6, prop_oneof![3 => Just(1usize), 1 => 2usize..=3], 2usize..=12);
    let weighted = prop::bool::weighted;
    let programs = weighted(f64::from(programs.min(100)) / 100.0);
    let habits = (weighted(0.03), weighted(0.2), weighted(0.02), weighted(0.05), weighted(0.7), weighted(0.3), programs);
    let settings = (left_out, Hashes::any(), shape, habits, newest, plots()).prop_map(
        |(
            left_out,
            hashes,
            (variables, values, threads, contexts),
            (unsteered, watchful, versions, churn, stays, restless, programs),
            python,
            plot,
        )| {
            let settings = Settings {
                left_out,
                hashes,
                variables,
                values,
                threads,
                contexts,
                unsteered,
                watchful,
                restless,
                programs,
                tide: None,
                versions: false,
                rounds: false,
                churn: false,
                burst: 1,
                python,
            };
            settings.with(plot, versions, churn, stays)
        },
    );
    (settings, vec(any::<u64>(), 1..=length)).prop_map(|(settings, genes)| Genome { settings, genes })
}

impl Settings {
    /// How many steps lie between two observations of the whole state: a fault is located again by
    /// the shrinker, so that here it is only to be noticed. Where much is held it is seldom, since an
    /// observation lists every binding of every context.
    #[must_use]
    pub fn observe(&self) -> Observe {
        Observe::Every(if self.versions || self.burst == BURST { 4_096 } else { 64 })
    }

    /// The settings as the plot needs them.
    fn with(self, plot: Plot, versions: bool, churn: bool, stays: bool) -> Self {
        let leave_out = |themes: &[Theme]| themes.iter().fold(0, |bits, &theme| bits | 1 << (theme as u32));
        let switching = if stays { leave_out(&[Theme::Run, Theme::EnterExit, Theme::Threads]) } else { 0 };
        // The model asks after every step what still leads to a value, which of large states takes long.
        let plot = if self.programs { Plot::Mixed } else { plot };
        let mut settings = match plot {
            Plot::Mixed => self,
            Plot::Rounds => Self { rounds: true, ..self },
            Plot::Tide(tide, crowd) => Self {
                left_out: self.left_out | switching,
                hashes: if tide.high < 15 { self.hashes } else { self.hashes.crowded(crowd, tide.high) },
                // A few more than the tide needs, which part or collide below the others.
                variables: tide.high + self.variables.min(4),
                threads: if stays { 1 } else { self.threads },
                tide: Some(tide),
                burst: 2,
                ..self
            },
            Plot::Large => Self {
                left_out: self.left_out | switching,
                variables: 500 * self.variables.min(8),
                contexts: self.contexts.min(4),
                threads: 1,
                tide: Some(Tide { low: 0, high: 500 * self.variables.min(8), share: 80 }),
                burst: BURST,
                ..self
            },
        };
        settings.churn = churn;
        settings.versions = versions && !settings.programs && !matches!(plot, Plot::Large);
        if settings.versions {
            settings.left_out |= leave_out(&[Theme::Deletion]);
            settings.contexts = usize::MAX;
        }
        settings
    }
}
