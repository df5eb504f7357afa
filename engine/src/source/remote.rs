//! Sources elsewhere: which URLs are allowed, and the parent's side of a fetch.
//!
//! Each URL has a folder in the cache: a lock, and a bare repository `g<number>` that grows with each fetch. When it holds
//! many packs the next fetch starts the next number; the one before is kept, as another process may still read it.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use trueup_core::value::Digest;
use url::Url;

use super::child::{Failed, Fetched, LINE, Message, Order, Why};
use super::git::Repo;
use super::{Commit, Limits, Source, SourceError};

/// Packs in one repository before a new one is started.
const PACKS: usize = 64;
/// All that a child may say.
const ANSWER: u64 = 16 << 20;
/// Environment variables that the child keeps: where the network and its certificates are.
const KEPT: [&str; 10] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteUrl {
    /// `https://` or `http://`, without user, password, query and fragment.
    Http(Url),
    /// A repository on this machine.
    Local(PathBuf),
}

impl RemoteUrl {
    /// Reads a URL. `from_operator` says that it stood on the command line: only then may it be a path or `file://`.
    ///
    /// # Errors
    ///
    /// [`SourceError::UrlRefused`], with what to write instead; a password in it is not repeated.
    pub fn parse(text: &str, from_operator: bool) -> Result<Self, SourceError> {
        let refused = |reason: &str, hint: &str| {
            Err(SourceError::UrlRefused { url: redacted(text), reason: reason.to_owned(), hint: hint.to_owned() })
        };
        const HTTPS: &str = "give an `https://` URL";
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        // Names of folders may hold spaces.
        let strange = |it: char| it.is_control() || (it.is_whitespace() && scheme.is_some());
        if text.is_empty() || text.starts_with('-') || text.chars().any(strange) {
            return refused("it is not a URL", HTTPS);
        }
        let path = match scheme.as_deref() {
            Some("http" | "https") => None,
            Some("file") => match Url::parse(text).ok().and_then(|it| it.to_file_path().ok()) {
                Some(path) => Some(path),
                None => return refused("it is not a path on this machine", "write `file:///path`, or the path itself"),
            },
            Some("ssh" | "git+ssh" | "ssh+git") => return refused("ssh is not supported", HTTPS),
            Some(_) => return refused("only `https://` and `http://` are supported", HTTPS),
            None if text.contains("::") => return refused("transport helpers are not supported", HTTPS),
            None if text.split('/').next().is_some_and(|start| start.contains(':')) => {
                return refused("ssh is not supported", HTTPS);
            }
            None => Some(PathBuf::from(text)),
        };
        if let Some(path) = path {
            return match from_operator {
                true => Ok(Self::Local(path)),
                false => refused("only the command line may name a repository on this machine", HTTPS),
            };
        }
        let Ok(url) = Url::parse(text) else {
            return refused("it is not a URL", HTTPS);
        };
        if !url.username().is_empty() || url.password().is_some() || text.split('/').nth(2).is_some_and(|it| it.contains('@')) {
            return refused(
                "it holds credentials",
                "take them out of the URL, and put them into `credentials.yaml` in an entry with `git: true` and this origin",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refused("it holds a query or fragment", "give the address of the repository alone, and `--rev` and `--path`");
        }
        if url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
            return refused("it names no server", HTTPS);
        }
        Ok(Self::Http(url))
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url.as_str()),
            Self::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A URL for people: whatever stands before an `@`, and a query, are taken out.
fn redacted(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority.to_owned(), |(_, host)| format!("…@{host}"));
    // An `@` further on may belong to a password with a `/` in it.
    let tail = if tail.contains('@') { "/…" } else { tail.split(['?', '#']).next().unwrap_or_default() };
    let shown: String = [host.as_str(), tail].concat().chars().take(200).collect();
    let shown = shown.escape_debug();
    if scheme.is_empty() { shown.to_string() } else { format!("{}://{shown}", scheme.escape_debug()) }
}

/// A source elsewhere and what the operator's credentials say about its server.
#[derive(Clone)]
pub struct Remote {
    pub url: RemoteUrl,
    /// Whole header lines (`Authorization: …`), secret: sent to this server only, never after a redirect.
    pub headers: Vec<String>,
    /// Certificates in PEM to trust beside the system's.
    pub ca: Option<String>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({}, {} headers)", self.url, self.headers.len())
    }
}

/// What one fetch may cost.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// All of it, waiting for another fetch of the same URL included.
    pub total: Duration,
    /// Without a byte or an object.
    pub idle: Duration,
    /// Bytes of address space of the child, beyond the packs that are there already. By default room for a pack of the largest
    /// size, which is mapped, and for the objects that it unfolds to, each of which is limited by itself.
    pub memory: u64,
    /// Bytes of the largest file, which is the pack.
    pub file: u64,
    /// Processor time of the child.
    pub cpu: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(600),
            idle: Duration::from_secs(30),
            memory: 4 << 30,
            file: 2 << 30,
            cpu: Duration::from_secs(600),
        }
    }
}

