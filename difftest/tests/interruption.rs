//! Ctrl-C and killing, done for real, to a run against an engine that lies.
//!
//! The engine is this program itself: `--lie` speaks the protocol of `difftest serve`, and `--save`
//! writes traces until it is killed.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

use contextvars_reference::Reference;
use contextvars_spec::{ContextId, Engine, Hello, Identity, Observe, Operation, Outcome, Request, Response, Step, ThreadId, Trace};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--lie") => lie(),
        Some("--save") => save_for_ever(Path::new(&arguments[2])),
        _ => tests(),
    }
}

/// The reference, but for one answer in a few: what it says of caches, versions, sizes, texts and
/// hashes is wrong, so that a run finds many kinds of divergence.
fn lie() -> ExitCode {
    let mut engine = Reference::default();
    let identity = Identity { name: "lying".to_owned(), version: "1".to_owned() };
    let hello = Hello { engine: identity, ..Hello::of(&engine) };
    let mut output = std::io::stdout();
    writeln!(output, "{}", serde_json::to_string(&hello).expect("JSON")).expect("a reader");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let request: Request = serde_json::from_str(&line).expect("a request");
        let mut run = Engine::run(&mut engine, &request.steps, Observe::Every(request.observe)).expect("a run");
        for (step, answer) in request.steps.iter().zip(&mut run.answers) {
            let lies = match step.operation {
                Operation::Value { name, .. } => name.0 == 3,
                Operation::Cache { .. } | Operation::ContextVer {} | Operation::ContextLen { .. } => true,
                Operation::Repr { .. } | Operation::Hash { .. } | Operation::HasCurrentContext {} => true,
                Operation::Attempt { .. } | Operation::TokenVar { .. } | Operation::Dereference { .. } => true,
                _ => false,
            };
            if lies && answer.outcome != Outcome::Skipped {
                answer.outcome = Outcome::Count(4711);
            }
        }
        let response = serde_json::to_string(&Response::from(run)).expect("JSON");
        if writeln!(output, "{response}").and_then(|()| output.flush()).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// How many steps the two traces have that `--save` writes in turn: some 300 kB.
const STEPS: [u32; 2] = [5_000, 5_001];

fn large(steps: u32) -> Trace {
    Trace::new("large", (0..steps).map(|id| Step::new(ThreadId::MAIN, Operation::Context { context: ContextId(id) })).collect())
}

fn save_for_ever(path: &Path) -> ExitCode {
    let traces = STEPS.map(large);
    loop {
        for trace in &traces {
            contextvars_difftest::save::write(path, trace).expect("a folder to write to");
        }
    }
}

/// The names of the files in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn is_unfinished(name: &str) -> bool {
    name.starts_with(".trace-") && name.ends_with(".tmp")
}

#[cfg(not(unix))]
fn tests() -> ExitCode {
    println!("skipped: interrupting is tested on Unix");
    ExitCode::SUCCESS
}

