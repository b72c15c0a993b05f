//! Running one trace on several engines and finding where they part.

use contextvars_spec::{
    Answer, Crash, Engine, EngineError, Finalizes, Handle, Identity, KnownFault, Observe, Operation, Rule, Run, Step, Trace, Version,
};

use crate::compare::{Difference, crash_alone, first_difference};
use crate::hang;
use crate::laws::{self, Broken, Checked};
use crate::panics::caught;

/// Two engines gave different answers to one trace; or one engine, whatever others say, gave two that
/// break a law, or gave none since its process ended.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The law that is broken, if one is.
    pub law: Option<Rule>,
    /// The engine that the others are held to; none where no second one is needed.
    pub left: Option<Identity>,
    /// The engine that differs from it, or is at fault alone.
    pub right: Identity,
    /// Where and how.
    pub difference: Difference,
    /// What the two answered there.
    pub answers: Vec<Answer>,
    /// How one of the two ended that was to answer.
    pub crash: Option<Crash>,
}

impl Divergence {
    /// What broke, in a form by which duplicates are recognised. Stable across seeds and handles.
    #[must_use]
    pub fn signature(&self) -> String {
        let text = match &self.left {
            Some(left) => format!("{}-{}-{}", self.difference.kind, left.name, self.right.name),
            None => format!("{}-{}", self.difference.kind, self.right.name),
        };
        let plain = |character: char| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' };
        text.replace("==", "eq").replace("!=", "ne").chars().map(plain).collect()
    }

    /// Who differs from whom, or breaks which law, and how.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Difference { text, .. } = &self.difference;
        match (self.law, &self.left) {
            (Some(law), _) => format!("`{}` breaks {law}, {}: {text}", self.right.name, law.title()),
            (None, Some(left)) => format!("`{}` differs from `{}`: {text}", self.right.name, left.name),
            (None, None) => format!("`{}` {text}", self.right.name),
        }
    }

    /// Whether it is that one does not answer.
    #[must_use]
    pub fn hangs(&self) -> bool {
        matches!(self.crash, Some(Crash::Hang(_)))
    }

    /// The process of an engine ended that is held to no other.
    fn of_crash(engine: Identity, steps: &[Step], crash: Crash) -> Self {
        Self { law: None, left: None, right: engine, difference: crash_alone(steps, crash), answers: Vec::new(), crash: Some(crash) }
    }

    /// A law that an engine breaks by two of its answers.
    fn of_law(engine: Identity, steps: &[Step], run: &Run, broken: Broken) -> Self {
        let Broken { law, first, second, text } = broken;
        let at = [first, second].into_iter().filter(|step| *step < steps.len());
        let (answers, tags): (Vec<_>, Vec<_>) = at
            .filter_map(|step| Some((run.answers.get(step)?.clone(), format!("step {step} (`{}`)", steps[step].operation.tag()))))
            .unzip();
        let text = format!("{text}; {}", tags.join(" and "));
        let difference = Difference { step: second, text, kind: law.id().to_owned() };
        Self { law: Some(law), left: None, right: engine, difference, answers, crash: None }
    }
}

/// What a trace's run on several engines came to.
#[derive(Debug, Default)]
pub struct Lockstep {
    /// The first divergence, if any.
    pub divergence: Option<Divergence>,
    /// The engines that lack what the trace requires.
    pub left_out: Vec<Identity>,
    /// The engines that were not compared from some step on, since they have a known fault.
    pub excused: Vec<(Identity, KnownFault)>,
    /// How often each law was checked; an engine that answers throughout as the first is not checked again.
    pub laws: Checked,
}

/// How much of the state a run may record, in objects and bindings: some 100 MB an engine.
const MAX_OBSERVED: usize = 1 << 22;

/// How often the state can be recorded without exhausting memory: after every step, but for traces
/// of many thousand steps or objects.
#[must_use]
pub fn closest(steps: &[Step]) -> Observe {
    closest_within(MAX_OBSERVED, steps)
}

/// How often the state can be recorded within so many objects and bindings.
pub(crate) fn closest_within(most: usize, steps: &[Step]) -> Observe {
    let (mut contexts, mut variables, mut tokens) = (0usize, 0usize, 0usize);
    for step in steps {
        match step.operation.definition() {
            Some(Handle::Context(_)) => contexts += 1,
            Some(Handle::Variable(_)) => variables += 1,
            Some(Handle::Token(_)) => tokens += 1,
            _ => {}
        }
    }
    let state = contexts.saturating_mul(1 + variables).saturating_add(tokens);
    match state.saturating_mul(steps.len()) / most {
        0 => Observe::EveryStep,
        times => Observe::Every(times + 1),
    }
}

