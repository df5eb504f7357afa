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
use trueup_core::document::Settings;
use trueup_core::inventory::{Entry, Ownership};
use trueup_core::observation::{Coverage, HealthState, Observed, ScopeView};
use trueup_core::plan::{Action, Origin, Plan, Step};
use trueup_host as host;

use crate::apply::{self, Applied, Cancel, Ended, Report};
use crate::pass::{Planned, Surroundings};
use crate::store::Store;

/// Objects that are named; the rest is counted.
const NAMED: usize = 20;
/// Objects that one call looks at.
const BATCH: usize = 200;
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

/// What a provider told of an object after it was observed.
#[derive(Clone, Debug)]
pub struct Told {
    pub state: State,
    /// The provider's words, masked.
    pub message: Arc<str>,
    /// What the remote system calls the object.
    pub identity: Arc<str>,
    /// By the provider's word it does not get better by itself.
    pub stalled: bool,
}

impl Told {
    /// Of what was seen; `message` is masked already.
    pub fn of(seen: &Observed, message: String, stalled: bool) -> Self {
        Self { state: seen.health.into(), message: message.into(), identity: seen.identity.clone(), stalled }
    }

    /// `is progressing: 4 of 6 replicas`; nothing where the provider says nothing.
    pub fn words(&self) -> String {
        match (self.state, &*self.message) {
            (State::Unknown, "") => String::new(),
            (state, "") => format!("is {}", state.name()),
            (state, message) => format!("is {}: {message}", state.name()),
        }
    }
}

/// What providers told since the observation, by address.
pub type News = HashMap<Address, Told>;

/// Keeps what a plan saw.
pub fn remember_plan(around: &Surroundings, planned: &Planned) {
    let nothing = |_: usize| None;
    look(around, planned, &News::new(), &nothing).keep(around);
}

/// Keeps what is so after an apply.
pub fn remember_apply(around: &Surroundings, planned: &Planned, applied: &Applied) {
    let done = |at: usize| match applied.steps.get(at) {
        Some(Some(Ended::Done | Ended::Unchanged)) => Some(true),
        Some(Some(Ended::Overdue(_))) => Some(false),
        _ => None,
    };
    look(around, planned, &applied.health, &done).keep(around);
}

/// `done` says of a step that took effect whether it came to all that was asked.
fn look(around: &Surroundings, planned: &Planned, news: &News, done: &dyn Fn(usize) -> Option<bool>) -> Look {
    let whole = (0..planned.plan.steps.len()).all(|at| done(at) == Some(true));
    let is_settled = whole && planned.plan.refused.is_empty() && !planned.is_pending();
    let settled = is_settled.then(|| around.revision.clone());
    let mut look = Look { time: around.context.now, drifted: drifted(&planned.plan, done), settled, ..Look::default() };
    // Objects that a step which took effect made another thing of: None where they went.
    let mut touched: HashMap<&Address, Option<&Step>> = HashMap::new();
    for (_, step) in planned.plan.steps.iter().enumerate().filter(|(at, _)| done(*at).is_some()) {
        if let Some(from) = &step.from {
            touched.entry(&from.address).or_insert(None);
        }
        let gone = matches!(step.action, Action::Delete | Action::Forget);
        touched.insert(&step.address, (!gone).then_some(step));
    }
    let changed: Sought<'_> = touched.keys().copied().collect();
    let mut views = Cursor::default();
    for entry in planned.entries().iter().filter(|it| it.ownership != Ownership::Deposed && !changed.contains(&it.address)) {
        let told = news.get(&entry.address).map(|it| (it.state, it.message.clone()));
        let (state, message) = told.unwrap_or_else(|| views.state(&planned.observation.views, entry));
        let message = if message.is_empty() { String::new() } else { around.context.sealer.mask(&message) };
        look.add(entry.resource.as_str(), state, &message);
    }
    for (address, step) in touched.into_iter().filter_map(|(address, step)| Some((address, step?))) {
        let seen = || step.prior.as_ref().map(|it| (it.health.into(), it.health_message.clone()));
        let told = news.get(address).map(|it| (it.state, it.message.clone()));
        let (state, message) = told.or_else(seen).unwrap_or((State::Unknown, "".into()));
        look.add(step.resource.as_str(), state, &message);
    }
    look
}

/// Resources with a difference that no revision explains.
fn drifted(plan: &Plan, done: &dyn Fn(usize) -> Option<bool>) -> usize {
    let by_world = |it: &Step| it.action != Action::Adopt && it.changes.iter().any(|it| it.origin != Origin::Git);
    let steps = plan.steps.iter().enumerate().filter(|(at, it)| done(*at).is_none() && it.prior.is_some() && by_world(it));
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
            (None, Coverage::Partial | Coverage::Failed(_)) => (State::Unknown, "".into()),
        }
    }
}

