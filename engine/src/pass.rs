//! One run of the loop: source, documents, objects, observation, plan, apply, record.
//!
//! [`plan`] reads, [`apply`] writes; what lies between is a person's decision. Both read top to bottom like the sentence above.

mod claimed;
mod interest;
mod moved;
mod record;
mod renamed;
mod statuses;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::diagnostic::{Diagnostic, Severity, codes};
use trueup_core::document::Shortener;
use trueup_core::inventory::{Entry, Intent};
use trueup_core::manifest::Kind;
use trueup_core::plan::{self, Docs, Holder, Options, Plan, Unmade, World};
use trueup_core::value::{Digest, Json};

use crate::apply::{self, Applied, Cancel, Report};
use crate::config::rename::Rename;
use crate::desired::{self, Context, Desired};
use crate::health;
use crate::observe::{self, Observation};
use crate::refine;
use crate::store::{NewRun, Owner, RunRecorder, ScopeRecord, Store, StoreError};
use claimed::ClaimedScopes;
use interest::Interest;
use renamed::Renamed;

pub use record::entry;
pub(crate) use record::put;

/// What a pass needs to know of its surroundings.
pub struct Surroundings {
    pub context: Context,
    pub store: Arc<dyn Store>,
    /// `metadata.id` of the project.
    pub project: Arc<str>,
    /// Commit, `+worktree` where files came from there.
    pub revision: String,
    pub options: Options,
    /// Plugin digests and settings, for the plan's digest.
    pub fixed: Vec<(String, String)>,
    /// Providers that had another alias before.
    pub renames: Vec<Rename>,
}

/// A plan with all that it came from.
pub struct Planned {
    pub plan: Plan,
    pub desired: Desired,
    pub observation: Observation,
    pub diagnostics: Vec<Diagnostic>,
    /// Short forms of everything declared or owned.
    pub short: Arc<Shortener>,
    entries: Vec<Entry>,
    intents: Vec<Intent>,
    renamed: Renamed,
    claimed: ClaimedScopes,
    /// Last applied documents that the comparison loaded.
    applied: HashMap<Address, Arc<Json>>,
    /// Resources that read an output which is not there.
    unmade: BTreeMap<ResourceId, Unmade>,
}

impl Planned {
    /// Whether there is something to record, though there may be nothing to do.
    pub fn has_learnt(&self) -> bool {
        let Plan { agreed, records, resolved, .. } = &self.plan;
        !agreed.is_empty() || !records.is_empty() || !resolved.is_empty() || !self.renamed.is_empty()
    }

    /// Whether an apply would arm or lift something without a step.
    pub fn is_pending(&self) -> bool {
        self.diagnostics.iter().any(|it| it.code == codes::PENDING)
    }

