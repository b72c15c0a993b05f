//! The arguments of `difftest`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use contextvars_difftest::engines::python::LeftOut;
use contextvars_difftest::engines::{self, Unavailable};
use contextvars_difftest::hang;
use contextvars_difftest::shard::Shard;
use contextvars_spec::Engine;

/// Runs operation traces through models of CPython's contextvars and through CPython itself.
///
/// Exit status: 0 agreement, 1 divergence, 2 bad usage or input.
#[derive(Debug, Parser)]
#[command(
    name = "difftest",
    version,
    after_help = "Examples:\n  difftest run\n  difftest run --time 60s --engines reference,optimized\n  difftest replay traces/conformance\n  difftest show traces/conformance/RESET-2.json"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generates traces and runs them on every engine.
    #[command(
        after_help = "Examples:\n  difftest run --cases 1000 --seed 7\n  difftest run --time 10m --jobs 2 --json\n  difftest run --cases 1000000 --seed 7 --shard 2/8 --out shard2/found\n  difftest run --engines reference,pythons-dev --programs 100 --cases 2000"
    )]
    Run(RunArguments),
    /// Runs saved traces again, and compares with what they record.
    #[command(
        after_help = "Examples:\n  difftest replay traces\n  difftest replay traces/found/x.json --engines reference,cpython\n  difftest replay traces/conformance --engines reference,pythons"
    )]
    Replay {
        /// Trace files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        engines: EngineArguments,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Joins folders of counterexamples: of every signature the smallest.
    #[command(
        after_help = "Files that are no counterexamples are named and left where they are; the exit status is 2 then.\n\nExample:\n  difftest merge shard1/found shard2/found --out traces/found"
    )]
    Merge {
        /// Folders of traces, or single ones.
        #[arg(required = true)]
        from: Vec<PathBuf>,
        /// Where the traces go; those that it has take part.
        #[arg(long)]
        out: PathBuf,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Makes a failing trace as small as it gets.
    #[command(after_help = "Example:\n  difftest shrink failing.json -o small.json")]
    Shrink {
        /// The trace.
        file: PathBuf,
        /// Where the small one goes; over the original where absent.
        #[arg(short, long)]
        out: Option<PathBuf>,
        #[command(flatten)]
        engines: EngineArguments,
    },
    /// Shows a trace as a Python program, and what each engine answers.
    #[command(after_help = "Example:\n  difftest show traces/conformance/RESET-2.json")]
    Show {
        /// The trace.
        file: PathBuf,
        #[command(flatten)]
        engines: EngineArguments,
    },
    /// Records the reference's outcomes in trace files, after a change of the rules.
    #[command(after_help = "Example:\n  difftest record traces/conformance/RESET-2.json")]
    Record {
        /// Trace files, or folders of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Writes a smallest trace for every rule that has no golden one yet.
    #[command(after_help = "Example:\n  difftest golden")]
    Golden {
        /// Where golden traces are.
        #[arg(default_value = "traces/conformance")]
        folder: PathBuf,
    },
    /// Lists the engines with their versions.
    Engines,
    /// Lists the rules, and the saved traces that exercise each.
    Rules {
        /// Trace files, or folders of them.
        #[arg(default_value = "traces")]
        paths: Vec<PathBuf>,
    },
    /// Answers traces on standard input, one line of JSON each, by one engine: what a child process does.
    #[command(after_help = "Example:\n  difftest run --engines 'reference,child=difftest serve --engine optimized'")]
    Serve {
        /// The engine.
        #[arg(long)]
        engine: String,
    },
    /// Prints the JSON Schema of traces.
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) engines: EngineArguments,
    /// How many traces to run, those of other shards counted [default: 20000].
    #[arg(long, conflicts_with = "time", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) cases: Option<u64>,
    /// How long to run, such as 60s, 10m or 2h.
    #[arg(long, value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// Ends with the first counterexample, shrunk and saved.
    #[arg(long, requires = "time")]
    pub(crate) until_found: bool,
    /// The seed; a random one where absent. It is printed.
    #[arg(long, value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// Cases to run before all others, such as 10418: what ends or holds a run names those that it was at.
    #[arg(long, value_delimiter = ',', value_name = "CASE", value_parser = case)]
    pub(crate) first: Vec<u64>,
    /// Which part of the run to do, such as 2/8: all eight together do what the whole run does, with
    /// the same seed and the same engines.
    #[arg(long, default_value_t = Shard::WHOLE, value_name = "I/N")]
    pub(crate) shard: Shard,
    /// How many threads generate and run traces [default: one a core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MAX_JOBS))]
    pub(crate) jobs: Option<u16>,
    /// Where counterexamples go.
    #[arg(long, default_value = "traces/found")]
    pub(crate) out: PathBuf,
    /// How many traces of a hundred have user code that operations call back into [default: 4].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) programs: Option<u32>,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Gives the engines that answer in this process processes of their own.
    #[arg(long, hide = true)]
    pub(crate) apart: bool,
    /// Does the work for the process of this number, which waits for it and is not ended by an engine. Standard
    /// input is a file that takes the cases which the work is at.
    #[arg(long, hide = true)]
    pub(crate) works_for: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct EngineArguments {
    /// The engines, the one that the others are held to first [default: all that are to be had here].
    /// `python=PATH` is an interpreter, and `pythons` is every one that is found on PATH and under
    /// pyenv. With `python-dev=PATH` and `pythons-dev` they run in development mode, whose allocator
    /// overwrites what is freed, so that what reads or writes it shows. `child=COMMAND` is a program that
    /// speaks the protocol of `difftest serve`, and `fresh=COMMAND` is one that is started anew for every
    /// trace.
    #[arg(long, value_delimiter = ',')]
    pub(crate) engines: Option<Vec<String>>,
    /// How long an engine may take to answer one trace, such as 500ms or 1s [default: 20s]. What takes longer
    /// hangs: that is an answer, and shrinking meets it again and again.
    #[arg(long, value_parser = duration)]
    pub(crate) patience: Option<Duration>,
}

impl EngineArguments {
    /// As given, for the command that repeats what was done.
    pub(crate) fn given(&self) -> Option<String> {
        self.engines.as_ref().map(|engines| engines.join(","))
    }

    /// Starts the engines of these names.
    pub(crate) fn start(&self, names: &[String]) -> Result<Vec<Box<dyn Engine>>, Unavailable> {
        let patience = self.patience.unwrap_or(engines::child::PATIENCE);
        names.iter().map(|name| engines::start_with(name, patience)).collect()
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, Unavailable> {
        let at_hand = || engines::at_hand().into_iter().map(str::to_owned).collect();
        engines::expand(self.engines.clone().unwrap_or_else(at_hand), say_left_out)
    }

    /// Whether one of them answers in this process, which it may end or keep: of those that are to be had
    /// everywhere one does.
    #[cfg(unix)]
    pub(crate) fn answer_here(&self) -> bool {
        self.engines.as_ref().is_none_or(|names| names.iter().any(|name| hang::answers_here(name)))
    }
}

/// Tells of a file that looks like an interpreter and is passed over.
pub(crate) fn say_left_out(left_out: &LeftOut) {
    eprintln!("note: `{}` is left out: {}", left_out.path.display(), left_out.reason);
}

/// How many threads may be asked for: more than the cores of any machine, and few enough to start.
const MAX_JOBS: i64 = 1024;

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a seed is a whole number below 2^64; copy the one that the run printed".to_owned())
}

fn case(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a case is a whole number from 0 on; copy one that a run named, such as `10418`".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let mend = || "a time is a whole number from 1 on and ms, s, m or h; write for instance `60s`".to_owned();
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let (number, milliseconds) = units.iter().find_map(|(unit, length)| Some((text.strip_suffix(unit)?, length))).ok_or_else(mend)?;
    let number: NonZeroU64 = number.parse().map_err(|_| mend())?;
    number
        .get()
        .checked_mul(*milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(|| "that is longer than a run can last; write fewer hours".to_owned())
}