/// One object that is waited for.
struct Waiting<'a> {
    step: &'a Step,
    limit: Duration,
    told: Told,
}

/// Looks at what an apply changed until all of it is healthy, and says which did not become so: in its time, or at all where
/// its provider says that waiting is in vain. What a provider says nothing of, or calls suspended, is not waited for.
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
    while !waiting.is_empty() {
        let passed = begun.elapsed();
        let (over, going): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|it| it.told.stalled || it.limit <= passed);
        late.extend(over.iter().map(|it| unhealthy(it, &planned.short.shorten(&it.step.resource))));
        waiting = going;
        let Some(nearest) = waiting.iter().map(|it| it.limit.saturating_sub(passed)).min() else { break };
        waiting.iter().for_each(|it| report.waiting(&it.step.resource, &format!("for its health; it {}", it.told.words())));
        if cancel.within(pause.min(nearest)).await {
            // What is not healthy by now is not called so: nobody waited for it to the end.
            applied.cancelled = true;
            break;
        }
        pause = (pause * 2).min(PAUSE * 10);
        look_again(around, &mut waiting, applied).await;
        waiting.retain(|it| it.told.state.may_change());
    }
    late
}

/// Objects of finished steps that are not healthy yet, as far as is known. Of those that their provider showed nothing of
/// nothing is known, so that they are looked at once.
fn changed<'a>(planned: &'a Planned, applied: &Applied) -> Vec<Waiting<'a>> {
    let steps = planned.plan.steps.iter().enumerate();
    let done = |at: usize| matches!(applied.steps.get(at), Some(Some(Ended::Done)));
    let made = steps.filter(|(at, it)| done(*at) && apply::has_effect(it) && it.action != Action::Delete);
    let waiting = made.filter_map(|(_, step)| {
        let unseen = || Told { state: State::Progressing, message: "".into(), identity: "".into(), stalled: false };
        let told = applied.health.get(&step.address).cloned().unwrap_or_else(unseen);
        let settings = step.source.and_then(|it| planned.desired.objects.get(it)).map(|it| &it.settings);
        let limit = settings.map_or_else(|| Settings::default().patience(), |it| it.patience());
        told.state.may_change().then_some(Waiting { step, limit, told })
    });
    waiting.collect()
}

/// Reads the objects once more, provider by provider. What cannot be read now stays as it was last seen.
async fn look_again(around: &Surroundings, waiting: &mut [Waiting<'_>], applied: &mut Applied) {
    let mut by_provider: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    for (at, it) in waiting.iter().enumerate() {
        by_provider.entry(it.step.address.scope.provider.clone()).or_default().push(at);
    }
    let lookup = |it: &Waiting<'_>| {
        let identity = Some(it.told.identity.to_string()).filter(|it| !it.is_empty());
        host::Lookup { identity, ..host::Lookup::new(it.step.address.clone()) }
    };
    let parts = by_provider.iter().flat_map(|(alias, all)| all.chunks(BATCH).map(move |part| (alias, part.to_vec())));
    let reads = parts.filter_map(|(alias, positions)| {
        let bound = around.context.providers.get(alias)?;
        let lookups: Vec<host::Lookup> = positions.iter().filter_map(|at| waiting.get(*at)).map(lookup).collect();
        Some(async move { (positions, bound.provider.read(&bound.call(around.context.now), lookups).await) })
    });
    for (positions, answers) in join_all(reads.collect::<Vec<_>>()).await {
        for (at, answer) in positions.into_iter().zip(answers.unwrap_or_default()) {
            let Some(it) = waiting.get_mut(at) else { continue };
            match answer {
                host::Observation::Found(remote) => {
                    it.told = Told {
                        state: remote.health.state.into(),
                        message: around.context.sealer.mask(&remote.health.message).into(),
                        stalled: apply::is_stalled(&remote),
                        identity: remote.identity.as_str().into(),
                    };
                    applied.health.insert(it.step.address.clone(), it.told.clone());
                }
                host::Observation::Absent => (it.told.state, it.told.message) = (State::Missing, "".into()),
                _ => {}
            }
        }
    }
}

/// `90 s`, `5 min`, `2 h`
pub fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 3600 == 0 && seconds > 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 && seconds > 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn unhealthy(it: &Waiting<'_>, name: &str) -> Diagnostic {
    let words = it.told.words();
    let (text, hint) = if it.told.stalled {
        let text = format!("{name} {words}, and its provider says that waiting is in vain");
        (text, "mend it and apply again; what was applied is not applied again")
    } else {
        let text = format!("{name} {words}, {} after it was applied", span(it.limit));
        (text, "give it longer with `trueup.dev/timeout`, or see what it waits for")
    };
    let finding = Diagnostic::error(codes::UNHEALTHY, text).hint(hint);
    match &it.step.location {
        Some(location) => finding.at(location.clone()),
        None => finding,
    }
}