    /// What the environment owned when this was planned, scope by scope.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Why a pass gives no plan.
#[derive(Debug)]
pub enum PassError {
    /// The documents forbid it.
    Documents(Vec<Diagnostic>),
    Store(StoreError),
}

impl From<StoreError> for PassError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// From the revision to the plan. Sends no change and records nothing but what may be lost. Calls `read` once the documents are
/// read and the world is looked at.
///
/// # Errors
///
/// Errors of documents and of the store. What goes wrong with one provider or scope is in the plan, as refusals.
pub async fn plan(around: &Surroundings, read: &(dyn Fn() + Sync)) -> Result<Planned, PassError> {
    let environment = around.context.environment.clone();
    // The store is read by a thread of its own, begun first: making the documents keeps this one.
    let (known, mut desired) = tokio::join!(load_known(around.store.clone(), environment, around.context.fresh), desired(around));
    let mut known = known?;
    if desired.has_errors() {
        return Err(PassError::Documents(desired.diagnostics));
    }
    let renamed = Renamed::take(&around.renames, &mut known)?;
    moved::check(around)?;
    Renamed::follow(&around.renames, &mut desired);
    removed_providers(around, &known.entries)?;
    let mut planned = Planned {
        plan: Plan::default(),
        diagnostics: desired.diagnostics.iter().chain(renamed.notes()).cloned().collect(),
        desired,
        observation: Observation::default(),
        short: Arc::default(),
        entries: known.entries,
        intents: known.intents,
        renamed,
        claimed: ClaimedScopes::default(),
        applied: HashMap::new(),
        unmade: BTreeMap::new(),
    };
    read();
    observe(around, &mut planned, known.scopes).await?;
    compare(around, &mut planned).await?;
    planned.plan.digest = plan::digest(&planned.plan, &around.fixed);
    let pending = pending(&planned);
    planned.diagnostics.extend(pending);
    remember(around, &planned);
    Ok(planned)
}

/// Resources that one finding names.
const NAMED: usize = 5;

/// Names what an apply arms or lifts without a step: who reads "no changes" must not take it for done.
fn pending(planned: &Planned) -> Option<Diagnostic> {
    let records = &planned.plan.records;
    if records.is_empty() {
        return None;
    }
    let wanted: HashMap<&Address, &plan::Desired> =
        records.iter().filter_map(|it| planned.desired.objects.get(it.desired)).map(|it| (&it.address, it)).collect();
    let differs = |it: &&Entry| {
        let settings = wanted.get(&it.address).map(|it| &it.settings);
        settings.is_some_and(|want| it.protect != want.protect || it.prune == want.no_prune)
    };
    let differing = planned.entries.iter().filter(differs).map(|it| planned.short.shorten(&it.resource));
    let mut names: Vec<String> = differing.take(NAMED + 1).collect();
    if names.is_empty() {
        return None;
    }
    let more = if names.len() > NAMED { " and more" } else { "" };
    names.truncate(NAMED);
    let shown = format!("{}{more}", names.join(", "));
    let text = format!("`protect` or `prune` of {shown} is not what was applied last");
    let note = Diagnostic { severity: Severity::Note, ..Diagnostic::error(codes::PENDING, text) };
    Some(note.hint("`trueup apply` records it, and sends nothing for it; until then the resource is treated as before"))
}

/// What the documents want. To destroy, what is owned is all that matters: documents that cannot be read keep nobody from it.
async fn desired(around: &Surroundings) -> Desired {
    if around.options.destroy { Desired::nothing(&around.context) } else { desired::load(&around.context).await }
}

/// What the store knows of an environment.
struct Known {
    entries: Vec<Entry>,
    intents: Vec<Intent>,
    scopes: HashMap<Scope, ScopeRecord>,
}

async fn load_known(store: Arc<dyn Store>, environment: Arc<str>, fresh: bool) -> Result<Known, PassError> {
    let load = move || -> Result<Known, StoreError> {
        let scopes = if fresh { Vec::new() } else { store.scopes(&environment)? };
        let scopes = scopes.into_iter().map(|it| (it.scope.clone(), it)).collect();
        Ok(Known { entries: store.inventory(&environment)?, intents: store.intents(&environment)?, scopes })
    };
    match tokio::task::spawn_blocking(load).await {
        Ok(known) => Ok(known?),
        Err(error) => {
            Err(PassError::Documents(vec![Diagnostic::error(codes::STORE, format!("reading the state failed: {error}"))]))
        }
    }
}

/// A provider that is gone from `trueup.yaml` while it owns objects is an error that names them: nothing can tell whether they
/// should go, and nothing could delete them.
fn removed_providers(around: &Surroundings, entries: &[Entry]) -> Result<(), PassError> {
    let mut orphans: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|it| !around.context.providers.contains_key(&it.address.scope.provider)) {
        orphans.entry(entry.resource.alias()).or_default().push(entry);
    }
    if orphans.is_empty() {
        return Ok(());
    }
    let finding = |(alias, entries): (&str, Vec<&Entry>)| {
        let names: Vec<&str> = entries.iter().take(NAMED).map(|it| it.resource.local()).collect();
        let more = entries.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Diagnostic::error(
            codes::PROVIDER_REMOVED,
            format!("the provider `{alias}` is gone, and it still owns {}{more}", names.join(", ")),
        )
        .hint(
            "put it back and remove the documents first, name its new alias with `moved-from`, or release the objects with `trueup forget`",
        )
    };
    Err(PassError::Documents(orphans.into_iter().map(finding).collect()))
}

