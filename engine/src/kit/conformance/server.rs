//! The program that plays the remote system in a test: started on a free port, and ended for certain.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::kit::project;

/// How long a server may take to accept connections.
const START: Duration = Duration::from_secs(30);
/// Of what a server said, this much is shown.
const TOLD: usize = 2_000;

/// A port of the loopback that nobody listens on. Lost to another in the meantime, the server fails to start.
///
/// # Errors
///
/// Those of the system.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Process groups of servers that run now.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<i32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every server that runs now: for who is about to end the process.
pub fn kill_all() {
    for pid in running().iter().filter_map(|it| Pid::from_raw(*it)) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// A server under way. Its whole process group is killed when the value is dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts the program in `folder`, with what it says kept in `scratch`, and waits until `port` accepts connections.
    ///
    /// # Errors
    ///
    /// In words, with the end of what the server said.
    pub async fn start(server: &project::Server, folder: &Path, port: u16, scratch: &Path) -> Result<Self, String> {
        let (program, arguments) = server.command.split_first().ok_or("`server.command` is empty")?;
        let log = scratch.join("server.log");
        let failed = |error: io::Error| format!("the test's server `{program}` does not start: {error}");
        let out = File::create(&log).map_err(failed)?;
        let errors = out.try_clone().map_err(failed)?;
        // A path is meant from the project's folder; a bare name is looked up as a shell does.
        let file = if program.contains('/') { folder.join(program) } else { PathBuf::from(program) };
        let mut command = Command::new(file);
        // What it keeps in temporary files goes with the test.
        command.args(arguments).env("TMPDIR", scratch).envs(&server.env).current_dir(folder).process_group(0);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn().map_err(failed)?;
        running().insert(Pid::from_child(&child).as_raw_nonzero().get());
        let mut server = Self { child, log };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + START;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Some(status) = server.child.try_wait().map_err(failed)? {
                return Err(format!(
                    "the test's server `{program}` ended before it listened on port {port} ({status}){}",
                    server.told()
                ));
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "the test's server `{program}` does not listen on port {port} after {} s{}",
                    START.as_secs(),
                    server.told()
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// The end of what it said, for a message.
    pub fn told(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let end = bytes.get(bytes.len().saturating_sub(TOLD)..).unwrap_or_default();
        let text = String::from_utf8_lossy(end);
        if text.trim().is_empty() { "; it said nothing".to_owned() } else { format!("; it said:\n{}", text.trim_end()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The group, as a script may have started the server proper.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        running().remove(&Pid::from_child(&self.child).as_raw_nonzero().get());
    }
}
