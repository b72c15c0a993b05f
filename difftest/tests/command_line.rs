//! The command line: exit statuses, messages, and what machines read.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

/// What every build has.
const ENGINES: [&str; 2] = ["--engines", "reference,optimized"];

fn difftest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_difftest")).args(arguments).stdin(Stdio::null()).output().expect("difftest starts")
}

/// A run of a command with the engines that every build has.
fn with_engines(arguments: &[&str]) -> Output {
    difftest(&[arguments, &ENGINES].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

#[track_caller]
fn ends_with(output: &Output, status: i32) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "stdout: {out}\nstderr: {err}");
    assert!(!err.contains("panicked"), "{err}");
}

fn conformance(rule: &str) -> String {
    format!("{}/../traces/conformance/{rule}.json", env!("CARGO_MANIFEST_DIR"))
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).expect("a file in a temporary folder");
    path.display().to_string()
}

#[test]
fn agreement_is_status_0() {
    ends_with(&with_engines(&["replay", &conformance("RESET-2")]), 0);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("found").display().to_string();
    let run = with_engines(&["run", "--cases", "20", "--seed", "1", "--out", &out]);
    ends_with(&run, 0);
    assert!(text(&run.stdout).contains("divergences  0"));
    assert!(!Path::new(&out).exists(), "nothing was found, and nothing is left");
}

#[test]
fn one_engine_alone_is_held_to_the_laws() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("found").display().to_string();
    let arguments = ["run", "--engines", "reference", "--cases", "50", "--seed", "1", "--out", &out];
    let run = difftest(&arguments);
    ends_with(&run, 0);
    assert!(text(&run.stdout).contains("laws         checked"));
    let run = difftest(&[&arguments[..], &["--json"]].concat());
    assert!(json(&run)["laws"]["LAW-1"].as_u64() > Some(100));
}

#[test]
fn a_divergence_is_status_1_and_told_with_the_command_that_shows_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = std::fs::read_to_string(conformance("RESET-2")).expect("a golden trace");
    assert!(whole.contains("token_used"));
    // Recorded otherwise than it is.
    let bad = write(&folder.path().join("false.json"), &whole.replacen("token_used", "token_of_other_variable", 1));
    let replay = with_engines(&["replay", &bad]);
    ends_with(&replay, 1);
    let told = text(&replay.stdout);
    assert!(told.contains("differs from `recorded`") && told.contains(&format!("cargo difftest show '{bad}'")), "{told}");

    let replay = json(&with_engines(&["replay", "--json", &bad]));
    assert_eq!(replay["traces"], 1);
    assert_eq!(replay["divergences"][0]["held_to"], "recorded");
    let show = with_engines(&["show", &bad]);
    ends_with(&show, 0);
    assert!(text(&show.stdout).contains("<- differs"));
    // Among themselves they agree.
    let shrink = with_engines(&["shrink", &bad]);
    ends_with(&shrink, 0);
    assert!(text(&shrink.stdout).contains("nothing to shrink"));
}

#[test]
fn a_bad_file_is_status_2_and_the_good_ones_are_replayed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bad = write(&folder.path().join("a.json"), "{");
    std::fs::copy(conformance("RESET-2"), folder.path().join("b.json")).expect("a copy");
    let path = folder.path().display().to_string();
    let replay = with_engines(&["replay", &path]);
    ends_with(&replay, 2);
    assert!(text(&replay.stdout).contains("1 traces, 0 divergences") && text(&replay.stderr).contains(&format!("`{bad}`")));
    let replay = with_engines(&["replay", "--json", &path]);
    ends_with(&replay, 2);
    assert_eq!((&json(&replay)["traces"], json(&replay)["bad"].as_array().map(Vec::len)), (&Json::from(1), Some(1)));
}

