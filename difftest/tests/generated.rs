//! What the generator promises: traces that are valid, and what hardly any chance would bring about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use contextvars_difftest::generate::{Grown, genomes, grow};
use contextvars_spec::{
    Answer, Call, ContextId, Handle, Object, Observe, Operation, Outcome, Program, ThreadId, TokenId, Trigger, VariableId, Version,
    validate_steps,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Engines in processes of their own, and files, take no other.
    #[test]
    fn every_trace_is_valid(genome in genomes(160, Version::V3_14, 50)) {
        prop_assert_eq!(validate_steps(&grow(&genome, Observe::Every(usize::MAX)).steps), Ok(()));
    }
}

/// How many traces are looked through: a run of seconds generates as many.
const TRACES: usize = 4_000;

/// Beyond so many bindings an engine that keeps the bindings of a small map in one piece has to divide it:
/// twice the sixteen at which CPython changes the kind of a node.
const MANY: usize = 32;

/// Traces as a run generates them, with programs or without; the same on every machine, so that no chance is left
/// in what they are counted for.
fn traces(with_programs: bool) -> &'static [Grown] {
    static GROWN: [OnceLock<Vec<Grown>>; 2] = [const { OnceLock::new() }; 2];
    GROWN[usize::from(with_programs)].get_or_init(|| {
        let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::XorShift, &[7; 16]));
        let strategy = genomes(160, Version::V3_14, if with_programs { 100 } else { 0 });
        let mut draw = || strategy.new_tree(&mut runner).expect("strategies that reject nothing").current();
        (0..TRACES).map(|_| Grown { changes: Vec::new(), ..grow(&draw(), Observe::Every(usize::MAX)) }).collect()
    })
}

/// In how many of those traces something happens.
fn count(with_programs: bool, happens: impl FnMut(&&Grown) -> bool) -> usize {
    traces(with_programs).iter().filter(happens).count()
}

/// The variables by their folded hashes, of those that were bound.
fn by_hash(grown: &Grown) -> BTreeMap<u32, BTreeSet<VariableId>> {
    let bound: BTreeSet<_> = grown.steps.iter().filter_map(|step| set(&step.operation)).collect();
    let mut by_hash: BTreeMap<u32, BTreeSet<_>> = BTreeMap::new();
    for step in &grown.steps {
        if let Operation::ContextVar { variable, hash: Some(hash), .. } = step.operation
            && bound.contains(&variable)
        {
            by_hash.entry(hash as u32 ^ (hash >> 32) as u32).or_default().insert(variable);
        }
    }
    by_hash
}

fn set(operation: &Operation) -> Option<VariableId> {
    match *operation {
        Operation::VarSet { variable, .. } | Operation::CapiVarSet { variable: Object::Variable(variable), .. } => Some(variable),
        _ => None,
    }
}

#[test]
fn many_variables_have_one_hash_and_a_few_another() {
    let met = count(false, |grown| {
        let by_hash = by_hash(grown);
        by_hash.len() > 1 && by_hash.values().any(|alike| alike.len() > MANY)
    });
    assert!(met >= 12, "{met} of {TRACES}");
}

#[test]
fn many_variables_differ_only_below_levels_of_zeros_or_of_ones() {
    let levels = (1 << 25) - 1;
    for alike in [0, levels] {
        let met = count(false, |grown| {
            let deep: Vec<_> = by_hash(grown).into_iter().filter(|(hash, _)| hash & levels == alike).collect();
            deep.len() > 1 && deep.iter().map(|(_, variables)| variables.len()).sum::<usize>() > MANY
        });
        assert!(met >= 1, "{met} of {TRACES} with {alike:#x}");
    }
}

#[test]
fn variables_part_from_a_crowd_at_one_bit_after_another() {
    let met = count(false, |grown| {
        let by_hash = by_hash(grown);
        let Some((crowd, alike)) = by_hash.iter().max_by_key(|(_, alike)| alike.len()) else { return false };
        alike.len() > MANY / 2 && by_hash.keys().filter(|hash| (*hash ^ crowd).is_power_of_two()).count() > 6
    });
    assert!(met >= 1, "{met} of {TRACES}");
}

