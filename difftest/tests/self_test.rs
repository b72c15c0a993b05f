//! The tester can fail: engines that break one rule are caught, shrunk, saved and replayed.

mod liars;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use contextvars_difftest::campaign::{self, SHORT};
use contextvars_difftest::engines::optimized::Optimized;
use contextvars_difftest::{lockstep, minimize};
use contextvars_optimized::Shared;
use contextvars_reference::Reference;
use contextvars_spec::{
    ContextId, Engine, EngineError, Equality, Error, Finalizes, Identity, Object, Observe, Operation, Outcome, Program, Run, Step,
    ThreadId, TokenId, Value, ValueId, VariableId, Version, load_trace, validate_steps,
};
use liars::{assert_is_shrunk, plan};

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
    let make = || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Reference::default()), Box::new(Faulty { name, step, answer })]) };
    let outcome = campaign::run(&plan(SHORT, out.path()), &make, &AtomicBool::new(false), &|_, _| (), None).expect("a run");
    assert!(!outcome.found.is_empty(), "{name} was not caught in {} operations", outcome.operations);
    for path in outcome.found.values() {
        let trace = load_trace(path).expect("a saved counterexample loads");
        let mut engines = make().expect("engines");
        let replayed = lockstep::run(&mut engines, &trace.steps, Observe::EveryStep, None).expect("a replay").divergence;
        assert_eq!(
            replayed.map(|divergence| divergence.signature()),
            trace.provenance.as_ref().map(|provenance| provenance.signature.clone())
        );
        assert_is_shrunk(name, path, &trace, &mut engines);
    }
}

/// A binding that only a program makes is shown by a set as well: no part of the trace shows it with fewer steps.
#[test]
fn what_a_program_does_is_tried_as_a_step() {
    let (variables, contexts) = ([1, 2, 3].map(VariableId), [2, 3].map(ContextId));
    let mut steps = Vec::new();
    let mut on_main = |operation| steps.push(Step::new(ThreadId::MAIN, operation));
    for (variable, hash) in variables.into_iter().zip([0, 2, 3_244_462_176]) {
        on_main(Operation::ContextVar { name: "a".into(), hash: Some(hash), default: None, on_hash: Program::default(), variable });
    }
    let set = |variable, value, token| Operation::VarSet { variable, value, token: TokenId(token) };
    for (at, context) in contexts.into_iter().enumerate() {
        on_main(Operation::Context { context });
        on_main(Operation::Enter { context: Object::Context(context) });
        let mut first = Value::None;
        if at == 0 {
            let name = ValueId(2);
            let on_compare = Program([set(variables[2], Value::None, 3)].into());
            on_main(Operation::Value { equality: Equality::Never, on_compare, on_drop: Program::default(), name });
            first = Value::Made(name);
        }
        on_main(set(variables[0], first, 4 + 2 * at as u32));
        on_main(set(variables[1], Value::None, 5 + 2 * at as u32));
    }
    on_main(Operation::Equal { left: Object::Context(contexts[0]), right: Object::Context(contexts[1]) });
    let shifted: BreakStep = |operation| {
        if let Operation::ContextVar { hash: Some(hash), .. } = operation {
            *hash = hash.wrapping_shl(5);
        }
    };
    let mut engines: Vec<Box<dyn Engine>> =
        vec![Box::new(Reference::default()), Box::new(Faulty { name: "shifted", step: shifted, answer: |_, _| () })];
    let found = lockstep::run(&mut engines, &steps, Observe::EveryStep, None).expect("a run").divergence.expect("a divergence");
    let (left, _) = minimize::minimize(&steps, found, &mut engines, &AtomicBool::new(false));
    assert!(left.len() <= 8, "{} of {} steps are left", left.len(), steps.len());
}

/// A program names a context that is made when it has run: what is left is still a trace.
#[test]
fn what_a_program_names_stays_behind_the_difference() {
    let (context, variable, name) = (ContextId(0), VariableId(0), ValueId(0));
    let on_drop = Program([Operation::ContextGet { context, key: Object::Variable(variable), default: None }].into());
    let steps = [
        Operation::ContextVar { name: "a".into(), hash: Some(0), default: None, on_hash: Program::default(), variable },
        Operation::Value { equality: Equality::Never, on_compare: Program::default(), on_drop, name },
        Operation::Drop { object: Object::Value(name) },
        Operation::Context { context },
    ];
    let steps = steps.map(|operation| Step::new(ThreadId::MAIN, operation));
    let step: BreakStep = |operation| {
        if let Operation::Value { on_drop, .. } = operation {
            *on_drop = Program::default();
        }
    };
    let mut engines: Vec<Box<dyn Engine>> =
        vec![Box::new(Reference::default()), Box::new(Faulty { name: "silent", step, answer: |_, _| () })];
    let found = lockstep::run(&mut engines, &steps, Observe::EveryStep, None).expect("a run").divergence.expect("a divergence");
    let (left, _) = minimize::minimize(&steps, found, &mut engines, &AtomicBool::new(false));
    assert_eq!(validate_steps(&left), Ok(()), "{left:?}");
}

/// Answers a reset wrongly, and asks the run to end while that is being shrunk.
struct Asks {
    faulty: Faulty,
    to_end: Arc<AtomicBool>,
    wrong: usize,
    asked_after: Arc<AtomicUsize>,
}

