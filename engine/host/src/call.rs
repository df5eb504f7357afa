//! Calls into a configured provider.
//!
//! Every call runs on a warm instance of its phase, for at most its budget, and its answer is held against what was
//! asked. An answer of the wrong length fails the call; an item that breaks the contract fails alone, but in `render`,
//! where a failed item would blame the document for what the plugin did.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use trueup_core::value::{Json, canonical};

use crate::convert::{MAX_NAME, Reader, to};
use crate::error::CallError;
use crate::files;
use crate::grant::Grant;
use crate::load::Plugin;
use crate::pool::{IdlePool, Instance, timed};
use crate::records::*;
use crate::services::Services;
use crate::state::Context;

/// Items that one call carries; the host cuts longer lists.
const MAX_SCOPES: usize = 256;
const MAX_ITEMS: usize = 1000;
/// Objects that one `read` asks for, of a plugin that takes as many changes in one `apply`.
const MAX_LOOKUPS: usize = 50_000;
/// Bytes of documents that one call carries.
const MAX_BATCH: usize = 4 << 20;
/// Below this many scopes a scan is not spread over several instances.
const SPREAD_FROM: usize = 32;

/// How to configure a provider.
pub struct ProviderSettings {
    pub alias: Arc<str>,
    /// Has been checked against the manifest's schema.
    pub config: Json,
    /// What it may do: see [`crate::grant::intersect`].
    pub grant: Grant,
    pub services: Arc<dyn Services>,
    /// Calls at a time; cut to the manifest's own limit.
    pub parallel: u32,
}

/// A plugin configured under an alias. Cheap to clone; clones share instances, cache and connections.
#[derive(Clone)]
pub struct Provider(pub(crate) Arc<ProviderInner>);

pub(crate) struct ProviderInner {
    plugin: Plugin,
    pub(crate) context: Arc<Context>,
    config: String,
    /// What `discover` last answered.
    kinds: Mutex<Option<Arc<String>>>,
    running: Arc<Semaphore>,
    parallel: u32,
    /// By phase: pure, read, apply.
    pub(crate) idle: [IdlePool; 3],
}

impl Plugin {
    /// Configures the plugin under an alias. Nothing runs yet: `configure` is the first call on each instance.
    pub fn provider(&self, settings: ProviderSettings) -> Provider {
        let ProviderSettings { alias, config, grant, services, parallel } = settings;
        let parallel = parallel.min(self.manifest().parallel).max(1);
        let limits = self.0.runtime.limits().clone();
        let inner = Arc::new(ProviderInner {
            plugin: self.clone(),
            context: Arc::new(Context::new(alias, grant, services, limits)),
            config: canonical(&config),
            kinds: Mutex::default(),
            running: Arc::new(Semaphore::new(usize::try_from(parallel).unwrap_or(1))),
            parallel,
            idle: Default::default(),
        });
        self.0.runtime.0.budget.register(&inner);
        Provider(inner)
    }
}

/// A running call: the instance it runs on, and the right to run it.
struct Lease {
    instance: Instance,
    provider: Arc<ProviderInner>,
    phase: Phase,
    function: &'static str,
    limit: Duration,
    _running: OwnedSemaphorePermit,
}

impl Lease {
    /// Ends the call. The instance is kept only where the call went well.
    fn end<T>(mut self, answer: Result<T, crate::pool::Stop>) -> Result<T, CallError> {
        let answer = self.instance.end(answer, self.function, self.limit)?;
        self.provider.pool(self.phase).push(self.instance, &self.provider.plugin.0.runtime.0.budget);
        Ok(answer)
    }
}

impl ProviderInner {
    fn pool(&self, phase: Phase) -> &IdlePool {
        let [pure, read, apply] = &self.idle;
        match phase {
            Phase::Pure => pure,
            Phase::Read => read,
            Phase::Apply => apply,
        }
    }

