//! `difftest replay` and `difftest record`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use contextvars_difftest::lockstep::{self, Divergence};
use contextvars_difftest::{golden, save};
use contextvars_spec::{Engine, Observe, Trace, load_trace};
use serde::Serialize;

use super::{DIVERGENCE, Ended, start};

#[derive(Serialize)]
struct Diverged {
    file: String,
    engine: String,
    held_to: String,
    step: usize,
    difference: String,
}

#[derive(Serialize)]
struct Replayed {
    traces: usize,
    left_out: Vec<String>,
    divergences: Vec<Diverged>,
}

pub(crate) fn replay(paths: &[PathBuf], names: &[String], json: bool) -> Ended {
    let mut engines = start(names)?;
    let files = save::find(paths)?;
    let mut replayed = Replayed { traces: files.len(), left_out: Vec::new(), divergences: Vec::new() };
    for file in &files {
        let trace = load_trace(file)?;
        for divergence in replay_one(&mut engines, &trace, file, &mut replayed.left_out)? {
            replayed.divergences.push(Diverged {
                file: file.display().to_string(),
                engine: divergence.right.name,
                held_to: divergence.left.name,
                step: divergence.difference.step,
                difference: divergence.difference.text,
            });
        }
    }
    if json {
        println!("{}", serde_json::to_string(&replayed)?);
    } else {
        for left_out in &replayed.left_out {
            println!("left out: {left_out}");
        }
        for diverged in &replayed.divergences {
            println!(
                "{}: step {}: `{}` differs from `{}`: {}",
                diverged.file, diverged.step, diverged.engine, diverged.held_to, diverged.difference
            );
            println!("  see it with: cargo difftest show '{}'", diverged.file);
        }
        println!("{} traces, {} divergences", replayed.traces, replayed.divergences.len());
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
    for engine in engines.iter_mut() {
        if !lockstep::can_run(engine.as_ref(), trace) {
            let identity = engine.identity();
            left_out.push(format!("{} {} of {}, which {}", identity.name, identity.version, file.display(), trace.needs()));
        } else {
            found.extend(lockstep::check_recorded(engine.as_mut(), trace)?);
        }
    }
    found.extend(lockstep::run(engines, &trace.steps, Observe::EveryStep, None)?.divergence);
    Ok(found)
}

pub(crate) fn record(paths: &[PathBuf]) -> Ended {
    for file in save::find(paths)? {
        let mut trace = load_trace(&file)?;
        golden::record(&mut trace);
        save::write(&file, &trace)?;
        println!("recorded {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}
