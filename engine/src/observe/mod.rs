//! From scopes to observations: what the world looks like, read as little as possible.
//!
//! A scope whose version did not change is not read again: the provider answers `unchanged` and what was remembered stands.
//! Values are sealed here, before anything is kept or compared. A scope that could not be read is a view that says so; it never
//! looks empty.

mod absent;
mod closer;
mod memory;
mod named;
mod nameless;
mod same;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use trueup_core::address::{Address, Scope};
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::observation::{Coverage, Observed, ScopeView};
use trueup_core::value::{Digest, canonical};
use trueup_host as host;

use crate::engine::Bound;
use crate::patience;
use crate::seal::{Sealer, escape};
use crate::store::ScopeRecord;
use crate::veil::Veil;
pub use closer::look_closer;
use memory::Objects;
pub use memory::Remembered;

/// Objects in one page of an answer.
const PAGE: u32 = 10_000;
/// Pages of one scope; a provider that pages on for ever is stopped here.
const MAX_PAGES: usize = 10_000;

/// Objects that are read in one call because a scan did not: each may be large.
const UNREAD: usize = 256;

/// Why a scope cannot be listed, where its provider does not say.
const UNLISTED: &str = "it cannot be listed";

/// Why a scope is not observed whose record the store gave back as it was put, and which is none all the same.
const UNSOUND: &str = "what was remembered of it is damaged; delete `cache.db` beside the state";

/// The world as this pass sees it.
#[derive(Default)]
pub struct Observation {
    pub views: BTreeMap<Scope, ScopeView>,
    /// Everything remembered of a scope as bytes, for [`Observation::load`]; with its version where it may be kept.
    records: HashMap<Scope, (Arc<[u8]>, Option<Version>)>,
    /// What to remember: scopes that were read anew.
    pub fresh: Vec<ScopeRecord>,
    pub warnings: Vec<Diagnostic>,
    /// Objects of which a scan did not tell all, and nobody asked for the rest though they are somebody's business.
    pub unread: HashSet<Address>,
    pub read: Counts,
}

/// A scope's version as its provider gave it, if it gave one.
type Version = Option<String>;

/// What observing cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub scopes: usize,
    /// Of these, answered `unchanged`.
    pub unchanged: usize,
    /// Objects that a provider sent.
    pub objects: usize,
}

/// What the engine knows of an object before it is observed: whether its document matters, and where it holds secrets.
pub trait Declared: Sync {
    /// None: nobody's declared business; its document is not kept. Otherwise what of it is hidden.
    fn interest(&self, address: &Address) -> Option<Arc<Veil>>;

    /// Whether an object is worth a read of its own where a scan did not tell all of it.
    fn is_read(&self, address: &Address) -> bool {
        self.interest(address).is_some()
    }

    /// What of a scope is known by name: declared, owned or in doubt. None where all there is matters, so that no list of names
    /// stands for the scope.
    fn named(&self, _: &Scope) -> Option<Vec<host::Lookup>> {
        None
    }

    /// The key under which an object without a name is known here: its owner's, by its identity, else by its mark. None: it is
    /// nobody's, and goes by its identity.
    fn called(&self, _scope: &Scope, _identity: &str, _mark: Option<&str>) -> Option<Arc<str>> {
        None
    }

    /// What is owned in a scope, for a kind whose lists may leave something out.
    fn owned(&self, _: &Scope) -> Vec<host::Lookup> {
        Vec::new()
    }

    /// Whether anything waits for a status, so that outputs are read out of what is remembered.
    fn asks_for_status(&self) -> bool;
}

impl Observation {
    /// Reads documents and outputs of these objects into their views; `veils` say what of them is hidden.
    pub fn load(&mut self, addresses: &[Address], sealer: &Sealer, veils: &HashMap<Address, Veil>) {
        let mut wanted: HashMap<&Scope, HashSet<&str>> = HashMap::new();
        for address in addresses {
            wanted.entry(&address.scope).or_default().insert(&address.key);
        }
        for (scope, keys) in wanted {
            let (Some((record, _)), Some(view)) = (self.records.get(scope), self.views.get_mut(scope)) else { continue };
            for mut object in memory::pick(scope, record, &keys) {
                if let (Some(document), Some(veil)) = (&mut object.doc, veils.get(&object.address)) {
                    sealer.cover(Arc::make_mut(document), &[], veil);
                }
                if let Some(place) = view.objects.get_mut(&object.address.key) {
                    *place = object;
                }
            }
        }
    }