#[test]
fn a_variable_is_looked_up_again_after_a_write_and_many_others() {
    /// As many as the places in which an engine may remember what was looked up last.
    const OTHERS: usize = 128;
    let met = count(false, |grown| {
        let mut looked_up: Vec<VariableId> = Vec::new();
        let mut written = BTreeSet::new();
        grown.steps.iter().any(|step| {
            if let Some(variable) = set(&step.operation) {
                written.insert(variable);
            }
            let Operation::VarGet { variable, .. } = step.operation else { return false };
            let before = looked_up.iter().rposition(|other| *other == variable);
            let others = before.map_or(0, |before| looked_up[before..].iter().collect::<BTreeSet<_>>().len());
            looked_up.push(variable);
            others > OTHERS && written.remove(&variable)
        })
    });
    assert!(met >= 4, "{met} of {TRACES}");
}

#[test]
fn a_copy_of_a_large_map_goes_when_it_has_parted_from_the_original() {
    let met = count(false, |grown| {
        let mut copies: BTreeMap<ContextId, usize> = BTreeMap::new();
        grown.steps.iter().any(|step| {
            match step.operation {
                Operation::CopyContext { context } => drop(copies.insert(context, 0)),
                Operation::Drop { object: Object::Context(context) } => return copies.get(&context).is_some_and(|sets| *sets > MANY / 2),
                ref operation if set(operation).is_some() => copies.values_mut().for_each(|sets| *sets += 1),
                _ => copies.clear(),
            }
            false
        })
    });
    assert!(met >= 60, "{met} of {TRACES}");
}

#[test]
fn two_threads_that_did_the_same_look_into_each_others_context() {
    let met = count(false, |grown| {
        let mut entered: BTreeMap<ContextId, BTreeSet<ThreadId>> = BTreeMap::new();
        for (step, answer) in grown.steps.iter().zip(&grown.run.answers) {
            if let (Operation::Run { context }, Outcome::Called) = (&step.operation, &answer.outcome) {
                entered.entry(*context).or_default().insert(step.thread);
            }
        }
        let exchanged = entered.values().filter(|threads| threads.iter().filter(|thread| !thread.is_main()).count() > 1);
        exchanged.count() > 1
    });
    assert!(met >= 30, "{met} of {TRACES}");
}

#[test]
fn a_value_goes_in_the_reset_that_replaces_it_and_writes_there() {
    let met = count(true, |grown| {
        grown.steps.iter().zip(&grown.run.answers).any(|(step, answer)| match step.operation {
            Operation::VarReset { variable, .. } => answer.calls.iter().any(|call| {
                let written = |operation: &Operation| set(operation) == Some(variable);
                call.on == Trigger::Drop && program_of(grown, call.of, call.on).any(written)
            }),
            _ => false,
        })
    });
    assert!(met >= 50, "{met} of {TRACES}");
}

#[test]
fn a_token_is_made_anew_while_a_value_goes_whose_program_resets_by_it() {
    let met = count(true, |grown| {
        grown.run.answers.iter().any(|answer| {
            answer.calls.iter().any(|call| {
                let reset = |operation: &Operation| match operation {
                    Operation::VarReset { token: Object::Token(token), .. } => Some(*token),
                    _ => None,
                };
                let by: BTreeSet<_> = program_of(grown, call.of, call.on).filter_map(reset).collect();
                let makers = answer.calls.iter().filter(|maker| maker.on == Trigger::Compare);
                call.on == Trigger::Drop
                    && makers.flat_map(|maker| program_of(grown, maker.of, maker.on)).filter_map(token_of).any(|token| by.contains(&token))
            })
        })
    });
    assert!(met >= 90, "{met} of {TRACES}");
}

