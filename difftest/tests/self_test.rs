//! The tester can fail: engines that break one rule are caught, shrunk, saved and replayed.

use std::sync::atomic::AtomicBool;

use contextvars_difftest::campaign::{self, PROGRAMS, Plan, SHORT, Until};
use contextvars_difftest::engines::optimized::Optimized;
use contextvars_difftest::lockstep;
use contextvars_difftest::shard::Shard;
use contextvars_optimized::Shared;
use contextvars_reference::Reference;
use contextvars_spec::{
    Call, Engine, EngineError, Error, Finalizes, Identity, Object, Observe, Operation, Outcome, Rule, Run, Step, Trigger, Value, Version,
    load_trace,
};

/// What a fault does to a step before it is carried out, or to what it answers.
type BreakStep = fn(&mut Operation);
type BreakAnswer = fn(&Operation, &mut Outcome);

struct Faulty {
    name: &'static str,
    step: BreakStep,
    answer: BreakAnswer,
}

impl Engine for Faulty {
    fn identity(&self) -> Identity {
        Identity { name: self.name.to_owned(), version: "broken on purpose".to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let mut broken = steps.to_vec();
        broken.iter_mut().for_each(|step| (self.step)(&mut step.operation));
        let mut run = Engine::run(&mut Reference::default(), &broken, observe)?;
        for (step, answer) in steps.iter().zip(&mut run.answers) {
            (self.answer)(&step.operation, &mut answer.outcome);
        }
        Ok(run)
    }
}

fn caught(name: &'static str, step: BreakStep, answer: BreakAnswer) {
    let out = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan {
        until: Until::Cases(SHORT),
        seed: 11,
        shard: Shard::WHOLE,
        jobs: 1,
        out: out.path().to_owned(),
        programs: PROGRAMS,
        follow: campaign::FOLLOW,
    };
    let make = || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Reference::default()), Box::new(Faulty { name, step, answer })]) };
    let outcome = campaign::run(&plan, &make, &AtomicBool::new(false), &|_, _| ()).expect("a run");
    assert!(!outcome.found.is_empty(), "{name} was not caught in {} operations", outcome.operations);
    for path in outcome.found.values() {
        let trace = load_trace(path).expect("a saved counterexample loads");
        assert!(trace.steps.len() <= 8, "{name}: {} steps are left in {}", trace.steps.len(), path.display());
        let mut engines = make().expect("engines");
        let replayed = lockstep::run(&mut engines, &trace.steps, Observe::EveryStep, None).expect("a replay").divergence;
        assert_eq!(replayed.map(|divergence| divergence.signature()), trace.provenance.map(|provenance| provenance.signature));
        // One-minimal: without any one step, and what needs it, nothing differs.
        for index in 0..trace.steps.len() {
            let mut fewer = trace.steps.clone();
            fewer.remove(index);
            if contextvars_spec::validate_steps(&fewer).is_ok() {
                let left = lockstep::run(&mut engines, &fewer, Observe::EveryStep, None).expect("a replay").divergence;
                assert!(left.is_none(), "{name}: step {index} of {} can go", path.display());
            }
        }
    }
}

/// The optimized implementation, with a lie about what its finalizers did.
struct Late {
    name: &'static str,
    lie: fn(&mut Run),
}

impl Engine for Late {
    fn identity(&self) -> Identity {
        Identity { name: self.name.to_owned(), version: "lies on purpose".to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn finalizes(&self) -> Finalizes {
        Finalizes::AsItTells
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let mut run = Optimized::<Shared>::default().run(steps, observe)?;
        (self.lie)(&mut run);
        Ok(run)
    }
}

/// How many finalizers a run of traces with programs sees, and which divergences.
fn late(name: &'static str, lie: fn(&mut Run)) -> (u64, Vec<String>) {
    let out = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan {
        until: Until::Cases(SHORT + 150),
        seed: 11,
        shard: Shard::WHOLE,
        jobs: 1,
        out: out.path().to_owned(),
        programs: 100,
        follow: campaign::FOLLOW,
    };
    let make = || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Reference::default()), Box::new(Late { name, lie })]) };
    let outcome = campaign::run(&plan, &make, &AtomicBool::new(false), &|_, _| ()).expect("a run");
    for path in outcome.found.values() {
        let trace = load_trace(path).expect("a saved counterexample loads");
        assert!(trace.steps.len() <= 8, "{name}: {} steps are left in {}", trace.steps.len(), path.display());
        let replayed = lockstep::run(&mut make().expect("engines"), &trace.steps, Observe::EveryStep, None).expect("a replay").divergence;
        assert_eq!(replayed.map(|divergence| divergence.signature()), trace.provenance.map(|provenance| provenance.signature));
    }
    (outcome.laws.count(Rule::Law11), outcome.found.into_keys().collect())
}