    /// Scopes that nobody could read, and why.
    pub fn failed(scopes: Vec<Scope>, why: &str) -> Self {
        let view = |scope: Scope| ScopeView { scope, coverage: Coverage::Failed(why.to_owned()), objects: BTreeMap::new() };
        Self { views: scopes.into_iter().map(|it| (it.clone(), view(it))).collect(), ..Self::default() }
    }

    /// Takes the view of another provider in.
    pub fn merge(&mut self, other: Self) {
        self.views.extend(other.views);
        self.records.extend(other.records);
        self.fresh.extend(other.fresh);
        self.warnings.extend(other.warnings);
        self.read.scopes += other.read.scopes;
        self.read.unchanged += other.read.unchanged;
        self.read.objects += other.read.objects;
    }

    /// Remembers what a closer look showed, so that the next pass need not look again while the scope stays as it is.
    fn learn(&mut self, scope: &Scope, seen: Vec<Remembered>) {
        let Some((record, Some(version))) = self.records.get_mut(scope) else { return };
        let Some(mut objects) = memory::decode(scope, record) else { return };
        for it in seen {
            objects.insert(it.observed.address.key.clone(), it);
        }
        *record = memory::encode(&objects);
        let fresh = ScopeRecord { scope: scope.clone(), version: version.clone(), objects: record.clone() };
        self.fresh.retain(|it| it.scope != *scope);
        self.fresh.push(fresh);
    }

    /// One object of a view.
    pub fn object(&self, address: &Address) -> Option<&Observed> {
        self.views.get(&address.scope)?.objects.get(&address.key)
    }
}

/// Observes `scopes` of one provider, given what is remembered of them.
pub async fn observe(
    bound: &Bound,
    scopes: Vec<Scope>,
    mut known: HashMap<Scope, ScopeRecord>,
    declared: &dyn Declared,
    sealer: &Sealer,
    now: u64,
) -> Observation {
    let mut observation = Observation::default();
    // Another version of a plugin may read what the last one did not: it looks anew.
    let about = format!("{}\n{}", bound.provider.plugin().digest(), bound.target);
    let mark = format!("{:.16}/", Digest::of(about.as_bytes()).to_string());
    let mut remembered = |scope: &Scope| {
        let record = known.remove(scope)?;
        // A version that another place gave says nothing of this one.
        let version = match &record.version {
            Some(version) => Some(version.strip_prefix(&mark)?.to_owned()),
            None => None,
        };
        Some(ScopeRecord { version, ..record })
    };
    let scopes = scopes.into_iter().map(|it| (it.clone(), remembered(&it))).collect();
    Reader { bound, declared, sealer, now, mark: &mark, observation: &mut observation }.read(scopes).await;
    observation
}

/// What a provider answers for one scope.
type Scanned = Result<host::Snapshot, host::Failure>;

/// Whether a provider says this of an object, beside what records have a place for.
fn is_marked(remote: &host::Remote, what: &str) -> bool {
    remote.ext.iter().any(|(name, value)| name == what && value == "true")
}

/// Whether a scan named the object without telling all of it.
fn is_unread(remote: &host::Remote) -> bool {
    is_marked(remote, same::UNREAD)
}

/// Whether no claim of its scope is about the object.
fn is_unclaimed(remote: &host::Remote) -> bool {
    is_marked(remote, "unclaimed")
}

/// Scopes on their way to views.
struct Reader<'a> {
    bound: &'a Bound,
    declared: &'a dyn Declared,
    sealer: &'a Sealer,
    now: u64,
    /// What versions are kept with: it names the plugin, and what the provider acts on.
    mark: &'a str,
    observation: &'a mut Observation,
}

/// A scope between two pages.
struct Open {
    scope: Scope,
    /// What an `unchanged` or a delta builds on.
    base: Option<Base>,
    objects: Objects,
    /// What is left of the base for objects that are as they were; None before one is.
    recalled: Option<Objects>,
    gone: Vec<Arc<str>>,
    cursor: Option<String>,
    seen: HashSet<String>,
    /// Keys that objects without a name were given.
    called: HashSet<Arc<str>>,
    pages: usize,
    /// Of the first page that has one: what changes while the others are read must be seen by the next scan.
    version: Option<String>,
    /// Pages that were taken at the most: what is listed anew gets no further tries for pages that it had.
    furthest: usize,
    /// How often the next page was refused for the moment.
    tries: u32,
}

/// What is remembered of a scope.
struct Base {
    version: Option<String>,
    record: Arc<[u8]>,
    /// Decoded while the provider looks; None where the record is not sound.
    names: Option<BTreeMap<Arc<str>, Observed>>,
}

