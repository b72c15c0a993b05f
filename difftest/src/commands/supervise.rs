//! A run in a process of its own: an engine that ends it does not end what is asked for.

use std::fs::File;
use std::io::{Read, Seek, stdin};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
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

/// Starts the command as a process that does the work, and waits for its end. Whoever asks this process to end asks
/// that one. Answers the cases that it was at, too.
pub(crate) fn work(mut command: Command) -> Result<(ExitStatus, Vec<u64>), Box<dyn std::error::Error + Send + Sync>> {
    let worker = Arc::new(AtomicI32::new(NOBODY));
    let asked = Arc::clone(&worker);
    ctrlc::set_handler(move || match asked.load(Ordering::SeqCst) {
        // It has not begun.
        NOBODY => std::process::exit(130),
        // One that has ended needs no asking.
        worker => drop(kill(Pid::from_raw(worker), Signal::SIGTERM)),
    })?;
    // It has no name, and goes with the last process that has it open.
    let mut whereabouts = tempfile::tempfile()?;
    command.args(["--works-for", &std::process::id().to_string()]).stdin(whereabouts.try_clone()?);
    // A terminal sends Ctrl-C to a whole group: once from there and once from here would be twice.
    let mut child = command.process_group(0).spawn()?;
    worker.store(child.id().cast_signed(), Ordering::SeqCst);
    let status = child.wait()?;
    let mut told = Vec::new();
    whereabouts.rewind()?;
    whereabouts.read_to_end(&mut told)?;
    Ok((status, cases(&told)))
}

/// Where the process that does the work writes which cases it is at: a file, since nothing can be asked of a process
/// that has ended. It is that process's standard input, which a run reads nothing from.
pub(crate) struct Whereabouts(File);

impl Whereabouts {
    /// Those of this process; none where its standard input cannot be had, without which a run does as well.
    pub(crate) fn of_this_process() -> Option<Self> {
        stdin().as_fd().try_clone_to_owned().ok().map(|file| Self(file.into()))
    }

    /// The worker begins a case.
    pub(crate) fn tell(&self, worker: usize, case: u64) {
        // What cannot be written is not known later, and the run that begins again finds the case in its turn.
        let _ = self.0.write_all_at(&case.wrapping_add(1).to_le_bytes(), worker as u64 * 8);
    }
}

/// The cases that [`Whereabouts`] tell: one number for every worker, and 0 for one that has begun none.
fn cases(told: &[u8]) -> Vec<u64> {
    told.as_chunks().0.iter().filter_map(|bytes| u64::from_le_bytes(*bytes).checked_sub(1)).collect()
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
