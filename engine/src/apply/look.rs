//! Looking at an object after a change: where nobody knows its outcome, and where a plugin says that it is done.

use std::sync::Arc;

use trueup_core::inventory::IntentAction;
use trueup_core::manifest::{Kind, Recover};
use trueup_core::observation::Observed;
use trueup_core::plan::{Action, Step};
use trueup_host as host;

use super::Work;
use super::batch::{Item, differences, over};
use crate::engine::Bound;
use crate::observe::remember;
use crate::patience;
use crate::refine;
use crate::veil::Veil;

/// Turns `unsettled` into `settled` or `rejected` where a look at the object proves it, in one call for all of them; otherwise
/// leaves it as it is. What is proved undone may be tried again, unless the plugin itself is at fault.
///
/// Absence after a create proves nothing until the kind's settle time has passed, and nothing at all for kinds whose objects
/// cannot be found again.
pub(super) async fn settle_doubts(work: &Work, bound: &Bound, followed: &mut [(Item, host::Outcome)]) {
    let doubtful = |(item, outcome): &(Item, host::Outcome)| {
        matches!(outcome.settlement, host::Settlement::Unsettled(_))
            && kind(bound, item).is_some_and(|it| it.recover != Recover::None)
    };
    let asked: Vec<usize> = (0..followed.len()).filter(|at| followed.get(*at).is_some_and(doubtful)).collect();
    let lookup = |(item, outcome): &(Item, host::Outcome)| host::Lookup {
        identity: item.change.prior.as_ref().or(outcome.object.as_ref()).map(|it| it.identity.clone()),
        desired: item.change.desired.clone(),
        mark: Some(item.change.mark.clone()),
        token: Some(item.token.to_string()),
        ..host::Lookup::new(item.change.address.clone())
    };
    let lookups: Vec<host::Lookup> = asked.iter().filter_map(|at| followed.get(*at)).map(lookup).collect();
    if lookups.is_empty() {
        return;
    }
    let Ok(answers) = patience::read(bound, work.now, lookups).await else { return };
    for (at, answer) in asked.into_iter().zip(answers) {
        if let Some((item, outcome)) = followed.get_mut(at)
            && let host::Settlement::Unsettled(failure) = &outcome.settlement
            && let Some(proved) = proved(work, bound, item, failure, answer)
        {
            *outcome = proved;
        }
    }
}

