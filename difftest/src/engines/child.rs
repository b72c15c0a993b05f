//! An engine in a process of its own, which speaks the protocol of [`contextvars_spec::Request`].
//!
//! What ends the process is an answer (a crash), and the next trace gets a new process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contextvars_spec::{
    Crash, Engine, EngineError, Finalizes, Hello, Identity, Limits, Observe, PROTOCOL_VERSION, Request, Response, Run, Step, Version,
};

/// How long a process may take to start, and to answer one trace if nothing else is said. The slowest
/// interpreter starts in 3 s and answers a trace in less than 0.1 s; what takes longer does not end.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The longest line that is read, in bytes: a thousand times the answers to a generated trace.
const MAX_LINE_BYTES: u64 = 256 << 20;

/// How much of what a process writes on standard error is kept for messages, in bytes.
const KEPT_ERRORS: usize = 2_000;

/// An engine in a process of its own.
#[derive(Debug)]
pub struct Child {
    name: String,
    /// The program and its arguments.
    words: Vec<String>,
    hello: Hello,
    process: Option<Process>,
    /// How long it may take to answer one trace.
    patience: Duration,
    /// Whether every trace gets a new process.
    is_fresh: bool,
    /// What one may take for now.
    limits: Option<Limits>,
}

#[derive(Debug)]
struct Process {
    child: std::process::Child,
    input: ChildStdin,
    lines: Receiver<String>,
    errors: Arc<Mutex<Vec<u8>>>,
}

impl Child {
    /// Starts a program with its arguments, which may take so long to answer one trace; `name` is the
    /// engine's on the command line.
    ///
    /// # Errors
    ///
    /// If the process does not start or does not say hello.
    pub fn start(name: &str, words: Vec<String>, patience: Duration) -> Result<Self, EngineError> {
        let failure = |reason: String| EngineError { engine: name.to_owned(), reason };
        let (process, hello) = Process::start(&words).map_err(failure)?;
        Ok(Self { name: name.to_owned(), words, hello, process: Some(process), patience, is_fresh: false, limits: None })
    }

    /// Gives every trace a new process, so that nothing that a trace has broken is left for the next.
    #[must_use]
    pub fn fresh(self) -> Self {
        Self { is_fresh: true, ..self }
    }

    fn failure(&self, reason: impl Into<String>) -> EngineError {
        EngineError { engine: self.name.clone(), reason: reason.into() }
    }
}

impl Engine for Child {
    fn identity(&self) -> Identity {
        // Not the command: the name goes into files, and a path is of one machine.
        let Hello { engine, python, .. } = &self.hello;
        Identity { name: format!("{}-{python}", engine.name), version: engine.version.clone() }
    }

    fn python_version(&self) -> Version {
        self.hello.python
    }

    fn steers_hashes(&self) -> bool {
        self.hello.steered
    }

    fn finalizes(&self) -> Finalizes {
        self.hello.finalizes()
    }

    fn distrust(&mut self) {
        self.process = None;
    }

    fn isolate(&mut self, limits: Option<Limits>) -> bool {
        self.limits = limits;
        self.process = None;
        true
    }

    fn run(&mut self, steps: &[Step], observe: Observe) -> Result<Run, EngineError> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Process::start(&self.words).map_err(|reason| self.failure(reason))?.0,
        };
        let memory = self.limits.and_then(|limits| limits.memory);
        let request = serde_json::to_string(&Request::new(steps, observe, memory)).map_err(|error| self.failure(error.to_string()))?;
        let line = match process.ask(&request, self.limits.map_or(self.patience, |limits| limits.patience.min(self.patience))) {
            Ok(line) => line,
            Err(crash) => return Ok(Run { crash: Some(crash), ..Run::default() }),
        };
        let response = serde_json::from_str(&line)
            .map_err(|error| self.failure(format!("its answer is not of the protocol: {error}; it begins `{}`", beginning(&line))))?;
        match response {
            Response::Run { answers, observations, gone } if answers.len() == steps.len() => {
                let is_fresh = self.is_fresh || self.limits.is_some_and(|limits| limits.is_fresh);
                self.process = Some(process).filter(|_| !is_fresh);
                Ok(Run { answers, observations, gone, ..Run::default() })
            }
            Response::Run { answers, .. } => Err(self.failure(format!("it answered {} of {} steps", answers.len(), steps.len()))),
            Response::Failure { failure } => Err(self.failure(failure)),
        }
    }
}

