//! One call's worth of steps: intents, the call, outcomes, and what must follow before a step is settled.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use trueup_core::address::Address;
use trueup_core::diagnostic::codes;
use trueup_core::diff;
use trueup_core::document::Settings;
use trueup_core::inventory::{Entry, Intent, IntentAction, Ownership};
use trueup_core::manifest::ReplaceOrder;
use trueup_core::observation::Observed;
use trueup_core::plan::{Action, Change, Step};
use trueup_core::progress::Part;
use trueup_core::retry;
use trueup_core::value::{Json, Map, Path};
use trueup_host as host;

use super::{Ended, Gate, Group, Work, failed, late, look};
use crate::engine::{Bound, code_of};
use crate::health::Told;
use crate::killpoint;
use crate::observe::remember;
use crate::patience;
use crate::seal::{Sealer, holds_secret};
use crate::store::{Edit, Ending, IntentRecord, OutcomeRecord};
use crate::veil::Veil;

/// Tries of one change within one apply, the first among them. For what a server may get over: a plugin that crashed, ran
/// past its deadline or broke the contract would do so again, and is not asked again in this run.
const TRIES: retry::Policy = retry::Policy { first: Duration::from_millis(200), cap: Duration::from_secs(30), tries: 5 };

/// One change on its way.
pub(super) struct Item {
    pub index: usize,
    pub part: Part,
    pub token: Arc<str>,
    /// As planned, with its unknowns filled.
    pub step: Step,
    pub change: host::Change,
    pub attempt: u32,
    /// Announced: its intent is durable.
    pub announced: bool,
    /// How the plugin broke the contract while it carried the change out, if it did.
    pub breach: Option<String>,
    /// Paths at which the object is not as asked for, and which the plugin would ignore in a plan: what its server does not keep.
    pub spared: Vec<Path>,
}

/// The object that a part of a step acts on.
pub(super) fn target(step: &Step, part: Part) -> Address {
    match (&step.from, part) {
        (Some(from), Part::Delete) => from.address.clone(),
        (None, Part::Delete) => deposed(step).unwrap_or_else(|| step.address.clone()),
        _ => step.address.clone(),
    }
}

/// Where the old half of a create-first replacement goes whose new one takes its very address: the kind has no names, and from then on
/// the old one goes by its identity.
fn deposed(step: &Step) -> Option<Address> {
    let beside = step.action == Action::Replace(ReplaceOrder::CreateFirst) && step.from.is_none();
    let old = step.prior.as_ref().filter(|it| beside && *it.identity != *step.address.key)?;
    Some(Address { key: old.identity.clone(), ..step.address.clone() })
}

/// How a part of a step ended.
pub(super) type End = (usize, Part, Ended);
/// Hears what has ended, as soon as it is booked.
pub(super) type Tell<'a> = dyn Fn(Vec<End>) + Send + Sync + 'a;

/// Runs a group to its end, and tells how each part ended. The two halves of a delete-first replacement follow each other here.
pub(super) async fn run(work: Arc<Work>, group: Group, tell: &Tell<'_>) {
    let Some(bound) = work.providers.get(&group.provider) else {
        let gone = |(index, part)| (index, part, Ended::Skipped("its provider is gone".to_owned()));
        return tell(group.parts.into_iter().map(gone).collect());
    };
    group.parts.iter().filter_map(|(index, _)| work.step(*index)).for_each(|step| work.report.started(step));
    if !group.delete_first {
        return run_half(&work, bound, group.parts, tell).await;
    }
    let deletes = group.parts.iter().map(|(index, _)| (*index, Part::Delete)).collect();
    let whole = |ended: Vec<End>| tell(ended.into_iter().map(|(index, _, end)| (index, Part::Whole, end)).collect());
    let creates = Mutex::new(Vec::new());
    let first = |ended: Vec<End>| {
        let (gone, over): (Vec<_>, Vec<_>) = ended.into_iter().partition(|(_, _, end)| *end == Ended::Done);
        let gone = gone.into_iter().map(|(index, _, _)| (index, Part::Create));
        creates.lock().unwrap_or_else(PoisonError::into_inner).extend(gone);
        whole(over);
    };
    run_half(&work, bound, deletes, &first).await;
    let creates = std::mem::take(&mut *creates.lock().unwrap_or_else(PoisonError::into_inner));
    run_half(&work, bound, creates, &whole).await;
}

