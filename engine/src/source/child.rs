//! The child process that fetches: what it is told, what it answers, and the limits it puts on itself.
//!
//! Bytes of a pack are the most hostile input the engine reads, so they are parsed where a crash, an endless loop or a
//! flood costs one process and nothing else. The child gets its order, credentials included, as one line of JSON over
//! stdin (never in arguments or environment) and answers with lines of JSON on stdout. When stdin ends, so does the child:
//! it does not outlive the process that asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::git::fetch::{Meter, fetch};

/// Bytes of one line in either direction.
pub(super) const LINE: u64 = 4 << 20;
/// How often the child says that something moved.
const TICK: Duration = Duration::from_millis(200);

/// What to fetch, from where, into which repository.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub url: String,
    /// Whole header lines, secret.
    pub headers: Vec<String>,
    /// Certificates in PEM to trust beside the system's.
    pub ca: Option<String>,
    pub rev: Option<String>,
    /// A bare repository; made where it is missing.
    pub repository: PathBuf,
    /// Bytes of address space beyond the packs that are there already.
    pub memory: u64,
    /// Bytes of the largest file.
    pub file: u64,
    pub cpu_s: u64,
    /// How long one read from the server may take.
    pub idle_ms: u64,
}

/// One line of the answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Message {
    /// Something moved since the last line.
    Moving(u64),
    Fetched(Fetched),
    Failed(Failed),
}

/// The commit that was asked for; all its files are there.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fetched {
    pub commit: String,
    pub branch: Option<String>,
}

/// Why there is none.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failed {
    pub why: Why,
    /// For people; empty where `why` says it all.
    pub cause: String,
    /// References, where `why` is about several.
    #[serde(default)]
    pub names: Vec<String>,
}

impl Failed {
    pub fn new(why: Why, cause: impl Into<String>) -> Self {
        Self { why, cause: cause.into(), names: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Why {
    /// The server has no such branch, tag or commit.
    Unknown,
    /// It has several.
    Ambiguous,
    /// It has nothing at all.
    Empty,
    /// It refuses us.
    Denied,
    /// A later try may work.
    Unreachable,
    /// What it sent is not right.
    Broken,
    /// What we have of it is not right, and has to be fetched anew.
    Stale,
}

/// The hidden subcommand `trueup internal-fetch`: reads one order from stdin, carries it out, answers on stdout.
///
/// Must run before any thread is started, as limits are set for the whole process. Exits with 0 when it answered, whatever
/// the answer.
pub fn main(_args: &[String]) -> ExitCode {
    let mut stdin = BufReader::new(std::io::stdin());
    let mut line = Vec::new();
    let order = match (&mut stdin).take(LINE).read_until(b'\n', &mut line) {
        Ok(_) => serde_json::from_slice::<Order>(&line),
        Err(_) => return ExitCode::FAILURE,
    };
    let Ok(order) = order else {
        return ExitCode::FAILURE;
    };
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut stdin, &mut std::io::sink());
        // Nobody waits any more. Locks and temporary files are left to the next fetch, as after a kill.
        std::process::exit(1);
    });
    // The panic's text goes nowhere: it may hold what the server sent.
    std::panic::set_hook(Box::new(|_| {}));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let meter = Meter::default();
    let ticker = meter.clone();
    std::thread::spawn(move || tick(&ticker));
    let answer = match limit(&order) {
        Err(err) => Err(Failed::new(Why::Broken, format!("cannot limit the process: {err}"))),
        Ok(()) => catch_unwind(AssertUnwindSafe(|| fetch(&order, &meter)))
            .unwrap_or_else(|_| Err(Failed::new(Why::Broken, "what the server sent makes no sense"))),
    };
    match say(&answer.map_or_else(Message::Failed, Message::Fetched)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says every now and then that something moved; silent while nothing does.
fn tick(meter: &Meter) {
    let mut before = 0;
    loop {
        std::thread::sleep(TICK);
        let now = meter.count();
        if now != before && say(&Message::Moving(now)).is_err() {
            return;
        }
        before = now;
    }
}

fn say(message: &Message) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

/// Limits address space, processor time and file size, and forbids core dumps (they would hold the credentials).
fn limit(order: &Order) -> rustix::io::Result<()> {
    let known = packs(&order.repository);
    let set = |resource, value: u64, more| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value.saturating_add(more)) })
    };
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, order.file, 0)?;
    // At the first limit comes a signal with a name of its own, at the second one that says nothing.
    set(Resource::Cpu, order.cpu_s, 5)?;
    set(Resource::As, order.memory.saturating_add(known), 0)
}

/// Bytes of the packs that are there: they are mapped, and do not count against the limit.
fn packs(repository: &Path) -> u64 {
    let files = std::fs::read_dir(repository.join("objects/pack")).into_iter().flatten();
    files.filter_map(|it| it.ok()?.metadata().ok()).map(|it| it.len()).sum()
}