async fn observe(around: &Surroundings, planned: &mut Planned, mut known: HashMap<Scope, ScopeRecord>) -> Result<(), PassError> {
    planned.claimed = ClaimedScopes::new(around, &planned.desired);
    let Planned { desired, entries, intents, observation, renamed, claimed, .. } = planned;
    let declared = desired.objects.iter().map(|it| &it.address.scope);
    let wanted: BTreeSet<&Scope> = dedup(declared)
        .chain(dedup(entries.iter().map(|it| &it.address.scope)))
        .chain(intents.iter().map(|it| &it.address.scope))
        .chain(claimed.iter())
        .collect();
    let interest = Interest::new(around, renamed, desired, entries, intents, claimed);
    let mut by_provider: BTreeMap<Arc<str>, Vec<Scope>> = BTreeMap::new();
    for scope in wanted {
        by_provider.entry(scope.provider.clone()).or_default().push(scope.clone());
    }
    // All providers at once: one that is slow, or loops until its deadline, keeps no other waiting.
    let looks = by_provider.into_iter().filter_map(|(alias, scopes)| {
        let bound = around.context.providers.get(&alias)?;
        let remembered = scopes.iter().filter_map(|it| Some((it.clone(), known.remove(it)?))).collect();
        let halt = desired.halted.get(&alias);
        let interest = &interest;
        Some(async move {
            match halt {
                // It would only fail again: nothing is known of its scopes, and nothing may be taken for absent.
                Some(halt) => Observation::failed(scopes, &halt.reason),
                None => observe::observe(bound, scopes, remembered, interest, &around.context.sealer, around.context.now).await,
            }
        })
    });
    join_all(looks).await.into_iter().for_each(|part| observation.merge(part));
    interest.end()?;
    planned.diagnostics.extend(planned.observation.warnings.iter().cloned());
    planned.diagnostics.extend(planned.claimed.unseen(&planned.desired, &planned.observation));
    Ok(())
}

/// Neighbours that are equal are given once.
fn dedup<'a>(scopes: impl Iterator<Item = &'a Scope>) -> impl Iterator<Item = &'a Scope> {
    let mut last = None;
    scopes.filter(move |it| last.replace(*it) != Some(*it))
}

/// Times that documents are made again because a status became known: one level of the graph each.
const ROUNDS: usize = 64;

/// Plans, lets plugins have their say, and fills in statuses that are known already, until no document changes any more.
async fn compare(around: &Surroundings, planned: &mut Planned) -> Result<(), PassError> {
    let ids = planned.desired.ids().chain(planned.entries.iter().map(|it| it.resource.clone()));
    planned.short = Arc::new(Shortener::new(ids));
    let views = Views { around, others: OnceLock::new(), short: planned.short.clone() };
    for _ in 0..ROUNDS {
        let docs = load_documents(&views, planned).await?;
        let (next, statuses::Filled { documents, unmade }) = {
            let lens = views.lens(planned);
            let world = lens.world();
            let first = plan::plan(&world, &docs);
            if let Some(Err(error)) = views.others.get() {
                return Err(PassError::Documents(vec![Diagnostic::error(codes::STORE, error.to_string())]));
            }
            let next = refine::refine(&around.context, &world, first).await;
            let filled = if planned.desired.waiting.is_empty() {
                statuses::Filled::default()
            } else {
                let outputs = plan::known_outputs(&world, &next);
                statuses::resolve(&around.context, &planned.desired, &|id| outputs.get(id))?
            };
            (next, filled)
        };
        planned.plan = next;
        planned.applied = docs.applied;
        let same = planned.unmade == unmade;
        planned.unmade = unmade;
        let changed = planned.desired.settle(&around.context, documents).await.map_err(PassError::Documents)?;
        if same && !changed {
            break;
        }
    }
    Ok(())
}

/// Loads what the planner asks for.
async fn load_documents(views: &Views<'_>, planned: &mut Planned) -> Result<Docs, PassError> {
    let around = views.around;
    let needs = plan::needs(&views.lens(planned).world());
    planned.desired.make(&around.context, &needs.desired).await.map_err(PassError::Documents)?;
    let applied = planned.renamed.applied(&*around.store, &around.context.environment, &needs.applied)?;
    let applied = needs.applied.into_iter().zip(applied).filter_map(|(address, it)| Some((address, it?))).collect();
    let wanted = |at: &usize| Some((&planned.desired.objects.get(*at)?.address, &**planned.desired.document(*at)?));
    let wanted = needs.desired.iter().filter_map(wanted).collect();
    let veils = interest::veils(&needs.observed, &wanted, &applied, &planned.intents);
    planned.observation.load(&needs.observed, &around.context.sealer, &veils);
    observe::look_closer(&around.context, &mut planned.observation, &needs.observed, &veils).await;
    Ok(Docs {
        desired: needs.desired.iter().filter_map(|it| Some((*it, planned.desired.document(*it)?.clone()))).collect(),
        applied,
    })
}

/// What the planner asks of its surroundings.
struct Views<'a> {
    around: &'a Surroundings,
    /// Looked up at the first question: only an object that is not ours yet asks.
    others: OnceLock<Result<HashMap<Address, Holder>, StoreError>>,
    short: Arc<Shortener>,
}