async fn run_half(work: &Work, bound: &Bound, parts: Vec<(usize, Part)>, tell: &Tell<'_>) {
    let mut ended = Vec::new();
    let mut items = Vec::new();
    for (index, part) in parts {
        match prepare(work, bound, index, part).await {
            Ok(item) => items.push(item),
            Err(end) => ended.push((index, part, end)),
        }
    }
    tell(ended);
    carry_out(work, bound, items, tell).await;
}

/// Carries changes out until each has ended. Those that stay pending are followed beside the others, which are booked and tried
/// again without them.
fn carry_out<'a>(
    work: &'a Work,
    bound: &'a Bound,
    items: Vec<Item>,
    tell: &'a Tell<'a>,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(async move {
        if items.is_empty() {
            return;
        }
        let sent = attempt(work, bound, items, tell).await;
        let (mut pending, over): (Vec<_>, Vec<_>) =
            sent.into_iter().partition(|(item, outcome)| due(work, item, outcome, Duration::ZERO).is_some());
        let others = async {
            let again = conclude(work, bound, over, tell).await;
            carry_out(work, bound, again, tell).await;
        };
        let followed = async {
            follow(work, bound, &mut pending).await;
            let again = conclude(work, bound, pending, tell).await;
            carry_out(work, bound, again, tell).await;
        };
        tokio::join!(others, followed);
    })
}

/// Makes the change of one part, with its unknowns filled.
async fn prepare(work: &Work, bound: &Bound, index: usize, part: Part) -> Result<Item, Ended> {
    let planned = work.step(index).ok_or(Ended::Unchanged)?;
    let action = match (planned.action, part) {
        (_, Part::Delete) | (Action::Delete, _) => IntentAction::Delete,
        (Action::Create | Action::Replace(_), _) => IntentAction::Create,
        _ => IntentAction::Update,
    };
    let step = if action == IntentAction::Delete { planned.clone() } else { late::fill(work, bound, planned).await? };
    let desired = step.desired.clone().filter(|_| action != IntentAction::Delete);
    if desired.is_none() && action != IntentAction::Delete {
        return Err(failed(&step, codes::STEP_FAILED, "the step has no document; plan again"));
    }
    let old = step.from.as_ref().and_then(|it| it.prior.as_ref()).filter(|_| part == Part::Delete).or(step.prior.as_ref());
    // Only the half that meets the old object gets it as prior: the new half of a replacement starts from nothing.
    let prior = if action == IntentAction::Create { None } else { old.map(|it| remote(&work.sealer, it)) };
    // The token of a crash belongs to the half that met it: the create of a replacement, or the whole of any other step.
    let token = step.token.clone().filter(|_| part != Part::Delete);
    let unsettled = token.is_some();
    let token = token.map_or_else(draw, Ok).map_err(|error| failed(&step, codes::STEP_FAILED, error))?;
    let edits = if action == IntentAction::Update { edits(&step) } else { Vec::new() };
    let change = host::Change {
        action,
        address: target(&step, part),
        token: token.to_string(),
        attempt: 0,
        unsettled,
        mark: (work.marks)(&step.resource),
        desired: desired.as_deref().map(|it| Arc::new(work.sealer.to_handles(it))),
        prior,
        edits,
        ext: work.ext(&step),
    };
    Ok(Item { index, part, token, step, change, attempt: 0, announced: unsettled, breach: None, spared: Vec::new() })
}

/// The differences of a step as the plugin is told of them, secrets as markers.
pub(crate) fn edits(step: &Step) -> Vec<host::Edit> {
    let edit = |change: &Change| {
        let op = match (&change.before, &change.after) {
            (None, _) => host::EditOp::Add,
            (_, None) => host::EditOp::Remove,
            _ => host::EditOp::Replace,
        };
        Some(host::Edit { op, path: pointer(step, change)?, value: change.after.clone() })
    };
    step.changes.iter().filter_map(edit).collect()
}

/// Where a change is, as a plugin is told: in what is desired, or in what was there where it is removed.
pub(crate) fn pointer(step: &Step, change: &Change) -> Option<String> {
    let null = Json::Null;
    let desired = step.desired.as_deref().unwrap_or(&null);
    let prior = step.prior.as_deref().and_then(|it| it.doc.as_deref()).unwrap_or(&null);
    let removed = change.before.is_some() && change.after.is_none();
    change.path.to_pointer(if removed { prior } else { desired })
}

