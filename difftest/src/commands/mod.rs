//! The subcommands.

mod merge;
mod replay;
mod rules;
mod run;
mod serve;
mod show;
mod shrink;
#[cfg(unix)]
mod supervise;

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contextvars_difftest::engines;
use contextvars_spec::{Identity, Trace};

use crate::cli::{Arguments, Command, say_left_out};

/// What a subcommand ends with: an exit status, or an error, which is bad usage or input.
type Ended = Result<ExitCode, Box<dyn Error + Send + Sync>>;

const DIVERGENCE: u8 = 1;
const BAD_INPUT: u8 = 2;

pub(crate) fn run(arguments: Arguments) -> Ended {
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay { paths, engines, json } => replay::replay(&paths, &engines, json),
        Command::Merge { from, out, json } => merge::merge(&from, &out, json),
        Command::Record { paths } => replay::record(&paths),
        Command::Shrink { file, out, engines } => shrink::shrink(&file, out.as_deref(), &engines),
        Command::Show { file, engines } => show::show(&file, &engines),
        Command::Golden { folder } => rules::golden(&folder),
        Command::Engines => list_engines(),
        Command::Rules { paths } => rules::rules(&paths),
        Command::Serve { engine } => serve::serve(&engine),
        Command::Schema => {
            writeln!(stdout(), "{}", serde_json::to_string_pretty(&schemars::schema_for!(Trace))?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Whether the work is to end: Ctrl-C asks for that, and what is in hand is still saved. A second one does not wait.
fn interrupt() -> Result<Arc<AtomicBool>, ctrlc::Error> {
    let interrupt = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupt);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })?;
    Ok(interrupt)
}

fn list_engines() -> Ended {
    let mut out = stdout().lock();
    let (pythons, left_out) = engines::python::find();
    let pythons = pythons.iter().map(|found| format!("python={}", found.path.display()));
    for name in engines::NAMES.iter().map(|name| (*name).to_owned()).chain(pythons) {
        match engines::start(&name) {
            Ok(engine) => {
                let Identity { name: who, version } = engine.identity();
                writeln!(out, "{name:<12} {who} {version} (rules of python {})", engine.python_version())?;
            }
            Err(error) => writeln!(out, "{name:<12} not to be had: {error}")?,
        }
    }
    left_out.iter().for_each(say_left_out);
    Ok(ExitCode::SUCCESS)
}
