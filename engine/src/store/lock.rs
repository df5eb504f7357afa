//! One run at a time for each environment.
//!
//! The lock is the system's (`flock`), so a process that is killed frees it; the file is only where it hangs, and what it
//! holds (who, since when) is for people. It is never deleted: a lock file taken away under a holder would let a second
//! run in.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;

use super::StoreError;
use crate::{private, regular};

/// Held as long as this lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why an environment was not locked.
#[derive(Debug)]
pub enum Refused {
    /// Another run holds it. Zero where it has not written yet who it is.
    Held {
        environment: String,
        pid: u32,
        /** Milliseconds since 1970. */
        since: u64,
    },
    Failed(StoreError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { environment, pid: 0, .. } => write!(f, "environment `{environment}` is locked by another run"),
            Self::Held { environment, pid, since } => {
                let seconds = now().saturating_sub(*since) / 1000;
                write!(f, "environment `{environment}` is locked by another run (process {pid}, for {seconds} s)")
            }
            Self::Failed(err) => err.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

/// Locks an environment of the state in `state`, without waiting.
///
/// # Errors
///
/// [`Refused::Held`] where another run has it; [`Refused::Failed`] where the lock's file cannot be made.
pub fn lock(state: &Path, environment: &str) -> Result<Lock, Refused> {
    let path = lock_path(state, environment);
    let fail = |err: io::Error| Refused::Failed(StoreError::io(&path, "lock", err));
    if let Some(parent) = path.parent() {
        private::folder(parent).map_err(fail)?;
    }
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(fail)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // Who holds it is for people: without it the refusal stands all the same.
            let _ = (&mut file).take(64).read_to_string(&mut text);
            let mut words = text.split_whitespace();
            let pid = words.next().and_then(|it| it.parse().ok()).unwrap_or(0);
            let since = words.next().and_then(|it| it.parse().ok()).unwrap_or(0);
            return Err(Refused::Held { environment: environment.to_owned(), pid, since });
        }
        other => other.map_err(|err| fail(err.into()))?,
    }
    let holder = format!("{} {}\n", std::process::id(), now());
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes())).map_err(fail)?;
    Ok(Lock { _file: file })
}

/// `locks/<environment>` beside `state.db`; beside a state of another name, in a folder of that name.
fn lock_path(state: &Path, environment: &str) -> PathBuf {
    let folder = match state.file_name() {
        Some(name) if name != "state.db" => {
            let mut name = name.to_owned();
            name.push(".locks");
            state.with_file_name(name)
        }
        _ => state.with_file_name("locks"),
    };
    folder.join(environment)
}

/// Whether a run holds the environment's lock now, as far as one can tell without getting in its way: for people only.
pub fn is_held(state: &Path, environment: &str) -> bool {
    let Ok((mut file, _)) = regular::open(&lock_path(state, environment)) else { return false };
    let mut text = String::new();
    let read = (&mut file).take(64).read_to_string(&mut text);
    let holder = text.split_whitespace().next().and_then(|it| it.parse().ok()).and_then(rustix::process::Pid::from_raw);
    // Where the last holder is gone nothing is asked of the lock itself, so that hardly ever a run could meet us there.
    let alive = read.is_ok() && holder.is_some_and(|it| rustix::process::test_kill_process(it) != Err(rustix::io::Errno::SRCH));
    alive && rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_of_an_environment_is_refused_until_the_first_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state.db");
        let held = lock(&state, "prod").unwrap();
        let Err(Refused::Held { environment, pid, since }) = lock(&state, "prod") else { panic!("the lock was given twice") };
        assert_eq!((environment.as_str(), pid), ("prod", std::process::id()));
        assert!(is_held(&state, "prod") && !is_held(&state, "dev"));
        assert!(since <= now() && now() - since < 60_000, "since={since}");
        let other = lock(&state, "dev").unwrap();
        let elsewhere = lock(&root.path().join("other.db"), "prod").unwrap();
        drop((held, other, elsewhere));
        assert!(!is_held(&state, "prod"));
        lock(&state, "prod").unwrap();
    }

    #[test]
    fn a_holder_that_is_killed_frees_the_lock() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state.db");
        drop(lock(&state, "prod").unwrap());
        let path = lock_path(&state, "prod");
        let mut child = std::process::Command::new("flock").arg("--no-fork").arg(&path).arg("sleep").arg("60").spawn().unwrap();
        while lock(&state, "prod").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lock(&state, "prod").unwrap();
    }
}
