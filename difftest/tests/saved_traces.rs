//! Replays every file under `traces/` as a test of its own name.

use std::path::{Path, PathBuf};

use contextvars_difftest::{engines, lockstep, save};
use contextvars_spec::{Observe, load_trace};
use libtest_mimic::{Arguments, Failed, Trial};

fn traces() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces")
}

fn replay(path: &Path) -> Result<(), Failed> {
    let trace = load_trace(path)?;
    let mut all = Vec::new();
    for name in engines::at_hand() {
        let mut engine = engines::start(name)?;
        if lockstep::can_run(engine.as_ref(), &trace)
            && let Some(divergence) = lockstep::check_recorded(engine.as_mut(), &trace)?
        {
            return Err(format!("`{name}` differs from what is recorded: {}", divergence.difference.text).into());
        }
        all.push(engine);
    }
    let lockstep = lockstep::run(&mut all, &trace.steps, Observe::EveryStep, None)?;
    for identity in lockstep.left_out {
        eprintln!("{} {} is left out: {} {}", identity.name, identity.version, path.display(), trace.needs());
    }
    lockstep.divergence.map_or(Ok(()), |divergence| Err(divergence.difference.text.into()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = traces();
    let trials = save::find(std::slice::from_ref(&root))?.into_iter().map(|path| {
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        Trial::test(name, move || replay(&path))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