impl Process {
    fn start(words: &[String]) -> Result<(Self, Hello), String> {
        let Some((program, arguments)) = words.split_first() else {
            return Err("no program is named; write `child=PROGRAM ARGUMENTS`".to_owned());
        };
        let mut command = Command::new(program);
        // A terminal sends Ctrl-C to its whole group, and the case in hand is still to be answered.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .args(arguments)
            // The embedding's own, where it is set: it would lead another interpreter astray.
            .env_remove("PYTHONHOME")
            // Of a panic the message is enough: a backtrace takes longer than many traces do.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start `{program}`: {error}; check the path"))?;
        let (Some(input), Some(output), Some(complaints)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(format!("`{program}` has no pipes"));
        };
        // One line is in flight at a time.
        let (sender, lines) = sync_channel(1);
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            while matches!(output.by_ref().take(MAX_LINE_BYTES).read_line(&mut line), Ok(1..)) && line.ends_with('\n') {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        let errors = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&errors);
        // Read to the end, or a talkative process would wait for ever.
        std::thread::spawn(move || {
            let mut complaints = complaints;
            let mut piece = [0; 1024];
            while let Ok(length @ 1..) = complaints.read(&mut piece) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&piece[..length]);
                let surplus = kept.len().saturating_sub(KEPT_ERRORS);
                kept.drain(..surplus);
            }
        });
        let mut process = Self { child, input, lines, errors };
        let hello = process
            .line(PATIENCE)
            .map_err(|crash| format!("`{program}` ends before it says hello: {crash}; it wrote `{}`", process.complaints()))?;
        let hello: Hello = serde_json::from_str(&hello)
            .map_err(|error| format!("`{program}` says no hello of the protocol: {error}; it says `{}`", beginning(&hello)))?;
        if hello.protocol != PROTOCOL_VERSION {
            return Err(format!(
                "`{program}` speaks protocol {} and this program {PROTOCOL_VERSION}; bring the older one up to date",
                hello.protocol
            ));
        }
        Ok((process, hello))
    }

    fn ask(&mut self, request: &str, patience: Duration) -> Result<String, Crash> {
        let written = writeln!(self.input, "{request}").and_then(|()| self.input.flush());
        // A process that does not read has ended, or is about to.
        if written.is_err() { Err(self.end(patience)) } else { self.line(patience) }
    }

    fn line(&mut self, patience: Duration) -> Result<String, Crash> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                // Dropping the process kills it.
                Err(Crash::Hang(patience))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.end(patience)),
        }
    }

    /// How a process ended whose output has; one may close that and live on.
    fn end(&mut self, patience: Duration) -> Crash {
        let closed = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return crash(status),
                Ok(None) if closed.elapsed() < patience => std::thread::sleep(Duration::from_millis(1)),
                // Dropping the process kills it.
                Ok(None) => return Crash::Hang(patience),
                Err(_) => return Crash::Exit(-1),
            }
        }
    }

    fn complaints(&self) -> String {
        String::from_utf8_lossy(&self.errors.lock().unwrap_or_else(PoisonError::into_inner)).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and then neither is of use.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn crash(status: ExitStatus) -> Crash {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Crash::Signal(signal);
    }
    Crash::Exit(status.code().unwrap_or(-1))
}

fn beginning(line: &str) -> String {
    line.trim_end().chars().take(200).collect()
}
