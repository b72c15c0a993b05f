//! Hostile trace files: each is refused with the file, the place and the mend, in bounded memory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use contextvars_difftest::engines::optimized::Optimized;
use contextvars_difftest::{lockstep, program, save};
use contextvars_optimized::Shared;
use contextvars_reference::Reference;
use contextvars_spec::{Engine, load_trace, parse_trace};
use proptest::prelude::*;

/// The longest message that a person can be shown.
const MAX_MESSAGE: usize = 10_000;

fn traces() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/conformance")
}

fn difftest(command: &str, path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_difftest"))
        .args([command, "--engines", "reference,optimized"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .expect("difftest starts")
}

/// Peak memory of the largest process that has ended so far, in bytes. A child begins as a fork of this
/// one, whose memory counts as its own: so large texts are made one at a time here.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};

    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss() as u64 * 1024)
}

#[cfg(not(target_os = "linux"))]
fn peak() -> u64 {
    0
}

/// What a file that is refused may take: the program itself with what it links (some 15 MB), the text
/// of the largest trace (16 MB) in a buffer that grows by doubling, and once more in a message.
const REFUSED: u64 = 96 << 20;

#[track_caller]
fn refused(path: &Path, reason: &str) {
    let output = difftest("replay", path);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains(&path.display().to_string()) && told.contains(reason) && !told.contains("panicked"),
        "`{reason}` is not in: {told}"
    );
    assert!(told.len() < MAX_MESSAGE && !told.contains('\u{1b}'), "{told}");
    let peak = peak();
    assert!(peak < REFUSED, "{}: {} MB", path.display(), peak >> 20);
}

/// Files in a temporary folder, with the reason for which each is refused.
fn all_refused(files: &[(&str, &[u8], &str)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes, reason) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        refused(&path, reason);
    }
}

/// A large text, which goes when the file has been refused.
fn one_refused(name: &str, text: String, reason: &str) {
    all_refused(&[(name, text.as_bytes(), reason)]);
}

fn with_steps(steps: &str) -> String {
    format!(r#"{{"format":1,"title":"t","steps":[{steps}]}}"#)
}

#[test]
fn a_trace_that_is_cut_anywhere_is_refused_and_named() {
    for rule in ["RESET-2", "WATCH-1", "EQ-4"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let whole = std::fs::read(traces().join(format!("{rule}.json"))).expect("a golden trace");
        let length = whole.trim_ascii_end().len();
        for cut in 0..length {
            std::fs::write(folder.path().join(format!("{cut}.json")), &whole[..cut]).expect("a file");
        }
        let output = difftest("replay", folder.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(told.lines().count(), length, "one line a file");
        for cut in 0..length {
            assert!(told.contains(&format!("/{cut}.json` is ")), "{cut} bytes of {rule}");
        }
    }
}

/// One change to a file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Swap(prop::sample::Index, prop::sample::Index),
    Word(prop::sample::Index, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    use prop::sample::Index;
    const WORDS: [&str; 16] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "null",
        "-1",
        "1e999",
        "\"ctx0\"",
        "\"var0\"",
        "\"tok0\"",
        "\"None\"",
        "4294967295",
        "\\ud800",
    ];
    prop_oneof![
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (any::<Index>(), 1usize..200).prop_map(|(at, length)| Damage::Cut(at, length)),
        (any::<Index>(), 1usize..200).prop_map(|(at, length)| Damage::Repeat(at, length)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Damage::Swap(one, other)),
        (any::<Index>(), prop::sample::select(&WORDS[..])).prop_map(|(at, word)| Damage::Word(at, word)),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let length_before = bytes.len();
    match damage {
        Damage::Flip(at, bit) => bytes[at.index(length_before)] ^= 1 << bit,
        Damage::Byte(at, byte) => bytes[at.index(length_before)] = *byte,
        Damage::Cut(at, length) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        Damage::Repeat(at, length) => {
            let at = at.index(bytes.len());
            let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        Damage::Swap(one, other) => bytes.swap(one.index(length_before), other.index(length_before)),
        Damage::Word(at, word) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, word.bytes());
        }
    }
}

/// Lines of one step each: whole ones can be moved, doubled and left out.
fn damage_steps() -> impl Strategy<Value = Vec<(prop::sample::Index, prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..3), 1..6)
}