/// Runs the steps on every engine that has what they require, compares each with the first, and holds
/// each to the laws whose answers are not all those of the first. A known fault of which the first engine
/// tells excuses from a law too. Where there is one engine alone, the end of its process is a fault.
///
/// An engine that lets values go late, and tells of it, is compared with what the first one answers where
/// values go when it says; where the first one cannot do that, it is left out of traces with finalizers.
///
/// `known` is the first engine's run where the caller has it already.
///
/// # Errors
///
/// If an engine itself fails.
pub fn run(engines: &mut [Box<dyn Engine>], steps: &[Step], observe: Observe, mut known: Option<Run>) -> Result<Lockstep, EngineError> {
    let needs = Needs::of(steps);
    let mut lockstep = Lockstep::default();
    let mut baseline: Option<(usize, Run)> = None;
    let alone = engines.len() == 1;
    for index in 0..engines.len() {
        let engine = engines[index].as_mut();
        // Others cannot be held to one that lets values go late, but it can be held to the laws.
        let late = needs.finalizers && engine.finalizes() == Finalizes::AsItTells && (alone || baseline.is_some());
        if !needs.are_met_by(engine, late) {
            lockstep.left_out.push(engine.identity());
            continue;
        }
        let mut run = match known.take() {
            Some(known) => known,
            None => answer(engine, steps, observe)?,
        };
        let version = engines[index].python_version();
        let Some((first, plain)) = &baseline else {
            let crash = |crash| Divergence::of_crash(engines[index].identity(), steps, crash);
            let crashed = run.crash.filter(|_| alone).map(crash);
            lockstep.divergence = crashed.or_else(|| lockstep.hold_to_laws(engines[index].identity(), steps, &run, usize::MAX));
            if lockstep.divergence.is_some() {
                break;
            }
            baseline = Some((index, run));
            continue;
        };
        let followed = run.gone.as_ref().filter(|_| late).map(|gone| {
            hang::ask();
            engines[*first].run_with_gone(steps, observe, gone)
        });
        if let Some(None) = followed {
            lockstep.left_out.push(engines[index].identity());
            continue;
        }
        let followed = followed.flatten();
        let left = followed.as_ref().unwrap_or(plain);
        let excused = left.known_faults.iter().filter(|(_, fault)| fault.affects(version)).min_by_key(|(step, _)| *step);
        if let Some(&(step, fault)) = excused {
            lockstep.excused.push((engines[index].identity(), fault));
            // By the fault it may have written to memory that is not its own.
            engines[index].distrust();
            // The process may end by the fault, and has answered nothing then.
            if run.crash.is_some() {
                continue;
            }
            run.open_from = Some(run.open_from.map_or(step, |open| open.min(step)));
        }
        let steered = engines[*first].steers_hashes() && engines[index].steers_hashes();
        let difference = first_difference(steps, steered, left, &run);
        // Whoever answers throughout what the first one answers keeps the laws that it keeps.
        if difference.is_some() || !steered || followed.is_some() || run.open_from.or(left.open_from).is_some() {
            let until = excused.map_or(usize::MAX, |&(step, _)| step);
            lockstep.divergence = lockstep.hold_to_laws(engines[index].identity(), steps, &run, until);
        }
        if let (None, Some(difference)) = (&lockstep.divergence, difference) {
            let crash = left.crash.or(run.crash);
            let answers = [left, &run].into_iter().filter_map(|run| run.answers.get(difference.step).cloned()).collect();
            let (left, right) = (Some(engines[*first].identity()), engines[index].identity());
            lockstep.divergence = Some(Divergence { law: None, left, right, answers, difference, crash });
        }
        if lockstep.divergence.is_some() {
            break;
        }
    }
    Ok(lockstep)
}

impl Lockstep {
    /// The law that the run breaks before step `until`, if it does.
    fn hold_to_laws(&mut self, engine: Identity, steps: &[Step], run: &Run, until: usize) -> Option<Divergence> {
        let (broken, checked) = laws::check(steps, run, until);
        self.laws.extend(&checked);
        broken.map(|broken| Divergence::of_law(engine, steps, run, broken))
    }
}

/// What an engine must have to answer a trace.
struct Needs {
    since: Version,
    programs: bool,
    finalizers: bool,
}

impl Needs {
    fn of(steps: &[Step]) -> Self {
        let is_finalizer = |step: &Step| matches!(&step.operation, Operation::Value { on_drop, .. } if !on_drop.is_empty());
        Self {
            since: steps.iter().map(|step| step.operation.since()).max().unwrap_or(Version::FIRST),
            programs: steps.iter().any(|step| step.operation.programs().next().is_some()),
            finalizers: steps.iter().any(is_finalizer),
        }
    }

    fn are_met_by(&self, engine: &dyn Engine, late: bool) -> bool {
        engine.python_version() >= self.since
            && (engine.runs_programs() || !self.programs)
            && (engine.finalizes() == Finalizes::AtOnce || late || !self.finalizers)
    }
}

/// Whether the engine has everything that the trace requires, to give the outcomes that it records.
#[must_use]
pub fn can_run(engine: &dyn Engine, trace: &Trace) -> bool {
    engine.python_version() >= trace.since() && Needs::of(&trace.steps).are_met_by(engine, false)
}

/// What the engine answers; a panic of the implementation under test is an answer too.
fn answer(engine: &mut dyn Engine, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
    hang::ask();
    // An engine starts every trace from a fresh state, whatever a panic left of the last.
    caught(|| engine.run(steps, observe)).unwrap_or_else(|| Ok(Run { crash: Some(Crash::Panic), ..Run::default() }))
}

/// Holds an engine to the outcomes that a trace records.
///
/// # Errors
///
/// If the engine itself fails.
pub fn check_recorded(engine: &mut dyn Engine, trace: &Trace) -> Result<Option<Divergence>, EngineError> {
    let run = answer(engine, &trace.steps, Observe::Every(usize::MAX))?;
    let recorded = trace.steps.iter().zip(&run.answers).map(|(step, answer)| match &step.outcome {
        Some(outcome) => Answer { outcome: outcome.clone(), events: step.events.clone(), calls: step.calls.clone() },
        None => answer.clone(),
    });
    let recorded = Run { answers: recorded.collect(), observations: run.observations.clone(), ..Run::default() };
    Ok(first_difference(&trace.steps, engine.steers_hashes(), &recorded, &run).map(|difference| Divergence {
        law: None,
        left: Some(Identity { name: "recorded".to_owned(), version: trace.format.to_string() }),
        right: engine.identity(),
        answers: [&recorded, &run].into_iter().filter_map(|run| run.answers.get(difference.step).cloned()).collect(),
        difference,
        crash: run.crash,
    }))
}
