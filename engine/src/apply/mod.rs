//! Sends the steps of a plan, in order, with an intent before every effect and an outcome after it.
//!
//! Executes exactly the plan: it derives no step and drops none; a step whose desired document turns out different once its
//! unknowns are known stops as `moved`. It reaches the store through [`Recorder`] alone.
//!
//! Invariant: no byte of a change leaves before the intent's commit has resolved; a step whose outcome nobody knows is never
//! repeated before its object was looked at.

mod batch;
mod gate;
mod late;
mod look;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::diagnostic::{Code, Diagnostic, codes};
use trueup_core::document::{ReplaceMode, Resource, Settings};
use trueup_core::inventory::Entry;
use trueup_core::manifest::ReplaceOrder;
use trueup_core::observation::Observed;
use trueup_core::plan::{Action, Desired, Plan, Step, UNMARKED};
use trueup_core::progress::{Finished, Part, Progress};
use trueup_core::value::Json;

pub(crate) use batch::{edits, pointer, remote};
pub use gate::{Gate, Gates};

use crate::desired::SecretValues;
use crate::engine::Bound;
use crate::health::Told;
use crate::seal::Sealer;
use crate::store::Recorder;

/// What becomes of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    Done,
    /// Nothing was left to do once its unknowns were known.
    Unchanged,
    Failed(Diagnostic),
    /// It is no longer the step that was planned; says what moved.
    Moved(String),
    /// It never began; says why.
    Skipped(String),
}

/// Told of every step as it goes; the command line draws progress from it.
pub trait Report: Send + Sync {
    fn started(&self, step: &Step);
    fn ended(&self, step: &Step, ended: &Ended);
    /// A step takes long; the provider's words.
    fn waiting(&self, step: &Step, message: &str);
}

/// Asked to stop: nothing new begins, what is under way is brought to its end.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Signal>);

#[derive(Default)]
struct Signal {
    given: AtomicBool,
    news: Notify,
}

impl Cancel {
    pub fn cancel(&self) {
        self.0.given.store(true, Ordering::SeqCst);
        self.0.news.notify_waiters();
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.given.load(Ordering::SeqCst)
    }

    /// Waits so long, or until it is asked to stop; whether it is.
    pub(crate) async fn within(&self, wait: Duration) -> bool {
        // Listens from here on: what is asked between the look and the wait is not missed.
        let news = self.0.news.notified();
        if !self.is_cancelled() {
            let _ = tokio::time::timeout(wait, news).await;
        }
        self.is_cancelled()
    }
}

/// All that the steps need, shared by the calls under way.
pub struct Work {
    pub plan: Arc<Plan>,
    pub providers: BTreeMap<Arc<str>, Bound>,
    pub gates: Gates,
    /// Resources that wait for a status, by id, to be evaluated again when it is known.
    pub waiting: HashMap<ResourceId, Resource>,
    /// Entries of the objects that steps touch, by address: what a replacement leaves behind stays owned.
    pub entries: HashMap<Address, Entry>,
    /// Last applied documents of the objects whose steps wait for a status.
    pub applied: HashMap<Address, Arc<Json>>,
    /// What the documents ask for, by [`Step::source`].
    pub sources: HashMap<usize, Desired>,
    pub recorder: Arc<dyn Recorder>,
    pub sealer: Arc<Sealer>,
    /// For documents that are made once a status is known.
    pub secrets: Option<Arc<SecretValues>>,
    pub marks: Box<dyn Fn(&ResourceId) -> String + Send + Sync>,
    /// Resources whose status somebody waits for.
    pub awaited: HashSet<ResourceId>,
    /// Their statuses once they are settled; begins with what was observed.
    pub statuses: Mutex<HashMap<ResourceId, Arc<Json>>>,
    /// Health of what was changed, as the provider told it.
    pub health: Mutex<Told>,
    pub report: Arc<dyn Report>,
    pub cancel: Cancel,
    /// Milliseconds since 1970 when the pass began.
    pub now: u64,
}

