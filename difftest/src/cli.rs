//! The arguments of `difftest`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use contextvars_difftest::engines::python::LeftOut;
use contextvars_difftest::engines::{self, Unavailable};

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
    #[command(after_help = "Examples:\n  difftest run --cases 1000 --seed 7\n  difftest run --time 10m --jobs 2 --json")]
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
    /// How many traces to run [default: 20000].
    #[arg(long, conflicts_with = "time")]
    pub(crate) cases: Option<u64>,
    /// How long to run, such as 60s, 10m or 2h.
    #[arg(long, value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// The seed; a random one where absent. It is printed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many threads generate and run traces [default: one a core].
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// Where counterexamples go.
    #[arg(long, default_value = "traces/found")]
    pub(crate) out: PathBuf,
    /// How many traces of a hundred have user code that operations call back into [default: 4].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) programs: Option<u32>,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EngineArguments {
    /// The engines, the one that the others are held to first [default: all that are to be had here].
    /// `python=PATH` is an interpreter, and `pythons` is every one that is found on PATH and under
    /// pyenv. `child=COMMAND` is a program that speaks the protocol of `difftest serve`.
    #[arg(long, value_delimiter = ',')]
    pub(crate) engines: Option<Vec<String>>,
}

impl EngineArguments {
    pub(crate) fn names(&self) -> Result<Vec<String>, Unavailable> {
        let at_hand = || engines::at_hand().into_iter().map(str::to_owned).collect();
        engines::expand(self.engines.clone().unwrap_or_else(at_hand), say_left_out)
    }
}

/// Tells of a file that looks like an interpreter and is passed over.
pub(crate) fn say_left_out(left_out: &LeftOut) {
    eprintln!("note: `{}` is left out: {}", left_out.path.display(), left_out.reason);
}

fn duration(text: &str) -> Result<Duration, String> {
    let mend = || format!("`{text}` is not a time; write a number and s, m or h, such as `60s`");
    let unit = text.chars().last().ok_or_else(mend)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(mend()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| mend())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(mend)
}
