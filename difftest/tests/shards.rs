//! A run split into shards finds what the whole run finds, once merged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use contextvars_difftest::campaign::{self, PROGRAMS, Plan, SHORT, Until};
use contextvars_difftest::merge::{Merged, merge};
use contextvars_difftest::save;
use contextvars_difftest::shard::Shard;
use contextvars_reference::Reference;
use contextvars_spec::{Engine, EngineError, Error, Identity, Observe, Operation, Outcome, Run, Step, Trace, Version, load_trace};

const CASES: u64 = SHORT + 120;
const SHARDS: u64 = 5;

/// The reference with a few faults; remembers the traces that it is given first, case by case.
struct Faulty<'a>(&'a Mutex<Vec<Vec<Step>>>);

impl Engine for Faulty<'_> {
    fn identity(&self) -> Identity {
        Identity { name: "faulty".to_owned(), version: "1".to_owned() }
    }

    fn python_version(&self) -> Version {
        Version::V3_14
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        // The two intervals of `Settings::observe`; shrinking observes more often.
        if matches!(observe, Observe::Every(64 | 4_096)) {
            self.0.lock().expect("no panic").push(steps.to_vec());
        }
        let mut run = Engine::run(&mut Reference::default(), steps, observe)?;
        for (step, answer) in steps.iter().zip(&mut run.answers) {
            match (&step.operation, &mut answer.outcome) {
                (_, outcome @ Outcome::Error(Error::TokenUsed { .. } | Error::NotCurrent { .. })) => *outcome = Outcome::None,
                (Operation::IteratorLen { .. }, Outcome::Count(count @ 2..)) => *count -= 1,
                _ => {}
            }
        }
        Ok(run)
    }
}

fn run(shard: Shard, jobs: usize, out: &Path, steps: &'static Mutex<Vec<Vec<Step>>>) -> campaign::Outcome {
    let plan = Plan {
        until: Until::Cases(CASES),
        seed: 3,
        shard,
        first: Vec::new(),
        jobs,
        out: out.to_owned(),
        programs: PROGRAMS,
        follow: campaign::FOLLOW,
    };
    let make = || -> Result<Vec<Box<dyn Engine>>, _> { Ok(vec![Box::new(Reference::default()), Box::new(Faulty(steps))]) };
    campaign::run(&plan, &make, &AtomicBool::new(false), &|_, _| (), None).expect("a run")
}

fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let found = save::find(&[folder.to_owned()]).expect("a folder");
    found
        .iter()
        .map(|file| (file.strip_prefix(folder).expect("within").to_owned(), std::fs::read_to_string(file).expect("a file")))
        .collect()
}