    fn contract(&self, function: &'static str, text: impl Into<String>) -> CallError {
        CallError::Contract { plugin: self.context.alias.to_string(), function, text: text.into() }
    }

    fn unsupported(&self, function: &'static str) -> CallError {
        CallError::Unsupported { plugin: self.context.alias.to_string(), function }
    }

    /// Checks an answer's length, then reads each item with its question.
    fn items<Q, A, R>(
        &self,
        function: &'static str,
        asked: &[Q],
        answer: Vec<A>,
        read: impl Fn(&Reader<'_>, &Q, A) -> R,
    ) -> Result<Vec<R>, CallError> {
        if asked.len() != answer.len() {
            return Err(self.contract(function, format!("{} items were asked and {} answered", asked.len(), answer.len())));
        }
        let manifest = self.plugin.manifest();
        let known = |kind: &str| manifest.kinds.contains_key(kind);
        let reader = Reader {
            provider: &self.context.alias,
            services: &*self.context.services,
            document: self.context.limits.document,
            kinds: if self.plugin.exports().schemas { None } else { Some(&known) },
        };
        Ok(asked.iter().zip(answer).map(|(asked, answer)| read(&reader, asked, answer)).collect())
    }
}

/// An item whose answer broke the contract.
fn broken(rule: String) -> Failure {
    Failure::new(Fault::Contract, "host.contract", format!("the plugin broke the contract: {rule}"))
}

impl Provider {
    /// The alias it is configured under.
    pub fn alias(&self) -> &Arc<str> {
        &self.0.context.alias
    }

    /// The plugin behind it.
    pub fn plugin(&self) -> &Plugin {
        &self.0.plugin
    }

    /// Calls that run at a time.
    pub fn parallel(&self) -> u32 {
        self.0.parallel
    }

    /// What it may do.
    pub fn grant(&self) -> &Grant {
        &self.0.context.grant
    }

    /// Validates, fills in defaults and expands; PURE. A plugin that does not render gives back what was declared.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn render(&self, info: &CallInfo, items: Vec<Declared>) -> Result<Vec<Rendered>, CallError> {
        if !self.0.plugin.exports().rendering {
            let same = |it: Declared| RenderedObject { address: it.address, doc: it.doc, after: Vec::new(), defines: None };
            return Ok(items.into_iter().map(|it| Rendered { objects: vec![same(it)], findings: Vec::new() }).collect());
        }
        let parts = cut(items, MAX_ITEMS, |it| size(Some(&it.doc)));
        self.parts(info, parts, |it, info, part| async move { it.render_part(&info, part).await }).await
    }

    async fn render_part(&self, info: &CallInfo, items: Vec<Declared>) -> Result<Vec<Rendered>, CallError> {
        let mut lease = self.lease(Phase::Pure, "render", info).await?;
        let question: Vec<_> = items.iter().map(to::declared).collect();
        let it = &mut lease.instance;
        let Some(guest) = &it.guests.rendering else { return Err(self.0.unsupported("render")) };
        let answer = timed(lease.limit, guest.call_render(&mut it.store, &question)).await;
        let answer = lease.end(answer)?;
        let rendered: Result<Vec<Rendered>, String> =
            self.0.items("render", &items, answer, |reader, _, it| reader.rendered(it))?.into_iter().collect();
        rendered.map_err(|rule| self.0.contract("render", rule))
    }

    /// All objects of each scope, a page at a time. The host spreads long lists over calls and instances.
    ///
    /// # Errors
    ///
    /// See [`CallError`]. An answer that is too large is asked again in smaller parts first.
    pub async fn scan(&self, info: &CallInfo, queries: Vec<ScopeQuery>) -> Result<Vec<Result<Snapshot, Failure>>, CallError> {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = workers.min(usize::try_from(self.0.parallel).unwrap_or(1));
        let most = match queries.len() {
            few if few < SPREAD_FROM => few,
            many => many.div_ceil(workers).clamp(1, MAX_SCOPES),
        };
        let parts = cut(queries, most, |_| 0);
        self.parts(info, parts, |it, info, part| async move { it.scan_part(&info, part).await }).await
    }

