//! Programs that log in: run without input, for a bounded time and with a bounded answer.
//!
//! They run with the operator's environment, as they do by hand. What such a program prints as its answer is a secret as a whole;
//! what it says on its standard error is shown in part, as it is what a person needs, without the values of its own variables.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use trueup_core::text::clean;
use trueup_host::Secret;

use crate::kit::build::process::{Running, Stop};

/// How long a program may take.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of an answer, and of what is said on the standard error.
const OUTPUT: u64 = 1 << 20;
/// Characters of the standard error that a message shows.
pub(super) const WORDS: usize = 300;
const PAUSE: Duration = Duration::from_millis(5);
/// How long a pipe is read once its program has ended.
const LEFT_OPEN: Duration = Duration::from_secs(1);
/// Secret variables below this are not looked for in what a program says: they are parts of common words.
const SHORTEST: usize = 4;

/// A program, and how it is run.
#[derive(Debug)]
pub(super) struct Program {
    pub command: PathBuf,
    pub arguments: Vec<String>,
    pub variables: Vec<(String, String)>,
    pub limit: Duration,
}

/// Whether an entry of `credentials.yaml` names a program by the very text that a file calls it by, or by its path.
pub(super) fn is_named(exec: &[String], text: &str, path: &Path) -> bool {
    exec.iter().any(|it| it == text || Path::new(it) == path)
}

impl Program {
    pub fn name(&self) -> String {
        format!("the program `{}`", clean(&self.command.to_string_lossy(), 200))
    }

    /// Runs it with more variables. `hint` is for whoever does not have it.
    ///
    /// # Errors
    ///
    /// Where it does not start or end in time, fails, or answers with too much or with what is no text.
    pub fn run(&self, more: &[(&str, String)], hint: &str) -> Result<Secret, String> {
        let name = self.name();
        let mut command = Command::new(&self.command);
        command.args(&self.arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(more.iter().map(|(name, value)| (name, value))).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running =
            Running::start(&mut command, &Stop::default()).map_err(|err| format!("{name} does not start: {err}{hint}"))?;
        let out = running.child().stdout.take().map(Pipe::new);
        let said = running.child().stderr.take().map(Pipe::new);
        let late = Instant::now() + self.limit;
        let status = loop {
            match running.ended() {
                Ok(Some(status)) => break status,
                Err(err) => return Err(format!("{name} cannot be waited for: {err}")),
                Ok(None) if Instant::now() < late => thread::sleep(PAUSE),
                Ok(None) => {
                    running.end();
                    let limit = self.limit.as_secs();
                    return Err(format!("{name} was ended, as it did not answer within {limit} s; run it by hand to see why"));
                }
            }
        };
        // Ends what it started too, which may hold the pipes open.
        running.end();
        let answer = out.map(Pipe::gather).unwrap_or_default();
        let said = String::from_utf8_lossy(&said.map(Pipe::gather).unwrap_or_default()).into_owned();
        // Before its status: whoever reads no further ends it.
        if answer.len() as u64 > OUTPUT {
            return Err(format!("{name} answered with more than 1 MiB"));
        }
        if !status.success() {
            return Err(format!("{name} failed ({status}){}", self.words(&said)));
        }
        String::from_utf8(answer).map(Secret::new).map_err(|_| format!("{name} answered with what is not UTF-8"))
    }

    /// The end of what it said, without the values of its variables.
    fn words(&self, said: &str) -> String {
        let mut text = said.trim().to_owned();
        for (_, value) in self.variables.iter().filter(|it| it.1.len() >= SHORTEST) {
            text = text.replace(value, "(secret)");
        }
        let skipped = text.chars().count().saturating_sub(WORDS);
        let text: String = text.chars().skip(skipped).collect();
        if text.is_empty() { String::new() } else { format!(": {}", clean(&text, 2 * WORDS)) }
    }
}

/// What comes out of a pipe, while it comes.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Pipe {
    /// Reads to its end, or a little beyond the limit.
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let into = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let (mut chunk, mut total) = ([0; 8192], 0);
            while let Ok(len @ 1..) = pipe.read(&mut chunk) {
                total += len as u64;
                into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(chunk.get(..len).unwrap_or_default());
                if total > OUTPUT {
                    break;
                }
            }
        });
        Self { bytes, reader }
    }

    /// What came. A process that left the program's group may hold the pipe open for ever: nobody waits for that one.
    fn gather(self) -> Vec<u8> {
        let late = Instant::now() + LEFT_OPEN;
        while !self.reader.is_finished() && Instant::now() < late {
            thread::sleep(PAUSE);
        }
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