#[test]
fn the_union_of_the_shards_is_the_whole_run() {
    static WHOLE: Mutex<Vec<Vec<Step>>> = Mutex::new(Vec::new());
    static PARTS: Mutex<Vec<Vec<Step>>> = Mutex::new(Vec::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = run(Shard::WHOLE, 2, &folder.path().join("whole"), &WHOLE);
    let mut sums = (0, 0);
    let mut parts = Vec::new();
    let mut rules = contextvars_spec::RuleSet::default();
    for number in 1..=SHARDS {
        let out = folder.path().join(format!("part{number}"));
        let part = run(format!("{number}/{SHARDS}").parse().expect("a shard"), 1, &out, &PARTS);
        sums = (sums.0 + part.cases, sums.1 + part.operations);
        rules.extend(&part.rules);
        parts.push(out);
    }
    assert_eq!(sums, (whole.cases, whole.operations));
    assert_eq!(rules, whole.rules);
    let sorted = |steps: &Mutex<Vec<Vec<Step>>>| {
        let mut texts: Vec<_> = steps.lock().expect("no panic").iter().map(|steps| format!("{steps:?}")).collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted(&WHOLE).len() as u64, CASES);
    assert!(sorted(&WHOLE) == sorted(&PARTS), "the shards run other cases than the whole");

    // And the counterexamples are the same to the byte, in whatever order they are merged.
    let merged = merge(&parts, &folder.path().join("merged")).expect("a merge");
    assert!(merged.bad.is_empty() && whole.found.len() >= 3, "{merged:?}");
    assert_eq!(files(&folder.path().join("merged")), files(&folder.path().join("whole")));
    parts.reverse();
    merge(&parts, &folder.path().join("again")).expect("a merge");
    assert_eq!(files(&folder.path().join("again")), files(&folder.path().join("whole")));
}

/// A counterexample of a signature with so many steps.
fn found(signature: &str, steps: u32) -> Trace {
    let step = |id| Step::new(contextvars_spec::ThreadId::MAIN, Operation::Context { context: contextvars_spec::ContextId(id) });
    let mut trace = Trace::new(signature, (0..steps).map(step).collect());
    trace.provenance = Some(contextvars_spec::Provenance {
        seed: None,
        case: None,
        settings: None,
        engines: Vec::new(),
        step: 0,
        answers: Vec::new(),
        difference: String::new(),
        signature: signature.to_owned(),
    });
    trace
}

fn put(folder: &Path, name: &str, trace: &Trace) -> PathBuf {
    let path = folder.join(name);
    save::write(&path, trace).expect("a file");
    path
}

#[test]
fn a_merge_keeps_the_smallest_of_each_and_says_what_it_did() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (one, two, out) = (folder.path().join("one"), folder.path().join("two"), folder.path().join("out"));
    put(&one, "a.json", &found("a", 3));
    put(&one, "b.json", &found("b", 4));
    put(&two, "deep/a.json", &found("a", 2));
    put(&two, "c.json", &found("c", 1));
    put(&out, "b.json", &found("b", 2));
    put(&out, "c.json", &found("c", 5));
    let merged = merge(&[one.clone(), two.clone()], &out).expect("a merge");
    assert_eq!((merged.read, merged.duplicates, merged.written.len(), merged.unchanged.len()), (6, 3, 2, 1), "{merged:?}");
    let steps = |name: &str| load_trace(&out.join(name)).expect("a trace").steps.len();
    assert_eq!([steps("a.json"), steps("b.json"), steps("c.json")], [2, 2, 1]);
    // Once more changes nothing, and neither does the folder itself as a source.
    let again = merge(&[one, two, out.clone()], &out).expect("a merge");
    assert_eq!((again.written.len(), again.unchanged.len(), again.bad.len()), (0, 3, 0));
    assert_eq!(files(&out).len(), 3);
}

#[test]
fn a_merge_passes_over_bad_files_and_destroys_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, out) = (folder.path().join("from"), folder.path().join("out"));
    put(&from, "good.json", &found("good", 3));
    put(&from, "blocked.json", &found("blocked", 3));
    put(&from, "taken.json", &found("taken", 3));
    put(&from, "escape.json", &found("../escape", 3));
    put(&from, "twin.json", &found("-.-escape", 3));
    let golden = put(&from, "golden.json", &Trace::new("no counterexample", Vec::new()));
    let cut = from.join("cut.json");
    std::fs::write(&cut, "{\"format\":1,").expect("a file");
    // In the folder itself: no trace, and a trace under the name of another.
    std::fs::create_dir_all(&out).expect("a folder");
    std::fs::write(out.join("blocked.json"), "precious").expect("a file");
    put(&out, "taken.json", &found("other", 3));

    let Merged { written, bad, read, .. } = merge(&[from.clone(), from.join("nonesuch")], &out).expect("a merge");
    let names: Vec<_> = written.iter().filter_map(|kept| kept.file.file_name()).collect();
    assert_eq!(names, ["-.-escape.json", "good.json", "other.json"]);
    assert_eq!(read, 5);
    let told = |file: &Path, why: &str| assert!(bad.iter().any(|bad| bad.file == file && bad.error.contains(why)), "{file:?}: {bad:#?}");
    told(&cut, "is not a trace");
    told(&golden, "no `provenance.signature`");
    told(&from.join("nonesuch"), "check the path");
    told(&from.join("blocked.json"), "move that one");
    told(&from.join("taken.json"), "rename that one");
    told(&from.join("twin.json"), "gives the file name of");
    told(&out.join("blocked.json"), "is not a trace");
    assert_eq!(bad.len(), 7);
    assert_eq!(std::fs::read_to_string(out.join("blocked.json")).expect("a file"), "precious");
    assert_eq!(load_trace(&out.join("taken.json")).expect("a trace"), found("other", 3));
    assert!(!folder.path().join("escape.json").exists());
    assert_eq!(files(&from).len(), 7, "the sources stay");
}

#[test]
fn long_signatures_have_names_of_their_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, out) = (folder.path().join("from"), folder.path().join("out"));
    for end in ["x", "y"] {
        put(&from, &format!("{end}.json"), &found(&format!("{}{end}", "é".repeat(500)), 1));
    }
    let merged = merge(&[from], &out).expect("a merge");
    assert_eq!((merged.written.len(), merged.bad.len(), files(&out).len()), (2, 0, 2), "{merged:?}");
}