#[test]
fn who_lets_values_go_late_is_held_to_what_finalizers_see_and_do() {
    let (checked, found) = late("honest", |_| ());
    assert!(checked > 1_000, "{checked}");
    assert!(found.is_empty(), "{found:?}");

    let (_, found) = late("answers-otherwise", |run| {
        let calls = run.answers.iter_mut().flat_map(|answer| &mut answer.calls).filter(|call| call.on == Trigger::Drop);
        calls.flat_map(|call| &mut call.outcomes).for_each(|outcome| *outcome = Outcome::Count(4711));
    });
    assert!(found.iter().any(|signature| signature.contains("-calls-reference-answers-otherwise")), "{found:?}");

    let (_, found) =
        late("is-silent", |run| run.answers.iter_mut().for_each(|answer| answer.calls.retain(|call| call.on != Trigger::Drop)));
    assert!(found.iter().any(|signature| signature.contains("-calls-reference-is-silent")), "{found:?}");

    // What it tells is not believed: something leads to the value still.
    let (_, found) = late("goes-too-soon", |run| {
        let Some(last) = run.gone.as_mut().and_then(|gone| gone.last_mut()) else { return };
        if last.during.step == run.answers.len() {
            last.during.step -= 1;
            let call = Call { of: Object::Value(last.value), on: Trigger::Drop, outcomes: Vec::new() };
            run.answers.last_mut().expect("a step").calls.push(call);
        }
    });
    assert!(found.iter().any(|signature| signature.contains("-calls-reference-goes-too-soon")), "{found:?}");

    let (_, found) = late("keeps", |run| {
        let _ = run.gone.as_mut().and_then(Vec::pop);
    });
    assert_eq!(found, ["LAW-11-keeps"]);
}

fn same(_: &mut Operation) {}
fn right(_: &Operation, _: &mut Outcome) {}

macro_rules! faults {
    ($($name:ident: $step:expr, $answer:expr;)*) => {
        $(#[test] fn $name() { caught(stringify!($name), $step, $answer); })*
    };
}

faults! {
    get_ignores_the_default_given: |operation| if let Operation::VarGet { default, .. } = operation { *default = None }, right;
    set_drops_none: |operation| if let Operation::VarSet { value: value @ Value::None, .. } = operation { *value = Value::Missing }, right;
    a_used_token_is_accepted: same, |_, outcome| if let Outcome::Error(Error::TokenUsed { .. }) = outcome { *outcome = Outcome::None };
    the_wrong_variable_is_told_as_the_wrong_context: same,
        |_, outcome| if let Outcome::Error(Error::TokenOfOtherVariable { token }) = *outcome { *outcome = Outcome::Error(Error::TokenOfOtherContext { token }) };
    a_copy_is_empty: |operation| if let Operation::ContextCopy { context, .. } = *operation { *operation = Operation::Context { context } }, right;
    copy_context_is_empty: |operation| if let Operation::CopyContext { context } = *operation { *operation = Operation::Context { context } }, right;
    exit_out_of_order_is_silent: same, |_, outcome| if let Outcome::Error(Error::NotCurrent { .. }) = outcome { *outcome = Outcome::None };
    enter_forgets_to_push: |operation| if let Operation::Enter { context } = *operation { *operation = Operation::Hash { object: context } },
        |operation, outcome| if let Operation::Enter { .. } = operation { *outcome = Outcome::None };
    an_iterator_counts_what_is_left: same, |operation, outcome| if let (Operation::IteratorLen { .. }, Outcome::Count(count @ 1..)) = (operation, outcome) { *count -= 1 };
    equality_swallows_exceptions: same, |_, outcome| if let Outcome::Error(Error::EqualityRaised { .. }) = outcome { *outcome = Outcome::Bool(false) };
    hashes_are_shifted: |operation| if let Operation::ContextVar { hash: Some(hash), .. } = operation { *hash = hash.wrapping_shl(5) },
        |operation, outcome| if let Operation::Hash { .. } = operation { *outcome = Outcome::Unsupported };
    get_is_missing_in_the_mapping: |operation| if let Operation::ContextGet { key, .. } = operation { *key = Object::None }, right;
    run_is_not_left: |operation| if let Operation::Return {} = operation { *operation = Operation::ContextVer {} },
        |operation, outcome| if let (Operation::Return {}, Outcome::ContextVer(_)) = (operation, &outcome) { *outcome = Outcome::None };
    the_cache_is_never_filled: same, |operation, outcome| if let Operation::Cache { .. } = operation { *outcome = Outcome::Cache(None) };
    the_version_stands_still: same, |_, outcome| if let Outcome::ContextVer(version) = outcome { *version = 1 };
}
