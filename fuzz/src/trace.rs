//! Holding the optimized implementation to the reference, and saving what differs.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use contextvars_difftest::engines::optimized::Optimized;
use contextvars_difftest::generate::grow;
use contextvars_difftest::{campaign, lockstep, minimize, program};
use contextvars_optimized::Shared;
use contextvars_reference::Reference;
use contextvars_spec::{Engine, Observe, Run, Step, parse_trace};

use crate::genome::genome;

/// The variable that names the folder for counterexamples.
const FOLDER: &str = "DIFFTEST_FOUND";

/// How many steps lie between two observations of the whole state: a fault must not be overwritten
/// before it is seen, and shrinking finds its step.
const OBSERVE: Observe = Observe::Every(16);

/// Grows the trace of an input and runs it on both.
///
/// # Panics
///
/// Where they differ; the counterexample is shrunk and saved first.
pub fn check_generated(data: &[u8]) {
    let Some(genome) = genome(data) else { return };
    let grown = grow(&genome, OBSERVE);
    check(&grown.steps, OBSERVE, Some(grown.run));
}

/// Loads the text of a trace. If it is one, its own text is the same trace, both engines answer it
/// alike, and it can be shown as a program.
///
/// # Panics
///
/// Where one of these does not hold; a counterexample is shrunk and saved first.
pub fn check_text(data: &[u8]) {
    let path = Path::new("input.json");
    let trace = match parse_trace(path, data) {
        Ok(trace) => trace,
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("`input.json`") && message.len() < 20_000, "{message}");
            return;
        }
    };
    let text = trace.to_json().unwrap_or_else(|error| panic!("a trace that was loaded has no text: {error}"));
    match parse_trace(path, text.as_bytes()) {
        Ok(again) => assert!(again == trace, "a trace changes when it is saved:\n{text}"),
        Err(error) => panic!("a trace that was saved is not loaded: {error}\n{text}"),
    }
    check(&trace.steps, lockstep::closest(&trace.steps), None);
    assert!(program::python(&trace).contains("contextvars"), "the program of a trace is cut");
}

fn check(steps: &[Step], observe: Observe, known: Option<Run>) {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Reference::default()), Box::new(Optimized::<Shared>::default())];
    let ran = lockstep::run(&mut engines, steps, observe, known).unwrap_or_else(|error| panic!("{error}"));
    let Some(divergence) = ran.divergence else { return };
    let (steps, divergence) = minimize::minimize(steps, divergence, &mut engines, &AtomicBool::new(false));
    let trace = campaign::counterexample(steps, &divergence, &engines);
    let folder = std::env::var_os(FOLDER).map_or_else(|| PathBuf::from("traces/found"), PathBuf::from);
    match campaign::keep_smallest(&folder, &trace, &divergence, &mut engines) {
        Ok(path) => panic!("{}\nsaved; replay with: cargo difftest replay '{}' --engines reference,optimized", trace.title, path.display()),
        Err(error) => panic!(
            "{}\ncannot save it in `{}`: {error}; name another folder in {FOLDER}. The trace:\n{}",
            trace.title,
            folder.display(),
            trace.to_json().unwrap_or_default()
        ),
    }
}
