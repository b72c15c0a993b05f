//! `difftest serve`: an engine of this build behind the protocol of child processes.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use contextvars_difftest::engines;
use contextvars_spec::{Hello, Observe, PROTOCOL_VERSION, Request, Response, validate_steps};

use super::Ended;

pub(crate) fn serve(name: &str) -> Ended {
    let mut engine = engines::start(name)?;
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        engine: engine.identity(),
        python: engine.python_version(),
        steered: engine.steers_hashes(),
        finalizes_promptly: engine.finalizes_promptly(),
    };
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(&hello)?)?;
    output.flush()?;
    for line in std::io::stdin().lock().lines() {
        let failure = |failure: String| Response::Failure { failure };
        let response = match serde_json::from_str::<Request>(&line?) {
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
