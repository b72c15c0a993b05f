//! The largest trace that is read is answered in bounded memory. A test of its own, since the
//! system tells the peak memory of the largest process only.

use std::io::Write;
use std::process::{Command, Stdio};

/// What may be taken: a million steps of some 400 bytes each, as text, as a step, and as what two engines
/// and the trace's record answer to it.
#[cfg(target_os = "linux")]
const LARGEST: i64 = 512 << 20;

/// The text of a step, by its index.
type StepText = fn(usize) -> String;

/// As many steps as fit in [`contextvars_spec::MAX_TRACE_BYTES`].
fn write_trace(path: &std::path::Path, step: StepText) -> std::io::Result<usize> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let (beginning, end) = (r#"{"format":1,"title":"t","steps":["#, "]}");
    let mut left = contextvars_spec::MAX_TRACE_BYTES as usize - beginning.len() - end.len();
    write!(file, "{beginning}")?;
    let mut count = 0;
    loop {
        let text = if count == 0 { step(count) } else { format!(",{}", step(count)) };
        let Some(rest) = left.checked_sub(text.len()) else { break };
        left = rest;
        write!(file, "{text}")?;
        count += 1;
    }
    write!(file, "{end}")?;
    file.flush().map(|()| count)
}

#[test]
fn the_largest_traces_are_answered_in_bounded_memory() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("large.json");
    let kinds: [(&str, StepText); 3] = [
        // The shortest step, and so the most of them.
        ("return", |_| r#"{"op":"return"}"#.to_owned()),
        ("contexts", |id| format!(r#"{{"op":"Context","as":"ctx{id}"}}"#)),
        ("sets", |id| match id {
            0 => r#"{"op":"ContextVar","name":"a","hash":0,"as":"var0"}"#.to_owned(),
            _ => format!(r#"{{"op":"ContextVar.set","variable":"var0","value":"None","as":"tok{id}"}}"#),
        }),
    ];
    for (kind, step) in kinds {
        let steps = write_trace(&path, step)?;
        let output = Command::new(env!("CARGO_BIN_EXE_difftest"))
            .args(["replay", "--engines", "reference,optimized"])
            .arg(&path)
            .stdin(Stdio::null())
            .output()?;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        #[cfg(target_os = "linux")]
        {
            use nix::sys::resource::{UsageWho, getrusage};

            // In kilobytes.
            let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() << 10;
            println!("{kind}: {steps} steps, peak so far {} MB", peak >> 20);
            assert!(peak < LARGEST, "{kind}: {} MB", peak >> 20);
        }
    }
    Ok(())
}
