//! The contract's imports, answered for one instance. Each looks at the phase and the grant first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use trueup_core::value::Digest;

use crate::bindings::trueup::provider::{blobs, cache, dns, files, http, log, secrets, signing, types};
use crate::files::{Change, Roots, list_all, read_all, stat_all};
use crate::log::LogSink;
use crate::records::Phase;
use crate::services::{Level, SecretError};
use crate::state::{Call, Context, State};
use crate::tap::Batch;

/// Bytes of a blob that one `blobs.read` gives.
const MAX_BLOB_PART: u64 = 8 << 20;

impl types::Host for State {}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(level, &message, fields.into_iter().take(64).collect());
        Ok(())
    }
}

impl blobs::Host for State {
    fn read(&mut self, sha256: String, offset: u64, len: u64) -> wasmtime::Result<Option<Vec<u8>>> {
        // Answered in PURE calls as well: the digest fixes the bytes.
        let answers = matches!(self.phase, Phase::Pure | Phase::Apply) && self.call.function != "configure";
        let blob = Digest::parse(&sha256).filter(|_| answers).and_then(|digest| self.context.services.blob(&digest));
        Ok(blob.map(|bytes| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let len = usize::try_from(len.min(MAX_BLOB_PART)).unwrap_or_default();
            bytes.get(start..start.saturating_add(len).min(bytes.len())).unwrap_or_default().to_vec()
        }))
    }
}

/// Bytes of a key of the cache; a longer one is never kept.
const MAX_CACHE_KEY: usize = 1024;

impl cache::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        if self.may_reach_out().is_err() || key.len() > MAX_CACHE_KEY {
            return Ok(None);
        }
        let kept = |key: &String| self.context.cache.get(key, Instant::now()).or_else(|| self.context.services.recall(key));
        Ok(self.tapped("cache.get", vec![key], |keys| keys.iter().map(kept).collect(), |_| None).pop().flatten())
    }

    fn put(&mut self, key: String, value: Vec<u8>, ttl: u64) -> wasmtime::Result<()> {
        if self.may_reach_out().is_ok() && key.len() <= MAX_CACHE_KEY {
            let put = |(key, value, ttl): (String, Vec<u8>, u64)| {
                self.context.services.keep(&key, &value, Duration::from_millis(ttl));
                self.context.cache.put(key, value, Duration::from_millis(ttl), Instant::now());
            };
            self.tapped("cache.put", vec![(key, value, ttl)], |them| them.into_iter().map(put).collect(), |_| ());
        }
        Ok(())
    }
}

impl secrets::Host for State {
    fn reveal(&mut self, handle: String) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        if self.phase != Phase::Apply || self.may_reach_out().is_err() || self.call.function != "apply" {
            self.log.denied("secrets", &format!("secrets are opened within `apply` only, not in `{}`", self.call.function));
            return Ok(Err(secrets::SecretError::Denied));
        }
        let reveal = |handle: String| self.open_secret(&handle);
        let denied = |_| Err(secrets::SecretError::Denied);
        let mut answers = self.tapped("secrets", vec![handle], |them| them.into_iter().map(reveal).collect(), denied);
        Ok(answers.pop().unwrap_or(Err(secrets::SecretError::Denied)))
    }
}

impl State {
    fn open_secret(&self, handle: &str) -> Result<String, secrets::SecretError> {
        match self.context.services.reveal(handle) {
            Ok(secret) => Ok(secret.expose().to_owned()),
            Err(SecretError::Denied) => {
                self.log.denied("secrets", "the plugin asked for a secret that it was not granted");
                Err(secrets::SecretError::Denied)
            }
            Err(SecretError::Missing) => Err(secrets::SecretError::Missing),
            Err(SecretError::Unavailable(text)) => Err(secrets::SecretError::Unavailable(text)),
        }
    }