/// How many wrong answers there are before it asks: the trace is not yet shrunk then.
const WRONG: usize = 4;

impl Engine for Asks {
    fn identity(&self) -> Identity {
        self.faulty.identity()
    }

    fn python_version(&self) -> Version {
        self.faulty.python_version()
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        self.asked_after.fetch_add(self.to_end.load(Ordering::SeqCst).into(), Ordering::SeqCst);
        self.wrong += usize::from(steps.iter().any(|step| matches!(step.operation, Operation::VarReset { .. })));
        self.to_end.fetch_or(self.wrong == WRONG, Ordering::SeqCst);
        self.faulty.run(steps, observe)
    }
}

#[test]
fn a_run_that_is_to_end_saves_what_it_is_shrinking() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let (to_end, asked_after) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let make = || -> Result<Vec<Box<dyn Engine>>, _> {
        let answer: BreakAnswer = |operation, outcome| {
            if matches!(operation, Operation::VarReset { .. }) {
                *outcome = Outcome::Skipped;
            }
        };
        let faulty = Faulty { name: "asks", step: |_| (), answer };
        let asks = Asks { faulty, to_end: Arc::clone(&to_end), wrong: 0, asked_after: Arc::clone(&asked_after) };
        Ok(vec![Box::new(Reference::default()), Box::new(asks)])
    };
    let outcome = campaign::run(&plan(SHORT, out.path()), &make, &to_end, &|_, _| (), None).expect("a run");
    assert!(outcome.interrupted && outcome.cases < SHORT);
    let saved = outcome.found.values().map(|path| load_trace(path).expect("a saved counterexample loads").steps.len());
    let longest = saved.max().expect("a counterexample");
    // Two steps are left of what is shrunk to the end: a variable, and a reset of it by what is no token.
    assert!(longest > 2, "{longest} steps are left");
    // What is left is looked at once more, and nothing else is.
    let asked_after = asked_after.load(Ordering::SeqCst);
    assert!(asked_after < 8, "{asked_after} traces are answered after it is asked to end");
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

/// A trace in which `optimized` lets a value go late: at step 9, where the binding that held it is worked in.
fn departing() -> Vec<Step> {
    let (a, b) = (VariableId(0), VariableId(1));
    let [token, other, last] = [0, 1, 2].map(TokenId);
    let variable =
        |variable| Operation::ContextVar { name: "a".into(), hash: Some(0), default: None, on_hash: Program::default(), variable };
    let on_drop = Program([Operation::VarGet { variable: a, default: None }].into());
    let value = ValueId(0);
    let operations = [
        variable(a),
        variable(b),
        Operation::VarSet { variable: a, value: Value::None, token },
        Operation::Value { equality: Equality::Never, on_compare: Program::default(), on_drop, name: value },
        Operation::VarSet { variable: a, value: Value::Made(value), token: other },
        Operation::Drop { object: Object::Value(value) },
        Operation::CopyContext { context: ContextId(0) },
        Operation::VarReset { variable: a, token: Object::Token(other) },
        Operation::Drop { object: Object::Context(ContextId(0)) },
        Operation::VarSet { variable: b, value: Value::None, token: last },
    ];
    operations.into_iter().map(|operation| Step::new(ThreadId::MAIN, operation)).collect()
}

/// What differs, by the signature, where a liar answers that trace beside the reference.
fn late(name: &'static str, lie: fn(&mut Run)) -> Option<String> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Reference::default()), Box::new(Late { name, lie })];
    let ran = lockstep::run(&mut engines, &departing(), Observe::Every(usize::MAX), None).expect("answers");
    assert!(ran.left_out.is_empty(), "{:?}", ran.left_out);
    ran.divergence.map(|divergence| divergence.signature())
}

#[test]
fn who_lets_values_go_late_is_held_to_what_finalizers_see_and_do() {
    assert_eq!(late("honest", |run| assert_eq!(run.gone.as_ref().map(|gone| gone[0].during.step), Some(9))), None);
    let otherwise: fn(&mut Run) = |run| run.answers[9].calls[0].outcomes[0] = Outcome::Count(4711);
    assert_eq!(late("otherwise", otherwise).as_deref(), Some("ContextVar.set-calls-reference-otherwise"));
    let silent: fn(&mut Run) = |run| run.answers[9].calls.clear();
    assert_eq!(late("silent", silent).as_deref(), Some("ContextVar.set-calls-reference-silent"));
    let keeps: fn(&mut Run) = |run| {
        run.answers[9].calls.clear();
        run.gone = Some(Vec::new());
    };
    assert_eq!(late("keeps", keeps).as_deref(), Some("LAW-11-keeps"));
    // What it tells is not believed: at step 6 the context has the value still.
    let too_soon: fn(&mut Run) = |run| {
        let mut calls = std::mem::take(&mut run.answers[9].calls);
        calls[0].outcomes = vec![Outcome::Object(Object::Value(ValueId(0)))];
        run.answers[6].calls = calls;
        run.gone.iter_mut().flatten().for_each(|gone| gone.during.step = 6);
    };
    assert_eq!(late("too-soon", too_soon).as_deref(), Some("copy_context-calls-reference-too-soon"));
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