#[test]
fn values_go_together_with_the_context_that_binds_them() {
    let met = count(true, |grown| {
        grown.steps.iter().zip(&grown.run.answers).any(|(step, answer)| {
            let gone = answer.calls.iter().filter(|call| call.on == Trigger::Drop).map(|call| call.of);
            matches!(step.operation, Operation::Drop { object: Object::Context(_) }) && gone.collect::<BTreeSet<_>>().len() > 1
        })
    });
    assert!(met >= 100, "{met} of {TRACES}");
}

#[test]
fn a_program_asks_for_an_object_that_the_step_which_may_run_it_makes() {
    let met = count(true, |grown| {
        let mut asked: BTreeSet<Handle> = BTreeSet::new();
        grown.steps.iter().any(|step| {
            let gone = step.operation.programs().flat_map(|program| &program.0);
            asked.extend(gone.flat_map(Operation::uses).filter(|handle| matches!(handle, Handle::Context(_) | Handle::Iterator(_))));
            let makes = !matches!(step.operation, Operation::Context { .. } | Operation::CapiNew { .. });
            // What there is already, a program may name anyway.
            makes && step.operation.definition().is_some_and(|made| asked.contains(&made))
        })
    });
    assert!(met >= 400, "{met} of {TRACES}");
}

#[test]
fn more_values_are_compared_than_programs_may_run() {
    let met = count(true, |grown| comparisons(grown).any(|answer| answer.calls.len() == Program::MAX_CALLS));
    assert!(met >= 12, "{met} of {TRACES}");
}

#[test]
fn a_comparison_of_contexts_sets_variables() {
    let met = count(true, |grown| {
        let sets = |call: &Call| program_of(grown, call.of, call.on).any(|operation| set(operation).is_some());
        comparisons(grown).any(|answer| answer.calls.iter().any(sets))
    });
    assert!(met >= 40, "{met} of {TRACES}");
}

#[test]
fn names_have_what_repr_writes_in_another_way() {
    for part in ["'", "\"", "\\", "\n", "\u{7f}"] {
        let met = count(false, |grown| {
            let named = |operation: &Operation| matches!(operation, Operation::ContextVar { name, .. } if name.contains(part));
            let shown = |operation: &Operation| matches!(operation, Operation::Repr { object: Object::Variable(_) });
            let operations = || grown.steps.iter().map(|step| &step.operation);
            operations().any(named) && operations().any(shown)
        });
        assert!(met >= 300, "{met} of {TRACES} with {part:?}");
    }
}

/// What comparisons of two contexts answered.
fn comparisons(grown: &Grown) -> impl Iterator<Item = &Answer> {
    let compares = |operation: &Operation| matches!(operation, Operation::Equal { left: Object::Context(_), right: Object::Context(_) });
    grown.steps.iter().zip(&grown.run.answers).filter(move |(step, _)| compares(&step.operation)).map(|(_, answer)| answer)
}

/// The program that a value or a variable runs then.
fn program_of(grown: &Grown, of: Object, on: Trigger) -> impl Iterator<Item = &Operation> {
    let made = grown
        .steps
        .iter()
        .flat_map(|step| std::iter::once(&step.operation).chain(step.operation.programs().flat_map(|program| &program.0)));
    let program = made.filter_map(move |operation| match (operation, of, on) {
        (Operation::Value { name, on_compare, .. }, Object::Value(value), Trigger::Compare) if *name == value => Some(on_compare),
        (Operation::Value { name, on_drop, .. }, Object::Value(value), Trigger::Drop) if *name == value => Some(on_drop),
        (Operation::ContextVar { variable, on_hash, .. }, Object::Variable(hashed), Trigger::Hash) if *variable == hashed => Some(on_hash),
        _ => None,
    });
    program.flat_map(|program| &program.0)
}

fn token_of(operation: &Operation) -> Option<TokenId> {
    match operation.definition() {
        Some(Handle::Token(token)) => Some(token),
        _ => None,
    }
}
