//! Engines that do not answer are noticed, and what they hang on is shrunk in processes of its own; what
//! earlier traces have broken of a process is not taken for a trace's own doing, nor for all that can go.

mod liars;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::time::Duration;

use contextvars_difftest::campaign::{self, Plan, Until};
use contextvars_difftest::engines;
use contextvars_difftest::hang::Watch;
use contextvars_difftest::{lockstep, minimize};
use contextvars_reference::Reference;
use contextvars_spec::{
    ContextId, Crash, Engine, EngineError, Identity, Limits, Observe, Operation, Outcome, Run, Step, ThreadId, Version, load_trace,
};
use liars::{assert_is_shrunk, plan};

/// Never ends where a trace has a reset.
struct Hangs;

impl Engine for Hangs {
    fn identity(&self) -> Identity {
        Identity { name: "hangs".to_owned(), version: "waits on purpose".to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        if steps.iter().any(|step| matches!(step.operation, Operation::VarReset { .. })) {
            loop {
                std::thread::park();
            }
        }
        Engine::run(&mut Reference::default(), steps, observe)
    }
}

#[test]
fn an_engine_of_this_process_that_hangs_is_noticed() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let plan = plan(200, out.path());
    let (sender, noticed) = channel();
    // It never ends, and goes with the test.
    std::thread::spawn(move || {
        let hung = |hung| sender.send(hung).expect("a test that waits");
        let watch = Watch { patience: Duration::from_millis(100), hung: &hung, begins: &|_, _| () };
        let make = || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Reference::default()), Box::new(Hangs)]) };
        campaign::run(&plan, &make, &AtomicBool::new(false), &|_, _| (), Some(&watch)).map(|_| ())
    });
    assert!(noticed.recv().expect("a run that hangs") < 200);
}

/// What a run that begins again takes first is what it was at, and all the rest comes once.
#[test]
fn the_cases_that_are_to_come_first_do() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan { shard: "2/4".parse().expect("a shard"), first: vec![13, 5, 13, 6, 41], ..plan(40, out.path()) };
    let begun = Mutex::new(Vec::new());
    let begins = |worker, case| begun.lock().expect("no panic").push((worker, case));
    let watch = Watch { patience: Duration::from_secs(3600), hung: &|_| (), begins: &begins };
    let make = || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Reference::default())]) };
    let outcome = campaign::run(&plan, &make, &AtomicBool::new(false), &|_, _| (), Some(&watch)).expect("a run");
    assert_eq!(outcome.cases, 10);
    assert_eq!(begun.into_inner().expect("no panic"), [13, 5, 1, 9, 17, 21, 25, 29, 33, 37].map(|case| (0, case)));
}

/// An engine of this build takes no more memory than a request gives it, and all that there is for the next.
#[cfg(target_os = "linux")]
#[test]
fn what_takes_more_memory_than_it_may_ends() {
    use contextvars_spec::{Program, VariableId};

    let serve = format!("child={} serve --engine reference", env!("CARGO_BIN_EXE_difftest"));
    let mut engine = engines::start(&serve).expect("an engine that starts");
    let make = |number| Operation::ContextVar {
        name: "a".repeat(1 << 10).into(),
        hash: Some(i64::from(number)),
        default: None,
        on_hash: Program::default(),
        variable: VariableId(number),
    };
    // Names of four megabytes.
    let steps: Vec<_> = (0..1 << 12).map(|number| Step::new(ThreadId::MAIN, make(number))).collect();
    let mut crash = |memory| {
        assert!(engine.isolate(Some(Limits { is_fresh: true, patience: Duration::MAX, memory })));
        engine.run(&steps, Observe::Every(usize::MAX)).expect("an engine that answers").crash
    };
    assert!(matches!(crash(Some(8 << 20)), Some(Crash::Signal(_))));
    assert_eq!(crash(Some(1 << 30)), None);
    assert_eq!(crash(None), None);
}

