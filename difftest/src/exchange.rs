//! Other ways to show the same: traces of fewer steps that are no parts of a trace.

use contextvars_spec::{ContextId, Handle, Object, Operation, Step, ThreadId, Value};
use serde_json::Value as Json;

/// Longer traces are long since they repeat something, which nothing here shortens.
const LONGEST: usize = 24;

/// Traces of fewer steps that may show what these steps show: with one look in the place of several steps,
/// one object in the place of two, what a program does as a step, another thread instead of another context,
/// or a copy instead of a context that is entered. Whether they do, and whether they are valid, is for the caller to see.
pub(crate) fn exchanges(steps: &[Step]) -> impl Iterator<Item = Vec<Step>> + '_ {
    let steps = if steps.len() <= LONGEST { steps } else { &[] };
    let others = looks(steps).chain(merged(steps)).chain(lifted(steps)).chain(on_another_thread(steps)).chain(copied_later(steps));
    others.filter(|fewer| fewer.len() < steps.len())
}

/// The first steps, the fewest first, with one that looks at what they have come to, or that a program does later.
fn looks(steps: &[Step]) -> impl Iterator<Item = Vec<Step>> + '_ {
    (0..steps.len().saturating_sub(1)).flat_map(move |end| {
        let first = &steps[..end];
        let mut threads: Vec<_> = first.iter().map(|step| step.thread).chain([ThreadId::MAIN]).collect();
        threads.sort_unstable();
        threads.dedup();
        let context = fresh_context(steps);
        let plain = [Operation::HasCurrentContext {}, Operation::ContextVer {}, Operation::CopyContext { context }];
        let of_objects = first.iter().filter_map(|step| step.operation.definition()).flat_map(looks_at);
        let of_programs = steps.iter().flat_map(|step| step.operation.programs()).flat_map(|program| program.0.iter().cloned());
        let looks: Vec<_> = plain.into_iter().chain(of_objects).chain(of_programs).collect();
        threads.into_iter().flat_map(move |thread| {
            looks.clone().into_iter().map(move |look| first.iter().cloned().chain([Step::new(thread, look)]).collect())
        })
    })
}

fn looks_at(made: Handle) -> Vec<Operation> {
    match made {
        Handle::Variable(variable) => vec![Operation::VarGet { variable, default: None }],
        Handle::Context(context) => vec![
            Operation::ContextLen { context },
            Operation::Enter { context: Object::Context(context) },
            Operation::Exit { context: Object::Context(context) },
        ],
        _ => Vec::new(),
    }
}

fn fresh_context(steps: &[Step]) -> ContextId {
    let made = steps.iter().filter_map(|step| step.operation.definition());
    ContextId(
        made.filter_map(|made| if let Handle::Context(ContextId(number)) = made { Some(number + 1) } else { None }).max().unwrap_or(0),
    )
}

/// The steps with one object of a kind in the place of another, which is not made then.
fn merged(steps: &[Step]) -> impl Iterator<Item = Vec<Step>> + '_ {
    let made = move || steps.iter().enumerate().filter_map(|(at, step)| Some((at, step.operation.definition()?)));
    made().flat_map(move |(at, gone)| {
        let constants = [Value::None, Value::Missing].map(|value| value.to_string());
        let others = made().take_while(move |(other, _)| *other < at).map(|(_, other)| other);
        let of_one_kind =
            others.filter(move |other| std::mem::discriminant(other) == std::mem::discriminant(&gone)).map(|other| other.to_string());
        let constants = constants.into_iter().filter(move |_| matches!(gone, Handle::Value(_)));
        constants.chain(of_one_kind).filter_map(move |kept| {
            let rest = steps.iter().enumerate().filter(|(other, _)| *other != at);
            rest.map(|(_, step)| renamed(step, &gone.to_string(), &kept)).collect()
        })
    })
}

