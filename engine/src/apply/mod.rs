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
mod wait;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use trueup_core::address::{Address, ResourceId, Scope};
use trueup_core::diagnostic::{Code, Diagnostic, codes};
use trueup_core::document::{ReplaceMode, Resource, Settings, Shortener};
use trueup_core::inventory::Entry;
use trueup_core::manifest::ReplaceOrder;
use trueup_core::plan::{Action, CLAIMED, Desired, Plan, Step, UNMARKED};
use trueup_core::progress::{Finished, Part, Progress};
use trueup_core::value::Json;

pub(crate) use batch::{edits, pointer, remote};
pub use gate::{Gate, Gates};
pub(crate) use wait::is_stalled;

use crate::desired::SecretValues;
use crate::engine::Bound;
use crate::health::{News, Told};
use crate::seal::Sealer;
use crate::store::Recorder;
use wait::Watch;

/// What becomes of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    Done,
    /// Nothing was left to do once its unknowns were known.
    Unchanged,
    Failed(Diagnostic),
    /// It took effect and was recorded, and what its `wait-for` asks did not come to hold.
    Overdue(Diagnostic),
    /// It is no longer the step that was planned; says what moved.
    Moved(String),
    /// It never began; says why.
    Skipped(String),
}

/// Told of every step as it goes; the command line draws progress from it.
pub trait Report: Send + Sync {
    fn started(&self, step: &Step);
    fn ended(&self, step: &Step, ended: &Ended);
    /// Something takes long; what it waits for, or the provider's words.
    fn waiting(&self, resource: &ResourceId, message: &str);
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

    /// Ends when it is asked to stop.
    pub(crate) async fn given(&self) {
        // Listens from here on: what is asked between the look and the wait is not missed.
        let news = self.0.news.notified();
        if !self.is_cancelled() {
            news.await;
        }
    }

    /// Waits so long, or until it is asked to stop; whether it is.
    pub(crate) async fn within(&self, wait: Duration) -> bool {
        let _ = tokio::time::timeout(wait, self.given()).await;
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
    /// What the documents ask for, by [`Step::source`] and [`trueup_core::plan::Wait::desired`].
    pub sources: HashMap<usize, Desired>,
    /// What is waited for though no step makes it so.
    pub standing: HashMap<Address, Standing>,
    /// Short forms of everything declared or owned.
    pub short: Arc<Shortener>,
    /// For conditions.
    pub vars: Json,
    pub environment: Arc<str>,
    pub recorder: Arc<dyn Recorder>,
    pub sealer: Arc<Sealer>,
    /// For documents that are made once a status is known.
    pub secrets: Option<Arc<SecretValues>>,
    pub marks: Box<dyn Fn(&ResourceId) -> String + Send + Sync>,
    /// Resources whose status somebody waits for.
    pub awaited: HashSet<ResourceId>,
    /// Their statuses once they are settled; begins with what was observed.
    pub statuses: Mutex<HashMap<ResourceId, Arc<Json>>>,
    /// What providers told of objects since they were observed.
    pub health: Mutex<News>,
    pub report: Arc<dyn Report>,
    pub cancel: Cancel,
    /// Milliseconds since 1970 when the pass began.
    pub now: u64,
}

/// An object that the plan leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub identity: Option<Arc<str>>,
    /// Where it is at hand.
    pub desired: Option<Arc<Json>>,
}

/// How an apply ended: one entry for each step, by position in the plan.
#[derive(Debug, Default)]
pub struct Applied {
    pub steps: Vec<Option<Ended>>,
    pub cancelled: bool,
    /// What providers told of objects since they were observed.
    pub health: News,
    /// What was waited for in vain though no step made it so.
    pub late: Vec<Diagnostic>,
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

    /// What the plugin is told beside the change.
    fn ext(&self, step: &Step) -> Vec<(String, String)> {
        told(step, step.source.and_then(|it| self.sources.get(&it)).map(|it| &*it.settings))
    }