/// What a look proves of a change in doubt, if it proves anything.
fn proved(work: &Work, bound: &Bound, item: &Item, failure: &host::Failure, seen: host::Observation) -> Option<host::Outcome> {
    let settled = |object| Some(host::Outcome { object, ..over(host::Settlement::Settled) });
    let undone = || {
        let fault = match failure.fault {
            // With the time that the system asks for, where it does.
            own @ (host::Fault::Contract | host::Fault::Crash | host::Fault::Throttled(_) | host::Fault::Transient(_)) => own,
            _ => host::Fault::Transient(None),
        };
        Some(over(host::Settlement::Rejected(host::Failure { fault, ..failure.clone() })))
    };
    match (item.change.action, seen) {
        (IntentAction::Delete, host::Observation::Absent) => settled(None),
        (IntentAction::Delete, host::Observation::Found(found)) if is_another(item, &found) => settled(None),
        (IntentAction::Delete, host::Observation::Found(_)) => undone(),
        (IntentAction::Create, host::Observation::Absent) if settles_at_once(bound, item) => undone(),
        (_, host::Observation::Found(found)) => {
            // As it was covered when its prior was seen: the two are compared by their digests.
            let seen = covered(work, item, (*found).clone());
            let is_done = item.step.desired.is_some() && differs(bound, item, &seen).is_none();
            let is_prior = item.step.prior.as_deref().is_some_and(|it| it.digest == seen.digest);
            if is_done {
                settled(Some(*found))
            } else if is_prior {
                undone()
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Looks at every object that a plugin calls settled, in one call of an instance that cannot write. What is not there, still
/// there after a delete, or not as it was asked for is unsettled, whatever the plugin says, and so is what it crashes over or
/// fails at when asked to show it. Kinds that settle late, and those whose objects cannot be found again, are left to the next
/// pass, as a look proves nothing yet.
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
    let answers = match patience::read(bound, work.now, lookups).await {
        Ok(answers) => answers,
        Err(error) => {
            let text = format!("the plugin says it is done, and looking at it failed: {error}");
            let failure = host::Failure::new(error.fault(), error.code(), text);
            for at in asked {
                if let Some((_, outcome)) = followed.get_mut(at) {
                    *outcome = over(host::Settlement::Unsettled(failure.clone()));
                }
            }
            return;
        }
    };
    spare(work, bound, followed, &asked, &answers).await;
    for (at, answer) in asked.into_iter().zip(answers) {
        let Some((item, outcome)) = followed.get_mut(at) else { continue };
        let deletes = item.change.action == IntentAction::Delete;
        let text = match answer {
            host::Observation::Absent if deletes => continue,
            host::Observation::Absent => "the object is not there".to_owned(),
            host::Observation::Found(found) if deletes && is_another(item, &found) => continue,
            host::Observation::Found(_) if deletes => "the object is still there".to_owned(),
            host::Observation::Found(found) => match differs(bound, item, &covered(work, item, *found)) {
                Some(path) => format!("`{path}` is not what was asked for"),
                None => continue,
            },
            host::Observation::Unchanged => "it was asked for the object and showed none".to_owned(),
            host::Observation::Failed(failure) => {
                let text = format!("the plugin says it is done, and looking at it failed: {failure}");
                *outcome = over(host::Settlement::Unsettled(host::Failure::new(failure.fault, "unseen", text)));
                continue;
            }
        };
        let text = format!("the plugin says it is done, but {text}");
        *outcome = over(host::Settlement::Unsettled(host::Failure::new(host::Fault::Contract, "forged", text)));
    }
}

/// Whether what stands at the address of a deleted object is another one: somebody else made it anew as soon as ours was gone, as
/// controllers do.
fn is_another(item: &Item, found: &host::Remote) -> bool {
    let ours = item.change.prior.as_ref().map_or("", |it| &it.identity);
    !ours.is_empty() && !found.identity.is_empty() && *ours != *found.identity
}

/// Has the plugin judge what is not as it was asked for, as it would in the next plan: a zero value that the server does not keep is no
/// reason to doubt the change.
async fn spare(
    work: &Work,
    bound: &Bound,
    followed: &mut [(Item, host::Outcome)],
    asked: &[usize],
    answers: &[host::Observation],
) {
    let (mut doubtful, mut steps) = (Vec::new(), Vec::new());
    for (at, answer) in asked.iter().zip(answers) {
        let (Some((item, _)), host::Observation::Found(found)) = (followed.get(*at), answer) else { continue };
        let seen = covered(work, item, (**found).clone());
        let pair = item.step.desired.as_deref().zip(seen.doc.as_deref());
        let changes = pair.map(|(desired, doc)| differences(bound, item, desired, doc)).unwrap_or_default();
        if item.change.action != IntentAction::Delete && !changes.is_empty() {
            steps.push(Step { action: Action::Update, changes, prior: Some(Arc::new(seen)), ..item.step.clone() });
            doubtful.push(*at);
        }
    }
    let ignored = refine::ignored(bound, work.now, &work.sealer, &steps).await;
    for (at, paths) in doubtful.into_iter().zip(ignored) {
        if let Some((item, _)) = followed.get_mut(at) {
            item.spared = paths;
        }
    }
}

/// An object that was read, with its secrets covered and its document at hand.
fn covered(work: &Work, item: &Item, found: host::Remote) -> Observed {
    let address = &item.change.address;
    let applied = work.applied.get(address);
    let veil = Veil::of(item.step.desired.as_deref(), applied.map(|it| &**it));
    remember(&work.sealer, address.clone(), found, Some(&veil)).with_doc()
}

/// The first path at which what was seen is not what the change asks for.
fn differs(bound: &Bound, item: &Item, seen: &Observed) -> Option<String> {
    let desired = item.step.desired.as_deref()?;
    match seen.doc.as_deref() {
        Some(doc) => differences(bound, item, desired, doc).first().map(|it| it.path.to_string()),
        None => Some("spec".to_owned()),
    }
}

fn settles_at_once(bound: &Bound, item: &Item) -> bool {
    kind(bound, item).is_some_and(|it| it.settle_time == 0 && it.recover != Recover::None)
}

fn kind<'a>(bound: &'a Bound, item: &Item) -> Option<&'a Kind> {
    bound.manifest.kinds.get(&*item.change.address.scope.kind).map(|it| &**it)
}
