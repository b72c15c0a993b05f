//! `difftest run`.

use std::io::{IsTerminal, Write, stdout};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contextvars_difftest::campaign::{self, Plan, Until};
use contextvars_difftest::engines::child::PATIENCE;
use contextvars_difftest::hang::{self, Watch};
use contextvars_difftest::report::Summary;
use contextvars_difftest::save;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[cfg(unix)]
use super::supervise::{self, Whereabouts};
use super::{BAD_INPUT, DIVERGENCE, Ended, interrupt};
use crate::cli::RunArguments;

/// Some two million operations: enough to meet every rule many times, in well under a minute.
const CASES: u64 = 20_000;

pub(crate) fn run(arguments: &RunArguments) -> Ended {
    #[cfg(unix)]
    if let Some(waiting) = arguments.works_for {
        supervise::end_with(waiting);
    } else if !arguments.apart && arguments.engines.answer_here() {
        return supervised(arguments);
    }
    let mut names = arguments.engines.names()?;
    if arguments.apart {
        names = hang::apart(&names, &std::env::current_exe()?.to_string_lossy());
    }
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
        first: arguments.first.clone(),
        jobs: arguments.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from),
        out: arguments.out.clone(),
        programs: arguments.programs.unwrap_or(campaign::PROGRAMS),
        follow: campaign::FOLLOW,
    };
    if let Some(case) = plan.first.iter().find(|case| !plan.has(**case)) {
        return Err(format!("the run has no case `{case}`; write one below `--cases` that is of the shard").into());
    }
    let interrupt = interrupt()?;
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
    let hung = |case| {
        bar.finish_and_clear();
        let error = if names.iter().any(|name| hang::answers_here(name)) {
            run_apart(arguments, seed, &[case], &format!("case {case} of seed {seed} is not answered in {patience:?}"))
        } else {
            format!(
                "the reference does not answer case {case} of seed {seed} in {patience:?}, and without it there is no trace; hold it to another engine by a tester that is in order: `--engines optimized,child='BROKEN/difftest serve --engine reference'`"
            )
            .into()
        };
        eprintln!("error: {error}");
        std::process::exit(BAD_INPUT.into());
    };
    #[cfg(unix)]
    let whereabouts = arguments.works_for.and_then(|_| Whereabouts::of_this_process());
    let begins = |worker, case| {
        #[cfg(unix)]
        if let Some(whereabouts) = &whereabouts {
            whereabouts.tell(worker, case);
        }
        #[cfg(not(unix))]
        let _ = (worker, case);
    };
    let watch = Watch { patience, hung: &hung, begins: &begins };
    let (outcome, failure) = match campaign::run(&plan, &|| arguments.engines.start(&names), &interrupt, &progress, Some(&watch)) {
        Ok(outcome) => (outcome, None),
        Err(aborted) => (*aborted.so_far, Some(aborted.error)),
    };
    bar.finish_and_clear();
    let given = if arguments.apart { Some(names.join(",")) } else { arguments.engines.given() };
    let summary = Summary::new(&plan, &outcome, failure.as_ref(), given.as_deref());
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

/// Does the work in another process, and once more where an engine ends that.
#[cfg(unix)]
fn supervised(arguments: &RunArguments) -> Ended {
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    let (status, at) = supervise::work(command_again(arguments, seed)?)?;
    match (status.code(), supervise::crash(status)) {
        (Some(code), _) => Ok(ExitCode::from(code as u8)),
        (None, Some(signal)) => {
            let cases: Vec<_> = at.iter().map(ToString::to_string).collect();
            let why = format!("an engine ended the process of the run by {signal}, at case {} of seed {seed}", cases.join(" or "));
            Err(run_apart(arguments, seed, &at, &why))
        }
        (None, None) => Err(format!("the process of the run was ended: {status}; begin it again with `--seed {seed}`").into()),
    }
}

/// Begins the run again, with the engines that answer in this process in processes of their own, in the place of
/// this process: whatever hangs here might go on to take all memory. The cases that the run was at come first.
/// Answers why it cannot.
fn run_apart(arguments: &RunArguments, seed: u64, at: &[u64], why: &str) -> Box<dyn std::error::Error + Send + Sync> {
    eprintln!("note: {why}; the run begins again with engines in processes of their own");
    match command_again(arguments, seed) {
        Ok(mut again) => {
            again.arg("--apart");
            again.args(at.iter().flat_map(|case| ["--first".to_owned(), case.to_string()]));
            in_place_of_this(&mut again).into()
        }
        Err(error) => error.into(),
    }
}

/// This command, with the seed that it has drawn if it was given none.
fn command_again(arguments: &RunArguments, seed: u64) -> std::io::Result<Command> {
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1));
    if arguments.seed.is_none() {
        again.args(["--seed", &seed.to_string()]);
    }
    Ok(again)
}

#[cfg(unix)]
fn in_place_of_this(command: &mut Command) -> std::io::Error {
    std::os::unix::process::CommandExt::exec(command)
}

#[cfg(not(unix))]
fn in_place_of_this(command: &mut Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(BAD_INPUT.into())),
        Err(error) => error,
    }
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