/// [`Views`] as the functions that a [`World`] holds.
struct Lens<'a> {
    around: &'a Surroundings,
    planned: &'a Planned,
    kinds: Box<dyn Fn(&Scope) -> Option<Arc<Kind>> + Sync + 'a>,
    mark: Box<dyn Fn(&ResourceId) -> String + Sync + 'a>,
    others: Box<dyn Fn(&Address) -> Option<Holder> + Sync + 'a>,
    shown: Box<dyn Fn(&ResourceId) -> String + Sync + 'a>,
}

impl Views<'_> {
    fn lens<'a>(&'a self, planned: &'a Planned) -> Lens<'a> {
        let context = &self.around.context;
        let owners = || self.others.get_or_init(|| other_owners(self.around, planned));
        Lens {
            around: self.around,
            planned,
            kinds: Box::new(|scope| context.providers.get(&scope.provider)?.manifest.kinds.get(&*scope.kind).cloned()),
            mark: Box::new(|id| mark(&self.around.project, &context.environment, id)),
            others: Box::new(move |address| owners().as_ref().ok()?.get(address).cloned()),
            shown: Box::new(|id| self.short.shorten(id)),
        }
    }
}

impl Lens<'_> {
    fn world(&self) -> World<'_> {
        World {
            environment: &self.around.context.environment,
            desired: &self.planned.desired.objects,
            entries: &self.planned.entries,
            intents: &self.planned.intents,
            views: &self.planned.observation.views,
            halted: &self.planned.desired.halted,
            unmade: &self.planned.unmade,
            others: &self.others,
            kinds: &self.kinds,
            mark: &self.mark,
            shown: &self.shown,
            now_ms: self.around.context.now,
            options: self.around.options,
        }
    }
}

/// Objects that are wanted or claimed, not ours, and owned by somebody else.
fn other_owners(around: &Surroundings, planned: &Planned) -> Result<HashMap<Address, Holder>, StoreError> {
    let ours: HashSet<&Address> = planned.entries.iter().map(|it| &it.address).collect();
    let declared = planned.desired.objects.iter().map(|it| &it.address).filter(|it| !ours.contains(it));
    let strange: Vec<&Address> = declared.chain(planned.claimed.others(&planned.observation, &ours)).collect();
    let mut held = holders(around, &strange)?;
    let twins = twins(around, planned);
    for address in strange.iter().filter(|_| !twins.is_empty()) {
        let scope = &address.scope;
        let asked = (target(around, &scope.provider), &*scope.kind, &*scope.scope, &*address.key);
        if let Some(other) = twins.get(&asked).filter(|it| *it.alias() != *scope.provider) {
            let holder = || Holder { environment: around.context.environment.clone(), through: Some((*other).clone()) };
            held.entry((*address).clone()).or_insert_with(holder);
        }
    }
    Ok(held)
}

/// Which of these objects the inventory gives to somebody else: to another environment, or to another alias of this one that
/// leads to the same place.
pub fn holders(around: &Surroundings, addresses: &[&Address]) -> Result<HashMap<Address, Holder>, StoreError> {
    let environment = &around.context.environment;
    let asked: Vec<(&str, &Address)> = addresses.iter().map(|it| (target(around, &it.scope.provider), *it)).collect();
    let owners = around.store.owners(&asked)?;
    let held = addresses.iter().zip(owners).filter_map(|(address, owner)| {
        let Owner { environment: other, resource } = owner?;
        let here = *other == **environment;
        let ours = here && resource.alias() == &*address.scope.provider;
        let holder = Holder { environment: other.into(), through: here.then_some(resource) };
        (!ours).then(|| ((*address).clone(), holder))
    });
    Ok(held.collect())
}

/// What a provider acts on.
fn target<'a>(around: &'a Surroundings, alias: &str) -> &'a str {
    around.context.providers.get(alias).map_or("", |it| &*it.target)
}

/// Target, kind, scope and key.
type Twin<'a> = (&'a str, &'a str, &'a str, &'a str);

