//! What `tools/mutants cargo` asks of every mutant: the differential run alone, until it finds the
//! fault. `cargo test` leaves it out, since `differential` does the same for sources that are right.

use std::process::{Command, ExitCode};

use contextvars_spec::load_trace;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let set = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let (seed, seconds) = (set("DIFFTEST_HUNT_SEED", "1"), set("DIFFTEST_HUNT_SECONDS", "10"));
    let out = tempfile::tempdir().expect("a temporary folder");
    let ran = Command::new(env!("CARGO_BIN_EXE_difftest"))
        .args(["run", "--engines", "reference,optimized", "--jobs", "1", "--until-found", "--json"])
        .args(["--seed", &seed, "--time", &format!("{seconds}s"), "--out"])
        .arg(out.path())
        .output()
        .expect("the tester starts");
    let summary: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    if let Some(file) = summary["divergences"][0]["file"].as_str() {
        let steps = load_trace(file.as_ref()).expect("the counterexample is a trace").steps.len();
        println!("{}", json!({"hunt": {"seconds": summary["seconds"], "cases": summary["cases"], "steps": steps}}));
    }
    if !ran.status.success() {
        eprintln!("{}; {}", ran.status, String::from_utf8_lossy(&ran.stderr));
        return ExitCode::FAILURE;
    }
    println!("no divergence: {}", summary["cases"]);
    ExitCode::SUCCESS
}
