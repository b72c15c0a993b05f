//! The command line of the differential tester.

mod cli;
mod commands;

use std::process::ExitCode;

use clap::Parser;

/// Traces are many short-lived objects and buffers of some ten kilobytes, which the allocator of glibc
/// splits and joins again and again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match commands::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