    fn status(&self, resource: &ResourceId) -> Option<Arc<Json>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).get(resource).cloned()
    }

    fn told(&self, address: &Address) -> Option<Told> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    fn set_told(&self, address: &Address, told: Told) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).insert(address.clone(), told);
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
    let mut run = Run::new(work.clone());
    let mut running: JoinSet<()> = JoinSet::new();
    let (sender, mut ends) = unbounded_channel();
    loop {
        run.forget_idle();
        if work.cancel.is_cancelled() {
            run.applied.cancelled = true;
        } else {
            let (effects, others): (Vec<_>, Vec<_>) =
                run.progress.ready().into_iter().partition(|(index, _)| work.step(*index).is_some_and(has_effect));
            for (index, part) in others.iter().copied() {
                // Its ownership was recorded before the first effect.
                run.settle(index, part, Ended::Done);
            }
            if effects.is_empty() && !others.is_empty() {
                continue;
            }
            for group in groups(&work, effects) {
                let (work, sender) = (work.clone(), sender.clone());
                running.spawn(async move { batch::run(work, group, &|ended| drop(sender.send(ended))).await });
            }
        }
        tokio::select! {
            biased;
            // Once nothing runs, all that was told is there.
            Some(ended) = ends.recv(), if !running.is_empty() || !ends.is_empty() => {
                ended.into_iter().for_each(|(index, part, end)| run.settle(index, part, end));
            }
            // A panic of ours in one batch must not take the others along: its intents stay open, and the next pass looks.
            Some(_) = running.join_next() => {}
            ended = run.watch.next(), if !run.watch.is_empty() => {
                ended.into_iter().for_each(|((index, part), end)| run.finish(index, part, end));
            }
            else => break,
        }
    }
    run.end()
}

/// The state of one apply.
struct Run {
    work: Arc<Work>,
    progress: Progress,
    watch: Watch,
    applied: Applied,
    /// By step that has not ended: the places in [`Plan::waits`] that it is waited for at, where no step makes them so.
    waits: HashMap<usize, Vec<usize>>,
    /// By such a place: how many of its steps have not ended.
    needed: HashMap<usize, usize>,
    /// Such places of which none is left.
    idle: Vec<usize>,
}

impl Run {
    fn new(work: Arc<Work>) -> Self {
        // Steps under way, not calls: as many as the calls at a time can carry, so that batches fill up.
        let parallel = |alias: &str| work.providers.get(alias).map_or(1, |it| it.parallel().saturating_mul(it.batch()));
        let progress = Progress::new(&work.plan, &parallel);
        let applied = Applied { steps: vec![None; work.plan.steps.len()], ..Applied::default() };
        let (waits, needed, idle) = (HashMap::new(), HashMap::new(), Vec::new());
        let mut run = Self { progress, watch: Watch::new(work.clone()), applied, waits, needed, idle, work };
        for (index, part) in run.progress.held() {
            run.need(index);
            match wait::before(&run.work, (index, part)) {
                Some(held) => run.watch.add(held),
                None => run.finish(index, part, Ended::Done),
            }
        }
        run
    }

    /// Notes which steps are the reason to wait for something that no step makes so.
    fn need(&mut self, index: usize) {
        let before = self.work.plan.waits.get(index).map_or(&[][..], |it| &it.before);
        for step in before.iter().filter(|it| **it < self.applied.steps.len()) {
            self.waits.entry(*step).or_default().push(index);
            *self.needed.entry(index).or_default() += 1;
        }
        if !self.needed.contains_key(&index) {
            self.idle.push(index);
        }
    }

    /// Books how a step ended.
    fn over(&mut self, index: usize, end: Ended) {
        if let Some(slot) = self.applied.steps.get_mut(index) {
            *slot = Some(end);
        }
        for place in self.waits.remove(&index).unwrap_or_default() {
            let Some(left) = self.needed.get_mut(&place) else { continue };
            *left -= 1;
            if *left == 0 {
                self.idle.push(place);
            }
        }
    }