/// Fetches in a child process, into a cache.
#[derive(Clone, Debug)]
pub struct Fetcher {
    /// The program that answers to [`super::child::main`], with its arguments.
    pub program: PathBuf,
    pub args: Vec<String>,
    pub cache: PathBuf,
    pub limits: FetchLimits,
}

impl Source {
    /// Fetches `rev` (a branch, tag or commit; the server's default branch where None) of a source elsewhere. Only what is
    /// new since the last time crosses the network. A repository on this machine is opened where it is.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unreachable`] where a later try may work (silence, time-outs, 5xx), [`SourceError::Denied`],
    /// [`SourceError::BadAnswer`], [`SourceError::Limit`]; and as [`Source::resolve`]. What was fetched before is intact.
    pub fn fetch(remote: &Remote, rev: Option<&str>, cache: &Path, limits: &FetchLimits) -> Result<(Self, Commit), SourceError> {
        let program = std::env::current_exe()
            .map_err(|err| SourceError::Unreadable { what: "the program's own file".into(), cause: err.to_string() })?;
        let args = vec!["internal-fetch".to_owned()];
        Fetcher { program, args, cache: cache.to_path_buf(), limits: *limits }.fetch(remote, rev)
    }
}

impl Fetcher {
    /// As [`Source::fetch`].
    pub fn fetch(&self, remote: &Remote, rev: Option<&str>) -> Result<(Source, Commit), SourceError> {
        let url = match &remote.url {
            RemoteUrl::Local(path) => {
                let source = Source { root: None, ..Source::open(path)? };
                let commit = source.resolve(rev.unwrap_or("HEAD"))?;
                return Ok((source, commit));
            }
            RemoteUrl::Http(url) => url,
        };
        let deadline = Instant::now() + self.limits.total;
        let name = Digest::of(url.as_str().as_bytes()).to_string();
        let folder = self.cache.join(name.get(..32).unwrap_or(&name));
        let failed = |err: std::io::Error| SourceError::Unreadable {
            what: format!("the cache `{}`", folder.display()),
            cause: err.to_string(),
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let _lock = self.lock(&folder, url, deadline)?;
        let (number, packs) = newest(&folder).map_err(failed)?;
        let mut number = if packs > PACKS { number + 1 } else { number };
        let mut order = Order {
            url: url.to_string(),
            headers: remote.headers.clone(),
            ca: remote.ca.clone(),
            rev: rev.map(str::to_owned),
            repository: folder.join(format!("g{number}")),
            memory: self.limits.memory,
            file: self.limits.file,
            cpu_s: self.limits.cpu.as_secs().max(1),
            idle_ms: u64::try_from(self.limits.idle.as_millis()).unwrap_or(u64::MAX),
        };
        let mut answer = self.run(&order, deadline)?;
        if answer.as_ref().is_err_and(|failed| failed.why == Why::Stale) {
            number += 1;
            order.repository = folder.join(format!("g{number}"));
            answer = self.run(&order, deadline)?;
        }
        let fetched = answer.map_err(|failed| told(failed, &order))?;
        forget_older(&folder, number).map_err(failed)?;
        let repo = std::sync::Arc::new(Repo::bare(&order.repository)?);
        let source = Source { repo: Some(repo), prefix: "".into(), root: None, limits: Limits::default() };
        let commit = Commit { branch: fetched.branch, ..source.resolve(&fetched.commit)? };
        Ok((source, commit))
    }

    /// One fetch of a URL at a time, on this machine. Freed when the file is closed, also by a kill.
    fn lock(&self, folder: &Path, url: &Url, deadline: Instant) -> Result<File, SourceError> {
        let failed = |cause: String| SourceError::Unreadable { what: format!("the cache `{}`", folder.display()), cause };
        let file = File::options().create(true).append(true).open(folder.join("lock")).map_err(|err| failed(err.to_string()))?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(SourceError::Unreachable {
                        url: url.to_string(),
                        cause: "another run is still fetching it".into(),
                    });
                }
                Err(err) => return Err(failed(err.to_string())),
            }
        }
    }

    /// Runs the child, watches it, and says what came of it.
    fn run(&self, order: &Order, deadline: Instant) -> Result<Result<Fetched, Failed>, SourceError> {
        let started = |err: std::io::Error| SourceError::Unreadable {
            what: format!("the program `{}`", self.program.display()),
            cause: err.to_string(),
        };
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        let mut child = Killed(command.spawn().map_err(started)?);
        let (stdin, stdout) = (child.0.stdin.take(), child.0.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(started(std::io::Error::other("it has no pipes")));
        };
        let mut line = serde_json::to_vec(order).map_err(|err| started(err.into()))?;
        line.push(b'\n');
        let written = hand_over(stdin, line);
        let (send, messages) = channel();
        let reader = std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout.take(ANSWER));
            let mut line = Vec::new();
            while matches!((&mut stdout).take(LINE).read_until(b'\n', &mut line), Ok(read) if read > 0) {
                // Other lines are what a library of the child's prints.
                if let Ok(message) = serde_json::from_slice::<Message>(&line)
                    && send.send(message).is_err()
                {
                    return;
                }
                line.clear();
            }
        });
        let answer = self.watch(&messages, deadline);
        // Kept open until here: its end tells the child that nobody waits. One that has not even read its order by now will
        // not end by itself.
        let has_read = written.try_recv().is_ok();
        let status = child.end(matches!(answer, Ok(None)) && has_read);
        drop(messages);
        let _ = reader.join();
        match answer.map_err(|cause| SourceError::Unreachable { url: order.url.clone(), cause })? {
            Some(answer) => Ok(answer),
            None => Err(self.died(status, order)),
        }
    }

    /// Waits for the answer; None when the child ended without one, an error when it took too long.
    fn watch(&self, messages: &Receiver<Message>, deadline: Instant) -> Result<Option<Result<Fetched, Failed>>, String> {
        let mut silent = Instant::now() + self.limits.idle;
        loop {
            match messages.recv_timeout(silent.min(deadline).saturating_duration_since(Instant::now())) {
                Ok(Message::Moving(_)) => silent = Instant::now() + self.limits.idle,
                Ok(Message::Fetched(fetched)) => return Ok(Some(Ok(fetched))),
                Ok(Message::Failed(failed)) => return Ok(Some(Err(failed))),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    return Err(format!("the fetch took longer than {} s", self.limits.total.as_secs_f32()));
                }
                Err(RecvTimeoutError::Timeout) => return Err(format!("it was silent for {} s", self.limits.idle.as_secs_f32())),
            }
        }
    }

    /// Which limit ended a child that gave no answer.
    fn died(&self, status: Option<ExitStatus>, order: &Order) -> SourceError {
        const SIGABRT: i32 = 6;
        const SIGSEGV: i32 = 11;
        const SIGXCPU: i32 = 24;
        const SIGXFSZ: i32 = 25;
        let crossed = |what: &str, limit: String| SourceError::Limit { what: format!("{what} `{}`", order.url), limit };
        match status.and_then(|it| it.signal()) {
            Some(SIGXFSZ) => crossed("the pack from", format!("{} bytes", self.limits.file)),
            Some(SIGXCPU) => crossed("the processor time to fetch", format!("{} s", self.limits.cpu.as_secs())),
            Some(SIGABRT | SIGSEGV) => crossed("the memory to fetch", format!("{} bytes", self.limits.memory)),
            _ => SourceError::BadAnswer { url: order.url.clone(), cause: "the fetch ended without an answer".into() },
        }
    }
}

