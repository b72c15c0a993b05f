//! The deviations under `traces/deviations`: an interpreter of the version that is named there, where one is
//! found, deviates still. That our own engines do not is what `saved_traces` sees.

use std::path::Path;

use contextvars_difftest::{engines, lockstep, save};
use contextvars_spec::{Identity, Observe, load_trace};

/// The names of the interpreters that are found and start, each with who it is.
fn interpreters() -> Vec<(String, Identity)> {
    let names = engines::python::find().0.into_iter().map(|found| format!("python={}", found.path.display()));
    names.filter_map(|name| engines::start(&name).map(|engine| (name, engine.identity())).ok()).collect()
}

#[test]
fn interpreters_that_deviate_do_so_still() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/deviations");
    let traces = save::find(&[folder]).expect("a folder of traces");
    assert!(!traces.is_empty());
    let interpreters = interpreters();
    for path in traces {
        let trace = load_trace(&path).expect("a trace");
        let provenance = trace.provenance.as_ref().unwrap_or_else(|| panic!("{} says who deviates", path.display()));
        let (who, held_to) = provenance.engines.split_last().expect("an engine");
        let Some((name, _)) = interpreters.iter().find(|(_, identity)| identity == who) else {
            eprintln!("skipped: {} needs {} {}", path.display(), who.name, who.version);
            continue;
        };
        let names = held_to.iter().map(|other| &other.name).chain([name]);
        let mut all: Vec<_> = names.map(|name| engines::start(name).expect("an engine that starts")).collect();
        // A known fault excuses who is held to the reference; alone it is not.
        let found = lockstep::run(&mut all, &trace.steps, Observe::EveryStep, None).expect("answers").divergence;
        assert!(found.is_some(), "{} {} does not deviate in {}", who.name, who.version, path.display());
    }
}