#[test]
fn wrong_usage_is_status_2_with_the_mend() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write(&folder.path().join("file"), "");
    let (under_a_file, nowhere) = (format!("{file}/found"), folder.path().join("none").display().to_string());
    let cases: [(&[&str], &str); 31] = [
        (&[], "Usage"),
        (&["levitate"], "levitate"),
        (&["run", "--levitate"], "--levitate"),
        (&["run", "--engines", "nonesuch,reference"], "`nonesuch` is not an engine; name some of"),
        (&["run", "--engines", "reference,"], "`` is not an engine"),
        (&["run", "--engines", "reference,child="], "no program is named; write `child=PROGRAM"),
        (&["run", "--engines", "reference,child=/nonesuch/engine"], "cannot start `/nonesuch/engine`"),
        (&["run", "--engines", "reference,child=true"], "ends before it says hello"),
        (&["run", "--engines", "reference,child=echo hello"], "says no hello of the protocol"),
        (&["run", "--time", "forever"], "write for instance `60s`"),
        (&["run", "--time", "0s"], "write for instance `60s`"),
        (&["run", "--time=-1s"], "write for instance `60s`"),
        (&["run", "--time", "\u{661}s"], "write for instance `60s`"),
        (&["run", "--time", "\u{e9}"], "write for instance `60s`"),
        (&["run", "--time", "99999999999999999999h"], "write for instance `60s`"),
        (&["run", "--time", "18446744073709551615h"], "write fewer hours"),
        (&["run", "--time", "1s", "--cases", "1"], "cannot be used with"),
        (&["run", "--cases", "0"], "'0' for '--cases"),
        (&["run", "--cases", "many"], "'many' for '--cases"),
        (&["run", "--jobs", "0"], "0 is not in 1..=1024"),
        (&["run", "--jobs", "1000000"], "1000000 is not in 1..=1024"),
        (&["run", "--seed", "18446744073709551616"], "a whole number below 2^64"),
        (&["run", "--first", "1,x"], "a whole number from 0 on; copy one that a run named"),
        (&["run", "--shard", "0/4"], "write a number from 1 to 4"),
        (&["run", "--shard", "1"], "such as `2/8`"),
        (&["run", "--cases", "8", "--first", "3,8"], "the run has no case `8`; write one below `--cases`"),
        (&["run", "--shard", "2/4", "--first", "6"], "the run has no case `6`"),
        (&["run", "--out", &under_a_file], "name another folder with `--out`"),
        (&["replay", &nowhere], "check the path"),
        (&["show", &nowhere], "check the path"),
        (&["merge", &nowhere], "--out"),
    ];
    for (arguments, mend) in cases {
        let output = if arguments.first() == Some(&"run") && !arguments.contains(&"--engines") {
            with_engines(arguments)
        } else {
            difftest(arguments)
        };
        ends_with(&output, 2);
        assert!(text(&output.stderr).contains(mend), "{arguments:?} do not tell `{mend}`: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    }
}

#[test]
fn a_summary_is_one_object_and_the_same_seed_does_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    let run = |more: &[&str]| {
        let output = with_engines(&[&["run", "--json", "--cases", "60", "--out", &out], more].concat());
        ends_with(&output, 0);
        assert!(output.stderr.is_empty() && output.stdout.ends_with(b"}\n"));
        json(&output)
    };
    let (one, two, other) = (run(&["--seed", "5", "--jobs", "1"]), run(&["--seed", "5", "--jobs", "2"]), run(&["--seed", "6"]));
    assert_eq!((&one["seed"], &one["shard"], &one["cases"]), (&5.into(), &"1/1".into(), &60.into()));
    assert_eq!((&one["operations"], &one["rules_missed"]), (&two["operations"], &two["rules_missed"]));
    assert_ne!(one["operations"], other["operations"]);
    // A random seed is told, and gives the same again.
    let drawn = run(&[]);
    assert_eq!(run(&["--seed", &drawn["seed"].to_string()])["operations"], drawn["operations"]);
}

#[test]
fn engines_that_are_named_one_by_one_all_take_part() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let out = out.path().display().to_string();
    let run = ["run", "--json", "--cases", "5", "--out", &out, "--engines", "reference", "--engines", "optimized"];
    for more in [&[][..], &["--apart"]] {
        let engines = json(&difftest(&[&run[..], more].concat()))["engines"].clone();
        let names: Vec<_> = engines.as_array().expect("engines").iter().filter_map(|engine| engine["name"].as_str()).collect();
        assert!(names.len() == 2 && names[0] == "reference" && names[1].starts_with("optimized"), "{names:?}");
    }
}

#[test]
fn shards_do_together_what_the_run_does() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    let run = |shard: &str| json(&with_engines(&["run", "--json", "--cases", "50", "--seed", "5", "--out", &out, "--shard", shard]));
    let whole = run("1/1");
    let shards: Vec<_> = (1..=4).map(|number| run(&format!("{number}/4"))).collect();
    for sum in ["cases", "operations"] {
        assert_eq!(shards.iter().filter_map(|shard| shard[sum].as_u64()).sum::<u64>(), whole[sum].as_u64().expect("a number"));
    }
    let cases: Vec<_> = shards.iter().map(|shard| shard["cases"].as_u64()).collect();
    assert_eq!(cases, [Some(13), Some(13), Some(12), Some(12)]);
    assert_eq!(shards[1]["shard"], "2/4");
    let shown = with_engines(&["run", "--cases", "8", "--seed", "5", "--out", &out, "--shard", "2/4"]);
    assert!(text(&shown.stdout).contains("shard        2/4"));
}

#[test]
fn merging_nothing_names_what_is_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, none) = (folder.path().join("out").display().to_string(), folder.path().join("none").display().to_string());
    let merge = difftest(&["merge", &none, "--out", &out, "--json"]);
    ends_with(&merge, 2);
    assert_eq!(json(&merge)["bad"][0]["file"], none.as_str());
    assert!(!Path::new(&out).exists());
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error_message() {
    let traces = format!("{}/../traces/conformance", env!("CARGO_MANIFEST_DIR"));
    // Gone before the first line, so that it does not matter who is quicker.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let rules = Command::new(env!("CARGO_BIN_EXE_difftest")).args(["rules", &traces]).stdout(writer).output().expect("difftest starts");
    assert_eq!((rules.status.code(), &*text(&rules.stderr)), (Some(2), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let schema = Command::new(env!("CARGO_BIN_EXE_difftest")).arg("schema").stdout(full).output().expect("difftest starts");
    ends_with(&schema, 2);
    assert!(text(&schema.stderr).contains("No space left"));
}
