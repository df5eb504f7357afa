//! What an engine does with a provider, one step at a time: change, wait, look, compare.
//!
//! The comparison, the covering of secrets and the form of a prior object are the engine's own; what is different here is that
//! every answer is looked at, and nothing is tried again unless a check asks for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trueup_core::address::Address;
use trueup_core::diff;
use trueup_core::inventory::IntentAction;
use trueup_core::manifest::Observe;
use trueup_core::observation::Observed;
use trueup_core::value::{Json, Path};
use trueup_host::{self as host, Change, Coverage, Failure, Lookup, Observation, Outcome, Remote, ScopeQuery, Settlement};

use super::world::{Want, World};
use crate::observe::remember;
use crate::veil::Veil;

/// Objects in one page, as the engine asks.
pub const PAGE: u32 = 10_000;
/// Pages of one scope before it counts as endless.
const MAX_PAGES: usize = 100_000;
/// How long a change may stay pending.
const PENDING: Duration = Duration::from_secs(60);
/// Objects read in one call where a scan did not tell all of them.
const UNREAD: usize = 256;

/// A whole scan of a scope.
#[derive(Debug)]
pub struct Scanned {
    /// Of the kind asked for.
    pub objects: Vec<Remote>,
    pub coverage: Coverage,
    pub version: Option<String>,
}

/// A change as an engine would send it.
#[derive(Clone, Copy, Debug)]
pub struct Try<'a> {
    pub token: &'a str,
    pub attempt: u32,
    pub unsettled: bool,
}

/// Which instances are asked how a pending change comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poller {
    Same,
    Fresh,
}

impl<'a> Try<'a> {
    pub fn first(token: &'a str) -> Self {
        Self { token, attempt: 0, unsettled: false }
    }

    /// After a try of which nobody knows what became.
    pub fn again(token: &'a str) -> Self {
        Self { token, attempt: 1, unsettled: true }
    }
}

/// 128 random bits as hex digits, as the engine's tokens are.
pub fn token() -> String {
    let mut bytes = [0; 16];
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// How a change ended, in words.
pub fn told(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Settled => "settled".to_owned(),
        Settlement::Pending(pending) => format!("still pending: {}", pending.message),
        Settlement::Rejected(failure) => format!("rejected as {}: {failure}", failure.fault.word()),
        Settlement::Unsettled(failure) => format!("unsettled as {}: {failure}", failure.fault.word()),
    }
}

