//! `difftest show`.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use contextvars_difftest::{lockstep, program};
use contextvars_spec::{Observe, Outcome, load_trace};

use super::Ended;
use crate::cli::EngineArguments;

pub(crate) fn show(file: &Path, arguments: &EngineArguments) -> Ended {
    let trace = load_trace(file)?;
    let mut engines = arguments.start(&arguments.names()?)?;
    let mut out = stdout().lock();
    writeln!(out, "{}", program::python(&trace))?;
    writeln!(out, "# What each engine answers:")?;
    let mut columns = Vec::new();
    for engine in &mut engines {
        let identity = engine.identity();
        if !lockstep::can_run(engine.as_ref(), &trace) {
            writeln!(out, "# {} {} is left out: the trace {}", identity.name, identity.version, trace.needs())?;
        } else {
            let run = engine.run(&trace.steps, Observe::Every(usize::MAX))?;
            columns.push((format!("{} {}", identity.name, identity.version), run.answers));
        }
    }
    let cell = |outcome: &Outcome| serde_json::to_string(outcome).unwrap_or_default();
    for (index, step) in trace.steps.iter().enumerate() {
        writeln!(out, "# {index:>3} {} {}", step.thread, step.operation.tag())?;
        let answers: Vec<_> = columns.iter().map(|(name, answers)| (name, answers.get(index))).collect();
        let recorded = step.outcome.as_ref().map(&cell);
        if let Some(recorded) = &recorded {
            writeln!(out, "#       {:<18} {recorded}", "recorded")?;
        }
        for (name, answer) in answers {
            let text = answer.map(|answer| cell(&answer.outcome)).unwrap_or_default();
            let differs = recorded.as_ref().is_some_and(|recorded| *recorded != text) && text != "\"unsupported\"";
            writeln!(out, "#       {name:<18} {text}{}", if differs { "   <- differs" } else { "" })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
