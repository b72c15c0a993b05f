//! A run in a process of its own: an engine that ends it does not end what is asked for.

use std::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often the process that does the work looks whether the one that waits for it is there.
const LOOKS: Duration = Duration::from_millis(100);

/// The signals by which a process ends that has done what it may not do.
const CRASHES: [Signal; 7] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT, Signal::SIGTRAP, Signal::SIGSYS];

/// No process yet.
const NOBODY: i32 = 0;

/// Starts this command again as a process that does the work, with the seed that it is to use, and waits for its end.
/// Whoever asks this process to end asks that one.
pub(crate) fn work(seed: u64, has_seed: bool) -> Result<ExitStatus, Box<dyn std::error::Error + Send + Sync>> {
    let worker = Arc::new(AtomicI32::new(NOBODY));
    let asked = Arc::clone(&worker);
    ctrlc::set_handler(move || match asked.load(Ordering::SeqCst) {
        // It has not begun.
        NOBODY => std::process::exit(130),
        // One that has ended needs no asking.
        worker => drop(kill(Pid::from_raw(worker), Signal::SIGTERM)),
    })?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).args(["--works-for", &std::process::id().to_string()]);
    if !has_seed {
        command.args(["--seed", &seed.to_string()]);
    }
    // A terminal sends Ctrl-C to a whole group: once from there and once from here would be twice.
    let mut child = command.process_group(0).spawn()?;
    worker.store(child.id().cast_signed(), Ordering::SeqCst);
    Ok(child.wait()?)
}

/// Whether an engine has ended the process, and the signal.
pub(crate) fn crash(status: ExitStatus) -> Option<Signal> {
    status.signal().and_then(|signal| Signal::try_from(signal).ok()).filter(|signal| CRASHES.contains(signal))
}

/// Ends this process, which does the work, when the one that waits for it is no more, whatever ended that.
pub(crate) fn end_with(waiting: u32) {
    std::thread::spawn(move || {
        while parent_id() == waiting {
            std::thread::sleep(LOOKS);
        }
        std::process::exit(130);
    });
}
