//! Delta debugging: from a failing trace to one that can lose nothing.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::mem::{Discriminant, discriminant};

use contextvars_spec::{Equality, Handle, Object, Operation, Program, Step, ThreadId, Value, validate_steps};

use crate::exchange::{exchanges, unrolled};

/// How many steps are removed at once, at the most, from a trace that has been simplified.
const AFTER_SIMPLIFYING: usize = 4;

/// The smallest trace that can be reached from `steps` by removing steps, simplifying what is left, and
/// showing the same in another way with fewer, such that `fails` still holds. No single step of the result can be removed.
///
/// `fails` is called a few hundred times for a trace of a hundred steps, and never twice with the same.
pub fn shrink(steps: &[Step], fails: &mut dyn FnMut(&[Step]) -> bool) -> Vec<Step> {
    shrink_from(steps, steps.len(), fails)
}

/// As [`shrink`], where no more than so many steps can be removed at once.
pub(crate) fn shrink_from(steps: &[Step], mut size: usize, fails: &mut dyn FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut passed = HashSet::new();
    let mut fails = |steps: &[Step]| {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(steps);
        if passed.contains(&hash) {
            return false;
        }
        let fails = fails(steps);
        if !fails {
            passed.insert(hash);
        }
        fails
    };
    let mut best = steps.to_vec();
    loop {
        reduce(&mut best, size, Singles::UntilNoneGoes, &mut fails);
        let exchanged = exchanges(&best).find(|fewer| validate_steps(fewer).is_ok() && fails(fewer));
        match exchanged.or_else(|| without_programs(&best, &mut fails)) {
            Some(fewer) => best = fewer,
            None => return best,
        }
        size = best.len();
    }
}

/// Removes and simplifies most, with less effort than [`shrink`]: what is left may lose a few steps.
pub(crate) fn shrink_roughly(steps: &[Step], fails: &mut dyn FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut best = steps.to_vec();
    reduce(&mut best, steps.len(), Singles::Once, fails);
    best
}

/// How often it is tried to remove each single step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Singles {
    Once,
    /// Since what one needs may be gone with another.
    UntilNoneGoes,
}

/// Removes what can be removed, in runs of so many steps first, and simplifies what is left, until that does nothing.
fn reduce(best: &mut Vec<Step>, mut size: usize, singles: Singles, fails: &mut dyn FnMut(&[Step]) -> bool) {
    loop {
        remove_chunks(best, size, singles, fails);
        let needed = best.clone();
        simplify(best, fails);
        if *best == needed {
            return;
        }
        // What is plainer holds a few others no more; runs of many have been tried.
        size = AFTER_SIMPLIFYING;
    }
}

/// Fewer steps that do what the programs of these do, where there are such.
fn without_programs(steps: &[Step], fails: &mut dyn FnMut(&[Step]) -> bool) -> Option<Vec<Step>> {
    let mut unrolled = unrolled(steps).filter(|unrolled| validate_steps(unrolled).is_ok() && fails(unrolled))?;
    let size = unrolled.len();
    reduce(&mut unrolled, size, Singles::UntilNoneGoes, fails);
    (unrolled.len() < steps.len()).then_some(unrolled)
}

/// Removes ever smaller runs of steps, from `size` down to single ones.
fn remove_chunks(best: &mut Vec<Step>, size: usize, singles: Singles, fails: &mut dyn FnMut(&[Step]) -> bool) {
    let mut size = size.clamp(1, best.len().max(1));
    loop {
        let mut removed = false;
        let mut end = best.len();
        // From the end, since what comes after the failure goes at once.
        while end > 0 {
            let start = end.saturating_sub(size);
            let candidate = without(best, start..end);
            if candidate.len() < best.len() && fails(&candidate) {
                *best = candidate;
                removed = true;
                end = start.min(best.len());
            } else {
                end = start;
            }
        }
        if size == 1 && (!removed || singles == Singles::Once) {
            return;
        }
        if !removed || size > 1 {
            size = (size / 2).max(1);
        }
    }
}

/// The steps without a range, and without whatever needed a step of it.
fn without(steps: &[Step], range: std::ops::Range<usize>) -> Vec<Step> {
    let mut missing: HashSet<Handle> = HashSet::new();
    let mut kept = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let mut needs = step.operation.uses().chain([Handle::Thread(step.thread)]);
        if range.contains(&index) || needs.any(|handle| missing.contains(&handle)) {
            missing.extend(step.operation.definition());
            missing.extend(step.operation.programs().flat_map(|program| &program.0).filter_map(Operation::definition));
        } else {
            kept.push(step.clone());
        }
    }
    for step in &mut kept {
        step.operation.retain_in_programs(|operation| operation.uses().all(|handle| !missing.contains(&handle)));
    }
    kept
}

/// The program without any one of its operations, for each.
fn shorter(program: &Program) -> impl Iterator<Item = Program> {
    (0..program.0.len()).map(|gone| {
        let left = program.0.iter().enumerate().filter(|(index, _)| *index != gone);
        Program(left.map(|(_, operation)| operation.clone()).collect())
    })
}