    async fn scan_part(&self, info: &CallInfo, queries: Vec<ScopeQuery>) -> Result<Vec<Result<Snapshot, Failure>>, CallError> {
        match self.scan_once(info, &queries).await {
            Err(CallError::TooLarge { .. }) if queries.len() > 1 => {
                let mut front = queries;
                let back = front.split_off(front.len() / 2);
                let mut answer = Box::pin(self.scan_part(info, front)).await?;
                answer.extend(Box::pin(self.scan_part(info, back)).await?);
                Ok(answer)
            }
            answer => answer,
        }
    }

    async fn scan_once(&self, info: &CallInfo, queries: &[ScopeQuery]) -> Result<Vec<Result<Snapshot, Failure>>, CallError> {
        let mut lease = self.lease(Phase::Read, "scan", info).await?;
        let question: Vec<_> = queries.iter().map(to::query).collect();
        let (it, facts) = (&mut lease.instance, to::info(info, millis(lease.limit)));
        let answer = timed(lease.limit, it.guests.lifecycle.call_scan(&mut it.store, &question, &facts)).await;
        let answer = lease.end(answer)?;
        self.0.items("scan", queries, answer, |reader, query, it| match it {
            Ok(snapshot) => reader.snapshot(snapshot, query).map_err(broken),
            Err(failure) => Err(reader.failure(failure)),
        })
    }