/// What is refused says so in a line of bounded length; what is loaded survives its own text, is
/// answered alike by both engines, and can be shown.
fn loads_or_tells(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let path = Path::new("damaged.json");
    match parse_trace(path, bytes) {
        Err(error) => {
            let message = error.to_string();
            prop_assert!(
                message.starts_with("`damaged.json` ") && message.len() < MAX_MESSAGE && !message.contains(char::is_control),
                "{message}"
            );
            Ok(false)
        }
        Ok(trace) => {
            let text = trace.to_json().map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(parse_trace(path, text.as_bytes()).map_err(|error| error.to_string()), Ok(trace.clone()));
            let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Reference::default()), Box::new(Optimized::<Shared>::default())];
            let ran = lockstep::run(&mut engines, &trace.steps, lockstep::closest(&trace.steps), None);
            let divergence = ran.map_err(|error| TestCaseError::fail(error.to_string()))?.divergence;
            prop_assert!(divergence.is_none(), "{divergence:?}");
            prop_assert!(program::python(&trace).contains("contextvars"));
            Ok(true)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_damaged_trace_is_refused_or_still_a_trace(
        trace in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let files = save::find(&[traces()]).expect("golden traces");
        let mut bytes = std::fs::read(trace.get::<PathBuf>(&files)).expect("a file");
        damages.iter().for_each(|damage| apply(damage, &mut bytes));
        loads_or_tells(&bytes)?;
    }

    #[test]
    fn steps_in_any_order_are_refused_or_a_trace(trace in any::<prop::sample::Index>(), damages in damage_steps()) {
        let files = save::find(&[traces()]).expect("golden traces");
        let mut trace = load_trace(trace.get::<PathBuf>(&files)).expect("a golden trace");
        for (one, other, how) in damages {
            if trace.steps.is_empty() {
                break;
            }
            let (one, other) = (one.index(trace.steps.len()), other.index(trace.steps.len()));
            match how {
                0 => trace.steps.swap(one, other),
                1 => drop(trace.steps.remove(one)),
                _ => trace.steps.insert(other, trace.steps[one].clone()),
            }
        }
        // What was recorded holds no more.
        trace.steps.iter_mut().for_each(|step| step.outcome = None);
        loads_or_tells(trace.to_json().expect("JSON").as_bytes())?;
    }
}

#[test]
fn every_single_bit_matters_to_nobody() {
    let whole = std::fs::read(traces().join("RESET-2.json")).expect("a golden trace");
    let mut loaded = 0;
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        loaded += usize::from(loads_or_tells(&bytes).unwrap_or_else(|error| panic!("bit {bit}: {error}")));
    }
    println!("{loaded} of {} single-bit errors leave a trace, as those within the title do", 8 * whole.len());
    assert!(loaded > 0 && loaded < 4 * whole.len());
}