/// Tries plainer operands: of all steps of a kind at once, since most do not matter, and then one at a time.
fn simplify(best: &mut Vec<Step>, fails: &mut dyn FnMut(&[Step]) -> bool) {
    let kinds = kinds(best);
    let mut try_all = |how: &dyn Fn(&Step) -> Option<Step>| {
        if let Some(plainer) = all_plainer(best, how).filter(|steps| fails(steps)) {
            *best = plainer;
        }
    };
    // What is entered in a thread is left there, so that they move together or not at all.
    try_all(&|step| Some(Step::new(ThreadId::MAIN, step.operation.clone())));
    for (kind, ways) in kinds {
        for way in 0..ways {
            try_all(&|step| plainer(step).into_iter().nth(way).filter(|_| discriminant(&step.operation) == kind));
        }
    }
    for index in 0..best.len() {
        // What is plainer in one way may become plainer in another; it never becomes less so.
        while let Some(candidate) = plainer(&best[index]).into_iter().find_map(|step| {
            let mut candidate = best.clone();
            candidate[index] = step;
            (candidate[index] != best[index] && validate_steps(&candidate).is_ok() && fails(&candidate)).then_some(candidate)
        }) {
            *best = candidate;
        }
    }
}

/// The kinds of operations that there are, each once, and in how many ways one may be made plainer.
fn kinds(steps: &[Step]) -> Vec<(Discriminant<Operation>, usize)> {
    let mut kinds: Vec<(_, usize)> = Vec::new();
    for step in steps {
        let (kind, ways) = (discriminant(&step.operation), plainer(step).len());
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, most)) => *most = ways.max(*most),
            None => kinds.push((kind, ways)),
        }
    }
    kinds
}

/// The steps with each made plainer of which it is said how, where that changes any and leaves a valid trace.
fn all_plainer(steps: &[Step], how: &dyn Fn(&Step) -> Option<Step>) -> Option<Vec<Step>> {
    let changed: Vec<_> = steps.iter().map(|step| how(step).unwrap_or_else(|| step.clone())).collect();
    (changed != steps && validate_steps(&changed).is_ok()).then_some(changed)
}

/// Variants of a step that a reader has less to wonder about. No chain of them leads back.
fn plainer(step: &Step) -> Vec<Step> {
    let mut variants = Vec::new();
    let mut offer = |operation: Operation| variants.push(Step::new(step.thread, operation));
    match step.operation.clone() {
        Operation::Value { equality, on_compare, on_drop, name } => {
            offer(Operation::Value { equality: Equality::Never, on_compare: on_compare.clone(), on_drop: on_drop.clone(), name });
            for shorter in shorter(&on_compare) {
                offer(Operation::Value { equality, on_compare: shorter, on_drop: on_drop.clone(), name });
            }
            for shorter in shorter(&on_drop) {
                offer(Operation::Value { equality, on_compare: on_compare.clone(), on_drop: shorter, name });
            }
        }
        Operation::ContextVar { name, hash, default, on_hash, variable } => {
            let like = |name: &str, hash, default, on_hash: &Program| Operation::ContextVar {
                name: name.into(),
                hash,
                default,
                on_hash: on_hash.clone(),
                variable,
            };
            offer(like("a", hash, default, &on_hash));
            offer(like(&name, hash, None, &on_hash));
            let plain = [0, i64::from(variable.0)];
            for better in plain.into_iter().take_while(|plain| hash != Some(*plain)) {
                offer(like(&name, Some(better), default, &on_hash));
            }
            for shorter in shorter(&on_hash) {
                offer(like(&name, hash, default, &shorter));
            }
        }
        Operation::VarGet { variable, default: Some(_) } => {
            offer(Operation::VarGet { variable, default: None });
            offer(Operation::VarGet { variable, default: Some(Value::None) });
        }
        Operation::VarSet { variable, value, token } => {
            offer(Operation::VarSet { variable, value: Value::None, token });
            if let Value::Made(_) = value {
                offer(Operation::VarSet { variable, value: Value::Missing, token });
            }
        }
        Operation::CapiVarSet { variable, value, token } => {
            if let Object::Variable(variable) = variable {
                offer(Operation::VarSet { variable, value, token });
            }
            offer(Operation::CapiVarSet { variable, value: Value::None, token });
        }
        Operation::CapiVarReset { variable: Object::Variable(variable), token } => offer(Operation::VarReset { variable, token }),
        Operation::CapiVarGet { variable, default: Some(_) } => offer(Operation::CapiVarGet { variable, default: None }),
        Operation::ContextGet { context, key, default: Some(_) } => offer(Operation::ContextGet { context, key, default: None }),
        Operation::CapiNew { context } | Operation::CopyContext { context } | Operation::ContextCopy { context, .. } => {
            offer(Operation::Context { context });
        }
        Operation::CapiCopyCurrent { context } => offer(Operation::CopyContext { context }),
        Operation::Run { context } => offer(Operation::Enter { context: Object::Context(context) }),
        _ => {}
    }
    if !step.thread.is_main() {
        variants.push(Step::new(ThreadId::MAIN, step.operation.clone()));
    }
    variants
}
