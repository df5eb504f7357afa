//! Waits within an apply: an object whose document has a `trueup.dev/wait-for` is looked at again until that holds, before
//! anything that depends on it begins.
//!
//! One watcher for each provider, begun when something of it first waits: it sleeps until the next look is due, looks at all
//! that is due in one call, and ends no wait later than its `trueup.dev/timeout`. It sends no change and holds no place that a
//! change could take.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;
use trueup_core::address::{Address, ResourceId};
use trueup_core::diagnostic::{Diagnostic, Location, codes};
use trueup_core::expression::Condition;
use trueup_core::progress::{Part, Work as Place};
use trueup_core::value::{Json, Map};
use trueup_host as host;

use super::{Ended, Work};
use crate::engine::Bound;
use crate::health::{Told, span};
use crate::observe::remember;
use crate::veil::Veil;

/// Until the first look: what was settled together is looked at together.
const SOON: Duration = Duration::from_millis(20);
/// Between the first two looks; each pause is longer than the one before, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);
/// Objects in one look.
const BATCH: usize = 200;

/// One object that is waited for.
pub(super) struct Held {
    place: Place,
    /// How its step ended; None where no step made it so.
    end: Option<Ended>,
    resource: ResourceId,
    /// Its shortest form.
    shown: String,
    address: Address,
    identity: Option<String>,
    condition: Condition,
    location: Location,
    veil: Veil,
    limit: Duration,
    until: Instant,
    next: Instant,
    pause: Duration,
    /// What the last look told.
    words: String,
}

/// What a part of a step that ended well has to wait for, if anything.
pub(super) fn after(work: &Work, (index, part): Place, end: &Ended) -> Option<Held> {
    if part == Part::Delete || !matches!(end, Ended::Done | Ended::Unchanged) {
        return None;
    }
    let step = work.step(index)?;
    work.sources.get(&step.source?)?.settings.wait_for.as_ref()?;
    let applied = work.applied.get(&step.address).map(|it| &**it);
    let veil = Veil::of(step.desired.as_deref(), applied);
    let told = work.told(&step.address).map(|it| it.identity.to_string());
    let identity = told.or_else(|| step.prior.as_ref().map(|it| it.identity.to_string()));
    held(work, step.source?, (index, part), Some(end.clone()), identity, veil)
}

/// The wait for what no step makes so.
pub(super) fn before(work: &Work, (index, part): Place) -> Option<Held> {
    let wait = work.plan.waits.get(index)?;
    let documents = work.standing.get(&wait.address);
    let veil = Veil::of(documents.and_then(|it| it.desired.as_deref()), work.applied.get(&wait.address).map(|it| &**it));
    let identity = documents.and_then(|it| it.identity.as_deref()).map(str::to_owned);
    held(work, wait.desired, (index, part), None, identity, veil)
}

fn held(work: &Work, source: usize, place: Place, end: Option<Ended>, identity: Option<String>, veil: Veil) -> Option<Held> {
    let desired = work.sources.get(&source)?;
    let shown = work.short.shorten(&desired.resource);
    let (limit, now) = (desired.settings.patience(), Instant::now());
    Some(Held {
        place,
        end,
        resource: desired.resource.clone(),
        shown,
        address: desired.address.clone(),
        identity: identity.filter(|it| !it.is_empty()),
        condition: desired.settings.wait_for.clone()?,
        location: desired.location.clone(),
        veil,
        limit,
        until: now + limit,
        next: now + SOON,
        pause: FIRST,
        words: String::new(),
    })
}

impl Held {
    /// The end of a wait that was in vain.
    fn over(&self, what: &str) -> Ended {
        let words = if self.words.is_empty() { String::new() } else { format!("; it {}", self.words) };
        // The finding of a step is shown with its resource.
        let about = if self.end.is_some() { "it was applied, and".to_owned() } else { format!("{}:", self.shown) };
        let text = format!("{about} `{}` {what}{words}", self.condition);
        let hint = "what was applied is not applied again: mend what it waits for, or give it longer with `trueup.dev/timeout`";
        Ended::Overdue(Diagnostic::error(codes::WAIT, text).at(self.location.clone()).hint(hint))
    }

    fn good(&self) -> Ended {
        self.end.clone().unwrap_or(Ended::Done)
    }
}