    /// Named objects, for kinds that cannot be listed, and before an unsettled create is tried again.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn read(&self, info: &CallInfo, lookups: Vec<Lookup>) -> Result<Vec<Observation>, CallError> {
        // What a plugin changes in one call it shows again in one: it may have to fetch a whole zone for it.
        let batches = self.0.plugin.manifest().kinds.values().filter_map(|it| it.batch).map(|it| it.items as usize);
        let most = batches.max().unwrap_or(0).clamp(MAX_ITEMS, MAX_LOOKUPS);
        let parts = cut(lookups, most, |it| size(it.desired.as_ref()));
        self.parts(info, parts, |it, info, part| async move { it.read_part(&info, part).await }).await
    }

    async fn read_part(&self, info: &CallInfo, lookups: Vec<Lookup>) -> Result<Vec<Observation>, CallError> {
        let mut lease = self.lease(Phase::Read, "read", info).await?;
        let question: Vec<_> = lookups.iter().map(to::lookup).collect();
        let (it, facts) = (&mut lease.instance, to::info(info, millis(lease.limit)));
        let answer = timed(lease.limit, it.guests.lifecycle.call_read(&mut it.store, &question, &facts)).await;
        let answer = lease.end(answer)?;
        self.0.items("read", &lookups, answer, |reader, lookup, it| {
            reader.observation(it, lookup).unwrap_or_else(|rule| Observation::Failed(broken(rule)))
        })
    }

    /// The plugin's say in the plan. A plugin without one accepts everything.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn refine(&self, info: &CallInfo, candidates: Vec<Candidate>) -> Result<Vec<Verdict>, CallError> {
        if !self.0.plugin.exports().planning {
            return Ok(candidates.iter().map(|_| Verdict::Accept).collect());
        }
        let bytes = |it: &Candidate| size(it.desired.as_ref()) + size(it.object.as_ref().map(|it| &it.doc));
        let parts = cut(candidates, MAX_ITEMS, bytes);
        self.parts(info, parts, |it, info, part| async move { it.refine_part(&info, part).await }).await
    }

    async fn refine_part(&self, info: &CallInfo, candidates: Vec<Candidate>) -> Result<Vec<Verdict>, CallError> {
        let mut lease = self.lease(Phase::Read, "refine", info).await?;
        let question: Vec<_> = candidates.iter().map(to::candidate).collect();
        let (it, facts) = (&mut lease.instance, to::info(info, millis(lease.limit)));
        let Some(guest) = &it.guests.planning else { return Err(self.0.unsupported("refine")) };
        let answer = timed(lease.limit, guest.call_refine(&mut it.store, &question, &facts)).await;
        let answer = lease.end(answer)?;
        self.0.items("refine", &candidates, answer, |reader, candidate, it| {
            reader.verdict(it, candidate).unwrap_or_else(|rule| Verdict::Refuse(broken(rule)))
        })
    }

    /// Scopes of a kind that exist. None where the plugin does not tell.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; the inner failure is the plugin's own.
    pub async fn scopes(&self, info: &CallInfo, kind: &str) -> Result<Option<Result<Vec<String>, Failure>>, CallError> {
        if !self.0.plugin.exports().discovery {
            return Ok(None);
        }
        let mut lease = self.lease(Phase::Read, "scopes", info).await?;
        let (it, facts) = (&mut lease.instance, to::info(info, millis(lease.limit)));
        let Some(guest) = &it.guests.discovery else { return Ok(None) };
        let answer = timed(lease.limit, guest.call_scopes(&mut it.store, kind, &facts)).await;
        let answer = lease.end(answer)?;
        if answer.as_ref().is_ok_and(|them| them.iter().any(|it| it.len() > MAX_NAME || it.contains('\0'))) {
            return Err(self.0.contract("scopes", format!("a scope is longer than {MAX_NAME} bytes or holds a NUL")));
        }
        let services = &*self.0.context.services;
        Ok(Some(answer.map_err(|failure| crate::convert::failure(failure, services))))
    }

    /// Kinds that only the remote system knows; the answer goes to `configure` of every instance from then on.
    /// None where the manifest names every kind. `wanted`: those that somebody asks for, as `Kind.group/version` or `Kind.group`;
    /// the others are told by name only. All of them where it is not given.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; the inner failure is the plugin's own.
    pub async fn discover(
        &self,
        info: &CallInfo,
        since: Option<&str>,
        wanted: Option<&[String]>,
    ) -> Result<Option<Result<Discovered, Failure>>, CallError> {
        if !self.0.plugin.exports().schemas {
            return Ok(None);
        }
        let mut lease = self.lease(Phase::Read, "discover", info).await?;
        let (it, mut facts) = (&mut lease.instance, to::info(info, millis(lease.limit)));
        facts.ext.extend(wanted.map(|them| ("kinds".to_owned(), them.join(","))));
        let Some(guest) = &it.guests.schemas else { return Ok(None) };
        let answer = timed(lease.limit, guest.call_discover(&mut it.store, since, &facts)).await;
        let answer = match lease.end(answer)? {
            Ok(answer) => answer,
            Err(failure) => return Ok(Some(Err(crate::convert::failure(failure, &*self.0.context.services)))),
        };
        if answer.unchanged {
            return Ok(Some(Ok(Discovered { kinds: None, version: answer.version, complete: answer.complete })));
        }
        let kinds: Json =
            serde_json::from_str(&answer.kinds).map_err(|_| self.0.contract("discover", "`kinds` is no JSON text"))?;
        self.set_kinds(&kinds);
        Ok(Some(Ok(Discovered { kinds: Some(Arc::new(kinds)), version: answer.version, complete: answer.complete })))
    }

    /// Sets what `configure` gets as discovered kinds. Warm instances that got others are dropped.
    pub fn set_kinds(&self, kinds: &Json) {
        let text = Some(Arc::new(canonical(kinds)));
        let mut known = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != text {
            *known = text;
            drop(known);
            self.drop_idle();
        }
    }

    /// Carries changes out, as one call: the caller keeps to the kind's batch limit.
    ///
    /// An outcome that breaks the contract (another object's, another identity) becomes [`Settlement::Unsettled`]: it is
    /// then not known what took effect.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; unless [`CallError::never_began`] says so, every change may have taken effect.
    pub async fn apply(&self, info: &CallInfo, changes: Vec<Change>) -> Result<Vec<Outcome>, CallError> {
        let mut lease = self.lease(Phase::Apply, "apply", info).await?;
        let question: Vec<_> = changes.iter().map(to::change).collect();
        lease.instance.store.data_mut().tokens = changes.iter().map(|it| it.token.clone()).collect();
        let (it, facts) = (&mut lease.instance, to::info(info, millis(lease.limit)));
        let answer = timed(lease.limit, it.guests.lifecycle.call_apply(&mut it.store, &question, &facts)).await;
        let answer = lease.end(answer)?;
        self.0.items("apply", &changes, answer, |reader, change, it| {
            let update = change.action == IntentAction::Update;
            let before = change.prior.as_ref().filter(|_| update).map(|it| &*it.identity);
            reader.outcome(it, &change.address, before).unwrap_or_else(unsettled)
        })
    }

    /// Asks how operations are coming along: what `apply` answered as pending, each with the object it is about.
    ///
    /// # Errors
    ///
    /// As [`Provider::apply`].
    pub async fn poll(
        &self,
        info: &CallInfo,
        operations: Vec<(trueup_core::address::Address, String)>,
    ) -> Result<Vec<Outcome>, CallError> {
        if !self.0.plugin.exports().operations {
            return Err(self.0.unsupported("poll"));
        }
        let mut lease = self.lease(Phase::Apply, "poll", info).await?;
        let question: Vec<_> = operations.iter().map(|(_, it)| it.clone()).collect();
        let (it, facts) = (&mut lease.instance, to::info(info, millis(lease.limit)));
        let Some(guest) = &it.guests.operations else { return Err(self.0.unsupported("poll")) };
        let answer = timed(lease.limit, guest.call_poll(&mut it.store, &question, &facts)).await;
        let answer = lease.end(answer)?;
        self.0.items("poll", &operations, answer, |reader, (address, _), it| {
            reader.outcome(it, address, None).unwrap_or_else(unsettled)
        })
    }

    /// Asks the remote system to stop operations; best effort, to be followed by [`Provider::poll`].
    ///
    /// # Errors
    ///
    /// As [`Provider::apply`].
    pub async fn cancel(&self, info: &CallInfo, operations: Vec<String>) -> Result<(), CallError> {
        if !self.0.plugin.exports().operations {
            return Err(self.0.unsupported("cancel"));
        }
        let mut lease = self.lease(Phase::Apply, "cancel", info).await?;
        let (it, facts) = (&mut lease.instance, to::info(info, millis(lease.limit)));
        let Some(guest) = &it.guests.operations else { return Err(self.0.unsupported("cancel")) };
        let answer = timed(lease.limit, guest.call_cancel(&mut it.store, &operations, &facts)).await;
        lease.end(answer)
    }

    /// Removes what killed runs left in the staging folders of this provider's directories: all of these tokens of changes,
    /// and whatever is older than any call, and the folders themselves where nothing else is in them. Gives the number of
    /// files removed. The caller holds the lock under which changes with these tokens would be made.
    ///
    /// # Errors
    ///
    /// Fails with the system's first error; a directory that does not exist is none.
    pub fn sweep(&self, tokens: &[String]) -> std::io::Result<usize> {
        files::sweep(&self.0.context.grant.dirs, tokens)
    }

    /// Drops warm instances; the next calls start new ones.
    pub fn drop_idle(&self) {
        self.0.idle.iter().for_each(IdlePool::clear);
    }

    /// Waits for the right to run, then takes a warm instance or starts one.
    async fn lease(&self, phase: Phase, function: &'static str, info: &CallInfo) -> Result<Lease, CallError> {
        let inner = &self.0;
        let running = Arc::clone(&inner.running)
            .acquire_owned()
            .await
            .map_err(|err| CallError::Host { plugin: inner.context.alias.to_string(), text: err.to_string() })?;
        let most = inner.context.limits.call;
        let limit = if info.budget_ms == 0 { most } else { Duration::from_millis(info.budget_ms).min(most) };
        let mut instance = match inner.pool(phase).pop() {
            Some(instance) => instance,
            None => self.start(phase, limit).await?,
        };
        instance.begin(function, limit, true);
        Ok(Lease { instance, provider: Arc::clone(inner), phase, function, limit, _running: running })
    }

    async fn start(&self, phase: Phase, limit: Duration) -> Result<Instance, CallError> {
        let inner = &self.0;
        let plugin = &inner.plugin.0;
        let slot = plugin.runtime.0.budget.slot().await;
        let context = Arc::clone(&inner.context);
        let mut instance = Instance::start(&plugin.pre, &plugin.indices, context, phase, limit, slot).await?;
        let kinds = inner.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone();
        instance.configure(&inner.config, kinds.as_deref(), limit).await?;
        Ok(instance)
    }

    /// Runs the parts of a list, several at a time where the provider allows, and puts the answers in order.
    /// The first error ends the rest.
    async fn parts<Q, A, F>(
        &self,
        info: &CallInfo,
        parts: Vec<Vec<Q>>,
        run: impl Fn(Self, CallInfo, Vec<Q>) -> F,
    ) -> Result<Vec<A>, CallError>
    where
        A: Send + 'static,
        F: Future<Output = Result<Vec<A>, CallError>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let count = parts.len();
        for (at, part) in parts.into_iter().enumerate() {
            let work = run(self.clone(), info.clone(), part);
            if count == 1 {
                return work.await;
            }
            tasks.spawn(async move { (at, work.await) });
        }
        let mut answers: Vec<Vec<A>> = (0..count).map(|_| Vec::new()).collect();
        while let Some(done) = tasks.join_next().await {
            let (at, answer) = done.map_err(|err| CallError::Host {
                plugin: self.alias().to_string(),
                text: format!("the call was broken off ({})", if err.is_panic() { "panic" } else { "cancelled" }),
            })?;
            if let Some(place) = answers.get_mut(at) {
                *place = answer?;
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provider({} {:?})", self.alias(), self.0.plugin)
    }
}

