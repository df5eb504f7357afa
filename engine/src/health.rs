//! What the last look at the world said of an environment's objects, for `status`; and waiting until what was applied is healthy.
//!
//! `status` looks at nothing itself: it needs no trust and costs nothing. Each pass that looked leaves a [`Look`] in the cache
//! beside the state, each apply brings it up to date with what the provider said of what it changed. Losing it costs an answer
//! of `unknown` until the next plan.
//!
//! Owns counts and words only: no value of an object, and of the provider's words only those about unhealthy objects, masked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use trueup_core::address::{Address, Sought};
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::inventory::{Entry, Ownership};
use trueup_core::observation::{Coverage, HealthState, ScopeView};
use trueup_core::plan::{Action, Origin, Plan, Step};
use trueup_host as host;

use crate::apply::{self, Applied, Cancel, Ended, Report};
use crate::pass::{Planned, Surroundings};
use crate::store::Store;

/// Objects that are named; the rest is counted.
const NAMED: usize = 20;
/// How long an object may take to become healthy where its document gives no `trueup.dev/timeout`.
const WAIT_LIMIT: Duration = Duration::from_secs(600);
/// The first pause between two looks at what is not healthy yet; the next are longer, up to ten times this.
const PAUSE: Duration = Duration::from_millis(500);

/// How an owned object is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Owned, and not there.
    Missing,
    Degraded,
    Progressing,
    Suspended,
    /// The provider does not say, or its scope could not be read.
    #[default]
    Unknown,
    Healthy,
}

impl State {
    /// The word for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Degraded => "degraded",
            Self::Progressing => "progressing",
            Self::Suspended => "suspended",
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
        }
    }

    /// Whether waiting may help: what is suspended, or never tells, does not become healthy by itself.
    fn may_change(self) -> bool {
        matches!(self, Self::Missing | Self::Degraded | Self::Progressing)
    }
}

impl From<HealthState> for State {
    fn from(it: HealthState) -> Self {
        match it {
            HealthState::Healthy => Self::Healthy,
            HealthState::Progressing => Self::Progressing,
            HealthState::Degraded => Self::Degraded,
            HealthState::Suspended => Self::Suspended,
            HealthState::Unknown => Self::Unknown,
        }
    }
}

/// One object that is not healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Full identity of its resource.
    pub id: String,
    pub state: State,
    /// The provider's words.
    pub message: String,
}

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Milliseconds since 1970.
    pub time: u64,
    /// Owned objects by state.
    pub counts: BTreeMap<State, usize>,
    /// Resources that differ from what was last applied, and not because of Git; objects that are gone are counted as missing.
    pub drifted: usize,
    /// The worst first, 20 at most.
    pub troubles: Vec<Trouble>,
    /// The revision that was found carried out: None where something was left to do.
    #[serde(default)]
    pub settled: Option<String>,
}

impl Look {
    /// What was kept of an environment; None where nobody looked yet, or it was lost.
    pub fn load(store: &dyn Store, environment: &str) -> Option<Self> {
        serde_json::from_slice(&store.look(environment).ok()??).ok()
    }

    /// The worst state of any object; of an environment that owns nothing, `healthy`.
    pub fn worst(&self) -> State {
        self.counts.keys().next().copied().unwrap_or(State::Healthy)
    }

    /// Objects in that state.
    pub fn count(&self, state: State) -> usize {
        self.counts.get(&state).copied().unwrap_or_default()
    }

    fn add(&mut self, id: &str, state: State, message: &str) {
        *self.counts.entry(state).or_default() += 1;
        if !matches!(state, State::Healthy | State::Unknown) {
            self.troubles.push(Trouble { id: id.to_owned(), state, message: message.to_owned() });
            // Bounded while it is collected: a whole environment may be unwell.
            if self.troubles.len() > 2 * NAMED {
                self.shorten();
            }
        }
    }

    fn shorten(&mut self) {
        self.troubles.sort_by(|a, b| (a.state, &a.id).cmp(&(b.state, &b.id)));
        self.troubles.truncate(NAMED);
    }

    fn keep(mut self, around: &Surroundings) {
        self.shorten();
        let kept = serde_json::to_vec(&self)
            .map_err(|error| error.to_string())
            .and_then(|bytes| around.store.put_look(&around.context.environment, bytes).map_err(|error| error.to_string()));
        if let Err(error) = kept {
            tracing::warn!("what was seen could not be kept for `trueup status`: {error}");
        }
    }
}