/// All waits of one apply.
pub(super) struct Watch {
    work: Arc<Work>,
    watchers: HashMap<Arc<str>, UnboundedSender<Held>>,
    tasks: JoinSet<()>,
    sender: UnboundedSender<(Place, Ended)>,
    ended: UnboundedReceiver<(Place, Ended)>,
    open: HashMap<Place, ResourceId>,
}

impl Watch {
    pub(super) fn new(work: Arc<Work>) -> Self {
        let (sender, ended) = unbounded_channel();
        Self { work, watchers: HashMap::new(), tasks: JoinSet::new(), sender, ended, open: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Nobody needs it any more; whether it was still waited for.
    pub(super) fn forget(&mut self, place: Place) -> bool {
        self.open.remove(&place).is_some()
    }

    pub(super) fn add(&mut self, held: Held) {
        self.open.insert(held.place, held.resource.clone());
        let alias = held.address.scope.provider.clone();
        let Self { watchers, tasks, work, sender, .. } = self;
        let watcher = watchers.entry(alias).or_insert_with_key(|alias| {
            let (to, news) = unbounded_channel();
            tasks.spawn(watch(work.clone(), alias.clone(), news, sender.clone()));
            to
        });
        // Where the watcher is lost, [`Watch::next`] says so.
        let _ = watcher.send(held);
    }

    /// Waits that are over. May be dropped and called again; never answers while nothing waits.
    pub(super) async fn next(&mut self) -> Vec<(Place, Ended)> {
        loop {
            tokio::select! {
                Some((place, end)) = self.ended.recv() => {
                    if self.open.remove(&place).is_some() {
                        return vec![(place, end)];
                    }
                }
                Some(_) = self.tasks.join_next() => return self.lost(),
            }
        }
    }

    /// A watcher of ours panicked: nobody looks any more, and nobody may wait for it.
    fn lost(&mut self) -> Vec<(Place, Ended)> {
        self.watchers.clear();
        let lost = |(place, resource): (Place, ResourceId)| {
            let text = format!("{}: the engine lost what it waited for", resource.local());
            (place, Ended::Overdue(Diagnostic::error(codes::WAIT, text)))
        };
        self.open.drain().map(lost).collect()
    }
}

/// Looks at the objects of one provider until each wait is over. Ends when nobody listens any more.
async fn watch(work: Arc<Work>, alias: Arc<str>, mut news: UnboundedReceiver<Held>, ended: UnboundedSender<(Place, Ended)>) {
    let mut held: Vec<Held> = Vec::new();
    loop {
        let due = held.iter().map(|it| it.next.min(it.until)).min();
        tokio::select! {
            it = news.recv() => match it {
                Some(it) => held.push(it),
                None => return,
            },
            () = work.cancel.given(), if due.is_some() => {
                let stopped = held.drain(..).map(|it| (it.place, it.over("was waited for when the run was stopped")));
                stopped.for_each(|it| drop(ended.send(it)));
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                // What is due a little later comes along, so that waits that began apart come together.
                let now = Instant::now();
                let (due, later) = held.into_iter().partition(|it| it.next.min(it.until) <= now + it.pause / 4);
                held = later;
                held.extend(look(&work, &alias, due, &ended).await);
            }
        }
    }
}

/// One look at all that is due; gives back what waits on.
async fn look(work: &Work, alias: &str, due: Vec<Held>, ended: &UnboundedSender<(Place, Ended)>) -> Vec<Held> {
    let mut going = Vec::new();
    let mut due = due.into_iter().peekable();
    while due.peek().is_some() {
        let part: Vec<Held> = due.by_ref().take(BATCH).collect();
        let answers = match work.providers.get(alias) {
            Some(bound) => read(work, bound, &part).await,
            None => part.iter().map(|_| Err(Unseen::Never("its provider is gone".to_owned()))).collect(),
        };
        for (mut it, answer) in part.into_iter().zip(answers) {
            match judge(work, &mut it, answer) {
                Some(end) => drop(ended.send((it.place, end))),
                None => going.push(it),
            }
        }
    }
    going
}

/// Why a look showed nothing.
enum Unseen {
    /// The next one may.
    Yet(String),
    Never(String),
}

async fn read(work: &Work, bound: &Bound, part: &[Held]) -> Vec<Result<host::Observation, Unseen>> {
    let gate = work.gates.get(&bound.alias);
    if let Some(failure) = gate.and_then(super::Gate::refusal) {
        return part.iter().map(|_| Err(Unseen::Never(failure.to_string()))).collect();
    }
    let lookup = |it: &Held| host::Lookup { identity: it.identity.clone(), ..host::Lookup::new(it.address.clone()) };
    match bound.provider.read(&bound.call(work.now), part.iter().map(lookup).collect()).await {
        Ok(answers) if answers.len() == part.len() => answers.into_iter().map(Ok).collect(),
        Ok(_) => part.iter().map(|_| Err(Unseen::Never("its plugin did not answer for every object".to_owned()))).collect(),
        Err(error) => {
            gate.into_iter().for_each(|it| it.close_on(&error));
            let transient = error.fault().is_transient();
            let unseen = |_| Err(if transient { Unseen::Yet(error.to_string()) } else { Unseen::Never(error.to_string()) });
            part.iter().map(unseen).collect()
        }
    }
}

/// What a look came to: how the wait ends, or None where it goes on.
fn judge(work: &Work, it: &mut Held, answer: Result<host::Observation, Unseen>) -> Option<Ended> {
    let mut stalled = false;
    match answer {
        Ok(host::Observation::Found(remote)) => {
            stalled = is_stalled(&remote);
            match found(work, it, *remote) {
                Ok(true) => return Some(it.good()),
                Ok(false) => {}
                Err(error) => return Some(it.over(&format!("cannot be judged: {error}"))),
            }
        }
        Ok(host::Observation::Absent) => "is not there".clone_into(&mut it.words),
        Ok(host::Observation::Failed(failure)) if !failure.fault.is_transient() => {
            return Some(unseen(work, it, &failure.to_string()));
        }
        Ok(host::Observation::Failed(failure)) => it.words = masked(work, &format!("could not be looked at: {failure}")),
        Ok(host::Observation::Unchanged) => {}
        Err(Unseen::Yet(why)) => it.words = masked(work, &format!("could not be looked at: {why}")),
        Err(Unseen::Never(why)) => return Some(unseen(work, it, &why)),
    }
    let now = Instant::now();
    if it.until <= now {
        return Some(it.over(&format!("did not hold within {}", span(it.limit))));
    }
    if stalled {
        return Some(it.over("does not hold, and its provider says that waiting is in vain"));
    }
    let words = if it.words.is_empty() { String::new() } else { format!("; it {}", it.words) };
    work.report.waiting(&it.resource, &format!("for `{}`{words}", it.condition));
    it.next = now + it.pause;
    it.pause = (it.pause * 2).min(LONGEST);
    None
}

fn unseen(work: &Work, it: &mut Held, why: &str) -> Ended {
    it.words = masked(work, &format!("could not be looked at: {why}"));
    it.over("is not known to hold")
}

fn masked(work: &Work, text: &str) -> String {
    work.sealer.mask(text)
}

/// Whether the object, by its provider's word, does not get better by itself.
pub(crate) fn is_stalled(remote: &host::Remote) -> bool {
    remote.ext.iter().any(|(name, value)| name == "stalled" && value == "true")
}

/// Whether the condition holds for what was found, which is then what others are told of the object.
fn found(work: &Work, it: &mut Held, remote: host::Remote) -> Result<bool, String> {
    let stalled = is_stalled(&remote);
    let seen = remember(&work.sealer, it.address.clone(), remote, Some(&it.veil)).with_doc();
    let told = Told::of(&seen, work.sealer.mask(&seen.health_message), stalled);
    it.words = told.words();
    work.set_told(&it.address, told);
    let mut object = seen.doc.as_deref().cloned().unwrap_or_else(|| Json::Object(Map::new()));
    let outputs = seen.outputs.as_deref().cloned().unwrap_or_else(|| Json::Object(Map::new()));
    if let Some(fields) = object.as_object_mut() {
        fields.insert("status".to_owned(), outputs);
    }
    let holds = it.condition.holds(&object, &work.vars, &work.environment).map_err(|error| error.to_string())?;
    if let (true, Some(outputs)) = (holds, seen.outputs.as_deref()) {
        work.set_status(&it.resource, outputs);
    }
    Ok(holds)
}