impl World<'_> {
    fn say(&self, what: &str, of: &impl std::fmt::Debug) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = &mut *said {
            said.push(format!("{what}: {of:?}"));
        }
    }

    fn called<T>(&self, what: &str, answer: Result<T, host::CallError>) -> Result<T, String> {
        answer.map_err(|error| {
            self.say(what, &error.to_string());
            error.to_string()
        })
    }

    /// The change that makes an object, brings `prior` to what is wanted, or deletes it.
    pub fn change(&self, action: IntentAction, want: &Want, prior: Option<&Remote>, attempt: Try<'_>) -> Change {
        let before = prior.map(|it| self.covered(want, it));
        self.sent().entry(want.address.clone()).or_default().push(want.desired.clone());
        let desired = (action != IntentAction::Delete).then(|| Arc::new(self.sealer.to_handles(&want.desired)));
        let edits = match (&before, action) {
            (Some(before), IntentAction::Update) => self.edits(want, before),
            _ => Vec::new(),
        };
        Change {
            action,
            address: want.address.clone(),
            token: attempt.token.to_owned(),
            attempt: attempt.attempt,
            unsettled: attempt.unsettled,
            mark: format!(
                "4f0c9a000000000000000000000000aa/test/{:.32}",
                trueup_core::value::Digest::of(want.address.to_string().as_bytes()).to_string()
            ),
            desired,
            prior: before.filter(|_| action != IntentAction::Create).map(|it| crate::apply::remote(&self.sealer, &it)),
            edits,
            ext: Vec::new(),
        }
    }

    fn sent(&self) -> MutexGuard<'_, HashMap<Address, Vec<Arc<Json>>>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn applied(&self) -> MutexGuard<'_, HashMap<Address, Arc<Json>>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn edits(&self, want: &Want, before: &Observed) -> Vec<host::Edit> {
        let null = Json::Null;
        let applied = self.applied().get(&want.address).cloned();
        let doc = before.doc.as_deref().unwrap_or(&null);
        let edit = |change: &diff::Change| {
            let (op, root) = match (&change.before, &change.after) {
                (None, _) => (host::EditOp::Add, &*want.desired),
                (_, None) => (host::EditOp::Remove, doc),
                _ => (host::EditOp::Replace, &*want.desired),
            };
            Some(host::Edit { op, path: change.path.to_pointer(root)?, value: change.after.clone() })
        };
        diff::compare(&want.desired, applied.as_deref(), doc, &want.kind.hints, &[]).iter().filter_map(edit).collect()
    }

    /// Sends changes as one call.
    ///
    /// # Errors
    ///
    /// Where there is no answer: a crash, a deadline, an answer of the wrong length.
    pub async fn send(&self, provider: &host::Provider, changes: Vec<Change>) -> Result<Vec<Outcome>, String> {
        let outcomes = self.called("apply", provider.apply(&self.info(), changes).await)?;
        self.say("apply", &self.showable(&outcomes));
        Ok(outcomes)
    }

    /// Sends one change and waits while it is pending.
    ///
    /// # Errors
    ///
    /// As [`World::send`].
    pub async fn carry(&self, provider: &host::Provider, change: Change, poller: Poller) -> Result<Outcome, String> {
        let address = change.address.clone();
        let mut outcome = self.send(provider, vec![change]).await?.pop().ok_or("`apply` answered nothing")?;
        let limit = Instant::now() + PENDING;
        while let Settlement::Pending(pending) = &outcome.settlement {
            if Instant::now() > limit {
                break;
            }
            tokio::time::sleep(Duration::from_millis(pending.after_ms.clamp(10, 2_000))).await;
            let handle = vec![(address.clone(), pending.operation.clone())];
            let fresh = (poller == Poller::Fresh).then(|| self.provider());
            let answer = fresh.as_ref().unwrap_or(provider).poll(&self.info(), handle).await;
            let answer = self.called("poll", answer)?.pop().ok_or("`poll` answered nothing")?;
            self.say("poll", &self.showable(std::slice::from_ref(&answer)));
            let object = outcome.object.take();
            outcome = answer;
            outcome.object = outcome.object.take().or(object);
        }
        Ok(outcome)
    }

    /// Makes an object, which must work, and gives it as a look shows it.
    ///
    /// # Errors
    ///
    /// In words.
    pub async fn make(&self, provider: &host::Provider, want: &Want) -> Result<Remote, String> {
        let change = self.change(IntentAction::Create, want, None, Try::first(&token()));
        let outcome =
            self.carry(provider, change, Poller::Same).await.map_err(|error| format!("creating {}: {error}", want.title()))?;
        if outcome.settlement != Settlement::Settled {
            return Err(format!("creating {}: {}{}", want.title(), told(&outcome.settlement), self.server_told()));
        }
        self.applied().insert(want.address.clone(), want.desired.clone());
        let known = outcome.object.as_ref().map(|it| it.identity.clone());
        self.look(provider, want, known.as_deref())
            .await?
            .ok_or_else(|| format!("{} was created, and a look does not show it", want.title()))
    }

    /// Brings an object to what is wanted, which must work.
    ///
    /// # Errors
    ///
    /// In words.
    pub async fn bring(&self, provider: &host::Provider, want: &Want, prior: &Remote) -> Result<Outcome, String> {
        let change = self.change(IntentAction::Update, want, Some(prior), Try::first(&token()));
        let outcome = self.carry(provider, change, Poller::Same).await?;
        match &outcome.settlement {
            Settlement::Settled => {
                self.applied().insert(want.address.clone(), want.desired.clone());
                Ok(outcome)
            }
            other => Err(told(other)),
        }
    }

    /// Deletes an object, which must work.
    ///
    /// # Errors
    ///
    /// In words.
    pub async fn remove(&self, provider: &host::Provider, want: &Want, prior: &Remote) -> Result<(), String> {
        let change = self.change(IntentAction::Delete, want, Some(prior), Try::first(&token()));
        let outcome =
            self.carry(provider, change, Poller::Same).await.map_err(|error| format!("deleting {}: {error}", want.title()))?;
        match &outcome.settlement {
            Settlement::Settled => Ok(()),
            other => Err(format!("deleting {}: {}", want.title(), told(other))),
        }
    }

    /// Makes these objects, one after the other.
    ///
    /// # Errors
    ///
    /// In words.
    pub async fn make_all(&self, provider: &host::Provider, wants: &[Want]) -> Result<Vec<Remote>, String> {
        let mut made = Vec::with_capacity(wants.len());
        for want in wants {
            made.push(self.make(provider, want).await?);
        }
        Ok(made)
    }

    /// The object as the provider sees it now: in a scan where its kind is scanned, else by a read.
    ///
    /// # Errors
    ///
    /// In words, where it cannot be told.
    pub async fn look(&self, provider: &host::Provider, want: &Want, identity: Option<&str>) -> Result<Option<Remote>, String> {
        if want.kind.observe == Observe::Read {
            return self.read(provider, want, identity).await;
        }
        let scanned =
            self.scan(provider, want, None, PAGE).await?.map_err(|failure| format!("scanning {}: {failure}", scope_of(want)))?;
        let named =
            |it: &Remote| it.address.key == want.address.key || (it.address.key.is_empty() && identity == Some(&it.identity));
        Ok(scanned.objects.into_iter().find(named))
    }

    /// The object by a read of its own.
    ///
    /// # Errors
    ///
    /// In words, where it cannot be told.
    pub async fn read(&self, provider: &host::Provider, want: &Want, identity: Option<&str>) -> Result<Option<Remote>, String> {
        let lookup = Lookup { identity: identity.map(str::to_owned), ..Lookup::new(want.address.clone()) };
        match self.read_as(provider, lookup).await? {
            Observation::Found(remote) => Ok(Some(*remote)),
            Observation::Absent => Ok(None),
            Observation::Unchanged => Err(format!("reading {}: it answered `unchanged` to a first question", want.title())),
            Observation::Failed(failure) => Err(format!("reading {}: {failure}", want.title())),
        }
    }

    /// What one lookup finds.
    ///
    /// # Errors
    ///
    /// Where there is no answer.
    pub async fn read_as(&self, provider: &host::Provider, lookup: Lookup) -> Result<Observation, String> {
        let answer = self.called("read", provider.read(&self.info(), vec![lookup]).await)?;
        let answer = answer.into_iter().next().ok_or("`read` answered nothing")?;
        match &answer {
            Observation::Found(remote) => self.say("read", &self.shown(remote)),
            other => self.say("read", other),
        }
        Ok(answer)
    }

    /// One call of `scan`.
    ///
    /// # Errors
    ///
    /// Where there is no answer.
    pub async fn page(&self, provider: &host::Provider, query: ScopeQuery) -> Result<Result<host::Snapshot, Failure>, String> {
        let answer = self.called("scan", provider.scan(&self.info(), vec![query]).await)?;
        let answer = answer.into_iter().next().ok_or("`scan` answered nothing")?;
        match &answer {
            Ok(page) => self.say(
                "scan",
                &(page.objects.iter().map(|it| self.shown(it)).collect::<Vec<_>>(), &page.next, &page.version, &page.findings),
            ),
            Err(failure) => self.say("scan", failure),
        }
        Ok(answer)
    }

    /// The scope of an object, all pages of it, with what a scan leaves out read.
    ///
    /// # Errors
    ///
    /// Where there is no answer, or the pages do not end. The inner failure is the plugin's own.
    pub async fn scan(
        &self,
        provider: &host::Provider,
        want: &Want,
        since: Option<&str>,
        limit: u32,
    ) -> Result<Result<Scanned, Failure>, String> {
        let mut query = ScopeQuery {
            since: since.map(str::to_owned),
            limit,
            ..ScopeQuery::new(want.kind.name.clone(), want.address.scope.scope.clone())
        };
        let (mut objects, mut cursors) = (Vec::new(), HashSet::new());
        for _ in 0..MAX_PAGES {
            let page = match self.page(provider, query.clone()).await? {
                Ok(page) => page,
                Err(failure) => return Ok(Err(failure)),
            };
            objects.extend(page.objects.into_iter().filter(|it| it.address.scope.kind == want.kind.name));
            let Some(next) = page.next else {
                let objects = match self.completed(provider, objects).await? {
                    Ok(objects) => objects,
                    Err(failure) => return Ok(Err(failure)),
                };
                return Ok(Ok(Scanned { objects, coverage: page.coverage, version: page.version }));
            };
            if !cursors.insert(next.clone()) {
                break;
            }
            query.cursor = Some(next);
        }
        Err(format!("the pages of {} do not end: a cursor came back", scope_of(want)))
    }

    /// Reads those objects of which the scan did not tell all.
    async fn completed(
        &self,
        provider: &host::Provider,
        mut objects: Vec<Remote>,
    ) -> Result<Result<Vec<Remote>, Failure>, String> {
        let is_unread = |it: &Remote| it.ext.iter().any(|(name, value)| name == "unread" && value == "true");
        let unread: Vec<usize> = objects.iter().enumerate().filter(|(_, it)| is_unread(it)).map(|(at, _)| at).collect();
        for part in unread.chunks(UNREAD) {
            let lookup = |it: &Remote| Lookup { identity: Some(it.identity.clone()), ..Lookup::new(it.address.clone()) };
            let lookups = part.iter().filter_map(|at| objects.get(*at)).map(lookup).collect();
            let answers = self.called("read", provider.read(&self.info(), lookups).await)?;
            for (at, answer) in part.iter().zip(answers) {
                match (answer, objects.get_mut(*at)) {
                    (Observation::Found(remote), Some(place)) => *place = *remote,
                    (Observation::Failed(failure), _) => return Ok(Err(failure)),
                    (other, _) => return Err(format!("a scan named an object that a read does not show: {other:?}")),
                }
            }
        }
        Ok(Ok(objects))
    }

    /// An object as the engine would keep it: its secrets covered.
    pub fn covered(&self, want: &Want, remote: &Remote) -> Observed {
        let veil = Veil::of(Some(&*want.desired), []);
        remember(&self.sealer, want.address.clone(), remote.clone(), Some(&veil)).with_doc()
    }

    /// The covered document of an object.
    pub fn document_of(&self, want: &Want, remote: &Remote) -> Json {
        self.covered(want, remote).doc.as_deref().cloned().unwrap_or(Json::Null)
    }

    /// Fields in which an object is not as wanted, after the plugin had its say.
    ///
    /// # Errors
    ///
    /// Where the plugin gives no verdict.
    pub async fn differences(&self, provider: &host::Provider, want: &Want, remote: &Remote) -> Result<Vec<String>, String> {
        let doc = self.document_of(want, remote);
        let changes = diff::compare(&want.desired, Some(&want.desired), &doc, &want.kind.hints, &[]);
        let mut paths: Vec<Path> = changes.into_iter().map(|it| it.path).collect();
        if !paths.is_empty() && provider.plugin().exports().planning {
            let change = self.change(IntentAction::Update, want, Some(remote), Try::first("look"));
            let candidate = host::Candidate {
                action: change.action,
                address: change.address,
                desired: change.desired,
                object: change.prior,
                edits: change.edits,
                ext: change.ext,
            };
            let verdicts = self.called("refine", provider.refine(&self.info(), vec![candidate]).await)?;
            if let Some(host::Verdict::Ignore(ignored)) = verdicts.first() {
                paths.retain(|path| path.to_pointer(&want.desired).is_none_or(|it| !ignored.contains(&it)));
            }
        }
        Ok(paths.into_iter().map(|it| format!("`{it}`")).collect())
    }

    /// Outcomes as what may be shown of them: without the values at pointers that the plugin calls sensitive.
    fn showable<'o>(
        &self,
        outcomes: &'o [Outcome],
    ) -> Vec<(&'o Settlement, Option<Remote>, &'o [host::Finding], &'o [(String, String)])> {
        outcomes
            .iter()
            .map(|it| (&it.settlement, it.object.as_ref().map(|it| self.shown(it)), it.findings.as_slice(), it.ext.as_slice()))
            .collect()
    }

    /// The object as the engine lets it be seen: it covers what its documents say to be secret, whatever the plugin calls it.
    fn shown(&self, remote: &Remote) -> Remote {
        let mut remote = remote.clone();
        let sent = self.sent().get(&remote.address).cloned().unwrap_or_default();
        let veil = Veil::of(None, sent.iter().map(|it| &**it));
        let hints = self.bench.plugin.manifest().kinds.get(&*remote.address.scope.kind).map(|it| it.hints.sensitive.clone());
        let mut pointers = remote.sensitive.clone();
        pointers.extend(hints.into_iter().flatten().map(|it| super::world::pointer(&it)));
        self.sealer.cover(Arc::make_mut(&mut remote.doc), &pointers, &veil);
        if let Some(outputs) = &mut remote.outputs {
            let place = Arc::make_mut(outputs);
            self.sealer.seal(place, &pointers);
            let below: Vec<String> = pointers.iter().filter_map(|it| it.strip_prefix("/status").map(str::to_owned)).collect();
            self.sealer.seal(place, &below);
        }
        remote
    }
}

/// For messages.
pub fn scope_of(want: &Want) -> String {
    match &*want.address.scope.scope {
        "" => format!("all of kind {}", want.kind.name),
        scope => format!("{} in `{scope}`", want.kind.name),
    }
}