impl Reader<'_> {
    async fn read(&mut self, scopes: Vec<(Scope, Option<ScopeRecord>)>) {
        let all = scopes.into_iter().map(|(scope, record)| Open::new(scope, record));
        let (by_name, mut open): (Vec<Open>, Vec<Open>) = all.partition(|it| named::is_read(self.bound, &it.scope));
        let mut by_name: Vec<(Open, String)> = by_name.into_iter().map(|it| (it, String::new())).collect();
        let mut first = true;
        while !open.is_empty() {
            let queries = open.iter().map(Open::query).collect();
            let call = self.bound.call(self.now);
            let scan = self.bound.provider.scan(&call, queries);
            // Most scopes did not change: what is remembered of them is made ready while the provider finds that out.
            let answers = if std::mem::take(&mut first) {
                let names = Names { outputs: self.declared.asks_for_status(), records: records(&open) };
                let (answers, names) = tokio::join!(scan, tokio::task::spawn_blocking(move || names.decode()));
                for (open, names) in open.iter_mut().zip(names.unwrap_or_default()) {
                    open.base = open.base.take().map(|base| Base { names, ..base });
                }
                answers
            } else {
                scan.await
            };
            let answers = match answers {
                Ok(answers) => answers,
                Err(error) => {
                    let text = error.to_string();
                    open.drain(..).for_each(|it| self.fail(it.scope, &text));
                    break;
                }
            };
            let mut asked = std::mem::take(&mut open);
            let mut answers = answers;
            for (open, answer) in asked.iter_mut().zip(&mut answers) {
                if let Ok(snapshot) = answer {
                    let doubled = open.call(snapshot, self.declared);
                    doubled.iter().for_each(|it| self.double(&open.scope, it));
                    open.recall(snapshot);
                }
            }
            let answers = self.complete(&asked, answers).await;
            let mut pause = Duration::ZERO;
            for (mut scope, answer) in asked.into_iter().zip(answers) {
                match answer {
                    Ok(snapshot) if named::is_unlisted(&snapshot) => {
                        let why = snapshot.findings.into_iter().next().map_or_else(|| UNLISTED.to_owned(), |it| it.summary);
                        by_name.push((scope, why));
                    }
                    Ok(snapshot) => open.extend(self.page(scope, snapshot)),
                    Err(failure) => match scope.again(&failure) {
                        Some(wait) => {
                            pause = pause.max(wait);
                            open.push(scope);
                        }
                        None => self.fail(scope.scope, &failure.to_string()),
                    },
                }
            }
            tokio::time::sleep(pause).await;
        }
        if !by_name.is_empty() {
            self.read_named(by_name).await;
        }
        self.confirm().await;
    }

    /// Reads the objects that a scan named and did not tell all of, as that is dear, where they are somebody's business. A scope
    /// that has one of them and cannot be read is half seen, which is not seen.
    async fn complete(&self, asked: &[Open], mut answers: Vec<Scanned>) -> Vec<Scanned> {
        let mut wanted = Vec::new();
        for (at, (open, answer)) in asked.iter().zip(&answers).enumerate() {
            let Ok(snapshot) = answer else { continue };
            for (index, remote) in snapshot.objects.iter().enumerate().filter(|(_, it)| is_unread(it)) {
                let address = Address { scope: open.scope.clone(), key: remote.address.key.clone() };
                if remote.address.scope.kind == open.scope.kind && self.declared.is_read(&address) {
                    let lookup = host::Lookup { identity: Some(remote.identity.clone()), ..host::Lookup::new(address) };
                    wanted.push((at, index, lookup));
                }
            }
        }
        for part in wanted.chunks(UNREAD) {
            let lookups = part.iter().map(|(_, _, it)| it.clone()).collect();
            let seen = patience::read(self.bound, self.now, lookups).await;
            let mut seen = match seen {
                Ok(seen) => seen.into_iter(),
                Err(error) => {
                    let failure = host::Failure::new(error.fault(), error.code(), error.to_string());
                    for (at, ..) in part {
                        answers.get_mut(*at).into_iter().for_each(|it| *it = Err(failure.clone()));
                    }
                    continue;
                }
            };
            for (at, index, lookup) in part {
                let (Some(answer), Some(seen)) = (answers.get_mut(*at), seen.next()) else { continue };
                let Ok(snapshot) = answer else { continue };
                match seen {
                    host::Observation::Found(remote) => {
                        if let Some(named) = snapshot.objects.get_mut(*index) {
                            let unclaimed = is_unclaimed(named) && !is_unclaimed(&remote);
                            *named = host::Remote { address: lookup.address.clone(), ..(*remote).clone() };
                            named.ext.extend(unclaimed.then(|| ("unclaimed".to_owned(), "true".to_owned())));
                        }
                    }
                    // Gone since it was named; it is left out below.
                    host::Observation::Absent => {
                        snapshot.gone.push(host::Gone { address: lookup.address.clone(), identity: None });
                    }
                    host::Observation::Unchanged => {
                        let text = "it was asked for an object and showed none";
                        *answer = Err(host::Failure::new(host::Fault::Contract, "unread", text));
                    }
                    host::Observation::Failed(failure) => *answer = Err(failure),
                }
            }
        }
        for snapshot in answers.iter_mut().flatten().filter(|it| !it.gone.is_empty()) {
            let gone: HashSet<Arc<str>> = snapshot.gone.iter().map(|it| it.address.key.clone()).collect();
            snapshot.objects.retain(|it| !(is_unread(it) && gone.contains(&it.address.key)));
        }
        answers
    }

    /// Takes one page in; gives the scope back while there are more.
    fn page(&mut self, mut open: Open, snapshot: host::Snapshot) -> Option<Open> {
        self.observation.read.objects += snapshot.objects.len();
        let own = open.scope.kind.clone();
        for remote in snapshot.objects {
            // Objects of other kinds in the same scope are the business of a scan of theirs.
            if own == remote.address.scope.kind {
                let unread = is_unread(&remote);
                let remembered = self.take(&open.scope, remote);
                if unread && remembered.doc.is_some() {
                    self.observation.unread.insert(remembered.observed.address.clone());
                }
                open.objects.insert(remembered.observed.address.key.clone(), remembered);
            }
        }
        open.gone.extend(snapshot.gone.into_iter().filter(|it| it.address.scope.kind == own).map(|it| it.address.key));
        for finding in snapshot.findings {
            let text = self.sealer.mask(&finding.summary);
            self.observation
                .warnings
                .push(Diagnostic { severity: finding.severity, ..Diagnostic::warning(codes::OBSERVE_FAILED, text) });
        }
        open.version = open.version.take().or(snapshot.version);
        if let Some(next) = snapshot.next {
            open.pages += 1;
            if open.furthest < open.pages {
                (open.furthest, open.tries) = (open.pages, 0);
            }
            if open.pages >= MAX_PAGES || !open.seen.insert(next.clone()) {
                self.fail(open.scope, "the provider's pages do not end");
                return None;
            }
            open.cursor = Some(next);
            return Some(open);
        }
        self.close(open, snapshot.coverage);
        None
    }

    /// The last page is in: makes the view, and what to remember.
    fn close(&mut self, open: Open, coverage: host::Coverage) {
        let Open { scope, base, objects, gone, version, .. } = open;
        let (objects, coverage, fresh) = match (coverage, base) {
            (host::Coverage::Whole, _) => (objects, Coverage::Whole, true),
            (host::Coverage::Unchanged, Some(Base { record, names: Some(names), version })) => {
                self.observation.read.unchanged += 1;
                let version = self.kept(version);
                return self.insert(scope, Coverage::Whole, names, (record, Some(version)));
            }
            (host::Coverage::Delta, Some(base)) => {
                let Some(mut base) = memory::decode(&scope, &base.record) else { return self.fail(scope, UNSOUND) };
                gone.iter().for_each(|key| drop(base.remove(key)));
                base.extend(objects);
                (base, Coverage::Whole, true)
            }
            (host::Coverage::Partial, _) => (objects, Coverage::Partial, false),
            (host::Coverage::Unchanged, Some(_)) => return self.fail(scope, UNSOUND),
            (host::Coverage::Unchanged | host::Coverage::Delta, None) => {
                return self.fail(scope, "the provider answered with a difference to something it was never told");
            }
        };
        let record = memory::encode(&objects);
        let version = self.kept(version);
        if fresh {
            let version = version.clone();
            self.observation.fresh.push(ScopeRecord { scope: scope.clone(), version, objects: record.clone() });
        }
        let seen = objects.into_iter().map(|(key, it)| (key, it.observed)).collect();
        self.insert(scope, coverage, seen, (record, fresh.then_some(version)));
    }

    /// A version as it is remembered.
    fn kept(&self, version: Version) -> Version {
        version.map(|it| format!("{}{it}", self.mark))
    }

    fn insert(
        &mut self,
        scope: Scope,
        coverage: Coverage,
        objects: BTreeMap<Arc<str>, Observed>,
        record: (Arc<[u8]>, Option<Version>),
    ) {
        self.observation.read.scopes += 1;
        self.observation.views.insert(scope.clone(), ScopeView { scope: scope.clone(), coverage, objects });
        self.observation.records.insert(scope, record);
    }

    fn fail(&mut self, scope: Scope, why: &str) {
        self.observation.read.scopes += 1;
        let why = self.sealer.mask(why);
        self.observation
            .views
            .insert(scope.clone(), ScopeView { scope, coverage: Coverage::Failed(why), objects: BTreeMap::new() });
    }

    /// One object as the provider sent it: sealed, digested, its document kept only where it matters.
    fn take(&self, scope: &Scope, remote: host::Remote) -> Remembered {
        let address = Address { scope: scope.clone(), key: remote.address.key.clone() };
        remember(self.sealer, address.clone(), remote, self.declared.interest(&address).as_deref())
    }
}

