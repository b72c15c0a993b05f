//! Bad trace files: each is refused with the file, the place and the mend.

use std::path::Path;

use contextvars_spec::{Trace, parse_trace};

fn refused(text: &str) -> String {
    parse_trace(Path::new("bad.json"), text.as_bytes()).map(|trace| trace.title).expect_err(text).to_string()
}

fn with_steps(steps: &str) -> String {
    format!(r#"{{"format":1,"title":"t","steps":[{steps}]}}"#)
}

#[test]
fn a_bad_file_is_refused_with_file_place_and_reason() {
    let context = r#"{"op":"Context","as":"ctx0"}"#;
    let cases = [
        ("", "is empty"),
        ("[", "line 1"),
        (r#"{"format":2}"#, "trace format 2"),
        (&with_steps(r#"{"op":"levitate"}"#), "levitate"),
        (&with_steps(r#"{"op":"Context"}"#), "as"),
        (&with_steps(r#"{"op":"Context","as":"tok0"}"#), "`tok0`"),
        (&with_steps(r#"{"op":"Context","as":"ctx0","colour":1}"#), "colour"),
        (&with_steps(r#"{"op":"Context","op":"Context","as":"ctx0"}"#), "twice"),
        (&with_steps(r#"{"op":"Context.run","context":"ctx0"}"#), "`ctx0` is not defined"),
        (&with_steps(&format!("{context},{context}")), "defined twice"),
        (&with_steps(&format!(r#"{context},{{"op":"del","object":"ctx0"}},{{"op":"Context.run","context":"ctx0"}}"#)), "deleted"),
        (&with_steps(r#"{"op":"return","thread":"thread1"}"#), "`thread1` is not defined"),
        (&with_steps(r#"{"op":"end_thread"}"#), "cannot end"),
        (&format!("{} x", with_steps(context)), "the end"),
    ];
    for (text, reason) in cases {
        let message = refused(text);
        assert!(message.contains("`bad.json`") && message.contains(reason), "{text}\n{message}");
    }
}

#[test]
fn deep_nesting_is_refused_without_a_stack_overflow() {
    refused(&"[".repeat(1_000_000));
    refused(&with_steps(&format!(r#"{{"op":{}"#, "[".repeat(100_000))));
}

#[test]
fn a_trace_survives_its_own_text() -> Result<(), Box<dyn std::error::Error>> {
    let text = with_steps(
        r#"{"op":"start_new_thread","as":"thread1"},{"thread":"thread1","op":"set_context_ver","context_ver":18446744073709551615,"outcome":"none"}"#,
    );
    let trace: Trace = parse_trace(Path::new("good.json"), text.as_bytes())?;
    assert_eq!(parse_trace(Path::new("good.json"), trace.to_json()?.as_bytes())?, trace);
    Ok(())
}
