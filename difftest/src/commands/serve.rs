//! `difftest serve`: an engine of this build behind the protocol of child processes.

use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

use contextvars_difftest::engines;
use contextvars_spec::{Hello, MAX_TRACE_BYTES, Observe, Request, Response, validate_steps};

use super::Ended;

pub(crate) fn serve(name: &str) -> Ended {
    let mut engine = engines::start(name)?;
    let hello = Hello::of(engine.as_ref());
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(&hello)?)?;
    output.flush()?;
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        if input.by_ref().take(MAX_TRACE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 == MAX_TRACE_BYTES {
            return Err(format!("a request is longer than {MAX_TRACE_BYTES} bytes; send shorter traces").into());
        }
        let failure = |failure: String| Response::Failure { failure };
        let response = match serde_json::from_slice::<Request>(&line) {
            Err(error) => failure(format!("the request is not of the protocol: {error}")),
            Ok(request) => match validate_steps(&request.steps) {
                Err((step, problem)) => failure(format!("at `steps[{step}]`: {problem}")),
                Ok(()) => match engine.run(&request.steps, Observe::Every(request.observe)) {
                    Ok(run) => Response::from(run),
                    Err(error) => failure(error.to_string()),
                },
            },
        };
        writeln!(output, "{}", serde_json::to_string(&response)?)?;
        output.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}