/// A failure that the child told of.
fn told(failed: Failed, order: &Order) -> SourceError {
    let (url, cause) = (order.url.clone(), failed.cause);
    let rev = || order.rev.clone().unwrap_or_default();
    match failed.why {
        Why::Unknown => SourceError::UnknownRevision { rev: rev() },
        Why::Ambiguous => SourceError::AmbiguousRevision {
            rev: rev(),
            candidates: failed.names.iter().map(|it| format!("`{}`", it.trim_matches('`'))).collect(),
        },
        Why::Empty => SourceError::NothingCommitted,
        Why::Denied => SourceError::Denied { url, cause },
        Why::Unreachable => SourceError::Unreachable { url, cause },
        Why::Broken | Why::Stale => SourceError::BadAnswer { url, cause },
    }
}

/// Writes a child's order while somebody watches the child: one that does not read it would hold us up for ever. Gives the
/// pipe back once all is written, or the child is gone, which its exit tells.
fn hand_over(mut stdin: ChildStdin, line: Vec<u8>) -> Receiver<ChildStdin> {
    let (send, written) = channel();
    std::thread::spawn(move || {
        let _ = stdin.write_all(&line);
        let _ = send.send(stdin);
    });
    written
}

/// A child that does not outlive its parent's interest.
struct Killed(Child);

impl Killed {
    /// Waits for the end; unless it ended by itself, ends it.
    fn end(&mut self, by_itself: bool) -> Option<ExitStatus> {
        if !by_itself {
            let _ = self.0.kill();
        }
        self.0.wait().ok()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// The highest number of a repository in the folder, and how many packs it holds.
fn newest(folder: &Path) -> std::io::Result<(u64, usize)> {
    let newest = numbers(folder)?.into_iter().max().unwrap_or(0);
    let packs = match std::fs::read_dir(folder.join(format!("g{newest}/objects/pack"))) {
        Ok(packs) => packs.filter_map(Result::ok).filter(|it| it.path().extension().is_some_and(|it| it == "idx")).count(),
        Err(_) => 0,
    };
    Ok((newest, packs))
}

/// Removes all repositories but `number` and the one before.
fn forget_older(folder: &Path, number: u64) -> std::io::Result<()> {
    for old in numbers(folder)?.into_iter().filter(|old| old + 1 < number) {
        std::fs::remove_dir_all(folder.join(format!("g{old}")))?;
    }
    Ok(())
}

fn numbers(folder: &Path) -> std::io::Result<Vec<u64>> {
    let names = std::fs::read_dir(folder)?.filter_map(|it| it.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.strip_prefix('g')?.parse().ok()).collect())
}