/// 128 random bits as hex digits.
fn draw() -> Result<Arc<str>, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers for a token: {error}"))?;
    Ok(bytes.iter().map(|it| format!("{it:02x}")).collect::<String>().into())
}

/// An observation in the form in which it goes back to its plugin.
pub(crate) fn remote(sealer: &Sealer, observed: &Observed) -> host::Remote {
    let doc = observed.doc.as_deref().map_or_else(|| Json::Object(Map::new()), |it| sealer.to_handles(it));
    host::Remote {
        address: observed.address.clone(),
        identity: observed.identity.to_string(),
        doc: Arc::new(doc),
        outputs: observed.outputs.clone(),
        version: observed.version.as_deref().map(str::to_owned),
        mark: observed.mark.as_deref().map(str::to_owned),
        health: host::Health::default(),
        sensitive: Vec::new(),
        ext: Vec::new(),
    }
}

/// Announces what is not announced and sends the changes once. What was not sent has ended.
async fn attempt(work: &Work, bound: &Bound, mut items: Vec<Item>, tell: &Tell<'_>) -> Vec<(Item, host::Outcome)> {
    let refused = work.gates.get(&bound.alias).and_then(Gate::refusal);
    let announced = match refused {
        Some(failure) => Err((code_of(failure.fault, codes::STEP_FAILED), work.sealer.mask(&failure.to_string()))),
        None => announce(work, bound, &mut items).await.map_err(|error| (codes::STORE, error)),
    };
    if let Err((code, text)) = announced {
        tell(items.into_iter().map(|it| (it.index, it.part, failed(&it.step, code, text.clone()))).collect());
        return Vec::new();
    }
    let outcomes = send(work, bound, &items).await;
    items.into_iter().zip(outcomes).collect()
}

/// Looks at what came of changes, books it, tells it, and returns what must be tried again, once it is time for that.
async fn conclude(work: &Work, bound: &Bound, mut sent: Vec<(Item, host::Outcome)>, tell: &Tell<'_>) -> Vec<Item> {
    for (item, outcome) in &mut sent {
        item.breach = breach(outcome);
    }
    look::settle_doubts(work, bound, &mut sent).await;
    look::confirm(work, bound, &mut sent).await;
    let (mut ended, mut again) = (Vec::new(), Vec::new());
    let mut wait = Duration::ZERO;
    for (item, outcome) in sent {
        match book(work, bound, item, outcome) {
            Booked::Ended(it) => ended.push(it),
            Booked::Again(item, pause, otherwise) => {
                wait = wait.max(pause);
                again.push((*item, otherwise));
            }
        }
    }
    record(work, ended, tell).await;
    if again.is_empty() || !work.cancel.within(wait).await {
        return again.into_iter().map(|(item, _)| item).collect();
    }
    // Asked to stop while it waited: what was to be tried again ends as it stands.
    record(work, again.into_iter().map(|(_, it)| it).collect(), tell).await;
    Vec::new()
}

/// Records how changes ended, in one commit, and tells it. Where that fails the world moved and the record did not: the intents
/// stay open, and the next pass looks.
async fn record(work: &Work, over: Vec<Over>, tell: &Tell<'_>) {
    let (records, mut ended): (Vec<_>, Vec<_>) = over.into_iter().unzip();
    let records: Vec<OutcomeRecord> = records.into_iter().flatten().collect();
    if !records.is_empty()
        && let Err(error) = work.recorder.outcome(records).await
    {
        tracing::error!("outcomes could not be recorded: {error}");
        for (index, _, end) in ended.iter_mut().filter(|(_, _, end)| matches!(end, Ended::Done)) {
            if let Some(step) = work.step(*index) {
                *end = failed(step, codes::STORE, format!("done, but not recorded: {error}"));
            }
        }
    }
    tell(ended);
}

/// One call with all changes, once it is their turn; what no answer came for is in doubt.
async fn send(work: &Work, bound: &Bound, items: &[Item]) -> Vec<host::Outcome> {
    let gate = work.gates.get(&bound.alias);
    let turn = match gate {
        Some(gate) => gate.enter().await,
        None => None,
    };
    if let Some(failure) = gate.filter(|_| turn.is_none()).and_then(Gate::refusal) {
        return items.iter().map(|_| over(host::Settlement::Rejected(failure.clone()))).collect();
    }
    killpoint::at("call.before");
    let answer = bound.provider.apply(&bound.call(work.now), items.iter().map(|it| it.change.clone()).collect()).await;
    killpoint::at("call.after");
    answer.unwrap_or_else(|error| {
        gate.into_iter().for_each(|it| it.close_on(&error));
        // Nobody knows what the call did: each object is looked at.
        items.iter().map(|_| lost(&error)).collect()
    })
}