#[cfg(unix)]
#[test]
fn what_hangs_in_a_process_of_its_own_is_shrunk() {
    let out = tempfile::tempdir().expect("a temporary folder");
    // Says hello and no more, and lives on when it has closed its output.
    let hello = r#"{"protocol":1,"engine":{"name":"mute","version":"1"},"python":"3.14"}"#;
    let mute = format!(r#"child=sh -c "echo '{}'; exec cat > /dev/null""#, hello.replace('"', "\\\""));
    let make = || ["reference", &mute].iter().map(|name| engines::start_with(name, Duration::from_millis(200))).collect();
    let outcome = campaign::run(&plan(1, out.path()), &make, &AtomicBool::new(false), &|_, _| (), None).expect("a run");
    let file = outcome.found.values().next().expect("a counterexample");
    let trace = load_trace(file).expect("a saved counterexample loads");
    assert_is_shrunk("mute", file, &trace, &mut make().expect("engines that start"));
}

/// Has processes, as far as anybody can tell, and lies from the third trace on that one answers.
struct Worn {
    answered: usize,
    isolated: bool,
}

impl Engine for Worn {
    fn identity(&self) -> Identity {
        Identity { name: "worn".to_owned(), version: "breaks on purpose".to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn isolate(&mut self, limits: Option<Limits>) -> bool {
        self.isolated = limits.is_some();
        self.answered = 0;
        true
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let mut run = Engine::run(&mut Reference::default(), steps, observe)?;
        self.answered += usize::from(!self.isolated);
        if self.answered > 2
            && let Some(answer) = run.answers.last_mut()
        {
            answer.outcome = Outcome::Count(4711);
        }
        Ok(run)
    }
}

#[test]
fn what_earlier_traces_broke_is_saved_and_not_taken_for_what_was_looked_for() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan { until: Until::Found(Duration::from_secs(1)), ..plan(0, out.path()) };
    let make =
        || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Reference::default()), Box::new(Worn { answered: 0, isolated: false })]) };
    let outcome = campaign::run(&plan, &make, &AtomicBool::new(false), &|_, _| (), None).expect("a run");
    assert!(outcome.cases > 3, "the run goes on after the first");
    assert!(!outcome.found.is_empty() && outcome.found.values().all(|file| load_trace(file).is_ok()), "{:?}", outcome.found);
}

/// Breaks its memory: a signal ends it where a trace has so many steps.
struct Corrupt {
    needs: usize,
    /// Where its memory is bounded, so many.
    bounded: Option<usize>,
    /// Whether half as many do in every next process that is given many traces.
    wears: bool,
    limits: Option<Limits>,
}

impl Engine for Corrupt {
    fn identity(&self) -> Identity {
        Identity { name: "corrupt".to_owned(), version: "breaks on purpose".to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn isolate(&mut self, limits: Option<Limits>) -> bool {
        self.limits = limits;
        if limits.is_some_and(|limits| !limits.is_fresh && self.wears) {
            self.needs = self.needs.div_ceil(2);
        }
        true
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let is_bounded = self.limits.is_some_and(|limits| limits.memory.is_some());
        if steps.len() >= self.bounded.filter(|_| is_bounded).unwrap_or(self.needs) {
            return Ok(Run { crash: Some(Crash::Signal(11)), ..Run::default() });
        }
        Engine::run(&mut Reference::default(), steps, observe)
    }
}

fn steps_left_of_eight(corrupt: Corrupt) -> usize {
    let make = |number| Operation::Context { context: ContextId(number) };
    let steps: Vec<_> = (0..8).map(|number| Step::new(ThreadId::MAIN, make(number))).collect();
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Reference::default()), Box::new(corrupt)];
    let found = lockstep::run(&mut engines, &steps, Observe::EveryStep, None).expect("a run").divergence.expect("a crash");
    minimize::minimize(&steps, found, &mut engines, &AtomicBool::new(false)).0.len()
}

#[test]
fn what_depends_on_the_memory_of_a_process_is_shrunk_until_nothing_goes() {
    let left = steps_left_of_eight(Corrupt { needs: 8, bounded: None, wears: true, limits: None });
    assert_eq!(left, 1, "of 4 and of 2 steps some can go once more");
}

#[test]
fn what_only_a_bound_on_memory_shows_is_not_shrunk_to() {
    assert_eq!(steps_left_of_eight(Corrupt { needs: 8, bounded: Some(4), wears: false, limits: None }), 8);
}

#[test]
fn what_a_bound_on_memory_hides_shows_by_itself() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let plan = Plan { until: Until::Found(Duration::from_secs(20)), ..plan(0, out.path()) };
    let make = || -> Result<Vec<Box<dyn Engine>>, _> {
        Ok(vec![Box::new(Reference::default()), Box::new(Corrupt { needs: 8, bounded: Some(usize::MAX), wears: false, limits: None })])
    };
    let outcome = campaign::run(&plan, &make, &AtomicBool::new(false), &|_, _| (), None).expect("a run");
    let steps = outcome.found.values().map(|file| load_trace(file).expect("a saved counterexample loads").steps.len());
    assert_eq!(steps.collect::<Vec<_>>(), [8], "the first that shows, and shrunk");
}
