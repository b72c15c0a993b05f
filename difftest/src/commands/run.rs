//! `difftest run`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contextvars_difftest::campaign::{self, Plan, Until};
use contextvars_difftest::report::Summary;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{DIVERGENCE, Ended, start};
use crate::cli::RunArguments;

/// Some two million operations: enough to meet every rule many times, in well under a minute.
const CASES: u64 = 20_000;

pub(crate) fn run(arguments: &RunArguments) -> Ended {
    let names = arguments.engines.names()?;
    if names.len() < 2 {
        return Err("one engine alone has nothing to differ from; name two or more with `--engines`".into());
    }
    // Engines that do not start are a fault of usage: told before the work begins.
    start(&names)?;
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    let plan = Plan {
        until: match (arguments.time, arguments.cases) {
            (Some(time), _) => Until::Elapsed(time),
            (None, cases) => Until::Cases(cases.unwrap_or(CASES)),
        },
        seed,
        jobs: arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
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
        println!("seed {seed}");
    }
    let bar = progress_bar(&plan, arguments.json);
    let progress = |cases: u64, _: u64| match plan.until {
        Until::Cases(_) => bar.inc(cases),
        Until::Elapsed(_) => bar.set_position(bar.elapsed().as_secs()),
    };
    let outcome = campaign::run(&plan, &|| start(&names), &interrupt, &progress)?;
    bar.finish_and_clear();
    let summary = Summary::new(&plan, &outcome);
    if arguments.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        print!("{summary}");
    }
    Ok(if summary.divergences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIVERGENCE) })
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
        Until::Cases(cases) => (cases, "cases"),
        Until::Elapsed(limit) => (limit.as_secs(), "s"),
    };
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} · {eta} left") {
        bar.set_style(style);
    }
    bar.with_message(unit)
}