async fn announce(work: &Work, bound: &Bound, items: &mut [Item]) -> Result<(), String> {
    let record = |item: &Item| {
        let deletes = item.change.action == IntentAction::Delete;
        let old = item
            .step
            .from
            .as_ref()
            .and_then(|it| it.prior.as_ref())
            .filter(|_| item.part == Part::Delete)
            .or(item.step.prior.as_ref());
        let source = item.step.source.and_then(|it| work.sources.get(&it)).filter(|_| !deletes);
        let intent = Intent {
            token: item.token.clone(),
            resource: item.step.resource.clone(),
            address: item.change.address.clone(),
            action: item.change.action,
            prior: item.change.prior.as_ref().and(old).map(|it| it.digest),
            desired: item.step.desired_digest.filter(|_| !deletes),
            document: item.step.desired.clone().filter(|_| !deletes),
            after: source.map(|it| it.after.clone()).unwrap_or_default(),
            siblings: source.map(|it| it.siblings.clone()).unwrap_or_default(),
            protect: source.is_some_and(|it| it.settings.protect),
            prune: !source.is_some_and(|it| it.settings.no_prune),
            operation: None,
            started_ms: work.now,
        };
        IntentRecord { intent, target: bound.target.clone() }
    };
    let intents: Vec<IntentRecord> = items.iter().filter(|it| !it.announced).map(record).collect();
    if !intents.is_empty() {
        work.recorder.intend(intents).await.map_err(|error| error.to_string())?;
    }
    items.iter_mut().for_each(|it| it.announced = true);
    Ok(())
}

/// What a call that gave no answer means for one of its changes.
fn lost(error: &host::CallError) -> host::Outcome {
    let failure = host::Failure::new(error.fault(), error.code(), error.to_string());
    let settlement = if error.never_began() { host::Settlement::Rejected(failure) } else { host::Settlement::Unsettled(failure) };
    over(settlement)
}

/// An outcome that tells nothing of the object.
pub(super) fn over(settlement: host::Settlement) -> host::Outcome {
    host::Outcome { settlement, object: None, findings: Vec::new(), ext: Vec::new() }
}

/// What of the contract an outcome breaks. A look at the object may settle the change; it does not mend the plugin.
fn breach(outcome: &host::Outcome) -> Option<String> {
    match &outcome.settlement {
        host::Settlement::Unsettled(failure) | host::Settlement::Rejected(failure) if failure.fault == host::Fault::Contract => {
            Some(failure.to_string())
        }
        _ => None,
    }
}

/// Polls what is pending, all of it in one call, until nothing is, each within its own time. New handles are recorded in one
/// commit before they are waited for, so that a killed run leaves them to the next.
async fn follow(work: &Work, bound: &Bound, followed: &mut [(Item, host::Outcome)]) {
    let begun = tokio::time::Instant::now();
    let mut known: HashMap<Arc<str>, String> = HashMap::new();
    let gate = work.gates.get(&bound.alias);
    loop {
        let (mut lookups, mut records) = (Vec::new(), Vec::new());
        let mut pause = Duration::from_secs(30);
        let passed = begun.elapsed();
        for (item, outcome) in followed.iter() {
            let Some(pending) = due(work, item, outcome, passed) else { continue };
            work.report.waiting(&item.step.resource, &format!("for what is under way: {}", work.sealer.mask(&pending.message)));
            pause = pause.min(Duration::from_millis(pending.after_ms.max(10)));
            lookups.push((item.change.address.clone(), pending.operation.clone()));
            if known.insert(item.token.clone(), pending.operation.clone()).as_ref() != Some(&pending.operation) {
                let ending = Ending::Pending(pending.operation.as_str().into());
                records.push(OutcomeRecord { token: item.token.clone(), edits: Vec::new(), ending });
            }
        }
        if lookups.is_empty()
            || (!records.is_empty() && work.recorder.outcome(records).await.is_err())
            || gate.is_some_and(|it| it.refusal().is_some())
            || work.cancel.within(pause).await
        {
            return;
        }
        let asked = lookups.len();
        let answers = match bound.provider.poll(&bound.call(work.now), lookups).await {
            Ok(answers) if answers.len() == asked => answers,
            Ok(_) => return,
            Err(error) => {
                gate.into_iter().for_each(|it| it.close_on(&error));
                (0..asked).map(|_| lost(&error)).collect()
            }
        };
        let pending = followed.iter_mut().filter(|(item, it)| due(work, item, it, passed).is_some());
        for ((_, outcome), answer) in pending.zip(answers) {
            let object = outcome.object.take();
            *outcome = answer;
            outcome.object = outcome.object.take().or(object);
        }
    }
}