    /// A part was carried out, or was not: it ends, or its `wait-for` is looked at first.
    fn settle(&mut self, index: usize, part: Part, end: Ended) {
        match wait::after(&self.work, (index, part), &end) {
            Some(held) => {
                self.progress.hold((index, part));
                self.watch.add(held);
            }
            None => self.finish(index, part, end),
        }
    }

    /// Books the end of one part of a step, and of what it takes along.
    fn finish(&mut self, index: usize, part: Part, end: Ended) {
        let finished = match &end {
            Ended::Done | Ended::Unchanged => Finished::Done,
            Ended::Failed(finding) | Ended::Overdue(finding) => Finished::Failed(finding.message.clone()),
            Ended::Moved(text) => Finished::Moved(text.clone()),
            Ended::Skipped(_) => Finished::Skipped,
        };
        let good = finished == Finished::Done;
        let skipped = self.progress.finish((index, part), &finished);
        let work = self.work.clone();
        if part == Part::Wait {
            // Of a run that is stopped what was waited for is no fault, and the rest was merely not begun.
            let Some(wait) = work.plan.waits.get(index).filter(|_| !work.cancel.is_cancelled()) else { return };
            self.skip(skipped, &wait.resource, "did not come to what it waits for");
            if let Ended::Overdue(finding) = end {
                self.applied.late.push(finding);
            }
            return;
        }
        let Some(step) = work.step(index) else { return };
        // The old half of a create-first replacement is still to come.
        if !good || part != Part::Create {
            work.report.ended(step, &end);
            self.over(index, end);
        }
        self.skip(skipped, &step.resource, "did not succeed");
    }

    /// What does not run because of `because`.
    fn skip(&mut self, skipped: Vec<(usize, Part)>, because: &ResourceId, why: &str) {
        let because = Ended::Skipped(format!("{} {why}", self.work.short.shorten(because)));
        for (other, _) in skipped {
            if self.applied.steps.get(other).is_none_or(Option::is_some) {
                continue;
            }
            self.over(other, because.clone());
            if let Some(dependent) = self.work.step(other) {
                self.work.report.ended(dependent, &because);
            }
        }
    }

    /// What is waited for only for the sake of steps that will not begin any more is waited for no longer.
    fn forget_idle(&mut self) {
        for index in std::mem::take(&mut self.idle) {
            let place = (index, Part::Wait);
            if self.watch.forget(place) {
                self.progress.finish(place, &Finished::Skipped);
            }
        }
    }

    fn end(mut self) -> Applied {
        if !self.applied.cancelled {
            let lost =
                Diagnostic::error(codes::STEP_FAILED, "the engine lost this step; its outcome is looked for at the next pass");
            for it in self.applied.steps.iter_mut().filter(|it| it.is_none()) {
                *it = Some(Ended::Failed(lost.clone()));
            }
        }
        self.applied.health = std::mem::take(&mut *self.work.health.lock().unwrap_or_else(PoisonError::into_inner));
        self.applied
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

/// What a plugin is told of a step beside its change: `force` and `replace` of its document, and `adopt` where the object becomes ours by
/// a person's word.
pub(crate) fn told(step: &Step, settings: Option<&Settings>) -> Vec<(String, String)> {
    let replace = settings.and_then(|it| it.replace).map(|it| match it {
        ReplaceMode::Allow => "allow",
        ReplaceMode::CreateFirst => "create-first",
        ReplaceMode::DeleteFirst => "delete-first",
    });
    let force = settings.is_some_and(|it| it.force).then_some(("force", "true"));
    let adopt = step.reasons.iter().any(|it| it.code == CLAIMED).then_some(("adopt", "true"));
    let all = [force, adopt, replace.map(|it| ("replace", it))];
    all.into_iter().flatten().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
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
