//! `difftest serve`: an engine of this build behind the protocol of child processes.

use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

use contextvars_difftest::engines;
use contextvars_spec::{Hello, MAX_TRACE_BYTES, Observe, Request, Response, validate_steps};
#[cfg(unix)]
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Ended;

pub(crate) fn serve(name: &str) -> Ended {
    let mut engine = engines::start(name)?;
    let hello = Hello::of(engine.as_ref());
    let memory = Memory::of_this_process();
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
                Ok(()) => {
                    memory.limit(request.memory);
                    match engine.run(&request.steps, Observe::Every(request.observe)) {
                        Ok(run) => Response::from(run),
                        Err(error) => failure(error.to_string()),
                    }
                }
            },
        };
        writeln!(output, "{}", serde_json::to_string(&response)?)?;
        output.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How much memory this process may take for data.
struct Memory {
    /// The limits that it was started with, the one in force first; none where the system has no such limit.
    #[cfg(unix)]
    given: Option<(u64, u64)>,
}

impl Memory {
    fn of_this_process() -> Self {
        Self {
            #[cfg(unix)]
            given: getrlimit(Resource::RLIMIT_DATA).ok(),
        }
    }

    /// Bounds it, from now on; without a bound, as it was given.
    fn limit(&self, memory: Option<u64>) {
        #[cfg(unix)]
        if let Some((given, most)) = self.given {
            // A wish: a limit that is refused is as none.
            let _ = setrlimit(Resource::RLIMIT_DATA, memory.map_or(given, |memory| memory.min(given)), most);
        }
        #[cfg(not(unix))]
        let _ = memory;
    }
}