/// Health that a provider told of since the observation, by address.
pub type Told = HashMap<Address, (HealthState, Arc<str>)>;

/// Keeps what a plan saw.
pub fn remember_plan(around: &Surroundings, planned: &Planned) {
    let nothing = |_: usize| false;
    look(around, planned, &Told::new(), &nothing).keep(around);
}

/// Keeps what is so after an apply.
pub fn remember_apply(around: &Surroundings, planned: &Planned, applied: &Applied) {
    let done = |at: usize| matches!(applied.steps.get(at), Some(Some(Ended::Done | Ended::Unchanged)));
    look(around, planned, &applied.health, &done).keep(around);
}

fn look(around: &Surroundings, planned: &Planned, told: &Told, done: &dyn Fn(usize) -> bool) -> Look {
    let is_settled = (0..planned.plan.steps.len()).all(done) && planned.plan.refused.is_empty() && !planned.is_pending();
    let settled = is_settled.then(|| around.revision.clone());
    let mut look = Look { time: around.context.now, drifted: drifted(&planned.plan, done), settled, ..Look::default() };
    // Objects that a step which is done made another thing of: None where they went.
    let mut touched: HashMap<&Address, Option<&Step>> = HashMap::new();
    for (_, step) in planned.plan.steps.iter().enumerate().filter(|(at, _)| done(*at)) {
        if let Some(from) = &step.from {
            touched.entry(&from.address).or_insert(None);
        }
        let gone = matches!(step.action, Action::Delete | Action::Forget);
        touched.insert(&step.address, (!gone).then_some(step));
    }
    let changed: Sought<'_> = touched.keys().copied().collect();
    let mut views = Cursor::default();
    for entry in planned.entries().iter().filter(|it| it.ownership != Ownership::Deposed && !changed.contains(&it.address)) {
        let (state, message) = views.state(&planned.observation.views, entry);
        let message = if message.is_empty() { String::new() } else { around.context.sealer.mask(&message) };
        look.add(entry.resource.as_str(), state, &message);
    }
    for (address, step) in touched.into_iter().filter_map(|(address, step)| Some((address, step?))) {
        let seen = || step.prior.as_ref().map(|it| (it.health, it.health_message.clone()));
        let (state, message) = told.get(address).cloned().or_else(seen).unwrap_or((HealthState::Unknown, "".into()));
        look.add(step.resource.as_str(), state.into(), &message);
    }
    look
}

/// Resources with a difference that no revision explains.
fn drifted(plan: &Plan, done: &dyn Fn(usize) -> bool) -> usize {
    let by_world = |it: &Step| it.action != Action::Adopt && it.changes.iter().any(|it| it.origin != Origin::Git);
    let steps = plan.steps.iter().enumerate().filter(|(at, it)| !done(*at) && it.prior.is_some() && by_world(it));
    let left = plan.drift.iter().filter(|it| !it.gone).map(|it| &it.resource);
    steps.map(|(_, it)| &it.resource).chain(left).collect::<BTreeSet<_>>().len()
}

/// Walks entries and observed objects together: both come scope by scope and key by key.
#[derive(Default)]
struct Cursor<'a> {
    view: Option<&'a ScopeView>,
}

impl<'a> Cursor<'a> {
    fn state(&mut self, views: &'a BTreeMap<trueup_core::address::Scope, ScopeView>, entry: &Entry) -> (State, Arc<str>) {
        let scope = &entry.address.scope;
        if self.view.is_none_or(|it| it.scope != *scope) {
            self.view = views.get(scope);
        }
        let Some(view) = self.view.filter(|it| it.scope == *scope) else { return (State::Unknown, "".into()) };
        match (view.objects.get(&entry.address.key), &view.coverage) {
            (Some(found), _) => (found.health.into(), found.health_message.clone()),
            (None, Coverage::Whole) => (State::Missing, "".into()),
            (None, Coverage::Named(keys)) if keys.contains(&entry.address.key) => (State::Missing, "".into()),
            (None, Coverage::Named(_) | Coverage::Partial | Coverage::Failed(_)) => (State::Unknown, "".into()),
        }
    }
}