#[test]
fn nesting_is_bounded() {
    const DEEP: usize = 100_000;
    let deep = |open: &str| open.repeat(DEEP);
    one_refused("arrays.json", deep("["), "invalid type: sequence");
    one_refused("objects.json", deep(r#"{"a":"#), "at `a`");
    one_refused("step.json", with_steps(&format!(r#"{{"op":{}"#, deep("["))), "recursion limit exceeded");
    let in_outcome = format!(r#"{{"op":"Context","as":"ctx0","outcome":{}1{}}}"#, deep(r#"{"error":"#), deep("}"));
    one_refused("outcome.json", with_steps(&in_outcome), "recursion limit exceeded");
    let provenance = format!(r#"{{"format":1,"title":"t","steps":[],"provenance":{}"#, deep(r#"{"engines":["#));
    one_refused("provenance.json", provenance, "provenance");
    let runs = many(0..DEEP, |id| format!(r#"{{"op":"Context","as":"ctx{id}"}},{{"op":"Context.run","context":"ctx{id}"}}"#));
    one_refused("runs.json", with_steps(&runs), "more than 400 calls of `Context.run` are open on `thread0`");
    let threads = many(1..DEEP, |id| format!(r#"{{"op":"start_new_thread","as":"thread{id}"}}"#));
    one_refused("threads.json", with_steps(&threads), "more than 256 threads are alive; end one before");
}

/// Steps, with commas between.
fn many(ids: std::ops::Range<usize>, step: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for id in ids {
        let comma = if text.is_empty() { "" } else { "," };
        text += comma;
        text += &step(id);
    }
    text
}

#[test]
fn numbers_are_bounded() {
    let step = |number: &str| with_steps(&format!(r#"{{"op":"ContextVar","name":"a","hash":{number},"as":"var0"}}"#));
    let many = "9".repeat(1_000_000);
    all_refused(&[
        ("format.json", br#"{"format":99999999999999999999,"title":"t","steps":[]}"#, "invalid type: floating point"),
        ("format2.json", br#"{"format":4294967297,"title":"t","steps":[]}"#, "has trace format 4294967297, and this program reads 1"),
        ("exponent.json", step("1e999").as_bytes(), "number out of range"),
        ("digits.json", step(&many).as_bytes(), "number out of range"),
        ("hash.json", step("9223372036854775808").as_bytes(), "invalid value: integer `9223372036854775808`"),
        ("fraction.json", step("0.5").as_bytes(), "invalid type: floating point"),
        ("handle.json", with_steps(r#"{"op":"Context","as":"ctx4294967296"}"#).as_bytes(), "a number below 2^32"),
        ("handle2.json", with_steps(&format!(r#"{{"op":"Context","as":"ctx{many}"}}"#)).as_bytes(), "steps[0]"),
    ]);
}

#[test]
fn no_key_is_given_twice_at_any_level() {
    let provenance = |of: &str| format!(r#"{{"format":1,"title":"t","steps":[],"provenance":{{{of}}}}}"#);
    let context = |more: &str| with_steps(&format!(r#"{{"op":"Context","as":"ctx0",{more}}}"#));
    all_refused(&[
        ("format.json", br#"{"format":1,"format":2,"title":"t","steps":[]}"#, "duplicate field `format`"),
        ("title.json", br#"{"format":1,"title":"t","title":"u","steps":[]}"#, "duplicate field `title`"),
        ("steps.json", br#"{"format":1,"title":"t","steps":[],"steps":[]}"#, "duplicate field `steps`"),
        (
            "requires.json",
            br#"{"format":1,"title":"t","requires":{"python":"3.9","python":"3.14"},"steps":[]}"#,
            "duplicate field `python`",
        ),
        ("provenance.json", provenance(r#""step":1,"step":2"#).as_bytes(), "duplicate field `step`"),
        ("engine.json", provenance(r#""engines":[{"name":"a","name":"b","version":"1"}]"#).as_bytes(), "duplicate field `name`"),
        ("answer.json", provenance(r#""answers":[{"outcome":"none","outcome":"none"}]"#).as_bytes(), "duplicate field `outcome`"),
        (
            "error.json",
            provenance(r#""answers":[{"outcome":{"error":{"kind":"token_used","token":"tok0","token":"tok1"}}}]"#).as_bytes(),
            "duplicate field `token`",
        ),
        (
            "kind.json",
            provenance(r#""answers":[{"outcome":{"error":{"kind":"raised","kind":"token_used","token":"tok1"}}}]"#).as_bytes(),
            "duplicate field `kind`",
        ),
        ("op.json", context(r#""op":"Context""#).as_bytes(), "the field `op` is given twice; keep one"),
        ("outcome.json", context(r#""outcome":{"count":1,"count":2}"#).as_bytes(), "the field `count` is given twice"),
        ("deep.json", context(r#""outcome":{"error":{"kind":"raised","kind":"raised"}}"#).as_bytes(), "steps[0].outcome.error"),
        (
            "event.json",
            context(r#""events":[{"watcher":"watcher0","watcher":"watcher1","current":"null"}]"#).as_bytes(),
            "the field `watcher`",
        ),
    ]);
}

#[test]
fn encodings_are_told() {
    let good = with_steps(r#"{"op":"Context","as":"ctx0"}"#);
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut cut_character = good.replace("\"t\"", "\"té\"").into_bytes();
    let at = cut_character.iter().position(|byte| *byte == 0xa9).expect("the second byte of é");
    cut_character.remove(at);
    let escape = with_steps("{\"op\":\"\\u001b[31mred\"}");
    all_refused(&[
        ("empty.json", b"", "is empty; get the file again"),
        ("blank.json", b" \r\n\t\n", "is empty"),
        ("mark.json", "\u{feff}".as_bytes(), "is empty"),
        ("zeros.json", &[0; 4096], "expected value at line 1 column 1"),
        ("utf16.json", &utf16, "is not UTF-8: at line 1 column 1; save it as UTF-8"),
        ("latin1.json", b"{\r\n\"format\":1,\n\"title\":\"\xe9\"}", "at line 3 column 10"),
        ("cut.json", &cut_character, "is not UTF-8"),
        ("surrogate.json", good.replace("\"t\"", r#""\ud800""#).as_bytes(), "surrogate"),
        ("colours.json", escape.as_bytes(), r"`\u{1b}[31mred`"),
        ("two.json", format!("{good}{good}").as_bytes(), "trailing characters"),
    ]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [("mark.json", format!("\u{feff}{good}")), ("lines.json", good.replace(',', ",\r\n"))] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        assert_eq!(difftest("replay", &path).status.code(), Some(0), "{name}");
    }
}

#[test]
fn long_words_are_not_repeated_in_full() {
    let long = || "x".repeat(10_000_000);
    one_refused("operation.json", with_steps(&format!(r#"{{"op":"{}"}}"#, long())), "steps[0]");
    one_refused("field.json", with_steps(&format!(r#"{{"op":"Context","as":"ctx0","{}":1}}"#, long())), "steps[0]");
    one_refused("handle.json", with_steps(&format!(r#"{{"op":"Context","as":"{}"}}"#, long())), "steps[0]");
    one_refused("top.json", format!(r#"{{"{}":1}}"#, long()), "unknown field");
}

#[test]
fn what_would_exhaust_memory_is_refused() {
    let variables = many(0..4_000, |id| format!(r#"{{"op":"ContextVar","name":"a","hash":{id},"as":"var{id}"}}"#));
    let contexts = many(0..4_000, |id| format!(r#"{{"op":"copy_context","as":"ctx{id}"}}"#));
    let text = with_steps(&format!("{variables},{contexts}"));
    all_refused(&[("product.json", text.as_bytes(), "could hold more than 4194304 bindings; leave out contexts or variables")]);
}

#[test]
fn a_folder_is_no_trace() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let show = difftest("show", folder.path());
    assert_eq!(show.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&show.stderr).contains("is a folder; name a trace file in it"));
}

/// A file of so many bytes: a beginning, and then a filling again and again.
fn large(path: &Path, beginning: &str, filling: &str, length: usize, end: &str) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    write!(file, "{beginning}").expect("space on the disk");
    for _ in 0..(length - beginning.len() - end.len()) / filling.len() {
        write!(file, "{filling}").expect("space on the disk");
    }
    write!(file, "{end}").and_then(|()| file.flush()).expect("space on the disk");
}

#[test]
fn a_file_of_100_mb_is_refused_unread() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("large.json");
    let before = r#"{"format":1,"title":"t","steps":["#;
    large(&path, before, r#"{"op":"PyContext_New","as":"ctx0"},"#, 100 << 20, r#"{"op":"return"}]}"#);
    refused(&path, "is larger than 16777216 bytes; split the trace");
    large(&path, r#"{"format":1,"title":""#, "x", 100 << 20, "");
    refused(&path, "is larger than 16777216 bytes");
    // Just small enough to be read.
    large(&path, r#"{"format":1,"title":""#, "x", (16 << 20) - 1, "");
    refused(&path, "EOF while parsing a string");
    large(&path, "", "[", 16 << 20, "");
    refused(&path, "invalid type: sequence");
    // A length that no disk has.
    std::fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    refused(&path, "is larger than");
}

#[cfg(target_os = "linux")]
#[test]
fn input_without_end_is_cut_off() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    refused(Path::new("/dev/zero"), "is larger than");
    let pipe = folder.path().join("pipe.json");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    // In a folder it is no trace, and nobody waits for it.
    let replay = difftest("replay", folder.path());
    assert_eq!((replay.status.code(), String::from_utf8_lossy(&replay.stdout).contains("0 traces")), (Some(0), true));
    // Named, it is read as far as a trace may be long.
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || {
            let mut pipe = std::fs::OpenOptions::new().write(true).open(pipe).expect("a pipe");
            while pipe.write_all(&[b'['; 1 << 16]).is_ok() {}
        })
    };
    refused(&pipe, "is larger than");
    writer.join().expect("a writer that ends");
    // A pipe with a trace in it is as good as a file.
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::write(pipe, with_steps(r#"{"op":"Context","as":"ctx0"}"#)))
    };
    assert_eq!(difftest("replay", &pipe).status.code(), Some(0));
    writer.join().expect("a writer").expect("a pipe");
}
