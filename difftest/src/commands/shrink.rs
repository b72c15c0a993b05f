//! `difftest shrink`.

use std::path::Path;
use std::process::ExitCode;

use contextvars_difftest::{campaign, lockstep, save};
use contextvars_spec::{Observe, load_trace};

use super::{DIVERGENCE, Ended, start};

pub(crate) fn shrink(file: &Path, out: Option<&Path>, names: &[String]) -> Ended {
    let mut engines = start(names)?;
    let original = load_trace(file)?;
    let Some(divergence) = lockstep::run(&mut engines, &original.steps, Observe::EveryStep, None)?.divergence else {
        println!("the engines agree on `{}`; there is nothing to shrink", file.display());
        return Ok(ExitCode::SUCCESS);
    };
    let (steps, divergence) = campaign::minimize(&original.steps, divergence, &mut engines);
    let mut trace = campaign::counterexample(steps, &divergence, &engines);
    if let (Some(now), Some(before)) = (&mut trace.provenance, &original.provenance) {
        now.seed = before.seed;
        now.case = before.case;
        now.settings.clone_from(&before.settings);
    }
    let target = out.unwrap_or(file);
    save::write(target, &trace)?;
    println!("{} steps of {} are left, in {}", trace.steps.len(), original.steps.len(), target.display());
    println!("replay with: cargo difftest replay '{}'", target.display());
    Ok(ExitCode::from(DIVERGENCE))
}
