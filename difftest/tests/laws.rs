//! One engine alone is held to the laws: liars are caught without a second engine, and who is honest is not.

mod liars;

use std::sync::atomic::AtomicBool;

use contextvars_difftest::campaign::{self, SHORT};
use contextvars_difftest::laws::LAWS;
use contextvars_difftest::{engines, lockstep};
use contextvars_reference::Reference;
use contextvars_spec::{
    Engine, EngineError, Error, Identity, Object, Observe, Operation, Outcome, Rule, Run, Step, Trigger, Value, Version, load_trace,
};
use liars::{assert_is_shrunk, plan};

/// An engine that follows the rules, and then changes what it says of them.
struct Liar {
    name: &'static str,
    lie: fn(&[Step], &mut Run),
}

impl Engine for Liar {
    fn identity(&self) -> Identity {
        Identity { name: self.name.to_owned(), version: "lies on purpose".to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let mut run = Engine::run(&mut Reference::default(), steps, observe)?;
        // The model's own knowledge of faults must not be of use.
        run.known_faults.clear();
        (self.lie)(steps, &mut run);
        Ok(run)
    }
}

/// The lie is caught by the laws alone, by one of those that are named first of all.
fn caught(name: &'static str, by: &[Rule], lie: fn(&[Step], &mut Run)) {
    let out = tempfile::tempdir().expect("a temporary folder");
    let make = || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Liar { name, lie })]) };
    let outcome = campaign::run(&plan(SHORT + 400, out.path()), &make, &AtomicBool::new(false), &|_, _| (), None).expect("a run");
    assert!(!outcome.found.is_empty(), "{name} was not caught in {} operations", outcome.operations);
    let mut broken = Vec::new();
    for (signature, path) in &outcome.found {
        let trace = load_trace(path).expect("a saved counterexample loads");
        assert!(signature.ends_with(name), "{signature} names its engine");
        let mut engines = make().expect("engines");
        let replayed = lockstep::run(&mut engines, &trace.steps, Observe::EveryStep, None).expect("a replay").divergence;
        let replayed = replayed.unwrap_or_else(|| panic!("{} does not replay", path.display()));
        assert_eq!(replayed.signature(), *signature);
        let law = replayed.law.expect("one engine breaks a law or nothing");
        assert!(replayed.sentence().contains(&format!("`{name}` breaks {law}")) && trace.title.contains(law.title()), "{}", trace.title);
        broken.push(law);
        let honest: &mut [Box<dyn Engine>] = &mut [Box::new(Reference::default())];
        let other = lockstep::run(honest, &trace.steps, Observe::EveryStep, None).expect("a replay").divergence;
        assert!(other.is_none(), "{name}: who is honest breaks it too: {other:?}");
        assert_is_shrunk(name, path, &trace, &mut engines);
    }
    assert!(by.iter().any(|law| broken.contains(law)), "{name} breaks {broken:?} and none of {by:?}");
}

/// Changes the outcomes of single steps.
fn each(steps: &[Step], run: &mut Run, mut lie: impl FnMut(&Operation, &mut Outcome)) {
    steps.iter().zip(&mut run.answers).for_each(|(step, answer)| lie(&step.operation, &mut answer.outcome));
}

