//! Every rule has a golden trace, which exercises it and records every outcome.

use std::path::Path;

use contextvars_difftest::golden::exercised;
use contextvars_spec::{Rule, load_trace};

#[test]
fn every_rule_has_a_golden_trace_that_exercises_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/conformance");
    for &rule in Rule::ALL {
        let trace = load_trace(&folder.join(format!("{rule}.json"))).unwrap_or_else(|error| panic!("{error}"));
        for step in &trace.steps {
            assert!(step.outcome.is_some(), "{rule}: `{}` records no outcome", step.operation.tag());
        }
        assert!(exercised(&trace.steps).contains(rule) && trace.rules.contains(&rule), "{rule} is not exercised by its trace");
    }
}