/// The operation of a change that is pending and has time left.
fn due<'a>(work: &Work, item: &Item, outcome: &'a host::Outcome, passed: Duration) -> Option<&'a host::Pending> {
    let settings = item.step.source.and_then(|it| work.sources.get(&it)).map(|it| &it.settings);
    let limit = settings.map_or_else(|| Settings::default().pending_limit(), |it| it.pending_limit());
    match &outcome.settlement {
        host::Settlement::Pending(pending) if passed < limit => Some(pending),
        _ => None,
    }
}

/// What is recorded of a change that is over, and how its part of the step ended.
type Over = (Option<OutcomeRecord>, End);

enum Booked {
    Ended(Over),
    /// To be tried again after the wait, or to end so if that is not to be.
    Again(Box<Item>, Duration, Over),
}

/// Turns an outcome into what is recorded, and whether the change is over.
fn book(work: &Work, bound: &Bound, mut item: Item, outcome: host::Outcome) -> Booked {
    let step = &item.step.clone();
    let record = |edits: Vec<Edit>, ending: Ending| Some(OutcomeRecord { token: item.token.clone(), edits, ending });
    let ends = |record, end| Booked::Ended((record, (item.index, item.part, end)));
    match outcome.settlement {
        host::Settlement::Settled => {
            let (edits, differs) = settled_edits(work, bound, step, &item, outcome.object);
            let end = match (differs, &item.breach) {
                (None, None) => Ended::Done,
                (None, Some(breach)) => {
                    failed(step, codes::PLUGIN_CONTRACT, format!("the object is as wished, but {}", work.sealer.mask(breach)))
                }
                (Some(path), _) => failed(
                    step,
                    codes::PLUGIN_CONTRACT,
                    format!("the plugin says it is done, but `{path}` is not what was asked for"),
                ),
            };
            ends(record(edits, Ending::Settled), end)
        }
        host::Settlement::Pending(pending) => {
            let text = format!("still under way: {}", work.sealer.mask(&pending.message));
            ends(None, failed(step, codes::IN_DOUBT, text))
        }
        host::Settlement::Rejected(failure) => {
            let text = work.sealer.mask(&failure.to_string());
            let code = code_of(failure.fault, codes::STEP_FAILED);
            let ended = |item: &Item| {
                (record(Vec::new(), Ending::Rejected(text.clone())), (item.index, item.part, failed(step, code, text.clone())))
            };
            let hint = match failure.fault {
                host::Fault::Throttled(hint) | host::Fault::Transient(hint) => Some(hint.map(Duration::from_millis)),
                _ => None,
            };
            // Who asks for longer than anybody waits here is not asked again before that: the next pass does.
            if let Some(hint) = hint
                && hint.is_none_or(|it| it <= TRIES.cap)
                && !work.cancel.is_cancelled()
                && let retry::Next::Wait(pause) =
                    retry::after(&TRIES, retry::Outcome::Retry(hint), item.attempt + 1, patience::spread())
            {
                let otherwise = ended(&item);
                item.attempt += 1;
                item.change.attempt = item.attempt;
                item.change.unsettled = true;
                return Booked::Again(Box::new(item), pause, otherwise);
            }
            Booked::Ended(ended(&item))
        }
        host::Settlement::Unsettled(failure) => {
            let text = work.sealer.mask(&failure.to_string());
            let broken = failure.fault == host::Fault::Contract;
            let code = if broken { codes::PLUGIN_CONTRACT } else { codes::IN_DOUBT };
            ends(
                record(Vec::new(), Ending::Unsettled(text.clone())),
                failed(step, code, format!("not known whether it took effect: {text}")),
            )
        }
    }
}

