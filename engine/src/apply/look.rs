//! Looking at an object after a change: where nobody knows its outcome, and where a plugin says that it is done.

use trueup_core::inventory::IntentAction;
use trueup_core::manifest::Recover;
use trueup_host as host;

use super::Work;
use super::batch::{Item, difference};
use crate::engine::Bound;
use crate::observe::remember;

/// Turns `unsettled` into `settled` or `rejected` where one look at the object proves it; otherwise leaves it as it is.
///
/// Absence after a create proves nothing until the kind's settle time has passed, and nothing at all for kinds whose objects
/// cannot be found again.
pub(super) async fn settle_doubt(work: &Work, bound: &Bound, item: &Item, outcome: host::Outcome) -> host::Outcome {
    let host::Settlement::Unsettled(failure) = &outcome.settlement else { return outcome };
    let Some(kind) = bound.manifest.kinds.get(&*item.change.address.scope.kind) else { return outcome };
    if kind.recover == Recover::None {
        return outcome;
    }
    let lookup = host::Lookup {
        identity: item.change.prior.as_ref().or(outcome.object.as_ref()).map(|it| it.identity.clone()),
        desired: item.change.desired.clone(),
        mark: Some(item.change.mark.clone()),
        token: Some(item.token.to_string()),
        ..host::Lookup::new(item.change.address.clone())
    };
    let Ok(mut answers) = bound.provider.read(&bound.call(work.now), vec![lookup]).await else { return outcome };
    let settled = |object| host::Outcome { settlement: host::Settlement::Settled, object, findings: Vec::new(), ext: Vec::new() };
    let undone = |failure: &host::Failure| {
        let failure = host::Failure { fault: host::Fault::Transient(None), ..failure.clone() };
        host::Outcome { settlement: host::Settlement::Rejected(failure), object: None, findings: Vec::new(), ext: Vec::new() }
    };
    match (item.change.action, answers.pop()) {
        (IntentAction::Delete, Some(host::Observation::Absent)) => settled(None),
        (IntentAction::Delete, Some(host::Observation::Found(_))) => undone(failure),
        (IntentAction::Create, Some(host::Observation::Absent)) if kind.settle_time == 0 => undone(failure),
        (_, Some(host::Observation::Found(found))) => {
            let desired = item.step.desired.as_ref();
            let seen = remember(&work.sealer, item.change.address.clone(), (*found).clone(), desired.map(|it| &**it)).with_doc();
            let is_done = match (desired, seen.doc.as_deref()) {
                (Some(desired), Some(doc)) => difference(bound, &item.change.address, desired, doc).is_none(),
                _ => false,
            };
            let is_prior = item.step.prior.as_deref().is_some_and(|it| it.digest == seen.digest);
            if is_done {
                settled(Some(*found))
            } else if is_prior {
                undone(failure)
            } else {
                outcome
            }
        }
        _ => outcome,
    }
}

/// Looks at every object that a plugin calls settled, in one call of an instance that cannot write: what was not done is
/// unsettled, whatever the plugin says. Kinds that settle late are left to the next pass, as a look proves nothing yet.
pub(super) async fn confirm(work: &Work, bound: &Bound, followed: &mut [(Item, host::Outcome)]) {
    let asked: Vec<usize> = followed
        .iter()
        .enumerate()
        .filter(|(_, (item, outcome))| outcome.settlement == host::Settlement::Settled && settles_at_once(bound, item))
        .map(|(at, _)| at)
        .collect();
    let lookups = asked.iter().filter_map(|at| followed.get(*at)).map(|(item, outcome)| {
        let known = outcome.object.as_ref().or(item.change.prior.as_ref());
        host::Lookup { identity: known.map(|it| it.identity.clone()), ..host::Lookup::new(item.change.address.clone()) }
    });
    let lookups: Vec<host::Lookup> = lookups.collect();
    if lookups.is_empty() {
        return;
    }
    let Ok(answers) = bound.provider.read(&bound.call(work.now), lookups).await else { return };
    for (at, answer) in asked.into_iter().zip(answers) {
        let Some((item, outcome)) = followed.get_mut(at) else { continue };
        let deletes = item.change.action == IntentAction::Delete;
        let text = match answer {
            host::Observation::Absent if !deletes => "the plugin says it is done, but the object is not there",
            host::Observation::Found(_) if deletes => "the plugin says it is done, but the object is still there",
            _ => continue,
        };
        let failure = host::Failure::new(host::Fault::Internal, "forged", text);
        *outcome = host::Outcome {
            settlement: host::Settlement::Unsettled(failure),
            object: None,
            findings: Vec::new(),
            ext: Vec::new(),
        };
    }
}

fn settles_at_once(bound: &Bound, item: &Item) -> bool {
    bound
        .manifest
        .kinds
        .get(&*item.change.address.scope.kind)
        .is_some_and(|it| it.settle_time == 0 && it.recover != Recover::None)
}