macro_rules! lies {
    ($($name:ident breaks $($law:ident)|+: $lie:expr;)*) => {
        $(#[test] fn $name() { caught(stringify!($name), &[$(Rule::$law),+], $lie); })*
    };
}

lies! {
    len_counts_one_too_many breaks Law3 | Law5 | Law6: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::ContextLen { .. }, Outcome::Count(count @ 1..)) = (operation, outcome) { *count += 1 }
    });
    len_of_an_iterator_counts_what_is_left breaks Law3: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::IteratorLen { .. }, Outcome::Count(count @ 1..)) = (operation, outcome) { *count -= 1 }
    });
    everything_is_contained breaks Law2 | Law4 | Law5 | Law1: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::Contains { .. }, Outcome::Bool(contained)) = (operation, outcome) { *contained = true }
    });
    subscription_answers_none_for_what_is_unbound breaks Law2 | Law4 | Law1: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::GetItem { .. }, Outcome::Error(Error::Key { .. })) = (operation, &outcome) { *outcome = Outcome::Object(Object::None) }
    });
    get_of_the_mapping_finds_nothing breaks Law2 | Law4 | Law5 | Law6: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::ContextGet { default, .. }, Outcome::Object(_)) = (operation, &outcome) {
            *outcome = Outcome::Object(default.unwrap_or(Value::None).into());
        }
    });
    get_is_stale breaks Law1 | Law6: |steps, run| {
        // What get answered first, for ever, in every thread and context.
        let mut cached = std::collections::HashMap::new();
        for (step, answer) in steps.iter().zip(&mut run.answers) {
            if let (Operation::VarGet { variable, .. }, Outcome::Object(_)) = (&step.operation, &answer.outcome) {
                answer.outcome = cached.entry(*variable).or_insert_with(|| answer.outcome.clone()).clone();
            }
        }
    };
    get_finds_nothing breaks Law1 | Law6: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::VarGet { variable, default: None }, Outcome::Object(_)) = (operation, &outcome) {
            *outcome = Outcome::Error(Error::Lookup { variable: *variable });
        }
    });
    bool_is_false breaks Law3: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::Attempt { action: contextvars_spec::Action::Truth, object: Object::Context(_) }, Outcome::Bool(truth)) = (operation, outcome) {
            *truth = false;
        }
    });
    values_are_none breaks Law4: |steps, run| {
        let mut of_values = std::collections::HashSet::new();
        for (step, answer) in steps.iter().zip(&mut run.answers) {
            match (&step.operation, &answer.outcome) {
                (Operation::Values { iterator, .. }, _) => drop(of_values.insert(*iterator)),
                (Operation::Next { iterator }, Outcome::Object(_)) if of_values.contains(iterator) => answer.outcome = Outcome::Object(Object::None),
                _ => {}
            }
        }
    };
    iteration_ends_at_once breaks Law3 | Law4: |steps, run| each(steps, run, |operation, outcome| {
        if let Operation::Next { .. } = operation && !matches!(outcome, Outcome::Skipped) { *outcome = Outcome::Error(Error::StopIteration) }
    });
    contexts_read_backwards_when_observed breaks Law4 | Law5: |_, run| {
        for (index, observation) in &mut run.observations {
            if *index % 2 == 1 {
                observation.contexts.iter_mut().for_each(|context| context.bindings.reverse());
            }
        }
    };
    a_binding_is_observed_twice breaks Law3: |_, run| {
        for (_, observation) in &mut run.observations {
            observation.contexts.iter_mut().for_each(|context| context.bindings.extend(context.bindings.first().copied()));
        }
    };
    a_copy_is_empty breaks Law5 | Law6 | Law1: |steps, run| {
        let copies: std::collections::HashSet<_> = steps.iter().filter_map(|step| match step.operation {
            Operation::ContextCopy { context, .. } | Operation::CopyContext { context } => Some(context),
            _ => None,
        }).collect();
        for (_, observation) in &mut run.observations {
            observation.contexts.iter_mut().filter(|context| copies.contains(&context.context)).for_each(|context| context.bindings.clear());
        }
    };
    old_values_are_missing breaks Law7: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::TokenOldValue { .. }, Outcome::Object(_)) = (operation, &outcome) { *outcome = Outcome::Object(Object::Missing) }
    });
    a_token_resets_twice breaks Law8: |steps, run| each(steps, run, |_, outcome| {
        if let Outcome::Error(Error::TokenUsed { .. }) = outcome { *outcome = Outcome::None }
    });
    a_used_token_looks_new breaks Law8: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::Repr { object: Object::Token(_) }, Outcome::Text(text)) = (operation, outcome) {
            *text = text.replace("<Token used", "<Token").into();
        }
    });
    a_context_is_unequal_to_itself breaks Law9: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::Equal { left: Object::Context(_), .. }, Outcome::Bool(equal)) = (operation, outcome) { *equal = false }
    });
    contexts_are_always_equal breaks Law9: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::Equal { left: Object::Context(_), right: Object::Context(_) }, Outcome::Bool(equal)) = (operation, outcome) { *equal = true }
    });
    unequal_does_not_negate breaks Law9: |steps, run| each(steps, run, |operation, outcome| {
        if let (Operation::NotEqual { left: Object::Context(_), right: Object::Context(_) }, Outcome::Bool(unequal)) = (operation, outcome) { *unequal = !*unequal }
    });
    a_hash_counts_how_often_it_is_asked breaks Law10: |steps, run| {
        let mut asked = 0;
        each(steps, run, |operation, outcome| {
            if let (Operation::Hash { object: Object::Variable(_) }, Outcome::Hash(hash)) = (operation, outcome) {
                asked += 1;
                *hash = asked;
            }
        });
    };
    a_finalizer_runs_twice breaks Law11: |_, run| {
        for answer in &mut run.answers {
            answer.calls.extend(answer.calls.iter().find(|call| call.on == Trigger::Drop).cloned());
        }
    };
    get_gives_what_has_gone breaks Law11: |steps, run| {
        let mut gone = None;
        for (step, answer) in steps.iter().zip(&mut run.answers) {
            if let (Operation::VarGet { .. }, Some(gone)) = (&step.operation, gone) { answer.outcome = Outcome::Object(gone) }
            gone = answer.calls.iter().find(|call| call.on == Trigger::Drop).map_or(gone, |call| Some(call.of));
        }
    };
    a_value_never_goes breaks Law11: |_, run| run.gone = Some(Vec::new());
}

