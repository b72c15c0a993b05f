//! `difftest replay` and `difftest record`.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use contextvars_difftest::lockstep::{self, Divergence};
use contextvars_difftest::{golden, save};
use contextvars_spec::{Engine, Rule, Trace, load_trace};
use serde::Serialize;

use super::{DIVERGENCE, Ended};
use crate::cli::EngineArguments;

#[derive(Serialize)]
struct Diverged {
    file: String,
    engine: String,
    /// The engine that it differs from; none where it is at fault alone.
    held_to: Option<String>,
    /// The law that the engine breaks, if it breaks one.
    law: Option<Rule>,
    /// The whole of it in a sentence.
    sentence: String,
    step: usize,
    difference: String,
}

#[derive(Serialize)]
struct Replayed {
    traces: usize,
    left_out: Vec<String>,
    divergences: Vec<Diverged>,
    /// The files that are no traces, and why.
    bad: Vec<String>,
}

pub(crate) fn replay(paths: &[PathBuf], arguments: &EngineArguments, json: bool) -> Ended {
    let mut engines = arguments.start(&arguments.names()?)?;
    let files = save::find(paths)?;
    let mut replayed = Replayed { traces: 0, left_out: Vec::new(), divergences: Vec::new(), bad: Vec::new() };
    for file in &files {
        let trace = match load_trace(file) {
            Ok(trace) => trace,
            // The others can still tell something.
            Err(error) => {
                replayed.bad.push(error.to_string());
                continue;
            }
        };
        replayed.traces += 1;
        for divergence in replay_one(&mut engines, &trace, file, &mut replayed.left_out)? {
            replayed.divergences.push(Diverged {
                file: file.display().to_string(),
                sentence: divergence.sentence(),
                law: divergence.law,
                engine: divergence.right.name,
                held_to: divergence.left.map(|left| left.name),
                step: divergence.difference.step,
                difference: divergence.difference.text,
            });
        }
    }
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&replayed)?)?;
    } else {
        for left_out in &replayed.left_out {
            writeln!(out, "left out: {left_out}")?;
        }
        let given = arguments.given().map(|engines| format!(" --engines '{engines}'")).unwrap_or_default();
        for diverged in &replayed.divergences {
            writeln!(out, "{}: step {}: {}", diverged.file, diverged.step, diverged.sentence)?;
            writeln!(out, "  see it with: cargo difftest show '{}'{given}", diverged.file)?;
        }
        writeln!(out, "{} traces, {} divergences", replayed.traces, replayed.divergences.len())?;
    }
    if !replayed.bad.is_empty() {
        return Err(replayed.bad.join("\nerror: ").into());
    }
    Ok(if replayed.divergences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIVERGENCE) })
}

/// Every engine is held to what the trace records, and to the first engine.
fn replay_one(
    engines: &mut [Box<dyn Engine>],
    trace: &Trace,
    file: &Path,
    left_out: &mut Vec<String>,
) -> Result<Vec<Divergence>, contextvars_spec::EngineError> {
    let mut found = Vec::new();
    for engine in engines.iter_mut().filter(|engine| lockstep::can_run(engine.as_ref(), trace)) {
        found.extend(lockstep::check_recorded(engine.as_mut(), trace)?);
    }
    let lockstep = lockstep::run(engines, &trace.steps, lockstep::closest(&trace.steps), None)?;
    for identity in lockstep.left_out {
        left_out.push(format!("{} {} of {}, which {}", identity.name, identity.version, file.display(), trace.needs()));
    }
    found.extend(lockstep.divergence);
    Ok(found)
}

pub(crate) fn record(paths: &[PathBuf]) -> Ended {
    for file in save::find(paths)? {
        let mut trace = load_trace(&file)?;
        golden::record(&mut trace);
        save::write(&file, &trace)?;
        writeln!(stdout(), "recorded {}", file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
