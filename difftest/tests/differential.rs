//! Generated traces through every engine of this build: a fixed seed, and one that is printed.

use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use contextvars_difftest::campaign::{self, PROGRAMS, Plan, Until};
use contextvars_difftest::coverage::Situation;
use contextvars_difftest::engines;
use contextvars_difftest::shard::Shard;
use contextvars_spec::Rule;

/// Among so many is the one large trace of some thousand.
const CASES: u64 = 8_000;

fn agree(seed: u64) -> campaign::Outcome {
    println!("reproduce with: cargo difftest run --cases {CASES} --seed {seed}");
    let names = engines::at_hand();
    let out = tempfile::tempdir().expect("a temporary folder").keep();
    let plan =
        Plan { until: Until::Cases(CASES), seed, shard: Shard::WHOLE, first: Vec::new(), jobs: 2, out, programs: PROGRAMS, follow: 1 };
    let make = || names.iter().map(|name| engines::start(name)).collect();
    let outcome = campaign::run(&plan, &make, &AtomicBool::new(false), &|_, _| (), None).expect("the engines start");
    assert!(outcome.found.is_empty(), "seed {seed}: {:?}", outcome.found);
    outcome
}

#[test]
fn engines_agree_on_a_fixed_seed_which_meets_nearly_every_rule_and_every_situation() {
    let outcome = agree(1);
    assert!(outcome.rules.len() + 5 >= Rule::ALL.len(), "{} rules", outcome.rules.len());
    let missed: Vec<_> = outcome.situations.missed().map(|situation| situation.to_string()).collect();
    assert!(missed.is_empty(), "of {} situations, these were not met: {missed:?}", Situation::all().count());
    let again = agree(1);
    assert_eq!(
        (again.operations, again.rules, again.situations),
        (outcome.operations, outcome.rules, outcome.situations),
        "the same seed does the same"
    );
}

#[test]
fn engines_agree_on_a_random_seed() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    agree(now);
}
