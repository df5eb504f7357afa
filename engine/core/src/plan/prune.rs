//! What is owned and no longer desired: deleted, forgotten or refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::intents::Doubts;
use super::join::{Join, Leftover, Look};
use super::judge::{RECOVERED_HINT, all_vanished, foreign, forget, halted, recovered, refused};
use super::{Action, Docs, Draft, Reason, Refused, Step, World};
use crate::address::Scope;
use crate::diagnostic::{Code, codes};
use crate::diff;
use crate::inventory::{IntentAction, Ownership};

/// Deletions that need no permission in any environment.
const FREE_DELETES: usize = 10;
/// From this many owned objects on, more than half of them are never deleted without permission.
const HALF_FROM: usize = 5;
/// From this many on, all owned objects of a scope that are gone at once hold the scope.
const VANISHED_FROM: usize = 10;

/// Scopes that were read whole and from which all of many owned objects vanished, with their number.
pub(super) fn vanished_scopes<'a>(world: &'a World<'a>, doubts: &'a Doubts, joined: &Join<'a>) -> BTreeMap<&'a Scope, usize> {
    let mut gone: BTreeMap<&Scope, usize> = BTreeMap::new();
    if world.options.allow_recreate {
        return gone;
    }
    let paired = joined.pairs.iter().filter_map(|it| it.held.map(|held| (held, it.old)));
    for (held, look) in paired.chain(joined.leftovers.iter().map(|it| (it.held, it.look))) {
        if matches!(look, Look::Absent) && held.ownership != Ownership::Deposed {
            *gone.entry(&held.address.scope).or_default() += 1;
        }
    }
    gone.retain(|_, count| VANISHED_FROM <= *count);
    if gone.is_empty() {
        return gone;
    }
    let mut owned: BTreeMap<&Scope, usize> = BTreeMap::new();
    for held in doubts.holdings(world).into_iter().filter(|it| it.ownership != Ownership::Deposed && !doubts.dropped(it)) {
        if gone.contains_key(&held.address.scope) {
            *owned.entry(&held.address.scope).or_default() += 1;
        }
    }
    gone.retain(|scope, count| owned.get(*scope) == Some(count));
    gone
}

/// Decides for every entry that nothing desires.
pub(super) fn leftovers(world: &World<'_>, docs: &Docs, doubts: &Doubts, joined: &Join<'_>, draft: &mut Draft) {
    let vanished = vanished_scopes(world, doubts, joined);
    for left in &joined.leftovers {
        let held = left.held;
        let halt = world.halted(&held.address.scope);
        let decided = match (halt, doubts.refusal(&held.address), vanished.get(&held.address.scope)) {
            (Some(halt), ..) => Err(halted(halt)),
            (None, Some(Refused { code, reason, hint, .. }), _) => Err((code, reason, hint)),
            (None, None, Some(count)) if matches!(left.look, Look::Absent) => Err(all_vanished(&held.address.scope, *count)),
            _ => decide(world, docs, doubts, left),
        };
        match decided {
            Ok(step) => draft.plan.steps.push(step),
            Err(no) => {
                draft.staying.push(held.resource.clone());
                draft.refuse(refused(held, no));
            }
        }
    }
}

fn decide(world: &World<'_>, docs: &Docs, doubts: &Doubts, left: &Leftover<'_>) -> Result<Step, (Code, String, Option<String>)> {
    let held = left.held;
    let found = match left.look {
        Look::Failed(why) => return Err((codes::OBSERVE_FAILED, format!("its scope could not be read: {why}"), None)),
        Look::Partial => {
            return Err((codes::NO_EVIDENCE, "it was not found, but its scope was not read whole".to_owned(), None));
        }
        Look::Absent => {
            let text = match (world.options.destroy, left.replaced) {
                (true, _) => "the environment is destroyed, and it is no longer there",
                (false, true) => "its resource is at another address now, and nothing is left at this one",
                (false, false) => "it is no longer declared, and no longer there",
            };
            return Ok(step(left, Action::Forget, Reason::new("gone", text)));
        }
        Look::Seen(found) => found,
    };
    let why = match held.ownership {
        Ownership::Deposed => Reason::new("deposed", "it is the old half of a replacement"),
        _ if world.options.destroy => Reason::new("destroyed", "the environment is destroyed"),
        _ if left.replaced => Reason::new("replaced", "its document asks for other objects now, and not for this one"),
        _ => Reason::new("removed", "it is no longer declared"),
    };
    let Some(kind) = (world.kinds)(&held.address.scope) else {
        let text = "its provider no longer has this kind, which never means that its objects go".to_owned();
        let hint = format!("release it with {}, or bring the kind back", forget(world, &held.resource));
        return Err((codes::NO_EVIDENCE, text, Some(hint)));
    };
    let release = || Some(format!("release the entry with {}", forget(world, &held.resource)));
    if let Some(text) = foreign(world, held, found, &[], &kind) {
        return Err((codes::CLAIM, text, release()));
    }
    if !held.prune && held.ownership != Ownership::Deposed {
        return Ok(step(left, Action::Forget, Reason::new("released", "its document said `trueup.dev/prune: \"false\"`")));
    }
    if held.protect && held.ownership != Ownership::Deposed {
        let (text, hint) = match world.options.destroy {
            true => (
                "the object is protected, and the environment is to be destroyed",
                "apply its document without `trueup.dev/protect` first",
            ),
            false => (
                "the object is protected, and it is no longer declared",
                "declare it again without `trueup.dev/protect` and apply that",
            ),
        };
        let hint = format!("{hint}, or release it with {}", forget(world, &held.resource));
        return Err((codes::PROTECTED, text.to_owned(), Some(hint)));
    }
    if held.ownership == Ownership::Recovered {
        if world.options.adopt_recovered {
            return Ok(step(left, Action::Adopt, Reason::new("recovered", format!("it {}", recovered(found)))));
        }
        let text = format!("the object {}, which never is enough to delete it", recovered(found));
        return Err((codes::RECOVERED, text, Some(RECOVERED_HINT.to_owned())));
    }
    // Not by identity alone: under the key of a deleted file another one may stand, which nobody here made.
    if held.identity != found.identity && !held.identity.is_empty() && found.mark.is_none() {
        let text = format!("another object (`{}`) has the place of the one that was made here", found.identity);
        return Err((codes::CLAIM, text, release()));
    }
    let mut out = step(left, Action::Delete, why);
    if let (Some(applied), Some(now)) = (doubts.applied(held, docs), &found.doc) {
        out.changes = diff::owned(applied, now);
    }
    out.token = doubts.token(&held.address, IntentAction::Delete, None);
    Ok(out)
}