#[test]
fn an_engine_that_ends_is_at_fault_alone() {
    let name = "ends";
    let lie = |steps: &[Step], _: &mut Run| assert!(!steps.iter().any(|step| matches!(step.operation, Operation::ContextLen { .. })));
    let out = tempfile::tempdir().expect("a temporary folder");
    let make = || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Liar { name, lie })]) };
    let outcome = campaign::run(&plan(SHORT, out.path()), &make, &AtomicBool::new(false), &|_, _| (), None).expect("a run");
    let found: Vec<_> = outcome.found.keys().map(String::as_str).collect();
    assert_eq!(found, ["crash-a-panic-at-Context.__len__-ends"]);
    let trace = load_trace(outcome.found.values().next().expect("one")).expect("a saved counterexample loads");
    assert_eq!((trace.title.as_str(), trace.steps.len()), ("`ends` ends by a panic", 2));
}

#[test]
fn every_law_is_checked_often_and_every_engine_keeps_them_alone() {
    for name in engines::at_hand() {
        let out = tempfile::tempdir().expect("a temporary folder");
        let make = || Ok(vec![engines::start(name)?]);
        let outcome = campaign::run(&plan(SHORT + 1_500, out.path()), &make, &AtomicBool::new(false), &|_, _| (), None).expect("a run");
        // Up to 3.13 an interpreter breaks the first law by a fault that is known, in traces with programs.
        let engine = engines::start(name).expect("an engine");
        let version = engine.python_version();
        let stale = version < Version::V3_14 && outcome.found.keys().all(|signature| signature.starts_with("LAW-1-"));
        assert!(outcome.found.is_empty() || stale, "`{name}` alone: {:?}", outcome.found);
        // What has no finalizers lets nothing go that could be seen.
        for law in LAWS.into_iter().filter(|law| *law != Rule::Law11 || engine.runs_programs()) {
            let count = outcome.laws.count(law);
            assert!(count >= 100, "`{name}`: {law} was checked {count} times in {} operations", outcome.operations);
        }
    }
}