/// One object that is waited for.
struct Waiting<'a> {
    step: &'a Step,
    limit: Duration,
    state: State,
    message: Arc<str>,
}

/// Looks at what an apply changed until all of it is healthy, and says which did not become so in its time. What a provider
/// says nothing of, or calls suspended, is not waited for.
pub async fn wait(
    around: &Surroundings,
    planned: &Planned,
    applied: &mut Applied,
    report: &dyn Report,
    cancel: &Cancel,
) -> Vec<Diagnostic> {
    let begun = tokio::time::Instant::now();
    let mut waiting = changed(planned, applied);
    let mut late = Vec::new();
    let mut pause = PAUSE;
    while !waiting.is_empty() && !cancel.is_cancelled() {
        let passed = begun.elapsed();
        let (over, going): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|it| it.limit <= passed);
        late.extend(over.iter().map(|it| overdue(it)));
        waiting = going;
        let Some(nearest) = waiting.iter().map(|it| it.limit.saturating_sub(passed)).min() else { break };
        waiting.iter().for_each(|it| report.waiting(it.step, &words(it)));
        tokio::time::sleep(pause.min(nearest)).await;
        pause = (pause * 2).min(PAUSE * 10);
        look_again(around, &mut waiting, applied).await;
        waiting.retain(|it| it.state.may_change());
    }
    late
}

/// Objects of finished steps that are not healthy yet.
fn changed<'a>(planned: &'a Planned, applied: &Applied) -> Vec<Waiting<'a>> {
    let steps = planned.plan.steps.iter().enumerate();
    let mut waiting = Vec::new();
    for (_, step) in steps.filter(|(at, it)| matches!(applied.steps.get(*at), Some(Some(Ended::Done))) && apply::has_effect(it)) {
        let Some((state, message)) = applied.health.get(&step.address) else { continue };
        let state = State::from(*state);
        if step.action != Action::Delete && state.may_change() {
            let settings = step.source.and_then(|it| planned.desired.objects.get(it)).map(|it| &it.settings);
            let limit = settings.and_then(|it| it.timeout).unwrap_or(WAIT_LIMIT);
            waiting.push(Waiting { step, limit, state, message: message.clone() });
        }
    }
    waiting
}

/// Reads the objects once more, provider by provider. What cannot be read now stays as it was last seen.
async fn look_again(around: &Surroundings, waiting: &mut [Waiting<'_>], applied: &mut Applied) {
    let mut by_provider: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    for (at, it) in waiting.iter().enumerate() {
        by_provider.entry(it.step.address.scope.provider.clone()).or_default().push(at);
    }
    let reads = by_provider.into_iter().filter_map(|(alias, positions)| {
        let bound = around.context.providers.get(&alias)?;
        let lookups = positions.iter().filter_map(|at| waiting.get(*at)).map(|it| host::Lookup::new(it.step.address.clone()));
        let lookups: Vec<host::Lookup> = lookups.collect();
        Some(async move { (positions, crate::patience::read(bound, around.context.now, lookups).await) })
    });
    for (positions, answers) in join_all(reads).await {
        for (at, answer) in positions.into_iter().zip(answers.unwrap_or_default()) {
            let Some(it) = waiting.get_mut(at) else { continue };
            match answer {
                host::Observation::Found(remote) => {
                    it.message = around.context.sealer.mask(&remote.health.message).into();
                    it.state = remote.health.state.into();
                    applied.health.insert(it.step.address.clone(), (remote.health.state, it.message.clone()));
                }
                host::Observation::Absent => (it.state, it.message) = (State::Missing, "".into()),
                _ => {}
            }
        }
    }
}

/// `is progressing: 4 of 6 replicas`
fn words(it: &Waiting<'_>) -> String {
    let message = if it.message.is_empty() { String::new() } else { format!(": {}", it.message) };
    format!("is {}{message}", it.state.name())
}

fn overdue(it: &Waiting<'_>) -> Diagnostic {
    let text = format!("{} {}, {} s after it was applied", it.step.resource.local(), words(it), it.limit.as_secs());
    let finding =
        Diagnostic::error(codes::UNHEALTHY, text).hint("give it longer with `trueup.dev/timeout`, or see what it waits for");
    match &it.step.location {
        Some(location) => finding.at(location.clone()),
        None => finding,
    }
}
