//! The command line of the differential tester.

mod cli;
mod commands;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match commands::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            let unread = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
            // Whoever reads no further, as `head` does, wants no message either. Nothing is left to do
            // about an error that cannot be told.
            if !unread {
                let _ = writeln!(io::stderr(), "error: {error}");
            }
            ExitCode::from(2)
        }
    }
}