/// How an apply ended: one entry for each step, by position in the plan.
#[derive(Debug, Default)]
pub struct Applied {
    pub steps: Vec<Option<Ended>>,
    pub cancelled: bool,
    /// Health of what was changed, as the provider told it.
    pub health: Told,
}

impl Applied {
    /// Steps that ended so.
    pub fn count(&self, which: impl Fn(&Ended) -> bool) -> usize {
        self.steps.iter().flatten().filter(|it| which(it)).count()
    }

    /// Whether every step did what the plan said.
    pub fn is_complete(&self) -> bool {
        self.steps.iter().all(|it| matches!(it, Some(Ended::Done | Ended::Unchanged)))
    }
}

impl Work {
    fn step(&self, index: usize) -> Option<&Step> {
        self.plan.steps.get(index)
    }

    /// What the document's settings tell the plugin: `force` and `replace`.
    fn ext(&self, step: &Step) -> Vec<(String, String)> {
        step.source.and_then(|it| self.sources.get(&it)).map(|it| told(&it.settings)).unwrap_or_default()
    }

    fn status(&self, resource: &ResourceId) -> Option<Arc<Json>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).get(resource).cloned()
    }

    fn set_health(&self, seen: &Observed, message: String) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.insert(seen.address.clone(), (seen.health, message.into()));
    }

    fn set_status(&self, resource: &ResourceId, outputs: &Json) {
        if !self.awaited.contains(resource) {
            return;
        }
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).insert(resource.clone(), Arc::new(outputs.clone()));
    }
}

/// Runs the plan to its end, or to where `work.cancel` stops it.
pub async fn apply(work: Arc<Work>) -> Applied {
    // Steps under way, not calls: as many as the calls at a time can carry, so that batches fill up.
    let parallel = |alias: &str| work.providers.get(alias).map_or(1, |it| it.parallel().saturating_mul(it.batch()));
    let mut progress = Progress::new(&work.plan, &parallel);
    let mut applied = Applied { steps: vec![None; work.plan.steps.len()], ..Applied::default() };
    let mut running: JoinSet<Vec<(usize, Part, Ended)>> = JoinSet::new();
    loop {
        if work.cancel.is_cancelled() {
            applied.cancelled = true;
        } else {
            let (effects, others): (Vec<_>, Vec<_>) =
                progress.ready().into_iter().partition(|(index, _)| work.step(*index).is_some_and(has_effect));
            for (index, part) in others.iter().copied() {
                // Its ownership was recorded before the first effect.
                finish(&work, &mut progress, &mut applied, index, part, Ended::Done);
            }
            if effects.is_empty() && !others.is_empty() {
                continue;
            }
            for group in groups(&work, effects) {
                running.spawn(batch::run(work.clone(), group));
            }
        }
        let Some(joined) = running.join_next().await else { break };
        // A panic of ours in one batch must not take the others along: its intents stay open, and the next pass looks.
        let Ok(ended) = joined else { continue };
        for (index, part, end) in ended {
            finish(&work, &mut progress, &mut applied, index, part, end);
        }
    }
    if !applied.cancelled {
        let lost = Diagnostic::error(codes::STEP_FAILED, "the engine lost this step; its outcome is looked for at the next pass");
        for it in applied.steps.iter_mut().filter(|it| it.is_none()) {
            *it = Some(Ended::Failed(lost.clone()));
        }
    }
    applied.health = std::mem::take(&mut *work.health.lock().unwrap_or_else(PoisonError::into_inner));
    applied
}