/// What is owned after a settled change, and the first path at which the object is not what was asked for.
fn settled_edits(
    work: &Work,
    bound: &Bound,
    step: &Step,
    item: &Item,
    object: Option<host::Remote>,
) -> (Vec<Edit>, Option<String>) {
    let address = item.change.address.clone();
    let (Some(desired), true) = (&step.desired, item.change.action != IntentAction::Delete) else {
        return (vec![Edit::Remove(address)], None);
    };
    let identity = object.as_ref().map(|it| it.identity.clone());
    // As the next pass will see it, to which this document is the one that was applied.
    let veil = Veil::of(Some(&**desired), []);
    let seen = object.map(|it| remember(&work.sealer, address.clone(), it, Some(&veil)).with_doc());
    if let Some(seen) = &seen {
        // What was stalled before the change is no word on what comes of it.
        work.set_told(&address, Told::of(seen, work.sealer.mask(&seen.health_message), false));
    }
    let differs =
        seen.as_ref().and_then(|it| it.doc.as_deref()).and_then(|doc| differences(bound, item, desired, doc).into_iter().next());
    let differs = differs.map(|it| it.path.to_string());
    if let Some(outputs) = seen.as_ref().and_then(|it| it.outputs.as_deref()) {
        work.set_status(&step.resource, outputs);
    }
    let old = step.prior.as_ref().map(|it| it.identity.clone());
    let source = step.source.and_then(|it| work.sources.get(&it));
    let entry = Entry {
        resource: step.resource.clone(),
        address: address.clone(),
        identity: identity.map(Arc::from).or(old).unwrap_or_else(|| address.key.clone()),
        ownership: step.ownership,
        applied: step.desired_digest.unwrap_or_default(),
        agreed: seen.filter(|_| differs.is_none()).map(|it| it.digest),
        after: source.map(|it| it.after.clone()).unwrap_or_default(),
        siblings: source.map(|it| it.siblings.clone()).unwrap_or_default(),
        protect: source.is_some_and(|it| it.settings.protect),
        prune: !source.is_some_and(|it| it.settings.no_prune),
        secrets: holds_secret(desired),
        claims: step.source.is_some_and(|it| work.plan.claims(it)),
    };
    let mut edits = vec![Edit::Put { entry: Box::new(entry), target: bound.target.clone(), applied: Some(desired.clone()) }];
    match (step.from.as_ref().filter(|it| it.address != address), item.part) {
        (Some(from), Part::Create) if step.action == Action::Replace(ReplaceOrder::CreateFirst) => {
            // The old half stays owned until it is gone, whatever happens in between.
            if let Some(old) = work.entries.get(&from.address) {
                let deposed = Entry { ownership: Ownership::Deposed, agreed: None, ..old.clone() };
                edits.push(Edit::Put { entry: Box::new(deposed), target: bound.target.clone(), applied: None });
            }
        }
        // Nothing stands at the old address any more (of a delete-first replacement it went first), or it is this object.
        (Some(from), Part::Whole | Part::Create) => edits.push(Edit::Remove(from.address.clone())),
        (None, Part::Create) => {
            let old = deposed(step).zip(work.entries.get(&address));
            edits.extend(old.map(|(address, old)| {
                let old = Entry { address, ownership: Ownership::Deposed, agreed: None, ..old.clone() };
                Edit::Put { entry: Box::new(old), target: bound.target.clone(), applied: None }
            }));
        }
        (Some(_), Part::Delete | Part::Wait) | (None, _) => {}
    }
    (edits, differs)
}

/// Where `found` is not what the change asks for. An update asks for its changes alone: what else differs the plan left as it is, as
/// the plugin itself said that it does not matter.
pub(super) fn differences(bound: &Bound, item: &Item, desired: &Json, found: &Json) -> Vec<Change> {
    let Some(kind) = bound.manifest.kinds.get(&*item.change.address.scope.kind) else { return Vec::new() };
    let asked = |path: &Path| {
        let touches = |it: &Path| it.0.iter().zip(&path.0).all(|(one, other)| one == other);
        let all = item.change.action != IntentAction::Update;
        (all || item.step.changes.iter().any(|it| touches(&it.path))) && !item.spared.iter().any(|it| it.covers(path))
    };
    // What is never shown is compared with what was sent, which is this document.
    let mut changes = diff::compare(desired, Some(desired), found, &kind.hints, &[]);
    changes.retain(|it| asked(&it.path));
    changes
}
