//! What is drawn once a trace (swarm testing), and the genome that proptest draws and shrinks.

use contextvars_spec::Version;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::hashes::HashFamily;

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
    pub hashes: HashFamily,
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
    /// Whether values and names have programs.
    pub programs: bool,
    /// The newest Python whose operations the trace may use.
    pub python: Version,
}

/// What proptest draws and shrinks.
#[derive(Clone, Debug)]
pub struct Genome {
    /// What holds for the whole trace.
    pub settings: Settings,
    /// One number a step.
    pub genes: Vec<u64>,
}

/// Genomes of up to `length` steps for engines of which the oldest follows `python`.
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
    let shape = (variables, 1usize..=6, prop_oneof![4 => Just(1usize), 1 => 2usize..=3], 2usize..=12);
    let settings =
        (
            left_out,
            select(&HashFamily::ALL[..]),
            shape,
            prop::bool::weighted(0.03),
            prop::bool::weighted(0.2),
            prop::bool::weighted(f64::from(programs.min(100)) / 100.0),
            newest,
        )
            .prop_map(|(left_out, hashes, (variables, values, threads, contexts), unsteered, watchful, programs, python)| {
                Settings { left_out, hashes, variables, values, threads, contexts, unsteered, watchful, programs, python }
            });
    (settings, vec(any::<u64>(), 1..=length)).prop_map(|(settings, genes)| Genome { settings, genes })
}
