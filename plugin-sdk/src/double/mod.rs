//! The double of the engine, for tests without Wasm: the same provider code runs under `cargo test`, its imports
//! answered from memory.
//!
//! [`Engine`] plays the engine's part and is where a test begins; [`Double`] is the world behind the imports. Both keep
//! the rules of the contract that a provider could break: nothing but `log` and `blobs` in a PURE call, no request that
//! writes, no UPDATE and no change of a file outside `apply`, no secret opened outside `apply`.
//!
//! A double belongs to the thread that made it, as tests run one to a thread; the newest one is asked.

mod engine;
mod files;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

pub use self::engine::Engine;
use self::files::Disk;
use crate::host::dns::{DnsError, Query, Transport};
use crate::host::http::{HttpError, Request, Response};
use crate::host::log::Level;
use crate::host::secrets::SecretError;
use crate::host::signing::SigningError;
use crate::{Json, json};

thread_local! {
    static CURRENT: RefCell<Option<Double>> = const { RefCell::new(None) };
}

/// Which calls are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `describe`, `configure`, `render`, `upgrade`, `assess`.
    Pure,
    /// `scan`, `read`, `refine`, `discover`, `scopes`.
    Observe,
    /// `apply`, `poll`, `cancel`.
    Apply,
}

type Server = Box<dyn FnMut(&Request) -> Result<Response, HttpError>>;
type Nameserver = Box<dyn FnMut(&Query) -> Result<Vec<Vec<u8>>, DnsError>>;

struct World {
    phase: Cell<Phase>,
    /// Nanoseconds since 1970.
    clock: Cell<u64>,
    disk: RefCell<Disk>,
    server: RefCell<Option<Server>>,
    nameserver: RefCell<Option<Nameserver>>,
    blobs: RefCell<BTreeMap<String, Vec<u8>>>,
    secrets: RefCell<BTreeMap<String, String>>,
    cache: RefCell<BTreeMap<String, Vec<u8>>>,
    lines: RefCell<Vec<String>>,
    calls: RefCell<Vec<String>>,
}

/// The world behind the imports. Cheap to clone: all clones are one world.
#[derive(Clone)]
pub struct Double(Rc<World>);

/// Runs `ask` on the double of this thread.
pub(crate) fn current<T>(ask: impl FnOnce(&Double) -> T) -> T {
    let double = CURRENT.with(|it| it.borrow().clone()).unwrap_or_else(Double::install);
    ask(&double)
}

/// 64 lower-case hex digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Double {
    /// Makes an empty world and lets the imports of this thread reach it. The clock stands at 2026-01-01.
    pub fn install() -> Self {
        let double = Self(Rc::new(World {
            phase: Cell::new(Phase::Observe),
            clock: Cell::new(1_767_225_600_000_000_000),
            disk: RefCell::default(),
            server: RefCell::default(),
            nameserver: RefCell::default(),
            blobs: RefCell::default(),
            secrets: RefCell::default(),
            cache: RefCell::default(),
            lines: RefCell::default(),
            calls: RefCell::default(),
        }));
        CURRENT.with(|it| it.replace(Some(double.clone())));
        double
    }

    /// Sets what the provider may do from now on; [`Engine`] does it for each call.
    pub fn enter(&self, phase: Phase) {
        self.0.phase.set(phase);
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> u64 {
        self.0.clock.get() / 1_000_000
    }

    /// Lets time pass.
    pub fn advance(&self, millis: u64) {
        self.0.clock.set(self.0.clock.get().saturating_add(millis.saturating_mul(1_000_000)));
    }

    /// Answers HTTP requests. A request that writes outside `apply` does not reach it.
    pub fn serve(&self, server: impl FnMut(&Request) -> Result<Response, HttpError> + 'static) {
        self.0.server.replace(Some(Box::new(server)));
    }

    /// Answers DNS messages. An UPDATE or NOTIFY outside `apply` does not reach it.
    pub fn resolve(&self, nameserver: impl FnMut(&Query) -> Result<Vec<Vec<u8>>, DnsError> + 'static) {
        self.0.nameserver.replace(Some(Box::new(nameserver)));
    }

    /// Adds a file to the revision; what stands for it in a document.
    pub fn blob(&self, bytes: &[u8]) -> Json {
        let digest = sha256(bytes);
        self.0.blobs.borrow_mut().insert(digest.clone(), bytes.to_vec());
        json!({ "$blob": digest, "size": bytes.len() })
    }

    /// Grants a secret; what stands for it in a document.
    pub fn secret(&self, handle: &str, value: &str) -> Json {
        self.0.secrets.borrow_mut().insert(handle.to_owned(), value.to_owned());
        json!({ "$secret": handle })
    }

    /// Loses what the provider cached, as the engine may at any time.
    pub fn lose_cache(&self) {
        self.0.cache.borrow_mut().clear();
    }

    /// Lines of the log so far: `level message name=value`.
    pub fn lines(&self) -> Vec<String> {
        self.0.lines.borrow().clone()
    }

    /// What the provider asked for since the last time this was called: `files.read-all ./site/a`, `http PUT https://…`,
    /// `dns tcp dns://… UPDATE`.
    pub fn take_calls(&self) -> Vec<String> {
        self.0.calls.take()
    }

    fn note(&self, call: impl Into<String>) {
        self.0.calls.borrow_mut().push(call.into());
    }

    fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    // The receivers of the imports, by the name of their interface.

    pub(crate) fn log(&self) -> &Self {
        self
    }

    pub(crate) fn http(&self) -> &Self {
        self
    }

    pub(crate) fn cache(&self) -> Cache<'_> {
        Cache(self)
    }

    pub(crate) fn secrets(&self) -> &Self {
        self
    }

    pub(crate) fn signing(&self) -> &Self {
        self
    }

    pub(crate) fn dns(&self) -> &Self {
        self
    }

    pub(crate) fn blobs(&self) -> &Self {
        self
    }

    pub(crate) fn files(&self) -> &Self {
        self
    }
}