/// See [`Reader::take`]; `interest` as [`Declared::interest`] answers.
pub fn remember(sealer: &Sealer, address: Address, remote: host::Remote, interest: Option<&Veil>) -> Remembered {
    let unclaimed = is_unclaimed(&remote);
    let mut doc = sealer.from_handles(&remote.doc);
    match interest {
        Some(veil) => sealer.cover(&mut doc, &remote.sensitive, veil),
        None => sealer.seal(&mut doc, &remote.sensitive),
    }
    let outputs = remote.outputs.filter(|it| it.as_object().is_some_and(|it| !it.is_empty())).map(|mut outputs| {
        let place = Arc::make_mut(&mut outputs);
        sealer.seal(place, &remote.sensitive);
        if interest.is_some_and(Veil::hides) {
            // Whatever the system computes from a secret (a digest, a size) may tell of it.
            let all: Vec<String> = place.as_object().into_iter().flatten().map(|(key, _)| format!("/{}", escape(key))).collect();
            sealer.hide(place, &all);
        }
        outputs
    });
    let text = canonical(&doc);
    let observed = Observed {
        address,
        identity: remote.identity.into(),
        digest: sealer.digest(&text),
        doc: None,
        outputs,
        version: remote.version.map(Arc::from),
        mark: remote.mark.map(Arc::from),
        health: remote.health.state,
        health_message: remote.health.message.into(),
        unclaimed,
    };
    Remembered { observed, doc: interest.is_some().then(|| text.into_boxed_str()) }
}

