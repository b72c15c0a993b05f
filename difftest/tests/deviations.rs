//! The deviations under `traces/deviations`: an interpreter of the version that is named there, where one is
//! found, deviates still. That our own engines do not is what `saved_traces` sees.

use std::path::Path;

use contextvars_difftest::{engines, lockstep, save};
use contextvars_spec::{Engine, Observe, load_trace};

fn interpreters() -> Vec<Box<dyn Engine>> {
    let (found, _) = engines::python::find();
    let start = |path: &Path| engines::start(&format!("python={}", path.display())).ok();
    found.iter().filter_map(|found| start(&found.path)).collect()
}

#[test]
fn interpreters_that_deviate_do_so_still() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/deviations");
    let traces = save::find(&[folder]).expect("a folder of traces");
    assert!(!traces.is_empty());
    for path in traces {
        let trace = load_trace(&path).expect("a trace");
        let provenance = trace.provenance.as_ref().unwrap_or_else(|| panic!("{} says who deviates", path.display()));
        let (who, held_to) = provenance.engines.split_last().expect("an engine");
        let Some(engine) = interpreters().into_iter().find(|engine| engine.identity() == *who) else {
            eprintln!("skipped: {} needs {} {}", path.display(), who.name, who.version);
            continue;
        };
        let mut all: Vec<_> = held_to.iter().map(|other| engines::start(&other.name).expect("an engine of this build")).collect();
        all.push(engine);
        // A known fault excuses who is held to the reference; alone it is not.
        let found = lockstep::run(&mut all, &trace.steps, Observe::EveryStep, None).expect("answers").divergence;
        assert!(found.is_some(), "{} {} does not deviate in {}", who.name, who.version, path.display());
    }
}