fn step(left: &Leftover<'_>, action: Action, reason: Reason) -> Step {
    Step {
        action,
        resource: left.held.resource.clone(),
        from: None,
        address: left.held.address.clone(),
        reasons: vec![reason],
        changes: Vec::new(),
        desired: None,
        desired_digest: None,
        prior: left.look.seen().map(|it| Arc::new(it.clone())),
        after: Vec::new(),
        location: None,
        source: None,
        ownership: if action == Action::Adopt { Ownership::Owned } else { left.held.ownership },
        token: None,
        claim: None,
        rank: 0,
    }
}

/// Refuses all deletions (those of replacements too) where they are more than the operator allows, or more than may go
/// without a word of the operator's. What is
/// deposed was counted when its replacement was planned.
pub(super) fn limits(world: &World<'_>, draft: &mut Draft) {
    let counts = |it: &Step| it.action.deletes() && it.ownership != Ownership::Deposed;
    let all = draft.plan.steps.iter().filter(|it| counts(it)).count();
    if world.options.allow_deletes.is_none() {
        let (stopped, rest) =
            std::mem::take(&mut draft.plan.steps).into_iter().partition(|it| counts(it) && waits(world, it).is_some());
        draft.plan.steps = rest;
        unseen(world, stopped, all, draft);
    }
    let count = draft.plan.steps.iter().filter(|it| counts(it)).count();
    let claimed = draft.plan.steps.iter().filter(|it| it.claim.is_some()).count();
    // What is claimed counts as owned, as the words of `claims` have it.
    let owned = claimed + world.entries.iter().filter(|it| it.ownership != Ownership::Deposed).count();
    let half = HALF_FROM <= owned && owned < count.saturating_mul(2);
    // A revision without any document is what a broken checkout or generator looks like as well.
    let nothing = world.desired.is_empty() && !world.options.destroy && count > 0;
    let limit = match world.options.allow_deletes {
        // The operator's number takes the place of the limits, downwards too.
        Some(allowed) if allowed < count => format!("more than the {allowed} that are allowed"),
        None if nothing => "nothing is declared in it any more".to_owned(),
        None if half => format!("more than half of the {owned} it owns"),
        None if FREE_DELETES < count => format!("more than {FREE_DELETES}"),
        Some(_) | None => return,
    };
    let (stopped, rest) = std::mem::take(&mut draft.plan.steps).into_iter().partition(|it| counts(it));
    draft.plan.steps = rest;
    let stopped: Vec<Step> = stopped;
    for step in stopped {
        let verb = if step.action == Action::Delete { "deleted" } else { "replaced" };
        let objects = if count == 1 { "object" } else { "objects" };
        let reason = format!("it would be {verb}, one of {count} {objects} to go in this environment: {limit}");
        let hint = Some(format!("if that is meant, run again with `--allow-deletes {count}`"));
        let address = Some(step.address);
        draft.refuse(Refused {
            resource: step.resource,
            address,
            code: codes::DELETE_LIMIT,
            reason,
            hint,
            location: step.location,
        });
    }
}

/// Why a deletion waits for the operator's word however few there are, and what else to do than to give it.
fn waits(world: &World<'_>, step: &Step) -> Option<(String, &'static str)> {
    if step.claim.is_some_and(|it| it.new) {
        let why = step.reasons.first().map(|it| it.text.as_str()).unwrap_or_default();
        let reason = format!("what is claimed for the first time always waits: {why}");
        return Some((reason, "what is to stay is declared, or excepted from the claim"));
    }
    let kind = (world.kinds)(&step.address.scope).filter(|it| it.cascades)?;
    let reason = format!("with a {} goes all that is in it or of it, whoever made that", kind.name);
    Some((reason, "`trueup.dev/prune: \"false\"` in its document, applied before it goes, leaves it"))
}

/// Refuses deletions of which nobody has seen yet what they come to.
fn unseen(world: &World<'_>, stopped: Vec<Step>, all: usize, draft: &mut Draft) {
    for step in stopped {
        let Some((why, instead)) = waits(world, &step) else { continue };
        let Step { action, resource, address, location, .. } = step;
        let verb = if action == Action::Delete { "deleted" } else { "replaced" };
        let reason = format!("it would be {verb}, and {why}");
        let hint = format!("if that is meant, run again with `--allow-deletes {all}`; {instead}");
        let (address, code) = (Some(address), codes::DELETE_LIMIT);
        draft.refuse(Refused { resource, address, code, reason, hint: Some(hint), location });
    }
}
