//! Running one trace on several engines and finding where they part.

use contextvars_spec::{Answer, Engine, EngineError, Identity, Observe, Run, Step, Trace};

use crate::compare::{Difference, first_difference};

/// Two engines gave different answers to one trace.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The engine that the others are held to.
    pub left: Identity,
    /// The engine that differs from it.
    pub right: Identity,
    /// Where and how.
    pub difference: Difference,
    /// What the two answered there.
    pub answers: Vec<Answer>,
}

impl Divergence {
    /// What broke, in a form by which duplicates are recognised. Stable across seeds and handles.
    #[must_use]
    pub fn signature(&self) -> String {
        let text = format!("{}-{}-{}", self.difference.kind, self.left.name, self.right.name);
        let plain = |character: char| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' };
        text.replace("==", "eq").replace("!=", "ne").chars().map(plain).collect()
    }
}

/// What a trace's run on several engines came to.
#[derive(Debug, Default)]
pub struct Lockstep {
    /// The first divergence, if any.
    pub divergence: Option<Divergence>,
    /// The engines that lack what the trace requires.
    pub left_out: Vec<Identity>,
}

/// Runs the steps on every engine that has what they require, and compares each with the first.
///
/// `known` is the first engine's run where the caller has it already.
///
/// # Errors
///
/// If an engine itself fails.
pub fn run(engines: &mut [Box<dyn Engine>], steps: &[Step], observe: Observe, known: Option<Run>) -> Result<Lockstep, EngineError> {
    let since = steps.iter().map(|step| step.operation.since()).max();
    let mut lockstep = Lockstep::default();
    let mut baseline: Option<(Identity, Run)> = None;
    for (index, engine) in engines.iter_mut().enumerate() {
        if since.is_some_and(|since| engine.python_version() < since) {
            lockstep.left_out.push(engine.identity());
            continue;
        }
        let run = match &known {
            Some(known) if index == 0 => known.clone(),
            _ => engine.run(steps, observe)?,
        };
        let Some((left, left_run)) = &baseline else {
            baseline = Some((engine.identity(), run));
            continue;
        };
        if let Some(difference) = first_difference(steps, left_run, &run) {
            let at = difference.step;
            let answers = [left_run, &run].into_iter().filter_map(|run| run.answers.get(at).cloned());
            lockstep.divergence = Some(Divergence { left: left.clone(), right: engine.identity(), answers: answers.collect(), difference });
            break;
        }
    }
    Ok(lockstep)
}

/// Holds an engine to the outcomes that a trace records.
///
/// # Errors
///
/// If the engine itself fails.
pub fn check_recorded(engine: &mut dyn Engine, trace: &Trace) -> Result<Option<Divergence>, EngineError> {
    let run = engine.run(&trace.steps, Observe::Every(usize::MAX))?;
    let recorded = trace.steps.iter().zip(&run.answers).map(|(step, answer)| match &step.outcome {
        Some(outcome) => Answer { outcome: outcome.clone(), events: step.events.clone() },
        None => answer.clone(),
    });
    let recorded = Run { answers: recorded.collect(), observations: run.observations.clone() };
    Ok(first_difference(&trace.steps, &recorded, &run).map(|difference| Divergence {
        left: Identity { name: "recorded".to_owned(), version: trace.format.to_string() },
        right: engine.identity(),
        answers: [&recorded, &run].into_iter().filter_map(|run| run.answers.get(difference.step).cloned()).collect(),
        difference,
    }))
}
