//! Programs that the kit starts: compilers and a test's server.
//!
//! Each is the head of a process group of its own, so that what it starts ends with it (`go run` and `cargo` start others),
//! and so that Ctrl-C reaches it by us and by nobody else. No limit is put on how long a compiler takes.
//!
//! Invariant: a program that was started here does not outlive the value that stands for it.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a program may take to end by itself when it is told to.
const GRACE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Tells everything that was started with it to end. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stopped: AtomicBool,
    groups: Mutex<Vec<Pid>>,
}

impl Stop {
    /// Ends everything that runs, and lets nothing begin any more.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        for group in self.groups().iter() {
            // It may have ended by itself.
            let _ = kill_process_group(*group, Signal::TERM);
        }
    }

    /// Whether [`Stop::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Waits, and says whether it was told to stop meanwhile.
    pub fn within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.is_stopped() && Instant::now() < end {
            thread::sleep(PAUSE.min(time));
        }
        self.is_stopped()
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, Vec<Pid>> {
        self.0.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program under way; ended when the value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
    stop: Stop,
    over: Option<ExitStatus>,
}

impl Running {
    /// Starts a program without input.
    ///
    /// # Errors
    ///
    /// Those of the system; `Interrupted` where all was told to stop.
    pub fn start(command: &mut Command, stop: &Stop) -> io::Result<Self> {
        // Held over the start, so that a stop finds the program either before it began or in the list.
        let mut groups = stop.groups();
        if stop.is_stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        groups.extend(group);
        drop(groups);
        Ok(Self { child, group, stop: stop.clone(), over: None })
    }

    /// The program's own handles.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.over.is_none() {
            self.over = self.child.try_wait()?;
        }
        Ok(self.over)
    }

    /// Waits until it ends. One that was told to stop and does not is killed.
    ///
    /// # Errors
    ///
    /// Those of the system; `Interrupted` where all was told to stop.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        while !self.stop.is_stopped() {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(PAUSE);
        }
        self.end();
        Err(io::ErrorKind::Interrupted.into())
    }

    /// Ends it and all that it started: first by word, then by force.
    pub fn end(&mut self) {
        let Some(group) = self.group.take() else { return };
        let _ = kill_process_group(group, Signal::TERM);
        let late = Instant::now() + GRACE;
        while Instant::now() < late && matches!(self.ended(), Ok(None)) {
            thread::sleep(PAUSE);
        }
        // Also where the head is gone: what it started may not be.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
        self.stop.groups().retain(|it| *it != group);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Our standard error for what a program prints: our standard output is for results.
///
/// # Errors
///
/// Those of the system.
pub fn to_stderr() -> io::Result<Stdio> {
    Ok(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("beat");
        let script = format!("(while true; do echo x >> {}; sleep 0.02; done) & wait", file.display());
        let mut running = Running::start(&mut shell(&script), &Stop::default()).unwrap();
        let begun = Instant::now();
        while !file.exists() && begun.elapsed() < Duration::from_secs(10) {
            thread::sleep(PAUSE);
        }
        running.end();
        thread::sleep(Duration::from_millis(100));
        let size = file.metadata().unwrap().len();
        thread::sleep(Duration::from_millis(200));
        assert_eq!(file.metadata().unwrap().len(), size, "a grandchild still writes");
    }

    #[test]
    fn a_stop_ends_what_runs_and_lets_nothing_begin() {
        let stop = Stop::default();
        let mut running = Running::start(&mut shell("trap '' TERM; sleep 60 & wait; sleep 60"), &stop).unwrap();
        let other = stop.clone();
        let begun = Instant::now();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            other.stop();
        });
        assert_eq!(running.wait().unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(begun.elapsed() < Duration::from_secs(20), "one that does not listen is killed");
        assert_eq!(Running::start(&mut shell("true"), &stop).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn a_program_is_waited_for() {
        let mut running = Running::start(&mut shell("exit 3"), &Stop::default()).unwrap();
        assert_eq!(running.wait().unwrap().code(), Some(3));
    }
}
