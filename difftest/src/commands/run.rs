//! `difftest run`.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use contextvars_difftest::campaign::{self, Outcome, Plan, Until};
use contextvars_difftest::engines::child::PATIENCE;
use contextvars_difftest::hang::{self, Hung, Watch};
use contextvars_difftest::report::Summary;
use contextvars_difftest::save;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{BAD_INPUT, DIVERGENCE, Ended};
use crate::cli::RunArguments;

/// Some two million operations: enough to meet every rule many times, in well under a minute.
const CASES: u64 = 20_000;

pub(crate) fn run(arguments: &RunArguments) -> Ended {
    let names = arguments.engines.names()?;
    // Engines that do not start are a fault of usage: told before the work begins.
    arguments.engines.start(&names)?;
    // A counterexample that has no place to go would be found in vain.
    let unwritable = |error| format!("cannot write to `{}`: {error}; name another folder with `--out`", arguments.out.display());
    save::check_writable(&arguments.out).and_then(|()| save::remove_stale(&arguments.out)).map_err(unwritable)?;
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    let plan = Plan {
        until: match (arguments.time, arguments.cases) {
            (Some(time), _) if arguments.until_found => Until::Found(time),
            (Some(time), _) => Until::Elapsed(time),
            (None, cases) => Until::Cases(cases.unwrap_or(CASES)),
        },
        seed,
        shard: arguments.shard,
        jobs: arguments.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from),
        out: arguments.out.clone(),
        programs: arguments.programs.unwrap_or(campaign::PROGRAMS),
        follow: campaign::FOLLOW,
    };
    let interrupt = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupt);
    ctrlc::set_handler(move || {
        // A second Ctrl-C does not wait for the current cases.
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })?;
    if !arguments.json {
        writeln!(stdout(), "seed {seed}")?;
    }
    let bar = progress_bar(&plan, arguments.json);
    let progress = |cases: u64, _: u64| match plan.until {
        Until::Cases(_) => bar.inc(cases),
        Until::Elapsed(_) | Until::Found(_) => bar.set_position(bar.elapsed().as_secs()),
    };
    let patience = arguments.engines.patience.unwrap_or(PATIENCE);
    // The run does not end by itself any more.
    let hung = |hung: Hung| {
        bar.finish_and_clear();
        let status = end_hung(arguments, &plan, hung, &names, patience).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            BAD_INPUT
        });
        std::process::exit(status.into());
    };
    let watch = Watch { patience, hung: &hung };
    let (outcome, failure) = match campaign::run(&plan, &|| arguments.engines.start(&names), &interrupt, &progress, Some(&watch)) {
        Ok(outcome) => (outcome, None),
        Err(aborted) => (*aborted.so_far, Some(aborted.error)),
    };
    bar.finish_and_clear();
    let summary = Summary::new(&plan, &outcome, failure.as_ref(), arguments.engines.given().as_deref());
    let mut stdout = stdout().lock();
    if arguments.json {
        writeln!(stdout, "{}", serde_json::to_string(&summary)?)?;
    } else {
        write!(stdout, "{summary}")?;
    }
    match failure {
        Some(error) => Err(error.into()),
        None if summary.divergences.is_empty() => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::from(DIVERGENCE)),
    }
}

/// Ends a run in which an engine of this process does not answer: what it hangs on is shrunk in processes of
/// its own.
fn end_hung(
    arguments: &RunArguments,
    plan: &Plan,
    hung: Hung,
    names: &[String],
    patience: Duration,
) -> Result<u8, Box<dyn std::error::Error>> {
    let own = std::env::current_exe()?;
    let names = hang::in_processes(names, &own.to_string_lossy());
    let started = Instant::now();
    let (signature, file) = hang::shrink(plan, hung.case, &names, patience)?;
    let elapsed = hung.elapsed + started.elapsed();
    let outcome = Outcome { cases: hung.cases, elapsed, found: [(signature, file)].into(), ..Outcome::default() };
    let summary = Summary::new(plan, &outcome, None, Some(&names.join(",")));
    let mut stdout = stdout().lock();
    if arguments.json {
        writeln!(stdout, "{}", serde_json::to_string(&summary)?)?;
    } else {
        write!(stdout, "{summary}")?;
    }
    Ok(DIVERGENCE)
}

fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.as_nanos() as u64 ^ u64::from(std::process::id()) << 32
}

fn progress_bar(plan: &Plan, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (length, unit) = match plan.until {
        Until::Cases(cases) => (plan.shard.share_of(cases), "cases"),
        Until::Elapsed(limit) | Until::Found(limit) => (limit.as_secs(), "s"),
    };
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} · {eta} left") {
        bar.set_style(style);
    }
    bar.with_message(unit)
}