    /// Answers a batch, past the tap. `broken` makes an answer of one that is none.
    fn tapped<Q: Serialize, A: Serialize + DeserializeOwned>(
        &self,
        import: &'static str,
        questions: Vec<Q>,
        answer: impl FnOnce(Vec<Q>) -> Vec<A>,
        broken: impl Fn(String) -> A,
    ) -> Vec<A> {
        let batch = Batch::new(&*self.context.services, &self.context.alias, self.call, import, &self.tokens);
        let (waiting, rest) = batch.before(questions, &broken);
        let answers = answer(rest);
        batch.after(waiting, answers, broken)
    }
}

impl signing::Host for State {
    fn sign(&mut self, _: String, _: String, _: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, signing::SigningError>> {
        // No kind of credential that can sign exists yet, so none can have been granted.
        self.log.denied("signing", "no credential that signs is granted");
        Ok(Err(signing::SigningError::Denied))
    }
}

impl files::Host for State {
    fn list_all(&mut self, directories: Vec<String>) -> wasmtime::Result<Vec<Result<files::Listing, files::FileError>>> {
        if let Err(why) = self.may_reach_out() {
            return Ok(self.deny_files(directories.len(), &why));
        }
        let list = |directories: Vec<String>| {
            blocking(|| list_all(&Roots(&self.context.grant.dirs), &directories, &self.context.limits, self.call.deadline))
        };
        let answers = self.tapped("files.list", directories, list, broken_file);
        self.tell_denied(&answers);
        Ok(answers)
    }

    fn stat_all(&mut self, paths: Vec<String>) -> wasmtime::Result<Vec<Result<files::Entry, files::FileError>>> {
        if let Err(why) = self.may_reach_out() {
            return Ok(self.deny_files(paths.len(), &why));
        }
        let stat = |paths: Vec<String>| blocking(|| stat_all(&Roots(&self.context.grant.dirs), &paths, self.call.deadline));
        let answers = self.tapped("files.stat", paths, stat, broken_file);
        self.tell_denied(&answers);
        Ok(answers)
    }

    fn read_all(&mut self, requests: Vec<files::ReadRequest>) -> wasmtime::Result<Vec<Result<files::Content, files::FileError>>> {
        if let Err(why) = self.may_reach_out() {
            return Ok(self.deny_files(requests.len(), &why));
        }
        let read = |requests: Vec<files::ReadRequest>| {
            blocking(|| read_all(&Roots(&self.context.grant.dirs), &requests, &self.context.limits, self.call.deadline))
        };
        let answers = self.tapped("files.read", requests, read, broken_file);
        self.tell_denied(&answers);
        Ok(answers)
    }

    fn change_all(
        &mut self,
        changes: Vec<files::FileChange>,
    ) -> wasmtime::Result<Vec<Result<Option<files::Entry>, files::FileError>>> {
        let allowed = self.may_reach_out().and_then(|()| match self.call.function {
            "apply" => Ok(()),
            other => Err(format!("files are changed within `apply` only, not in `{other}`")),
        });
        if let Err(why) = allowed {
            return Ok(self.deny_files(changes.len(), &why));
        }
        let change = Change {
            roots: Roots(&self.context.grant.dirs),
            services: &*self.context.services,
            tokens: &self.tokens,
            deadline: self.call.deadline,
        };
        let answers = self.tapped("files.change", changes, |changes| blocking(|| change.all(changes)), broken_file);
        self.tell_denied(&answers);
        Ok(answers)
    }
}

/// A file that a tap answered with what is no answer.
fn broken_file<T>(text: String) -> Result<T, files::FileError> {
    Err(files::FileError::Io(text))
}

impl State {
    fn deny_files<T>(&self, count: usize, why: &str) -> Vec<Result<T, files::FileError>> {
        if count > 0 {
            self.log.denied("files", why);
        }
        (0..count).map(|_| Err(files::FileError::Denied(why.to_owned()))).collect()
    }