/// What a value's program does, by a last step of its own instead of the value and of what calls it.
fn lifted(steps: &[Step]) -> impl Iterator<Item = Vec<Step>> + '_ {
    steps.iter().enumerate().flat_map(move |(at, step)| {
        let made = step.operation.definition().filter(|made| matches!(made, Handle::Value(_))).map(|made| made.to_string());
        let operations = step.operation.programs().flat_map(|program| &program.0);
        operations.filter_map(move |operation| {
            let (made, none) = (made.as_ref()?, Value::None.to_string());
            let last = steps.len() - 1;
            let rest = (0..last).filter(|other| *other != at).map(|other| steps[other].clone());
            rest.chain([Step::new(steps[last].thread, operation.clone())]).map(|step| renamed(&step, made, &none)).collect()
        })
    })
}

/// What all programs do, by steps of their own instead of the last one, which calls them. These are more steps, so
/// that it is for the caller to see too whether enough of them can go.
pub(crate) fn unrolled(steps: &[Step]) -> Option<Vec<Step>> {
    let (last, others) = steps.split_last().filter(|_| steps.len() <= LONGEST)?;
    let programs = others.iter().flat_map(|step| step.operation.programs()).flat_map(|program| &program.0);
    let done: Vec<_> = programs.map(|operation| Step::new(last.thread, operation.clone())).collect();
    let plain = others.iter().cloned().map(|mut step| {
        step.operation.retain_in_programs(|_| false);
        step
    });
    (!done.is_empty()).then(|| plain.chain(done).collect())
}

/// The step with another name in the place of a handle's.
fn renamed(step: &Step, from: &str, to: &str) -> Option<Step> {
    fn rename(json: &mut Json, from: &str, to: &str) {
        match json {
            Json::String(text) if text == from => to.clone_into(text),
            Json::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
            Json::Object(fields) => fields.values_mut().for_each(|item| rename(item, from, to)),
            _ => {}
        }
    }
    let mut json = serde_json::to_value(step).ok()?;
    rename(&mut json, from, to);
    serde_json::from_value(json).ok()
}

/// The contexts that are made and entered later on the main thread: both steps.
fn entered(steps: &[Step]) -> impl Iterator<Item = (ContextId, usize, usize)> + '_ {
    steps.iter().enumerate().filter_map(move |(made, step)| {
        let Some(Handle::Context(context)) = step.operation.definition() else { return None };
        let enters = |step: &Step| match step.operation {
            Operation::Run { context: other } | Operation::Enter { context: Object::Context(other) } => other == context,
            _ => false,
        };
        let entered = steps.iter().position(|step| step.thread.is_main() && enters(step))?;
        Some((context, made, entered))
    })
}

/// What follows the entering of a context on a thread of its own, which has none.
fn on_another_thread(steps: &[Step]) -> impl Iterator<Item = Vec<Step>> + '_ {
    let numbers = steps.iter().map(|step| step.thread.0);
    let started = ThreadId(numbers.max().unwrap_or(0) + 1);
    entered(steps).map(move |(_, made, entered)| {
        let moved = |(at, step): (usize, &Step)| match at {
            _ if at == made => None,
            _ if at == entered => Some(Step::new(ThreadId::MAIN, Operation::StartThread { started })),
            _ if at > entered && step.thread.is_main() => Some(Step::new(started, step.operation.clone())),
            _ => Some(step.clone()),
        };
        steps.iter().enumerate().filter_map(moved).collect()
    })
}

/// A copy of the current context, made where it is used first, instead of a context that is entered.
fn copied_later(steps: &[Step]) -> impl Iterator<Item = Vec<Step>> + '_ {
    entered(steps).map(move |(context, made, entered)| {
        let uses = |step: &Step| step.operation.uses().any(|handle| handle == Handle::Context(context));
        let used = (entered + 1..steps.len()).find(|&at| uses(&steps[at])).unwrap_or(steps.len());
        let copy = Step::new(ThreadId::MAIN, Operation::CopyContext { context });
        let kept = |range: std::ops::Range<usize>| range.filter(|at| ![made, entered].contains(at)).map(|at| steps[at].clone());
        kept(0..used).chain([copy]).chain(kept(used..steps.len())).collect()
    })
}