/// What is declared through aliases that lead to one place.
fn twins<'a>(around: &'a Surroundings, planned: &'a Planned) -> HashMap<Twin<'a>, &'a ResourceId> {
    let providers = &around.context.providers;
    let shared = |alias: &Arc<str>| {
        let target = providers.get(alias).map(|it| &it.target);
        target.filter(|mine| providers.iter().any(|(other, it)| other != alias && it.target == **mine))
    };
    let targets: HashMap<&Arc<str>, &Arc<str>> = providers.keys().filter_map(|alias| Some((alias, shared(alias)?))).collect();
    if targets.is_empty() {
        return HashMap::new();
    }
    let twin = |it: &'a plan::Desired| {
        let scope = &it.address.scope;
        Some(((&***targets.get(&scope.provider)?, &*scope.kind, &*scope.scope, &*it.address.key), &it.resource))
    };
    planned.desired.objects.iter().filter_map(twin).collect()
}

/// Our label on an object: project, environment, and the first half of the identity's SHA-256.
pub fn mark(project: &str, environment: &str, resource: &ResourceId) -> String {
    let digest = Digest::of(resource.as_str().as_bytes()).to_string();
    format!("{project}/{environment}/{}", digest.get(..32).unwrap_or_default())
}

/// Keeps what may be lost: observations and the memory of documents.
fn remember(around: &Surroundings, planned: &Planned) {
    if planned.desired.is_new() {
        planned.desired.remember(&around.context);
    }
    if !planned.observation.fresh.is_empty()
        && let Err(error) = around.store.put_scopes(&around.context.environment, planned.observation.fresh.clone())
    {
        tracing::warn!("observations could not be kept: {error}");
    }
    health::remember_plan(around, planned);
}

/// How the history calls a run that did everything.
pub const DONE: &str = "done";
/// How the history calls a run that did everything but what was refused.
pub const PARTIAL: &str = "partial";
/// Outcome of a run that was stopped by a person.
pub const CANCELLED: &str = "cancelled";

/// Who applies, and with what.
pub struct Order {
    /// `apply`, `destroy`, `adopt` …
    pub command: String,
    pub actor: String,
    pub report: Arc<dyn Report>,
    pub cancel: Cancel,
}

/// Carries the plan out. The environment's lock must be held.
///
/// # Errors
///
/// Those of the store before anything was sent. What goes wrong with steps is in the answer.
pub async fn apply(
    around: Surroundings,
    mut planned: Planned,
    order: Order,
) -> Result<(Surroundings, Planned, Applied), StoreError> {
    let about = NewRun {
        environment: around.context.environment.to_string(),
        revision: around.revision.clone(),
        plan: Some(planned.plan.digest),
        command: order.command.clone(),
        actor: order.actor.clone(),
    };
    let run = around.store.begin_run(about).await?;
    record::record_before(&around, &mut planned, run).await?;
    let plan = Arc::new(std::mem::take(&mut planned.plan));
    let store = around.store.clone();
    let recorder = RunRecorder { store, environment: around.context.environment.clone(), run };
    let standing = work::standing(&around.context, &mut planned, &plan).await;
    let work = work::work(&around, &mut planned, plan.clone(), recorder, order, standing);
    let applied = apply::apply(work).await;
    planned.plan = Arc::unwrap_or_clone(plan);
    health::remember_apply(&around, &planned, &applied);
    around.store.end_run(run, ending(&planned.plan, &applied), counts(&planned.plan, &applied)).await?;
    Ok((around, planned, applied))
}

/// How a run ended, for the history. `partial`: all that was planned is done, and something wanted was refused.
fn ending(plan: &Plan, applied: &Applied) -> &'static str {
    match (applied.cancelled, applied.is_complete(), plan.refused.is_empty()) {
        (true, ..) => CANCELLED,
        (false, false, _) => "failed",
        (false, true, false) => PARTIAL,
        (false, true, true) => DONE,
    }
}

/// Steps by action, how they ended, and what was refused, for the history.
fn counts(plan: &Plan, applied: &Applied) -> Json {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (step, ended) in plan.steps.iter().zip(&applied.steps) {
        let word = match ended {
            Some(apply::Ended::Done) => step.action.name(),
            Some(apply::Ended::Unchanged) => "unchanged",
            Some(apply::Ended::Failed(_) | apply::Ended::Overdue(_)) => "failed",
            Some(apply::Ended::Moved(_)) => "moved",
            Some(apply::Ended::Skipped(_)) | None => "skipped",
        };
        *counts.entry(word).or_default() += 1;
    }
    if !plan.refused.is_empty() {
        counts.insert("refused", plan.refused.len() as u64);
    }
    counts.into_iter().map(|(word, count)| (word.to_owned(), Json::from(count))).collect::<trueup_core::value::Map<_, _>>().into()
}
