//! `difftest shrink`.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use contextvars_difftest::{campaign, lockstep, minimize, save};
use contextvars_spec::load_trace;

use super::{DIVERGENCE, Ended, interrupt};
use crate::cli::EngineArguments;

pub(crate) fn shrink(file: &Path, out: Option<&Path>, arguments: &EngineArguments) -> Ended {
    let mut engines = arguments.start(&arguments.names()?)?;
    let original = load_trace(file)?;
    let Some(divergence) = lockstep::run(&mut engines, &original.steps, lockstep::closest(&original.steps), None)?.divergence else {
        writeln!(stdout(), "the engines agree on `{}`; there is nothing to shrink", file.display())?;
        return Ok(ExitCode::SUCCESS);
    };
    let interrupt = interrupt()?;
    let (steps, divergence) = minimize::minimize(&original.steps, divergence, &mut engines, &interrupt);
    let mut trace = campaign::counterexample(steps, &divergence, &engines);
    if let (Some(now), Some(before)) = (&mut trace.provenance, &original.provenance) {
        now.seed = before.seed;
        now.case = before.case;
        now.settings.clone_from(&before.settings);
    }
    let target = out.unwrap_or(file);
    save::write(target, &trace)?;
    let mut out = stdout().lock();
    writeln!(out, "{} steps of {} are left, in {}", trace.steps.len(), original.steps.len(), target.display())?;
    if interrupt.load(Ordering::Relaxed) {
        writeln!(out, "interrupted; `difftest shrink '{}'` goes on from there", target.display())?;
    }
    let given = arguments.given().map(|engines| format!(" --engines '{engines}'")).unwrap_or_default();
    writeln!(out, "replay with: cargo difftest replay '{}'{given}", target.display())?;
    Ok(ExitCode::from(DIVERGENCE))
}