/// Records on their way to views.
struct Names {
    outputs: bool,
    records: Vec<Option<(Scope, Arc<[u8]>)>>,
}

impl Names {
    /// One answer for each record.
    fn decode(self) -> Vec<Option<BTreeMap<Arc<str>, Observed>>> {
        let names = |it: &Option<(Scope, Arc<[u8]>)>| {
            let (scope, record) = it.as_ref()?;
            memory::names(scope, record, self.outputs)
        };
        self.records.iter().map(names).collect()
    }
}

fn records(open: &[Open]) -> Vec<Option<(Scope, Arc<[u8]>)>> {
    open.iter().map(|it| Some((it.scope.clone(), it.base.as_ref()?.record.clone()))).collect()
}

impl Open {
    fn new(scope: Scope, record: Option<ScopeRecord>) -> Self {
        let known = record.filter(|it| memory::is_known(&it.objects));
        let base = known.map(|it| Base { version: it.version, record: it.objects, names: None });
        Self {
            scope,
            base,
            objects: Objects::new(),
            recalled: None,
            gone: Vec::new(),
            cursor: None,
            seen: HashSet::new(),
            called: HashSet::new(),
            pages: 0,
            version: None,
            furthest: 0,
            tries: 0,
        }
    }

    /// How long to wait before the page that failed so is asked for again, if it is. What a page after the first meets when its
    /// scope changed is no page of what the others were: all is listed anew.
    fn again(&mut self, failure: &host::Failure) -> Option<Duration> {
        self.tries += 1;
        let changed = failure.fault == host::Fault::Conflict && self.cursor.is_some();
        let wait = patience::before_again(if changed { host::Fault::Throttled(None) } else { failure.fault }, self.tries)?;
        if changed {
            self.objects.clear();
            self.recalled = None;
            self.gone.clear();
            self.seen.clear();
            self.called.clear();
            (self.cursor, self.version, self.pages) = (None, None, 0);
        }
        Some(wait)
    }

    fn query(&self) -> host::ScopeQuery {
        host::ScopeQuery {
            kind: self.scope.kind.clone(),
            scope: self.scope.scope.clone(),
            cursor: self.cursor.clone(),
            since: self.base.as_ref().and_then(|it| it.version.clone()),
            limit: PAGE,
            wait_ms: 0,
            ext: Vec::new(),
        }
    }
}
