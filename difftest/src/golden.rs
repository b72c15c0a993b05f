//! Golden traces: for a rule, a smallest trace that exercises it.

use contextvars_reference::Reference;
use contextvars_spec::{Observe, Operation, Rule, RuleSet, Run, Step, ThreadId, Trace, Version};
use proptest::strategy::{Strategy, ValueTree};

use crate::campaign::{LENGTH, PROGRAMS, runner};
use crate::generate::{genomes, grow};
use crate::laws::{self, LAWS};
use crate::shrink::shrink;

/// How many traces are grown in the search for one that exercises a rule; the rarest rule is met
/// once in some thousand.
const ATTEMPTS: u64 = 50_000;

/// A trace that exercises a rule and can lose no step, with the reference's outcomes. None where
/// no generated trace exercises it.
#[must_use]
pub fn distil(rule: Rule) -> Option<Trace> {
    let strategy = genomes(LENGTH, Version::V3_14, PROGRAMS);
    let search = |newest: Version, attempts: u64| {
        (0..attempts).find_map(|case| {
            let genome = strategy.new_tree(&mut runner(rule as u64, case)).ok()?.current();
            let grown = grow(&genome, Observe::Every(usize::MAX));
            let fits = grown.steps.iter().all(|step| step.operation.since() <= newest);
            (fits && (grown.rules.contains(rule) || (LAWS.contains(&rule) && exercises(&grown.steps, rule)))).then_some(grown.steps)
        })
    };
    // What old interpreters can run tells about more of them.
    let old = search(Version { major: 3, minor: 9 }, ATTEMPTS / 20);
    let steps = old.or_else(|| search(Version::V3_14, ATTEMPTS))?;
    let mut steps = shrink(&steps, &mut |steps| exercises(steps, rule));
    steps.extend(views(&steps, rule));
    let mut trace = Trace::new(format!("{rule}: {}", rule.title()), steps);
    trace.rules = vec![rule];
    record(&mut trace);
    Some(trace)
}

/// Writes the reference's outcomes into a trace.
pub fn record(trace: &mut Trace) {
    let mut reference = Reference::new();
    for step in &mut trace.steps {
        let answer = reference.step(step);
        step.outcome = Some(answer.outcome);
        step.events = answer.events;
        step.calls = answer.calls;
    }
}

/// The rules that a trace exercises on the reference, the laws that its answers are held to included.
#[must_use]
pub fn exercised(steps: &[Step]) -> RuleSet {
    let mut reference = Reference::new();
    let mut run = Run::default();
    for (index, step) in steps.iter().enumerate() {
        run.answers.push(reference.step(step));
        run.observations.push((index, reference.observe()));
    }
    let mut rules = reference.rules();
    rules.extend(&laws::check(steps, &run, usize::MAX).1.rules());
    rules
}

fn exercises(steps: &[Step], rule: Rule) -> bool {
    exercised(steps).contains(rule)
}

/// What shows the effect that the rule speaks of, where the step that has it answers nothing.
fn views(steps: &[Step], rule: Rule) -> Vec<Step> {
    let last = steps.last().map_or(ThreadId::MAIN, |step| step.thread);
    let variables = steps.iter().filter_map(|step| match step.operation {
        Operation::ContextVar { variable, .. } => Some(variable),
        _ => None,
    });
    let operations: Vec<_> = match rule.id().split('-').next() {
        Some("CACHE") => variables.map(|variable| Operation::Cache { variable }).collect(),
        Some("VER") => vec![Operation::ContextVer {}],
        Some("SET" | "RESET" | "RUN" | "ENTER" | "EXIT") => {
            let gets = variables.map(|variable| Operation::VarGet { variable, default: None });
            gets.chain([Operation::HasCurrentContext {}]).collect()
        }
        _ => Vec::new(),
    };
    operations.into_iter().map(|operation| Step::new(last, operation)).collect()
}