#[cfg(unix)]
fn tests() -> ExitCode {
    use libtest_mimic::{Arguments, Trial};

    let trials = vec![
        Trial::test("ctrl_c_finishes_the_case_and_prints_the_summary", unix::ctrl_c_with_agreement),
        Trial::test("ctrl_c_saves_what_was_found_and_reaches_no_engine", unix::ctrl_c_with_divergences),
        Trial::test("a_kill_loses_no_counterexample", unix::kill),
        Trial::test("a_kill_while_a_file_is_written_leaves_the_old_or_the_new", unix::kill_while_writing),
        Trial::test("what_a_kill_left_is_removed_when_it_is_stale", unix::stale),
        Trial::test("an_engine_that_fails_ends_the_run_with_its_summary", unix::failing_engine),
        Trial::test("an_engine_that_ends_its_process_begins_the_run_again", unix::crash).with_ignored_flag(!cfg!(target_os = "linux")),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

#[cfg(unix)]
mod unix {
    use std::fs::File;
    use std::io::{BufReader, Read};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant, SystemTime};

    use contextvars_spec::load_trace;
    use libtest_mimic::Failed;
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    use serde_json::Value as Json;

    use super::*;

    /// How long anything may take that is waited for: nothing does, unless it hangs.
    const PATIENCE: Duration = Duration::from_secs(120);

    fn liar() -> String {
        format!("reference,child={} --lie", std::env::current_exe().expect("this program").display())
    }

    /// A run that would take an hour, in a process group of its own, as a terminal starts it.
    fn long_run(out: &Path, engines: &str, more: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_difftest"))
            .args(["run", "--time", "1h", "--jobs", "2", "--engines", engines, "--out"])
            .arg(out)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("difftest starts")
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// To the whole group, as the terminal's Ctrl-C is.
    fn interrupt(child: &Child) {
        killpg(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("a process to interrupt");
    }

    fn traces(folder: &Path) -> BTreeSet<String> {
        names(folder).into_iter().filter(|name| name.ends_with(".json")).collect()
    }

    /// Every trace in the folder is whole and of the signature that its name says, and besides
    /// there are unfinished files only, which no search takes for traces.
    fn check_folder(folder: &Path) -> BTreeSet<String> {
        let traces = traces(folder);
        for name in names(folder) {
            let path = folder.join(&name);
            if traces.contains(&name) {
                let trace = load_trace(&path).unwrap_or_else(|error| panic!("{error}"));
                let signature = trace.provenance.map(|provenance| provenance.signature);
                assert_eq!(signature.map(|signature| signature + ".json"), Some(name));
            } else {
                assert!(is_unfinished(&name), "{name}");
            }
        }
        let found = contextvars_difftest::save::find(&[folder.to_owned()]).expect("a folder");
        assert_eq!(found.len(), traces.len());
        traces
    }

    pub(super) fn ctrl_c_with_agreement() -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        let mut child = long_run(folder.path(), "reference,optimized", &["--seed", "1"]);
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut told = String::new();
        output.read_line(&mut told).expect("text");
        assert_eq!(told, "seed 1\n");
        interrupt(&child);
        output.read_to_string(&mut told).expect("text");
        assert!(told.contains("interrupted") && told.contains("divergences  0"), "{told}");
        assert_eq!(child.wait().expect("an end").code(), Some(0));
        Ok(())
    }

    pub(super) fn ctrl_c_with_divergences() -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        let child = long_run(folder.path(), &liar(), &["--seed", "1", "--json"]);
        until("a counterexample is saved", || !traces(folder.path()).is_empty());
        interrupt(&child);
        let output = child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: Json = serde_json::from_slice(&output.stdout)?;
        assert_eq!(summary["interrupted"], true);
        let divergences = summary["divergences"].as_array().ok_or("a list")?;
        let saved = check_folder(folder.path());
        assert_eq!(divergences.len(), saved.len());
        for found in divergences {
            let signature = found["signature"].as_str().ok_or("a signature")?;
            assert!(saved.contains(&format!("{signature}.json")));
            // An engine that had heard of it would have died of it.
            let trace = load_trace(&folder.path().join(format!("{signature}.json")))?;
            assert!(!trace.title.contains("signal"), "{}", trace.title);
        }
        // What the summary says replays it.
        let command = divergences[0]["replay"].as_str().and_then(shlex::split).ok_or("a command")?;
        let replay = Command::new(env!("CARGO_BIN_EXE_difftest")).args(&command[2..]).output()?;
        assert_eq!(replay.status.code(), Some(1), "{command:?}");
        Ok(())
    }

    pub(super) fn kill() -> Result<(), Failed> {
        const KILLS: u64 = 30;
        let folder = tempfile::tempdir()?;
        let mut known = BTreeSet::new();
        let (mut unfinished, mut killed_with_traces) = (0, 0);
        for seed in 0..KILLS {
            let mut child = long_run(folder.path(), &liar(), &["--seed", &seed.to_string()]);
            // From the first trace on, at another moment each time; what holds does so at any.
            until("a counterexample is saved", || !traces(folder.path()).is_empty());
            std::thread::sleep(Duration::from_millis(seed * 37 % 500));
            let before = traces(folder.path());
            child.kill().expect("a process to kill");
            child.wait().expect("an end");
            let after = check_folder(folder.path());
            assert!(before.is_subset(&after) && known.is_subset(&after), "a counterexample is lost");
            killed_with_traces += u64::from(!after.is_empty());
            known = after;
            unfinished = names(folder.path()).len() - known.len();
        }
        assert_eq!(killed_with_traces, KILLS);
        println!("{KILLS} kills: {} counterexamples are whole, {unfinished} unfinished files are passed over", known.len());
        let replay =
            Command::new(env!("CARGO_BIN_EXE_difftest")).args(["replay", "--json", "--engines", &liar()]).arg(folder.path()).output()?;
        let replay: Json = serde_json::from_slice(&replay.stdout)?;
        assert_eq!(replay["divergences"].as_array().map(Vec::len), Some(known.len()), "every one still differs");
        Ok(())
    }

    pub(super) fn kill_while_writing() -> Result<(), Failed> {
        const KILLS: u64 = 60;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("large.json");
        let mut seen = BTreeSet::new();
        for kill in 0..KILLS {
            let mut child = Command::new(std::env::current_exe()?).arg("--save").arg(&path).spawn()?;
            until("the file is there", || path.exists());
            std::thread::sleep(Duration::from_millis(kill * 7 % 60));
            child.kill().expect("a process to kill");
            child.wait().expect("an end");
            let trace = load_trace(&path)?;
            assert!(STEPS.iter().any(|steps| trace == large(*steps)));
            seen.insert(trace.steps.len());
        }
        let unfinished = names(folder.path()).into_iter().filter(|name| is_unfinished(name)).count();
        assert_eq!(names(folder.path()).len(), unfinished + 1);
        println!("{KILLS} kills: the file is whole, {unfinished} of them left an unfinished one; seen {seen:?}");
        Ok(())
    }

    pub(super) fn stale() -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str, hours: u64| -> std::io::Result<()> {
            let file = File::create(folder.path().join(name))?;
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600))
        };
        file(".trace-old.tmp", 2)?;
        file(".trace-fresh.tmp", 0)?;
        file("mine.tmp", 2)?;
        let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_difftest")).args(arguments).arg(folder.path()).output();
        let run_once = ["run", "--cases", "2", "--seed", "1", "--engines", "reference,optimized", "--out"];
        assert_eq!(run(&run_once)?.status.code(), Some(0));
        assert_eq!(names(folder.path()), BTreeSet::from([".trace-fresh.tmp".to_owned(), "mine.tmp".to_owned()]));
        file(".trace-old.tmp", 2)?;
        let from = tempfile::tempdir()?;
        let merge = run(&["merge", &from.path().display().to_string(), "--out"])?;
        assert_eq!(merge.status.code(), Some(0), "{}", String::from_utf8_lossy(&merge.stdout));
        assert_eq!(names(folder.path()), BTreeSet::from([".trace-fresh.tmp".to_owned(), "mine.tmp".to_owned()]));
        Ok(())
    }

    /// A shell that says hello and then nothing of the protocol.
    pub(super) fn failing_engine() -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("engine.sh");
        let hello = r#"{"protocol":1,"engine":{"name":"mute","version":"1"},"python":"3.14"}"#;
        std::fs::write(&script, format!("echo '{hello}'\nread line\necho what\n"))?;
        let engines = format!("reference,child=sh {}", script.display());
        let output = long_run(&folder.path().join("found"), &engines, &["--json"]).wait_with_output()?;
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("its answer is not of the protocol"), "{told}");
        let summary: Json = serde_json::from_slice(&output.stdout)?;
        assert!(summary["failure"].as_str().is_some_and(|failure| failure.contains("engine.sh")), "{summary}");
        Ok(())
    }

    /// The processes that a process has started.
    fn children(of: u32) -> Vec<i32> {
        let listed = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
        listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// The signal is what a process gets whose memory allocator finds its memory broken.
    pub(super) fn crash() -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        let mut run = long_run(folder.path(), "reference,optimized", &["--seed", "1", "--shard", "1/2"]);
        let mut output = BufReader::new(run.stdout.take().expect("a pipe"));
        let mut begun = || {
            let mut told = String::new();
            output.read_line(&mut told).expect("text");
            assert_eq!(told, "seed 1\n");
        };
        begun();
        let workers = children(run.id());
        assert_eq!(workers.len(), 1);
        // Two workers, and a case of each.
        let at = format!("/proc/{}/fd/0", workers[0]);
        until("both workers are at a case", || std::fs::read(&at).is_ok_and(|at| at.len() == 16 && at[..8] != [0; 8]));
        nix::sys::signal::kill(Pid::from_raw(workers[0]), Signal::SIGABRT).expect("a process to end");
        begun();
        let command = std::fs::read_to_string(format!("/proc/{}/cmdline", run.id())).expect("a process");
        let arguments: Vec<_> = command.split('\0').collect();
        let first: Vec<_> = arguments.windows(2).filter(|pair| pair[0] == "--first").map(|pair| pair[1]).collect();
        let first = first.join(",");
        assert!(
            first.split(',').count() == 2 && first.split(',').all(|case| case.parse::<u64>().is_ok_and(|case| case % 2 == 0)),
            "{first}"
        );
        interrupt(&run);
        let mut summary = String::new();
        output.read_to_string(&mut summary).expect("text");
        assert!(summary.contains("interrupted") && summary.contains("1/2") && summary.contains("divergences  0"), "{summary}");
        let output = run.wait_with_output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("SIGABRT") && told.contains("begins again"), "{told}");
        assert!(told.contains(&format!("at case {} of seed 1", first.replace(',', " or "))), "{told}");
        assert_eq!(output.status.code(), Some(0), "{told}");
        Ok(())
    }
}