fn unsettled(rule: String) -> Outcome {
    Outcome { settlement: Settlement::Unsettled(broken(rule)), object: None, findings: Vec::new(), ext: Vec::new() }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A document's size, near enough to cut batches by: its nodes and texts, without writing it out.
fn size(doc: Option<&Arc<Json>>) -> usize {
    fn walk(value: &Json) -> usize {
        match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => 8,
            Json::String(text) => text.len() + 8,
            Json::Array(items) => items.iter().map(walk).sum::<usize>() + 8,
            Json::Object(map) => map.iter().map(|(key, it)| key.len() + 8 + walk(it)).sum::<usize>() + 8,
        }
    }
    doc.map_or(0, |it| walk(it))
}

/// Cuts a list into parts of at most `most` items and about [`MAX_BATCH`] bytes; an item is never cut.
fn cut<T>(items: Vec<T>, most: usize, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    let (mut part, mut weight) = (Vec::new(), 0_usize);
    for item in items {
        let more = bytes(&item);
        if !part.is_empty() && (part.len() >= most || weight + more > MAX_BATCH) {
            parts.push(std::mem::take(&mut part));
            weight = 0;
        }
        weight += more;
        part.push(item);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_by_number_and_by_bytes_and_lose_nothing() {
        let parts = cut((0..10).collect(), 4, |_| 1);
        assert_eq!(parts, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
        let parts = cut(vec![1, MAX_BATCH, MAX_BATCH * 2, 5, 6], 100, |it| *it);
        assert_eq!(parts, [vec![1], vec![MAX_BATCH], vec![MAX_BATCH * 2], vec![5, 6]]);
        assert!(cut(Vec::<u8>::new(), 4, |_| 1).is_empty());
    }
}
