//! Campaigns that have to catch an engine that is wrong on purpose, and what is asked of the traces.

use std::path::Path;

use contextvars_difftest::campaign::{self, PROGRAMS, Plan, Until};
use contextvars_difftest::lockstep;
use contextvars_difftest::shard::Shard;
use contextvars_spec::{Engine, Observe, Trace};

/// So many cases, on one thread.
pub(crate) fn plan(cases: u64, out: &Path) -> Plan {
    Plan {
        until: Until::Cases(cases),
        seed: 11,
        shard: Shard::WHOLE,
        first: Vec::new(),
        jobs: 1,
        out: out.to_owned(),
        programs: PROGRAMS,
        follow: campaign::FOLLOW,
    }
}

/// The trace is short, and one-minimal: without any one step, and what needs it, nothing differs.
pub(crate) fn assert_is_shrunk(name: &str, path: &Path, trace: &Trace, engines: &mut [Box<dyn Engine>]) {
    assert!(trace.steps.len() <= 8, "{name}: {} steps are left in {}", trace.steps.len(), path.display());
    for index in 0..trace.steps.len() {
        let mut fewer = trace.steps.clone();
        fewer.remove(index);
        if contextvars_spec::validate_steps(&fewer).is_ok() {
            let left = lockstep::run(engines, &fewer, Observe::EveryStep, None).expect("a replay").divergence;
            assert!(left.is_none(), "{name}: step {index} of {} can go", path.display());
        }
    }
}