/// Books the end of one part of a step, and of what it takes along.
fn finish(work: &Work, progress: &mut Progress, applied: &mut Applied, index: usize, part: Part, end: Ended) {
    let Some(step) = work.step(index) else { return };
    let finished = match &end {
        Ended::Done | Ended::Unchanged => Finished::Done,
        Ended::Failed(finding) => Finished::Failed(finding.message.clone()),
        Ended::Moved(text) => Finished::Moved(text.clone()),
        Ended::Skipped(_) => Finished::Skipped,
    };
    let good = finished == Finished::Done;
    let skipped = progress.finish((index, part), &finished);
    // The old half of a create-first replacement is still to come.
    if !good || part != Part::Create {
        work.report.ended(step, &end);
        if let Some(slot) = applied.steps.get_mut(index) {
            *slot = Some(end);
        }
    }
    for (other, _) in skipped {
        let because = Ended::Skipped(format!("{} did not succeed", step.resource.local()));
        let Some(slot) = applied.steps.get_mut(other).filter(|it| it.is_none()) else { continue };
        *slot = Some(because.clone());
        if let Some(dependent) = work.step(other) {
            work.report.ended(dependent, &because);
        }
    }
}

/// What one call carries: parts of one kind, scope and nature, at most as many as the kind takes.
#[derive(Debug)]
pub(crate) struct Group {
    pub provider: Arc<str>,
    pub delete_first: bool,
    pub parts: Vec<(usize, Part)>,
}

fn groups(work: &Work, ready: Vec<(usize, Part)>) -> Vec<Group> {
    let mut by_scope: BTreeMap<(Scope, bool, bool), Vec<(usize, Part)>> = BTreeMap::new();
    for (index, part) in ready {
        let Some(step) = work.step(index) else { continue };
        let delete_first = step.action == Action::Replace(ReplaceOrder::DeleteFirst);
        let scope = batch::target(step, part).scope.clone();
        by_scope.entry((scope, part == Part::Delete, delete_first)).or_default().push((index, part));
    }
    let mut groups = Vec::new();
    for ((scope, _, delete_first), parts) in by_scope {
        let kind = work.providers.get(&scope.provider).and_then(|bound| bound.manifest.kinds.get(&*scope.kind));
        let most = kind.and_then(|it| it.batch).map_or(1, |it| it.items.max(1) as usize);
        for chunk in parts.chunks(most) {
            groups.push(Group { provider: scope.provider.clone(), delete_first, parts: chunk.to_vec() });
        }
    }
    groups
}

/// A failed step's finding, at the place where its resource is declared.
fn failed(step: &Step, code: Code, message: impl Into<String>) -> Ended {
    let finding = Diagnostic::error(code, message);
    Ended::Failed(match &step.location {
        Some(location) => finding.at(location.clone()),
        None => finding,
    })
}

/// What of a document's settings a plugin is told.
pub(crate) fn told(settings: &Settings) -> Vec<(String, String)> {
    let replace = settings.replace.map(|it| match it {
        ReplaceMode::Allow => "allow",
        ReplaceMode::CreateFirst => "create-first",
        ReplaceMode::DeleteFirst => "delete-first",
    });
    let force = settings.force.then(|| ("force".to_owned(), "true".to_owned()));
    force.into_iter().chain(replace.map(|it| ("replace".to_owned(), it.to_owned()))).collect()
}

/// Whether a step sends anything; the others only move ownership and are recorded before an apply begins.
pub fn has_effect(step: &Step) -> bool {
    match step.action {
        Action::Create | Action::Update | Action::Replace(_) | Action::Delete => true,
        Action::Adopt | Action::Move => !step.changes.is_empty() || step.reasons.iter().any(|it| it.code == UNMARKED),
        Action::Forget => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_when_it_is_asked_to_stop_and_not_before() {
        let cancel = Cancel::default();
        assert!(!cancel.within(Duration::from_millis(5)).await);
        let (asked, begun) = (cancel.clone(), std::time::Instant::now());
        let (stopped, ()) = tokio::join!(cancel.within(Duration::from_secs(60)), async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            asked.cancel();
        });
        assert!(stopped && cancel.within(Duration::from_secs(60)).await, "also where it was asked before");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