/// The imports `log`, `http`, `dns`, `secrets`, `signing`, `blobs`. Their functions have names of their own, so that the
/// double can be their receiver.
impl Double {
    pub(crate) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let fields = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>();
        let level = format!("{level:?}");
        let level = level.rsplit("::").next().unwrap_or_default().to_lowercase();
        self.0.lines.borrow_mut().push(format!("{level} {message}{fields}"));
    }

    pub(crate) fn send(&self, request: &Request) -> Result<Response, HttpError> {
        self.note(format!("http {} {}", request.method, request.url));
        let reads = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        match self.phase() {
            Phase::Pure => return Err(HttpError::Denied("no request within a pure call".to_owned())),
            Phase::Observe if !reads => return Err(HttpError::Denied(format!("{} writes; only within apply", request.method))),
            Phase::Observe | Phase::Apply => {}
        }
        match self.0.server.borrow_mut().as_mut() {
            Some(server) => server(request),
            None => Err(HttpError::Unreachable("the test serves nothing".to_owned())),
        }
    }

    pub(crate) fn send_all(&self, requests: &[Request], _: u32) -> Vec<Result<Response, HttpError>> {
        requests.iter().map(|it| self.send(it)).collect()
    }

    fn exchange(&self, query: &Query) -> Result<Vec<Vec<u8>>, DnsError> {
        let opcode = crate::dns::opcode(&query.message);
        let word = match opcode {
            0 => "QUERY".to_owned(),
            4 => "NOTIFY".to_owned(),
            5 => "UPDATE".to_owned(),
            other => format!("opcode {other}"),
        };
        let via = match query.via {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        self.note(format!("dns {via} {} {word}", query.server));
        match self.phase() {
            Phase::Pure => return Err(DnsError::Denied("no query within a pure call".to_owned())),
            Phase::Observe if opcode != 0 => return Err(DnsError::Denied(format!("{word} writes; only within apply"))),
            Phase::Observe | Phase::Apply => {}
        }
        match self.0.nameserver.borrow_mut().as_mut() {
            Some(nameserver) => nameserver(query),
            None => Err(DnsError::Unreachable("the test serves nothing".to_owned())),
        }
    }

    pub(crate) fn exchange_all(&self, queries: &[Query], _: u32) -> Vec<Result<Vec<Vec<u8>>, DnsError>> {
        queries.iter().map(|it| self.exchange(it)).collect()
    }

    pub(crate) fn reveal(&self, handle: &str) -> Result<String, SecretError> {
        self.note(format!("secrets.reveal {handle}"));
        match self.phase() {
            Phase::Apply => self.0.secrets.borrow().get(handle).cloned().ok_or(SecretError::Missing),
            Phase::Pure | Phase::Observe => Err(SecretError::Denied),
        }
    }

    pub(crate) fn sign(&self, credential: &str, algorithm: &str, data: &[u8]) -> Result<Vec<u8>, SigningError> {
        match self.phase() {
            // Not a signature: a value that depends on all that one would depend on.
            Phase::Apply => Ok(Sha256::digest([credential.as_bytes(), algorithm.as_bytes(), data].join(&0)).to_vec()),
            Phase::Pure | Phase::Observe => Err(SigningError::Denied),
        }
    }

    pub(crate) fn read(&self, sha256: &str, offset: u64, len: u64) -> Option<Vec<u8>> {
        let blobs = self.0.blobs.borrow();
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let take = usize::try_from(len).unwrap_or(usize::MAX);
        Some(blobs.get(sha256)?.iter().skip(skip).take(take).copied().collect())
    }
}

/// The import `cache`.
pub(crate) struct Cache<'a>(&'a Double);

impl Cache<'_> {
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.0.cache.borrow().get(key).cloned().filter(|_| self.0.phase() != Phase::Pure)
    }

    pub(crate) fn put(&self, key: &str, value: &[u8], _: u64) {
        if self.0.phase() != Phase::Pure {
            self.0.0.cache.borrow_mut().insert(key.to_owned(), value.to_vec());
        }
    }
}