    /// Tells each kind of refusal once; a plugin that tries a thousand paths is one refusal.
    fn tell_denied<T>(&self, answers: &[Result<T, files::FileError>]) {
        let mut told = None;
        for answer in answers {
            if let Err(files::FileError::Denied(text)) = answer
                && told != Some(text)
            {
                self.log.denied("files", text);
                told = Some(text);
            }
        }
    }
}

impl http::Host for State {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, http::HttpError>> {
        let answers = exchange(self.asking(), vec![request], 1).await;
        Ok(answers.into_iter().next().unwrap_or_else(|| Err(http::HttpError::Interrupted("no answer".to_owned()))))
    }

    async fn send_all(
        &mut self,
        requests: Vec<http::Request>,
        parallel: u32,
    ) -> wasmtime::Result<Vec<Result<http::Response, http::HttpError>>> {
        Ok(exchange(self.asking(), requests, parallel).await)
    }
}

impl dns::Host for State {
    async fn exchange_all(
        &mut self,
        queries: Vec<dns::Query>,
        parallel: u32,
    ) -> wasmtime::Result<Vec<Result<Vec<Vec<u8>>, dns::DnsError>>> {
        let it = self.asking();
        let answers = match &it.allowed {
            Ok(()) => {
                let (batch, broken) = (it.batch("dns"), |text| Err(dns::DnsError::Interrupted(text)));
                let (waiting, rest) = batch.before(queries, broken);
                let answers = it.context.dns.exchange_all(rest, parallel, it.writes(), it.call.deadline).await;
                batch.after(waiting, answers, broken)
            }
            Err(why) => queries.iter().map(|_| Err(dns::DnsError::Denied(why.clone()))).collect(),
        };
        it.tell_denied(
            "dns",
            answers.iter().filter_map(|answer| match answer {
                Err(dns::DnsError::Denied(text)) => Some(text),
                _ => None,
            }),
        );
        Ok(answers)
    }
}

/// Who asks for requests, apart from the instance, which must not be held while they run.
struct Asking {
    context: Arc<Context>,
    log: Arc<LogSink>,
    call: Call,
    allowed: Result<(), String>,
    /// For the tap; empty without one.
    tokens: Vec<String>,
}

impl State {
    fn asking(&self) -> Asking {
        let (context, log) = (Arc::clone(&self.context), Arc::clone(&self.log));
        let tokens = if context.services.tap().is_some() { self.tokens.clone() } else { Vec::new() };
        Asking { context, log, call: self.call, allowed: self.may_reach_out(), tokens }
    }
}

impl Asking {
    /// Whether the running call may change things.
    fn writes(&self) -> bool {
        matches!(self.call.function, "apply" | "poll" | "cancel")
    }

    fn batch(&self, import: &'static str) -> Batch<'_> {
        Batch::new(&*self.context.services, &self.context.alias, self.call, import, &self.tokens)
    }

    /// Tells each kind of refusal once; a plugin that tries a thousand hosts is one refusal.
    fn tell_denied<'a>(&self, import: &'static str, refused: impl Iterator<Item = &'a String>) {
        let mut told = None;
        for text in refused {
            if told != Some(text) {
                self.log.denied(import, text);
                told = Some(text);
            }
        }
    }
}

async fn exchange(it: Asking, requests: Vec<http::Request>, parallel: u32) -> Vec<Result<http::Response, http::HttpError>> {
    let answers = match &it.allowed {
        Ok(()) => {
            let (batch, broken) = (it.batch("http"), |text| Err(http::HttpError::Interrupted(text)));
            let (waiting, rest) = batch.before(requests, broken);
            let answers = it.context.outbound.send_all(rest, parallel, it.writes(), it.call.deadline, &it.log).await;
            batch.after(waiting, answers, broken)
        }
        Err(why) => requests.iter().map(|_| Err(http::HttpError::Denied(why.clone()))).collect(),
    };
    it.tell_denied(
        "http",
        answers.iter().filter_map(|answer| match answer {
            Err(http::HttpError::Denied(text)) => Some(text),
            _ => None,
        }),
    );
    answers
}

/// Runs work that waits for the disk. On a runtime with several threads the others are told to carry on without this one.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|it| it.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
